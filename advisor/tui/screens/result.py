"""Result: one honest sentence first, then what it rests on and where it lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget

from advisor.core.errors import AdvisorError, ExitCode
from advisor.core.metrics import METRICS
from advisor.core.outcome import Outcome
from advisor.core.outlook import promise
from advisor.report.wording import duration, number, setting, shown
from advisor.tui.background import Finished, run_behind
from advisor.tui.frame import Page, Panel, fit, heading, lines, muted, wording_of
from advisor.tui.paths import free_path
from advisor.tui.run_text import findings_text
from advisor.tui.screens.compare import CompareScreen
from advisor.tui.screens.editor import Offer
from advisor.tui.walk import RunSummary

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
        self.outcome = event.result
        self._draw(event.result)

    def _draw(self, outcome: Outcome) -> None:
        sentence, style = verdict(outcome)
        second = shipped_sentence(outcome)
        self.query_one("#verdict", Panel).show(lines([Content.styled(sentence, style), *([muted(second)] if second else [])]))
        self.query_one("#config", Panel).show(config_text(outcome))
        self.query_one("#rest", Panel).show(rest_text(outcome, self.run_dir))
        codes = {"nothing_finished": ExitCode.NOTHING_FINISHED, "failed": ExitCode.CRASHED}
        self.advisor.code = int(codes.get(outcome.status, ExitCode.DONE))

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
        """Writes the report of the run as one HTML page."""
        walk, run_dir = self.advisor.walk, self.run_dir
        run_behind(self, "save", lambda: walk.report(run_dir))

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


def verdict(outcome: Outcome) -> tuple[str, str]:
    """The result in one plain sentence, and the style it is written in."""
    title = METRICS[outcome.metric].title if outcome.metric in METRICS else outcome.metric
    family = shown(outcome.family or "the model")
    gain, score, default = outcome.gain, outcome.heldout_score, outcome.default_heldout_score
    rival = "the default" if outcome.default_family in (None, outcome.family) else f"the default {shown(outcome.default_family)}"
    if outcome.status == "nothing_finished":
        return "✗ The budget ended before any trial finished: there is no model.", "bold $text-error"
    if outcome.status == "failed" and outcome.shipped is None:
        return "✗ The run failed before a model was shipped.", "bold $text-error"
    if outcome.shipped == "default":
        unseen = f" It scores {title} {number(score)} on unseen rows." if score is not None else ""
        return f"= No evidence of gain: the default {family} is shipped.{unseen}", "bold $text-warning"
    if outcome.shipped == "tuned" and gain is not None:
        span = f"gain {number(gain.value, 3)} [{number(gain.low, 3)}, {number(gain.high, 3)}]"
        numbers = f"{title} {number(score)} vs {number(default)}, {span}"
        if gain.low > 0:
            return f"✓ Tuned {family} beats {rival} on unseen rows: {numbers}.", "bold $text-success"
        if gain.high < 0:
            return f"! Tuned {family} is worse than {rival} on unseen rows: {numbers}.", "bold $text-error"
        return f"= Tuned {family} is shipped, but the unseen rows cannot settle a gain over {rival}: {numbers}.", "bold $text-warning"
    if outcome.best_value is not None:
        reason = outcome.reasons.get("heldout_score", "no score on unseen rows")
        return f"! Best so far is {family} with {title} {number(outcome.best_value)} on validation; {shown(reason)}.", "bold $text-warning"
    return "! There is no result yet.", "bold $text-warning"


def shipped_sentence(outcome: Outcome) -> str:
    """How the interval is meant and what the saved model was fitted on."""
    parts = []
    if outcome.gain is not None:
        parts.append("Interval: 95 %, paired bootstrap over the held-out rows of this split.")
    if outcome.trained_on is not None:
        where = {"all": "refitted on all rows", "development": "fitted on the development rows", "fold": "fitted on one training fold"}
        parts.append(f"The saved model was {where.get(outcome.trained_on, outcome.trained_on)}.")
    return " ".join(parts)


def config_text(outcome: Outcome) -> Content:
    """The configuration shipped, beside the default's values."""
    config = outcome.best_config
    if config is None:
        return muted(shown(outcome.reasons.get("best_config", "There is none.")))
    defaults: dict[str, Any] = {}
    candidate = next((c for c in outcome.plan.shortlist if c.family == outcome.family), None)
    if candidate is not None and candidate.starts:
        defaults = candidate.starts[0]
    names = max(len(shown(name)) for name in config) + 2 if config else 2
    values = max(9, *(len(setting(value)) + 2 for value in config.values())) if config else 9
    out: list[Content | str] = [Content.styled(shown(outcome.family or ""), "bold $accent")]
    out.append(Content.styled(f"{fit('', names)}{fit('shipped', values)}default", "$quiet"))
    for name, value in config.items():
        default = setting(defaults[name]) if name in defaults else "–"
        text = setting(value)
        changed = text != default and name in defaults
        out.append(
            Content.assemble(
                fit(shown(name), names), (fit(text, values), "bold" if changed else ""), (default if changed else "same", "$quiet")
            )
        )
    return lines(out)


def next_step(outcome: Outcome) -> list[Content | str]:
    """What as much again should bring, and the key that makes a plan of it."""
    whole = (t for t in outcome.trials if t.status == "completed" and t.stage != "confirm" and t.rows is None)
    ahead = promise([t.value for t in whole if t.value is not None], is_maximised=outcome.direction == "maximize")
    if ahead is None:
        return []
    more = f"{duration(outcome.plan.budget.seconds)} more, about {ahead.trials} trials, should bring {number(ahead.gain, 2)} ± "
    is_little = ahead.gain <= ahead.error
    hint = (
        "Within its error: other features or more rows may bring more. c plans it all the same." if is_little else "c makes a plan of it."
    )
    return ["", heading("Next step"), f"{more}{number(ahead.error, 2)} {shown(outcome.metric)} on validation. {hint}"]


def rest_text(outcome: Outcome, run_dir: Path) -> Content:
    """Scores, trials, findings, and where everything lies."""

    def row(label: str, value: str, note: str = "") -> Content:
        return Content.assemble((fit(label, 12), "$quiet"), (value, "bold"), (f" {note}" if note else "", "$quiet"))

    heldout = outcome.reasons.get("heldout_score", "")
    out: list[Content | str] = [
        heading("Scores"),
        row("Unseen rows", number(outcome.heldout_score), shown(heldout)),
        row("  default", number(outcome.default_heldout_score)),
    ]
    if outcome.gain is not None:
        out.append(row("  gain", number(outcome.gain.value, 3), f"[{number(outcome.gain.low, 3)}, {number(outcome.gain.high, 3)}]"))
        out.append(row("  P(gain>0)", f"{outcome.gain.probability:.1%}"))
    out += [
        row("Validation", number(outcome.validation_score), "fresh splits" if outcome.shipped else "search"),
        row("Searched", number(outcome.best_value)),
        "",
        heading("Run"),
        row(
            "Ended",
            {"done": "as planned", "nothing_finished": "nothing finished"}.get(outcome.status, outcome.status),
            duration(outcome.seconds),
        ),
        *(row(name.capitalize(), str(outcome.counts.get(name, 0))) for name in ("completed", "pruned", "failed")),
    ]
    out += next_step(outcome)
    if outcome.findings:
        out += ["", heading(f"Findings ({len(outcome.findings)})"), findings_text(outcome.findings)]
    reasons = [r for name, r in outcome.reasons.items() if name not in {"heldout_score", "best_config"}]
    if reasons:
        out += ["", heading("Reasons"), *(shown(r) for r in reasons)]
    out += [
        "",
        heading("Where it lies"),
        row("Folder", shown(str(run_dir))),
        row("Model", shown(str(run_dir / "best"))),
        row("Use it", shown(f"advisor predict {run_dir.name} NEW.csv")),
    ]
    return lines(out)
