"""``advisor lint``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli.door import Door
from advisor.cli.options import json_option
from advisor.core.errors import ExitCode, InputError

if TYPE_CHECKING:
    from advisor.session.linting import Looked


@click.command()
@click.argument("space", metavar="SPACE")
@click.option("--fix", is_flag=True, help="Make every repair that leaves the meaning of all values as it is.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="With --fix: write the space here.")
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Full trials that the search will have.")
@click.option("--steps", metavar="NAME", help="What the steps of a trial count, such as epoch or round.")
@click.option("--model", metavar="FAMILY|MODULE:NAME", help="The model it is for: its library's own checks and priorities count too.")
@click.option("--strict", is_flag=True, help="End with exit code 2 where a fault or a warning is left.")
@json_option
@click.pass_obj
def lint(
    door: Door, /, space: str, fix: bool, out: Path | None, trials: int | None, steps: str | None, model: str | None, strict: bool
) -> int:
    """What in a search space wastes trials or cannot work, each with its reason and its cure.

    SPACE is a space file (.toml), a plan, or module:name (file.py:name) of a space, an objective with SPACE beside it, or a
    scikit-learn search or estimator.

    With --fix a space file is changed in place, its comments kept and the file as it was beside it (.bak); what stands in
    Python is printed as a space file. What is not safe to repair is listed and left to you.
    """
    from advisor.session.linting import lint_space

    if out is not None and not fix:
        raise InputError("--out says where the repaired space goes, and nothing is repaired", where="--out", cure="Add --fix.")
    looked = lint_space(space, door.session.rulebook(), trials=trials, fidelity=steps, model=model)
    told = looked.left if fix else looked.findings
    place, text = _written(door, space, out, looked) if fix else (None, None)
    if door.as_json:
        answer = {
            "space": space,
            "hyperparameters": len(looked.space),
            "findings": [f.model_dump(mode="json") for f in told],
            "changed": [r.model_dump(mode="json") for r in looked.repairs] if fix else [],
            "written": str(place) if place is not None else None,
            "text": text,
        }
        door.result_json(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        _tell(door, space, looked, fix=fix, place=place, text=text)
    return int(ExitCode.INPUT if strict and any(f.level != "advice" for f in told) else ExitCode.DONE)


def _written(door: Door, space: str, out: Path | None, looked: Looked) -> tuple[Path | None, str | None]:
    """Where the repaired space was written, and its text where it has no file; neither where nothing changed and none was asked for."""
    from advisor.session.linting import keep_original, written_file

    place = out if out is not None else Path(space) if looked.text is not None else None
    if not looked.repairs and out is None:
        return None, None
    text = written_file(looked)
    if place is None:
        return None, text
    if out is None:
        door.say(f"The file as it was: {keep_original(place)}")
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"the space cannot be written: {error.strerror}", where=str(place), cure="Name another --out FILE.") from error
    return place, None


def _tell(door: Door, space: str, looked: Looked, *, fix: bool, place: Path | None, text: str | None) -> None:
    from advisor.report.linting import findings_text, repairs_text

    if not fix or not looked.findings:
        door.result(findings_text(space, len(looked.space), looked.findings))
        return
    if text is not None:  # the space is the result; what is said about it is narration
        door.say(repairs_text(looked.repairs, looked.left))
        door.result(text.rstrip("\n"))
        return
    door.result(repairs_text(looked.repairs, looked.left, place=str(place) if place is not None else ""))
