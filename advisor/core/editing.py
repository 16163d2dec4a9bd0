"""A plan edited by hand: another range for one hyperparameter, told as the user's own word in the plan's evidence."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from pydantic import ValidationError

from advisor.core.errors import InputError
from advisor.core.plan import Evidence, Plan
from advisor.core.space import Choice, Config, Float, Int, SearchSpace

EDITED = "answer"
"""The rule that the evidence of an edit names: the user's own word."""
_RANGE = re.compile(r"^\s*(\S+)\s*(?:\.\.|…|to|,|\s)\s*(\S+?)\s*(log|linear)?\s*$")


def written(parameter: Float | Int | Choice) -> str:
    """`parameter` as `read_parameter` reads it.

    >>> written(Float(1e-3, 0.3, log=True)), written(Choice(["l1", None]))
    ('0.001 .. 0.3 log', 'l1, none')
    """
    if isinstance(parameter, Choice):
        return ", ".join(_spelled(choice) for choice in parameter.choices)
    return f"{parameter.low:g} .. {parameter.high:g} {'log' if parameter.log else 'linear'}"


def read_parameter(text: str, now: Float | Int | Choice) -> Float | Int | Choice:
    """`now` with the range, the scale or the choices that `text` says. Its default is kept where it lies inside.

    Raises: InputError saying how it is written, or what is wrong with it.
    """
    try:
        if isinstance(now, Choice):
            return _choices(text, now)
        found = _RANGE.match(text)
        if found is None:
            raise ValueError("write it as LOW .. HIGH log, or LOW .. HIGH linear")
        number = int if isinstance(now, Int) else float
        low, high = (_number(found[i], number) for i in (1, 2))
        if low >= high:
            raise ValueError(f"low {low:g} is not below high {high:g}; hold it at one value with --freeze instead")
        is_log = now.log if found[3] is None else found[3] == "log"
        if is_log and low <= 0:
            raise ValueError(f"a logarithmic scale needs low above 0, not {low:g}")
        default = now.default if isinstance(now.default, int | float) and low <= now.default <= high else None
        return type(now).model_validate({**now.model_dump(), "low": low, "high": high, "log": is_log, "default": default})
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"], where=text, cure=f"It is now {written(now)}.") from error
    except ValueError as error:
        raise InputError(str(error), where=text, cure=f"It is now {written(now)}.") from error


def with_parameter(plan: Plan, name: str, parameter: Float | Int | Choice) -> Plan:
    """`plan` with another `parameter` called `name` in the space of its family; its evidence says that you set it.

    Starting configurations are moved to the nearest value that the space still holds.

    Raises: InputError when the space has no such hyperparameter.
    """
    before = plan.space.parameters.get(name)
    if before is None:
        raise InputError(
            f"the plan searches no {name}", where="space", cure=f"It searches {', '.join(plan.space.parameters) or 'nothing'}."
        )
    if before == parameter:
        return plan
    space = SearchSpace(parameters={**plan.space.parameters, name: parameter})
    starts = tuple(_moved(start, name, parameter) for start in plan.starts)
    shortlist = tuple(c.model_copy(update={"space": space, "starts": starts}) if c.family == plan.family else c for c in plan.shortlist)
    path = f"space.{name}"
    kept = tuple(e for e in plan.evidence if e.field != path and not e.field.startswith(path + "."))
    yours = Evidence(
        field=path,
        value=written(parameter),
        rule=EDITED,
        because=f"You set it; the plan had {written(before)}.",
        facts={},
        source="your own word",
    )
    return plan.model_copy(update={"shortlist": shortlist, "evidence": (*kept, yours)})


def edited(plan: Plan) -> tuple[str, ...]:
    """The hyperparameters whose range the user has set, in the order in which they were."""
    return tuple(
        e.field.removeprefix("space.")
        for e in plan.evidence
        if e.rule == EDITED and e.field.removeprefix("space.") in plan.space.parameters
    )


def _moved(start: Config, name: str, parameter: Float | Int | Choice) -> Config:
    if name not in start or parameter.contains(start[name]):
        return start
    value = start[name]
    if isinstance(parameter, Choice) or isinstance(value, bool) or not isinstance(value, int | float):
        nearest = parameter.default if parameter.default is not None else _first(parameter)
    else:
        nearest = min(max(value, parameter.low), parameter.high)
    return {**start, name: nearest}


def _first(parameter: Float | Int | Choice) -> Any:
    return parameter.choices[0] if isinstance(parameter, Choice) else parameter.low


def _choices(text: str, now: Choice) -> Choice:
    known = {_spelled(choice): choice for choice in now.choices}
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise ValueError("write the choices with commas between them")
    values = tuple(dict.fromkeys(known[word] if word in known else _literal(word) for word in words))
    default = now.default if any(type(v) is type(now.default) and v == now.default for v in values) else values[0]
    return now.model_copy(update={"choices": values, "default": default})


def _number(text: str, kind: type[int] | type[float]) -> Any:
    value = kind(text) if kind is float or re.fullmatch(r"[+-]?\d+", text) else _whole(text)
    if not math.isfinite(value):
        raise ValueError("bounds must be finite")
    return value


def _whole(text: str) -> int:
    value = float(text)
    if value != int(value):
        raise ValueError(f"{text} is no whole number")
    return int(value)


def _spelled(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _literal(word: str) -> Any:
    if word in ("none", "null"):
        return None
    try:
        return json.loads(word)
    except ValueError:
        return word
