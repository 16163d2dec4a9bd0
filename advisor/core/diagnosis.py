"""Findings over learning curves and finished trials: what is wrong, what it was told by, the cause, the cure. Pure.

A finding is an entry of ``rules/diagnosis``: conditions on symptoms, which are measured here and nowhere else. A symptom that the
data do not hold is unknown and raises no finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from advisor.core.derived import Given
from advisor.core.diagnosis_curves import Curve, curve_symptoms
from advisor.core.diagnosis_symptoms import SYMPTOMS, show
from advisor.core.diagnosis_trials import Study, pair_symptoms, parameter_symptoms, study_symptoms
from advisor.core.entries import EntryExample, example_faults
from advisor.core.facts import Unknown
from advisor.core.predicates import Predicate, Verdict, all_of, parse_predicate
from advisor.core.value import Value

Level = Literal["broken", "serious", "minor", "hint"]
"""Nothing else counts until it is repaired; the result is much worse for it; a better result is near; good to know."""
LEVELS: tuple[Level, ...] = ("broken", "serious", "minor", "hint")
_MOST_NAMED = 4
_NAME = re.compile(r"\{([^{}]*)\}")


class Diagnosis(Value):
    """One entry of ``rules/diagnosis``."""

    id: str = Field(min_length=1)
    """Unique among the findings."""
    title: str = Field(min_length=1)
    """Its name for people."""
    about: Literal["curve", "study", "parameter", "pair"]
    """What is looked at: each curve, the study, each hyperparameter, each pair of them."""
    level: Level
    """How much it matters."""
    when: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Conditions on symptoms, as in a rule; all must hold."""
    seen: str = Field(min_length=1)
    """What was seen, with symptoms in braces."""
    cause: str = Field(min_length=1)
    """What it comes from."""
    cure: str = Field(min_length=1)
    """What to do, as imperative sentences."""
    source: str = Field(min_length=1)
    """Where the knowledge and the thresholds come from."""
    overrides: tuple[str, ...] = ()
    """Findings about the same thing that are left out while this one holds."""
    answered: str = ""
    """A pattern: notes of a run that match it say what was done about this already; names in braces are filled in."""
    example: tuple[EntryExample, ...] = Field(min_length=1)
    """Cases with their verdict."""
    place: str = ""
    """File and line."""

    @field_validator("seen", "cause", "cure", "answered")
    @classmethod
    def _known_names(cls, text: str) -> str:
        unknown = [n for n in _NAME.findall(text) if n not in SYMPTOMS]
        if unknown:
            raise ValueError(f"there is no symptom {unknown[0]!r}")
        return text

    @property
    def conditions(self) -> tuple[Predicate, ...]:
        """The conditions, parsed. Raises: ValueError as `parse_predicate` does."""
        return tuple(parse_predicate(table, SYMPTOMS) for table in self.when)

    def faults(self) -> tuple[str, ...]:
        """What is wrong with this entry, one sentence a fault."""
        try:
            wanted = self.conditions
        except ValueError as error:
            return (str(error),)
        names = [*(p.fact for p in wanted), *(n for text in (self.seen, self.cause, self.cure) for n in _NAME.findall(text))]
        out = [f"{n} does not belong to a {self.about}" for n in names if n.partition(".")[0] not in (self.about, "study")]
        out += example_faults(self.example, wanted, SYMPTOMS, "symptom")
        missed = [p for p in wanted if not any(_misses(wanted, p, e.given) for e in self.example)]
        return (*out, *(f"no example stops short of {p.fact} alone" for p in missed))


class Finding(Value):
    """One finding."""

    id: str
    """The entry's id; ``note`` for a warning of the run itself."""
    title: str
    """Its name."""
    level: Level
    """How much it matters."""
    about: str
    """What it is about: a curve, a hyperparameter, the study."""
    seen: str
    """What was seen, with the figures."""
    cause: str = ""
    """What it comes from."""
    cure: str = ""
    """What to do."""
    source: str = ""
    """Where the knowledge comes from."""
    done: str = ""
    """What was done about it already; empty: nothing."""
    figures: dict[str, float] = {}
    """Symptom to value, those that the conditions compared."""

    def __str__(self) -> str:
        """The finding in one line, for lists."""
        parts = [f"{self.title}: {self.seen}" if self.title else self.seen, self.cause, f"Done: {self.done}" if self.done else self.cure]
        return " ".join(p.rstrip(".") + "." for p in parts if p)


class Passed(Value):
    """A finding that could not be looked for."""

    id: str
    """The entry's id."""
    title: str
    """Its name."""
    reason: str
    """What was missing."""


class Diagnosed(Value):
    """What was found, and what could not be looked for."""

    findings: tuple[Finding, ...] = ()
    """The most important first."""
    passed: tuple[Passed, ...] = ()
    """Findings for which something was missing throughout."""


class DiagnosisReport(Value):
    """What `advisor diagnose` has to say."""

    subject: str
    """What was looked at, as it was named."""
    kind: Literal["run", "study", "curves"]
    """What that is."""
    direction: Literal["minimize", "maximize"]
    """Which way is better."""
    curves: int
    """Learning curves looked at."""
    trials: int
    """Trials looked at."""
    findings: tuple[Finding, ...] = ()
    """The most important first."""
    passed: tuple[Passed, ...] = ()
    """Findings that something was missing for."""
    notes: tuple[str, ...] = ()
    """What was guessed in reading."""


def diagnose(
    entries: Sequence[Diagnosis], *, curves: Sequence[Curve] = (), study: Study | None = None, notes: Sequence[str] = ()
) -> Diagnosed:
    """Every finding of `entries` in `curves` and `study`, the most important first; equal ones about several curves are joined.

    `notes` are sentences of a run about what it did; a finding that one of them answers says so.
    """
    wanted = [(entry, entry.conditions) for entry in entries]
    of_study = study_symptoms(study) if study is not None else {}
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    passed: dict[str, str] = {}
    kinds: set[str] = set()
    for kind, name, own in _subjects(curves, study):
        kinds.add(kind)
        symptoms = {**of_study, **own}
        holding = _holding(wanted, kind, symptoms, passed)
        silenced = {o for entry in holding for o in entry.overrides}
        for entry in holding:
            if entry.id not in silenced:
                found.setdefault(entry.id, []).append((name, symptoms))
    ordered = [
        finding
        for level in LEVELS
        for entry in entries
        if entry.level == level and entry.id in found
        for finding in _findings(entry, found[entry.id], notes)
    ]
    silent = [e for e in entries if passed.get(e.id) and e.about in kinds]
    return Diagnosed(findings=tuple(ordered), passed=tuple(Passed(id=e.id, title=e.title, reason=passed[e.id]) for e in silent))


def _subjects(curves: Sequence[Curve], study: Study | None) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, name and symptoms of everything that is looked at."""
    for curve in curves:
        yield "curve", curve.name, curve_symptoms(curve)
    if study is not None:
        yield "study", "the search", {}
        for name, symptoms in parameter_symptoms(study).items():
            yield "parameter", name, symptoms
        for name, symptoms in pair_symptoms(study).items():
            yield "pair", name, symptoms


def _holding(
    entries: Sequence[tuple[Diagnosis, Sequence[Predicate]]], kind: str, symptoms: Mapping[str, Any], passed: dict[str, str]
) -> list[Diagnosis]:
    """The entries that hold; `passed` is told of those that are unknown, and forgets those that were decided once."""
    out = []
    given = Given(symptoms)
    for entry, wanted in entries:
        if entry.about != kind:
            continue
        verdict = all_of(wanted, given)
        if verdict is Verdict.HOLDS:
            out.append(entry)
        if verdict is Verdict.UNKNOWN:
            missing = next(v for p in wanted if isinstance(v := given.value(p.fact), Unknown))
            passed.setdefault(entry.id, missing.reason)
        else:
            passed[entry.id] = ""
    return out


def _findings(entry: Diagnosis, subjects: Sequence[tuple[str, dict[str, Any]]], notes: Sequence[str]) -> Iterator[Finding]:
    if entry.about != "curve":
        yield from (_finding(entry, name, symptoms, notes) for name, symptoms in subjects)
        return
    names = [name for name, _ in subjects]
    rest = len(names) - _MOST_NAMED
    about = ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
    yield _finding(entry, about, subjects[0][1], notes, first=names[0] if len(names) > 1 else "")


def _finding(entry: Diagnosis, about: str, symptoms: Mapping[str, Any], notes: Sequence[str], first: str = "") -> Finding:
    def filled(text: str) -> str:
        return _NAME.sub(lambda found: _shown(found[1], symptoms), text)

    pattern = _NAME.sub(lambda found: re.escape(_shown(found[1], symptoms)), entry.answered)
    done = [n for n in notes if re.search(pattern, n)] if entry.answered else []
    compared = {p.fact: symptoms[p.fact] for p in entry.conditions}
    seen = filled(entry.seen)
    return Finding(
        id=entry.id,
        title=entry.title,
        level=entry.level,
        about=about,
        seen=f"{first}: {seen}" if first else seen,
        cause=filled(entry.cause),
        cure=filled(entry.cure),
        source=entry.source,
        done=" ".join(done),
        figures={
            n: float(v) for n, v in compared.items() if isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < float("inf")
        },
    )


def _shown(name: str, symptoms: Mapping[str, Any]) -> str:
    value = symptoms.get(name)
    return "an unknown number" if value is None or isinstance(value, Unknown) else show(name, value)


def _misses(wanted: Sequence[Predicate], predicate: Predicate, given: Mapping[str, Any]) -> bool:
    """True when `predicate` alone fails."""
    return [p for p in wanted if p.verdict(Given(given)) is Verdict.FAILS] == [predicate]
