"""What an engine process writes, and the clock of its budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from advisor.core.events import Event, Noted, StudyState, fold, fold_all
from advisor.core.ports import Engine, Proposal, Result
from advisor.core.space import Config, SearchSpace
from advisor.core.stopping import Scored, settled

Listener = Callable[[Sequence[Event], StudyState], str | None]
"""Takes events and the state after them; a sentence says that it will take no more, and why."""


class Keeps(Protocol):
    """Where events go: a file, or a list."""

    def append(self, *events: Event) -> object:
        """Keeps `events`, all or none."""
        ...


class MemoryJournal:
    """Events of a run that leaves no folder behind: nothing survives the process."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, *events: Event) -> None:
        """Keeps `events`."""
        self.events.extend(events)


class Recorder:
    """Stamps, journals and folds events: the `state` it holds is what the journal holds."""

    def __init__(self, journal: Keeps, events: Iterable[Event], *, began: float, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._clock = clock
        self._began = began
        self.state = fold_all(events)
        self._before = self.state.elapsed
        self._listeners: list[Listener] = []

    def elapsed(self) -> float:
        """Seconds of budget used, over all engine lives of the run."""
        return self._before + self._clock() - self._began

    def emit(self, *events: Event) -> None:
        """Journals `events` in one transaction; when it returns, all of them are on disk."""
        stamp = {"at": time.time(), "elapsed": round(self.elapsed(), 4)}
        stamped = [event.model_copy(update=stamp) for event in events]
        self._journal.append(*stamped)
        self.state = fold(self.state, *stamped)
        for listener in list(self._listeners):
            if (complaint := listener(stamped, self.state)) is not None:
                self._listeners.remove(listener)
                self.emit(Noted(level="warning", text=complaint))

    def listen(self, listener: Listener) -> None:
        """Has `listener` told every event once it is safe on disk. A sentence it answers is noted, and it is told no more."""
        self._listeners.append(listener)


class Filled:
    """An engine that moves in a part of a space: what it does not name has the value of `base`, the best so far or the default."""

    def __init__(self, engine: Engine, space: SearchSpace, base: Config, moving: Iterable[str]) -> None:
        self._engine, self._space, self._base, self._moving = engine, space, base, tuple(moving)

    def propose(self) -> Proposal | None:
        """The engine's next proposal, completed."""
        proposal = self._engine.propose()
        if proposal is None:
            return None
        beside = {n: v for n, v in proposal.config.items() if n not in self._space.parameters}
        return replace(proposal, config={**self._space.active({**self._base, **proposal.config}), **beside})

    @property
    def is_done(self) -> bool:
        """The engine's own word."""
        return self._engine.is_done

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """The engine's own word."""
        return self._engine.observe(self._own(proposal), step, value)

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Passed on, the configuration as the engine knows it."""
        self._engine.tell(self._own(proposal), result)

    def close(self) -> None:
        """Passed on."""
        self._engine.close()

    def _own(self, proposal: Proposal) -> Proposal:
        kept = {n: v for n, v in proposal.config.items() if n in self._moving or n not in self._space.parameters}
        return replace(proposal, config=kept)


class Settling:
    """An engine that is done once further trials are not worth their time; `note` takes the reason, once."""

    def __init__(
        self,
        engine: Engine,
        *,
        sign: int,
        dimensions: int,
        history: Sequence[tuple[Config, Result]],
        note: Callable[[str], None],
    ) -> None:
        """`sign` is 1 where smaller is better; `history` are the trials before this stage."""
        self._engine, self._sign, self._dimensions, self._note = engine, sign, dimensions, note
        self._trials = [s for _, r in history if (s := self._scored(r)) is not None]
        self._is_told = False

    def propose(self) -> Proposal | None:
        """The engine's next proposal; None once the search is settled."""
        reason = settled(self._trials, self._dimensions)
        if reason is None:
            return self._engine.propose()
        if not self._is_told:
            self._is_told = True
            self._note(reason)
        return None

    @property
    def is_done(self) -> bool:
        """True when the search is settled, or the engine is done."""
        return self._is_told or self._engine.is_done

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """The engine's own word."""
        return self._engine.observe(proposal, step, value)

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Passed on, and counted."""
        self._engine.tell(proposal, result)
        scored = self._scored(result)
        if scored is not None:
            self._trials.append(scored)

    def close(self) -> None:
        """Passed on."""
        self._engine.close()

    def _scored(self, result: Result) -> Scored | None:
        if result.status == "completed" and result.value is not None:
            return Scored(self._sign * result.value, tuple(self._sign * s for s in result.scores))
        return Scored(None) if result.status == "pruned" else None


class Gate:
    """An engine that proposes nothing new once `is_late` says so; what runs may finish, and `at_least` proposals always pass."""

    def __init__(self, engine: Engine, is_late: Callable[[], bool], *, at_least: int = 1) -> None:
        self._engine = engine
        self._is_late = is_late
        self._to_pass = at_least

    def propose(self) -> Proposal | None:
        """The engine's next proposal, None once the gate is closed."""
        if self._is_closed:
            return None
        proposal = self._engine.propose()
        self._to_pass -= proposal is not None
        return proposal

    @property
    def _is_closed(self) -> bool:
        return self._to_pass <= 0 and self._is_late()

    @property
    def is_done(self) -> bool:
        """True when the gate is closed or the engine is done."""
        return self._is_closed or self._engine.is_done

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """The engine's own word."""
        return self._engine.observe(proposal, step, value)

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Passed on."""
        self._engine.tell(proposal, result)

    def close(self) -> None:
        """Passed on."""
        self._engine.close()
