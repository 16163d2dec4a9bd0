"""An existing Optuna objective, taken as it is: ``def objective(trial)`` becomes an objective of a configuration.

The function runs in a thread of its own, so that `trial.report` can hand a measurement out and wait for the next pull. A
generator cannot be suspended from inside a function that it calls; a second process could, and would cost the user's function
its closures and its memory.
"""

from __future__ import annotations

import contextvars
import copy
import ctypes
import hashlib
import json
import math
import queue
import random
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import BaseTrial

from advisor.core.errors import AdvisorError, InputError
from advisor.core.ports import Measurement
from advisor.core.space import Choice, Config, Float, Int
from advisor.core.value import encode
from advisor.objectives.spaces import merge, plain

__all__ = ["InfeasibleError", "OptunaObjective", "ProxyTrial", "merge"]

GRACE_SECONDS = 2.0
"""How long a pruned objective may go on before it is interrupted between two lines. [H]"""
_AGAIN_SECONDS = 0.5
"""How often it is interrupted again where it has caught the interruption. [H]"""


class InfeasibleError(AdvisorError):
    """The objective set a constraint above 0: the trial has no score."""


class OptunaObjective:
    """An objective of a configuration that runs the Optuna objective `function` unchanged: ``objective(config)`` yields measurements.

    A parameter that `config` names gets that value. One that it does not name (the first trial of all, a branch not seen
    before), or whose value lies outside the range it is asked in, is drawn by rule: with an empty `config` the middle of its
    range on its scale, or the first choice; else at random, by a seed made of `seed`, `config` and its name.

    `last_suggested` is what the last trial asked for, as JSON: ``{"config": the whole configuration, "space": {name: the
    parameter}}``, values as `advisor.core.value.encode` writes them, kept while the trial runs; `merge` makes a space of several.
    A step of Optuna's ranges is no part of the parameter: values are moved to the nearest one that the range holds, and
    `last_suggested` says which.

    Steps that count from 0 are shifted by one; a step that is not above the last is left out with a warning. The score of a
    trial is what the function returns, whatever it reported before. Trials begin from the start: there is no checkpoint.

    Raises: InputError when `function` cannot be called.
    """

    def __init__(self, function: Callable[..., Any], *, seed: int = 0) -> None:
        if not callable(function):
            raise InputError(
                f"an Optuna objective is a function of a trial, not a {type(function).__name__}",
                where="objective",
                cure="Give the function itself: `objective`, not `objective(trial)`.",
            )
        self.function, self.seed = function, seed
        self.last_suggested: dict[str, Any] | None = None
        """What the last trial asked for, as JSON."""
        self.last_user_attrs: dict[str, Any] = {}
        """What the last trial set by `set_user_attr`."""
        self._next_number = 0
        self._is_told: set[str] = set()

    def begin_trial(self, number: int) -> None:
        """The next call is the trial of this `number`; without it calls are counted."""
        self._next_number = number

    def __call__(self, config: Config) -> Iterator[Measurement]:
        """A measurement a report; one in all where the function reports nothing. Closing it prunes the trial.

        Raises, when pulled: what the function raises; InputError for a value that is not one finite number; InfeasibleError
        when a constraint is violated.
        """
        trial = ProxyTrial(config, number=self._next_number, seed=self.seed, warn_once=self._warn_once)
        self._next_number += 1
        self.last_suggested, self.last_user_attrs = trial.suggested, trial.attributes
        return self._steps(trial)

    def _steps(self, trial: ProxyTrial) -> Generator[Measurement, None, float]:
        run = _Run(self.function, trial)
        try:
            yield from run.measurements()
        finally:
            run.close()
        value = _number(run.value)
        violated = {name: v for name, v in trial.constraints.items() if v > 0}
        if violated:
            name, amount = next(iter(violated.items()))
            raise InfeasibleError(f"the trial violates its constraint {name!r} ({amount:.6g} is above 0), so it has no score")
        if not trial.has_reported:
            yield Measurement(step=1, value=value)
        return value

    def _warn_once(self, topic: str, text: str) -> None:
        if topic not in self._is_told:
            self._is_told.add(topic)
            warnings.warn(text, UserWarning, stacklevel=5)


class ProxyTrial(BaseTrial):
    """What the function takes for Optuna's trial. It has no study: an objective that asks for ``trial.study`` is told so."""

    def __init__(self, config: Config, *, number: int, seed: int, warn_once: Callable[[str, str], None]) -> None:
        self._config, self._number, self._seed, self._warn_once = config, number, seed, warn_once
        self.suggested: dict[str, Any] = {"config": {}, "space": {}}
        """What was asked for so far, as JSON."""
        self.attributes: dict[str, Any] = {}
        """User attributes, not copied."""
        self.hand_out: Callable[[Measurement], bool] | None = None
        """Takes a measurement and says, when the next is wanted, whether the trial goes on."""
        self.is_closed = False
        """True once the trial is pruned."""
        self.has_reported = False
        """True once a measurement was handed out."""
        self._params: dict[str, Any] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._constraints: dict[str, float] = {}
        self._shift: int | None = None
        self._last_step = 0
        self._reported: set[int] = set()
        self._started = datetime.now()

    def __getattr__(self, name: str) -> Any:
        if name in ("study", "storage", "relative_params", "relative_search_space"):
            raise AttributeError(
                f"the objective asks for trial.{name}, which only a study of Optuna's has: the advisor drives this trial. "
                f"Take out of the objective what needs trial.{name}."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -- asking ----------------------------------------------------------------------------------------------------------

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """A float in [low, high], on the grid of `step` where there is one."""
        return float(self._suggest(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """An integer in [low, high], on the grid of `step`."""
        return int(self._suggest(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of `choices`."""
        return self._suggest(name, CategoricalDistribution(choices))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """A float; deprecated by Optuna, as it says."""
        _deprecated("suggest_uniform", "suggest_float")
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """A float on a logarithmic scale; deprecated by Optuna, as it says."""
        _deprecated("suggest_loguniform", "suggest_float(..., log=True)")
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """A float on a grid; deprecated by Optuna, as it says."""
        _deprecated("suggest_discrete_uniform", "suggest_float(..., step=...)")
        return self.suggest_float(name, low, high, step=q)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._distributions:
            earlier = self._distributions[name]
            check_distribution_compatibility(earlier, distribution)
            if earlier != distribution:
                self._warn_once(
                    f"range {name}", f"{name} is asked for twice in a trial, in different ranges: the first holds ({earlier._asdict()})."
                )
            return self._params[name]
        parameter = _parameter(name, distribution)
        value = _UNFIT
        if name in self._config:
            value = _fitted(distribution, self._config[name])
            if value is _UNFIT:
                self._warn_once(
                    f"outside {name}", f"{name} = {self._config[name]!r} lies outside {distribution}, where it is asked for: drawn anew."
                )
        if value is _UNFIT:
            value = _middle(distribution) if not self._config else _drawn(distribution, self._random(name))
        self._params[name], self._distributions[name] = value, distribution
        self.suggested["space"][name] = parameter.model_dump(mode="json")
        self.suggested["config"][name] = encode(plain(value))
        return value

    def _random(self, name: str) -> random.Random:
        text = json.dumps([self._seed, self._config, name], sort_keys=True, default=repr)
        return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))

    # -- telling ---------------------------------------------------------------------------------------------------------

    def report(self, value: Any, step: int) -> None:
        """Hands the value out and waits until the next is wanted; raises TrialPruned in a trial that was pruned already.

        Raises: TypeError and ValueError as Optuna does; InputError when the value is not finite.
        """
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"The `value` argument is of type '{type(value)}' but supposed to be a float.") from None
        try:
            count = int(step)
        except (TypeError, ValueError):
            raise TypeError(f"The `step` argument is of type '{type(step)}' but supposed to be an int.") from None
        if count < 0:
            raise ValueError(f"`step={count}` must be non-negative.")
        if isinstance(value, str | bytes):
            raise InputError(f"the objective reported text ({value!r:.40}) at step {count}", cure="Report a number.")
        if not math.isfinite(number):
            raise InputError(
                f"the objective reported {_named(number)} at step {count}", cure="Report finite values; raise TrialPruned where one is not."
            )
        if self.is_closed or self.hand_out is None:
            raise optuna.TrialPruned(f"the trial was pruned before step {count}")
        if count in self._reported:
            self._warn_once("repeated", f"The reported value is ignored because this `step={count}` is already reported.")
            return
        self._reported.add(count)
        if self._shift is None:
            self._shift = 1 if count == 0 else 0
        count += self._shift
        if count <= self._last_step:
            self._warn_once("order", f"A report at step {count - self._shift} follows a later one: steps have to grow, so it is left out.")
            return
        self._last_step, self.has_reported = count, True
        self.is_closed = not self.hand_out(Measurement(step=count, value=number))

    def should_prune(self) -> bool:
        """True once the trial is pruned."""
        return self.is_closed

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keeps `value` for the objective's own use."""
        self.attributes[key] = value

    def set_constraint(self, key: str, value: float) -> None:
        """A trial whose constraint is above 0 has no score."""
        number = float(value)
        if math.isnan(number):
            raise ValueError(f"Attempted to set a constraint for {key!r}, but NaN is not allowed.")
        self._constraints.setdefault(key, number)

    # -- reading ---------------------------------------------------------------------------------------------------------

    @property
    def params(self) -> dict[str, Any]:
        """What was suggested so far."""
        return copy.deepcopy(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The ranges of what was suggested so far."""
        return copy.deepcopy(self._distributions)

    @property
    def user_attrs(self) -> dict[str, Any]:
        """What `set_user_attr` took."""
        return copy.deepcopy(self.attributes)

    @property
    def constraints(self) -> dict[str, float]:
        """What `set_constraint` took."""
        return dict(self._constraints)

    @property
    def datetime_start(self) -> datetime | None:
        """When the trial began, in local time."""
        return self._started

    @property
    def number(self) -> int:
        """Number of the trial within its run."""
        return self._number


# -- the thread ----------------------------------------------------------------------------------------------------------


class _Interruption(BaseException):
    """Ends an objective that goes on after it was pruned; no `except Exception` of the objective takes it."""


class _Run:
    """The function, in a thread that runs only while a measurement is waited for."""

    def __init__(self, function: Callable[..., Any], trial: ProxyTrial) -> None:
        self._function, self._trial = function, trial
        self.value: Any = None
        self._out: queue.SimpleQueue[Measurement | BaseException | None] = queue.SimpleQueue()
        self._on: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_inside = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._work,), name=f"optuna-objective-{trial.number}", daemon=True)

    def measurements(self) -> Iterator[Measurement]:
        """What the function reports; it waits at each report until the next pull."""
        self._trial.hand_out = self._hand_out
        self._thread.start()
        while (said := self._out.get()) is not None:
            if isinstance(said, BaseException):
                try:
                    raise said
                finally:
                    del said  # its traceback holds this frame
            yield said
            self._on.put(True)

    def close(self) -> None:
        """Ends the thread: the waiting report returns, `should_prune` says True, later reports raise; then it is interrupted."""
        self._trial.is_closed = True
        self._on.put(False)
        if self._thread.ident is None:
            return
        self._thread.join(GRACE_SECONDS)
        while self._thread.is_alive():
            if self._lock.acquire(timeout=_AGAIN_SECONDS):  # an interruption that came as it was taken may have left it taken
                try:
                    if self._is_inside:
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(_Interruption))
                finally:
                    self._lock.release()
            self._thread.join(_AGAIN_SECONDS)

    def _hand_out(self, measurement: Measurement) -> bool:
        self._out.put(measurement)
        return self._on.get()

    def _work(self) -> None:
        try:
            self._evaluate()
        except _Interruption:
            self._out.put(None)

    def _evaluate(self) -> None:
        try:
            self._is_inside = True
            try:
                self.value = self._function(self._trial)
            finally:
                with self._lock:  # from here on nobody interrupts
                    self._is_inside = False
        except _Interruption:
            raise
        except BaseException as error:
            own = error.__traceback__.tb_next if error.__traceback__ is not None else None
            self._out.put(error.with_traceback(own))
        else:
            self._out.put(None)


# -- values --------------------------------------------------------------------------------------------------------------

_UNFIT: Any = object()


def _parameter(name: str, distribution: BaseDistribution) -> Float | Int | Choice:
    """Our parameter, its default the middle; what Optuna would only keep in memory is refused."""
    match distribution:
        case FloatDistribution():
            return Float(distribution.low, distribution.high, log=distribution.log, default=_middle(distribution))
        case IntDistribution():
            return Int(distribution.low, distribution.high, log=distribution.log, default=_middle(distribution))
        case CategoricalDistribution():
            try:
                choices = [plain(c) for c in distribution.choices]
            except ValueError as error:
                raise InputError(
                    f"{name}: a choice {error}, so it cannot be written down", cure="Suggest names, and look the objects up by name."
                ) from None
            return Choice(choices, default=choices[0])
        case _:
            raise InputError(f"{name}: {type(distribution).__name__} is no range of Optuna's that is known here")


def _fitted(distribution: BaseDistribution, value: Any) -> Any:
    """`value` as the range holds it, moved to its grid; `_UNFIT` where it lies outside."""
    match distribution:
        case CategoricalDistribution():
            return next((c for c in distribution.choices if _is_same(plain(c), value)), _UNFIT)
        case FloatDistribution() | IntDistribution():
            if isinstance(value, bool) or not isinstance(value, int | float) or not distribution.low <= value <= distribution.high:
                return _UNFIT
            if isinstance(distribution, IntDistribution) and value != int(value):
                return _UNFIT
            return _on_grid(distribution, value)
        case _:
            return _UNFIT


def _is_same(choice: Any, value: Any) -> bool:
    """Equal and of one kind (True is not 1); a list is what JSON makes of a tuple."""
    if isinstance(choice, list | tuple) and isinstance(value, list | tuple):
        return len(choice) == len(value) and all(_is_same(c, v) for c, v in zip(choice, value, strict=True))
    return type(choice) is type(value) and bool(choice == value)


def _on_grid(distribution: FloatDistribution | IntDistribution, value: float) -> float | int:
    step = distribution.step
    if step is not None and not distribution.log:
        value = min(max(distribution.low + round((value - distribution.low) / step) * step, distribution.low), distribution.high)
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def _middle(distribution: BaseDistribution) -> Any:
    match distribution:
        case CategoricalDistribution():
            return distribution.choices[0]
        case FloatDistribution() | IntDistribution():
            low, high = distribution.low, distribution.high
            middle = math.sqrt(low) * math.sqrt(high) if distribution.log else low + (high - low) / 2
            middle = round(middle) if isinstance(distribution, IntDistribution) else middle
            return _on_grid(distribution, min(max(middle, low), high))
        case _:
            raise TypeError(type(distribution).__name__)


def _drawn(distribution: BaseDistribution, chance: random.Random) -> Any:
    match distribution:
        case CategoricalDistribution():
            return chance.choice(distribution.choices)
        case FloatDistribution() | IntDistribution():
            low, high = distribution.low, distribution.high
            if distribution.step is not None and not distribution.log:
                return _on_grid(distribution, low + chance.randint(0, round((high - low) / distribution.step)) * distribution.step)
            half = 0.5 if isinstance(distribution, IntDistribution) else 0.0  # each integer gets its share of the scale
            value = math.exp(chance.uniform(math.log(low - half), math.log(high + half))) if distribution.log else chance.uniform(low, high)
            value = round(value) if isinstance(distribution, IntDistribution) else value
            return _on_grid(distribution, min(max(value, low), high))
        case _:
            raise TypeError(type(distribution).__name__)


def _number(value: Any) -> float:
    """What the function returned as one finite number; as Optuna, a sequence of one counts as its element, and what has a
    ``__float__`` as that.
    """
    cure = "Return one finite number, such as float(loss)."
    if isinstance(value, str | bytes):
        raise InputError(f"the objective returned text ({value!r:.40})", cure=cure)
    if isinstance(value, Sequence):
        if len(value) != 1:
            what = f"the objective returned {len(value)} values, and one is tuned at a time"
            raise InputError(what, cure="Return one number, such as a weighted sum of them.")
        return _number(value[0])
    if value is None or isinstance(value, bool | Mapping):
        raise InputError(f"the objective returned {'None' if value is None else 'a ' + type(value).__name__}", cure=cure)
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InputError(f"the objective returned a {type(value).__name__}, which is not one number", cure=cure) from None
    if not math.isfinite(number):
        raise InputError(f"the objective returned {_named(number)}", cure=cure)
    return number


def _named(number: float) -> str:
    return {"nan": "NaN", "inf": "infinity", "-inf": "minus infinity"}[repr(number)]


def _deprecated(old: str, new: str) -> None:
    warnings.warn(f"{old} has been deprecated by Optuna. Use {new} instead.", FutureWarning, stacklevel=3)
