"""The user's own losses, and the network for tables with an L2 strength for each of its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from advisor.core.errors import CannotRunError, InputError
from advisor.core.facts import Column, ColumnKind, Task
from advisor.core.space import Group
from advisor.engines.hypergradient import HypergradientLoop
from advisor.objectives.differentiable import Differentiable
from advisor.objectives.network import TabularNetwork, Training
from advisor.objectives.penalised_network import build_differentiable, table_space, three_splits
from advisor.objectives.pipelines import penalised_part
from advisor.objectives.prepared import Prepared
from advisor.objectives.splitting import read_splits
from advisor.objectives.tables import read_prepared
from tests.fakes.scribes import RecordingScribe
from tests.objectives.tables_of_tests import BY_NAME, NETWORK, mixed, prepared

SMALL = {"layers": 1, "width": 8, "lr": 3e-3}
PLAIN: dict[str, Any] = {
    "start": {"w": torch.zeros(2)},
    "train_loss": lambda p, h: (p["w"] ** 2).sum(),
    "validation_loss": lambda p: p["w"].sum(),
    "second_validation_loss": lambda p: p["w"].sum(),
}


# ----------------------------------------------------------------------------------------------- the user's pair


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"train_loss": 3}, "train_loss is no function"),
        ({"second_validation_loss": None}, "second_validation_loss is no function"),
        ({"test_loss": "x"}, "test_loss is no function"),
        ({"steps": 0}, "0 training steps"),
        ({"optimiser": "adma"}, "unknown optimiser 'adma'.*Did you mean 'adam'"),
        ({"optimiser": "lbfgs", "batches": lambda step: step}, "lbfgs needs all rows"),
        ({"learning_rate": -1.0}, "a learning rate of -1.0"),
        ({"momentum": 1.0}, "a momentum of 1.0"),
    ],
)
def test_a_pair_that_cannot_be_trained_is_refused_with_its_cure(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Differentiable(**{**PLAIN, **changed})
    assert caught.value.where and caught.value.cure


def test_the_third_split_cannot_be_left_out() -> None:
    with pytest.raises(TypeError, match="second_validation_loss"):
        Differentiable(**{k: v for k, v in PLAIN.items() if k != "second_validation_loss"})


def test_a_start_may_depend_on_the_seed_and_a_batch_comes_with_the_step() -> None:
    seen: list[int] = []

    def train_loss(parameters: Any, hyperparameters: Any, batch: int) -> torch.Tensor:
        seen.append(batch)
        return parameters["w"].sum()

    pair = Differentiable(
        **{**PLAIN, "start": lambda seed: {"w": torch.full((2,), float(seed))}, "train_loss": train_loss, "batches": lambda step: 10 * step}
    )
    assert pair.begin(3)["w"].tolist() == [3.0, 3.0]
    pair.train(pair.begin(0), {}, 4)
    assert seen == [40]


# ------------------------------------------------------------------------------------------------ the three splits


def _apart(parts: tuple[Any, ...], ready: Prepared) -> None:
    everything = np.concatenate(parts)
    assert len(np.unique(everything)) == len(everything)
    with np.load(ready.parts) as file:
        assert not np.isin(everything, file["heldout"]).any()


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("folds", [2, 5])
def test_training_and_the_two_validation_splits_share_no_row_and_none_is_held_out(task: Task, folds: int, tmp_path: Path) -> None:
    ready = prepared(tmp_path, task, rows=700, folds=folds)
    parts = three_splits(ready)
    _apart(parts, ready)
    train, first, second = (len(part) for part in parts)
    assert abs(first - second) <= 2
    assert (train, first) == pytest.approx((560 * 3 / 5, 560 / 5) if folds == 5 else (560 / 2, 560 / 4), abs=3)
    if task.is_classification:
        y = read_prepared(Path(ready.table)).y
        shares = [np.bincount(y[part], minlength=3) / len(part) for part in parts]
        assert np.abs(shares[1] - shares[2]).max() < 2.5 / first  # stratified: off by rounding, a row a class


@pytest.mark.parametrize("folds", [2, 5])
def test_a_group_stands_on_one_side_only(folds: int, tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY, rows=700, folds=folds, scheme="group", group="entity")
    parts = three_splits(ready)
    _apart(parts, ready)
    with np.load(ready.parts) as file:
        sets = [set(file["groups"][part].tolist()) for part in parts]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])


def test_the_past_is_trained_on_and_the_latest_chooses(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.REGRESSION, rows=700, scheme="time", time="seen")
    train, first, second = three_splits(ready)
    _apart((train, first, second), ready)
    assert train.max() < first.min() and first.max() < second.min()
    assert second.max() == read_splits(Path(ready.splits))[-1][1].max()


def test_too_few_rows_for_a_third_split_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="a third split would hold"):
        three_splits(prepared(tmp_path, Task.BINARY, rows=160))


# ------------------------------------------------------------------------------------------------ the penalised network


def test_the_penalty_is_half_the_squares_of_each_part_times_its_strength() -> None:
    X = np.column_stack([np.arange(40) % 3, np.random.default_rng(0).normal(size=(40, 2))])
    network = TabularNetwork(layers=1, width=4, categorical_features=[0], normalisation="none")
    training = network.begin(X, np.arange(40) % 2)
    assert isinstance(training, Training)
    assert training.penalised() == ("input_0", "input_1", "input_2", "block_0_1", "block_0_2", "last")
    weights = dict(training.network.named_parameters())
    first, table = weights["first.weight"], weights["embeddings.0.weight"]
    squares = {
        "input_0": (first[:, 2:] ** 2).sum() + (table**2).sum(),
        "input_1": (first[:, 0] ** 2).sum(),
        "input_2": (first[:, 1] ** 2).sum(),
        "block_0_1": (weights["blocks.0.1.weight"] ** 2).sum(),
        "block_0_2": (weights["blocks.0.4.weight"] ** 2).sum(),
        "last": (weights["last.2.weight"] ** 2).sum(),
    }
    for part, expected in squares.items():
        found = training.penalty(weights, {part: torch.tensor(3.0)})
        assert float(found.detach()) == pytest.approx(float(1.5 * expected.detach()), rel=1e-5)
    others = training.penalty(weights, {"input_1": torch.tensor(0.0), "other_inputs": torch.tensor(2.0)})
    assert float(others.detach()) == pytest.approx(float((squares["input_0"] + squares["input_2"]).detach()), rel=1e-5)


def test_a_part_the_network_lacks_cannot_be_penalised() -> None:
    with pytest.raises(InputError, match=r"no part 'input_9' to penalise.*Did you mean 'input_"):
        TabularNetwork(penalties={"input_9": 1.0}).begin(np.zeros((40, 3)), np.arange(40) % 2)


def test_a_fit_with_penalties_shrinks_what_they_name() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 4))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    plain, shrunk = (
        TabularNetwork(width=8, layers=1, epochs=20, lr=3e-2, normalisation="none", penalties=penalties).fit(X, y)
        for penalties in (None, {"input_0": 1.0})
    )
    norms = [network.training_.network.first.weight.norm(dim=0).tolist() for network in (plain, shrunk)]
    assert norms[1][0] < 0.2 * norms[0][0]
    assert norms[1][1] > 0.5 * norms[0][1]


def test_a_hyperparameter_names_the_part_it_is_of() -> None:
    assert penalised_part("l2_input_12_blood_pressure_3") == "input_12"
    assert penalised_part("l2_block_0_1") == "block_0_1"
    assert penalised_part("l2_other_inputs") == "other_inputs"


def test_the_space_has_a_strength_a_column_and_a_layer_and_holds_the_rest(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY, rows=400)
    space = table_space(NETWORK, ready, {**SMALL, "dropout": 0.3})
    assert space.free == (
        "l2_input_0_colour",
        "l2_input_1_blank",
        "l2_input_2_size",
        "l2_input_3_weight",
        "l2_input_4_empty",
        "l2_input_5_grade",
        "l2_input_6_member",
        "l2_other_inputs",
        "l2_block_0_1",
        "l2_block_0_2",
        "l2_last",
    )
    assert all(space.parameters[name].group is Group.REGULARISATION for name in space.free)
    held = {name: value for name, value in space.default().items() if name not in space.free}
    assert held == {**SMALL, "dropout": 0.0, "weight_decay": 0.0, "normalisation": "none"}


@pytest.mark.parametrize("task", list(Task))
def test_the_built_losses_are_those_of_the_network_that_is_shipped(task: Task, tmp_path: Path) -> None:
    ready = prepared(tmp_path, task, rows=400, folds=5, weights="importance")
    pair, space = build_differentiable(ready, NETWORK, config=SMALL, seed=1)
    config = {**space.default(), "l2_input_2_size": 0.5}
    estimator = ready.objective(NETWORK, seed=1).pipeline(config)
    train, first, _ = three_splits(ready)
    table = read_prepared(Path(ready.table))
    X = estimator[0].fit_transform(table.frame[train], table.y[train])
    training = estimator[1].begin(X, table.y[train], table.weight[train])
    rows = torch.arange(len(train))
    expected = training._loss(training._output(rows), rows)
    values = {name: torch.tensor(config[name]) for name in space.free}
    assert float(pair.train(pair.begin(1), values, 0).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    predicted = training.predict(estimator[0].transform(table.frame[first]))
    y, weight = table.y[first], table.weight[first]
    if task is Task.REGRESSION:
        judged = np.average(((predicted - y) / training.scale) ** 2, weights=weight)
    else:
        judged = np.average(-np.log(predicted[np.arange(len(y)), y]), weights=weight)
    assert float(pair.validation_loss(pair.begin(1))) == pytest.approx(float(judged), rel=1e-4)


def test_what_is_found_is_a_configuration_that_the_familys_objective_trains(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = {f"noise {i}": random.normal(size=700) for i in range(10)}
    frame = mixed(700).with_columns(**noise)
    columns = tuple(Column(name=name, kind=ColumnKind.NUMERIC) for name in ("size", *noise))
    ready = prepared(tmp_path, Task.BINARY, frame=frame, columns=columns, folds=5)
    pair, space = build_differentiable(ready, NETWORK, config=SMALL)
    assert len(space.free) == 14
    scribe = RecordingScribe()
    HypergradientLoop(pair, space, outer_steps=4).run(scribe)
    assert scribe.results[2].value < scribe.results[0].value  # type: ignore[operator]
    found = scribe.config(2)
    assert not space.faults(found)
    assert np.isfinite([m.value for m in ready.objective(NETWORK, seed=0)(found)]).all()


def test_many_rows_are_trained_on_in_batches_that_cover_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.objectives.penalised_network.BATCHED_FROM", 100)
    monkeypatch.setattr("advisor.objectives.penalised_network.BATCH", 60)
    pair, _ = build_differentiable(prepared(tmp_path, Task.BINARY, rows=700, folds=5), NETWORK, config=SMALL)
    assert pair.batches is not None and pair.optimiser == "adam"
    epoch = torch.cat([pair.batches(step) for step in range(5)])
    assert len(epoch) == 300 and len(epoch.unique()) == 300
    assert torch.equal(pair.batches(2), pair.batches(2))
    assert not torch.equal(pair.batches(0), pair.batches(5))


def test_a_family_without_such_a_network_is_refused(tmp_path: Path) -> None:
    ready = prepared(tmp_path, Task.BINARY, rows=400)
    with pytest.raises(CannotRunError, match="is no network for tables"):
        build_differentiable(ready, BY_NAME["logistic_regression"])
