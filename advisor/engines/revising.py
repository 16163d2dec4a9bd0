"""A search whose space follows what its trials find: bounds the best ones press against are widened, ranges that diverge are cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from advisor.core.ports import Engine, Proposal, Result
from advisor.core.revisions import Seen, revisions
from advisor.core.space import Choice, Config, Float, Int, SearchSpace

EVERY = 3
"""Trials between two looks at the space. [H]"""
History = Sequence[tuple[Config, Result]]


class RevisingEngine:
    """The engine that `make` gives for a space and a history, made anew, with everything learned so far, when the space changes.

    What a widening has opened is looked at at once: the best configuration with the hyperparameter in the middle of the new
    part, before the new engine is made. What is proposed is a function of what was told: on a resume the same revisions happen
    at the same trials. While a new engine is due, running trials are waited for. `note` takes a sentence at every change.
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
        self._probes: list[Config] = []
        """Looks into what was opened, still to be proposed."""
        self._is_made = True
        """False while the new space has no engine yet."""
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
        key = next(k for k in range(len(self._told) + len(self._running) + 1) if k not in self._told and k not in self._running)
        if self._probes:
            self._running.add(key)
            return Proposal(key, self._probes.pop(0))
        if not self._is_made:
            if self._running:
                return None
            self._renew()
        proposal = self._engine.propose()
        if proposal is None:
            return None
        self._enter(key, proposal.key)
        return replace(proposal, key=key)

    @property
    def is_done(self) -> bool:
        """True when the engine in force is."""
        return self._is_made and not self._probes and self._engine.is_done and not self._is_due()

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """The word of the engine in force."""
        if proposal.key not in self._inner:
            return False  # a look into what was opened runs in full
        return self._engine.observe(replace(proposal, key=self._inner[proposal.key]), step, value)

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Takes the end of a trial, of this life or an earlier one."""
        if self._is_replaying:  # an earlier life's: it comes in order, and revisions fall where they fell
            self._replay(proposal)
        self._running.discard(proposal.key)
        self._told.add(proposal.key)
        if proposal.key in self._inner:
            self._engine.tell(replace(proposal, key=self._inner[proposal.key]), result)
        self._history.append((proposal.config, result))
        self._since += 1

    def close(self) -> None:
        """Closes the engine in force."""
        self._engine.close()

    def _replay(self, proposal: Proposal) -> None:
        if self._is_due():
            self._revise()
        if self._probes:
            self._probes.pop(0)
            return
        if not self._is_made:
            self._renew()
        self._enter(proposal.key, len(self._outer))

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
            if revision.kind == "widen":
                self._look_into(revision.name, before)
            if not self._is_replaying:
                self._note(revision.because + ".")
        self._since = 0
        self._is_made = False

    def _look_into(self, name: str, before: Float | Int) -> None:
        """Queues the best configuration with `name` in the middle of what its new range has gained."""
        best = min((s for s in self._seen() if s.value is not None), key=lambda s: s.value or 0.0)
        after = self.space.parameters[name]
        assert not isinstance(after, Choice)
        low, high = (after.low, before.low) if after.low < before.low else (before.high, after.high)
        middle = math.sqrt(low) * math.sqrt(high) if after.log else (low + high) / 2
        value = min(max(round(middle), after.low), after.high) if isinstance(after, Int) else middle
        self._probes.append(self.space.active({**best.config, name: value}))

    def _renew(self) -> None:
        self._revision += 1
        self._engine.close()
        self._outer.clear()
        self._inner.clear()
        self._engine = self._make(self.space, tuple(self._history), self._revision)
        self._is_made = True
