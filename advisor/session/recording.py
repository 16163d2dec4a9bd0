"""What an engine process writes, and the clock of its budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from advisor.core.events import Event, fold, fold_all
from advisor.core.ports import Engine, Proposal, Result
from advisor.journal import Journal


class Recorder:
    """Stamps, journals and folds events: the `state` it holds is what the journal holds."""

    def __init__(self, journal: Journal, events: Iterable[Event], *, began: float, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._clock = clock
        self._began = began
        self.state = fold_all(events)
        self._before = self.state.elapsed

    def elapsed(self) -> float:
        """Seconds of budget used, over all engine lives of the run."""
        return self._before + self._clock() - self._began

    def emit(self, *events: Event) -> None:
        """Journals `events` in one transaction; when it returns, all of them are on disk."""
        stamp = {"at": time.time(), "elapsed": round(self.elapsed(), 4)}
        stamped = [event.model_copy(update=stamp) for event in events]
        self._journal.append(*stamped)
        self.state = fold(self.state, *stamped)


class Gate:
    """An engine that proposes nothing new once `is_closed` says so; what runs may finish, and the first proposal always passes."""

    def __init__(self, engine: Engine, is_closed: Callable[[], bool]) -> None:
        self._engine = engine
        self._is_closed = is_closed
        self._has_proposed = False

    def propose(self) -> Proposal | None:
        """The engine's next proposal, None once the gate is closed."""
        if self._has_proposed and self._is_closed():
            return None
        self._has_proposed = True
        return self._engine.propose()

    @property
    def is_done(self) -> bool:
        """True when the gate is closed or the engine is done."""
        return (self._has_proposed and self._is_closed()) or self._engine.is_done

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """The engine's own word."""
        return self._engine.observe(proposal, step, value)

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Passed on."""
        self._engine.tell(proposal, result)

    def close(self) -> None:
        """Passed on."""
        self._engine.close()
