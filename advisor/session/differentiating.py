"""Hypergradients within a run: on a training of the user's own, or on the network of a table with an L2 strength a part."""

from __future__ import annotations

import os
from dataclasses import replace

from advisor.core.ports import Proposal, Scribe
from advisor.core.space import SearchSpace
from advisor.session.walking import Walk


class _PartOfTheRows:
    """A scribe that says of every trial on how few rows it was trained: such a score is no rival of those on all of them."""

    def __init__(self, scribe: Scribe, rows: int) -> None:
        self._scribe, self._rows = scribe, rows

    def started(self, proposal: Proposal) -> None:
        """Passed on with the rows."""
        self._scribe.started(replace(proposal, rows=self._rows))

    def __getattr__(self, name: str) -> object:
        return getattr(self._scribe, name)


class HypergradientStage:
    """A `LibraryLoop`: hypergradients on what the run tunes."""

    def __init__(self, walk: Walk, space: SearchSpace) -> None:
        self._walk, self._space = walk, space

    def run(self, scribe: Scribe) -> None:
        """Runs the stage in this process: its training is one, and follows its own gradient.

        Raises: CannotRunError where the table leaves no third split; InputError for losses that cannot be differentiated.
        """
        from advisor.engines.hypergradient import HypergradientLoop

        walk = self._walk
        # The engine counts its own threads: its workers are idle meanwhile.
        threads = max(1, int(os.environ.get("OMP_NUM_THREADS", "1")), walk.plan.envelope.threads_per_worker)
        if walk.is_own:
            pair = walk.brought.pair  # type: ignore[union-attr]
            HypergradientLoop(pair, self._space, seed=walk.plan.seed, threads=threads, family=walk.plan.family).run(scribe)
            return
        from advisor.objectives.penalised_network import build_differentiable, three_splits

        family = walk.family(walk.plan.family)
        pair, space = build_differentiable(walk.prepared, family, seed=walk.plan.seed, threads=threads, device=walk.plan.envelope.device)
        rows = len(three_splits(walk.prepared)[0])
        scribe.noted(f"Hypergradients follow {len(space.free)} L2 strengths on {rows} training rows and two validation splits.")
        HypergradientLoop(pair, space, seed=walk.plan.seed, threads=threads, family=family.name).run(_PartOfTheRows(scribe, rows))  # type: ignore[arg-type]
