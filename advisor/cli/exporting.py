"""``advisor export``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from advisor.cli.door import Door
from advisor.cli.options import json_option, runs_option
from advisor.core.errors import InputError


@click.command()
@click.argument("subject", metavar="PLAN|RUN")
@click.option("--as", "kind", default="script", metavar="script", help="What to write: a plain script that needs no advisor.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write there instead of to standard output.")
@runs_option
@json_option
@click.pass_obj
def export(door: Door, /, subject: str, kind: str, out: Path | None, runs: Path) -> None:
    """SUBJECT, a plan.toml or a run, as a plain script on the libraries that execute it.

    The script needs no advisor, reads the same data, and its first trials are the run's own.
    """
    text = door.session.export(subject, kind=kind, runs=runs)
    if out is not None:
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"cannot write the script: {error.strerror}", where=str(out), cure="Name a place that can be written."
            ) from error
        door.say(f"written to {out}")
    if door.as_json:
        door.result_json(json.dumps({"script": text if out is None else None, "out": None if out is None else str(out)}, indent=2))
    elif out is None:
        door.result(text.rstrip("\n"))
