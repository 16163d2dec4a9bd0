"""One's own training function, tuned: any code that yields what it measures. Here it is NumPy.

Run it: ``python examples/own_function.py``. It takes about ten seconds. It also runs from the command line:

    advisor run --model examples/own_function.py:train --budget 30s

which finds what to tune in `SPACE`, how long a trial is in `FIDELITY` and what is better in `DIRECTION`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes

import advisor

EPOCHS = 20
SPACE = {
    "lr": advisor.Float(1e-4, 1.0, log=True, default=1e-2),
    "l2": advisor.Float(1e-6, 10.0, log=True, default=1e-3),
    "batch": advisor.Int(4, 64, log=True, default=16),
}
FIDELITY = advisor.Fidelity("epoch", 1, EPOCHS)
DIRECTION = "minimize"


def train(config: dict[str, Any], checkpoint: Any = None) -> Iterator[advisor.Measurement]:
    """The error on validation rows after each epoch of a linear model's stochastic descent; goes on after `checkpoint`."""
    X, y = load_diabetes(return_X_y=True)
    X, y = X * np.sqrt(len(X)), (y - y.mean()) / y.std()
    order = np.random.default_rng(0).permutation(len(y))
    rows, held = order[:300], order[300:]
    done, w = checkpoint if checkpoint is not None else (0, np.zeros(X.shape[1]))
    for epoch in range(done + 1, EPOCHS + 1):
        for batch in np.array_split(np.random.default_rng(epoch).permutation(rows), len(rows) // config["batch"]):
            w = w - config["lr"] * (X[batch].T @ (X[batch] @ w - y[batch]) / len(batch) + config["l2"] * w)
        yield advisor.Measurement(epoch, float(np.sqrt(np.mean((X[held] @ w - y[held]) ** 2))), (epoch, w))


def main(arguments: list[str] | None = None) -> Any:
    """Tunes it and prints what came out, and why it was tuned so."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="budget of the whole run")
    parser.add_argument("--trials", type=int, default=60, help="configurations at most")
    given = parser.parse_args(arguments)

    outcome = advisor.tune(
        train,
        SPACE,
        direction=DIRECTION,
        fidelity=FIDELITY,
        budget_seconds=given.seconds,
        max_trials=given.trials,
        isolation="inline",
    )
    why = next(reason for reason in outcome.plan.evidence if reason.field == "strategy")
    print(f"{len(outcome.trials)} trials by {outcome.plan.strategy}. {why.because}")
    print(f"best: {outcome.best_config}, error {outcome.best_value:.4f}; the default has {outcome.trials[0].value:.4f}")
    return outcome


if __name__ == "__main__":
    main()
