"""What came out of a run, and predictions of the model it shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.core.errors import InputError
from advisor.core.events import StudyState, TrialState
from advisor.core.lineage import schedule_of
from advisor.core.outcome import Gain, Outcome, ScheduleStep, TrialRecord
from advisor.core.plan import Plan
from advisor.session.diagnosing import findings_of
from advisor.session.folder import RunFolder
from advisor.session.following import follow, status_of

if TYPE_CHECKING:
    import polars

    from advisor.objectives.images import ImageKind
    from advisor.objectives.model import ShippedModel


def outcome(run_dir: str | Path) -> Outcome:
    """What the journal of the run says of its result, finished or not.

    Raises: RunNotFoundError when there is no such run.
    """
    return outcome_of(str(run_dir), follow(run_dir).poll())


def outcome_of(run: str, state: StudyState) -> Outcome:
    """The outcome that `state` amounts to."""
    if state.plan is None:
        raise InputError("the run has no plan yet", where=run, cure="Wait a moment, or start it again.")
    plan = Plan.from_mapping(state.plan)
    if plan.task is None:
        return _own_outcome(run, state, plan)
    reasons: dict[str, str] = {}
    shipped = state.confirmed.shipped if state.confirmed else None
    chosen = state.confirmed.chosen if state.confirmed else state.best
    trial = state.trials.get(chosen) if chosen is not None else None
    validation: float | None = None
    if state.confirmed is not None:
        validation = next((c.mean for c in state.confirmed.candidates if c.trial == state.confirmed.chosen), None)
    if validation is None and trial is not None:
        validation = trial.value
        reasons["validation_score"] = "from the search: no confirm stage was reached"
    if shipped is None:
        reasons["shipped"] = "the confirm stage was not reached" if trial is not None else "no trial finished"
    heldout = state.heldout
    gain = None
    if heldout is None:
        reasons["heldout_score"] = "the held-out rows were not scored: the run ended before"
    else:
        if heldout.gain is not None and None not in heldout.gain.values():
            gain = Gain.model_validate(heldout.gain)
        if heldout.reason:
            reasons["gain"] = heldout.reason
    trained_on = state.shipped.trained_on if state.shipped else state.saved.trained_on if state.saved else None
    return Outcome(
        run=run,
        status=status_of(state),
        family=trial.family if trial else None,
        default_family=state.trials[state.default].family if state.default is not None else None,
        best_config=trial.config if trial else None,
        best_value=trial.value if trial else None,
        metric=plan.metric,
        direction=plan.direction,
        validation_score=validation,
        heldout_score=heldout.heldout_score if heldout else None,
        default_heldout_score=heldout.default_heldout_score if heldout else None,
        gain=gain,
        shipped=shipped,
        trained_on=trained_on,
        trials=_records(state),
        counts=state.counts(),
        seconds=round(state.elapsed, 3),
        schedule=_schedule(state, trial),
        findings=findings_of(run, state),
        reasons=reasons,
        plan=plan,
    )


def _own_outcome(run: str, state: StudyState, plan: Plan) -> Outcome:
    """The outcome of an objective of the user's own, which validates by itself: nothing is confirmed, held out or shipped."""
    trial = state.trials.get(state.best) if state.best is not None else None
    why = "your own objective validates by itself; nothing is held out here"
    return Outcome(
        run=run,
        status=status_of(state),
        family=trial.family if trial else None,
        default_family=trial.family if trial else None,
        best_config=trial.config if trial else None,
        best_value=trial.value if trial else None,
        metric=plan.metric,
        direction=plan.direction,
        validation_score=trial.value if trial else None,
        heldout_score=None,
        default_heldout_score=None,
        gain=None,
        shipped=None,
        trained_on=None,
        trials=_records(state),
        counts=state.counts(),
        seconds=round(state.elapsed, 3),
        schedule=_schedule(state, trial),
        findings=findings_of(run, state),
        reasons={"heldout_score": why, "gain": why, "shipped": _kept(state)},
        plan=plan,
    )


def _kept(state: StudyState) -> str:
    """What is left of the best trial of an objective of the user's own."""
    if state.saved is None:
        return "no model is kept of an objective of your own"
    return f"nothing was compared on fresh splits; best/ holds what trial {state.saved.trial} saved"


def _records(state: StudyState) -> tuple[TrialRecord, ...]:
    return tuple(
        TrialRecord(
            number=t.number,
            stage=t.stage,
            origin=t.origin,
            family=t.family,
            config=t.config,
            status=t.status,
            value=t.value,
            seconds=t.seconds,
            scores=t.scores,
            fit_seconds=t.fit_seconds,
            cause=t.cause,
            category=t.category,
            rows=t.rows,
        )
        for t in state.trials.values()
    )


def _schedule(state: StudyState, trial: TrialState | None) -> tuple[ScheduleStep, ...]:
    """The schedule behind the best trial; empty where one configuration held from the first step to the last."""
    if trial is None or trial.is_static:
        return ()
    return tuple(ScheduleStep(step=step, config=config) for step, config in schedule_of(state.trials, trial.number))


def read_manifest(folder: RunFolder) -> dict[str, Any]:
    """What ``best/`` says of its model.

    Raises: InputError when there is no model yet, and when the file is damaged.
    """
    try:
        told = json.loads((folder.best / "manifest.json").read_text())
    except OSError as error:
        raise InputError(
            "this run has no model", where=str(folder.best), cure="Let it run until a trial has finished: `advisor resume`."
        ) from error
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise InputError(
            "what the run wrote of its model is damaged",
            where=str(folder.best / "manifest.json"),
            cure="Use the untouched file, or run again.",
        )
    return told


def predict(run_dir: str | Path, source: Any, *, query: str | None = None) -> polars.DataFrame:
    """Predictions of the run's model for the rows or the images of `source`, as a frame of ``(rows, 1 + classes)``.

    Where `source` is a folder of images, a first column names their files.

    The model file is read only when its hash is the one that the journal holds.

    Raises: InputError when the data lack a column, or the model is missing or not the one this run wrote.
    """
    from advisor.objectives.model import load
    from advisor.profiling.columns import cast
    from advisor.profiling.reading import read_table

    folder = RunFolder(Path(run_dir))
    state = follow(run_dir).poll()
    if folder.facts.exists() and folder.read_facts().objective is not None:
        raise InputError(
            "no model is kept of an objective of your own"
            if state.saved is None
            else "what an objective of your own saved can be read by your own code only",
            where=folder.path.name,
            cure="Train yours with the best configuration: `advisor attach` shows it, result.json holds it."
            if state.saved is None
            else f"It lies in {folder.best}.",
        )
    manifest = read_manifest(folder)
    written = {e.sha256 for e in (state.saved, state.shipped) if e is not None}
    if manifest.get("sha256") not in written:
        raise InputError(
            "the model in best/ is not one that the journal of this run knows",
            where=str(folder.best),
            cure="Do not open it; run `advisor resume` to write it again.",
        )
    model = load(folder.best / "model.joblib", sha256=str(manifest["sha256"]))
    if model.images is not None:
        return _predict_images(model, model.images, source, query)
    return model.predict(cast(read_table(source, query=query), model.columns))


def _predict_images(model: ShippedModel, kind: ImageKind, source: Any, query: str | None) -> polars.DataFrame:
    """Predictions of a model of images; the first column names the file where they are files."""
    import polars as pl

    from advisor.objectives.images import Images
    from advisor.profiling.images import is_images, read_images
    from advisor.profiling.reading import read_table

    if query is not None or not is_images(source):
        return model.predict(read_table(source, query=query))
    array, files = read_images(source, height=kind.height, width=kind.width, channels=kind.channels, is_whole=kind.is_whole)
    found = model.predict(Images(array))
    return found.insert_column(0, pl.Series("file", files)) if files else found
