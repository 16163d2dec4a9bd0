"""Conditions that compare one fact with one constant, with three outcomes: holds, fails, unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from advisor.core.errors import nearest
from advisor.core.facts import Unknown
from advisor.core.vocabulary import Fact, vocabulary


class Verdict(StrEnum):
    """What a condition, or all conditions of a rule together, say."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"


class Lookup(Protocol):
    """Where conditions find the values of facts."""

    def value(self, name: str) -> Any:
        """The value, or an `Unknown`."""
        ...


@dataclass(frozen=True, slots=True)
class _Predicate:
    fact: str
    """Name of the fact compared."""
    told: Fact | None = field(default=None, kw_only=True, compare=False, repr=False)
    """Its entry where it belongs to a vocabulary of its own, such as the properties of a hyperparameter; None: the plan's."""

    def test(self, value: Any) -> bool:
        raise NotImplementedError

    def verdict(self, lookup: Lookup) -> Verdict:
        """Three-valued: an unknown fact neither holds nor fails; a wish nobody expressed (None) fails."""
        value = lookup.value(self.fact)
        if isinstance(value, Unknown):
            return Verdict.UNKNOWN
        if value is None:
            return Verdict.FAILS
        return Verdict.HOLDS if self.test(value) else Verdict.FAILS

    @property
    def about(self) -> Fact:
        """The fact's entry in the vocabulary."""
        return self.told if self.told is not None else vocabulary()[self.fact]

    def is_near(self, value: Any) -> bool:
        """True when `value` lies within 20 % of the threshold, so that the verdict should not be trusted far."""
        del value
        return False


@dataclass(frozen=True, slots=True)
class AtLeast(_Predicate):
    """The fact is `threshold` or more."""

    threshold: float

    def test(self, value: Any) -> bool:
        """True when `value` is `threshold` or more."""
        return bool(value >= self.threshold)

    def is_near(self, value: Any) -> bool:
        """True within 20 % of the threshold."""
        return _near(value, self.threshold)

    def say(self, value: Any) -> str:
        """``60 trials, at least 30``."""
        return f"{_subject(self.about, value)}, at least {self.about.show(self.threshold)}"

    def wanted(self) -> str:
        """The condition alone, in words."""
        return f"{self.about.words} at least {self.about.show(self.threshold)}"


@dataclass(frozen=True, slots=True)
class Below(_Predicate):
    """The fact is less than `threshold`."""

    threshold: float

    def test(self, value: Any) -> bool:
        """True when `value` is less than `threshold`."""
        return bool(value < self.threshold)

    def is_near(self, value: Any) -> bool:
        """True within 20 % of the threshold."""
        return _near(value, self.threshold)

    def _limit(self) -> str:
        if self.about.kind == "integer" and self.about.unit == "" and self.threshold == int(self.threshold):
            return f"at most {self.about.show(int(self.threshold) - 1)}"
        return f"below {self.about.show(self.threshold)}"

    def say(self, value: Any) -> str:
        """``6 dimensions, at most 3``."""
        return f"{_subject(self.about, value)}, {self._limit()}"

    def wanted(self) -> str:
        """The condition alone, in words."""
        return f"{self.about.words} {self._limit()}"


@dataclass(frozen=True, slots=True)
class Is(_Predicate):
    """The fact equals `wish`."""

    wish: Any

    def test(self, value: Any) -> bool:
        """True when `value` equals the wish; True is not 1."""
        return bool(value == self.wish) and isinstance(value, bool) == isinstance(self.wish, bool)

    def say(self, value: Any) -> str:
        """``the goal is best, not research``; for a flag its own sentence."""
        about = self.about
        if about.kind == "flag" and isinstance(value, bool) and about.says[value]:
            return about.says[value]
        if isinstance(value, Unknown):
            return _subject(about, value)
        return f"{about.words} is {about.show(value)}, not {about.show(self.wish)}"

    def wanted(self) -> str:
        """The condition alone, in words."""
        about = self.about
        if about.kind == "flag" and about.says[bool(self.wish)]:
            return about.says[bool(self.wish)]
        return f"{about.words} is {about.show(self.wish)}"


@dataclass(frozen=True, slots=True)
class OneOf(_Predicate):
    """The fact is one of `wishes`."""

    wishes: tuple[Any, ...]

    def test(self, value: Any) -> bool:
        """True when `value` is among the wishes."""
        return value in self.wishes

    def say(self, value: Any) -> str:
        """``the goal is quick, not one of best, research``."""
        if isinstance(value, Unknown):
            return _subject(self.about, value)
        return f"{self.about.words} is {self.about.show(value)}, not one of {', '.join(map(str, self.wishes))}"

    def wanted(self) -> str:
        """The condition alone, in words."""
        return f"{self.about.words} is one of {', '.join(map(str, self.wishes))}"


Predicate = AtLeast | Below | Is | OneOf


def _near(value: Any, threshold: float) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return bool(abs(value - threshold) <= 0.2 * abs(threshold))


def _subject(about: Fact, value: Any) -> str:
    if isinstance(value, Unknown):
        return f"{about.words}: unknown ({value.reason})"
    if about.noun:
        is_one = value == 1 and about.noun.endswith("s")
        return f"{about.show(value)} {about.noun[:-1] if is_one else about.noun}"
    return f"{about.words} {about.show(value)}"


def all_of(predicates: Sequence[Predicate], lookup: Lookup) -> Verdict:
    """`fails` when one fails, else `unknown` when one is unknown, else `holds`; no condition holds always."""
    unknown = False
    for predicate in predicates:
        match predicate.verdict(lookup):
            case Verdict.FAILS:
                return Verdict.FAILS
            case Verdict.UNKNOWN:
                unknown = True
            case Verdict.HOLDS:
                pass
    return Verdict.UNKNOWN if unknown else Verdict.HOLDS


_FORMS = ("at_least", "below", "is", "one_of")


def parse_predicate(table: Mapping[str, Any], known: Mapping[str, Fact] | None = None) -> Predicate:
    """The predicate written as ``{fact = "…", at_least|below|is|one_of = …}``, on the facts `known` (None: those of a plan).

    Raises: ValueError for an unknown fact (with the nearest name), an unknown or missing comparison, a value of another
    type or a misspelt choice.
    """
    name = table.get("fact")
    if not isinstance(name, str):
        raise ValueError('a condition needs fact = "…"')  # noqa: TRY004 (a fault of the file, gathered with the others)
    own = known is not None
    known = vocabulary() if known is None else known
    if name not in known:
        raise ValueError(f"unknown fact {name!r}. {nearest(name, known)}")
    forms = [k for k in table if k != "fact"]
    if len(forms) != 1 or forms[0] not in _FORMS:
        wrong = next((f for f in forms if f not in _FORMS), None)
        hint = nearest(wrong, _FORMS) if wrong else f"Write exactly one of {', '.join(_FORMS)}."
        raise ValueError(f"condition on {name}: {'unknown comparison ' + repr(wrong) if wrong else 'no single comparison'}. {hint}")
    form, value, about = forms[0], table[forms[0]], known[name]
    told = about if own else None
    if form in ("at_least", "below"):
        if not about.is_number:
            raise ValueError(f"{name} is a {about.kind} and cannot be ordered; use is or one_of")
        threshold = float(Fact(about.name, "number", "").parse(value))
        return AtLeast(name, threshold, told=told) if form == "at_least" else Below(name, threshold, told=told)
    if form == "is":
        return Is(name, about.parse(value), told=told)
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name}: one_of needs a list of values")
    return OneOf(name, tuple(about.parse(v) for v in value), told=told)
