"""Result: one honest sentence first, then what it rests on and where it lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget

from advisor.core.errors import AdvisorError, ExitCode
from advisor.core.outcome import Outcome
from advisor.report.wording import number, shown
from advisor.tui.background import Finished, run_behind
from advisor.tui.frame import Page, Panel, lines, muted, wording_of
from advisor.tui.paths import free_path
from advisor.tui.result_text import config_text, rest_text, shipped_sentence, verdict
from advisor.tui.screens.compare import CompareScreen
from advisor.tui.screens.editor import Offer
from advisor.tui.walk import RunSummary

if TYPE_CHECKING:
    from advisor.report.html_told import Told

LONGER = 2.0
"""The next step offered: twice the budget."""


class ResultScreen(Page):
    """What came out, beside the default, with its interval."""

    STEP = "Result"
    HELP = (
        "The gain comes from held-out rows that no choice has seen; what is shipped was decided before, on fresh validation splits. "
        "The model, the plan and the journal lie in the folder of the run."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "more", "Next step"),
        Binding("h", "report", "Report"),
        Binding("x", "export", "Script, plan"),
        Binding("m", "model", "Model path"),
        Binding("o", "folder", "Folder path", show=False),
        Binding("v", "compare", "Compare"),
        Binding("y", "copy", "Copy", show=False),
        Binding("r", "runs", "Runs"),
        Binding("escape", "runs", "Runs", show=False),
        Binding("q", "quit_here", "Quit"),
    ]
    DEFAULT_CSS = """
    ResultScreen #verdict { height: auto; max-height: 9; margin: 0 1; border: round $accent; padding: 1 2; }
    ResultScreen.-short #verdict { padding: 0 1; margin: 0; }
    ResultScreen #body { layout: horizontal; height: 1fr; padding: 0 1; }
    ResultScreen #config { width: 9fr; }
    ResultScreen #rest { width: 11fr; margin-left: 1; }
    ResultScreen.-narrow #body { padding: 0; }
    ResultScreen.-narrow #config, ResultScreen.-narrow #rest { width: 1fr; }
    """

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self.run_dir = run_dir
        self.outcome: Outcome | None = None
        self.told: Told | None = None
        """What the report says, once what mattered is weighed."""

    def body(self) -> Iterable[Widget]:
        yield Panel("Verdict", id="verdict", focusable=False)
        with Container(id="body"):
            yield Panel("Best configuration", id="config")
            yield Panel("What it rests on", id="rest")

    def on_mount(self) -> None:
        self.tell(self.run_dir.name)
        self.query_one("#verdict", Panel).show(muted("Reading the journal …"))
        self.query_one("#config").focus()
        walk, run_dir = self.advisor.walk, self.run_dir
        run_behind(self, "outcome", lambda: walk.outcome(run_dir))

    def on_finished(self, event: Finished) -> None:
        """Shows the outcome, or why there is none."""
        if event.error is not None:
            if not isinstance(event.error, AdvisorError):
                raise event.error
            if event.label == "outcome":
                self.query_one("#verdict", Panel).show(wording_of(event.error))
                self.advisor.fail(event.error)
            else:
                self.notify(str(event.error), title="That did not work", severity="error", markup=False)
            return
        if event.label == "save":
            self.notify(f"{event.result}", title="Written", markup=False, timeout=8)
            return
        if event.label == "more":
            plan, facts = event.result
            self.advisor.source = None if facts.objective is not None else facts.data.source
            self.advisor.to_plan(plan, facts, query=None)
            return
        if event.label == "runs":
            self._choose(event.result)
            return
        if event.label == "told":
            self.told = event.result
            self._draw_rest()
            return
        if event.label == "report":
            self.app.copy_to_clipboard(str(event.result))
            self.notify(f"{event.result}\nOpen it in a browser.", title="Report written (path copied)", markup=False, timeout=10)
            return
        self.outcome = event.result
        self._draw(event.result)
        walk, run_dir = self.advisor.walk, self.run_dir
        run_behind(self, "told", lambda: walk.told(run_dir))

    def _draw(self, outcome: Outcome) -> None:
        sentence, style = verdict(outcome)
        second = shipped_sentence(outcome)
        self.query_one("#verdict", Panel).show(lines([Content.styled(sentence, style), *([muted(second)] if second else [])]))
        self.query_one("#config", Panel).show(config_text(outcome))
        self._draw_rest()
        codes = {"nothing_finished": ExitCode.NOTHING_FINISHED, "failed": ExitCode.CRASHED}
        self.advisor.code = int(codes.get(outcome.status, ExitCode.DONE))

    def _draw_rest(self) -> None:
        if self.outcome is not None:
            self.query_one("#rest", Panel).show(rest_text(self.outcome, self.run_dir, self.told, is_narrow=self.size.width < 100))

    def on_resize(self) -> None:
        """The lines fit the width."""
        self._draw_rest()

    # -- keys ----------------------------------------------------------------------------------------------------------
    def action_model(self) -> None:
        """Shows and copies where the model lies, and the command that uses it."""
        path = self.run_dir / "best"
        if self.outcome is None or (self.outcome.shipped is None and self.outcome.trained_on is None):
            self.notify("This run has no model.", severity="warning", markup=False)
            return
        self.app.copy_to_clipboard(str(path))
        self.notify(f"{path}\nUse it: advisor predict {self.run_dir.name} NEW.csv", title="Model (path copied)", markup=False, timeout=10)

    def action_folder(self) -> None:
        """Shows and copies the folder of the run."""
        self.app.copy_to_clipboard(str(self.run_dir))
        self.notify(str(self.run_dir), title="Folder (path copied)", markup=False, timeout=10)

    def action_export(self) -> None:
        """Writes the run as a plain script, or its plan, beside where the interface was started, never over another file."""
        if self.outcome is not None:
            rows = [("Plain script", "repeats the run, needs no advisor"), ("Plan as TOML", "carry it out with advisor run")]
            self.app.push_screen(Offer("Export", rows), self._export)

    def _export(self, chosen: int | None) -> None:
        if chosen is None or self.outcome is None:
            return
        walk, plan, run_dir = self.advisor.walk, self.outcome.plan, self.run_dir

        def save() -> Path:
            if chosen == 0:
                path = free_path(Path.cwd(), f"tune-{run_dir.name}", ".py")
                path.write_text(walk.script_of(run_dir), encoding="utf-8")
                return path
            path = free_path(Path.cwd(), "plan", ".toml")
            walk.save_plan(plan, path, None)
            return path

        run_behind(self, "save", save)

    def action_report(self) -> None:
        """Writes the report of the run as one HTML page, shows where it lies and copies that."""
        walk, run_dir = self.advisor.walk, self.run_dir
        run_behind(self, "report", lambda: walk.report(run_dir))

    def action_more(self) -> None:
        """Offers a second run of twice the budget as a plan: nothing runs before it is agreed on."""
        if self.outcome is not None:
            walk, run_dir = self.advisor.walk, self.run_dir
            run_behind(self, "more", lambda: walk.longer(run_dir, LONGER))

    def action_compare(self) -> None:
        """Sets the run beside another one."""
        walk, runs = self.advisor.walk, self.advisor.runs
        run_behind(self, "runs", lambda: [r for r in walk.list_runs(runs) if Path(r.path).name != self.run_dir.name])

    def _choose(self, others: Sequence[RunSummary]) -> None:
        if not others:
            self.notify("There is no other run to compare with.", markup=False)
            return
        rows = [(r.name, f"{r.status} · {shown(r.source, longest=40)} · {r.metric} {number(r.best_value)}") for r in others[:20]]

        def chosen(place: int | None) -> None:
            if place is not None:
                self.app.push_screen(CompareScreen([self.run_dir, Path(others[place].path)]))

        self.app.push_screen(Offer("Compare with", rows), chosen)

    def action_copy(self) -> None:
        """Copies the verdict and the configuration as plain text."""
        if self.outcome is not None:
            self.app.copy_to_clipboard(f"{verdict(self.outcome)[0]}\n{config_text(self.outcome).plain}")
            self.notify("Copied.", markup=False, timeout=2)

    def action_runs(self) -> None:
        """Shows the start with the runs."""
        self.advisor.to_start()

    def action_quit_here(self) -> None:
        """Leaves; the verdict stays on the terminal."""
        if self.outcome is not None:
            self.advisor.farewell = f"{verdict(self.outcome)[0]}\n{self.run_dir}"
        self.advisor.leave()
