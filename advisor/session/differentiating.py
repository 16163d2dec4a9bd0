"""Hypergradients within a run: on a training of the user's own, or on the network of a table with an L2 strength a part."""

from __future__ import annotations

import os
from functools import partial

from advisor.core.events import Noted
from advisor.core.plan import Stage, Strategy
from advisor.core.ports import Proposal, Scribe
from advisor.core.space import SearchSpace
from advisor.session.reserving import reserve
from advisor.session.walking import Walk

VERIFY = "verify"
"""The stage in which what hypergradients found is scored on the splits of the search, as any other configuration."""


class _PartOfTheRows:
    """A scribe that says of every trial on how few rows it was trained: such a score is no rival of those on all of them."""

    def __init__(self, scribe: Scribe, rows: int) -> None:
        self._scribe, self._rows = scribe, rows

    def started(self, proposal: Proposal) -> None:
        """Passed on with the rows."""
        from dataclasses import replace

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


def verify(walk: Walk, stage: Stage) -> None:
    """Scores the configuration that a table's hypergradients ended with on the splits of the search, so that it can be confirmed."""
    from advisor.engines.portfolio import FixedEngine

    if walk.is_own or stage.strategy is not Strategy.HYPERGRADIENT or walk.was_interrupted:
        return
    ended = [t for t in walk.recorder.state.trials.values() if t.stage == stage.name and t.status == "completed" and t.key == 2]
    if not ended:
        walk.recorder.emit(Noted(text="Hypergradients ended before a configuration was found."))
        return
    engine = FixedEngine([Proposal(0, ended[-1].config, family=ended[-1].family)])
    scoring = stage.model_copy(update={"name": VERIFY, "strategy": Strategy.PORTFOLIO, "trials": 1})
    walk.drive(engine, stage=scoring, space=walk.plan.space, reserve=partial(reserve, walk), max_trials=None)
