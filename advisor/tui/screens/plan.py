"""Plan: what will be done, and beside every row why, what would change it, and why not something else. Rows can be changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList

from advisor.core.errors import AdvisorError
from advisor.core.facts import Facts
from advisor.core.lint import Finding
from advisor.core.plan import Plan
from advisor.core.space import Choice, Float, Int
from advisor.report.answering import read_answer
from advisor.report.wording import duration
from advisor.tui.background import Finished, run_behind
from advisor.tui.facts_text import headline
from advisor.tui.frame import Page, Panel, RowList, fit
from advisor.tui.paths import free_path
from advisor.tui.plan_rows import Row, rows_of
from advisor.tui.plan_text import still_fields, why_text
from advisor.tui.screens.alternatives import AlternativesScreen
from advisor.tui.screens.editor import LineEditor, Offer

Edits = Mapping[str, Float | Int | Choice]


class PlanScreen(Page):
    """The plan at the left, its reasons at the right."""

    STEP = "Plan"
    HELP = (
        "Each row of the plan was set by a rule, by your answer or by arithmetic; the right side says which, from which facts, "
        "from which source, and the nearest change of a fact that would change the row. e changes the row under the cursor: a range, "
        "the budget, the strategy; what you have set is marked as yours, and u takes it back. Enter starts the run in an engine of its "
        "own; the interface may be closed meanwhile."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "start", "Run", key_display="Enter"),
        Binding("ctrl+r", "start", "Run", show=False),
        Binding("e", "edit", "Edit"),
        Binding("space", "edit", "Edit", show=False),
        Binding("u", "undo", "Undo"),
        Binding("a", "alternatives", "Alternatives"),
        Binding("w", "why", "Why"),
        Binding("x", "export", "Export"),
        Binding("y", "copy", "Copy", show=False),
        Binding("escape", "back", "Back", key_display="Esc"),
        Binding("q", "app.quit", "Quit"),
    ]
    DEFAULT_CSS = """
    PlanScreen #body { layout: horizontal; height: 1fr; padding: 0 1; }
    PlanScreen #rows { width: 13fr; }
    PlanScreen #why { width: 9fr; margin-left: 1; }
    PlanScreen.-narrow #body { layout: vertical; padding: 0; }
    PlanScreen.-narrow #rows { width: 1fr; height: 12fr; }
    PlanScreen.-narrow #why { width: 1fr; height: 9fr; margin-left: 0; }
    """

    def __init__(self, plan: Plan, facts: Facts, *, query: str | None = None, starts_at_once: bool = False) -> None:
        super().__init__()
        self.plan = plan
        self.facts = facts
        self.sql_query = query
        self.is_starting = False
        self.edits: Edits = {}
        """Ranges that the user has set, by hyperparameter."""
        self.findings: tuple[Finding, ...] = ()
        """What the linter says of the ranges that the user has set."""
        self.lessons: Mapping[str, str] = {}
        """What each hyperparameter does when it is too small and too large."""
        self._farther: dict[str, Sequence[str]] = {}
        """What was found to change the fields that nothing near does."""
        self._looked: set[str] = set()
        """Fields for which that was asked."""
        self._undo: list[tuple[Facts, Edits]] = []
        self._given = facts.answers
        self._ticket = 0
        self._starts_at_once = starts_at_once
        self._rows = rows_of(plan)

    def body(self) -> Iterable[Widget]:
        with Container(id="body"):
            yield RowList("Plan", id="rows")
            yield Panel("Why", id="why")

    def on_mount(self) -> None:
        self.tell(f"{Path(self.plan.data).name} › {self.plan.target}" if self.plan.target else self.plan.data)
        self._draw()
        self.query_one("#rows", RowList).focus()
        self._learn()
        if self.advisor.edits:
            self._replan(self.facts, self.advisor.edits)
        elif self._starts_at_once:
            self.call_after_refresh(self.action_start)

    # -- the run -------------------------------------------------------------------------------------------------------
    def action_start(self) -> None:
        """Starts the run, once; where the plan is made anew, as soon as it is there."""
        if self.is_starting:
            return
        rows = self.query_one("#rows", RowList)
        if self._ticket:
            self._starts_at_once = True
            rows.border_subtitle = "planning again …  Enter noted"
            return
        self.is_starting = True
        began = time.monotonic()
        rows.border_subtitle = "starting the engine …"
        walk, runs = self.advisor.walk, self.advisor.runs
        run_behind(self, "start", lambda: walk.start(self.plan, self.facts, query=self.sql_query, runs=runs, began=began))

    def on_finished(self, event: Finished) -> None:
        """Takes what the background has done, or says why it could not."""
        if event.error is not None:
            self._fail(event)
            return
        match event.label:
            case "start":
                self.advisor.to_run(event.result)
            case "save":
                path, hint = event.result
                self.notify(f"{path}\n{hint}", title="Written", markup=False, timeout=8)
            case "replan" if event.ticket == self._ticket:
                self._ticket = 0
                self.facts, self.edits, self.plan, self.findings = event.result
                self.advisor.edits = dict(self.edits)
                self._farther, self._looked = {}, set()
                self._draw()
                self._learn()
                if self._starts_at_once:
                    self._starts_at_once = False
                    self.action_start()
            case "lessons":
                self.lessons = event.result
                self._explain(keeps_place=True)
            case "farther" if event.result[0] is self.plan:
                self._farther.update(event.result[1])
                self._explain(keeps_place=True)

    def _fail(self, event: Finished) -> None:
        assert event.error is not None
        if not isinstance(event.error, AdvisorError):
            raise event.error
        if event.label == "replan":
            if event.ticket != self._ticket:
                return
            self._ticket = 0
            if self._undo:
                self._undo.pop()
            self._starts_at_once = False
        self.is_starting = False
        self.query_one("#rows", RowList).border_subtitle = "✗ not started · Enter tries again" if event.label == "start" else ""
        self.notify(str(event.error), title="That did not work", severity="error", markup=False, timeout=12)

    # -- changes -------------------------------------------------------------------------------------------------------
    def action_edit(self) -> None:
        """Changes the row under the cursor, where it is one that a person may set."""
        row = self._selected
        kind, _, name = (row.key if row is not None else "").partition(".")
        if kind == "space":
            self._edit_range(name)
        elif kind in ("budget", "forecast"):
            self._edit_line(
                "How long may it take?",
                duration(self.facts.answers.budget_seconds),
                "90s, 10m, 2h",
                lambda text: self._answer(budget_seconds=read_answer("duration", text)),
            )
        elif kind in ("strategy", "stages"):
            self.action_alternatives()
        else:
            self.notify("Ranges, budget and strategy are changed here; everything else among the questions: press Esc.", markup=False)

    def _edit_range(self, name: str) -> None:
        from advisor.core.editing import read_parameter, written
        from advisor.report.answering import literal

        now = self.plan.space.parameters[name]

        def take(text: str) -> None:
            if text.startswith("="):
                self._answer(freeze={**self.facts.answers.freeze, name: literal(text[1:].strip())})
                return
            self._change(self.facts, {**self.edits, name: read_parameter(text, now)})

        hint = "choices with commas" if isinstance(now, Choice) else "LOW .. HIGH log|linear"
        self._edit_line(f"Range of {name}", written(now), f"{hint}; = VALUE holds it still", take)

    def _edit_line(self, title: str, text: str, hint: str, take: Callable[[str], None]) -> None:
        self.app.push_screen(LineEditor(title, text, hint=hint, take=take))

    def _answer(self, **changed: Any) -> None:
        """Other answers: the rules are asked again. Raises: InputError when one is not valid."""
        from advisor.session.gathering import read_answers

        given = {name: value for name, value in {**self.facts.answers.model_dump(), **changed}.items() if value is not None}
        self._change(self.facts.model_copy(update={"answers": read_answers(**given)}), self.edits)

    def _change(self, facts: Facts, edits: Edits) -> None:
        self._undo.append((self.facts, self.edits))
        self._replan(facts, edits)

    def _replan(self, facts: Facts, edits: Edits) -> None:
        self._ticket = max(self._ticket, len(self._undo)) + 1
        self.query_one("#rows", RowList).border_subtitle = "planning again …"
        walk = self.advisor.walk

        def plan() -> tuple[Facts, Edits, Plan, tuple[Finding, ...]]:
            plan, kept = walk.replan(facts, edits)
            return facts, kept, plan, walk.lint(plan, tuple(kept))

        run_behind(self, "replan", plan, ticket=self._ticket)

    def action_undo(self) -> None:
        """Takes the last change back."""
        if not self._undo:
            self.notify("Nothing was changed here.", markup=False)
            return
        self._replan(*self._undo.pop())

    def action_alternatives(self) -> None:
        """Every strategy that was not chosen: its forecast, what would differ, what spoke against it."""
        self.app.push_screen(AlternativesScreen(self.plan, self.facts), self._chosen)

    def _chosen(self, strategy: str | None) -> None:
        if strategy is not None:
            self._answer(strategy=strategy)

    # -- other keys ----------------------------------------------------------------------------------------------------
    def action_back(self) -> None:
        """Back to the questions, with every answer as it is now; ranges you have set are kept for this plan."""
        from advisor.tui.screens.questions import QuestionsScreen

        if self.is_starting:
            return
        below = self.app.screen_stack[-2] if len(self.app.screen_stack) > 1 else None
        self.dismiss()
        if isinstance(below, QuestionsScreen):
            now, then = self._given.model_dump(), self.facts.answers.model_dump()
            below.take_over({name: value for name, value in then.items() if now[name] != value})

    def action_why(self) -> None:
        """Moves into the reasons, to scroll them; where nothing near changes the row, looks for what farther away would."""
        self.query_one("#why", Panel).focus()
        row = self._selected
        fields = [f for f in still_fields(self.plan, row) if f not in self._looked] if row is not None else []
        if not fields:
            return
        self._looked.update(fields)
        walk, facts, plan = self.advisor.walk, self.facts, self.plan
        run_behind(self, "farther", lambda: (plan, {**dict.fromkeys(fields, ()), **walk.farther(facts, plan, fields)}))
        self._explain(keeps_place=True)

    def _learn(self) -> None:
        walk, plan = self.advisor.walk, self.plan
        run_behind(self, "lessons", lambda: walk.lessons(plan))

    def action_export(self) -> None:
        """Writes the plan as a file to run or as a plain script, before anything is run."""
        rows = [("Plan as TOML", "carry it out with advisor run"), ("Plain script", "needs the libraries, and no advisor")]
        self.app.push_screen(Offer("Export", rows), self._export)

    def _export(self, chosen: int | None) -> None:
        if chosen is None:
            return
        walk, plan, facts = self.advisor.walk, self.plan, self.facts

        def save() -> tuple[Path, str]:
            if chosen == 0:
                path = free_path(Path.cwd(), "plan", ".toml")
                walk.save_plan(plan, path, facts)
                return path, f"Run it with: advisor run {path.name}"
            path = free_path(Path.cwd(), "tune", ".py")
            path.write_text(walk.script(plan, facts), encoding="utf-8")
            return path, f"Run it with: python {path.name}"

        run_behind(self, "save", save)

    def action_copy(self) -> None:
        """Copies the row and its reasons as plain text."""
        row = self._selected
        if row is not None:
            self.app.copy_to_clipboard(f"{row.label}: {row.text}\n{why_text(self.plan, row).plain}")
            self.notify("Copied.", markup=False, timeout=2)

    def on_option_list_option_highlighted(self) -> None:
        """The reasons follow the cursor."""
        self._explain()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click only moves the cursor."""
        event.stop()

    # -- drawing -------------------------------------------------------------------------------------------------------
    @property
    def _selected(self) -> Row | None:
        key = self.query_one("#rows", RowList).highlighted_id
        return next((row for row in self._rows if row.key == key), None)

    def _draw(self) -> None:
        self._rows = rows_of(self.plan)
        rows = self.query_one("#rows", RowList)
        rows.border_title = headline(self.plan)
        rows.border_subtitle = f"{len(self._undo)} changed · u takes back" if self._undo else ""
        rows.fill([(row.key, Content.assemble((fit(row.label, 12), "$quiet"), *_row_text(row))) for row in self._rows])
        self._explain()

    def _explain(self, *, keeps_place: bool = False) -> None:
        row = self._selected
        if row is not None:
            panel = self.query_one("#why", Panel)
            named = row.text.partition("  ")[0]
            panel.border_title = f"Why: {named if row.key.startswith('space.') else row.label.strip() or named}"
            lesson = self.lessons.get(row.key.partition(".")[2], "") if row.key.startswith("space.") else ""
            panel.show(why_text(self.plan, row, findings=self.findings, lesson=lesson, farther=self._farther))
            still = still_fields(self.plan, row)
            waits = any(f in self._looked and f not in self._farther for f in still)
            asks = any(f not in self._looked for f in still)
            panel.border_subtitle = "looking for what would change it …" if waits else "w looks for what would change it" if asks else ""
            if not keeps_place:
                panel.scroll_home(animate=False)


def _row_text(row: Row) -> list[tuple[str, str] | str]:
    mark = ("  yours", "bold $accent") if row.is_yours else ""
    return [(row.text, "bold"), mark, (f"  {row.note}" if row.note else "", "$quiet")]
