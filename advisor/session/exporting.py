"""A run or a plan as a plain script: what the report writes it from is put together here."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from advisor import __version__
from advisor.core.errors import AdvisorError, CannotRunError, InputError
from advisor.core.events import Noted, StudyState, TrialState
from advisor.core.facts import Column, ColumnKind, Facts, GivenRows, Task
from advisor.core.family import Family
from advisor.core.lineage import Schedule, schedule_of
from advisor.core.metrics import metric as metric_named
from advisor.core.objective import OwnObjective
from advisor.core.own import FAMILY, own_family
from advisor.core.plan import Candidate, Plan, Stage, Strategy
from advisor.core.space import Choice, Config, SearchSpace
from advisor.report.excerpts import Excerpt, excerpt
from advisor.report.script import script_text
from advisor.report.script_brief import (
    BesideCode,
    Brief,
    KerasCode,
    LadderCode,
    ModelCode,
    OwnCode,
    PopulationCode,
    SpaceCode,
    StageCode,
    TableCode,
    literal,
)
from advisor.report.script_search import EXPORTED, OPTUNA, SPACE_STAND_INS
from advisor.session.folder import RunFolder, write_atomically
from advisor.session.planning import load_plan, rulebook
from advisor.session.verifying import VERIFY

if TYPE_CHECKING:
    from advisor.session.walking import Walk

PIPELINES, COLUMNS, SPLITTING, LEVELS = (
    "advisor.objectives.pipelines",
    "advisor.profiling.columns",
    "advisor.objectives.splitting",
    "advisor.engines.levels",
)
HYPERGRADIENT = "advisor.engines.hypergradient"
HEAD_BYTES = 4 * 2**20
"""So much of a delimited file is read to find out how it is written."""
FORMATS = ("script",)
"""What `export` can write."""


def export(subject: str | Path, *, kind: str = "script", runs: str | Path = "runs") -> str:
    """The plan in a ``.toml`` file, or the run called `subject`, as the text of a script that needs no advisor.

    Raises: InputError when the plan's file cannot be read or does not hold the facts; RunNotFoundError without such a run;
    CannotRunError when no script can be written for a strategy.
    """
    if kind not in FORMATS:
        raise InputError(f"nothing is exported as {kind!r}", where="--as", cure=f"Choose one of: {', '.join(FORMATS)}.")
    if str(subject).casefold().endswith(".toml"):
        plan, facts = load_plan(subject)
        if facts is None:
            raise InputError(
                "the plan's file does not hold the facts it was made from",
                where=str(subject),
                cure="Write it with `advisor plan DATA --out plan.toml`.",
            )
        return script_of_plan(plan, facts, name=Path(subject).name)
    from advisor.session.following import find_run, follow

    run_dir = find_run(subject, runs)
    return script_of_run(RunFolder(run_dir), follow(run_dir).poll())


def write_script(folder: RunFolder, state: StudyState) -> Path:
    """``script.py`` of a run, written beside its journal; gives its path. Raises as `export` does."""
    path = folder.path / "script.py"
    write_atomically(path, script_of_run(folder, state))
    return path


WHOLE = (Strategy.HALVING, Strategy.PBT)
"""Strategies that end by themselves."""
SCRIPT_SECONDS = 3.0
"""What writing a script takes where scikit-learn's estimators have to be imported for it. Seen: 1 to 2 s on two busy cores."""

CHEAP_SCRIPT_SECONDS = 0.3
"""The same where they are imported already. Source: seen, 0.2 s of processor time."""
CHEAP_SCRIPT_LATE_SECONDS = 1.0
"""So much later than its own end a run may be for a script that costs little: it must be gone 3 s after its budget."""


def offer_script(walk: Walk) -> None:
    """Writes ``script.py`` at the end of a run where there is time for it; what keeps it from that is noted, and ends nothing."""
    how = f"`advisor export {walk.folder.path.name} --as script` writes it."
    is_cheap = walk.is_own or "sklearn.model_selection" in sys.modules  # then little has to be imported for it
    allowed = walk.remaining() + (CHEAP_SCRIPT_LATE_SECONDS if is_cheap else 0.0)
    if allowed < walk.slow * (CHEAP_SCRIPT_SECONDS if is_cheap else SCRIPT_SECONDS):
        walk.recorder.emit(Noted(text=f"script.py was not written: too little of the budget is left. {how}"))
        return
    try:
        write_script(walk.folder, walk.recorder.state)
    except AdvisorError as error:
        walk.recorder.emit(Noted(text=f"script.py was not written: {error.what}."))
    except Exception as error:  # all the work is done, and nothing depends on this file
        fault = f"{type(error).__name__}: {error}"
        walk.recorder.emit(Noted(level="warning", text=f"script.py was not written: {fault[:200]}. Report this as a fault of the advisor."))


def script_of_plan(plan: Plan, facts: Facts, *, name: str, data: str | None = None) -> str:
    """The script of a plan that has not run."""
    stages = tuple((s, None, None) for s in plan.stages if s.name not in ("pilot", "confirm"))
    return _script(plan, plan, facts, name=name, data=data or facts.data.source, stages=stages, race=())


def script_of_run(folder: RunFolder, state: StudyState) -> str:
    """The script of a run: the race as it went, then the stages as they were started."""
    if state.plan is None or state.first_plan is None:
        raise InputError("the run has no plan yet", where=folder.path.name, cure="Wait a moment.")
    plan, first = Plan.from_mapping(state.plan), Plan.from_mapping(state.first_plan)
    request = folder.read_request()
    race = tuple((t.family, _begun_with(t)) for t in state.trials.values() if t.stage == "pilot" and t.status in ("completed", "failed"))
    planned = {s.name: s for s in plan.stages}
    stages = []
    for started in state.stages:
        if started.stage in ("pilot", "confirm", VERIFY):
            continue
        trials = [t for t in state.trials.values() if t.stage == started.stage]
        stage = planned.get(started.stage) or Stage(
            name=started.stage, strategy=Strategy(started.strategy), engine=started.engine, trials=len(trials), seconds=0
        )
        if stage.strategy not in (Strategy.GRID, *WHOLE):  # a stage ends with its time: what it held is known by now
            stage = stage.model_copy(update={"trials": sum(t.status != "interrupted" for t in trials)})
        space = SearchSpace.model_validate({"parameters": started.space})
        stages.append((stage, trials[0].family if trials else plan.family, space))
    if not stages:
        stages = [
            (s, plan.family, plan.space.restrict(s.space) if s.space else plan.space)
            for s in plan.stages
            if s.name not in ("pilot", "confirm")
        ]
    return _script(
        plan,
        first,
        folder.read_facts(),
        name=folder.path.name,
        data=request.data,
        stages=tuple(stages),
        race=race,
        folder=request.working_folder,
        rows=_development_rows(folder),
        schedule=_schedule(state, plan),
        given={"valid": request.valid, "test": request.test},
    )


def _schedule(state: StudyState, plan: Plan) -> Schedule:
    """What the best member of a population was trained under; empty where the run has none."""
    populations = {s.stage for s in state.stages if s.strategy == Strategy.PBT.value}
    sign = 1 if plan.direction == "maximize" else -1
    ended = [t for t in state.trials.values() if t.stage in populations and t.status == "completed" and t.value is not None]
    best = max(ended, key=lambda t: (sign * (t.value or 0.0), -t.number), default=None)
    return () if best is None else schedule_of(state.trials, best.number)


def _development_rows(folder: RunFolder) -> int | None:
    """The rows that the splits of a run divide; None where it has no table, or has not prepared it yet."""
    from advisor.objectives.prepared import read_prepared_value

    try:
        return read_prepared_value(folder.work).development_rows
    except InputError:
        return None


def _begun_with(trial: TrialState) -> Config:
    """The configuration of a trial at its first step: what the objective chose before it belongs to it, what came later does not."""
    before = [c.config for c in trial.changes if c.step == 0]
    return before[-1] if before else trial.first_config or trial.config


def _script(
    plan: Plan,
    first: Plan,
    facts: Facts,
    *,
    name: str,
    data: str,
    stages: Sequence[tuple[Stage, str | None, SearchSpace | None]],
    race: tuple[tuple[str, Config], ...],
    folder: str = "",
    rows: int | None = None,
    schedule: Schedule = (),
    given: Mapping[str, str] | None = None,
) -> str:
    """`rows` are those that the splits divide, where a run has counted them; `schedule` is what a population has learned;
    `given` says where the files lie now that hold the rows to validate and to test on."""
    refused = [s.strategy.value for s, _, _ in stages if s.strategy not in EXPORTED]
    if refused:
        raise CannotRunError(f"no script can be written for {refused[0]}", where=name, cure="Export a plan with another strategy.")
    stages = [entry for entry in stages if entry[0].strategy is not Strategy.DEFAULT]
    candidates = _candidates(plan, first, race)
    ladders = {s.name: _ladder(plan, facts, s, rows) for s, _, _ in stages if s.strategy is Strategy.HALVING}
    roots: list[tuple[str, str]] = []
    subject: TableCode | OwnCode
    subject = (
        _table(plan, facts, candidates, data, roots, given or {}) if facts.objective is None else _own(facts, facts.objective, name, folder)
    )
    if any(_is_random(s, ladders) for s, _, _ in stages) and any(
        type(p).__name__ == "Int" and getattr(p, "log", False) for c in candidates for _, p in c.space.items()
    ):
        roots.append(("advisor.engines.sklearn_search", "IntLogUniform"))
    if isinstance(subject, OwnCode) and subject.kind == "differentiable":
        roots.append((HYPERGRADIENT, "Rule"))
    if any(s.strategy is Strategy.HYPERGRADIENT for s, _, _ in stages):
        if isinstance(subject, TableCode):
            raise CannotRunError(
                "no script can be written for hypergradients on a table",
                where=name,
                cure="They train the advisor's own network with a penalty for each of its parts; `advisor predict` uses the run's model.",
            )
        roots += [(HYPERGRADIENT, "implicit_hypergradient"), (HYPERGRADIENT, "conjugate_gradient")]
    is_fine = any(s.name == "fine" for s, _, _ in stages)
    without = {"Config", "SearchSpace", "Float", "Int", "Choice", "Task", "Validation", "Value"}
    if is_fine:
        roots += [(LEVELS, "refine"), (LEVELS, "branches")]
    pieces = excerpt(roots, _source_of, without=without)
    if is_fine:
        pieces.definitions = {"SPACE_STAND_INS": SPACE_STAND_INS, **pieces.definitions}
        pieces.imports |= {"from dataclasses import dataclass"}
    if isinstance(subject, TableCode):
        pieces.imports |= table_imports(subject, pieces)
    brief = Brief(
        name=name,
        data=data if facts.objective is None else facts.objective.name,
        made_by=f"Written by tuning-advisor {__version__}, plan {plan.hash[:12]}.",
        direction=plan.direction,
        subject=subject,
        spaces=tuple(_space_code(c, stages, ladders) for c in candidates),
        stages=tuple(_stage_code(plan, facts, s, family, space, stages, ladders.get(s.name), schedule) for s, family, space in stages),
        race=race,
        seed=plan.seed,
        threads=plan.envelope.threads_per_worker,
        workers=plan.envelope.workers,
        seconds=plan.budget.seconds,
        pilot_seconds=plan.budget.pilot_seconds,
        end_seconds=plan.budget.confirm_seconds + plan.budget.refit_seconds,
        trials=facts.answers.trials,
        race_trials=plan.stages[0].trials if facts.answers.trials is not None and plan.stages else None,
        pieces=pieces,
        differences=(
            *_of_given(plan),
            *_differences(candidates, race, stages),
            *_of_pruning(plan, stages),
            *_of_keras_tuner(plan, facts, stages),
        ),
    )
    return script_text(brief)


REVISED = (Strategy.RANDOM, Strategy.PORTFOLIO, Strategy.TPE, Strategy.GP, Strategy.CMAES)
"""Strategies whose space follows what the trials find."""


def _of_given(plan: Plan) -> tuple[str, ...]:
    if plan.valid is None:
        return ()
    return ("Before it ships, the run refits the best few with fresh seeds; here they keep the seed of the search.",)


def _of_pruning(plan: Plan, stages: Sequence[tuple[Stage, str | None, SearchSpace | None]]) -> tuple[str, ...]:
    if plan.pruner.name != "earned" or not any(s.strategy in OPTUNA for s, _, _ in stages):
        return ()
    return (
        "The run may stop trials early once those that ran in full have shown that it pays; here all run in full. The proposals are the "
        "run's until the first trial that it stopped.",
    )


def _of_keras_tuner(plan: Plan, facts: Facts, stages: Sequence[tuple[Stage, str | None, SearchSpace | None]]) -> tuple[str, ...]:
    if not any(_by_keras_tuner(facts, s) for s, _, _ in stages):
        return ()
    low = _steps(plan, facts)[0]
    return (
        "The configurations of the first round are the run's. KerasTuner ranks by the best epoch where the run ranks by the last, and "
        "goes on from weights without the optimiser's state: what climbs may differ.",
        *([f"KerasTuner's shortest training is of one epoch, the run's of {low}."] if low > 1 else []),
    )


def _differences(
    candidates: Sequence[Candidate], race: Sequence[Any], stages: Sequence[tuple[Stage, str | None, SearchSpace | None]]
) -> tuple[str, ...]:
    strategies = {s.strategy for s, _, _ in stages}
    soft = dict.fromkeys(n for c in candidates for n, p in c.space.items() if not isinstance(p, Choice) and not p.hard and p.low < p.high)
    cut = dict.fromkeys(n for c in candidates for n, p in c.space.items() if not isinstance(p, Choice) and p.log and p.low < p.high)
    out = []
    if soft and strategies & {*REVISED, Strategy.GRID}:
        out.append(
            f"The run moves the soft bounds of {', '.join(soft)} where its best trials press against them, and looks into what that opens; "
            "here they stay. The proposals are the run's until its first such change."
        )
    if cut and strategies & set(REVISED):
        out.append(f"The run lowers the upper bound of {', '.join(cut)} where all trials above a value failed; here it stays.")
    if strategies & set(REVISED) | strategies & {Strategy.QMC}:
        out.append("The run ends a search early when further trials are not worth their time; this one goes on to the end of its own.")
    if race or len(candidates) == 1:
        return tuple(out)
    return (
        *out,
        "The run plans again once it has measured the families; this searches the winner of the race with the first plan's strategy.",
    )


def _candidates(plan: Plan, first: Plan, race: Sequence[tuple[str, Config]]) -> list[Candidate]:
    """Every family that was or will be tried, in the order of the race; as the plan in force has it where it has it."""
    current = {c.family: c for c in plan.shortlist}
    known = {**{c.family: c for c in first.shortlist}, **current}
    names = dict.fromkeys([family for family, _ in race] or [c.family for c in first.shortlist])
    names.setdefault(plan.family)
    return [known[name] for name in names if name in known]


# stages ---------------------------------------------------------------------------------------------------------------


def _ladder(plan: Plan, facts: Facts, stage: Stage, rows: int | None) -> LadderCode:
    """How successive halving begins, as `session.proposing` has it; from a plan, with the rows that it is going to leave to the splits."""
    from advisor.engines.rungs import FACTOR, FINALISTS, fewest_rows
    from advisor.session.proposing import halving_candidates

    task = plan.table_task
    whole = facts.data.rows - round(facts.data.rows * plan.validation.heldout_ratio) if rows is None else rows
    whole += plan.valid.rows if rows is None and plan.valid is not None else 0
    classes, splits = facts.data.classes if task.is_classification else 0, plan.validation.splits
    space = plan.space.restrict(plan.space.free)
    power = rulebook().families[plan.family].cost.rows_power
    candidates, is_grid = halving_candidates(
        space,
        trials=stage.trials,
        rows=whole,
        classes=classes,
        splits=splits,
        power=power,
        is_capped=facts.answers.trials is not None,
    )
    return LadderCode(candidates, is_grid, fewest_rows(classes=classes, splits=splits), FACTOR, FINALISTS)


def _by_keras_tuner(facts: Facts, stage: Stage) -> bool:
    """True where KerasTuner runs the stage, as `session.proposing` decides."""
    return stage.strategy is Strategy.HYPERBAND and facts.objective is not None and facts.objective.kind == "keras"


def _steps(plan: Plan, facts: Facts) -> tuple[int, int]:
    """First and last step of a full trial, as `session.proposing` has them."""
    own = facts.objective
    if own is not None and own.fidelity is not None:
        return own.fidelity.low, own.fidelity.high
    return 1, int(plan.candidate.fixed.get("epochs", 1))


def _population(plan: Plan, facts: Facts, schedule: Schedule) -> PopulationCode:
    """Population-based training, as `session.proposing` and the engine have it.

    Raises: CannotRunError where Ray is not installed.
    """
    from advisor.engines.ray_tune import EVENTS, FACTORS, FEWEST_MEMBERS, MOST_MEMBERS, QUANTILE, RESAMPLE

    family = own_family(facts.objective, plan.space) if facts.objective is not None else rulebook().families[plan.family]
    space = plan.space.restrict(plan.space.free)
    slots, steps = plan.envelope.workers, _steps(plan, facts)[1]
    return PopulationCode(
        family=plan.family,
        space=space,
        starts=tuple({n: v for n, v in s.items() if n in space.parameters} for s in plan.starts),
        mutable=tuple(n for n in space.parameters if n in family.mutable or not family.mutable),
        members=min(max(FEWEST_MEMBERS, slots), MOST_MEMBERS),
        steps=steps,
        interval=max(1, round(steps / EVENTS)),
        quantile=QUANTILE,
        resample=RESAMPLE,
        factors=FACTORS,
        slots=slots,
        cluster=facts.answers.cluster,
        schedule=schedule,
    )


def _is_random(stage: Stage, ladders: Mapping[str, LadderCode]) -> bool:
    """True when the stage's candidates are drawn by `ParameterSampler`."""
    ladder = ladders.get(stage.name)
    return stage.strategy in (Strategy.RANDOM, Strategy.PORTFOLIO) or (ladder is not None and not ladder.is_grid)


def _space_code(
    candidate: Candidate, stages: Sequence[tuple[Stage, str | None, SearchSpace | None]], ladders: Mapping[str, LadderCode]
) -> SpaceCode:
    """The space of a family, with its coarse grid where one is searched."""
    from advisor.engines.levels import branches, levels

    whole = candidate.space
    space = whole.restrict(whole.free) if whole.free else whole
    grid = next((s for s, family, _ in stages if s.strategy is Strategy.GRID and family in (None, candidate.family)), None)
    ladder = next((x for x in ladders.values() if x.is_grid), None)
    chosen = levels(space, grid.trials) if grid is not None else levels(space, ladder.candidates) if ladder is not None else {}
    marked = {n: list(p.choices) if isinstance(p, Choice) else None for n, p in space.items()}
    has_random = any(_is_random(s, ladders) for s, _, _ in stages)
    return SpaceCode(
        family=candidate.family,
        space=space,
        held={n: p.choices[0] if isinstance(p, Choice) else p.low for n, p in whole.items() if n not in space.parameters},
        starts=candidate.starts,
        default=whole.default(),
        levels=chosen,
        grid=branches(space, chosen) if chosen else (),
        branches=branches(space, marked) if has_random else (),
    )


def _rungs(plan: Plan, facts: Facts, strategy: Strategy) -> dict[str, Any]:
    """Where the rungs of a bandit begin and end, as `session.searching` gives them."""
    if strategy not in (Strategy.ASHA, Strategy.HYPERBAND):
        return {}
    own = facts.objective
    low, high = 1, int(plan.candidate.fixed.get("epochs", 1))
    if own is not None and own.fidelity is not None:
        low, high = own.fidelity.low, own.fidelity.high
    return {"min_resource": low} | ({"max_resource": high} if strategy is Strategy.HYPERBAND else {})


def _stage_code(
    plan: Plan,
    facts: Facts,
    stage: Stage,
    family: str | None,
    space: SearchSpace | None,
    stages: Sequence[tuple[Stage, str | None, SearchSpace | None]],
    ladder: LadderCode | None,
    schedule: Schedule,
) -> StageCode:
    wanted: dict[str, Any] = {"ladder": ladder}
    if stage.strategy is Strategy.PBT:
        wanted["population"] = _population(plan, facts, schedule)
    if _by_keras_tuner(facts, stage):
        from advisor.engines.keras_tuner import library_seed

        factor = int(plan.sampler.get("reduction_factor", 3))
        wanted["keras"] = KerasCode(_steps(plan, facts)[1], factor, library_seed(plan.seed))
    elif stage.strategy in OPTUNA:
        from advisor.engines.optuna_study import explicit_settings

        sampler, pruner, given, full = explicit_settings(
            stage.strategy.value,  # type: ignore[arg-type]
            plan.sampler | _rungs(plan, facts, stage.strategy),
            pruner=plan.pruner,
            space=space or plan.space,
            constant_liar=plan.envelope.workers > 1,
        )
        wanted |= {"sampler": sampler, "pruner": pruner, "pruner_settings": given, "full_length_first": full}
    from advisor.session.proposing import ENDLESS_TRIALS

    whole = plan.space.restrict(plan.space.free)
    wanted["moves"] = moves = tuple(n for n in whole.parameters if n in stage.space) if set(stage.space) < set(whole.parameters) else ()
    if moves and any(p.when for _, p in whole.items()):
        raise CannotRunError(
            f"no script can be written for a stage that moves a part of a space with conditions: {stage.name}",
            where=plan.data,
            cure="Export a plan whose stages move all hyperparameters.",
        )
    n_iter = plan.budget.trials_cap or ENDLESS_TRIALS
    is_last = stage.name == stages[-1][0].name
    trials = stage.trials if stage.name == "fine" or (not is_last and stage.strategy not in (Strategy.GRID, *WHOLE)) else None
    return StageCode(name=stage.name, strategy=stage.strategy, family=family, space=space, trials=trials, n_iter=n_iter, **wanted)


# the table ------------------------------------------------------------------------------------------------------------

_SCORES = {
    "log_loss": "log_loss(y, p, sample_weight=weight, labels=np.arange(len(LABELS)))",
    "brier": "brier_score_loss(y, p, sample_weight=weight, labels=np.arange(len(LABELS)))",
    "roc_auc": 'roc_auc_score(y, p, multi_class="ovr", labels=np.arange(len(LABELS)), sample_weight=weight)',
    "average_precision": "average_precision_score(y, p[:, 1], sample_weight=weight)",
    "accuracy": "accuracy_score(y, p, sample_weight=weight)",
    "balanced_accuracy": "balanced_accuracy_score(y, p, sample_weight=weight)",
    "f1": 'f1_score(y, p, average="macro", sample_weight=weight, zero_division=0)',
    "rmse": "root_mean_squared_error(y, p, sample_weight=weight)",
    "mae": "mean_absolute_error(y, p, sample_weight=weight)",
    "rmsle": "root_mean_squared_log_error(y, np.maximum(p, 0), sample_weight=weight)",
    "r2": "r2_score(y, p, sample_weight=weight)",
}
"""Metric to an expression. Source: `objectives.scoring`."""
_BINARY_SCORES = {
    "brier": "brier_score_loss(y, p[:, 1], sample_weight=weight, pos_label=1, labels=[0, 1])",
    "roc_auc": "roc_auc_score(y, p[:, 1], sample_weight=weight)",
}


def _table(
    plan: Plan, facts: Facts, candidates: Sequence[Candidate], data: str, roots: list[tuple[str, str]], given: Mapping[str, str]
) -> TableCode:
    """Reading, typing, splitting, scoring and the families as code; `roots` takes what has to be copied for it."""
    if facts.data.holds_images or any(rulebook().families[c.family].needs_images for c in candidates):
        raise CannotRunError(
            "models of images are not written as a script yet", where=plan.data, cure="Use `advisor predict` with the run's model."
        )
    task = plan.table_task
    by_name = {c.name: c for c in facts.data.columns}
    unused = (ColumnKind.CONSTANT, ColumnKind.IDENTIFIER)
    columns = [by_name[n] for n in plan.features if by_name[n].kind not in unused]
    metric = metric_named(plan.metric, task)
    score = (_BINARY_SCORES if task is Task.BINARY else {}).get(metric.name, _SCORES[metric.name])
    heldout, splits = _splitting(plan, facts, roots)
    beside = _beside(plan, given)
    reading = _reading(data)
    if any("_tidied" in text for text in (reading, *(b.reading for b in beside))):
        roots.append(("advisor.profiling.reading", "_tidied"))
    roots += (
        [(COLUMNS, "numbers_of")] if task is Task.REGRESSION else [(COLUMNS, "_as_strings"), ("advisor.profiling.spellings", "is_missing")]
    )
    groups = _groups(columns, roots)
    return TableCode(
        beside=beside,
        reading=reading,
        features=tuple(c.name for c in columns),
        columns=groups,
        spellings={c.name: c.null_spellings for c in columns if c.null_spellings},
        target=plan.target,
        is_classification=task.is_classification,
        is_binary=task is Task.BINARY,
        prediction=metric.needs,
        metric=metric.title,
        score=score,
        heldout=heldout,
        splits=splits,
        order=plan.validation.time,
        group=plan.validation.group,
        weights=plan.weights,
        models=tuple(_model(plan, facts, c, columns, roots, {names: group for group, (names, _) in groups.items()}) for c in candidates),
    )


def _beside(plan: Plan, given: Mapping[str, str]) -> tuple[BesideCode, ...]:
    """How the files are read that hold the rows to validate and to test on."""
    names: tuple[tuple[Literal["VALID", "TEST"], GivenRows | None], ...] = (("VALID", plan.valid), ("TEST", plan.test))
    out = []
    for name, rows in names:
        if rows is not None:
            path = given.get(name.casefold()) or rows.source
            out.append(BesideCode(name, path, _reading(path, name)))
    return tuple(out)


def table_imports(table: TableCode, pieces: Excerpt) -> set[str]:
    """Import statements for every name of scikit-learn and NumPy that the code of `table` uses."""
    text = [table.heldout, table.score, *(expression for _, expression in table.columns.values())]
    text += [e for m in table.models for e in (m.preprocessing, m.model, m.refit)]
    names = {n.id for code in text for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name)}
    names |= {
        n.id
        for n in ast.walk(ast.parse("def f():\n" + "\n".join("    " + line for line in table.splits.split("\n"))))
        if isinstance(n, ast.Name)
    }
    if "SimpleNamespace" in names:
        pieces.imports.add("from types import SimpleNamespace")
    return {
        f"from {module} import {name}"
        for name in names - {"np", "pl"}
        if name not in pieces.definitions and (module := _home(name)) is not None
    }


@cache
def _home(name: str) -> str | None:
    """The public module of scikit-learn that has `name`; None when none has."""
    from importlib import import_module

    for module in _SKLEARN:
        if hasattr(import_module(f"sklearn.{module}"), name):
            return f"sklearn.{module}"
    return None


_SKLEARN = (
    "compose", "pipeline", "preprocessing", "impute", "model_selection", "metrics", "linear_model", "ensemble", "svm", "neighbors",
    "calibration", "decomposition", "tree", "naive_bayes", "neural_network",
)  # fmt: skip


def _reading(data: str, name: str = "DATA") -> str:
    """Statements that read the table as the run did; `name` is the variable that holds its path."""
    if data.startswith("sklearn:"):
        return _reading_shipped(data.removeprefix("sklearn:"))
    if "://" in data:
        raise InputError(
            "a script cannot read a database", where=data.partition("://")[0], cure="Export the run: it kept the answer beside it."
        )
    from advisor.profiling.reading import file_kind, regular_file

    path = regular_file(Path(data))
    match file_kind(path):
        case "parquet":
            return f"return _tidied(pl.read_parquet({name}, glob=False))"
        case "arrow":
            return f"return _tidied(pl.read_ipc({name}))"
        case "npz":
            return (
                f"with np.load({name}, allow_pickle=False) as arrays:\n"
                '    features, target = arrays["X"], arrays["y"].reshape(-1)\n'
                "features = features.reshape(len(features), -1)\n"
                'named = {f"x{i}": np.ascontiguousarray(features[:, i]) for i in range(features.shape[1])}\n'
                'return pl.DataFrame({**named, "y": target})'
            )
        case "lines":
            return f"return _tidied(pl.read_ndjson({name}, infer_schema_length=None))"
        case _:
            return _reading_delimited(path, name)


def _reading_shipped(name: str) -> str:
    if name == "linnerud":
        frame = 'pl.DataFrame({n: found.data[:, i] for i, n in enumerate(found.feature_names)} | {"target": found.target[:, 0]})'
        return f"from sklearn.datasets import load_linnerud\n\nfound = load_linnerud()\nreturn {frame}"
    loader = f"load_{name}"
    target = "[str(found.target_names[i]) for i in found.target]" if name != "diabetes" else "found.target"
    return (
        f"from sklearn.datasets import {loader}\n\n"
        f"found = {loader}()\n"
        "columns = {str(name): found.data[:, i] for i, name in enumerate(found.feature_names)}\n"
        f'return pl.DataFrame({{**columns, "target": {target}}})'
    )


def _reading_delimited(path: Path, name: str) -> str:
    import io

    import polars as pl

    from advisor.profiling import delimited
    from advisor.profiling.compressed import ENDINGS, content

    whole = path.stat().st_size <= HEAD_BYTES or path.suffix.lower() in ENDINGS
    if whole:
        begun = content(path, path.name)
    else:
        with path.open("rb") as file:
            begun = delimited.whole_lines(file.read(HEAD_BYTES))
    text, encoding = delimited.as_utf8(begun, path.name)
    layout, rewritten = delimited.sniff(text, path.name, encoding=encoding)
    if layout.is_in_blanks or encoding not in ("utf-8", "windows-1252"):
        lines = 'text = io.BytesIO(b"\\n".join(b"\\t".join(line.split()) for line in text.split(b"\\n")))' if layout.is_in_blanks else ""
        opened = f'text = open({name}, encoding="{encoding}").read().encode()'
        source = f"{opened}\n{lines or 'text = io.BytesIO(text)'}\n"
        where = "text"
    else:
        source, where = "", name
    options = [f"separator={literal(layout.separator)}", "infer_schema=False"]
    given: dict[str, Any] = {
        "separator": layout.separator,
        "skip_lines": layout.skipped_lines,
        "quote_char": '"' if layout.is_quoted else None,
    }
    header = pl.read_csv(io.BytesIO(rewritten), n_rows=0, infer_schema=False, **given).columns if layout.has_header else []
    skipped = layout.skipped_lines
    if header != list(layout.names):
        skipped += layout.has_header
        options += ["has_header=False", f"new_columns={literal(list(layout.names))}"]
    if skipped:
        options.append(f"skip_lines={skipped}")
    if not layout.is_quoted:
        options.append("quote_char=None")
    if encoding == "windows-1252":
        options.append('encoding="windows-1252"')
    commas = ""
    if layout.separator != ",":
        commas = (
            "\nfor name in table.columns:  # 3,14 is 3.14 where a whole column is written so\n"
            "    cells = table[name].drop_nulls()\n"
            '    if len(cells) and cells.str.contains(r"^[+-]?\\d+(,\\d+)?$").all() and cells.str.contains(",", literal=True).any():\n'
            '        table = table.with_columns(pl.col(name).str.replace(",", ".", literal=True))'
        )
    return (
        f"{source}table = _tidied(pl.read_csv({where}, {', '.join(options)}))\n"
        f"table = table.filter(~pl.all_horizontal(pl.all().is_null()))  # lines with separators only{commas}\n"
        "return table"
    )


def _groups(columns: Sequence[Column], roots: list[tuple[str, str]]) -> dict[str, tuple[tuple[str, ...], str]]:
    """Columns that are read in one way: a name for the group, its columns, and the expression that types one of them."""
    names = {ColumnKind.CATEGORY: "CATEGORIES", ColumnKind.HIGH_CARDINALITY: "MANY_CATEGORIES", ColumnKind.TEXT: "TEXTS"}
    names |= {ColumnKind.DATE: "DATES"}
    found: dict[tuple[str, str], list[str]] = {}
    for c in columns:
        found.setdefault((names.get(c.kind, "YES_OR_NO" if c.kind is ColumnKind.BOOLEAN else "NUMBERS"), _typed(c, roots)), []).append(
            c.name
        )
    used: Counter[str] = Counter()
    out = {}
    for (name, expression), members in found.items():
        used[name] += 1
        out[name if used[name] == 1 else f"{name}_{used[name]}"] = (tuple(members), expression)
    return out


def _typed(column: Column, roots: list[tuple[str, str]]) -> str:
    """An expression of ``table`` and ``name`` that gives the column typed by its kind."""
    match column.kind:
        case ColumnKind.NUMERIC | ColumnKind.INTEGER_CODED:
            roots.append((COLUMNS, "numbers_of"))
            return "numbers_of(table[name], SPELLINGS.get(name, ())).clip(-1e37, 1e37)"
        case ColumnKind.BOOLEAN:
            roots += [(COLUMNS, "_stripped"), ("advisor.profiling.spellings", "as_booleans")]
            return (
                "as_booleans(_stripped(table[name], SPELLINGS.get(name, ()))) if table[name].dtype == pl.String "
                "else table[name].cast(pl.Float64, strict=False)"
            )
        case ColumnKind.DATE:
            roots += [(COLUMNS, "_stripped"), ("advisor.profiling.spellings", "as_dates")]
            if not column.date_format:
                return 'table[name].cast(pl.Datetime("us")).dt.replace_time_zone(None)'
            return f"as_dates(_stripped(table[name].cast(pl.String), SPELLINGS.get(name, ())), {literal(column.date_format)})"
        case _:
            roots += [(COLUMNS, "_stripped"), (COLUMNS, "_as_strings")]
            return "_stripped(_as_strings(table[name]), SPELLINGS.get(name, ()))"


def _splitting(plan: Plan, facts: Facts, roots: list[tuple[str, str]]) -> tuple[str, str]:
    """Held-out rows as an expression, and the splits as statements: scikit-learn's splitters where they do, else our own copied."""
    v, task = plan.validation, plan.table_task
    if plan.test is not None or plan.valid is not None:
        return _splitting_beside(plan, roots)
    left = facts.data.rarest_class_rows * (1 - v.heldout_ratio) - 1
    is_plain = v.group is None and v.time is None and (not task.is_classification or left >= max(v.folds, 3))
    if is_plain and v.scheme in ("stratified", "kfold"):
        if v.heldout_ratio <= 0:
            heldout = "(np.arange(len(Y)), np.arange(0))"
        elif task.is_classification:
            size = f"round(len(Y) * {v.heldout_ratio!r})"
            heldout = f"next(StratifiedShuffleSplit(1, test_size={size}, random_state={v.seed}).split(Y, Y))"
        else:
            heldout = f"next(ShuffleSplit(1, test_size={v.heldout_ratio!r}, random_state={v.seed}).split(Y))"
        kind = "StratifiedKFold" if v.scheme == "stratified" else "KFold"
        seed = f"{v.seed} + (7919 if is_fresh else 0)"
        repeat = f"{seed} + repeat" if v.repeats > 1 else seed
        rows = "rows = Y[DEVELOPMENT]"
        one = f"{kind}({v.folds}, shuffle=True, random_state={repeat}).split(rows, rows)"
        pair = "(DEVELOPMENT[train], DEVELOPMENT[test])"
        loop = f" for repeat in range({v.repeats})" if v.repeats > 1 else ""
        return heldout, f"{rows}\nreturn [{pair}{loop} for train, test in {one}]"
    roots += [(SPLITTING, "hold_out"), (SPLITTING, "splits")]
    fields = {n: getattr(v, n) for n in ("scheme", "folds", "repeats", "holdout_ratio", "heldout_ratio", "group", "time", "seed")}
    values = ", ".join(f"{n}={literal(value)}" for n, value in fields.items())
    validation = f"SimpleNamespace({values})"
    task_code = f"SimpleNamespace(is_classification={task.is_classification})"
    return (
        f"hold_out({validation}, Y, task={task_code}, groups=GROUPS, times=TIMES)",
        f"part = DEVELOPMENT\ninner = splits({validation}, Y[part], groups=None if GROUPS is None else GROUPS[part], "
        "times=None if TIMES is None else TIMES[part], is_fresh=is_fresh)\nreturn [(part[train], part[test]) for train, test in inner]",
    )


def _splitting_beside(plan: Plan, roots: list[tuple[str, str]]) -> tuple[str, str]:
    """The same where files hold the rows to validate or to test on: what is divided are the rows of the data."""
    v, task = plan.validation, plan.table_task
    fields = {n: getattr(v, n) for n in ("scheme", "folds", "repeats", "holdout_ratio", "heldout_ratio", "group", "time", "seed")}
    validation = f"SimpleNamespace({', '.join(f'{n}={literal(value)}' for n, value in fields.items())})"
    if plan.test is not None:
        heldout = "(np.arange(DATA_ROWS), np.arange(len(Y) - TEST_ROWS, len(Y)))"
    else:
        roots.append((SPLITTING, "hold_out"))
        heldout = (
            f"hold_out({validation}, Y[:DATA_ROWS], task=SimpleNamespace(is_classification={task.is_classification}), "
            "groups=None if GROUPS is None else GROUPS[:DATA_ROWS], times=None if TIMES is None else TIMES[:DATA_ROWS])"
        )
    if plan.valid is not None:
        roots += [(SPLITTING, "given_splits"), (SPLITTING, "group_codes")]
        return heldout, (
            f"draws = {v.fresh_splits} if is_fresh else 0\n"
            "codes = None if GROUPS is None else group_codes(GROUPS, len(Y))\n"
            f"return given_splits(DEVELOPMENT, SCORING, Y, draws=draws, groups=codes, is_ordered={v.time is not None}, seed={v.seed})"
        )
    roots.append((SPLITTING, "splits"))
    return heldout, (
        f"part = DEVELOPMENT\ninner = splits({validation}, Y[part], groups=None if GROUPS is None else GROUPS[part], "
        "times=None if TIMES is None else TIMES[part], is_fresh=is_fresh)\nreturn [(part[train], part[test]) for train, test in inner]"
    )


# an objective of the user's own ------------------------------------------------------------------------------------------


def _own(facts: Facts, own: OwnObjective, name: str, folder: str) -> OwnCode:
    """How the user's objective is called, as code.

    Raises: CannotRunError when a script could not import it, or is not written for what it is.
    """
    fidelity = None if own.fidelity is None else (own.fidelity.name, own.fidelity.low, own.fidelity.high)
    if own.kind == "command":
        if facts.answers.command is None:
            raise CannotRunError("the command is not known", where=name, cure="Start the run with --command.")
        code = f"COMMAND = {literal(facts.answers.command)}\nFOLDER = {literal(folder or '.')}"
        return OwnCode(family=FAMILY, code=code, call="", kind="command", fidelity=fidelity)
    module, _, function = own.name.partition(":")
    found = _module_file(module, folder) if function.isidentifier() else None
    is_ours = module.split(".")[0] == "advisor"  # a class that wraps what was handed over in memory
    if own.kind not in IMPORTED or is_ours or found is None or function not in _top_level(found):
        raise CannotRunError(
            f"the objective {own.name} is nothing that a script can import",
            where=name,
            cure="Put it into a module of its own, as a function, and name it as module:function.",
        )
    name_in = found.stem if module.endswith(".py") else module
    root = found.parents[name_in.count(".") + (found.name == "__init__.py")]
    local = "pair" if own.kind == "differentiable" else "objective"
    named = function if function == local else f"{function} as {local}"
    code = f"sys.path.insert(0, {literal(str(root))})  # where {name_in} is found\nfrom {name_in} import {named}  # noqa: E402"
    resumed = f"objective(dict(config), {'checkpoint=' if _takes_keyword(found, function) else ''}checkpoint)"
    return OwnCode(family=FAMILY, code=code, call="objective(dict(config))", kind=IMPORTED[own.kind], fidelity=fidelity, resumed=resumed)


IMPORTED: dict[str, Literal["function", "optuna", "differentiable"]] = {
    "function": "function",
    "keras": "function",
    "optuna": "optuna",
    "differentiable": "differentiable",
}
"""Kinds of objectives that a script imports by name, to how it calls them."""


def _takes_keyword(source: Path, function: str) -> bool:
    """False where the function's second argument is the checkpoint under another name."""
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            given = node.args
            return given.kwarg is not None or "checkpoint" in {a.arg for a in (*given.args, *given.kwonlyargs)}
    return True


def _module_file(module: str, folder: str) -> Path | None:
    """Where the source of the user's module lies; None when it is not found. It is not imported."""
    if module.endswith(".py"):
        named = Path(folder or ".", module).resolve()
        return named if named.is_file() else None
    for base in dict.fromkeys([folder or str(Path.cwd()), *sys.path]):
        for place in (Path(base, *module.split(".")).with_suffix(".py"), Path(base, *module.split("."), "__init__.py")):
            if place.is_file():
                return place.resolve()
    return None


def _top_level(source: Path) -> set[str]:
    """Names that a module defines or imports at its top level; none where it is not readable Python."""
    try:
        body = ast.parse(source.read_text(encoding="utf-8")).body
    except (SyntaxError, ValueError, OSError):
        return set()
    return {
        leaf.id if isinstance(leaf, ast.Name) else leaf.asname or leaf.name if isinstance(leaf, ast.alias) else leaf.name
        for node in body
        for leaf in ([node] if isinstance(node, ast.FunctionDef | ast.ClassDef) else ast.walk(node))
        if isinstance(leaf, ast.FunctionDef | ast.ClassDef | ast.alias) or (isinstance(leaf, ast.Name) and isinstance(leaf.ctx, ast.Store))
    }


# models ---------------------------------------------------------------------------------------------------------------


def _model(
    plan: Plan,
    facts: Facts,
    candidate: Candidate,
    columns: Sequence[Column],
    roots: list[tuple[str, str]],
    groups: Mapping[tuple[str, ...], str],
) -> ModelCode:
    """A family as code: its pipeline is built for the default configuration, and what was built is written down."""
    from advisor.objectives.pipelines import build, estimator_class

    family = rulebook().families[candidate.family].model_copy(update={"fixed": candidate.fixed})
    task = plan.table_task
    default = candidate.starts[0] if candidate.starts else candidate.space.default()
    writer = _Writer(plan.seed, roots, dict(default), _arguments(estimator_class(family, task)), groups)

    def built(overrides: Mapping[str, Any]) -> Any:
        return build(
            family,
            columns,
            task,
            default,
            seed=plan.seed,
            threads=plan.envelope.threads_per_worker,
            classes=facts.data.classes,
            needs=metric_named(plan.metric, task).needs,
            overrides=overrides,
            device=plan.envelope.device,
        )

    search, final = built({}), built(family.refit)
    return ModelCode(
        family=candidate.family,
        preprocessing=writer.columns(search.steps[0][1]),
        model=writer.estimator(search.steps[-1][1], family, {}),
        refit=writer.estimator(final.steps[-1][1], family, family.refit),
        supports_weights=family.supports_weights,
        trains_in_steps=family.trains_in_steps,
    )


def _arguments(kind: type[Any]) -> frozenset[str]:
    return frozenset(inspect.signature(kind).parameters)


@dataclass
class _Writer:
    """Writes built estimators as code, and notes which of our own classes must be copied."""

    seed: int
    roots: list[tuple[str, str]]
    config: Config
    arguments: frozenset[str]
    groups: Mapping[tuple[str, ...], str]
    """Columns to the name under which the script lists them."""

    def columns(self, built: Any) -> str:
        """A column transformer, one line a step."""
        steps = "".join(f"        ({literal(n)}, {self.code(t)}, {self._listed(c)}),\n" for n, t, c in built.transformers)
        return f"ColumnTransformer(\n    [\n{steps}    ],\n    sparse_threshold=0.0,\n    verbose_feature_names_out=False,\n)"

    def _listed(self, columns: Any) -> str:
        return self.groups.get(tuple(columns), literal(columns)) if isinstance(columns, list) else literal(columns)

    def estimator(self, built: Any, family: Family, overrides: Mapping[str, Any]) -> str:
        """The estimator, its searched arguments taken from ``config``."""
        self._note(built)
        match type(built).__name__:
            case "StoppedEarly":
                return f"StoppedEarly({self.estimator(built.estimator, family, overrides)})"
            case "TransformedTargetRegressor":
                return f"TransformedTargetRegressor({self.estimator(built.regressor, family, overrides)}, transformer=StandardScaler())"
            case "CalibratedMargins":
                inner = self.estimator(built.estimator, family, overrides)
                return f"CalibratedMargins({inner}, ensemble=False, method={literal(built.method)})"
            case "SmoothedVotes":
                name = str(family.votes_argument)
                votes = f"config[{literal(name)}]" if name in self.config and name not in overrides else literal(built.votes)
                return f"SmoothedVotes({self.estimator(built.estimator, family, overrides)}, {votes})"
            case _:
                return self._searched(built, overrides)

    def _searched(self, built: Any, overrides: Mapping[str, Any]) -> str:
        fixed = {n: v for n, v in self._changed(built).items() if n not in self.config and n not in overrides}
        given = [f"{n}={self._value(n, v)}" for n, v in fixed.items()]
        names = [n for n in self.config if n in self.arguments]
        if overrides:
            return f"{type(built).__name__}({', '.join([*given, '**{**config, **' + literal(dict(overrides)) + '}'])})"
        config = "config" if len(names) == len(self.config) else f"{{n: v for n, v in config.items() if n in {literal(tuple(names))}}}"
        return f"{type(built).__name__}({', '.join([*given, '**' + config])})"

    def code(self, built: Any) -> str:
        """Any transformer as an expression."""
        self._note(built)
        name = type(built).__name__
        if name == "Pipeline":
            return f"make_pipeline({', '.join(self.code(step) for _, step in built.steps)})"
        if not hasattr(built, "get_params"):
            return repr(built)
        return f"{name}({', '.join(f'{n}={self._value(n, v)}' for n, v in self._changed(built).items())})"

    def _changed(self, built: Any) -> dict[str, Any]:
        """Arguments that are not at the class's own default."""
        defaults = inspect.signature(type(built)).parameters
        values = built.get_params(deep=False)
        return {n: v for n, v in values.items() if n in defaults and not _is_same(v, defaults[n].default)}

    def _value(self, name: str, value: Any) -> str:
        if name == "random_state" and value == self.seed:
            return "SEED"
        if hasattr(value, "get_params") or type(value).__module__.startswith("sklearn"):
            return self.code(value)
        if isinstance(value, float) and value != value:
            return "np.nan"
        return literal(value)

    def _note(self, built: Any) -> None:
        module = type(built).__module__
        if module.split(".")[0] == "advisor":
            self.roots.append((module, type(built).__name__))


def _is_same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and (a == b or (a != a and b != b)))


def _source_of(module: str) -> str:
    """The source text of one of our modules, which is not imported for it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise CannotRunError(f"the source of {module} is not there", cure="Install the advisor with its sources.")
    return Path(spec.origin).read_text(encoding="utf-8")
