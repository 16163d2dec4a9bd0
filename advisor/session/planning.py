"""From facts to a plan, and plans as files."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
from pydantic import ValidationError

from advisor.core.errors import InputError
from advisor.core.facts import Facts
from advisor.core.plan import Plan
from advisor.core.value import decode, encode

if TYPE_CHECKING:
    from advisor.core.rules import Rulebook


@cache
def rulebook() -> Rulebook:
    """The shipped rules, overridden by local ones.

    Raises: RulebookError listing every fault of every file.
    """
    from advisor.rulebook.loading import load_rulebook, local_folders, shipped_folder

    return load_rulebook(shipped_folder(), *local_folders())


def recommend(facts: Facts, rules: Rulebook | None = None) -> Plan:
    """The plan for `facts`: the same facts and rules always give the same plan, byte for byte.

    Raises: InputError when the facts do not settle what is predicted; CannotRunError when no legal plan exists.
    """
    from advisor.core.recommend import recommend as decide

    plan = decide(facts, rules if rules is not None else rulebook())
    _RECENT[plan.hash] = facts
    while len(_RECENT) > _KEPT:
        del _RECENT[next(iter(_RECENT))]
    return plan


_RECENT: dict[str, Facts] = {}
"""Plan hash to the facts behind it, for the plans recommended last in this process."""
_KEPT = 8


def facts_behind(plan: Plan, data: Any) -> Facts | None:
    """The facts that `plan` was recommended for in this process, when they were read from `data`; None otherwise."""
    facts = _RECENT.get(plan.hash)
    return facts if facts is not None and isinstance(data, str | Path) and facts.data.source == str(data) else None


def save_plan(plan: Plan, path: str | Path, *, facts: Facts | None = None) -> None:
    """Writes `plan` (and the facts it came from) as TOML.

    Raises: InputError when the place cannot be written.
    """
    content: dict[str, Any] = plan.to_mapping()
    if facts is not None:
        content["facts"] = facts.model_dump(mode="json")
    target = Path(path)
    try:
        target.write_text(tomli_w.dumps(encode(content), multiline_strings=False), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the plan: {error.strerror}", where=str(target), cure="Name a place that can be written.") from error


def load_plan(path: str | Path) -> tuple[Plan, Facts | None]:
    """The plan in a TOML file, and the facts it came from where the file holds them.

    Raises: InputError when the file is missing, is no TOML or no plan, with the place of the fault.
    """
    source = Path(path)
    try:
        content = decode(tomllib.loads(source.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError("no such plan", where=str(source), cure="Write one with `advisor plan DATA --out plan.toml`.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"cannot read the plan: {error}", where=str(source), cure="Write it again with --out.") from error
    facts = content.pop("facts", None)
    try:
        return Plan.from_mapping(content), None if facts is None else Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"not a valid plan: {first['msg']}", where=f"{source}: {place}", cure="Correct that field.") from error


def changes(before: Plan, after: Plan) -> tuple[str, ...]:
    """What is different between two plans, one line a field, for people."""
    lines: list[str] = []
    for name in ("family", "strategy"):
        a, b = getattr(before, name), getattr(after, name)
        if a != b:
            lines.append(f"{name}: {a} → {b}")
    for part in ("validation", "pruner", "envelope"):
        old, new = getattr(before, part), getattr(after, part)
        for field in type(old).model_fields:
            a, b = getattr(old, field), getattr(new, field)
            if a != b:
                lines.append(f"{part}.{field}: {a} → {b}")
    if before.budget.trials != after.budget.trials:
        lines.append(f"budget.trials: {before.budget.trials} → {after.budget.trials}")
    return tuple(lines)
