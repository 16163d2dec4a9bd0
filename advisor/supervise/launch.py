"""Starting the engine process of a run so that it outlives what started it, and stopping it in good order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from advisor.core import errors
from advisor.core.errors import AdvisorError, CannotRunError, ExitCode
from advisor.supervise.identity import ProcessIdentity, boot_id, is_alive, process_age_seconds, process_identity

__all__ = [
    "ProcessIdentity",
    "StopSignals",
    "budget_began",
    "is_alive",
    "launch_engine",
    "process_age_seconds",
    "process_identity",
    "read_error",
    "write_error",
]

_BEGAN = "ADVISOR_BEGAN"
"""Environment variable: monotonic seconds at which the budget began, and the boot they belong to."""
_children: list[subprocess.Popen[bytes]] = []
"""Engines of this process, kept so that their end is collected and they never look alive as zombies."""


def launch_engine(
    run_dir: Path | str,
    *,
    began: float | None,
    arguments: Sequence[str],
    is_ready: Callable[[int], bool],
    timeout_seconds: float = 60.0,
) -> int:
    """The pid of a detached engine process, once `is_ready(pid)` holds.

    It runs ``sys.executable ARGUMENTS`` in a session of its own, without a terminal, its output in ``engine.log``: neither a
    closed terminal nor the end of this process reaches it. `began` is the monotonic second at which the budget began
    (`budget_began` gives it on the other side); None lets the budget begin with the engine. `is_ready` asks the journal for
    the engine's first event.

    Raises: the AdvisorError that the engine left with `write_error`, or CannotRunError with the last lines of its log, when it
    ends before it is ready or is not ready within `timeout_seconds` (it is then killed).
    """
    folder = Path(run_dir)
    for child in list(_children):
        if child.poll() is not None:
            _children.remove(child)
    (folder / "engine-error.json").unlink(missing_ok=True)
    environment = {k: v for k, v in os.environ.items() if k != _BEGAN}
    if began is not None:
        environment[_BEGAN] = f"{began!r} {boot_id()}"
    try:
        with (folder / "engine.log").open("ab") as log:
            offset = log.tell()
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
    except OSError as error:
        raise CannotRunError(
            f"the engine cannot be started: {error.strerror}", where=str(folder), cure="Give a folder you may write to with --runs."
        ) from error
    _children.append(process)
    give_up = time.monotonic() + timeout_seconds
    pause = 0.01
    while True:
        has_ended = process.poll() is not None
        if is_ready(process.pid):
            return process.pid
        if has_ended:
            raise read_error(folder) or CannotRunError(
                f"the engine ended with exit code {process.returncode} before it began: {_last_lines(folder, offset)}",
                where=str(folder / "engine.log"),
                cure="Read its log.",
            )
        if time.monotonic() > give_up:
            process.kill()
            process.wait()
            raise CannotRunError(
                f"the engine was not ready within {timeout_seconds:.0f} s", where=str(folder / "engine.log"), cure="Read its log."
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def budget_began() -> float:
    """The monotonic second at which the budget of this process began: what `launch_engine` was given, else its own start."""
    told, _, boot = os.environ.get(_BEGAN, "").partition(" ")
    if told and boot == boot_id():
        return min(float(told), time.monotonic())
    return time.monotonic() - process_age_seconds()


def write_error(run_dir: Path | str, error: AdvisorError) -> None:
    """Leaves `error` in ``engine-error.json`` for the process that launched this one."""
    plain = {"kind": type(error).__name__, "what": error.what, "where": error.where, "cure": error.cure}
    draft = Path(run_dir) / f".engine-error.{os.getpid()}"
    draft.write_text(json.dumps(plain))
    draft.replace(Path(run_dir) / "engine-error.json")


def read_error(run_dir: Path | str) -> AdvisorError | None:
    """The error an engine left; None when there is none that can be read."""
    try:
        plain: dict[str, Any] = json.loads((Path(run_dir) / "engine-error.json").read_text())
        kind = getattr(errors, str(plain["kind"]), AdvisorError)
        what, where, cure = str(plain["what"]), str(plain["where"]), str(plain["cure"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not (isinstance(kind, type) and issubclass(kind, AdvisorError)):
        kind = AdvisorError
    error = kind.__new__(kind)
    AdvisorError.__init__(error, what, where=where, cure=cure)
    return error


class StopSignals:
    """Turns SIGINT and SIGTERM into an orderly stop while it is entered, in the main thread.

    The first sets `is_set`, which the loop looks at (`drive(is_interrupted=…)`); the second leaves the process at once with
    exit code 130, and the kernel and the pool's sentinel end the workers. SIGHUP is ignored: a run outlives its terminal.
    In another thread nothing is changed: signals are the main thread's, and so is the stop.
    """

    def __init__(self, *, ignores_hangup: bool = True) -> None:
        """`ignores_hangup` is False in a process that belongs to a terminal: there SIGHUP stops like SIGTERM."""
        self._ignores_hangup = ignores_hangup
        self._before: dict[signal.Signals, Any] = {}
        self.is_set = False
        """True once a stop was asked for."""

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._press)
        hangup = signal.SIG_IGN if self._ignores_hangup else self._press
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, hangup)
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """`is_set`, so that an instance serves as `is_interrupted`."""
        return self.is_set

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_set:
            os._exit(ExitCode.INTERRUPTED)
        self.is_set = True


def _last_lines(folder: Path, offset: int) -> str:
    with (folder / "engine.log").open("rb") as log:
        log.seek(offset)
        lines = log.read()[-4000:].decode(errors="replace").split("\n")
    return " | ".join(line.strip() for line in lines if line.strip())[-600:] or "it said nothing"
