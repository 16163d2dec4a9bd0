"""What a library's own loop ended with, scored on the splits of the search as any other configuration, so that it can be confirmed."""

from __future__ import annotations

from functools import partial

from advisor.core.events import Noted, TrialState
from advisor.core.lineage import schedule_of
from advisor.core.plan import Stage, Strategy
from advisor.core.ports import Proposal
from advisor.core.space import Config
from advisor.session.reserving import reserve
from advisor.session.walking import Walk

VERIFY = "verify"
"""Name of the stage."""
COURSE = "course"
"""Under which name a network takes a schedule: pairs of an epoch and what holds from after it on."""
LOOPS = (Strategy.PBT, Strategy.HYPERGRADIENT)


def verify(walk: Walk, stage: Stage) -> None:
    """One trial of what `stage` ended with; an objective of the user's own has its value already."""
    from advisor.engines.portfolio import FixedEngine

    if walk.is_own or stage.strategy not in LOOPS or walk.was_interrupted:
        return
    found = _learned(walk, stage) if stage.strategy is Strategy.PBT else _found(walk, stage)
    if found is None:
        walk.recorder.emit(Noted(level="warning", text=f"The {stage.strategy} ended before it had found a configuration."))
        return
    scoring = stage.model_copy(update={"name": VERIFY, "strategy": Strategy.PORTFOLIO, "trials": 1})
    engine = FixedEngine([Proposal(0, found, family=walk.plan.family)])
    walk.drive(engine, stage=scoring, space=walk.plan.space, reserve=partial(reserve, walk), max_trials=None)


def _found(walk: Walk, stage: Stage) -> Config | None:
    """The configuration that hypergradients trained in full at last."""
    ended = [t for t in _ended(walk, stage) if t.key == 2]
    return ended[-1].config if ended else None


def _learned(walk: Walk, stage: Stage) -> Config | None:
    """The schedule of the population's best member, as a configuration of the network."""
    sign = 1 if walk.plan.direction == "maximize" else -1
    ended = _ended(walk, stage)
    if not ended:
        return None
    best = max(ended, key=lambda t: (sign * (t.value or 0.0), -t.number))
    schedule = schedule_of(walk.recorder.state.trials, best.number)
    first = {**walk.plan.space.default(), **schedule[0][1]}
    return {**first, COURSE: [[step, dict(config)] for step, config in schedule[1:]]} if len(schedule) > 1 else first


def _ended(walk: Walk, stage: Stage) -> list[TrialState]:
    return [t for t in walk.recorder.state.trials.values() if t.stage == stage.name and t.status == "completed"]
