"""``advisor diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from advisor.cli.door import Door
from advisor.cli.options import json_option, runs_option


@click.command()
@click.argument("what", metavar="RUN|STUDY|CURVES")
@click.option("--study", metavar="NAME", default=None, help="Which study of the storage, where it holds several.")
@click.option("--direction", type=click.Choice(["minimize", "maximize"]), default=None, help="Which way is better in CURVES.")
@click.option("--reference", type=float, default=None, help="Score of a simple model on the same rows, to tell underfitting.")
@runs_option
@json_option
@click.pass_obj
def diagnose(
    door: Door,
    /,
    what: str,
    study: str | None,
    direction: Literal["minimize", "maximize"] | None,
    reference: float | None,
    runs: Path,
) -> None:
    """What is wrong with a run, an Optuna study or learning curves, why, and what to do.

    The argument is a run (name or folder), a study (sqlite:///FILE or the file), or a CSV of curves: a row a step, in long form
    (trial, step, value and, if you have it, train) or with a column a curve.
    """
    from advisor.session.diagnosing import diagnose_subject

    found = diagnose_subject(what, study=study, direction=direction, reference=reference, runs=runs)
    if door.as_json:
        door.result_json(found.model_dump_json(indent=2))
        return
    from advisor.report.diagnosis import diagnosis_text

    door.result(diagnosis_text(found))
