"""What narrowing the learning rates by a range test gains: the best of k random configurations of the network, with and without.

Two tables that ship with scikit-learn; for each split a range test of the default, then pairs of configurations that differ in the
learning rate alone, drawn from the whole range and from the window. Smaller is better: validation log loss of 40 epochs.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from advisor.core.space import Float
from advisor.objectives.network import TabularNetwork, Training, batch_size_for
from advisor.objectives.range_test import range_test, window

WHOLE = Float(1e-4, 3e-2, log=True, default=1e-3, hard=False)
RESAMPLED = 2000


def pairs(load: object, seed: int, draws: int) -> tuple[Float, np.ndarray]:
    """The window of a split, and the losses ``(draws, 2)`` from the whole range and from the window."""
    X, y = load(return_X_y=True)  # type: ignore[operator]
    train, test, y_train, y_test = train_test_split(X, y, test_size=0.33, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    common: dict[str, Any] = {"task": "multiclass", "batch_size": batch_size_for(len(X)), "random_state": seed, "epochs": 40}
    default = Training(TabularNetwork(**common).get_params(), train, y_train, None, classes=len(set(y)))
    suggestion = range_test(default).suggestion
    narrow = WHOLE if suggestion is None else window(WHOLE, suggestion)
    losses = []
    for draw in range(draws):
        u = np.random.default_rng([draw, seed]).random(5)
        config: dict[str, Any] = {
            "layers": 1 + int(2 * u[1]),
            "width": round(16 * 8 ** u[2]),
            "dropout": 0.5 * u[3],
            "weight_decay": 10 ** (5 * u[4] - 6),
        }
        pair = []
        for rates in (WHOLE, narrow):
            network = TabularNetwork(**common, **config, lr=rates.low * (rates.high / rates.low) ** u[0])
            pair.append(log_loss(y_test, network.fit(train, y_train).predict_proba(test)))
        losses.append(pair)
    return narrow, np.array(losses)


def main(arguments: list[str] | None = None) -> int:
    """Always 0: the figures are for the reader."""
    parser = argparse.ArgumentParser(prog="rate_window", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=10)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for load in (load_breast_cancer, load_digits):
        for seed in range(chosen.seeds):
            narrow, losses = pairs(load, seed, chosen.draws)
            line = [f"{load.__name__} seed {seed}: {narrow.low:.2g} to {narrow.high:.2g}", f"mean {losses.mean(0).round(4).tolist()}"]
            source = np.random.default_rng(0)
            for k in (4, 8):
                picked = [losses[source.choice(chosen.draws, min(k, chosen.draws), replace=False)].min(0) for _ in range(RESAMPLED)]
                line.append(f"best of {k} {np.mean(picked, axis=0).round(4).tolist()}")
            print("; ".join(line), "(whole range, window)", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
