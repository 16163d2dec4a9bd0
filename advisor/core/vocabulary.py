"""The facts a rule may name: type, unit and meaning of each, drawn from the models and from the derived facts."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from advisor.core.errors import InputError, nearest
from advisor.core.facts import Answers, Dataset, Hardware, Unknown

Kind = Literal["number", "integer", "flag", "choice", "text"]
Unit = Literal["", "seconds", "bytes", "ratio"]
_UNITS: tuple[Unit, ...] = ("seconds", "bytes", "ratio")


@dataclass(frozen=True, slots=True)
class Fact:
    """One name a rule may use."""

    name: str
    """Dotted name."""
    kind: Kind
    """What its values are."""
    doc: str
    """Meaning and unit in one line."""
    choices: tuple[str, ...] = ()
    """The values of a `choice`."""
    noun: str = ""
    """What is counted, for sentences such as ``6 dimensions, at most 3``."""
    says: tuple[str, str] = ("", "")
    """For a flag: the sentence when it is false and when it is true."""
    inputs: tuple[str, ...] = ()
    """Facts it is computed from; empty for a primary fact."""
    rises_with: tuple[str, ...] = ()
    """Primary facts it never falls with."""
    falls_with: tuple[str, ...] = ()
    """Primary facts it never rises with."""

    @property
    def unit(self) -> Unit:
        """The unit that the name ends in."""
        for unit in _UNITS:
            if self.name.endswith("_" + unit):
                return unit
        return ""

    @property
    def is_number(self) -> bool:
        """True when its values can be ordered."""
        return self.kind in ("number", "integer")

    def parse(self, text: Any) -> Any:
        """The value that `text` (or a TOML value) means for this fact: ``"4 h"`` is 14400 seconds, ``"24 GiB"`` bytes.

        Raises: ValueError naming what was expected.
        """
        match self.kind:
            case "number" | "integer":
                value = _number(text, self.unit)
                if self.kind == "integer":
                    if value != int(value):
                        raise ValueError(f"{self.name} needs a whole number, got {text!r}")
                    return int(value)
                return value
            case "flag":
                if isinstance(text, bool):
                    return text
                known = {"true": True, "yes": True, "false": False, "no": False}
                if isinstance(text, str) and text.casefold() in known:
                    return known[text.casefold()]
                raise ValueError(f"{self.name} needs true or false, got {text!r}")
            case "choice":
                if not isinstance(text, str) or text not in self.choices:
                    raise ValueError(f"{self.name} has no value {text!r}. {nearest(str(text), self.choices)}")
                return text
            case "text":
                if not isinstance(text, str):
                    raise ValueError(f"{self.name} needs text, got {text!r}")  # noqa: TRY004 (a fault of the file)
                return text

    def show(self, value: Any) -> str:
        """`value` for people, with its unit."""
        if isinstance(value, Unknown):
            return "unknown"
        if value is None:
            return "none"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float) and self.is_number:
            return show_number(float(value), self.unit)
        return str(value)

    @property
    def words(self) -> str:
        """The noun, or the last part of the name in words."""
        return self.noun or self.name.rsplit(".", 1)[-1].removesuffix("_" + self.unit if self.unit else "").replace("_", " ")


_DURATIONS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
    "TIB": 1024**4,
}
_QUANTITY = re.compile(r"^\s*([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([A-Za-z%]*)\s*$")


def _number(text: Any, unit: Unit) -> float:
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise ValueError(f"expected a number, got {text!r}")  # noqa: TRY004 (a fault of the file)
    if isinstance(text, int | float):
        if not math.isfinite(text):
            raise ValueError(f"expected a finite number, got {text!r}")
        return float(text)
    found = _QUANTITY.match(text)
    if found is None:
        raise ValueError(f"expected a number{_expected(unit)}, got {text!r}")
    number, suffix = float(found[1]), found[2]
    if not suffix:
        return number
    if unit == "seconds" and suffix.casefold() in _DURATIONS:
        return number * _DURATIONS[suffix.casefold()]
    if unit == "bytes" and suffix.upper() in _SIZES:
        return number * _SIZES[suffix.upper()]
    if unit == "ratio" and suffix == "%":
        return number / 100
    raise ValueError(f"expected a number{_expected(unit)}, got {text!r}")


def _expected(unit: Unit) -> str:
    return {
        "seconds": " of seconds such as '90 s', '10 min' or '4 h'",
        "bytes": " of bytes such as '24 GiB'",
        "ratio": " such as 0.2 or '20%'",
    }.get(unit, "")


def show_number(value: float, unit: str = "") -> str:
    """A number for people: three significant digits, with its unit."""
    if math.isinf(value):
        return "unlimited" if value > 0 else "-inf"
    if unit == "seconds":
        return show_seconds(value)
    if unit == "bytes":
        for name, size in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.0f} B"
    if unit == "ratio":
        return f"{value:.3g}"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def show_seconds(value: float) -> str:
    """Seconds for people: ``0.35 s``, ``90 s``, ``20 min``, ``4 h``."""
    if value < 120:
        return f"{value:.3g} s"
    if value < 7200:
        return f"{value / 60:.3g} min"
    return f"{value / 3600:.3g} h"


def _kind_of(annotation: Any) -> tuple[Kind, tuple[str, ...]] | None:
    """Kind and choices of a model field; None for what no predicate can compare (tuples, mappings)."""
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [a for a in get_args(annotation) if a not in (Unknown, type(None))]
        return _kind_of(parts[0]) if len(parts) == 1 else None
    if get_origin(annotation) is Literal:
        return "choice", tuple(str(a) for a in get_args(annotation))
    if isinstance(annotation, type):
        if annotation is bool:
            return "flag", ()
        if issubclass(annotation, StrEnum):
            return "choice", tuple(str(m) for m in annotation)
        if annotation is int:
            return "integer", ()
        if annotation is float:
            return "number", ()
        if annotation is str:
            return "text", ()
    return None


def from_model(prefix: str, model: type[BaseModel]) -> Iterable[Fact]:
    """One `Fact` a comparable field of `model`, named ``prefix.field``."""
    hints = typing.get_type_hints(model)
    for name, field in model.model_fields.items():
        kind = _kind_of(hints[name])
        if kind is not None:
            yield Fact(f"{prefix}.{name}", kind[0], (field.description or "").strip(), choices=kind[1])


@cache
def vocabulary() -> dict[str, Fact]:
    """Every fact by name, in the order primary, decided, derived."""
    from advisor.core.derived import DECIDED, DERIVED

    primary = [*from_model("hardware", Hardware), *from_model("data", Dataset), *from_model("answers", Answers)]
    facts = [*primary, *DECIDED, *(d.fact for d in DERIVED.values())]
    return {f.name: f for f in facts}


def fact(name: str) -> Fact:
    """The fact called `name`.

    Raises: InputError with the nearest name when there is none.
    """
    found = vocabulary().get(name)
    if found is None:
        raise InputError(f"unknown fact {name!r}", where="facts", cure=nearest(name, vocabulary()))
    return found
