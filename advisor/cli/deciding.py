"""From what a command line names to facts and a plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.cli.door import Door
from advisor.cli.options import READ_FROM_DATA, flags
from advisor.core.errors import InputError

if TYPE_CHECKING:
    from advisor.core.facts import Answers, Facts
    from advisor.core.plan import Plan


@dataclass(frozen=True, slots=True)
class Decided:
    """A plan and the facts it was made from."""

    plan: Plan
    facts: Facts


def gather_facts(
    door: Door,
    data: str | None,
    *,
    query: str | None,
    runs: Path,
    facts_file: Path | None,
    answers: dict[str, Any],
    save_facts: Path | None = None,
) -> Facts:
    """The facts about `data`, or those in `facts_file` with other answers laid over.

    Raises: InputError when both or neither are named, the data cannot be read, or an answer comes too late.
    """
    if facts_file is not None:
        if data is not None:
            raise InputError("DATA and --facts both say what the data are", where=data, cure="Leave one of them out.")
        facts = _saved_facts(facts_file, answers)
    elif data is None and not is_own(answers):
        raise InputError("missing DATA", where="advisor", cure=_own_name_hint() or "Name a table, sklearn:NAME, or --facts FILE.")
    else:
        facts = door.session.gather(data, query=query, runs=runs, **answers)
    if save_facts is not None:
        _write_text(save_facts, facts.model_dump_json(indent=2) + "\n")
    return facts


def decide(
    door: Door,
    data: str | None,
    *,
    query: str | None,
    runs: Path,
    facts_file: Path | None,
    answers: dict[str, Any],
    save_facts: Path | None = None,
) -> Decided:
    """The plan in a ``.toml`` file, or the one recommended for the facts.

    Raises: InputError as `gather_facts`, and when answers are given to a plan that is settled; CannotRunError when no
    legal plan exists.
    """
    if data is not None and facts_file is None and is_plan_file(data):
        if answers:
            raise InputError(
                f"a saved plan is settled: {flags(answers)} cannot change it",
                where=data,
                cure="Edit the file, or plan again from the data.",
            )
        return _saved_plan(door, data, query=query, runs=runs, save_facts=save_facts)
    facts = gather_facts(door, data, query=query, runs=runs, facts_file=facts_file, answers=answers, save_facts=save_facts)
    return Decided(door.session.recommend(facts), facts)


def is_own(answers: dict[str, Any]) -> bool:
    """True when the answers name an objective of the user's own."""
    return answers.get("command") is not None or ":" in str(answers.get("model", ""))


def is_plan_file(data: str) -> bool:
    """True when `data` names a plan and no table."""
    return data.casefold().endswith(".toml")


def _saved_plan(door: Door, path: str, *, query: str | None, runs: Path, save_facts: Path | None) -> Decided:
    """A saved plan with its facts, gathered anew where the file holds none."""
    plan, facts = door.session.load_plan(path)
    if facts is None:
        facts = door.session.gather(
            plan.data,
            query=query,
            runs=runs,
            target=plan.target,
            task=plan.task,
            metric=plan.metric,
            budget_seconds=plan.budget.seconds,
            trials=plan.budget.trials_cap,
            group=plan.validation.group,
            time=plan.validation.time,
            weights=plan.weights,
            valid=None if plan.valid is None else plan.valid.source,
            test=None if plan.test is None else plan.test.source,
            seed=plan.seed,
        )
        if facts.data.fingerprint != plan.data_fingerprint:
            door.say(f"warning: {plan.data} has changed since the plan was made.")
    if save_facts is not None:
        _write_text(save_facts, facts.model_dump_json(indent=2) + "\n")
    return Decided(plan, facts)


def _saved_facts(path: Path, answers: dict[str, Any]) -> Facts:
    """Saved facts with `answers` laid over those they hold."""
    from advisor.session.folder import read_facts

    facts = read_facts(path)
    late = [name for name in READ_FROM_DATA if name in answers]
    if late:
        raise InputError(
            f"{flags(late)} was settled when the data were read", where=str(path), cure="Leave it out, or name the data instead of --facts."
        )
    return facts.model_copy(update={"answers": _with(facts.answers, answers)}) if answers else facts


def _with(answers: Answers, changed: dict[str, Any]) -> Answers:
    from advisor.session.gathering import read_answers

    return read_answers(**{**answers.model_dump(), **changed})


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the facts: {error.strerror}", where=str(path), cure="Name a place that can be written.") from error


def _own_name_hint() -> str:
    """A hint where a file is called like a command: without its folder the word is taken as the command."""
    from advisor.cli.main import COMMANDS

    named = [name for name in COMMANDS if Path(name).exists()]
    return f"Name a table; a file called {named[0]!r} is written ./{named[0]}." if named else ""
