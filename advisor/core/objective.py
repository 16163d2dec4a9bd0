"""What is known of an objective that is the user's own: its space, its direction, and whether its trials come in steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import ValidationError, field_serializer, field_validator, model_validator

from advisor.core.errors import ParameterError
from advisor.core.space import Config, SearchSpace
from advisor.core.value import Value, decode, encode, first_fault

Kind = Literal["function", "optuna", "keras", "command", "differentiable", "estimator"]
"""What brings the objective: a function of a configuration, an Optuna objective, a Keras model, a command line, a pair of
differentiable losses, or a scikit-learn estimator."""


class Fidelity(Value):
    """The axis on which a trial is made cheaper, such as ``Fidelity("epoch", 1, 52)``."""

    name: str
    """What a step is, in the singular."""
    low: int
    """Steps below which a measurement says nothing, at least 1."""
    high: int
    """Steps of a full trial."""

    def __init__(self, name: str | None = None, low: int | None = None, high: int | None = None, **rest: Any) -> None:
        given = {"name": name, "low": low, "high": high}
        try:
            super().__init__(**{k: v for k, v in given.items() if v is not None}, **rest)
        except ValidationError as error:
            cure = 'Write it as Fidelity("epoch", 1, 52).'
            raise ParameterError(f"this fidelity cannot be: {first_fault(error)}", where="Fidelity", cure=cure) from None

    @model_validator(mode="after")
    def _check(self) -> Fidelity:
        if not 1 <= self.low <= self.high:
            raise ValueError(f"a fidelity needs 1 <= low <= high, got {self.low} and {self.high}")
        return self


class OwnObjective(Value):
    """An objective of the user's, as far as the rules may look at it."""

    name: str
    """What to call it, such as ``train:objective``."""
    kind: Kind = "function"
    """What brings it."""
    space: SearchSpace
    """What configurations are drawn from; empty where the objective tells it as it runs (Optuna)."""
    direction: Literal["minimize", "maximize"] = "minimize"
    """Which way is better."""
    fidelity: Fidelity | None = None
    """Its steps; None: one measurement a trial."""
    starts: tuple[Config, ...] = ()
    """Configurations the user wants tried first."""
    given: Config | None = None
    """Configuration of trial 0 where it is what the objective stands at, in the space or not; None: the space's defaults."""
    folds: int = 1
    """Scores of a full trial, one a split that it is validated on, the same ones in every trial; 1: a number that stands alone."""
    is_resumable: bool = False
    """True when a trial can go on from a checkpoint."""
    mutable: tuple[str, ...] = ()
    """Hyperparameters that may change while a trial runs."""
    has_third_split: bool = False
    """True when it can score on data that neither training nor the search sees."""
    measurement: str = "value"
    """What is measured, for people."""
    is_unscaled: bool | None = None
    """True when an estimator that depends on the scale of the features is given them as they are; None: not known."""
    refused: dict[str, str] | None = None
    """Hyperparameter to what its library says of values that it refuses; None: no library was asked."""

    @field_validator("starts", mode="before")
    @classmethod
    def _decode_starts(cls, value: Any) -> Any:
        return tuple(decode(v) for v in value)

    @field_validator("given", mode="before")
    @classmethod
    def _decode_given(cls, value: Any) -> Any:
        return decode(value) if value is not None else None

    @field_serializer("given", when_used="json")
    def _encode_given(self, value: Any) -> Any:
        return encode(value) if value is not None else None

    @field_serializer("starts", when_used="json")
    def _encode_starts(self, value: Any) -> Any:
        return [encode(v) for v in value]


def checkpoint_style(objective: Callable[..., Any]) -> Literal["keyword", "second", "none"]:
    """How `objective` takes a checkpoint: by keyword, as its second argument, or not at all."""
    try:
        parameters: Mapping[str, inspect.Parameter] = inspect.signature(objective).parameters
    except (TypeError, ValueError):
        return "none"
    named = parameters.get("checkpoint")
    if named is not None and named.kind in (named.POSITIONAL_OR_KEYWORD, named.KEYWORD_ONLY):
        return "keyword"
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return "keyword"
    positional = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return "second" if len(positional) >= 2 else "none"


def call_fault(objective: Callable[..., Any]) -> tuple[str, str] | None:
    """What is wrong with calling `objective` with a configuration, and its cure; None where nothing is seen to be."""
    if inspect.isclass(objective):
        return "is a class, and calling it makes an object, not a score", "Give an object of it, or a function."
    if inspect.iscoroutinefunction(objective):
        return "is a coroutine, which gives no score when it is called", "Give a plain function: def instead of async def."
    if hasattr(objective, "cache_parameters"):
        cure = "Take the cache off; a function inside it may be cached."
        return "stands behind functools.cache, which cannot hold a configuration: a dict has no hash", cure
    try:
        signature = inspect.signature(objective)
    except (TypeError, ValueError):  # a function of native code that does not tell
        return None
    given: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "keyword": (({},), {"checkpoint": None}),
        "second": (({}, None), {}),
        "none": (({},), {}),
    }
    positional, named = given[checkpoint_style(objective)]
    try:
        signature.bind(*positional, **named)
    except TypeError as error:
        said = "objective(config, checkpoint=None) where it goes on from a checkpoint"
        return f"cannot be called with a configuration: {error}", f"Write it as objective(config), or as {said}."
    return None


def call(objective: Callable[..., Any], config: Config, checkpoint: Any = None) -> Any:
    """What `objective` answers for `config`, from `checkpoint` on where it takes one."""
    match checkpoint_style(objective):
        case "keyword":
            return objective(config, checkpoint=checkpoint)
        case "second":
            return objective(config, checkpoint)
        case _:
            return objective(config)
