"""The base of every value, and the encoding of what TOML and JSON cannot say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class Value(BaseModel):
    """A frozen value that forbids unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="constants")


def first_fault(error: ValidationError) -> str:
    """The first fault that pydantic found, with its place and without its dialect."""
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    said = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{place} is missing"
    return f"{place}: {said}" if place else said


def encode(value: Any) -> Any:
    """`value` with None as ``{"none": True}`` and infinities as ``{"inf": True}`` / ``{"inf": False}`` (minus infinity).

    Mappings, lists and tuples are walked; NaN is refused.

    Raises: ValueError for NaN, which no file of ours may hold.
    """
    if value is None:
        return {"none": True}
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("NaN cannot be written to a plan or a journal")
        if math.isinf(value):
            return {"inf": value > 0}
        return value
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    return value


def decode(value: Any) -> Any:
    """The inverse of `encode`; lists stay lists."""
    if isinstance(value, Mapping):
        if value.keys() == {"none"}:
            return None
        if value.keys() == {"inf"}:
            return math.inf if value["inf"] else -math.inf
        return {k: decode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [decode(v) for v in value]
    return value


def round_significant(value: float, digits: int = 2) -> float:
    """`value` rounded to `digits` significant digits, so that equal situations give equal plans; 0 and infinities stay."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))
