"""Engines with a known behaviour."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from advisor.core.ports import Proposal, Result
from advisor.core.space import Config


class ListEngine:
    """Proposes `configs` in order, those told of before excepted, and prunes where `prune` says so."""

    def __init__(
        self,
        configs: Sequence[Config],
        *,
        prune: Callable[[Proposal, int, float], bool] = lambda _p, _s, _v: False,
        families: Sequence[str | None] = (),
    ) -> None:
        self.configs, self.prune, self.families = list(configs), prune, list(families)
        self.told: dict[int, Result] = {}
        self.proposed: list[int] = []
        self.observed: list[tuple[int, int, float]] = []

    def propose(self) -> Proposal | None:
        """The next configuration that nobody has told of."""
        for key, config in enumerate(self.configs):
            if key not in self.told and key not in self.proposed:
                self.proposed.append(key)
                family = self.families[key] if self.families else None
                return Proposal(key, config, "default" if key == 0 else "proposal", family, seed=key)
        return None

    @property
    def is_done(self) -> bool:
        """True when every configuration was proposed or told of."""
        return len(self.told.keys() | set(self.proposed)) == len(self.configs)

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """Asks `prune`."""
        self.observed.append((proposal.key, step, value))
        return self.prune(proposal, step, value)

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Remembers."""
        assert proposal.key not in self.told
        self.told[proposal.key] = result

    def close(self) -> None:
        """Nothing to free."""


class StalledEngine(ListEngine):
    """Proposes nothing and is never done."""

    def propose(self) -> Proposal | None:
        """Never anything."""
        return None

    @property
    def is_done(self) -> bool:
        """Never."""
        return False
