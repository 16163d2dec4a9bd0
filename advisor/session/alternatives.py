"""The plans that were not recommended, each with what it would take: what a person compares before agreeing."""

from __future__ import annotations

from advisor.core.errors import AdvisorError
from advisor.core.explain import differences
from advisor.core.facts import Facts
from advisor.core.plan import Plan, Strategy
from advisor.core.recommend import recommend
from advisor.core.value import Value
from advisor.session.planning import rulebook

MOST_DIFFERENCES = 24
"""Fields that differ, at most so many: a person reads no more."""


class Alternative(Value):
    """One strategy asked for in place of the recommended one."""

    strategy: Strategy
    """The strategy."""
    refusal: str = ""
    """Why it cannot be had here; empty where it can."""
    trials: int = 0
    """Full evaluations expected."""
    seconds_p50: float = 0.0
    """Median of the finish."""
    seconds_p90: float = 0.0
    """90th percentile of the finish."""
    differs: tuple[str, ...] = ()
    """What would be different, ``field: now → then``."""
    against: tuple[str, ...] = ()
    """What spoke against it."""


def alternatives(facts: Facts, plan: Plan) -> tuple[Alternative, ...]:
    """Every other strategy with its forecast, those that can be had first; `plan` tells what spoke against each.

    Differences are those to the plan that the rules give: what a person has set by hand is kept under every strategy.
    """
    rules = rulebook()
    base = recommend(facts, rules, flips=False)
    found = []
    for strategy in Strategy:
        if strategy is plan.strategy:
            continue
        against = next((r.failed for r in plan.rejected if r.strategy is strategy), ())
        wished = facts.model_copy(update={"answers": facts.answers.model_copy(update={"strategy": strategy.value})})
        try:
            other = recommend(wished, rules, flips=False)
        except AdvisorError as error:
            found.append(Alternative(strategy=strategy, refusal=error.what, against=against))
            continue
        lines = [f"{d.field}: {d.now} → {d.then}" for d in differences(base, other)]
        found.append(
            Alternative(
                strategy=strategy,
                trials=other.forecast.trials,
                seconds_p50=other.forecast.seconds_p50,
                seconds_p90=other.forecast.seconds_p90,
                differs=tuple(lines[:MOST_DIFFERENCES]),
                against=against,
            )
        )
    return tuple(sorted(found, key=lambda a: bool(a.refusal)))
