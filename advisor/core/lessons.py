"""Lessons: what a hyperparameter does when it is too small and when it is too large, in general and for a model family."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pydantic import Field

from advisor.core.roles import Role, told_by_name, words
from advisor.core.value import Value


class Lesson(Value):
    """One entry of ``rules/lessons``."""

    name: str = Field(min_length=1)
    """What it teaches, as one would ask for it: a role or a hyperparameter."""
    title: str = Field(min_length=1)
    """The same for people."""
    names: tuple[str, ...] = ()
    """Further names of it."""
    roles: tuple[str, ...] = ()
    """Roles it teaches: every name of theirs leads here."""
    families: tuple[str, ...] = ()
    """Model families it holds for; empty: in general."""
    ends: tuple[str, str] = ("too small", "too large")
    """What to call its two ends; a choice has others than a number."""
    what: str = Field(min_length=1)
    """What it is, in a sentence."""
    too_small: str = Field(min_length=1)
    """What happens at the first end."""
    too_large: str = Field(min_length=1)
    """What happens at the second end."""
    seen: str = ""
    """How either is told from scores and curves."""
    start: str = ""
    """What to begin with."""
    typical: str = ""
    """The range that practice searches."""
    scale: str = ""
    """How to draw it."""
    adjust: str = ""
    """How it depends on data, budget and the other hyperparameters."""
    priority: int | None = None
    """When to tune it, 1 first; None: fix it."""
    source: str = Field(min_length=1)
    """Where the knowledge comes from."""
    place: str = ""
    """File and line."""

    @property
    def line(self) -> str:
        """The lesson in a line: ``too small: …; too large: …``."""
        return f"{self.ends[0]}: {self.too_small.rstrip('.')}; {self.ends[1]}: {self.too_large.rstrip('.')}"


def lesson(name: str, lessons: Sequence[Lesson], roles: Sequence[Role], *, family: str | None = None) -> Lesson | None:
    """The lesson on a hyperparameter called `name` (its own name, another name of it, or its role); None when there is none.

    One that is written for `family` comes before the general one. A name with the steps of a pipeline before it, or with a
    number behind it, is the hyperparameter's own: ``svc__C``, ``dropout_2``.
    """
    said = _plain(name)
    spelled = [x for x in lessons if said in {_plain(n) for n in (x.name, *x.names)}]
    if not spelled and (numbered := said.rstrip("0123456789").rstrip("_")) != said:
        spelled = [x for x in lessons if numbered in {_plain(n) for n in (x.name, *x.names)}]
    best = _best(spelled, family)
    if best is not None and (family is None or family in best.families):
        return best
    named = told_by_name(name.rsplit("__", 1)[-1], roles)
    by_role = [x for x in lessons if named is not None and named[0] in x.roles]
    return _best([*spelled, *by_role], family)


def lesson_of(role: str, lessons: Sequence[Lesson], *, family: str | None = None) -> Lesson | None:
    """The lesson on a role; None when there is none."""
    return _best([x for x in lessons if role in x.roles], family)


def _best(found: Sequence[Lesson], family: str | None) -> Lesson | None:
    """The one for the family, else the first in general; without a family, else the first of any."""
    own = [x for x in found if family is not None and family in x.families]
    general = [x for x in found if not x.families]
    return next(iter([*own, *general, *(found if family is None else ())]), None)


def names_of(found: Lesson, roles: Sequence[Role]) -> tuple[str, ...]:
    """Every name that leads to a lesson: its own first, then those of its roles."""
    known = {r.name: r for r in roles}
    by_role = [n for role in found.roles if role in known for n in known[role].names] if not found.families else []
    return tuple(dict.fromkeys((found.name, *found.names, *by_role)))


def variants(found: Lesson, lessons: Sequence[Lesson]) -> tuple[Lesson, ...]:
    """The lessons that say what is different for a model family about what `found` teaches."""
    own = {_plain(n) for n in (found.name, *found.names)}
    return tuple(
        x
        for x in lessons
        if x.families and x is not found and (own & {_plain(n) for n in (x.name, *x.names)} or set(x.roles) & set(found.roles))
    )


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    return "_".join(words(name.rsplit("__", 1)[-1]))
