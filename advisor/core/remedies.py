"""What can be done about what the profile warns of: an answer that would cure it, ready to be taken."""

from __future__ import annotations

from typing import Any

from advisor.core.facts import Answers, Column, ColumnKind, Dataset, Facts, Suspicion
from advisor.core.value import Value

MOST = 6
"""Never more are offered at once."""
MOSTLY_MISSING = 0.5
"""Share of missing cells above which the profile warns of a column."""


class Remedy(Value):
    """One answer that cures a warning."""

    field: str
    """The field of `Answers` it sets."""
    value: Any
    """The answer; for ``drop`` all columns that would be left out then."""
    text: str
    """What it does, as an imperative."""
    why: str
    """What was seen."""


def remedies(facts: Facts) -> tuple[Remedy, ...]:
    """What could be answered against the warnings on these data, the gravest first: leaks, groups, time, columns that say nothing."""
    data, answers = facts.data, facts.answers
    found = [_left_out(answers, leak.column, leak.reason) for leak in data.leaks if leak.column not in answers.drop]
    if answers.group is None and data.group_candidates:
        found.append(_role("group", "Keep rows of one {} together", _surest(data.group_candidates)))
    if answers.time is None and data.time_candidates:
        found.append(_role("time", "Let the past predict the future by {}", _surest(data.time_candidates)))
    empty = (c for c in data.columns if c.missing_ratio > MOSTLY_MISSING and _is_used(c, data, answers))
    found += [_left_out(answers, c.name, f"{c.missing_ratio:.0%} of it is missing") for c in empty]
    return tuple(found[:MOST])


def without(answers: Answers, column: str) -> tuple[str, ...]:
    """The columns left out once `column` is added to them, or taken from them where it was among them."""
    if column in answers.drop:
        return tuple(name for name in answers.drop if name != column)
    return (*answers.drop, column)


def _left_out(answers: Answers, column: str, why: str) -> Remedy:
    return Remedy(field="drop", value=without(answers, column), text=f"Leave {column} out", why=why)


def _role(field: str, text: str, seen: Suspicion) -> Remedy:
    return Remedy(field=field, value=seen.column, text=text.format(seen.column), why=seen.reason)


def _surest(seen: tuple[Suspicion, ...]) -> Suspicion:
    return max(seen, key=lambda suspicion: suspicion.confidence)


def _is_used(column: Column, data: Dataset, answers: Answers) -> bool:
    roles = {data.target, answers.group, answers.time, answers.weights}
    return column.name not in answers.drop and column.name not in roles and column.kind not in (ColumnKind.CONSTANT, ColumnKind.IDENTIFIER)
