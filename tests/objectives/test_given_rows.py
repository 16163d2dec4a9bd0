"""Files of rows on the way to trials: which rows are learned, scored and held out, and how given rows are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest

from advisor.core.errors import CannotRunError, InputError
from advisor.core.facts import GivenRows, Task
from advisor.core.plan import GIVEN_REFITS
from advisor.objectives.final import FinalFit
from advisor.objectives.prepared import Prepared, prepare
from advisor.objectives.splitting import fresh_seed, given_splits, read_splits
from advisor.objectives.tables import read_prepared
from tests.objectives.tables_of_tests import BY_NAME, COLUMNS, METRIC, dataset, mixed, plan

VALID, TEST = (GivenRows(source=name, fingerprint=name, rows=60) for name in ("valid.csv", "test.csv"))


def three(
    folder: Path, task: Task = Task.BINARY, *, valid: pl.DataFrame | None = None, test: pl.DataFrame | None = None, **validation: Any
) -> Prepared:
    """160 rows of data, with files beside them as far as they are handed over."""
    frame, planned = mixed(task=task), plan(task, METRIC[task], columns=COLUMNS, **validation)
    apart = (planned.validation.group, planned.validation.time)
    used = list(dict.fromkeys([*planned.features, "target", *(n for n in apart if n is not None)]))
    beside: dict[str, Any] = {name: None if rows is None else rows.select(used) for name, rows in (("valid", valid), ("test", test))}
    planned = planned.model_copy(update={"valid": VALID if valid is not None else None, "test": TEST if test is not None else None})
    return prepare(frame, dataset(frame, task, COLUMNS), planned, folder, **beside)


def given(folder: Path, task: Task = Task.BINARY, **validation: Any) -> Prepared:
    """Data with both files."""
    return three(
        folder,
        task,
        valid=mixed(60, task=task, seed=1),
        test=mixed(50, task=task, seed=2),
        **{"scheme": "given", "folds": 1, "heldout_ratio": 0.0, **validation},
    )


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
def test_all_of_the_data_are_learned_and_each_file_has_its_part(task: Task, tmp_path: Path) -> None:
    ready = given(tmp_path, task)
    parts = np.load(ready.parts)
    ((train, scored),) = read_splits(Path(ready.splits))
    assert train.tolist() == parts["development"].tolist() == list(range(160))
    assert scored.tolist() == list(range(160, 220))
    assert parts["heldout"].tolist() == list(range(220, 270))
    assert parts["learned"].tolist() == list(range(220)), "rows to test on are learned by no model"
    assert (ready.development_rows, ready.heldout_rows, ready.is_heldout_given) == (220, 50, True)
    table = read_prepared(Path(ready.table))
    told = [ready.classes[c] for c in table.y] if ready.classes else table.y.tolist()
    assert told == [*mixed(task=task)["target"], *mixed(60, task=task, seed=1)["target"], *mixed(50, task=task, seed=2)["target"]]


def test_without_a_test_file_a_part_of_the_data_is_held_out(tmp_path: Path) -> None:
    ready = three(tmp_path, valid=mixed(60, seed=1), scheme="given", folds=1, heldout_ratio=0.2)
    parts = np.load(ready.parts)
    assert len(parts["heldout"]) == 32 and parts["heldout"].max() < 160
    assert parts["learned"].tolist() == list(range(220))
    assert not ready.is_heldout_given


def test_without_a_file_to_validate_on_the_data_are_split_as_ever(tmp_path: Path) -> None:
    ready = three(tmp_path, test=mixed(50, seed=2), heldout_ratio=0.0)
    pairs = read_splits(Path(ready.splits))
    assert len(pairs) == 3
    assert sorted(np.concatenate([test for _, test in pairs]).tolist()) == list(range(160))
    assert ready.fresh_seeds == ()


def test_the_rarer_class_is_that_of_the_data_whatever_the_files_hold(tmp_path: Path) -> None:
    before = three(tmp_path / "a", heldout_ratio=0.2).classes
    flipped = mixed(60, seed=1).with_columns(target=pl.lit(before[1]))
    assert three(tmp_path / "b", valid=flipped, scheme="given", folds=1, heldout_ratio=0.2).classes == before


def test_a_label_that_the_data_do_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no row whose 'target' is 'maybe'") as caught:
        three(tmp_path, test=mixed(50).with_columns(target=pl.lit("maybe")), heldout_ratio=0.0)
    assert caught.value.where == "--test"


def test_a_plan_for_given_rows_without_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="no rows to validate on"):
        three(tmp_path, scheme="given", folds=1)


def test_each_file_stands_in_time_order_after_the_one_before(tmp_path: Path) -> None:
    ready = given(tmp_path, Task.REGRESSION, time="seen")
    seen = read_prepared(Path(ready.table)).frame["seen"]
    assert isinstance(seen, pl.Series)
    assert all(seen[a:b].is_sorted() for a, b in ((0, 160), (160, 220), (220, 270)))
    assert ready.is_ordered


def test_the_confirm_stage_refits_with_fresh_seeds_on_draws_that_hold_every_row_equally_often(tmp_path: Path) -> None:
    ready = given(tmp_path)
    draws = read_splits(Path(ready.fresh))
    assert len(draws) == len(set(ready.fresh_seeds)) == GIVEN_REFITS
    assert all(train.tolist() == list(range(160)) for train, _ in draws)
    assert draws[0][1].tolist() != draws[1][1].tolist()
    assert np.bincount(np.concatenate([scored for _, scored in draws]))[160:].tolist() == [GIVEN_REFITS] * 60


def test_the_seeds_of_the_refits_reach_the_model(tmp_path: Path) -> None:
    ready = given(tmp_path)
    forest = BY_NAME["random_forest"]
    fresh = ready.objective(forest, seed=0, is_fresh=True)
    assert [fresh.pipeline({}, step)["model"].random_state for step in (1, 2)] == list(ready.fresh_seeds)
    assert ready.objective(forest, seed=5).pipeline({}, 1)["model"].random_state == 5


def test_a_trial_is_the_fit_on_the_data_scored_on_the_files_rows(tmp_path: Path) -> None:
    from sklearn.metrics import log_loss

    ready = given(tmp_path)
    objective = ready.objective(BY_NAME["logistic_regression"], seed=0)
    (measured,) = list(objective({}))
    table = read_prepared(Path(ready.table))
    model = objective.pipeline({}).fit(table.frame[:160], table.y[:160])
    assert measured.value == pytest.approx(log_loss(table.y[160:220], model.predict_proba(table.frame[160:220])), rel=1e-12)


def test_the_last_fit_learns_from_all_but_the_rows_to_test_on(tmp_path: Path) -> None:
    ready = given(tmp_path)
    counts: dict[Literal["development", "all"], int] = {"development": 160, "all": 220}
    for rows, count in counts.items():
        fit = FinalFit(prepared=ready, family=BY_NAME["knn"], rows=rows, predictions=tmp_path / "p.npz")
        list(fit({}))
        assert fit._last is not None and fit._last["model"].n_samples_fit_ == count
    list(FinalFit(prepared=ready, family=BY_NAME["knn"], predictions=tmp_path / "p.npz")({}))
    assert np.load(tmp_path / "p.npz")["rows"].tolist() == list(range(220, 270))


def test_draws_keep_classes_groups_and_blocks_together() -> None:
    y = np.array([0] * 30 + [1] * 30 + [0] * 30)
    development, scoring = np.arange(30), np.arange(30, 90)
    for _, drawn in given_splits(development, scoring, y, draws=4):
        assert np.bincount(y[drawn]).tolist() == [30, 30]
    groups = np.repeat(np.arange(18), 5)
    for _, drawn in given_splits(development, scoring, y.astype(float), draws=4, groups=groups):
        assert set(np.bincount(drawn)[np.unique(drawn)]) <= {1, 2, 3, 4}
        assert all(len(set(np.bincount(drawn, minlength=90)[groups == g])) == 1 for g in range(18))
    for _, drawn in given_splits(development, scoring, y.astype(float), draws=4, is_ordered=True):
        times = np.bincount(drawn, minlength=90)[30:]
        assert all(len(set(times[start : start + 4])) == 1 for start in range(0, 60, 4))


def test_where_a_draw_would_lose_a_class_the_rows_stay_as_they_are() -> None:
    y, groups = np.array([0] * 40 + [1]), np.arange(41)
    pairs = given_splits(np.arange(20), np.arange(20, 41), y, draws=3, groups=groups, seed=1)
    assert all(scored.tolist() == list(range(20, 41)) for _, scored in pairs)


def test_the_largest_seed_has_fresh_ones() -> None:
    assert 0 <= fresh_seed(2**32 - 1, 1) < 2**32
