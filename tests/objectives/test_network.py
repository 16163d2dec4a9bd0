"""The network: equal to scikit-learn's loop, resumable to the bit, and clear when it diverges."""

from __future__ import annotations

import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.model_selection import cross_val_score

from advisor.core.errors import InputError
from advisor.core.facts import Task
from advisor.core.metrics import METRICS
from advisor.objectives.model import load
from advisor.objectives.network import TabularNetwork, Training, batch_size_for
from advisor.objectives.network_objective import NetworkObjective
from advisor.objectives.scoring import DivergedError, scorer
from advisor.objectives.splitting import read_splits
from advisor.objectives.tables import read_prepared
from tests.objectives.tables_of_tests import NETWORK, mixed, prepared

CONFIG = {"lr": 3e-3, "width": 16, "layers": 2, "dropout": 0.2, "weight_decay": 1e-3}


def _objective(folder: Path, task: Task, **changed: object) -> NetworkObjective:
    found = prepared(folder, task, **changed).objective(NETWORK, seed=1)  # type: ignore[arg-type]
    assert isinstance(found, NetworkObjective)
    return found


@pytest.mark.parametrize("task", list(Task))
def test_lockstep_ends_with_the_scores_of_cross_val_score(task: Task, tmp_path: Path) -> None:
    ready = prepared(tmp_path, task)
    objective = ready.objective(NETWORK, seed=1)
    table = read_prepared(Path(ready.table))
    expected = cross_val_score(
        objective.pipeline(CONFIG),
        table.frame,
        table.y,
        cv=read_splits(Path(ready.splits)),
        scoring=scorer(METRICS[ready.metric], len(ready.classes)),
        error_score="raise",
    )
    steps = list(objective(CONFIG))
    assert [m.step for m in steps] == [1, 2, 3, 4]
    assert list(objective.last_scores) == list(-expected)
    assert steps[-1].value == pytest.approx(-expected.mean(), rel=1e-12)
    assert steps[-1].score is None


def test_on_some_of_the_rows_it_trains_and_scores_on_their_share_of_each_split(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY)
    part = ready.objective(NETWORK, seed=1).with_rows(60)
    table = read_prepared(Path(ready.table))
    expected = cross_val_score(
        part.pipeline(CONFIG),
        table.frame,
        table.y,
        cv=part.pairs(),
        scoring=scorer(METRICS[ready.metric], len(ready.classes)),
        error_score="raise",
    )
    assert [m.step for m in part(CONFIG)] == [1, 2, 3, 4]
    assert list(part.last_scores) == list(-expected)
    assert [len(train) + len(test) for train, test in part.pairs()] == [59, 59, 59]


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.REGRESSION])
def test_going_on_from_a_checkpoint_equals_never_having_stopped(task: Task, tmp_path: Path) -> None:
    objective = _objective(tmp_path, task)
    whole = [m.value for m in objective(CONFIG)]
    first = list(islice(objective(CONFIG), 2))
    state = pickle.loads(pickle.dumps(first[-1].checkpoint()))
    np.random.seed(5)
    rest = list(objective(CONFIG, state))
    assert [m.step for m in rest] == [3, 4]
    assert [m.value for m in first + rest] == whole


def test_a_checkpoint_goes_on_under_another_learning_rate(tmp_path: Path) -> None:
    objective = _objective(tmp_path, Task.BINARY)
    running = objective(CONFIG)
    state = next(running).checkpoint()
    same = next(running).value
    changed = next(objective({**CONFIG, "lr": 1e-2}, state))
    assert changed.step == 2
    assert changed.value != same


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    objective = _objective(tmp_path, Task.BINARY)
    state = next(objective(CONFIG)).checkpoint()
    with pytest.raises(InputError, match="another network"):
        next(objective({**CONFIG, "width": 24}, state))


def test_a_network_that_diverges_says_so_and_yields_nothing_that_is_not_finite(tmp_path: Path) -> None:
    objective = _objective(tmp_path, Task.REGRESSION)
    values = []
    with pytest.raises(DivergedError, match=r"diverged: .*Lower the learning rate"):
        values += [m.value for m in objective({**CONFIG, "lr": 1e30})]
    assert np.isfinite(values).all()


def test_the_model_of_a_trial_predicts_new_rows_with_gaps_and_unseen_categories(tmp_path: Path) -> None:
    objective = _objective(tmp_path, Task.MULTICLASS)
    list(objective(CONFIG))
    model = load(tmp_path / "model.bin", objective.save_last(str(tmp_path / "model.bin")))
    new = mixed(20, task=Task.MULTICLASS, seed=9).with_columns(colour=pl.lit("violet"), weight=pl.lit(None, dtype=pl.Float64))
    out = model.predict(new)
    assert set(out["prediction"]) <= {3, 4, 5}
    assert out.select(pl.sum_horizontal(pl.selectors.starts_with("probability_"))).to_series().to_list() == pytest.approx([1.0] * 20)
    assert "numbers" not in model.pipeline.steps[-1][1].training_.__dict__  # the rows of the training are not shipped
    assert load(tmp_path / "again.bin", model.save(tmp_path / "again.bin")).predict(new).equals(out)


def test_rows_of_weight_zero_do_not_count() -> None:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 3)), random.normal(size=60)
    weight = (np.arange(60) < 30).astype(float)
    network = TabularNetwork(task="regression", epochs=2, batch_size=60, width=8, normalisation="none", dropout=0.0)
    expected = network.fit(X, y, weight).predict(X)
    spoiled = np.where(weight > 0, y, 1e3)
    assert network.fit(X, spoiled, weight).predict(X) == pytest.approx(expected, rel=1e-4, abs=1e-5)  # float32 arithmetic


def test_the_batch_follows_the_rows_by_powers_of_two() -> None:
    assert [batch_size_for(n) for n in (10, 41, 1280, 10_000, 10**7)] == [32, 32, 32, 256, 2048]


def test_training_leaves_the_generators_outside_alone() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    X = np.random.default_rng(0).normal(size=(20, 2))
    training = TabularNetwork(epochs=1, width=4).begin(X, (X[:, 0] > 0).astype(int))
    training.run_epoch()
    assert isinstance(training, Training)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.gpu
def test_a_network_learns_on_the_accelerator_and_its_model_is_read_without_one(tmp_path: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no CUDA device")
    ready = prepared(tmp_path, Task.BINARY)
    objective = ready.objective(NETWORK, seed=1, device="cuda")
    on_cpu = [m.value for m in ready.objective(NETWORK, seed=1)(CONFIG)]
    steps = list(objective(CONFIG))
    assert [m.value for m in steps] == pytest.approx(on_cpu, abs=0.1)  # other generators draw other batches
    state = steps[1].checkpoint()
    assert next(iter(state["folds"][0]["network"].values())).device.type == "cpu"
    model = load(tmp_path / "m", objective.save_last(str(tmp_path / "m")))
    assert next(model.pipeline.steps[-1][1].training_.network.parameters()).device.type == "cpu"


def test_a_course_trains_as_one_that_is_stopped_and_gone_on_from_under_another_configuration(tmp_path: Path) -> None:
    objective = _objective(tmp_path, Task.BINARY)
    later = {"lr": 1e-2, "dropout": 0.0, "weight_decay": 1e-1}
    first = list(islice(objective(CONFIG), 2))
    rest = list(objective({**CONFIG, **later}, first[-1].checkpoint()))
    in_one = list(objective({**CONFIG, "course": [[2, later]]}))
    assert [m.value for m in in_one] == [m.value for m in first + rest]
    assert [m.value for m in in_one] != [m.value for m in objective(CONFIG)]
