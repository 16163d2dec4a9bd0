"""What a library that owns its loop does, taken down as events of the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from advisor.core.events import (
    CommandReceived,
    ConfigChanged,
    Measured,
    Noted,
    TrialFailed,
    TrialFinished,
    TrialPruned,
    TrialStarted,
)
from advisor.core.ports import Proposal, Result
from advisor.core.space import Config
from advisor.supervise.commands import Command

if TYPE_CHECKING:
    from advisor.core.plan import Stage
    from advisor.session.walking import Walk

LOOK_SECONDS = 0.1
"""How often commands are looked for."""


class StageScribe:
    """Turns what a `LibraryLoop` tells into events, and says when its stage must end. Used from one thread."""

    def __init__(self, walk: Walk, stage: Stage, end: Callable[[], float], *, next_trial: int) -> None:
        self._walk, self._stage, self._end = walk, stage, end
        self._next = next_trial
        self._numbers = {
            t.key: t.number for t in walk.recorder.state.trials.values() if t.stage == stage.name and t.status != "interrupted"
        }
        self._looked_at = 0.0

    def started(self, proposal: Proposal) -> None:
        """Journals the start of a trial."""
        self._numbers[proposal.key] = self._next
        self._next += 1
        self._walk.recorder.emit(
            TrialStarted(
                trial=self._numbers[proposal.key],
                stage=self._stage.name,
                origin=proposal.origin,
                family=proposal.family or self._walk.plan.family,
                config=proposal.config,
                key=proposal.key,
                seed=proposal.seed,
                until=proposal.until,
                continues=proposal.continues,
                rows=proposal.rows,
            )
        )

    def measured(self, key: int, step: int, value: float) -> None:
        """Journals a step."""
        self._walk.recorder.emit(Measured(trial=self._numbers[key], step=step, value=value))

    def changed(self, key: int, step: int, config: Config, *, parent: int | None = None, because: str) -> None:
        """Journals a change in flight."""
        source = None if parent is None else self._numbers[parent]
        because = because.replace("{parent}", str(source))
        self._walk.recorder.emit(ConfigChanged(trial=self._numbers[key], step=step, config=config, parent=source, reason=because))

    def ended(self, key: int, result: Result, *, cure: str = "") -> None:
        """Journals the end of a trial."""
        trial = self._numbers[key]
        last = result.steps[-1] if result.steps else (0, 0.0)
        match result.status:
            case "completed":
                assert result.value is not None
                self._walk.recorder.emit(
                    TrialFinished(
                        trial=trial,
                        value=result.value,
                        scores=result.scores,
                        seconds=result.seconds,
                        fit_seconds=result.fit_seconds or result.seconds,
                    )
                )
            case "pruned":
                value = result.value if result.value is not None else last[1]
                self._walk.recorder.emit(TrialPruned(trial=trial, step=last[0], value=value, seconds=result.seconds, reason=result.cause))
            case "failed":
                self._walk.recorder.emit(TrialFailed(trial=trial, cause=result.cause, cure=cure, seconds=result.seconds))

    def noted(self, text: str, *, is_warning: bool = False) -> None:
        """Journals a note."""
        self._walk.recorder.emit(Noted(level="warning" if is_warning else "info", text=text))

    def remaining(self) -> float:
        """Seconds left for the stage."""
        return self._end() - self._walk.recorder.elapsed()

    def is_over(self) -> bool:
        """True when the time is up, a stop was asked for, or a signal came."""
        self._obey()
        return self._walk.has_stopped or self._walk.is_interrupted() or self.remaining() <= 0

    def _obey(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        for command in self._walk.commands.take():
            if not isinstance(command, Command):
                self.noted(command.cause, is_warning=True)
                continue
            self._walk.recorder.emit(CommandReceived(command=command.name, argument=command.argument))
            if command.name == "stop":
                self._walk.has_stopped = True
            elif command.name in ("pause", "skip"):
                self.noted(f"{command.name} is not possible while a library runs its own loop", is_warning=True)
