"""Search spaces of families, adjusted to the facts: bounds, defaults, starts, what is held fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advisor.core.derived import Situation
from advisor.core.errors import InputError, RulebookError
from advisor.core.facts import Unknown
from advisor.core.family import Family
from advisor.core.plan import Candidate
from advisor.core.predicates import Verdict
from advisor.core.rules import Bound, Rule, Rulebook
from advisor.core.space import Choice, Config, Float, Group, Int, SearchSpace

GRID_LEVELS = 5
"""Fewest useful levels of a numeric dimension. Source: knowledge A.1 GRID (5-7 levels)."""
GRID_LEVELS_OF_THREE = 4
"""The same from three numeric dimensions on. Source: knowledge A.1 GRID (p = 3 only if at least 4 levels fit)."""


def space_facts(space: SearchSpace, family: Family) -> dict[str, Any]:
    """The facts of a space that rules may name, ``search.*``."""
    free = {n: space.parameters[n] for n in space.free}
    numeric = {n: p for n, p in free.items() if not isinstance(p, Choice)}
    levels = GRID_LEVELS if len(numeric) < 3 else GRID_LEVELS_OF_THREE
    size = 1.0
    for parameter in free.values():
        match parameter:
            case Choice():
                size *= len(parameter.choices)
            case Int():
                size *= min(levels, parameter.high - parameter.low + 1)
            case Float():
                size *= levels
    return {
        "search.dimensions": len(free),
        "search.numeric_dimensions": len(numeric),
        "search.is_numeric": space.is_numeric,
        "search.is_conditional": space.is_conditional,
        "search.is_mutable": bool(free) and all(n in family.mutable for n in free),
        "search.grid_size": size,
        "search.regularisers": sum(isinstance(p, Float) and p.group is Group.REGULARISATION for p in free.values()),
    }


def follow(bound: float | Bound, situation: Situation) -> float | None:
    """The number that `bound` means here; None when the fact it follows is unknown."""
    if not isinstance(bound, Bound):
        return bound
    value = situation.value(bound.fact)
    if isinstance(value, Unknown):
        return None
    number = float(value) * bound.times
    if bound.power_of_two and number > 0:
        number = 2.0 ** round(math.log2(number))
    if bound.at_least is not None:
        number = max(number, bound.at_least)
    if bound.at_most is not None:
        number = min(number, bound.at_most)
    return number


def adjusting(rulebook: Rulebook, family: Family, situation: Situation) -> tuple[Rule, ...]:
    """The rules that change the space of `family` here."""
    mine = (r for r in rulebook.adjustments if r.adjust is not None and r.adjust.family == family.name)
    return tuple(r for r in mine if r.verdict(situation) is Verdict.HOLDS)


PARTS = ("unit", "low", "high", "default", "freeze", "fix")
"""What a rule may change of a hyperparameter, in the order in which it is done."""


@dataclass(frozen=True, slots=True)
class Revised:
    """What the rules that hold make of one part of a hyperparameter."""

    value: Any
    """The bound, the default, or the value it is fixed at."""
    rules: tuple[Rule, ...]
    """The rules that set it so."""


def revisions(rules: Sequence[Rule], situation: Situation) -> dict[str, dict[str, Revised]]:
    """For each hyperparameter each part that `rules`, which all hold, change: ranges intersect, single values must agree.

    For each part the user's own rules go before the shipped ones.

    Raises: RulebookError when two rules give one part different values.
    """
    said: dict[tuple[str, str], list[tuple[Any, Rule]]] = {}
    for rule in rules:
        change = rule.adjust
        assert change is not None
        for part in PARTS:
            wanted = getattr(change, part)
            value = follow(wanted, situation) if isinstance(wanted, Bound) else wanted
            if (value is not None and value is not False) or (part == "fix" and value is False):
                said.setdefault((change.parameter, part), []).append((value, rule))
    out: dict[str, dict[str, Revised]] = {}
    for (name, part), entries in said.items():
        top = max(rule.level for _, rule in entries)
        left = [(value, rule) for value, rule in entries if rule.level == top]
        value = max(v for v, _ in left) if part == "low" else min(v for v, _ in left) if part == "high" else left[0][0]
        other = next((rule for v, rule in left if v != value), None)
        if other is not None and part not in ("low", "high"):
            first = next(rule for v, rule in left if v == value)
            raise RulebookError([f"{other.place}: rules {first.id!r} and {other.id!r} both hold and disagree on {part} of {name}"])
        out.setdefault(name, {})[part] = Revised(value, tuple(rule for v, rule in left if v == value))
    return out


def candidate_of(
    family: Family, rulebook: Rulebook, situation: Situation, frozen: Mapping[str, Any], *, is_measured: bool = False
) -> Candidate:
    """The family with its space adjusted, the default first among its starts.

    Every adjusted range still holds the default, so that trial 0 belongs to the space. `frozen` holds the user's fixed
    values; names that are none of this family's are passed over.

    Raises: RulebookError when the rules leave an empty range; InputError when a frozen value does not fit.
    """
    return shaped(family, adjusting(rulebook, family, situation), situation, frozen, is_measured=is_measured)


def shaped(
    family: Family, rules: Sequence[Rule], situation: Situation, frozen: Mapping[str, Any], *, is_measured: bool = False
) -> Candidate:
    """`candidate_of` under `rules`, taken to hold.

    Raises: as `candidate_of`.
    """
    space, fixed, starts = family.space, dict(family.fixed), list(family.starts)
    for name, parts in revisions(rules, situation).items():
        if name in fixed:
            value = parts["fix"].value
            is_count = isinstance(fixed[name], int) and not isinstance(fixed[name], bool) and not isinstance(value, bool)
            fixed[name] = int(value) if is_count else value
            continue
        parameter = space.parameters[name]
        changed: dict[str, Any] = {"default": parts["default"].value} if "default" in parts else {}
        if not isinstance(parameter, Choice):
            unit = parts["unit"].value if "unit" in parts else 1
            if "unit" in parts:
                changed.setdefault("default", parameter.default * unit)
                starts = [{k: v * unit if k == name else v for k, v in s.items()} for s in starts]
            lows = [parameter.low * unit, *([parts["low"].value] if "low" in parts else [])]
            highs = [parameter.high * unit, *([parts["high"].value] if "high" in parts else [])]
            number = int if isinstance(parameter, Int) else float
            changed |= {"low": number(max(lows)), "high": number(min(highs))}
            if changed["low"] > changed["high"]:
                guilty = [r for part in ("low", "high") if part in parts for r in parts[part].rules]
                raise RulebookError(
                    [f"{guilty[0].place}: {family.name}.{name} has no value left between {changed['low']} and {changed['high']}"]
                )
            default = changed.get("default", parameter.default)
            changed["low"], changed["high"] = min(changed["low"], default), max(changed["high"], default)
        if "freeze" in parts:
            changed |= _held(parameter, changed.get("default", parameter.default))
        space = space.replace(**{name: _revised(parameter, changed)})
    for name, value in frozen.items():
        if name in fixed:
            fixed[name] = value
        elif name in space.parameters:
            own = space.parameters[name] if name in space.free else family.space.parameters[name]  # what a rule holds, the user may move
            space = space.replace(**{name: hold(name, own, value)})
    default = space.default()
    configs: list[Config] = [default]
    for start in starts:
        config = space.active({**default, **{n: clip(space.parameters[n], v) for n, v in start.items() if n in space.parameters}})
        if config not in configs:
            configs.append(config)
    return Candidate(
        family=family.name,
        space=space,
        starts=tuple(configs),
        fixed=fixed,
        fit_seconds=situation.value("family.fit_seconds"),
        is_measured=is_measured,
    )


def _revised(parameter: Float | Int | Choice, changed: Mapping[str, Any]) -> Float | Int | Choice:
    return type(parameter).model_validate({**parameter.model_dump(), **changed})


def _held(parameter: Float | Int | Choice, value: Any) -> dict[str, Any]:
    return {"choices": (value,), "default": value} if isinstance(parameter, Choice) else {"low": value, "high": value, "default": value}


def hold(name: str, parameter: Float | Int | Choice, value: Any) -> Float | Int | Choice:
    """`parameter` held at `value`.

    Raises: InputError when it is of another type or outside a hard bound.
    """
    if isinstance(parameter, Int) and isinstance(value, float) and value == int(value):
        value = int(value)
    fits_type = isinstance(value, int | float) and not isinstance(value, bool) if not isinstance(parameter, Choice) else True
    whole = not isinstance(parameter, Int) or isinstance(value, int)
    if not fits_type or not whole or (parameter.hard and not parameter.contains(value)):
        if isinstance(parameter, Choice):
            allowed = ", ".join(map(repr, parameter.choices))
        else:
            allowed = f"a{' whole' if isinstance(parameter, Int) else ''} number from {parameter.low:g} to {parameter.high:g}"
        raise InputError(f"{name} cannot be held at {value!r}", where="--freeze", cure=f"Choose {allowed}.")
    return _revised(parameter, _held(parameter, value))


def clip(parameter: Float | Int | Choice, value: Any) -> Any:
    """`value` moved into the range of `parameter`; for a choice that is not offered, the default."""
    if isinstance(parameter, Choice):
        return value if parameter.contains(value) else parameter.default
    return type(parameter.low)(min(max(value, parameter.low), parameter.high))
