"""``advisor [DATA] --plain``: the questionnaire as line prompts, for screen readers and terminals without screens.

The questions, their order and what the answers mean are those of the interface; so is the plan, byte for byte.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.cli.deciding import Decided, is_own
from advisor.cli.door import Door
from advisor.cli.running import carry_out
from advisor.core.errors import AdvisorError, ExitCode, InputError, nearest
from advisor.report.answering import FREE, PROFILED, answer_text, read_answer
from advisor.report.wording import shown

if TYPE_CHECKING:
    from advisor.core.facts import Facts
    from advisor.core.interview import Question
    from advisor.core.plan import Plan

MOST_LISTED = 12
"""Choices written out; the others are reached by their name."""
LEGEND = "Enter keeps an answer, a number or a name changes it, ? explains, < goes back, drop NAME leaves a column out, q quits."


class Left(Exception):  # noqa: N818  not an error: the person has decided to go
    """The person has left."""


class Questionnaire:
    """Asks one question at a time until the plan is agreed on. Reads from the door's source, writes to its narration."""

    def __init__(self, door: Door, data: str | None, *, answers: dict[str, Any], query: str | None, runs: Path) -> None:
        from advisor.session.remembering import remembered

        self._door, self._data, self._query, self._runs = door, data, query, runs
        self._last = {name: value for name, value in remembered(data, runs).items() if name not in answers}
        self._answers = {**self._last, **answers}
        self._yours: set[str] = set()
        try:
            self._facts = self._gather(self._answers)
        except InputError:
            if not self._last:
                raise
            door.say("The answers of last time no longer fit these data; they are left out.")
            self._last, self._answers = {}, dict(answers)
            self._facts = self._gather(self._answers)
        self._asked = self._questions(self._facts)
        self._settled: list[str] = []
        """Questions that were answered, in the order in which they were."""

    def ask(self) -> Decided:
        """The plan that was agreed on, with its facts.

        Raises: Left when the person leaves; InputError or CannotRunError when there is no plan.
        """
        self._introduce()
        while True:
            asked = self._next()
            if asked is not None:
                self._put(*asked)
                continue
            plan = self._door.session.recommend(self._facts)
            if self._agree(plan):
                return Decided(plan, self._facts)

    # -- questions -----------------------------------------------------------------------------------------------------
    def _next(self) -> tuple[Question, int] | None:
        """The first question that is not settled, and how many there are; None when all are."""
        open_now = [q for q in self._asked if q.field not in self._settled]
        return (open_now[0], len(self._settled) + len(open_now)) if open_now else None

    def _introduce(self) -> None:
        facts, door = self._facts, self._door
        own = facts.objective
        door.say(f"{own.name}, your own objective" if own is not None else f"{facts.data.source}: {facts.data.extent}")
        for warning in facts.data.warnings:
            door.say(f"Warning: {warning}")
        from advisor.core.remedies import remedies

        for remedy in remedies(facts):
            door.say(f"You may: {remedy.text} ({remedy.why}). Type: {_typed(remedy.field, remedy.value)}")
        door.say(LEGEND)

    def _put(self, question: Question, count: int) -> None:
        """Asks one question until it is settled, left for the one before, or no longer asked."""
        said = self._provenance(question)
        self._door.say("")
        self._door.say(f"Question {len(self._settled) + 1} of {count}: {question.text}")
        choices = _listed(question)
        if choices:
            self._door.say(choices)
        self._door.say(f"Now: {answer_text(question.kind, question.value)} ({said}). {question.why}".rstrip())
        while True:
            text = self._read("> ")
            if text == "?":
                self._explain(question)
                continue
            if text == "<":
                self._back()
                return
            if text == "":
                self._settled.append(question.field)
                return
            if self._answer(question, text):
                return

    def _explain(self, question: Question) -> None:
        self._door.say(question.why or "Nothing speaks for or against it.")
        for change in question.changes:
            self._door.say(f"  another answer: {change}")
        if not question.changes:
            self._door.say("  No other answer would change the plan.")
        self._door.say(LEGEND)

    def _back(self) -> None:
        if self._settled:
            self._settled.pop()
        else:
            self._door.say("This is the first question.")

    def _answer(self, question: Question, text: str) -> bool:
        """Takes `text` as the answer, or says why it is none. True when it was taken."""
        command, _, rest = text.partition(" ")
        try:
            if command in ("drop", "group", "time") and rest and text not in map(str, question.choices):
                return self._take(command, self._without(rest.strip()) if command == "drop" else rest.strip(), settles=None)
            return self._take(question.field, read_choice(question, text), settles=question.field)
        except (AdvisorError, ValueError) as error:
            self._door.say(f"That cannot be taken: {error}")
            return False

    def _without(self, column: str) -> tuple[str, ...]:
        from advisor.core.remedies import without

        return without(self._facts.answers, column)

    def _take(self, field: str, value: Any, *, settles: str | None) -> bool:
        """Answers `field` with `value`; what is read from the table is read again where it hangs on the answer."""
        answers = {**self._answers, field: value}
        facts = self._facts
        if field in PROFILED:
            facts = self._gather(answers)
        else:
            from advisor.session.gathering import read_answers

            facts = facts.model_copy(update={"answers": read_answers(**answers)})
        self._asked = self._questions(facts)  # an answer that leads to no plan is refused here and now
        self._answers, self._facts = answers, facts
        self._yours.add(field)
        if settles is not None:
            self._settled.append(settles)
        return True

    def _provenance(self, question: Question) -> str:
        if question.field in self._yours:
            return "yours"
        return "last time" if question.field in self._last else question.provenance

    def _questions(self, facts: Facts) -> tuple[Question, ...]:
        from advisor.core.interview import questions

        return questions(facts, self._door.session.rulebook())

    def _gather(self, answers: dict[str, Any]) -> Facts:
        return self._door.session.gather(self._data, query=self._query, runs=self._runs, **answers)

    # -- the plan ------------------------------------------------------------------------------------------------------
    def _agree(self, plan: Plan) -> bool:
        """Shows the plan and asks whether to run it; False when the person goes back."""
        from advisor.report.text import plan_text

        self._door.say("")
        self._door.say(plan_text(plan, facts=self._facts))
        while True:
            text = self._read("Run this plan? Enter runs it, < goes back, s FILE saves it, q quits. > ")
            if text in ("", "y", "yes"):
                return True
            if text == "<":
                self._back()
                return False
            if text in ("n", "no"):
                raise Left
            name = text.removeprefix("s").strip()
            if text.startswith("s ") and name:
                self._save(plan, name)
            else:
                self._door.say("Press Enter to run it, or type <, s FILE or q.")

    def _save(self, plan: Plan, name: str) -> None:
        path = Path(name)
        if path.exists():
            self._door.say(f"{path} exists already: name another file.")
            return
        try:
            self._door.session.save_plan(plan, path, facts=self._facts)
        except AdvisorError as error:
            self._door.say(f"That did not work: {error}")
            return
        self._door.say(f"Plan written to {path}. Carry it out: advisor run {path}")

    def _read(self, prompt: str) -> str:
        """One line without its blanks. Raises: Left at its end, or for ``q``."""
        return read_line(self._door, prompt)


def read_line(door: Door, prompt: str) -> str:
    """One line without its blanks. Raises: Left at the end of input, or for ``q``."""
    door.err.write(prompt)
    door.err.flush()
    line = door.source.readline()
    text = line.strip()
    if not line or text in ("q", "quit"):
        raise Left
    return text


def read_choice(question: Question, text: str) -> Any:
    """What `text` answers to `question`: a choice by its name or its number, or a value written out.

    Raises: ValueError naming the nearest choice, or how the value is written.
    """
    names = [_name(choice, question) for choice in question.choices]
    if text in names:
        return question.choices[names.index(text)]
    if question.kind in FREE:
        return read_answer(question.kind, "" if text.casefold() == "none" else text)
    if text.isdigit() and 1 <= int(text) <= len(names):
        return question.choices[int(text) - 1]
    hint = nearest(text, names)
    raise ValueError(f"{shown(text, longest=60)!r} is none of the answers. {hint}")


def _name(choice: Any, question: Question) -> str:
    text = answer_text(question.kind, choice)
    return "none" if text == "–" else text


def _listed(question: Question) -> str:
    """The choices in one line, numbered where a number chooses."""
    names = [_name(choice, question) for choice in question.choices]
    if not names:
        return ""
    if question.kind in FREE:
        return "Such as " + ", ".join(names) + "."
    text = ", ".join(f"{place} {name}" for place, name in enumerate(names[:MOST_LISTED], start=1))
    more = len(names) - MOST_LISTED
    return text + (f", and {more} more by name." if more > 0 else ".")


def _typed(field: str, value: Any) -> str:
    return f"{field} {value[-1] if field == 'drop' else value}"


def walk_plainly(door: Door, data: str | None, *, answers: dict[str, Any], query: str | None, runs: Path) -> int:
    """The whole walk in lines: questions, plan, run, result. Gives the exit code.

    Raises: AdvisorError as `gather` and `recommend` do.
    """
    door.is_plain = True
    try:
        if data is None and not is_own(answers):
            data = _asked_for_data(door)
        decided = Questionnaire(door, data, answers=answers, query=query, runs=runs).ask()
    except Left:
        door.say("Nothing was run.")
        return int(ExitCode.DONE)
    return carry_out(door, decided, named=data, query=query, runs=runs, began=door.clock())


def _asked_for_data(door: Door) -> str:
    """The table that the person names. Raises: Left."""
    door.say("Which data? A table (CSV, TSV, JSON Lines, Parquet, Feather, .npz), or sklearn:NAME. q quits.")
    while True:
        name = read_line(door, "> ")
        if name and (":" in name or Path(name).exists()):
            return name
        door.say("There is no such file." if name else "Name a table, or type q.")
