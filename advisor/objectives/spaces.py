"""Search spaces as people bring them: our parameters, lists, scipy's and Optuna's distributions, scikit-learn's grids, TOML files.

No library is imported: a distribution that is handed in has brought its own.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import TypeAdapter

from advisor.core.errors import InputError, ParameterError, nearest
from advisor.core.space import Choice, Float, Int, Parameter, SearchSpace
from advisor.core.value import encode

BRANCH = "branch"
"""Name of the choice that is added where a list of spaces has nothing else that tells its members apart."""
MOST_STEPS = 100
"""[H] Values of a stepped range that become choices; a longer range should be searched as a range."""
_MOST_BYTES = 1 << 20
"""Largest space file."""
_KINDS: dict[str, type[Float] | type[Int] | type[Choice]] = {"float": Float, "int": Int, "choice": Choice}
_EXAMPLES = "Use Float(low, high), Int(low, high) or Choice([...])."


def space_from(given: Any, *, where: str = "space") -> SearchSpace:
    """The search space that `given` means: one of ours as it is, a mapping of name to parameter, or a list of such mappings.

    A parameter may be a `Float`, `Int` or `Choice`; a mapping as in a space file (``{"type": "float", "low": …}``); a list or
    array (a `Choice` of its values, numbers too); a ``range`` of step 1 (an `Int`); scipy's ``uniform``, ``loguniform`` and
    ``randint``; a distribution of Optuna's. Where that has a step, up to `MOST_STEPS` values become a `Choice`.

    A list of mappings (scikit-learn's grids) becomes one conditional space. What tells its members apart is a parameter that
    all have with no value in common; else a choice named `BRANCH`, counting from 0, is put first and is part of every
    configuration. Parameters are put in the order that conditions need.

    Raises: InputError naming the parameter, what it is and the cure.

    >>> space_from({"lr": Float(1e-4, 1e-1, log=True), "batch": [16, 32]}).parameters["batch"].choices
    (16, 32)
    """
    if isinstance(given, SearchSpace):
        return given
    if isinstance(given, Mapping):
        return _space(_parameters(given, where), where)
    if isinstance(given, Sequence) and not isinstance(given, str | bytes) and given and all(isinstance(g, Mapping) for g in given):
        branches = [_parameters(g, f"{where}, entry {number}") for number, g in enumerate(given)]
        return _space(branches[0], where) if len(branches) == 1 else _branched(branches, where)
    raise InputError(
        f"a search space is a mapping of name to parameter, not a {type(given).__name__}",
        where=where,
        cure='Write it as {"lr": Float(1e-4, 1e-1, log=True)}.',
    )


def read_space(path: str | Path) -> SearchSpace:
    """The space of a TOML file: a table a parameter, at the top or below ``[space]``.

    Raises: InputError naming the file and the parameter.

    A file holds lines such as ``lr = { type = "float", low = 1e-5, high = 0.1, log = true }``, ``layers = { type = "int",
    low = 1, high = 5 }``, ``optimizer = ["sgd", "adamw"]`` and ``momentum = { type = "float", low = 0.5, high = 0.99,
    when = { optimizer = ["sgd"] } }``.
    """
    return space_from(read_tables(path), where=str(path))


def read_tables(path: str | Path) -> dict[str, Any]:
    """What a space file holds, name to table, not looked at further.

    Raises: InputError when it cannot be read, is no TOML or names nothing.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            body = file.read(_MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            raise InputError("a space file holds at most 1 MB", where=str(path), cure="Name the file of the search space.")
        content = tomllib.loads(body.decode())
    except FileNotFoundError:
        raise InputError("there is no such file", where=str(path), cure="Name an existing space file.") from None
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(path), cure="Name a readable space file.") from None
    except UnicodeDecodeError:
        raise InputError("the file is not UTF-8 text", where=str(path), cure="Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"the file is no TOML: {error}", where=str(path), cure="Correct that line.") from None
    except (RecursionError, ValueError):  # nested too deep; an integer of thousands of digits
        raise InputError("the file is no TOML that can be read", where=str(path), cure="Write one table a parameter.") from None
    inner = content.get("space")
    if len(content) == 1 and isinstance(inner, dict) and "type" not in inner:
        content = inner
    if not content:
        raise InputError("the file names no parameter", where=str(path), cure='Add one: lr = { type = "float", low = 1e-5, high = 0.1 }.')
    return content


def unchecked_space(tables: Mapping[str, Any], *, where: str = "space") -> SearchSpace:
    """The space as it is written, also where a bound cannot be: reversed ones, and a logarithm of 0. For looking at, not for searching.

    Raises: InputError as `space_from` for everything else.
    """
    parameters: dict[str, Float | Int | Choice] = {}
    for name, value in tables.items():
        try:
            parameters |= _parameters({name: value}, where)
        except InputError:
            loose = _unchecked(name, value, where)
            if loose is None:
                raise
            parameters[name] = loose
    return SearchSpace.model_construct(parameters=_placed(parameters, where))


def _unchecked(name: str, table: Any, where: str) -> Float | Int | None:
    """A number whose bounds are as they are written; None where something else is wrong with it."""
    if not isinstance(table, Mapping) or table.get("type") not in ("float", "int"):
        return None
    low, high, log = table.get("low"), table.get("high"), table.get("log", False)
    if not (_is_number(low) and _is_number(high) and math.isfinite(low) and math.isfinite(high) and isinstance(log, bool)):
        return None
    if table["type"] == "int" and not (isinstance(low, int) and isinstance(high, int)):
        return None
    sound = _from_table(name, {**table, "low": 1, "high": 2, "log": False}, where)
    return sound.model_copy(update={"low": low, "high": high, "log": log}) if isinstance(sound, Float | Int) else None


_NAMES_INSTEAD = "List names, and look the objects up by name in the objective."


def plain(value: Any) -> Any:
    """`value` as JSON and TOML can hold it: None, booleans, numbers, text, and lists or tuples of them; NumPy's scalars unwrapped.

    Raises: ValueError saying what the value is.
    """
    unwrap = getattr(value, "item", None)
    if callable(unwrap) and getattr(value, "shape", None) == ():
        value = unwrap()
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("is NaN")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list | tuple):
        return type(value)(plain(v) for v in value) if type(value) in (list, tuple) else [plain(v) for v in value]
    raise ValueError(f"is a {type(value).__name__}")


def held(name: str, parameter: Float | Int | Choice, where: str) -> Float | Int | Choice:
    """`parameter`, which the user wrote as ours, with values that a plan can hold: NumPy's scalars unwrapped, mappings kept.

    Raises: InputError when one of its choices is something else.
    """
    if not isinstance(parameter, Choice):
        return parameter
    try:
        choices = tuple({k: plain(v) for k, v in c.items()} if isinstance(c, dict) else plain(c) for c in parameter.choices)
    except ValueError as error:
        raise InputError(f"{name}: one of its values {error}, which no plan can hold", where=where, cure=_NAMES_INSTEAD) from None
    return parameter.model_copy(update={"choices": choices})


# -- one parameter -------------------------------------------------------------------------------------------------------


def _parameters(given: Mapping[str, Any], where: str) -> dict[str, Float | Int | Choice]:
    for name in given:
        if not isinstance(name, str) or not name:
            raise InputError(f"{name!r} is no name of a parameter", where=where, cure="Name parameters by text.")
    return {name: _parameter(name, value, where) for name, value in given.items()}


def _parameter(name: str, value: Any, where: str) -> Float | Int | Choice:
    if isinstance(value, Float | Int | Choice):
        return value
    if isinstance(value, Mapping):
        return _from_table(name, value, where)
    module = type(value).__module__ or ""
    if module.startswith("optuna.distributions"):
        return _from_optuna(name, value, where)
    if module.startswith("scipy.stats"):
        return _from_scipy(name, value, where)
    if isinstance(value, range):
        if value.step == 1 and len(value) > 0:
            return Int(value.start, value.stop - 1)
        return _choice(name, list(value), where)
    if isinstance(value, tuple) and len(value) == 2 and all(_is_number(v) for v in value) and value[0] < value[1]:
        low, high = value
        raise InputError(
            f"{name}: {value!r} may mean two values or a range",
            where=where,
            cure=f"Write [{low!r}, {high!r}] for the two, {'Int' if isinstance(low, int) and isinstance(high, int) else 'Float'}"
            f"({low!r}, {high!r}) for the range.",
        )
    if isinstance(value, list | tuple):
        return _choice(name, value, where)
    if isinstance(value, set | frozenset):
        raise InputError(f"{name}: a set has no order, so runs would differ", where=where, cure=f"Write {sorted(value, key=repr)!r}.")
    if hasattr(value, "tolist") and getattr(value, "shape", ()) != ():  # an array, a series
        return _choice(name, value.tolist(), where)
    if value is None or isinstance(value, bool | int | float | str):
        raise InputError(f"{name}: {value!r} is one value and no range", where=where, cure=f"Write [{value!r}] to hold it fixed.")
    raise InputError(f"{name}: a {module}.{type(value).__qualname__} is no range that is known here", where=where, cure=_EXAMPLES)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _choice(name: str, values: Iterable[Any], where: str) -> Choice:
    kept: list[Any] = []
    for given in values:
        try:
            value = plain(given)
        except ValueError as error:
            raise InputError(f"{name}: one of its values {error}, which no plan can hold", where=where, cure=_NAMES_INSTEAD) from None
        if not any(type(value) is type(k) and value == k for k in kept):
            kept.append(value)
    if not kept:
        raise InputError(f"{name}: the list is empty", where=where, cure="Give it at least one value.")
    return Choice(kept)


def _from_table(name: str, table: Mapping[str, Any], where: str) -> Float | Int | Choice:
    kind = table.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        cure = nearest(kind, _KINDS) if isinstance(kind, str) else 'Add type = "float", "int" or "choice".'
        raise InputError(f"{name}: type is {kind!r}" if kind is not None else f"{name}: it has no type", where=where, cure=cure)
    cls = _KINDS[kind]
    for key in table:
        if key not in cls.model_fields:
            raise InputError(f"{name}: {key!r} is no setting of a {kind}", where=where, cure=nearest(str(key), cls.model_fields))
    try:
        return cls(**{k: v for k, v in table.items() if k != "type"})
    except ParameterError as error:
        raise InputError(f"{name}: {error.what.partition(': ')[2]}", where=where, cure=f"Correct this {kind}.") from None


def _from_optuna(name: str, distribution: Any, where: str) -> Float | Int | Choice:
    if hasattr(distribution, "choices"):
        return _choice(name, distribution.choices, where)
    is_int = any(kind.__name__ == "IntDistribution" for kind in type(distribution).__mro__)
    low, high, log, step = distribution.low, distribution.high, distribution.log, distribution.step
    if log or step is None or (is_int and step == 1):
        return Int(low, high, log=log) if is_int else Float(low, high, log=log)
    first, by = Decimal(str(low)), Decimal(str(step))
    count = int((Decimal(str(high)) - first) / by) + 1
    if count > MOST_STEPS:
        raise InputError(
            f"{name}: {distribution} has {count} values, too many for a choice",
            where=where,
            cure=f"Use {'Int' if is_int else 'Float'}({low}, {high}) and round to the step in the objective.",
        )
    values = [first + k * by for k in range(count)]
    return Choice([int(v) if is_int else float(v) for v in values])


def _from_scipy(name: str, frozen: Any, where: str) -> Float | Int | Choice:
    family = getattr(getattr(frozen, "dist", None), "name", type(frozen).__name__)
    if type(frozen).__name__ == f"{getattr(frozen, 'name', '')}_gen":
        raise InputError(
            f"{name}: scipy's {frozen.name} stands without its settings", where=where, cure=f"Write {frozen.name}(...) with them."
        )
    try:
        low, high = (float(bound) for bound in frozen.support())
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"{name}: scipy's {family} is here no distribution of one number with its settings given", where=where, cure=_EXAMPLES
        ) from None
    match family:
        case "uniform" | "Uniform" if math.isfinite(low) and math.isfinite(high):
            return Float(low, high)
        case "loguniform" | "reciprocal" if low > 0 and not _is_shifted(frozen):
            return Float(low, high, log=True)
        case "randint" if low <= high:
            return Int(int(low), int(high))
        case _:
            raise InputError(
                f"{name}: the shape of scipy's {family} has no counterpart here, every range is searched evenly on its scale",
                where=where,
                cure=_bounds_by_quantile(frozen, low),
            )


def _is_shifted(frozen: Any) -> bool:
    location = frozen.kwds.get("loc", frozen.args[2] if len(frozen.args) > 2 else 0)
    return bool(location != 0)


def _bounds_by_quantile(frozen: Any, low: float) -> str:
    """The cure that keeps the middle 98 % of a distribution."""
    try:
        first, last = (float(v) for v in frozen.ppf([0.01, 0.99]))
    except (AttributeError, TypeError, ValueError):
        return _EXAMPLES
    if hasattr(frozen, "pmf"):
        return f"Write Int({int(first)}, {int(last)}), which holds 98 % of it."
    log = ", log=True" if low >= 0 and first > 0 and last / first > 100 else ""
    return f"Write Float({first:.4g}, {last:.4g}{log}), which holds 98 % of it."


# -- several -------------------------------------------------------------------------------------------------------------


def _space(parameters: Mapping[str, Float | Int | Choice], where: str) -> SearchSpace:
    """The space, its parameters after those that their conditions name."""
    return SearchSpace(parameters=_placed(parameters, where))


def _placed(parameters: Mapping[str, Float | Int | Choice], where: str) -> dict[str, Float | Int | Choice]:
    placed: dict[str, Float | Int | Choice] = {}

    def place(name: str, below: tuple[str, ...]) -> None:
        if name in placed:
            return
        if name in below:
            raise InputError(f"{name}: its condition leads back to itself", where=where, cure="Take one of the conditions out.")
        for parent, values in (parameters[name].when or {}).items():
            if parent not in parameters:
                raise InputError(
                    f"{name}: its condition names {parent!r}, which is no parameter", where=where, cure=nearest(parent, parameters)
                )
            place(parent, (*below, name))
            for value in values:
                if not parameters[parent].contains(value):
                    raise InputError(
                        f"{name}: its condition waits for {parent} = {value!r}, which {parent} never is",
                        where=where,
                        cure=f"Name a value that {parent} can have.",
                    )
        placed[name] = parameters[name]

    for name in parameters:
        place(name, ())
    return placed


def _branched(branches: Sequence[Mapping[str, Float | Int | Choice]], where: str) -> SearchSpace:
    names = list(dict.fromkeys(name for branch in branches for name in branch))
    parameters: dict[str, Float | Int | Choice] = {}
    switch = next((name for name in names if _tells_apart(name, branches)), None)
    if switch is None:
        switch = next(n for n in (BRANCH, *(f"{BRANCH}_{k}" for k in range(len(names) + 1))) if n not in names)
        marks: list[tuple[Any, ...]] = [(number,) for number in range(len(branches))]
    else:
        marks = [branch[switch].choices for branch in branches]  # type: ignore[union-attr]
    parameters[switch] = Choice([value for mark in marks for value in mark])
    for name in names:
        if name == switch:
            continue
        holders = [number for number, branch in enumerate(branches) if name in branch]
        first = branches[holders[0]][name]
        for number in holders[1:]:
            if branches[number][name] != first:
                raise InputError(
                    f"{name}: entries {holders[0]} and {number} give it different ranges, and a name has one",
                    where=where,
                    cure="Give it the same range in each, or another name in one of them.",
                )
        if len(holders) == len(branches):
            parameters[name] = first
        else:
            when = {switch: tuple(value for number in holders for value in marks[number])}
            parameters[name] = first.model_copy(update={"when": {**when, **(first.when or {})}})
    return _space(parameters, where)


def _tells_apart(name: str, branches: Sequence[Mapping[str, Float | Int | Choice]]) -> bool:
    """True when `name` is a choice of every branch and no two have a value in common."""
    held = [branch.get(name) for branch in branches]
    marks = [_mark(value) for choice in held if isinstance(choice, Choice) and choice.when is None for value in choice.choices]
    return all(isinstance(choice, Choice) and choice.when is None for choice in held) and len(set(marks)) == len(marks)


def _mark(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"


# -- spaces that trials told -------------------------------------------------------------------------------------------


def merge(space: SearchSpace | None, seen: Sequence[Mapping[str, Any]]) -> SearchSpace:
    """The space that trials told as they ran: `space` (what is known already) and every record of `seen` put together.

    A record is ``{"config": …, "space": {name: parameter as JSON}}``, as `OptunaObjective.last_suggested`. Ranges and choices
    are united; defaults are those first seen.

    A parameter that some trials asked for and others did not gets the condition that tells these trials apart exactly, where
    the value of one parameter before it does: a choice, the one that tells most of them, the nearest of those; else an integer
    from some value on (the layers of a network), the one of the shortest range. Without such a one it has no condition, and a
    trial that does not ask for it passes over it. Conditions hold for what was seen and may change with the next record: an
    objective draws what its configuration lacks.

    Raises: InputError when a parameter is of one kind here and of another there.
    """
    parameters: dict[str, Float | Int | Choice] = dict(space.items()) if space is not None else {}
    for record in seen:
        previous: str | None = None
        for name, dump in record["space"].items():
            told = _read(json.dumps(dump, sort_keys=True))
            if name in parameters:
                parameters[name] = _united(name, parameters[name], told)
            else:
                parameters = _inserted(parameters, name, told, after=previous)
            previous = name
    configs = [record["config"] for record in seen]
    settled: dict[str, Float | Int | Choice] = {}
    for name, parameter in parameters.items():
        settled[name] = parameter.model_copy(update={"when": _condition(name, parameter, settled, configs)})
    return SearchSpace(parameters=settled)


_ANY: TypeAdapter[Float | Int | Choice] = TypeAdapter(Parameter)


@lru_cache(maxsize=4096)
def _read(dump: str) -> Float | Int | Choice:
    return _ANY.validate_python(json.loads(dump))


def _inserted(
    parameters: dict[str, Float | Int | Choice], name: str, told: Float | Int | Choice, *, after: str | None
) -> dict[str, Float | Int | Choice]:
    names = list(parameters)
    names.insert(names.index(after) + 1 if after is not None else 0, name)
    return {n: told if n == name else parameters[n] for n in names}


def _united(name: str, known: Float | Int | Choice, told: Float | Int | Choice) -> Float | Int | Choice:
    if isinstance(known, Choice) and isinstance(told, Choice):
        new = [c for c in told.choices if not known.contains(c)]
        return known.model_copy(update={"choices": (*known.choices, *new)}) if new else known
    if (isinstance(known, Float) and isinstance(told, Float)) or (isinstance(known, Int) and isinstance(told, Int)):
        low, high, log = min(known.low, told.low), max(known.high, told.high), known.log and told.log
        if (low, high, log) == (known.low, known.high, known.log):
            return known
        return known.model_copy(update={"low": low, "high": high, "log": log})
    raise InputError(
        f"{name}: it is a {known.type} in one trial and a {told.type} in another",
        where="space",
        cure="Give the two different names in the objective.",
    )


def _condition(
    name: str, parameter: Float | Int | Choice, before: Mapping[str, Float | Int | Choice], configs: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[Any, ...]] | None:
    having = [c for c in configs if name in c]
    lacking = [c for c in configs if name not in c]
    if not having:
        return parameter.when
    if parameter.when and all(parameter.is_active(c) for c in having) and not any(parameter.is_active(c) for c in lacking):
        return parameter.when
    if not lacking:
        return None if parameter.when is None or not all(parameter.is_active(c) for c in having) else parameter.when
    found: list[tuple[tuple[int, ...], str, tuple[Any, ...]]] = []
    for place, (parent, candidate) in enumerate(before.items()):
        without = [c[parent] for c in lacking if parent in c]
        if without and all(parent in c for c in having):
            values = _separating(candidate, [c[parent] for c in having], without)
            if values is not None:
                span = candidate.high - candidate.low if isinstance(candidate, Int) else 0
                found.append(((isinstance(candidate, Int), -len(without), span, -place), parent, values))
    if not found:
        return None
    _, parent, values = min(found)
    return {parent: values}


def _separating(parent: Float | Int | Choice, having: Sequence[Any], lacking: Sequence[Any]) -> tuple[Any, ...] | None:
    """The values of `parent` with which the parameter is there, where they are none of those without it."""
    if isinstance(parent, Choice):
        there, away = {_mark(encode(v)) for v in having}, {_mark(encode(v)) for v in lacking}
        if there & away:
            return None
        return tuple(c for c in parent.choices if _mark(encode(c)) in there)
    if not isinstance(parent, Int):
        return None
    if min(having) <= max(lacking):
        return None
    values = range(min(having), parent.high + 1)
    return tuple(values) if len(values) <= MOST_STEPS else None
