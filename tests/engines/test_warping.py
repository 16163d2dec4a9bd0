"""Warped scores keep their order and lose their outliers."""

from __future__ import annotations

import random

import pytest

from advisor.engines.warping import warp


def test_the_order_of_merit_stays() -> None:
    draw = random.Random(0)
    scores = [draw.gauss(0, 1) ** 3 for _ in range(41)]
    warped = warp(scores)
    assert sorted(range(41), key=scores.__getitem__) == sorted(range(41), key=warped.__getitem__)
    assert max(warped) == 0.5


def test_how_bad_an_outlier_is_does_not_matter() -> None:
    assert warp([1.0, 0.9, 0.8, 0.1, -5.0]) == pytest.approx(warp([1.0, 0.9, 0.8, 0.1, -5e6]))


def test_good_scores_keep_most_of_the_range_beside_an_outlier() -> None:
    one, two, *_ = warp([1.0, 0.9, 0.8, 0.7, -1e6])
    plain = 0.1 / 1e6
    assert (one - two) / 1.0 > 1000 * plain


def test_equal_scores_stay_equal_and_few_are_taken() -> None:
    assert warp([]) == []
    assert warp([3.0]) == [0.5]
    assert warp([2.0, 2.0]) == [0.5, 0.5]
    a, b, c = warp([1.0, 1.0, 0.0])
    assert a == b > c
