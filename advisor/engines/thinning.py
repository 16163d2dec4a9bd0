"""Fewer points that still say where the good ones are: what a model whose cost grows with their cube learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BEST_RATIO = 0.5
"""Share of what is kept that is simply the best. [H]"""


def representatives(places: Sequence[Sequence[float]], scores: Sequence[float], most: int) -> list[int]:
    """Indices, ascending, of at most `most` points: the best by `scores` (larger is better), and of the others those that lie furthest
    from all that are kept, one after the other.

    `places` has shape (points, dimensions), each dimension scaled to the unit interval.

    Source: Gonzalez 1985 (farthest-first traversal).
    """
    if len(scores) <= most:
        return list(range(len(scores)))
    points = np.asarray(places, dtype=float)
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    kept = order[: max(1, round(BEST_RATIO * most))]
    gaps = np.min([_distances(points, i) for i in kept], axis=0)
    while len(kept) < most:
        gaps[kept] = -1.0
        kept.append(int(np.argmax(gaps)))
        gaps = np.minimum(gaps, _distances(points, kept[-1]))
    return sorted(kept)


def _distances(points: np.ndarray, to: int) -> np.ndarray:
    return np.asarray(((points - points[to]) ** 2).sum(axis=1))
