"""What the HTML report shows of a run, section by section, as plain text, tables and drawings; the template lays it out."""

from __future__ import annotations

import time
from typing import Any

from advisor.core.events import StudyState
from advisor.core.space import Choice, Float, Int
from advisor.report import charts_run as draw
from advisor.report.charts import Table
from advisor.report.html_plan import why_section
from advisor.report.html_told import Section, Told, Verbatim, spaces_of
from advisor.report.html_trials import environment_section, failures_section, findings_section, trials_section, warnings_section
from advisor.report.html_words import (
    budget_story,
    default_value,
    family_title,
    interval_sentence,
    manager_verdict,
    metric_title,
    sentence,
)
from advisor.report.wording import duration, learned_from, number, setting


def view(told: Told) -> dict[str, Any]:
    """The variables of the template."""
    verdict, mood = manager_verdict(told.outcome, was_compared=told.state.confirmed is None or len(told.state.confirmed.candidates) > 1)
    sections = [
        _configuration(told),
        _heldout(told),
        _budget(told),
        why_section(told),
        _importance(told),
        _curves(told),
        trials_section(told),
        failures_section(told),
        warnings_section(told),
        findings_section(told),
        environment_section(told),
    ]
    plan = told.plan
    about = told.clean(plan.data, 120)
    if plan.task is not None:
        about += f" · predicts {told.clean(plan.target, 60)}"
    started = max(0.0, min((t.started_elapsed for t in told.state.trials.values()), default=0.0))
    began = told.state.at - told.state.elapsed + started if told.state.at else 0.0
    return {
        "name": told.called,
        "about": about,
        "began": time.strftime("%d %B %Y, %H:%M", time.localtime(began)).lstrip("0") if began > 0 else "",
        "written": time.strftime("%d %B %Y, %H:%M", time.localtime(told.written)).lstrip("0") if told.written else "",
        "verdict": verdict,
        "mood": mood,
        "status": {"done": "finished", "nothing_finished": "nothing finished"}.get(told.outcome.status, told.outcome.status),
        "standing": _standing(told),
        "figures": _figures(told),
        "sections": [s for s in sections if s is not None],
    }


def _standing(told: Told) -> str:
    """What a reader must know of a run that is not over; empty for one that is."""
    match told.outcome.status:
        case "running":
            return "This run is still going: every figure below is as it stood when the report was written. Write it again at the end."
        case "interrupted":
            return f"This run was interrupted before its end. Everything finished is kept; go on with: advisor resume {told.called}"
        case "failed" | "nothing_finished" if told.state.finished is not None and told.state.finished.reason:
            return told.clean(told.state.finished.reason)
        case "stopped":
            return "This run was stopped early by hand; the best found until then was confirmed and kept."
        case _:
            return ""


def _figures(told: Told) -> list[tuple[str, str, str]]:
    """The few numbers at the top: label, value, and what it stands beside."""
    outcome, title = told.outcome, metric_title(told.outcome.metric)
    better = "higher is better" if outcome.direction == "maximize" else "lower is better"
    out: list[tuple[str, str, str]] = []
    if outcome.heldout_score is not None:
        note = f"default: {number(outcome.default_heldout_score)}" if outcome.shipped != "default" else "the default itself"
        out.append((f"{title}, unseen data", number(outcome.heldout_score), f"{note} · {better}"))
    elif outcome.best_value is not None:
        default = default_value(outcome)
        out.append((f"best {title}", number(outcome.best_value), f"default: {number(default)} · {better}"))
    if outcome.gain is not None and outcome.shipped != "default":
        low, high = number(outcome.gain.low, 3), number(outcome.gain.high, 3)
        sign = "+" if outcome.gain.value > 0 else ""
        out.append(("gain over the default", f"{sign}{number(outcome.gain.value, 3)}", f"95 % interval {low} to {high}"))
    counts = outcome.counts
    ended = counts["completed"] + counts["pruned"]
    beside = [f"{counts['pruned']:,} stopped early"] * bool(counts["pruned"]) + [f"{counts['failed']:,} failed"] * bool(counts["failed"])
    out.append(("trials", f"{ended:,}", ", ".join(beside) or "none failed"))
    out.append(("time", duration(outcome.seconds), f"budget {duration(told.plan.budget.seconds + told.state.extra_seconds)}"))
    return out


def _configuration(told: Told) -> Section:
    """What is shipped, beside the default and the range it was searched in."""
    outcome, state = told.outcome, told.state
    config = outcome.best_config
    if config is None:
        return Section(
            "configuration", "Configuration", [told.clean(outcome.reasons.get("best_config", "No trial finished: there is none."))]
        )
    lines = []
    if outcome.plan.task is not None:
        what = f"A {family_title(outcome.family)} ({told.clean(outcome.family)})"
        trained = told.clean(learned_from(outcome.plan, outcome.trained_on), 400)
        late = ", because the run ended before its last fit" if outcome.trained_on == "fold" else ""
        lines.append(f"{what}{', fitted on ' + trained + late if trained else ''}.")
    if told.facts is not None and told.facts.answers.baseline:
        lines.append("The default here is your own configuration, which you gave with --baseline: it was trial 0.")
    space = spaces_of(told.state, told.plan).get(outcome.family or "")
    candidate = next((c for c in outcome.plan.shortlist if c.family == outcome.family), None)
    default = candidate.starts[0] if candidate is not None and candidate.starts else _default_config(state)
    rows = []
    for name, value in config.items():
        parameter = space.parameters.get(name) if space is not None else None
        before = told.clean(setting(default[name])) if name in default else "–"
        rows.append((told.clean(name, 60), told.clean(setting(value)), before, _range(parameter, told)))
    fixed = {n: v for n, v in (candidate.fixed if candidate is not None else {}).items() if n not in config}
    rows += [(told.clean(n, 60), told.clean(setting(v)), "held", "") for n, v in fixed.items()]
    blocks: list[Any] = [
        Table(("hyperparameter", "shipped" if outcome.shipped else "best", "default", "searched in"), tuple(rows), right=(1, 2))
    ]
    charts = draw.schedule_charts(tuple((s.step, s.config) for s in outcome.schedule), step=_step_name(told), clean=told.clean)
    if outcome.schedule:
        lines.append("It is a schedule: these values changed while it was trained, and the table shows the last ones.")
        steps = [
            (str(s.step), " · ".join(f"{told.clean(k, 40)} {told.clean(setting(v))}" for k, v in s.config.items()))
            for s in outcome.schedule[:60]
        ]
        blocks.append(Table((f"after {_step_name(told)}", "values from there on"), tuple(steps), right=(0,)))
    if outcome.plan.task is not None:
        new = "NEW_FOLDER" if outcome.plan.features == ("image",) else "NEW.csv"
        blocks.append(Verbatim("Predictions for new data", f"advisor predict {told.called} {new}"))
    return Section("configuration", "Configuration", lines, charts, blocks)


def _default_config(state: StudyState) -> dict[str, Any]:
    return dict(state.trials[state.default].config) if state.default is not None else {}


def _range(parameter: Float | Int | Choice | None, told: Told) -> str:
    if parameter is None:
        return ""
    if isinstance(parameter, Choice):
        return told.clean(" | ".join(setting(c) for c in parameter.choices), 120)
    return f"{setting(parameter.low)} to {setting(parameter.high)}{', log' if parameter.log else ''}"


def _step_name(told: Told) -> str:
    own = told.facts.objective if told.facts is not None else None
    if own is not None and own.fidelity is not None:
        return told.clean(own.fidelity.name, 30)
    return "epoch" if told.plan.task is not None else "step"


def _heldout(told: Told) -> Section:
    """The score on rows no choice has seen, against the default's; and how it was decided."""
    outcome, state = told.outcome, told.state
    title = metric_title(outcome.metric)
    if outcome.plan.task is None:
        return Section("score", "Score against the default", _own_scores(told, title))
    lines: list[str] = []
    blocks: list[Any] = []
    if outcome.heldout_score is not None:
        rows_of = f" {state.heldout.rows:,}" if state.heldout is not None and state.heldout.rows else ""
        file = f" of {told.clean(outcome.plan.test.source, 200)}" if outcome.plan.test is not None else ""
        lines.append(f"Scored once, at the end, on{rows_of} rows{file} that no choice ever saw. {interval_sentence(outcome)}".strip())
        rows = [("shipped model", number(outcome.heldout_score))]
        if outcome.shipped != "default":
            rows.append(("default", number(outcome.default_heldout_score)))
        rows.append((f"validation, {outcome.plan.validation.again}", number(outcome.validation_score)))
        blocks.append(Table(("", title), tuple(rows), right=(1,)))
        gain = outcome.gain
        if gain is not None and outcome.shipped != "default":
            blocks.append(draw.gain_interval(gain.value, gain.low, gain.high, probability=gain.probability))
    missing = ("heldout_score", *(() if outcome.gain is not None else ("gain",)), "shipped")
    lines += [sentence(told.clean(outcome.reasons[f])) for f in missing if f in outcome.reasons]
    if state.confirmed is not None:
        again = outcome.plan.validation.again
        lines.append(f"What is shipped was decided before, {again}: {sentence(told.clean(state.confirmed.reason), lower=True)}")
        blocks.append(draw.confirmed_chart(state.confirmed, state, title=title))
    return Section("score", "Score on unseen data, against the default", lines, [], [b for b in blocks if b is not None])


def _own_scores(told: Told, title: str) -> list[str]:
    outcome, default = told.outcome, default_value(told.outcome)
    if outcome.best_value is None:
        return ["No configuration has a value yet."]
    told_default = f"the default's is {number(default)}" if default is not None else "the default has no value"
    return [
        f"The best {title} is {number(outcome.best_value)}; {told_default}.",
        "Your own objective validates by itself: nothing is held out here, so the best of many noisy values is a little too good. "
        "Measure the chosen configuration once more on data that played no part.",
    ]


def _budget(told: Told) -> Section:
    families = draw.families_chart(told.state, title=metric_title(told.plan.metric), clean=told.clean)
    ended = sum(t.status in ("completed", "pruned") for t in draw.searched(told.state))
    first, measured = told.forecasts
    chart = draw.best_so_far(told.state, measured, title=metric_title(told.plan.metric))
    spans = [f"{duration(f.seconds_p50)}, at most {duration(f.seconds_p90)}" for f in (first, measured)]
    rows = [
        ("trials", f"{first.trials:,}", f"{measured.trials:,}", f"{ended:,}"),
        ("time", *spans, duration(told.state.elapsed) + ("" if told.state.finished is not None else " so far")),
    ]
    table = Table(("", "forecast at first", "after the pilot", "what happened"), tuple(rows), right=(1, 2, 3))
    return Section(
        "budget",
        "Was the budget enough?",
        budget_story(told.state, measured),
        [chart],
        [table, *([families] if families is not None else [])],
    )


def _importance(told: Told) -> Section | None:
    if not told.importances and not told.importance_note:
        return None
    lines = [told.importance_note] if told.importance_note else []
    return Section("importance", "What mattered", lines, [draw.importance_chart(told.importances, clean=told.clean)])


MOST_SLICES = 12


def _curves(told: Told) -> Section | None:
    title, spaces = metric_title(told.plan.metric), spaces_of(told.state, told.plan)
    best = told.state.trials.get(told.state.best) if told.state.best is not None else None
    names = list(dict.fromkeys([*(i.name for i in told.importances), *(best.config if best is not None else ())]))
    charts = [
        draw.curves_chart(told.state, told.plan, title=title, step=_step_name(told)),
        draw.parallel_chart(told.state, spaces, names, title=title, clean=told.clean),
        *draw.slice_charts(told.state, spaces, names[:MOST_SLICES], title=title, clean=told.clean),
    ]
    if not any(charts):
        return None
    lines = []
    if len(names) > MOST_SLICES:
        lines.append(f"The {MOST_SLICES} most important of {len(names)} hyperparameters are drawn one by one.")
    return Section("curves", "What was tried", lines, charts)
