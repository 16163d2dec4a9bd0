"""Learning curves to symptoms: each a number with its formula, or an `Unknown` where the curve does not hold it. Pure.

Scores are turned into losses first, so that smaller is better: a score to be maximised that never exceeds 1 becomes its distance
to 1, any other its negative. Losses are smoothed by an exponential mean that forgets a tenth a step, run forward and backward so
that nothing is shifted; over fewer than a hundred steps it forgets faster, ten steps being a tenth of the curve. What is gained or
lost is measured against the curve's *scale*: the gain from the first step to the best, or half of the first loss where losses
cannot fall below 0 and that is more, since an easy problem is all but solved at its first step.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from advisor.core.diagnosis_symptoms import NotToldError, measured
from advisor.core.earning import spearman

FEWEST_POINTS = 8
"""Points before a shape is read from a curve. [H]"""
MEMORY = 0.9
"""Of the exponential mean, for a hundred steps or more. Source: knowledge D."""
EARLY, LATE, END = 0.2, 0.2, 0.1
"""Shares of the steps that count as the beginning, the last part and the end. Source: knowledge D4, D5, D6."""
SETTLED = 0.02
"""Of the scale: a curve this near to its best has arrived. [H]"""


@dataclass(frozen=True, slots=True)
class Curve:
    """What one training reported."""

    name: str
    """What it is called: ``trial 3``."""
    steps: tuple[float, ...]
    """Steps, growing."""
    validation: tuple[float, ...] | None
    """Validation score at each, in the direction of the metric; None: not told."""
    train: tuple[float, ...] | None = None
    """Training score at each, in the same unit and direction; None: not told."""
    folds: tuple[tuple[float, ...], ...] = ()
    """Validation scores of each fold, where `validation` is their mean."""
    direction: Literal["minimize", "maximize"] = "minimize"
    """Which way is better."""
    reference: float | None = None
    """Score of a simple model that was fitted well, on the same rows; None: not told."""


def curve_symptoms(curve: Curve) -> dict[str, Any]:
    """Every ``curve.*`` symptom by name; `Unknown` with its reason where the curve does not allow it."""
    return measured(MEASURES, _Reading(curve))


class _Reading:
    """One curve as losses, smoothed once."""

    def __init__(self, curve: Curve) -> None:
        self.curve = curve
        told = [v for v in (curve.validation, curve.train) if v is not None]
        self.points = max((len(v) for v in told), default=0)
        self.first_bad = next((i for i in range(self.points) if any(not math.isfinite(v[i]) for v in told)), None)
        self.kept = self.points if self.first_bad is None else self.first_bad
        finite = [x for v in told for x in v[: self.kept]]
        self.is_bounded, self._turn = _turning(finite, curve.direction)
        self._validation = self._loss(curve.validation)
        self._train = self._loss(curve.train)
        self._smooth: dict[str, list[float]] = {}

    def _loss(self, values: Sequence[float] | None) -> list[float] | None:
        return None if values is None else [self._turn(v) for v in values[: self.kept]]

    def loss(self, which: str) -> list[float]:
        found = self._validation if which == "validation" else self._train
        if found is None:
            raise NotToldError(f"the curve has no {'training' if which == 'train' else which} scores")
        if len(found) < FEWEST_POINTS:
            raise NotToldError(f"{len(found)} finite points, {FEWEST_POINTS} needed")
        return found

    @property
    def either(self) -> str:
        """Training where it is told: it does not confuse learning with generalising."""
        return "train" if self._train is not None else "validation"

    def smooth(self, which: str) -> list[float]:
        if which not in self._smooth:
            self._smooth[which] = smoothed(self.loss(which))
        return self._smooth[which]

    def best(self) -> int:
        """Place of the best smoothed validation loss; of equal ones the first."""
        smooth = self.smooth("validation")
        return min(range(len(smooth)), key=lambda i: smooth[i])

    def first(self, which: str) -> float:
        return self.loss(which)[0]

    def end(self, which: str) -> float:
        """Median loss of the last tenth of the steps, of three at least."""
        loss = self.loss(which)
        return statistics.median(loss[-max(3, round(END * len(loss))) :])

    def gain(self, which: str) -> float:
        return self.first(which) - min(self.smooth(which))

    def scale(self, which: str = "validation") -> float:
        floor = abs(self.first(which)) / 2 if self.is_bounded else 0.0
        found = max(self.gain(which), floor)
        if found <= 0:
            raise NotToldError("it never gets better than at its first step")
        return found

    def noise(self, which: str, part: float = 0.5) -> float:
        """Standard deviation of what wavers over the last `part` of the steps, six points at least, whatever the trend.

        From second differences, whose variance is six times that of independent noise and which no straight trend enters.
        Source: von Neumann et al. 1941 (mean square successive difference), second order.
        """
        loss = self.loss(which)
        last = loss[min(int(len(loss) * (1 - part)), len(loss) - 6) :]
        bends = [a - 2 * b + c for a, b, c in zip(last, last[1:], last[2:], strict=False)]
        return math.sqrt(math.fsum(d * d for d in bends) / len(bends) / 6)

    def at(self, share: float) -> int:
        """Place of the last point within the first `share` of the steps."""
        steps = self.curve.steps[: self.kept]
        until = steps[0] + share * (steps[-1] - steps[0])
        return max(i for i, s in enumerate(steps) if s <= until)

    def progress(self, place: int) -> float:
        """Share of the steps that lie before `place`."""
        steps = self.curve.steps[: self.kept]
        return (steps[place] - steps[0]) / (steps[-1] - steps[0])


def smoothed(values: Sequence[float]) -> list[float]:
    """`values` by an exponential mean, run forward and backward."""
    memory = max(0.0, min(MEMORY, 1 - 10 / len(values)))
    return _mean_back(_mean_back(values, memory)[::-1], memory)[::-1]


def _mean_back(values: Sequence[float], memory: float) -> list[float]:
    """The exponential mean of each value and those before it, its weights adding up to one from the first on."""
    out, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = memory * total + (1 - memory) * value, memory * weight + (1 - memory)
        out.append(total / weight)
    return out


def _turning(values: Sequence[float], direction: str) -> tuple[bool, Any]:
    """Whether the losses cannot fall below 0, and how a score becomes a loss."""
    if direction == "minimize":
        return bool(values) and min(values) >= 0, float
    if values and max(values) <= 0:
        return True, lambda v: -v
    if values and max(values) <= 1:
        return True, lambda v: 1 - v
    return False, lambda v: -v


# ------------------------------------------------------------------------------------------------------- the measures


def _is_not_finite(r: _Reading) -> bool:
    if not r.points:
        raise NotToldError("the curve is empty")
    return r.first_bad is not None


def _not_finite_step(r: _Reading) -> float:
    if r.first_bad is None:
        raise NotToldError("every value is finite")
    return r.curve.steps[r.first_bad]


def _peak_ratio(r: _Reading) -> float:
    if not r.is_bounded:
        raise NotToldError("a ratio needs a loss that cannot fall below 0")
    loss = r.loss(r.either)
    if r.either == "validation":
        loss = loss[: max(3, r.at(END) + 1)]
    if loss[0] <= 0:
        raise NotToldError("the first loss is 0")
    return max(loss) / loss[0]


def _trend(which: str) -> Any:
    def measure(r: _Reading) -> float:
        loss = r.loss(which)
        return spearman(list(range(len(loss))), loss)

    return measure


def _change_ratio(which: str) -> Any:
    def measure(r: _Reading) -> float:
        if r.first(which) == 0:
            raise NotToldError("the first loss is 0")
        return (r.end(which) - r.first(which)) / abs(r.first(which))

    return measure


def _gain_ratio(which: str) -> Any:
    def measure(r: _Reading) -> float:
        if r.first(which) == 0:
            raise NotToldError("the first loss is 0")
        return max(0.0, r.gain(which)) / abs(r.first(which))

    return measure


def _gain_errors(which: str) -> Any:
    def measure(r: _Reading) -> float:
        noise = r.noise(which)
        return max(0.0, r.gain(which)) / noise if noise > 0 else math.inf if r.gain(which) > 0 else 0.0

    return measure


def _late_per_early(r: _Reading) -> float:
    smooth = r.smooth("validation")
    early = smooth[0] - smooth[r.at(EARLY)]
    if early <= 0:
        raise NotToldError("nothing is gained in the first fifth of the steps")
    return (smooth[r.at(1 - LATE)] - smooth[-1]) / early


def _late_gain_ratio(which: str) -> Any:
    def measure(r: _Reading) -> float:
        smooth = r.smooth(which)
        return (smooth[r.at(1 - LATE)] - smooth[-1]) / r.scale(which)

    return measure


def _late_gain_errors(r: _Reading) -> float:
    smooth, noise = r.smooth("validation"), r.noise("validation", LATE)
    gain = smooth[r.at(1 - LATE)] - smooth[-1]
    return gain / noise if noise > 0 else math.copysign(math.inf, gain) if gain else 0.0


def _best_step(r: _Reading) -> float:
    return r.curve.steps[r.best()]


def _best_at_ratio(r: _Reading) -> float:
    return r.progress(r.best())


def _settled_at_ratio(r: _Reading) -> float:
    smooth = r.smooth("validation")
    near = min(smooth) + max(SETTLED * r.scale(), r.noise("validation"))
    return r.progress(next(i for i, v in enumerate(smooth) if v <= near))


def _rise(r: _Reading) -> float:
    smooth = r.smooth("validation")
    return r.end("validation") - min(smooth)


def _rise_ratio(r: _Reading) -> float:
    return _rise(r) / r.scale()


def _rise_errors(r: _Reading) -> float:
    """Of the mean of the last tenth: across folds where there are any, else from what wavers around the smoothed curve."""
    folds = [[r._turn(v) for v in fold[: r.kept]] for fold in r.curve.folds]
    if len(folds) > 1:
        best = r.best()
        last = max(3, round(END * len(folds[0])))
        rises = [statistics.median(fold[-last:]) - smoothed(fold)[best] for fold in folds]
        error = statistics.stdev(rises) / math.sqrt(len(rises))
        rise = statistics.fmean(rises)
    else:
        rise = _rise(r)
        error = r.noise("validation") / math.sqrt(max(3, round(END * r.kept)))
    return rise / error if error > 0 else math.copysign(math.inf, rise) if rise else 0.0


def _train_fall_ratio(r: _Reading) -> float:
    train = r.smooth("train")
    r.loss("validation")
    start = train[r.best()]
    return (start - train[-1]) / r.scale("train")


def _gap_ratio(r: _Reading) -> float:
    return (r.end("validation") - r.end("train")) / max(r.scale(), r.scale("train"))


def _wobble_ratio(which: str) -> Any:
    def measure(r: _Reading) -> float:
        return r.noise(which) / r.scale(which)

    return measure


def _level_wobble_ratio(which: str) -> Any:
    """Over the higher end of both losses: a training loss near 0 wavers by much of itself and by nothing that counts."""

    def measure(r: _Reading) -> float:
        if not r.is_bounded:
            raise NotToldError("a level needs a loss that cannot fall below 0")
        end = max(r.end(w) for w in {which, "validation" if r.curve.validation is not None else which})
        if end <= 0:
            raise NotToldError("the loss ends at 0")
        return r.noise(which) / end

    return measure


def _wobble_per_trend(r: _Reading) -> float:
    """Standard deviation of the steps of the last half over the absolute mean step. Source: knowledge D5, over the last fifth there."""
    loss = r.loss("validation")
    steps = [b - a for a, b in zip(loss[len(loss) // 2 :], loss[len(loss) // 2 + 1 :], strict=False)]
    mean = abs(statistics.fmean(steps))
    return statistics.pstdev(steps) / mean if mean > 0 else math.inf


def _wobble_of_both(r: _Reading) -> float:
    train = r.noise("train") / r.scale("train")
    validation = r.noise("validation") / r.scale()
    return validation / train if train > 0 else math.inf


def _relative_gain(r: _Reading) -> float:
    return max(0.0, r.gain("validation")) / r.scale("train")


def _shortfall_ratio(which: str) -> Any:
    def measure(r: _Reading) -> float:
        if r.curve.reference is None:
            raise NotToldError("no score of a simple model to compare with")
        reference: float = r._turn(r.curve.reference)
        best = min(r.smooth(which))
        span = max(r.first("validation"), r.first(r.either)) - reference
        if span <= 0:
            raise NotToldError("the first step is already better than the simple model")
        return (best - reference) / span

    return measure


MEASURES: dict[str, Any] = {
    "curve.has_train": lambda r: r.curve.train is not None,
    "curve.has_validation": lambda r: r.curve.validation is not None,
    "curve.points": lambda r: r.points,
    "curve.is_not_finite": _is_not_finite,
    "curve.not_finite_step": _not_finite_step,
    "curve.peak_ratio": _peak_ratio,
    "curve.train_trend": _trend("train"),
    "curve.train_change_ratio": _change_ratio("train"),
    "curve.train_gain_ratio": _gain_ratio("train"),
    "curve.train_gain_errors": _gain_errors("train"),
    "curve.train_late_gain_ratio": _late_gain_ratio("train"),
    "curve.train_fall_ratio": _train_fall_ratio,
    "curve.train_wobble_ratio": _wobble_ratio("train"),
    "curve.validation_trend": _trend("validation"),
    "curve.validation_change_ratio": _change_ratio("validation"),
    "curve.gain_ratio": _gain_ratio("validation"),
    "curve.gain_errors": _gain_errors("validation"),
    "curve.gain_per_train_gain_ratio": _relative_gain,
    "curve.late_per_early_gain_ratio": _late_per_early,
    "curve.late_gain_ratio": _late_gain_ratio("validation"),
    "curve.late_gain_errors": _late_gain_errors,
    "curve.best_step": _best_step,
    "curve.best_at_ratio": _best_at_ratio,
    "curve.settled_at_ratio": _settled_at_ratio,
    "curve.rise_ratio": _rise_ratio,
    "curve.rise_errors": _rise_errors,
    "curve.gap_ratio": _gap_ratio,
    "curve.wobble_ratio": _wobble_ratio("validation"),
    "curve.level_wobble_ratio": _level_wobble_ratio("validation"),
    "curve.train_level_wobble_ratio": _level_wobble_ratio("train"),
    "curve.wobble_per_trend": _wobble_per_trend,
    "curve.wobble_per_train_wobble": _wobble_of_both,
    "curve.shortfall_ratio": _shortfall_ratio("validation"),
    "curve.train_shortfall_ratio": _shortfall_ratio("train"),
}
"""Symptom to its measure."""
