"""Watching an engine from outside until it ends, is interrupted, or is left alone."""

from __future__ import annotations

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
from advisor.core.errors import ExitCode
from advisor.supervise.launch import read_error

if TYPE_CHECKING:
    from advisor.core.events import StudyState

_POLL_SECONDS = 0.2
_ORDERLY_SECONDS = 1.0
_PROMPT_SECONDS = 0.3
"""After the first signal, and after the second, until an engine is ended: the summary must stand within 2 seconds."""


def watch(door: Door, run_dir: Path, *, may_interrupt: bool) -> StudyState:
    """Narrates the run until its engine ends; the state then. Without an end in it, the run was interrupted.

    With `may_interrupt`, Ctrl-C ends the engine (everything finished is kept) and a second one ends it at once; otherwise
    it ends only the watching. SIGTERM always ends only the watching.

    Raises: the error with which the engine gave up, if it left one; click.exceptions.Exit when only the watching ended.
    """
    progress = Progress(door)
    follower = door.session.follow(run_dir)
    try:
        with _told_of_termination():
            state = follower.poll()
            while follower.is_alive:
                progress.show(state)
                time.sleep(_POLL_SECONDS)
                state = follower.poll()
            progress.show(follower.poll())
    except _Terminated:
        progress.clear()
        door.say(f"Watching has ended; the run goes on. Come back: advisor attach {run_dir.name}")
        raise click.exceptions.Exit(128 + signal.SIGTERM) from None
    except KeyboardInterrupt:
        progress.clear()
        if not may_interrupt:
            door.say(f"Left. The run goes on: advisor attach {run_dir.name} · advisor stop {run_dir.name}")
            raise click.exceptions.Exit(int(ExitCode.DONE)) from None
        return interrupt(door, run_dir)
    progress.clear()
    state = follower.poll()
    problem = read_error(run_dir) if state.finished is None else None
    if problem is not None:
        raise problem
    return state


@contextmanager
def patient(door: Door) -> Iterator[None]:
    """Keeps a Ctrl-C back until the block is over, so that an engine that is just starting is not left behind unknown.

    A second Ctrl-C is not kept back. Raises: KeyboardInterrupt at the end of the block when there was one.
    """
    pressed: list[int] = []

    def press(number: int, _frame: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)
        door.say("interrupting …")

    try:
        before = signal.signal(signal.SIGINT, press)
    except ValueError:  # not the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        signal.raise_signal(signal.SIGINT)


def interrupt(door: Door, run_dir: Path) -> StudyState:
    """Asks the engine to end, and ends it when it does not or when the user presses again; the state then."""
    follower = door.session.follow(run_dir)
    engine = follower.poll().engine
    if engine is None:
        return follower.poll()
    try:
        for patience in (_ORDERLY_SECONDS, _PROMPT_SECONDS):
            if _is_gone(follower):
                break
            _signal(engine.pid, signal.SIGTERM)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline and not _is_gone(follower):
                time.sleep(0.05)
    finally:
        if not _is_gone(follower):
            _signal(engine.pid, signal.SIGKILL)
    return follower.poll()


def _is_gone(follower: Follower) -> bool:
    follower.poll()
    return not follower.is_alive


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
