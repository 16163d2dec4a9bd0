"""A `Dataset`: what is known of a table before any model is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from advisor.core.errors import InputError, nearest
from advisor.core.facts import Column, ColumnKind, Dataset, Suspicion, Task, Unknown
from advisor.profiling.association import SAMPLED_ROWS, aim_at
from advisor.profiling.columns import cast, describe, numbers_of, target_values
from advisor.profiling.images import is_images, profile_images
from advisor.profiling.leaks import suspected_leaks
from advisor.profiling.names import is_named_target
from advisor.profiling.printing import listed, printable
from advisor.profiling.reading import Table, open_table
from advisor.profiling.scan import Scan, is_large, scan_file
from advisor.profiling.structure import (
    LABEL_KINDS,
    NUMBER_KINDS,
    constant_within,
    duplicate_ratio,
    effective_dimensions,
    group_candidates,
    image_side,
    is_in_order,
    standardised,
    time_candidates,
    width_of,
)
from advisor.profiling.target import Guess, guess_target, has_heavy_tail, infinite_count, task_of

DECOMPOSED_ROWS = 2000
"""Effective dimensions are found on at most this many rows."""
WORKED_ROWS = 60_000
"""Structure is looked for in at most this many rows."""
MOST_WARNINGS = 25
_CONFIDENT = 0.5


@dataclass(frozen=True)
class _Wishes:
    """What the user named."""

    target: str | None
    task: Task | None
    group: str | None
    time: str | None
    drop: tuple[str, ...]
    weights: str | None


def profile_table(
    source: Any,
    *,
    query: str | None = None,
    target: str | None = None,
    task: Task | None = None,
    group: str | None = None,
    time: str | None = None,
    drop: Sequence[str] = (),
    weights: str | None = None,
) -> Dataset:
    """Every fact about the table or the images that `source` names; `source` and `query` as in `read_table`, images as in `open_images`.

    What is named by the user is taken (confidence 1); what is not is guessed, with candidates. A delimited file above 64 MiB is
    described from a spread sample and one streaming pass, which gives its rows, missing shares and ranges exactly.

    Raises: InputError when the table cannot be read, a named column does not exist (with the nearest name), or the task cannot be.
    """
    if query is None and is_images(source):
        return profile_images(source, target=target, task=task, group=group, time=time, drop=drop, weights=weights)
    wishes = _Wishes(target=target, task=task, group=group, time=time, drop=tuple(drop), weights=weights)
    scan: Scan | None = None
    if isinstance(source, str | Path) and is_large(source):
        scan = scan_file(Path(source))
        table = scan.table
    else:
        table = open_table(source, query=query)
    _check_names(table.frame.columns, wishes)
    return _describe_table(table, wishes, scan)


def feature_columns(
    columns: Sequence[Column], *, group: str | None = None, weights: str | None = None, drop: Sequence[str] = ()
) -> tuple[Column, ...]:
    """The columns a model may use: not constants, identifiers, the group, the weights, nor what was dropped."""
    apart = {group, weights, *drop}
    return tuple(c for c in columns if c.kind not in {ColumnKind.CONSTANT, ColumnKind.IDENTIFIER} and c.name not in apart)


def _check_names(names: Sequence[str], wishes: _Wishes) -> None:
    asked = [("--target", wishes.target), ("--group", wishes.group), ("--time", wishes.time), ("--weights", wishes.weights)]
    asked += [("--drop", n) for n in wishes.drop]
    for flag, name in asked:
        if name is not None and name not in names:
            raise InputError(
                f"The table has no column {printable(name)!r}", where=flag, cure=nearest(printable(name), [printable(n) for n in names])
            )
        if flag != "--target" and name is not None and name == wishes.target:
            raise InputError(f"The column {printable(name)!r} is the target", where=flag, cure="Name another column.")
    if wishes.weights is not None and wishes.weights in (wishes.group, wishes.time):
        other = "--group" if wishes.weights == wishes.group else "--time"
        what = f"The column {printable(wishes.weights)!r} is named by {other} too"
        raise InputError(what, where="--weights", cure="Name another column.")


def _describe_table(table: Table, wishes: _Wishes, scan: Scan | None) -> Dataset:
    raw = table.frame
    columns = scan.columns if scan else tuple(describe(n, raw[n]) for n in raw.columns)
    if len(columns) < 2:
        raise InputError(
            f"{table.shown} has one column, so there is nothing to predict from",
            cure="Check the separator, or name a table with features and a target.",
        )
    rows = _in_blocks(raw, WORKED_ROWS)
    frame = cast(rows, columns)
    groups = group_candidates(frame, columns)
    guess, task = _target(rows, frame, columns, table, wishes, groups)
    if guess is None or task is None:
        return _assembled(_Findings(table, wishes, scan, columns, rows, frame, groups))
    labels = target_values(rows, guess.name, task)
    known = labels.is_not_null()
    found = _Findings(table, wishes, scan, columns, rows, frame, groups, guess, task, labels)
    features = feature_columns([c for c in columns if c.name != guess.name], group=wishes.group, weights=wishes.weights, drop=wishes.drop)
    step = max(1, int(known.sum()) // SAMPLED_ROWS)
    some = frame.filter(known).gather_every(step)
    aimed = labels.drop_nulls().gather_every(step)
    numbers = None if task.is_classification else aimed.to_numpy().astype(np.float64)
    leaks = suspected_leaks(some, features, guess.name, aim_at(aimed, is_class=task.is_classification), numbers)
    return _assembled(replace(found, leaks=leaks))


def _target(
    rows: pl.DataFrame, frame: pl.DataFrame, columns: Sequence[Column], table: Table, wishes: _Wishes, groups: tuple[Suspicion, ...]
) -> tuple[Guess | None, Task | None]:
    """The target and its task: the named one, the source's own, or the best guess that could be predicted at all."""
    named = wishes.target or table.target
    # A target that its name gives away and that cannot be predicted is a fault of the table, not a reason to predict something else.
    named = named or next((c.name for c in columns if c.kind is ColumnKind.CONSTANT and is_named_target(c.name)), None)
    if named is not None:
        if next(c.kind for c in columns if c.name == named) is ColumnKind.DATE:
            raise InputError(
                f"The target {printable(named)!r} holds dates", where="--target", cure="Name a column that holds a class or a number."
            )
        sure = 1.0 if wishes.target else 0.95
        return Guess(name=named, confidence=sure, others=()), task_of(rows[named], named, wishes.task)
    apart = {wishes.group, wishes.time, wishes.weights, *wishes.drop}
    fixed: frozenset[str] = frozenset()
    for suspicion in groups[:1]:
        fixed = frozenset((*constant_within(frame, suspicion.column, columns), suspicion.column))
    guess = guess_target(frame, [c for c in columns if c.name not in apart], fixed_in_groups=fixed)
    refused: InputError | None = None
    while guess is not None:
        try:
            return guess, task_of(rows[guess.name], guess.name, wishes.task)
        except InputError as error:
            if infinite_count(rows[guess.name]):
                raise
            refused = refused or error
            guess = (
                Guess(name=guess.others[0].column, confidence=guess.others[0].confidence, others=guess.others[1:]) if guess.others else None
            )
    if refused is not None:
        raise refused
    return None, None


@dataclass(frozen=True)
class _Findings:
    """Everything seen so far, on its way into a `Dataset`."""

    table: Table
    wishes: _Wishes
    scan: Scan | None
    columns: tuple[Column, ...]
    rows: pl.DataFrame
    frame: pl.DataFrame
    groups: tuple[Suspicion, ...]
    guess: Guess | None = None
    task: Task | None = None
    labels: pl.Series | None = None
    leaks: tuple[Suspicion, ...] = ()


def _assembled(found: _Findings) -> Dataset:
    wishes, scan, frame = found.wishes, found.scan, found.frame
    target = found.guess.name if found.guess else None
    others = tuple(c for c in found.columns if c.name != target)
    features = feature_columns(others, group=wishes.group, weights=wishes.weights, drop=wishes.drop)
    numeric = [c.name for c in features if c.kind in NUMBER_KINDS]
    total = scan.rows if scan else found.table.frame.height
    share_known = 1.0
    classes = rarest = 0
    minority = 0.0
    if found.labels is not None and target is not None:
        share_known = 1.0 - found.labels.null_count() / max(len(found.labels), 1)
        if found.task is not None and found.task.is_classification:
            counts = found.labels.drop_nulls().value_counts()["count"]
            classes, minority = len(counts), float(counts.min()) / float(counts.sum())  # type: ignore[arg-type]
    rows = round(total * share_known)
    rarest = round(minority * rows)
    times, in_order = time_candidates(frame, others)
    in_order = _order_of(wishes.time, frame) if wishes.time else in_order
    group_values: int | Unknown = frame[wishes.group].drop_nulls().n_unique() if wishes.group else 0
    if wishes.group and scan:
        group_values = next((c.distinct for c in found.columns if c.name == wishes.group), group_values)
    side = image_side(frame, [c for c in others if c.name not in {wishes.group, wishes.time, wishes.weights, *wishes.drop}])
    suspected = tuple(g for g in found.groups if g.column not in {target, wishes.time})
    dataset = Dataset(
        source=found.table.shown,
        fingerprint=found.table.fingerprint,
        rows=rows,
        columns=others,
        bytes=scan.bytes if scan else int(found.table.frame.estimated_size()),
        target=target if target is not None else Unknown(reason="no column looks like a target", cure="Name it: --target COLUMN."),
        target_confidence=found.guess.confidence if found.guess else 0.0,
        target_candidates=found.guess.others if found.guess else (),
        task=found.task if found.task is not None else Unknown(reason="there is no target", cure="Name it: --target COLUMN."),
        classes=classes,
        rarest_class_rows=rarest,
        minority_ratio=minority,
        has_heavy_tail=found.task is Task.REGRESSION and found.labels is not None and has_heavy_tail(found.labels),
        feature_columns=len(features),
        numeric_columns=len(numeric),
        category_columns=sum(c.kind in LABEL_KINDS for c in features),
        text_columns=sum(c.kind is ColumnKind.TEXT for c in features),
        date_columns=sum(c.kind is ColumnKind.DATE for c in features),
        width=width_of(features),
        effective_dimensions=effective_dimensions(standardised(frame, numeric, DECOMPOSED_ROWS)),
        missing_ratio=sum(c.missing_ratio for c in features) / len(features) if features else 0.0,
        duplicate_ratio=duplicate_ratio(found.rows, {c.name: c for c in found.columns}),
        leaks=found.leaks,
        group_candidates=suspected,
        time_candidates=tuple(t for t in times if t.column != target),
        groups=group_values,
        is_sorted_by_time=in_order,
        is_sorted_by_target=found.labels is not None and is_in_order(found.labels),
        image_side=side,
        image_height=side,
        image_width=side,
        image_channels=int(side > 0),
        image_source="columns" if side else "none",
    )
    is_numeric_class = (
        found.task is Task.MULTICLASS and found.labels is not None and numbers_of(found.labels).null_count() == found.labels.null_count()
    )
    said = _about_infinite(found.rows, target) + warnings_about(dataset, wishes, is_numeric_class=is_numeric_class)
    return dataset.model_copy(update={"warnings": (*found.table.warnings, *said)})


def _order_of(name: str, frame: pl.DataFrame) -> bool | Unknown:
    values = frame[name]
    if values.dtype == pl.String:
        return Unknown(reason=f"{printable(name)} holds texts that are no dates", cure="Write dates as 2024-01-31.")
    steps = values.cast(pl.Int64 if values.dtype.is_temporal() else pl.Float64).drop_nulls().diff().drop_nulls()
    return len(steps) > 0 and float((steps < 0).mean() or 0.0) <= 0.005  # type: ignore[arg-type]


def _about_infinite(rows: pl.DataFrame, target: str | None) -> tuple[str, ...]:
    """A warning where values of the target are infinite."""
    count = infinite_count(rows[target]) if target in rows.columns else 0
    if not count:
        return ()
    return (f"{count} value(s) of {printable(target)} are infinite; their rows are left out, as if the value were missing.",)


def warnings_about(dataset: Dataset, wishes: _Wishes, *, is_numeric_class: bool) -> tuple[str, ...]:
    """What a user should know before trusting a model of these data, the gravest first."""
    target = printable(dataset.target)
    said = [
        f"{printable(s.column)} seems to give {target} away: {s.reason}. Drop it unless it is known when predicting." for s in dataset.leaks
    ]
    said += _about_dependence(dataset, wishes)
    if dataset.is_sorted_by_target:
        said.append(f"The rows stand in the order of {target}; splits must be shuffled.")
    if isinstance(dataset.target, str) and wishes.target is None and dataset.target_confidence < _CONFIDENT:
        others = listed([c.column for c in dataset.target_candidates], 3)
        said.append(f"{target} is only a guess at the target{f'; it could be {others}' if others else ''}.")
    if is_numeric_class and wishes.task is None:
        said.append(f"{target} is taken for {dataset.classes} classes, though it is a number; --task regression takes it for one.")
    if 0 < dataset.rarest_class_rows < 10:
        said.append(f"The rarest class of {target} has {dataset.rarest_class_rows} row(s).")
    return tuple((said + _about_columns(dataset))[:MOST_WARNINGS])


def _about_dependence(dataset: Dataset, wishes: _Wishes) -> list[str]:
    said = []
    for group in dataset.group_candidates[:1] if wishes.group is None else ():
        if group.confidence >= _CONFIDENT:
            cure = "name it with --group so that its rows stay on one side of a split"
            said.append(f"{printable(group.column)} may name a repeated thing ({group.reason}): {cure}.")
    for moment in dataset.time_candidates[:1] if wishes.time is None else ():
        if moment.confidence >= _CONFIDENT:
            cure = "name it with --time so that the past predicts the future"
            said.append(f"{printable(moment.column)} may order the rows in time ({moment.reason}): {cure}.")
    return said


def _about_columns(dataset: Dataset) -> list[str]:
    identifiers = [c.name for c in dataset.columns if c.kind is ColumnKind.IDENTIFIER]
    constants = [c.name for c in dataset.columns if c.kind is ColumnKind.CONSTANT]
    empty = [c.name for c in dataset.columns if c.missing_ratio > 0.5 and c.kind is not ColumnKind.CONSTANT]
    said = []
    if identifiers:
        said.append(f"Identifiers are not used as features: {listed(identifiers)}.")
    if constants:
        said.append(f"Columns with one value are not used: {listed(constants)}.")
    if isinstance(dataset.duplicate_ratio, float) and dataset.duplicate_ratio > 0.01:
        said.append(f"{dataset.duplicate_ratio:.1%} of the rows repeat an earlier row.")
    if empty:
        said.append(f"More than half is missing in {listed(empty)}.")
    return said + [f"{printable(c.name)}: {c.note}." for c in dataset.columns if c.note and c.kind in {ColumnKind.NUMERIC, ColumnKind.DATE}]


def _in_blocks(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most `most` rows: even blocks of neighbours, so that order and groups stay visible."""
    if frame.height <= most:
        return frame
    blocks = 100
    size, stride = most // blocks, frame.height // blocks
    return frame.with_row_index("\x00row").filter(pl.col("\x00row") % stride < size).drop("\x00row")
