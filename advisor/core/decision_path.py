"""The strategy list as it is walked: which rules were passed, by which conditions and how far, which one won, which were not reached."""

from __future__ import annotations

from typing import Any, Literal

from advisor.core.deliberation import conditions
from advisor.core.derived import Situation
from advisor.core.facts import Unknown
from advisor.core.predicates import AtLeast, Below, Is, OneOf, Predicate, Verdict, all_of
from advisor.core.rules import Rulebook
from advisor.core.value import Value
from advisor.core.vocabulary import show_number

State = Literal["listed", "passed", "open", "chosen", "not reached"]
"""Listed: nothing is known of the facts. Passed: a condition failed. Open: none failed, one is unknown."""
_STATES: dict[Verdict, State] = {Verdict.HOLDS: "chosen", Verdict.FAILS: "passed", Verdict.UNKNOWN: "open"}


class Condition(Value):
    """One condition of a rule, and what the facts say of it."""

    fact: str
    """The fact compared."""
    wanted: str
    """The condition in words."""
    verdict: Verdict | None = None
    """None: no facts, or not reached."""
    said: str = ""
    """The condition with the value."""
    short: str = ""
    """How far it is from holding; empty where it holds or cannot be counted."""


class Step(Value):
    """One rule of the strategy list."""

    number: int
    """Position in the list, from 1."""
    rule: str
    """Id."""
    strategy: str
    """What it recommends."""
    because: str
    """Its reason."""
    place: str
    """File and line."""
    state: State
    """What became of it."""
    conditions: tuple[Condition, ...]
    """What the rule and its strategy need, in order."""


def decision_path(rulebook: Rulebook, situation: Situation | None = None) -> tuple[Step, ...]:
    """Every rule of the strategy list, in order; with a `situation`, what became of each on the way to the first that holds."""
    out: list[Step] = []
    is_decided = False
    for number, rule in enumerate(rulebook.strategy_rules, start=1):
        assert rule.recommend is not None
        wanted = conditions(rule, rulebook.strategies[rule.recommend])
        seen = None if is_decided else situation
        verdict = all_of(wanted, seen) if seen is not None else None
        state: State = "listed" if situation is None else "not reached"
        if verdict is not None:
            state = _STATES[verdict]
        is_decided = is_decided or verdict is Verdict.HOLDS
        told = tuple(dict.fromkeys(_condition(p, seen) for p in wanted))
        out.append(
            Step(
                number=number,
                rule=rule.id,
                strategy=rule.recommend,
                because=rule.because,
                place=rule.place,
                state=state,
                conditions=told,
            )
        )
    return tuple(out)


def _condition(predicate: Predicate, situation: Situation | None) -> Condition:
    if situation is None:
        return Condition(fact=predicate.fact, wanted=predicate.wanted())
    value = situation.value(predicate.fact)
    verdict = predicate.verdict(situation)
    said = predicate.wanted() if verdict is Verdict.HOLDS and isinstance(predicate, Is | OneOf) else predicate.say(value)
    return Condition(fact=predicate.fact, wanted=predicate.wanted(), verdict=verdict, said=said, short=_short(predicate, value, verdict))


def _short(predicate: Predicate, value: Any, verdict: Verdict) -> str:
    """How far `value` is from the threshold."""
    if verdict is not Verdict.FAILS or isinstance(value, Unknown | bool) or not isinstance(value, int | float):
        return ""
    match predicate:
        case AtLeast(threshold=threshold):
            return f"{show_number(threshold - value, predicate.about.unit)} short"
        case Below(threshold=threshold):
            over = value - threshold + (1 if predicate.about.kind == "integer" and threshold == int(threshold) else 0)
            return f"{show_number(over, predicate.about.unit)} too many" if over else "just reached"
    return ""
