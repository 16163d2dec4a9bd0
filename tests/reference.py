"""Writes the reference pages from the code; with ``--check`` it fails when they are stale.

``python -m tests.reference`` writes ``docs/reference/{facts,commands,rules}.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from advisor.cli.main import COMMANDS, commands
from advisor.cli.opening import open_interface
from advisor.cli.rules import KINDS, of_kind
from advisor.core.errors import ExitCode
from advisor.core.facts import Answers, Column, Dataset, Gpu, Hardware
from advisor.core.metrics import METRICS
from advisor.core.vocabulary import vocabulary
from advisor.report.rules import effect
from advisor.rulebook.loading import load_rulebook, shipped_folder

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
_WRITTEN = "<!-- Written by `make docs` from the code: change the code, not this page. -->\n"


def pages() -> dict[str, str]:
    """File name to content of every reference page."""
    return {"facts.md": facts_page(), "commands.md": commands_page(), "rules.md": rules_page()}


def facts_page() -> str:
    """Every fact: of the machine, the data and the wishes, and those computed from them."""
    lines = [
        "# Facts",
        "",
        _WRITTEN,
        "What `recommend` may look at. A fact that could not be read is *unknown*, with its reason and its cure; an unknown never",
        "satisfies a condition. Rules name facts with their prefix, such as `hardware.cpu_count`.",
    ]
    models = (("hardware", Hardware), ("hardware.gpus[]", Gpu), ("data", Dataset), ("data.columns[]", Column), ("answers", Answers))
    for prefix, model in models:
        opening = (model.__doc__ or "").strip().splitlines()[0]
        lines += ["", f"## {prefix}", "", opening, "", *_table(("field", "meaning", "flag"), _fields(model))]
    shown = {f"{prefix}.{name}" for prefix, model in models for name in model.model_fields}
    computed = [fact for fact in vocabulary().values() if fact.name not in shown]
    rows = [(f"`{f.name}`", f.doc, ", ".join(f"`{name}`" for name in f.inputs)) for f in computed]
    lines += ["", "## Computed from these", "", *_table(("fact", "meaning", "computed from"), rows)]
    return "\n".join(lines) + "\n"


def _fields(model: type[BaseModel]) -> Iterable[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        flag = f"`{extra['flag']}`" if extra.get("flag") else ""
        yield f"`{name}`", " ".join((field.description or "").split()), flag


def commands_page() -> str:
    """Every command with its arguments and options, and the exit codes."""
    lines = ["# Commands", "", _WRITTEN]
    lines += ["Results go to standard output, narration to standard error.", "", "## Exit codes", ""]
    meanings = {
        ExitCode.DONE: "done",
        ExitCode.CRASHED: "a fault of the advisor; a report was written",
        ExitCode.INPUT: "the input is wrong",
        ExitCode.CANNOT_RUN: "the plan cannot run here",
        ExitCode.NOTHING_FINISHED: "the budget ended with nothing finished",
        ExitCode.INTERRUPTED: "interrupted; `advisor resume` goes on",
    }
    lines += _table(("code", "meaning"), [(str(int(code)), meanings[code]) for code in ExitCode])
    lines += _command("advisor [DATA]", open_interface)
    context = click.Context(commands)
    for name in COMMANDS:
        found = commands.get_command(context, name)
        assert found is not None
        lines += _command(f"advisor {name}", found)
        if isinstance(found, click.Group):
            for below in found.list_commands(context):
                inner = found.get_command(context, below)
                assert inner is not None
                lines += _command(f"advisor {name} {below}", inner)
    lines += ["", "## Metrics", "", *_table(("name", "meaning", "better"), _metrics())]
    return "\n".join(lines) + "\n"


def _metrics() -> Iterable[tuple[str, str, str]]:
    for metric in METRICS.values():
        yield f"`{metric.name}`", metric.title, "larger" if metric.direction == "maximize" else "smaller"


def _command(title: str, command: click.Command) -> list[str]:
    arguments = " ".join(
        p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument) and p.metavar != ""
    )
    doc = " ".join((command.help or "").split())
    lines = ["", f"## {title}" + (f" {arguments}" if arguments and "[DATA]" not in title else ""), "", doc]
    rows = [(_flag(p), _cell(p.help or "")) for p in command.params if isinstance(p, click.Option)]
    return [*lines, "", *_table(("option", "meaning"), rows)] if rows else lines


def _flag(option: click.Option) -> str:
    names = ", ".join(option.opts)
    if option.is_flag:
        return f"`{names}`"
    metavar = option.metavar or (
        "\\|".join(map(str, option.type.choices)) if isinstance(option.type, click.Choice) else option.type.name.upper()
    )
    return f"`{names}` {metavar}"


def rules_page() -> str:
    """Every shipped rule: what it does, when, why and on whose word."""
    book = load_rulebook(shipped_folder())
    titles = {
        "strategy": "Strategy list: the first that holds wins",
        "shortlist": "Families raced: the first that holds wins",
        "field": "Fields of the plan",
        "tip": "Tips",
        "adjustment": "Bounds that follow the facts",
    }
    lines = ["# Rules", "", _WRITTEN, f"{len(book.rules)} rules and {len(book.families)} families, from the files in `rules/`."]
    for kind in KINDS:
        rows = [
            (f"`{r.id}`", _cell(effect(r)), "; ".join(_cell(p.wanted()) for p in r.when) or "always", _cell(r.because), _cell(r.source))
            for r in of_kind(book, kind)
        ]
        lines += ["", f"## {titles[kind]}", "", *_table(("rule", "does", "when", "because", "source"), rows)]
    rows = [(f"`{f.name}`", f.title, ", ".join(f"`{n}`" for n in f.space.parameters), _cell(f.source)) for f in book.families.values()]
    lines += ["", "## Families", "", *_table(("family", "what it is", "searched", "source"), rows)]
    return "\n".join(lines) + "\n"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [_row(header), _row(tuple("---" for _ in header)), *map(_row, rows)]


def _row(cells: tuple[Any, ...]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def stale() -> list[str]:
    """Names of the pages that do not say what the code says."""
    return [name for name, text in pages().items() if not (FOLDER / name).exists() or (FOLDER / name).read_text(encoding="utf-8") != text]


def main() -> int:
    """0 when the pages are written, or fresh; 1 when a check found stale ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a page is stale, write nothing")
    if parser.parse_args().check:
        old = stale()
        if old:
            print(f"stale: {', '.join(f'docs/reference/{name}' for name in old)}. Write them again with `make docs`.", file=sys.stderr)
        return 1 if old else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
