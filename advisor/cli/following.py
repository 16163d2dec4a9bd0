"""Watching an engine from outside until it ends, is interrupted, or is left alone."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from advisor.cli.door import Door, Follower
from advisor.cli.progress import Progress
from advisor.core import errors
from advisor.core.errors import AdvisorError, CannotRunError, ExitCode, InterruptedRunError, RunNotFoundError

if TYPE_CHECKING:
    from advisor.core.events import StudyState

_POLL_SECONDS = 0.2
_START_SECONDS = 60.0
"""An engine that has not shown itself in the journal by then never will."""
_TERM_SECONDS = 1.5
"""From asking an engine to end to ending it: the summary must stand within 2 seconds."""


def watch(door: Door, run_dir: Path, *, may_interrupt: bool, since: float | None = None) -> StudyState:
    """Narrates the run until its engine ends; the state then.

    With `may_interrupt`, Ctrl-C ends the engine (everything finished is kept); otherwise it only ends the watching.
    `since` is the number of events that an earlier engine left behind.

    Raises: InterruptedRunError when the run was interrupted or its engine died; the engine's own error when it gave up.
    """
    progress = Progress(door)
    name = run_dir.name
    follower: Follower | None = None
    try:
        with _told_of_termination():
            follower = _wait_for_engine(door, run_dir, progress, known_lives=int(since or 0))
            state = follower.poll()
            while follower.is_alive:
                progress.show(state)
                time.sleep(_POLL_SECONDS)
                state = follower.poll()
            state = follower.poll()
            progress.show(state)
            progress.clear()
    except _Terminated:
        progress.clear()
        door.say(f"Watching has ended; the run goes on. Come back: advisor attach {name}")
        raise click.exceptions.Exit(128 + signal.SIGTERM) from None
    except KeyboardInterrupt:
        progress.clear()
        if not may_interrupt:
            door.say(f"Left. The run goes on: advisor attach {name} · advisor stop {name}")
            raise click.exceptions.Exit(int(ExitCode.DONE)) from None
        _end_engine(follower)
        state = follower.poll() if follower is not None else door.session.follow(run_dir).poll()
        raise _interrupted(state, name) from None
    if state.finished is None:
        problem = engine_error(run_dir)
        raise problem if problem is not None else _interrupted(state, name, died=True)
    return state


def _interrupted(state: StudyState, name: str, *, died: bool = False) -> InterruptedRunError:
    finished = sum(trial.status == "completed" for trial in state.trials.values())
    what = "the engine of the run has died" if died else "interrupted"
    return InterruptedRunError(f"{what}; {finished} finished trials are kept", where=name, cure=f"Go on with `advisor resume {name}`.")


def _wait_for_engine(door: Door, run_dir: Path, progress: Progress, *, known_lives: int) -> Follower:
    """A follower of the run once an engine has shown itself. Raises: the engine's error, or CannotRunError when it does not come."""
    deadline = door.clock() + _START_SECONDS
    while True:
        with suppress(RunNotFoundError):
            follower = door.session.follow(run_dir)
            state = follower.poll()
            progress.show(state)
            if state.engine is not None and (state.events > known_lives or follower.is_alive):
                return follower
        problem = engine_error(run_dir)
        if problem is not None:
            raise problem
        if door.clock() > deadline:
            raise CannotRunError("the engine did not start", where=str(run_dir / "logs"), cure="Read the log there, then run it again.")
        time.sleep(_POLL_SECONDS)


def engine_error(run_dir: Path) -> AdvisorError | None:
    """The error with which the engine of the run gave up; None when it left none."""
    try:
        told = json.loads((run_dir / "engine-error.json").read_text(encoding="utf-8"))
        kind = getattr(errors, str(told["kind"]), None)
        what, where, cure = str(told["what"]), str(told["where"]), str(told["cure"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not (isinstance(kind, type) and issubclass(kind, AdvisorError)) or kind is errors.RulebookError:
        kind = CannotRunError
    return kind(what, where=where, cure=cure)


def _end_engine(follower: Follower | None) -> None:
    """Asks the engine to end and ends it when it does not, or when the user presses again."""
    state = follower.poll() if follower is not None else None
    if follower is None or state is None or state.engine is None or not follower.is_alive:
        return
    pid = state.engine.pid
    try:
        _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + _TERM_SECONDS
        while follower.is_alive and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        if follower.is_alive:
            _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


class _Terminated(BaseException):
    """SIGTERM came."""


@contextmanager
def _told_of_termination() -> Iterator[None]:
    """SIGTERM raises `_Terminated` inside, where this is the main thread."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
