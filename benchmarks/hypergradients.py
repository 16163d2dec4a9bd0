"""Hypergradients against random search and TPE on many L2 strengths of real data, at the same wall time.

    python -m benchmarks.hypergradients [--problem features|network] [--seeds 3] [--noise 64] [--seconds 40]

The digits of scikit-learn (1,797 pictures of 64 pixels) beside as many columns of pure noise. `features`: softmax regression with an
L2 strength of its own for every input column. `network`: the table network with one for every input column and every layer. Training
rows, two validation splits and test rows are drawn anew for every seed.

Every competitor trains the same way from the same start, gets the same seconds of wall time, and takes turns: hypergradients go
first, until they are done or the time is up, and what they took is what the others get. Random search and TPE choose by the mean of
both validation splits, which is more than hypergradients see: these follow the first split and choose by the second. The two
searches are run twice, over all strengths and over a single one that all parts share. Losses are cross-entropies of what was
chosen; nobody chooses by the test rows.

The followed split flatters hypergradients, as both splits flatter the two searches; the test loss flatters nobody.

Ends with 1 unless the mean validation loss and the mean test loss of hypergradients are below those of every competitor.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from statistics import fmean
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np
import optuna
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.func import functional_call

from advisor.core.ports import Proposal, Result
from advisor.core.space import Config, Float, Group, SearchSpace
from advisor.engines.hypergradient import HypergradientLoop
from advisor.objectives.differentiable import Differentiable
from advisor.objectives.network import TabularNetwork, Training

TRAIN, JUDGED = 500, 400
"""Rows to train on, and of each validation split; the rest is test."""
LOW, HIGH, USUAL = 1e-5, 10.0, 1e-2
Row = tuple[float, float, int]
"""Mean validation loss, test loss, and how many trainings or outer steps."""


class Timed:
    """A scribe with a deadline that keeps how each trial ended."""

    def __init__(self, seconds: float) -> None:
        self.end = time.perf_counter() + seconds
        self.configs: dict[int, Config] = {}
        self.results: dict[int, Result] = {}
        self.outer_steps = 0

    def started(self, proposal: Proposal) -> None:
        self.configs[proposal.key] = proposal.config

    def measured(self, key: int, step: int, value: float) -> None:
        del step, value
        self.outer_steps += key == 1

    def changed(self, key: int, step: int, config: Config, *, parent: int | None = None, because: str) -> None:
        del step, parent, because
        self.configs[key] = config

    def ended(self, key: int, result: Result, *, cure: str = "") -> None:
        del cure
        self.results[key] = result

    def noted(self, text: str, *, is_warning: bool = False) -> None:
        del is_warning
        if os.environ.get("VERBOSE"):
            print("   ", text)

    def is_over(self) -> bool:
        return self.remaining() <= 0

    def remaining(self) -> float:
        return self.end - time.perf_counter()


def parts(seed: int, noise: int) -> list[tuple[Tensor, Tensor]]:
    """Training rows, two validation splits and test rows; columns standardised by the training rows, constant ones left out."""
    random = np.random.default_rng(seed)
    X, y = load_digits(return_X_y=True)
    X = np.hstack([X, random.normal(size=(len(y), noise))])
    order = random.permutation(len(y))
    cuts = np.split(order, [TRAIN, TRAIN + JUDGED, TRAIN + 2 * JUDGED])
    first = X[cuts[0]]
    kept = first.std(0) > 0
    X = (X[:, kept] - first[:, kept].mean(0)) / first[:, kept].std(0)
    return [(torch.as_tensor(X[rows], dtype=torch.float32), torch.as_tensor(y[rows])) for rows in cuts]


def features(seed: int, noise: int) -> tuple[Differentiable, SearchSpace]:
    """Softmax regression with an L2 strength a column."""
    (X, y), *judged = parts(seed, noise)
    names = [f"l2_{i}" for i in range(X.shape[1])]

    def loss(X: Tensor, y: Tensor) -> Callable[[Any], Tensor]:
        return lambda p: torch.nn.functional.cross_entropy(X @ p["weight"] + p["bias"], y)

    error = loss(X, y)

    def train_loss(p: Any, h: Any) -> Tensor:
        strengths = torch.stack([h[name] for name in names])
        return error(p) + 0.5 * (strengths * (p["weight"] ** 2).sum(1)).sum()

    pair = Differentiable(
        start={"weight": torch.zeros(X.shape[1], 10), "bias": torch.zeros(10)},
        train_loss=train_loss,
        validation_loss=loss(*judged[0]),
        second_validation_loss=loss(*judged[1]),
        test_loss=loss(*judged[2]),
        steps=60,
        optimiser="lbfgs",
    )
    strength = Float(LOW, HIGH, log=True, default=USUAL, group=Group.REGULARISATION)
    return pair, SearchSpace(parameters=dict.fromkeys(names, strength))


class Searched:
    """What random search and TPE run: the same training from the same start, judged by both validation splits."""

    def __init__(self, pair: Differentiable, space: SearchSpace, seed: int) -> None:
        self.pair, self.space = pair, space
        self.loop = HypergradientLoop(pair, space, seed=seed)

    def losses(self, config: Config) -> tuple[float, float]:
        """Mean of the two validation losses, and the test loss, of a full training."""
        training = self.loop.train(config)
        assert training is not None and training.test is not None
        return fmean((training.validation, training.second)), training.test

    def search(self, sampler: optuna.samplers.BaseSampler, seconds: float, *, is_shared: bool) -> tuple[float, float, int]:
        """The losses of the configuration with the lowest validation loss, and how many were tried."""
        best, tried, end = (float("inf"), 0.0), 0, time.perf_counter() + seconds
        study = optuna.create_study(sampler=sampler)
        study.enqueue_trial({"all": USUAL} if is_shared else dict.fromkeys(self.space.free, USUAL))
        while time.perf_counter() < end:
            trial = study.ask()
            if is_shared:
                config = {**self.space.default(), **dict.fromkeys(self.space.free, trial.suggest_float("all", LOW, HIGH, log=True))}
            else:
                found = {name: trial.suggest_float(name, LOW, HIGH, log=True) for name in self.space.free}
                config = {**self.space.default(), **found}
            losses = self.losses(config)
            study.tell(trial, losses[0])
            best, tried = min(best, losses), tried + 1
        return (*best, tried)


def samplers(seed: int) -> dict[str, optuna.samplers.BaseSampler]:
    """The two searches; TPE with the settings that the product gives it."""
    return {
        "random": optuna.samplers.RandomSampler(seed=seed),
        "tpe": optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False, n_startup_trials=10),
    }


def network(seed: int, noise: int) -> tuple[Differentiable, SearchSpace]:
    """The table network with an L2 strength a column and a layer, its start and loss those of a built-in training."""
    (X, y), *judged = parts(seed, noise)
    estimator = TabularNetwork(
        task="multiclass", layers=1, width=32, normalisation="none", dropout=0.0, weight_decay=0.0, threads=1, random_state=seed
    )
    training = estimator.begin(X.numpy(), y.numpy())
    assert isinstance(training, Training)
    names = {f"l2_{part}": part for part in training.penalised()}
    codes = [torch.empty(len(rows), 0, dtype=torch.int64) for rows, _ in ((X, y), *judged)]

    def loss(X: Tensor, y: Tensor, codes: Tensor) -> Callable[[Any], Tensor]:
        return lambda p: torch.nn.functional.cross_entropy(functional_call(training.network, dict(p), (X, codes)), y)

    error = loss(X, y, codes[0])
    validation, second, test = (loss(*part, codes[i]) for i, part in enumerate(judged, start=1))
    pair = Differentiable(
        start={name: parameter.detach().clone() for name, parameter in training.network.named_parameters()},
        train_loss=lambda p, h: error(p) + training.penalty(p, {part: h[name] for name, part in names.items()}),
        validation_loss=validation,
        second_validation_loss=second,
        test_loss=test,
        steps=60,
        optimiser="lbfgs",
    )
    strength = Float(LOW, HIGH, log=True, default=USUAL, group=Group.REGULARISATION)
    return pair, SearchSpace(parameters=dict.fromkeys(names, strength))


def race(problem: Callable[[int, int], tuple[Differentiable, SearchSpace]], seed: int, noise: int, seconds: float) -> dict[str, Row]:
    """Competitor to what it chose."""
    pair, space = problem(seed, noise)
    searched = Searched(pair, space, seed)
    scribe = Timed(seconds)
    began = time.perf_counter()
    HypergradientLoop(pair, space, seed=seed).run(scribe)
    took = time.perf_counter() - began
    found = {
        "default": (*searched.losses(space.default()), 1),
        "hypergradient": (*searched.losses(scribe.configs[max(scribe.results)]), scribe.outer_steps),
    }
    for is_shared in (False, True):
        for name, sampler in samplers(seed).items():
            found[f"{name}, {'one shared' if is_shared else 'all'}"] = searched.search(sampler, took, is_shared=is_shared)
    print(f"seed {seed}: {len(space.free)} strengths, {took:.1f} s each")
    for name, (validation, test, tried) in found.items():
        unit = "outer steps" if name == "hypergradient" else "trainings"
        print(f"  {name:22} validation {validation:.4f}  test {test:.4f}  {tried:5} {unit}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", choices=("features", "network"), default="features")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--noise", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    torch.func.vjp(torch.func.grad(torch.sum), torch.ones(1))  # its first call imports for seconds; nobody's clock runs yet
    problem = {"features": features, "network": network}[asked.problem]
    rows = [race(problem, seed, asked.noise, asked.seconds) for seed in range(asked.seeds)]
    mean = {name: (fmean(row[name][0] for row in rows), fmean(row[name][1] for row in rows)) for name in rows[0]}
    own = mean["hypergradient"]
    print(f"means over {asked.seeds} seeds, and hypergradients' loss over each")
    for name, (validation, test) in mean.items():
        print(f"  {name:22} validation {validation:.4f} ({own[0] / validation:.2f})  test {test:.4f} ({own[1] / test:.2f})")
    return int(not all(own[i] < mean[name][i] for name in mean for i in (0, 1) if name != "hypergradient"))


if __name__ == "__main__":
    sys.exit(main())
