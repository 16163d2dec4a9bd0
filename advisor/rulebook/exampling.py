"""The check of examples: one that fires, one that just misses each condition, one in which only that condition is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from advisor.core.derived import Given, Situation
from advisor.core.predicates import AtLeast, Below, Predicate, Verdict
from advisor.core.rules import Bound, Example, Rule, Rulebook, StrategyEntry
from advisor.core.spaces import PARTS, follow

JUST = 0.05
"""An example just misses a threshold within this part of it, or by one where whole numbers are counted."""


def example_faults(rulebook: Rulebook, faults: list[str]) -> int:
    """How many examples there are; those that are wrong, and those that are missing, go to `faults`."""
    count = 0
    for rule in (*rulebook.rules, *map(as_rule, rulebook.strategies.values())):
        count += len(rule.examples)
        about = f"{rule.place}: rule {rule.id!r}: "
        for example in rule.examples:
            said = rule.verdict(Given(example.given))
            if said is not example.verdict:
                faults.append(f"{about}an example says {example.verdict}, the conditions say {said}")
            if example.verdict is Verdict.HOLDS and example.gives is not None and (found := gives(rule, example)) != dict(example.gives):
                faults.append(f"{about}an example says {dict(example.gives)}, the rule says {found}")
        faults += [about + what for what in missing(rule.when, rule.examples)]
        if effect_of(rule) and not any(e.gives for e in rule.examples):
            faults.append(f"{about}no example tells what it gives")
    return count


def as_rule(entry: StrategyEntry) -> Rule:
    """The conditions of a strategy as a rule without effect."""
    return Rule(
        id=f"strategy {entry.strategy}",
        place=entry.place,
        when=(*entry.requires, *entry.needs),
        because=entry.because,
        source=entry.source,
        examples=entry.examples,
    )


def effect_of(rule: Rule) -> bool:
    """True for a rule whose effect is a value; a tip's is its text."""
    return bool(rule.recommend is not None or rule.shortlist or rule.sets or rule.adjust is not None)


def gives(rule: Rule, example: Example) -> dict[str, Any]:
    """What `rule` says in an example in which it holds, as the file writes it."""
    if rule.recommend is not None:
        return {"recommend": str(rule.recommend)}
    if rule.shortlist:
        return {"shortlist": list(rule.shortlist)}
    if rule.adjust is None:
        return dict(rule.sets)
    out: dict[str, Any] = {}
    for part in PARTS:
        wanted = getattr(rule.adjust, part)
        value = follow(wanted, Situation(example.given)) if isinstance(wanted, Bound) else wanted
        if value is not None and (value is not False or part == "fix"):
            out[part] = float(f"{value:.6g}") if isinstance(wanted, Bound) else value
    return out


def missing(when: Sequence[Predicate], examples: Sequence[Example]) -> list[str]:
    """The examples that conditions lack."""
    out = []
    if when and not any(e.verdict is Verdict.HOLDS for e in examples):
        out.append("no example in which it holds")
    for predicate in when:
        alone = [e.given.get(predicate.fact) for e in examples if _of(when, e, Verdict.FAILS) == [predicate]]
        if not any(_is_just(predicate, v) for v in alone):
            out.append(
                f"no example stops short of {predicate.wanted()!r}" if not alone else f"no example just misses {predicate.wanted()!r}"
            )
        # Conditions on the same fact are unknown together.
        if not any(set(u) == {p for p in when if p.fact == predicate.fact} for e in examples if (u := _of(when, e, Verdict.UNKNOWN))):
            out.append(f"no example in which only {predicate.about.words} is unknown")
    return out


def _of(when: Sequence[Predicate], example: Example, verdict: Verdict) -> list[Predicate]:
    given = Given(example.given)
    return [p for p in when if p.verdict(given) is verdict]


def _is_just(predicate: Predicate, value: Any) -> bool:
    if not isinstance(predicate, AtLeast | Below):
        return True
    if not isinstance(value, int | float):
        return False
    is_count = predicate.about.unit == "" and predicate.threshold == int(predicate.threshold)
    return abs(value - predicate.threshold) <= max(1.0 if is_count else 0.0, JUST * abs(predicate.threshold))
