"""The first trials of an objective that draws its own values: they are run to learn what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from advisor.core.ports import Proposal, Result
from advisor.core.space import Config

Record = Mapping[str, Any]
"""``{"config": …, "space": …}``, as JSON: what one trial asked for."""


class TracingEngine:
    """Proposes the empty configuration, which the objective fills by its defaults, then what `draw` says to look at next.

    `draw` gets the number of the trial and what the trials before asked for; None: enough is known. Trials come one after
    the other: the next one hangs on what the last one asked for.
    """

    def __init__(self, draw: Callable[[int, Sequence[Record]], Config | None], *, seed: int = 0) -> None:
        self._draw, self._seed = draw, seed
        self._told: dict[int, tuple[Config, Result]] = {}
        self._running: int | None = None

    def propose(self) -> Proposal | None:
        """The next configuration to look at; None while one runs, or when enough is known."""
        config = self._next()
        if config is None:
            return None
        key = len(self._told)
        self._running = key
        return Proposal(key, config, "default" if key == 0 else "start", seed=self._seed)

    @property
    def is_done(self) -> bool:
        """True when enough is known."""
        return self._running is None and self._next() is None

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """False: these trials run in full."""
        del proposal, step, value
        return False

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Takes the end of a trial with what it asked for."""
        self._running = None
        self._told[proposal.key] = (proposal.config, result)

    def close(self) -> None:
        """Nothing is held."""

    @property
    def records(self) -> list[Record]:
        """What the trials asked for, in order."""
        return [r.suggested for _, (_, r) in sorted(self._told.items()) if r.suggested is not None]

    def _next(self) -> Config | None:
        if self._running is not None:
            return None
        return {} if not self._told else self._draw(len(self._told), self.records)
