"""What is measured of a search space for the linter: properties of one hyperparameter, of a sibling of it, and of the space.

A finding compares properties with constants, as rules compare facts. A property that cannot be told is `Unknown`, which
raises no finding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from advisor.core.facts import Unknown
from advisor.core.roles import EXACT, Recognised, Role, told_by_name, words
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.core.value import Value
from advisor.core.vocabulary import Fact, Kind

Parameter = Float | Int | Choice

FEWEST_LEVELS = 3
"""Numbers in a list from which on their order is told."""
EVEN_WITHIN = 0.02
"""Relative difference of steps that still counts as even."""


class Circumstances(Value):
    """What is known around a space: each of it optional."""

    trials: int | None = None
    """Full trials that the budget holds."""
    fidelity: str | None = None
    """Name of the steps of a trial."""
    is_unscaled: bool | None = None
    """True when a model that measures distances is given the features as they are."""
    refused: dict[str, str] | None = None
    """Hyperparameter to what its library says of values that it refuses; None: no library was asked."""
    priorities: dict[str, int] = {}
    """Hyperparameter to its priority for tuning, 1 first, where the model family says."""


class Sibling(Value):
    """Another hyperparameter of the same space that a finding looks for."""

    roles: tuple[str, ...] = ()
    """Roles of which it has one, told by its name."""
    names: tuple[str, ...] = ()
    """Names of which it has one."""
    used: tuple[str, ...] = ()
    """Its choices under which the hyperparameter does something."""
    idle: tuple[str, ...] = ()
    """Its choices under which it does nothing; ``none`` stands for None."""
    by_index: bool = False
    """True: it counts layers, and the number in the hyperparameter's name says from which count on it is used."""


@dataclass(frozen=True)
class Beside:
    """The sibling that was found."""

    name: str
    parameter: Parameter
    idle: tuple[Any, ...]
    """Its values under which the hyperparameter does nothing although it is drawn."""
    used: tuple[Any, ...]
    """Its other values under which it is drawn."""
    is_told: bool
    """True when it is known of every other value that it does something there."""
    known_used: int = 0
    """Of the other values, those of which that is known."""


@dataclass(frozen=True)
class Look:
    """One hyperparameter (or, without a name, the space) with all that its properties are measured from."""

    space: SearchSpace
    found: Mapping[str, Recognised]
    """Roles that can be trusted, by name."""
    told: Mapping[str, str]
    """Those, and further ones that the whole name means whatever the range."""
    roles: Mapping[str, Role]
    """Every role by name."""
    around: Circumstances
    name: str = ""
    sibling: Sibling | None = None

    def at(self, name: str, sibling: Sibling | None = None) -> Look:
        """The same space, looked at from the hyperparameter called `name`."""
        return Look(self.space, self.found, self.told, self.roles, self.around, name, sibling)

    @property
    def parameter(self) -> Parameter:
        """The hyperparameter looked at."""
        return self.space.parameters[self.name]

    @property
    def named(self) -> str | None:
        """The role that is trusted, else the one that the whole name means whatever its range; None when neither."""
        return self.told.get(self.name)

    @cached_property
    def beside(self) -> Beside | None:
        """The sibling that the finding looks for; None when there is none."""
        return _beside(self)

    def value(self, name: str) -> Any:
        """The property called `name`; an `Unknown` when it cannot be told."""
        return PROPERTIES[name].measure(self)


def roles_told(space: SearchSpace, found: Mapping[str, Recognised], roles: Sequence[Role]) -> dict[str, str]:
    """The role of each hyperparameter that has one: as recognised, else by its whole name."""
    out = {name: seen.role for name, seen in found.items()}
    for name in space.parameters:
        said = told_by_name(name, roles) if name not in out else None
        if said is not None and said[1] == EXACT:
            out[name] = said[0]
    return out


@lru_cache(maxsize=4096)
def plain_name(name: str) -> str:
    """A name without the steps of a pipeline, in words.

    >>> plain_name("svc__maxDepth")
    'max_depth'
    """
    return "_".join(words(name.rsplit("__", 1)[-1]))


def span(parameter: Parameter) -> tuple[float, float] | None:
    """Least and greatest value; None for a choice that holds something other than numbers."""
    if not isinstance(parameter, Choice):
        return parameter.low, parameter.high
    listed = numbers(parameter)
    return (min(listed), max(listed)) if listed else None


def numbers(parameter: Choice) -> tuple[float, ...] | None:
    """The choices, where all are finite numbers."""
    kept = [c for c in parameter.choices if isinstance(c, int | float) and not isinstance(c, bool) and math.isfinite(c)]
    return tuple(kept) if len(kept) == len(parameter.choices) else None


# ------------------------------------------------------------------------------------------------ the vocabulary


@dataclass(frozen=True)
class Property:
    """A property and how it is measured."""

    fact: Fact
    measure: Callable[[Look], Any]


PROPERTIES: dict[str, Property] = {}
"""Every property by name."""


def measured(
    name: str, kind: Kind, *, choices: tuple[str, ...] = (), noun: str = "", says: tuple[str, str] = ("", "")
) -> Callable[[Callable[[Look], Any]], Callable[[Look], Any]]:
    """A decorator that enters a function into `PROPERTIES` under `name`; its docstring is the meaning."""

    def enter(function: Callable[[Look], Any]) -> Callable[[Look], Any]:
        about = Fact(name, kind, (function.__doc__ or "").strip(), choices=choices, noun=noun, says=says)
        PROPERTIES[name] = Property(about, function)
        return function

    return enter


def properties() -> dict[str, Fact]:
    """The vocabulary of findings."""
    return {name: p.fact for name, p in PROPERTIES.items()}


_NO_NUMBER = Unknown(reason="its values are no numbers")
_NO_TRIALS = Unknown(reason="the number of trials is not known", cure="Say how many with --trials.")


@measured("dimension.kind", "choice", choices=("float", "int", "choice"))
def kind(look: Look) -> str:
    """What its values are."""
    return look.parameter.type


@measured("dimension.name", "text")
def name(look: Look) -> str:
    """Its name in words, without the steps of a pipeline."""
    return plain_name(look.name)


@measured("dimension.role", "text")
def role(look: Look) -> Any:
    """What it is for, told by its name; its range need not agree."""
    return look.named or Unknown(reason="its name tells no role")


@measured("dimension.scale", "choice", choices=("log", "linear", "any"))
def scale(look: Look) -> str:
    """The scale that its role is searched on; any where there is no role."""
    return look.roles[look.named].scale if look.named else "any"


@measured("dimension.is_log", "flag", says=("it is drawn evenly", "it is drawn on a logarithmic scale"))
def is_log(look: Look) -> bool:
    """Drawn on a logarithmic scale."""
    return not isinstance(look.parameter, Choice) and look.parameter.log


@measured("dimension.high", "number")
def high(look: Look) -> Any:
    """Its greatest value."""
    found = span(look.parameter)
    return _NO_NUMBER if found is None else found[1]


@measured("dimension.decades", "number", noun="decades")
def decades(look: Look) -> Any:
    """Powers of ten between its bounds."""
    found = span(look.parameter)
    if found is None:
        return _NO_NUMBER
    if found[0] <= 0 or found[1] <= 0:
        return Unknown(reason="its range holds 0 or less")
    return math.log10(found[1] / found[0])


@measured("dimension.reaches_zero", "flag", says=("its lower bound is above 0", "its lower bound is 0 or less"))
def reaches_zero(look: Look) -> Any:
    """Its least value is 0 or less."""
    found = span(look.parameter)
    return _NO_NUMBER if found is None else found[0] <= 0


@measured("dimension.is_fixed", "flag", says=("it has several values", "it has one value only"))
def is_fixed(look: Look) -> bool:
    """It can take one value only."""
    parameter = look.parameter
    return len(parameter.choices) == 1 if isinstance(parameter, Choice) else parameter.low == parameter.high


@measured("dimension.is_reversed", "flag", says=("its bounds are in order", "its lower bound is above its upper one"))
def is_reversed(look: Look) -> bool:
    """Its lower bound is above its upper one."""
    return not isinstance(look.parameter, Choice) and look.parameter.low > look.parameter.high


@measured("dimension.default_is_outside", "flag", says=("its default lies within", "its default lies outside"))
def default_is_outside(look: Look) -> Any:
    """Its default is none of its values."""
    default = look.parameter.default
    if default is None:
        return Unknown(reason="it has no default")
    return not look.parameter.contains(default)


@measured("dimension.spacing", "choice", choices=("geometric", "even", "irregular"))
def spacing(look: Look) -> Any:
    """How numbers that are listed as choices follow each other."""
    parameter = look.parameter
    listed = numbers(parameter) if isinstance(parameter, Choice) else None
    if listed is None or len(set(listed)) < FEWEST_LEVELS:
        return Unknown(reason="it lists no three numbers")
    ordered = sorted(set(listed))
    steps = [b - a for a, b in pairwise(ordered)]
    if max(steps) <= min(steps) * (1 + EVEN_WITHIN):
        return "even"
    if ordered[0] > 0:
        ratios = [b / a for a, b in pairwise(ordered)]
        if max(ratios) <= min(ratios) * (1 + EVEN_WITHIN):
            return "geometric"
    return "irregular"


@measured("dimension.levels", "number", noun="values")
def levels(look: Look) -> float:
    """How many values it can take; unlimited for a real number."""
    match look.parameter:
        case Choice(choices=choices):
            return float(len(choices))
        case Int(low=least, high=most):
            return float(max(1, most - least + 1))
    return math.inf


@measured("dimension.levels_a_trial", "number", noun="values a trial")
def levels_a_trial(look: Look) -> Any:
    """Values of a choice over the trials of the budget."""
    if look.around.trials is None:
        return _NO_TRIALS
    return levels(look) / look.around.trials


@measured("dimension.leaves_its_role", "flag", says=("its bounds suit its role", "its bounds leave what its role can be"))
def leaves_its_role(look: Look) -> Any:
    """A bound lies where no value of its role can be."""
    found = span(look.parameter)
    if look.named is None:
        return Unknown(reason="its name tells no role")
    if found is None:
        return _NO_NUMBER
    about = look.roles[look.named]
    return found[0] < about.least or found[1] > about.most


@measured("dimension.decades_beyond_practice", "number", noun="decades beyond practice")
def decades_beyond_practice(look: Look) -> Any:
    """Powers of ten of its range that lie outside what practice takes."""
    found = span(look.parameter)
    if look.name not in look.found:
        return Unknown(reason="its role is not sure")
    usual = look.roles[look.found[look.name].role].usual
    if found is None or found[0] <= 0 or usual[0] <= 0 or not math.isfinite(usual[1]):
        return Unknown(reason="its range, or what is usual, has no ratio")
    below = max(0.0, math.log10(usual[0] / found[0]))
    return below + max(0.0, math.log10(found[1] / usual[1]))


@measured("dimension.is_refused", "flag", says=("its library takes its values", "its library refuses some of its values"))
def is_refused(look: Look) -> Any:
    """The library refuses one of its values."""
    if look.around.refused is None:
        return Unknown(reason="no library was asked", cure="Name the model family with --model.")
    return look.name in look.around.refused


@measured("dimension.is_the_fidelity", "flag", says=("it is not what a step counts", "it is what the steps of a trial count"))
def is_the_fidelity(look: Look) -> bool:
    """It counts the same as the steps of a trial that were named."""
    steps = look.around.fidelity
    said = [w for w in words(look.name.rsplit("__", 1)[-1]) if w not in _COUNTING]
    return steps is not None and [w.removesuffix("s") for w in said] == [w.removesuffix("s") for w in words(steps) if w not in _COUNTING]


_COUNTING = ("n", "num", "number", "of", "max", "total", "train", "training", "count")
"""Words before a step's name that say no more than that it is counted."""


@measured("dimension.twins", "integer", noun="others for the same")
def twins(look: Look) -> Any:
    """Other hyperparameters, drawn together with it, that are another name for the same."""
    if look.named is None:
        return Unknown(reason="its name tells no role")
    return len(twin_names(look))


def twin_names(look: Look) -> tuple[str, ...]:
    """Names that mean the same role by themselves, other than this one's, and are drawn together with it."""
    if look.named is None:
        return ()
    about = look.roles[look.named]
    known = {"_".join(words(n)) for n in (*about.names, *(h.name for h in about.hints))}
    own = plain_name(look.name)
    if own not in known:
        return ()
    others = ((n, p) for n, p in look.space.items() if plain_name(n) in known - {own} and look.told.get(n) == look.named)
    return tuple(n for n, p in others if _can_meet(look.parameter, p))


def _can_meet(one: Parameter, other: Parameter) -> bool:
    """False when conditions on the same hyperparameter keep the two apart."""
    mine, theirs = one.when or {}, other.when or {}
    return all(set(map(repr, mine[n])) & set(map(repr, theirs[n])) for n in mine if n in theirs)


# ------------------------------------------------------------------------------------------------ the sibling


@measured("sibling.is_there", "flag", says=("the other is not tuned beside it", "the other is tuned beside it"))
def sibling_is_there(look: Look) -> bool:
    """The sibling looked for is in the space, with several values."""
    return look.beside is not None


@measured("sibling.idle_values", "integer", noun="values of the other under which it does nothing")
def sibling_idle_values(look: Look) -> Any:
    """Values of the sibling under which the hyperparameter is drawn and does nothing."""
    return len(look.beside.idle) if look.beside is not None else Unknown(reason="the other is not tuned beside it")


@measured("sibling.used_values", "integer", noun="values of the other under which it does something")
def sibling_used_values(look: Look) -> Any:
    """Values of the sibling of which it is known that the hyperparameter does something there."""
    return look.beside.known_used if look.beside is not None else Unknown(reason="the other is not tuned beside it")


@measured("sibling.rate_times_rounds", "number", noun="for rate × rounds")
def sibling_rate_times_rounds(look: Look) -> Any:
    """Its least value times the greatest of the sibling: how far the slowest rate can get."""
    if look.beside is None:
        return Unknown(reason="the other is not tuned beside it")
    own, other = span(look.parameter), span(look.beside.parameter)
    return _NO_NUMBER if own is None or other is None else own[0] * other[1]


def _beside(look: Look) -> Beside | None:
    wanted = look.sibling
    if wanted is None:
        return None
    for other, parameter in look.space.items():
        is_meant = plain_name(other) in wanted.names or (wanted.roles and look.told.get(other) in wanted.roles)
        # Asked last: `free` walks the whole space, and this loop runs for every pair of hyperparameters.
        if is_meant and other != look.name and other in look.space.free:
            if not wanted.by_index:
                return _by_choice(look, other, parameter, wanted)
            layered = _by_index(look, other, parameter)
            if layered is not None:
                return layered
    return None


def _said(choice: Any) -> str:
    return "none" if choice is None else "".join(words(str(choice)))


def _by_choice(look: Look, other: str, parameter: Parameter, wanted: Sibling) -> Beside:
    offered = parameter.choices if isinstance(parameter, Choice) else ()
    drawn = (look.parameter.when or {}).get(other, offered)
    idle_names, used_names = ({"".join(words(n)) for n in names} for names in (wanted.idle, wanted.used))
    idle = tuple(c for c in offered if c in drawn and _said(c) in idle_names)
    used = tuple(c for c in offered if c in drawn and _said(c) not in idle_names)
    known = sum(_said(c) in used_names for c in used)
    return Beside(other, parameter, idle, used, is_told=0 < known == len(used), known_used=known)


_INDEX = re.compile(r"\d+(?=\D*$)")


def _by_index(look: Look, other: str, parameter: Parameter) -> Beside | None:
    """The count of layers, where the names of several hyperparameters differ by a number alone."""
    mine = _INDEX.search(look.name)
    if mine is None or not isinstance(parameter, Int):
        return None
    stem = _INDEX.sub("#", look.name)
    indices = [int(found[0]) for n in look.space.parameters if _INDEX.sub("#", n) == stem and (found := _INDEX.search(n))]
    if len(indices) < 2 or min(indices) not in (0, 1):
        return None
    needed = int(mine[0]) - min(indices) + 1
    drawn = (look.parameter.when or {}).get(other, tuple(range(parameter.low, parameter.high + 1)))
    idle = tuple(v for v in drawn if v < needed)
    used = tuple(v for v in drawn if v >= needed)
    return Beside(other, parameter, idle, used, is_told=bool(used), known_used=len(used))


# ------------------------------------------------------------------------------------------------ the space


@measured("space.dimensions", "integer", noun="dimensions")
def dimensions(look: Look) -> int:
    """Hyperparameters that can take more than one value."""
    return len(look.space.free)


@measured("space.trials_a_dimension", "number", noun="trials a dimension")
def trials_a_dimension(look: Look) -> Any:
    """Trials of the budget over the dimensions."""
    if look.around.trials is None:
        return _NO_TRIALS
    return look.around.trials / max(1, len(look.space.free))


@measured("space.grid_a_trial", "number", noun="configurations listed a trial")
def grid_a_trial(look: Look) -> Any:
    """Configurations that the lists hold together over the trials, where every hyperparameter is a list."""
    if look.around.trials is None:
        return _NO_TRIALS
    listed = [p for n in look.space.free if isinstance(p := look.space.parameters[n], Choice)]
    if len(listed) < len(look.space.free) or not listed:
        return Unknown(reason="not every hyperparameter is a list")
    return math.prod(len(p.choices) for p in listed) / look.around.trials


@measured("space.is_unscaled", "flag", says=("the features are scaled", "the features are not scaled"))
def is_unscaled(look: Look) -> Any:
    """A model that measures distances is given the features as they are."""
    if look.around.is_unscaled is None:
        return Unknown(reason="no estimator was named")
    return look.around.is_unscaled


@measured("space.steps_are_rounds", "flag", says=("the steps are no boosting rounds", "the steps are boosting rounds"))
def steps_are_rounds(look: Look) -> bool:
    """The steps of a trial that were named are boosting rounds."""
    steps = look.around.fidelity
    return steps is not None and bool({w.removesuffix("s") for w in words(steps)} & {"round", "tree", "estimator"})
