"""``advisor predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli.door import Door
from advisor.cli.options import json_option, query_option, runs_option
from advisor.core.errors import InputError

if TYPE_CHECKING:
    import polars

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings that a spreadsheet takes for a formula."""


@click.command()
@click.argument("name", metavar="RUN")
@click.argument("data", metavar="NEW_DATA")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write there instead of to standard output.")
@query_option
@runs_option
@json_option
@click.pass_obj
def predict(door: Door, /, name: str, data: str, out: Path | None, query: str | None, runs: Path) -> None:
    """Predictions of the model that RUN shipped for the rows of NEW_DATA, as CSV."""
    frame = door.session.predict(door.session.find_run(name, runs), data, query=query)
    if door.as_json:
        door.result_json(frame.write_json())
        return
    text = _harmless(frame).write_csv()
    if out is None:
        door.result(text.removesuffix("\n"))
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot write the predictions: {error.strerror}", where=str(out), cure="Name a place that can be written."
        ) from error
    door.say(f"{frame.height} predictions written to {out}")


def _harmless(frame: polars.DataFrame) -> polars.DataFrame:
    """`frame` with an apostrophe before text and names that a spreadsheet would run as a formula; numbers written as text stay."""
    import polars as pl

    names = [n for n, kind in frame.schema.items() if kind == pl.String]
    return frame.with_columns(
        pl.when(
            pl.any_horizontal([pl.col(n).str.starts_with(sign) for sign in _FORMULA]) & pl.col(n).cast(pl.Float64, strict=False).is_null()
        )
        .then("'" + pl.col(n))
        .otherwise(pl.col(n))
        .alias(n)
        for n in names
    ).rename({n: f"'{n}" for n in frame.columns if n.startswith(_FORMULA)})
