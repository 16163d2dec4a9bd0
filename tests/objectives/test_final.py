"""From table to shipped model: preparing, fitting at the end, and what the gain is worth."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from advisor.core.errors import CannotRunError, InputError
from advisor.core.facts import Task
from advisor.core.metrics import METRICS
from advisor.core.outcome import Gain
from advisor.objectives.final import FinalFit, gain, is_settled
from advisor.objectives.model import ShippedModel, load
from advisor.objectives.prepared import Prepared, read_prepared_value
from advisor.objectives.scoring import score
from advisor.objectives.splitting import read_splits
from advisor.objectives.tables import TARGET, read_prepared
from tests.objectives.tables_of_tests import BY_NAME, NETWORK, mixed, prepared

FOREST, LOGISTIC, RIDGE = BY_NAME["random_forest"], BY_NAME["logistic_regression"], BY_NAME["ridge"]


def test_splits_lie_within_the_development_rows_and_labels_keep_their_order(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.MULTICLASS)
    parts = np.load(ready.parts)
    for path in (ready.splits, ready.fresh):
        for train, test in read_splits(Path(path)):
            assert np.isin(np.concatenate([train, test]), parts["development"]).all()
    assert ready.classes == (3, 4, 5)
    frame = mixed(task=Task.MULTICLASS)
    assert [ready.classes[c] for c in read_prepared(Path(ready.table)).y] == frame["target"].to_list()
    assert (ready.development_rows, ready.heldout_rows) == (128, 32)
    assert read_prepared_value(tmp_path) == ready


def test_rows_without_target_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = mixed(100).with_columns(target=pl.when(pl.int_range(100) % 10 == 0).then(pl.lit(" ")).otherwise("target"))
    ready = prepared(tmp_path, Task.BINARY, frame=frame)
    assert (ready.rows, ready.dropped_rows) == (90, 10)
    assert "10 of 100 rows" in ready.notes[0]


def test_a_target_of_words_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no numbers, such as '(yes|no)'"):
        prepared(tmp_path, Task.REGRESSION, frame=mixed(40))


def test_a_target_of_one_value_cannot_be_learned(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="1 distinct"):
        prepared(tmp_path, Task.BINARY, frame=mixed(40).with_columns(target=pl.lit("yes")))


def test_time_sorts_the_rows_and_holds_the_last_ones_out(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.REGRESSION, scheme="time", time="seen")
    seen = read_prepared(Path(ready.table)).frame["seen"]
    assert seen.is_sorted()
    parts = np.load(ready.parts)
    assert parts["development"].max() < parts["heldout"].min()
    assert ready.is_ordered


def test_weights_must_be_numbers_of_at_least_zero(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 weights"):
        prepared(tmp_path, Task.BINARY, weights="importance", frame=mixed(60).with_columns(importance=pl.Series([-1.0] + [1.0] * 59)))


def test_the_final_fit_scores_the_held_out_rows_and_its_model_repeats_the_score(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY)
    final = pickle.loads(pickle.dumps(FinalFit(prepared=ready, family=LOGISTIC, predictions=tmp_path / "p.npz", seed=1)))
    (step,) = list(final({"C": 0.5}))
    model = load(tmp_path / "m", final.save_last(str(tmp_path / "m")))
    heldout = np.load(ready.parts)["heldout"]
    out = model.predict(mixed()[heldout])
    y = read_prepared(Path(ready.table)).y[heldout]
    assert step.value == score(METRICS["log_loss"], y, out.select("probability_no", "probability_yes").to_numpy())
    assert set(out["prediction"]) <= {"yes", "no"}


def test_all_rows_are_learned_with_the_arguments_of_the_refit(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY)
    final = FinalFit(prepared=ready, family=FOREST.model_copy(update={"refit": {"n_estimators": 7}}), rows="all")
    list(final({"min_samples_leaf": 1}))
    model = load(tmp_path / "m", final.save_last(str(tmp_path / "m")))
    assert len(model.pipeline.steps[-1][1].estimators_) == 7


@pytest.mark.parametrize("family", [LOGISTIC, NETWORK], ids=lambda f: f.name)
def test_weights_reach_the_fit_and_the_score(family: object, tmp_path: Path) -> None:
    plain = prepared(tmp_path / "a", Task.BINARY)
    weighed = prepared(tmp_path / "b", Task.BINARY, weights="importance")
    values = [list(p.objective(family, seed=0)({}))[-1].value for p in (plain, weighed)]  # type: ignore[arg-type]
    assert values[0] != values[1]
    ones = prepared(
        tmp_path / "c", Task.BINARY, weights="importance", frame=mixed().with_columns(importance=pl.lit(1.0))
    )  # equal weights change nothing
    assert list(ones.objective(family, seed=0)({}))[-1].value == pytest.approx(values[0], rel=1e-3)  # type: ignore[arg-type]


def _files(folder: Path, ready: Prepared, *configs: tuple[object, dict[str, object]]) -> list[Path]:
    paths = []
    for i, (family, config) in enumerate(configs):
        paths.append(folder / f"{i}.npz")
        list(FinalFit(prepared=ready, family=family, predictions=paths[-1])(config))  # type: ignore[arg-type]
    return paths


def test_a_model_gains_nothing_over_itself(tmp_path: Path) -> None:
    default, tuned = _files(tmp_path, prepared(tmp_path, Task.BINARY), (LOGISTIC, {}), (LOGISTIC, {}))
    found = gain(default, tuned, METRICS["log_loss"])
    assert found == Gain(value=0.0, low=0.0, high=0.0, probability=0.0)
    assert not is_settled(found)


@pytest.mark.parametrize("metric", ["rmse", "r2", "accuracy", "roc_auc", "log_loss"])
def test_a_clear_gain_is_settled_and_positive_whatever_the_direction(metric: str, tmp_path: Path) -> None:
    task = METRICS[metric].tasks[0]
    ready = prepared(tmp_path, task, metric=metric, rows=400)
    poor: tuple[Any, dict[str, Any]] = (RIDGE, {"alpha": 1e6}) if task is Task.REGRESSION else (FOREST, {"max_depth": 1, "n_estimators": 1})
    worse, better = _files(tmp_path, ready, poor, (RIDGE if task is Task.REGRESSION else LOGISTIC, {}))
    found = gain(worse, better, METRICS[metric])
    assert found.low > 0
    assert found.low < found.value < found.high
    assert found.probability > 0.97
    assert is_settled(found)
    assert gain(better, worse, METRICS[metric]).value == -found.value
    assert gain(worse, better, METRICS[metric]) == found


def test_whole_groups_are_drawn_together(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY, scheme="group", group="entity", rows=400)
    default, tuned = _files(tmp_path, ready, (LOGISTIC, {"C": 1e-4}), (LOGISTIC, {}))
    by_group = gain(default, tuned, METRICS["log_loss"])
    with np.load(default) as a, np.load(tuned) as b:
        plain = [tmp_path / "a.npz", tmp_path / "b.npz"]
        for path, arrays in zip(plain, (a, b), strict=True):
            np.savez(path, **{**arrays, "groups": np.empty(0)})
    by_row = gain(*plain, METRICS["log_loss"])
    assert by_group.value == by_row.value
    assert (by_group.low, by_group.high) != (by_row.low, by_row.high)


def test_the_interval_covers_a_true_gain_of_zero_about_nineteen_times_in_twenty(tmp_path: Path) -> None:
    # two models of equal skill: the coverage should be near 0.95; over 100 repetitions its standard error is 0.022, so 0.88 is three away
    random, covered = np.random.default_rng(0), 0
    for _ in range(100):
        y = random.normal(size=300)
        paths = []
        for name in ("a", "b"):
            paths.append(tmp_path / f"{name}.npz")
            np.savez(
                paths[-1],
                rows=np.arange(300),
                y=y,
                predicted=y + random.normal(size=300),
                weight=np.empty(0),
                groups=np.empty(0),
                is_ordered=np.asarray(False),
            )
        covered += not is_settled(gain(*paths, METRICS["rmse"], draws=300))
    assert covered >= 88


def test_models_scored_on_other_rows_cannot_be_compared(tmp_path: Path) -> None:
    a = _files(tmp_path, prepared(tmp_path / "a", Task.BINARY), (LOGISTIC, {}))[0].rename(tmp_path / "a.npz")
    b = _files(tmp_path, prepared(tmp_path / "b", Task.BINARY, seed=5), (LOGISTIC, {}))[0]
    with pytest.raises(InputError, match="different rows"):
        gain(a, b, METRICS["log_loss"])


def test_a_model_file_that_was_changed_is_refused_unread(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY)
    objective = ready.objective(LOGISTIC, seed=0)
    next(objective({}))
    path = tmp_path / "model"
    digest = objective.save_last(str(path))
    assert isinstance(load(path, digest), ShippedModel)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError, match="not the one that the run wrote"):
        load(path, digest)
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "absent", digest)


def test_new_rows_with_gaps_unseen_categories_and_no_rows_at_all_are_predicted(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY)
    for family in BY_NAME.values():
        if Task.BINARY not in family.estimators:
            continue
        final = FinalFit(prepared=ready, family=family)
        list(final({}))
        model = load(tmp_path / "m", final.save_last(str(tmp_path / "m")))
        new = mixed(30, seed=4)
        hollow = new.select(pl.lit(None).cast(dtype).alias(name) for name, dtype in new.schema.items() if name != "target")
        odd = new.with_columns(
            colour=pl.lit("violet"), town=pl.lit("nowhere"), blank=pl.lit("now filled"), empty=pl.lit(3.0), extra=pl.lit(1)
        )
        for table in (hollow, odd, new.clear()):
            out = model.predict(table)
            assert out.height == table.height
            assert out.columns == ["prediction", "probability_no", "probability_yes"]
            assert np.isfinite(out.select("probability_no", "probability_yes").to_numpy()).all()
    with pytest.raises(InputError, match="'size'"):
        model.predict(new.drop("size"))


def test_numbers_beyond_reach_become_gaps_or_are_clipped(tmp_path: Path) -> None:
    frame = mixed(80, task=Task.REGRESSION).with_columns(weight=pl.Series([float("inf"), 1e300, float("nan")] + [1.0] * 77))
    ready = prepared(tmp_path, Task.REGRESSION, frame=frame)
    assert read_prepared(Path(ready.table)).frame["weight"].to_list()[:3] == [None, 1e37, None]
    assert TARGET not in read_prepared(Path(ready.table)).frame.columns
