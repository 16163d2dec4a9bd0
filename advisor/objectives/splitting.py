"""Which rows score which: the rows kept apart until the end, and the splits of what is left.

Splits are made once and written down; every trial reads the same ones. Row numbers are those of the prepared table,
which stands in time order when time matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
)

from advisor.core.errors import CannotRunError
from advisor.core.facts import Task
from advisor.core.plan import Validation

Rows = npt.NDArray[np.intp]
Split = tuple[Rows, Rows]
Keys = Sequence[Any] | npt.NDArray[Any]
"""One group or moment a row."""

ALWAYS_TRAINED = 2
"""Classes of at most so many rows are never scored: they stay in training. No split could both learn and test them."""
FRESH_SEED = 7919
"""Added to the seed for the confirm stage, so that its shuffles differ from the search's."""


def hold_out(
    validation: Validation,
    y: npt.NDArray[Any],
    *,
    task: Task,
    groups: Keys | None = None,
    times: Keys | None = None,
) -> Split:
    """Development rows and held-out rows, both ascending; the second is empty when `validation` keeps none apart.

    The last rows where a time column is named (rows stand in time order; one moment never stands on both sides), whole
    groups where a group column is, stratified for classes, shuffled otherwise.

    Raises: CannotRunError when there are too few rows or groups to keep any apart.
    """
    n, ratio = len(y), validation.heldout_ratio
    everything = np.arange(n, dtype=np.intp)
    if ratio <= 0:
        return everything, everything[:0]
    wanted = round(n * ratio)
    if wanted < 1 or n - wanted < 2:
        raise CannotRunError(f"{n} rows cannot be divided", where="validation.heldout_ratio", cure="Bring more rows.")
    if validation.time is not None:
        start = _on_a_tick(n - wanted, times)
        return everything[:start], everything[start:]
    return _one_split(y, ratio, task.is_classification, groups if validation.group is not None else None, validation.seed)


def splits(
    validation: Validation,
    y: npt.NDArray[Any],
    *,
    groups: Keys | None = None,
    times: Keys | None = None,
    seed: int | None = None,
    gap: int = 0,
    is_fresh: bool = False,
) -> list[Split]:
    """``folds × repeats`` pairs of training and test rows of `y`, by scikit-learn's splitters.

    Repeats use other shuffles. `is_fresh` gives splits unlike those of the search: other shuffles, or other cut points in
    time. Classes of one or two rows stay in training; classes with fewer rows than folds are merged for stratification
    only. `gap` rows between training and test are left out where time orders them.

    Raises: CannotRunError when there are fewer rows or groups than folds.
    """
    base = validation.seed if seed is None else seed
    if is_fresh:
        base += FRESH_SEED
    match validation.scheme:
        case "time":
            return [s for r in range(validation.repeats) for s in _time_folds(len(y), validation.folds, times, gap, r, is_fresh)]
        case "holdout":
            return [_holdout(validation, y, groups, times, base + r, is_fresh) for r in range(validation.folds * validation.repeats)]
        case _:
            return [s for r in range(validation.repeats) for s in _folds(validation, y, groups, base + r)]


def fresh_seed(seed: int, number: int) -> int:
    """The seed of the model of a fresh split, where the splits cannot differ in their training rows."""
    return (seed + FRESH_SEED + number) % 2**32


def given_splits(
    development: Rows,
    scoring: Rows,
    y: npt.NDArray[Any],
    *,
    draws: int = 0,
    groups: Rows | None = None,
    is_ordered: bool = False,
    seed: int = 0,
) -> list[Split]:
    """One split: all `development` rows train, all `scoring` rows score. With `draws`, so many that score a bootstrap draw of them each.

    The draws are balanced: together they hold every row equally often, so that their mean adds no noise to what all rows say. Whole
    groups are drawn together, rows in time order in blocks of about the cube root of their number, classes by their shares otherwise.
    Where a draw would lose a class, every split scores the rows as they are. `y` and `groups` are of all rows of the table.
    Source: Davison, Hinkley and Schechtman 1986 (balanced bootstrap); blocks as in `final.gain`.
    """
    if not draws:
        return [(development, scoring)]
    random = np.random.default_rng(fresh_seed(seed, 0))
    is_classification = np.issubdtype(y.dtype, np.integer)
    units = np.arange(len(scoring))
    if groups is not None:
        units = np.unique(groups[scoring], return_inverse=True)[1]
    elif is_ordered:
        units = units // max(1, round(len(scoring) ** (1 / 3)))
    is_bound = groups is not None or is_ordered
    strata = y[scoring] if is_classification and not is_bound else np.zeros(len(scoring), dtype=np.intp)
    members = np.split(np.argsort(units, kind="stable"), np.flatnonzero(np.diff(np.sort(units))) + 1)
    parts: list[list[Rows]] = [[] for _ in range(draws)]
    for stratum in np.unique(strata):
        own = np.unique(units[strata == stratum])
        shuffled = random.permutation(np.tile(own, draws)).reshape(draws, len(own))
        for part, drawn in zip(parts, shuffled, strict=True):
            part += [members[unit] for unit in np.sort(drawn)]
    drawn_rows = [np.sort(np.concatenate(part)) for part in parts]
    if is_classification and any(len(np.unique(y[scoring[rows]])) < len(np.unique(y[scoring])) for rows in drawn_rows):
        drawn_rows = [np.arange(len(scoring))] * draws
    return [(development, scoring[rows]) for rows in drawn_rows]


def _folds(validation: Validation, y: npt.NDArray[Any], groups: Keys | None, seed: int) -> Iterable[Split]:
    k = validation.folds
    if len(y) < k:
        raise CannotRunError(f"{len(y)} rows cannot make {k} folds", where="validation.folds", cure=f"Use at most {len(y)} folds.")
    codes = None
    if validation.scheme in ("group", "stratified_group"):
        codes = group_codes(groups, len(y))
        found = len(np.unique(codes))
        if found < k:
            raise CannotRunError(
                f"{found} groups cannot make {k} folds", where="validation.folds", cure=f"Use at most {found} folds, or another --group."
            )
    match validation.scheme:
        case "kfold":
            pairs = KFold(k, shuffle=True, random_state=seed).split(y)
        case "group":
            pairs = GroupKFold(k, shuffle=True, random_state=seed).split(y, groups=codes)
        case "stratified_group":
            labels = merged(y, k)
            pairs = StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(labels, labels, codes)
        case _:
            labels = merged(y, k)
            pairs = StratifiedKFold(k, shuffle=True, random_state=seed).split(labels, labels)
    is_stratified = validation.scheme in ("stratified", "stratified_group")
    # a group must stay whole, so only ungrouped rows can be moved back into training
    kept = _rare(y) if is_stratified and codes is None else np.zeros(len(y), dtype=bool)
    return [_keep_in_training(train, test, kept) for train, test in pairs]


def _rare(y: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    _, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    rare = np.asarray(counts[inverse] <= ALWAYS_TRAINED)
    return np.zeros(len(y), dtype=bool) if rare.all() else rare


def _keep_in_training(train: Rows, test: Rows, kept: npt.NDArray[np.bool_]) -> Split:
    moved = test[kept[test]]
    return np.sort(np.concatenate([train, moved])).astype(np.intp), test[~kept[test]].astype(np.intp)


def merged(y: npt.NDArray[Any], folds: int) -> npt.NDArray[np.intp]:
    """Labels to stratify by: classes with fewer rows than `folds` share one label, together with the next larger class
    while that label has too few rows itself."""
    _, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
    order = np.argsort(counts, kind="stable")
    small = int((counts < folds).sum())
    if small == 0:
        return np.asarray(inverse, dtype=np.intp)
    while small < len(counts) and counts[order[:small]].sum() < folds:
        small += 1
    lump = order[:small]
    return np.where(np.isin(inverse, lump), lump[0], inverse).astype(np.intp)


def group_codes(groups: Keys | None, rows: int) -> Rows:
    """One integer a row, equal for rows of one group; a row without a group is a group of its own.

    Raises: CannotRunError when no group column was handed over.
    """
    if groups is None:
        raise CannotRunError("the validation needs a group column", where="validation.group", cure="Name it with --group.")
    known: dict[Any, int] = {}
    return np.asarray(
        [known.setdefault(("row", i) if g is None or g != g else g, len(known)) for i, g in zip(range(rows), groups, strict=True)]
    )


def _one_split(y: npt.NDArray[Any], ratio: float, is_classification: bool, groups: Keys | None, seed: int) -> Split:
    n = len(y)
    if groups is not None:
        codes = group_codes(groups, n)
        if len(np.unique(codes)) < 2:
            raise CannotRunError("all rows belong to one group", where="validation.group", cure="Name another --group.")
        parts = round(1 / ratio)
        if is_classification and 2 <= parts <= len(np.unique(codes)):
            labels = merged(y, parts)
            train, test = next(iter(StratifiedGroupKFold(parts, shuffle=True, random_state=seed).split(labels, labels, codes)))
        else:
            train, test = next(iter(GroupShuffleSplit(1, test_size=ratio, random_state=seed).split(y, groups=codes)))
        return np.sort(train).astype(np.intp), np.sort(test).astype(np.intp)
    if not is_classification:
        train, test = next(iter(ShuffleSplit(1, test_size=ratio, random_state=seed).split(y)))
        return np.sort(train).astype(np.intp), np.sort(test).astype(np.intp)
    rare = _rare(y)
    candidates = np.flatnonzero(~rare)
    labels = merged(y[candidates], ALWAYS_TRAINED + 1)
    size = min(max(round(n * ratio), len(np.unique(labels))), len(candidates) - len(np.unique(labels)))
    if size < 1:
        raise CannotRunError(f"{n} rows of {len(np.unique(y))} classes cannot be divided", where="validation", cure="Bring more rows.")
    _, test = next(iter(StratifiedShuffleSplit(1, test_size=size, random_state=seed).split(candidates, labels)))
    held = np.sort(candidates[test]).astype(np.intp)
    return np.setdiff1d(np.arange(n), held).astype(np.intp), held


def _holdout(validation: Validation, y: npt.NDArray[Any], groups: Keys | None, times: Keys | None, seed: int, is_fresh: bool) -> Split:
    ratio = validation.holdout_ratio or 0.2
    if validation.time is not None:
        n = len(y)
        size = max(1, round(n * ratio))
        end = n - size // 2 if is_fresh else n
        start = _on_a_tick(end - size, times)
        return np.arange(start, dtype=np.intp), np.arange(start, end, dtype=np.intp)
    is_classification = np.issubdtype(y.dtype, np.integer)
    return _one_split(y, ratio, bool(is_classification), groups if validation.group is not None else None, seed)


def _time_folds(n: int, folds: int, times: Keys | None, gap: int, repeat: int, is_fresh: bool) -> list[Split]:
    """Forward chaining; every repeat and the fresh splits end earlier by a part of a test block, so that cut points differ."""
    block = n // (folds + 1)
    if block < 1:
        raise CannotRunError(f"{n} rows cannot make {folds} folds in time order", where="validation.folds", cure="Use fewer folds.")
    end = n - min((repeat * block) // 4 + (block // 2 if is_fresh else 0), n - folds - 1)
    cuts = [int(test[0]) for _, test in TimeSeriesSplit(folds).split(np.empty(end))]
    moved = [_on_a_tick(cut, times) for cut in cuts]
    if len(set(moved)) == len(cuts):
        cuts = moved
    rows = np.arange(end, dtype=np.intp)
    return [(rows[: max(1, start - gap)], rows[start:stop]) for start, stop in zip(cuts, [*cuts[1:], end], strict=True)]


def _on_a_tick(row: int, times: Keys | None) -> int:
    """The first row with the same time as `row`, so that one moment never stands on both sides; `row` itself where that is row 0."""
    if times is None:
        return row
    first = row
    while first > 0 and times[first - 1] == times[row]:
        first -= 1
    return first if first > 0 else row


def write_splits(path: Path, pairs: Sequence[Split]) -> Path:
    """`path`, after the splits were written to it as an ``.npz`` of row numbers."""
    arrays: dict[str, Any] = {
        f"{part}_{i}": rows for i, pair in enumerate(pairs) for part, rows in zip(("train", "test"), pair, strict=True)
    }
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


def read_splits(path: Path) -> list[Split]:
    """The splits that `write_splits` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return [(file[f"train_{i}"], file[f"test_{i}"]) for i in range(len(file.files) // 2)]
