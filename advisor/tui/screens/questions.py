"""Questions: every answer is filled in, and Enter agrees with all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static

from advisor.core.errors import AdvisorError
from advisor.report.wording import between, duration, parse_duration, setting, shown
from advisor.tui.background import Finished, run_behind
from advisor.tui.frame import Page, Panel, RowList, fit, heading, lines, muted, wording_of
from advisor.tui.walk import Question

if TYPE_CHECKING:  # loading these models takes a quarter of a second, which the first paint does not wait for
    from advisor.core.facts import Answers, Facts
    from advisor.core.plan import Plan

FREE = {"duration", "number", "text"}
"""Kinds of question whose answer may be written as well as chosen."""
PROFILED = {"target", "task", "group", "time", "drop", "weights", "cluster"}
"""Answers that change what is read from the table: another one means reading it again."""


class QuestionsScreen(Page):
    """The table is read after the first paint; then the questions stand here with their answers and the plan beside them."""

    STEP = "Questions"
    HELP = (
        "Every question is answered already: by your flags, by what the data and the machine show, or by a default. "
        "The word beside an answer says which. Enter agrees with all of them and shows the plan; nothing runs before that."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go_on", "Plan", key_display="Enter"),
        Binding("ctrl+r", "go_on", "Plan", show=False),
        Binding("space", "edit", "Change", key_display="Space"),
        Binding("e", "edit", "Change", show=False),
        Binding("u", "undo", "Undo"),
        *[Binding(str(n), f"jump({n})", "Jump to that question", show=False) for n in range(1, 9)],
        Binding("escape", "back", "Back", key_display="Esc"),
        Binding("q", "app.quit", "Quit"),
    ]
    DEFAULT_CSS = """
    QuestionsScreen #body { layout: horizontal; height: 1fr; padding: 0 1; }
    QuestionsScreen #left { width: 11fr; height: 1fr; }
    QuestionsScreen #right { width: 9fr; height: 1fr; margin-left: 1; }
    QuestionsScreen #so-far { height: auto; min-height: 4; max-height: 9; }
    QuestionsScreen #facts { height: auto; max-height: 50%; }
    QuestionsScreen.-narrow #body { layout: vertical; padding: 0; }
    QuestionsScreen.-narrow #left { width: 1fr; height: auto; }
    QuestionsScreen.-narrow #questions { height: auto; min-height: 5; max-height: 10; }
    QuestionsScreen.-narrow #facts { display: none; }
    QuestionsScreen.-narrow #right { width: 1fr; height: 1fr; margin-left: 0; }
    QuestionsScreen.-narrow #so-far { height: 4; min-height: 4; }
    """

    def __init__(self, source: str | None, answers: dict[str, Any], *, query: str | None = None, is_first: bool = False) -> None:
        super().__init__()
        self.source = source
        self.sql_query = query
        self.answers = dict(answers)
        self.facts: Facts | None = None
        self.plan: Plan | None = None
        self.questions: Sequence[Question] = ()
        self.wanted = 0
        """Presses of Enter that came before the plan was there: one opens it, two start it."""
        self._is_first = is_first
        self._yours: set[str] = set()
        self._undo: list[tuple[dict[str, Any], set[str]]] = []
        self._ticket = 0
        self._waited = 0
        self._failure: Exception | None = None

    def body(self) -> Iterable[Widget]:
        with Container(id="body"):
            with Vertical(id="left"):
                yield RowList("Questions", id="questions")
                yield Panel("Data and machine", id="facts")
            with Vertical(id="right"):
                yield Panel("Why", id="why")
                yield Panel("Plan so far", id="so-far", focusable=False)

    def on_mount(self) -> None:
        self.tell(self._named)
        self.query_one("#questions", RowList).focus()
        self._draw()
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self._read)

    # -- reading and planning, off the drawing thread ------------------------------------------------------------------
    def _read(self) -> None:
        self._ticket += 1
        self._waited = 0
        self.facts, self.plan, self._failure = None, None, None
        walk, answers = self.advisor.walk, dict(self.answers)
        run_behind(
            self,
            "gather",
            lambda: walk.gather(self.source, query=self.sql_query, runs=self.advisor.runs, answers=answers),
            ticket=self._ticket,
        )
        self._draw()

    def _consider(self, facts: Facts) -> None:
        self._ticket += 1
        self._waited = 0
        self.plan, self._failure = None, None
        walk = self.advisor.walk
        run_behind(self, "plan", lambda: walk.recommend(facts), ticket=self._ticket)
        run_behind(self, "questions", lambda: tuple(walk.questions(facts)), ticket=self._ticket)
        self._draw()

    def on_finished(self, event: Finished) -> None:
        """Takes what the background found, unless a later answer has made it stale."""
        if event.ticket != self._ticket:
            return
        if event.error is not None:
            self._fail(event.label, event.error)
            return
        match event.label:
            case "gather":
                self.facts = event.result
                self._consider(event.result)
            case "questions":
                self.questions = event.result
                self._draw()
            case "plan":
                self.plan = event.result
                self._draw()
                self._go_on_if_wanted()

    def _fail(self, label: str, error: Exception) -> None:
        self.wanted = 0
        self._failure = error
        if not isinstance(error, AdvisorError):
            raise error
        if label == "gather" and self._undo:
            self.answers, self._yours = self._undo.pop()
            self.notify(str(error), title="That answer cannot be taken", severity="error", markup=False, timeout=10)
            self._read()
            return
        if label == "gather" and self._is_first:
            self.advisor.fail(error)
        self._draw()

    def _tick(self) -> None:
        if self.plan is None and self._failure is None:
            self._waited += 1
            self._draw_plan()
            if self.facts is None:
                self._draw_why()

    # -- keys ----------------------------------------------------------------------------------------------------------
    def action_go_on(self) -> None:
        """Agrees with every answer and shows the plan."""
        if self._failure is not None:
            self.notify(str(self._failure), title="There is no plan yet", severity="error", markup=False)
            return
        self.wanted = min(2, self.wanted + 1)
        self._go_on_if_wanted()
        self._draw_plan()

    def _go_on_if_wanted(self) -> None:
        if self.wanted and self.plan is not None and self.facts is not None and self.is_current:
            at_once, self.wanted = self.wanted > 1, 0
            self.advisor.to_plan(self.plan, self.facts, query=self.sql_query, starts_at_once=at_once)

    def action_back(self) -> None:
        """Takes back an Enter that still waits, else goes to the start; the answers of this table are kept there."""
        if self.wanted:
            self.wanted = 0
            self._draw_plan()
            return
        self.advisor.source = self.source
        self.advisor.answers = dict(self.answers)
        self.advisor.to_start()

    def action_jump(self, place: int) -> None:
        """Puts the cursor on a question."""
        rows = self.query_one("#questions", RowList)
        if 1 <= place <= rows.option_count:
            rows.highlighted = place - 1
            rows.focus()

    def action_undo(self) -> None:
        """Takes the last changed answer back."""
        if not self._undo:
            self.notify("Nothing was changed.", markup=False)
            return
        before = self.answers
        self.answers, self._yours = self._undo.pop()
        changed = {k for k in {*before, *self.answers} if before.get(k) != self.answers.get(k)}
        self._apply(changed)

    def action_edit(self) -> None:
        """Opens the answer under the cursor."""
        question = self._selected
        if question is None or self.facts is None:
            return
        choices = list(question.choices)
        if question.kind == "column" and not choices:
            choices = [column.name for column in self.facts.data.columns]
        dialog = Editor(question, choices)
        self.app.push_screen(dialog, partial(self._answered, question))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click on a question opens it."""
        event.stop()
        self.action_edit()

    def on_option_list_option_highlighted(self) -> None:
        """The explanation follows the cursor."""
        self._draw_why()

    def _answered(self, question: Question, value: Any) -> None:
        from pydantic import ValidationError

        if value is None or self.facts is None:
            return
        field = field_of(question)
        value = None if value is Editor.NOTHING else value
        trial = {**self.answers, field: value}
        try:
            answers_of(trial)
        except ValidationError as error:
            self.notify(error.errors()[0]["msg"], title="That is no answer", severity="error", markup=False)
            return
        self._undo.append((self.answers, set(self._yours)))
        self.answers = trial
        self._yours.add(field)
        self._apply({field})

    def _apply(self, changed: set[str]) -> None:
        if changed & PROFILED or self.facts is None:
            self._read()
        else:
            self.facts = self.facts.model_copy(update={"answers": answers_of(self.answers)})
            self._consider(self.facts)

    # -- drawing -------------------------------------------------------------------------------------------------------
    @property
    def _named(self) -> str:
        """The table, or the objective of the user's own."""
        return self.source or str(self.answers.get("command") or self.answers.get("model"))

    @property
    def _selected(self) -> Question | None:
        key = self.query_one("#questions", RowList).highlighted_id
        return next((q for q in self.questions if field_of(q) == key), None)

    def _draw(self) -> None:
        rows = self.query_one("#questions", RowList)
        filled = []
        for index, question in enumerate(self.questions, start=1):
            mine = field_of(question) in self._yours
            provenance = "yours" if mine else shown(question.provenance, longest=24)
            filled.append(
                (
                    field_of(question),
                    Content.assemble(
                        (f"{index}  ", "$quiet"),
                        fit(_label(question), 11),
                        (fit(answer_text(question.kind, question.value), 26), "bold"),
                        "  ",
                        (provenance, "bold $accent" if mine else "$quiet"),
                    ),
                )
            )
        rows.fill(filled)
        rows.border_subtitle = "Space changes · 1-8 jump" if filled else ""
        if self.facts is not None:
            data, own = self.facts.data, self.facts.objective
            size = (
                f"{len(own.space.parameters)} hyperparameters"
                if own is not None
                else data.extent
                if data.holds_images
                else f"{data.rows:,} × {len(data.columns) + 1}"
            )
            self.tell(f"{self._named}   {size}")
            self.query_one("#facts", Panel).show(facts_text(self.facts))
        self._draw_why()
        self._draw_plan()

    def _draw_why(self) -> None:
        panel = self.query_one("#why", Panel)
        question = self._selected
        if self._failure is not None:
            panel.border_title = "Cannot go on"
            panel.show(wording_of(self._failure))
            return
        if self.facts is None:
            panel.border_title = "Reading"
            panel.show(
                lines([f"Reading {shown(self._named)} …", muted(f"{self._waited} s. Columns, types, missing values, the likely target.")])
            )
            return
        out: list[Content | str] = []
        air = [] if self.has_class("-narrow") else [""]
        panel.border_title = "Why"
        if question is None:
            out += [muted("Weighing what would change the plan …"), *air]
        else:
            out += [Content.styled(shown(question.text), "bold"), *air, shown(question.why, lines=True)]
            changes = (question.changes,) if isinstance(question.changes, str) else tuple(question.changes or ())
            if any(changes):
                out += [*air, muted("Another answer would change")]
                out += [Content.assemble(("↷ ", "bold $text-warning"), shown(change)) for change in changes if change]
            out += air
        warnings = self.facts.data.warnings
        out.append(heading(f"Warnings ({len(warnings)})" if warnings else "Warnings"))
        out += [Content.assemble(("! ", "bold $text-warning"), shown(w)) for w in warnings] or [muted("none")]
        panel.show(lines(out))

    def _draw_plan(self) -> None:
        panel = self.query_one("#so-far", Panel)
        waits = {
            0: "",
            1: "Enter noted: the plan opens when it is ready. Esc takes it back.",
            2: "Enter twice: the run starts when the plan is ready. Esc takes it back.",
        }
        out: list[Content | str] = []
        if self.plan is not None:
            out.append(Content.styled(headline(self.plan), "bold"))
            out.append(muted(f"{shown(self.plan.metric)} · {shown(self.plan.family)} · Enter shows the whole plan"))
        elif self._failure is not None:
            out.append(Content.styled("✗ no plan: see above", "$text-error"))
        else:
            out.append(muted("waiting for the data …" if self.facts is None else "planning …"))
        if waits[self.wanted] and self.plan is None:
            out.append(Content.styled(waits[self.wanted], "$text-warning"))
        panel.show(lines(out))


def answers_of(given: dict[str, Any]) -> Answers:
    """The answers given, with defaults for the others.

    Raises: pydantic.ValidationError when one is not valid.
    """
    from advisor.core.facts import Answers

    return Answers(**{k: v for k, v in given.items() if v is not None})


def field_of(question: Question) -> str:
    """The field of `Answers` that `question` sets."""
    return question.field.removeprefix("answers.")


def _label(question: Question) -> str:
    field = field_of(question)
    return {"budget_seconds": "Budget"}.get(field, field.replace("_", " ").capitalize())


def answer_text(kind: str, value: Any) -> str:
    """An answer as a row shows it."""
    from advisor.core.facts import Unknown

    if isinstance(value, Unknown) or value is None or value == ():
        return "–"
    if isinstance(value, Enum):
        return str(value.value)
    if kind == "duration" and isinstance(value, int | float):
        return duration(float(value))
    return setting(value)


def headline(plan: Plan) -> str:
    """The plan in one line: strategy, pruner, trials, time."""
    pruner = "" if plan.pruner.name == "none" else f" + {plan.pruner.name} pruner"
    when = between(plan.forecast.seconds_p50, plan.forecast.seconds_p90)
    return f"{plan.strategy.value}{pruner}, ~{plan.forecast.trials} trials, done in {when}"


def facts_text(facts: Facts) -> Content:
    """What was read of the table and the machine, a line each."""
    from advisor.core.facts import Unknown

    data, machine, own = facts.data, facts.hardware, facts.objective
    kinds = [
        (data.numeric_columns, "numeric"),
        (data.category_columns, "category"),
        (data.date_columns, "date"),
        (data.text_columns, "text"),
    ]
    memory = "unknown" if isinstance(machine.memory_available_bytes, Unknown) else f"{machine.memory_available_bytes / 2**30:.1f} GiB free"
    cpus = "unknown" if isinstance(machine.cpu_count, Unknown) else f"{machine.cpu_count} CPU"
    gpus = "unknown GPU" if isinstance(machine.gpus, Unknown) else ", ".join(shown(g.name, longest=40) for g in machine.gpus) or "no GPU"

    def row(label: str, text: str) -> Content:
        return Content.assemble((fit(label, 10), "$quiet"), text)

    if own is not None:
        steps = "one measurement a trial" if own.fidelity is None else f"{own.fidelity.name} {own.fidelity.low} to {own.fidelity.high}"
        names = ", ".join(own.space.parameters) or "told as it runs"
        return lines(
            [
                row("Objective", f"{shown(own.name)}, {own.direction}d"),
                row("Space", shown(names, longest=200)),
                row("Steps", steps),
                row("Machine", f"{cpus}, {memory}, {gpus}"),
            ]
        )
    out = [
        row("Rows", f"{data.rows:,}"),
        row("Features", ", ".join(f"{n} {name}" for n, name in kinds if n) or "none"),
        row("Missing", f"{data.missing_ratio:.1%}"),
    ]
    if data.classes:
        out.append(row("Classes", f"{data.classes}, the rarest {data.minority_ratio:.1%} ({data.rarest_class_rows:,} rows)"))
    if data.leaks:
        out.append(row("Leaks", ", ".join(shown(leak.column, longest=40) for leak in data.leaks) + " (suspected)"))
    out.append(row("Machine", f"{cpus}, {memory}, {gpus}"))
    return lines(out)


class Editor(ModalScreen[Any]):
    """One answer: a list to choose from, or a line to write."""

    NOTHING = object()
    """Stands for the answer "none", which is not the same as no answer."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Keep the answer"),
    ]
    DEFAULT_CSS = """
    Editor { align: center middle; background: $background 60%; }
    Editor > Vertical { width: 64; max-width: 96%; height: auto; max-height: 90%; border: round $accent;
        background: $surface; padding: 1 2; }
    Editor OptionList { height: auto; max-height: 14; border: none; background: $surface; padding: 0;
        text-wrap: nowrap; text-overflow: ellipsis; }
    Editor OptionList > .option-list--option-highlighted { background: $cursor; text-style: bold; color: $foreground; }
    Editor OptionList:focus { border: none; background: $surface; background-tint: $foreground 0%; }
    Editor OptionList:focus > .option-list--option-highlighted { background: $cursor; text-style: bold; color: $foreground; }
    Editor OptionList:nocolor > .option-list--option-highlighted { text-style: reverse; }
    Editor Input { border: round $edge; background: $surface; }
    Editor Input:focus { border: round $accent; background-tint: $foreground 0%; }
    Editor #fault { color: $text-error; height: auto; }
    Editor #hint { color: $quiet; height: auto; margin-top: 1; }
    """

    def __init__(self, question: Question, choices: Sequence[Any]) -> None:
        super().__init__()
        self._question = question
        self._choices = list(choices)
        self._visible: list[Any] = []

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = shown(self._question.text, longest=58)
            if len(self._choices) > 10:
                yield Input(placeholder="type to narrow the list", id="narrow")
            if self._choices:
                yield OptionList(id="choices", markup=False)
            if not self._choices or self._question.kind in FREE:
                yield Input(
                    value="" if self._choices else self._written(),
                    id="written",
                    placeholder=("or write another: " if self._choices else "") + self._example(),
                )
            yield Static("", id="fault", markup=False)
            yield Static("Enter takes it · Esc keeps the old answer", id="hint", markup=False)

    def on_mount(self) -> None:
        if self._choices:
            self._fill("")
            self.query_one("#choices").focus()

    def _written(self) -> str:
        text = answer_text(self._question.kind, self._question.value)
        return "" if text == "–" else text

    def _example(self) -> str:
        return {"duration": "90s, 10m, 2h", "number": "a whole number; empty for none"}.get(self._question.kind, "empty for none")

    def _fill(self, narrow: str) -> None:
        listed = self.query_one("#choices", OptionList)
        kept = [c for c in self._choices if narrow.casefold() in self._text(c).casefold()]
        self._visible = kept
        listed.clear_options()
        listed.add_options([("● " if c == self._question.value else "  ") + self._text(c) for c in kept])
        at = next((i for i, c in enumerate(kept) if c == self._question.value), 0)
        listed.highlighted = at if kept else None

    def _text(self, choice: Any) -> str:
        text = answer_text(self._question.kind, choice)
        return "none" if text == "–" else text

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrows the list as one types."""
        if event.input.id == "narrow":
            self._fill(event.value)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Takes the row."""
        event.stop()
        value = self._visible[event.option_index]
        self.dismiss(self.NOTHING if value is None else value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Takes the line, when it can be read."""
        if event.input.id == "narrow":
            if self._visible:
                value = self._visible[self.query_one("#choices", OptionList).highlighted or 0]
                self.dismiss(self.NOTHING if value is None else value)
            return
        try:
            value = read_answer(self._question.kind, event.value)
        except ValueError as error:
            self.query_one("#fault", Static).update(f"✗ {error}")
            return
        self.dismiss(self.NOTHING if value is None else value)


def read_answer(kind: str, text: str) -> Any:
    """What was written, as the kind of question wants it; None for an empty line.

    Raises: ValueError with what is expected.
    """
    written = text.strip()
    if not written:
        if kind == "duration":
            raise ValueError("write it as 90s, 10m, 2h or 1h30m")
        return None
    if kind == "duration":
        return parse_duration(written)
    if kind == "number":
        try:
            return int(written)
        except ValueError:
            raise ValueError("write a whole number") from None
    return written
