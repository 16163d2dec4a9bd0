"""``advisor rules evidence``: what the rules were measured to do."""

from __future__ import annotations

import json

import click

from advisor.cli.door import Door
from advisor.cli.options import json_option


@click.command("evidence")
@json_option
@click.pass_obj
def evidence(door: Door, /) -> None:
    """Says what rules were measured to do: the same advisor with a rule, less the same without it, on tuning problems.

    Each figure names its day, its versions and the command that measures it again. Tips change no plan and are left out.
    """
    from advisor.report.evidence import evidence_text, verdict

    book = door.session.rulebook()
    rules = [r for r in book.rules if not r.advise]
    if door.as_json:
        told = [{"rule": r.id, "verdict": verdict(r), **(r.evidence.model_dump(mode="json") if r.evidence else {})} for r in rules]
        door.result_json(json.dumps(told, indent=2, ensure_ascii=False))
        return
    door.result(evidence_text(rules))
