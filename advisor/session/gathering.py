"""Facts: the probe, the profile and the answers, together."""

from __future__ import annotations

import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advisor.core.baseline import FAMILY
from advisor.core.derived import LIBRARIES
from advisor.core.errors import InputError, nearest
from advisor.core.facts import Answers, Facts
from advisor.core.objective import OwnObjective
from advisor.core.value import decode


def gather(data: Any = None, *, query: str | None = None, runs: str | Path = "runs", **answers: Any) -> Facts:
    """Facts about this machine and `data` (a path, ``sklearn:NAME``, a URL with `query`, or a data frame), with `answers`.

    Without `data` the answers must name an objective of your own: ``model="module:function"``, or ``command`` and ``space``.

    `answers` are fields of `Answers`: ``target``, ``goal``, ``budget_seconds`` …

    Raises: InputError when the data cannot be read, a column is not there, or an answer is not valid.

    >>> facts = gather("sklearn:iris", goal="quick", budget_seconds=60)
    >>> facts.data.target
    'target'
    """
    wishes = read_answers(**answers)
    from advisor.probes.hardware import probe_hardware

    if wishes.is_own:
        return _own_facts(data, wishes, Path(runs))
    if data is None:
        raise InputError("missing DATA", where="gather", cure="Name a table, or an objective of your own with --model module:function.")
    from advisor.profiling.profile import profile_table

    dataset = profile_table(
        data,
        query=query,
        target=wishes.target,
        task=wishes.task,
        group=wishes.group,
        time=wishes.time,
        drop=wishes.drop,
        weights=wishes.weights,
    )
    if wishes.valid is not None or wishes.test is not None:
        from advisor.profiling.given import with_given_rows

        dataset = with_given_rows(
            dataset,
            data,
            query=query,
            valid=wishes.valid,
            test=wishes.test,
            group=wishes.group,
            time=wishes.time,
            weights=wishes.weights,
            drop=wishes.drop,
        )
    hardware = probe_hardware(runs=Path(runs), cluster=wishes.cluster)
    return Facts(hardware=hardware, data=dataset, answers=wishes, engines=engines_here(), libraries=libraries_here())


def _own_facts(data: Any, wishes: Answers, runs: Path) -> Facts:
    from advisor.probes.hardware import probe_hardware
    from advisor.session.owning import bring

    if data is not None:
        raise InputError(
            "the objective is your own, and no table is read for it", where=str(data), cure="Leave DATA out, or --model and --command."
        )
    own = bring(wishes).own
    return Facts(hardware=probe_hardware(runs=runs, cluster=wishes.cluster), objective=own, answers=wishes, engines=engines_here(own))


OPTIONAL = {"pbt": "ray", "hypergradient": "torch"}
"""Strategies that only run where a library is installed that not everybody has, with its name."""


def engines_here(own: OwnObjective | None = None) -> tuple[str, ...]:
    """The strategies that can be executed in this environment, by name."""
    found = [*Facts.model_fields["engines"].default, *(s for s, library in OPTIONAL.items() if find_spec(library) is not None)]
    if own is not None and own.kind == "keras":
        return ("default", "portfolio", "random", "hyperband", "tpe", "gp", "qmc")
    return tuple(found)


def libraries_here() -> tuple[str, ...]:
    """The model libraries that are installed in this environment, of those that not everybody has; none is imported."""
    return tuple(name for name in LIBRARIES if find_spec(name) is not None)


def read_answers(**answers: Any) -> Answers:
    """Checked answers; None means: not answered, the default holds.

    Raises: InputError naming the field, the value and what is allowed.
    """
    given = {k: v for k, v in answers.items() if v is not None}
    for name in given:
        if name not in Answers.model_fields:
            raise InputError(f"unknown answer {name!r}", where="gather", cure=nearest(name, Answers.model_fields))
    if isinstance(given.get("baseline"), str | Path):
        given["baseline"] = read_baseline(given["baseline"])
    for name in ("valid", "test"):
        if isinstance(given.get(name), Path):
            given[name] = str(given[name])
        elif name in given and not isinstance(given[name], str):
            raise InputError(
                f"a {type(given[name]).__name__} is no file", where=f"--{name}", cure="Write its rows to a file, and name that."
            )
    try:
        return _with_family(Answers(**given))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "answers"
        extra = Answers.model_fields[name].json_schema_extra if name in Answers.model_fields else None
        flag = extra.get("flag", name) if isinstance(extra, dict) else name
        raise InputError(
            f"{first['input']!r} is not valid: {first['msg']}", where=str(flag), cure="Give one of the allowed values."
        ) from error


def read_baseline(path: str | Path) -> dict[str, Any]:
    """The configuration in a TOML file: hyperparameters at its top level, and ``family`` where it is a model of a table.

    Raises: InputError when it cannot be read, is no TOML, or holds nothing.
    """
    try:
        found = decode(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        cure = "Name a TOML file with one line a hyperparameter, such as C = 0.5."
        raise InputError(f"cannot read the baseline: {error}", where=f"--baseline {path}", cure=cure) from error
    if not found:
        raise InputError("the baseline is empty", where=f"--baseline {path}", cure="Give one hyperparameter at least, such as C = 0.5.")
    return dict(found)


def _with_family(answers: Answers) -> Answers:
    """`answers` whose baseline says which family it is of.

    Raises: InputError when nothing says it, or two say different things.
    """
    if not answers.baseline or answers.is_own:
        return answers
    told = answers.baseline.get(FAMILY)
    if answers.model != "auto" and told not in (None, answers.model):
        raise InputError(
            f"the baseline is a {told}, and --model asks for {answers.model}",
            where="--baseline",
            cure="Leave --model out, or name the same.",
        )
    if told is None and answers.model == "auto":
        raise InputError(
            "the baseline does not say which model it is of", where="--baseline", cure='Add a line such as family = "svc", or say --model.'
        )
    return answers.model_copy(update={"baseline": {FAMILY: answers.model, **answers.baseline}}) if told is None else answers
