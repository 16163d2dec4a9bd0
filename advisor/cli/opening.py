"""``advisor [DATA]``: the terminal interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from advisor.cli.door import Door
from advisor.cli.options import answer_options, given_answers, json_option, look_of, look_options, query_option, runs_option
from advisor.core.errors import InputError, nearest


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("data", required=False, metavar="[DATA]")
@click.argument("more", nargs=-1, metavar="")
@answer_options
@query_option
@click.option("--plain", is_flag=True, help="The questions as lines: for screen readers and terminals without screens.")
@look_options
@runs_option
@json_option
@click.pass_obj
def open_interface(
    door: Door, /, data: str | None, more: tuple[str, ...], query: str | None, plain: bool, theme: str | None, runs: Path, **rest: Any
) -> int:
    """Opens the terminal interface on DATA: questions, plan, run, result. A dumb terminal is asked in lines, as with --plain."""
    from advisor.cli.main import COMMANDS

    answers = given_answers(rest)
    known = nearest(data, COMMANDS) if data is not None else ""
    hint = f"{known} " if known.startswith("Did you mean") else ""
    if more or door.as_json:
        fault = f"unknown command {data!r}" if more and data else "--json needs a command"
        raise InputError(fault, where="advisor", cure=f"{hint}See `advisor --help`.")
    if data is not None and "://" not in data and ":" not in data and not Path(data).exists():
        raise InputError("no such file", where=data, cure=f"{hint}Name a table, sklearn:NAME, or a command: see `advisor --help`.")
    if door.can_ask and (plain or door.is_dumb):
        from advisor.cli.plainly import walk_plainly

        return walk_plainly(door, data, answers=answers, query=query, runs=runs)
    if not door.is_interactive:
        headless = f"advisor run {data} --yes" if data is not None else "advisor run DATA --yes"
        raise InputError("the interface needs a terminal", where="standard input or output", cure=f"Run `{headless}` instead.")
    return door.interface(data, answers=answers, runs=str(runs), query=query, **look_of(door, theme))
