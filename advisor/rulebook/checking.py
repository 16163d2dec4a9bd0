"""Proof that the rulebook is sound: examples, no gap and no unreachable rule in the ordered lists, no contradiction elsewhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from advisor.core.deliberation import conditions, decide
from advisor.core.derived import Given, Situation
from advisor.core.errors import RulebookError
from advisor.core.facts import Unknown
from advisor.core.predicates import AtLeast, Below, Is, OneOf, Predicate, Verdict
from advisor.core.rules import FIELDS, Bound, Rule, Rulebook
from advisor.core.spaces import candidate_of
from advisor.core.vocabulary import vocabulary

MOST_CELLS = 20_000
"""Cells of one slot that are looked at; of more, every so-manyth."""
_UNKNOWN = Unknown(reason="a cell of the check")


@dataclass(frozen=True)
class Check:
    """What was looked at, and every fault."""

    rules: int
    examples: int
    strategy_leaves: int
    strategy_states: int
    shortlist_leaves: int
    field_cells: int
    space_cells: int
    faults: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """True when nothing is wrong."""
        return not self.faults

    @property
    def text(self) -> str:
        """The counts in a sentence, then each fault on a line."""
        counts = (
            f"{self.rules} rules, {self.examples} examples; "
            f"strategy list: {self.strategy_leaves:,} cells in {self.strategy_states:,} states, "
            f"shortlists: {self.shortlist_leaves:,} cells, fields: {self.field_cells:,} cells, spaces: {self.space_cells:,} cells; "
        )
        return "\n".join([counts + ("no fault" if self.is_sound else f"{len(self.faults)} fault(s)"), *self.faults])


def check(rulebook: Rulebook) -> Check:
    """Every example run; the ordered lists split on each threshold, unknown included; every other slot over its cells."""
    faults: list[str] = []
    examples = _examples(rulebook, faults)
    lists = []
    for name, rules in (
        (
            "strategy list",
            [(r, (*r.when, *conditions(r, rulebook.strategies[r.recommend]))) for r in rulebook.strategy_rules if r.recommend is not None],
        ),
        ("family shortlists", [(r, r.when) for r in rulebook.shortlist_rules]),
    ):
        found = leaves(rules)
        lists.append(found)
        faults += [f"{name}: no rule holds for {_say(cell)}" for cell in found.gaps[:5]]
        faults += [f"{r.place}: rule {r.id!r} can never be reached" for r, _ in rules if r.id not in found.reached]
    return Check(
        rules=len(rulebook.rules),
        examples=examples,
        strategy_leaves=lists[0].count,
        strategy_states=lists[0].states,
        shortlist_leaves=lists[1].count,
        field_cells=_fields(rulebook, faults),
        space_cells=_spaces(rulebook, faults),
        faults=tuple(faults),
    )


def _examples(rulebook: Rulebook, faults: list[str]) -> int:
    count = 0
    for rule in rulebook.rules:
        for example in rule.examples:
            count += 1
            said = rule.verdict(Given(example.given))
            if said is not example.verdict:
                faults.append(f"{rule.place}: rule {rule.id!r}: an example says {example.verdict}, the conditions say {said}")
        faults += [
            f"{rule.place}: rule {rule.id!r}: no example stops short of {p.wanted()!r}" for p in rule.when if not _is_missed(rule, p)
        ]
    return count


def _is_missed(rule: Rule, predicate: Predicate) -> bool:
    """True when some example fails `predicate` and no other condition of the rule."""
    for example in rule.examples:
        given = Given(example.given)
        if [p for p in rule.when if p.verdict(given) is Verdict.FAILS] == [predicate]:
            return True
    return False


# --------------------------------------------------------------------------------------- ordered lists: first match wins


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
        own = self.values if self.values is not None else ()
        inside = tuple(v for v in own if v in wishes)
        outside = tuple(v for v in own if v not in wishes)
        parts = ((Region(values=inside), Verdict.HOLDS, inside), (Region(values=outside), Verdict.FAILS, outside))
        return [(region, verdict) for region, verdict, held in parts if held]


def _whole(name: str) -> list[Region]:
    """Everything a fact may be: its values, and unknown."""
    about = vocabulary()[name]
    unknown = Region(is_unknown=True)
    match about.kind:
        case "flag":
            return [Region(values=(True, False)), unknown]
        case "choice":
            return [Region(values=about.choices), unknown]
        case "text":
            return [Region(values=("any text",)), unknown]
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
                regions = [cell[predicate.fact]] if predicate.fact in cell else _whole(predicate.fact)
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


def _say(cell: Cell) -> str:
    parts = []
    for name, region in cell.items():
        if region.is_unknown:
            parts.append(f"{name} unknown")
        elif region.values is not None:
            parts.append(f"{name} in {region.values}")
        else:
            parts.append(f"{region.low:g} <= {name} < {region.high:g}")
    return ", ".join(parts) or "every case"


# ---------------------------------------------------------------------------------- elsewhere: rules that hold must agree


def _probes(predicates: Sequence[Predicate]) -> dict[str, list[Any]]:
    """For each fact one value a cell that its thresholds cut out, and an unknown."""
    out: dict[str, set[Any]] = {}
    for predicate in predicates:
        seen = out.setdefault(predicate.fact, set())
        match predicate:
            case AtLeast(threshold=t) | Below(threshold=t):
                seen |= {t, t * 0.9, t * 1.1}
            case Is() | OneOf():
                about = vocabulary()[predicate.fact]
                wishes = (predicate.wish,) if isinstance(predicate, Is) else predicate.wishes
                seen |= set(about.choices) or ({True, False} if about.kind == "flag" else set(wishes))
    return {name: [*sorted(values, key=str), _UNKNOWN] for name, values in sorted(out.items())}


def _cells(predicates: Sequence[Predicate]) -> Iterator[dict[str, Any]]:
    """Every combination of probes, or every so-manyth where there are too many."""
    probes = _probes(predicates)
    size = math.prod(len(v) for v in probes.values())
    stride = max(1, math.ceil(size / MOST_CELLS))
    # A stride that shares no factor with a column's length visits all of its values.
    while stride > 1 and any(math.gcd(stride, len(v)) > 1 for v in probes.values()):
        stride += 1
    for values in itertools.islice(itertools.product(*probes.values()), 0, None, stride):
        yield dict(zip(probes, values, strict=True))


def _fields(rulebook: Rulebook, faults: list[str]) -> int:
    count = 0
    for name in FIELDS:
        rules = rulebook.by_field[name]
        seen: set[str] = set()
        for cell in _cells([p for r in rules for p in r.when]):
            count += 1
            try:
                decide(name, rulebook, Situation(cell))
            except RulebookError as error:
                if error.faults[0] not in seen:
                    seen.add(error.faults[0])
                    faults.append(f"{error.faults[0]}: {', '.join(f'{k} = {_plain(v)}' for k, v in cell.items())}")
    return count


def _plain(value: Any) -> str:
    return "unknown" if isinstance(value, Unknown) else str(value)


def _spaces(rulebook: Rulebook, faults: list[str]) -> int:
    """Every family's space under every combination of its adjustments: no empty range, every start inside."""
    count = 0
    for family in rulebook.families.values():
        rules = [r for r in rulebook.adjustments if r.adjust is not None and r.adjust.family == family.name]
        followed = {
            b.fact for r in rules if r.adjust for b in (r.adjust.low, r.adjust.high, r.adjust.unit, r.adjust.fix) if isinstance(b, Bound)
        }
        extremes = [AtLeast(name, t) for name in sorted(followed) for t in (0.001, 30.0, 1e6)]
        seen: set[str] = set()
        for cell in _cells([*(p for r in rules for p in r.when), *extremes]):
            count += 1
            try:
                candidate = candidate_of(family, rulebook, Situation({"family.fit_seconds": 1.0, **cell}), {})
                wrong = [f"{family.name}: start {i}: {f}" for i, s in enumerate(candidate.starts) for f in candidate.space.faults(s)]
            except RulebookError as error:
                wrong = list(error.faults)
            for fault in wrong:
                if fault not in seen:
                    seen.add(fault)
                    faults.append(f"{fault}: {', '.join(f'{k} = {_plain(v)}' for k, v in cell.items())}")
    return count
