"""Rules, strategies and families as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from advisor.report.wording import setting

if TYPE_CHECKING:
    from advisor.core.family import Family
    from advisor.core.rules import Adjustment, Bound, Rule, StrategyEntry

_WIDTH = 78


def rule_lines(rules: Iterable[Rule]) -> list[str]:
    """One line or two a rule: its id, and what it does."""
    listed = list(rules)
    width = min(max((len(rule.id) for rule in listed), default=0), 48)
    lines = []
    for rule in listed:
        lead = f"{rule.id:<{width}}  "
        lines += textwrap.wrap(effect(rule), _WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
    return lines


def rule_text(rule: Rule) -> str:
    """One rule in full."""
    lines = [rule.id, *_field("does", effect(rule)), *_field("because", rule.because), *_field("source", rule.source)]
    lines += _field("when", "\n".join(p.wanted() for p in rule.when) or "always, where no rule before it holds")
    if rule.overrides:
        lines += _field("overrides", ", ".join(rule.overrides))
    for example in rule.examples:
        given = ", ".join(f"{name} = {setting(value)}" for name, value in example.given.items())
        lines += _field("example", f"{given or 'nothing given'}: {example.verdict}")
    return "\n".join([*lines, *_field("file", rule.place)])


def strategy_text(entry: StrategyEntry) -> str:
    """What the rulebook says of one strategy."""
    lines = [str(entry.strategy), *_field("runs", entry.engine), *_field("right for", entry.because), *_field("source", entry.source)]
    lines += _field("impossible unless", "\n".join(p.wanted() for p in entry.requires) or "always possible")
    lines += _field("advised when", "\n".join(p.wanted() for p in entry.needs) or "always")
    if entry.settings:
        lines += _field("settings", "\n".join(f"{name} = {setting(value)}" for name, value in entry.settings.items()))
    return "\n".join([*lines, *_field("file", entry.place)])


def family_text(family: Family, place: str) -> str:
    """One model family: what is fitted, what is searched, where to begin."""
    lines = [f"{family.name}: {family.title}"]
    lines += _field("estimators", "\n".join(f"{task}: {path}" for task, path in family.estimators.items()))
    if family.fixed:
        lines += _field("fixed", ", ".join(f"{name} = {setting(value)}" for name, value in family.fixed.items()))
    for name, parameter in family.space.items():
        bounds = (
            " | ".join(setting(c) for c in parameter.choices)
            if parameter.type == "choice"
            else f"{setting(parameter.low)} .. {setting(parameter.high)}{' log' if parameter.log else ''}"
        )
        lines += _field(name, f"{bounds}, default {setting(parameter.default)}")
    lines += _field("starts", f"{len(family.starts)} ({family.starts_source})" if family.starts else "the default alone")
    lines += _field("cost", family.cost.source)
    return "\n".join([*lines, *_field("source", family.source), *_field("file", place)])


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
    if change.freeze:
        parts.append("held at its default")
    return f"{change.family}.{change.parameter}: {', '.join(parts)}"


def _bound(value: float | Bound) -> str:
    if isinstance(value, int | float):
        return setting(value)
    times = "" if value.times == 1 else f" × {setting(value.times)}"
    limits = [f"{word} {setting(limit)}" for word, limit in (("at least", value.at_least), ("at most", value.at_most)) if limit is not None]
    return f"{value.fact}{times}" + (f" ({', '.join(limits)})" if limits else "")


def _field(name: str, text: str) -> list[str]:
    """`text` beside its name, every line of it wrapped; nothing where there is no text."""
    lines = []
    for position, part in enumerate(text.split("\n") if text else []):
        lead = f"  {name if position == 0 else '':<18}"
        lines += textwrap.wrap(part, _WIDTH, initial_indent=lead, subsequent_indent=" " * 20) or [lead.rstrip()]
    return lines
