"""``advisor [DATA]``: the terminal interface."""

from __future__ import annotations

import os
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
    check_data(data, hint=hint)
    if door.can_ask and (plain or door.is_dumb):
        from advisor.cli.plainly import walk_plainly

        return walk_plainly(door, data, answers=answers, query=query, runs=runs)
    if is_in_browser():
        return door.interface(
            data, answers=answers, runs=str(runs), query=query, attach=_going_on(door, data, runs), **look_of(door, theme)
        )
    if not door.is_interactive:
        headless = f"advisor run {data} --yes" if data is not None else "advisor run DATA --yes"
        raise InputError("the interface needs a terminal", where="standard input or output", cure=f"Run `{headless}` instead.")
    return door.interface(data, answers=answers, runs=str(runs), query=query, **look_of(door, theme))


def check_data(data: str | None, *, hint: str = "") -> None:
    """Nothing. Raises: InputError when `data` names a file that is not there."""
    if data is not None and "://" not in data and ":" not in data and not Path(data).exists():
        raise InputError("no such file", where=data, cure=f"{hint}Name a table, sklearn:NAME, or a command: see `advisor --help`.")


def is_in_browser() -> bool:
    """True where `advisor serve` opened this process for a tab: its streams are pipes, its screen is the page."""
    return "web_driver" in os.environ.get("TEXTUAL_DRIVER", "")


def _going_on(door: Door, data: str | None, runs: Path) -> Path | None:
    """The newest run on `data` that still goes: a tab that was closed or loaded anew comes back to it."""
    return next((Path(r.path) for r in door.session.list_runs(runs) if data is not None and r.is_alive and r.source == data), None)
