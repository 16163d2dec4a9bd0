"""Facts: the probe, the profile and the answers, together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advisor.core.errors import InputError, nearest
from advisor.core.facts import Answers, Facts


def gather(data: Any, *, query: str | None = None, runs: str | Path = "runs", **answers: Any) -> Facts:
    """Facts about this machine and `data` (a path, ``sklearn:NAME``, a URL with `query`, or a data frame), with `answers`.

    `answers` are fields of `Answers`: ``target``, ``goal``, ``budget_seconds`` …

    Raises: InputError when the data cannot be read, a column is not there, or an answer is not valid.

    >>> facts = gather("sklearn:iris", goal="quick", budget_seconds=60)
    >>> facts.data.target
    'target'
    """
    wishes = read_answers(**answers)
    from advisor.probes.hardware import probe_hardware
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
    hardware = probe_hardware(runs=Path(runs), cluster=wishes.cluster)
    return Facts(hardware=hardware, data=dataset, answers=wishes)


def read_answers(**answers: Any) -> Answers:
    """Checked answers; None means: not answered, the default holds.

    Raises: InputError naming the field, the value and what is allowed.
    """
    given = {k: v for k, v in answers.items() if v is not None}
    for name in given:
        if name not in Answers.model_fields:
            raise InputError(f"unknown answer {name!r}", where="gather", cure=nearest(name, Answers.model_fields))
    try:
        return Answers(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "answers"
        extra = Answers.model_fields[name].json_schema_extra if name in Answers.model_fields else None
        flag = extra.get("flag", name) if isinstance(extra, dict) else name
        raise InputError(
            f"{first['input']!r} is not valid: {first['msg']}", where=str(flag), cure="Give one of the allowed values."
        ) from error
