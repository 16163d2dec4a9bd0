"""Pilot and search: the race of families, the revision of the plan by what was measured, and the stages that propose."""

from __future__ import annotations

import re
import sys
from functools import partial
from statistics import median
from typing import Any

from advisor.core.errors import CannotRunError, InputError
from advisor.core.events import Noted, PlanRevised, StageStarted, TrialState
from advisor.core.facts import Measured
from advisor.core.plan import Plan, Stage, Strategy
from advisor.core.ports import Engine, Result
from advisor.core.space import Config, SearchSpace
from advisor.core.value import round_significant
from advisor.engines.portfolio import PortfolioEngine
from advisor.session.piloting import prepare, with_rates
from advisor.session.planning import changes, recommend
from advisor.session.proposing import base_config, engine_for, loop_for, plan_space
from advisor.session.race import longest_of_pilot, race
from advisor.session.recording import Filled, Settling
from advisor.session.reserving import reserve
from advisor.session.verifying import reserve_with_replay, verify
from advisor.session.walking import Walk
from advisor.supervise.resumption import result_of

SPARE_RATIO = 0.2
"""Another family is searched when at least this share of the budget is left once the first one's search is exhausted. [H]"""


def pilot(walk: Walk) -> None:
    """Races the shortlist with its starting configurations; the winner and its measured fit time may revise the plan.

    Raises: CannotRunError when not even one configuration could be evaluated, with the first one's error.
    """
    if walk.traces:
        _pilot_of_traces(walk)
        return
    state = walk.recorder.state
    is_over = state.is_measured or any(s.stage != "pilot" for s in state.stages)
    prepare(walk)
    first, plan = walk.first, walk.plan
    engine, most = race(walk)
    soft_end = walk.recorder.elapsed() + plan.budget.pilot_seconds
    goes_on = walk.drive(
        engine,
        stage=plan.stages[0],
        space=plan.space,
        reserve=partial(reserve, walk),
        soft_end=soft_end,
        at_least=len(first.shortlist),
        is_over=is_over,
        max_trials=most,
        longest=partial(longest_of_pilot, walk),
    )
    if not goes_on or not _has_finished(walk):
        return
    winner = engine.winner()
    if not is_over:
        _revise(walk, winner.family, winner.reason)
    walk.histories = {c.family: engine.history(c.family) for c in first.shortlist}
    walk.ranking = [name for name, score in engine.ranking() if score is not None]


def _pilot_of_traces(walk: Walk) -> None:
    """The pilot of an objective that draws its own values: what it asks for becomes the space, and the rules look again."""
    from advisor.session.tracing import history, trace

    if not trace(walk) or not _has_finished(walk):
        return
    if not walk.recorder.state.revisions:
        _revise(walk, walk.plan.family, "The objective has told its space.")
    walk.histories = {walk.plan.family: history(walk.recorder.state)}
    walk.ranking = [walk.plan.family]


def _frame(detail: str) -> str:
    """The last line of the user's code that a trace names, as `` in FILE, line N``; empty where it names none."""
    found = re.findall(r'File "([^"]+)", line (\d+)', detail)
    own = [place for place in found if not any(part in place[0] for part in _LIBRARIES)] or found
    return f" in {own[-1][0]}, line {own[-1][1]}" if own else ""


_LIBRARIES = ("site-packages", "dist-packages", f"python{sys.version_info[0]}.{sys.version_info[1]}/")
"""Parts of a path that is no code of the user's."""


def _has_finished(walk: Walk) -> bool:
    """True when the pilot has a score.

    Raises: CannotRunError when no configuration could be evaluated, with the first one's error; InputError where that is
    the fault of an objective of the user's own.
    """
    tried = [t for t in walk.recorder.state.trials.values() if t.stage == "pilot" and t.status != "interrupted"]
    broken = [t for t in tried if t.status == "failed"]
    if tried and len(broken) == len(tried) and all(t.category not in ("deadline", "timeout") for t in broken):
        own = walk.facts.objective
        is_theirs = own is not None and own.kind != "estimator" and all(t.category in ("error", "invalid") for t in broken)
        kind = InputError if is_theirs else CannotRunError
        tries = f", {len(broken)} tried" if len(broken) > 1 else ""
        raise kind(
            f"no configuration could be evaluated{tries}: {broken[0].cause}",
            where=f"trial {broken[0].number}{_frame(broken[0].detail)}",
            cure=broken[0].cure or "Correct the cause; what the trial printed lies in the run's logs.",
        )
    return any(t.status == "completed" for t in tried)


def _revise(walk: Walk, winner: str, reason: str) -> None:
    """Puts the measured fit times and the winner of the race before the rules again; both plans are kept."""
    measured = _measured(walk)
    revised = _replanned(walk, winner, measured)
    if revised is None:
        return
    revised = with_rates(walk, revised)
    times = ", ".join(f"{m.family} {m.fit_seconds:g} s" for m in measured)
    walk.recorder.emit(
        PlanRevised(
            plan=revised.to_mapping(),
            reason=f"{reason} One fit takes: {times}.",
            changes=changes(walk.plan, revised),
            measured=tuple(m.model_dump(mode="json") for m in measured),
        )
    )
    walk.plan = revised


def _replanned(walk: Walk, family: str, measured: tuple[Measured, ...], *, seconds: float | None = None) -> Plan | None:
    """What the rules say once `family` and its fit time are known; None when the plan in force stays.

    The splits, the score and the workers stay, so that what was scored before compares with what comes.
    """
    plan = walk.plan
    if not walk.follows_facts:
        return plan.model_copy(update={"family": family}) if family != plan.family else None
    told: dict[str, Any] = {} if walk.is_own else {"model": family}
    answers = walk.facts.answers.model_copy(update=told | ({} if seconds is None else {"budget_seconds": seconds}))
    try:
        revised = recommend(walk.facts.model_copy(update={"measured": measured, "answers": answers}))
    except CannotRunError as error:
        walk.recorder.emit(Noted(level="warning", text=f"The plan stays with {plan.family}: {error.what}."))
        return None
    kept: dict[str, Any] = {
        "validation": plan.validation,
        "metric": plan.metric,
        "direction": plan.direction,
        "envelope": revised.envelope.model_copy(
            update={"workers": plan.envelope.workers, "threads_per_worker": plan.envelope.threads_per_worker}
        ),
    }
    return walk.with_batches(revised.model_copy(update=kept))


def _measured(walk: Walk) -> tuple[Measured, ...]:
    """The measured facts of every family with a finished trial, rounded as the rules see them."""
    by_family: dict[str, list[TrialState]] = {}
    splits = walk.plan.validation.splits
    for t in walk.recorder.state.trials.values():
        if t.status == "completed" and t.fit_seconds > 0 and t.rows is None:
            by_family.setdefault(t.family, []).append(t)
    return tuple(
        Measured(
            family=name,
            fit_seconds=round_significant(median(t.seconds / splits if walk.is_own else t.fit_seconds for t in trials)),
            **({"peak_bytes": peak} if (peak := int(round_significant(max(t.peak_bytes for t in trials)))) else {}),
        )
        for name, trials in sorted(by_family.items())
    )


def search(walk: Walk) -> None:
    """Runs every stage between pilot and confirm, as far as time and the cap on trials allow.

    Where the search of the winner is exhausted early, as a grid is, the time left goes to the next family of the race.
    """
    if walk.plan.strategy is Strategy.DEFAULT:
        _race_on(walk)
    _search_stages(walk)
    while _has_spare_time(walk) and (runner_up := _runner_up(walk)) is not None:
        if not _turn_to(walk, runner_up):
            return
        _search_stages(walk)


def _race_on(walk: Walk) -> None:
    """Lets the race go on in the time that is left, where fits turned out too slow for any search."""
    state, plan = walk.recorder.state, walk.plan
    if walk.has_stopped or walk.was_interrupted or any(s.stage == "confirm" for s in state.stages):
        return
    first = walk.first
    engine = PortfolioEngine(first.shortlist, direction=plan.direction, splits=plan.validation.splits)
    walk.drive(engine, stage=first.stages[0], space=first.space, reserve=partial(reserve, walk), max_trials=None)
    walk.histories = {c.family: engine.history(c.family) for c in first.shortlist}
    walk.ranking = [name for name, score in engine.ranking() if score is not None]


def _search_stages(walk: Walk) -> None:
    stages = [s for s in walk.plan.stages if s.name not in ("pilot", "confirm")]
    for position, stage in enumerate(stages):
        history = walk.histories.get(walk.plan.family, [])
        if walk.has_stopped or walk.was_interrupted or not history:
            return
        later = {s.name for s in stages[position + 1 :]} | {"confirm"}
        left = walk.trials_left()
        if any(s.stage in later for s in walk.recorder.state.stages) or _spare_seconds(walk) <= 0 or left == 0:
            continue
        loop = loop_for(walk, stage)
        if loop is not None:
            walk.run_loop(loop, stage=stage, space=plan_space(walk, stage), reserve=partial(reserve_with_replay, walk, stage=stage))
            verify(walk, stage)
            continue
        if stage.strategy is not Strategy.GRID:
            history = [*history, *_evaluated(walk, stages[:position], plan_space(walk, stage), base_config(walk, stage))]
        engine: Engine
        engine, space = engine_for(walk, stage, coarse=stages[position - 1] if position else None, history=history)
        own = sum(t.stage == stage.name and t.status != "interrupted" for t in walk.recorder.state.trials.values())
        engine = Filled(engine, walk.plan.space, base_config(walk, stage), space.parameters)
        if stage.strategy in SETTLING:
            engine = _settling(walk, engine, len(space.free), history)
        walk.drive(engine, stage=stage, space=space, reserve=partial(reserve, walk), max_trials=None if left is None else left + own)


def _evaluated(walk: Walk, stages: list[Stage], moving: SearchSpace, base: Config) -> list[tuple[Config, Result]]:
    """What earlier search stages evaluated, as far as everything that does not move now had the value it has now."""
    names = [s.name for s in stages]
    still = {n: v for n, v in base.items() if n not in moving.parameters}
    return [
        (t.config, result_of(t))
        for t in walk.recorder.state.trials.values()
        if t.stage in names
        and t.family == walk.plan.family
        and t.rows is None
        and t.status in ("completed", "pruned", "failed")
        and all(t.config.get(n) == v for n, v in still.items())
    ]


SETTLING = (Strategy.RANDOM, Strategy.QMC, Strategy.TPE, Strategy.GP, Strategy.CMAES)
"""Searches without an end of their own: they end when further trials are not worth their time."""


def _settling(walk: Walk, engine: Engine, dimensions: int, history: list[tuple[Config, Result]]) -> Engine:
    def note(reason: str) -> None:
        walk.recorder.emit(
            Noted(text=f"The search of {walk.plan.family} ended early: {reason}; {max(_spare_seconds(walk), 0):.0f} s were left.")
        )

    sign = 1 if walk.plan.direction == "minimize" else -1
    return Settling(engine, sign=sign, dimensions=dimensions, history=history, note=note)


def _spare_seconds(walk: Walk) -> float:
    return walk.remaining() - reserve(walk, walk.recorder.state)


def _has_spare_time(walk: Walk) -> bool:
    """True when so much time is left that another family can be searched in it."""
    user_cap, state = walk.facts.answers.trials, walk.recorder.state
    if walk.has_stopped or walk.was_interrupted or state.confirmed is not None or any(s.stage == "confirm" for s in state.stages):
        return False
    if user_cap is not None and sum(t.status != "interrupted" for t in state.trials.values()) >= user_cap:
        return False
    return _spare_seconds(walk) > SPARE_RATIO * walk.plan.budget.seconds


def _runner_up(walk: Walk) -> str | None:
    """The best family of the race that has not been searched; None when there is none, or the user named the strategy."""
    if not walk.follows_facts or walk.facts.answers.strategy != "auto":
        return None
    searched = {t.family for t in walk.recorder.state.trials.values() if t.stage not in ("pilot", "confirm")} | {walk.plan.family}
    return next((name for name in walk.ranking if name not in searched), None)


def _turn_to(walk: Walk, family: str) -> bool:
    """Puts a search of `family` into the plan for the time that is left; False when the rules have none to offer."""
    measured = _measured(walk)
    spare = _spare_seconds(walk)
    offered = _replanned(walk, family, measured, seconds=max(spare, 1.0))
    own = [s for s in offered.stages if s.name not in ("pilot", "confirm")] if offered is not None else []
    if offered is None or not own:
        return False
    further = sum(s.name.startswith("runner_up") for s in walk.plan.stages)
    name = "runner_up" if not further else f"runner_up_{further + 1}"
    stage = own[0].model_copy(update={"name": name, "seconds": round(spare, 1)})
    before = [s for s in walk.plan.stages if s.name != "confirm"]
    after = [s for s in walk.plan.stages if s.name == "confirm"]
    plan = walk.plan.model_copy(
        update={
            "family": family,
            "shortlist": (offered.candidate, *(c for c in walk.plan.shortlist if c.family != family)),
            "strategy": offered.strategy,
            "sampler": offered.sampler,
            "pruner": offered.pruner,
            "budget": walk.plan.budget.model_copy(update={"trials_cap": offered.budget.trials_cap}),
            "stages": (*before, stage, *after),
        }
    )
    walk.recorder.emit(
        StageStarted(
            stage=stage.name,
            strategy=stage.strategy.value,
            engine=stage.engine,
            space={n: p.model_dump(mode="json") for n, p in offered.space.items()},
        ),
        PlanRevised(
            plan=plan.to_mapping(),
            reason=f"The search of {walk.plan.family} is exhausted with {spare:.0f} s left: {family}, next in the race, is searched too.",
            changes=changes(walk.plan, plan),
            measured=tuple(m.model_dump(mode="json") for m in measured),
        ),
    )
    walk.plan = plan
    return True
