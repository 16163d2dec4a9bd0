"""Hypergradients: an L2 strength for every input column, followed downhill on the validation loss by PyTorch.

Run it: ``python examples/article/hypergradients.py``. It takes about ten seconds. Or from the command line:

    advisor run --model examples/article/hypergradients.py:training --strategy hypergradient --force --budget 1m

On the advisor's own network, with a strength for each of its parts, it is the plan beside this file.

The article only names the method. It needs a training whose loss PyTorch can differentiate, and that is all it needs: research is no
condition. The data are scikit-learn's digits with as many columns of noise, which one strength for all columns cannot tell apart. The
rows whose gradient is followed are overfitted by it, so that other rows say when to stop and what is kept, and others again what it
is worth.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor

import advisor
from advisor.objectives.differentiable import Differentiable

TRAIN, FOLLOWED, CHOSEN_ON = 300, 400, 400


def parts() -> list[tuple[Tensor, Tensor]]:
    """Standardised columns and digits: rows to train on, to follow, to choose on, and for the test."""
    draws = torch.Generator().manual_seed(0)
    pixels, digits = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels, dtype=torch.float32), torch.tensor(digits)
    x = torch.hstack([x, torch.randn(x.shape, generator=draws)])
    order = torch.randperm(len(y), generator=draws)
    x, y = x[order], y[order]
    first = x[:TRAIN]
    x = ((x - first.mean(0)) / first.std(0).clamp_min(1e-6))[:, first.std(0) > 0]
    sizes = (TRAIN, FOLLOWED, CHOSEN_ON, len(y) - TRAIN - FOLLOWED - CHOSEN_ON)
    return list(zip(x.split(sizes), y.split(sizes), strict=True))


def loss_on(x: Tensor, y: Tensor) -> Callable[[Any], Tensor]:
    """Cross-entropy of a softmax regression on these rows, as a function of its parameters."""
    return lambda parameters: torch.nn.functional.cross_entropy(x @ parameters["weight"] + parameters["bias"], y)


def build() -> tuple[Differentiable, dict[str, advisor.Float]]:
    """The training with its losses, and a strength for each column as the space."""
    train, followed, chosen_on, test = parts()
    columns = train[0].shape[1]
    space = {f"l2_{i}": advisor.Float(1e-5, 10.0, log=True, default=1e-2) for i in range(columns)}
    error = loss_on(*train)

    def train_loss(parameters: Any, strengths: Any) -> Tensor:
        penalties = torch.stack([strengths[name] for name in space]) * (parameters["weight"] ** 2).sum(1)
        return error(parameters) + 0.5 * penalties.sum()

    training = Differentiable(
        start={"weight": torch.zeros(columns, 10), "bias": torch.zeros(10)},
        train_loss=train_loss,
        validation_loss=loss_on(*followed),
        second_validation_loss=loss_on(*chosen_on),
        test_loss=loss_on(*test),
        optimiser="lbfgs",
        steps=60,
    )
    return training, space


training, SPACE = build()
DIRECTION = "minimize"


def test_loss(training: Differentiable, strengths: dict[str, float]) -> float:
    """Trains in full under `strengths` and gives the loss on the test rows."""
    parameters = {name: value.clone().requires_grad_() for name, value in training.begin(0).items()}
    values = {name: torch.tensor(value) for name, value in strengths.items()}
    optimiser = torch.optim.LBFGS(list(parameters.values()), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = training.train(parameters, values, 0)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)
    assert training.test_loss is not None
    with torch.no_grad():
        return training.test_loss(parameters).item()


def main(arguments: list[str] | None = None) -> Any:
    """Tunes the strengths and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="budget of the whole run")
    given = parser.parse_args(arguments)

    outcome = advisor.tune(
        training,
        SPACE,
        direction=DIRECTION,
        goal="research",
        strategy="hypergradient",
        force=True,
        budget_seconds=given.seconds,
        isolation="inline",
    )
    default = {name: parameter.default for name, parameter in SPACE.items()}
    again = outcome.trials[-1]  # what was found along the way is trained once more from the start, as one configuration
    print(f"{len(SPACE)} strengths; validation loss {again.value:.4f}, with the default for all {outcome.trials[0].value:.4f}")
    print(f"test loss {test_loss(training, again.config):.4f}, with the default for all {test_loss(training, default):.4f}")
    return outcome


if __name__ == "__main__":
    main()
