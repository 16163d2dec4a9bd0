"""When further trials are not worth their time: the gain of the last ones is within the noise of validation. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_IDLE = 20
"""Trials without a gain, at least, before a search is settled. Source: knowledge B.10 [H]."""
IDLE_PER_DIMENSION = 5
"""The same for each dimension. Source: knowledge B.10 [H]."""
STANDARD_ERRORS = 1.0
"""A gain within so many standard errors of its fold-wise differences is noise. Source: knowledge B.10 [H]."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One trial that was decided: it ran in full, or was pruned for being behind."""

    value: float | None
    """Its score, smaller is better; None: pruned."""
    scores: tuple[float, ...] = ()
    """One score a split, smaller is better; empty: its noise is not known."""


def settled(trials: Sequence[Scored], dimensions: int) -> str | None:
    """Why the search may end, in one sentence; None while it should go on.

    It may once the best of all is not better than the best before the last ``max(20, 5 · dimensions)`` trials by more than the
    noise of that difference, split for split. Where trials have one score only, noise is not known and nothing is concluded.
    """
    patience = max(FEWEST_IDLE, IDLE_PER_DIMENSION * dimensions)
    before, last = trials[:-patience], trials[-patience:]
    old = min((t for t in before if t.value is not None), key=lambda t: t.value or 0.0, default=None)
    if old is None or old.value is None or len(old.scores) < 2 or len(last) < patience:
        return None
    new = min((t for t in last if t.value is not None), key=lambda t: t.value or 0.0, default=None)
    if new is None or new.value is None or new.value >= old.value:
        return f"the last {patience} trials brought no gain"
    if len(new.scores) != len(old.scores):
        return None
    differences = [a - b for a, b in zip(old.scores, new.scores, strict=True)]
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    gain = old.value - new.value
    if gain > STANDARD_ERRORS * error:
        return None
    return f"the last {patience} trials brought a gain of {gain:.2g}, within the noise of validation ({error:.2g})"
