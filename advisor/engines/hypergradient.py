"""Hypergradients in PyTorch: many continuous hyperparameters follow the gradient of the validation loss while a training runs.

Three ways to that gradient, each a function of its own below:

- implicit: through the optimum of the inner training, by an inverse-Hessian product (conjugate gradients, or a Neumann series).
  Source: Lorraine, Vicol and Duvenaud 2020, arXiv:1911.02590. For many regularisers, where the training comes near its optimum.
- unrolled: through every step of the training, backwards. Source: Maclaurin, Duvenaud and Adams 2015, arXiv:1502.03492. Exact, also
  for learning rates and schedules; its memory grows with the steps.
- online: of the next step alone, for the learning rate while one training runs. Source: Baydin et al. 2018, arXiv:1703.04782.

Hyperparameters move in coordinates from 0 to 1 over their range, logarithmic where the space is, so that no bound is ever crossed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, vjp  # type: ignore[attr-defined,unused-ignore]

from advisor.core.errors import AdvisorError, CannotRunError, InputError, nearest
from advisor.core.ports import Proposal, Result, Scribe
from advisor.core.space import Choice, Config, Float, SearchSpace

Tensors = Mapping[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
"""Flat parameters and coordinates of the hyperparameters to a scalar."""
Product = Callable[[Tensor], Tensor]
"""A vector to the Hessian times it."""
Method = Literal["implicit", "unrolled", "online"]
Solver = Literal["conjugate_gradient", "neumann"]

METHODS: tuple[Method, ...] = ("implicit", "unrolled", "online")
SOLVERS: tuple[Solver, ...] = ("conjugate_gradient", "neumann")
TERMS = 30
"""Hessian products an outer step. Source: cosine to the exact gradient 1.000 (conjugate gradients) and 0.987 (Neumann) at 30."""
MEMORY_BYTES = 2 * 2**30
"""Most memory an unrolled training may hold, unless the caller knows better."""
LOOK_SECONDS = 0.2
"""How often it is asked whether the stage is over."""
LOOKS = 20
"""Measurements of one full training."""
MIN_GAIN = 1e-4
"""Share by which the second validation loss must fall to count as better."""
STILL = 1e-5
"""Share of every range below which an outer step is none."""
RESERVE = 1.3
"""Times the default's training that are kept to train what was found."""
FAR_RATIO = 0.1
"""[H] A training that ends with more of the gradient it began with is not near its optimum."""
HALVINGS = 4
"""How often the outer step is halved after a divergence before the search ends where it is."""


class Pair(Protocol):
    """What is needed of a training: `advisor.objectives.differentiable.Differentiable` is one."""

    @property
    def steps(self) -> int: ...
    @property
    def optimiser(self) -> str: ...
    @property
    def learning_rate(self) -> float | str | Callable[[Tensors, int], Tensor]: ...
    @property
    def momentum(self) -> float: ...
    @property
    def batches(self) -> Callable[[int], Any] | None: ...
    @property
    def validation_loss(self) -> Callable[[Tensors], Tensor]: ...
    @property
    def second_validation_loss(self) -> Callable[[Tensors], Tensor]: ...
    @property
    def test_loss(self) -> Callable[[Tensors], Tensor] | None: ...

    def begin(self, seed: int) -> dict[str, Tensor]: ...
    def train(self, parameters: Tensors, hyperparameters: Tensors, step: int) -> Tensor: ...


# ------------------------------------------------------------------------------------------------ the mathematics


def conjugate_gradient(
    product: Product, right: Tensor, *, iterations: int = TERMS, damping: float = 0.0, tolerance: float = 1e-6
) -> Tensor:
    """``(H + damping)⁻¹ right``, to `tolerance` of the norm of `right` or after `iterations` products.

    Ends where a direction has no positive curvature, with what it has by then (after none: a step along `right`), since a network
    short of its optimum has such directions. Source: Hestenes and Stiefel 1952; the stop is Steihaug's (1983).
    """
    solution, residual, direction = torch.zeros_like(right), right.clone(), right.clone()
    before = residual @ residual
    end = tolerance**2 * before
    for i in range(iterations):
        if bool(before <= end):
            break
        curved = product(direction) + damping * direction
        curvature = direction @ curved
        if bool(curvature <= 0):
            return solution if i else right * (before / curvature.abs().clamp_min(torch.finfo(right.dtype).tiny))
        length = before / curvature
        solution = solution + length * direction
        residual = residual - length * curved
        after = residual @ residual
        direction = residual + (after / before) * direction
        before = after
    return solution


def neumann(product: Product, right: Tensor, *, terms: int = TERMS, damping: float = 0.0, scale: float | None = None) -> Tensor:
    """``scale · Σ (1 - scale · (H + damping))ᵏ right`` for k up to `terms`, which tends to the inverse times `right`.

    `scale` must lie below 2 over the largest curvature; by default it is 1 over an estimate of that. Source: arXiv:1911.02590, eq. 6.
    """
    if scale is None:
        scale = 1.0 / (1.2 * largest_curvature(product, right) + damping)  # power iteration comes from below, hence 1.2
    term, total = right, right
    for _ in range(terms):
        term = term - scale * (product(term) + damping * term)
        total = total + term
    return scale * total


def largest_curvature(product: Product, like: Tensor, *, iterations: int = 8) -> float:
    """The largest eigenvalue of the Hessian by size, from below, by power iteration from `like`; a tiny number where it has none."""
    tiny = torch.finfo(like.dtype).tiny
    vector, found = like / like.norm().clamp_min(tiny), torch.zeros((), dtype=like.dtype)
    for _ in range(iterations):
        vector = product(vector)
        found = vector.norm()
        vector = vector / found.clamp_min(tiny)
    return max(float(found), float(tiny))


def implicit_hypergradient(
    train: Loss, validation: Callable[[Tensor], Tensor], weights: Tensor, hyper: Tensor, *, solve: Callable[[Product, Tensor], Tensor]
) -> Tensor:
    """The gradient of ``validation(optimum of train(·, hyper))`` by `hyper`, where `weights` are near that optimum.

    By the implicit function theorem it is ``- ∂²train/∂hyper∂weights · H⁻¹ · ∂validation/∂weights``; `solve` gives the middle.
    """
    right = grad(validation)(weights)
    # the Hessian is symmetric, so one linearisation gives both H·v and the mixed term
    pull: Callable[[Tensor], Any] = vjp(grad(train), weights, hyper)[1]
    with torch.no_grad():
        adjoint = solve(lambda vector: pull(vector)[0], right)
        found: Tensor = -pull(adjoint)[1]
    return found


def unrolled_hypergradient(
    train: Callable[[Tensor, Tensor, int], Tensor],
    validation: Callable[[Tensor], Tensor],
    weights: Tensor,
    hyper: Tensor,
    *,
    rule: Rule,
    rate: Callable[[Tensor, int], Tensor | float],
    steps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of the validation loss after `steps` of training from `weights` by `hyper`; that loss; and the weights then.

    Everything the training does is kept in memory until the gradient is taken.
    """

    def outcome(z: Tensor) -> tuple[Tensor, Tensor]:
        w, state = weights, rule.start(weights)
        for step in range(steps):
            w, state, _ = _step(train, w, z, step, state, rule, rate)
        return validation(w), w

    outcome_gradient: Callable[[Tensor], Any] = grad_and_value(outcome, has_aux=True)
    found, (loss, trained) = outcome_gradient(hyper)
    return found, loss.detach(), trained.detach()


def unrolled_bytes(
    train: Callable[[Tensor, Tensor, int], Tensor],
    weights: Tensor,
    hyper: Tensor,
    *,
    rule: Rule,
    rate: Callable[[Tensor, int], Tensor | float],
    steps: int,
) -> int:
    """Memory that `unrolled_hypergradient` holds, without its second pass: what the second step saved for later, times `steps`.

    The first step is not counted, because it also saves what all steps share, such as the rows.
    """
    kept: dict[int, Tensor] = {}  # by address; holding the tensors keeps an address from being used twice

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    z, w, state, sizes = hyper.detach().requires_grad_(), weights.detach().requires_grad_(), rule.start(weights), [0]
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        for step in range(2):
            (gradient,) = torch.autograd.grad(train(w, z, step), w, create_graph=True)
            direction, state = rule.direction(gradient, state, step)
            w = w - rate(z, step) * direction
            sizes.append(sum(tensor.untyped_storage().nbytes() for tensor in kept.values()))
    return (sizes[2] - sizes[1]) * steps


def online_hypergradient(gradient: Tensor, direction: Tensor) -> Tensor:
    """The derivative of a training loss by the learning rate of the step before: ``- gradient · direction``.

    `direction` was subtracted in that step, times the rate; `gradient` is the loss's where it led. Source: arXiv:1703.04782, eq. 5.
    """
    return -(gradient @ direction)


State = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a gradient becomes a direction: ``sgd`` with momentum, or ``adam``; differentiable itself. Source: arXiv:1412.6980."""

    name: str
    momentum: float = 0.9
    second: float = 0.999
    """Adam's decay of squares."""

    def start(self, weights: Tensor) -> State:
        """The state before the first step."""
        return (torch.zeros_like(weights),) * (2 if self.name == "adam" else 1)

    def direction(self, gradient: Tensor, state: State, step: int) -> tuple[Tensor, State]:
        """What is subtracted, times the rate, at `step` (from 0), and the state after it."""
        if self.name == "sgd":
            mean = self.momentum * state[0] + gradient
            return mean, (mean,)
        mean = 0.9 * state[0] + 0.1 * gradient
        square = self.second * state[1] + (1 - self.second) * gradient * gradient
        corrected = square / (1 - self.second ** (step + 1))
        # the small number stands inside the root, because the root has no derivative at 0
        return mean / (1 - 0.9 ** (step + 1)) / torch.sqrt(corrected + 1e-16), (mean, square)


def _step(
    train: Callable[[Tensor, Tensor, int], Tensor],
    weights: Tensor,
    hyper: Tensor,
    step: int,
    state: State,
    rule: Rule,
    rate: Callable[[Tensor, int], Tensor | float],
) -> tuple[Tensor, State, Tensor]:
    """Weights and state after one step of training, and the direction it took."""
    gradient = grad(train)(weights, hyper, step)
    direction, state = rule.direction(gradient, state, step)
    return weights - rate(hyper, step) * direction, state, direction


# ------------------------------------------------------------------------------------- parameters and hyperparameters


@dataclass(frozen=True)
class Layout:
    """Named parameters as one flat vector, and back."""

    shapes: dict[str, torch.Size]
    """Name to shape, in order."""

    @classmethod
    def of(cls, parameters: Tensors) -> Layout:
        """The layout of these parameters.

        Raises: InputError when they are no floating-point tensors of one dtype and device, all finite.
        """
        if not parameters:
            raise InputError("the training has no parameters", where="start", cure="Give at least one tensor.")
        for name, tensor in parameters.items():
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
                raise InputError(f"parameter {name!r} is no floating-point tensor", where="start", cure="Give tensors of floats.")
            if not bool(torch.isfinite(tensor).all()):
                raise InputError(f"parameter {name!r} holds numbers that are not finite", where="start", cure="Start from finite numbers.")
        kinds = {(t.dtype, t.device) for t in parameters.values()}
        if len(kinds) > 1:
            raise InputError(
                f"the parameters have {len(kinds)} kinds of dtype and device", where="start", cure="Bring them to one dtype and device."
            )
        return cls({name: tensor.shape for name, tensor in parameters.items()})

    def flat(self, parameters: Tensors) -> Tensor:
        """One vector, detached from what the parameters came from."""
        return torch.cat([parameters[name].detach().reshape(-1) for name in self.shapes])

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Name to tensor, as views of `flat`."""
        parts = torch.split(flat, [shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}


class Coordinates:
    """The free hyperparameters as a vector from 0 to 1, logarithmic where the space is; those of one value are constants."""

    def __init__(self, space: SearchSpace, *, dtype: torch.dtype, device: torch.device) -> None:
        """Raises: InputError when a free parameter is no Float, is conditional, or none is free."""
        free = space.free
        for name, parameter in space.items():
            if parameter.when:
                raise InputError(
                    f"{name} has a condition, and a gradient cannot switch it on", where="space", cure=f"Take the condition of {name} away."
                )
            if name in free and not isinstance(parameter, Float):
                raise InputError(
                    f"{name} is no real number, so it has no gradient",
                    where="space",
                    cure=f"Fix {name} to one value, or choose another strategy.",
                )
        if not free:
            raise InputError("no hyperparameter is free", where="space", cure="Give at least one Float with low below high.")
        self.space, self.names = space, free
        self._floats: dict[str, Float] = {n: p for n, p in space.items() if n in free and isinstance(p, Float)}
        self._constants: Config = {n: p.choices[0] if isinstance(p, Choice) else p.low for n, p in space.items() if n not in free}
        parameters = list(self._floats.values())
        self._dtype, self._device = dtype, device
        self._log = torch.tensor([p.log for p in parameters], device=device)
        self._low = self._vector(p.low for p in parameters)
        self._high = self._vector(p.high for p in parameters)
        self._from = self._vector(math.log(p.low) if p.log else p.low for p in parameters)
        self._range = self._vector((math.log(p.high) - math.log(p.low)) if p.log else p.high - p.low for p in parameters)
        self.constants: dict[str, Tensor] = {
            n: torch.tensor(float(v), dtype=dtype, device=device)
            for n, v in self._constants.items()
            if isinstance(v, int | float) and not isinstance(v, bool)
        }

    def _vector(self, numbers: Any) -> Tensor:
        return torch.tensor(list(numbers), dtype=torch.float64, device=self._device)

    def of(self, config: Config) -> Tensor:
        """The coordinates of `config`; a value that is missing or None stands in the middle of its range.

        Raises: InputError when a value lies outside the space.
        """
        found = []
        for name, p in self._floats.items():
            value = config.get(name)
            if value is None:
                found.append(0.5)
            elif not p.contains(value):
                raise InputError(f"{name} = {value!r} lies outside the space", where="default", cure="Move it within the bounds.")
            else:
                part = math.log(value / p.low) / math.log(p.high / p.low) if p.log else (value - p.low) / (p.high - p.low)
                found.append(min(max(part, 0.0), 1.0))
        return self._vector(found)

    def values(self, z: Tensor) -> dict[str, Tensor]:
        """Name to scalar tensor, constants among them; differentiable by `z`."""
        scaled = self._from + z * self._range
        values = torch.where(self._log, torch.exp(torch.where(self._log, scaled, 0.0)), scaled)
        bounded = values.clamp(self._low, self._high).to(self._dtype)
        return {**self.constants, **dict(zip(self.names, bounded.unbind(), strict=True))}

    def config(self, z: Tensor) -> Config:
        """The configuration at `z`, in the order of the space and within its bounds to the last bit."""
        found = dict(self._constants)
        for (name, p), part in zip(self._floats.items(), z.tolist(), strict=True):
            value = math.exp(math.log(p.low) + part * (math.log(p.high) - math.log(p.low))) if p.log else p.low + part * (p.high - p.low)
            found[name] = min(max(value, p.low), p.high)
        return {name: found[name] for name in self.space.parameters}


def method_for(pair: Pair, space: SearchSpace) -> Method:
    """``online`` where the learning rate alone is free, ``unrolled`` where it is one of several or a schedule, else ``implicit``."""
    rate = pair.learning_rate
    if isinstance(rate, str) and space.free == (rate,):
        return "online"
    return "unrolled" if callable(rate) or (isinstance(rate, str) and rate in space.free) else "implicit"


# -------------------------------------------------------------------------------------------------------- the loop


class _Over(Exception):  # noqa: N818
    """The stage must end now."""


class _DivergedError(Exception):
    """A loss of the training is not finite."""


PATH = "the path of the outer optimisation ended; what it found is trained from the start as a trial of its own"
"""Why trial 1 has no score of its own."""


@dataclass
class _Trial:
    """One trial as it is taken down."""

    scribe: Scribe
    key: int
    began: float = field(default_factory=time.perf_counter)
    steps: list[tuple[int, float]] = field(default_factory=list)

    def measured(self, step: int, value: float) -> None:
        self.steps.append((step, value))
        self.scribe.measured(self.key, step, value)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def completed(self, value: float) -> None:
        self.scribe.ended(self.key, Result("completed", value, (value,), tuple(self.steps), self.seconds, self.seconds))

    def led(self, value: float) -> None:
        """Ends the path of an outer optimisation, which is no rival of trials trained from the start: its weights were warm."""
        self.scribe.ended(self.key, Result("pruned", value, (), tuple(self.steps), self.seconds, cause=PATH))

    def failed(self, cause: str, cure: str) -> None:
        self.scribe.ended(self.key, Result("failed", steps=tuple(self.steps), seconds=self.seconds, cause=cause), cure=cure)


@dataclass(frozen=True)
class Losses:
    """The losses of one set of weights."""

    validation: float
    """On the split whose gradient is followed."""
    second: float
    """On the split that stops and chooses."""
    test: float | None
    """On rows that decide nothing; None where there are none."""

    def __str__(self) -> str:
        test = "" if self.test is None else f", test {self.test:.6g}"
        return f"validation {self.validation:.6g}, second validation {self.second:.6g}{test}"


@dataclass
class _Training:
    """An inner training under way."""

    weights: Tensor
    state: State
    step: int = 0
    lbfgs: tuple[Tensor, Tensor, torch.optim.LBFGS] | None = None
    """Where `lbfgs` trains: the coordinates that its memory of curvature belongs to, the weights it moves, and itself."""

    def copy(self) -> _Training:
        return _Training(self.weights.clone(), tuple(s.clone() for s in self.state), self.step)


Visit = Callable[[Tensor], tuple[Losses, Tensor, int]]
"""Coordinates to the losses there, the hypergradient there, and the training steps that it took."""


class HypergradientLoop:
    """A `LibraryLoop`: the default configuration trained in full; one training whose configuration follows the hypergradient; and,
    for the implicit and the unrolled method, the configuration that was found, trained in full from the start like the default.

    What is measured is the second validation loss (minimised): the first one's gradient is followed, so it flatters. The second one
    stops the search and chooses the configuration. Steps are gradient steps of the inner training. Deterministic for a seed on a CPU.
    """

    def __init__(
        self,
        pair: Pair,
        space: SearchSpace,
        *,
        method: Method | None = None,
        default: Config | None = None,
        seed: int = 0,
        solver: Solver = "conjugate_gradient",
        terms: int = TERMS,
        damping: float = 0.0,
        outer_steps: int = 200,
        inner_steps: int | None = None,
        outer_rate: float = 0.03,
        patience: int = 15,
        hessian_batches: int = 8,
        memory_bytes: int = MEMORY_BYTES,
        threads: int | None = None,
        family: str | None = None,
    ) -> None:
        """`method` None: as `method_for` says. `outer_rate` is a share of each range, online of the learning rate itself.
        `inner_steps` lie between two outer steps of the implicit method: a tenth of a full training by default and at least 10.
        `damping` is added to the Hessian; `hessian_batches` are averaged where there are batches; `memory_bytes` bounds an
        unrolled training.

        Raises: InputError for a space, a method or a training that do not fit together.
        """
        self.pair, self.space, self.seed, self.family = pair, space, seed, family
        self.method: Method = method_for(pair, space) if method is None else method
        if self.method not in METHODS:
            raise InputError(f"unknown method {method!r}", where="method", cure=nearest(str(method), METHODS))
        if solver not in SOLVERS:
            raise InputError(f"unknown solver {solver!r}", where="solver", cure=nearest(str(solver), SOLVERS))
        self.solver, self.terms, self.damping = solver, terms, damping
        self.outer_steps, self.outer_rate, self.patience = outer_steps, outer_rate, patience
        self.inner_steps = min(pair.steps, max(10, pair.steps // 10)) if inner_steps is None else inner_steps
        self.hessian_batches, self.memory_bytes, self.threads = hessian_batches, memory_bytes, threads
        parameters = pair.begin(seed)
        self.layout = Layout.of(parameters)
        self._start = self.layout.flat(parameters)
        self.coordinates = Coordinates(space, dtype=self._start.dtype, device=self._start.device)
        given = space.default() if default is None else default
        self._first = self.coordinates.of(given)
        # the default as it was given: there and back through a logarithm it would differ in the last bits
        self._default = {n: v if given.get(n) is None else given[n] for n, v in self.coordinates.config(self._first).items()}
        self._rule = Rule("sgd" if pair.optimiser == "sgd" else "adam", pair.momentum)
        self._looked_at = 0.0
        self._scribe: Scribe | None = None
        self._fits()

    def _fits(self) -> None:
        rate, free = self.pair.learning_rate, self.space.free
        if isinstance(rate, str) and rate not in self.coordinates.names and rate not in self.coordinates.constants:
            raise InputError(
                f"the learning rate is {rate!r}, which the space lacks", where="learning_rate", cure=nearest(rate, self.space.parameters)
            )
        match self.method:
            case "implicit" if isinstance(rate, str) and rate in free:
                raise InputError(
                    f"{rate} is the learning rate, and the optimum does not depend on it, so it has no implicit gradient",
                    where="space",
                    cure=f"Fix {rate}, or use the method 'unrolled'.",
                )
            case "online" if not isinstance(rate, str) or rate not in free:
                raise InputError(
                    "the method 'online' tunes the learning rate, and the space does not hold it",
                    where="learning_rate",
                    cure="Name a free Float of the space as learning_rate.",
                )
            case "unrolled" if self.pair.optimiser == "lbfgs":
                raise InputError("lbfgs cannot be unrolled", where="optimiser", cure="Train by adam or sgd.")

    def train(self, config: Config) -> Losses | None:
        """The losses after a full training under `config`, from the start and outside of any stage; None when it diverged.

        Raises: InputError when a value lies outside the space.
        """
        training = self._begin()
        try:
            self._advance(training, self.coordinates.of(config), self.pair.steps)
            return self._losses(training.weights)
        except _DivergedError:
            return None

    # ------------------------------------------------------------------------------------------------ the stage

    def run(self, scribe: Scribe) -> None:
        """Runs the stage.

        Raises: InputError when a loss is not scalar, not finite at the start, or does not depend on what it should;
        CannotRunError when unrolling the training needs too much memory.
        """
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        self._scribe = scribe
        with torch.random.fork_rng(devices=[self._start.device] if self._start.device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            self._check()
            if self.method == "unrolled":
                self._check_memory()
            try:
                self._run(scribe)
            except _Over:
                pass
            finally:
                self._scribe = None

    def _run(self, scribe: Scribe) -> None:
        began = time.perf_counter()
        default = self._full(scribe, 0, self._first, "default")
        if default is None:
            return
        reserve, base = RESERVE * (time.perf_counter() - began), self._losses(default.weights)
        if self.method == "online":
            self._online(scribe, base)
            return
        if scribe.remaining() < 2 * reserve:
            scribe.noted("The time that is left holds no search after the default's training. Give more time.", is_warning=True)
            return
        visit = self._implicit(scribe, default) if self.method == "implicit" else self._unrolled()
        found = self._descend(scribe, visit, reserve)
        if found is None:
            return
        ended = self._full(scribe, 2, found, "proposal")
        if ended is not None:
            scribe.noted(f"Both trained in full from the start. Default: {base}. Found: {self._losses(ended.weights)}.")

    def _full(self, scribe: Scribe, key: int, z: Tensor, origin: Literal["default", "proposal"]) -> _Training | None:
        """A full training under the configuration at `z`; None when it failed."""
        trial, training = self._trial(scribe, key, z, origin), self._begin()
        every = max(1, self.pair.steps // LOOKS)
        try:
            while training.step < self.pair.steps:
                self._advance(training, z, min(every, self.pair.steps - training.step))
                trial.measured(training.step, self._losses(training.weights).second)
        except _DivergedError as error:
            trial.failed(str(error), "Lower the learning rate.")
            return None
        trial.completed(trial.steps[-1][1])
        return training

    def _descend(self, scribe: Scribe, visit: Visit, reserve: float) -> Tensor | None:
        """Trial 1: Adam on the coordinates, held within 0 and 1; the coordinates where the second validation loss was lowest.

        None when there is no gradient to begin with.
        """
        trial = self._trial(scribe, 1, self._first, "proposal")
        z, rate, step, waited = self._first, self.outer_rate, 0, 0
        rule, moves, halvings, best_at = Rule("adam", second=0.99), 0, 0, 0
        state = rule.start(z)
        why = f"all {self.outer_steps} outer steps were taken"
        try:
            losses, gradient, _ = visit(z)
            best, lowest = z, losses
            for outer in range(1, self.outer_steps + 1):
                if scribe.remaining() < reserve:
                    why = "the time that is left is kept to train what was found"
                    break
                direction, state = rule.direction(gradient, state, moves)
                moved = (z - rate * direction).clamp(0.0, 1.0)
                if float((moved - z).abs().max()) < STILL:
                    why = "the hyperparameters no longer move"
                    break
                because = f"outer step {outer}: {losses}; the norm of the hypergradient is {float(gradient.norm()):.3g}"
                # the weights of the implicit method come from the default's training
                parent = 0 if outer == 1 and self.method == "implicit" else None
                scribe.changed(1, step, self._config(moved), parent=parent, because=because)
                try:
                    losses, gradient, taken = visit(moved)
                except _DivergedError as error:
                    rate, halvings, state, moves = rate / 2, halvings + 1, rule.start(z), 0
                    scribe.noted(f"Outer step {outer} diverged ({error}); it is taken back, and the next ones are half as long.")
                    scribe.changed(1, step, self._config(z), because="taken back: the training diverged")
                    if halvings > HALVINGS:
                        why = f"it diverged {halvings} times"
                        break
                    continue
                z, step, moves = moved, step + taken, moves + 1
                trial.measured(step, losses.second)
                if losses.second < lowest.second - MIN_GAIN * abs(lowest.second):
                    best, lowest, best_at, waited = z, losses, outer, 0
                else:
                    waited += 1
                if waited >= self.patience:
                    why = f"the second validation loss has not fallen for {waited} outer steps"
                    break
        except _Over:
            why = "the time is up"
            if not trial.steps:
                raise
        except _DivergedError as error:
            trial.failed(str(error), "Begin with a default whose training ends where the losses are smooth.")
            return None
        if not torch.equal(best, z):
            because = f"the second validation loss was lowest after outer step {best_at}: {lowest}"
            scribe.changed(1, step, self._config(best), because=because)
        trial.led(lowest.second)
        scribe.noted(f"The outer optimisation ended because {why}. Kept, from outer step {best_at}: {lowest}. Last: {losses}.")
        return best

    def _implicit(self, scribe: Scribe, default: _Training) -> Visit:
        """Goes on from the default's weights: some steps of training under the new configuration, then the gradient there."""
        training, is_first = default.copy(), True

        def visit(z: Tensor) -> tuple[Losses, Tensor, int]:
            nonlocal training, is_first
            taken = 0 if is_first else self.inner_steps
            ahead = training.copy()
            if not is_first:
                self._advance(ahead, z, taken)
            else:
                self._tell_convergence(scribe, ahead)
            losses = self._losses(ahead.weights)
            found = self._guarded(self._implicit_gradient(ahead.weights, z, ahead.step))
            training, is_first = ahead, False
            return losses, found, taken

        return visit

    def _implicit_gradient(self, weights: Tensor, z: Tensor, step: int) -> Tensor:
        count = 1 if self.pair.batches is None else self.hessian_batches

        def train(w: Tensor, at: Tensor) -> Tensor:
            return torch.stack([self._train(w, at, step + i) for i in range(count)]).mean()

        def solve(product: Product, right: Tensor) -> Tensor:
            def looking(vector: Tensor) -> Tensor:
                self._look()
                return product(vector)

            if self.solver == "neumann":
                return neumann(looking, right, terms=self.terms, damping=self.damping)
            return conjugate_gradient(looking, right, iterations=self.terms, damping=self.damping)

        return implicit_hypergradient(train, self._validation, weights, z, solve=solve)

    def _unrolled(self) -> Visit:
        """Trains in full from the start, and takes the gradient through all of it."""

        def train(w: Tensor, z: Tensor, step: int) -> Tensor:
            self._look()
            return self._train(w, z, step)

        def visit(z: Tensor) -> tuple[Losses, Tensor, int]:
            found, _, weights = unrolled_hypergradient(
                train, self._validation, self._start, z, rule=self._rule, rate=self._rate, steps=self.pair.steps
            )
            return self._losses(weights), self._guarded(found), self.pair.steps

        return visit

    def _online(self, scribe: Scribe, base: Losses) -> None:
        """Trial 1: one training whose learning rate follows the hypergradient of its next step, all other values the default's."""
        trial = self._trial(scribe, 1, self._first, "proposal")
        training, z, before = self._begin(), self._first.clone(), None
        every = max(1, self.pair.steps // LOOKS)
        try:
            while training.step < self.pair.steps:
                self._look()
                values = self.coordinates.values(z)
                gradient, loss = self._gradient(training.weights, values, training.step)
                if before is not None:
                    z = self._moved_online(z, gradient, before)
                direction, training.state = self._rule.direction(gradient, training.state, training.step)
                training.weights = training.weights - self._rate(z, training.step) * direction
                before, training.step = direction, training.step + 1
                if training.step % every == 0 or training.step == self.pair.steps:
                    self._finite(loss, training)
                    trial.measured(training.step, self._losses(training.weights).second)
                    if training.step < self.pair.steps:
                        because = "the learning rate follows the hypergradient of its last steps"
                        scribe.changed(1, training.step, self._config(z), because=because)
        except _DivergedError as error:
            trial.failed(str(error), "Lower the highest learning rate of the space.")
            return
        scribe.changed(1, training.step, self._config(z), because="the learning rate at the end")
        trial.completed(trial.steps[-1][1])
        scribe.noted(f"Default: {base}. With the learning rate changed online: {self._losses(training.weights)}. It is a schedule.")

    def _moved_online(self, z: Tensor, gradient: Tensor, direction: Tensor) -> Tensor:
        """`z` after the learning rate has followed its hypergradient, by a share of itself of at most `outer_rate`.

        The multiplicative rule of arXiv:1703.04782, section 3: the hypergradient over both norms, whatever the range of the rate.
        """
        norms = (gradient.norm() * direction.norm()).clamp_min(torch.finfo(gradient.dtype).tiny)
        name, config = str(self.pair.learning_rate), self._config(z)
        parameter = self.space.parameters[name]
        assert isinstance(parameter, Float)
        rate = config[name] * math.exp(-self.outer_rate * float(online_hypergradient(gradient, direction) / norms))
        return self.coordinates.of({**config, name: min(max(rate, parameter.low), parameter.high)})

    # ----------------------------------------------------------------------------------------- the inner training

    def _trial(self, scribe: Scribe, key: int, z: Tensor, origin: Literal["default", "proposal"]) -> _Trial:
        scribe.started(Proposal(key, self._config(z), origin, self.family, self.seed))
        return _Trial(scribe, key)

    def _config(self, z: Tensor) -> Config:
        return dict(self._default) if torch.equal(z, self._first) else self.coordinates.config(z)

    def _begin(self) -> _Training:
        torch.manual_seed(self.seed)
        return _Training(self._start.clone(), self._rule.start(self._start))

    def _train(self, weights: Tensor, z: Tensor, step: int) -> Tensor:
        return self.pair.train(self.layout.named(weights), self.coordinates.values(z), step)

    def _validation(self, weights: Tensor) -> Tensor:
        return self.pair.validation_loss(self.layout.named(weights))

    def _rate(self, z: Tensor, step: int) -> Tensor | float:
        rate = self.pair.learning_rate
        if isinstance(rate, int | float):
            return float(rate)
        values = self.coordinates.values(z)
        return values[rate] if isinstance(rate, str) else rate(values, step)

    def _advance(self, training: _Training, z: Tensor, steps: int) -> None:
        """Trains `steps` further under the configuration at `z`.

        Raises: _DivergedError when the loss or the weights are not finite after that.
        """
        if self.pair.optimiser == "lbfgs":
            self._advance_lbfgs(training, z, steps)
            return
        values = self.coordinates.values(z)
        loss = torch.zeros(())
        for _ in range(steps):
            self._look()
            gradient, loss = self._gradient(training.weights, values, training.step)
            direction, training.state = self._rule.direction(gradient, training.state, training.step)
            training.weights = training.weights - self._rate(z, training.step) * direction
            training.step += 1
        self._finite(loss, training)

    def _advance_lbfgs(self, training: _Training, z: Tensor, steps: int) -> None:
        values = self.coordinates.values(z)
        if training.lbfgs is None or not torch.equal(training.lbfgs[0], z):
            leaf = training.weights.clone().requires_grad_()
            training.lbfgs = z, leaf, torch.optim.LBFGS([leaf], history_size=20, line_search_fn="strong_wolfe")
        _, weights, optimiser = training.lbfgs
        optimiser.param_groups[0].update(max_iter=steps, max_eval=2 * steps)

        def closure() -> Tensor:
            self._look()
            weights.grad, loss = self._gradient(weights, values, training.step)
            return loss

        loss = optimiser.step(closure)  # type: ignore[no-untyped-call]
        training.weights, training.step = weights.detach().clone(), training.step + steps
        self._finite(torch.as_tensor(loss), training)

    def _gradient(self, weights: Tensor, values: Tensors, step: int) -> tuple[Tensor, Tensor]:
        leaf = weights.detach().requires_grad_()
        with torch.enable_grad():
            loss = self.pair.train(self.layout.named(leaf), values, step)
            (found,) = torch.autograd.grad(loss, leaf)
        return found, loss.detach()

    def _losses(self, weights: Tensor) -> Losses:
        named = self.layout.named(weights)
        with torch.no_grad():
            validation, second = float(self.pair.validation_loss(named)), float(self.pair.second_validation_loss(named))
            test = None if self.pair.test_loss is None else float(self.pair.test_loss(named))
        if not (math.isfinite(validation) and math.isfinite(second)):
            raise _DivergedError("diverged: a validation loss is not finite")
        return Losses(validation, second, test)

    def _finite(self, loss: Tensor, training: _Training) -> None:
        if not bool(torch.isfinite(loss)) or not bool(torch.isfinite(training.weights).all()):
            raise _DivergedError(f"diverged: the training loss is not finite by step {training.step}")

    def _guarded(self, gradient: Tensor) -> Tensor:
        if not bool(torch.isfinite(gradient).all()):
            raise _DivergedError("diverged: the hypergradient is not finite")
        return gradient

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS and self._scribe is not None:
            self._looked_at = now
            if self._scribe.is_over():
                raise _Over

    # ------------------------------------------------------------------------------------------------- the checks

    def _tell_convergence(self, scribe: Scribe, training: _Training) -> None:
        """Warns where the inner training is far from its optimum, since the implicit gradient is that of the optimum."""
        values = self.coordinates.values(self._first)
        start, _ = self._gradient(self._start, values, 0)
        end, _ = self._gradient(training.weights, values, training.step)
        ratio = float(end.norm() / start.norm().clamp_min(torch.finfo(start.dtype).tiny))
        if ratio > FAR_RATIO:
            scribe.noted(
                f"The default's training ends with {ratio:.2g} of the gradient it began with; the implicit hypergradient is that of the"
                " optimum and may point wrong. Train for more steps.",
                is_warning=True,
            )

    def _check_memory(self) -> None:
        held = unrolled_bytes(self._train, self._start, self._first, rule=self._rule, rate=self._rate, steps=self.pair.steps)
        if held > self.memory_bytes:
            raise CannotRunError(
                f"unrolling {self.pair.steps} steps of {self._start.numel()} parameters holds {held / 2**20:.0f} MiB,"
                f" and {self.memory_bytes / 2**20:.0f} MiB are free for it",
                where="method",
                cure=f"Train for at most {max(1, int(self.pair.steps * self.memory_bytes / held))} steps, or use the method 'implicit'.",
            )

    def _check(self) -> None:
        """Raises: InputError when a loss cannot be followed."""
        z = self._first.clone().requires_grad_()
        values = {n: v.detach().requires_grad_() for n, v in self.coordinates.values(z).items()}
        leaf = self._start.clone().requires_grad_()
        named = self.layout.named(leaf)
        loss = _scalar("train_loss", lambda: self.pair.train(named, values, 0))
        if self.method != "online":  # the other two take it through torch.func, which some operations do not go through
            _scalar("train_loss", lambda: grad_and_value(self._train)(self._start, self._first, 0)[1])
        (first,) = _derivatives("train_loss", loss, [leaf], create_graph=True)
        if first is None:
            raise InputError(
                "train_loss does not depend on the parameters",
                where="train_loss",
                cure="Compute it from the tensors it is given, without detach() or .data.",
            )
        for name in ("validation_loss", "second_validation_loss", "test_loss"):
            function = getattr(self.pair, name)
            if function is None:
                continue
            found = _scalar(name, lambda function=function: function(named))  # type: ignore[misc]
            if name == "validation_loss" and _derivatives(name, found, [leaf])[0] is None:
                raise InputError(
                    "validation_loss does not depend on the parameters",
                    where=name,
                    cure="Compute it from the tensors it is given, without detach() or .data.",
                )
        if self.method == "online":
            return
        wanted = [n for n in self.coordinates.names if n != self.pair.learning_rate]
        if callable(self.pair.learning_rate) or not wanted:
            return
        mixed: tuple[Tensor | None, ...] = (None,) * len(wanted)
        if first.requires_grad:
            mixed = _derivatives("train_loss", first.sum(), [values[n] for n in wanted])
        if absent := [n for n, part in zip(wanted, mixed, strict=True) if part is None]:
            raise InputError(
                f"train_loss does not depend on {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''} in a way that training feels",
                where="train_loss",
                cure="Use each hyperparameter in train_loss together with the parameters, or take it out of the space.",
            )


def _scalar(name: str, call: Callable[[], Any]) -> Tensor:
    """What `call` returns, once it is a finite scalar tensor.

    Raises: InputError when it is not, or when the function raises.
    """
    try:
        loss = call()
    except AdvisorError:
        raise
    except Exception as error:
        raise InputError(
            f"{name} raised {type(error).__name__}: {error}", where=name, cure="Call it yourself with the start and default values."
        ) from error
    if not isinstance(loss, Tensor):
        raise InputError(f"{name} returned {type(loss).__name__}, no tensor", where=name, cure="Return a scalar tensor, without .item().")
    if loss.ndim:
        raise InputError(f"{name} returned a tensor of shape {tuple(loss.shape)}", where=name, cure="Reduce it, as by .mean().")
    if not bool(torch.isfinite(loss.detach())):
        raise InputError(f"{name} is {float(loss.detach())} at the start", where=name, cure="Start where the loss is finite.")
    return loss


def _derivatives(name: str, loss: Tensor, by: list[Tensor], *, create_graph: bool = False) -> tuple[Tensor | None, ...]:
    if not loss.requires_grad:
        return (None,) * len(by)
    try:
        return torch.autograd.grad(loss, by, allow_unused=True, create_graph=create_graph, retain_graph=True)
    except RuntimeError as error:
        raise InputError(
            f"{name} cannot be differentiated: {error}", where=name, cure="Use operations that PyTorch can differentiate."
        ) from error
