"""Narration of a run: one line that is written over on a terminal, sparse lines elsewhere."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from advisor.cli.door import Door
from advisor.report.wording import clock, number, shown

if TYPE_CHECKING:
    from advisor.core.events import StudyState

_HEARTBEAT_SECONDS = 30.0
_BEST_SECONDS = 5.0
"""Without a terminal: at least this long between two lines about a new best."""


class Progress:
    """Tells what is new in a run. `show` takes each state; `clear` ends the line that is written over."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._stages = 0
        self._notes = 0
        self._revisions = 0
        self._best: int | None = None
        self._told = -_HEARTBEAT_SECONDS
        self._events = -1
        self._anchor = (0.0, door.clock())
        self._has_line = False
        self._written = ""

    def show(self, state: StudyState) -> None:
        """Narrates `state`."""
        now = self._door.clock()
        if state.events != self._events:
            self._events = state.events
            self._anchor = (state.elapsed, now)
        elapsed = self._anchor[0] + now - self._anchor[1]
        self._tell_news(state)
        if state.plan is None:
            return
        if self._door.is_live:
            self._write_over(progress_line(state, elapsed))
            return
        is_better = state.best is not None and state.best != self._best and now - self._told >= _BEST_SECONDS
        if is_better or now - self._told >= _HEARTBEAT_SECONDS:
            self._best, self._told = state.best, now
            self._door.say(progress_line(state, elapsed))

    def clear(self) -> None:
        """Takes the live line away, so that something else can be written."""
        if self._has_line:
            self._door.err.write("\r\x1b[K")
            self._door.err.flush()
            self._has_line = False

    def _tell_news(self, state: StudyState) -> None:
        for stage in state.stages[self._stages :]:
            self._line(f"{stage.stage}: {stage.strategy}" + (f" ({stage.engine})" if stage.engine else ""))
        for revision in state.revisions[self._revisions :]:
            self._line(f"plan revised, {revision.reason}: {'; '.join(revision.changes) or 'nothing changed'}")
        for note in state.notes[self._notes :]:
            self._line(f"{'warning' if note.level == 'warning' else 'note'}: {note.text}")
        self._stages, self._revisions, self._notes = len(state.stages), len(state.revisions), len(state.notes)

    def _line(self, text: str) -> None:
        self.clear()
        self._door.say(text)

    def _write_over(self, text: str) -> None:
        width = max(20, shutil.get_terminal_size().columns - 1)
        line = self._door.written(shown(text, longest=len(text)))[:width]
        if self._has_line and line == self._written:
            return
        self._door.err.write("\r\x1b[K" + line)
        self._door.err.flush()
        self._has_line, self._written = True, line


def progress_line(state: StudyState, elapsed: float) -> str:
    """Trials, best so far, failures and time left of a run, in one line."""
    plan: dict[str, Any] = state.plan or {}
    counts = state.counts()
    done = counts["completed"] + counts["pruned"]
    expected = plan.get("forecast", {}).get("trials")
    parts = [f"{state.stage or 'starting'}", f"{done}{f'/~{max(expected, done)}' if expected else ''} trials"]
    if state.best is not None:
        best = state.trials[state.best]
        against = ""
        if state.default is not None and state.default != state.best:
            against = f" (default {number(state.trials[state.default].value)})"
        parts.append(f"best {plan.get('metric', 'score')} {number(best.value)}{against}")
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    budget = float(plan.get("budget", {}).get("seconds", 0.0)) + state.extra_seconds
    parts.append(f"{clock(elapsed)} of {clock(budget)}, {clock(budget - elapsed)} left")
    if state.is_paused:
        parts.append("paused")
    return " · ".join(parts)
