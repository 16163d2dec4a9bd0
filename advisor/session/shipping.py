"""The honest end of a run: fresh splits decide what is shipped, the held-out rows are scored once and decide nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from advisor.core.events import Confirmed, ConfirmScore, HeldoutScored, ModelShipped, Noted, TrialState
from advisor.core.metrics import metric
from advisor.core.ports import Proposal
from advisor.core.space import Config
from advisor.session.reserving import all_rows_seconds, confirm_seconds, contenders, refit_reserve
from advisor.session.walking import Walk


def confirm(walk: Walk) -> None:
    """Scores the default and the best few on fresh splits and seeds, paired; the best mean is shipped."""
    from advisor.engines.portfolio import FixedEngine

    state = walk.recorder.state
    if state.confirmed is not None or state.best is None or walk.was_interrupted:
        return
    contenders = _contenders(walk)
    default = contenders[0]
    stage = next((s for s in walk.plan.stages if s.name == "confirm"), None)
    if stage is None or len(contenders) == 1:
        reason = "no other configuration was evaluated in full" if stage else "the plan has no confirm stage"
        _settle(walk, (_search_score(default),), reason)
        return
    proposals = [Proposal(key=key, config=t.config, origin="confirm", family=t.family) for key, t in enumerate(contenders)]
    if not walk.drive(FixedEngine(proposals), stage=stage, space=walk.plan.space, purpose="confirm", reserve=partial(refit_reserve, walk)):
        return
    ended = {t.key: t for t in walk.recorder.state.trials.values() if t.stage == "confirm" and t.status == "completed"}
    scores = tuple(
        ConfirmScore(trial=t.number, mean=ended[key].value or 0.0, scores=ended[key].scores)
        for key, t in enumerate(contenders)
        if key in ended
    )
    if 0 not in ended:
        _settle(walk, (_search_score(default),), "the time ended before the default was re-scored, so nothing can be said to beat it")
    else:
        _settle(walk, scores, "")


def _search_score(trial: TrialState) -> ConfirmScore:
    return ConfirmScore(trial=trial.number, mean=trial.value or 0.0, scores=trial.scores)


def _contenders(walk: Walk) -> list[TrialState]:
    """The default and the best configurations, as many as the time for confirming affords, one besides the default at least."""
    found = contenders(walk.recorder.state)
    seconds = walk.remaining() - refit_reserve(walk, walk.recorder.state)
    while len(found) > 2 and confirm_seconds(walk.plan, found) > seconds:
        found.pop()
    return found


def _settle(walk: Walk, scores: tuple[ConfirmScore, ...], reason: str) -> None:
    """Journals the decision: the best mean, and the default where none is better."""
    sign = metric(walk.plan.metric).sign
    default = scores[0]
    best = max(scores, key=lambda c: sign * c.mean)
    if sign * best.mean <= sign * default.mean:
        best = default
    shipped: Literal["default", "tuned"] = "default" if best is default else "tuned"
    if not reason:
        again = walk.plan.validation.again
        reason = (
            f"the default has the best mean {again}, {default.mean:.4g}"
            if best is default
            else f"trial {best.trial} has the best mean {again}, {best.mean:.4g} against {default.mean:.4g} of the default"
        )
    walk.recorder.emit(Confirmed(candidates=scores, chosen=best.trial, shipped=shipped, reason=reason))


def finish(walk: Walk) -> None:
    """Fits what is shipped and the default, scores the held-out rows once, then refits on all rows if there is time."""
    confirmed = walk.recorder.state.confirmed
    if confirmed is None or walk.was_interrupted:
        return
    trials = walk.recorder.state.trials
    chosen, default = trials[confirmed.chosen], trials[confirmed.candidates[0].trial]
    if walk.recorder.state.heldout is None:
        jobs = [_job(walk, t, rows="development") for t in {t.number: t for t in (chosen, default)}.values()]
        fits = _run(walk, jobs)
        _score_heldout(walk, chosen, default, fits)
        _ship(walk, chosen, fits.get(chosen.number), trained_on="development")
    shipped = walk.recorder.state.shipped
    if shipped is not None and shipped.trained_on == "all":
        return
    if walk.remaining() > all_rows_seconds(walk, chosen) + 0.2:
        fits = _run(walk, [_job(walk, chosen, rows="all")])
        _ship(walk, chosen, fits.get(chosen.number), trained_on="all")
    else:
        missed = f"{walk.plan.valid.source}" if walk.plan.valid is not None else ""
        if not walk.prepared.is_heldout_given:
            missed = f"{missed} and the held-out ones" if missed else "the held-out ones"
        told = f": the saved model has not learned from {missed}" if missed else ""
        walk.recorder.emit(Noted(text=f"There was no time to refit on all rows{told}."))


@dataclass(frozen=True, slots=True)
class _Job:
    """One final fit."""

    trial: int
    name: str
    config: Config
    model: Path


@dataclass(slots=True)
class _Fit:
    """What came of it."""

    value: float | None = None
    sha256: str = ""
    model: Path | None = None


def _predictions(walk: Walk, trial: int) -> Path:
    return walk.folder.work / f"heldout-{trial}.npz"


def _job(walk: Walk, trial: TrialState, *, rows: Literal["development", "all"]) -> _Job:
    """Registers the final fit of `trial` with the workers."""
    from advisor.objectives.final import FinalFit

    name = f"{rows}/{trial.number}"
    fit = FinalFit(
        prepared=walk.prepared,
        family=walk.family(trial.family),
        rows=rows,
        predictions=_predictions(walk, trial.number) if rows == "development" else None,
        seed=walk.plan.seed,
        threads=walk.plan.envelope.threads_per_worker,
        device=walk.plan.envelope.device,
    )
    walk.pool.register(name, fit)
    return _Job(trial.number, name, trial.config, walk.folder.work / f"{rows}-{trial.number}.joblib")


def _run(walk: Walk, jobs: list[_Job]) -> dict[int, _Fit]:
    """Runs the jobs on the workers, saves each model, and gives what ended before the run must be over."""
    from advisor.supervise.evaluation import Died, Ended, NotSaved, Saved, Stepped

    waiting = {job.trial: job for job in jobs}
    by_trial = dict(waiting)
    fits: dict[int, _Fit] = {}
    open_jobs: set[int] = set(waiting)
    while open_jobs and walk.remaining() > 0 and not walk.is_interrupted():
        while waiting and walk.pool.idle:
            trial, job = waiting.popitem()
            walk.pool.start(trial, job.name, job.config, limit_seconds=walk.remaining())
        for report in walk.pool.poll(min(0.2, max(walk.remaining(), 0.0))):
            if report.trial not in open_jobs:
                continue  # the late end of a trial that the stage before has left
            match report:
                case Stepped():
                    walk.pool.advance(report.trial)
                case Ended():
                    fits[report.trial] = _Fit(value=report.value)
                    walk.pool.save(report.trial, by_trial[report.trial].model)
                case Saved():
                    fits[report.trial].sha256 = report.sha256
                    fits[report.trial].model = Path(report.path)
                    open_jobs.discard(report.trial)
                case Died() | NotSaved():
                    walk.recorder.emit(Noted(level="warning", text=f"The final fit of trial {report.trial} failed: {report.cause}"))
                    open_jobs.discard(report.trial)
    if walk.is_interrupted():
        walk.was_interrupted = True
    for trial in open_jobs - set(waiting):
        walk.pool.kill(trial)
    if open_jobs and not walk.was_interrupted:
        names = ", ".join(str(t) for t in sorted(open_jobs))
        walk.recorder.emit(Noted(level="warning", text=f"The time ended before the final fit of trial {names} did."))
        end = time.monotonic() + 1.0
        while time.monotonic() < end and walk.pool.poll(0.1):
            pass
    return fits


def _ship(walk: Walk, trial: TrialState, fit: _Fit | None, *, trained_on: Literal["development", "all"]) -> None:
    """Puts the model of a final fit into ``best/``; without one, what the search saved stays there."""
    if fit is None or fit.model is None:
        return
    walk.put_best(trial, fit.model, sha256=fit.sha256, trained_on=trained_on)
    walk.recorder.emit(ModelShipped(trial=trial.number, sha256=fit.sha256, trained_on=trained_on))


def _score_heldout(walk: Walk, chosen: TrialState, default: TrialState, fits: dict[int, _Fit]) -> None:
    """Journals the held-out scores and the gain with its interval; what cannot be said is said."""
    from advisor.objectives.final import gain, is_settled

    shipped, before = fits.get(chosen.number), fits.get(default.number)
    if walk.was_interrupted or shipped is None or shipped.value is None:
        return
    found, reason = None, ""
    rows = walk.prepared.heldout_rows
    if rows == 0:
        walk.recorder.emit(
            HeldoutScored(heldout_score=None, default_heldout_score=None, reason="too few rows to keep any apart: no claim of gain is made")
        )
        return
    if chosen.number == default.number:
        reason = "the default is shipped: there is no gain to measure"
    elif before is None or before.value is None:
        reason = "the default's final fit did not end in time"
    else:
        found = gain(_predictions(walk, default.number), _predictions(walk, chosen.number), metric(walk.plan.metric), seed=walk.plan.seed)
        if not is_settled(found):
            reason = f"the gain cannot be settled with these {rows} held-out rows: its interval includes zero"
    walk.recorder.emit(
        HeldoutScored(
            heldout_score=shipped.value,
            default_heldout_score=None if before is None else before.value,
            gain=None if found is None else found.model_dump(),
            rows=rows,
            reason=reason,
        )
    )
