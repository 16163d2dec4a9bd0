"""Proof that the rulebook is sound: no gap, no contradiction, no rule that can never win, no unused fact, examples that tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from advisor.core.deliberation import combine, conditions
from advisor.core.errors import RulebookError
from advisor.core.plan import Strategy
from advisor.core.predicates import Is, Predicate
from advisor.core.reads import unused
from advisor.core.rules import FIELDS, Rule, Rulebook
from advisor.rulebook.exampling import example_faults
from advisor.rulebook.regions import Cell, holdings, leaves, say
from advisor.rulebook.shaping import check_family

ALWAYS = (
    "metric",
    *(f"validation.{n}" for n in ("scheme", "folds", "repeats", "holdout_ratio", "heldout_ratio")),
    *(f"pruner.{n}" for n in ("name", "resource", "settings")),
)
"""Fields that a plan cannot do without."""


@dataclass(frozen=True)
class Slot:
    """What was looked at for one part of the plan."""

    name: str
    """Strategy list, family shortlists, a field, a family's space."""
    rules: int
    """Rules that speak of it."""
    cells: int
    """Parts of the space of facts with verdicts of their own; all of them were decided."""
    states: int
    """Parts that had to be looked at: those that differ only in facts no later rule reads are looked at once."""


@dataclass(frozen=True)
class Check:
    """What was looked at, and every fault."""

    rules: int
    examples: int
    slots: tuple[Slot, ...]
    facts: int
    faults: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """True when nothing is wrong."""
        return not self.faults

    @property
    def cells(self) -> int:
        """Cells of all slots."""
        return sum(s.cells for s in self.slots)

    @property
    def text(self) -> str:
        """The counts of each slot on a line, then what was proved, then each fault on a line."""
        width = max(len(s.name) for s in self.slots)
        lines = [f"  {s.name:<{width}}  {s.rules:>3} rules  {s.cells:>13,} cells in {s.states:>6,} states" for s in self.slots]
        told = f"{self.rules} rules, {self.examples} examples, {self.facts} facts, {self.cells:,} cells"
        proved = "0 gaps, 0 conflicts, 0 rules that can never win, 0 unused facts, 0 override cycles; every strategy can be executed"
        return "\n".join([*lines, f"{told}: " + (proved if self.is_sound else f"{len(self.faults)} fault(s)"), *self.faults])


def check(rulebook: Rulebook) -> Check:
    """Every example run; every slot of the plan split on each threshold, unknown included, with nothing sampled."""
    faults: list[str] = []
    examples = example_faults(rulebook, faults)
    slots = [*_lists(rulebook, faults)]
    won: set[str] = set()
    slots += [_field(name, rulebook, won, faults) for name in FIELDS]
    faults += [f"{r.place}: rule {r.id!r} can never win" for r in rulebook.field_rules if r.id not in won]
    for tip in rulebook.tips:
        if tip.id not in leaves([(tip, tip.when)]).reached:
            faults.append(f"{tip.place}: rule {tip.id!r} can never hold")
    tips = [leaves([(t, t.when)]) for t in rulebook.tips]
    slots.append(Slot("tips", len(tips), sum(t.count for t in tips), sum(t.states for t in tips)))
    for family in rulebook.families.values():
        mine = [r for r in rulebook.adjustments if r.adjust is not None and r.adjust.family == family.name]
        cells, states = check_family(family, mine, faults)
        slots.append(Slot(f"space of {family.name}", len(mine), cells, states))
    faults += _overrides(rulebook)
    faults += _executable(rulebook)
    faults += [f"fact {name} decides nothing: use it, or drop it" for name in unused(rulebook)]
    from advisor.core.vocabulary import vocabulary

    return Check(len(rulebook.rules), examples, tuple(slots), len(vocabulary()), tuple(faults))


def _lists(rulebook: Rulebook, faults: list[str]) -> list[Slot]:
    """The ordered lists: the first rule that holds wins, and one always does."""
    strategies = [(r, conditions(r, rulebook.strategies[r.recommend])) for r in rulebook.strategy_rules if r.recommend is not None]
    shortlists: list[tuple[Rule, Sequence[Predicate]]] = [(r, r.when) for r in rulebook.shortlist_rules]
    out = []
    for name, rules in (("strategy list", strategies), ("family shortlists", shortlists)):
        found = leaves(rules)
        faults += [f"{name}: no rule holds for {say(cell)}" for cell in found.gaps[:5]]
        faults += [f"{r.place}: rule {r.id!r} can never be reached" for r, _ in rules if r.id not in found.reached]
        out.append(Slot(name, len(rules), found.count, found.states))
    return out


def _field(name: str, rulebook: Rulebook, won: set[str], faults: list[str]) -> Slot:
    """One field: whatever rules hold together, they agree, and one speaks where the plan needs it to."""
    rules = rulebook.by_field[name]
    found = holdings(rules, frozenset(p.fact for r in rules for p in r.when))
    by_id = {r.id: r for r in rules}
    seen: set[str] = set()
    for cell, held in found.parts:
        try:
            decided = combine(name, [by_id[i] for i in by_id if i in held])
        except RulebookError as error:
            if error.faults[0] not in seen:
                seen.add(error.faults[0])
                faults.append(f"{error.faults[0]}: {_where(cell)}")
            continue
        if decided.rule is not None:
            won |= {decided.rule.id, *(r.id for r in decided.also)}
        elif name in ALWAYS and not any(r.is_unknown and not may_be_unknown(n) for n, r in cell.items()) and "gap" not in seen:
            seen.add("gap")
            faults.append(f"{name}: no rule sets it: {_where(cell)}")
    return Slot(name, len(rules), found.count, found.states)


def _where(cell: Cell) -> str:
    return say(cell) if cell else "several cells"


def may_be_unknown(name: str) -> bool:
    """True for a fact that can be missing where rules look at it: a probe failed, or the objective is the user's own."""
    from advisor.core.facts import Dataset, Unknown
    from advisor.core.vocabulary import vocabulary

    about = vocabulary()[name]
    if about.inputs:
        return any(may_be_unknown(i) for i in about.inputs)
    head, _, tail = name.partition(".")
    if head == "data":
        # What is predicted is settled before any rule looks; the rest may be missing only where its model says so.
        return name != "data.task" and tail in Dataset.model_fields and Unknown.__name__ in str(Dataset.model_fields[tail].annotation)
    return head in ("hardware", "search")


def _overrides(rulebook: Rulebook) -> list[str]:
    """Rules that override each other in a circle, and overrides of a rule that speaks of something else."""
    out = []
    for rule in rulebook.field_rules:
        reached: set[str] = set()
        todo = list(rule.overrides)
        while todo:
            other = rulebook.rule(todo.pop())
            if other is not None and other.id not in reached:
                reached.add(other.id)
                todo += other.overrides
        if rule.id in reached:
            out.append(f"{rule.place}: rule {rule.id!r} overrides itself by a circle")
        for name in rule.overrides:
            other = rulebook.rule(name)
            if other is not None and not set(other.sets) & set(rule.sets):
                out.append(f"{rule.place}: rule {rule.id!r} overrides {name!r}, which sets other fields")
    return out


def _executable(rulebook: Rulebook) -> list[str]:
    """Strategies that could be recommended where nothing can run them: all but the default need their engine."""
    out = []
    for strategy, entry in rulebook.strategies.items():
        if strategy is not Strategy.DEFAULT and Is(f"engine.{strategy}.is_available", True) not in entry.requires:
            out.append(f"{entry.place}: strategy {strategy} does not require its engine, and could be recommended without it")
    return out
