"""The configuration that the user has in production: it is trial 0 in the default's place, and what a gain is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advisor.core.errors import InputError, nearest
from advisor.core.facts import Answers
from advisor.core.plan import Candidate
from advisor.core.space import Choice, Config, Float, Int, SearchSpace

FAMILY = "family"
"""Names the model family among the values of a baseline for a table."""
FLAG = "--baseline"


def baseline_of(answers: Answers, family: str) -> Config:
    """The values that the baseline sets for `family`; empty where there is no baseline, or it is another family's."""
    if answers.is_own:
        return dict(answers.baseline)
    return {n: v for n, v in answers.baseline.items() if n != FAMILY} if answers.baseline.get(FAMILY) == family else {}


def with_baseline(candidate: Candidate, config: Mapping[str, Any]) -> Candidate:
    """`candidate` whose default is `config`, completed by the default there was, which becomes the first of the starts.

    A value of what is not searched is held for every trial. A soft bound that a value lies beyond is moved to hold it.

    Raises: InputError for a name that is none of its hyperparameters, or a value that does not fit.
    """
    if not config:
        return candidate
    held = {n: v for n, v in config.items() if n in candidate.fixed}
    searched = {n: v for n, v in config.items() if n not in held}
    space = based(candidate.space, searched, others=candidate.fixed)
    before = candidate.starts[0]
    starts = (space.default(), *(space.active({**space.default(), **s}) for s in candidate.starts if s != before), before)
    unique = tuple(s for i, s in enumerate(starts) if s not in starts[:i] and not space.faults(s))
    return candidate.model_copy(update={"space": space, "starts": unique, "fixed": {**candidate.fixed, **held}})


def based(space: SearchSpace, config: Mapping[str, Any], *, others: Mapping[str, Any] | None = None) -> SearchSpace:
    """`space` with the values of `config` as its defaults; `others` are further names that may be meant, for the message alone.

    Raises: InputError for an unknown name, a value that does not fit, or one whose condition does not hold.
    """
    for name, value in config.items():
        if name not in space.parameters:
            known = [*space.parameters, *(others or ())]
            raise InputError(f"no hyperparameter {name!r} in this space", where=FLAG, cure=nearest(name, known))
        space = space.replace(**{name: _with_default(name, space.parameters[name], value)})
    idle = [n for n in config if n not in space.default()]
    if idle:
        when = space.parameters[idle[0]].when or {}
        said = " and ".join(f"{n} is {' or '.join(map(str, values))}" for n, values in when.items())
        raise InputError(f"{idle[0]} counts only when {said}", where=FLAG, cure=f"Leave {idle[0]} out, or set what it hangs on.")
    return space


def _with_default(name: str, parameter: Float | Int | Choice, value: Any) -> Float | Int | Choice:
    if isinstance(parameter, Int) and isinstance(value, float) and value.is_integer():
        value = int(value)
    if parameter.contains(value):
        return parameter.model_copy(update={"default": float(value) if isinstance(parameter, Float) else value})
    if isinstance(parameter, Choice):
        raise InputError(
            f"{name} is {value!r}, which is none of its choices", where=FLAG, cure=f"Choose {', '.join(map(repr, parameter.choices))}."
        )
    whole = isinstance(parameter, Int)
    is_number = isinstance(value, int) if whole else isinstance(value, int | float)
    if not is_number or isinstance(value, bool) or parameter.hard or (parameter.log and value <= 0):
        raise InputError(
            f"{name} is {value!r}, which lies outside its space",
            where=FLAG,
            cure=f"Give a{' whole' if whole else ''} number from {parameter.low:g} to {parameter.high:g}.",
        )
    return parameter.model_copy(update={"default": value, "low": min(parameter.low, value), "high": max(parameter.high, value)})
