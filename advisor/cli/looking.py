"""``advisor probe`` and ``profile``: the facts, before any plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from advisor.cli.deciding import gather_facts
from advisor.cli.door import Door
from advisor.cli.options import answer_options, given_answers, json_option, query_option, runs_option


@click.command()
@click.option("--cluster", metavar="ADDRESS", default=None, help="A Ray cluster to look for.")
@runs_option
@json_option
@click.pass_obj
def probe(door: Door, /, cluster: str | None, runs: Path) -> None:
    """What this process may use of the machine: processors, memory, disk, GPUs."""
    from advisor.probes.hardware import probe_hardware

    hardware = probe_hardware(runs=runs, cluster=cluster)
    if door.as_json:
        door.result_json(hardware.model_dump_json(indent=2))
        return
    from advisor.report.text import hardware_text

    door.result(hardware_text(hardware))


@click.command()
@click.argument("data", metavar="DATA")
@answer_options
@query_option
@runs_option
@json_option
@click.pass_obj
def profile(door: Door, /, data: str, query: str | None, runs: Path, **rest: Any) -> None:
    """What DATA hold: columns and their kinds, the target, missing values, suspected leaks."""
    facts = gather_facts(door, data, query=query, runs=runs, facts_file=None, answers=given_answers(rest))
    if door.as_json:
        door.result_json(facts.data.model_dump_json(indent=2))
        return
    from advisor.report.text import dataset_text

    door.result(dataset_text(facts.data))
