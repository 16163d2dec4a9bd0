"""Run: what the engine does, read from its journal. Closing this screen closes nothing but the screen."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from advisor.core.diagnosis import Finding
from advisor.core.errors import AdvisorError
from advisor.core.events import StudyState, TrialState
from advisor.report.wording import parse_duration, shown
from advisor.tui.background import Finished, run_behind
from advisor.tui.frame import Ask, Page, Panel, Reading, lines, muted, wording_of
from advisor.tui.plot import Plot
from advisor.tui.run_text import best_curve, findings_text, log_of, slice_curve, splits_of, summary
from advisor.tui.screens.editor import LineEditor
from advisor.tui.trial_view import TrialView, trial_text
from advisor.tui.trials import SORTS, TrialTable
from advisor.tui.walk import Command
from advisor.tui.watching import Gauges, Seen, gauges_text, watch


class FilterLine(Input):
    """The line that narrows the table."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "To the table", key_display="Enter"),
        Binding("escape", "screen.clear", "Show all", key_display="Esc"),
    ]


class RunScreen(Page):
    """Progress, the best so far, the trials, one trial, the log and the machine."""

    STEP = "Run"
    HELP = (
        "The engine is a process of its own: this screen reads its journal and sends it commands. Detach, close the terminal or lose the "
        "line, and it goes on; `advisor attach` comes back. In the table the cursor keeps its trial while others come; Home follows the "
        "newest."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause", key_display="Space"),
        Binding("s", "stop", "Stop…"),
        Binding("d", "detach", "Detach"),
        Binding("enter", "trial", "Trial", key_display="Enter"),
        Binding("slash", "filter", "Filter"),
        Binding("o", "sort", "Sort"),
        Binding("t", "pane('trials')", "Trials", show=False),
        Binding("p", "pane('plots')", "Plots"),
        Binding("l", "pane('log')", "Log"),
        Binding("k", "skip", "Skip the trial under the cursor", show=False),
        Binding("v", "view", "Best so far, or scores over a hyperparameter", show=False),
        Binding("left_square_bracket", "slice(-1)", "Hyperparameter before", show=False, key_display="["),
        Binding("right_square_bracket", "slice(1)", "Next hyperparameter", show=False, key_display="]"),
        Binding("f", "findings", "Findings", show=False),
        Binding("b", "budget", "More or less time", show=False),
        Binding("n", "next_run", "Next run that goes on", show=False),
        Binding("c", "carry_on", "Go on with a run whose engine is gone", show=False),
        Binding("r", "runs", "Runs; this one goes on", show=False),
        Binding("y", "copy", "Copy the trial", show=False),
        Binding("escape", "clear", "Clear the filter", show=False),
        Binding("q", "detach", "Quit; the run goes on", show=False),
    ]
    DEFAULT_CSS = """
    RunScreen #summary { height: 4; padding: 1 2 0 2; text-wrap: nowrap; text-overflow: ellipsis; }
    RunScreen.-short #summary { height: 3; padding: 0 2; }
    RunScreen #plots { layout: horizontal; height: 12; padding: 0 1; }
    RunScreen #best { width: 3fr; }
    RunScreen #curve { width: 2fr; margin-left: 1; }
    RunScreen #table { height: 1fr; padding: 0 1; }
    RunScreen #log-pane { height: 7; padding: 0 1; }
    RunScreen #log { height: 1fr; }
    RunScreen #gauges { height: 1; padding: 0 2; color: $quiet; text-wrap: nowrap; text-overflow: ellipsis; }
    RunScreen #filter { display: none; border: none; height: 1; padding: 0 1; background: $panel; }
    RunScreen.-filtering #filter { display: block; }
    RunScreen.-short #plots { height: 8; }
    RunScreen.-short #log-pane { display: none; }
    RunScreen.-narrow #plots, RunScreen.-narrow #table, RunScreen.-narrow #log-pane { padding: 0; }
    RunScreen.-narrow #curve { display: none; }
    RunScreen.-short.-plots #plots, RunScreen.-narrow.-plots #plots { height: 1fr; layout: vertical; }
    RunScreen.-short.-plots #table, RunScreen.-narrow.-plots #table, RunScreen.-plots.-narrow #log-pane { display: none; }
    RunScreen.-short.-plots #curve, RunScreen.-narrow.-plots #curve { display: block; margin-left: 0; width: 1fr; }
    RunScreen.-short.-plots #best, RunScreen.-narrow.-plots #best { width: 1fr; }
    RunScreen.-short.-log #log-pane { display: block; height: 1fr; }
    RunScreen.-short.-log #plots, RunScreen.-short.-log #table { display: none; }
    """

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self.run_dir = run_dir
        self.state = StudyState()
        self.is_alive = True
        self.asked: str = ""
        """The command that the engine has not acknowledged yet."""
        self._stop = threading.Event()
        self._was_alive = False
        self.findings: tuple[Finding, ...] = ()
        self._slices = False
        self._slice = 0
        self._log_extent: tuple[int, ...] = ()

    def body(self) -> Iterable[Widget]:
        yield Static("", id="summary", markup=False)
        with Container(id="plots"):
            yield Plot("Best so far", id="best", x_label="trial")
            yield TrialView(id="curve")
        with Container(id="table"):
            yield TrialTable("Trials", id="trials")
        yield FilterLine(placeholder="words a trial must have: failed, a family, #41, learning_rate 0.07 …", id="filter")
        with Container(id="log-pane"):
            yield Panel("Log", id="log")
        yield Static("", id="gauges", markup=False)

    def on_mount(self) -> None:
        self.tell(self.run_dir.name)
        self.query_one("#trials").focus()
        self.query_one("#summary", Static).update(muted("Opening the journal …"))
        threading.Thread(target=watch, args=(self, self.advisor.walk, self.run_dir, self._stop), name="tui-watch", daemon=True).start()

    def on_unmount(self) -> None:
        self._stop.set()

    # -- what comes from the journal -----------------------------------------------------------------------------------
    def on_seen(self, event: Seen) -> None:
        """Takes a look at the run."""
        event.stop()
        if event.error is not None:
            self._stop.set()
            if not isinstance(event.error, AdvisorError):
                raise event.error
            self.query_one("#summary", Static).update(wording_of(event.error))
            self.advisor.fail(event.error)
            return
        if self._stop.is_set():
            return
        is_new = event.state is not self.state
        self.state, self.is_alive = event.state, event.is_alive
        self._was_alive = self._was_alive or event.is_alive
        self._take_findings(event.findings)
        if self.asked and self.state.commands and self.state.commands[-1].command == self.asked:
            self.asked = ""
        self._draw_summary()
        self._draw_gauges(event.gauges)
        if is_new or self.state.running:
            self._draw_trials()
        if is_new:
            self._draw_best()
            self._draw_log()
        if self.state.finished is not None:
            self._stop.set()
            self.advisor.to_result(self.run_dir)

    def _take_findings(self, findings: tuple[Finding, ...]) -> None:
        known = {(f.id, f.about) for f in self.findings}
        fresh = [f for f in findings if (f.id, f.about) not in known]
        self.findings = findings
        for finding in fresh[:2]:
            self.notify(shown(finding.seen, longest=160), title=f"{finding.title}  (f shows all)", severity="warning", markup=False)

    def on_finished(self, event: Finished) -> None:
        """A command was handed over, or could not be."""
        if event.error is not None:
            if not isinstance(event.error, AdvisorError):
                raise event.error
            self.asked = ""
            self.notify(str(event.error), title="That did not work", severity="error", markup=False, timeout=10)
        elif event.label == "runs":
            self._to_next(event.result)
        elif event.label == "resume":
            self.notify("A new engine goes on with the run.", markup=False)
        self._draw_summary()

    # -- keys ----------------------------------------------------------------------------------------------------------
    def action_pause(self) -> None:
        """Starts no further trial, or goes on."""
        self._send("resume" if self.state.is_paused else "pause")

    def action_stop(self) -> None:
        """Asks whether to end the run and keep the best; Enter alone goes on."""
        self.app.push_screen(
            Ask(
                "Stop the run?",
                "Running trials are ended; the best so far is confirmed, scored on the held-out rows and kept. A stopped run cannot go on.",
                yes="Stop and keep the best",
                no="Go on running",
            ),
            self._stop_answered,
        )

    def _stop_answered(self, yes: bool | None) -> None:
        if yes:
            self._send("stop")

    def action_skip(self) -> None:
        """Ends the running trial under the cursor; it counts as pruned by you."""
        trial = self._selected
        if trial is None or trial.status != "running":
            self.notify("Only a running trial can be skipped.", markup=False)
            return
        self._send("skip", float(trial.number))

    def action_budget(self) -> None:
        """Gives more or less time, as written."""
        hint = "Such as +5m, or -2m to take time away"
        self.app.push_screen(LineEditor("More or less time", "", hint=hint, take=self._give_time))

    def _give_time(self, text: str) -> None:
        sign = -1.0 if text.startswith("-") else 1.0
        self._send("budget", sign * parse_duration(text.lstrip("+-")))

    def action_view(self) -> None:
        """Exchanges the best so far for the scores over one hyperparameter, and back."""
        self._slices = not self._slices
        self._draw_best()

    def action_slice(self, step: int) -> None:
        """Shows the scores over another hyperparameter."""
        self._slices, self._slice = True, self._slice + step
        self._draw_best()

    def action_findings(self) -> None:
        """What was noticed so far, with what was done about it."""
        self.app.push_screen(Reading("Findings", findings_text(self.findings)))

    def action_next_run(self) -> None:
        """Watches the next run that goes on; this one goes on too."""
        walk, runs = self.advisor.walk, self.advisor.runs
        run_behind(self, "runs", lambda: [Path(r.path) for r in walk.list_runs(runs) if r.is_alive])

    def _to_next(self, alive: list[Path]) -> None:
        names = [path.name for path in alive]
        at = names.index(self.run_dir.name) if self.run_dir.name in names else -1
        following = alive[(at + 1) % len(alive)] if alive else None
        if following is None or following.name == self.run_dir.name:
            self.notify("No other run goes on.", markup=False)
        else:
            self.advisor.to_run(following)

    def _send(self, command: Command, argument: float | None = None) -> None:
        walk, run_dir = self.advisor.walk, self.run_dir
        self.asked = command
        run_behind(self, "send", lambda: walk.send(run_dir, command, argument))
        self._draw_summary()

    def action_carry_on(self) -> None:
        """Starts a new engine for a run whose engine is gone."""
        if self.is_alive:
            self.notify("Its engine is alive.", markup=False)
            return
        walk, run_dir = self.advisor.walk, self.run_dir
        run_behind(self, "resume", lambda: walk.resume(run_dir))

    def action_detach(self) -> None:
        """Leaves the interface; the engine goes on."""
        if self.is_alive and self.state.finished is None:
            self.advisor.farewell = f"The run goes on. Watch it: advisor attach {self.run_dir.name}"
        elif self.state.finished is None and self.state.run:
            self.advisor.farewell = f"The run can go on: advisor resume {self.run_dir.name}"
        self.advisor.leave()

    def action_runs(self) -> None:
        """Shows the runs; this one goes on."""
        self.advisor.to_start()

    def action_pane(self, pane: str) -> None:
        """Shows one pane where there is no room for all, and moves into it where there is."""
        for name in ("plots", "log"):
            self.set_class(name == pane and not self.has_class(f"-{name}"), f"-{name}")
        target = self.query_one("#log" if self.has_class("-log") else "#trials")
        if target.display:
            self.call_after_refresh(target.focus)

    def action_sort(self) -> None:
        """The next order of the table."""
        table = self.query_one("#trials", TrialTable)
        table.reorder(sort=SORTS[(SORTS.index(table.sort) + 1) % len(SORTS)])

    def action_filter(self) -> None:
        """Opens the line that narrows the table."""
        self.remove_class("-plots", "-log")
        self.add_class("-filtering")
        self.query_one("#filter").focus()

    def action_clear(self) -> None:
        """Shows every trial again."""
        self.query_one("#filter", Input).value = ""
        self.query_one("#trials", TrialTable).reorder(filter="")
        self.remove_class("-filtering", "-plots", "-log")
        self.query_one("#trials").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The table follows what is written."""
        self.query_one("#trials", TrialTable).reorder(filter=event.value)
        self._draw_trial()

    def on_input_submitted(self) -> None:
        """Enter goes back into the table; the filter stays."""
        self.set_class(bool(self.query_one("#filter", Input).value), "-filtering")
        self.query_one("#trials").focus()

    def action_trial(self) -> None:
        """Everything known of the trial under the cursor."""
        trial = self._selected
        if trial is not None:
            self.app.push_screen(Reading(f"Trial {trial.number}", trial_text(trial, self._metric)))

    def action_copy(self) -> None:
        """Copies the trial as plain text."""
        trial = self._selected
        if trial is not None:
            self.app.copy_to_clipboard(trial_text(trial, self._metric).plain)
            self.notify("Copied.", markup=False, timeout=2)

    def on_trial_table_moved(self) -> None:
        """The curve follows the cursor."""
        self._draw_trial()

    # -- drawing -------------------------------------------------------------------------------------------------------
    @property
    def _selected(self) -> TrialState | None:
        selected = self.query_one("#trials", TrialTable).selected
        return self.state.trials.get(selected) if selected is not None else None

    @property
    def _metric(self) -> str:
        return str(self.state.plan["metric"]) if self.state.plan else "score"

    @property
    def _elapsed(self) -> float:
        """Budget used by now: the journal's last word plus the time since, while the engine works."""
        since = time.time() - self.state.at if self.is_alive and self.state.at else 0.0
        return self.state.elapsed + max(0.0, since)

    def _draw_summary(self) -> None:
        width = max(40, self.size.width - 4)
        self.query_one("#summary", Static).update(
            summary(self.state, elapsed=self._elapsed, is_alive=self.is_alive, asked=self.asked, was_alive=self._was_alive, width=width),
            layout=False,
        )

    def _draw_gauges(self, gauges: Gauges) -> None:
        self.query_one("#gauges", Static).update(Content(gauges_text(gauges)), layout=False)

    def _draw_trials(self) -> None:
        steps = splits_of(self.state)
        self.query_one("#trials", TrialTable).show(
            self.state.trials, best=self.state.best, direction=self.state.direction, steps=steps, elapsed=self._elapsed
        )
        self._draw_trial()

    def _draw_trial(self) -> None:
        trial = self._selected
        others = self.state.trials.get(self.state.best) if self.state.best is not None else None
        self.query_one("#curve", TrialView).show(trial, best=others, steps=splits_of(self.state))

    def _draw_best(self) -> None:
        plot = self.query_one("#best", Plot)
        names = list((self.state.plan or {}).get("space") or {})
        if self._slices and names:
            name = names[self._slice % len(names)]
            curve, scale = slice_curve(self.state, name)
            plot.border_title = f"{shown(self._metric)} over {shown(name, longest=40)} · {scale}"
            plot.border_subtitle = "[ ] another   v best so far"
            plot.draw(curve, note="No finished trial has it yet.", x_label="")
            return
        plot.border_title = f"Best so far · {shown(self._metric)} on validation"
        plot.border_subtitle = "━ best   ╌ default   · trials   v slices"
        plot.draw(best_curve(self.state), note="The first finished trial appears here.", x_label="trial")

    def _draw_log(self) -> None:
        state = self.state
        extent = (
            *(len(part) for part in (state.stages, state.revisions, state.notes, state.commands)),
            state.counts()["failed"],
            state.confirmed is not None,
        )
        if extent == self._log_extent:
            return
        self._log_extent = extent
        panel = self.query_one("#log", Panel)
        at_end = panel.max_scroll_y - panel.scroll_y <= 1
        panel.show(lines(log_of(self.state)))
        if at_end:
            panel.call_after_refresh(panel.scroll_end, animate=False)
