"""What a column holds, and the same reading applied to new rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from advisor.core.errors import InputError, nearest
from advisor.core.facts import Column, ColumnKind, Task
from advisor.profiling.names import speaks_of_identity, speaks_of_time, speaks_of_year, tokens
from advisor.profiling.printing import listed, printable
from advisor.profiling.spellings import (
    FALSE_WORDS,
    SOFT_NULLS,
    TRUE_WORDS,
    as_booleans,
    as_dates,
    as_numbers,
    date_format,
    is_missing,
)

FEW_VALUES = 20
"""Integers with at most this many distinct values are taken for codes."""
MANY_CATEGORIES = 30
"""A category with more distinct values is of high cardinality: it is not spelled out one column a value."""
STRAY_SHARE = 0.05
"""A column of numbers or dates may hold this share of other spellings, which then count as missing."""
_COMPACT_DAYS = (19_000_101, 20_991_231)
_TEXT_WORDS = 3.0
_TEXT_CHARACTERS = 18.0


def describe(name: str, raw: pl.Series) -> Column:
    """The column's kind, missing share, distinct values and the spellings found for a missing value.

    `raw` is as `read_table` gives it.
    """
    if raw.is_empty():
        return Column(name=name, kind=ColumnKind.CONSTANT, missing_ratio=1.0, note="no rows")
    if raw.dtype == pl.String:
        return _describe_strings(name, raw)
    if raw.dtype == pl.Boolean:
        return _finished(name, ColumnKind.BOOLEAN, raw, raw.null_count())
    if raw.dtype.is_temporal() and raw.dtype not in (pl.Duration, pl.Time):
        return _finished(name, ColumnKind.DATE, raw, raw.null_count())
    if (
        raw.dtype.is_integer()
        and speaks_of_time(name)
        and raw.null_count() < len(raw)
        and raw.drop_nulls().cast(pl.Int64, strict=False).is_between(*_COMPACT_DAYS).all()
    ):
        return _describe_strings(name, raw.cast(pl.String))
    numbers = raw.cast(pl.Float64)
    numbers = pl.select(pl.when(numbers.is_finite()).then(numbers)).to_series()
    return _describe_numbers(name, numbers, numbers.null_count(), ())


def cast(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """`frame` with exactly `columns`, in their order and typed by their kinds.

    Numeric, integer-coded and boolean columns are Float64; categories, texts and constants String; dates Datetime without a
    zone; identifiers Int64 where they are whole numbers, else String. A missing value, however spelled, is null, and so is a
    spelling that was never seen in a column of numbers or dates. Further columns of `frame` are left out.

    Raises: InputError naming every column that `frame` lacks.
    """
    there = frozenset(frame.columns)  # made anew at each call, so that asking it for each column would be quadratic
    absent = [c.name for c in columns if c.name not in there]
    if absent:
        raise InputError(
            f"{len(absent)} column(s) are missing from the table: {listed(absent)}",
            cure=f"Add them under the names they had before. {nearest(absent[0], [printable(c) for c in frame.columns])}",
        )
    return pl.DataFrame([typed(frame[c.name], c) for c in columns]) if columns else frame.select([])


def typed(raw: pl.Series, column: Column) -> pl.Series:
    """One column as `cast` gives it."""
    match column.kind:
        case ColumnKind.NUMERIC | ColumnKind.INTEGER_CODED:
            return numbers_of(raw, column.null_spellings)
        case ColumnKind.BOOLEAN:
            if raw.dtype == pl.String:
                return as_booleans(_stripped(raw, column.null_spellings))
            return raw.cast(pl.Float64, strict=False)
        case ColumnKind.DATE:
            return _dates_of(raw, column)
        case ColumnKind.IDENTIFIER:
            kept = _stripped(_as_strings(raw), column.null_spellings)
            whole = kept.cast(pl.Int64, strict=False)
            return whole if whole.null_count() == kept.null_count() else kept
        case ColumnKind.CATEGORY | ColumnKind.HIGH_CARDINALITY | ColumnKind.TEXT | ColumnKind.CONSTANT:
            return _stripped(_as_strings(raw), column.null_spellings)
        case ColumnKind.IMAGE:
            raise InputError("images are no column of a table", where=printable(column.name), cure="Name a folder or an array of images.")


def numbers_of(raw: pl.Series, spellings: tuple[str, ...] = ()) -> pl.Series:
    """`raw` as Float64; null where it is missing or no finite number."""
    if raw.dtype == pl.String:
        numbers = as_numbers(raw)
        return numbers if numbers.null_count() == raw.null_count() else as_numbers(_stripped(raw, spellings))
    numbers = raw.cast(pl.Float64, strict=False)
    return pl.select(pl.when(numbers.is_finite()).then(numbers)).to_series().alias(raw.name)


def target_values(frame: pl.DataFrame, target: str, task: Task) -> pl.Series:
    """The target: Float64 for regression, class labels as String otherwise; null where it is missing.

    ``-`` and ``None`` may be classes, so only spellings that can mean nothing else count as missing in labels. Labels that are
    whole numbers are written without a point.

    Raises: InputError when the table has no such column.
    """
    if target not in frame.columns:
        known = [printable(c) for c in frame.columns]
        raise InputError(f"The table has no column {printable(target)!r} to predict", cure=nearest(printable(target), known))
    raw = frame[target]
    if task is Task.REGRESSION:
        return numbers_of(raw)
    labels = _as_strings(raw).str.strip_chars()
    return pl.select(pl.when(~is_missing(labels, is_target=True)).then(labels)).to_series().alias(target)


def _as_strings(raw: pl.Series) -> pl.Series:
    if raw.dtype == pl.String:
        return raw
    if raw.dtype.is_float():
        whole = raw.drop_nulls()
        if bool((whole.is_finite() & (whole == whole.floor()) & (whole.abs() < 2**53)).all()):
            return raw.cast(pl.Int64).cast(pl.String)
        return pl.select(pl.when(raw.is_finite()).then(raw.cast(pl.String))).to_series().alias(raw.name)
    return raw.cast(pl.String)


def _stripped(raw: pl.Series, spellings: tuple[str, ...]) -> pl.Series:
    """`raw` without surrounding blanks; null where it is missing."""
    kept = raw.str.strip_chars()
    return pl.select(pl.when(~is_missing(kept, spellings)).then(kept)).to_series().alias(raw.name)


def _dates_of(raw: pl.Series, column: Column) -> pl.Series:
    if raw.dtype == pl.String:
        kept = _stripped(raw, column.null_spellings)
        written = column.date_format or date_format(kept.drop_nulls(), named_like_time=True)[0]
        if not written:
            return pl.Series(raw.name, [None] * len(raw), dtype=pl.Datetime("us"))
        return as_dates(kept, written)
    if raw.dtype.is_temporal():
        plain = raw.cast(pl.Datetime("us")) if raw.dtype == pl.Date else raw
        return plain.dt.replace_time_zone(None).dt.cast_time_unit("us")
    return as_dates(_as_strings(raw), column.date_format) if column.date_format else raw.cast(pl.Datetime("us"))


def _describe_strings(name: str, raw: pl.Series) -> Column:
    values = raw.str.strip_chars()
    numbers = as_numbers(values)
    odd = values.filter(numbers.is_null() & values.is_not_null())
    found: tuple[str, ...] = ()
    strays = odd
    if len(odd):  # most columns of wide tables have none, and each call of polars costs more than a short column
        is_blank = is_missing(odd)
        found, strays = _spellings(odd.filter(is_blank)), odd.filter(~is_blank)
    known = len(numbers) - numbers.null_count()
    if known + len(strays) == 0:
        return Column(name=name, kind=ColumnKind.CONSTANT, missing_ratio=1.0, null_spellings=found, note="every value is missing")
    if known and speaks_of_time(name) and strays.is_empty():
        days = values.filter(numbers.is_not_null())
        written, _ = date_format(days, named_like_time=True)
        if written:
            return _described_dates(name, days, written, len(raw), found, note="")
    if (
        known
        and _are_strays(strays, known + len(strays))
        and not (strays.is_empty() and _are_codes(values.filter(numbers.is_not_null()), name))
    ):
        return _describe_numbers(name, numbers, numbers.null_count(), found + _spellings(strays))
    here = values.filter(~is_missing(values))
    folded = here.str.to_lowercase()
    soft = folded.is_in(sorted(SOFT_NULLS))
    written, is_ambiguous = date_format(here.filter(~soft), named_like_time=speaks_of_time(name))
    if written:
        note = "day and month could be the other way round" if is_ambiguous else ""
        return _described_dates(name, here, written, len(raw), found, note=note)
    words = set(folded.unique().to_list())
    if len(words) == 2 and len(words & TRUE_WORDS) == 1 and len(words & FALSE_WORDS) == 1:
        return _finished(name, ColumnKind.BOOLEAN, here, len(raw) - len(here), found, rows=len(raw))
    return _describe_labels(name, here, len(raw), found)


def _described_dates(name: str, here: pl.Series, written: str, rows: int, found: tuple[str, ...], *, note: str) -> Column:
    dates = as_dates(here, written)
    return Column(
        name=name,
        kind=ColumnKind.DATE,
        missing_ratio=1 - (len(here) - dates.null_count()) / rows,
        distinct=dates.drop_nulls().n_unique(),
        null_spellings=found + _spellings(here.filter(dates.is_null())),
        date_format=written,
        note=note,
    )


def _describe_numbers(name: str, numbers: pl.Series, missing: int, spellings: tuple[str, ...]) -> Column:
    rows = len(numbers)
    here = numbers.drop_nulls()
    distinct = here.n_unique() if len(here) else 0
    if distinct <= 1:
        return _finished(name, _single(distinct, missing, rows), here, missing, spellings, rows=rows)
    is_whole = bool((here == here.floor()).all())
    low, high = _span(here)
    kind = ColumnKind.NUMERIC
    if is_whole and distinct == 2 and (low, high) == (0.0, 1.0):
        kind = ColumnKind.BOOLEAN
    elif is_whole and _is_identity(name, here, distinct, low, high):
        kind = ColumnKind.IDENTIFIER
    elif is_whole and (distinct == 2 or (distinct <= FEW_VALUES and distinct <= len(here) / 5)):
        kind = ColumnKind.INTEGER_CODED
    note = _suspected_code(here, low, is_whole) if kind is ColumnKind.NUMERIC else ""
    return _finished(name, kind, here, missing, spellings, rows=rows, note=note, distinct=distinct)


def _describe_labels(name: str, here: pl.Series, rows: int, spellings: tuple[str, ...]) -> Column:
    distinct = here.n_unique()
    missing = rows - len(here)
    if distinct <= 1:
        return _finished(name, _single(distinct, missing, rows), here, missing, spellings, rows=rows)
    words = float(here.str.count_matches(r"\S+").mean() or 0.0)  # type: ignore[arg-type]
    characters = float(here.str.len_chars().mean() or 0.0)  # type: ignore[arg-type]
    is_unique = distinct == len(here) and distinct > MANY_CATEGORIES
    is_named = speaks_of_identity(name) and distinct > max(MANY_CATEGORIES, 0.5 * len(here))
    if (words >= _TEXT_WORDS and characters >= _TEXT_CHARACTERS and distinct > max(MANY_CATEGORIES, 0.3 * len(here))) or characters > 200:
        kind = ColumnKind.TEXT
    elif is_named or (is_unique and words < 2):
        kind = ColumnKind.IDENTIFIER
    elif distinct <= MANY_CATEGORIES:
        kind = ColumnKind.CATEGORY
    else:
        kind = ColumnKind.HIGH_CARDINALITY
    return _finished(name, kind, here, missing, spellings, rows=rows, distinct=distinct)


def _finished(
    name: str,
    kind: ColumnKind,
    values: pl.Series,
    missing: int,
    spellings: tuple[str, ...] = (),
    *,
    rows: int | None = None,
    note: str = "",
    distinct: int | None = None,
) -> Column:
    total = rows if rows is not None else len(values)
    count = distinct if distinct is not None else values.drop_nulls().n_unique()
    return Column(
        name=name,
        kind=kind,
        missing_ratio=missing / max(total, 1),
        distinct=count,
        null_spellings=tuple(dict.fromkeys(spellings)),
        note=note,
    )


def _single(distinct: int, missing: int, rows: int) -> ColumnKind:
    """A lone value beside missing ones still says something: whether it is there."""
    return ColumnKind.CATEGORY if distinct == 1 and 0.005 <= missing / max(rows, 1) <= 0.995 else ColumnKind.CONSTANT


def _are_strays(strays: pl.Series, total: int) -> bool:
    """True when the few values that are no numbers must be missing ones: one to three spellings, all rare or all known ones."""
    if strays.is_empty():
        return True
    spellings = strays.unique()
    if bool(spellings.str.to_lowercase().is_in(sorted(SOFT_NULLS)).all()):
        return len(strays) < 0.9 * total
    return len(spellings) <= 3 and len(strays) <= STRAY_SHARE * total


def _are_codes(here: pl.Series, name: str) -> bool:
    """True for digits that are no quantity: all of one length, and some begin with 0."""
    lengths = here.str.len_bytes()
    if lengths[0] < 2 or lengths.min() != lengths.max() or speaks_of_time(name):
        return False
    return bool(here.str.contains(r"^0\d+$").any()) and bool(here.str.contains(r"^\d+$").all())


def _is_identity(name: str, here: pl.Series, distinct: int, low: float, high: float) -> bool:
    """True for whole numbers that name a row or a thing instead of measuring it.

    Either the name says so and most values differ, or every row has its own and they fill their range like a row number.
    """
    many = len(here)
    if many < 20 or (speaks_of_year(name) and low >= 1000 and high <= 2999):
        return False
    is_counter = distinct == many and (high - low + 1) <= 1.1 * many
    if is_counter:
        years = low >= 1500 and high <= 2200
        return not years or speaks_of_identity(name)
    return speaks_of_identity(name) and distinct > 0.5 * many and low >= 0


def _suspected_code(here: pl.Series, low: float, is_whole: bool) -> str:
    """What to say of a value that stands apart from all others and repeats, as a code for a missing value does; empty when none.

    Source: the rule of thumb that a code lies at an end of the range, repeats, and leaves a gap much wider than the values nearest to it
    leave between them.
    """
    counts = here.value_counts(sort=True)
    values, times = counts.columns
    order = counts.sort(values)
    ordered, often = order[values].to_list(), order[times].to_list()
    if len(ordered) < 10:
        return ""
    rows = len(here)
    middle = float(here.quantile(0.95) or 0.0) - float(here.quantile(0.05) or 0.0)
    for value, count, others in ((ordered[0], often[0], ordered[1:11]), (ordered[-1], often[-1], ordered[-2:-12:-1])):
        share = count / rows
        if count < 2 or share < 0.0001 or share > 0.9:
            continue
        gap = abs(others[0] - value)
        steps = sorted(abs(b - a) for a, b in pairwise(others))
        spacing = steps[len(steps) // 2] if steps else 0.0
        is_zero = value == 0 and low >= 0 and gap >= 5 * spacing and gap >= 0.1 * abs(float(here.filter(here != 0).median() or 0.0))  # type: ignore[arg-type]
        is_nines = is_whole_code(value) and gap >= max(5 * spacing, 0.3 * middle)
        is_minus = value in (-1.0, -9.0) and others[0] >= 0 and is_whole
        is_apart = count >= max(3, 0.001 * rows) and gap > max(10 * spacing, middle) and count > 3 * _median_count(often)
        if is_zero or is_nines or is_minus or is_apart:
            return f"{value:g} may stand for a missing value: {count} of {rows} rows, apart from all others"
    return ""


def is_whole_code(value: float) -> bool:
    """True for the usual codes made of nines: 99, 999, −99, −9999 …"""
    digits = str(int(abs(value))) if value == int(value) else ""
    return len(digits) >= 2 and set(digits) == {"9"}


def _median_count(often: list[int]) -> float:
    return float(sorted(often)[len(often) // 2])


def _span(here: pl.Series) -> tuple[float, float]:
    low: Any = here.min()
    high: Any = here.max()
    return float(low), float(high)


def _spellings(values: pl.Series) -> tuple[str, ...]:
    return tuple(sorted(v for v in values.drop_nulls().unique().to_list() if v))[:8]


def names_like(name: str, words: frozenset[str]) -> bool:
    """True when a word of the name is among `words`."""
    return bool(set(tokens(name)) & words)
