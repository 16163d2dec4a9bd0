"""The worker process: evaluates trials one after another for the pool that started it, and dies with it.

Protocol, over two pipes that are moved away from 0 and 1 first: towards the worker an 8-byte length and a cloudpickle;
back an 8-byte length and JSON, so that nothing an objective makes is unpickled in the engine. A worker is our own program
and not `multiprocessing`, whose spawn breaks unguarded scripts, notebooks and lambdas.
"""

from __future__ import annotations

import ctypes
import faulthandler
import hashlib
import importlib
import json
import os
import signal
import struct
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import cloudpickle

from advisor.supervise.evaluation import Begun, Died, Ended, NotSaved, Report, Saved, Stepped, TrialRun
from advisor.supervise.parcel import packed

_PR_SET_PDEATHSIG = 1
_LENGTH = struct.Struct(">Q")


def main() -> None:
    """Serves until the pool closes the pipe or kills the process. ``argv[1]`` is the pid of the engine."""
    die_with(int(sys.argv[1]))
    commands = os.fdopen(os.dup(0), "rb", buffering=1 << 16)
    reports = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # the objective's output goes where stderr goes: the worker's log
    os.close(nothing)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    faulthandler.enable()
    _Worker(commands, reports).serve()


def die_with(parent: int) -> None:
    """Arranges that this process is killed when `parent`'s starting thread ends; leaves at once when that has happened already.

    On a system without prctl (macOS) the end of the command pipe is the only sign, noticed between trials.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def limit_memory(limit_bytes: int) -> None:
    """Lets this process hold at most `limit_bytes` of writable memory of its own (``ulimit -d``); more raises MemoryError.

    RLIMIT_DATA and not RLIMIT_AS: mapped tables, libraries and what an accelerator's driver reserves are address space and
    cost no memory (importing torch: 180 MB of the one, 600 MB of the other). macOS has the call and ignores it.
    """
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard), hard))


def frame(body: bytes) -> bytes:
    """`body` with its length before it."""
    return _LENGTH.pack(len(body)) + body


class _Worker:
    def __init__(self, commands: BinaryIO, reports: int) -> None:
        self._commands, self._reports = commands, reports
        self._pid = os.getpid()
        self._objectives: dict[str, Callable[..., Any]] = {}
        self._run: TrialRun | None = None
        self._last: tuple[int, Callable[..., Any]] | None = None

    def serve(self) -> None:
        while True:
            head = self._commands.read(_LENGTH.size)
            if len(head) < _LENGTH.size:
                os._exit(0)  # the engine has closed the pipe
            command, *arguments = cloudpickle.loads(self._commands.read(*_LENGTH.unpack(head)))
            getattr(self, f"_on_{command}")(*arguments)

    def _on_setup(self, path: list[str], preload: tuple[str, ...], memory_bytes: int | None) -> None:
        sys.path[:] = path
        for name in preload:
            try:
                importlib.import_module(name)
            except Exception as error:  # an objective that needs it will fail with its own message
                print(f"advisor: {name} was not imported ahead: {error!r}", file=sys.stderr)  # noqa: T201
        if memory_bytes is not None:
            limit_memory(memory_bytes)

    def _on_objective(self, name: str, path: str, sha256: str) -> None:
        self._objectives.pop(name, None)
        self._load = (name, path, sha256)

    def _on_load(self, trial: int, name: str) -> None:
        """Loads an objective and runs nothing."""
        if name in self._objectives or self._unpickled(trial, name) is not None:
            self._send(Ended(trial, None))

    def _on_trial(self, trial: int, name: str, config: dict[str, Any], checkpoint: Any) -> None:
        reset_peak()
        objective = self._objectives.get(name) or self._unpickled(trial, name)
        if objective is None:
            return
        self._last = (trial, objective)
        self._run = TrialRun(trial, objective, config, checkpoint, peak_bytes=peak_bytes)
        self._send(Begun(trial))
        self._pull()

    def _on_advance(self, keep: str | None) -> None:
        if self._kept(keep):
            self._pull()

    def _on_stop(self, keep: str | None) -> None:
        run = self._run
        if run is not None and self._kept(keep):
            self._send(run.stop())
            self._run = None

    def _on_save(self, trial: int, path: str) -> None:
        if self._last is None or self._last[0] != trial:
            self._send(NotSaved(trial, "the worker has run another trial since"))
            return
        try:
            self._last[1].save_last(path)  # type: ignore[attr-defined]
            with Path(path).open("rb") as file:
                os.fsync(file.fileno())
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except Exception as error:
            self._send(NotSaved(trial, f"{type(error).__name__}: {error}"[:300]))
        else:
            self._send(Saved(trial, path, digest))

    def _pull(self) -> None:
        run = self._run
        assert run is not None
        report = run.next()
        if run.is_over:
            self._run = None
        self._send(report, is_last=run.is_spoiled)

    def _kept(self, keep: str | None) -> bool:
        """Takes the checkpoint before the next pull, where one is wanted; False when that has ended the trial."""
        run = self._run
        assert run is not None
        if keep is None:
            return True
        try:
            keep_checkpoint(run, Path(keep))
        except Exception as error:
            run.stop()
            self._run = None
            cure = "Yield a checkpoint that can be pickled, or a function giving one."
            self._send(Died(run.trial, "error", f"the checkpoint cannot be kept: {type(error).__name__}: {error}"[:300], cure))
            return False
        return True

    def _unpickled(self, trial: int, name: str) -> Callable[..., Any] | None:
        _, path, sha256 = self._load
        try:
            body = Path(path).read_bytes()
            if hashlib.sha256(body).hexdigest() != sha256:
                raise ValueError("the file of the objective was changed since this run wrote it")
            objective: Callable[..., Any] = cloudpickle.loads(body)
        except BaseException as error:
            category = "memory" if isinstance(error, MemoryError) else "error"
            cure = "Make sure that everything the objective imports can be imported in a fresh process."
            cause = f"the objective cannot be loaded in a worker: {type(error).__name__}: {error}"[:300]
            self._send(Died(trial, category, cause, cure), is_last=category == "memory")  # type: ignore[arg-type]
            return None
        self._objectives[name] = objective
        return objective

    def _send(self, report: Report | Begun, *, is_last: bool = False) -> None:
        if os.getpid() != self._pid:
            os._exit(0)  # a fork of the objective came back through here; only the worker itself speaks
        body = json.dumps([type(report).__name__, is_last, asdict(report)]).encode()
        view = memoryview(frame(body))
        while view:
            view = view[os.write(self._reports, view) :]
        if is_last:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(0)


def keep_checkpoint(run: TrialRun, path: Path) -> None:
    """Writes the checkpoint of the run's last measurement to `path`, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(packed(run.take_checkpoint()))
    draft.replace(path)


def unframe(buffer: bytearray) -> list[tuple[Report | Begun, bool]]:
    """Reports, with whether the worker leaves after them, of every whole frame in `buffer`; the frames are removed.

    Raises: ValueError when the bytes are not ours.
    """
    kinds = {k.__name__: k for k in (Begun, Stepped, Ended, Died, Saved, NotSaved)}
    found: list[tuple[Report | Begun, bool]] = []
    while len(buffer) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer)
        if length > 1 << 26:
            raise ValueError("a frame of a worker is too long")
        if len(buffer) < _LENGTH.size + length:
            break
        name, is_last, fields = json.loads(bytes(buffer[_LENGTH.size : _LENGTH.size + length]))
        del buffer[: _LENGTH.size + length]
        if "scores" in fields:
            fields["scores"] = tuple(fields["scores"])
        found.append((kinds[name](**fields), is_last))
    return found


def reset_peak() -> None:
    """Sets the kernel's high-water mark of this process back, so that a trial's peak is its own.

    Shell: ``echo 5 > /proc/self/clear_refs``.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # then the peak is the worker's since its start


def peak_bytes() -> int:
    """Peak resident memory since `reset_peak`. Shell: ``grep VmHWM /proc/PID/status``."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
