"""Pools of workers: trials go in, reports come out, and nothing an objective does reaches the engine.

`WorkerPool` runs each trial in a worker process; `InlinePool` runs it in the calling process, one at a time, for objectives
that cannot travel and for clocks that are simulated. Both speak the same protocol.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import secrets
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from advisor.core.errors import CannotRunError, InputError
from advisor.core.ports import Clock
from advisor.core.space import Config
from advisor.supervise.evaluation import Begun, Category, Died, NotSaved, Report, Saved, Stepped, TrialRun
from advisor.supervise.parcel import packed
from advisor.supervise.processes import MARK, signal_group, sweep
from advisor.supervise.worker import frame, keep_checkpoint, peak_bytes, reset_peak, unframe

_GRACE_SECONDS = 1.0
"""Between TERM and KILL."""
_GIVE_UP_SECONDS = 5.0
"""After KILL a process that still does not go (an uninterruptible read) is left behind and its slot filled again."""
_LOAD_SECONDS = 120.0
"""Longest time a worker may take to start and to load an objective: the trial's own limit begins after it."""
_LOADING = -2
"""Number under which a worker loads an objective without running it."""
_LOOK_SECONDS = 0.05
"""How often deaths are looked for where the kernel gives no process handle to wait on."""
_START = "import sys; r = sys.argv[2]; r in sys.path or sys.path.insert(0, r); from advisor.supervise.worker import main; main()"
_ROOT = str(Path(__file__).resolve().parents[2])
_T = TypeVar("_T")


class Pool(Protocol):
    """What the loop needs of a pool."""

    def register(self, name: str, objective: Callable[..., Any]) -> None:
        """Makes `objective` known as `name`."""
        ...

    @property
    def idle(self) -> int:
        """Trials that can be started now."""
        ...

    def start(self, trial: int, name: str, config: Config, *, checkpoint: Any = None, limit_seconds: float) -> None:
        """Begins a trial; needs an idle slot."""
        ...

    def poll(self, timeout: float) -> list[Report]:
        """What happened; waits at most `timeout` seconds when nothing has."""
        ...

    def advance(self, trial: int, *, keep: Path | None = None) -> None:
        """Pulls the next measurement of a trial that has Stepped."""
        ...

    def stop(self, trial: int, *, keep: Path | None = None) -> None:
        """Closes a trial that has Stepped; Ended without a value follows."""
        ...

    def save(self, trial: int, path: Path) -> None:
        """Asks for the model of a trial that has Ended, before its slot starts another; Saved or NotSaved follows."""
        ...

    def kill(self, trial: int) -> None:
        """Ends a running trial whatever it does; Died follows."""
        ...


@dataclass(eq=False)
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    log: Path
    mark: str
    commands: int
    reports: int
    handle: int | None
    """A pidfd, readable when the process has ended; None where there is none."""
    known: set[str] = field(default_factory=set)
    inbox: bytearray = field(default_factory=bytearray)
    outbox: bytearray = field(default_factory=bytearray)
    trial: int | None = None
    last_trial: int | None = None
    is_waiting: bool = False
    """The trial has stepped and waits for a word."""
    saves: int | None = None
    """The trial whose model it writes."""
    began: float = 0.0
    limit_seconds: float = float("inf")
    has_begun: bool = False
    """The objective is loaded; the limit counts."""
    log_offset: int = 0
    ending: tuple[Category, str, str] | None = None
    """Why it is being killed: category, cause, cure."""
    kill_at: float = float("inf")
    is_leaving: bool = False
    """It has said its last word."""
    closed_at: float | None = None
    """When its end of the pipe was closed: it is ending, or the objective closed files that are not its own."""
    ooms: int = 0

    @property
    def ends_at(self) -> float:
        """When the trial has used its time."""
        return self.began + (self.limit_seconds if self.has_begun else _LOAD_SECONDS)

    @property
    def is_idle(self) -> bool:
        is_free = self.trial is None and self.saves is None
        return is_free and self.ending is None and not self.is_leaving and self.closed_at is None


class WorkerPool:
    """`size` worker processes. Use it from one thread, and as a context manager: nothing it started survives `close`."""

    def __init__(
        self,
        *,
        size: int,
        environment: Mapping[str, str],
        memory_bytes: int | None,
        log_folder: Path,
        clock: Clock = time.monotonic,
        preload: Sequence[str] = (),
    ) -> None:
        """`environment` is added to this process's own before a worker starts (thread limits); `preload` names modules that
        workers import while they are idle; `memory_bytes` is the writable memory of one worker.

        Raises: CannotRunError when `log_folder` cannot be written.
        """
        if size < 1:
            raise ValueError(f"a pool needs at least one worker, got {size}")
        self._size, self._memory_bytes, self._clock = size, memory_bytes, clock
        self._preload = tuple(preload)
        self._folder = log_folder
        try:
            log_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotRunError(
                f"the logs of the workers cannot be written: {error.strerror}",
                where=str(log_folder),
                cure="Give a folder you may write to with --runs.",
            ) from error
        self._token = secrets.token_hex(8)
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._objectives: dict[str, tuple[Path, str]] = {}
        self._files: list[Path] = []
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._numbers = count()
        self._stillborn = 0
        self._early: list[Report] = []
        self._is_closed = False
        self._sentinel = _in_starter(self._start_sentinel)
        self._fill()

    def register(self, name: str, objective: Callable[..., Any]) -> None:
        """Makes `objective` known as `name`; it is pickled once, into a private file that every worker reads on first use.

        Raises: InputError when it cannot be pickled.
        """
        try:
            body = packed(objective)
        except Exception as error:
            raise InputError(
                f"the objective cannot be sent to a worker: {type(error).__name__}: {error}",
                cure='Keep open files, locks and connections out of it, or use isolation="inline".',
            ) from error
        path = self._folder / f".objective-{self._token}-{len(self._files)}.pkl"  # a name may be given anew while the old one is read
        self._files.append(path)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        self._objectives[name] = (path, hashlib.sha256(body).hexdigest())
        for worker in self._workers:
            worker.known.discard(name)

    def load(self, name: str, *, is_over: Callable[[], bool] = lambda: False) -> None:
        """Has a worker load the objective `name`, so that what cannot be loaded is known before a trial begins.

        Returns early, with nothing said of the objective, when `is_over` says that there is no time to wait. No trial may be running.

        Raises: InputError with the cause when it cannot be loaded.
        """
        self._hand(_LOADING, name, float("inf"), "load", _LOADING, name)
        while True:
            for report in self.poll(_LOOK_SECONDS):
                if isinstance(report, Died):
                    raise InputError(report.cause, where="objective", cure=report.cure)
                return
            if is_over():
                self.kill(_LOADING)
                while any(w.trial == _LOADING for w in self._workers):
                    self.poll(_LOOK_SECONDS)
                return

    @property
    def idle(self) -> int:
        """Workers free for a trial."""
        return sum(worker.is_idle for worker in self._workers)

    def start(self, trial: int, name: str, config: Config, *, checkpoint: Any = None, limit_seconds: float) -> None:
        """Begins a trial in an idle worker, which is killed when it takes longer than `limit_seconds` once the objective is loaded.

        Raises: ValueError when no worker is idle or the objective is unknown.
        """
        self._hand(trial, name, limit_seconds, "trial", trial, name, dict(config), checkpoint)

    def _hand(self, trial: int, name: str, limit_seconds: float, *words: Any) -> None:
        """Gives `words` about the objective `name`, which it is told of before, to an idle worker as its trial."""
        worker = next((w for w in self._workers if w.is_idle), None)
        if worker is None:
            raise ValueError("no worker is idle")
        if name not in self._objectives:
            raise ValueError(f"no objective is registered as {name!r}")
        if name not in worker.known:
            path, sha256 = self._objectives[name]
            self._tell(worker, "objective", name, str(path), sha256)
            worker.known.add(name)
        worker.trial, worker.last_trial, worker.is_waiting = trial, trial, False
        worker.began, worker.limit_seconds, worker.has_begun = self._clock(), limit_seconds, False
        worker.log_offset = worker.log.stat().st_size
        worker.ooms = _kernel_kills()
        self._tell(worker, *words)

    def advance(self, trial: int, *, keep: Path | None = None) -> None:
        """Pulls the next measurement of a trial that has Stepped; the last checkpoint is written to `keep` before."""
        worker = self._waiting(trial)
        worker.is_waiting = False
        self._tell(worker, "advance", None if keep is None else str(keep))

    def stop(self, trial: int, *, keep: Path | None = None) -> None:
        """Closes a trial that has Stepped, its last checkpoint written to `keep`; Ended without a value follows."""
        worker = self._waiting(trial)
        worker.is_waiting = False
        self._tell(worker, "stop", None if keep is None else str(keep))

    def save(self, trial: int, path: Path) -> None:
        """Asks the worker that ran `trial` last for its model; answered by Saved or NotSaved. It takes no trial meanwhile."""
        worker = next((w for w in self._workers if w.last_trial == trial and w.is_idle), None)
        if worker is None:
            self._early.append(NotSaved(trial, "its worker is gone or has taken another trial"))
            return
        worker.saves = trial
        self._tell(worker, "save", trial, str(path))

    def kill(self, trial: int) -> None:
        """Ends a running trial, or the saving of its model, with its worker: TERM, KILL a second later. Died (NotSaved) follows."""
        for worker in self._workers:
            if trial in (worker.trial, worker.saves):
                self._end(worker, "signal", "ended on request", "")

    def poll(self, timeout: float) -> list[Report]:
        """Reports that have come in, waiting at most `timeout` seconds for the first; enforces limits and replaces the dead.

        Raises: CannotRunError when workers cannot be started.
        """
        give_up = time.monotonic() + max(0.0, timeout)
        reports, self._early = self._early, []
        while True:
            self._enforce()
            wait = 0.0 if reports else self._patience(give_up)
            for key, _ in self._selector.select(wait):
                worker: _Worker = key.data
                if key.fd == worker.reports:
                    reports += self._read(worker)
            reports += self._bury()
            self._fill()
            if reports or time.monotonic() >= give_up:
                return reports

    def close(self) -> None:
        """Ends every worker and all that descends from it: TERM, KILL after a second. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        for worker in self._workers:
            signal_group(worker.process.pid, signal.SIGTERM)
        give_up = time.monotonic() + _GRACE_SECONDS
        while any(w.process.poll() is None for w in self._workers) and time.monotonic() < give_up:
            time.sleep(0.005)
        for worker in self._workers:
            signal_group(worker.process.pid, signal.SIGKILL)
        sweep(f"{self._token}-")
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):  # an uninterruptible read outlives KILL; it is not waited for
                worker.process.wait(_GRACE_SECONDS)
            self._forget(worker)
        self._workers.clear()
        assert self._sentinel.stdin is not None
        self._sentinel.stdin.close()
        self._sentinel.wait()
        self._selector.close()
        for path in self._files:
            path.unlink(missing_ok=True)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # -- processes -------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        while len(self._workers) < self._size:
            if self._stillborn >= 3:
                raise CannotRunError(
                    f"workers end before they begin: {_tail(self._folder / 'worker-0.log', 0)[-500:]}",
                    where=str(self._folder),
                    cure="Read the log of the workers.",
                )
            taken = {w.number for w in self._workers}
            slot = next(n for n in count() if n not in taken)
            worker = _in_starter(lambda slot=slot: self._start(slot))  # type: ignore[misc]
            self._workers.append(worker)
            self._tell(worker, "setup", list(sys.path), self._preload, self._memory_bytes)

    def _start(self, slot: int) -> _Worker:
        log = self._folder / f"worker-{slot}.log"
        mark = f"{self._token}-{next(self._numbers)}-"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, str(os.getpid()), _ROOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env={**self._environment, MARK: mark},
                start_new_session=True,
                bufsize=0,
            )
        assert process.stdin is not None and process.stdout is not None
        commands, reports = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(commands, False)
        os.set_blocking(reports, False)
        worker = _Worker(slot, process, log, mark, commands, reports, _process_handle(process.pid))
        self._selector.register(reports, selectors.EVENT_READ, worker)
        if worker.handle is not None:
            self._selector.register(worker.handle, selectors.EVENT_READ, worker)
        return worker

    def _start_sentinel(self) -> subprocess.Popen[bytes]:
        program = Path(__file__).with_name("processes.py")
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(program), f"{self._token}-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _bury(self) -> list[Report]:
        """Reports of workers whose process has ended; what they left running is killed."""
        reports: list[Report] = []
        for worker in list(self._workers):
            status = worker.process.poll()
            is_stuck = status is None and self._clock() >= worker.kill_at + _GIVE_UP_SECONDS
            if status is None and not is_stuck:
                continue
            reports += self._read(worker)
            sweep(worker.mark, worker.process.pid)
            if worker.trial is not None:
                reports.append(self._obituary(worker, status))
            if worker.saves is not None:
                reports.append(NotSaved(worker.saves, f"the worker {_ending(status)} while it wrote the model"))
            self._stillborn = 0 if worker.last_trial is not None or worker.ending else self._stillborn + 1
            self._forget(worker)
            self._workers.remove(worker)
        return reports

    def _obituary(self, worker: _Worker, status: int | None) -> Died:
        assert worker.trial is not None
        detail = _tail(worker.log, worker.log_offset)
        seconds = self._clock() - worker.began
        if worker.ending is not None:
            category, cause, cure = worker.ending
        elif _kernel_kills() > worker.ooms and status == -signal.SIGKILL:
            category, cause = "memory", "out of memory: the kernel killed the worker (SIGKILL)"
            cure = "Give a trial more memory, fewer rows or a smaller model, or run fewer at once."
        elif status in (-signal.SIGABRT, 1) and _says_no_memory(detail) and self._memory_bytes is not None:
            category, cause = "memory", f"out of memory: the worker {_ending(status)}"
            cure = "Give a trial more memory, fewer rows or a smaller model."
        else:
            category, cause = "signal", f"the worker {_ending(status)}"
            cure = "The fault lies in native code or in a call that leaves the process; the detail holds its last output."
        return Died(worker.trial, category, cause, cure, detail, seconds)

    def _forget(self, worker: _Worker) -> None:
        if worker.closed_at is None:
            self._selector.unregister(worker.reports)
        if worker.handle is not None:
            self._selector.unregister(worker.handle)
            os.close(worker.handle)
        if worker.outbox:
            worker.outbox.clear()
        for pipe in (worker.process.stdin, worker.process.stdout):
            _close_pipe(pipe)

    # -- words -----------------------------------------------------------------------------------------------------------

    def _waiting(self, trial: int) -> _Worker:
        for worker in self._workers:
            if worker.trial == trial and worker.is_waiting:
                return worker
        raise ValueError(f"trial {trial} does not wait for a word")

    def _tell(self, worker: _Worker, *words: Any) -> None:
        worker.outbox += frame(packed(words))
        self._flush(worker)

    def _flush(self, worker: _Worker) -> None:
        """Writes what fits into the pipe; a worker that does not read never holds the engine up."""
        try:
            while worker.outbox:
                del worker.outbox[: os.write(worker.commands, memoryview(worker.outbox)[: 1 << 16].tobytes())]
        except BlockingIOError:
            return
        except BrokenPipeError:
            worker.outbox.clear()  # it has ended; `_bury` says how

    def _read(self, worker: _Worker) -> list[Report]:
        reports: list[Report] = []
        while worker.closed_at is None:
            try:
                piece = os.read(worker.reports, 1 << 20)
            except BlockingIOError:
                break
            if not piece:
                worker.closed_at = self._clock()
                self._selector.unregister(worker.reports)
            worker.inbox += piece
        try:
            found = unframe(worker.inbox)
        except (ValueError, KeyError, TypeError):
            self._end(worker, "error", "the worker's report cannot be read: the objective wrote into its pipe", "Write to stdout only.")
            return reports
        for report, is_last in found:
            worker.is_leaving = worker.is_leaving or is_last
            if isinstance(report, Begun):
                if worker.trial == report.trial:
                    worker.began, worker.has_begun = self._clock(), True
                continue
            if isinstance(report, Saved | NotSaved):
                worker.saves = None
            elif worker.trial == report.trial and worker.ending is None:
                worker.is_waiting = isinstance(report, Stepped)
                if not isinstance(report, Stepped):
                    worker.trial = None
            else:
                continue  # it came after the kill
            reports.append(report)
        return reports

    # -- limits ----------------------------------------------------------------------------------------------------------

    def _enforce(self) -> None:
        now = self._clock()
        for worker in self._workers:
            if worker.outbox:
                self._flush(worker)
            if worker.trial is not None and worker.ending is None and now >= worker.ends_at:
                if worker.has_begun:
                    cure = "Raise the budget or bound the slow hyperparameters."
                    self._end(worker, "timeout", f"the trial took longer than its {worker.limit_seconds:.3g} s", cure)
                else:
                    cure = "Make what the objective carries and imports smaller."
                    self._end(worker, "timeout", f"a worker could not load the objective within {_LOAD_SECONDS:.0f} s", cure)
            if worker.closed_at is not None and now - worker.closed_at >= _GRACE_SECONDS:
                self._end(worker, "error", "the objective closed the worker's pipe", "Close only files that the objective opened.")
            if now >= worker.kill_at and worker.process.poll() is None:
                signal_group(worker.process.pid, signal.SIGKILL)

    def _end(self, worker: _Worker, category: Category, cause: str, cure: str) -> None:
        if worker.ending is None:
            worker.ending = (category, cause, cure)
            worker.kill_at = self._clock() + _GRACE_SECONDS
            signal_group(worker.process.pid, signal.SIGTERM)

    def _patience(self, give_up: float) -> float:
        """Seconds to wait for the next thing that can happen."""
        now = self._clock()
        wait = give_up - time.monotonic()
        for worker in self._workers:
            if worker.trial is not None and worker.ending is None:
                wait = min(wait, worker.ends_at - now)
            if worker.ending is not None:
                wait = min(wait, worker.kill_at - now if now < worker.kill_at else _LOOK_SECONDS)
            if worker.handle is None or worker.outbox or worker.closed_at is not None:
                wait = min(wait, _LOOK_SECONDS)
        return max(0.0, wait)


class InlinePool:
    """One slot in the calling process. A step cannot be cut short, so limits act between steps; a crash takes the caller along."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        """`clock` may be simulated: the objective moves it."""
        self._clock = clock
        self._objectives: dict[str, Callable[..., Any]] = {}
        self._run: TrialRun | None = None
        self._last: tuple[int, Callable[..., Any]] | None = None
        self._began = 0.0
        self._limit_seconds = float("inf")
        self._is_due = False
        self._reports: deque[Report] = deque()

    def register(self, name: str, objective: Callable[..., Any]) -> None:
        """Makes `objective` known as `name`."""
        self._objectives[name] = objective

    @property
    def idle(self) -> int:
        """1 when a trial can be started, else 0: until the end of the last one was taken, the engine could not have been told."""
        return int(self._run is None and not self._reports)

    def start(self, trial: int, name: str, config: Config, *, checkpoint: Any = None, limit_seconds: float) -> None:
        """Begins a trial; it runs inside `poll`.

        Raises: ValueError when one is running or the objective is unknown.
        """
        if self._run is not None:
            raise ValueError("a trial is running")
        if name not in self._objectives:
            raise ValueError(f"no objective is registered as {name!r}")
        objective = self._objectives[name]
        reset_peak()
        self._last = (trial, objective)
        self._run = TrialRun(trial, objective, dict(config), checkpoint, clock=self._clock, peak_bytes=peak_bytes)
        self._began, self._limit_seconds, self._is_due = self._clock(), limit_seconds, True

    def poll(self, timeout: float) -> list[Report]:
        """Runs the trial to its next report; with a `timeout` of 0 only gives what is there. KeyboardInterrupt passes through."""
        if self._run is not None and self._is_due and timeout > 0:
            run, self._is_due = self._run, False
            try:
                report: Report = run.next(keeps_interrupt=False)
            except BaseException:
                self._run = None
                raise
            seconds = self._clock() - self._began
            if seconds > self._limit_seconds and not isinstance(report, Died):
                run.stop()
                report = Died(run.trial, "timeout", f"the trial took longer than its {self._limit_seconds:.3g} s", seconds=seconds)
            if run.is_over:
                self._run = None
            self._reports.append(report)
        elif not self._reports and timeout > 0:
            time.sleep(min(timeout, _LOOK_SECONDS))  # paused, or nothing to do: a command may come
        reports = list(self._reports)
        self._reports.clear()
        return reports

    def advance(self, trial: int, *, keep: Path | None = None) -> None:
        """Pulls the next measurement at the next `poll`."""
        if self._kept(self._running(trial), keep):
            self._is_due = True

    def stop(self, trial: int, *, keep: Path | None = None) -> None:
        """Closes the trial; Ended without a value follows."""
        run = self._running(trial)
        if self._kept(run, keep):
            self._reports.append(run.stop())
            self._run = None

    def save(self, trial: int, path: Path) -> None:
        """Writes the model of the trial run last; Saved or NotSaved follows."""
        if self._last is None or self._last[0] != trial or self._run is not None:
            self._reports.append(NotSaved(trial, "another trial has run since"))
            return
        try:
            self._last[1].save_last(str(path))  # type: ignore[attr-defined]
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except Exception as error:
            self._reports.append(NotSaved(trial, f"{type(error).__name__}: {error}"[:300]))
        else:
            self._reports.append(Saved(trial, str(path), digest))

    def kill(self, trial: int) -> None:
        """Closes the trial between two steps; Died follows."""
        if self._run is not None and self._run.trial == trial:
            self._run.stop()
            self._run = None
            self._reports.append(Died(trial, "signal", "ended on request", seconds=self._clock() - self._began))

    def close(self) -> None:
        """Closes a trial that waits."""
        if self._run is not None:
            self._run.stop()
            self._run = None

    def __enter__(self) -> InlinePool:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _running(self, trial: int) -> TrialRun:
        if self._run is None or self._run.trial != trial or self._is_due:
            raise ValueError(f"trial {trial} does not wait for a word")
        return self._run

    def _kept(self, run: TrialRun, keep: Path | None) -> bool:
        if keep is None:
            return True
        try:
            keep_checkpoint(run, keep)
        except Exception as error:
            run.stop()
            self._run = None
            cure = "Yield a checkpoint that can be pickled, or a function giving one."
            self._reports.append(Died(run.trial, "error", f"the checkpoint cannot be kept: {type(error).__name__}: {error}"[:300], cure))
            return False
        return True


class _Starter(threading.Thread):
    """The one thread that starts every worker: a worker dies with the thread that started it, so this one never ends."""

    def __init__(self) -> None:
        super().__init__(name="advisor-starter", daemon=True)
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[tuple[Any, BaseException | None]]]] = queue.SimpleQueue()
        self.pid = os.getpid()

    def run(self) -> None:
        while True:
            task, answers = self._work.get()
            try:
                answers.put((task(), None))
            except BaseException as error:
                answers.put((None, error))

    def call(self, task: Callable[[], _T]) -> _T:
        answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._work.put((task, answers))
        answer, error = answers.get()
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]


_starter: _Starter | None = None


def _in_starter(task: Callable[[], _T]) -> _T:
    """`task` run in the starting thread; its exception is raised here."""
    global _starter  # noqa: PLW0603  one thread a process, and a fork needs another
    if _starter is None or _starter.pid != os.getpid() or not _starter.is_alive():
        _starter = _Starter()
        _starter.start()
    return _starter.call(task)


def _process_handle(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _close_pipe(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def _ending(status: int | None) -> str:
    """How a process ended, in words."""
    if status is None:
        return "did not go even after SIGKILL and was left behind"
    if status < 0:
        try:
            return f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"was killed by signal {-status}"
    return f"left with exit code {status}"


def _tail(log: Path, offset: int) -> str:
    """The last 12 lines that `log` gained since `offset`."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(offset, end - 4000))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-12:])
    except OSError:
        return ""


def _says_no_memory(text: str) -> bool:
    return any(sign in text for sign in ("bad_alloc", "MemoryError", "Cannot allocate memory", "out of memory", "memory allocation of"))


def _kernel_kills() -> int:
    """How often the kernel has killed for want of memory. Shell: ``grep oom_kill /proc/vmstat``."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        return 0
    return 0
