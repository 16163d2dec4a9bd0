"""How much of the rulebook is exercised: by the examples of its rules, and by plans for many different facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from advisor.core.deliberation import Outline, conditions, outline
from advisor.core.derived import Given
from advisor.core.errors import CannotRunError, InputError
from advisor.core.facts import Facts
from advisor.core.predicates import Predicate, Verdict, all_of
from advisor.core.rules import Rule, Rulebook
from advisor.core.spaces import adjusting


@dataclass(frozen=True)
class Coverage:
    """Which rules and conditions were seen with which verdict."""

    rules: int
    """Rules, each of which is to hold in an example and in a plan, and to do so in force."""
    conditions: int
    """Conditions with their verdicts: each is to hold, to fail and to be unknown in an example, and to turn out in a plan as it can."""
    plans: int
    """Plans that were made."""
    lacking: tuple[str, ...]
    """What was not seen."""
    seen: int
    """Rules, and verdicts of conditions, that were seen."""
    wanted: int
    """How many there are to see."""

    @property
    def ratio(self) -> float:
        """The share that was seen, 0..1."""
        return self.seen / self.wanted if self.wanted else 1.0

    @property
    def text(self) -> str:
        """The shares in a sentence, then what is lacking, one a line."""
        head = (
            f"{self.rules} rules and {self.conditions} conditions; {self.seen:,} of {self.wanted:,} seen "
            f"in the examples and in {self.plans:,} plans: {self.ratio:.1%}"
        )
        return "\n".join([head, *self.lacking])


def coverage(rulebook: Rulebook, situations: Iterable[Facts]) -> Coverage:
    """What the examples and the plans for `situations` exercise.

    In the examples every rule with conditions holds, and every condition holds, fails and is unknown. In the plans every rule
    holds where it is asked, the one of a list as the first that does; every condition holds and fails somewhere. A condition
    that is part of a rule which no fact here can reach is named, not left out.
    """
    lacking: list[str] = []
    wanted = seen = 0
    for rule in rulebook.rules:
        asked = [(f"{rule.id}: holds in an example", any(e.verdict is Verdict.HOLDS for e in rule.examples) or not rule.when)]
        for predicate in rule.when:
            met = {predicate.verdict(Given(e.given)) for e in rule.examples}
            asked += [(f"{rule.id}: {predicate.wanted()}: {v} in an example", v in met) for v in Verdict]
        wanted += len(asked)
        seen += sum(met for _, met in asked)
        lacking += [what for what, met in asked if not met]
    held, turned, plans = _planned(rulebook, situations)
    for rule in rulebook.rules:
        asked = [(f"{rule.id}: holds in a plan", rule.id in held)]
        for predicate in rule.when:
            asked += [(f"{rule.id}: {predicate.wanted()}: {v} in a plan", (rule.id, predicate, v) in turned) for v in _TURNS]
        wanted += len(asked)
        seen += sum(met for _, met in asked)
        lacking += [what for what, met in asked if not met]
    count = sum(len(r.when) for r in rulebook.rules)
    return Coverage(len(rulebook.rules), count, plans, tuple(lacking), seen, wanted)


_TURNS = (Verdict.HOLDS, Verdict.FAILS)
"""What each condition must do in plans; whether its fact can be unknown there is the fact's affair."""


def _planned(rulebook: Rulebook, situations: Iterable[Facts]) -> tuple[set[str], set[tuple[str, Predicate, Verdict]], int]:
    held: set[str] = set()
    turned: set[tuple[str, Predicate, Verdict]] = set()
    plans = 0
    for facts in situations:
        try:
            o = outline(facts, rulebook, is_told=False)
        except (InputError, CannotRunError):
            continue
        plans += 1
        held |= _in_force(o, rulebook)
        for rule in rulebook.rules:
            for situation in (*o.situations[1:], o.situation) if rule.adjust is not None else (o.situation,):
                turned |= {(rule.id, p, p.verdict(situation)) for p in rule.when}
    return held, turned, plans


def _in_force(o: Outline, rulebook: Rulebook) -> set[str]:
    """Rules that hold in a plan; of the ordered lists the one that wins."""
    out = {r.id for r in (*rulebook.field_rules, *rulebook.tips) if r.verdict(o.situation) is Verdict.HOLDS}
    if o.choice.rule is not None:
        out.add(o.choice.rule.id)
    if o.own is None and o.facts.answers.model == "auto":
        first = next((r for r in rulebook.shortlist_rules if r.verdict(o.situation) is Verdict.HOLDS), None)
        out |= {first.id} if first is not None else set()
    for family, situation in zip(o.families, o.situations, strict=False):
        out |= {r.id for r in adjusting(rulebook, family, situation)}
    return out


def reached(rule: Rule, rulebook: Rulebook, o: Outline) -> Verdict:
    """The verdict of a rule of the strategy list with what its strategy needs."""
    assert rule.recommend is not None
    return all_of(conditions(rule, rulebook.strategies[rule.recommend]), o.situation)
