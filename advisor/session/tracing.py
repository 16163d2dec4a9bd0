"""Learning the space of an objective that draws its own values as it runs: an Optuna objective, taken as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from advisor.core.events import StudyState
from advisor.core.objective import Fidelity
from advisor.core.ports import Result
from advisor.core.space import Choice, Config, Int
from advisor.core.value import decode
from advisor.session.race import LAST_RESORT, draw, longest_of_pilot
from advisor.session.reserving import reserve
from advisor.session.walking import Walk
from advisor.supervise.resumption import result_of

MOST_TRACES = 10
"""Trials that are spent on learning a space at most. Source: TPE's own random start-up has ten (knowledge A.1)."""


def trace(walk: Walk) -> bool:
    """Runs the objective until every choice it offers was taken once, so that what hangs on them is known; False when interrupted."""
    from advisor.engines.tracing import TracingEngine

    state = walk.recorder.state
    is_over = bool(state.revisions) or any(s.stage != "pilot" for s in state.stages)
    engine = TracingEngine(partial(_look, walk), seed=walk.plan.seed)
    goes_on = walk.drive(
        engine,
        stage=walk.plan.stages[0],
        space=walk.plan.space,
        reserve=partial(reserve, walk),
        soft_end=walk.recorder.elapsed() + 0.5 * walk.remaining(),
        is_over=is_over,
        max_trials=walk.facts.answers.trials,
        longest=partial(longest_of_pilot, walk),
    )
    settle(walk)
    return goes_on


def _look(walk: Walk, number: int, records: Sequence[Mapping[str, Any]]) -> Config | None:
    """`next_look`; where it has nothing more to see and no trial has a value yet, a draw from the space so far, a few times."""
    from advisor.objectives.spaces import merge

    wanted = next_look(number, records)
    if wanted is not None or walk.recorder.state.best is not None or number > LAST_RESORT or not records:
        return wanted
    return draw(merge(None, records), seed=walk.plan.seed, number=number)


def next_look(number: int, records: Sequence[Mapping[str, Any]]) -> Config | None:
    """What trial `number` should ask for: each choice's next value and each integer's end; None when all were seen."""
    from advisor.objectives.spaces import merge

    if number >= MOST_TRACES or not records:
        return None
    space = merge(None, records)
    seen = [decode(r["config"]) for r in records]
    wanted: Config = {}
    for name, parameter in space.items():
        values = [c[name] for c in seen if name in c]
        options: tuple[Any, ...] = ()
        if isinstance(parameter, Choice):
            options = parameter.choices
        elif isinstance(parameter, Int):
            options = (parameter.high, parameter.low)
        left = [o for o in options if not any(type(o) is type(v) and o == v for v in values)]
        if left:
            wanted[name] = left[0]
    return wanted or None


def settle(walk: Walk) -> None:
    """Puts what the trials asked for into the facts: the space, and the steps where they reported any."""
    from advisor.objectives.spaces import merge

    own, state = walk.facts.objective, walk.recorder.state
    records = [t.suggested for t in state.trials.values() if t.stage == "pilot" and t.suggested is not None]
    if own is None or not records:
        return
    fidelity = own.fidelity
    steps = [len(t.steps) for t in state.trials.values() if t.stage == "pilot" and t.status == "completed"]
    if fidelity is None and steps and min(steps) > 1:
        fidelity = Fidelity("step", 1, max(t.steps[-1][0] for t in state.trials.values() if t.steps))
    told = own.model_copy(update={"space": merge(None, records), "fidelity": fidelity})
    walk.facts = walk.facts.model_copy(update={"objective": told})


def history(state: StudyState) -> list[tuple[Config, Result]]:
    """The configurations of the pilot as they really ran, with their ends."""
    return [(t.config, result_of(t)) for t in state.trials.values() if t.stage == "pilot" and t.status in ("completed", "pruned", "failed")]
