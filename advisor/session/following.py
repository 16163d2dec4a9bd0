"""Looking at runs from outside: their journals, whether they live, and commands to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from advisor.core.errors import InputError, RunNotFoundError, nearest
from advisor.core.events import StudyState, fold, fold_all
from advisor.core.value import Value
from advisor.journal import read_events
from advisor.session.folder import RunFolder
from advisor.supervise.identity import ProcessIdentity, is_alive

Command = Literal["pause", "resume", "stop", "skip", "budget"]


class RunSummary(Value):
    """One line of a list of runs."""

    name: str
    """Name of the run: its folder's."""
    path: str
    """Its folder."""
    status: Literal["running", "done", "stopped", "nothing_finished", "failed", "interrupted"]
    """How it stands."""
    started: float
    """Wall-clock seconds since the epoch."""
    source: str
    """The data it was started on."""
    strategy: str
    """Strategy of the search."""
    metric: str
    """The score."""
    best_value: float | None
    """Best score of the search so far."""
    trials: int
    """Trials completed."""
    is_alive: bool
    """True while its engine process lives."""


class Follower:
    """Folds a journal as it grows. `poll` costs what is new."""

    def __init__(self, run_dir: str | Path) -> None:
        self.folder = RunFolder(Path(run_dir))
        self._last = 0
        self._state = StudyState()

    def poll(self) -> StudyState:
        """The state now; the same object when nothing is new."""
        rows = read_events(self.folder.journal, after=self._last)
        if rows:
            self._last = rows[-1][0]
            self._state = fold(self._state, *(event for _, event in rows))
        return self._state

    @property
    def is_alive(self) -> bool:
        """True while the engine process named last in the journal lives and has not said that it is done."""
        return engine_lives(self._state)


def engine_lives(state: StudyState) -> bool:
    """True while the engine that took the run last is still there."""
    engine = state.engine
    if engine is None or state.finished is not None:
        return False
    return is_alive(ProcessIdentity(pid=engine.pid, started_at_ticks=engine.started_at_ticks, boot_id=engine.boot_id))


def follow(run_dir: str | Path) -> Follower:
    """A follower of the run in `run_dir`.

    Raises: RunNotFoundError when there is no journal.
    """
    folder = RunFolder(Path(run_dir))
    if not folder.journal.exists():
        raise RunNotFoundError("no run here", where=str(run_dir), cure="List the runs with `advisor runs`.")
    return Follower(run_dir)


def status_of(state: StudyState) -> Literal["running", "done", "stopped", "nothing_finished", "failed", "interrupted"]:
    """How the run stands: what its last engine said, else whether that engine still lives."""
    if state.finished is not None:
        return state.finished.status
    return "running" if engine_lives(state) else "interrupted"


def list_runs(runs: str | Path = "runs") -> tuple[RunSummary, ...]:
    """Every run below `runs`, the newest first; folders without a journal are left out."""
    base = Path(runs)
    if not base.is_dir():
        return ()
    found = []
    for journal in base.glob("*/journal.db"):
        rows = read_events(journal)
        state = fold_all(event for _, event in rows)
        if state.plan is None:
            continue
        found.append(
            RunSummary(
                name=journal.parent.name,
                path=str(journal.parent),
                status=status_of(state),
                started=rows[0][1].at,
                source=str(state.plan["data"]),
                strategy=str(state.plan["strategy"]),
                metric=str(state.plan["metric"]),
                best_value=state.trials[state.best].value if state.best is not None else None,
                trials=state.counts()["completed"],
                is_alive=engine_lives(state),
            )
        )
    return tuple(sorted(found, key=lambda run: run.started, reverse=True))


def find_run(name: str | Path, runs: str | Path = "runs") -> Path:
    """The folder of the run called `name`: a path, a name below `runs`, or the only run that begins so.

    Raises: RunNotFoundError with the nearest name; InputError when several begin so.
    """
    for candidate in (Path(name), Path(runs) / str(name)):
        if (candidate / "journal.db").exists():
            return candidate
    base = Path(runs)
    names = sorted(p.parent.name for p in base.glob("*/journal.db")) if base.is_dir() else []
    starting = [n for n in names if n.startswith(str(name))]
    if len(starting) == 1:
        return base / starting[0]
    if starting:
        raise InputError(f"{name!r} could be any of {', '.join(starting)}", where=str(base), cure="Give the whole name.")
    if name and Path(name).is_dir():  # it is there, so "no such run" would send the reader looking for a typing error
        cure = "Name another run; without its journal this one cannot be read or resumed."
        raise RunNotFoundError(f"the folder {str(name)!r} holds no journal.db, so it is no run", where=str(name), cure=cure)
    hint = nearest(str(name), names) if names else "There are no runs yet: start one with `advisor run DATA`."
    raise RunNotFoundError(f"no run {str(name)!r}", where=str(base), cure=hint)


def send(run_dir: str | Path, command: Command, argument: float | None = None) -> None:
    """Hands `command` to the engine of the run: pause, resume, stop, skip a trial, or seconds of budget to add.

    Raises: RunNotFoundError when there is no such run; InputError when no engine lives to take it.
    """
    from advisor.supervise.commands import send as write

    follower = follow(run_dir)
    follower.poll()
    if not follower.is_alive:
        raise InputError(
            f"run {Path(run_dir).name} is not running", where=str(run_dir), cure=f"Go on with it: `advisor resume {Path(run_dir).name}`."
        )
    write(Path(run_dir), command, argument)


def wait(follower: Follower, *, until: Callable[[StudyState], bool], tick: Callable[[StudyState], None]) -> StudyState:
    """Polls until `until` holds or the engine has gone; `tick` takes each state and decides how long to sleep."""
    while True:
        state = follower.poll()
        if until(state) or not follower.is_alive:
            return follower.poll()
        tick(state)
