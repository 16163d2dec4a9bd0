"""Which hyperparameters a search need not move any longer: those that finished trials show not to matter. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.core.importance import importance
from advisor.core.revisions import Revision, Seen
from advisor.core.space import SearchSpace
from advisor.core.spaces import hold

FEWEST_TRIALS = 50
"""Completed trials before anything is frozen. Source: knowledge D16."""
UNIMPORTANT = 0.05
"""A share below this, by both measures, is none. Source: knowledge D16."""
FEWEST_FREE = 2
"""Hyperparameters that go on moving, at least: one alone has no importance beside others. [H]"""


def frozen(space: SearchSpace, trials: Sequence[Seen]) -> tuple[Revision, ...]:
    """The hyperparameters of `space` that are held at the value of the best trial from now on, the least important first.

    It says nothing of what lies outside the range that was searched, nor of another model or other data.

    Source: knowledge D16.
    """
    done = [t for t in trials if t.value is not None and not space.faults(space.active(t.config))]
    if len(done) < FEWEST_TRIALS:
        return ()
    parents = {parent for _, p in space.items() for parent in p.when or {}}
    moving = {n: p for n, p in space.items() if n in space.free and n not in parents}
    found = importance(SearchSpace(parameters={n: p.model_copy(update={"when": None}) for n, p in moving.items()}), done)
    idle = sorted(
        (n for n, i in found.items() if max(i.top_shift, i.explained) < UNIMPORTANT),
        key=lambda n: max(found[n].top_shift, found[n].explained),
    )
    best = min(done, key=lambda t: t.value or 0.0)
    out = []
    for name in idle[: max(0, len(space.free) - FEWEST_FREE)]:
        if name not in best.config:
            continue
        because = (
            f"{name} explains {found[name].explained:.0%} of the scores of {len(done)} trials and {found[name].top_shift:.0%} of what sets "
            f"the best apart: it is held at {best.config[name]!r} of the best one"
        )
        out.append(Revision("freeze", name, hold(name, space.parameters[name], best.config[name]), because))
    return tuple(out)
