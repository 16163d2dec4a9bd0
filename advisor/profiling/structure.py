"""What ties the rows together: repeated things, time, order, pictures, duplicates, and how many directions the numbers have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt

import numpy as np
import polars as pl

from advisor.core.facts import Column, ColumnKind, Suspicion, Unknown
from advisor.profiling.names import speaks_of_entity, speaks_of_identity, speaks_of_time, time_part
from advisor.profiling.printing import listed

NUMBER_KINDS = frozenset({ColumnKind.NUMERIC, ColumnKind.INTEGER_CODED, ColumnKind.BOOLEAN})
LABEL_KINDS = frozenset({ColumnKind.CATEGORY, ColumnKind.HIGH_CARDINALITY})
ONE_HOT_CAP = 30
DATE_PARTS = 4
TEXT_PARTS = 30
"""Features that a category, a date and a text become at most. Source: our pipelines' order of size."""
STEADY = 0.95
"""A column belongs to a group when it has one value in at least this share of the groups."""
_PARTS = ("year", "quarter", "month", "week", "day", "hour", "minute")


def constant_within(frame: pl.DataFrame, name: str, columns: Sequence[Column]) -> list[str]:
    """The columns that hold one value within each value of `name`, though they vary over the table.

    Only columns for which that is no accident: at least three values, none of them in more than nine rows of ten, and not one a row.
    """
    others = [
        c.name
        for c in columns
        if c.name != name and c.kind in NUMBER_KINDS | LABEL_KINDS and isinstance(c.distinct, int) and c.distinct >= 3
    ]
    if not others:
        return []
    repeated = frame.filter(pl.col(name).is_not_null() & (pl.len().over(name) > 1))
    if repeated.height < 10:
        return []
    # A few slips are forgiven: a school with two classes, a patient whose sex was typed wrongly once.
    spread = repeated.group_by(name).agg(pl.col(others).n_unique()).select((pl.col(others) == 1).mean()).row(0, named=True)
    fixed = [n for n, share in spread.items() if share >= STEADY]
    if not fixed:
        return []
    common = {n: float(repeated[n].value_counts(sort=True)["count"][0]) / repeated.height for n in fixed}
    return [n for n in fixed if common[n] < 0.9 and repeated[n].n_unique() < 0.9 * repeated.height]


def group_candidates(frame: pl.DataFrame, columns: Sequence[Column]) -> tuple[Suspicion, ...]:
    """Columns that seem to name a thing with several rows, best first.

    Strong evidence: other columns stay the same within each of its values. Weaker: its name, and many values each repeated.
    """
    found: list[tuple[float, int, Suspicion]] = []
    for place, column in enumerate(columns):
        if column.kind not in {
            ColumnKind.NUMERIC,
            ColumnKind.INTEGER_CODED,
            ColumnKind.CATEGORY,
            ColumnKind.HIGH_CARDINALITY,
            ColumnKind.IDENTIFIER,
        }:
            continue
        values = frame[column.name].drop_nulls()
        if values.is_empty() or time_part(column.name) or (values.dtype.is_float() and not bool((values == values.floor()).all())):
            continue
        distinct = values.n_unique()
        is_named = speaks_of_entity(column.name)
        is_identity = speaks_of_identity(column.name)
        many = distinct >= (5 if is_named or is_identity else 12)
        if not many or distinct > 0.8 * len(values):
            continue
        repeats = len(values) / distinct
        shared = float(values.is_duplicated().mean() or 0.0)  # type: ignore[arg-type]
        fixed = constant_within(frame, column.name, columns) if shared > 0.3 else []
        score = 0.35 * is_named + 0.35 * is_identity + min(0.6, 0.15 * len(fixed)) * (1.0 if shared > 0.6 else 0.5)
        if column.kind is ColumnKind.HIGH_CARDINALITY and not fixed:
            score -= 0.15
        if column.kind is ColumnKind.CATEGORY and not (is_named or is_identity):
            score -= 0.2
        if score < 0.3 or (repeats < 1.5 and len(fixed) < 2) or (not fixed and repeats > 0.2 * len(values)):
            continue
        reason = f"{distinct} values in {len(values)} rows"
        reason += (
            f"; {len(fixed)} other column(s) never change within one of them ({listed(fixed, 3)})"
            if fixed
            else "; its name speaks of a thing that repeats"
        )
        confidence = min(0.95, score)
        found.append(
            (
                -confidence - 0.04 * (is_named or is_identity),
                place,
                Suspicion(column=column.name, confidence=round(confidence, 2), reason=reason),
            )
        )
    return tuple(s for _, _, s in sorted(found, key=lambda f: f[:2])[:5])


def time_candidates(frame: pl.DataFrame, columns: Sequence[Column]) -> tuple[tuple[Suspicion, ...], bool | Unknown]:
    """Columns that seem to order the rows in time, best first, and whether the rows stand in the order of the best.

    Dates; a year, with the columns that refine it; a row number along such parts; a number named like time that never falls.
    """
    found: list[Suspicion] = []
    is_sorted: list[bool] = []

    def add(name: str, confidence: float, reason: str, in_order: bool) -> None:
        found.append(Suspicion(column=name, confidence=confidence, reason=reason))
        is_sorted.append(in_order)

    parts: dict[str, str] = {}
    for column in columns:
        part = time_part(column.name)
        if part and part not in parts and _numbers(frame[column.name]).size:
            parts[part] = column.name
    chain = [parts[p] for p in _PARTS if p in parts]
    if "year" in parts and _is_year(frame[parts["year"]]):
        moment = _moments(frame, chain)
        in_order = _rises(moment)
        counter = next(
            (
                c.name
                for c in columns
                if c.kind is ColumnKind.IDENTIFIER and frame[c.name].dtype.is_integer() and _rises(frame[c.name].to_numpy())
            ),
            None,
        )
        if counter and in_order and len(chain) > 1:
            add(counter, 0.85, f"a row number that rises with {listed(chain)}", True)
        coarsest = next((n for n in chain if frame[n].n_unique() > 1), parts["year"])
        add(coarsest, 0.8 if len(chain) > 1 else 0.5, f"{listed(chain)} name a moment", in_order)
    for column in columns:
        values = frame[column.name]
        if column.kind is ColumnKind.DATE:
            in_order = _rises(values.cast(pl.Int64).to_numpy())
            speaks = speaks_of_time(column.name)
            birth = any(w in column.name.lower() for w in ("birth", "dob", "born"))
            confidence = 0.3 if birth else 0.9 if in_order else 0.75 if speaks else 0.6
            add(column.name, confidence, f"dates{', in the order of the rows' if in_order else ''}", in_order)
        elif (
            column.name not in chain
            and column.kind in {ColumnKind.NUMERIC, ColumnKind.IDENTIFIER}
            and speaks_of_time(column.name)
            and values.dtype.is_numeric()
        ):
            in_order = _rises(values.to_numpy())
            if in_order and values.n_unique() > 10:
                add(column.name, 0.7, "named like time, and never falls from row to row", True)
    order = sorted(range(len(found)), key=lambda i: -found[i].confidence)
    if not order:
        return (), False
    return tuple(found[i] for i in order[:5]), is_sorted[order[0]]


def is_in_order(values: pl.Series) -> bool:
    """True when the values, missing ones apart, hardly ever fall from row to row, or hardly ever rise, and are not all one."""
    if values.dtype == pl.String:
        known = values.drop_nulls()
        changes = int((known != known.shift(1)).sum() or 0)
        classes = known.n_unique()
        return len(known) >= 20 and classes > 1 and changes <= max(classes - 1, 0.002 * len(known))
    numbers = values.cast(pl.Float64).drop_nulls().to_numpy()
    steps = np.diff(numbers)
    moving = steps[steps != 0]
    if len(numbers) < 20 or not moving.size:
        return False
    return min(int((moving < 0).sum()), int((moving > 0).sum())) <= 0.01 * len(moving)


def pixel_columns(columns: Sequence[Column]) -> list[str]:
    """The columns that could be pixels: numbers, and those that never vary, as the corners of pictures do."""
    return [c.name for c in columns if c.kind in NUMBER_KINDS or (c.kind is ColumnKind.CONSTANT and c.missing_ratio == 0)]


def image_side(frame: pl.DataFrame, columns: Sequence[Column]) -> int:
    """Side of the square picture that the columns seem to hold, 0 when they do not.

    A square number of whole, non-negative columns of one range, whose neighbours resemble each other more than strangers do.
    """
    names = pixel_columns(columns)
    side = isqrt(len(names))
    if side < 5 or side * side != len(names) or len(names) < 0.9 * len(columns):
        return 0
    rows = frame.select(pl.col(names).cast(pl.Float64, strict=False)).head(3000).to_numpy().astype(np.float64)
    if not np.isfinite(rows).all() or rows.min() < 0 or (rows != np.floor(rows)).any():
        return 0
    tops = rows.max(axis=0)
    if tops.max() < 1 or np.mean(tops >= 0.5 * tops.max()) < 0.4:
        return 0
    spread = rows.std(axis=0)
    lively = spread > 0
    z = np.where(lively, (rows - rows.mean(axis=0)) / np.where(lively, spread, 1), 0)
    correlation = np.abs(z.T @ z) / len(rows)
    grid = np.arange(side * side).reshape(side, side)
    pairs = [
        (a, b)
        for a, b in [*zip(grid[:, :-1].flat, grid[:, 1:].flat, strict=True), *zip(grid[:-1].flat, grid[1:].flat, strict=True)]
        if lively[a] and lively[b]
    ]
    if len(pairs) < side:
        return 0
    near = float(np.mean([correlation[a, b] for a, b in pairs]))
    alive = correlation[np.ix_(lively, lively)]
    far = float((alive.sum() - np.trace(alive)) / max(alive.size - len(alive), 1))
    return side if near > 1.25 * far + 0.05 else 0


def effective_dimensions(matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> int | Unknown:
    """Principal components that hold 95 % of the variance of `matrix` (rows, features), standardised; 0 without a varying column."""
    if matrix.shape[1] == 0:
        return 0
    if matrix.shape[0] < 3:
        return Unknown(reason="fewer than three rows", cure="Give more rows.")
    if matrix.shape[1] > 1500:
        return Unknown(
            reason=f"{matrix.shape[1]} numeric columns are too many to decompose quickly", cure="Nothing: the rules do without it."
        )
    centred = matrix - matrix.mean(axis=0)
    # The eigenvalues of the smaller product are the squared singular values, several times quicker than a decomposition.
    product = centred.T @ centred if matrix.shape[1] <= matrix.shape[0] else centred @ centred.T
    spread = np.maximum(np.linalg.eigvalsh(product)[::-1], 0.0)
    total = float(spread.sum())
    return int(np.searchsorted(np.cumsum(spread), 0.95 * total) + 1) if total > 0 else 0


def standardised(frame: pl.DataFrame, names: Sequence[str], rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(rows, features) of at most `rows` rows: each column centred, of variance 1, missing values at the mean; constants left out."""
    step = max(1, frame.height // rows)
    numbers = (
        frame.select(pl.col(list(names)).cast(pl.Float64)).gather_every(step).to_numpy().astype(np.float64)
        if names
        else np.zeros((frame.height, 0))
    )
    if numbers.shape[1] == 0:
        return numbers
    known = np.isfinite(numbers)
    counts = np.maximum(known.sum(axis=0), 1)
    biggest = np.maximum(np.abs(np.where(known, numbers, 0)).max(axis=0), 1e-300)
    scaled = np.where(known, numbers / biggest, 0)
    centred = np.where(known, scaled - scaled.sum(axis=0) / counts, 0)
    spread = np.sqrt((centred**2).sum(axis=0) / counts)
    lively = spread > 1e-12
    result: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = centred[:, lively] / spread[lively]
    return result


def duplicate_ratio(frame: pl.DataFrame, columns: Mapping[str, Column]) -> float:
    """Share of rows that repeat an earlier row, identifiers apart, 0..1."""
    kept = [n for n in frame.columns if n not in columns or columns[n].kind is not ColumnKind.IDENTIFIER]
    if not kept or not frame.height:
        return 0.0
    return 1.0 - frame.select(kept).hash_rows(seed=1).n_unique() / frame.height


def width_of(columns: Sequence[Column]) -> int:
    """Features after the usual encoding of `columns`."""
    total = 0
    for column in columns:
        match column.kind:
            case ColumnKind.CATEGORY | ColumnKind.HIGH_CARDINALITY:
                total += min(column.distinct, ONE_HOT_CAP) if isinstance(column.distinct, int) else ONE_HOT_CAP
            case ColumnKind.DATE:
                total += DATE_PARTS
            case ColumnKind.TEXT:
                total += TEXT_PARTS
            case ColumnKind.NUMERIC | ColumnKind.INTEGER_CODED | ColumnKind.BOOLEAN:
                total += 1
            case ColumnKind.CONSTANT | ColumnKind.IDENTIFIER:
                pass
    return total


def _is_year(values: pl.Series) -> bool:
    numbers = values.drop_nulls().cast(pl.Float64, strict=False).drop_nulls()
    if numbers.is_empty():
        return False
    low, high = float(numbers.min()), float(numbers.max())  # type: ignore[arg-type]
    return (low >= 1000 and high <= 2999) or (low >= 0 and high <= 99)


def _moments(frame: pl.DataFrame, chain: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    moment = np.zeros(frame.height)
    for name in chain:
        moment = moment * 100 + frame[name].cast(pl.Float64, strict=False).to_numpy().astype(np.float64)
    return moment


def _numbers(values: pl.Series) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The values that are numbers; a year that never changes is typed as a constant, and still a number."""
    if values.dtype.is_temporal():
        return np.zeros(0)
    return values.cast(pl.Float64, strict=False).drop_nulls().to_numpy().astype(np.float64)


def _rises(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bool:
    """True when hardly any step falls; a log may hold a few late entries."""
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) < 3:
        return False
    steps = np.diff(numbers)
    return bool((steps > 0).any()) and float((steps < 0).mean()) <= 0.005
