"""Optuna's Gaussian process where a trial's time counts: expected improvement over predicted time, ever less so as the budget is used.

Only what is maximised is changed, at the place the library leaves open for that (`GPSampler._optimize_acqf`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from optuna.samplers import GPSampler
from optuna.trial import FrozenTrial

FEWEST_TIMED = 3
"""Trials with a known time before anything is predicted. [H]"""
RIDGE = 0.1
"""Penalty on the slopes of the time over a range, in squared logarithms: few trials say little. [H]"""


@dataclass(frozen=True, slots=True)
class Timed:
    """What one trial took, or would have taken in full."""

    trial: FrozenTrial
    seconds: float
    """Above zero."""


class CooledGPSampler(GPSampler):
    """A `GPSampler` that maximises ``log EI − heat · log seconds``, with seconds predicted from `timed` trials.

    The prediction is log-linear in the hyperparameters on their own scales, which holds for products (units · layers · rows /
    batch). `heat` is the share of the budget that is left: with 1 it is the improvement expected a second, with 0 the
    library's own proposal.

    Source: Snoek, Larochelle and Adams 2012 (expected improvement per second); Lee et al. 2020 (arXiv:2003.10870, cost cooling).
    """

    def __init__(self, *, timed: Sequence[Timed], heat: float, **settings: Any) -> None:
        super().__init__(**settings)
        self._timed, self._heat = timed, heat

    def _optimize_acqf(self, acqf: Any, best_params: np.ndarray | None) -> np.ndarray:
        if len(self._timed) >= FEWEST_TIMED and self._heat > 0:
            acqf = _cooled(acqf, self._heat * self._slopes(acqf))
        return super()._optimize_acqf(acqf, best_params)

    def _slopes(self, acqf: Any) -> np.ndarray:
        """How the logarithm of a trial's seconds rises over the whole range of each hyperparameter, shape (dimensions,)."""
        places = acqf.search_space.get_normalized_params([t.trial for t in self._timed])
        logs = np.log([t.seconds for t in self._timed])
        off = np.where(acqf.search_space.is_categorical, 0.0, places - places.mean(axis=0))  # choices have no slope
        return np.linalg.solve(off.T @ off + RIDGE * np.eye(off.shape[1]), off.T @ (logs - logs.mean()))


def _cooled(acqf: Any, slopes: np.ndarray) -> Any:
    """`acqf`, lowered by `slopes` over the normalised hyperparameters."""
    out, weights = copy.copy(acqf), torch.from_numpy(slopes)

    def lowered(x: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = acqf.eval_acqf(x) - x @ weights
        return value

    out.eval_acqf = lowered
    return out


def heat_left(used: float, budget: float | None) -> float:
    """The share of `budget` seconds that `used` has left, from 1 to 0; 0 without a budget, when time does not matter."""
    if budget is None or not math.isfinite(budget) or budget <= 0:
        return 0.0
    return max(0.0, 1.0 - used / budget)
