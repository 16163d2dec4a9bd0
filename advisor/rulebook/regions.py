"""The space of facts cut into parts on which every condition has one verdict: split lazily, on the first undecided condition."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from advisor.core.predicates import AtLeast, Below, Is, OneOf, Predicate, Verdict
from advisor.core.rules import Rule
from advisor.core.vocabulary import vocabulary

ANY_TEXT = ("any other text",)
"""Stands for every text that no condition names."""


@dataclass(frozen=True, slots=True)
class Region:
    """What is known of one fact in a cell: an interval, a set of values, or that it is unknown."""

    low: float = -math.inf
    high: float = math.inf
    values: tuple[Any, ...] | None = None
    is_unknown: bool = False

    def split(self, predicate: Predicate) -> list[tuple[Region, Verdict]]:
        """The parts of this region on which `predicate` has one verdict each."""
        if self.is_unknown:
            return [(self, Verdict.UNKNOWN)]
        match predicate:
            case AtLeast(threshold=t) | Below(threshold=t):
                above, below = (Verdict.HOLDS, Verdict.FAILS) if isinstance(predicate, AtLeast) else (Verdict.FAILS, Verdict.HOLDS)
                if self.low >= t:
                    return [(self, above)]
                if self.high <= t:
                    return [(self, below)]
                return [(Region(self.low, t), below), (Region(t, self.high), above)]
            case Is(wish=wish):
                wishes: tuple[Any, ...] = (wish,)
            case OneOf(wishes=several):
                wishes = several
        if self.values == ANY_TEXT:
            return [*((Region(values=(w,)), Verdict.HOLDS) for w in wishes), (self, Verdict.FAILS)]
        own = self.values if self.values is not None else ()
        inside = tuple(v for v in own if v in wishes)
        outside = tuple(v for v in own if v not in wishes)
        parts = ((Region(values=inside), Verdict.HOLDS, inside), (Region(values=outside), Verdict.FAILS, outside))
        return [(region, verdict) for region, verdict, held in parts if held]


def whole(name: str) -> list[Region]:
    """Everything a fact may be: its values, and unknown."""
    about = vocabulary()[name]
    unknown = Region(is_unknown=True)
    match about.kind:
        case "flag":
            return [Region(values=(True, False)), unknown]
        case "choice":
            return [Region(values=about.choices), unknown]
        case "text":
            return [Region(values=ANY_TEXT), unknown]
    return [Region(), unknown]


Cell = dict[str, Region]


@dataclass
class Leaves:
    """What splitting an ordered list found."""

    count: int = 0
    """Leaves of the decision tree that the list spans: parts of the space of facts, each decided by one rule."""
    states: int = 0
    """Parts that had to be looked at: those that differ only in facts no later rule reads are looked at once."""
    reached: set[str] = field(default_factory=set)
    """Rules that decide at least one leaf."""
    gaps: list[Cell] = field(default_factory=list)
    """Parts that no rule decides."""


def leaves(rules: Sequence[tuple[Rule, Sequence[Predicate]]]) -> Leaves:
    """Splits the space of facts on the first undecided condition, rule by rule, until each part is decided.

    Exact: nothing is sampled. A part keeps only the facts that later rules read, so that equal ones are merged.
    """
    later: list[set[str]] = [set() for _ in range(len(rules) + 1)]
    for at in range(len(rules) - 1, -1, -1):
        later[at] = later[at + 1] | {p.fact for p in rules[at][1]}
    out = Leaves()
    states: dict[tuple[tuple[str, Region], ...], int] = {(): 1}
    for at, (rule, wanted) in enumerate(rules):
        following: dict[tuple[tuple[str, Region], ...], int] = {}
        for state, times in states.items():
            out.states += 1
            todo: list[tuple[int, Cell]] = [(0, dict(state))]
            while todo:
                inner, cell = todo.pop()
                if inner == len(wanted):
                    out.count += times
                    out.reached.add(rule.id)
                    continue
                predicate = wanted[inner]
                regions = [cell[predicate.fact]] if predicate.fact in cell else whole(predicate.fact)
                for region in regions:
                    for part, verdict in region.split(predicate):
                        below = {**cell, predicate.fact: part}
                        if verdict is Verdict.HOLDS:
                            todo.append((inner + 1, below))
                        else:
                            key = tuple((n, below[n]) for n in sorted(below) if n in later[at + 1])
                            following[key] = following.get(key, 0) + times
        states = following
    out.count += sum(states.values())
    out.gaps = [dict(state) for state in states]
    return out


def say(cell: Cell) -> str:
    parts = []
    for name, region in cell.items():
        if region.is_unknown:
            parts.append(f"{name} unknown")
        elif region.values is not None:
            parts.append(f"{name} in {region.values}")
        else:
            parts.append(f"{region.low:g} <= {name} < {region.high:g}")
    return ", ".join(parts) or "every case"


Key = tuple[tuple[tuple[str, Region], ...], frozenset[str]]


@dataclass
class Holdings:
    """Which rules hold together where order means nothing."""

    count: int
    """Parts of the space of facts, each with its own verdicts."""
    states: int
    """Parts that had to be looked at."""
    parts: list[tuple[Cell, frozenset[str]]]
    """What is left of each part, and the ids of the rules that hold there; equal ones once."""


def holdings(rules: Sequence[Rule], keep: frozenset[str] = frozenset()) -> Holdings:
    """Every combination of `rules` that can hold at once. Exact as `leaves` is: nothing is sampled.

    A part keeps the facts that later rules read, and those of `keep`.
    """
    later = [keep] * (len(rules) + 1)
    for at in range(len(rules) - 1, -1, -1):
        later[at] = later[at + 1] | {p.fact for p in rules[at].when}
    first: Cell = {}
    states: dict[Key, int] = {(_key(first, later[0]), frozenset()): 1}
    looked = 0
    for at, rule in enumerate(rules):
        following: dict[Key, int] = {}
        for (state, held), times in states.items():
            looked += 1
            for cell, verdict in _parts(dict(state), rule.when):
                key = (_key(cell, later[at + 1]), held | {rule.id} if verdict is Verdict.HOLDS else held)
                following[key] = following.get(key, 0) + times
        states = following
    return Holdings(sum(states.values()), looked, [(dict(state), held) for state, held in states])


def _parts(cell: Cell, conditions: Sequence[Predicate]) -> Iterator[tuple[Cell, Verdict]]:
    """The parts of `cell` on which all `conditions` hold, and those where the first that does not fails or is unknown."""
    if not conditions:
        yield cell, Verdict.HOLDS
        return
    predicate = conditions[0]
    for region in [cell[predicate.fact]] if predicate.fact in cell else whole(predicate.fact):
        for part, verdict in region.split(predicate):
            below = {**cell, predicate.fact: part}
            if verdict is Verdict.HOLDS:
                yield from _parts(below, conditions[1:])
            else:
                yield below, verdict


def _key(cell: Cell, names: frozenset[str]) -> tuple[tuple[str, Region], ...]:
    return tuple((n, cell[n]) for n in sorted(cell) if n in names)
