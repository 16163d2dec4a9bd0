"""A run in words and curves: its summary, the best so far, its log."""

from __future__ import annotations

import math
from collections.abc import Sequence

from textual.content import Content

from advisor.core.diagnosis import Finding
from advisor.core.events import StudyState
from advisor.core.outlook import outlook
from advisor.core.space import Choice, SearchSpace
from advisor.report.wording import bar, between, clock, number, setting, shown
from advisor.tui.frame import lines, muted
from advisor.tui.plot import Curve

WIDEST = 4
"""A band of trials wider than this many times its lower end, as while families of very different times race, says less than the plan."""


def splits_of(state: StudyState) -> int:
    """Steps of a full trial; 0 when the plan does not fix them."""
    if not state.plan or (state.plan.get("pruner") or {}).get("resource") == "epoch":
        return 0
    validation = state.plan["validation"]
    if validation.get("scheme") == "own":
        return 0
    return int(validation["folds"]) * int(validation.get("repeats", 1))


def summary(state: StudyState, *, elapsed: float, is_alive: bool, asked: str, was_alive: bool, width: int) -> Content:
    """Three lines: what the run does, how far it is, and what it has found."""
    if state.plan is None:
        return muted("The engine starts …")
    counts = state.counts()
    total = float(state.plan["budget"]["seconds"]) + state.extra_seconds
    expected = int(state.plan["forecast"]["trials"])
    done = counts["completed"] + counts["pruned"]
    waits = {"pause": "pausing …", "resume": "going on …", "stop": "stopping …", "skip": "skipping …", "budget": "adding time …"}.get(
        asked, ""
    )
    if state.finished is not None:
        word, style = f"■ {state.finished.status}", "bold"
    elif not is_alive and (was_alive or state.trials or state.engine is not None):
        word, style = "✗ the engine is gone; nothing finished is lost. c goes on, r shows the runs", "bold $text-error"
    elif state.is_paused:
        word, style = "‖ paused: running trials end, none is started. Space goes on", "bold $text-warning"
    else:
        word, style = "▸ running", "bold $text-success"
    strategy = state.stages[-1].strategy if state.stages else ""
    first = Content.assemble(
        (f"{word}  ", style),
        (f"stage {shown(state.stage)} · {shown(strategy)}" if state.stage else "", "$quiet"),
        (f"  {waits}", "bold $text-warning"),
    )
    gauge = 24 if width >= 110 else 6
    left = total - elapsed
    ahead = outlook(state, elapsed=elapsed)
    band, ends = f"~{max(expected, done)}", f"{clock(left)} left" if left > 0 else "ending"
    if ahead is not None:
        if ahead.trials_high <= WIDEST * ahead.trials_low:
            expected = (ahead.trials_low + ahead.trials_high) // 2
            band = f"~{ahead.trials_low}" + (f"–{ahead.trials_high}" if ahead.trials_high > ahead.trials_low else "")
        ends = f"ends in {between(ahead.seconds_low, ahead.seconds_high)}" if left > 0 else "ending"
    second = Content.assemble(
        ("Trials ", "$quiet"),
        (f"{done}", "bold"),
        f" / {band} ",
        (bar(done / expected if expected else 0.0, gauge), "$accent"),
        ("   Time ", "$quiet"),
        (clock(elapsed), "bold"),
        f" / {clock(total)} ",
        (bar(elapsed / total if total else 0.0, gauge), "$accent"),
        (f"   {ends}" if is_alive else "", "$quiet"),
    )
    return lines([first, second, _findings_line(state, counts)])


def _findings_line(state: StudyState, counts: dict[str, int]) -> Content:
    best = state.trials[state.best].value if state.best is not None else None
    default = state.trials[state.default].value if state.default is not None else None
    parts: list[tuple[str, str] | str] = [("Best ", "$quiet"), (number(best), "bold $accent")]
    if state.best is not None:
        parts.append((f" trial {state.best}", "$quiet"))
    parts += [("   Default ", "$quiet"), number(default)]
    if best is not None and default is not None and state.best != state.default:
        parts += [("   Gain ", "$quiet"), (number(abs(best - default), 3), "bold")]
    parts += ["   ", (f"{counts['pruned']} pruned", "$quiet")]
    if counts["failed"]:
        parts += ["  ", (f"✗ {counts['failed']} failed", "$text-error")]
    return Content.assemble(*parts)


def best_curve(state: StudyState) -> Curve:
    """The finished trials of pilot and search, the best so far as stairs, the default as a level."""
    points, steps = [], []
    best: float | None = None
    for trial in state.trials.values():
        if trial.status != "completed" or trial.value is None or trial.stage == "confirm" or trial.rows is not None:
            continue
        points.append((float(trial.number), trial.value))
        if best is None or state.better(trial.value, best):
            best = trial.value
            steps.append((float(trial.number), best))
    default = state.trials[state.default].value if state.default is not None else None
    last = max(state.trials, default=1)
    return Curve(points=tuple(points), steps=tuple(steps), level=default, last=float(max(1, last)))


def slice_curve(state: StudyState, name: str) -> tuple[Curve, str]:
    """The finished trials over one hyperparameter, the default as a level; and the name of its scale."""
    space = SearchSpace.model_validate({"parameters": (state.plan or {}).get("space") or {}})
    parameter = space.parameters[name]
    is_log = not isinstance(parameter, Choice) and parameter.log
    points = []
    for trial in state.trials.values():
        value = trial.config.get(name)
        if (
            trial.status != "completed"
            or trial.value is None
            or trial.stage == "confirm"
            or trial.rows is not None
            or name not in trial.config
        ):
            continue
        if isinstance(parameter, Choice):
            places = [i for i, choice in enumerate(parameter.choices) if type(choice) is type(value) and choice == value]
            if places:
                points.append((float(places[0]), trial.value))
        elif isinstance(value, int | float) and (value > 0 or not is_log):
            points.append((math.log10(value) if is_log else float(value), trial.value))
    level = state.trials[state.default].value if state.default is not None else None
    if isinstance(parameter, Choice):
        ends = (setting(parameter.choices[0]), setting(parameter.choices[-1]))
        return Curve(points=tuple(points), level=level, first=-0.5, last=len(parameter.choices) - 0.5, ends=ends, is_bold=True), "choices"
    low, high = (math.log10(parameter.low), math.log10(parameter.high)) if is_log else (float(parameter.low), float(parameter.high))
    inside = tuple((x, y) for x, y in points if low <= x <= high)
    ends = (setting(parameter.low), setting(parameter.high))
    return Curve(points=inside, level=level, first=low, last=high, ends=ends, is_bold=True), "log" if is_log else "linear"


def findings_text(findings: Sequence[Finding]) -> Content:
    """Findings with what was seen, what it comes from, and what was done or is to do."""
    out: list[Content | str] = []
    for finding in findings:
        out.append(
            Content.assemble(
                ("! ", "bold $text-warning"), (shown(finding.title or finding.about), "bold"), (f"  {finding.level}", "$quiet")
            )
        )
        out.append(shown(finding.seen))
        if finding.cause:
            out.append(shown(finding.cause))
        label, text = ("Done  ", finding.done) if finding.done else ("Cure  ", finding.cure)
        if text:
            out.append(Content.assemble((label, "$quiet"), (shown(text), "bold")))
        if finding.source:
            out.append(muted(f"Source  {shown(finding.source)}"))
        out.append("")
    return lines(out or [muted("Nothing was noticed so far.")])


def log_of(state: StudyState, *, longest: int = 200) -> list[Content]:
    """What happened, a line each, the last at the end."""
    entries = [(stage.elapsed, "›", "$accent", f"{stage.stage} begins: {stage.strategy}") for stage in state.stages]
    for revision in state.revisions:
        what = "; ".join(revision.changes) or "nothing changed"
        entries.append((revision.elapsed, "↻", "$accent", f"plan revised: {revision.reason} {what}"))
    for note in state.notes:
        warns = note.level == "warning"
        entries.append((note.elapsed, "!" if warns else "·", "bold $text-warning" if warns else "$quiet", note.text))
    entries += [(c.elapsed, "»", "$text-primary", f"{c.command} was carried out") for c in state.commands]
    failed = (t for t in state.trials.values() if t.status == "failed")
    entries += [(t.started_elapsed + t.seconds, "✗", "bold $text-error", f"trial {t.number} failed: {t.cause}") for t in failed]
    if state.confirmed is not None:
        entries.append(
            (state.confirmed.elapsed, "✓", "$text-success", f"confirmed: trial {state.confirmed.chosen}. {state.confirmed.reason}")
        )
    if state.finished is not None:
        entries.append((state.finished.elapsed, "■", "bold", f"{state.finished.status}: {state.finished.reason}"))
    entries.sort(key=lambda entry: entry[0])
    return [
        Content.assemble((f"{clock(at):>7}  ", "$quiet"), (f"{sign} ", style), shown(text, longest=300))
        for at, sign, style, text in entries[-longest:]
    ]
