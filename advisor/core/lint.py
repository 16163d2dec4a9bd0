"""The linter of search spaces: what in a space will waste trials or cannot work, with the reason and, where safe, the repair.

A finding is an entry of ``rules/lint``: conditions on the measured properties of a hyperparameter or of the space. Nothing is
changed by finding it; only `repair`, when asked, gives another space.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_validator

from advisor.core.entries import EntryExample, example_faults
from advisor.core.lessons import Lesson, lesson_of
from advisor.core.lint_properties import PROPERTIES, Circumstances, Look, Sibling, properties, roles_told, span, twin_names
from advisor.core.lint_repair import repaired
from advisor.core.predicates import Predicate, Verdict, all_of, parse_predicate
from advisor.core.roles import Recognised, Role, recognise
from advisor.core.space import Choice, SearchSpace
from advisor.core.value import Value

Level = Literal["fault", "warning", "advice"]
"""A fault cannot work as it is written; a warning wastes trials; advice is a choice worth a second look."""
Fix = Literal["log", "range", "default", "condition"]
"""Repairs that do not change what a value means: the scale, a list of numbers as a range, a default of the wrong type, a condition."""
TRIALS_A_DIMENSION = 10
"""Trials that pay for one more hyperparameter. Source: knowledge P3 (tune the top N / 10)."""
UNRANKED = 3
"""Priority of a hyperparameter that neither the space, nor its family, nor a lesson ranks. [H]"""
_LEVELS: tuple[Level, ...] = ("fault", "warning", "advice")
_MOST_NAMED = 6


class Lint(Value):
    """One entry of ``rules/lint``."""

    id: str = Field(min_length=1)
    """Unique among the findings."""
    about: Literal["dimension", "space"]
    """What is looked at: each hyperparameter in turn, or the space as a whole."""
    level: Level
    """How bad it is."""
    when: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Conditions on properties, as in a rule; all must hold."""
    sibling: Sibling | None = None
    """The other hyperparameter that the ``sibling.`` properties speak of."""
    says: str = Field(min_length=1)
    """What is wrong here; names in braces are filled in."""
    cure: str = Field(min_length=1)
    """What to do, as an imperative sentence; names in braces are filled in."""
    fix: Fix | None = None
    """The repair that `--fix` makes where it is safe."""
    because: str = Field(min_length=1)
    """The reason in one sentence."""
    source: str = Field(min_length=1)
    """Where the knowledge comes from."""
    example: tuple[EntryExample, ...] = Field(min_length=1)
    """Cases with their verdict."""
    place: str = ""
    """File and line."""

    @field_validator("says", "cure")
    @classmethod
    def _known_names(cls, text: str) -> str:
        unknown = [n for _, n, _, _ in string.Formatter().parse(text) if n is not None and n not in NAMES]
        if unknown:
            raise ValueError(f"no {{{unknown[0]}}} can be filled in; known are {', '.join(NAMES)}")
        return text

    @cached_property
    def conditions(self) -> tuple[Predicate, ...]:
        """The conditions, parsed. Raises: ValueError as `parse_predicate` does."""
        return tuple(parse_predicate(table, properties()) for table in self.when)

    def faults(self) -> tuple[str, ...]:
        """What is wrong with this entry, one sentence a fault."""
        try:
            wanted = self.conditions
        except ValueError as error:
            return (str(error),)
        out = [f"{p.fact} belongs to one hyperparameter, and this looks at the space" for p in wanted if _is_misplaced(p, self.about)]
        if any(p.fact.startswith("sibling.") for p in wanted) and self.sibling is None:
            out.append("a condition on the sibling needs sibling = { … }")
        return (*out, *example_faults(self.example, wanted, PROPERTIES, "property"))


class Finding(Value):
    """One finding in a space."""

    id: str
    """The entry's id."""
    level: Level
    """How bad it is."""
    parameter: str
    """The hyperparameter; empty where the space is meant."""
    says: str
    """What is wrong."""
    cure: str
    """What to do."""
    because: str
    """The reason."""
    source: str
    """Where the knowledge comes from."""
    fix: Fix | None = None
    """The repair that is safe here."""
    beside: str = ""
    """The other hyperparameter it speaks of."""


def lint(
    space: SearchSpace,
    lints: Sequence[Lint],
    roles: Sequence[Role],
    lessons: Sequence[Lesson] = (),
    *,
    around: Circumstances | None = None,
) -> tuple[Finding, ...]:
    """Every finding in `space`, faults first, then in the order of the space; empty for a clean one.

    `space` may be one that was not checked as it was read (`SearchSpace.model_construct`): reversed bounds and a logarithm
    of 0 are findings here.
    """
    found = recognise(space, roles)
    told = roles_told(space, found, roles)
    base = Look(space=space, found=found, told=told, roles={r.name: r for r in roles}, around=around or Circumstances())
    out = [f for entry in lints for f in _found(entry, base, lessons)]
    order = {name: position for position, name in enumerate(space.parameters)}
    return tuple(sorted(out, key=lambda f: (_LEVELS.index(f.level), order.get(f.parameter, len(order)))))


def _found(entry: Lint, base: Look, lessons: Sequence[Lesson]) -> Iterator[Finding]:
    wanted = entry.conditions
    for name in base.space.parameters if entry.about == "dimension" else ("",):
        look = base.at(name, entry.sibling)
        if all_of(wanted, look) is not Verdict.HOLDS:
            continue
        filled = _filling(look, lessons)
        yield Finding(
            id=entry.id,
            level=entry.level,
            parameter=name,
            says=entry.says.format_map(filled),
            cure=entry.cure.format_map(filled),
            because=entry.because,
            source=entry.source,
            fix=entry.fix if entry.fix is not None and repaired(look, entry.fix) is not None else None,
            beside=look.beside.name if look.beside is not None else "",
        )


def freeze_order(space: SearchSpace, found: Mapping[str, Recognised], lessons: Sequence[Lesson], around: Circumstances) -> tuple[str, ...]:
    """Names of the free hyperparameters, the one to hold first in front: least important first, later ones before earlier ones."""

    def priority(name: str) -> int:
        parameter = space.parameters[name]
        taught = lesson_of(found[name].role, lessons) if name in found else None
        known = (parameter.priority, around.priorities.get(name), taught.priority if taught is not None else None)
        return next((p for p in known if p is not None), UNRANKED)

    ranked = sorted(enumerate(space.free), key=lambda item: (priority(item[1]), item[0]))
    return tuple(name for _, name in reversed(ranked))


# ------------------------------------------------------------------------------------------------ what a text may name

NAMES = (
    "name", "role", "low", "high", "default", "choices", "decades", "top_share", "other", "idle", "used", "refused",
    "dimensions", "trials", "affordable", "freeze", "levels", "values", "usual", "steps", "condition", "twin",
)  # fmt: skip
"""What may stand in braces in `says` and `cure`."""


def _filling(look: Look, lessons: Sequence[Lesson]) -> dict[str, str]:
    out = dict.fromkeys(NAMES, "")
    around, free = look.around, look.space.free
    out |= {"name": look.name or "the space", "dimensions": str(len(free)), "steps": around.fidelity or "steps"}
    if around.trials is not None:
        affordable = max(1, min(len(free), around.trials // TRIALS_A_DIMENSION))
        held = freeze_order(look.space, look.found, lessons, around)[: len(free) - affordable]
        out |= {"trials": f"{around.trials}", "affordable": str(affordable), "freeze": ", ".join(held)}
    if not look.name:
        return out
    parameter = look.parameter
    taught = lesson_of(look.named, lessons) if look.named else None
    out |= {"role": taught.title if taught is not None else (look.named or "").replace("_", " "), "default": show(parameter.default)}
    out["twin"] = _listed(twin_names(look))
    out["refused"] = (around.refused or {}).get(look.name, "")
    if isinstance(parameter, Choice):
        listed = [show(c) for c in parameter.choices[:_MOST_NAMED]]
        out["choices"] = ", ".join(listed) + (" …" if len(parameter.choices) > _MOST_NAMED else "")
        out |= {"levels": str(len(parameter.choices)), "values": out["choices"]}
    ends = span(parameter)
    if ends is not None:
        low, high = ends
        out |= {"low": show(low), "high": show(high), "values": out["values"] or f"{show(low)} to {show(high)}"}
        if low > 0 and high > low:
            out["decades"] = f"{math.log10(high / low):.2g}"
            out["top_share"] = f"{(high - max(low, high / 10)) / (high - low):.0%}"
    if look.named is not None:
        usual = look.roles[look.named].usual
        out["usual"] = f"{show(usual[0])} to {show(usual[1])}"
    if look.beside is not None:
        beside = look.beside
        out |= {"other": beside.name, "idle": _listed(beside.idle), "used": _listed(beside.used)}
        out["condition"] = f"when = {{ {beside.name} = [{', '.join(map(_quoted, beside.used))}] }}"
    return out


def _listed(values: Sequence[Any]) -> str:
    if len(values) > 2 and all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return f"{values[0]} to {values[-1]}"
    shown = [show(v) for v in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


def _quoted(value: Any) -> str:
    return f'"{show(value)}"' if isinstance(value, str) else show(value)


def show(value: Any) -> str:
    """A value in a sentence.

    >>> show(0.0001), show(None), show(1024), show(True)
    ('0.0001', 'none', '1024', 'true')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return " ".join(str(value).split())[:60]


def _is_misplaced(predicate: Predicate, about: str) -> bool:
    return about == "space" and not predicate.fact.startswith("space.")
