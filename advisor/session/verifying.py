"""What a library's own loop ended with, scored on the splits of the search as any other configuration, so that it can be confirmed."""

from __future__ import annotations

from functools import partial
from statistics import median

from advisor.core.events import ConfigChanged, Noted, StudyState, TrialState
from advisor.core.lineage import Schedule, schedule_of
from advisor.core.plan import Stage, Strategy
from advisor.core.ports import Proposal
from advisor.core.space import Config
from advisor.session.proposing import base_config
from advisor.session.reserving import SLACK, reserve
from advisor.session.walking import Walk

VERIFY = "verify"
"""Name of the stage."""
COURSE = "course"
"""Under which name a network takes a schedule: pairs of an epoch and what holds from after it on."""
LOOPS = (Strategy.PBT, Strategy.HYPERGRADIENT)


REPLAY = "replay"
"""Under which purpose the workers know an objective of the user's own that is trained under a schedule."""
UNEVEN = 0.2
"""Members of a population that was ended early are compared where they are at most this share of the furthest one's steps behind. [H]"""


def reserve_with_replay(walk: Walk, state: StudyState, *, stage: Stage) -> float:
    """Seconds kept back from a library's own loop: what follows anyway, and one trial of what it ends with.

    An objective of the user's own needs that trial only while no member of its population has trained to the end.
    """
    kept = reserve(walk, state)
    if stage.strategy not in LOOPS or (walk.is_own and (stage.strategy is not Strategy.PBT or _ended(walk, stage))):
        return kept
    seconds = [t.seconds for t in state.trials.values() if t.status == "completed" and t.family == walk.plan.family and t.rows is None]
    return kept + SLACK * median(seconds) if seconds else kept


def verify(walk: Walk, stage: Stage) -> None:
    """One trial of what `stage` ended with. An objective of the user's own has its value already, unless its population was ended early."""
    if stage.strategy not in LOOPS or walk.was_interrupted:
        return
    if walk.is_own:
        if stage.strategy is Strategy.PBT and not _ended(walk, stage):
            _replay(walk, stage)
        return
    learned = _learned(walk, stage) if stage.strategy is Strategy.PBT else None
    found = _found(walk, stage) if stage.strategy is not Strategy.PBT else _course(learned) if learned is not None else None
    if found is None:
        walk.recorder.emit(Noted(level="warning", text=f"The {stage.strategy} ended before it had found a configuration."))
        return
    _score(walk, stage, found)


def _score(walk: Walk, stage: Stage, config: Config, *, purpose: str = "search") -> None:
    """One trial of `config`, in a stage of its own."""
    from advisor.engines.portfolio import FixedEngine

    scoring = stage.model_copy(update={"name": VERIFY, "strategy": Strategy.PORTFOLIO, "trials": 1})
    engine = FixedEngine([Proposal(0, config, family=walk.plan.family)])
    walk.drive(
        engine,
        stage=scoring,
        space=walk.plan.space,
        purpose=purpose,
        reserve=partial(reserve, walk),
        longest=walk.remaining,
        max_trials=None,
    )


def _replay(walk: Walk, stage: Stage) -> None:
    """Trains one model under the schedule of the population's best member so far, whose members all stood short of the last step."""
    from advisor.engines.schedule import Replay

    schedule = _learned(walk, stage)
    if schedule is None or walk.brought is None:
        walk.recorder.emit(Noted(level="warning", text="The population ended before any of its members had measured anything."))
        return
    walk.pool.register(f"{REPLAY}/{walk.plan.family}", Replay(walk.brought, schedule))
    _score(walk, stage, schedule[0][1], purpose=REPLAY)
    done = next((t for t in walk.recorder.state.trials.values() if t.stage == VERIFY and t.status == "completed"), None)
    if done is None:
        walk.recorder.emit(
            Noted(level="warning", text="There was no time to train a model under the schedule that the population had learned.")
        )
    elif done.is_static:
        for step, config in schedule[1:]:
            because = "the schedule that the population had learned when its time was up"
            walk.recorder.emit(ConfigChanged(trial=done.number, step=step, config=config, reason=because))


def _found(walk: Walk, stage: Stage) -> Config | None:
    """The configuration that hypergradients trained in full at last."""
    ended = [t for t in _ended(walk, stage) if t.key == 2]
    return ended[-1].config if ended else None


def _learned(walk: Walk, stage: Stage) -> Schedule | None:
    """The schedule of the population's best member: of those that trained to the end, else of those that came furthest."""
    sign = 1 if walk.plan.direction == "maximize" else -1
    ended = _ended(walk, stage) or _furthest(walk, stage)
    if not ended:
        return None
    best = max(ended, key=lambda t: (sign * (t.value or 0.0), -t.number))
    still, space = base_config(walk, stage), walk.plan.space
    return tuple((step, space.active({**still, **config})) for step, config in schedule_of(walk.recorder.state.trials, best.number))


def _course(schedule: Schedule) -> Config:
    """A schedule as one configuration of a network."""
    first = schedule[0][1]
    return {**first, COURSE: [[step, dict(config)] for step, config in schedule[1:]]} if len(schedule) > 1 else first


def _ended(walk: Walk, stage: Stage) -> list[TrialState]:
    return [t for t in walk.recorder.state.trials.values() if t.stage == stage.name and t.status == "completed"]


def _furthest(walk: Walk, stage: Stage) -> list[TrialState]:
    """Members that were stopped on their way, those apart that are far behind: a score of fewer steps says less."""
    stopped = [t for t in walk.recorder.state.trials.values() if t.stage == stage.name and t.status == "pruned" and t.steps]
    furthest = max((t.steps[-1][0] for t in stopped), default=0)
    return [t for t in stopped if t.steps[-1][0] >= (1 - UNEVEN) * furthest]
