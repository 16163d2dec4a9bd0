"""Repairs of search spaces: what `--fix` does, where that leaves the meaning of every value as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from advisor.core.lint_properties import Circumstances, Look, numbers, roles_told
from advisor.core.roles import Role, recognise
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.core.value import Value

if TYPE_CHECKING:
    from advisor.core.lint import Finding, Fix, Lint

Parameter = Float | Int | Choice


class Repair(Value):
    """One hyperparameter that was changed."""

    id: str
    """The finding it cures."""
    parameter: str
    """Its name."""
    before: str
    """What it was, in the words of a space."""
    after: str
    """What it is now."""


def repaired(look: Look, fix: Fix) -> Parameter | None:
    """The hyperparameter after the repair `fix`; None where that is not safe, and a human must decide."""
    parameter = look.parameter
    match fix:
        case "log":
            if isinstance(parameter, Choice) or parameter.low <= 0 or parameter.low >= parameter.high:
                return None
            return parameter.model_copy(update={"log": True})
        case "range":
            return _as_range(parameter, look)
        case "default":
            return _with_default(parameter)
        case "condition":
            beside = look.beside
            if beside is None or not beside.is_told or not beside.used or look.name in (beside.parameter.when or {}):
                return None
            return parameter.model_copy(update={"when": {**(parameter.when or {}), beside.name: tuple(beside.used)}})


def _as_range(parameter: Parameter, look: Look) -> Parameter | None:
    """A list of numbers as the range from its least to its greatest: values between become possible, none is lost.

    Only where its steps are even by ones, or geometric; and where no condition of another waits for a value of it that is
    no whole number.
    """
    listed = numbers(parameter) if isinstance(parameter, Choice) else None
    if listed is None or not isinstance(parameter, Choice):
        return None
    spacing = look.value("dimension.spacing")
    ordered = sorted(set(listed))
    whole = all(isinstance(c, int) for c in listed)
    rest: dict[str, Any] = {
        "default": parameter.default if parameter.default in listed else None,
        "hard": parameter.hard,
        "when": parameter.when,
        "group": parameter.group,
        "priority": parameter.priority,
    }
    if any(look.name in (p.when or {}) for _, p in look.space.items()) and not whole:
        return None
    if spacing == "even" and whole and ordered[1] - ordered[0] == 1:
        return Int(int(ordered[0]), int(ordered[-1]), **rest)
    if spacing == "geometric":
        return Int(int(ordered[0]), int(ordered[-1]), log=True, **rest) if whole else Float(ordered[0], ordered[-1], log=True, **rest)
    return None


def _with_default(parameter: Parameter) -> Parameter | None:
    """With the default that was plainly meant: of another type than the values, and equal to one of them when written down."""
    default = parameter.default
    if isinstance(parameter, Choice):
        meant = [c for c in parameter.choices if _plainly(c) == _plainly(default)]
        return parameter.model_copy(update={"default": meant[0]}) if len(meant) == 1 else None
    if isinstance(parameter, Int) and isinstance(default, float) and default.is_integer() and parameter.contains(int(default)):
        return parameter.model_copy(update={"default": int(default)})
    return None


def _plainly(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).casefold()


def repair(
    space: SearchSpace, findings: Sequence[Finding], lints: Sequence[Lint], roles: Sequence[Role]
) -> tuple[SearchSpace, tuple[Repair, ...]]:
    """`space` after every repair that is safe, and what was changed; the other findings are left to a human.

    Each repair is made on the space as the ones before it left it. Hyperparameters are put after those that their conditions name.
    """
    entries = {entry.id: entry for entry in lints}
    known = {r.name: r for r in roles}
    found = recognise(space, roles)  # of the space as it came: a repair does not change what anything is for
    told = roles_told(space, found, roles)
    done = []
    for finding in findings:
        if finding.fix is None:
            continue
        entry = entries[finding.id]
        look = Look(space=space, found=found, told=told, roles=known, around=Circumstances(), name=finding.parameter, sibling=entry.sibling)
        after = repaired(look, finding.fix)
        before = space.parameters[finding.parameter]
        if after is None or written(after) == written(before):  # 3.0 equals 3, and is no whole number in a file
            continue
        space = _placed({**space.parameters, finding.parameter: after})
        done.append(Repair(id=finding.id, parameter=finding.parameter, before=written(before), after=written(after)))
    return space, tuple(done)


def _placed(parameters: Mapping[str, Parameter]) -> SearchSpace:
    """The space with each hyperparameter after those that its condition names; not checked otherwise."""
    out: dict[str, Parameter] = {}
    waiting = dict(parameters)
    while waiting:
        ready = (n for n, p in waiting.items() if not waiting.keys() & (p.when or {}).keys())
        name = next(ready, next(iter(waiting)))
        out[name] = waiting.pop(name)
    return SearchSpace.model_construct(parameters=out)


def written(parameter: Parameter) -> str:
    """A hyperparameter as it is written in Python.

    >>> written(Float(0.001, 1.0, log=True)), written(Choice([1, 2]))
    ('Float(0.001, 1.0, log=True)', 'Choice([1, 2])')
    """
    if isinstance(parameter, Choice):
        parts = [f"{list(parameter.choices)!r}"]
    else:
        parts = [f"{parameter.low!r}", f"{parameter.high!r}", *(["log=True"] if parameter.log else [])]
    if parameter.default is not None:
        parts.append(f"default={parameter.default!r}")
    if parameter.when:
        parts.append("when={" + ", ".join(f"{n!r}: {list(v)!r}" for n, v in parameter.when.items()) + "}")
    return f"{type(parameter).__name__}({', '.join(parts)})"
