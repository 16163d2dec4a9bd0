"""What may be tuned on a scikit-learn estimator: the space a user gave, or that of the model family its class belongs to.

A plan and a journal hold names, numbers and text. Where scikit-learn's spaces list other values (transformers, tuples,
functions) a configuration holds a label, and the value is looked up when it is set on the estimator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np

from advisor.core.errors import InputError, nearest
from advisor.core.family import Family
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.objectives.spaces import plain, space_from

_LABEL_LENGTH = 60
_EXAMPLE = 'Name it: space={"C": advisor.Float(1e-3, 1e3, log=True)}, or scipy\'s distributions and lists.'


@dataclass(frozen=True)
class EstimatorSpace:
    """The space of a run, and what its configurations mean to the estimator."""

    space: SearchSpace
    """Names as `set_params` takes them; where the space has branches that nothing else tells apart, their number too."""
    given: Config
    """Where the estimator stands, in the space or not; what cannot be written down is left out."""
    starts: tuple[Config, ...] = ()
    """Further configurations worth trying first."""
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name to label to the value it stands for."""
    apart: frozenset[str] = frozenset()
    """Names of the space that are no parameters of the estimator."""
    tuples: frozenset[str] = frozenset()
    """Names whose values are tuples to the estimator, where a plan has lists."""

    def params(self, config: Config) -> dict[str, Any]:
        """What `config` sets on the estimator."""
        return {n: self._value(n, v) for n, v in config.items() if n not in self.apart}

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, list) and name in self.tuples:
            return tuple(value)
        known = self.values.get(name, {})
        return known[value] if isinstance(value, str) and value in known else value


def estimator_space(estimator: Any, given: Any) -> EstimatorSpace:
    """The space that `given` (ours, or scikit-learn's ``param_distributions``, one or a list) means for `estimator`.

    Defaults are where the estimator stands, for parameters whose range holds that.

    Raises: InputError naming a parameter that the estimator does not have, or that means no range.
    """
    own = estimator.get_params(deep=True)
    values: dict[str, dict[str, Any]] = {}
    if isinstance(given, SearchSpace):
        space = given
    else:
        written, values = labelled(given)
        space = space_from(written)
    if not len(space):
        raise InputError("the space is empty", where="space", cure=_EXAMPLE)
    asked = set(_names(given))
    _check_names(asked, own, type(estimator).__name__)
    stands = {n: v for n in space.parameters if n in own for v in _writable(n, own[n], values)}
    space = SearchSpace(parameters={n: _standing(p, stands[n]) if n in stands else p for n, p in space.items()})
    return EstimatorSpace(
        space=space,
        given=stands,
        values=values,
        apart=frozenset(set(space.parameters) - asked),
        tuples=frozenset(n for n in own if isinstance(own[n], tuple)),
    )


def family_of(estimator: Any, families: Iterable[Family]) -> tuple[Family, str] | None:
    """The family that `estimator`'s class belongs to, with the prefix of its parameters: that of the last step in a pipeline.

    None when it belongs to none.
    """
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps and not isinstance(steps[-1][1], str):
        name, last = steps[-1]
        inner = family_of(last, families)
        return None if inner is None else (inner[0], f"{name}__{inner[1]}")
    for family in families:
        for path in dict.fromkeys(family.estimators.values()):
            module, _, name = path.partition(":")
            if type(estimator).__name__ == name and type(estimator) is getattr(import_module(module), name):
                return family, ""
    return None


def family_space(estimator: Any, space: SearchSpace, starts: Sequence[Config], prefix: str) -> EstimatorSpace:
    """The `space` of a family, adjusted to the data, for `estimator`: parameters that it has, under their names in it.

    Raises: InputError when none of them is there.
    """
    own = estimator.get_params(deep=True)
    kept = {n: p for n, p in space.items() if f"{prefix}{n}" in own}
    if not kept:
        raise InputError(f"nothing of {type(estimator).__name__} is known to be worth tuning", where="space", cure=_EXAMPLE)
    named = {
        f"{prefix}{n}": p.model_copy(update={"when": {f"{prefix}{k}": v for k, v in p.when.items()} if p.when else None})
        for n, p in kept.items()
    }
    found = estimator_space(estimator, SearchSpace(parameters=named))
    stands = {n: v for n, v in found.given.items() if found.space.parameters[n].contains(v)}
    filled = [
        {**{f"{prefix}{n}": p.default for n, p in kept.items()}, **stands, **{f"{prefix}{n}": v for n, v in s.items()}} for s in starts
    ]
    legal = [c for c in (found.space.active(f) for f in filled) if not found.space.faults(c)]
    return replace(found, starts=tuple(legal))


def no_space(estimator: Any, families: Iterable[Family]) -> InputError:
    """What to say where nothing was named and the class belongs to no family."""
    known = sorted({path.partition(":")[2] for f in families for path in f.estimators.values() if path.startswith("sklearn.")})
    return InputError(
        f"{_last(estimator)} has no space of ours",
        where="space",
        cure=f"{_EXAMPLE} Known without one: {', '.join(known)}, also as the last step of a Pipeline.",
    )


def _last(estimator: Any) -> str:
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps:
        return f"{type(estimator).__name__} with {type(steps[-1][1]).__name__} as its last step"
    return type(estimator).__name__


def _names(given: Any) -> Iterable[str]:
    if isinstance(given, SearchSpace):
        return given.parameters
    return [n for part in (given if isinstance(given, Sequence) else [given]) for n in part]


def _check_names(asked: Iterable[str], own: Mapping[str, Any], title: str) -> None:
    """Raises: InputError for a name that the estimator does not have. Steps that are searched may bring parameters of their own."""
    asked = set(asked)
    for name in sorted(asked):
        heads = {name[:at] for at in range(len(name)) if name.startswith("__", at)}
        if name not in own and not heads & asked:
            raise InputError(f"{title} has no parameter {name!r}", where="space", cure=nearest(name, sorted(own)))


def _standing(parameter: Float | Int | Choice, value: Any) -> Float | Int | Choice:
    """`parameter` with the estimator's own value as its default, where it holds that."""
    return parameter.model_copy(update={"default": value}) if parameter.contains(value) else parameter


# -- values that no plan can hold ----------------------------------------------------------------------------------------


def _is_simple(value: Any) -> bool:
    try:
        return not isinstance(plain(value), list | tuple)
    except ValueError:
        return False


def labelled(given: Any) -> tuple[Any, dict[str, dict[str, Any]]]:
    """`given` with labels where it lists values that no plan can hold, and what the labels of each name stand for."""
    values: dict[str, dict[str, Any]] = {}

    def part_of(part: Any) -> Any:
        if not isinstance(part, Mapping):
            return part
        return {name: _choices(choices, values, str(name)) for name, choices in part.items()}

    written = [part_of(p) for p in given] if isinstance(given, Sequence) and not isinstance(given, str | bytes) else part_of(given)
    return written, values


def _choices(listed: Any, values: dict[str, dict[str, Any]], name: str) -> Any:
    if isinstance(listed, np.ndarray) and listed.ndim == 1:
        listed = list(listed)
    if not isinstance(listed, list) or all(map(_is_simple, listed)):
        return listed
    taken = [v for v in listed if isinstance(v, str)]
    return [v if _is_simple(v) else _label(v, values.setdefault(name, {}), taken) for v in listed]


def _label(value: Any, known: dict[str, Any], taken: Sequence[str]) -> str:
    for label, other in known.items():
        if _same(value, other):
            return label
    said = " ".join(repr(value).split())
    said = said if len(said) <= _LABEL_LENGTH else f"{said[: _LABEL_LENGTH - 1]}…"
    label, number = said, 1
    while label in known or label in taken:
        number += 1
        label = f"{said} ({number})"
    known[label] = value
    return label


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other) or hasattr(one, "get_params"):
        return False
    try:
        return bool(one == other)
    except ValueError:  # arrays
        return False


def _writable(name: str, value: Any, values: Mapping[str, Mapping[str, Any]]) -> Iterable[Any]:
    """`value` as a configuration holds it, in a list of one; an empty list when it cannot."""
    if _is_simple(value):
        return [plain(value)]
    labels = [label for label, other in values.get(name, {}).items() if _same(value, other)]
    if not labels and isinstance(value, tuple) and all(map(_is_simple, value)):
        return [[plain(v) for v in value]]
    return labels
