"""A run in words and curves: its summary, the best so far, its log."""

from __future__ import annotations

from textual.content import Content

from advisor.core.events import StudyState
from advisor.report.wording import bar, clock, number, shown
from advisor.tui.frame import lines, muted
from advisor.tui.plot import Curve


def splits_of(state: StudyState) -> int:
    """Steps of a full trial; 0 when the plan does not fix them."""
    if not state.plan or (state.plan.get("pruner") or {}).get("resource") == "epoch":
        return 0
    validation = state.plan["validation"]
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
    gauge = 24 if width >= 110 else 10
    left = total - elapsed
    ends = f"{clock(left)} left" if left > 0 else "ending"
    second = Content.assemble(
        ("Trials ", "$quiet"),
        (f"{done}", "bold"),
        f" / ~{expected} ",
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
