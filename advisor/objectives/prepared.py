"""The hand-over from a typed table to trials: target encoded, rows set apart, splits made once, all of it on disk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from advisor.core.errors import CannotRunError, InputError, nearest
from advisor.core.facts import Column, Dataset, Task
from advisor.core.family import Family
from advisor.core.plan import Plan
from advisor.core.value import Value
from advisor.objectives.images import IMAGE, write_pixels, write_rows
from advisor.objectives.network_objective import NetworkObjective
from advisor.objectives.pipelines import UNUSED_KINDS, typed
from advisor.objectives.splitting import Split, fresh_seed, given_splits, group_codes, hold_out, splits, write_splits
from advisor.objectives.tables import TARGET, WEIGHT, TableObjective

ROW = "__row__"
UNREADABLE_RATIO = 0.05
"""More unreadable targets than this are a wrong task or column, not a few slips."""


class Prepared(Value):
    """Where the prepared table and its splits lie, and what the model must remember of them."""

    folder: str
    """Folder of the files."""
    table: str
    """Arrow file: features typed by kind, target codes or numbers, weights; or the ``.npy`` of images; in time order when time matters."""
    splits: str
    """``.npz`` with the splits of the search."""
    fresh: str
    """``.npz`` with the splits of the confirm stage."""
    parts: str
    """``.npz`` with `development`, `heldout`, `learned` (rows of the last fit), and the `groups` of all rows (empty without any)."""
    columns: tuple[Column, ...]
    """Features, in order."""
    target: str
    """Column that is predicted."""
    task: Task
    """What kind of target."""
    metric: str
    """Score to optimise."""
    classes: tuple[Any, ...]
    """Original labels in the order of their codes, the rarer of two last; empty for regression."""
    rows: int
    """Rows with a target."""
    dropped_rows: int
    """Rows left out because their target is missing or cannot be read."""
    development_rows: int
    """Rows that choices may see: what the splits divide, given rows that score included."""
    heldout_rows: int
    """Rows kept apart until the end."""
    is_heldout_given: bool = False
    """True when these come from a file of their own: no model that is saved learns from them."""
    fresh_seeds: tuple[int, ...] = ()
    """The seed of each split of the confirm stage where the splits cannot differ in their rows; empty: that of the run."""
    has_weights: bool
    """True when rows are weighed."""
    is_ordered: bool
    """True when the rows stand in time order and the past must predict the future."""
    notes: tuple[str, ...] = ()
    """What a user should know, one sentence each."""

    def objective(self, family: Family, *, seed: int, threads: int = 1, is_fresh: bool = False, device: str = "cpu") -> TableObjective:
        """The objective of `family` on the splits of the search, or of the confirm stage; steps are epochs where it trains in steps."""
        kind = NetworkObjective if family.trains_in_steps else TableObjective
        return kind(
            table=Path(self.table),
            splits=Path(self.fresh if is_fresh else self.splits),
            family=family,
            columns=self.columns,
            target=self.target,
            task=self.task,
            metric=self.metric,
            classes=self.classes,
            seed=seed,
            split_seeds=self.fresh_seeds if is_fresh else (),
            threads=threads,
            device=device,
        )


def prepare(
    frame: pl.DataFrame,
    dataset: Dataset,
    plan: Plan,
    folder: Path,
    *,
    null_spellings: Collection[str] = ("",),
    fresh_repeats: int = 1,
    images: Path | None = None,
    pixels: Sequence[str] = (),
    valid: pl.DataFrame | None = None,
    test: pl.DataFrame | None = None,
) -> Prepared:
    """Files in `folder` and where they lie. `frame` has the features typed by their kind and the target as it was read.

    With `images`, a ``.npy`` file with one image a row of `frame`, these are the one feature. With `pixels`, columns of `frame` that
    hold square images, they are written to such a file.

    A target is missing when it is null, NaN or, in lower case, one of `null_spellings`. The held-out rows are chosen by
    `plan.validation` before anything else. `fresh_repeats` multiplies the splits of the confirm stage.

    The rows of `valid` score every split, those of `test` are the held-out ones; both hold the columns of `frame` that are used. Row
    numbers go on from one table to the next.

    Raises: InputError when the target, group, time or weights column is absent or unreadable, or a label stands in `valid` or `test`
    alone; CannotRunError when there is no legal split.
    """
    for flag, name in (
        ("--target", plan.target),
        ("--group", plan.validation.group),
        ("--time", plan.validation.time),
        ("--weights", plan.weights),
    ):
        if name is not None and name not in frame.columns:
            raise InputError(f"there is no column {name!r}", where=flag, cure=nearest(name, frame.columns))
    if taken := ({TARGET, WEIGHT} & set(plan.features)) | ({ROW} & set(frame.columns)):
        raise InputError(f"the column name {min(taken)!r} is taken", where="columns", cure="Rename the column.")
    by_name = {c.name: c for c in dataset.columns}
    columns = tuple(by_name[name] for name in plan.features if by_name[name].kind not in UNUSED_KINDS)
    spellings = {s.casefold() for s in null_spellings}
    data = _part(frame.with_row_index(ROW), plan, spellings, "")
    beside = [
        (flag, _part(rows.with_row_index(ROW), plan, spellings, f"{shown.source}: " if shown is not None else ""))
        for flag, rows, shown in (("--valid", valid, plan.valid), ("--test", test, plan.test))
        if rows is not None
    ]
    y, classes = _coded(data.target, plan.table_task)
    frame = data.frame
    if beside:
        kept = [c for c in beside[0][1].frame.columns if c in frame.columns]
        frame = pl.concat([p.frame.select(kept) for p in (data, *(p for _, p in beside))], how="vertical_relaxed")
        y = np.concatenate([y, *(_codes(p.target, classes, plan.table_task, flag) for flag, p in beside)])
    weight = None if plan.weights is None else _weights(frame[plan.weights])
    folder.mkdir(parents=True, exist_ok=True)
    if pixels:
        shape = (dataset.image_height, dataset.image_width, dataset.image_channels)
        images, frame = write_pixels(frame, pixels, shape, folder / "images.npy"), frame.drop(ROW).with_row_index(ROW)
    if images is not None:
        columns = (IMAGE,)
        rows = frame[ROW].to_numpy().astype(np.intp)
        table = write_rows(images, y, rows=rows, weight=None if weight is None else weight.to_numpy(), columns=pixels)
    else:
        arrays = [pl.Series(TARGET, y), *([] if weight is None else [weight.alias(WEIGHT)])]
        table = folder / "table.arrow"
        typed(frame, columns).hstack(arrays).rechunk().write_ipc(table, compression="uncompressed")

    count = len(data.target)
    groups = group_codes(frame[plan.validation.group].to_list(), len(y)) if plan.validation.group is not None else None
    times = frame[plan.validation.time].rle_id().to_numpy() if plan.validation.time is not None else None
    development, heldout = hold_out(
        plan.validation,
        y[:count],
        task=plan.table_task,
        groups=None if groups is None else groups[:count],
        times=None if times is None else times[:count],
    )
    _check_classes(y[development], classes, plan.table_task)
    scoring = np.arange(count, count + sum(len(p.target) for flag, p in beside if flag == "--valid"), dtype=np.intp)
    if test is not None:
        heldout = np.arange(count + len(scoring), len(y), dtype=np.intp)
    is_given = plan.validation.scheme == "given"
    is_ordered = plan.validation.time is not None or plan.validation.scheme == "time"
    if is_given and not len(scoring):
        raise CannotRunError("there are no rows to validate on", where="--valid", cure="Plan anew with --valid FILE.")

    def within(*, is_fresh: bool) -> list[Split]:
        if is_given:
            draws = plan.validation.fresh_splits * fresh_repeats if is_fresh else 0
            return given_splits(development, scoring, y, draws=draws, groups=groups, is_ordered=is_ordered, seed=plan.validation.seed)
        repeats = plan.validation.repeats * (fresh_repeats if is_fresh else 1)
        inner = splits(
            plan.validation.model_copy(update={"repeats": repeats}),
            y[development],
            groups=None if groups is None else groups[development],
            times=None if times is None else times[development],
            is_fresh=is_fresh,
        )
        return [(development[train], development[test]) for train, test in inner]

    fresh = within(is_fresh=True)
    learned = np.arange(len(y) - len(heldout), dtype=np.intp) if test is not None else np.arange(len(y), dtype=np.intp)
    with (folder / "parts.npz").open("wb") as file:
        codes = np.empty(0, dtype=np.intp) if groups is None else groups
        np.savez(file, development=development, heldout=heldout, learned=learned, groups=codes)
    prepared = Prepared(
        folder=str(folder),
        table=str(table),
        splits=str(write_splits(folder / "splits.npz", within(is_fresh=False))),
        fresh=str(write_splits(folder / "fresh.npz", fresh)),
        parts=str(folder / "parts.npz"),
        columns=columns,
        target=plan.target,
        task=plan.table_task,
        metric=plan.metric,
        classes=classes,
        rows=len(y),
        dropped_rows=data.dropped,
        development_rows=len(development) + (len(scoring) if is_given else 0),
        heldout_rows=len(heldout),
        is_heldout_given=test is not None,
        fresh_seeds=tuple(fresh_seed(plan.seed, number) for number in range(len(fresh))) if is_given else (),
        has_weights=plan.weights is not None,
        is_ordered=is_ordered,
        notes=tuple(note for part in (data, *(p for _, p in beside)) for note in part.notes),
    )
    (folder / "prepared.json").write_text(prepared.model_dump_json(indent=1), encoding="utf-8")
    return prepared


@dataclass(frozen=True)
class _Part:
    """Rows with a known target, in time order where time matters."""

    frame: pl.DataFrame
    target: pl.Series
    dropped: int
    notes: tuple[str, ...]


def _part(frame: pl.DataFrame, plan: Plan, spellings: set[str], shown: str) -> _Part:
    """`shown` stands before what is noted."""
    notes = []
    target = _readable(frame[plan.target], plan.table_task, spellings)
    has_target = target.is_not_null()
    dropped = len(target) - int(has_target.sum())
    if dropped:
        notes.append(f"{shown}{dropped} of {len(target)} rows have no readable {plan.target!r} and are left out.")
    frame, target = frame.filter(has_target), target.filter(has_target)
    if plan.validation.time is not None:
        moments = frame[plan.validation.time]
        if moments.null_count():
            notes.append(f"{shown}{moments.null_count()} rows without {plan.validation.time!r} count as the oldest.")
        order = moments.arg_sort(nulls_last=False)
        frame, target = frame[order], target[order]
    return _Part(frame, target, dropped, tuple(notes))


def read_prepared_value(folder: Path) -> Prepared:
    """What `prepare` gave for this folder, for an engine that goes on with a run.

    Raises: InputError when the folder holds no prepared table.
    """
    path = folder / "prepared.json"
    if not path.is_file():
        raise InputError("the run holds no prepared table", where=str(folder), cure="Start a new run.")
    return Prepared.model_validate_json(path.read_text(encoding="utf-8"))


def _readable(target: pl.Series, task: Task, spellings: set[str]) -> pl.Series:
    """`target` with null where it is missing; floats for regression."""
    values = target
    if values.dtype == pl.String:
        stripped = values.str.strip_chars()
        missing = stripped.str.to_lowercase().is_in(sorted(spellings | {""})).fill_null(True)
        values = pl.select(pl.when(~missing).then(stripped)).to_series().alias(target.name)
    if values.dtype.is_float():
        values = values.fill_nan(None)
    if task is not Task.REGRESSION:
        return values.cast(pl.String) if values.dtype in (pl.Categorical, pl.Enum) else values
    numbers = values.cast(pl.Float64, strict=False)
    numbers = pl.select(pl.when(numbers.is_finite()).then(numbers)).to_series().alias(target.name)
    unreadable = numbers.null_count() - values.null_count()
    if unreadable > UNREADABLE_RATIO * max(len(values), 1):
        example = values.filter(numbers.is_null() & values.is_not_null())[0]
        raise InputError(
            f"{unreadable} of {len(values)} values of {target.name!r} are no numbers, such as {example!r}",
            where="--target",
            cure="Use --task multiclass, or clean the column.",
        )
    return numbers


def _coded(target: pl.Series, task: Task) -> tuple[npt.NDArray[Any], tuple[Any, ...]]:
    """Codes and their labels, or numbers and no labels. Labels are sorted; of two, the rarer comes second and counts as positive.

    Raises: CannotRunError when the target has one value only or none; InputError when a binary target has more than two.
    """
    if target.n_unique() < 2:
        raise CannotRunError(
            f"{target.name!r} has {target.n_unique()} distinct value(s)", where="--target", cure="Name a column with at least two values."
        )
    if task is Task.REGRESSION:
        return target.to_numpy().astype(np.float64), ()
    labels = target.unique().sort()
    if task is Task.BINARY and len(labels) != 2:
        raise InputError(f"{target.name!r} has {len(labels)} classes, not two", where="--task", cure="Use --task multiclass.")
    if task is Task.BINARY and int((target == labels[0]).sum()) < int((target == labels[1]).sum()):
        labels = labels.reverse()  # the rarer class is the positive one, whatever it is called
    codes = target.to_frame().join(labels.to_frame().with_row_index("code"), on=target.name, how="left", maintain_order="left")["code"]
    return codes.to_numpy().astype(np.int64), tuple(labels.to_list())


def _codes(target: pl.Series, classes: Sequence[Any], task: Task, flag: str) -> npt.NDArray[Any]:
    """The codes that `classes` give the labels, or the numbers themselves.

    Raises: InputError for a label that is none of them.
    """
    if task is Task.REGRESSION:
        return target.to_numpy().astype(np.float64)
    codes = {label: code for code, label in enumerate(classes)}
    unknown = [label for label in target.unique().sort().to_list() if label not in codes]
    if unknown:
        raise InputError(
            f"the data hold no row whose {target.name!r} is {unknown[0]!r}", where=flag, cure="Write the labels as in the data."
        )
    return np.asarray([codes[label] for label in target.to_list()], dtype=np.int64)


def _weights(column: pl.Series) -> pl.Series:
    numbers = column.cast(pl.Float64, strict=False)
    bad = int((numbers.is_null() | ~numbers.is_finite().fill_null(False) | (numbers < 0).fill_null(False)).sum())
    if bad or float(numbers.sum()) <= 0:
        raise InputError(
            f"{bad} weights of {column.name!r} are missing or negative" if bad else f"all weights of {column.name!r} are 0",
            where="--weights",
            cure="Name a column of numbers of at least 0.",
        )
    return numbers


def _check_classes(y: npt.NDArray[Any], classes: tuple[Any, ...], task: Task) -> None:
    if task.is_classification and len(np.unique(y)) < 2:
        raise CannotRunError(
            f"the development rows hold one of {len(classes)} classes only",
            where="validation",
            cure="Bring more rows of the other classes.",
        )
