"""Successive halving on epochs: the better third goes on, and what goes on keeps its weights.

Run it: ``python examples/article/epochs.py``. It takes about ten seconds; ``--strategy hyperband`` hedges over several first
rungs, ``--strategy tpe`` lets a model propose and prunes only once pruning has earned it. On the advisor's own network it is the plan
beside this file: ``advisor run examples/article/epochs.toml``. KerasTuner's Hyperband is in ``examples/keras_model.py``.

The article names a pruner and never reports to it. Here the training is a generator: to report is to yield, to stop a trial is not
to pull any further, and a trial that was paused goes on from its checkpoint. Optuna's `SuccessiveHalvingPruner`, which executes it,
is ASHA: nobody waits until a rung is full. Every choice is made on validation rows; the test rows are scored once, at the end.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import advisor

EPOCHS = 27
SPACE = {
    "lr": advisor.Float(1e-4, 1.0, log=True, default=1e-2),
    "momentum": advisor.Float(0.0, 0.98, default=0.9),
    "width": advisor.Int(8, 128, log=True, default=32),
    "dropout": advisor.Float(0.0, 0.6, default=0.1),
}


@cache
def parts() -> list[tuple[Tensor, Tensor]]:
    """Pixels 0..1 and digits: rows for training, for validation, for the test."""
    pixels, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(pixels, dtype=torch.float32)[order] / 16, torch.tensor(digits)[order]
    return list(zip(x.split((600, 500, 697)), y.split((600, 500, 697)), strict=True))


def train(config: dict[str, Any], checkpoint: Any = None, *, scored_on: int = 1) -> Iterator[advisor.Measurement]:
    """The accuracy after each epoch on the validation rows; goes on after `checkpoint` where there is one."""
    torch.set_num_threads(1)  # so small a network gains nothing from more
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, config["width"]), nn.ReLU(), nn.Dropout(config["dropout"]), nn.Linear(config["width"], 10))
    optimiser = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=config["momentum"])
    done = 0
    if checkpoint is not None:
        done = checkpoint["epoch"]
        model.load_state_dict(checkpoint["model"])
        optimiser.load_state_dict(checkpoint["optimiser"])
    (x, y), scored = parts()[0], parts()[scored_on]
    for epoch in range(done + 1, EPOCHS + 1):
        torch.manual_seed(epoch)  # so that going on is the same as never having stopped
        model.train()
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(scored[0]).argmax(1) == scored[1]).float().mean().item()
        yield advisor.Measurement(epoch, accuracy, {"epoch": epoch, "model": model.state_dict(), "optimiser": optimiser.state_dict()})


def main(arguments: list[str] | None = None) -> Any:
    """Tunes the network and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strategy", choices=["asha", "hyperband", "tpe"], default="asha")
    parser.add_argument("--seconds", type=float, default=20, help="budget of the whole run")
    parser.add_argument("--trials", type=int, default=60, help="configurations at most")
    given = parser.parse_args(arguments)

    outcome = advisor.tune(
        train,
        SPACE,
        direction="maximize",
        fidelity=advisor.Fidelity("epoch", 1, EPOCHS),
        strategy=given.strategy,
        force=True,  # the rules advise ASHA from eight workers on; it runs with one
        budget_seconds=given.seconds,
        max_trials=given.trials,
        isolation="inline",
    )
    stopped = sum(trial.status == "pruned" for trial in outcome.trials)
    print(f"{len(outcome.trials)} trials by {outcome.plan.strategy}, {stopped} of them stopped before epoch {EPOCHS}")
    print(f"best: {outcome.best_config}")
    print(f"validation accuracy {outcome.best_value:.4f}; the default has {outcome.trials[0].value:.4f}")
    *_, last = train(outcome.best_config, scored_on=2)
    print(f"test accuracy {last.value:.4f}")
    return outcome


if __name__ == "__main__":
    main()
