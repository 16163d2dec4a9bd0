"""The objective of tables against scikit-learn's own cross-validation."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import check_cv, cross_val_score
from sklearn.model_selection._search_successive_halving import _SubsampleMetaSplitter

from advisor.core.errors import InputError
from advisor.core.facts import Task
from advisor.core.family import Family
from advisor.core.metrics import METRICS, Metric
from advisor.objectives import tables
from advisor.objectives.model import load
from advisor.objectives.scoring import scorer
from advisor.objectives.splitting import read_splits
from advisor.objectives.tables import read_prepared
from tests.objectives.tables_of_tests import BY_NAME, CASES, mixed, prepared


def _id(value: Any) -> str:
    return value.name if isinstance(value, Family) else str(value)


@pytest.mark.parametrize(("family", "task"), CASES, ids=_id)
def test_fold_scores_equal_cross_val_score_to_the_bit(family: Family, task: Task, tmp_path: Path) -> None:
    ready = prepared(tmp_path, task)
    objective = ready.objective(family, seed=3)
    table = read_prepared(Path(ready.table))
    expected = cross_val_score(
        objective.pipeline({}),
        table.frame,
        table.y,
        cv=read_splits(Path(ready.splits)),
        scoring=scorer(METRICS[ready.metric], len(ready.classes)),
        error_score="raise",
    )
    for _ in range(2):  # the second time the preprocessed folds come from the cache
        found = list(objective({}))
        assert [-m.score for m in found if m.score is not None] == list(expected)
    assert [m.step for m in found] == [1, 2, 3]
    assert found[-1].value == pytest.approx(-expected.mean(), rel=1e-12)
    assert objective.last_fit_seconds > 0


def test_a_worker_gets_the_objective_without_the_rows(tmp_path: Path) -> None:
    objective = prepared(tmp_path, Task.BINARY).objective(BY_NAME["logistic_regression"], seed=0)
    expected = [m.value for m in objective({"C": 2.0})]
    sent = pickle.dumps(objective)
    assert len(sent) < 10_000
    assert [m.value for m in pickle.loads(sent)({"C": 2.0})] == expected


@pytest.mark.parametrize("weights", [None, "importance"])
@pytest.mark.parametrize("task", list(Task))
def test_scores_on_some_of_the_rows_equal_those_on_the_librarys_subsamples_to_the_bit(
    task: Task, weights: str | None, tmp_path: Path
) -> None:
    ready = prepared(tmp_path, task, weights=weights, rows=300)
    objective = ready.objective(BY_NAME["random_forest"], seed=3).with_rows(77, seed=11)
    table = read_prepared(Path(ready.table))
    halves = _SubsampleMetaSplitter(
        base_cv=check_cv(read_splits(Path(ready.splits))), fraction=77 / ready.development_rows, subsample_test=True, random_state=11
    )
    expected, score = [], scorer(METRICS[ready.metric], len(ready.classes))
    for train, test in halves.split(None, None):
        given = {} if table.weight is None else {"model__sample_weight": table.weight[train]}
        model = objective.pipeline({}).fit(table.frame[train], table.y[train], **given)
        expected.append(score(model, table.frame[test], table.y[test], None if table.weight is None else table.weight[test]))
    assert [-m.score for m in objective({}) if m.score is not None] == expected
    assert [len(train) for train, _ in objective.pairs()] == [51, 51, 51]


def test_a_worker_gets_the_rows_it_is_to_use(tmp_path: Path) -> None:
    whole = prepared(tmp_path, Task.BINARY).objective(BY_NAME["random_forest"], seed=0)
    part = whole.with_rows(60)
    expected = [m.value for m in part({})]
    assert [m.value for m in pickle.loads(pickle.dumps(part))({})] == expected
    assert [m.value for m in whole({})] != expected
    assert (whole.rows, part.rows, part.rows_seed) == (None, 60, 0)


def test_preprocessing_is_not_shared_between_parts_of_the_rows(tmp_path: Path) -> None:
    whole = prepared(tmp_path, Task.BINARY).objective(BY_NAME["logistic_regression"], seed=0)
    parts = (whole, whole.with_rows(50), whole.with_rows(50, seed=1), whole.with_rows(100))
    alone = []
    for part in parts:
        tables._folds.clear()
        alone.append([m.value for m in part({})])
    assert [[m.value for m in part({})] for part in parts] == alone
    assert len({tuple(values) for values in alone}) == 4


def test_a_smaller_part_of_the_rows_lies_within_a_larger_one(tmp_path: Path) -> None:
    whole = prepared(tmp_path, Task.BINARY).objective(BY_NAME["ridge"], seed=4)
    for smaller, larger, every in zip(whole.with_rows(40).pairs(), whole.with_rows(90).pairs(), whole.pairs(), strict=True):
        for few, more, most in zip(smaller, larger, every, strict=True):
            assert set(few) < set(more) < set(most)


def test_more_rows_than_a_split_divides_are_refused(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY)
    for rows in (0, ready.development_rows + 1):
        with pytest.raises(InputError, match=f"{rows} rows were asked for where a split has {ready.development_rows}"):
            next(ready.objective(BY_NAME["random_forest"], seed=0).with_rows(rows)({}))


def test_stopping_after_a_fold_leaves_a_model_that_can_be_saved(tmp_path: Path) -> None:
    objective = prepared(tmp_path, Task.REGRESSION).objective(BY_NAME["ridge"], seed=0)
    running = objective({})
    first = next(running)
    running.close()  # type: ignore[attr-defined]
    assert first.value == first.score
    model = load(tmp_path / "m", objective.save_last(str(tmp_path / "m")))
    assert model.predict(mixed(10)).columns == ["prediction"]


def test_a_model_cannot_be_saved_before_any_fold(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no trial"):
        prepared(tmp_path, Task.REGRESSION).objective(BY_NAME["ridge"], seed=0).save_last(str(tmp_path / "m"))


def test_fits_that_did_not_converge_are_counted(tmp_path: Path) -> None:
    objective = prepared(tmp_path, Task.BINARY).objective(BY_NAME["logistic_regression"], seed=0)
    list(objective({"max_iter": 1}))
    assert objective.last_unconverged == 3
    list(objective({"C": 0.01}))
    assert objective.last_unconverged == 0


def test_folds_that_do_not_fit_into_the_cache_are_made_again_with_equal_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = prepared(tmp_path, Task.BINARY).objective(BY_NAME["logistic_regression"], seed=0)
    whole = [m.value for m in objective({})]
    tables._folds.clear()
    monkeypatch.setattr(tables, "CACHE_BYTES", 60_000)
    assert [m.value for m in objective({})] == whole == [m.value for m in objective({})]
    assert 0 < sum(f.size for f in tables._folds.values()) <= 60_000


def test_two_families_do_not_share_their_preprocessing(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY)
    alone = {}
    for name in ("logistic_regression", "random_forest", "hist_gradient_boosting"):
        tables._folds.clear()
        alone[name] = [m.value for m in ready.objective(BY_NAME[name], seed=0)({})]
    for name, values in alone.items():
        assert [m.value for m in ready.objective(BY_NAME[name], seed=0)({})] == values
    scaled = [m.value for m in ready.objective(BY_NAME["logistic_regression"], seed=0)({"scaler": "quantile"})]
    assert scaled != alone["logistic_regression"]


def test_a_margin_without_probabilities_is_calibrated_only_where_the_score_needs_it(tmp_path: Path) -> None:
    for metric, is_calibrated in (("log_loss", True), ("accuracy", False)):
        objective = prepared(tmp_path / metric, Task.BINARY, metric=metric).objective(BY_NAME["svc"], seed=0)
        assert hasattr(objective.pipeline({}), "predict_proba") is is_calibrated
        assert np.isfinite([m.value for m in objective({})]).all()


def test_an_unknown_argument_names_the_nearest(tmp_path: Path) -> None:
    objective = prepared(tmp_path, Task.REGRESSION).objective(BY_NAME["ridge"], seed=0)
    with pytest.raises(InputError, match="Did you mean 'alpha'"):
        next(objective({"alhpa": 1.0}))


@pytest.mark.parametrize("metric", [m for m in METRICS.values() if Task.BINARY in m.tasks], ids=lambda m: m.name)
def test_every_score_of_two_classes_has_its_own_direction(metric: Metric, tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY, metric=metric.name, rows=240)
    good, poor = (list(ready.objective(BY_NAME["logistic_regression"], seed=0)({"C": c}))[-1].value for c in (1.0, 1e-6))
    assert metric.sign * good > metric.sign * poor


def test_tables_are_scored_without_loading_torch() -> None:
    code = "import sys, advisor.objectives.final, advisor.objectives.network_objective; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
