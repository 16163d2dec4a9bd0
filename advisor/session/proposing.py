"""Which engine executes a stage: the strategy of the plan, the library that runs it, and what it is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from advisor.core.errors import CannotRunError
from advisor.core.events import Noted
from advisor.core.plan import Stage, Strategy
from advisor.core.ports import Engine, LibraryLoop, Result
from advisor.core.space import Choice, Config, SearchSpace
from advisor.engines.revising import History
from advisor.session.walking import Walk

ENDLESS_TRIALS = 100_000
"""A random search that the clock ends: more candidates than any budget affords."""


_OPTUNA: dict[Strategy, Literal["tpe", "gp", "cmaes", "qmc", "asha", "hyperband"]] = {
    Strategy.TPE: "tpe",
    Strategy.GP: "gp",
    Strategy.CMAES: "cmaes",
    Strategy.QMC: "qmc",
    Strategy.ASHA: "asha",
    Strategy.HYPERBAND: "hyperband",
}


REVISABLE = (Strategy.TPE, Strategy.GP, Strategy.CMAES)
"""Of Optuna's: those that learn, whose space may change. A sequence or a bracket is fixed when it begins."""
HALVING_SHARE = 0.8
"""Share of the forecast trials that a ladder may cost: one that the clock cuts off has no trial on all rows. [H]"""


def _seed_of(seed: int, revision: int) -> int:
    """The seed of the engine that a revision makes: what it draws must not repeat what the one before has drawn."""
    return (seed + 1_000_003 * revision) % 2**32


def plan_space(walk: Walk, stage: Stage) -> SearchSpace:
    """The space a stage moves in: parameters that it does not name stay at the best so far.

    What hangs on one of those moves where the condition holds at that value, and is left out where it does not.
    """
    space = walk.plan.space
    if not stage.space:
        return space
    base, moving = base_config(walk, stage), {}
    for name in stage.space:
        parameter = space.parameters[name]
        outside = {n: v for n, v in (parameter.when or {}).items() if n not in stage.space}
        if any(base.get(n) not in values for n, values in outside.items()):
            continue
        within = {n: v for n, v in (parameter.when or {}).items() if n in stage.space}
        moving[name] = parameter.model_copy(update={"when": within or None}) if outside else parameter
    return SearchSpace(parameters=moving)


def engine_for(walk: Walk, stage: Stage, *, coarse: Stage | None, history: list[tuple[Config, Result]]) -> tuple[Engine, SearchSpace]:
    """The engine of a search stage, and the space it moves in.

    Raises: CannotRunError when no engine of this version runs the strategy.
    """
    plan = walk.plan
    space = plan_space(walk, stage)
    common: dict[str, Any] = {"direction": plan.direction, "seed": plan.seed, "history": history}
    match stage.strategy:
        case Strategy.GRID:
            from advisor.engines.levels import levels, refine
            from advisor.engines.sklearn_search import GridEngine

            grid = levels(space, stage.trials)
            best = _best_config(walk, stages=("pilot", "coarse"))
            if stage.name == "fine" and coarse is not None and best is not None:
                grid = refine(space, best, levels(space, coarse.trials), stage.trials)
            return GridEngine(space, levels=grid, splits=plan.validation.splits, **common), space
        case Strategy.RANDOM | Strategy.PORTFOLIO:
            return _revising(walk, space, _make_random(walk), common), space
        case Strategy.HALVING:
            return _halving(walk, stage, space, common), space
        case Strategy.HYPERBAND if walk.facts.objective is not None and walk.facts.objective.kind == "keras":
            from advisor.engines.keras_tuner import KerasTunerEngine

            epochs = _rungs(walk, stage.strategy)
            return (
                KerasTunerEngine(
                    space,
                    max_epochs=epochs["max_resource"],
                    min_epochs=epochs["min_resource"],
                    factor=int(plan.sampler.get("reduction_factor", 3)),
                    hyperband_iterations=None,
                    **common,
                ),
                space,
            )
        case Strategy.TPE | Strategy.GP | Strategy.CMAES | Strategy.QMC | Strategy.ASHA | Strategy.HYPERBAND:
            make = _make_optuna(walk, stage.strategy)
            if stage.strategy in REVISABLE:
                return _revising(walk, space, make, common), space
            return make(space, common["history"], 0), space
        case _:
            raise CannotRunError(
                f"the strategy {stage.strategy} cannot be executed by this version",
                where=f"stage {stage.name}",
                cure="Choose another with --strategy.",
            )


Make = Callable[[SearchSpace, History, int], Engine]
"""Makes an engine for a space, what was evaluated, and the number of the revision."""


def _make_optuna(walk: Walk, strategy: Strategy) -> Make:
    from advisor.engines.optuna_study import OptunaEngine

    plan = walk.plan

    def make(space: SearchSpace, history: History, revision: int) -> Engine:
        return OptunaEngine(
            space,
            strategy=_OPTUNA[strategy],
            settings=plan.sampler | _rungs(walk, strategy),
            pruner=plan.pruner,
            constant_liar=plan.envelope.workers > 1,
            direction=plan.direction,
            seed=_seed_of(plan.seed, revision),
            history=list(history),
            starts=_starts_left(walk, space),
            steps=steps_of(walk),
            budget_seconds=plan.budget.seconds * plan.envelope.workers,
            note=lambda text: walk.recorder.emit(Noted(text=text)),
            warps=walk.is_own and walk.facts.answers.strategy == "auto",  # what was asked for by name stays the library's own
        )

    return make


def _make_random(walk: Walk) -> Make:
    from advisor.engines.sklearn_search import RandomEngine
    from advisor.engines.starting import StartingEngine

    plan = walk.plan
    wanted = plan.budget.trials_cap or ENDLESS_TRIALS

    def make(space: SearchSpace, history: History, revision: int) -> Engine:
        engine = RandomEngine(
            space,
            n_iter=wanted,
            splits=plan.validation.splits,
            direction=plan.direction,
            seed=_seed_of(plan.seed, revision),
            history=list(history),
        )
        known = [space.active(config) for config, _ in history]
        starts = [s for s in _starts_left(walk, space) if s not in known]
        return StartingEngine(engine, starts, seed=plan.seed) if starts else engine

    return make


def _revising(walk: Walk, space: SearchSpace, make: Make, common: dict[str, Any]) -> Engine:
    """The engine, whose space follows what its trials find; each change is journalled."""
    from advisor.engines.revising import RevisingEngine

    return RevisingEngine(
        make,
        space,
        direction=common["direction"],
        history=common["history"],
        note=lambda text: walk.recorder.emit(Noted(level="warning", text=text)),
    )


def _halving(walk: Walk, stage: Stage, space: SearchSpace, common: dict[str, Any]) -> Engine:
    """Successive halving on rows: the grid where all of it can be afforded, else as many draws as can."""
    from advisor.engines.sklearn_search import HalvingGridEngine, HalvingRandomEngine

    plan, prepared = walk.plan, walk.prepared
    rows, classes, splits = prepared.development_rows, len(prepared.classes), plan.validation.splits
    candidates, is_grid = halving_candidates(
        space,
        trials=stage.trials,
        rows=rows,
        classes=classes,
        splits=splits,
        power=walk.family(plan.family).cost.rows_power,
        is_capped=walk.facts.answers.trials is not None,
    )
    given: dict[str, Any] = {"splits": splits, "rows": rows, "classes": classes, **common}
    if is_grid:
        return HalvingGridEngine(space, trials=candidates, **given)
    return HalvingRandomEngine(space, n_candidates=candidates, **given)


def halving_candidates(
    space: SearchSpace, *, trials: int, rows: int, classes: int, splits: int, power: float, is_capped: bool
) -> tuple[int, bool]:
    """How many candidates a ladder begins with that costs no more than its share of `trials` full ones, and True where they are a grid.

    `classes` is 0 for a number to predict; `power` says how a fit's cost grows with `rows`. `is_capped`: every trial counts,
    on however few rows, and a ladder of more than `trials` would have none on all rows.
    """
    from advisor.engines.rungs import FINALISTS, affordable_candidates, fewest_rows, ladder

    least = fewest_rows(classes=classes, splits=splits)
    afforded = affordable_candidates(HALVING_SHARE * trials, most=rows, least=least, power=power)
    while is_capped and afforded > 2:
        rungs = ladder(afforded, most=rows, least=least)
        if sum(rung.candidates for rung in rungs) + min(FINALISTS, rungs[-1].candidates) <= trials:
            break
        afforded -= 1
    is_small = all(isinstance(p, Choice) for n, p in space.items() if n in space.free)
    combinations = math.prod(len(p.choices) for _, p in space.items() if isinstance(p, Choice))
    if is_small and combinations <= afforded:
        return combinations, True
    return max(2, afforded), False


def loop_for(walk: Walk, stage: Stage) -> LibraryLoop | None:
    """The library that runs a stage by its own loop; None where an engine proposes and we run."""
    cluster = walk.facts.answers.cluster
    match stage.strategy:
        case Strategy.PBT:
            from advisor.engines.ray_tune import PopulationLoop

            mutable = walk.family(walk.plan.family).mutable
            return PopulationLoop(mutable=mutable, **_distributed(walk, stage))
        case Strategy.ASHA if cluster is not None:
            from advisor.engines.ray_tune import AshaLoop

            return AshaLoop(trials=walk.trials_left(), **_distributed(walk, stage))
        case Strategy.HYPERGRADIENT:
            from advisor.session.differentiating import HypergradientStage

            return HypergradientStage(walk, plan_space(walk, stage))
        case _:
            return None


def _distributed(walk: Walk, stage: Stage) -> dict[str, Any]:
    """What both of Ray's loops are given: the part of the space that moves, and an objective that knows the rest."""
    from advisor.engines.ray_tune import Cluster
    from advisor.objectives.own import Completed

    plan, space = walk.plan, plan_space(walk, stage)
    base = {n: v for n, v in base_config(walk, stage).items() if n not in space.parameters}
    starts = [s for start in plan.starts if not space.faults(s := space.active(start))]
    where = Cluster(address=walk.facts.answers.cluster, slots=plan.envelope.workers, cpus=plan.envelope.threads_per_worker)
    return {
        "objective": Completed(walk.objective(), base) if base else walk.objective(),
        "space": space,
        "direction": plan.direction,
        "steps": steps_of(walk)[1],
        "folder": walk.folder.work / "ray" / stage.name,
        "seed": plan.seed,
        "starts": [s for number, s in enumerate(starts) if s not in starts[:number]],
        "cluster": where,
    }


def steps_of(walk: Walk) -> tuple[int, int]:
    """First and last step of a full trial."""
    own = walk.facts.objective
    if own is not None and own.fidelity is not None:
        return own.fidelity.low, own.fidelity.high
    return 1, int(walk.family(walk.plan.family).fixed.get("epochs", 1))


def _starts_left(walk: Walk, space: SearchSpace) -> list[Config]:
    """Starts of a user's own objective that the pilot had no time for: the search begins with them."""
    if not walk.is_own or any(name not in space.parameters for name in walk.plan.space.free):
        return []
    return [s for start in walk.plan.shortlist[0].starts if not space.faults(s := space.active(start))]


def _rungs(walk: Walk, strategy: Strategy) -> dict[str, Any]:
    """Where the rungs of a bandit begin and end: the steps of a full trial are not known to the rules' settings."""
    if strategy not in (Strategy.ASHA, Strategy.HYPERBAND):
        return {}
    low, high = steps_of(walk)
    return {"min_resource": low} | ({"max_resource": high} if strategy is Strategy.HYPERBAND else {})


def base_config(walk: Walk, stage: Stage) -> Config:
    """What a stage leaves as it is: the best configuration of the stages before it, so that a resume finds the same; else the default."""
    names = [s.name for s in walk.plan.stages]
    before = tuple(names[: names.index(stage.name)]) if stage.name in names else ("pilot",)
    best = _best_config(walk, stages=before)
    default = walk.plan.space.default()
    return default if best is None else {**default, **best}


def _best_config(walk: Walk, *, stages: tuple[str, ...]) -> Config | None:
    """The best configuration of the planned family in the named stages that belongs to the space; the earliest of equals, so that a
    resume finds the same."""
    state, space = walk.recorder.state, walk.plan.space
    sign = 1 if state.direction == "maximize" else -1
    finished = [
        (sign * t.value, -t.number, t.config)
        for t in state.trials.values()
        if t.status == "completed" and t.family == walk.plan.family and t.stage in stages and t.value is not None and t.rows is None
        if not space.faults(space.active(t.config))
    ]
    return max(finished, key=lambda entry: entry[:2])[2] if finished else None
