"""Drives one stage: proposals in, trials out, every event journalled before it is acknowledged."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from advisor.core.errors import AdvisorError
from advisor.core.events import (
    BestSaved,
    CommandReceived,
    ConfigChanged,
    Measured,
    Noted,
    StudyState,
    TrialFailed,
    TrialFinished,
    TrialInterrupted,
    TrialPruned,
    TrialStarted,
)
from advisor.core.ports import Clock, Emit, Engine, Limits, Proposal, Result
from advisor.core.space import Config
from advisor.core.value import decode, encode
from advisor.supervise.commands import Command, CommandBox
from advisor.supervise.evaluation import Died, Ended, KeptCheckpoint, NotSaved, Report, Saved, Stepped
from advisor.supervise.pool import Pool

_LOOK_SECONDS = 0.1
"""How often commands and signals are looked at."""
_DEATHS = 2
"""A configuration that has killed its worker this often is not tried again."""
_SHARE = 0.9
"""A trial is started when this share of its like would end before the deadline."""
_SHARE_OF_STEPPED = 0.25
"""The same where a trial comes in steps: one that proves too slow is stopped after a few."""
_LONGEST_OF_STEPPED = 2
"""A trial that comes in steps is killed after so many times its limit: forecast to keep it at its middle, it may end a little late."""
_SLACK = 0.1
"""A forecast of the time that is left may be wrong by this share before a trial is given up. [H]"""
_MOST_LATE = 6
"""So many trials given up for want of time at most; after them the first share holds again. [H]"""
_LIKE = 200
"""The latest trials that the share is taken of."""
_LOOK_AHEAD = 4
"""Proposals held back for want of time before the stage is called full: another family may be quicker."""
_SAVE_SECONDS = 60.0
"""Longest time the model of an incumbent may take to be written."""

PAUSED = "paused at step"
"""How the reason of a paused trial begins; it may be gone on from."""

Publish = Callable[[int, Path, str], None]
"""Moves a saved model (trial, file, sha256) to where it belongs, atomically."""


class Deadline:
    """The end of a stage on the clock; the `budget` command moves it."""

    def __init__(self, at: float) -> None:
        self.at = at
        """Value of the clock."""
        self.extra_seconds = 0.0
        """Moved so far."""

    def extend(self, seconds: float) -> None:
        """Moves the end by `seconds`, earlier when negative."""
        self.at += seconds
        self.extra_seconds += seconds


@dataclass(frozen=True, slots=True)
class DriveEnd:
    """How the drive of a stage ended."""

    reason: Literal["done", "deadline", "trials", "stopped", "interrupted"]
    """`done`: the engine has nothing more; `stopped`: by command; `interrupted`: by a signal, to be resumed."""
    next_trial: int
    """The first number that is free."""


def _never() -> bool:
    return False


def drive(
    engine: Engine,
    pool: Pool,
    *,
    stage: str,
    family: str,
    objective_name: Callable[[Proposal], str],
    limits: Limits,
    emit: Emit,
    state: Callable[[], StudyState],
    next_trial: int,
    clock: Clock,
    commands: CommandBox,
    best_path: Path | None = None,
    publish: Publish | None = None,
    deadline: Deadline | None = None,
    is_interrupted: Callable[[], bool] = _never,
    checkpoints: Path | None = None,
    longest: Callable[[], float] | None = None,
    hard_end: Callable[[], float] | None = None,
) -> DriveEnd:
    """Runs trials of `stage` until the engine is done or a limit is reached, and gives why it ended.

    Keeps every worker busy. `clock` counts the budget used, over all lives of the run, and is what events carry as `elapsed`.
    `state` gives the fold of everything emitted so far. At the deadline running trials are killed and journalled as failed of
    category ``deadline``; a stop by command or `is_interrupted` leaves them interrupted. When a trial becomes the best and its
    objective can save, the model is written beside `best_path` and handed to `publish` (which without one is a rename to
    `best_path`). A pause starts nothing new; the time goes on. `checkpoints` is the folder in which paused trials
    (`Proposal.until`) leave their state and from which others go on (`Proposal.continues`). `longest`, asked as a trial
    begins, takes the place of the limit of one trial. The model of an incumbent is still written after the deadline, until
    `hard_end` on the clock.

    Raises: AdvisorError when the engine proposes nothing although nothing runs and it is not done; whatever `emit` raises, so
    that a broken journal stops the run.
    """
    return _Drive(
        engine,
        pool,
        stage,
        family,
        objective_name,
        limits,
        emit,
        state,
        next_trial,
        clock,
        commands,
        best_path,
        publish or _renamer(best_path),
        deadline or Deadline(limits.deadline),
        is_interrupted,
        checkpoints,
        longest or (lambda: limits.trial_seconds),
        hard_end,
    ).run()


@dataclass
class _Running:
    proposal: Proposal
    family: str
    began: float
    limit_seconds: float
    """Longest time it may take."""
    steps: list[tuple[int, float]] = field(default_factory=list)
    pruned_at: tuple[int, float] | None = None
    is_paused: bool = False
    first: tuple[int, float] | None = None
    """First step, and when it came: what comes before it (loading, compiling) says nothing of those that follow."""
    late: str = ""
    """Why it was given up for want of time."""
    shortened: float | None = None
    """Its score where it was ended after some of its splits."""
    scores: list[float] = field(default_factory=list)
    """Of its splits so far."""
    suggested: dict[str, Any] | None = None


@dataclass
class _Drive:
    engine: Engine
    pool: Pool
    stage: str
    family: str
    objective_name: Callable[[Proposal], str]
    limits: Limits
    emit: Emit
    state: Callable[[], StudyState]
    next_trial: int
    clock: Clock
    commands: CommandBox
    best_path: Path | None
    publish: Publish
    deadline: Deadline
    is_interrupted: Callable[[], bool]
    checkpoints: Path | None
    longest: Callable[[], float]
    hard_end: Callable[[], float] | None
    running: dict[int, _Running] = field(default_factory=dict)
    saving: dict[int, float] = field(default_factory=dict)
    held: deque[Proposal] = field(default_factory=deque)
    looked_at: float = -math.inf
    is_stopping: bool = False
    started: int = 0
    """Trials of this stage so far, over all lives."""
    gave_up: int = 0
    """Trials of this life given up for want of time."""

    def run(self) -> DriveEnd:
        self.started = sum(t.stage == self.stage and t.status != "interrupted" for t in self.state().trials.values())
        while True:
            self._obey()
            if self.is_stopping or self.is_interrupted():
                return self._leave("stopped" if self.is_stopping else "interrupted")
            if self.clock() >= self.deadline.at:
                self._take(self.pool.poll(0.0))
                return self._leave("deadline")
            reason = self._launch()
            if reason is not None and not self.running and not self.saving:
                return DriveEnd(reason, self.next_trial)
            self._take(self.pool.poll(max(0.0, min(_LOOK_SECONDS, self.deadline.at - self.clock()))))
            self._limit_saving()

    # -- starting --------------------------------------------------------------------------------------------------------

    def _launch(self) -> Literal["done", "deadline", "trials"] | None:
        """Starts what can be started; a reason when nothing more ever will be."""
        while self.pool.idle and not self.state().is_paused and self.clock() < self.deadline.at:
            if self.limits.max_trials is not None and self.started >= self.limits.max_trials:
                return "trials"
            proposal = next((p for p in self.held if self._fits(p)), None)
            if proposal is not None:
                self.held.remove(proposal)
            elif len(self.held) < _LOOK_AHEAD and (not self.held or self.held[-1].family is not None):
                proposal = self.engine.propose()
                if proposal is None:
                    return self._dry()
                if not self._fits(proposal):
                    self.held.append(proposal)
                    continue
            else:
                return "deadline"
            self._start(proposal)
        return None

    def _dry(self) -> Literal["done", "deadline"] | None:
        """The engine has nothing now: is that the end?"""
        if self.held:
            return "deadline"
        if self.engine.is_done:
            return "done"
        if self.running:
            return None
        raise AdvisorError(
            f"the {type(self.engine).__name__} of stage {self.stage} proposes nothing although nothing runs and it is not done",
            cure="Report this as a fault of the advisor, with the run folder.",
        )

    def _start(self, proposal: Proposal) -> None:
        trial, self.next_trial = self.next_trial, self.next_trial + 1
        self.started += 1
        family = proposal.family or self.family
        deaths = self._deaths(family, proposal.config)
        self.emit(
            TrialStarted(
                at=time.time(),
                elapsed=self.clock(),
                trial=trial,
                stage=self.stage,
                origin=proposal.origin,
                family=family,
                config=proposal.config,
                key=proposal.key,
                seed=proposal.seed,
                until=proposal.until,
                continues=proposal.continues,
                rows=proposal.rows,
            )
        )
        limit_seconds = self.longest()
        self.running[trial] = _Running(proposal, family, self.clock(), limit_seconds)
        if deaths >= _DEATHS:
            cause = f"not tried: this configuration has killed its worker {deaths} times"
            self._fail(trial, Died(trial, "signal", cause, "Leave this part of the space out."))
            return
        # The deadline can be moved by a command, so it is kept here and the pool is given the trial's own limit only.
        kept = None if proposal.continues is None else KeptCheckpoint(str(self._checkpoint(proposal.continues)))
        most = limit_seconds if self.limits.last_step is None else _LONGEST_OF_STEPPED * limit_seconds
        self.pool.start(trial, self.objective_name(proposal), proposal.config, checkpoint=kept, limit_seconds=most)

    def _checkpoint(self, key: int) -> Path:
        """Where the paused trial of proposal `key` leaves its state."""
        if self.checkpoints is None:
            raise ValueError(f"stage {self.stage} pauses trials but was given no folder for their checkpoints")
        return self.checkpoints / f"{self.stage}-{key}.ckpt"

    def _fits(self, proposal: Proposal) -> bool:
        """True when the trial should end in time, judged by finished ones of its family, those of this stage first."""
        family = proposal.family or self.family
        ended = [t for t in self.state().trials.values() if t.status == "completed" and t.family == family and t.rows == proposal.rows]
        here = [t.seconds for t in ended if t.stage == self.stage] or [t.seconds for t in ended]
        if not here:
            return True
        seconds = sorted(here[-_LIKE:])
        share = _SHARE_OF_STEPPED if self.limits.last_step is not None and self.gave_up < _MOST_LATE else _SHARE
        return seconds[min(len(seconds) - 1, int(share * len(seconds)))] <= self.deadline.at - self.clock()

    def _lateness(self, running: _Running, step: int) -> str:
        """Why the trial cannot reach its last step in time, as its steps so far forecast; empty while it can, or nothing has finished."""
        now, last = self.clock(), self.limits.last_step
        if running.first is None:
            running.first = (step, now)
        first, since = running.first
        if last is None or running.proposal.until is not None or step >= last or step < first + 2 or self.state().best is None:
            return ""
        left = (now - since) / (step - first) * (last - step)
        # Past its middle only the end of the stage stops it: what is left of it costs less than what would be lost.
        ends = [self.deadline.at] if 2 * step > last else [self.deadline.at, running.began + running.limit_seconds]
        allowed = min(ends) - now
        if left * (1 - _SLACK) <= allowed:
            return ""
        return f"it would not have ended in time: {last - step} steps to go, about {left:.3g} s, and {max(allowed, 0):.3g} s left for it"

    def _deaths(self, family: str, config: Config) -> int:
        mark = fingerprint(family, config)
        dead = (t for t in self.state().trials.values() if t.status == "failed" and t.category in ("signal", "memory"))
        return sum(fingerprint(t.family, t.config) == mark for t in dead)

    # -- reports ---------------------------------------------------------------------------------------------------------

    def _take(self, reports: list[Report]) -> None:
        for report in reports:
            match report:
                case Stepped():
                    self._step(report)
                case Ended():
                    self._end(report)
                case Died():
                    if report.trial in self.running:
                        self._fail(report.trial, report)
                case Saved():
                    self._saved(report)
                case NotSaved():
                    if self.saving.pop(report.trial, None) is not None:
                        self._draft(report.trial).unlink(missing_ok=True)
                        self._note(f"the model of trial {report.trial} was not saved: {report.cause}", is_warning=True)

    def _step(self, report: Stepped) -> None:
        running = self.running.get(report.trial)
        if running is None:
            return
        running.steps.append((report.step, report.value))
        if self.engine.observe(running.proposal, report.step, report.value):
            running.pruned_at = (report.step, report.value)
            self.pool.stop(report.trial)
        elif running.proposal.until is not None and report.step >= running.proposal.until:
            running.pruned_at, running.is_paused = (report.step, report.value), True
            self.pool.stop(report.trial, keep=self._checkpoint(running.proposal.key))
        elif late := self._lateness(running, report.step):
            running.pruned_at, running.late = (report.step, report.value), late
            self.gave_up += 1
            self.pool.stop(report.trial)
        elif self._is_shortened(running, report):
            running.shortened = report.value
            self.pool.stop(report.trial)
        else:
            self.pool.advance(report.trial)  # before the disk is waited for: a measurement acknowledges nothing
        self.emit(
            Measured(at=time.time(), elapsed=self.clock(), trial=report.trial, step=report.step, value=report.value),
        )

    def _is_shortened(self, running: _Running, report: Stepped) -> bool:
        """True when the next split would not end in time and nothing else has finished: some splits are better than no result."""
        if report.score is None or not self.limits.is_shortened:
            return False
        running.scores.append(report.score)
        if self.state().best is not None:
            return False
        now = self.clock()
        each = (now - running.began) / len(running.scores)
        return each > min(self.deadline.at, running.began + running.limit_seconds) - now

    def _learn(self, trial: int, suggested: dict[str, Any] | None) -> None:
        """Journals what an objective that draws its own values ran under."""
        if suggested is not None:
            self.running[trial].suggested = suggested
            change = ConfigChanged(
                at=time.time(),
                elapsed=self.clock(),
                trial=trial,
                step=0,
                config=decode(suggested["config"]),
                reason="the objective asked for these values as it ran",
                space=suggested["space"],
            )
            self.emit(change)

    def _end(self, report: Ended) -> None:
        running = self.running.get(report.trial)
        if running is None:
            return
        self._learn(report.trial, report.suggested)
        if report.value is None and running.shortened is not None:
            report = replace(report, value=running.shortened, scores=tuple(running.scores))
            splits = f"{len(running.scores)} split{'s' if len(running.scores) > 1 else ''}"
            said = f"Trial {report.trial} was scored on {splits} only: there was no time for another one."
            self._note(said, is_warning=True)
        if report.value is None:
            reason = (
                f"{PAUSED} {_last_step(running)}" if running.is_paused else running.late or report.cause or "others do better at this step"
            )
            self._prune(report.trial, reason, seconds=report.seconds)
            return
        del self.running[report.trial]
        self.emit(
            TrialFinished(
                at=time.time(),
                elapsed=self.clock(),
                trial=report.trial,
                value=report.value,
                scores=report.scores,
                seconds=report.seconds,
                fit_seconds=report.fit_seconds,
                peak_bytes=report.peak_bytes,
            )
        )
        if self.best_path is not None and report.can_save and self.state().best == report.trial:
            self.saving[report.trial] = self.clock()
            self.pool.save(report.trial, self._draft(report.trial))
        self.engine.tell(
            running.proposal,
            Result(
                "completed",
                report.value,
                report.scores,
                tuple(running.steps),
                report.seconds,
                report.fit_seconds,
                suggested=running.suggested,
            ),
        )

    def _prune(self, trial: int, reason: str, *, seconds: float) -> None:
        running = self.running.pop(trial)
        step, value = running.pruned_at or running.steps[-1]
        self.emit(
            TrialPruned(at=time.time(), elapsed=self.clock(), trial=trial, step=step, value=value, seconds=seconds, reason=reason),
        )
        self.engine.tell(
            running.proposal, Result("pruned", value, (), tuple(running.steps), seconds, cause=reason, suggested=running.suggested)
        )

    def _fail(self, trial: int, death: Died) -> None:
        self._learn(trial, death.suggested)
        running = self.running.pop(trial)
        self.emit(
            TrialFailed(
                at=time.time(),
                elapsed=self.clock(),
                trial=trial,
                cause=death.cause,
                cure=death.cure,
                detail=death.detail,
                category=death.category,
                seconds=death.seconds,
            )
        )
        self.engine.tell(
            running.proposal,
            Result("failed", None, (), tuple(running.steps), death.seconds, cause=death.cause, suggested=running.suggested),
        )

    # -- the best model --------------------------------------------------------------------------------------------------

    def _draft(self, trial: int) -> Path:
        assert self.best_path is not None
        return self.best_path.with_name(f".{self.best_path.name}.trial-{trial}")

    def _saved(self, report: Saved) -> None:
        path = Path(report.path)
        if self.saving.pop(report.trial, None) is None or self.state().best != report.trial:
            path.unlink(missing_ok=True)  # a better one has come meanwhile
            return
        self.publish(report.trial, path, report.sha256)
        self.emit(BestSaved(at=time.time(), elapsed=self.clock(), trial=report.trial, sha256=report.sha256, trained_on="fold"))

    def _limit_saving(self) -> None:
        for trial, began in list(self.saving.items()):
            if self.clock() - began > _SAVE_SECONDS:
                self.pool.kill(trial)

    # -- ends and commands -----------------------------------------------------------------------------------------------

    def _leave(self, reason: Literal["deadline", "stopped", "interrupted"]) -> DriveEnd:
        """Ends what still runs, journals it, and gives `reason`; at a deadline the incumbent's model is written first."""
        for trial in self.running:
            self.pool.kill(trial)
        for trial, running in list(self.running.items()):
            seconds = self.clock() - running.began
            if reason == "deadline":
                cause = "the budget ended while it ran"
                self._fail(trial, Died(trial, "deadline", cause, "Give the run more time.", seconds=seconds))
            else:
                del self.running[trial]
                self.emit(TrialInterrupted(at=time.time(), elapsed=self.clock(), trial=trial))
        while reason == "deadline" and self.saving and self.hard_end is not None and self.clock() < self.hard_end():
            self._take(self.pool.poll(min(_LOOK_SECONDS, max(self.hard_end() - self.clock(), 0.0))))
        for trial in self.saving:
            self.pool.kill(trial)
            self._draft(trial).unlink(missing_ok=True)
        self.saving.clear()
        return DriveEnd(reason, self.next_trial)

    def _obey(self) -> None:
        now = time.monotonic()
        if now - self.looked_at < _LOOK_SECONDS:
            return
        self.looked_at = now
        for command in self.commands.take():
            if not isinstance(command, Command):
                self._note(command.cause, is_warning=True)
                continue
            self.emit(CommandReceived(at=time.time(), elapsed=self.clock(), command=command.name, argument=command.argument))
            match command.name:
                case "stop":
                    self.is_stopping = True
                case "budget":
                    self.deadline.extend(command.argument or 0.0)
                case "skip":
                    self._skip(int(command.argument or 0))
                case "pause" | "resume":
                    pass  # the fold of the event is the switch

    def _skip(self, trial: int) -> None:
        running = self.running.get(trial)
        if running is None:
            self._note(f"trial {trial} does not run; nothing to skip")
            return
        self.pool.kill(trial)
        seconds = self.clock() - running.began
        if running.steps:
            self._prune(trial, "skipped on request", seconds=seconds)
        else:
            self._fail(trial, Died(trial, "error", "skipped on request", seconds=seconds))

    def _note(self, text: str, *, is_warning: bool = False) -> None:
        self.emit(Noted(at=time.time(), elapsed=self.clock(), level="warning" if is_warning else "info", text=text))


def _last_step(running: _Running) -> int:
    """The last step that a trial has reported."""
    return running.pruned_at[0] if running.pruned_at is not None else running.steps[-1][0]


def fingerprint(family: str, config: Config) -> str:
    """A text that two configurations share when they are the same evaluation."""
    text = json.dumps([family, encode(config)], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _renamer(best_path: Path | None) -> Publish:
    def rename(_trial: int, file: Path, _sha256: str) -> None:
        assert best_path is not None
        file.replace(best_path)
        handle = os.open(best_path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    return rename
