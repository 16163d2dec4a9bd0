"""What the boosted trees of every library have in common: codes of classes, rows to stop by, probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_is_fitted

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
OURS = ("n_estimators", "early_stopping", "patience", "categorical_features", "n_jobs", "random_state")
"""Arguments that every library's trees have here; each hands them on in its own way."""


def rows_to_stop_by(target: npt.NDArray[Any], share: float, seed: int, *, is_classes: bool) -> tuple[Rows, Rows] | None:
    """The rows that are learned from and those that tell when to stop, `share` of all; None where too few can be spared.

    Of classes every one of two rows or more is on both sides, and a class of one row is learned. The rows come from those that a
    model is fitted on: those that score it are never seen.
    """
    rows = np.arange(len(target))
    if not is_classes:
        return _parted(rows, None, share, seed) if len(rows) * share >= 2 else None
    _, codes, counts = np.unique(target, return_inverse=True, return_counts=True)
    splits = counts[codes] >= 2
    if splits.sum() * share < max(2, (counts >= 2).sum()):
        return None
    learned, watched = _parted(rows[splits], codes[splits], share, seed)
    return np.sort(np.concatenate([learned, rows[~splits]])), watched


def _parted(rows: Rows, codes: npt.NDArray[Any] | None, share: float, seed: int) -> tuple[Rows, Rows]:
    learned, watched = train_test_split(rows, test_size=share, random_state=seed, stratify=codes)
    return np.sort(learned), np.sort(watched)


class BoostedTrees(BaseEstimator, ABC):  # type: ignore[misc]
    """Boosted trees of one library, fitted in `n_estimators` rounds or until `patience` of them have not helped.

    Columns are numbers, gaps as NaN; those of `categorical_features` hold codes from 0. Nothing is printed, no file is written.
    """

    stops_by = 0.1
    """Share of the rows that tells when to stop. Source: scikit-learn 1.9, HistGradientBoosting's `validation_fraction`."""

    def fit(self, X: Any, y: npt.NDArray[Any], sample_weight: Any = None) -> Self:
        target = self._coded(np.asarray(y))
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        numbers = np.asarray(X, dtype=np.float64)
        is_classes, seed = self._outputs() > 0, int(self.random_state or 0)
        parts = rows_to_stop_by(target, self.stops_by, seed, is_classes=is_classes) if self.early_stopping else None
        learned, watched = parts if parts is not None else (np.arange(len(target)), None)

        def part(rows: Rows) -> tuple[Numbers, npt.NDArray[Any], Numbers | None]:
            return numbers[rows], target[rows], None if weight is None else weight[rows]

        self.n_features_in_ = numbers.shape[1]
        self.model_, self.rounds_ = self._boosted(part(learned), None if watched is None else part(watched))
        return self

    def _arguments(self) -> dict[str, Any]:
        """What the library itself is given of the arguments, by their names there."""
        return {name: value for name, value in self.get_params(deep=False).items() if name not in OURS}

    def _columns(self) -> list[int]:
        """Columns of categories."""
        return list(self.categorical_features or ())

    @abstractmethod
    def _coded(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The target as the library takes it."""

    @abstractmethod
    def _outputs(self) -> int:
        """Number of classes seen; 0 for a number to predict."""

    @abstractmethod
    def _boosted(self, learned: Sequence[Any], watched: Sequence[Any] | None) -> tuple[Any, int]:
        """The library's model and its best number of rounds; each part is features, target and weights or None."""

    @abstractmethod
    def _predicted(self, X: Numbers) -> Numbers:
        """Probabilities ``(rows,)`` of the second of two classes or ``(rows, classes)`` of more; numbers ``(rows,)``."""


class BoostedClassifier(ClassifierMixin, BoostedTrees):  # type: ignore[misc]
    """Boosted trees for classes; where one class only is seen, it is predicted with certainty."""

    def fit(self, X: Any, y: npt.NDArray[Any], sample_weight: Any = None) -> Self:
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            self.model_, self.rounds_ = None, 0
            return self
        return super().fit(X, y, sample_weight)

    def predict_proba(self, X: Any) -> Numbers:
        check_is_fitted(self, "rounds_")
        numbers = np.asarray(X, dtype=np.float64)
        if len(self.classes_) < 2:
            return np.ones((len(numbers), 1))
        p = np.asarray(self._predicted(numbers), dtype=np.float64)
        p = np.column_stack([1 - p, p]) if p.ndim == 1 else p
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def _coded(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.searchsorted(self.classes_, y)

    def _outputs(self) -> int:
        return len(self.classes_)


class BoostedRegressor(RegressorMixin, BoostedTrees):  # type: ignore[misc]
    """Boosted trees for a number."""

    def predict(self, X: Any) -> Numbers:
        check_is_fitted(self, "rounds_")
        return np.asarray(self._predicted(np.asarray(X, dtype=np.float64)), dtype=np.float64).reshape(-1)

    def _coded(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(y, dtype=np.float64)

    def _outputs(self) -> int:
        return 0
