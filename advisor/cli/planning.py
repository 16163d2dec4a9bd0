"""``advisor plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from advisor.cli.deciding import decide
from advisor.cli.door import Door
from advisor.cli.options import answer_options, facts_options, given_answers, json_option, query_option, runs_option


@click.command()
@click.argument("data", required=False, metavar="DATA")
@answer_options
@query_option
@facts_options
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the plan as TOML, for `advisor run FILE`."
)
@runs_option
@json_option
@click.pass_obj
def plan(
    door: Door,
    /,
    data: str | None,
    query: str | None,
    facts_file: Path | None,
    save_facts: Path | None,
    out: Path | None,
    runs: Path,
    **rest: Any,
) -> None:
    """The recommended plan for DATA, with its reasons. Nothing is run."""
    decided = decide(door, data, query=query, runs=runs, facts_file=facts_file, answers=given_answers(rest), save_facts=save_facts)
    if out is not None:
        door.session.save_plan(decided.plan, out, facts=decided.facts)
        door.say(f"Plan written to {out}. Carry it out: advisor run {out}")
    if door.as_json:
        door.result_json(decided.plan.to_json())
        return
    from advisor.report.text import plan_text

    door.result(plan_text(decided.plan, facts=decided.facts))
