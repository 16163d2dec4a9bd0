"""A Keras model tuned by KerasTuner's Hyperband: many configurations for an epoch, the best of them for longer.

Run it: ``pip install "tuning-advisor[keras]"``, then ``python examples/keras_model.py``. It takes about a minute and a half.
Or, in this folder: ``advisor run --model keras_model:objective --strategy hyperband --budget 2m``.

Hyperband promotes what does best after an epoch, and a promoted model goes on from its checkpoint. The model is selected on
rows that the objective keeps apart from the training rows; the test rows are scored once, at the end.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import joblib
import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from advisor import Choice, Fidelity, Float, Int, tune
from advisor.objectives.keras_model import KerasObjective

DIRECTION = "maximize"
FIDELITY = Fidelity("epoch", 1, 9)
SPACE = {
    "learning_rate": Float(1e-4, 1e-1, log=True, default=1e-3),
    "units": Int(16, 128, log=True, default=32),
    "dropout": Float(0.0, 0.5, default=0.2),
    "optimizer": Choice(["adam", "sgd"], default="adam"),
    "momentum": Float(0.0, 0.95, default=0.9, when={"optimizer": ("sgd",)}),
}


def build(config: dict[str, Any]) -> keras.Model:
    """A compiled model of 8 x 8 pixels and ten digits."""
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Dense(config["units"], activation="relu"),
            keras.layers.Dropout(config["dropout"]),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    rate = config["learning_rate"]
    optimizer = keras.optimizers.Adam(rate) if config["optimizer"] == "adam" else keras.optimizers.SGD(rate, momentum=config["momentum"])
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
objective = KerasObjective(build, (X_train, y_train), epochs=FIDELITY.high, metric="val_accuracy", validation=0.2)


def main() -> None:
    """Tunes the model and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90, help="budget of the whole run")
    parser.add_argument("--trials", type=int, default=None, help="trials at most; a continuation counts as one")
    parser.add_argument("--workers", type=int, default=1, help="trials at a time")
    parser.add_argument("--run-dir", default=None, help="folder of the run; the same one again goes on with it")
    arguments = parser.parse_args()

    outcome = tune(
        objective,
        SPACE,
        direction=DIRECTION,
        fidelity=FIDELITY,
        strategy="hyperband",
        budget_seconds=arguments.seconds,
        max_trials=arguments.trials,
        workers=arguments.workers,
        run_dir=arguments.run_dir,
    )
    default, tuned = outcome.trials[0], outcome.best_value
    print(f"best of {len(outcome.trials)} trials: {outcome.best_config}")
    print(f"validation accuracy {tuned:.4f}; the default configuration has {default.value:.4f}")

    model = joblib.load(Path(outcome.run) / "best" / "model.joblib")
    _, accuracy = model.evaluate(X_test, y_test, verbose=0)
    print(f"test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
