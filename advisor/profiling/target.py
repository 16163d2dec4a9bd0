"""Which column is predicted, and whether it is a class or a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
import polars as pl

from advisor.core.errors import InputError
from advisor.core.facts import Column, ColumnKind, Suspicion, Task
from advisor.profiling.association import aim_at, jointly_explained
from advisor.profiling.columns import FEW_VALUES, numbers_of, target_values
from advisor.profiling.names import (
    SUBJECT_WORDS,
    VAGUE_WORDS,
    came_after,
    is_named_target,
    speaks_of_entity,
    speaks_of_identity,
    time_part,
    tokens,
)
from advisor.profiling.printing import printable
from advisor.profiling.structure import NUMBER_KINDS, standardised

MOST_CLASSES = 100
"""A number with more distinct values cannot be taken for a class."""
_LABELS = {ColumnKind.CATEGORY, ColumnKind.BOOLEAN, ColumnKind.INTEGER_CODED}
_NEVER = {ColumnKind.IDENTIFIER, ColumnKind.DATE, ColumnKind.CONSTANT, ColumnKind.TEXT}
_CONSIDERED = 8


@dataclass(frozen=True)
class Guess:
    """The most likely target."""

    name: str
    confidence: float
    """0..1"""
    others: tuple[Suspicion, ...]
    """Further candidates, best first."""


def guess_target(frame: pl.DataFrame, columns: Sequence[Column], *, fixed_in_groups: frozenset[str] = frozenset()) -> Guess | None:
    """The column of the typed `frame` that is most likely to be predicted; None when none could be.

    Each sign adds to a column's score: its name, standing last or first after the keys, being a class, being complete, being predictable
    from the others. Identifiers, dates, constants and texts are out; what is fixed within a group, or names a moment, loses. The confidence
    is the softmax of the scores. Source: our choice, weights by hand, names from general use.
    """
    eligible = [c for c in columns if c.kind not in _NEVER and not (c.kind is ColumnKind.HIGH_CARDINALITY and not is_named_target(c.name))]
    if not eligible:
        return None
    order = _order(columns)
    scores: dict[str, float] = {}
    signs: dict[str, list[str]] = {}
    for column in eligible:
        scores[column.name], signs[column.name] = _score(column, order, fixed_in_groups)
    best = sorted(scores, key=lambda n: (-scores[n], -order.places[n]))[:_CONSIDERED]
    if frame.height >= 50:
        by_name = {c.name: c for c in columns}
        for name in best:
            share = _predictable(frame, by_name[name], columns)
            scores[name] += 0.5 * share
            if share > 0.1:
                signs[name].append(f"the other numbers explain {share:.0%} of it")
    best.sort(key=lambda n: (-scores[n], -order.places[n]))
    weight = {n: exp(2.0 * (scores[n] - scores[best[0]])) for n in best}
    total = sum(weight.values())
    # With few signs even a clear winner is a guess: the top score itself bounds the confidence.
    certainty = 1 / (1 + exp(-1.5 * (scores[best[0]] - 0.6)))
    others = tuple(
        Suspicion(
            column=n, confidence=round(min(0.99, weight[n] / total * certainty), 2), reason="; ".join(signs[n]) or "no sign against it"
        )
        for n in best[1:5]
    )
    return Guess(name=best[0], confidence=round(min(0.99, certainty / total), 2), others=others)


def task_of(raw: pl.Series, target: str, wanted: Task | None) -> Task:
    """What kind of target `raw` is, or `wanted` when that is possible.

    Text is a class. Whole numbers are classes when at most ten differ (twenty when they are about equally frequent), each in several rows;
    two different values are always two classes. All others are numbers.

    Raises: InputError for a target without values, with one value, with as many classes as rows, for dates, and when `wanted` cannot be.
    """
    shown = printable(target)
    labels = target_values(pl.DataFrame([raw.alias(target)]), target, Task.MULTICLASS).drop_nulls()
    if labels.is_empty():
        raise InputError(f"Every value of the target {shown!r} is missing", where="--target", cure="Name another column.")
    if raw.dtype.is_temporal():
        raise InputError(f"The target {shown!r} holds dates", where="--target", cure="Name a column that holds a class or a number.")
    distinct = labels.n_unique()
    if distinct == 1:
        raise InputError(
            f"The target {shown!r} has one value only, {printable(labels[0], 30)!r}",
            where=f"{len(labels)} rows",
            cure="Name another column, or add rows of another kind.",
        )
    numbers = numbers_of(raw).drop_nulls()
    infinite = infinite_count(raw)
    is_number = len(numbers) + infinite >= 0.99 * len(labels) and raw.dtype != pl.Boolean
    guessed = _guessed_task(numbers, is_number, numbers.n_unique() if infinite else distinct, len(labels))
    if infinite and (wanted or guessed).is_classification:
        raise InputError(
            f"The target {shown!r} holds numbers of which {infinite} {'is' if infinite == 1 else 'are'} infinite (inf)",
            where=f"{len(labels)} rows",
            cure="Correct the value or remove its row." if infinite == 1 else "Correct the values or remove their rows.",
        )
    match wanted:
        case None:
            if guessed.is_classification and distinct > max(MOST_CLASSES, 0.5 * len(labels)):
                raise InputError(
                    f"The target {shown!r} has {distinct} different texts in {len(labels)} rows",
                    where="--target",
                    cure="Name a column with few classes, or with numbers.",
                )
            return guessed
        case Task.REGRESSION:
            if not is_number:
                example = printable(
                    labels.filter(numbers_of(labels).is_null()).head(1).to_list()[0] if raw.dtype == pl.String else labels[0], 30
                )
                raise InputError(
                    f"The target {shown!r} holds texts such as {example!r}, so it is no number",
                    where="--task regression",
                    cure=f"Use --task {guessed}.",
                )
            return wanted
        case Task.BINARY:
            if distinct != 2:
                raise InputError(
                    f"The target {shown!r} has {distinct} classes, not two", where="--task binary", cure=f"Use --task {guessed}."
                )
            return wanted
        case Task.MULTICLASS:
            if distinct == 2:
                raise InputError(f"The target {shown!r} has two classes", where="--task multiclass", cure="Use --task binary.")
            if distinct > max(MOST_CLASSES, 0.1 * len(labels)) and (is_number or distinct > 0.5 * len(labels)):
                raise InputError(
                    f"The target {shown!r} has {distinct} different values in {len(labels)} rows",
                    where="--task multiclass",
                    cure="Use --task regression." if is_number else "Name a column with fewer classes.",
                )
            return wanted


def infinite_count(raw: pl.Series) -> int:
    """How many values of the target `raw` are infinite among numbers; 0 where they may be words, as in a column of words.

    Numbers are told from words by their share: all but 1 % of the values are numbers, and at most 10 % are infinite. Source: our choice.
    """
    if raw.dtype != pl.String and not raw.dtype.is_float():
        return 0
    infinite = int(raw.cast(pl.Float64, strict=False).is_infinite().sum())
    if not infinite:
        return 0
    known, finite = raw.drop_nulls().len(), numbers_of(raw).drop_nulls().len()
    return infinite if infinite <= 0.1 * known and infinite + finite >= 0.99 * known else 0


def has_heavy_tail(numbers: pl.Series) -> bool:
    """True for excess kurtosis above 10, or a positive target that spans three decades with skewness above 2.

    Source: our choice; a normal sample has 0 and 0, an exponential one 6 and 2.
    """
    values = numbers.drop_nulls().to_numpy().astype(np.float64)
    if len(values) < 20:
        return False
    spread = float(np.abs(values - values.mean()).max())
    z = (values - values.mean()) / spread if spread else values * 0
    variance = float((z**2).mean())
    if variance == 0:
        return False
    kurtosis = float((z**4).mean()) / variance**2 - 3
    skewness = float((z**3).mean()) / variance**1.5
    low, high = np.quantile(values, [0.01, 0.99])
    return kurtosis > 10 or (low > 0 and high / low > 1000 and skewness > 2)


def _guessed_task(numbers: pl.Series, is_number: bool, distinct: int, rows: int) -> Task:
    if distinct == 2:
        return Task.BINARY
    if not is_number:
        return Task.MULTICLASS
    is_whole = bool((numbers == numbers.floor()).all())
    if not is_whole or distinct > FEW_VALUES or rows < 5 * distinct:
        return Task.REGRESSION
    low, high = float(numbers.min()), float(numbers.max())  # type: ignore[arg-type]
    if distinct <= 10:
        # Far-apart values such as 0, 250 and 1000 are amounts; neighbouring ones are grades or codes.
        return Task.MULTICLASS if high - low < 4 * distinct or rows >= 50 * distinct else Task.REGRESSION
    shares = numbers.value_counts()["count"].to_numpy() / len(numbers)
    evenness = float(-(shares * np.log(shares)).sum()) / log(distinct)
    return Task.MULTICLASS if evenness >= 0.85 and high - low + 1 == distinct else Task.REGRESSION


@dataclass(frozen=True, slots=True)
class _Order:
    """What a score asks about the columns beside its own, found once for all of them."""

    places: dict[str, int]
    """Name to position."""
    folded: frozenset[str]
    """Names in lower case."""
    first: int
    """Position of the first column but keys and moments; the number of columns when there is none."""
    last: int
    """Position of the last one; -1 when there is none."""
    is_time_led: bool
    """True when a date or a year stands among the first three."""


def _order(columns: Sequence[Column]) -> _Order:
    payload = [
        place
        for place, c in enumerate(columns)
        if c.kind not in _NEVER and not time_part(c.name) and not (speaks_of_identity(c.name) or speaks_of_entity(c.name))
    ]
    return _Order(
        places={c.name: place for place, c in enumerate(columns)},
        folded=frozenset(c.name.strip().lower() for c in columns),
        first=payload[0] if payload else len(columns),
        last=payload[-1] if payload else -1,
        is_time_led=any(c.kind is ColumnKind.DATE or time_part(c.name) == "year" for c in columns[:3]),
    )


def _score(column: Column, order: _Order, fixed: frozenset[str]) -> tuple[float, list[str]]:
    score, signs = 0.0, []
    name, words = column.name, tokens(column.name)
    place = order.places[name]

    def add(points: float, sign: str) -> None:
        nonlocal score
        score += points
        if points > 0:
            signs.append(sign)

    if name.strip().lower() == "y":
        add(0.0 if {"x", "z"} <= order.folded else 2.5, "its name")
    elif is_named_target(name):
        add(3.0, "its name")
    elif words and set(words) & SUBJECT_WORDS:
        add(2.0 if len(words) == 1 else 1.6 if words[-1] in SUBJECT_WORDS else 0.9, "its name")
    elif came_after(name, order.places):
        add(1.6, "its name speaks of what came after")
    elif _ends_in_subject(words):
        add(0.8, "its name")
    elif words and words[-1] in VAGUE_WORDS:
        add(0.6, "its name")
    if place == len(order.places) - 1:
        add(1.5, "the last column")
    elif place >= order.last:
        add(0.8, "the last column but keys and moments")
    if place <= order.first:
        add(1.5 if order.is_time_led else 0.5, "the first column after the keys" if order.is_time_led else "the first column")
    score += 0.2 * place / max(len(order.places) - 1, 1)
    if column.kind in _LABELS:
        distinct = column.distinct if isinstance(column.distinct, int) else FEW_VALUES
        add(0.5 if distinct == 2 else 0.3, f"{distinct} classes")
    score -= 0.5 * (column.missing_ratio > 0) + 0.8 * (column.missing_ratio > 0.05)
    score -= 1.5 * (name in fixed) + 1.5 * (time_part(name) is not None) + 1.0 * speaks_of_identity(name)
    score -= 0.5 * (speaks_of_entity(name) and not is_named_target(name))
    return score, signs


def _ends_in_subject(words: tuple[str, ...]) -> bool:
    """True for compounds such as ``saleprice``: a long word for what people want to know ends the last word of the name."""
    return bool(words) and any(len(w) >= 5 and words[-1].endswith(w) and words[-1] != w for w in SUBJECT_WORDS)


def _predictable(frame: pl.DataFrame, column: Column, columns: Sequence[Column]) -> float:
    """Share of the column's variance that the other numbers explain; 0 for a copy, below 0 for a number that is mostly one value."""
    known = frame.filter(pl.col(column.name).is_not_null())
    known = known.gather_every(max(1, known.height // 2000)).head(2000)
    if known.height < 50:
        return 0.0
    values = known[column.name]
    is_class = column.kind in _LABELS or values.dtype == pl.String
    others = [c.name for c in columns if c.name != column.name and c.kind in NUMBER_KINDS][:60]
    share = jointly_explained(
        standardised(known, others, known.height),
        aim_at(values.cast(pl.String) if is_class else values.cast(pl.Float64), is_class=is_class),
    )
    mode = float(values.drop_nulls().value_counts(sort=True)["count"][0]) / known.height
    penalty = 1.6 if not is_class and mode > 0.5 else 0.0
    return (0.0 if share >= 0.98 else max(0.0, share)) - penalty
