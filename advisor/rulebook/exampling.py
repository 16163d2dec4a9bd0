"""The check of examples: one that fires, one that just misses each condition, one in which only that condition is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from advisor.core.derived import Given
from advisor.core.predicates import AtLeast, Below, Predicate, Verdict
from advisor.core.rules import Example, Rulebook

JUST = 0.05
"""An example just misses a threshold within this part of it, or by one where whole numbers are counted."""


def example_faults(rulebook: Rulebook, faults: list[str]) -> int:
    """How many examples there are; those that are wrong, and those that are missing, go to `faults`."""
    count = 0
    for rule in rulebook.rules:
        count += len(rule.examples)
        about = f"{rule.place}: rule {rule.id!r}: "
        for example in rule.examples:
            said = rule.verdict(Given(example.given))
            if said is not example.verdict:
                faults.append(f"{about}an example says {example.verdict}, the conditions say {said}")
        faults += [about + what for what in missing(rule.when, rule.examples)]
    return count


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
