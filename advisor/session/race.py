"""The race that a run begins with, and what an objective of the user's own is given where none of its starts can be evaluated."""

from __future__ import annotations

import math
import random

from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.engines.portfolio import PortfolioEngine
from advisor.session.walking import Walk

LAST_RESORT = 5
"""Draws that are tried where the default and all starts fail: the fault may be theirs (a template that cannot be fitted), and
five failures more say that it is not. [H]"""
OWN_FACTOR = 5.0
"""Times the slowest finished trial that a start of the user's may take. Source: the rule of `envelope.trial_seconds`."""
OWN_SHARE = 0.1
"""Share of the budget that it may take whatever the others took. Source: the same."""


def race(walk: Walk) -> tuple[PortfolioEngine, int | None]:
    """The engine of the pilot, and how many trials it may take; None: as many as it has."""
    first, trials, stage = walk.first, walk.facts.answers.trials, walk.plan.stages[0]
    shortlist, draws = list(first.shortlist), []
    most = None if trials is None else stage.trials
    if walk.is_own:
        candidate = shortlist[0]
        draws = [draw(candidate.space, seed=first.seed, number=n) for n in range(LAST_RESORT)]
        if trials is not None:
            shortlist[0] = candidate.model_copy(update={"starts": candidate.starts[: stage.trials]})  # the cap leaves room for draws
            most = min(trials, stage.trials + LAST_RESORT)
    return PortfolioEngine(shortlist, direction=first.direction, splits=first.validation.splits, last_resort=draws), most


def longest_of_pilot(walk: Walk) -> float:
    """Longest time, in seconds, of a trial that begins now in the pilot, which does not know yet what a fit takes.

    While nothing has finished a trial has all the time that is left: one late result is better than none. Where other
    families wait for its worker it leaves them half, the simplest among them.
    """
    state, plan, left = walk.recorder.state, walk.plan, walk.remaining()
    if state.best is None:
        tried = {t.family for t in state.trials.values()}
        waiting = sum(c.family not in tried for c in walk.first.shortlist)
        return left if waiting < walk.pool.idle else left / 2
    if not walk.is_own:
        return max(plan.envelope.trial_seconds, left / 2)
    slowest = max(t.seconds for t in state.trials.values() if t.status == "completed")
    return max(OWN_FACTOR * slowest, OWN_SHARE * plan.budget.seconds)


def draw(space: SearchSpace, *, seed: int, number: int) -> Config:
    """Draw `number` of a sequence from `space`, each parameter evenly on its scale."""
    source = random.Random(f"{seed}:{number}")
    config: Config = {}
    for name, parameter in space.items():
        if parameter.is_active(config):
            config[name] = _value(parameter, source)
    return config


def _value(parameter: Float | Int | Choice, source: random.Random) -> object:
    if isinstance(parameter, Choice):
        return source.choice(parameter.choices)
    if isinstance(parameter, Int) and not parameter.log:
        return source.randint(parameter.low, parameter.high)
    low, high = (math.log(parameter.low), math.log(parameter.high)) if parameter.log else (parameter.low, parameter.high)
    drawn = source.uniform(low, high)
    value = min(max(math.exp(drawn) if parameter.log else drawn, parameter.low), parameter.high)
    return round(value) if isinstance(parameter, Int) else value
