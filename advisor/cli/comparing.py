"""``advisor compare``."""

from __future__ import annotations

from pathlib import Path

import click

from advisor.cli.door import Door
from advisor.cli.options import json_option, runs_option


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN RUN …")
@runs_option
@json_option
@click.pass_obj
def compare(door: Door, /, names: tuple[str, ...], runs: Path) -> None:
    """Sets runs side by side: what came out with its interval, and where the plans differ."""
    from advisor.session.comparing import compare as compared

    found = compared([door.session.find_run(name, runs) for name in names])
    if door.as_json:
        door.result_json(found.model_dump_json(indent=2))
        return
    from advisor.report.comparing import comparison_text

    door.result(comparison_text(found))
