"""Mutants of the rulebook, and whether some example catches each: ``python -m tests.rulebook.mutation`` tries them all.

A mutant differs from the shipped rules in one condition or one value. Examples catch it when the verdict they state, or the
effect they give, is no longer what the rule says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from advisor.core.derived import Given
from advisor.core.plan import Strategy
from advisor.core.predicates import AtLeast, Below, Is, OneOf, Predicate, Verdict
from advisor.core.rules import FIELDS, Adjustment, Bound, Rule, Rulebook
from advisor.core.space import Choice
from advisor.core.vocabulary import vocabulary
from advisor.rulebook.exampling import as_rule, gives

SHIFT = 0.05
"""Constants are moved by this part of them, up and down; whole numbers by one."""


@dataclass(frozen=True)
class Mutant:
    """A rule that was changed in one place."""

    rule: Rule
    what: str


def mutants(rule: Rule, book: Rulebook) -> Iterator[Mutant]:
    """Every mutant of `rule`."""
    for index, predicate in enumerate(rule.when):
        rest = (*rule.when[:index], *rule.when[index + 1 :])
        yield Mutant(replace(rule, when=rest), f"without {predicate.wanted()!r}")
        for changed in _conditions(predicate):
            yield Mutant(
                replace(rule, when=(*rule.when[:index], changed, *rule.when[index + 1 :])),
                f"{predicate.wanted()!r} as {changed.wanted()!r}",
            )
    yield from _effects(rule, book)


def _conditions(predicate: Predicate) -> Iterator[Predicate]:
    about = vocabulary()[predicate.fact]
    match predicate:
        case AtLeast(fact=f, threshold=t) | Below(fact=f, threshold=t):
            yield Below(f, t) if isinstance(predicate, AtLeast) else AtLeast(f, t)
            step = 1.0 if about.kind == "integer" or (about.unit == "" and t == int(t)) else SHIFT * abs(t)
            yield type(predicate)(f, t + step)
            yield type(predicate)(f, t - step)
        case Is(fact=f, wish=w) if isinstance(w, bool):
            yield Is(f, not w)
        case Is(fact=f, wish=w):
            yield from (Is(f, c) for c in about.choices[:] if c != w)
        case OneOf(fact=f, wishes=several):
            for w in several:
                rest = tuple(o for o in several if o != w)
                if rest:
                    yield OneOf(f, rest)


def _effects(rule: Rule, book: Rulebook) -> Iterator[Mutant]:
    if rule.recommend is not None:
        other = next(s for s in Strategy if s is not rule.recommend)
        yield Mutant(replace(rule, recommend=other), f"recommends {other}")
    if len(rule.shortlist) > 1:
        yield Mutant(replace(rule, shortlist=rule.shortlist[1:]), f"without {rule.shortlist[0]}")
        yield Mutant(replace(rule, shortlist=rule.shortlist[::-1]), "the shortlist turned round")
    for name, value in rule.sets.items():
        for other in _values(name, value):
            yield Mutant(replace(rule, sets={**rule.sets, name: other}), f"sets {name} = {other}")
    if rule.adjust is not None:
        for changed, what in _adjustments(rule.adjust, book):
            yield Mutant(replace(rule, adjust=changed), what)


def _values(name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, float):
        yield from (value * (1 + SHIFT), value * (1 - SHIFT)) if value else (SHIFT,)
    elif isinstance(value, Mapping):
        yield from ({**value, key: v * 2} for key, v in value.items() if v)
    elif name in FIELDS and FIELDS[name].choices:
        yield next(c for c in FIELDS[name].choices if c != value)


def _adjustments(change: Adjustment, book: Rulebook) -> Iterator[tuple[Adjustment, str]]:
    for part in ("low", "high", "fix", "default", "unit"):
        value = getattr(change, part)
        if isinstance(value, Bound):
            for field in ("times", "at_least", "at_most"):
                number = getattr(value, field)
                if number is not None:
                    yield replace(change, **{part: replace(value, **{field: number * 2})}), f"{part}: {field} doubled"
        elif isinstance(value, bool):
            yield replace(change, **{part: not value}), f"{part} = {not value}"
        elif isinstance(value, int | float):
            yield replace(change, **{part: value * 2 if value else 1}), f"{part} doubled"
        elif value is not None:
            parameter = book.families[change.family].space.parameters.get(change.parameter)
            options = parameter.choices if isinstance(parameter, Choice) else ("another",)
            yield replace(change, **{part: next(o for o in options if o != value)}), f"{part} exchanged"
    if change.freeze:
        yield replace(change, freeze=False), "not held"


def is_caught(mutant: Mutant) -> bool:
    """True when an example of the rule says otherwise than the mutant does."""
    rule = mutant.rule
    for example in rule.examples:
        given = Given(example.given)
        if rule.verdict(given) is not example.verdict:
            return True
        if example.verdict is Verdict.HOLDS and example.gives is not None and gives(rule, example) != dict(example.gives):
            return True
    return False


def survivors(book: Rulebook, every: int = 1) -> tuple[int, list[str]]:
    """How many mutants there are (or every so-manyth), and those that no example catches."""
    count, alive = 0, []
    for rule in (*book.rules, *map(as_rule, book.strategies.values())):
        for mutant in mutants(rule, book):
            count += 1
            if count % every == 0 and not is_caught(mutant):
                alive.append(f"{rule.place}: {rule.id}: {mutant.what}")
    return count // every, alive


if __name__ == "__main__":
    from advisor.rulebook.loading import load_rulebook

    number, left = survivors(load_rulebook())
    print("\n".join(left))
    print(f"{number:,} mutants, {number - len(left):,} caught, {len(left)} survived")
    sys.exit(1 if left else 0)
