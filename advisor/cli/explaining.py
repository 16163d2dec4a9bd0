"""``advisor explain``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli.deciding import is_plan_file
from advisor.cli.door import Door
from advisor.cli.lessons import beside, teach
from advisor.cli.options import Setting, json_option, runs_option
from advisor.core.errors import InputError, nearest

if TYPE_CHECKING:
    from advisor.core.events import PlanRevised
    from advisor.core.facts import Facts
    from advisor.core.plan import Evidence, Plan, Rejected


@click.command()
@click.argument("subject", metavar="PLAN|RUN|HYPERPARAMETER")
@click.option("--why", "fields", multiple=True, metavar="FIELD", help="Why this field has its value, such as validation.folds.")
@click.option("--why-not", "strategies", multiple=True, metavar="STRATEGY", help="Why this strategy was not chosen.")
@click.option("--what-if", "changes", multiple=True, type=Setting(), metavar="FACT=VALUE", help="What another fact would change.")
@click.option("--model", "family", metavar="FAMILY", help="With a hyperparameter: what it does in this model family.")
@runs_option
@json_option
@click.pass_obj
def explain(
    door: Door,
    /,
    subject: str,
    fields: tuple[str, ...],
    strategies: tuple[str, ...],
    changes: tuple[tuple[str, Any], ...],
    family: str | None,
    runs: Path,
) -> None:
    """Why a plan is as it is. SUBJECT is a plan.toml or a run; without options every reason is given.

    The name of a hyperparameter (learning_rate, C, max_depth) gives the lesson on it: what too small and too large do."""
    if not (fields or strategies or changes) and teach(door, subject, runs, family):
        return
    plan, facts = plan_of(door, subject, runs)
    everything = not (fields or strategies or changes)
    rows = {field: row for field in fields if (row := beside(plan, field, door.session.rulebook()))}
    reasoned = [f for f in fields if f not in rows or any(e.field == f or e.field.startswith(f"{f}.") for e in plan.evidence)]
    told = [e for field in reasoned for e in _evidence(plan, field)] if not everything else list(plan.evidence)
    rejected = [_rejected(plan, name) for name in strategies] if not everything else list(plan.rejected)
    different = _what_if(door, facts, changes, subject) if changes else None
    if door.as_json:
        answer: dict[str, Any] = {
            "evidence": [e.model_dump(mode="json") for e in told],
            "rejected": [r.model_dump(mode="json") for r in rejected],
        }
        if plan.stability is not None and (everything or "strategy" in fields):
            answer["stability"] = {**plan.stability.model_dump(mode="json"), "text": plan.stability.text}
        if rows:
            answer["lessons"] = rows
        if different is not None:
            answer["what_if"] = different
        door.result_json(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    from advisor.core.explain import why, why_not

    book = None if everything or facts is None else door.session.rulebook()
    blocks = [
        why(plan, field, None if everything else facts, book)
        for field in (reasoned if not everything else dict.fromkeys(e.field for e in told))
    ]
    blocks += rows.values()
    blocks += [why_not(plan, name) for name in (strategies if not everything else [r.strategy for r in rejected])]
    if different is not None:
        blocks.append("\n".join(different))
    from advisor.report.text import folded

    door.result(folded("\n\n".join(blocks)))


def plan_of(door: Door, subject: str, runs: Path) -> tuple[Plan, Facts | None]:
    """The plan of a file, or the one in force in a run, with its facts where they are kept."""
    if is_plan_file(subject):
        return door.session.load_plan(subject)
    from advisor.core.plan import Plan as PlanValue
    from advisor.session.folder import RunFolder

    run_dir = door.session.find_run(subject, runs)
    state = door.session.follow(run_dir).poll()
    folder = RunFolder(run_dir)
    facts = folder.read_facts() if folder.facts.exists() else None
    if state.plan is None:
        plan, saved = door.session.load_plan(folder.plan)
        return plan, facts or saved
    plan = PlanValue.from_mapping(state.plan)
    return plan, facts if facts is None or not state.is_measured else _as_revised(facts, state.revisions[-1], plan)


def _as_revised(facts: Facts, revision: PlanRevised, plan: Plan) -> Facts:
    """The facts behind a plan that the pilot revised: with what it measured, and the family that won it."""
    from advisor.core.facts import Measured

    measured = tuple(Measured.model_validate(entry) for entry in revision.measured)
    return facts.model_copy(update={"measured": measured, "answers": facts.answers.model_copy(update={"model": plan.family})})


def _evidence(plan: Plan, field: str) -> list[Evidence]:
    """The evidence for `field` and everything below it. Raises: InputError with the nearest field."""
    found = [e for e in plan.evidence if e.field == field or e.field.startswith(f"{field}.")]
    if not found:
        known = sorted({e.field for e in plan.evidence} | {e.field.split(".")[0] for e in plan.evidence})
        raise InputError(f"the plan has no reason for {field!r}", where="--why", cure=nearest(field, known))
    return found


def _rejected(plan: Plan, name: str) -> Rejected:
    """Why `name` was not chosen. Raises: InputError when it was chosen, or is no strategy."""
    for rejected in plan.rejected:
        if rejected.strategy == name:
            return rejected
    if plan.strategy == name:
        raise InputError(f"{name} is the strategy of this plan", where="--why-not", cure="Ask why it was chosen: --why strategy.")
    raise InputError(f"unknown strategy {name!r}", where="--why-not", cure=nearest(name, [r.strategy for r in plan.rejected]))


def _what_if(door: Door, facts: Facts | None, changes: tuple[tuple[str, Any], ...], subject: str) -> list[str]:
    """What would be different in the plan, one line a field. Raises: InputError when the facts were not kept."""
    if facts is None:
        raise InputError(
            "the facts behind this plan were not kept", where=subject, cure="Plan again with `advisor plan DATA --out plan.toml`."
        )
    from advisor.core.explain import what_if

    return list(what_if(facts, door.session.rulebook(), dict(changes)).lines)
