"""Lessons for ``advisor explain``: a hyperparameter in place of a plan, and what stands beside a row of a space."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.cli.deciding import is_plan_file
from advisor.core.errors import InputError, RunNotFoundError, nearest

if TYPE_CHECKING:
    from advisor.cli.door import Door
    from advisor.core.lessons import Lesson
    from advisor.core.plan import Plan
    from advisor.core.rules import Rulebook

    _Taught = dict[tuple[str, str], Lesson]


def teach(door: Door, subject: str, runs: Path, family: str | None) -> bool:
    """Prints the lesson on `subject` and gives True, where that is the name of a hyperparameter and of no plan or run.

    Raises: InputError for a model family that there is none of, and for a family named beside a plan or a run.
    """
    if is_plan_file(subject) or Path(subject).exists() or (runs / subject).exists():
        found = None
    else:
        found = _lesson(door.session.rulebook(), subject, family)
    if found is None:
        if family is not None:
            cure = nearest(subject, _known(door.session.rulebook()))
            raise InputError(f"{subject!r} is no hyperparameter that there is a lesson on", where="--model", cure=cure)
        _refuse_unknown(door, subject, runs)
        return False
    book = door.session.rulebook()
    if door.as_json:
        door.result_json(json.dumps(as_mapping(found, book), indent=2, ensure_ascii=False))
    else:
        door.result(lesson_page(found, book, asked=subject, family=family))
    return True


def _refuse_unknown(door: Door, subject: str, runs: Path) -> None:
    """Raises: RunNotFoundError where `subject` is neither a plan, nor a run, nor a hyperparameter; with the nearest of all."""
    if is_plan_file(subject):
        return
    try:
        door.session.find_run(subject, runs)
    except RunNotFoundError:
        names = [run.name for run in door.session.list_runs(runs)]
        cure = nearest(subject, [*names, *_known(door.session.rulebook())])
        what = f"no run {subject!r}, and no hyperparameter of that name"
        raise RunNotFoundError(what, where=str(runs), cure=cure if cure.startswith("Did you mean") else _CURE) from None


_CURE = "Name a plan's file, a run (see `advisor runs`), or a hyperparameter such as learning_rate."


def lesson_page(found: Lesson, book: Rulebook, *, asked: str = "", family: str | None = None, taught: _Taught | None = None) -> str:
    """The page of one lesson, with the model families that have what it teaches; for one `family`, what it is there.

    `taught` is `taught_in` the book, for whoever prints many pages.
    """
    from advisor.core.lessons import names_of, variants
    from advisor.report.lessons import lesson_text, uses_of

    names = [n for n in names_of(found, book.roles) if n != asked]
    uses = uses_of(found, book.families, taught_in(book) if taught is None else taught)
    others = () if found.families or family is not None else variants(found, book.lessons)
    mine = [u for u in uses if (u.family == family if family is not None else not found.families or u.family in found.families)]
    return lesson_text(found, names=names, variants=others, uses=mine)


def as_mapping(found: Lesson, book: Rulebook) -> dict[str, Any]:
    """A lesson for programs: as written, its line, its variants, and the hyperparameters of model families that it is about."""
    from advisor.core.lessons import variants
    from advisor.report.lessons import uses_of

    uses = uses_of(found, book.families, taught_in(book))
    return {
        "kind": "lesson",
        **found.model_dump(mode="json"),
        "line": found.line,
        "variants": [x.model_dump(mode="json") for x in variants(found, book.lessons)],
        "uses": [{"family": u.family, "name": u.name, "range": u.range, "default": u.default} for u in uses],
    }


def beside(plan: Plan, field: str, book: Rulebook) -> str:
    """What stands beside a row of the space: ``space.lr`` gives the lesson on it in a line; empty where there is none."""
    head, _, rest = field.partition(".")
    name = next((n for n in plan.space.parameters if rest == n or rest.startswith(f"{n}.")), None) if head == "space" else None
    found = _lesson(book, name, plan.family, must_exist=False) if name is not None else None
    if name is None or found is None:
        return ""
    from advisor.report.lessons import range_text

    return f"space.{name}: {range_text(plan.space.parameters[name])}\n  {found.what}\n  {found.line}.\n  source  {found.source}"


def _lesson(book: Rulebook, name: str, family: str | None, *, must_exist: bool = True) -> Lesson | None:
    from advisor.core.lessons import lesson

    if family is not None and family not in book.families:
        if must_exist:
            raise InputError(f"no model family {family!r}", where="--model", cure=nearest(family, book.families))
        family = None
    return lesson(name, book.lessons, book.roles, family=family)


def taught_in(book: Rulebook) -> _Taught:
    """The lesson of each hyperparameter of each family."""
    found = {(f.name, n): _lesson(book, n, f.name) for f in book.families.values() for n in (*f.space.parameters, *f.fixed)}
    return {key: taught for key, taught in found.items() if taught is not None}


def _known(book: Rulebook) -> list[str]:
    from advisor.core.lessons import names_of

    return sorted({n for x in book.lessons for n in (x.name, *names_of(x, book.roles))})
