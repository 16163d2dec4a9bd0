"""What came out of a run in words: the verdict, the configuration beside the default's, and what both rest on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.content import Content

from advisor.core.metrics import METRICS
from advisor.core.outcome import Outcome
from advisor.core.outlook import promise
from advisor.report.wording import bar, duration, learned_from, number, setting, shown
from advisor.tui.frame import fit, heading, lines, muted
from advisor.tui.run_text import findings_text

if TYPE_CHECKING:
    from advisor.report.html_told import Told

GAUGES = {False: 10, True: 4}
"""Cells of the bar of an importance, by whether the screen is narrow."""
NAMES = {False: 24, True: 17}
"""Cells that its name may take."""


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
    if outcome.plan.task is None and outcome.best_value is not None and outcome.status in ("done", "stopped"):
        first = next((t.value for t in outcome.trials if t.origin == "default" and t.status == "completed"), None)
        beside = f", the default's {number(first)}" if first is not None else ""
        said = f"= The best {title} is {number(outcome.best_value)}{beside}. Your own objective says so: nothing is held out beside it."
        return said, "bold $text-warning"
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
        parts.append(f"The saved model was fitted on {shown(learned_from(outcome.plan, outcome.trained_on), longest=200)}.")
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


def importance_text(told: Told, *, is_narrow: bool = False) -> list[Content | str]:
    """How much each hyperparameter mattered: a bar, its share, and where nine tenths of the resamples of the trials put it."""
    out: list[Content | str] = ["", heading("What mattered")]
    names = min(NAMES[is_narrow], max((len(told.clean(i.name, 40)) for i in told.importances), default=0))
    out += [
        Content.assemble(
            (fit(told.clean(found.name, 40), names), "bold"),
            " ",
            (bar(found.value, GAUGES[is_narrow]), "$accent"),
            (f" {found.value:>4.0%}", "bold"),
            (f" {100 * found.low:.0f}–{found.high:.0%}", "$quiet"),
        )
        for found in told.importances
    ]
    if told.importances:
        out.append(muted("Share of what sets the best trials apart, with its 90 % interval."))
    return [*out, muted(told.importance_note)] if told.importance_note else out


def budget_text(told: Told) -> list[Content | str]:
    """Was the budget enough, and did the forecast hold."""
    from advisor.report.html_words import budget_story

    story: Sequence[str] = budget_story(told.state, told.forecasts[1])
    return ["", heading("Was the budget enough?"), *(shown(line) for line in story)] if story else []


def rest_text(outcome: Outcome, run_dir: Path, told: Told | None = None, *, is_narrow: bool = False) -> Content:
    """Scores, what mattered, whether the budget was enough, the next step, findings, trials, and where everything lies.

    Without `told`, which takes seconds, it says that what mattered is being weighed.
    """

    def row(label: str, value: str, note: str = "") -> Content:
        return Content.assemble((fit(label, 12), "$quiet"), (value, "bold"), (f" {note}" if note else "", "$quiet"))

    heldout = outcome.reasons.get("heldout_score", "")
    out: list[Content | str] = [
        heading("Scores"),
        *(
            (
                row("Unseen rows", number(outcome.heldout_score), shown(heldout)),
                row("  default", number(outcome.default_heldout_score)),
            )
            if outcome.plan.task is not None
            else ()
        ),
    ]
    if outcome.gain is not None:
        out.append(row("  gain", number(outcome.gain.value, 3), f"[{number(outcome.gain.low, 3)}, {number(outcome.gain.high, 3)}]"))
        out.append(row("  P(gain>0)", f"{outcome.gain.probability:.1%}"))
    out += [
        row("Validation", number(outcome.validation_score), "fresh splits" if outcome.shipped else "search"),
        row("Searched", number(outcome.best_value)),
    ]
    out += (
        importance_text(told, is_narrow=is_narrow) if told is not None else ["", heading("What mattered"), muted("Weighing the trials …")]
    )
    out += budget_text(told) if told is not None else []
    out += next_step(outcome)
    out += [
        "",
        heading("Run"),
        row(
            "Ended",
            {"done": "as planned", "nothing_finished": "nothing finished"}.get(outcome.status, outcome.status),
            duration(outcome.seconds),
        ),
        *(row(name.capitalize(), str(outcome.counts.get(name, 0))) for name in ("completed", "pruned", "failed")),
    ]
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
