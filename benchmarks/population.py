"""Does population-based training beat as many full random runs of as many steps, where a schedule matters?

    python -m benchmarks.population [--seeds 5] [--members 8] [--epochs 45] [--slots 2]

A small network on scikit-learn's handwritten digits, trained by stochastic gradient descent in batches of 16 on pixels with
fresh noise: a learning rate that is held has a noise floor, one that falls has none. Both sides get the same starting
configurations, learning rate and weight decay drawn log-uniformly, the same initial weights and the same epochs. Random search
runs each to its end; the population exchanges weights and perturbs. Each side chooses by its validation loss; what is compared
is the loss on rows that neither has seen. Random search is also given every epoch's weights to choose from (early stopping),
which the population is not.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from statistics import mean, stdev
from typing import Any

from advisor.core.ports import Measurement, Proposal, Result
from advisor.core.space import Config, Float, SearchSpace
from advisor.engines.ray_tune import Cluster, PopulationLoop, connected, read_checkpoint
from advisor.engines.schedule import replay

SPACE = SearchSpace(parameters={"lr": Float(1e-4, 1.0, log=True), "weight_decay": Float(1e-6, 1e-2, log=True)})
BATCH, WIDTH, MOMENTUM, NOISE = 16, 64, 0.9, 0.4


@cache
def rows_of(seed: int) -> tuple[Any, Any]:
    """Pixels and labels, each of the rows for training, validation and test."""
    import torch
    from sklearn.datasets import load_digits

    features, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).numpy()
    x, y = torch.tensor(features[order] / 16, dtype=torch.float32), torch.tensor(labels[order])
    return x.split((600, 400, 797)), y.split((600, 400, 797))


@dataclass(frozen=True)
class Digits:
    """Trains epoch by epoch; measures the log loss of the validation rows, and of the test rows as score."""

    seed: int
    epochs: int

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:
        import torch

        torch.set_num_threads(1)
        (train_x, valid_x, test_x), (train_y, valid_y, test_y) = rows_of(self.seed)
        torch.manual_seed(self.seed)
        model = torch.nn.Sequential(torch.nn.Linear(64, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 10))
        optimiser = torch.optim.SGD(model.parameters(), lr=1.0, momentum=MOMENTUM)
        done = 0
        if checkpoint is not None:
            done = checkpoint["epoch"]
            model.load_state_dict(checkpoint["model"])
            optimiser.load_state_dict(checkpoint["optimiser"])
        # After the state was loaded: it brings the donor's learning rate along.
        optimiser.param_groups[0].update(lr=config["lr"], weight_decay=config["weight_decay"])
        loss = torch.nn.functional.cross_entropy
        for epoch in range(done + 1, self.epochs + 1):
            draws = torch.Generator().manual_seed(1000 * self.seed + epoch)
            noisy = train_x + NOISE * torch.randn(train_x.shape, generator=draws)
            for rows in torch.randperm(len(train_y), generator=draws).split(BATCH):
                optimiser.zero_grad()
                loss(model(noisy[rows]), train_y[rows]).backward()
                optimiser.step()
            with torch.no_grad():
                valid, test = loss(model(valid_x), valid_y).item(), loss(model(test_x), test_y).item()
            held = {"epoch": epoch, "model": model.state_dict(), "optimiser": optimiser.state_dict(), "test": test}
            yield Measurement(epoch, valid, held, test)


class Starts:
    """A scribe that keeps the starting configurations and hears the rest."""

    def __init__(self) -> None:
        self.configs: dict[int, Config] = {}
        self.steps = 0

    def started(self, proposal: Proposal) -> None:
        self.configs[proposal.key] = proposal.config

    def measured(self, key: int, step: int, value: float) -> None:  # noqa: ARG002
        self.steps += 1

    def changed(self, key: int, step: int, config: Config, *, parent: int | None = None, because: str) -> None:
        """Nothing to do."""

    def ended(self, key: int, result: Result, *, cure: str = "") -> None:
        """Nothing to do."""

    def noted(self, text: str, *, is_warning: bool = False) -> None:  # noqa: ARG002
        print(text)

    def is_over(self) -> bool:
        return False

    def remaining(self) -> float:
        return math.inf


def finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def compare(seed: int, *, members: int, epochs: int, slots: int) -> tuple[float, float, float, float]:
    """Test losses of the population, of its schedule replayed, of random search at the end, of random search stopped early."""
    objective, scribe = Digits(seed, epochs), Starts()
    with tempfile.TemporaryDirectory() as folder:
        loop = PopulationLoop(
            objective,
            SPACE,
            direction="minimize",
            steps=epochs,
            folder=folder,
            seed=seed,
            population=members,
            cluster=Cluster(slots=slots),
        )
        loop.run(scribe)
        assert loop.best is not None and loop.best.checkpoint is not None
        population = read_checkpoint(loop.best.checkpoint)[1]["test"]
    curves = [[(finite(m.value), m.score or 0.0) for m in objective(config)] for config in scribe.configs.values()]
    assert len(curves) == members and {len(c) for c in curves} == {epochs}
    at_end = min(c[-1] for c in curves)[1]
    stopped_early = min(point for c in curves for point in c)[1]
    replayed = [m.score or 0.0 for m in replay(objective, loop.best.schedule)({})][-1]
    print(
        f"seed {seed}: population {population:.4f}, replayed {replayed:.4f}, random {at_end:.4f}, stopped early {stopped_early:.4f}; "
        f"{scribe.steps} epochs told; learning rate " + " → ".join(f"{c['lr']:.2g} from {step}" for step, c in loop.best.schedule),
        flush=True,
    )
    return population, replayed, at_end, stopped_early


def summary(name: str, ours: list[float], theirs: list[float]) -> str:
    """Mean paired difference with its standard error, wins, and the ratio of means."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    error = stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    wins = sum(d < 0 for d in differences)
    return (
        f"{name}: mean paired difference {mean(differences):+.4f} ± {error:.4f}, lower on {wins} of {len(differences)} seeds, "
        f"ratio {mean(ours) / mean(theirs):.3f}"
    )


def main() -> None:
    """Runs all seeds and prints the paired comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    began = time.monotonic()
    with connected(Cluster(slots=options.slots)):
        rows = [compare(s, members=options.members, epochs=options.epochs, slots=options.slots) for s in range(options.seeds)]
    population, replayed, at_end, stopped_early = (list(column) for column in zip(*rows, strict=True))
    print(summary("population against random", population, at_end))
    print(summary("population against random stopped early", population, stopped_early))
    print(summary("its schedule replayed against random", replayed, at_end))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    # By its own name: a worker cannot find what belongs to this process's __main__.
    from benchmarks.population import main as run

    run()
