"""The learning-rate range test: how the loss of a network moves while its learning rate grows from nothing to far too much.

Source: Smith 2017 (arXiv:1506.01186), with the numbers of Lightning's finder: 1e-8 to 1 in 100 steps, ended at four times the least
loss, the rate of the steepest descent suggested without the first ten and the last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from advisor.core.space import Float

if TYPE_CHECKING:
    from advisor.objectives.network import EpochTraining

LOWEST, HIGHEST = 1e-8, 1.0
STEPS = 100
SMOOTHING = 0.98
"""How much of the mean of the losses before stays in the next."""
DIVERGED_TIMES = 4.0
"""Times the least loss from which on the network has diverged."""
SKIPPED_FIRST, SKIPPED_LAST = 10, 1
DECADE = 10.0
"""The window reaches from a tenth of the suggestion to ten times it. [H]"""


@dataclass(frozen=True, slots=True)
class RangeTest:
    """What a range test has found."""

    suggestion: float | None
    """Learning rate of the steepest descent; None when the loss never fell."""
    rates: tuple[float, ...]
    """Learning rate of each step."""
    losses: tuple[float, ...]
    """Smoothed loss of each step, finite."""
    diverged_at: float | None = None
    """Learning rate at which the loss had left; None when it held up to the highest."""


def rate_at(step: int, steps: int = STEPS) -> float:
    """The learning rate of a step, from 0 to `steps` - 1: evenly on a logarithmic scale."""
    return float(LOWEST * (HIGHEST / LOWEST) ** (step / (steps - 1)))


def suggest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate at which the loss falls most from one step to the next; None when it never falls or too few steps were taken."""
    end = len(losses) - SKIPPED_LAST
    if end - SKIPPED_FIRST < 3:
        return None
    slopes = {i: (losses[min(i + 1, end - 1)] - losses[max(i - 1, SKIPPED_FIRST)]) / 2 for i in range(SKIPPED_FIRST + 1, end - 1)}
    steepest = min(slopes, key=lambda i: slopes[i])
    return rates[steepest] if slopes[steepest] < 0 else None


def range_test(training: EpochTraining, *, steps: int = STEPS) -> RangeTest:
    """What the test finds for `training`, which is afterwards as it was before: weights, optimiser, norms and epoch.

    Batches follow one another through shuffled rows as in an epoch. Its randomness is the training's own, keyed by its seed.
    """
    before = training.state()
    rates: list[float] = []
    losses: list[float] = []
    mean, diverged_at = 0.0, None
    try:
        for step, rows in enumerate(training.batches_of(steps)):
            rate = rate_at(step, steps)
            loss = float(training.step(rows, rate))
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            smoothed = mean / (1 - SMOOTHING ** (step + 1))
            if not math.isfinite(smoothed) or (step > 1 and smoothed > DIVERGED_TIMES * min(losses)):
                diverged_at = rate
                break
            rates.append(rate)
            losses.append(smoothed)
    finally:
        training.restore(before)
    return RangeTest(suggest(rates, losses), tuple(rates), tuple(losses), diverged_at)


def window(parameter: Float, suggestion: float, *, holds: Sequence[float] = ()) -> Float:
    """`parameter` from a tenth of the suggestion to ten times it, within its bounds; soft, so that the search may widen it again.

    What `holds` names, and the default, stay inside. A window that leaves nothing of the range leaves the parameter as it is.
    """
    low, high = max(parameter.low, suggestion / DECADE), min(parameter.high, suggestion * DECADE)
    if low >= high:
        return parameter
    kept = [v for v in (*holds, parameter.default) if isinstance(v, int | float) and parameter.low <= v <= parameter.high]
    low, high = min([low, *kept]), max([high, *kept])
    return parameter.model_copy(update={"low": low, "high": high})
