"""Scores against scikit-learn's own scorers, with every class and without one, and under any weights of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer

from advisor.core.errors import AdvisorError
from advisor.core.facts import Task
from advisor.core.metrics import METRICS
from advisor.objectives.scoring import DivergedError, expand, predict, resampled, row_losses, score, scorer

CASES = [(m, task) for m in METRICS.values() for task in m.tasks]
IDS = [f"{m.name}-{task}" for m, task in CASES]


def _fitted(task: Task) -> tuple[object, np.ndarray, np.ndarray, int]:
    random = np.random.default_rng(0)
    X = random.normal(size=(90, 3))
    signal = X[:, 0] + random.normal(size=90)
    if task is Task.REGRESSION:
        y = np.exp(signal)
        return Ridge().fit(X, y), X, y, 0
    y = np.digitize(signal, [0] if task is Task.BINARY else [-0.5, 0.5])
    return LogisticRegression().fit(X, y), X, y, int(y.max()) + 1


@pytest.mark.parametrize(("metric", "task"), CASES, ids=IDS)
def test_a_score_means_what_the_scorer_of_that_name_means(metric: object, task: Task) -> None:
    model, X, y, classes = _fitted(task)
    if metric.name == "rmsle":  # type: ignore[attr-defined]
        model = DummyRegressor().fit(X, y)
    expected = get_scorer(metric.scorer)(model, X, y)  # type: ignore[attr-defined]
    assert scorer(metric, classes)(model, X, y) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("metric", "task"), CASES, ids=IDS)
def test_resampled_scores_equal_the_score_of_the_repeated_rows(metric: object, task: Task) -> None:
    model, X, y, classes = _fitted(task)
    predicted = np.round(predict(model, X, metric, classes), 2)  # type: ignore[arg-type]  # ties on purpose
    if predicted.ndim == 2:
        predicted[:, 0] = 1 - predicted[:, 1:].sum(axis=1)
    times = np.random.default_rng(1).integers(0, 3, size=(4, len(y)))
    found = resampled(metric, y, predicted)(times.astype(float))  # type: ignore[arg-type]
    for i, row in enumerate(times):
        assert found[i] == pytest.approx(score(metric, np.repeat(y, row), np.repeat(predicted, row, axis=0)), rel=1e-9)  # type: ignore[arg-type]
        assert found[i] == pytest.approx(score(metric, y, predicted, row), rel=1e-9)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["log_loss", "brier", "accuracy", "mae", "rmse", "rmsle"])
def test_losses_a_row_make_up_the_metric(name: str) -> None:
    metric = METRICS[name]
    model, X, y, classes = _fitted(metric.tasks[-1])
    predicted = predict(model, X, metric, classes)
    losses = row_losses(metric, y, predicted)
    assert losses is not None
    mean = losses.mean()
    made = {"accuracy": 1 - mean, "rmse": mean**0.5, "rmsle": mean**0.5}.get(name, mean)
    assert made == pytest.approx(score(metric, y, predicted), rel=1e-12)


def test_a_class_that_was_not_seen_has_probability_zero_and_the_labels_stay() -> None:
    model = LogisticRegression().fit(np.arange(6).reshape(-1, 1), [0, 0, 0, 2, 2, 2])
    p = predict(model, np.arange(6).reshape(-1, 1), METRICS["log_loss"], 4)
    assert p.shape == (6, 4)
    assert (p[:, [1, 3]] == 0).all()
    assert np.isfinite(score(METRICS["log_loss"], np.array([0, 1, 2, 3, 0, 2]), p))
    assert expand(p, np.arange(4), 4) is p


def test_an_area_needs_two_classes_and_says_so() -> None:
    with pytest.raises(AdvisorError, match="one class only"):
        score(METRICS["roc_auc"], np.zeros(3), np.full((3, 2), 0.5))


def test_an_area_of_several_classes_averages_those_that_occur() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    assert score(METRICS["roc_auc"], np.array([0, 1, 0]), p) == 1.0


def test_predictions_that_are_not_finite_are_refused() -> None:
    class Broken:
        def predict(self, X: object) -> np.ndarray:
            return np.array([1.0, np.nan])

    with pytest.raises(DivergedError):
        predict(Broken(), None, METRICS["rmse"], 0)


def test_a_negative_prediction_counts_as_zero_for_rmsle() -> None:
    assert score(METRICS["rmsle"], np.array([0.0, 0.0]), np.array([-0.5, -3.0])) == 0.0
