"""A search whose space follows what its trials find: bounds the best ones press against are widened, ranges that diverge are cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from advisor.core.freezing import frozen
from advisor.core.ports import Engine, Proposal, Result
from advisor.core.revisions import Revision, Seen, Side, revisions, widening
from advisor.core.space import Choice, Config, Float, Int, SearchSpace

EVERY = 3
"""Trials between two looks at the space. [H]"""
History = Sequence[tuple[Config, Result]]


class RevisingEngine:
    """The engine that `make` gives for a space and a history, made anew, with everything learned so far, when the space changes.

    What a widening has opened is looked at at once, before the new engine is made: the best configuration with the
    hyperparameter in the middle of the new part, then, if that was the best so far, at its far end, and if that was too, the
    range is widened again. A hyperparameter that is frozen counts in all that was learned as if it had always stood where it is
    held: it has shown not to matter. What is proposed is a function of what was told: on a resume the same revisions happen at the same
    trials. While a new engine is due, running trials are waited for. `note` takes a sentence at every change.
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
        self._looks: list[_Look] = []
        """Looks into what was opened, still to be proposed."""
        self._looking: dict[int, _Look] = {}
        """Looks that run, by key."""
        self._onward: list[tuple[str, Side]] = []
        """Ranges whose far end was the best so far: they are widened again, whatever the other trials say."""
        self._is_made = True
        """False while the new space has no engine yet."""
        self._outer: dict[int, int] = {}
        """Key of the engine in force to ours."""
        self._inner: dict[int, int] = {}
        self._told: set[int] = set()
        self._running: set[int] = set()
        self._held: Config = {}
        """What was frozen, and where."""
        self._since = 0
        self._widened: dict[str, int] = {}
        self._revision = 0
        self._is_replaying = True
        self._known: tuple[tuple[int, int, int], tuple[Revision, ...]] | None = None
        """What the trials of now speak for, once it was asked."""

    def propose(self) -> Proposal | None:
        """The next proposal of the engine in force; None while trials are waited for that a revision hangs on."""
        self._is_replaying = False
        if self._is_due():
            if self._running:
                return None
            self._revise()
        key = next(k for k in range(len(self._told) + len(self._running) + 1) if k not in self._told and k not in self._running)
        if self._looks:
            return Proposal(key, self._look(key))
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
        return self._is_made and not self._looks and self._engine.is_done and not self._is_due()

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
        look = self._looking.pop(proposal.key, None)
        if look is not None:
            self._follow(look, proposal.config, result)
        self._history.append((proposal.config, result))
        self._since += 1

    def close(self) -> None:
        """Closes the engine in force."""
        self._engine.close()

    def _replay(self, proposal: Proposal) -> None:
        if self._is_due():
            self._revise()
        if self._looks:
            self._look(proposal.key)
            return
        if not self._is_made:
            self._renew()
        self._enter(proposal.key, len(self._outer))

    def _look(self, key: int) -> Config:
        """The next look into what was opened, entered as `key`: the best configuration of now, moved there."""
        look = self._looks.pop(0)
        self._looking[key] = look
        self._running.add(key)
        best = self._best()
        assert best is not None
        return self.space.active({**best.config, look.name: look.value})

    def _follow(self, look: _Look, config: Config, result: Result) -> None:
        """Goes on outwards while looks are the best so far: first to the far end, then beyond it."""
        best = self._best()
        is_best = result.status == "completed" and result.value is not None and best is not None
        if not is_best or self._sign * (result.value or 0.0) >= (best.value if best is not None and best.value is not None else math.inf):
            return
        if look.is_far_end:
            self._onward.append((look.name, look.side))
        else:
            end = getattr(self.space.parameters[look.name], look.side)
            if end != config[look.name]:
                self._looks.insert(0, _Look(look.name, look.side, end, is_far_end=True))

    def _enter(self, key: int, inner: int) -> None:
        self._inner[key], self._outer[inner] = inner, key
        self._running.add(key)

    def _is_due(self) -> bool:
        return bool(self._onward) or (not self._looks and self._since >= self._every and bool(self._found()))

    def _found(self) -> tuple[Revision, ...]:
        mark = (len(self._history), self._revision, len(self._onward))
        if self._known is None or self._known[0] != mark:
            self._known = (mark, self._speaking())
        return self._known[1]

    def _speaking(self) -> tuple[Revision, ...]:
        if self._onward:
            wider = (widening(self.space, name, side, self._times(name, side)) for name, side in self._onward)
            return tuple(r for r in wider if r is not None)
        seen = self._seen()
        return revisions(self.space, seen, widened=self._widened) or frozen(self.space, seen)

    def _times(self, name: str, side: Side) -> int:
        return self._widened.get(f"{name}.{side}", 0)

    def _best(self) -> Seen | None:
        return min((s for s in self._seen() if s.value is not None), key=lambda s: s.value or 0.0, default=None)

    def _seen(self) -> list[Seen]:
        seen = []
        for config, result in self._learned():
            if result.status == "completed" and result.value is not None:
                seen.append(Seen(config, self._sign * result.value))
            elif result.status == "failed":
                seen.append(Seen(config, None))
        return seen

    def _revise(self) -> None:
        found = self._found()
        self._onward.clear()
        for revision in found:
            before, after = self.space.parameters[revision.name], revision.parameter
            self.space = self.space.replace(**{revision.name: after})
            if revision.kind == "freeze":
                self._held[revision.name] = after.default
            if revision.kind == "widen" and not isinstance(before, Choice) and not isinstance(after, Choice):
                side: Side = "low" if after.low < before.low else "high"
                self._widened[f"{revision.name}.{side}"] = self._times(revision.name, side) + 1
                self._looks.append(_Look(revision.name, side, _middle(before, after)))
            if not self._is_replaying:
                self._note(revision.because + ".")
        self._since = 0
        self._is_made = False

    def _renew(self) -> None:
        self._revision += 1
        self._engine.close()
        self._outer.clear()
        self._inner.clear()
        self._engine = self._make(self.space, self._learned(), self._revision)
        self._is_made = True

    def _learned(self) -> tuple[tuple[Config, Result], ...]:
        """What was evaluated, with what is frozen where it is held."""
        if not self._held:
            return tuple(self._history)
        return tuple(({**config, **{n: v for n, v in self._held.items() if n in config}}, result) for config, result in self._history)


@dataclass(frozen=True, slots=True)
class _Look:
    """A place in what a widening has opened."""

    name: str
    side: Side
    value: float | int
    is_far_end: bool = False


def _middle(before: Float | Int, after: Float | Int) -> float | int:
    """The middle, on its scale, of what `after` has gained over `before`."""
    low, high = (after.low, before.low) if after.low < before.low else (before.high, after.high)
    middle = math.sqrt(low) * math.sqrt(high) if after.log else (low + high) / 2
    return min(max(round(middle), after.low), after.high) if isinstance(after, Int) else middle
