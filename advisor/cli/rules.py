"""``advisor rules``: list, show, check."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli.door import Door
from advisor.cli.evidence import evidence
from advisor.cli.options import json_option
from advisor.cli.tree import tree
from advisor.core.errors import InputError, RulebookError, nearest

if TYPE_CHECKING:
    from advisor.core.diagnosis import Diagnosis
    from advisor.core.lessons import Lesson
    from advisor.core.lint import Lint
    from advisor.core.rules import Rule, Rulebook

KINDS = ("strategy", "shortlist", "field", "tip", "adjustment")
"""Kinds of rules."""
ENTRIES = ("lint", "diagnosis", "lesson")
"""Kinds of entries that are no rules: they change no plan."""


@click.group(invoke_without_command=False)
def rules() -> None:
    """The rulebook: which rules there are, what one says, whether all are sound."""


rules.add_command(tree)
rules.add_command(evidence)


@rules.command("list")
@click.option("--kind", type=click.Choice((*KINDS, *ENTRIES)), default=None, help="Only the entries of this kind.")
@json_option
@click.pass_obj
def list_rules(door: Door, /, kind: str | None) -> None:
    """Lists every rule in force; the strategy list stands in the order in which it is tried.

    What the linter of spaces (lint) and the diagnosis look for and the lessons are listed with --kind.
    """
    book = door.session.rulebook()
    if kind in ENTRIES:
        _list_entries(door, book, kind)
        return
    found = [(name, rule) for name in KINDS if kind in (None, name) for rule in of_kind(book, name)]
    if door.as_json:
        door.result_json(json.dumps([_as_mapping(name, rule) for name, rule in found], indent=2, ensure_ascii=False))
        return
    from advisor.report.rules import rule_lines

    for name in dict.fromkeys(name for name, _ in found):
        door.result(name.upper())
        for line in rule_lines([rule for at, rule in found if at == name]):
            door.result(f"  {line}")
    more = f"{len(book.lints)} findings of the linter, {len(book.diagnoses)} of the diagnosis, {len(book.lessons)} lessons"
    door.result(f"{len(found)} rules, {len(book.families)} families, {more}, rulebook {book.hash[:12]}")


def _list_entries(door: Door, book: Rulebook, kind: str) -> None:
    entries = entries_of(book, kind)
    if door.as_json:
        plain = [{"kind": kind, **entry.model_dump(mode="json")} for _, _, entry in entries]
        door.result_json(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    from advisor.report.rules import entry_lines

    door.result(kind.upper())
    for line in entry_lines((name, said) for name, said, _ in entries):
        door.result(f"  {line}")


def entries_of(book: Rulebook, kind: str) -> list[tuple[str, str, Lint | Diagnosis | Lesson]]:
    """Name, meaning and entry of what is no rule: findings of the linter and of the diagnosis, lessons."""
    if kind == "lint":
        return [(x.id, x.because, x) for x in book.lints]
    if kind == "diagnosis":
        return [(d.id, d.title, d) for d in book.diagnoses]
    return [(t.name, t.line, t) for t in book.lessons]


@rules.command("show")
@click.argument("name", metavar="RULE|STRATEGY|FAMILY|FINDING|LESSON")
@json_option
@click.pass_obj
def show_rule(door: Door, /, name: str) -> None:
    """Shows one entry of the rulebook as a page: what it does, when, why, its source, its examples, what it was measured to do."""
    pages = pages_of(door.session.rulebook(), name)
    if door.as_json:
        plain = [entry for _, entry in pages]
        door.result_json(json.dumps(plain[0] if len(plain) == 1 else plain, indent=2, ensure_ascii=False, default=str))
    else:
        door.result("\n\n\n".join(text for text, _ in pages))


def pages_of(book: Rulebook, name: str) -> list[tuple[str, dict[str, Any]]]:
    """The page of each entry called `name`, and the same for programs; a family and a finding may share a name.

    Raises: InputError with the nearest name.
    """
    from advisor.cli.lessons import as_mapping, lesson_page
    from advisor.core.lessons import lesson
    from advisor.report import pages

    out: list[tuple[str, dict[str, Any]]] = []
    rule = book.rule(name)
    if rule is not None:
        kind = _kind_of(book, rule)
        out.append((pages.rule_page(rule, kind, book), _as_mapping(kind, rule)))
    for strategy, entry in book.strategies.items():
        if strategy == name:
            out.append((pages.strategy_page(entry, book), {"kind": "strategy", "place": entry.place, **dict(entry.table)}))
    family = book.families.get(name)
    if family is not None:
        rows = {n: t for n in family.space.parameters if (t := lesson(n, book.lessons, book.roles, family=name)) is not None}
        page = pages.family_page(family, book.family_sources.get(name, ""), book, rows)
        out.append((page, {"kind": "family", **family.model_dump(mode="json")}))
    out += [(pages.lint_page(x), {"kind": "lint", **x.model_dump(mode="json")}) for x in book.lints if x.id == name]
    out += [(pages.diagnosis_page(d), {"kind": "diagnosis", **d.model_dump(mode="json")}) for d in book.diagnoses if d.id == name]
    taught = lesson(name, book.lessons, book.roles)
    if taught is not None and (not out or taught.name == name):
        out.append((lesson_page(taught, book, asked=name), as_mapping(taught, book)))
    if out:
        return out
    known = [*(r.id for r in book.rules), *book.strategies, *book.families]
    known += [n for kind in ENTRIES for n, _, _ in entries_of(book, kind)]
    raise InputError(f"no rule, strategy, family, finding or lesson {name!r}", where="rules show", cure=nearest(name, known))


@rules.command("check")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path), metavar="[FOLDER]...")
@json_option
@click.pass_obj
def check_rules(door: Door, /, folders: tuple[Path, ...]) -> None:
    """Proves the rulebook (the shipped one, overlaid with each FOLDER): no gap, no conflict, no rule that never wins."""
    from advisor.rulebook.checking import check
    from advisor.rulebook.loading import load_rulebook, shipped_folder

    book = load_rulebook(shipped_folder(), *folders) if folders else door.session.rulebook()
    counts = {name: len(of_kind(book, name)) for name in KINDS}
    found = check(book)
    if not found.is_sound:
        raise RulebookError(found.faults)
    if door.as_json:
        cells = {"examples": found.examples, "facts": found.facts, "cells": found.cells, "slots": [asdict(s) for s in found.slots]}
        door.result_json(json.dumps({"rules": counts, "families": len(book.families), "hash": book.hash, "checked": cells}))
        return
    parts = ", ".join(f"{count} {name}" for name, count in counts.items())
    door.result(f"The rulebook is sound: {sum(counts.values())} rules ({parts}), {len(book.families)} families, hash {book.hash[:12]}.")
    door.result(found.text)


@rules.command("coverage")
@click.option("--plans", type=click.IntRange(min=1), default=6000, show_default=True, help="Plans to make, for facts drawn at random.")
@json_option
@click.pass_obj
def coverage_of_rules(door: Door, /, plans: int) -> None:
    """Says which rules and conditions the examples, and plans for facts of many kinds, never exercise; exit 1 where there are any."""
    from advisor.rulebook.coverage import coverage
    from advisor.rulebook.situations import varied

    book = door.session.rulebook()
    found = coverage(book, (varied(seed, book) for seed in range(plans)))
    if door.as_json:
        door.result_json(json.dumps({**asdict(found), "ratio": found.ratio}, indent=2, ensure_ascii=False))
    else:
        door.result(found.text)
    if found.lacking:
        click.get_current_context().exit(1)


def of_kind(book: Rulebook, kind: str) -> tuple[Rule, ...]:
    """The rules of one kind, in their order."""
    return {
        "strategy": book.strategy_rules,
        "shortlist": book.shortlist_rules,
        "field": book.field_rules,
        "tip": book.tips,
        "adjustment": book.adjustments,
    }[kind]


def _kind_of(book: Rulebook, rule: Rule) -> str:
    return next(kind for kind in KINDS if rule in of_kind(book, kind))


def _as_mapping(kind: str, rule: Rule) -> dict[str, Any]:
    return {"kind": kind, "place": rule.place, **dict(rule.table)}
