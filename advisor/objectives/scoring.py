"""Metrics become scorers over a fixed set of classes, losses a row, and scores under any weights of the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics as library

from advisor.core.errors import AdvisorError
from advisor.core.metrics import Metric

Numbers = npt.NDArray[np.float64]


class DivergedError(AdvisorError):
    """A model gave numbers that are not finite."""


@dataclass(frozen=True)
class FoldScorer:
    """A scikit-learn scorer of one metric: ``scorer(estimator, X, y, sample_weight=None)``, larger is better.

    `classes` is the number of classes of the whole table, so that a fold whose training part lacks one scores the same
    set of labels; `y` holds their codes. It gives what scikit-learn's scorer of that name gives wherever both are defined.
    """

    metric: Metric
    classes: int

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        return self.metric.sign * score(self.metric, np.asarray(y), predict(estimator, X, self.metric, self.classes), sample_weight)


def scorer(metric: Metric, classes: int) -> FoldScorer:
    """A scorer for `metric` over `classes` classes (0 for regression); signed so that larger is better."""
    return FoldScorer(metric, classes)


def predict(estimator: Any, X: Any, metric: Metric, classes: int) -> Numbers:
    """What `metric` needs of a fitted estimator: probabilities ``(rows, classes)``, label codes or numbers ``(rows,)``.

    A class that the estimator has not seen gets probability 0.

    Raises: DivergedError when a number is not finite.
    """
    if metric.needs != "probability":
        found = np.asarray(estimator.predict(X), dtype=np.float64).reshape(-1)
    else:
        found = expand(np.asarray(estimator.predict_proba(X), dtype=np.float64), np.asarray(estimator.classes_), classes)
    if not np.isfinite(found).all():
        raise DivergedError("the model predicts numbers that are not finite", cure="Lower the learning rate or regularise more.")
    return found


def expand(probability: Numbers, seen: npt.NDArray[Any], classes: int) -> Numbers:
    """`probability` ``(rows, seen classes)`` as ``(rows, classes)``, with 0 for classes that were not seen."""
    if probability.shape[1] == classes:
        return probability
    full = np.zeros((len(probability), classes))
    full[:, seen.astype(np.intp)] = probability
    return full


def score(metric: Metric, y: npt.NDArray[Any], predicted: Numbers, weight: Any = None) -> float:
    """The metric in its natural direction. `y` holds class codes or numbers; `predicted` is what `predict` gives.

    The area under ROC of several classes averages the classes that occur; RMSLE counts a prediction below 0 as 0.

    Raises: AdvisorError when the rows hold one class only and the metric needs two.
    """
    return float(_SCORES[metric.name](y, predicted, weight))


def _log_loss(y: Any, p: Numbers, w: Any) -> Any:
    return library.log_loss(y, p, sample_weight=w, labels=np.arange(p.shape[1]))


def _brier(y: Any, p: Numbers, w: Any) -> Any:
    if p.shape[1] == 2:
        return library.brier_score_loss(y, p[:, 1], sample_weight=w, pos_label=1, labels=[0, 1])
    return library.brier_score_loss(y, p, sample_weight=w, labels=np.arange(p.shape[1]))


def _roc_auc(y: Any, p: Numbers, w: Any) -> Any:
    present = np.unique(y)
    if len(present) < 2:
        raise AdvisorError("the scored rows hold one class only", where="roc_auc", cure="Use fewer folds, or log_loss.")
    if p.shape[1] == 2:
        return library.roc_auc_score(y, p[:, 1], sample_weight=w)
    if len(present) == p.shape[1] and w is None:
        return library.roc_auc_score(y, p, multi_class="ovr", labels=np.arange(p.shape[1]))
    return np.mean([library.roc_auc_score(y == k, p[:, int(k)], sample_weight=w) for k in present])


def _average_precision(y: Any, p: Numbers, w: Any) -> Any:
    if not (y == 1).any():
        raise AdvisorError("the scored rows hold no positive row", where="average_precision", cure="Use fewer folds, or log_loss.")
    return library.average_precision_score(y, p[:, 1], sample_weight=w)


_SCORES: dict[str, Callable[[Any, Numbers, Any], Any]] = {
    "log_loss": _log_loss,
    "brier": _brier,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "accuracy": lambda y, p, w: library.accuracy_score(y, p, sample_weight=w),
    "balanced_accuracy": lambda y, p, w: library.balanced_accuracy_score(y, p, sample_weight=w),
    "f1": lambda y, p, w: library.f1_score(y, p, average="macro", sample_weight=w, zero_division=0),
    "rmse": lambda y, p, w: library.root_mean_squared_error(y, p, sample_weight=w),
    "mae": lambda y, p, w: library.mean_absolute_error(y, p, sample_weight=w),
    "rmsle": lambda y, p, w: library.root_mean_squared_log_error(y, np.maximum(p, 0), sample_weight=w),
    "r2": lambda y, p, w: library.r2_score(y, p, sample_weight=w),
}


def row_losses(metric: Metric, y: npt.NDArray[Any], predicted: Numbers) -> Numbers | None:
    """One loss a row whose weighted mean makes the metric (for RMSE and RMSLE its square); None where it does not decompose."""
    rows = np.arange(len(y))
    match metric.name:
        case "log_loss":
            tiny = np.finfo(predicted.dtype).eps
            return np.asarray(-np.log(np.clip(predicted[rows, y.astype(np.intp)], tiny, 1 - tiny)), dtype=np.float64)
        case "brier":
            half = 0.5 if predicted.shape[1] == 2 else 1.0
            return np.asarray(half * ((predicted - np.eye(predicted.shape[1])[y.astype(np.intp)]) ** 2).sum(axis=1))
        case "accuracy":
            return np.asarray(y != predicted, dtype=np.float64)
        case "rmse":
            return np.asarray((y - predicted) ** 2, dtype=np.float64)
        case "mae":
            return np.asarray(np.abs(y - predicted), dtype=np.float64)
        case "rmsle":
            return np.asarray((np.log1p(y) - np.log1p(np.maximum(predicted, 0))) ** 2, dtype=np.float64)
        case _:
            return None


def resampled(metric: Metric, y: npt.NDArray[Any], predicted: Numbers) -> Callable[[Numbers], Numbers]:
    """A function from weights ``(draws, rows)`` to scores ``(draws,)``, in the natural direction; NaN where a draw has no score.

    Ranks are sorted once and confusion counted a cell, so that 2,000 draws of 10,000 rows take seconds.
    """
    losses = row_losses(metric, y, predicted)
    if losses is not None:
        return lambda w: _finish(metric.name, (w @ losses) / w.sum(axis=1))
    match metric.name:
        case "roc_auc":
            columns = [1] if predicted.shape[1] == 2 else range(predicted.shape[1])
            areas = [_weighted_area(y == k, predicted[:, k]) for k in columns]
            return lambda w: _mean_where_defined([area(w) for area in areas])
        case "average_precision":
            return _weighted_precision(y == 1, predicted[:, 1])
        case "balanced_accuracy" | "f1":
            return _weighted_confusion(metric.name, y.astype(np.intp), predicted.astype(np.intp))
        case "r2":
            squares = (y - predicted) ** 2

            def r2(w: Numbers) -> Numbers:
                total = w.sum(axis=1)
                spread = w @ (y**2) - (w @ y) ** 2 / total
                with np.errstate(divide="ignore", invalid="ignore"):
                    return np.asarray(np.where(spread > 0, 1 - (w @ squares) / spread, np.nan))

            return r2
        case _:
            raise ValueError(f"no resampling of {metric.name}")


def _finish(name: str, mean: Numbers) -> Numbers:
    if name in ("rmse", "rmsle"):
        return np.asarray(np.sqrt(mean))
    return 1 - mean if name == "accuracy" else mean


def _mean_where_defined(areas: list[Numbers]) -> Numbers:
    stacked = np.stack(areas)
    defined = np.isfinite(stacked)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, stacked, 0).sum(axis=0) / defined.sum(axis=0))


def _tied_ends(ordered: Numbers) -> npt.NDArray[np.intp]:
    """Index of the last row of each run of equal values."""
    return np.asarray(np.flatnonzero(np.append(np.diff(ordered) != 0, True)))


def _weighted_area(positive: npt.NDArray[np.bool_], ranked_by: Numbers) -> Callable[[Numbers], Numbers]:
    order = np.argsort(-ranked_by, kind="stable")
    ends, hit = _tied_ends(ranked_by[order]), positive[order].astype(np.float64)

    def area(w: Numbers) -> Numbers:
        sorted_weights = w[:, order]
        zero = np.zeros((len(w), 1))
        true = np.hstack([zero, np.cumsum(sorted_weights * hit, axis=1)[:, ends]])
        false = np.hstack([zero, np.cumsum(sorted_weights * (1 - hit), axis=1)[:, ends]])
        under = ((false[:, 1:] - false[:, :-1]) * (true[:, 1:] + true[:, :-1]) / 2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(under / (true[:, -1] * false[:, -1]))

    return area


def _weighted_precision(positive: npt.NDArray[np.bool_], ranked_by: Numbers) -> Callable[[Numbers], Numbers]:
    order = np.argsort(-ranked_by, kind="stable")
    ends, hit = _tied_ends(ranked_by[order]), positive[order].astype(np.float64)

    def precision(w: Numbers) -> Numbers:
        sorted_weights = w[:, order]
        true = np.cumsum(sorted_weights * hit, axis=1)[:, ends]
        every = np.cumsum(sorted_weights, axis=1)[:, ends]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(every > 0, true / every, 0.0)
            recall = true / true[:, -1:]
            return np.asarray((np.diff(recall, axis=1, prepend=0.0) * share).sum(axis=1))

    return precision


def _weighted_confusion(name: str, y: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp]) -> Callable[[Numbers], Numbers]:
    k = int(max(y.max(), predicted.max())) + 1
    cell = y * k + predicted

    def value(w: Numbers) -> Numbers:
        counts = np.stack([np.bincount(cell, weights=row, minlength=k * k) for row in w]).reshape(len(w), k, k)
        right = np.einsum("dii->di", counts)
        true, said = counts.sum(axis=2), counts.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            if name == "balanced_accuracy":
                defined, each = true > 0, right / true
            else:
                defined, each = (true + said) > 0, 2 * right / (true + said)
            return np.asarray(np.where(defined, each, 0).sum(axis=1) / defined.sum(axis=1))

    return value
