"""Questions: every answer is filled in, and Enter agrees with all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList

from advisor.core.errors import AdvisorError, InputError
from advisor.report.answering import PROFILED, answer_text, label
from advisor.report.wording import shown
from advisor.tui.background import Finished, run_behind
from advisor.tui.facts_text import facts_text, headline
from advisor.tui.frame import Page, Panel, RowList, fit, heading, lines, muted, wording_of
from advisor.tui.screens.columns import ColumnsScreen
from advisor.tui.screens.editor import Editor, Offer
from advisor.tui.walk import Question

if TYPE_CHECKING:  # loading these models takes a quarter of a second, which the first paint does not wait for
    from advisor.core.facts import Answers, Facts
    from advisor.core.plan import Plan
    from advisor.core.remedies import Remedy


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
        Binding("c", "columns", "Columns"),
        Binding("slash", "find", "Find a column", show=False, key_display="/"),
        Binding("x", "remedy", "Cure", key_display="x"),
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
        self.draft: Plan | None = None
        """The plan as far as its headline, while the whole is being made."""
        self.questions: Sequence[Question] = ()
        self.wanted = 0
        """Presses of Enter that came before the plan was there: one opens it, two start it."""
        self._is_first = is_first
        self._yours: set[str] = set()
        self._last: dict[str, Any] = {}
        """Answers of the last run on the same data, as far as nothing else was said."""
        self._undo: list[tuple[dict[str, Any], set[str]]] = []
        self._ticket = 0
        self._waited = 0
        self._failure: Exception | None = None
        self._asks_memory = True

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
        walk, runs, answers = self.advisor.walk, self.advisor.runs, dict(self.answers)
        asks, self._asks_memory = self._asks_memory, False

        def look() -> tuple[Facts, dict[str, Any]]:
            last = {k: v for k, v in walk.remembered(self.source, runs).items() if answers.get(k) is None} if asks else {}
            try:
                return walk.gather(self.source, query=self.sql_query, runs=runs, answers={**answers, **last}), last
            except InputError:
                if not last:
                    raise
            return walk.gather(self.source, query=self.sql_query, runs=runs, answers=answers), {}  # they no longer fit these data

        run_behind(self, "gather", look, ticket=self._ticket)
        self._draw()

    def _consider(self, facts: Facts) -> None:
        self._ticket += 1
        self._waited = 0
        self.plan, self._failure = None, None
        self.draft = None
        walk = self.advisor.walk
        # What takes longest, the search for what would change the plan, waits until the questions stand there.
        run_behind(self, "questions", lambda: (tuple(walk.questions(facts)), walk.draft(facts)), ticket=self._ticket)
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
                self.facts, last = event.result
                self._last.update(last)
                self.answers.update(last)
                self._consider(self.facts)
            case "questions":
                self.questions, self.draft = event.result
                self._draw()
                walk, facts = self.advisor.walk, self.facts
                assert facts is not None
                run_behind(self, "plan", lambda: walk.recommend(facts), ticket=self._ticket)
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

    def action_columns(self) -> None:
        """Shows every column with what can be done about it."""
        self._show_columns(find=False)

    def action_find(self) -> None:
        """Shows the columns, and looks for one."""
        self._show_columns(find=True)

    def _show_columns(self, *, find: bool) -> None:
        if self.facts is not None and self.facts.data.columns and not self.facts.data.holds_images:
            self.app.push_screen(ColumnsScreen(self.facts, find=find), self._given)
        else:
            self.notify("There are no columns to show.", markup=False)

    def action_remedy(self) -> None:
        """Offers what can be answered against the warnings."""
        offered = self._remedies()
        if not offered:
            self.notify("Nothing can be answered against these warnings.", markup=False)
            return
        self.app.push_screen(Offer("What can be done", [(r.text, r.why) for r in offered]), partial(self._cured, offered))

    def _cured(self, offered: Sequence[Remedy], chosen: int | None) -> None:
        if chosen is not None:
            self._take(offered[chosen].field, offered[chosen].value)

    def _given(self, answer: tuple[str, Any] | None) -> None:
        if answer is not None:
            self._take(*answer)

    def _remedies(self) -> tuple[Remedy, ...]:
        if self.facts is None or self.facts.objective is not None:
            return ()
        from advisor.core.remedies import remedies

        return remedies(self.facts)

    def take_over(self, answers: dict[str, Any]) -> None:
        """Takes answers that were changed on the plan; a later undo takes them back one by one."""
        for field, value in answers.items():
            if self.answers.get(field) != value:
                self._take(field, value)

    def _answered(self, question: Question, value: Any) -> None:
        if value is not None:
            self._take(field_of(question), None if value is Editor.NOTHING else value)

    def _take(self, field: str, value: Any) -> None:
        from pydantic import ValidationError

        if self.facts is None:
            return
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
            is_last = field_of(question) in self._last
            provenance = "yours" if mine else "last time" if is_last else shown(question.provenance, longest=24)
            filled.append(
                (
                    field_of(question),
                    Content.assemble(
                        (f"{index}  ", "$quiet"),
                        fit(label(field_of(question)), 11),
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
            self.tell(f"{Path(self._named).name if self.source else self._named}   {size}")
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
            looks = (
                "Columns, types, missing values, the likely target."
                if self.source
                else "What it searches, how it is measured, the machine."
            )
            panel.show(lines([f"Reading {shown(self._named)} …", muted(f"{self._waited} s. {looks}")]))
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
        for remedy in self._remedies()[:2]:
            out.append(Content.assemble(("  x ", "bold $accent"), shown(remedy.text, longest=60), (f"  {shown(remedy.why)}", "$quiet")))
        panel.show(lines(out))

    def _draw_plan(self) -> None:
        panel = self.query_one("#so-far", Panel)
        waits = {
            0: "",
            1: "Enter noted: the plan opens when it is ready. Esc takes it back.",
            2: "Enter twice: the run starts when the plan is ready. Esc takes it back.",
        }
        out: list[Content | str] = []
        seen = self.plan or self.draft
        if seen is not None:
            out.append(Content.styled(headline(seen), "bold"))
            out.append(muted(f"{shown(seen.metric)} · {shown(seen.family)} · Enter shows the whole plan"))
        elif self._failure is not None:
            out.append(Content.styled("✗ no plan: see above", "$text-error"))
        else:
            out.append(muted(f"waiting for the {'data' if self.source else 'objective'} …" if self.facts is None else "planning …"))
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
