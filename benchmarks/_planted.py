"""Learning curves of small networks that were really trained: healthy ones, and ones with a fault planted in how they are trained.

Nothing is drawn: a fault is a learning rate, a number of epochs, a size, a sign or a data set, and the curve is what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_classification, make_friedman1, make_moons
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

CALIBRATED_ON = ("digits", "noisy_classes", "friedman")
"""Problems that thresholds were chosen on."""
REPORTED_ON = ("breast_cancer", "moons", "diabetes")
"""Problems that no threshold has seen."""


@dataclass(frozen=True)
class Problem:
    """One table, split and scaled."""

    name: str
    is_regression: bool
    outputs: int
    train: tuple[torch.Tensor, torch.Tensor]
    valid: tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Way:
    """How one network is trained."""

    hidden: int = 64
    layers: int = 1
    activation: str = "relu"
    optimizer: str = "adam"
    lr: float = 3e-3
    decay: bool = True
    """A cosine to 1 % of the learning rate."""
    weight_decay: float = 1e-3
    dropout: float = 0.1
    batch: int = 64
    epochs: int = 60
    stop_at: int | None = None
    """Epoch after which training is broken off; None: it ends as planned."""
    sign: int = 1
    """-1: the loss is maximised, as by a wrong sign."""
    train_rows: int | None = None
    """Rows trained on; None: all."""
    shuffles_labels: bool = False
    """The training rows have each other's labels."""
    valid_draw: int | None = None
    """Validation rows drawn anew each epoch; None: all of them."""


@dataclass(frozen=True)
class Trained:
    """What one training has left."""

    fault: str
    """`healthy`, or what was planted."""
    problem: str
    seed: int
    way: Way
    train: tuple[float, ...]
    """Mean loss over the batches, an epoch."""
    valid: tuple[float, ...]
    """Validation loss after the epoch."""
    accuracy: tuple[float, ...]
    """Validation accuracy after the epoch; empty for regression."""
    reference: float
    """Validation loss of a simple model fitted well on the same rows."""


@cache
def problem(name: str, seed: int) -> Problem:
    """The table called `name`, split by `seed`."""
    loads: dict[str, Callable[[], tuple[Any, Any]]] = {
        "digits": lambda: load_digits(return_X_y=True),
        "breast_cancer": lambda: load_breast_cancer(return_X_y=True),
        "diabetes": lambda: load_diabetes(return_X_y=True),
        "moons": lambda: make_moons(600, noise=0.25, random_state=seed),
        "friedman": lambda: make_friedman1(600, noise=1.5, random_state=seed),
        "noisy_classes": lambda: make_classification(
            600, 20, n_informative=8, n_classes=3, n_clusters_per_class=2, flip_y=0.08, random_state=seed
        ),
    }
    X, y = (t[:600] for t in loads[name]())
    is_regression = name in ("diabetes", "friedman")
    X, X_valid, y, y_valid = train_test_split(X, y, test_size=0.35, random_state=seed, stratify=None if is_regression else y)
    scaler = StandardScaler().fit(X)
    if is_regression:
        mean, spread = y.mean(), y.std()
        y, y_valid = ((t - mean) / spread for t in (y, y_valid))
    kind = torch.float32 if is_regression else torch.int64

    def pair(rows: Any, target: Any) -> tuple[torch.Tensor, torch.Tensor]:
        out = torch.tensor(np.asarray(target), dtype=kind)
        return torch.tensor(scaler.transform(rows), dtype=torch.float32), out[:, None] if is_regression else out

    return Problem(name, is_regression, 1 if is_regression else len(np.unique(y)), pair(X, y), pair(X_valid, y_valid))


@cache
def reference(name: str, seed: int) -> float:
    """The best validation loss of three models fitted with settings that suit small tables: what the rows can give without a network."""
    given = problem(name, seed)
    X, y, X_valid, y_valid = (t.numpy() for t in (*given.train, *given.valid))
    trees = {"learning_rate": 0.05, "max_leaf_nodes": 8, "random_state": 0}
    if given.is_regression:
        models = (RidgeCV(), HistGradientBoostingRegressor(**trees), RandomForestRegressor(100, min_samples_leaf=3, random_state=0))
        return min(float(mean_squared_error(y_valid[:, 0], m.fit(X, y[:, 0]).predict(X_valid))) for m in models)
    kinds = (
        LogisticRegression(max_iter=500),
        HistGradientBoostingClassifier(**trees),
        RandomForestClassifier(100, min_samples_leaf=3, random_state=0),
    )
    return min(float(log_loss(y_valid, m.fit(X, y).predict_proba(X_valid), labels=m.classes_)) for m in kinds)


def train(given: Problem, way: Way, seed: int) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Training losses, validation losses and validation accuracies, one an epoch."""
    torch.manual_seed(seed)
    X, y = (t[: way.train_rows] for t in given.train)
    if way.shuffles_labels:
        y = y[torch.randperm(len(y))]
    sizes = [X.shape[1], *[way.hidden] * way.layers]
    body: list[nn.Module] = []
    for a, b in pairwise(sizes):
        body += [nn.Linear(a, b), nn.ReLU() if way.activation == "relu" else nn.Tanh(), nn.Dropout(way.dropout)]
    network = nn.Sequential(*body, nn.Linear(sizes[-1], given.outputs))
    loss = nn.MSELoss() if given.is_regression else nn.CrossEntropyLoss()
    if way.optimizer == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(network.parameters(), lr=way.lr, weight_decay=way.weight_decay, fused=True)
    else:
        optimizer = torch.optim.SGD(network.parameters(), lr=way.lr, momentum=0.9, weight_decay=way.weight_decay, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, way.epochs, eta_min=way.lr / 100)
    trained, valid, accuracy = [], [], []
    for _ in range(way.stop_at or way.epochs):
        network.train()
        total = 0.0
        for rows in torch.randperm(len(X)).split(way.batch):
            optimizer.zero_grad()
            at = loss(network(X[rows]), y[rows])
            (way.sign * at).backward()
            optimizer.step()
            total += float(at.detach()) * len(rows)
        if way.decay:
            scheduler.step()
        network.eval()
        X_valid, y_valid = given.valid
        if way.valid_draw is not None:
            drawn = torch.randint(len(X_valid), (way.valid_draw,))
            X_valid, y_valid = X_valid[drawn], y_valid[drawn]
        with torch.no_grad():
            said = network(X_valid)
            trained.append(total / len(X))
            valid.append(float(loss(said, y_valid)))
            if not given.is_regression:
                accuracy.append(float((said.argmax(1) == y_valid).float().mean()))
    return tuple(trained), tuple(valid), tuple(accuracy)


RATES = {"adam": (1e-3, 3e-3, 1e-2), "sgd": (0.01, 0.03, 0.1), "sgd on squares": (0.005, 0.02, 0.05)}


@cache
def tuned(name: str, seed: int) -> Way:
    """A healthy way to train on `name`: architecture drawn by `seed`, then learning rate and dropout by the last validation loss.

    Chosen by what the training ends with alone, never by what the diagnosis says of its curve.
    """
    draw = np.random.default_rng([seed, len(name)])
    optimizer = str(draw.choice(["adam", "sgd"]))
    base = Way(
        hidden=int(draw.choice([24, 48, 96])),
        layers=int(draw.choice([1, 2])),
        activation=str(draw.choice(["relu", "tanh"])),
        optimizer=optimizer,
        weight_decay={"adam": 0.1, "sgd": 5e-4}[optimizer] * float(draw.choice([1, 3])),
        batch=int(draw.choice([32, 64])),
        epochs=int(draw.choice([30, 50])),
    )
    given = problem(name, seed)
    rates = RATES["sgd on squares" if given.is_regression and optimizer == "sgd" else optimizer]
    ways = [replace(base, lr=lr, dropout=dropout) for lr in rates for dropout in (0.0, 0.15)]
    return min(ways, key=lambda way: train(given, way, seed)[1][-1])


def _too_high(way: Way, draw: np.random.Generator) -> Way:
    return replace(way, lr=float({"adam": 1.0, "sgd": 3.0}[way.optimizer] * 10 ** draw.uniform(0, 1)), decay=False)


def _wavering(way: Way, draw: np.random.Generator) -> Way:
    rate = {"adam": 0.1, "sgd": 0.4}[way.optimizer] * 10 ** draw.uniform(-0.1, 0.2)
    return replace(way, lr=float(rate), decay=False, batch=8, dropout=0.2)


def _memorising(way: Way, draw: np.random.Generator) -> Way:
    few = {"train_rows": int(draw.integers(50, 90)), "batch": 16, "epochs": 120}
    return replace(way, hidden=256, layers=2, weight_decay=0.0, dropout=0.0, decay=False, **few)


FAULTS: dict[str, tuple[Callable[[Way, np.random.Generator], Way], tuple[str, ...]]] = {
    "learning rate far too high": (_too_high, ("diverges", "oscillates", "training-loss-rises", "learns-nothing")),
    "learning rate far too low": (
        lambda w, d: replace(w, lr=w.lr / float(1000 * 10 ** d.uniform(0, 0.5)), decay=False),
        ("slow-start", "stopped-early"),
    ),
    "learning rate never lowered": (_wavering, ("oscillates", "diverges")),
    "large network, few rows": (_memorising, ("overfits", "wide-gap", "memorises-only")),
    "network far too small": (lambda w, d: replace(w, hidden=1, layers=int(d.integers(2, 4)), dropout=0.0), ("underfits",)),
    "stopped far too early": (
        lambda w, d: replace(w, lr=w.lr / 30, epochs=200, stop_at=int(d.integers(10, 14)), decay=False),
        ("stopped-early", "slow-start"),
    ),
    "trained far too long": (
        lambda w, d: replace(w, epochs=int(d.integers(500, 600)), decay=False),
        ("trained-too-long", "overfits", "memorises-only"),
    ),
    "wrong sign of the loss": (
        lambda w, d: replace(w, sign=-1, lr=w.lr / float(d.choice([1, 10, 100]))),
        ("training-loss-rises", "diverges"),
    ),
    "labels shuffled": (
        lambda w, _: replace(w, shuffles_labels=True, hidden=256, layers=2, weight_decay=0.0, dropout=0.0, epochs=60),
        ("memorises-only", "overfits"),
    ),
    "validation on a dozen rows": (lambda w, d: replace(w, valid_draw=int(d.integers(8, 16))), ("noisy-validation",)),
}
"""What is planted, and the findings of which at least one must be there."""


def planted(fault: str, name: str, seed: int, repeat: int = 0) -> Trained:
    """The curves of one training on the problem `name` with `fault` (`healthy` for none); `repeat` draws other weights and batches."""
    given, way = problem(name, seed), tuned(name, seed)
    if fault != "healthy":
        way = FAULTS[fault][0](way, np.random.default_rng([seed, 7]))
    return Trained(fault, name, seed, way, *train(given, way, seed + 1000 * repeat), reference(name, seed))
