"""How people write a missing value, yes and no, numbers and dates."""

from __future__ import annotations

import polars as pl

FIRM_NULLS = frozenset(
    {"", "?", "na", "n/a", "#n/a", "#na", "nan", "-nan", "null", "<na>", "(null)", "#null!", "nat", "n.a.", "#value!", "#div/0!"}
)
"""Lower-case spellings that mean a missing value in any column."""
EXACT_NULLS = frozenset({"None", "-", "--", "---", ".", "..", "—", "–"})
"""Spellings, case kept, that mean a missing value in any feature, but may be a class of a target."""
SOFT_NULLS = frozenset(
    {"none", "nil", "missing", "unknown", "unk", "undefined", "not available", "no data", "x", "*", "tbd", "not applicable"}
)
"""Lower-case spellings that mean a missing value only where everything else is a number or a date."""

TRUE_WORDS = frozenset({"true", "t", "yes", "y", "on", "1", "1.0"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "off", "0", "0.0"})
"""Lower-case spellings of yes and no; a column of one pair is boolean."""

_ISO_DAY = r"^\d{4}-\d{1,2}-\d{1,2}$"
_GROUPED = r"^[+-]?\s?[$€£¥]?\s?\d{1,3}(,\d{3})+(\.\d+)?\s?%?$"
_DRESSED = r"^[+-]?\s?[$€£¥]?\s?[+-]?(\d+\.?\d*|\.\d+)\s?%?$"

DATE_FORMATS = tuple(
    day + time
    for time in (
        "",
        " %H:%M:%S",
        " %H:%M",
        "T%H:%M:%S",
        "T%H:%M",
        " %H:%M:%S%.f",
        "T%H:%M:%S%.f",
        "T%H:%M:%S%#z",
        "T%H:%M:%S%.f%#z",
        " %H:%M:%S%#z",
        " %H:%M:%S%.f%#z",
        " %I:%M:%S %p",
        " %I:%M %p",
    )
    for day in (
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d.%m.%Y",
        "%d-%m-%Y",
        "%m-%d-%Y",
        "%d/%m/%y",
        "%m/%d/%y",
        "%d-%b-%Y",
        "%d-%b-%y",
        "%d %b %Y",
        "%b %d, %Y",
        "%d %B %Y",
        "%B %d, %Y",
        "%Y.%m.%d",
    )
)
"""Formats tried, the most explicit first; where day and month cannot be told apart both parse and the order of the rows decides."""
MONTH_FORMATS = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%y", "%b-%Y")
"""Formats without a day; the first of the month is meant."""
COMPACT_FORMATS = ("%Y%m%d", "%Y%m%d%H%M%S", "%Y%m%d%H%M")
"""Formats that look like a number; tried only where the name speaks of time."""


def is_missing(values: pl.Series, spellings: tuple[str, ...] = (), *, is_target: bool = False) -> pl.Series:
    """A boolean series, true where the stripped string is a missing value or one of `spellings`."""
    # Values repeat, so only the different ones are looked at.
    seen = values.unique()
    folded = seen.str.to_lowercase()
    means_nothing = folded.is_in(sorted(FIRM_NULLS))
    if not is_target:
        means_nothing |= seen.is_in(sorted(EXACT_NULLS))
    if spellings:
        means_nothing |= seen.is_in(list(spellings))
    found = seen.filter(means_nothing.fill_null(False))
    return values.is_null() | values.is_in(found.to_list()).fill_null(False) if len(found) else values.is_null()


def as_numbers(values: pl.Series) -> pl.Series:
    """`values` as floats; null where the string is no finite number.

    ``1e5``, ``+3``, ``1,234.5``, ``$12`` and ``12 %`` are numbers, the last one 12.
    """
    plain = values.cast(pl.Float64, strict=False)
    if plain.null_count() > values.null_count():
        odd = values.filter(plain.is_null() & values.is_not_null()).unique()
        dressed = odd.filter(odd.str.contains(_GROUPED) | odd.str.contains(_DRESSED))
        if len(dressed):
            numbers = dressed.str.replace_all(r"[$€£¥%,\s]", "").cast(pl.Float64, strict=False)
            undressed = values.replace_strict(dressed, numbers, default=None, return_dtype=pl.Float64)
            plain = pl.select(pl.coalesce(plain, undressed)).to_series()
    finite = pl.select(pl.when(plain.is_finite()).then(plain)).to_series()
    return finite.alias(values.name)


def as_booleans(values: pl.Series) -> pl.Series:
    """`values` as 1.0 and 0.0; null where the string is no word for yes or no."""
    folded = values.str.to_lowercase()
    yes, no = folded.is_in(sorted(TRUE_WORDS)), folded.is_in(sorted(FALSE_WORDS))
    return pl.select(pl.when(yes).then(1.0).when(no).then(0.0).otherwise(None).cast(pl.Float64)).to_series().alias(values.name)


def as_dates(values: pl.Series, written: str) -> pl.Series:
    """`values` as Datetime in microseconds without a zone (UTC where one was written); null where the string is no date of this format."""
    texts, form = values, written
    if written in MONTH_FORMATS:
        texts, form = values + " 01", f"{written} %d"
    if not any(part in form for part in ("%H", "%I")):
        return texts.str.to_date(form, strict=False, exact=True).cast(pl.Datetime("us")).alias(values.name)
    parsed = texts.str.to_datetime(form, strict=False, exact=True, time_unit="us", time_zone="UTC" if "%#z" in form else None)
    return parsed.dt.replace_time_zone(None).alias(values.name)


def date_format(values: pl.Series, *, named_like_time: bool) -> tuple[str, bool]:
    """The format in which at least 95 % of `values` are dates, and whether another order of day and month fits as well.

    `values` are stripped strings, none missing.

    ``("", False)`` when there is none.
    """
    probe = values.unique(maintain_order=True).head(200)
    if probe.is_empty() or (probe.str.len_chars() > 40).any() or not probe.head(20).str.contains(r"\d").all():
        return "", False
    looks_written = probe.str.contains(r"\d[-/.: ]|[A-Za-z]{3}").mean()
    formats = (*DATE_FORMATS, *MONTH_FORMATS) if isinstance(looks_written, float) and looks_written > 0.9 else ()
    if named_like_time and probe.str.contains(r"^(19|20)\d{6}(\d{4}|\d{6})?$").all():
        formats = COMPACT_FORMATS
    # A handful of values rules most formats out.
    few = probe.head(8)
    fitting = [f for f in formats if _share(few, f) >= 0.5 and _share(probe, f) >= 0.95 and _share(values, f) >= 0.95]
    if not fitting:
        return "", False
    best = max(fitting, key=lambda f: (_share(values, f), _order(as_dates(values, f))))
    rivals = [f for f in fitting if f != best and sorted(f) == sorted(best) and _share(values, f) == _share(values, best)]
    return best, bool(rivals)


def _share(values: pl.Series, written: str) -> float:
    parsed = as_dates(values, written)
    plausible = parsed.drop_nulls().dt.year().is_between(1000, 2999).sum() if len(parsed) else 0
    return float(plausible) / max(len(values), 1)


def _order(dates: pl.Series) -> float:
    """How nearly the dates rise or fall with the rows, 0.5..1: the right order of day and month makes a log rise."""
    steps = dates.cast(pl.Int64).diff().drop_nulls()
    rising = float((steps >= 0).mean() or 0.0)  # type: ignore[arg-type]
    return max(rising, 1 - rising)
