"""A residual perceptron for tables, as a scikit-learn estimator and as a training that goes on epoch by epoch.

Source: the ResNet of Gorishniy et al. 2021 (arXiv:2106.11959); the smooth clip of inputs is Holzmüller et al. 2024 (arXiv:2407.04491).
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags, RegressorTags, Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from advisor.core.errors import CannotRunError, InputError, nearest
from advisor.objectives.batch_size import Precision
from advisor.objectives.scoring import DivergedError

Numbers = npt.NDArray[np.float64]
MUTABLE = ("lr", "weight_decay", "dropout")
"""What may change while a training goes on from a checkpoint."""
SCHEDULES = ("cosine", "one_cycle", "constant")
"""Courses of the learning rate over the epochs. Source of one cycle: Smith and Topin 2019, with the numbers of ``OneCycleLR``."""

OTHER_INPUTS = "other_inputs"
"""The input columns that `penalties` does not name one by one."""

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "mish": nn.Mish,
}
_NORMALISATIONS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": nn.Identity}
_PREDICTED_AT_ONCE = 65_536
_APART = 1_000_000
"""Number of the first epoch that no training reaches: its random numbers are for what is measured ahead."""


def batch_size_for(rows: int) -> int:
    """Rows a gradient step: a power of two near a fortieth of the rows, 32 to 2048. Source: our knowledge base, C.10."""
    return int(min(max(2 ** round(math.log2(max(rows, 1) / 40)), 32), 2048)) if rows > 40 else 32


class ResidualPerceptron(nn.Module):
    """Logits or numbers ``(rows, outputs)`` of numbers and category codes; code 0 means unknown or missing."""

    def __init__(
        self,
        numbers: int,
        cardinalities: Sequence[int],
        outputs: int,
        *,
        layers: int,
        width: int,
        dropout: float,
        normalisation: str,
        activation: str,
    ) -> None:
        super().__init__()
        self.sizes = sizes = [min(50, math.ceil(1.6 * n**0.56)) for n in cardinalities]
        self.embeddings = nn.ModuleList(nn.Embedding(n + 1, size) for n, size in zip(cardinalities, sizes, strict=True))
        self.first = nn.Linear(numbers + sum(sizes), width)
        norm, act = _named(_NORMALISATIONS, normalisation, "normalisation"), _named(_ACTIVATIONS, activation, "activation")
        self.blocks = nn.ModuleList(
            nn.Sequential(norm(width), nn.Linear(width, width), act(), nn.Dropout(dropout), nn.Linear(width, width), nn.Dropout(dropout))
            for _ in range(layers)
        )
        self.last = nn.Sequential(norm(width), act(), nn.Linear(width, outputs))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        parts = [numbers / torch.sqrt(1 + (numbers / 3) ** 2)]
        parts += [embedding(codes[:, i]) for i, embedding in enumerate(self.embeddings)]
        hidden: Tensor = self.first(torch.cat(parts, dim=1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        out: Tensor = self.last(hidden)
        return out


def _set_dropout(network: nn.Module, rate: float) -> None:
    """Changes the dropout of a network in training."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate


def _named(known: Mapping[str, type[nn.Module]], name: str, what: str) -> type[nn.Module]:
    if name not in known:
        raise InputError(f"unknown {what} {name!r}", where=what, cure=nearest(name, known))
    return known[name]


class EpochTraining(ABC):
    """One network on one set of rows, an epoch at a time. Deterministic for a seed on a CPU, and to the bit after `restore`.

    Randomness is keyed by (seed, epoch), so a checkpoint needs no generator's state. What the rows are is left to the kinds of it:
    each makes its network, hands it to `_begin` and says in `_output` what it gives for some rows.
    """

    HELD: tuple[str, ...] = ("target", "weight", "optimiser", "scaler")
    """What a file of the model leaves out, besides the rows themselves."""

    def __init__(self, settings: Mapping[str, Any], y: npt.NDArray[Any], weight: npt.NDArray[Any] | None, *, classes: int) -> None:
        """`settings` are the arguments of the estimator; `y` holds codes 0 … classes-1, or numbers when `classes` is 0.

        Raises: CannotRunError when the device is not there.
        """
        self.settings, self.classes, self.epoch = dict(settings), classes, 0
        self.device = _device(str(settings["device"]))
        self.seed = int(settings["random_state"] or 0)
        self.centre = 0.0 if classes else float(np.average(y, weights=weight))
        self.scale = 1.0 if classes else float(np.sqrt(np.average((y - self.centre) ** 2, weights=weight))) or 1.0
        self.precision = self._precision()
        self.scaler = torch.amp.GradScaler(self.device.type) if self.precision == "fp16" else None
        self.target = self.target_of(y)
        self.weight = None if weight is None else torch.as_tensor(np.asarray(weight), dtype=torch.float32).to(self.device)

    def _precision(self) -> Precision:
        """What the network computes in: a small one on a table is bound by launches, and gains nothing from less than float32."""
        return "fp32"

    def _begin(self, network: nn.Module) -> None:
        """Takes the network over, and makes its optimiser; norms and biases are not decayed."""
        self.network = network
        decayed = [p for p in network.parameters() if p.ndim > 1]
        rest = [p for p in network.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": float(self.settings["weight_decay"])}, {"params": rest, "weight_decay": 0.0}],
            lr=float(self.settings["lr"]),
            fused=True,
        )
        rows = len(self.target)
        self.batches = max(1, round(rows / int(self.settings["batch_size"] or batch_size_for(rows))))

    @abstractmethod
    def _output(self, rows: Tensor) -> Tensor:
        """What the network in training gives for these of the training rows: logits or numbers ``(rows, outputs)``."""

    @abstractmethod
    def hold(self, X: Any) -> Any:
        """`X` on the device, for `predict_tensors`."""

    @abstractmethod
    def predict_tensors(self, held: Any) -> Numbers:
        """`predict` of rows that `hold` has put on the device."""

    def predict(self, X: Any) -> Numbers:
        """Probabilities ``(rows, classes)``, or numbers ``(rows,)``."""
        return self.predict_tensors(self.hold(X))

    @property
    def is_done(self) -> bool:
        """True when every epoch has been run."""
        return self.epoch >= int(self.settings["stop_epoch"] or self.settings["epochs"])

    def run_epoch(self) -> None:
        """Trains one epoch further.

        Raises: DivergedError when the loss is not finite.
        """
        for after, changed in self.settings.get("course") or ():
            if after <= self.epoch:
                self.settings.update(changed)
        self.network.train()
        _set_dropout(self.network, float(self.settings["dropout"]))
        total = torch.zeros((), device=self.device)
        with self._seeded(self.epoch), memory_errors():
            order = torch.randperm(len(self.target)).to(self.device)
            for i, rows in enumerate(order.tensor_split(self.batches)):
                total += self.step(rows, self._learning_rate(self.epoch * self.batches + i))
        self.epoch += 1
        if not bool(torch.isfinite(total)):
            raise DivergedError(f"diverged: the loss is not finite in epoch {self.epoch}", cure="Lower the learning rate.")

    def batches_of(self, steps: int) -> Iterator[Tensor]:
        """Row numbers of `steps` batches in training mode, through the shuffled rows again and again; epochs of their own, never run."""
        self.network.train()
        _set_dropout(self.network, float(self.settings["dropout"]))
        given = 0
        for turn in count():
            with self._seeded(_APART + turn):
                order = torch.randperm(len(self.target)).to(self.device)
                for rows in order.tensor_split(self.batches):
                    if given == steps:
                        return
                    given += 1
                    yield rows

    def step(self, rows: Tensor, rate: float) -> Tensor:
        """The loss of these training rows, as a scalar on the device, before the gradient step that is taken on it at this rate."""
        for group, decay in zip(self.optimiser.param_groups, (float(self.settings["weight_decay"]), 0.0), strict=True):
            group["lr"], group["weight_decay"] = rate, decay
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._loss(self._output(rows), rows)
        if self.scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        else:
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(self.optimiser)
            self.scaler.update()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """Everything a later `restore` needs, on the CPU and independent of this training."""
        return {
            "epoch": self.epoch,
            "network": _copied(self.network.state_dict()),
            "optimiser": _copied(self.optimiser.state_dict()),
            **({} if self.scaler is None else {"scaler": self.scaler.state_dict()}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`; learning rate, decay and dropout stay those of this training's settings.

        Raises: InputError when the state is that of another network.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(_copied(state["optimiser"]))
            if self.scaler is not None and "scaler" in state:
                self.scaler.load_state_dict(state["scaler"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError("the checkpoint belongs to another network", where="checkpoint", cure="Go on with the same layers.") from error
        self.epoch = int(state["epoch"])

    def learned(self) -> Self:
        """What is left of a training in a file: it predicts on the CPU, and has neither rows nor optimiser."""
        kept = copy.copy(self)
        for name in self.HELD:
            kept.__dict__.pop(name, None)
        kept.network, kept.device = copy.deepcopy(self.network).cpu(), torch.device("cpu")
        return kept

    def target_of(self, y: npt.NDArray[Any]) -> Tensor:
        """Codes, or numbers on the scale that is trained on, on the device."""
        if self.classes:
            return torch.as_tensor(np.asarray(y)).to(self.device, torch.int64)
        return torch.as_tensor((np.asarray(y, dtype=np.float64) - self.centre) / self.scale).to(self.device, torch.float32)

    def _loss(self, output: Tensor, rows: Tensor) -> Tensor:
        return self.loss_of(output, self.target[rows], None if self.weight is None else self.weight[rows])

    def loss_of(self, output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """The mean loss of what the network gives for some rows."""
        if self.classes:
            each = nn.functional.cross_entropy(output, target, reduction="none", label_smoothing=float(self.settings["label_smoothing"]))
        else:
            each = (output[:, 0] - target) ** 2
        if weight is None:
            return each.mean()
        return (each * weight).sum() / weight.sum().clamp_min(1e-12)

    def _learning_rate(self, step: int) -> float:
        peak, done = float(self.settings["lr"]), min(1.0, step / (int(self.settings["epochs"]) * self.batches))
        match self.settings["schedule"]:
            case "constant":
                return peak
            case "cosine":
                return peak * 0.5 * (1 + math.cos(math.pi * done))
            case "one_cycle":
                low, high, part = (0.04, 1.0, done / 0.3) if done < 0.3 else (1.0, 4e-6, (done - 0.3) / 0.7)
                return peak * (high + (low - high) * 0.5 * (1 + math.cos(math.pi * part)))
            case other:
                raise InputError(f"unknown schedule {other!r}", where="schedule", cure=nearest(str(other), SCHEDULES))

    def _finish(self, output: Tensor) -> Numbers:
        if self.classes:
            return np.asarray(torch.softmax(output.double(), dim=1).cpu().numpy(), dtype=np.float64)
        return np.asarray(output[:, 0].double().cpu().numpy() * self.scale + self.centre, dtype=np.float64)

    def _seeded(self, epoch: int) -> _Seeded:
        return _Seeded(self.seed, epoch, self.device)


class Training(EpochTraining):
    """A training on the rows of a table, which stay on the device."""

    HELD = (*EpochTraining.HELD, "numbers", "codes", "strengths")

    def __init__(
        self, settings: Mapping[str, Any], X: Numbers, y: npt.NDArray[Any], weight: npt.NDArray[Any] | None, *, classes: int
    ) -> None:
        super().__init__(settings, y, weight, classes=classes)
        self.categorical = list(settings["categorical_features"] or [])
        self.numeric = [i for i in range(X.shape[1]) if i not in set(self.categorical)]
        self.cardinalities = [int(np.nanmax(X[:, i], initial=-1.0)) + 1 for i in self.categorical]
        self.numbers, self.codes = self._tensors(X)
        with self._seeded(-1):
            network = ResidualPerceptron(
                len(self.numeric),
                self.cardinalities,
                classes or 1,
                layers=int(settings["layers"]),
                width=int(settings["width"]),
                dropout=float(settings["dropout"]),
                normalisation=str(settings["normalisation"]),
                activation=str(settings["activation"]),
            )
        self._begin(moved(network, self.device))
        self.depth, self.sizes = int(settings["layers"]), network.sizes
        self.strengths = self._strengths(settings.get("penalties") or {})

    def penalised(self) -> tuple[str, ...]:
        """The parts of the network that can have an L2 strength of their own: each input column, each hidden layer, the last one."""
        inputs = [f"input_{i}" for i in range(len(self.categorical) + len(self.numeric))]
        return (*inputs, *(f"block_{i}_{k}" for i in range(self.depth) for k in (1, 2)), "last")

    def penalty(self, parameters: Mapping[str, Tensor], strengths: Mapping[str, Tensor]) -> Tensor:
        """Half the sum of squares of each part's weights times its strength: what is added to the loss.

        `strengths` are of `penalised`; ``other_inputs`` is that of every input column that is not named, and what is absent is 0.
        To an embedded column belong its embedding and the weights on it. `parameters` are the network's, or stand for them.
        """
        first, found = parameters["first.weight"], torch.zeros((), device=self.device)
        if any(name.startswith("input_") or name == OTHER_INPUTS for name in strengths):
            zero = torch.zeros((), device=self.device, dtype=first.dtype)
            rest = strengths.get(OTHER_INPUTS, zero)
            columns = torch.stack([strengths.get(f"input_{i}", rest) for i in range(len(self.categorical) + len(self.numeric))])
            embedded = [i for i, size in zip(self.categorical, self.sizes, strict=True) for _ in range(size)]
            owners = torch.tensor([*self.numeric, *embedded], device=self.device)
            found = found + (columns[owners] * (first * first).sum(0)).sum()
            for number, i in enumerate(self.categorical):
                table = parameters[f"embeddings.{number}.weight"]
                found = found + columns[i] * (table * table).sum()
        layers = {f"block_{i}_{k}": f"blocks.{i}.{1 if k == 1 else 4}.weight" for i in range(self.depth) for k in (1, 2)}
        for name, where in {**layers, "last": "last.2.weight"}.items():
            if name in strengths:
                found = found + strengths[name] * (parameters[where] * parameters[where]).sum()
        return 0.5 * found

    def _strengths(self, given: Mapping[str, float]) -> dict[str, Tensor]:
        known = (*self.penalised(), OTHER_INPUTS)
        if unknown := [name for name in given if name not in known]:
            raise InputError(f"the network has no part {unknown[0]!r} to penalise", where="penalties", cure=nearest(unknown[0], known))
        return {name: torch.tensor(float(value), device=self.device) for name, value in given.items()}

    def _loss(self, output: Tensor, rows: Tensor) -> Tensor:
        loss = super()._loss(output, rows)
        return loss + self.penalty(dict(self.network.named_parameters()), self.strengths) if self.strengths else loss

    def predict_tensors(self, held: tuple[Tensor, Tensor]) -> Numbers:
        """`predict` of rows that `hold` has put on the device."""
        return self._finish(_forward(self.network, *held))

    def hold(self, X: Numbers) -> tuple[Tensor, Tensor]:
        """`X` on the device, for `predict_tensors`."""
        return self._tensors(X)

    def _output(self, rows: Tensor) -> Tensor:
        out: Tensor = self.network(self.numbers[rows], self.codes[rows])
        return out

    def _tensors(self, X: Numbers) -> tuple[Tensor, Tensor]:
        numbers = torch.as_tensor(np.array(X[:, self.numeric], dtype=np.float32)).to(self.device)
        codes = X[:, self.categorical] + 1
        for i, cardinality in enumerate(self.cardinalities):
            codes[:, i] = np.where((codes[:, i] >= 1) & (codes[:, i] <= cardinality), codes[:, i], 0)
        return numbers, torch.as_tensor(codes.astype(np.int64)).to(self.device)


class _Seeded:
    """Randomness keyed by (seed, epoch) while it is entered; the generators outside stay as they were."""

    def __init__(self, seed: int, epoch: int, device: torch.device) -> None:
        self._key = int(np.random.SeedSequence([seed, epoch + 1]).generate_state(1, np.uint64)[0])
        self._fork = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])

    def __enter__(self) -> None:
        self._fork.__enter__()
        torch.manual_seed(self._key)

    def __exit__(self, *error: Any) -> None:
        self._fork.__exit__(*error)


def _forward(network: nn.Module, numbers: Tensor, codes: Tensor) -> Tensor:
    network.eval()
    with torch.inference_mode():
        parts = zip(torch.split(numbers, _PREDICTED_AT_ONCE), torch.split(codes, _PREDICTED_AT_ONCE), strict=True)
        return torch.cat([network(n, c) for n, c in parts])


@contextmanager
def memory_errors() -> Iterator[None]:
    """Has a processor's lack of memory raised as MemoryError, which PyTorch says by a RuntimeError of many kinds."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" not in str(error):
            raise
        raise MemoryError(str(error).partition("DefaultCPUAllocator: ")[2] or "PyTorch") from error


def moved(network: nn.Module, device: torch.device) -> nn.Module:
    """`network` on `device`. One that is on the processor is left alone, since what a trace of memory makes cannot be moved."""
    return network if device.type == "cpu" else network.to(device)


def _copied(value: Any) -> Any:
    """`value` with every tensor cloned onto the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def _device(name: str) -> torch.device:
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise CannotRunError("PyTorch finds no CUDA device", where="envelope.device", cure="Use the CPU.")
    if name == "mps" and not torch.backends.mps.is_available():
        raise CannotRunError("PyTorch finds no MPS device", where="envelope.device", cure="Use the CPU.")
    return torch.device(name)


def _classifies(network: EpochNetwork) -> bool:
    if network.task == "regression":
        raise AttributeError("a network for numbers has no probabilities")
    return True


class EpochNetwork(BaseEstimator):  # type: ignore[misc]
    """A network as an estimator: cross-entropy for classes, the squared error of the standardised target for numbers.

    The kinds of it say in `_training` how their rows are trained on.
    """

    takes_task = True
    """Tells the pipeline to name `task`, `threads` and `device`."""
    task: str
    threads: int | None
    training_: EpochTraining

    @abstractmethod
    def _training(self, X: Any, y: npt.NDArray[Any], weight: Any, *, classes: int) -> EpochTraining:
        """A training of this estimator; `y` holds codes, or numbers when `classes` is 0."""

    def begin(self, X: Any, y: npt.NDArray[Any], sample_weight: Any = None) -> EpochTraining:
        """A training of this estimator that has run no epoch yet; `adopt` takes it over."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        target, classes = np.asarray(y), 0
        if self.task != "regression":
            self.classes_, target = np.unique(target, return_inverse=True)
            classes = len(self.classes_)
        with memory_errors():
            return self._training(X, target, sample_weight, classes=classes)

    def adopt(self, training: EpochTraining) -> Self:
        """This estimator, fitted with what `training` has learned so far."""
        self.training_ = training
        return self

    def fit(self, X: Any, y: npt.NDArray[Any], sample_weight: Any = None) -> Self:
        """This estimator, trained for all its epochs.

        Raises: DivergedError when the loss is not finite.
        """
        training = self.begin(X, y, sample_weight)
        while not training.is_done:
            training.run_epoch()
        return self.adopt(training)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if "training_" in state:
            state["training_"] = state["training_"].learned()
        return state

    @available_if(_classifies)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Numbers:
        """Probabilities ``(rows, classes)`` in the order of `classes_`."""
        return self._predicted(X)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The likeliest class of each row, or one number a row."""
        found = self._predicted(X)
        return found if self.task == "regression" else np.asarray(self.classes_[found.argmax(axis=1)])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        if self.task == "regression":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        else:
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags

    def _predicted(self, X: Any) -> Numbers:
        check_is_fitted(self, "training_")
        return self.training_.predict(X)


class TabularNetwork(EpochNetwork):
    """The network for tables.

    Input columns are numbers without gaps; those of `categorical_features` hold codes from 0 and are embedded, where a
    negative code, NaN or a code not seen in training means unknown.
    """

    embeds_categories = True
    """Tells the pipeline to name the code columns in `categorical_features`."""

    def __init__(
        self,
        *,
        task: Literal["binary", "multiclass", "regression"] = "binary",
        layers: int = 2,
        width: int = 128,
        dropout: float = 0.1,
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
        batch_size: int | None = None,
        epochs: int = 50,
        stop_epoch: int | None = None,
        course: Sequence[tuple[int, Mapping[str, Any]]] | None = None,
        schedule: Literal["cosine", "one_cycle", "constant"] = "cosine",
        normalisation: Literal["batch", "layer", "none"] = "batch",
        activation: str = "relu",
        label_smoothing: float = 0.0,
        categorical_features: Sequence[int] | None = None,
        penalties: Mapping[str, float] | None = None,
        device: str = "cpu",
        threads: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        """`penalties`: part of the network (`Training.penalised`) to the L2 strength that is added to the loss for its weights.
        `course`: from after each epoch on, the learning rate, decay and dropout beside it, as a population learns them.
        """
        self.task = task
        self.layers = layers
        self.width = width
        self.dropout = dropout
        self.lr = lr
        self.weight_decay = weight_decay
        self.penalties = penalties
        self.batch_size = batch_size
        self.epochs = epochs
        self.stop_epoch = stop_epoch
        self.course = course
        self.schedule = schedule
        self.normalisation = normalisation
        self.activation = activation
        self.label_smoothing = label_smoothing
        self.categorical_features = categorical_features
        self.device = device
        self.threads = threads
        self.random_state = random_state

    def _training(self, X: Any, y: npt.NDArray[Any], weight: Any, *, classes: int) -> Training:
        return Training(self.get_params(), np.asarray(X), y, weight, classes=classes)

    def adopt(self, training: EpochTraining) -> Self:
        """This estimator, fitted with what `training` has learned so far."""
        assert isinstance(training, Training)
        self.n_features_in_ = len(training.numeric) + len(training.categorical)
        return super().adopt(training)

    def _predicted(self, X: Any) -> Numbers:
        return super()._predicted(np.asarray(X))
