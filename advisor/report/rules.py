"""Rules in a line each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from advisor.report.wording import setting

if TYPE_CHECKING:
    from advisor.core.rules import Adjustment, Bound, Rule

_WIDTH = 78


def rule_lines(rules: Iterable[Rule]) -> list[str]:
    """One line or two a rule: its id, and what it does."""
    return entry_lines((rule.id, effect(rule)) for rule in rules)


def entry_lines(entries: Iterable[tuple[str, str]]) -> list[str]:
    """One line or two an entry: its name, and what it says."""
    listed = list(entries)
    width = min(max((len(name) for name, _ in listed), default=0), 48)
    lines = []
    for name, said in listed:
        lead = f"{name:<{width}}  "
        lines += textwrap.wrap(said, _WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
    return lines


def effect(rule: Rule) -> str:
    """What a rule does, in words."""
    if rule.recommend is not None:
        return f"recommends {rule.recommend}"
    if rule.shortlist:
        return f"races {', '.join(rule.shortlist)}"
    if rule.sets:
        return "sets " + ", ".join(f"{name} = {setting(value)}" for name, value in rule.sets.items())
    if rule.adjust is not None:
        return _adjusted(rule.adjust)
    return rule.advise


def _adjusted(change: Adjustment) -> str:
    parts = [f"{name} = {_bound(value)}" for name in ("low", "high", "fix") if (value := getattr(change, name)) is not None]
    if change.unit is not None:
        parts.append(f"in units of {_bound(change.unit)}")
    if change.default is not None:
        parts.append(f"default = {setting(change.default)}")
    if change.freeze:
        parts.append("held at its default")
    return f"{change.family}.{change.parameter}: {', '.join(parts)}"


def _bound(value: float | Bound) -> str:
    if isinstance(value, int | float):
        return setting(value)
    times = "" if value.times == 1 else f" × {setting(value.times)}"
    limits = [f"{word} {setting(limit)}" for word, limit in (("at least", value.at_least), ("at most", value.at_most)) if limit is not None]
    return f"{value.fact}{times}" + (f" ({', '.join(limits)})" if limits else "")
