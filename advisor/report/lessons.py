"""Lessons as text: what a hyperparameter does when it is too small and too large, in general and in each model family."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from advisor.report.wording import setting

if TYPE_CHECKING:
    from advisor.core.family import Family
    from advisor.core.lessons import Lesson
    from advisor.core.space import Choice, Float, Int

_WIDTH = 80
_LEFT = 14
_NAMES_SHOWN = 10


def lesson_text(lesson: Lesson, *, names: Sequence[str] = (), variants: Sequence[Lesson] = (), uses: Sequence[Use] = ()) -> str:
    """One lesson as a page: what it is, its two ends, how to tell, where to begin, then what is different for some model families.

    `names` are other names of it, `uses` the hyperparameters of model families that it is about.
    """
    heading = f"{lesson.title}"[0].upper() + lesson.title[1:]
    lines = [heading]
    if names:
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        lines += textwrap.wrap(f"Also called {', '.join(names[:_NAMES_SHOWN])}{more}.", _WIDTH, break_on_hyphens=False)
    lines += ["", *textwrap.wrap(lesson.what, _WIDTH), "", *_rows(lesson)]
    for other in variants:
        lines += ["", *textwrap.wrap(_title_of(other), _WIDTH), *_rows(other, only_what_differs=lesson)]
    if uses:
        lines += ["", "In the model families here", *_table([(u.family, u.name, u.range, u.default) for u in uses])]
    sources = list(dict.fromkeys(x.source for x in (lesson, *variants)))
    return "\n".join([*lines, "", *[part for s in sources for part in _row("source", s)]])


def _title_of(lesson: Lesson) -> str:
    return f"{lesson.title[0].upper()}{lesson.title[1:]} ({', '.join(lesson.families)})"


class Use:
    """A hyperparameter of one model family that a lesson is about."""

    def __init__(self, family: str, name: str, parameter: Float | Int | Choice | None, fixed: Any = None) -> None:
        self.family, self.name = family, name
        self.range = f"fixed at {setting(fixed)}" if parameter is None else range_text(parameter)
        self.default = "" if parameter is None else f"default {setting(parameter.default)}"


def range_text(parameter: Float | Int | Choice) -> str:
    """The values of a hyperparameter in a few words, with its scale."""
    if parameter.type == "choice":
        return " | ".join(setting(choice) for choice in parameter.choices)
    return f"{setting(parameter.low)} .. {setting(parameter.high)}{' log' if parameter.log else ''}"


def uses_of(lesson: Lesson, families: Mapping[str, Family], taught: Mapping[tuple[str, str], Lesson]) -> tuple[Use, ...]:
    """Where model families have what `lesson` (or one of its variants) teaches; `taught` is the lesson of each family's hyperparameter."""
    out = []
    for family in families.values():
        for name, parameter in family.space.items():
            if _is_about(taught.get((family.name, name)), lesson):
                out.append(Use(family.name, name, parameter))
        for name, value in family.fixed.items():
            if _is_about(taught.get((family.name, name)), lesson):
                out.append(Use(family.name, name, None, value))
    return tuple(out)


def _is_about(found: Lesson | None, lesson: Lesson) -> bool:
    if found is None:
        return False
    return found == lesson or (bool(found.families) and (found.name == lesson.name or bool(set(found.roles) & set(lesson.roles))))


def _rows(lesson: Lesson, *, only_what_differs: Lesson | None = None) -> list[str]:
    rows = [
        (lesson.ends[0], lesson.too_small),
        (lesson.ends[1], lesson.too_large),
        ("how to tell", lesson.seen),
        ("begin with", lesson.start),
        ("usual range", lesson.typical),
        ("scale", lesson.scale),
        ("depends on", lesson.adjust),
        ("tune it", _when(lesson.priority)),
    ]
    if only_what_differs is not None:
        known = {only_what_differs.seen, only_what_differs.scale, only_what_differs.adjust, _when(only_what_differs.priority)}
        rows = [row for row in rows if row[1] not in known]
    return [line for label, text in rows if text for line in _row(label, text)]


def _when(priority: int | None) -> str:
    words = {1: "first", 2: "second", 3: "third", 4: "late", 5: "last, if at all"}
    return "not: fix it" if priority is None else words.get(priority, "last, if at all")


def _row(label: str, text: str) -> list[str]:
    lead = f"  {label:<{_LEFT - 2}}"
    sentence = text[0].upper() + text[1:]
    whole = text if label == "source" else sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."
    return textwrap.wrap(whole, _WIDTH, initial_indent=lead, subsequent_indent=" " * _LEFT, break_on_hyphens=False)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [min(max(len(row[column]) for row in rows), 30) for column in range(len(rows[0]))]
    return [("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in rows]
