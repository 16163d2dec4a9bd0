"""XGBoost's boosted trees as scikit-learn estimators: seeded, silent, stopped by rows of the training part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xgboost

from advisor.objectives.boosting import BoostedClassifier, BoostedRegressor, BoostedTrees, Numbers


class XGBoostTrees(BoostedTrees):
    """What classes and numbers have in common. Arguments are XGBoost's own; `max_leaves` counts where trees grow by loss only."""

    def __init__(
        self,
        *,
        learning_rate: float = 0.3,
        max_depth: int = 6,
        min_child_weight: float = 1.0,
        subsample: float = 1.0,
        colsample_bylevel: float = 1.0,
        colsample_bynode: float = 1.0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 1.0,
        grow_policy: str = "depthwise",
        max_leaves: int = 0,
        max_delta_step: float = 0.0,
        n_estimators: int = 100,
        early_stopping: bool = False,
        patience: int = 50,
        categorical_features: Sequence[int] | None = None,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.min_child_weight = min_child_weight
        self.subsample = subsample
        self.colsample_bylevel = colsample_bylevel
        self.colsample_bynode = colsample_bynode
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.grow_policy = grow_policy
        self.max_leaves = max_leaves
        self.max_delta_step = max_delta_step
        self.n_estimators = n_estimators
        self.early_stopping = early_stopping
        self.patience = patience
        self.categorical_features = categorical_features
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _settings(self) -> dict[str, Any]:
        outputs = self._outputs()
        goal = {0: {"objective": "reg:squarederror"}, 2: {"objective": "binary:logistic"}}.get(
            outputs, {"objective": "multi:softprob", "num_class": outputs}
        )
        return {**self._arguments(), **goal, "tree_method": "hist", "seed": self.random_state, "nthread": self.n_jobs, "verbosity": 0}

    def _told(self, X: Numbers, y: Any = None, weight: Any = None) -> Any:
        kinds = ["q"] * X.shape[1]
        for column in self._columns():
            kinds[column] = "c"
        return xgboost.DMatrix(X, label=y, weight=weight, feature_types=kinds, enable_categorical=True, nthread=self.n_jobs)

    def _boosted(self, learned: Sequence[Any], watched: Sequence[Any] | None) -> tuple[Any, int]:
        more: dict[str, Any] = {}
        if watched is not None:
            more = {"evals": [(self._told(*watched), "watched")], "early_stopping_rounds": self.patience}
        rows = self._told(*learned)
        model = xgboost.train(self._settings(), rows, num_boost_round=self.n_estimators, verbose_eval=False, **more)
        return model, model.best_iteration + 1 if watched is not None else model.num_boosted_rounds()

    def _predicted(self, X: Numbers) -> Numbers:
        self.model_.set_param({"nthread": self.n_jobs})
        found: Numbers = self.model_.predict(self._told(X), iteration_range=(0, self.rounds_))
        return found


class XGBoostClassifier(BoostedClassifier, XGBoostTrees):
    """XGBoost for classes."""


class XGBoostRegressor(BoostedRegressor, XGBoostTrees):
    """XGBoost for a number."""
