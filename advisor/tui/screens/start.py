"""Start: name a table, or go back to a run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static

from advisor.core.errors import AdvisorError
from advisor.report.wording import number, shown
from advisor.tui.background import Finished, run_behind
from advisor.tui.frame import Page, RowList, fit, wording_of
from advisor.tui.walk import RunSummary

EXAMPLES = ("sklearn:breast_cancer", "sklearn:diabetes", "sklearn:wine")
MARKS = {
    "running": "▸ running",
    "done": "✓ done",
    "stopped": "■ stopped",
    "nothing_finished": "✗ nothing finished",
    "failed": "✗ failed",
    "interrupted": "‖ interrupted",
}


class StartScreen(Page):
    """A line for the data, examples that work offline, and the recent runs."""

    STEP = "Start"
    HELP = (
        "Name a table: CSV, TSV, JSON Lines, Parquet, Feather, .npz, or sklearn:NAME for one that ships with scikit-learn. "
        "Or choose a recent run: a live one is watched, a finished one shows its result, an interrupted one can go on."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", key_display="Enter"),
        Binding("ctrl+r", "open", "Open", show=False),
        Binding("tab", "app.focus_next", "Next pane", key_display="Tab"),
        Binding("slash", "write", "Name data"),
        Binding("f5", "reload", "Look again", key_display="F5"),
        Binding("f1", "app.help", "Help", key_display="F1"),
        Binding("question_mark", "app.help", "Help", show=False),
        Binding("escape", "list", "To the list", show=False),
        Binding("q", "app.quit", "Quit", show=False),
    ]
    DEFAULT_CSS = """
    StartScreen #body { padding: 1 2; height: 1fr; }
    StartScreen.-short #body { padding: 0 1; }
    StartScreen #welcome { height: auto; margin-bottom: 1; }
    StartScreen Input { border: round $edge; background: $background; border-title-color: $quiet; border-title-style: bold; }
    StartScreen Input:focus { border: round $accent; border-title-color: $accent; background-tint: $foreground 0%; }
    StartScreen #fault { height: auto; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._runs: Sequence[RunSummary] = ()

    def body(self) -> Iterable[Widget]:
        with Vertical(id="body"):
            yield Static(
                Content.assemble(
                    ("Tuning Advisor\n", "bold"),
                    ("Looks at your machine and your data, recommends how to tune your model, proves why, and does it.", "$quiet"),
                ),
                id="welcome",
            )
            source = Input(value=self.advisor.source or "", placeholder="path/to/table.csv or sklearn:NAME", id="source")
            source.border_title = "Data"
            source.border_subtitle = "Enter opens · ^q quits"
            yield source
            yield Static("", id="fault", markup=False)
            yield RowList("Examples and recent runs", id="choices")

    def on_mount(self) -> None:
        self.query_one("#source").focus()
        self._draw()
        self.call_after_refresh(self.action_reload)

    def action_reload(self) -> None:
        """Looks for runs again."""
        walk, runs = self.advisor.walk, self.advisor.runs
        run_behind(self, "runs", lambda: tuple(walk.list_runs(runs)))

    def on_finished(self, event: Finished) -> None:
        """Shows the runs found, or what went wrong."""
        if event.error is not None:
            if not isinstance(event.error, AdvisorError):
                raise event.error
            self.query_one("#fault", Static).update(wording_of(event.error))
        elif event.label == "runs":
            self._runs = event.result or ()
            self._draw()

    def _draw(self) -> None:
        rows = [(f"data {e}", Content.assemble((fit("example", 14), "$quiet"), e)) for e in EXAMPLES]
        for run in self._runs[:200]:
            mark = MARKS.get(run.status, run.status)
            rows.append(
                (
                    f"run {run.path}",
                    Content.assemble(
                        (fit(mark, 14), "bold $accent" if run.is_alive else "$quiet"),
                        (fit(shown(run.name), 20) + "  ", "bold"),
                        fit(shown(Path(run.source).name), 16) + "  ",
                        fit(f"{run.metric} {number(run.best_value)}", 18) + "  ",
                        (age(run.started) if self.size.width >= 100 else "", "$quiet"),
                    ),
                )
            )
        self.query_one("#choices", RowList).fill(rows)

    def on_input_submitted(self) -> None:
        """Enter on the line opens the data."""
        self._open_source(self.query_one("#source", Input).value)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click opens a row."""
        event.stop()
        self.action_open()

    def action_open(self) -> None:
        """Opens the row under the cursor, or the data named."""
        if self.focused is self.query_one("#source"):
            self._open_source(self.query_one("#source", Input).value)
            return
        kind, _, name = (self.query_one("#choices", RowList).highlighted_id or "").partition(" ")
        if kind == "data":
            self._open_source(name)
        elif kind == "run":
            run = next(r for r in self._runs if r.path == name)
            over = run.status in {"done", "stopped", "nothing_finished", "failed"}
            (self.advisor.to_result if over else self.advisor.to_run)(Path(run.path))

    def _open_source(self, named: str) -> None:
        source = named.strip()
        if not source:
            self.query_one("#fault", Static).update(Content.styled("Name a file, or choose a row below with Tab.", "$text-warning"))
            return
        answers = self.advisor.answers if source == self.advisor.source else {}
        self.advisor.to_questions(source, answers, query=self.advisor.sql_query)

    def action_write(self) -> None:
        """Puts the cursor into the line."""
        self.query_one("#source").focus()

    def action_list(self) -> None:
        """Puts the cursor into the list."""
        self.query_one("#choices").focus()


def age(started: float, now: float | None = None) -> str:
    """How long ago, in words.

    >>> age(1000, 1000 + 7200)
    '2 h ago'
    """
    past = max(0.0, (time.time() if now is None else now) - started)
    if past < 90:
        return "just now"
    if past < 5400:
        return f"{past / 60:.0f} min ago"
    if past < 129600:
        return f"{past / 3600:.0f} h ago"
    return f"{datetime.fromtimestamp(started):%Y-%m-%d}"
