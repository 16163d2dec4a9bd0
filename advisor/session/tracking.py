"""Curves for other people's tools while the run goes: every event is handed to a tracker, which can neither slow nor break the run."""

from __future__ import annotations

import importlib.util
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol

from advisor.core.errors import CannotRunError, InputError, nearest
from advisor.core.events import (
    Event,
    Measured,
    Noted,
    RunFinished,
    StudyState,
    TrialFailed,
    TrialFinished,
    TrialInterrupted,
    TrialPruned,
    TrialStarted,
)
from advisor.session.folder import RunFolder
from advisor.session.recording import Recorder

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
"""Name to the library that it needs."""
FOLDER = "tracking"
"""Where trackers write, below the run's folder."""
CLOSE_SECONDS = 5.0
"""How long the end of a run waits for trackers that are behind. [H]"""
LEAST_CLOSE_SECONDS = 1.5
"""The same where the budget is used up: the run must end soon after it. Source: contract, Time (budget + 3 s)."""
MOST_BEHIND = 100_000
"""Events a tracker may be behind before it is switched off: each is a few hundred bytes. [H]"""

Ended = TrialFinished | TrialPruned | TrialFailed | TrialInterrupted
TOLD = (TrialStarted, Measured, TrialFinished, TrialPruned, TrialFailed, TrialInterrupted, RunFinished)
"""The events that a tracker sees."""


class Tracker(Protocol):
    """Writes what happens in a run for another tool. Called from one thread of its own; whatever it raises switches it off."""

    def write(self, event: Event, state: StudyState) -> None:
        """Takes one event of `TOLD`; `state` is at least as new."""
        ...

    def flush(self) -> None:
        """Makes what was written readable for others; called when nothing more is waiting."""
        ...

    def close(self) -> None:
        """Ends whatever is open."""
        ...


def check(names: Iterable[str]) -> tuple[str, ...]:
    """`names` without repeats.

    Raises: InputError for a tracker that is not known; CannotRunError for one whose library is not installed.
    """
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in TRACKERS:
            raise InputError(f"unknown tracker {name!r}", where="--track", cure=nearest(name, TRACKERS))
        if importlib.util.find_spec(TRACKERS[name]) is None:
            raise CannotRunError(f"{name} is not installed", where="--track", cure="Install it: pip install 'tuning-advisor[trackers]'.")
    return wanted


def opened(name: str, folder: Path, run: str) -> Tracker:
    """The tracker called `name`, writing below `folder`; its library is imported here."""
    found: Tracker = import_module(f"advisor.session.trackers.{name}").open_tracker(folder, run)
    return found


class Tracking:
    """One tracker in a thread of its own. The run only puts events into a queue."""

    def __init__(self, name: str, folder: Path, run: str) -> None:
        self.name = name
        self.problem = ""
        """Why it is off, once it is."""
        self._folder, self._run, self._is_told = folder, run, False
        self._waiting: queue.SimpleQueue[tuple[Event, StudyState] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"tracker-{name}", daemon=True)
        self._thread.start()

    def take(self, events: Sequence[Event], state: StudyState) -> str | None:
        """Hands `events` over; a sentence for the user once the tracker has failed, None otherwise."""
        if self._waiting.qsize() > MOST_BEHIND and not self.problem:
            self.problem = f"it is {MOST_BEHIND:,} events behind"
            self._waiting.put(None)
        if self.problem:
            return self._complaint()
        for event in events:
            if isinstance(event, TOLD):
                self._waiting.put((event, state))
        return None

    def close(self, seconds: float = CLOSE_SECONDS) -> str | None:
        """Waits until everything is written, `seconds` at most; a sentence for the user where it is not."""
        if not self._thread.is_alive():
            return None if not self.problem or self._is_told else self._complaint()
        self._waiting.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.problem = self.problem or "it was still writing when the run ended"
        return self._complaint() if self.problem else None

    def _complaint(self) -> str:
        self._is_told = True
        return f"Not everything was written for {self.name}: {self.problem}. The run goes on, and its journal holds everything."

    def _work(self) -> None:
        try:
            tracker = opened(self.name, self._folder, self._run)
            try:
                while (item := self._next(tracker)) is not None:
                    tracker.write(*item)
            finally:
                tracker.close()
        except BaseException as error:  # another people's library must not end the run, whatever it raises
            lines = str(error).strip().splitlines()
            self.problem = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__

    def _next(self, tracker: Tracker) -> tuple[Event, StudyState] | None:
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            tracker.flush()
            return self._waiting.get()


@contextmanager
def tracked(recorder: Recorder, folder: RunFolder) -> Iterator[None]:
    """The trackers that the request of the run names are told every event while it is entered."""
    names = folder.read_request().track if folder.request.exists() else ()
    if not names:
        yield
        return
    trackings = track(recorder, folder.path, names)
    try:
        yield
    finally:
        plan = recorder.state.plan or {"budget": {"seconds": 0.0}}
        left = float(plan["budget"]["seconds"]) + recorder.state.extra_seconds - recorder.elapsed()
        end(recorder, trackings, seconds=min(CLOSE_SECONDS, max(left, LEAST_CLOSE_SECONDS)))


def track(recorder: Recorder, run_dir: Path, names: Iterable[str]) -> list[Tracking]:
    """Opens the named trackers and has `recorder` tell them every event from here on."""
    trackings = []
    for name in names:
        folder = run_dir / FOLDER
        folder.mkdir(exist_ok=True)
        tracking = Tracking(name, folder, run_dir.name)
        recorder.listen(tracking.take)
        trackings.append(tracking)
    return trackings


def end(recorder: Recorder, trackings: Sequence[Tracking], *, seconds: float = CLOSE_SECONDS) -> None:
    """Closes them all within `seconds`, and notes what could not be written."""
    give_up = time.monotonic() + seconds
    for tracking in trackings:
        said = tracking.close(max(0.1, give_up - time.monotonic()))
        if said is not None:
            recorder.emit(Noted(level="warning", text=said))
