"""What a hyperparameter is for, read from its name, its range, its scale and its siblings; and what practice starts from.

A role gives starts, a scale and a group. It never changes a bound or the meaning of a value.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from advisor.core.space import Choice, Config, Float, Group, Int, SearchSpace
from advisor.core.value import Value

TRUSTED = 0.5
"""Confidence from which a role is acted on. [H]"""
EXACT, ANYWHERE, HINTED = 1.0, 0.9, 0.8
"""Confidence of a name that is the role's, one that holds it among other words, and an ambiguous one whose range and siblings agree. [H]"""
UNUSUAL_SCALE = 0.6
"""What an unusual scale leaves of the confidence. [H]"""
UNUSUAL_BOUND = 0.7
"""What a bound that practice would not draw there leaves of the confidence. [H]"""
EXCHANGED = 1.25
"""Names are distrusted when exchanging two of them would fit their ranges better by this factor. [H]"""
DECADES_OF_LINEAR = 2.0
"""A linear scale over so many decades is unusual for what is felt in ratios. Source: Bergstra and Bengio 2012."""
DECADES_OF_UNNAMED = 3.0
"""A positive lower bound so many decades below the upper one says that small values matter, whatever the name. [H]"""


class Hint(Value):
    """An ambiguous name, and what makes it mean this role."""

    name: str
    """The name, such as ``eta``."""
    beside: tuple[str, ...] = ()
    """Roles of which one must be among the siblings; empty: none is asked for."""
    low: float = -math.inf
    """Least lower bound."""
    high: float = math.inf
    """Greatest upper bound."""


class Role(Value):
    """One page of ``roles.toml``: how a role is recognised, and how it is searched."""

    name: str
    """Name of the role."""
    names: tuple[str, ...] = ()
    """Names that mean it, in words joined by underscores."""
    hints: tuple[Hint, ...] = ()
    """Names that may mean it."""
    kind: Literal["float", "int", "number", "choice"]
    """What its values are."""
    least: float = -math.inf
    """No value lies below."""
    most: float = math.inf
    """No value lies above."""
    usual: tuple[float, float] = (-math.inf, math.inf)
    """Values that practice takes: a range without any of them is another role's."""
    scale: Literal["log", "linear", "any"] = "any"
    """The scale it is searched on."""
    edges: tuple[float, float] = (-math.inf, math.inf)
    """Bounds that practice draws: one outside is unusual."""
    reaches: tuple[float, float] = (math.inf, -math.inf)
    """A lower bound above the first, or an upper one below the second, is unusual."""
    group: Group | None = None
    """The stage it is tuned in."""
    source: str
    """Where that is from."""


class Start(Value):
    """One configuration of published practice, by role."""

    values: dict[str, Any]
    """Role to value."""
    source: str
    """Where it is from."""


class Recipe(Value):
    """Starts for one kind of training, told by the roles of its hyperparameters."""

    name: str
    """What is trained how."""
    needs: tuple[str, ...]
    """Roles that must be there."""
    some: tuple[str, ...] = ()
    """Roles of which one must be there; empty: none is asked for."""
    without: tuple[str, ...] = ()
    """Roles that must not be there."""
    optimizer: str | None = None
    """The optimiser it is for: where that is a choice it must be offered, and `without` does not count."""
    starts: tuple[Start, ...] = Field(min_length=1)
    """Best known first."""


class Recognised(Value):
    """What one hyperparameter is for."""

    parameter: str
    """Its name in the space."""
    role: str
    """Name of the role."""
    confidence: float
    """0 to 1."""
    because: str
    """What spoke for it."""


class RoleStart(Value):
    """A starting configuration, and where it is from."""

    config: Config
    """It belongs to the space."""
    recipe: str
    """Name of the recipe."""
    source: str
    """Of its values."""


def recognise(space: SearchSpace, roles: Sequence[Role]) -> dict[str, Recognised]:
    """The roles of the hyperparameters of `space` that can be trusted, by name.

    Empty where the names do not fit the ranges: exchanging two of them would fit better, so none is believed.
    """
    by_name = {r.name: r for r in roles}
    named = {n: match for n, p in space.items() if (match := told_by_name(n, roles)) is not None}
    plain = {n: (role, said) for n, (role, said) in named.items() if fit(by_name[role], space.parameters[n]) * said >= TRUSTED}
    present = {role for role, _ in plain.values()}
    for _ in range(2):  # a hint may hang on a role that was itself told by a hint
        for name, parameter in space.items():
            if name not in plain and (hinted := _by_hint(name, parameter, roles, present)) is not None:
                plain[name] = (hinted, HINTED)
        present |= {role for role, _ in plain.values()}
    if _are_exchanged(space, {n: by_name[role] for n, (role, _) in {**named, **plain}.items()}):
        return {}
    out = {}
    for name, (role, said) in plain.items():
        fits = fit(by_name[role], space.parameters[name])
        if said * fits >= TRUSTED:
            out[name] = Recognised(
                parameter=name,
                role=role,
                confidence=round(said * fits, 3),
                because=_because(said, fits, by_name[role]),
            )
    return {n: out[n] for n, _ in space.items() if n in out}


def fit(role: Role, parameter: Float | Int | Choice) -> float:
    """How well the range and the scale of `parameter` agree with `role`: 1 when nothing speaks against it, 0 when something forbids it."""
    if role.kind == "choice":
        return 1.0 if isinstance(parameter, Choice) else 0.0
    bounds = _bounds(parameter)
    if bounds is None:
        return 0.0
    low, high = bounds
    whole = isinstance(parameter, Int) or (isinstance(parameter, Choice) and all(isinstance(c, int) for c in parameter.choices))
    if role.kind == "int" and not whole:
        return 0.0
    if role.kind == "float" and whole and high > 1:
        return 0.0
    if low < role.least or high > role.most or high < role.usual[0] or low > role.usual[1]:
        return 0.0
    out = 1.0
    if role.scale == "log" and isinstance(parameter, Float | Int) and not parameter.log:
        out *= UNUSUAL_SCALE if low <= 0 or math.log10(high / low) >= DECADES_OF_LINEAR else 1.0
    if role.scale == "linear" and isinstance(parameter, Float | Int) and parameter.log:
        out *= UNUSUAL_SCALE
    if low < role.edges[0] or high > role.edges[1] or low > role.reaches[0] or high < role.reaches[1]:
        out *= UNUSUAL_BOUND
    return out


def scaled(space: SearchSpace, found: Mapping[str, Recognised], roles: Sequence[Role]) -> dict[str, str]:
    """Parameters that are better searched on a logarithmic scale than on the linear one they were given, with the reason.

    The bounds stay, and so does what a value means: only where the draws fall is changed.
    """
    by_name = {r.name: r for r in roles}
    out = {}
    for name, parameter in space.items():
        if isinstance(parameter, Choice) or parameter.log or parameter.low <= 0 or parameter.low >= parameter.high:
            continue
        decades = math.log10(parameter.high / parameter.low)
        role = by_name.get(found[name].role) if name in found else None
        if role is not None:
            if role.scale == "log" and decades >= DECADES_OF_LINEAR:
                out[name] = f"it is a {role.name.replace('_', ' ')} over {decades:.2g} decades, which is felt in ratios"
        elif decades >= DECADES_OF_UNNAMED:
            out[name] = f"its bounds are {decades:.2g} decades apart, and on a linear scale the lower ones would never be drawn"
    return out


def role_starts(space: SearchSpace, found: Mapping[str, Recognised], recipes: Sequence[Recipe]) -> tuple[RoleStart, ...]:
    """Starting configurations of published practice for `space`, every recipe that applies in turn; each belongs to the space.

    A start is left out where a role that its recipe needs has a value outside the bounds: it is for another space. What no
    role speaks of stays at the default.
    """
    by_role: dict[str, list[str]] = {}
    for name, seen in found.items():
        by_role.setdefault(seen.role, []).append(name)
    lists = [_of_recipe(space, by_role, recipe) for recipe in recipes if _applies(space, by_role, recipe)]
    out: list[RoleStart] = []
    for turn in range(max((len(one) for one in lists), default=0)):
        out += [one[turn] for one in lists if turn < len(one) and one[turn].config not in [o.config for o in out]]
    return tuple(out)


# ------------------------------------------------------------------------------------------------ names


@functools.lru_cache(maxsize=4096)
@lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """The words of a name, in lower case: ``optimizer__learningRate`` is optimizer, learning, rate."""
    split = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return tuple(w for w in re.split(r"[^A-Za-z0-9]+", split.lower().replace("__", "_")) for w in re.split("_+", w) if w)


def told_by_name(name: str, roles: Sequence[Role]) -> tuple[str, float] | None:
    """The role whose name is the longest part of `name`, and how sure that is: `EXACT` where it is all; None when no role is named."""
    return _told(name, tuple((role.name, role.names) for role in roles))


@lru_cache(maxsize=4096)
def _told(name: str, roles: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[str, float] | None:
    """The same for the names that each role goes by; a search for flips asks it of every name again and again."""
    said = words(name)
    best: tuple[int, str, float] | None = None
    for role, names in roles:
        for known in names:
            part = words(known)
            if any(_is_same(said[i : i + len(part)], part) for i in range(len(said) - len(part) + 1)):
                size = sum(map(len, part))
                if best is None or size > best[0]:
                    best = (size, role, EXACT if said == part else ANYWHERE)
    return None if best is None else best[1:]


def _is_same(said: Sequence[str], known: Sequence[str]) -> bool:
    """True when the words agree; a number at the end of one, as in ``dropout2``, counts for nothing."""
    return all(a == b or a.rstrip("0123456789") == b for a, b in zip(said, known, strict=True))


def _by_hint(name: str, parameter: Float | Int | Choice, roles: Sequence[Role], present: set[str]) -> str | None:
    """The one role that an ambiguous name means here; None when none or several do."""
    said = words(name)
    bounds = _bounds(parameter)
    if bounds is None:
        return None
    meant = [
        role.name
        for role in roles
        for hint in role.hints
        if words(hint.name) in (said, said[-1:])
        and (not hint.beside or present & set(hint.beside))
        and bounds[0] >= hint.low
        and bounds[1] <= hint.high
        and fit(role, parameter) > 0
    ]
    return meant[0] if len(set(meant)) == 1 else None


def _are_exchanged(space: SearchSpace, named: Mapping[str, Role]) -> bool:
    """True when two names would fit each other's ranges clearly better than their own."""
    names = list(named)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            if named[a].name == named[b].name:
                continue
            own = fit(named[a], space.parameters[a]) * fit(named[b], space.parameters[b])
            other = fit(named[a], space.parameters[b]) * fit(named[b], space.parameters[a])
            if other > EXCHANGED * own:
                return True
    return False


def _because(said: float, fits: float, role: Role) -> str:
    by = {EXACT: "its name", ANYWHERE: "a part of its name", HINTED: "its name beside its siblings"}[said]
    return f"{by}, and its range" + (" and scale agree" if fits == 1.0 else ", which is unusual for a " + role.name.replace("_", " "))


def _bounds(parameter: Float | Int | Choice) -> tuple[float, float] | None:
    if isinstance(parameter, Choice):
        numbers = [c for c in parameter.choices if isinstance(c, int | float) and not isinstance(c, bool) and math.isfinite(c)]
        return (min(numbers), max(numbers)) if numbers and len(numbers) == len(parameter.choices) else None
    return parameter.low, parameter.high


# ------------------------------------------------------------------------------------------------ starts


def _applies(space: SearchSpace, by_role: Mapping[str, Sequence[str]], recipe: Recipe) -> bool:
    if any(role not in by_role for role in recipe.needs) or (recipe.some and not any(role in by_role for role in recipe.some)):
        return False
    choices = [p for n in by_role.get("optimizer", ()) if isinstance(p := space.parameters[n], Choice)]
    if choices:
        return recipe.optimizer is not None and any(_offered(p, recipe.optimizer) is not None for p in choices)
    return not any(role in by_role for role in recipe.without)


def _of_recipe(space: SearchSpace, by_role: Mapping[str, Sequence[str]], recipe: Recipe) -> list[RoleStart]:
    out = []
    default = space.default()
    for start in recipe.starts:
        values = start.values | ({"optimizer": recipe.optimizer} if recipe.optimizer else {})
        config: Config = {}
        fits = True
        for name, parameter in space.items():
            if not parameter.is_active(config):
                continue
            role = next((r for r, names in by_role.items() if name in names), None)
            value = _placed(parameter, values[role], is_needed=role in recipe.needs) if role in values else None
            if role in values and value is None and role in recipe.needs:
                fits = False
            config[name] = value if value is not None else default.get(name, parameter.default)
        if fits and not space.faults(config):
            out.append(RoleStart(config=config, recipe=recipe.name, source=start.source))
    return out


def _placed(parameter: Float | Int | Choice, value: Any, *, is_needed: bool) -> Any:
    """`value` as `parameter` takes it: within its bounds, the nearest number it offers, or the choice of that name; else None."""
    if isinstance(parameter, Choice):
        return _offered(parameter, value)
    if not isinstance(value, int | float):
        return None
    slack = 1e-6 * abs(parameter.high)
    if is_needed and not parameter.low - slack <= value <= parameter.high + slack:
        return None
    inside = min(max(value, parameter.low), parameter.high)
    return round(inside) if isinstance(parameter, Int) else float(inside)


def _offered(parameter: Choice, value: Any) -> Any:
    """The choice that means `value`: the nearest number on a ratio scale, or the text with the same words; None when there is none."""
    if isinstance(value, str):
        wanted = "".join(words(value))
        return next((c for c in parameter.choices if isinstance(c, str) and "".join(words(c)) == wanted), None)
    numbers = [c for c in parameter.choices if isinstance(c, int | float) and not isinstance(c, bool)]
    if not numbers:
        return None
    if value > 0 and all(n > 0 for n in numbers):
        return min(numbers, key=lambda n: abs(math.log(n / value)))
    return min(numbers, key=lambda n: abs(n - value))
