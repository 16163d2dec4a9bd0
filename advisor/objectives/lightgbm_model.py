"""LightGBM's boosted trees as scikit-learn estimators: seeded, silent, stopped by rows of the training part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightgbm

from advisor.objectives.boosting import BoostedClassifier, BoostedRegressor, BoostedTrees, Numbers


class LightGBMTrees(BoostedTrees):
    """What classes and numbers have in common. Arguments are LightGBM's own; bags are drawn anew for every tree."""

    def __init__(
        self,
        *,
        learning_rate: float = 0.1,
        num_leaves: int = 31,
        min_data_in_leaf: int = 20,
        feature_fraction: float = 1.0,
        bagging_fraction: float = 1.0,
        extra_trees: bool = False,
        lambda_l1: float = 0.0,
        lambda_l2: float = 0.0,
        cat_l2: float = 10.0,
        cat_smooth: float = 10.0,
        max_cat_to_onehot: int = 4,
        min_data_per_group: int = 100,
        n_estimators: int = 100,
        early_stopping: bool = False,
        patience: int = 50,
        categorical_features: Sequence[int] | None = None,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_data_in_leaf = min_data_in_leaf
        self.feature_fraction = feature_fraction
        self.bagging_fraction = bagging_fraction
        self.extra_trees = extra_trees
        self.lambda_l1 = lambda_l1
        self.lambda_l2 = lambda_l2
        self.cat_l2 = cat_l2
        self.cat_smooth = cat_smooth
        self.max_cat_to_onehot = max_cat_to_onehot
        self.min_data_per_group = min_data_per_group
        self.n_estimators = n_estimators
        self.early_stopping = early_stopping
        self.patience = patience
        self.categorical_features = categorical_features
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _settings(self) -> dict[str, Any]:
        outputs = self._outputs()
        goal = {0: {"objective": "regression"}, 2: {"objective": "binary"}}.get(outputs, {"objective": "multiclass", "num_class": outputs})
        fixed = {"bagging_freq": 1, "seed": self.random_state, "num_threads": self.n_jobs, "verbosity": -1}
        return {**self._arguments(), **goal, **fixed, "deterministic": True, "force_col_wise": True}

    def _boosted(self, learned: Sequence[Any], watched: Sequence[Any] | None) -> tuple[Any, int]:
        settings = self._settings()

        def told(part: Sequence[Any], like: Any = None) -> Any:
            X, y, weight = part
            columns: Any = self._columns() or "auto"
            return lightgbm.Dataset(X, label=y, weight=weight, categorical_feature=columns, reference=like, params=settings)

        rows = told(learned)
        more: dict[str, Any] = {}
        if watched is not None:
            stop = lightgbm.early_stopping(self.patience, verbose=False)
            more = {"valid_sets": [told(watched, rows)], "callbacks": [stop]}
        model = lightgbm.train(settings, rows, num_boost_round=self.n_estimators, **more)
        return model, model.best_iteration if watched is not None else model.current_iteration()

    def _predicted(self, X: Numbers) -> Numbers:
        found: Numbers = self.model_.predict(X, num_iteration=self.rounds_, num_threads=self.n_jobs)
        return found


class LightGBMClassifier(BoostedClassifier, LightGBMTrees):
    """LightGBM for classes."""


class LightGBMRegressor(BoostedRegressor, LightGBMTrees):
    """LightGBM for a number."""
