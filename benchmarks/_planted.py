"""Learning curves of small networks that were really trained: healthy ones, and ones with a fault planted in how they are trained.

Nothing is drawn: a fault is a learning rate, a number of epochs, a size, a sign or a set of labels, and the curve is what came of it.
Networks of one shape are trained side by side, each on its own split with its own settings: one matrix product a layer for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import inf, isfinite
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_classification, make_friedman1, make_moons
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

CALIBRATED_ON = ("digits", "noisy_classes", "friedman")
"""Problems that thresholds were chosen on."""
REPORTED_ON = ("breast_cancer", "moons", "diabetes")
"""Problems that no threshold has seen."""
ROWS = 560
"""Rows of each problem, less where there are fewer."""
REGRESSION = ("friedman", "diabetes")
"""Problems whose target is a number."""


@dataclass(frozen=True)
class Problem:
    """One table, split and scaled."""

    name: str
    train: tuple[torch.Tensor, torch.Tensor]
    valid: tuple[torch.Tensor, torch.Tensor]

    @property
    def is_regression(self) -> bool:
        """True where the target is a number."""
        return self.name in REGRESSION


@dataclass(frozen=True)
class Way:
    """How one network is trained."""

    hidden: int = 64
    layers: int = 1
    activation: str = "relu"
    optimizer: str = "adam"
    lr: float = 3e-3
    decays: bool = True
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

    @property
    def shape(self) -> tuple[Any, ...]:
        """What networks that are trained side by side have in common."""
        return (self.hidden, self.layers, self.activation, self.optimizer, self.decays, self.batch, self.epochs, self.train_rows)


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
        "moons": lambda: make_moons(ROWS, noise=0.25, random_state=seed),
        "friedman": lambda: make_friedman1(ROWS, noise=1.5, random_state=seed),
        "noisy_classes": lambda: make_classification(
            ROWS, 20, n_informative=8, n_classes=3, n_clusters_per_class=2, flip_y=0.08, random_state=seed
        ),
    }
    X, y = loads[name]()
    is_regression = name in REGRESSION
    kept = np.random.default_rng(seed).permutation(len(X))[:ROWS]
    X, X_valid, y, y_valid = train_test_split(
        X[kept], y[kept], test_size=0.35, random_state=seed, stratify=None if is_regression else y[kept]
    )
    scaler = StandardScaler().fit(X)
    if is_regression:
        mean, spread = y.mean(), y.std()
        y, y_valid = ((t - mean) / spread for t in (y, y_valid))
    kind = torch.float32 if is_regression else torch.int64

    def pair(rows: Any, target: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(scaler.transform(rows), dtype=torch.float32), torch.tensor(np.asarray(target), dtype=kind)

    return Problem(name, pair(X, y), pair(X_valid, y_valid))


@cache
def reference(name: str, seed: int) -> float:
    """The best validation loss of three models fitted with settings that suit small tables: what the rows can give without a network."""
    given = problem(name, seed)
    X, y, X_valid, y_valid = (t.numpy() for t in (*given.train, *given.valid))
    trees = {"learning_rate": 0.05, "max_leaf_nodes": 8, "random_state": 0}
    if given.is_regression:
        models = (RidgeCV(), HistGradientBoostingRegressor(**trees), RandomForestRegressor(100, min_samples_leaf=3, random_state=0))
        return min(float(mean_squared_error(y_valid, m.fit(X, y).predict(X_valid))) for m in models)
    kinds = (
        LogisticRegression(max_iter=500),
        HistGradientBoostingClassifier(**trees),
        RandomForestClassifier(100, min_samples_leaf=3, random_state=0),
    )
    return min(float(log_loss(y_valid, m.fit(X, y).predict_proba(X_valid), labels=m.classes_)) for m in kinds)


Losses = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]


class _Side:
    """Networks of one shape, side by side: weights ``(networks, inputs, outputs)``, settings ``(networks, 1, 1)``."""

    def __init__(self, problems: Sequence[Problem], ways: Sequence[Way]) -> None:
        first = ways[0]
        self.ways, self.is_regression = ways, problems[0].is_regression
        outputs = 1 if self.is_regression else int(max(p.train[1].max() for p in problems)) + 1
        sizes = [problems[0].train[0].shape[1], *[first.hidden] * first.layers, outputs]
        scales = [1 / a**0.5 for a, _ in pairwise(sizes)]
        shapes = [(len(ways), a, b) for a, b in pairwise(sizes)]
        self.weights = [((2 * torch.rand(s) - 1) * k).requires_grad_() for s, k in zip(shapes, scales, strict=True)]
        self.weights += [((2 * torch.rand(m, 1, b) - 1) * k).requires_grad_() for (m, _, b), k in zip(shapes, scales, strict=True)]
        self.moments = [[torch.zeros_like(w), torch.zeros_like(w)] for w in self.weights]
        self.rate, self.decay, self.drop, self.sign = (
            torch.tensor([float(getattr(w, n)) for w in ways]).reshape(-1, 1, 1) for n in ("lr", "weight_decay", "dropout", "sign")
        )
        self.count = 0

    def say(self, X: torch.Tensor, *, trains: bool) -> torch.Tensor:
        """Outputs ``(networks, rows, outputs)``."""
        depth = len(self.weights) // 2
        for layer in range(depth):
            X = torch.baddbmm(self.weights[depth + layer], X, self.weights[layer])
            if layer < depth - 1:
                X = torch.relu(X) if self.ways[0].activation == "relu" else torch.tanh(X)
                if trains:
                    X = X * (torch.rand_like(X) >= self.drop) / (1 - self.drop)
        return X

    def loss(self, said: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean loss of each network."""
        if self.is_regression:
            return ((said[..., 0] - y) ** 2).mean(1)
        return -torch.log_softmax(said, 2).gather(2, y[..., None])[..., 0].mean(1)

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One step of AdamW, or of SGD with momentum 0.9, at `share` of the learning rate."""
        self.count += 1
        rate = self.rate * share
        for weight, (mean, square) in zip(self.weights, self.moments, strict=True):
            slope = weight.grad
            assert slope is not None
            if self.ways[0].optimizer == "adam":
                weight.mul_(1 - rate * self.decay)
                mean.lerp_(slope, 0.1)
                square.mul_(0.999).addcmul_(slope, slope, value=0.001)
                weight.sub_(rate * (mean / (1 - 0.9**self.count)) / ((square / (1 - 0.999**self.count)).sqrt() + 1e-8))
            else:
                mean.mul_(0.9).add_(slope + self.decay * weight)
                weight.sub_(rate * mean)
            weight.grad = None


def train(problems: Sequence[Problem], ways: Sequence[Way], seed: int) -> list[Losses]:
    """Training losses, validation losses and accuracies, one an epoch, of networks of one shape, each on its problem."""
    torch.manual_seed(seed)
    side, first = _Side(problems, ways), ways[0]
    X, y = (torch.stack([p.train[i][: first.train_rows] for p in problems]) for i in (0, 1))
    X_valid, y_valid = (torch.stack([p.valid[i] for p in problems]) for i in (0, 1))
    for i, way in enumerate(ways):
        if way.shuffles_labels:
            y[i] = y[i][torch.randperm(y.shape[1])]
    members = torch.arange(len(ways))[:, None]
    told: list[list[torch.Tensor]] = [[], [], []]
    for epoch in range(max(w.stop_at or w.epochs for w in ways)):
        share = 0.01 + 0.99 * (1 + np.cos(np.pi * epoch / first.epochs)) / 2 if first.decays else 1.0
        order = torch.rand(len(ways), y.shape[1]).argsort(1)
        total = torch.zeros(len(ways))
        for rows in order.split(first.batch, 1):
            at = side.loss(side.say(X[members, rows], trains=True), y[members, rows])
            (side.sign[:, 0, 0] * at).sum().backward()
            side.step(share)
            total += at.detach() * rows.shape[1]
        with torch.no_grad():
            said = side.say(X_valid, trains=False)
            told[0].append(total / y.shape[1])
            told[1].append(_validated(side, said, y_valid))
            told[2].append((said.argmax(2) == y_valid).float().mean(1))
    trained, valid, accuracy = ([tuple(v) for v in torch.stack(t, 1).tolist()] for t in told)
    ends = [w.stop_at or w.epochs for w in ways]
    return [(trained[i][:e], valid[i][:e], () if side.is_regression else accuracy[i][:e]) for i, e in enumerate(ends)]


def _validated(side: _Side, said: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Validation loss of each network, on its draw of the rows where it draws."""
    found = side.loss(said, y)
    for i, way in enumerate(side.ways):
        if way.valid_draw is not None:
            drawn = torch.randint(y.shape[1], (1, way.valid_draw))
            found[i] = side.loss(said[i : i + 1, drawn[0]], y[i : i + 1, drawn[0]])[0]
    return found


RATES = {"adam": (1e-3, 5e-3, 2e-2), "sgd": (0.01, 0.03, 0.1), "sgd on squares": (0.005, 0.02, 0.05)}


def tuned(name: str, group: int, seeds: Sequence[int]) -> list[Way]:
    """A healthy way to train on each split of `name`: shape drawn by `group`, then learning rate and dropout by the last validation loss.

    Chosen by what the training ends with alone, never by what the diagnosis says of its curve.
    """
    draw = np.random.default_rng([group, len(name)])
    optimizer = ("adam", "sgd")[group % 2]
    base = Way(
        hidden=int(draw.choice([24, 48, 96])),
        layers=int(draw.choice([1, 2])),
        activation=str(draw.choice(["relu", "tanh"])),
        optimizer=optimizer,
        weight_decay={"adam": 0.1, "sgd": 5e-4}[optimizer] * float(draw.choice([1, 3])),
        batch=32,
        epochs=int(draw.choice([60, 90])),
    )
    rates = RATES["sgd on squares" if name in REGRESSION and optimizer == "sgd" else optimizer]
    ways = [replace(base, lr=lr, dropout=dropout) for lr in rates for dropout in (0.0, 0.15, 0.4)]
    found = train([problem(name, s) for s in seeds for _ in ways], ways * len(seeds), group)
    ends = [[valid[-1] for _, valid, _ in found[i * len(ways) : (i + 1) * len(ways)]] for i in range(len(seeds))]
    return [ways[int(np.argmin(end))] for end in ends]


def _too_high(way: Way, draw: np.random.Generator) -> Way:
    return replace(way, lr=float({"adam": 1.0, "sgd": 3.0}[way.optimizer] * 10 ** draw.uniform(0, 1)), decays=False)


def _wavering(way: Way, draw: np.random.Generator) -> Way:
    rate = {"adam": 0.1, "sgd": 0.4}[way.optimizer] * 10 ** draw.uniform(-0.1, 0.2)
    return replace(way, lr=float(rate), decays=False, batch=8, dropout=0.2)


LARGE = {"hidden": 192, "layers": 2, "weight_decay": 0.0, "dropout": 0.0}

FAULTS: dict[str, tuple[Callable[[Way, np.random.Generator], Way], tuple[str, ...]]] = {
    "learning rate far too high": (_too_high, ("diverges", "not-finite", "oscillates", "training-loss-rises", "learns-nothing")),
    "learning rate far too low": (
        lambda w, d: replace(w, lr=w.lr / float(1000 * 10 ** d.uniform(0, 0.5)), decays=False),
        ("slow-start", "stopped-early"),
    ),
    "learning rate never lowered": (_wavering, ("oscillates", "diverges", "not-finite")),
    "large network, few rows": (
        lambda w, _: replace(w, **LARGE, train_rows=60, batch=16, epochs=120, decays=False),
        ("overfits", "wide-gap", "repeats-rows", "memorises-only", "not-finite"),
    ),
    "network far too small": (lambda w, _: replace(w, hidden=1, layers=2, dropout=0.0), ("underfits",)),
    "stopped far too early": (
        lambda w, d: replace(w, lr=w.lr / 30, stop_at=int(d.integers(10, 14)), decays=False),
        ("stopped-early", "stopped-behind", "slow-start"),
    ),
    "trained far too long": (lambda w, _: replace(w, epochs=500, decays=False), ("trained-too-long", "overfits", "memorises-only")),
    "wrong sign of the loss": (
        lambda w, d: replace(w, sign=-1, lr=w.lr / float(d.choice([1, 10, 100])), decays=False),
        ("training-loss-rises", "diverges", "not-finite"),
    ),
    "labels shuffled": (
        lambda w, _: replace(w, **LARGE, shuffles_labels=True, epochs=60),
        ("memorises-only", "repeats-rows", "overfits", "not-finite"),
    ),
    "validation on a dozen rows": (lambda w, d: replace(w, valid_draw=int(d.integers(8, 16))), ("noisy-validation",)),
}
"""What is planted, and the findings of which at least one must be there."""
MARGIN = 0.1
"""Of the loss at the end: a planted training that is not worse than each of its healthy twins by this much came to no harm."""


def end(one: Trained) -> float:
    """Median validation loss of the last tenth of the epochs, of three at least; infinite where one of them is no number."""
    last = one.valid[-max(3, round(len(one.valid) / 10)) :]
    return median(last) if all(isfinite(v) for v in last) else inf


def did_harm(one: Trained, twins: Sequence[Trained]) -> bool:
    """True where what was planted is a fault of this training, judged by where it and the healthy `twins` on its split end.

    Few validation rows spoil the measurement and not the training: always. Far too many epochs are a waste unless they pay.
    """
    if one.fault == "validation on a dozen rows":
        return True
    if one.fault == "trained far too long":
        return end(one) > (1 - MARGIN) * min(end(t) for t in twins)
    return end(one) >= (1 + MARGIN) * max(end(t) for t in twins)


def planted(name: str, group: int, seeds: Sequence[int], faults: Sequence[str] = tuple(FAULTS), healthy: int = 3) -> list[Trained]:
    """The curves of `healthy` trainings and one with each of `faults`, on each split of the problem `name`."""
    wanted: list[tuple[str, int, Way]] = []
    for seed, way in zip(seeds, tuned(name, group, seeds), strict=True):
        wanted += [("healthy", seed, way)] * healthy
        wanted += [(fault, seed, FAULTS[fault][0](way, np.random.default_rng([seed, 7]))) for fault in faults]
    out: list[Trained] = []
    for number, shape in enumerate(dict.fromkeys(w.shape for _, _, w in wanted)):
        of = [(fault, seed, way) for fault, seed, way in wanted if way.shape == shape]
        found = train([problem(name, seed) for _, seed, _ in of], [way for _, _, way in of], 1000 * group + number)
        out += [Trained(f, name, s, w, *curves, reference(name, s)) for (f, s, w), curves in zip(of, found, strict=True)]
    return out
