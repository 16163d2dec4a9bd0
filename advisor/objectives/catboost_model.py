"""CatBoost's boosted trees as scikit-learn estimators: seeded, silent, without files, stopped by rows of the training part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import catboost
import numpy as np

from advisor.objectives.boosting import BoostedClassifier, BoostedRegressor, BoostedTrees, Numbers

AUTOMATIC = "automatic"
"""CatBoost sets the learning rate itself, from rows and rounds."""


class CatBoostTrees(BoostedTrees):
    """What classes and numbers have in common. Arguments are CatBoost's own but for `rate`: ``automatic``, or ``set`` to `learning_rate`.

    Bags are drawn by Bernoulli, boosting is plain and numbers have 254 borders, so that every task is trained alike.
    """

    def __init__(
        self,
        *,
        rate: str = AUTOMATIC,
        learning_rate: float = 0.03,
        depth: int = 6,
        l2_leaf_reg: float = 3.0,
        subsample: float = 0.8,
        colsample_bylevel: float = 1.0,
        grow_policy: str = "SymmetricTree",
        one_hot_max_size: int = 2,
        max_ctr_complexity: int = 4,
        model_size_reg: float = 0.5,
        n_estimators: int = 1000,
        early_stopping: bool = False,
        patience: int = 50,
        categorical_features: Sequence[int] | None = None,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.rate = rate
        self.learning_rate = learning_rate
        self.depth = depth
        self.l2_leaf_reg = l2_leaf_reg
        self.subsample = subsample
        self.colsample_bylevel = colsample_bylevel
        self.grow_policy = grow_policy
        self.one_hot_max_size = one_hot_max_size
        self.max_ctr_complexity = max_ctr_complexity
        self.model_size_reg = model_size_reg
        self.n_estimators = n_estimators
        self.early_stopping = early_stopping
        self.patience = patience
        self.categorical_features = categorical_features
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _settings(self) -> dict[str, Any]:
        outputs = self._outputs()
        settings: dict[str, Any] = {
            "loss_function": {0: "RMSE", 2: "Logloss"}.get(outputs, "MultiClass"),
            "depth": self.depth,
            "l2_leaf_reg": self.l2_leaf_reg,
            "bootstrap_type": "Bernoulli",
            "subsample": self.subsample,
            "rsm": self.colsample_bylevel,
            "grow_policy": self.grow_policy,
            "boosting_type": "Plain",
            "border_count": 254,
            "iterations": self.n_estimators,
            "random_seed": self.random_state,
            "thread_count": self.n_jobs,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        if self.rate != AUTOMATIC:
            settings["learning_rate"] = self.learning_rate
        if self._columns():
            settings |= {
                "one_hot_max_size": self.one_hot_max_size,
                "max_ctr_complexity": self.max_ctr_complexity,
                "model_size_reg": self.model_size_reg,
            }
        return settings

    def _told(self, X: Numbers, y: Any = None, weight: Any = None) -> Any:
        columns = self._columns()
        if not columns:
            return catboost.Pool(X, label=y, weight=weight, thread_count=self.n_jobs)
        numbers = np.ascontiguousarray(np.delete(X, columns, axis=1), dtype=np.float32)
        codes = np.where(np.isnan(X[:, columns]), -1, X[:, columns]).astype(np.int64)
        names = np.array([str(code).encode() for code in range(-1, codes.max(initial=0) + 1)], dtype=object)
        data = catboost.FeaturesData(num_feature_data=numbers if numbers.size else None, cat_feature_data=names[codes + 1])
        return catboost.Pool(data, label=y, weight=weight, thread_count=self.n_jobs)

    def _boosted(self, learned: Sequence[Any], watched: Sequence[Any] | None) -> tuple[Any, int]:
        more: dict[str, Any] = {}
        if watched is not None:
            more = {"eval_set": self._told(*watched), "early_stopping_rounds": self.patience, "use_best_model": True}
        model = catboost.CatBoost(self._settings()).fit(self._told(*learned), **more)
        return model, int(model.tree_count_)

    def _predicted(self, X: Numbers) -> Numbers:
        outputs = self._outputs()
        kind = "Probability" if outputs else "RawFormulaVal"
        found: Numbers = self.model_.predict(self._told(X), prediction_type=kind, thread_count=self.n_jobs)
        return found[:, 1] if outputs == 2 else found


class CatBoostClassifier(BoostedClassifier, CatBoostTrees):
    """CatBoost for classes."""


class CatBoostRegressor(BoostedRegressor, CatBoostTrees):
    """CatBoost for a number."""
