"""The plan as rows, in the order in which one reads it."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.core.editing import edited
from advisor.core.metrics import METRICS
from advisor.core.plan import Plan
from advisor.core.space import Choice, Float, Int
from advisor.report.wording import between, duration, setting, shown
from advisor.tui.frame import fit

SCHEMES = {
    "holdout": "one holdout",
    "kfold": "shuffled",
    "stratified": "stratified",
    "group": "by group",
    "stratified_group": "stratified by group",
    "time": "past predicts future",
    "given": "rows of a file",
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
    """What stands beside it."""
    is_yours: bool = False
    """True where the user has set it."""


def rows_of(plan: Plan) -> tuple[Row, ...]:
    """The plan as rows, in the order in which one reads it."""
    v, b, e = plan.validation, plan.budget, plan.envelope
    held = f"{v.heldout_ratio:.0%} held out" if v.heldout_ratio else "nothing held out"
    if plan.test is not None:
        held = f"{plan.test.rows:,} rows of {shown(plan.test.source, longest=30)} held out"
    if v.scheme == "own":
        scheme, held = "by your own objective", ""
    elif plan.valid is not None:
        scheme = f"{plan.valid.rows:,} rows of {shown(plan.valid.source, longest=30)}"
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
        Row("validation", "Validation", scheme, ("validation", "valid", "test"), held),
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
    yours = edited(plan)
    answered = {e.field for e in plan.evidence if e.rule == "answer"}
    if plan.stability is not None and plan.stability.is_near:
        pruner += " · a close call"
    rows.append(Row("strategy", "Search", plan.strategy.value, ("strategy", "pruner", "sampler"), pruner, is_yours="strategy" in answered))
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
                is_yours=name in yours,
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
