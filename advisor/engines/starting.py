"""Starting configurations before whatever another engine proposes. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from advisor.core.ports import Engine, Proposal, Result
from advisor.core.space import Config


class StartingEngine:
    """Proposes `starts` in order, then what `engine` does, whose keys follow theirs. A start is never pruned."""

    def __init__(self, engine: Engine, starts: Sequence[Config], *, seed: int = 0) -> None:
        self._engine = engine
        self._starts = tuple(dict(s) for s in starts)
        self._seed = seed
        self._taken: set[int] = set()

    def propose(self) -> Proposal | None:
        """The first start that neither runs nor has ended, else the engine's next."""
        for key, config in enumerate(self._starts):
            if key not in self._taken:
                self._taken.add(key)
                return Proposal(key, dict(config), "start", seed=self._seed)
        proposal = self._engine.propose()
        return None if proposal is None else self._outer(proposal)

    @property
    def is_done(self) -> bool:
        """True when no start is left and the engine is done."""
        return len(self._taken) == len(self._starts) and self._engine.is_done

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """The engine's own word on what it proposed."""
        return proposal.key >= len(self._starts) and self._engine.observe(self._inner(proposal), step, value)

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Takes the end of a trial, of this life or an earlier one."""
        if proposal.key < len(self._starts):
            self._taken.add(proposal.key)
        else:
            self._engine.tell(self._inner(proposal), result)

    def close(self) -> None:
        """Closes the engine."""
        self._engine.close()

    def _outer(self, proposal: Proposal) -> Proposal:
        first = len(self._starts)
        return replace(proposal, key=proposal.key + first, continues=None if proposal.continues is None else proposal.continues + first)

    def _inner(self, proposal: Proposal) -> Proposal:
        first = len(self._starts)
        return replace(proposal, key=proposal.key - first, continues=None if proposal.continues is None else proposal.continues - first)
