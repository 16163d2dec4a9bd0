"""Diagnosis of what is there: a run of ours, a study of Optuna's, a file of learning curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from advisor.core.diagnosis import Diagnosed, DiagnosisReport, Finding, diagnose
from advisor.core.diagnosis_curves import FEWEST_POINTS, Curve
from advisor.core.diagnosis_trials import Study, Tried
from advisor.core.errors import InputError, RunNotFoundError
from advisor.core.plan import Plan
from advisor.core.roles import recognise
from advisor.core.space import SearchSpace
from advisor.session.folder import RunFolder
from advisor.session.planning import rulebook

if TYPE_CHECKING:
    from advisor.core.events import StudyState, TrialState
    from advisor.core.rules import Rulebook

_TABLES = (".csv", ".tsv", ".txt")


def diagnose_subject(
    subject: str,
    *,
    study: str | None = None,
    direction: Literal["minimize", "maximize"] | None = None,
    reference: float | None = None,
    runs: str | Path = "runs",
) -> DiagnosisReport:
    """Findings on `subject`: a run by name or folder, an Optuna storage (URL or SQLite file), or a CSV of learning curves.

    `study` names one of several in a storage; `direction` and `reference` (the score of a simple model) are for curves, which
    do not tell either.

    Raises: InputError for what cannot be read; RunNotFoundError when it is neither a file nor a run.
    """
    path = Path(subject).expanduser()
    if "://" in subject or path.is_file():
        if study is None and "://" not in subject and _is_table(path):
            return _of_curves(subject, path, direction, reference)
        return _of_storage(subject, study, direction)
    if any(path.name.endswith(end) for end in (*_TABLES, ".gz", ".db")):
        raise InputError("no such file", where=subject, cure="Check the path.")
    return _of_run(subject, runs, reference)


def _is_table(path: Path) -> bool:
    return any(path.name.endswith(end) or path.name.endswith(f"{end}.gz") for end in _TABLES) or not _is_sqlite(path)


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as opened:
            return opened.read(15) == b"SQLite format 3"
    except OSError as error:
        raise InputError(f"the file cannot be read: {error}", where=str(path), cure="Check the path and the permission.") from error


def _of_curves(subject: str, path: Path, direction: Literal["minimize", "maximize"] | None, reference: float | None) -> DiagnosisReport:
    from advisor.profiling.curves import read_curves

    read = read_curves(path, direction=direction, reference=reference)
    found = diagnose(rulebook().diagnoses, curves=read.curves)
    return _report(subject, "curves", read.direction, len(read.curves), 0, found, tuple(read.notes))


def _of_storage(subject: str, name: str | None, direction: Literal["minimize", "maximize"] | None) -> DiagnosisReport:
    from advisor.engines.optuna_reading import read_study

    if direction is not None:
        raise InputError("a study knows its own direction", where="--direction", cure="Leave the flag out.")
    book = rulebook()
    title, told = read_study(subject, name)
    if not told.trials:
        raise InputError(f"no trial of the study {title!r} has ended", where=subject, cure="Wait for the first trials.")
    if all(t.status == "failed" for t in told.trials):
        what = f"none of the {len(told.trials)} trials of the study {title!r} has a value: all failed"
        raise InputError(what, where=subject, cure="Run one configuration by hand and see why; NaN counts as a failure too.")
    study = Study(told.trials, told.direction, told.space, roles=_roles(told.space, book), prunes=told.prunes)
    curves = _best_curve(study)
    found = diagnose(book.diagnoses, curves=curves, study=study)
    return _report(f"{subject} ({title})", "study", study.direction, len(curves), len(study.trials), found)


def _of_run(subject: str, runs: str | Path, reference: float | None) -> DiagnosisReport:
    from advisor.session.following import find_run, follow

    try:
        run_dir = find_run(subject, runs)
    except RunNotFoundError as error:
        raise RunNotFoundError(
            f"{subject!r} is no run, no file and no storage", where=error.where, cure=f"{error.cure} A study needs sqlite:///FILE."
        ) from error
    state = follow(run_dir).poll()
    if state.plan is None or not any(t.status != "running" for t in state.trials.values()):
        raise InputError(
            "no trial of this run has ended", where=str(run_dir), cure="Wait for the first trials: `advisor attach` shows them."
        )
    study = study_of(state, leak=_leak(run_dir))
    found = diagnose_run(state, leak=_leak(run_dir), reference=reference)
    return _report(str(subject), "run", study.direction, len(_best_curve(study)), len(study.trials), found)


def _report(
    subject: str,
    kind: Literal["run", "study", "curves"],
    direction: Literal["minimize", "maximize"],
    curves: int,
    trials: int,
    found: Diagnosed,
    notes: tuple[str, ...] = (),
) -> DiagnosisReport:
    return DiagnosisReport(
        subject=subject,
        kind=kind,
        direction=direction,
        curves=curves,
        trials=trials,
        findings=found.findings,
        passed=found.passed,
        notes=notes,
    )


# ------------------------------------------------------------------------------------------------------- runs of our own


def findings_of(run: str, state: StudyState) -> tuple[Finding, ...]:
    """What an outcome tells: the warnings of the run itself, then the findings over its trials once it is over."""
    noted = tuple(Finding(id="note", title="", level="minor", about="the run", seen=n.text) for n in state.notes if n.level == "warning")
    if state.finished is None or not state.trials:
        return noted
    return (*noted, *diagnose_run(state, leak=_leak(Path(run)) if run else None).findings)


def diagnose_run(state: StudyState, *, leak: str | None = None, reference: float | None = None) -> Diagnosed:
    """What the trials of a run show, with what the run did about it; `leak` as in `Study`."""
    study = study_of(state, leak=leak)
    notes = [n.text for n in state.notes]
    if state.confirmed is not None:
        notes.append(f"The best {len(state.confirmed.candidates)} were scored again: {state.confirmed.reason.rstrip('.')}.")
    return diagnose(
        rulebook().diagnoses, curves=_best_curve(study, _reference(state) if reference is None else reference), study=study, notes=notes
    )


def study_of(state: StudyState, *, leak: str | None = None) -> Study:
    """The search of a run: the trials of the family that it searched, its space with what was widened, and its default."""
    assert state.plan is not None
    plan = Plan.from_mapping(state.plan)
    is_own = plan.task is None
    family = plan.family
    steps_are_epochs = is_own or (family in rulebook().families and rulebook().families[family].trains_in_steps)
    stages = {s.stage: SearchSpace(parameters=s.space) for s in state.stages if s.space}
    trials = [
        _tried(t, has_epochs=steps_are_epochs, drawn=stages.get(t.stage))
        for t in state.trials.values()
        if t.stage != "confirm" and (t.family == family or is_own) and t.is_static and t.rows is None and t.status in _ENDED
        if t.category != "deadline"
    ]
    default = next((t.number for t in trials if state.trials[t.number].origin == "default"), None)
    validation: tuple[float, ...] = ()
    if state.confirmed is not None and plan.valid is None:  # draws of given rows do not differ as splits do
        validation = next((c.scores for c in state.confirmed.candidates if c.trial == state.confirmed.chosen), ())
    on_epochs = plan.pruner.resource == "epoch" and plan.pruner.name not in ("none", "earned")
    was_pruned = steps_are_epochs and any(t.status == "pruned" for t in trials)
    return Study(
        trials=tuple(trials),
        direction=plan.direction,
        space=plan.space,
        roles=_roles(plan.space, rulebook()),
        default=default,
        prunes=True if on_epochs or was_pruned else None,
        validation=validation,
        heldout=state.heldout.heldout_score if state.heldout is not None else None,
        leak=leak,
    )


_ENDED = ("completed", "pruned", "failed")


def _tried(trial: TrialState, *, has_epochs: bool, drawn: SearchSpace | None) -> Tried:
    status: Literal["completed", "pruned", "failed"] = "failed"
    match trial.status:
        case "completed" | "pruned":
            status = trial.status
        case _:
            status = "failed"
    return Tried(
        number=trial.number,
        config=trial.config,
        status=status,
        value=trial.value if status != "failed" else None,
        scores=trial.scores,
        steps=trial.steps if has_epochs else (),
        cause=trial.cause,
        drawn=None if drawn is None or trial.origin != "proposal" else drawn.free,
    )


def _roles(space: SearchSpace, book: Rulebook) -> dict[str, str]:
    return {name: found.role for name, found in recognise(space, book.roles).items()}


def _best_curve(study: Study, reference: float | None = None) -> tuple[Curve, ...]:
    """The learning curve of the best completed trial; none where it has too few steps."""
    done = [t for t in study.trials if t.status == "completed" and t.value is not None]
    if not done:
        return ()
    sign = 1 if study.direction == "minimize" else -1
    best = min(done, key=lambda t: sign * (t.value or 0.0))
    if len(best.steps) < FEWEST_POINTS:
        return ()
    steps, values = tuple(float(s) for s, _ in best.steps), tuple(v for _, v in best.steps)
    return (Curve(f"trial {best.number} (the best)", steps, values, direction=study.direction, reference=reference),)


def _reference(state: StudyState) -> float | None:
    """The best score of the families that were raced against the one that was searched."""
    assert state.plan is not None
    rivals = [
        t.value
        for t in state.trials.values()
        if t.status == "completed" and t.value is not None and t.stage == "pilot" and t.family != state.plan["family"]
    ]
    if not rivals:
        return None
    return max(rivals) if state.direction == "maximize" else min(rivals)


def _leak(run_dir: Path) -> str | None:
    """A feature that the profile suspects of telling the target and that was not left out; empty: none; None: not told."""
    folder = RunFolder(run_dir)
    if not folder.facts.exists():
        return None
    facts = folder.read_facts()
    if facts.objective is not None:
        return None
    return next((s.column for s in facts.data.leaks if s.column not in facts.answers.drop), "")
