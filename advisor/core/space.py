"""Search spaces: what configurations are drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_serializer, field_validator, model_validator

from advisor.core.errors import ParameterError
from advisor.core.value import Value, decode, encode, first_fault

Config = dict[str, Any]
"""A configuration: hyperparameter name to value, conditional ones only where their condition holds."""


class Group(StrEnum):
    """Which stage of tuning in groups a hyperparameter belongs to (source guide, tip 2)."""

    OPTIMISATION = "optimisation"
    CAPACITY = "capacity"
    REGULARISATION = "regularisation"
    PREPROCESSING = "preprocessing"


_EXAMPLES = {
    "Float": "Write it as Float(1e-5, 1e-1, log=True).",
    "Int": "Write it as Int(1, 64).",
    "Choice": 'Write it as Choice(["relu", "tanh"]).',
}


class _Parameter(Value):
    default: Any = None
    """Value of the default configuration; None means: none given (a Choice may hold a real None)."""
    hard: bool = True
    """A hard bound is never widened."""
    when: dict[str, tuple[Any, ...]] | None = None
    """Active only while each named parameter has one of these values."""
    group: Group | None = None
    """The stage it is tuned in."""
    priority: int | None = None
    """Tuning priority, 1 first; None: not ranked."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            kind = type(self).__name__
            raise ParameterError(f"this {kind} cannot be: {first_fault(error)}", where=kind, cure=_EXAMPLES[kind]) from None

    @field_validator("when", mode="before")
    @classmethod
    def _decode_when(cls, value: Any) -> Any:
        return decode(value)

    @field_serializer("when", when_used="json")
    def _encode_when(self, value: Any) -> Any:
        return encode(value) if value is not None else None

    @field_serializer("default", when_used="json")
    def _encode_default(self, value: Any) -> Any:
        return encode(value)

    @field_validator("default", mode="before")
    @classmethod
    def _decode_default(cls, value: Any) -> Any:
        return decode(value)

    def is_active(self, config: Mapping[str, Any]) -> bool:
        """True when every condition holds in `config`."""
        return all(name in config and config[name] in values for name, values in (self.when or {}).items())


class Float(_Parameter):
    """A real number in [low, high]."""

    type: Literal["float"] = "float"
    """Tag in files."""
    low: float
    """Lower bound, included."""
    high: float
    """Upper bound, included."""
    log: bool = False
    """Searched on a logarithmic scale."""

    def __init__(self, low: float | None = None, high: float | None = None, **rest: Any) -> None:
        super().__init__(**_bounds(low, high), **rest)

    @model_validator(mode="after")
    def _check(self) -> Float:
        _check_bounds(self.low, self.high, self.log)
        _check_default(self.default)
        return self

    def contains(self, value: Any) -> bool:
        """True when `value` is a number within the bounds."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


class Int(_Parameter):
    """An integer in [low, high]."""

    type: Literal["int"] = "int"
    """Tag in files."""
    low: int
    """Lower bound, included."""
    high: int
    """Upper bound, included."""
    log: bool = False
    """Searched on a logarithmic scale."""

    def __init__(self, low: int | None = None, high: int | None = None, **rest: Any) -> None:
        super().__init__(**_bounds(low, high), **rest)

    @model_validator(mode="after")
    def _check(self) -> Int:
        _check_bounds(self.low, self.high, self.log)
        _check_default(self.default)
        return self

    def contains(self, value: Any) -> bool:
        """True when `value` is an integer within the bounds."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


class Choice(_Parameter):
    """One of a few values, without order."""

    type: Literal["choice"] = "choice"
    """Tag in files."""
    choices: tuple[Any, ...]
    """The values; None and infinities allowed."""

    def __init__(self, choices: Sequence[Any] | None = None, **rest: Any) -> None:
        super().__init__(**({} if choices is None else {"choices": choices}), **rest)

    @field_validator("choices", mode="before")
    @classmethod
    def _decode_choices(cls, value: Any) -> Any:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError(f"the choices are a list, got {value!r}")  # noqa: TRY004  # pydantic reports a ValueError with its place
        return tuple(decode(v) for v in value)

    @field_serializer("choices", when_used="json")
    def _encode_choices(self, value: Any) -> Any:
        return [encode(v) for v in value]

    @model_validator(mode="after")
    def _check(self) -> Choice:
        if not self.choices:
            raise ValueError("a Choice needs at least one value")
        return self

    def contains(self, value: Any) -> bool:
        """True when `value` is one of the choices, of the same type (True is not 1)."""
        return any(type(value) is type(c) and value == c for c in self.choices)


def _bounds(low: Any, high: Any) -> dict[str, Any]:
    return {k: v for k, v in (("low", low), ("high", high)) if v is not None}


def _check_default(default: Any) -> None:
    """A default may lie outside the bounds (it is tried as it is), but a range has no place for anything but a number."""
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    if default is not None and not (is_number and math.isfinite(default)):
        raise ValueError(f"the default of a range is a number, got {default!r}")


def _check_bounds(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"bounds must be finite, got {low} and {high}")
    if low > high:
        raise ValueError(f"low {low} is above high {high}")
    if log and low <= 0:
        raise ValueError(f"a logarithmic scale needs low above 0, got {low}")


Parameter = Annotated[Float | Int | Choice, Field(discriminator="type")]


class SearchSpace(Value):
    """Named parameters in a fixed order."""

    parameters: dict[str, Parameter] = {}
    """Name to parameter; a condition may only name a parameter before it."""

    @model_validator(mode="after")
    def _conditions_point_back(self) -> SearchSpace:
        seen: set[str] = set()
        for name, parameter in self.parameters.items():
            for parent in parameter.when or {}:
                if parent not in seen:
                    raise ValueError(f"{name}: its condition names {parent!r}, which does not stand before it")
            seen.add(name)
        return self

    def __len__(self) -> int:
        return len(self.parameters)

    def items(self) -> Iterator[tuple[str, Float | Int | Choice]]:
        """Name and parameter, in order."""
        return iter(self.parameters.items())

    @property
    def is_numeric(self) -> bool:
        """True when no parameter is a Choice of more than one value."""
        return all(not isinstance(p, Choice) or len(p.choices) == 1 for p in self.parameters.values())

    @property
    def is_conditional(self) -> bool:
        """True when some parameter has a condition."""
        return any(p.when for p in self.parameters.values())

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the parameters that can take more than one value."""
        return tuple(n for n, p in self.items() if (len(p.choices) > 1 if isinstance(p, Choice) else p.low < p.high))

    def default(self) -> Config:
        """The default configuration: each active parameter's default."""
        config: Config = {}
        for name, parameter in self.items():
            if parameter.is_active(config):
                config[name] = parameter.default
        return config

    def active(self, config: Mapping[str, Any]) -> Config:
        """`config` in the order of the space without unknown names and without parameters whose condition does not hold."""
        kept: Config = {}
        for name, parameter in self.items():
            if name in config and parameter.is_active(kept):
                kept[name] = config[name]
        return kept

    def faults(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """What is wrong with `config`, one sentence a fault; empty when it belongs to the space."""
        out = [f"{name} is no parameter of the space" for name in config if name not in self.parameters]
        for name, parameter in self.items():
            if name in config and not parameter.contains(config[name]):
                out.append(f"{name} = {config[name]!r} lies outside the space")
            elif name not in config and parameter.is_active(config):
                out.append(f"{name} is missing")
        return tuple(out)

    def replace(self, **changed: Float | Int | Choice) -> SearchSpace:
        """The same space with some parameters exchanged or added."""
        return SearchSpace(parameters={**self.parameters, **changed})

    def restrict(self, names: Sequence[str]) -> SearchSpace:
        """Only the named parameters, in the order of this space."""
        return SearchSpace(parameters={n: p for n, p in self.items() if n in names})
