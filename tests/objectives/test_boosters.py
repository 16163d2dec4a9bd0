"""LightGBM, XGBoost and CatBoost: seeded, silent, stopped by rows of the training part, without files left behind."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from advisor.core.facts import Task
from advisor.core.space import Choice
from advisor.objectives.boosting import rows_to_stop_by
from advisor.objectives.model import load
from advisor.objectives.pipelines import estimator_class
from advisor.rulebook.loading import load_rulebook
from tests.objectives.tables_of_tests import mixed, prepared

LIBRARIES = ("lightgbm", "xgboost", "catboost")
BOOK = load_rulebook()


def estimator(library: str, task: Task, **given: Any) -> Any:
    return estimator_class(BOOK.families[library], task)(**{"n_estimators": 20, **given})


def rows(classes: int, *, count: int = 400, seed: int = 0) -> tuple[Any, Any]:
    """Numbers with gaps and one column of five codes; three numbers and the code decide the target."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(count, 5))
    X[:, 0] = random.integers(0, 5, size=count)
    signal = X[:, 1] + X[:, 2] * X[:, 3] + (X[:, 0] == 3) + random.normal(scale=0.3, size=count)
    X[random.random(X.shape) < 0.05] = np.nan
    return X, signal if classes == 0 else np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes))


KINDS = [(Task.BINARY, 2), (Task.MULTICLASS, 4), (Task.REGRESSION, 0)]


def told(model: Any, X: Any) -> Any:
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("task", "classes"), KINDS)
@pytest.mark.parametrize("columns", [None, [0]])
def test_the_same_seed_gives_the_same_model_before_and_after_a_file(library: str, task: Task, classes: int, columns: Any) -> None:
    X, y = rows(classes)
    model = estimator(library, task, early_stopping=True, categorical_features=columns).fit(X[:300], y[:300])
    again = clone(model).fit(X[:300], y[:300])
    kept = pickle.loads(pickle.dumps(model))
    assert np.array_equal(told(model, X[300:]), told(again, X[300:]))
    assert np.array_equal(told(model, X[300:]), told(kept, X[300:]))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("task", "classes"), KINDS)
def test_it_learns_more_than_a_constant(library: str, task: Task, classes: int) -> None:
    X, y = rows(classes, count=1000)
    model = estimator(library, task, n_estimators=60, categorical_features=[0]).fit(X[:700], y[:700])
    if classes:
        assert model.predict_proba(X[700:]).sum(axis=1) == pytest.approx(1, abs=1e-6)
    # A constant scores 0 for numbers, and 1 / classes for classes of equal size, give or take 0.03 with 300 rows.
    assert model.score(X[700:], y[700:]) > (1 / classes + 0.2 if classes else 0.4)


@pytest.mark.parametrize("library", LIBRARIES)
def test_labels_may_be_text_and_one_class_alone_is_certain(library: str) -> None:
    X, y = rows(2)
    names = np.where(y == 1, "yes", "no")
    model = estimator(library, Task.BINARY).fit(X, names)
    assert list(model.classes_) == ["no", "yes"]
    assert set(model.predict(X)) == {"no", "yes"}
    alone = estimator(library, Task.BINARY).fit(X[:20], np.array(["yes"] * 20))
    assert alone.predict_proba(X[:3]).tolist() == [[1.0]] * 3


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_category_that_was_never_seen_is_predicted_like_any_other(library: str) -> None:
    X, y = rows(2)
    model = estimator(library, Task.BINARY, categorical_features=[0]).fit(X, y)
    new = X[:50].copy()
    new[:25, 0], new[25:, 0] = 17.0, np.nan
    assert np.isfinite(model.predict_proba(new)).all()


@pytest.mark.parametrize("library", LIBRARIES)
def test_heavy_rows_draw_the_model_to_them(library: str) -> None:
    X, y = rows(2, count=120)
    heavy = np.where(y == 1, 50.0, 1.0)
    plain, weighed = estimator(library, Task.BINARY).fit(X, y), estimator(library, Task.BINARY).fit(X, y, heavy)
    assert weighed.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean() + 0.03


@pytest.mark.parametrize("library", LIBRARIES)
def test_it_stops_by_rows_of_its_own_and_keeps_the_best_round(library: str) -> None:
    """Labels that nothing explains: more rounds only get worse, so that it stops at once."""
    X, _ = rows(2)
    y = np.random.default_rng(1).integers(0, 2, size=len(X))
    stopped = estimator(library, Task.BINARY, n_estimators=400, early_stopping=True, patience=10).fit(X, y)
    assert stopped.rounds_ < 200


def test_the_rows_to_stop_by_hold_every_class_that_can_be_divided() -> None:
    target = np.array([0] * 60 + [1] * 39 + [2])
    parts = rows_to_stop_by(target, 0.1, 0, is_classes=True)
    assert parts is not None
    learned, watched = parts
    assert set(target[learned]) == {0, 1, 2}, "a class of one row is learned"
    assert set(target[watched]) == {0, 1}
    assert sorted([*learned, *watched]) == list(range(100))
    assert rows_to_stop_by(np.arange(8) % 4, 0.1, 0, is_classes=True) is None, "no class could be on both sides"


@pytest.mark.parametrize(("library", "title"), [("lightgbm", "LightGBM"), ("xgboost", "XGBoost"), ("catboost", "CatBoost")])
def test_nothing_is_printed_no_file_is_left_and_no_other_library_loaded(library: str, title: str, tmp_path: Path) -> None:
    script = (
        f"import sys\nimport numpy as np\nfrom advisor.objectives.{library}_model import {title}Classifier, {title}Regressor\n"
        f"assert [n for n in {LIBRARIES!r} if n in sys.modules] == [{library!r}]\n"
        "X = np.random.default_rng(0).normal(size=(60, 3)); X[:, 0] = np.arange(60) % 3\n"
        f"for kind, y in (({title}Classifier, X[:, 1] > 0), ({title}Regressor, X[:, 1])):\n"
        "    kind(n_estimators=20, early_stopping=True, categorical_features=[0]).fit(X, y).predict(X)\n"
    )
    root = str(Path(__file__).parent.parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_text_gaps_and_categories_pass_through_training_saving_and_loading(library: str, tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY, rows=160)
    family = BOOK.families[library]
    short = family.model_copy(update={"fixed": {**family.fixed, "n_estimators": 5}})
    objective = ready.objective(short, seed=0)
    assert [m.step for m in objective(family.space.default())] == [1, 2, 3]
    model = load(tmp_path / "model", objective.save_last(str(tmp_path / "model")))
    table = mixed(25, seed=3)
    assert model.predict(table)["prediction"].is_in(["yes", "no"]).all()


def test_what_only_categories_need_is_conditional_or_frozen_and_the_rounds_are_never_searched() -> None:
    for library in LIBRARIES:
        space = BOOK.families[library].space
        assert "n_estimators" not in space.parameters
        assert BOOK.families[library].fixed["early_stopping"] is True
    leaves = BOOK.families["xgboost"].space.parameters["max_leaves"]
    assert leaves.when == {"grow_policy": ("lossguide",)}
    rate = BOOK.families["catboost"].space.parameters["rate"]
    assert isinstance(rate, Choice)
    assert rate.default == "automatic"
