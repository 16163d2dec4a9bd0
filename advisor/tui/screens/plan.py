"""Plan: what will be done, and beside every row why, what would change it, and why not something else."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList

from advisor.core.errors import AdvisorError
from advisor.core.facts import Facts
from advisor.core.metrics import METRICS
from advisor.core.plan import Evidence, Plan
from advisor.core.space import Choice, Float, Int
from advisor.report.wording import between, configuration, duration, gibibytes, setting, shown
from advisor.tui.background import Finished, run_behind
from advisor.tui.facts_text import headline
from advisor.tui.frame import Page, Panel, Reading, RowList, fit, heading, lines, muted

SCHEMES = {
    "holdout": "one holdout",
    "kfold": "shuffled",
    "stratified": "stratified",
    "group": "by group",
    "stratified_group": "stratified by group",
    "time": "past predicts future",
}


@dataclass(frozen=True)
class Row:
    """One row of the plan with the fields whose evidence explains it."""

    key: str
    label: str
    text: str
    fields: tuple[str, ...] = ()
    """Paths of evidence, with all that lies in them; one that ends with ``=`` stands for itself alone."""
    note: str = ""


class PlanScreen(Page):
    """The plan at the left, its reasons at the right."""

    STEP = "Plan"
    HELP = (
        "Each row of the plan was set by a rule, by your answer or by arithmetic; the right side says which, from which facts, "
        "from which source, and the nearest change of a fact that would change the row. Enter starts the run in an engine of its own; "
        "the interface may be closed meanwhile."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "start", "Run", key_display="Enter"),
        Binding("ctrl+r", "start", "Run", show=False),
        Binding("a", "alternatives", "Alternatives"),
        Binding("w", "why", "Why"),
        Binding("x", "export", "Export"),
        Binding("y", "copy", "Copy", show=False),
        Binding("escape", "back", "Answers", key_display="Esc"),
        Binding("e", "back", "Answers", show=False),
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
        self._starts_at_once = starts_at_once
        self._rows = rows_of(plan)

    def body(self) -> Iterable[Widget]:
        with Container(id="body"):
            yield RowList("Plan", id="rows")
            yield Panel("Why", id="why")

    def on_mount(self) -> None:
        self.tell(f"{Path(self.plan.data).name} › {self.plan.target}" if self.plan.target else self.plan.data)
        rows = self.query_one("#rows", RowList)
        rows.border_title = headline(self.plan)
        rows.fill([(row.key, Content.assemble((fit(row.label, 12), "$quiet"), *_row_text(row))) for row in self._rows])
        rows.focus()
        self._explain()
        if self._starts_at_once:
            self.call_after_refresh(self.action_start)

    # -- keys ----------------------------------------------------------------------------------------------------------
    def action_start(self) -> None:
        """Starts the run, once."""
        if self.is_starting:
            return
        self.is_starting = True
        began = time.monotonic()
        rows = self.query_one("#rows", RowList)
        rows.border_subtitle = "starting the engine …"
        walk, runs = self.advisor.walk, self.advisor.runs
        run_behind(self, "start", lambda: walk.start(self.plan, self.facts, query=self.sql_query, runs=runs, began=began))

    def on_finished(self, event: Finished) -> None:
        """Goes to the run, or says why there is none; says where the plan lies."""
        if event.error is not None:
            if not isinstance(event.error, AdvisorError):
                raise event.error
            self.is_starting = False
            self.query_one("#rows", RowList).border_subtitle = ""
            self.notify(str(event.error), title="That did not work", severity="error", markup=False, timeout=12)
        elif event.label == "start":
            self.advisor.to_run(event.result)
        elif event.label == "save":
            self.notify(f"{event.result}\nRun it with: advisor run {event.result}", title="Plan written", markup=False, timeout=8)

    def action_back(self) -> None:
        """Back to the questions, with every answer as it was."""
        if not self.is_starting:
            self.dismiss()

    def action_why(self) -> None:
        """Moves into the reasons, to scroll them."""
        self.query_one("#why", Panel).focus()

    def action_alternatives(self) -> None:
        """Every strategy that was not chosen, and what spoke against it."""
        out: list[Content | str] = [Content.assemble(("chosen  ", "$quiet"), (self.plan.strategy.value, "bold $accent")), ""]
        for rejected in self.plan.rejected:
            out.append(Content.assemble((fit(rejected.strategy.value, 15), "bold"), (shown(rejected.rule), "$quiet")))
            out += [Content.assemble(("  ✗ ", "$text-error"), shown(reason)) for reason in rejected.failed]
        self.app.push_screen(Reading("Alternatives", lines(out)))

    def action_export(self) -> None:
        """Writes the plan beside where the interface was started, never over another file."""
        walk = self.advisor.walk
        plan, facts = self.plan, self.facts

        def save() -> Path:
            path = free_path(Path.cwd(), "plan", ".toml")
            walk.save_plan(plan, path, facts)
            return path

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

    @property
    def _selected(self) -> Row | None:
        key = self.query_one("#rows", RowList).highlighted_id
        return next((row for row in self._rows if row.key == key), None)

    def _explain(self) -> None:
        row = self._selected
        if row is not None:
            panel = self.query_one("#why", Panel)
            panel.border_title = f"Why: {row.label.strip() or row.text}"
            panel.show(why_text(self.plan, row))
            panel.scroll_home(animate=False)


def _row_text(row: Row) -> list[tuple[str, str] | str]:
    return [(row.text, "bold"), (f"  {row.note}" if row.note else "", "$quiet")]


def rows_of(plan: Plan) -> tuple[Row, ...]:
    """The plan as rows, in the order in which one reads it."""
    v, b, e = plan.validation, plan.budget, plan.envelope
    held = f"{v.heldout_ratio:.0%} held out" if v.heldout_ratio else "nothing held out"
    if v.scheme == "own":
        scheme, held = "by your own objective", ""
    elif v.scheme == "holdout":
        scheme = f"{v.holdout_ratio:.0%} holdout"
    else:
        scheme = f"{v.folds}-fold {SCHEMES[v.scheme]}" + (f" × {v.repeats}" if v.repeats > 1 else "")
    direction = "smaller is better" if plan.direction == "minimize" else "larger is better"
    title = METRICS[plan.metric].title if plan.metric in METRICS else plan.metric
    dropped = f"· {len(plan.dropped)} not used" if plan.dropped else ""
    rows = [
        Row(
            "target",
            "Target",
            shown(plan.target, longest=40),
            ("target", "task", "features", "dropped"),
            f"{plan.task.value} · {len(plan.features)} features {dropped}".rstrip(),
        )
        if plan.task is not None
        else Row("objective", "Objective", shown(plan.data, longest=60), ("objective", "direction"), "your own"),
        Row("metric", "Metric", title, ("metric", "direction"), direction),
        Row("validation", "Validation", scheme, ("validation",), held),
    ]
    for index, candidate in enumerate(plan.shortlist):
        note = f"{duration(candidate.fit_seconds)} a fit {'measured' if candidate.is_measured else 'estimated'}"
        inside = f"shortlist.{candidate.family}"
        fields = (
            ("family=", "shortlist=", "starts", "fit_seconds", "fixed")
            if candidate.family == plan.family
            else (f"{inside}.starts", f"{inside}.fit_seconds", f"{inside}.fixed")
        )
        rows.append(Row(f"family.{candidate.family}", "Models" if not index else "", candidate.family, fields, note))
    pruner = "no pruner" if plan.pruner.name == "none" else f"{plan.pruner.name} pruner on {plan.pruner.resource}s"
    rows.append(Row("strategy", "Search", plan.strategy.value, ("strategy", "pruner", "sampler"), pruner))
    names = min(24, max((len(shown(name)) for name, _ in plan.space.items()), default=0))
    ranges = min(24, max((len(range_of(p)) for _, p in plan.space.items()), default=0))
    for index, (name, parameter) in enumerate(plan.space.items()):
        scale = "choice" if isinstance(parameter, Choice) else "log" if parameter.log else "linear"
        default = f"· default {setting(parameter.default)}" if parameter.default is not None or isinstance(parameter, Choice) else ""
        condition = (
            " · if " + ", ".join(f"{k} is {'/'.join(setting(x) for x in xs)}" for k, xs in parameter.when.items()) if parameter.when else ""
        )
        rows.append(
            Row(
                f"space.{name}",
                "Space" if not index else "",
                f"{fit(shown(name), names)}  {fit(range_of(parameter), ranges)}",
                (f"space.{name}", f"shortlist.{plan.family}.space.{name}", "space"),
                f"{scale} {default}".rstrip() + condition,
            )
        )
    rows.append(
        Row(
            "envelope",
            "Workers",
            f"{e.workers} × {e.threads_per_worker} thread{'s' * (e.threads_per_worker > 1)}",
            ("envelope",),
            f"{e.device} · a trial at most {duration(e.trial_seconds)}",
        )
    )
    for index, stage in enumerate(plan.stages):
        rows.append(
            Row(
                f"stages.{stage.name}",
                "Stages" if not index else "",
                f"{fit(stage.name, 8)} {stage.trials:>4} trials {duration(stage.seconds):>8}",
                ("stages", f"stages.{stage.name}"),
                shown(stage.engine.rpartition(".")[2] or stage.strategy.value),
            )
        )
    rows.append(
        Row(
            "budget",
            "Budget",
            duration(b.seconds),
            ("budget",),
            f"{b.trials} trials fit" + (f", at most {b.trials_cap}" if b.trials_cap else ""),
        )
    )
    rows.append(
        Row(
            "forecast",
            "Forecast",
            f"{plan.forecast.trials} trials",
            ("forecast",),
            f"done in {between(plan.forecast.seconds_p50, plan.forecast.seconds_p90)}",
        )
    )
    for index, advice in enumerate(plan.advice):
        rows.append(Row(f"advice.{index}", "Advice" if not index else "", "! " + shown(advice.text, longest=200)))
    for index, question in enumerate(plan.open):
        rows.append(Row(f"open.{index}", "Open" if not index else "", "? " + shown(question.fact), (), shown(question.reason, longest=120)))
    return tuple(rows)


def range_of(parameter: Float | Int | Choice) -> str:
    """Bounds or choices, short."""
    if isinstance(parameter, Choice):
        return ", ".join(setting(choice) for choice in parameter.choices)
    return f"{setting(parameter.low)} … {setting(parameter.high)}"


def evidence_of(plan: Plan, row: Row) -> tuple[Evidence, ...]:
    """The evidence of a row: of its own field first, of what it lies in only where it has none of its own."""
    for field in row.fields if row.key.startswith("space.") else ():
        own = tuple(x for x in plan.evidence if x.field == field or x.field.startswith(field + "."))
        if own:
            return own
    if row.key.startswith("space."):
        return ()
    exact = {f.removesuffix("=") for f in row.fields}
    inside = tuple(f + "." for f in row.fields if not f.endswith("="))
    return tuple(x for x in plan.evidence if x.field in exact or x.field.startswith(inside))


def why_text(plan: Plan, row: Row) -> Content:
    """Why a row is as it is, what would change it, and for the strategy why not the others."""
    kind, _, rest = row.key.partition(".")
    if kind == "advice":
        advice = plan.advice[int(rest)]
        return lines([shown(advice.text), "", _tagged("Rule", advice.rule), _tagged("Source", advice.source)])
    if kind == "open":
        question = plan.open[int(rest)]
        return lines(
            [
                Content.styled(f"{shown(question.fact)} is not known", "bold"),
                shown(question.reason),
                "",
                _tagged("Cure", question.cure or "none"),
                _tagged("Passed over", ", ".join(question.rules)),
            ]
        )
    out: list[Content | str] = []
    if kind == "family":
        candidate = next(c for c in plan.shortlist if c.family == rest)
        out += [_tagged("Tried first", configuration(candidate.starts[0]) if candidate.starts else "its default")]
        if rest != plan.family:
            out += [_tagged("Space", ", ".join(candidate.space.free) or "nothing to search")]
        if len(candidate.starts) > 1:
            out.append(muted(f"and {len(candidate.starts) - 1} more starting configurations"))
        out.append("")
    if kind == "target" and plan.dropped:
        out += (
            [heading("Not used")] + [Content.assemble((fit(shown(n), 20), "bold"), " ", shown(r)) for n, r in plan.dropped.items()] + [""]
        )
    if kind == "stages":
        stage = next(s for s in plan.stages if s.name == rest)
        out += [
            _tagged("Proposes", stage.strategy.value),
            _tagged("Executed by", stage.engine),
            _tagged("Moves", ", ".join(stage.space) or "nothing"),
            "",
        ]
    found = evidence_of(plan, row)
    for item in found:
        out.append(Content.assemble((shown(item.field), "bold $accent"), " = ", (_value(item.value, item.field), "bold")))
        out.append(shown(item.because, lines=True))
        if item.facts:
            out.append(_tagged("Facts", ", ".join(f"{k} {_value(v, k)}" for k, v in item.facts.items())))
        out.append(_tagged("Rule", item.rule))
        if item.source:
            out.append(_tagged("Source", item.source))
        for flip in item.flips:
            out.append(
                Content.assemble(
                    ("↷ ", "bold $text-warning"),
                    f"{shown(flip.fact)} {_value(flip.now, flip.fact)} → {_value(flip.becomes, flip.fact)}: ",
                    (shown(flip.then), "bold"),
                )
            )
        out.append("")
    if not found and kind not in {"stages", "family"}:
        out += [muted("Follows from the rows above; no rule of its own."), ""]
    if kind == "strategy" and plan.rejected:
        out.append(heading("Why not"))
        for rejected in plan.rejected:
            out.append(Content.assemble((fit(rejected.strategy.value, 14), "bold"), shown("; ".join(rejected.failed))))
    return lines(out)


def _tagged(label: str, text: str) -> Content:
    return Content.assemble((f"{label}  ", "$quiet"), shown(text, lines=True))


def _value(value: Any, name: str = "") -> str:
    """A value as text; the unit is read from the end of its name."""
    if isinstance(value, dict):
        return shown(", ".join(f"{k} {_value(v, str(k))}" for k, v in value.items()), longest=160) or "none"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name.endswith("_seconds") or name == "budget.seconds":
            return duration(float(value))
        if name.endswith("_bytes"):
            return gibibytes(value)
    return setting(value)


def free_path(folder: Path, stem: str, suffix: str) -> Path:
    """The first of ``stem.suffix``, ``stem-2.suffix`` … that does not exist in `folder`."""
    path = folder / f"{stem}{suffix}"
    count = 1
    while path.exists():
        count += 1
        path = folder / f"{stem}-{count}{suffix}"
    return path
