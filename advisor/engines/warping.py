"""Scores as a Gaussian process can learn from them: the bad half by rank alone, and fine distinctions near the best. Standard library only.

A few diverged trials have losses many times the others'. Taken as they are, they are all that a Gaussian process sees: everything
good looks alike, and it goes on to the corners of the space.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import NormalDist, median

OFFSET = 1.5
"""How much finer the best are told apart than the worst. Source: Song et al. 2024 (arXiv:2408.11527), log warping."""


def warp(scores: Sequence[float]) -> list[float]:
    """`scores` (larger is better, finite) in the same order of merit, without outliers among the bad; the best gives 0.5.

    What lies below the median is put where its rank would lie in a normal distribution with the spread of the better half;
    then a logarithm widens the distances near the best. Equal scores stay equal; all equal gives 0.5 each.

    Source: Song et al. 2024 (arXiv:2408.11527), half-rank and log warping.
    """
    return _logarithmic(_half_ranked(scores))


def _half_ranked(scores: Sequence[float]) -> list[float]:
    if not scores:
        return []
    middle = median(scores)
    better = [s - middle for s in scores if s >= middle]
    spread = math.sqrt(math.fsum(d * d for d in better) / len(better))
    if spread == 0:
        below = [middle - s for s in scores if s < middle]
        spread = math.fsum(below) / len(below) if below else 0.0
    order = sorted(scores)
    normal = NormalDist()

    def placed(score: float) -> float:
        if score >= middle or spread == 0:
            return score
        rank = (bisect_left(order, score) + bisect_right(order, score)) / 2
        return middle + spread * normal.inv_cdf(rank / len(order))

    return [placed(s) for s in scores]


def _logarithmic(scores: Sequence[float]) -> list[float]:
    if not scores:
        return []
    best, worst = max(scores), min(scores)
    if best == worst:
        return [0.5] * len(scores)
    return [0.5 - math.log1p((best - s) / (best - worst) * (OFFSET - 1)) / math.log(OFFSET) for s in scores]
