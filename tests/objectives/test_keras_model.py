"""Keras models as objectives: epochs are steps, checkpoints go on exactly, and rows kept apart score.

Keras takes 5 to 20 s to import, once a process; models here have a few hundred weights.
"""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import cloudpickle
import numpy as np
import pytest

from advisor.core.errors import InputError
from advisor.core.ports import Measurement, ModelObjective
from advisor.core.space import Choice, Config, Float, Int
from advisor.objectives.keras_model import KerasObjective
from advisor.objectives.scoring import DivergedError

keras = pytest.importorskip("keras")
pytest.importorskip("keras_tuner")

# Keras's torch backend converts its tensors with a call that NumPy 2 discourages.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner"),
]

CONFIG: Config = {"rate": 0.01, "units": 16, "dropout": 0.3}


def rows(count: int = 240, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Points in eight dimensions and which of three regions they lie in."""
    X = np.random.default_rng(seed).normal(size=(count, 8)).astype("float32")
    return X, (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0.5)


def build(config: Config) -> Any:
    """A model with every kind of state: moving averages, random layers, an optimizer with momentum and a count."""
    model = keras.Sequential(
        [
            keras.layers.Dense(config["units"], activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(config["dropout"]),
            keras.layers.GaussianNoise(0.1),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(config["rate"]), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def build_scheduled(config: Config) -> Any:
    """A learning rate that falls with the optimizer's count of batches."""
    model = build(config)
    schedule = keras.optimizers.schedules.CosineDecay(config["rate"], decay_steps=20)
    model.compile(optimizer=keras.optimizers.SGD(schedule, momentum=0.9), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def build_with_hp(hp: Any) -> Any:
    layers = hp.Int("layers", 1, 3)
    model = keras.Sequential([keras.Input((8,))])
    for number in range(layers):
        model.add(keras.layers.Dense(hp.Int(f"units_{number}", 4, 16, step=4), activation=hp.Choice("activation", ["relu", "tanh"])))
    if hp.Boolean("is_dropping"):
        with hp.conditional_scope("is_dropping", [True]):
            model.add(keras.layers.Dropout(hp.Float("dropout", 0.1, 0.5)))
    kind = hp.Choice("optimizer", ["sgd", "adam"])
    rate = hp.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-2)
    with hp.conditional_scope("optimizer", ["sgd"]):
        momentum = hp.Float("momentum", 0.0, 0.9)
    model.add(keras.layers.Dense(hp.Fixed("classes", 3), activation="softmax"))
    chosen = keras.optimizers.SGD(rate, momentum=momentum) if kind == "sgd" else keras.optimizers.Adam(rate)
    model.compile(optimizer=chosen, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def curve(measurements: Any) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in measurements]


def kept_at(objective: KerasObjective, config: Config, epoch: int) -> Any:
    """The checkpoint of an epoch, as another process would read it; the training is closed after it, as by the supervisor."""
    training = objective(config)
    measurement = next(itertools.islice(training, epoch - 1, None))
    kept = pickle.loads(pickle.dumps(measurement.checkpoint()))
    training.close()
    return kept


def test_every_epoch_is_a_step_and_its_value_is_what_fit_reports() -> None:
    data, held = rows(), rows(80, seed=1)
    objective = KerasObjective(build, data, epochs=2, metric="val_accuracy", validation=held, batch_size=64)
    assert curve(objective(CONFIG)) == curve(objective(CONFIG))
    measured = list(objective(CONFIG))
    assert all(isinstance(m, Measurement) for m in measured)
    assert [m.step for m in measured] == [1, 2]
    scored = objective._last.evaluate(*held, verbose=0, return_dict=True, batch_size=64)
    assert measured[-1].value == scored["accuracy"]


@pytest.mark.parametrize("builder", [build, build_scheduled])
def test_going_on_from_a_checkpoint_equals_never_having_stopped_to_the_bit(builder: Any) -> None:
    objective = KerasObjective(builder, rows(), epochs=4)
    whole = curve(objective(CONFIG))
    weights = [keras.ops.convert_to_numpy(v) for v in objective._last.variables]
    kept = kept_at(objective, CONFIG, 2)
    elsewhere = cloudpickle.loads(cloudpickle.dumps(objective))
    assert curve(elsewhere(CONFIG, kept)) == whole[2:]
    for variable, value in zip(elsewhere._last.variables, weights, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(variable), value)


def test_a_checkpoint_does_not_change_when_training_goes_on() -> None:
    objective = KerasObjective(build, rows(), epochs=3)
    training = objective(CONFIG)
    kept = next(training).checkpoint()
    before = pickle.dumps(kept)
    rest = curve(training)
    assert pickle.dumps(kept) == before
    assert curve(objective(CONFIG, kept)) == rest


def test_a_continuation_trains_under_the_learning_rate_it_is_given() -> None:
    objective = KerasObjective(build, rows(), epochs=3)
    kept = kept_at(objective, CONFIG, 1)
    list(objective({**CONFIG, "rate": 0.5}, kept))
    assert float(objective._last.optimizer.learning_rate) == pytest.approx(0.5)
    assert int(objective._last.optimizer.iterations) == 3 * 6  # 192 rows of 240 in batches of 32


def test_a_checkpoint_of_another_model_is_refused() -> None:
    objective = KerasObjective(build, rows(), epochs=2)
    with pytest.raises(InputError, match="another shape"):
        next(objective({**CONFIG, "units": 8}, kept_at(objective, CONFIG, 1)))


def test_the_rows_kept_apart_are_a_share_of_each_class_and_the_same_in_every_process() -> None:
    X, y = rows(200)
    y[:] = np.arange(200) % 10 == 0
    objective = KerasObjective(build, (X, y), epochs=1, validation=0.25)
    train, held = objective._split()
    assert (len(train.x), len(held.x)) == (150, 50)
    assert held.y.sum() == 5
    assert not {row.tobytes() for row in train.x} & {row.tobytes() for row in held.x}
    again = cloudpickle.loads(cloudpickle.dumps(objective))._split()[1]
    assert np.array_equal(again.x, held.x)


def test_targets_that_are_no_classes_are_divided_as_they_come() -> None:
    X, _ = rows(100)
    objective = KerasObjective(build, (X, X[:, 0]), epochs=1, validation=0.2)
    assert len(objective._split()[1].y) == 20
    lonely = np.array([0] * 99 + [1])
    assert len(KerasObjective(build, (X, lonely), epochs=1)._split()[1].y) == 20


def test_rows_come_from_a_file_whose_test_rows_are_never_read(tmp_path: Path) -> None:
    X, y = rows(60)
    np.savez(tmp_path / "rows.npz", x_train=X, y_train=y, x_test=np.full((9, 8), np.nan), y_test=np.zeros(9))
    objective = KerasObjective(build, tmp_path / "rows.npz", epochs=1)
    train, held = objective._split()
    assert len(train.x) + len(held.x) == 60
    assert len(cloudpickle.dumps(objective)) < 20_000
    np.savez(tmp_path / "other.npz", images=X)
    with pytest.raises(InputError, match=r"holds images.*Name its arrays"):
        KerasObjective(build, tmp_path / "other.npz", epochs=1)._split()
    with pytest.raises(InputError, match="cannot be read"):
        KerasObjective(build, tmp_path / "absent.npz", epochs=1)._split()


def test_several_inputs_and_weights_of_rows_are_taken() -> None:
    X, y = rows(96)

    def two_inputs(config: Config) -> Any:
        left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
        out = keras.layers.Dense(3, activation="softmax")(keras.layers.Concatenate()([left, right]))
        model = keras.Model({"left": left, "right": right}, out)
        model.compile(optimizer=keras.optimizers.SGD(config["rate"]), loss="sparse_categorical_crossentropy")
        return model

    inputs = {"left": X[:, :4], "right": X[:, 4:]}
    even = curve(KerasObjective(two_inputs, (inputs, y), epochs=2)({"rate": 0.1}))
    weighted = curve(KerasObjective(two_inputs, (inputs, y, np.where(y == 0, 9.0, 1.0)), epochs=2)({"rate": 0.1}))
    assert len(even) == len(weighted) == 2
    assert even != weighted


def test_the_batch_size_may_be_a_parameter() -> None:
    objective = KerasObjective(build, rows(), epochs=1, batch_size="batch")
    list(objective({**CONFIG, "batch": 96}))
    assert int(objective._last.optimizer.iterations) == 2
    with pytest.raises(InputError, match="no parameter is named 'batch'"):
        next(objective(CONFIG))


def test_the_last_model_is_saved_as_one_that_predicts_the_same(tmp_path: Path) -> None:
    import joblib

    objective = KerasObjective(build, rows(), epochs=1)
    assert isinstance(objective, ModelObjective)
    with pytest.raises(InputError, match="no trial has run"):
        objective.save_last(str(tmp_path / "model.joblib"))
    list(objective(CONFIG))
    objective.save_last(str(tmp_path / "model.joblib"))
    X = rows(20, seed=5)[0]
    assert np.array_equal(joblib.load(tmp_path / "model.joblib").predict(X, verbose=0), objective._last.predict(X, verbose=0))


def test_a_hypermodels_space_is_found_whole() -> None:
    space = KerasObjective(build_with_hp, rows(), epochs=1).space
    assert dict(space.items()) == {
        "layers": Int(1, 3, default=1),
        "units_0": Choice([4, 8, 12, 16], default=4),
        "activation": Choice(["relu", "tanh"], default="relu"),
        "is_dropping": Choice([False, True], default=False),
        "optimizer": Choice(["sgd", "adam"], default="sgd"),
        "rate": Float(1e-4, 1e-1, log=True, default=1e-2),
        "momentum": Float(0.0, 0.9, default=0.0, when={"optimizer": ("sgd",)}),
        "classes": Choice([3], default=3),
        "units_1": Choice([4, 8, 12, 16], default=4),
        "units_2": Choice([4, 8, 12, 16], default=4),
        "dropout": Float(0.1, 0.5, default=0.1, when={"is_dropping": (True,)}),
    }


def test_a_hypermodel_is_built_from_a_configuration_of_its_space() -> None:
    import keras_tuner

    class Model(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> Any:
            return build_with_hp(hp)

    config = {"layers": 2, "units_0": 12, "activation": "tanh", "is_dropping": True, "optimizer": "adam", "rate": 0.05}
    config |= {"classes": 3, "units_1": 8, "units_2": 16, "dropout": 0.4}
    objective = KerasObjective(Model(), rows(), epochs=1)
    assert not objective.space.faults(config)
    assert len(curve(objective(config))) == 1
    assert [layer.units for layer in objective._last.layers if hasattr(layer, "units")] == [12, 8, 3]
    assert float(objective._last.optimizer.learning_rate) == pytest.approx(0.05)
    assert [layer.rate for layer in objective._last.layers if hasattr(layer, "rate")] == [0.4]


def test_what_a_space_cannot_hold_is_refused_with_the_cure() -> None:
    def reversed_scale(hp: Any) -> None:
        hp.Float("momentum", 0.1, 0.99, sampling="reverse_log")

    def twice(hp: Any) -> None:
        hp.Choice("kind", ["a", "b"])
        with hp.conditional_scope("kind", ["a"]):
            hp.Int("size", 1, 4)
        with hp.conditional_scope("kind", ["b"]):
            hp.Int("size", 1, 9)

    def broken(hp: Any) -> None:
        hp.Sort("kind")

    with pytest.raises(InputError, match=r"1 - x"):
        _ = KerasObjective(reversed_scale, rows(), epochs=1).space
    with pytest.raises(InputError, match=r"does not tell.*Give the space"):
        _ = KerasObjective(build, rows(), epochs=1).space
    with pytest.raises(InputError, match=r"build\(hp\) fails:.*Sort"):
        _ = KerasObjective(broken, rows(), epochs=1).space
    with pytest.raises(InputError, match=r"size is declared more than once.*different names"):
        _ = KerasObjective(twice, rows(), epochs=1).space


def test_one_parameter_of_two_branches_is_active_in_both() -> None:
    def branches(hp: Any) -> None:
        hp.Choice("kind", ["a", "b", "c"])
        for kind in ("a", "b"):
            with hp.conditional_scope("kind", [kind]):
                hp.Int("size", 1, 4)

    space = KerasObjective(branches, rows(), epochs=1).space
    assert space.parameters["size"] == Int(1, 4, default=1, when={"kind": ("a", "b")})


def test_a_model_that_diverges_fails_with_the_epoch() -> None:
    def exploding(config: Config) -> Any:
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
        model.compile(optimizer=keras.optimizers.SGD(config["rate"]), loss="mse")
        return model

    X, _ = rows()
    objective = KerasObjective(exploding, (X, 1e3 * X[:, 0]), epochs=9)
    with pytest.raises(DivergedError, match="after epoch"):
        list(objective({"rate": 1e3}))


def test_what_build_must_give_is_said() -> None:
    def uncompiled(config: Config) -> Any:
        return keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])

    with pytest.raises(InputError, match=r"not compiled.*model\.compile"):
        next(KerasObjective(uncompiled, rows(), epochs=1)({}))
    with pytest.raises(InputError, match="build gave nothing"):
        next(KerasObjective(lambda config: None, rows(), epochs=1)({}))
    with pytest.raises(InputError, match=r"reports no val_acuracy.*'val_accuracy'"):
        next(KerasObjective(build, rows(60), epochs=1, metric="val_acuracy")(CONFIG))


def test_what_would_select_on_training_rows_or_makes_no_sense_is_refused_before_a_trial() -> None:
    with pytest.raises(InputError, match=r"metric='val_accuracy'"):
        KerasObjective(build, rows(), epochs=1, metric="accuracy")
    with pytest.raises(InputError, match=r"validation is 1.5"):
        KerasObjective(build, rows(), epochs=1, validation=1.5)
    with pytest.raises(InputError, match="epochs is 0"):
        KerasObjective(build, rows(), epochs=0)
    with pytest.raises(InputError, match=r"\[5, 240\] rows"):
        KerasObjective(build, (rows()[0], rows()[1][:5]), epochs=1)._split()
    with pytest.raises(InputError, match="no pair"):
        KerasObjective(build, rows()[0], epochs=1)._split()
    with pytest.raises(InputError, match="no function of one argument"):
        KerasObjective(3, rows(), epochs=1)


def test_a_hypermodel_with_a_training_of_its_own_is_refused() -> None:
    import keras_tuner

    class Model(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> Any:
            return build_with_hp(hp)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            return model.fit(*args, batch_size=hp.Int("batch", 8, 64), **kwargs)

    with pytest.raises(InputError, match="Model trains by a `fit` of its own"):
        KerasObjective(Model(), rows(), epochs=1)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [("val_loss", "minimize"), ("val_accuracy", "maximize"), ("val_mean_absolute_error", "minimize"), ("val_x", None)],
)
def test_the_direction_is_known_by_the_name_of_the_metric(metric: str, direction: str | None) -> None:
    assert KerasObjective(build, rows(), epochs=1, metric=metric).direction == direction


def test_keras_runs_on_torch_and_no_tensorflow_is_loaded() -> None:
    assert keras.backend.backend() == "torch"
    assert "tensorflow" not in sys.modules


@pytest.mark.slow
def test_a_hypermodel_is_tuned_by_hyperband_over_the_space_it_declares() -> None:
    objective = KerasObjective(build_with_hp, rows(), epochs=9, metric="val_accuracy", batch_size=64)
    import advisor  # the session is loaded by the two tests of whole runs only

    found = advisor.tune(
        objective,
        direction="maximize",
        fidelity=advisor.Fidelity("epoch", 1, 9),
        strategy="hyperband",
        budget_seconds=120,
        max_trials=20,
        isolation="inline",
    )
    assert found.best_config is not None
    assert objective.space.faults(found.best_config) == ()
    ends = [(t.status, t.cause) for t in found.trials if t.stage == "search"]
    # After the default and the starts: nine to the first epoch, the best three of them to the third, the best of those to its end.
    assert ends[:9] == [("pruned", "paused at step 1")] * 9
    assert ends[9:12] == [("pruned", "paused at step 3")] * 3
    assert ends[12] == ("completed", "")
    assert len(found.trials) == 20
    assert not any(t.status == "failed" for t in found.trials)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_example_tunes_selects_on_its_validation_rows_and_saves_what_it_found(tmp_path: Path) -> None:
    script = Path(__file__).parent.parent.parent / "examples" / "keras_model.py"
    command = [sys.executable, str(script), "--seconds", "150", "--trials", "16", "--workers", "2", "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=390)
    assert done.returncode == 0, done.stderr
    said = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines() if "accuracy" in line)
    # Ten digits: guessing has 0.1, and the test rows' share of 360 has a standard error of at most 0.03.
    assert float(said["test accuracy"]) > 0.8
    assert (tmp_path / "run" / "best" / "model.joblib").is_file()
