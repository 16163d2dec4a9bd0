"""``advisor report``."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import click

from advisor.cli.door import Door
from advisor.cli.options import json_option, runs_option


@click.command()
@click.argument("name", metavar="RUN")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write there instead of into the run's folder."
)
@click.option("--open", "is_opened", is_flag=True, help="Show it in a browser.")
@runs_option
@json_option
@click.pass_obj
def report(door: Door, /, name: str, out: Path | None, is_opened: bool, runs: Path) -> None:
    """The result of RUN as one HTML page to send to others: it needs no network and no script, and prints well.

    A run that is still going, or was interrupted, is told as far as it came.
    """
    path = door.session.report(name, out=out, runs=runs)
    door.result_json(json.dumps({"report": str(path)}, ensure_ascii=False)) if door.as_json else door.result(str(path))
    if is_opened and not webbrowser.open(path.resolve().as_uri()):
        door.say(f"No browser could be started. Open it by hand: {path.resolve()}")
