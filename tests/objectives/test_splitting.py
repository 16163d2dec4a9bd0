"""Which rows score which: every scheme is legal, repeatable, and different where it must be."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.core.errors import CannotRunError
from advisor.core.facts import Task
from advisor.objectives.splitting import Split, group_codes, hold_out, merged, read_splits, splits, write_splits
from tests.objectives.tables_of_tests import validation


def _y(counts: list[int]) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


def _check(pairs: list[Split], rows: int) -> None:
    for train, test in pairs:
        assert len(test)
        assert len(train)
        assert not np.intersect1d(train, test).size
        assert len(np.unique(train)) == len(train)
        assert max(train.max(), test.max()) < rows


def test_stratified_folds_score_every_row_once_and_keep_the_shares() -> None:
    y = _y([80, 20])
    pairs = splits(validation(folds=5), y)
    _check(pairs, 100)
    assert np.array_equal(np.sort(np.concatenate([t for _, t in pairs])), np.arange(100))
    assert all((y[test] == 1).sum() == 4 for _, test in pairs)


def test_classes_of_two_rows_stay_in_training_and_rarer_ones_than_folds_are_merged() -> None:
    y = _y([60, 1, 2, 3, 4])
    pairs = splits(validation(folds=5), y)
    _check(pairs, 70)
    assert all(set(y[test]).isdisjoint({1, 2}) for _, test in pairs)
    assert all({1, 2} <= set(y[train]) for train, _ in pairs)
    assert sorted(merged(y, 5).tolist()).count(merged(y, 5)[y == 3][0]) == 10


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6), st.integers(2, 6), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_any_class_counts_give_legal_folds_or_a_clear_refusal(counts: list[int], folds: int, seed: int) -> None:
    y = _y(counts)
    scheme = validation(folds=folds, seed=seed)
    try:
        pairs = splits(scheme, y)
        development, heldout = hold_out(scheme, y, task=Task.MULTICLASS)
    except CannotRunError as error:
        assert error.cure
        return
    assert len(pairs) == folds
    for train, test in pairs:
        assert not np.intersect1d(train, test).size
        assert len(train) + len(test) == len(y)
    assert np.array_equal(np.union1d(development, heldout), np.arange(len(y)))
    assert not np.intersect1d(development, heldout).size


@pytest.mark.parametrize("scheme", ["group", "stratified_group"])
def test_no_group_stands_on_both_sides(scheme: str) -> None:
    groups = np.random.default_rng(0).integers(0, 12, size=100)
    y = _y([70, 30])
    rules = validation(scheme=scheme, folds=4, repeats=2, group="g")
    pairs = splits(rules, y, groups=groups)
    _check(pairs, 100)
    assert len(pairs) == 8
    assert all(not set(groups[a]) & set(groups[b]) for a, b in pairs)
    development, heldout = hold_out(rules, y, task=Task.BINARY, groups=groups)
    assert len(heldout)
    assert not set(groups[development]) & set(groups[heldout])


def test_a_row_without_group_is_a_group_of_its_own() -> None:
    assert len(set(group_codes(["a", None, "a", None, float("nan")], 5).tolist())) == 4


def test_fewer_groups_than_folds_are_refused_with_the_number_that_works() -> None:
    with pytest.raises(CannotRunError, match=r"3 groups cannot make 5 folds.*at most 3"):
        splits(validation(scheme="group", folds=5, group="g"), _y([30, 30]), groups=np.arange(60) % 3)


def test_time_folds_only_look_back_and_the_held_out_rows_are_the_last() -> None:
    y = np.arange(100.0)
    rules = validation(scheme="time", folds=4, time="t")
    development, heldout = hold_out(rules, y, task=Task.REGRESSION)
    assert heldout.tolist() == list(range(80, 100))
    pairs = splits(rules, y[development], gap=3)
    _check(pairs, 80)
    assert all(train.max() + 3 < test.min() for train, test in pairs)
    assert all(a[1].max() < b[1].min() for a, b in pairwise(pairs))


def test_one_moment_never_stands_on_both_sides() -> None:
    times = (np.arange(90) // 4).tolist()
    rules = validation(scheme="time", folds=3, time="t")
    for train, test in splits(rules, np.arange(90.0), times=times):
        assert times[train.max()] < times[test.min()]
    development, heldout = hold_out(rules, np.arange(90.0), task=Task.REGRESSION, times=times)
    assert times[development.max()] < times[heldout.min()]


@pytest.mark.parametrize(
    "rules",
    [
        validation(scheme="kfold", folds=3),
        validation(folds=3),
        validation(scheme="holdout", folds=1, holdout_ratio=0.25),
        validation(scheme="time", folds=3, time="t"),
        validation(scheme="holdout", folds=1, holdout_ratio=0.25, time="t"),
        validation(scheme="group", folds=3, group="g"),
    ],
    ids=lambda v: f"{v.scheme}-{v.time}",
)
def test_fresh_splits_differ_and_equal_seeds_agree(rules: object) -> None:
    y, groups = _y([60, 40]), np.arange(100) // 5
    first, again, fresh = (splits(rules, y, groups=groups, is_fresh=f) for f in (False, False, True))  # type: ignore[arg-type]
    assert len(first) == len(fresh) == rules.splits  # type: ignore[attr-defined]
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert all(not np.array_equal(a[1], b[1]) for a, b in zip(first, fresh, strict=True))


def test_repeats_of_a_time_order_cut_elsewhere() -> None:
    pairs = splits(validation(scheme="time", folds=3, repeats=3, time="t"), np.arange(200.0))
    assert len({test[0] for _, test in pairs}) == 9


def test_splits_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    pairs = splits(validation(folds=12), _y([60, 40]))
    found = read_splits(write_splits(tmp_path / "s.npz", pairs))
    assert all(np.array_equal(a, b) for x, y in zip(pairs, found, strict=True) for a, b in zip(x, y, strict=True))
