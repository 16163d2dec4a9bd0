"""``advisor rules tree``: the strategy list, with the path that a plan, a run or data take through it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.cli.deciding import gather_facts, is_plan_file
from advisor.cli.door import Door
from advisor.cli.options import answer_options, flags, given_answers, json_option, runs_option
from advisor.core.errors import InputError, RunNotFoundError

if TYPE_CHECKING:
    from advisor.core.facts import Facts
    from advisor.core.plan import Plan


@click.command("tree")
@click.argument("subject", required=False, metavar="[PLAN|RUN|DATA]")
@answer_options
@runs_option
@json_option
@click.pass_obj
def tree(door: Door, /, subject: str | None, runs: Path, **rest: Any) -> None:
    """Draws the strategy list; with a plan, a run or data, the path taken through it: what held, what failed and by how much."""
    from advisor.core.decision_path import decision_path
    from advisor.core.deliberation import outline

    answers = given_answers(rest)
    book = door.session.rulebook()
    plan, facts = _behind(door, subject, runs, answers)
    if facts is None:
        steps, note = decision_path(book), ""
    else:
        found = outline(facts, book)
        steps = decision_path(book, found.situation)
        note = _note(plan, steps, str(found.choice.strategy), is_asked=found.choice.rule is None)
    if door.as_json:
        answer = {"subject": subject, "note": note, "steps": [step.model_dump(mode="json") for step in steps]}
        door.result_json(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    from advisor.report.tree import tree_text

    door.result(tree_text(steps, subject=subject or "", note=note).rstrip("\n"))


def _behind(door: Door, subject: str | None, runs: Path, answers: dict[str, Any]) -> tuple[Plan | None, Facts | None]:
    """The plan, where there is one, and the facts behind the path; neither for the bare list.

    Raises: InputError where the facts behind a plan were not kept, or answers are given to a plan that is settled.
    """
    if subject is None and not answers:
        return None, None
    if subject is not None and (is_plan_file(subject) or _is_run(door, subject, runs)):
        if answers:
            raise InputError(
                f"a plan is settled: {flags(answers)} cannot change it", where=subject, cure="Name the data instead of the plan."
            )
        from advisor.cli.explaining import plan_of

        plan, facts = plan_of(door, subject, runs)
        if facts is None:
            raise InputError(
                "the facts behind this plan were not kept", where=subject, cure="Plan again with `advisor plan DATA --out plan.toml`."
            )
        return plan, facts
    return None, gather_facts(door, subject, query=None, runs=runs, facts_file=None, answers=answers)


def _is_run(door: Door, subject: str, runs: Path) -> bool:
    if Path(subject).is_file():
        return False
    try:
        door.session.find_run(subject, runs)
    except RunNotFoundError:
        return False
    return True


def _note(plan: Plan | None, steps: Any, chosen: str, *, is_asked: bool) -> str:
    """What the path alone does not tell."""
    taken = next((step.strategy for step in steps if step.state == "chosen"), "none")
    if is_asked:
        return f"{chosen} was asked for with --strategy; the list itself leads to {taken}."
    if plan is not None and str(plan.strategy) != taken:
        return f"The plan says {plan.strategy}: it was made under other rules than those in force, which lead to {taken}."
    return ""
