"""A user's differentiable training as an objective: the configuration trained in full, scored on the split that chooses."""

from __future__ import annotations

from typing import Any

import torch

from advisor.core.objective import Kind
from advisor.core.space import Config
from advisor.objectives.differentiable import Differentiable


class TrainedInFull:
    """Scores a configuration by training `pair` under it from the start: ``objective(config)`` is its second validation loss.

    For every strategy that follows no gradient, and for the default that one is compared with.
    """

    kind: Kind = "differentiable"
    """What brings the objective."""
    has_third_split = True
    """The split that is followed and the one that chooses are two."""

    def __init__(self, pair: Differentiable, *, seed: int = 0) -> None:
        self.pair, self.seed = pair, seed

    def __call__(self, config: Config) -> float:
        """The second validation loss after a full training."""
        pair = self.pair
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            parameters = {n: p.detach().clone().requires_grad_() for n, p in pair.begin(self.seed).items()}
            first = next(iter(parameters.values()))
            values = {
                n: torch.as_tensor(v, dtype=first.dtype, device=first.device) for n, v in config.items() if isinstance(v, int | float)
            }
            self._train(parameters, values)
            with torch.no_grad():
                return float(pair.second_validation_loss(parameters))

    def _train(self, parameters: dict[str, Any], values: dict[str, Any]) -> None:
        pair, step = self.pair, 0
        optimiser = self._optimiser(list(parameters.values()), values)

        def closure() -> Any:
            optimiser.zero_grad()
            loss = pair.train(parameters, values, step)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        while step < pair.steps:
            for group in optimiser.param_groups:
                if pair.optimiser != "lbfgs":
                    group["lr"] = self._rate(values, step)
            optimiser.step(closure)
            step += 1

    def _optimiser(self, weights: list[Any], values: dict[str, Any]) -> Any:
        match self.pair.optimiser:
            case "adam":
                return torch.optim.Adam(weights, lr=self._rate(values, 0))
            case "sgd":
                return torch.optim.SGD(weights, lr=self._rate(values, 0), momentum=self.pair.momentum)
            case "lbfgs":
                return torch.optim.LBFGS(weights, max_iter=1, line_search_fn="strong_wolfe")

    def _rate(self, values: dict[str, Any], step: int) -> float:
        rate = self.pair.learning_rate
        if isinstance(rate, str):
            return float(values[rate])
        return float(rate(values, step)) if callable(rate) else float(rate)
