"""``advisor rules``: list, show, check."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli.door import Door
from advisor.cli.options import json_option
from advisor.cli.tree import tree
from advisor.core.errors import InputError, RulebookError, nearest

if TYPE_CHECKING:
    from advisor.core.rules import Rule, Rulebook

KINDS = ("strategy", "shortlist", "field", "tip", "adjustment")


@click.group(invoke_without_command=False)
def rules() -> None:
    """The rulebook: which rules there are, what one says, whether all are sound."""


rules.add_command(tree)


@rules.command("list")
@click.option("--kind", type=click.Choice(KINDS), default=None, help="Only the rules of this kind.")
@json_option
@click.pass_obj
def list_rules(door: Door, /, kind: str | None) -> None:
    """Lists every rule in force; the strategy list stands in the order in which it is tried."""
    book = door.session.rulebook()
    found = [(name, rule) for name in KINDS if kind in (None, name) for rule in of_kind(book, name)]
    if door.as_json:
        door.result_json(json.dumps([_as_mapping(name, rule) for name, rule in found], indent=2, ensure_ascii=False))
        return
    from advisor.report.rules import rule_lines

    for name in dict.fromkeys(name for name, _ in found):
        door.result(name.upper())
        for line in rule_lines([rule for at, rule in found if at == name]):
            door.result(f"  {line}")
    door.result(f"{len(found)} rules, {len(book.families)} families, rulebook {book.hash[:12]}")


@rules.command("show")
@click.argument("name", metavar="RULE|STRATEGY|FAMILY")
@json_option
@click.pass_obj
def show_rule(door: Door, /, name: str) -> None:
    """Shows one rule, strategy or family: conditions, effect, reason, source."""
    from advisor.report.rules import family_text, rule_text, strategy_text

    book = door.session.rulebook()
    rule = book.rule(name)
    entry = next((e for s, e in book.strategies.items() if s == name), None)
    family = book.families.get(name)
    if rule is not None:
        text, plain = rule_text(rule), _as_mapping(_kind_of(book, rule), rule)
    elif entry is not None:
        text, plain = strategy_text(entry), {"kind": "strategy", "place": entry.place, **dict(entry.table)}
    elif family is not None:
        text, plain = family_text(family, book.family_sources.get(name, "")), family.model_dump(mode="json")
    else:
        known = [*(r.id for r in book.rules), *book.strategies, *book.families]
        raise InputError(f"no rule, strategy or family {name!r}", where="rules show", cure=nearest(name, known))
    if door.as_json:
        door.result_json(json.dumps(plain, indent=2, ensure_ascii=False, default=str))
    else:
        door.result(text)


@rules.command("check")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path), metavar="[FOLDER]...")
@json_option
@click.pass_obj
def check_rules(door: Door, /, folders: tuple[Path, ...]) -> None:
    """Proves the rulebook (the shipped one, overlaid with each FOLDER): examples, no gap, no rule that can never win, no contradiction."""
    from advisor.rulebook.checking import check
    from advisor.rulebook.loading import load_rulebook, shipped_folder

    book = load_rulebook(shipped_folder(), *folders) if folders else door.session.rulebook()
    counts = {name: len(of_kind(book, name)) for name in KINDS}
    found = check(book)
    if not found.is_sound:
        raise RulebookError(found.faults)
    if door.as_json:
        cells = {f.name: getattr(found, f.name) for f in fields(found) if f.name != "faults"}
        door.result_json(json.dumps({"rules": counts, "families": len(book.families), "hash": book.hash, "checked": cells}))
        return
    parts = ", ".join(f"{count} {name}" for name, count in counts.items())
    door.result(f"The rulebook is sound: {sum(counts.values())} rules ({parts}), {len(book.families)} families, hash {book.hash[:12]}.")
    door.result(found.text)


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
