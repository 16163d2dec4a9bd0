"""A search whose space follows what its trials find: bounds the best ones press against are widened, ranges that diverge are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from advisor.core.ports import Engine, Proposal, Result
from advisor.core.revisions import Seen, revisions
from advisor.core.space import Choice, Config, SearchSpace

EVERY = 4
"""Trials between two looks at the space. [H]"""
History = Sequence[tuple[Config, Result]]


class RevisingEngine:
    """The engine that `make` gives for a space and a history, made anew, with everything learned so far, when the space changes.

    What it proposes is a function of what it was told: on a resume the same revisions happen at the same trials. While a
    new engine is due, running trials are waited for. `note` takes a sentence at every change.
    """

    def __init__(
        self,
        make: Callable[[SearchSpace, History, int], Engine],
        space: SearchSpace,
        *,
        direction: Literal["minimize", "maximize"],
        history: History = (),
        note: Callable[[str], None] = lambda _text: None,
        every: int = EVERY,
    ) -> None:
        """`make` gets the space, what was evaluated, and the number of the revision, from 0."""
        self._make, self.space, self._note, self._every = make, space, note, every
        self._sign = 1 if direction == "minimize" else -1
        self._history = list(history)
        self._engine = make(space, tuple(self._history), 0)
        self._outer: dict[int, int] = {}
        """Key of the engine in force to ours."""
        self._inner: dict[int, int] = {}
        self._told: set[int] = set()
        self._running: set[int] = set()
        self._since = 0
        self._widened: dict[str, int] = {}
        self._revision = 0
        self._is_replaying = True

    def propose(self) -> Proposal | None:
        """The next proposal of the engine in force; None while trials are waited for that a revision hangs on."""
        self._is_replaying = False
        if self._is_due():
            if self._running:
                return None
            self._revise()
        proposal = self._engine.propose()
        if proposal is None:
            return None
        key = next(k for k in range(len(self._told) + len(self._running) + 1) if k not in self._told and k not in self._running)
        self._enter(key, proposal.key)
        return replace(proposal, key=key)

    @property
    def is_done(self) -> bool:
        """True when the engine in force is."""
        return self._engine.is_done and not self._is_due()

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """The word of the engine in force."""
        return self._engine.observe(replace(proposal, key=self._inner[proposal.key]), step, value)

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Takes the end of a trial, of this life or an earlier one."""
        if proposal.key not in self._inner:  # an earlier life's: it comes in order, and revisions fall where they fell
            if self._is_replaying and self._is_due():
                self._revise()
            self._enter(proposal.key, len(self._outer))
        self._running.discard(proposal.key)
        self._told.add(proposal.key)
        self._engine.tell(replace(proposal, key=self._inner[proposal.key]), result)
        self._history.append((proposal.config, result))
        self._since += 1

    def close(self) -> None:
        """Closes the engine in force."""
        self._engine.close()

    def _enter(self, key: int, inner: int) -> None:
        self._inner[key], self._outer[inner] = inner, key
        self._running.add(key)

    def _is_due(self) -> bool:
        return self._since >= self._every and bool(self._found())

    def _found(self) -> tuple[object, ...]:
        return revisions(self.space, self._seen(), widened=self._widened)

    def _seen(self) -> list[Seen]:
        seen = []
        for config, result in self._history:
            if result.status == "completed" and result.value is not None:
                seen.append(Seen(config, self._sign * result.value))
            elif result.status == "failed":
                seen.append(Seen(config, None))
        return seen

    def _revise(self) -> None:
        for revision in revisions(self.space, self._seen(), widened=self._widened):
            before = self.space.parameters[revision.name]
            assert not isinstance(before, Choice)
            if revision.kind == "widen":
                side = "low" if revision.parameter.low < before.low else "high"
                self._widened[f"{revision.name}.{side}"] = self._widened.get(f"{revision.name}.{side}", 0) + 1
            self.space = self.space.replace(**{revision.name: revision.parameter})
            if not self._is_replaying:
                self._note(revision.because + ".")
        self._revision += 1
        self._since = 0
        self._engine.close()
        self._outer.clear()
        self._engine = self._make(self.space, tuple(self._history), self._revision)
