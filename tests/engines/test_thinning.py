"""Which points a model learns from when there are too many."""

from __future__ import annotations

import numpy as np

from advisor.engines.thinning import representatives


def test_few_points_are_all_kept() -> None:
    assert representatives([(0.0,), (1.0,)], [1.0, 2.0], 2) == [0, 1]


def test_the_best_half_is_kept_and_the_rest_covers_the_space() -> None:
    draw = np.random.default_rng(0)
    places = draw.uniform(size=(600, 3))
    scores = -((places - 0.5) ** 2).sum(axis=1)
    kept = representatives(places.tolist(), scores.tolist(), 100)
    assert len(set(kept)) == len(kept) == 100
    assert set(np.argsort(-scores)[:50]) <= set(kept)
    gap = max(min(((p - places[k]) ** 2).sum() for k in kept) for p in places)
    best_only = np.argsort(-scores)[:100]
    assert gap < 0.25 * max(min(((p - places[k]) ** 2).sum() for k in best_only) for p in places)


def test_points_on_top_of_each_other_are_thinned_first() -> None:
    places = [(0.0,), (0.0,), (0.0,), (0.5,), (1.0,), (0.9,)]
    scores = [9.0, 8.0, 1.0, 0.0, 0.0, 0.0]
    assert representatives(places, scores, 4) == [0, 1, 3, 4]
