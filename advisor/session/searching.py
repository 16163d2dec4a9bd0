"""Pilot and search: the race of families, the revision of the plan by what was measured, and the stages that propose."""

from __future__ import annotations

from statistics import median
from typing import Any, Literal

from advisor.core.errors import CannotRunError
from advisor.core.events import PlanRevised, TrialState
from advisor.core.facts import Measured
from advisor.core.plan import Plan, Stage, Strategy
from advisor.core.ports import Engine
from advisor.core.space import Config, SearchSpace
from advisor.core.value import round_significant
from advisor.session.planning import changes, recommend
from advisor.session.walking import Reserve, Walk

CONFIRM_CANDIDATES = 4
"""Configurations besides the default that are re-scored on fresh splits. Source: knowledge V9 re-scores the top 5 with the default."""
CONFIRM_FEW_BELOW = 15
"""Below this many trials the confirm stage holds the default and the winner only. Source: contract, 'How many trials'."""
RESERVE_SHARE = 0.45
"""The largest share of the budget that confirming and refitting may keep back. [H]"""
LARGE_GRID_TRIALS = 100_000
"""A random search that the clock ends: more candidates than any budget affords."""


_OPTUNA: dict[Strategy, Literal["tpe", "gp", "cmaes", "qmc"]] = {
    Strategy.TPE: "tpe",
    Strategy.GP: "gp",
    Strategy.CMAES: "cmaes",
    Strategy.QMC: "qmc",
}


def pilot(walk: Walk) -> None:
    """Races the shortlist with its starting configurations; the winner and its measured fit time may revise the plan.

    Raises: CannotRunError when not even one configuration could be evaluated, with the first one's error.
    """
    from advisor.engines.portfolio import PortfolioEngine

    plan, state = walk.plan, walk.recorder.state
    is_over = bool(state.revisions) or any(s.stage != "pilot" for s in state.stages)
    first = Plan.from_mapping(state.first_plan) if state.first_plan else plan
    engine = PortfolioEngine(first.shortlist, direction=plan.direction, splits=plan.validation.splits)
    soft_end = walk.recorder.elapsed() + plan.budget.pilot_seconds
    goes_on = walk.drive(
        engine,
        stage=plan.stages[0],
        space=plan.space,
        reserve=walk.reserve.confirm + walk.reserve.refit,
        soft_end=soft_end,
        is_over=is_over,
        max_trials=walk.trials_left(),
        trial_seconds=max(plan.envelope.trial_seconds, 0.5 * walk.remaining()),
    )
    if not goes_on:
        return
    tried = [t for t in walk.recorder.state.trials.values() if t.stage == "pilot" and t.status != "interrupted"]
    broken = [t for t in tried if t.status == "failed"]
    if tried and len(broken) == len(tried) and all(t.category not in ("deadline", "timeout") for t in broken):
        raise CannotRunError(
            f"no configuration could be evaluated: {broken[0].cause}",
            where=f"trial {broken[0].number}",
            cure=broken[0].cure or "Correct the cause; what the trial printed lies in the run's logs.",
        )
    if not any(t.status == "completed" for t in tried):
        return
    winner = engine.winner()
    if not is_over:
        _revise(walk, winner.family, winner.reason)
    walk.history = engine.history(walk.plan.family)


def _revise(walk: Walk, winner: str, reason: str) -> None:
    """Puts the measured fit times and the winner of the race before the rules again; both plans are kept."""
    measured = _measured(walk)
    seconds = {m.family: m.fit_seconds for m in measured}
    if winner in seconds:
        update_reserve(walk, seconds[winner])
    if walk.follows_facts:
        answers = walk.facts.answers.model_copy(update={"model": winner})
        revised = recommend(walk.facts.model_copy(update={"measured": measured, "answers": answers}))
    elif winner != walk.plan.family:
        revised = walk.plan.model_copy(update={"family": winner})
    else:
        return
    # The splits, the score and the workers stay: the pilot's scores must compare with the search's.
    kept: dict[str, Any] = {
        "validation": walk.plan.validation,
        "metric": walk.plan.metric,
        "direction": walk.plan.direction,
        "envelope": revised.envelope.model_copy(
            update={"workers": walk.plan.envelope.workers, "threads_per_worker": walk.plan.envelope.threads_per_worker}
        ),
    }
    revised = revised.model_copy(update=kept)
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


def _measured(walk: Walk) -> tuple[Measured, ...]:
    """The measured facts of every family with a finished trial, rounded as the rules see them."""
    by_family: dict[str, list[TrialState]] = {}
    for t in walk.recorder.state.trials.values():
        if t.status == "completed" and t.fit_seconds > 0:
            by_family.setdefault(t.family, []).append(t)
    return tuple(
        Measured(
            family=name,
            fit_seconds=round_significant(median(t.fit_seconds for t in trials)),
            **({"peak_bytes": peak} if (peak := int(round_significant(max(t.peak_bytes for t in trials)))) else {}),
        )
        for name, trials in sorted(by_family.items())
    )


def update_reserve(walk: Walk, fit_seconds: float) -> None:
    """Sets what is kept back from a measured fit: the default and the best few on fresh splits; then two fits, and one on all rows."""
    plan = walk.plan
    few = 2 if plan.budget.trials < CONFIRM_FEW_BELOW else CONFIRM_CANDIDATES + 1
    rounds = -(-few // plan.envelope.workers)
    confirm = 0.3 + 1.3 * fit_seconds * plan.validation.splits * rounds
    refit = 1.0 + fit_seconds * (1.5 * (2 if plan.envelope.workers == 1 else 1) + 1.8)
    ceiling = RESERVE_SHARE * plan.budget.seconds
    walk.reserve = Reserve(min(confirm, 0.55 * ceiling), min(refit, 0.45 * ceiling))


def search(walk: Walk) -> None:
    """Runs every stage between pilot and confirm, as far as time and the cap on trials allow."""
    stages = [s for s in walk.plan.stages if s.name not in ("pilot", "confirm")]
    for position, stage in enumerate(stages):
        reserve = walk.reserve.confirm + walk.reserve.refit
        if walk.has_stopped or walk.was_interrupted or not walk.history:
            return
        later = {s.name for s in stages[position + 1 :]} | {"confirm"}
        is_over = any(s.stage in later for s in walk.recorder.state.stages)
        left = walk.trials_left()
        if not is_over and (walk.remaining() <= reserve or left == 0):
            continue
        engine, space = _engine(walk, stage, coarse=stages[position - 1] if position else None)
        own = sum(t.stage == stage.name and t.status != "interrupted" for t in walk.recorder.state.trials.values())
        walk.drive(engine, stage=stage, space=space, reserve=reserve, is_over=is_over, max_trials=None if left is None else left + own)


def _engine(walk: Walk, stage: Stage, *, coarse: Stage | None) -> tuple[Engine, SearchSpace]:
    """The engine of a search stage, and the space it moves in: parameters the stage does not name stay at the best so far."""
    plan = walk.plan
    space = plan.space.restrict(stage.space) if stage.space else plan.space
    common: dict[str, Any] = {"direction": plan.direction, "seed": plan.seed, "history": walk.history}
    match stage.strategy:
        case Strategy.GRID:
            from advisor.engines.levels import levels, refine
            from advisor.engines.sklearn_search import GridEngine

            grid = levels(space, stage.trials)
            best = _best_config(walk)
            if coarse is not None and best is not None:
                grid = refine(space, best, levels(space, coarse.trials), stage.trials)
            return GridEngine(space, levels=grid, splits=plan.validation.splits, **common), space
        case Strategy.RANDOM | Strategy.PORTFOLIO:
            from advisor.engines.sklearn_search import RandomEngine

            wanted = stage.trials if plan.budget.trials_cap is not None or stage.strategy is Strategy.RANDOM else LARGE_GRID_TRIALS
            return RandomEngine(space, n_iter=wanted, splits=plan.validation.splits, **common), space
        case Strategy.TPE | Strategy.GP | Strategy.CMAES | Strategy.QMC as sampler:
            from advisor.engines.optuna_study import OptunaEngine

            return (
                OptunaEngine(
                    space,
                    strategy=_OPTUNA[sampler],
                    settings=plan.sampler,
                    pruner=plan.pruner,
                    constant_liar=plan.envelope.workers > 1,
                    **common,
                ),
                space,
            )
        case _:
            raise CannotRunError(
                f"the strategy {stage.strategy} cannot be executed by this version",
                where=f"stage {stage.name}",
                cure="Choose another with --strategy.",
            )


def _best_config(walk: Walk) -> Config | None:
    """The best configuration of the planned family so far; the earliest of equals."""
    state = walk.recorder.state
    sign = 1 if state.direction == "maximize" else -1
    finished = [
        (sign * t.value, -t.number, t.config)
        for t in state.trials.values()
        if t.status == "completed" and t.family == walk.plan.family and t.stage != "confirm" and t.value is not None
    ]
    return max(finished, key=lambda entry: entry[:2])[2] if finished else None
