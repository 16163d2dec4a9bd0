"""Rows that come in a file of their own, to validate or to test on: read like the data, and held against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from advisor.core.errors import InputError, nearest
from advisor.core.facts import Column, ColumnKind, Dataset, GivenRows, Task, Unknown
from advisor.profiling.columns import STRAY_SHARE, cast, target_values, typed
from advisor.profiling.printing import listed, printable
from advisor.profiling.profile import feature_columns
from advisor.profiling.reading import Table, open_table
from advisor.profiling.spellings import is_missing

FEWEST_ROWS = 20
"""Rows below which a score of them says nothing. [H]"""
REPEATED_SHARE = 0.01
"""From this share on of rows that stand in both files it is told, unless the data repeat themselves as much. [H]"""
_STRICT_KINDS = {ColumnKind.NUMERIC, ColumnKind.INTEGER_CODED, ColumnKind.BOOLEAN, ColumnKind.DATE}


@dataclass(frozen=True)
class _Rows:
    """Rows with a known target, typed by the kinds of the data."""

    flag: str
    shown: str
    frame: pl.DataFrame
    """The columns that a run uses, without the target."""
    target: pl.Series


@dataclass(frozen=True)
class _Use:
    """Which columns a run uses, and as what."""

    columns: tuple[Column, ...]
    features: tuple[str, ...]
    target: str
    task: Task
    group: str | None
    time: str | None


def with_given_rows(
    dataset: Dataset,
    source: Any,
    *,
    query: str | None = None,
    valid: str | None = None,
    test: str | None = None,
    group: str | None = None,
    time: str | None = None,
    weights: str | None = None,
    drop: Sequence[str] = (),
) -> Dataset:
    """`dataset`, which describes `source`, with what is known of the files `valid` and `test`; unchanged without any.

    Raises: InputError when a file cannot be read, lacks a column, holds another kind of values or labels, too few rows, rows of a
    group that stands elsewhere, or rows that are no later than those they must follow in time.
    """
    named = [(name, path) for name, path in (("valid", valid), ("test", test)) if path is not None]
    if not named:
        return dataset
    use = _use_of(dataset, named[0][0], group=group, time=time, weights=weights, drop=drop)
    data = _Rows("DATA", dataset.source, *_known(open_table(source, query=query).frame, use, "DATA"))
    before, said = [data], []
    found: dict[str, GivenRows] = {}
    seen = {dataset.fingerprint: dataset.source}
    for name, path in named:
        flag = f"--{name}"
        table = open_given(path, flag)
        if table.fingerprint in seen:
            raise InputError(
                f"{table.shown} holds the same rows as {seen[table.fingerprint]}",
                where=flag,
                cure="Name a file with other rows: what was learned from cannot tell how good a model is.",
            )
        seen[table.fingerprint] = table.shown
        rows = _checked(table, use, flag, data)
        said += _warnings(rows, data, dataset, use)
        for other in before:
            _check_groups(rows, other, use)
            _check_order(rows, other, use)
        before.append(rows)
        found[name] = GivenRows(source=path, fingerprint=table.fingerprint, rows=len(rows.target))
    return dataset.model_copy(update=found | {"warnings": (*said, *dataset.warnings)})


def open_given(path: str | Path, flag: str) -> Table:
    """The table in the file that `flag` names.

    Raises: InputError naming the flag when it is no file or cannot be read.
    """
    named = str(path)
    if "://" in named or named.startswith("sklearn:"):
        raise InputError(f"{printable(named, 200)} is no file", where=flag, cure="Name a file with a table, such as a CSV.")
    try:
        return open_table(named)
    except InputError as error:
        raise InputError(error.what, where=f"{flag}{f', {error.where}' if error.where else ''}", cure=error.cure) from error


def typed_like(raw: pl.DataFrame, columns: Sequence[Column], target: str, task: Task, flag: str) -> pl.DataFrame:
    """`raw` with exactly `columns`, typed by their kinds, and the target as it was read.

    Raises: InputError naming `flag` and every column that is missing.
    """
    absent = [name for name in (*(c.name for c in columns), target) if name not in raw.columns]
    if absent:
        raise InputError(
            f"{len(absent)} column(s) of the data are missing from the file: {listed(absent)}",
            where=flag,
            cure=f"Add them under the names they have there. {nearest(printable(absent[0]), [printable(c) for c in raw.columns])}",
        )
    return cast(raw, columns).with_columns(target_values(raw, target, task))


def _use_of(dataset: Dataset, name: str, *, group: str | None, time: str | None, weights: str | None, drop: Sequence[str]) -> _Use:
    if dataset.holds_images:
        raise InputError(
            "rows in a file of their own are read for tables only, and the data are images",
            where=f"--{name}",
            cure=f"Leave --{name} out: a part of the images is kept apart.",
        )
    if isinstance(dataset.target, Unknown) or isinstance(dataset.task, Unknown):
        raise InputError(
            "a file cannot be held against data whose target is not known", where=f"--{name}", cure="Name the target: --target COLUMN."
        )
    features = feature_columns(dataset.columns, group=group, weights=weights, drop=drop)
    names = {c.name for c in features} | {n for n in (group, time, weights) if n is not None}
    return _Use(
        columns=tuple(c for c in dataset.columns if c.name in names),
        features=tuple(c.name for c in features),
        target=dataset.target,
        task=dataset.task,
        group=group,
        time=time,
    )


def _known(raw: pl.DataFrame, use: _Use, flag: str) -> tuple[pl.DataFrame, pl.Series]:
    frame = typed_like(raw, use.columns, use.target, use.task, flag)
    frame = frame.filter(frame[use.target].is_not_null())
    return frame.drop(use.target), frame[use.target]


def _checked(table: Table, use: _Use, flag: str, data: _Rows) -> _Rows:
    frame, target = _known(table.frame, use, flag)
    rows = _Rows(flag, table.shown, frame, target)
    for column in use.columns:
        if column.kind in _STRICT_KINDS:
            _check_readable(table.frame[column.name], typed(table.frame[column.name], column), column.null_spellings, rows)
        elif column.kind is ColumnKind.CATEGORY and column.name in use.features:
            _check_categories(rows, data, column.name)
    if not use.task.is_classification:
        _check_readable(table.frame[use.target], target_values(table.frame, use.target, use.task), (), rows)
    if len(target) < FEWEST_ROWS:
        raise InputError(
            f"{rows.shown} has {len(target)} rows with a known {printable(use.target)!r}",
            where=flag,
            cure=f"Name a file with at least {FEWEST_ROWS}.",
        )
    if use.task.is_classification:
        _check_labels(rows, data, use)
    return rows


def _check_readable(raw: pl.Series, read: pl.Series, spellings: tuple[str, ...], rows: _Rows) -> None:
    """Raises: InputError when more cells than a few hold something, and nothing that the kind of the column can be."""
    here = raw.is_not_null()
    if raw.dtype == pl.String:
        here = here & ~is_missing(raw.fill_null(""), spellings)
    odd = here & read.is_null()
    if int(odd.sum()) > STRAY_SHARE * max(int(here.sum()), 1):
        raise InputError(
            f"{int(odd.sum()):,} of {int(here.sum()):,} values of {printable(raw.name)!r} are not read as in the data, "
            f"such as {printable(raw.filter(odd)[0])!r}",
            where=f"{rows.flag} {rows.shown}",
            cure="Write the column as it is written in the data.",
        )


def _check_categories(rows: _Rows, data: _Rows, name: str) -> None:
    here = rows.frame[name].drop_nulls()
    if len(here) and not _is_in(here, data.frame[name]).any():
        raise InputError(
            f"no value of {printable(name)!r} is one that the data hold, such as {printable(here[0])!r}",
            where=f"{rows.flag} {rows.shown}",
            cure="Write the column as it is written in the data.",
        )


def _check_labels(rows: _Rows, data: _Rows, use: _Use) -> None:
    odd = rows.target.filter(~_is_in(rows.target, data.target))
    if len(odd):
        raise InputError(
            f"{len(odd):,} rows have a {printable(use.target)!r} that the data do not hold: {listed(odd.unique().sort().to_list())}",
            where=f"{rows.flag} {rows.shown}",
            cure="Write the labels as in the data, or leave these rows out: no model can predict what it has never seen.",
        )
    if rows.target.n_unique() < 2:
        raise InputError(
            f"all rows of {rows.shown} have the same {printable(use.target)!r}: {printable(rows.target[0])}",
            where=rows.flag,
            cure="Name a file with rows of at least two classes.",
        )


def _check_groups(rows: _Rows, other: _Rows, use: _Use) -> None:
    if use.group is None:
        return
    mine, theirs = (r.frame[use.group].drop_nulls().cast(pl.String).unique() for r in (rows, other))
    shared = mine.filter(_is_in(mine, theirs)).sort()
    if len(shared):
        raise InputError(
            f"{len(shared):,} of {len(mine):,} values of {printable(use.group)!r} stand in {other.shown} as well: "
            f"{listed(shared.to_list(), 3)}",
            where=f"{rows.flag} {rows.shown}",
            cure=f"Keep all rows of one {printable(use.group)} in one file, or leave --group out.",
        )


def _check_order(rows: _Rows, other: _Rows, use: _Use) -> None:
    if use.time is None:
        return
    mine, theirs = rows.frame[use.time].drop_nulls(), other.frame[use.time].drop_nulls()
    if len(mine) and len(theirs) and not bool((mine > theirs.max()).all()):
        raise InputError(
            f"its {printable(use.time)!r} begins at {printable(mine.min())}, and that of {other.shown} ends at {printable(theirs.max())}: "
            "the past must predict the future",
            where=f"{rows.flag} {rows.shown}",
            cure="Name a file whose rows are all later, or leave --time out.",
        )


def _warnings(rows: _Rows, data: _Rows, dataset: Dataset, use: _Use) -> list[str]:
    """What a user should know of a file that can be used."""
    said = []
    mine, theirs = (r.frame.select(use.features).with_columns(r.target).hash_rows() for r in (rows, data))
    repeated = int(_is_in(mine, theirs).sum())
    usual = dataset.duplicate_ratio if isinstance(dataset.duplicate_ratio, float) else 0.0
    if repeated > len(mine) * max(REPEATED_SHARE, 2 * usual):
        said.append(f"{repeated:,} of the {len(mine):,} rows of {rows.shown} stand in {data.shown} as well: their score will be too good.")
    lacking = data.target.unique().sort()
    lacking = lacking.filter(~_is_in(lacking, rows.target)) if use.task.is_classification else lacking.clear()
    if len(lacking):
        said.append(f"{rows.shown} has no row of {listed(lacking.to_list(), 3)}: how well that is predicted is not scored.")
    for column in use.columns:
        if column.kind is ColumnKind.CATEGORY and column.name in use.features:
            here = rows.frame[column.name].drop_nulls()
            new = here.filter(~_is_in(here, data.frame[column.name]))
            if len(new) > STRAY_SHARE * max(len(here), 1):
                said.append(
                    f"{len(new):,} values of {printable(column.name)} in {rows.shown} are new to the model, such as {printable(new[0])}."
                )
    return said


def _is_in(values: pl.Series, known: pl.Series) -> pl.Series:
    return values.is_in(known.unique().implode())
