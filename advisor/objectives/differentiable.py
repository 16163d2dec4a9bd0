"""A training of the user's own whose losses PyTorch can differentiate.

Source of the three splits: the outer optimisation overfits the rows whose gradient it follows (knowledge A.1, HYPERGRAD).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from advisor.core.errors import InputError, nearest

Tensors = Mapping[str, Tensor]
"""Name to tensor."""
Rate = float | str | Callable[[Tensors, int], Tensor]
"""A learning rate: a number, the name of the hyperparameter that is it, or a function of hyperparameters and step (a schedule)."""
Optimiser = Literal["adam", "sgd", "lbfgs"]
OPTIMISERS: tuple[Optimiser, ...] = ("adam", "sgd", "lbfgs")


@dataclass(frozen=True, kw_only=True)
class Differentiable:
    """An inner training and the losses that judge it, all of them scalar tensors that PyTorch can differentiate.

    The hyperparameters are followed downhill on `validation_loss`; when to stop and which configuration is kept is decided on
    `second_validation_loss`, whose gradient nobody sees. `test_loss` decides nothing.

        Differentiable(
            start={"w": torch.zeros(8)},
            train_loss=lambda p, h: ((X @ p["w"] - y) ** 2).mean() + h["l2"] * (p["w"] ** 2).sum(),
            validation_loss=lambda p: ((Xa @ p["w"] - ya) ** 2).mean(),
            second_validation_loss=lambda p: ((Xb @ p["w"] - yb) ** 2).mean(),
        )
    """

    start: Tensors | Callable[[int], Tensors]
    """The parameters before training, of one dtype and device; or a function from the seed to them."""
    train_loss: Callable[..., Tensor]
    """``train_loss(parameters, hyperparameters)``, with a third argument ``batch`` where `batches` is given."""
    validation_loss: Callable[[Tensors], Tensor]
    """``validation_loss(parameters)`` on the split whose gradient is followed."""
    second_validation_loss: Callable[[Tensors], Tensor]
    """The same on rows of another split: it stops and it chooses."""
    test_loss: Callable[[Tensors], Tensor] | None = None
    """The same on rows that decide nothing; reported where it is given."""
    batches: Callable[[int], Any] | None = None
    """Training step, from 0, to the batch `train_loss` is given; None: it sees all rows each time."""
    steps: int = 200
    """Gradient steps of a full training."""
    optimiser: Optimiser = "adam"
    """What trains: ``adam``, ``sgd`` with momentum, or ``lbfgs`` (all rows each step, implicit differentiation only)."""
    learning_rate: Rate = 0.01
    """Of the training; a hyperparameter's name or a function makes it tunable by unrolling (and a name, online)."""
    momentum: float = 0.9
    """Of ``sgd``."""

    def __post_init__(self) -> None:
        for name in ("train_loss", "validation_loss", "second_validation_loss"):
            if not callable(getattr(self, name)):
                raise InputError(f"{name} is no function", where=name, cure="Give a function that returns a scalar tensor.")
        if self.test_loss is not None and not callable(self.test_loss):
            raise InputError("test_loss is no function", where="test_loss", cure="Give a function, or leave it out.")
        if self.steps < 1:
            raise InputError(f"{self.steps} training steps", where="steps", cure="Train for at least one step.")
        if self.optimiser not in OPTIMISERS:
            raise InputError(f"unknown optimiser {self.optimiser!r}", where="optimiser", cure=nearest(str(self.optimiser), OPTIMISERS))
        if self.optimiser == "lbfgs" and self.batches is not None:
            raise InputError("lbfgs needs all rows at every step", where="batches", cure="Leave batches out, or train by adam.")
        if isinstance(self.learning_rate, int | float) and not self.learning_rate > 0:
            raise InputError(f"a learning rate of {self.learning_rate}", where="learning_rate", cure="Give one above 0.")
        if not 0 <= self.momentum < 1:
            raise InputError(f"a momentum of {self.momentum}", where="momentum", cure="Give one of at least 0 and below 1.")

    def begin(self, seed: int) -> dict[str, Tensor]:
        """The parameters before training, for this seed."""
        return dict(self.start(seed) if callable(self.start) else self.start)

    def train(self, parameters: Tensors, hyperparameters: Tensors, step: int) -> Tensor:
        """The loss of training step `step`, from 0."""
        if self.batches is None:
            return self.train_loss(parameters, hyperparameters)
        return self.train_loss(parameters, hyperparameters, self.batches(step))
