"""One entry of the rulebook as a page worth reading: what it does, when, why, where from, its examples and what it was measured to do."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from advisor.core.predicates import Predicate, Verdict
from advisor.report.lessons import range_text
from advisor.report.rules import effect
from advisor.report.wording import number, setting

if TYPE_CHECKING:
    from advisor.core.diagnosis import Diagnosis
    from advisor.core.family import Family
    from advisor.core.lessons import Lesson
    from advisor.core.lint import Lint
    from advisor.core.rules import Measured, Rule, Rulebook, StrategyEntry

_WIDTH = 80
_ALWAYS = dict.fromkeys(("strategy", "shortlist"), "  Always, where no rule before it holds.")
_REPAIRS = {
    "log": "It is drawn on a logarithmic scale.",
    "range": "The list becomes a range from its least to its greatest number; values between become possible.",
    "default": "The default becomes the value of the right type that was plainly meant.",
    "condition": "It is drawn only where it does something.",
}


def rule_page(rule: Rule, kind: str, book: Rulebook) -> str:
    """One rule: its place among the others, its effect, its conditions in words, and all that speaks for it."""
    said = effect(rule)
    first = said if rule.adjust is not None else f"{said[0].upper()}{said[1:].rstrip('.')}."  # a parameter's name is no sentence
    lines = [_title(rule.id, _place_of(rule, kind, book)), *_text(first), "", *_text(rule.because)]
    lines += _section("It holds when all of these do", _bullets(rule.when) or [_ALWAYS.get(kind, "  Always.")])
    if rule.recommend is not None:
        needed = (*book.strategies[rule.recommend].requires, *book.strategies[rule.recommend].needs)
        lines += _section(f"and what {rule.recommend} itself needs", _bullets([p for p in needed if p not in rule.when]))
    lines += _section("Beside the others", _relations(rule, book))
    return "\n".join([*lines, *_measured(rule.evidence), *_examples(rule.examples), *_origin(rule.source, rule.place)])


def strategy_page(entry: StrategyEntry, book: Rulebook) -> str:
    """One strategy: what runs it, when it can and when it is advised, and the rules that recommend it."""
    lines = [_title(str(entry.strategy), "strategy"), *_text(entry.because), "", *_text(f"It runs as {entry.engine}.")]
    lines += _section("Impossible unless", _bullets(entry.requires) or ["  It can always run."])
    lines += _section("Advised when", _bullets(entry.needs) or ["  Always, where a rule recommends it."])
    named = [f"{n}. {r.id}" for n, r in enumerate(book.strategy_rules, start=1) if r.recommend is entry.strategy]
    lines += _section("Recommended by", [part for name in named for part in _text(name, indent="  ")])
    lines += _section("Settings", [f"  {name} = {setting(value)}" for name, value in entry.settings.items()])
    return "\n".join([*lines, *_origin(entry.source, entry.place)])


def family_page(family: Family, place: str, book: Rulebook, taught: Mapping[str, Lesson]) -> str:
    """One model family: what is fitted, what is searched and what each of it does, where to begin, what rules change it."""
    lines = [_title(family.name, "model family"), *_text(f"{family.title[0].upper()}{family.title[1:]}.")]
    lines += _section("Estimators", [f"  {task}: {path}" for task, path in family.estimators.items()])
    lines += _section("Fixed", _text(", ".join(f"{n} = {setting(v)}" for n, v in family.fixed.items()), indent="  "))
    rows: list[str] = []
    for name, parameter in family.space.items():
        rows += _text(f"{name}: {range_text(parameter)}, default {setting(parameter.default)}", indent="  ")
        if name in taught:
            rows += _text(taught[name].line, indent="      ")
    lines += _section("Searched", rows)
    begun = (
        f"{len(family.starts)} known-good configurations beside the default ({family.starts_source})" if family.starts else "The default."
    )
    lines += _section("Begins with", _text(begun, indent="  "))
    changes = [r for r in book.adjustments if r.adjust is not None and r.adjust.family == family.name]
    lines += _section("Changed by", [part for r in changes for part in _text(f"{r.id}: {effect(r)}", indent="  ")])
    lines += _section("Cost of a fit", _text(family.cost.source, indent="  "))
    return "\n".join([*lines, *_origin(family.source, place)])


def lint_page(entry: Lint) -> str:
    """One finding of the space linter."""
    about = "finding of the space linter, about " + ("one hyperparameter" if entry.about == "dimension" else "the space")
    lines = [_title(entry.id, f"{entry.level}: {about}"), *_text(_spoken(entry.says)), "", *_text(_spoken(entry.cure))]
    lines += ["", *_text(entry.because)]
    lines += _section("It is found when all of these hold", _bullets(entry.conditions))
    beside = entry.sibling
    if beside is not None:
        words = [("whose role is", beside.roles), ("called", beside.names), ("idle under", beside.idle), ("used under", beside.used)]
        told = "; ".join(f"{lead} {', '.join(names)}" for lead, names in words if names)
        counts = "; a count of layers, where the name ends in a number" if beside.by_index else ""
        lines += _section("The other hyperparameter", _text(f"One {told}{counts}.", indent="  "))
    repair = _REPAIRS[entry.fix] if entry.fix is not None else "None that is safe: it is left to you."
    lines += _section("Repair by --fix", _text(repair, indent="  "))
    return "\n".join([*lines, *_examples(entry.example), *_origin(entry.source, entry.place)])


def diagnosis_page(entry: Diagnosis) -> str:
    """One finding of the diagnosis of runs."""
    lines = [
        _title(entry.id, f"{entry.level}: finding of the diagnosis, about a {entry.about}"),
        *_text(f"{entry.title}."),
        "",
        *_text(_spoken(entry.seen)),
    ]
    lines += _section("Cause", _text(_spoken(entry.cause), indent="  "))
    lines += _section("Cure", _text(_spoken(entry.cure), indent="  "))
    lines += _section("It is found when all of these hold", _bullets(entry.conditions))
    lines += _section("Takes the place of", _text(", ".join(entry.overrides), indent="  "))
    return "\n".join([*lines, *_examples(entry.example), *_origin(entry.source, entry.place)])


# ---------------------------------------------------------------------------------------------------------- the parts


def _spoken(text: str) -> str:
    """A text with its names to be filled in as ``<name>``."""
    return re.sub(r"\{([^{}]+)\}", r"<\1>", text)


def _title(name: str, about: str) -> str:
    return f"{name}\n{textwrap.fill(about, _WIDTH)}\n{'-' * min(_WIDTH, max(len(name), len(about)))}"


def _text(text: str, *, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  " if indent else "", break_on_hyphens=False)


def _section(heading: str, lines: Sequence[str]) -> list[str]:
    """A heading and what stands under it; nothing where there is nothing."""
    return ["", heading, *lines] if lines else []


def _bullets(predicates: Sequence[Predicate]) -> list[str]:
    return [part for p in dict.fromkeys(predicates) for part in _text(f"- {p.wanted()}  [{p.fact}]", indent="  ")]


def _place_of(rule: Rule, kind: str, book: Rulebook) -> str:
    """Where a rule stands among those of its kind."""
    match kind:
        case "strategy":
            return (
                f"rule {book.strategy_rules.index(rule) + 1} of {len(book.strategy_rules)} of the strategy list: the first that holds wins"
            )
        case "shortlist":
            return (
                f"rule {book.shortlist_rules.index(rule) + 1} of {len(book.shortlist_rules)} of the shortlists: the first that holds wins"
            )
        case "field":
            return f"sets {', '.join(rule.sets)}: it must agree with every other rule that holds"
        case "tip":
            return "tip: given whenever it holds"
    return f"change of the space of {rule.adjust.family if rule.adjust is not None else 'a family'}: it joins with the others that hold"


def _relations(rule: Rule, book: Rulebook) -> list[str]:
    out = []
    if rule.overrides:
        out += _text(f"overrides {', '.join(rule.overrides)}", indent="  ")
    over = [r.id for r in book.rules if rule.id in r.overrides]
    if over:
        out += _text(f"gives way to {', '.join(over)}", indent="  ")
    same = [r.id for name in rule.sets for r in book.by_field.get(name, ()) if r.id != rule.id and r.id not in (*rule.overrides, *over)]
    if same:
        out += _text(f"the same field is set by {', '.join(dict.fromkeys(same))}", indent="  ")
    if rule.recommend is not None:
        at = book.strategy_rules.index(rule)
        before, after = book.strategy_rules[at - 1 : at] if at else (), book.strategy_rules[at + 1 : at + 2]
        out += [f"  after {r.id}" for r in before] + [f"  before {r.id}" for r in after]
    return out


def _measured(evidence: Measured | None) -> list[str]:
    if evidence is None:
        return _section("Measured", ["  Not yet: it rests on its source."])
    low, high = evidence.interval
    verdict = "it helps" if high < 0 else "it does harm" if low > 0 else "no effect can be told from chance"
    interval = f"95 % interval {number(low, 3)} to {number(high, 3)}"
    said = f"{evidence.effect:+.3g} {evidence.measure} ({interval}) on {evidence.tasks} tuning problems"
    lines = _text(f"{said}: {verdict}.", indent="  ")
    return _section(
        "Measured",
        [*lines, *_text(f"{evidence.date}, {evidence.versions}", indent="  "), *_text(f"again: {evidence.command}", indent="  ")],
    )


def _examples(examples: Sequence[Any]) -> list[str]:
    """Cases by what the conditions say of them: first those that hold."""
    lines = []
    for verdict in (Verdict.HOLDS, Verdict.FAILS, Verdict.UNKNOWN):
        for example in (e for e in examples if e.verdict is verdict):
            given = ", ".join(f"{name} = {setting(value)}" for name, value in example.given.items()) or "nothing given"
            lines += textwrap.wrap(given, _WIDTH, initial_indent=f"  {verdict:<9}", subsequent_indent=" " * 11, break_on_hyphens=False)
    return _section("Examples", lines)


def _origin(source: str, place: str) -> list[str]:
    return [*_section("Source", _text(source, indent="  ")), *_section("File", [f"  {place}"] if place else [])]
