"""``advisor runs`` and ``attach``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from advisor.cli.door import Door
from advisor.cli.following import watch
from advisor.cli.opening import is_in_browser
from advisor.cli.options import json_option, look_of, look_options, runs_option
from advisor.cli.running import finish


@click.command()
@runs_option
@json_option
@click.pass_obj
def runs(door: Door, /, runs: Path) -> None:
    """Lists the runs, the newest first."""
    found = door.session.list_runs(runs)
    if door.as_json:
        door.result_json(json.dumps([summary.model_dump(mode="json") for summary in found], indent=2, ensure_ascii=False))
        return
    if not found:
        door.say(f"No runs in {runs} yet. Start one: advisor run DATA")
        return
    from advisor.report.text import runs_text

    door.result(runs_text(found))


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--plain", is_flag=True, help="Lines instead of the interface.")
@look_options
@runs_option
@json_option
@click.pass_obj
def attach(door: Door, /, name: str, plain: bool, theme: str | None, runs: Path) -> int:
    """Watches RUN: the interface on a terminal, lines elsewhere. Leaving stops nothing; of a run that is over, its result."""
    run_dir = door.session.find_run(name, runs)
    if (door.is_interactive or is_in_browser()) and not plain and not door.as_json:
        return door.interface(None, answers={}, runs=str(runs), query=None, attach=run_dir, **look_of(door, theme))
    door.is_plain = plain
    follower = door.session.follow(run_dir)
    state = follower.poll()
    if state.finished is None:
        state = watch(door, run_dir, may_interrupt=False)
    return finish(door, run_dir, state)
