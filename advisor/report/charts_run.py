"""The drawings of a run: how the best score came about, what was tried, how it was confirmed, and what mattered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import eq
from typing import Any, Protocol

from advisor.core.events import Confirmed, StudyState, TrialState
from advisor.core.lineage import Schedule
from advisor.core.plan import Forecast, Plan
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.report.charts import TEXT_WIDTH, Canvas, Chart, Table, frame, robust_range, scale, tick_label
from advisor.report.wording import duration, number, setting

WIDTH, HEIGHT = 720.0, 300.0
SMALL = (310.0, 200.0)
MOST_POINTS = 600
"""Marks in one drawing; a run of thousands is thinned evenly, its best always kept."""
MOST_LINES = 60
"""Learning curves in one drawing."""
MOST_ROWS = 60
"""Rows of the table beside a drawing."""
MOST_CATEGORIES = 12
Clean = Callable[[object], str]
"""Makes a text safe to be read by others: no control characters, no credentials."""


class Importance(Protocol):
    """How much one hyperparameter matters."""

    @property
    def name(self) -> str:
        """The hyperparameter."""
        ...

    @property
    def value(self) -> float:
        """Its share, 0..1."""
        ...

    @property
    def explained(self) -> float:
        """Share of the ranks of all scores that it explains by itself, 0..1."""
        ...

    @property
    def low(self) -> float:
        """5 % of the resamples lie below."""
        ...

    @property
    def high(self) -> float:
        """5 % of the resamples lie above."""
        ...


def searched(state: StudyState) -> list[TrialState]:
    """The trials that can be compared with each other: whole ones of pilot and search, in order of start."""
    return [t for t in state.trials.values() if t.stage != "confirm" and t.rows is None]


def scored(trials: Iterable[TrialState]) -> list[tuple[TrialState, float]]:
    """Those that ran in full, with their scores."""
    return [(t, t.value) for t in trials if t.status == "completed" and t.value is not None]


def thinned(entries: Sequence[Any], most: int, *, keep: Callable[[Any], bool]) -> list[Any]:
    """At most about `most` of `entries`, evenly spread, and those that `keep` says."""
    if len(entries) <= most:
        return list(entries)
    stride = math.ceil(len(entries) / most)
    return [e for i, e in enumerate(entries) if i % stride == 0 or keep(e)]


def finish(trial: TrialState) -> float:
    """Seconds of budget used when the trial ended; 0 for one that an earlier run has paid for."""
    return 0.0 if trial.started_elapsed < 0 else trial.started_elapsed + trial.seconds


def improvements(state: StudyState) -> list[tuple[TrialState, float]]:
    """Every trial that was the best when it ended, with its score, in order of their ends."""
    best: list[tuple[TrialState, float]] = []
    for trial, value in sorted(scored(searched(state)), key=lambda e: (finish(e[0]), e[0].number)):
        if not best or state.better(value, best[-1][1]):
            best.append((trial, value))
    return best


def best_so_far(state: StudyState, forecast: Forecast, *, title: str) -> Chart | None:
    """The best score over time, every trial beside it, the default's score, and when the forecast said that it would be over."""
    whole = scored(searched(state))
    if not whole:
        return None
    steps = improvements(state)
    default = state.trials[state.default].value if state.default is not None else None
    smaller = state.direction == "minimize"
    low, high = robust_range([v for _, v in whole], smaller_is_better=smaller, always=[default] if default is not None else [])
    end = max([state.elapsed, *(finish(t) for t, _ in whole)])
    last = max(end, forecast.seconds_p50)
    best = steps[-1]
    canvas = Canvas(
        WIDTH,
        HEIGHT,
        f"Best {title} over time: {number(steps[0][1])} first, {number(best[1])} at the end, found after {duration(finish(best[0]))}",
    )
    shape = frame(
        canvas,
        [0.0, last],
        [low, high],
        x_title="time",
        y_title=title,
        x_pad=0.0,
        x_label=duration,
        x_ticks=time_ticks(last),
    )
    p50, p90 = forecast.seconds_p50, forecast.seconds_p90
    if shape.x.holds(p50):
        canvas.box((shape.x(p50), shape.y(shape.y.low)), (max(shape.x(p90), shape.x(p50) + 2), shape.y(shape.y.high)), "band")
        anchor = "end" if shape.x(p50) > WIDTH * 0.7 else "start"
        canvas.text((shape.x(p50), 14), "forecast end", "note", anchor=anchor)
    for trial, value in thinned(whole, MOST_POINTS, keep=lambda e: e[0].number == best[0].number):
        kind = "dot" if shape.y.holds(value) else "dot out"
        canvas.dot(shape.at(finish(trial), value), kind, tip=f"trial {trial.number}: {number(value)}")
    for trial in thinned([t for t in searched(state) if t.status == "failed"], MOST_POINTS // 4, keep=lambda _: False):
        canvas.cross((shape.x(finish(trial)), shape.y(shape.y.low) - 6), "failed")
    if default is not None:
        canvas.line((shape.x.start, shape.y(default)), (shape.x.end, shape.y(default)), "default")
        canvas.text(
            (shape.x.end - 2, shape.y(default) + (13 if shape.y(default) < 36 else -5)), f"default {number(default)}", "note", anchor="end"
        )
    canvas.path([shape.at(finish(t), v) for t, v in steps] + [shape.at(end, best[1])], "best", is_stepped=True)
    canvas.diamond(shape.at(finish(best[0]), best[1]), "chosen", tip=f"trial {best[0].number}: {number(best[1])}")
    outside = sum(not low <= v <= high for _, v in whole)
    caption = "Each dot is a trial, the line is the best so far, the diamond the best of all; crosses at the foot are trials that failed."
    if outside:
        caption += f" {outside} trial{'s' if outside > 1 else ''} far worse lie on the edge."
    rows = tuple((duration(finish(t)), str(t.number), number(v)) for t, v in steps[-MOST_ROWS:])
    note = f"The last {MOST_ROWS} of {len(steps)} improvements." if len(steps) > MOST_ROWS else ""
    return Chart(canvas.markup(), Table(("after", "trial", f"best {title}"), rows, right=(0, 1, 2), note=note), caption)


def time_ticks(end: float) -> list[float]:
    """Moments that people name, at most about seven until `end` (seconds).

    >>> time_ticks(60)
    [0, 10, 20, 30, 40, 50, 60]
    """
    steps = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800, 2592000)
    if end < 3:
        return [end * k / 4 for k in range(5)]
    step = next((s for s in steps if end / s <= 7), steps[-1] * math.ceil(end / steps[-1] / 7))
    return [step * k for k in range(int(end / step) + 1)]


def gain_interval(value: float, low: float, high: float, *, probability: float) -> Chart:
    """The gain over the default with its interval, zero marked: to the right of it tuning has paid."""
    canvas = Canvas(WIDTH, 118, f"Gain over the default {number(value)}, 95 percent interval {number(low)} to {number(high)}")
    across = scale([value, low, high, 0.0], 16, WIDTH - 16, pad=0.14)
    middle, foot = 52.0, 84.0
    marks = [t for t in across.ticks(7) if across.holds(t)]
    for mark in marks:
        canvas.line((across(mark), foot), (across(mark), foot + 4), "axis")
        canvas.text((across(mark), foot + 17), tick_label(mark, marks), anchor="middle")
    canvas.line((16, foot), (WIDTH - 16, foot), "axis")
    canvas.line((across(0), 20), (across(0), foot), "default")
    canvas.text((across(0) - 8, 16), "the default is better", "note", anchor="end") if across(0) > 150 else None
    canvas.text((across(0) + 8, 16), "the tuned model is better", "note") if across(0) < WIDTH - 170 else None
    canvas.line((across(low), middle), (across(high), middle), "interval")
    for end in (low, high):
        canvas.line((across(end), middle - 8), (across(end), middle + 8), "whisker")
    canvas.diamond((across(value), middle), "chosen", radius=8)
    rows = (("gain", number(value)), ("95 % interval, lower end", number(low)), ("95 % interval, upper end", number(high)))
    table = Table(("", "on held-out rows"), (*rows, ("resamples with a gain above 0", f"{probability:.0%}")), right=(1,))
    return Chart(canvas.markup(), table, "The diamond is the gain, the bar where the true gain lies with 95 % confidence.")


def confirmed_chart(confirmed: Confirmed, state: StudyState, *, title: str) -> Chart | None:
    """The finalists and the default on fresh splits: one dot a split, the mean as a diamond."""
    finalists = confirmed.candidates
    values = [s for c in finalists for s in (*c.scores, c.mean)]
    if not values:
        return None
    names = [f"trial {c.trial}" + (" (default)" if c.trial == state.default else "") for c in finalists]
    return _strips(
        [(n, c.scores, c.mean, c.trial == confirmed.chosen) for n, c in zip(names, finalists, strict=True)],
        title=title,
        label="Scores of the finalists on fresh splits",
        caption="One dot a fresh split, the mean as a diamond; the filled diamond is what is shipped. That alone decided.",
        column="mean on fresh splits",
    )


def families_chart(state: StudyState, *, title: str, clean: Clean) -> Chart | None:
    """The families that were raced: every score of each, the best as a diamond. None where there was one only."""
    found: dict[str, list[float]] = {}
    for trial, value in scored(searched(state)):
        found.setdefault(trial.family, []).append(value)
    if len(found) < 2:
        return None
    sign = -1 if state.direction == "maximize" else 1
    ranked = sorted(found.items(), key=lambda e: min(sign * v for v in e[1]))
    entries = [(clean(name), values, sign * min(sign * v for v in values), i == 0) for i, (name, values) in enumerate(ranked)]
    return _strips(
        entries,
        title=title,
        label="Scores of each model family",
        caption="One dot a trial, the best of each family as a diamond.",
        column="best score",
        smaller=state.direction == "minimize",
    )


Strip = tuple[str, Sequence[float], float, bool]
"""Name, scores, the one that counts, and True where it won."""


def _strips(entries: Sequence[Strip], *, title: str, label: str, caption: str, column: str, smaller: bool | None = None) -> Chart:
    """One row of dots an entry; with `smaller` the bad end is cut where a few absurd scores would flatten the rest."""
    every = [s for _, scores, mean, _ in entries for s in (*scores, mean)]
    ends = (min(every), max(every))
    if smaller is not None:
        ends = robust_range(every, smaller_is_better=smaller, always=[mean for _, _, mean, _ in entries])
    height = 46 + 30 * len(entries)
    left = 18 + TEXT_WIDTH * max(min(len(name), 28) for name, *_ in entries)
    canvas = Canvas(WIDTH, height, label)
    across = scale(ends, left, WIDTH - 14)
    foot = height - 34
    marks = [t for t in across.ticks(6) if across.holds(t)]
    for mark in marks:
        canvas.line((across(mark), 6), (across(mark), foot), "grid")
        canvas.text((across(mark), foot + 16), tick_label(mark, marks), anchor="middle")
    canvas.text((WIDTH - 14, height - 4), title, "title", anchor="end")
    for row, (name, scores, mean, has_won) in enumerate(entries):
        y = 20 + 30 * row
        canvas.text((left - 10, y + 4), name if len(name) <= 28 else f"{name[:27]}…", "strong" if has_won else "label", anchor="end")
        canvas.line((left, y), (WIDTH - 14, y), "grid")
        for score in thinned(list(scores), 200, keep=lambda _: False):
            canvas.dot((across(score), y), "dot" if across.holds(score) else "dot out")
        canvas.diamond((across(mean), y), "chosen" if has_won else "other", radius=6, tip=number(mean))
    rows = tuple((name, number(mean), str(len(scores))) for name, scores, mean, _ in entries)
    return Chart(canvas.markup(), Table(("", column, "scores"), rows, right=(1, 2)), caption)


def importance_chart(importances: Sequence[Importance], *, clean: Clean) -> Chart | None:
    """How much of the score each hyperparameter explains, with the interval of the resamples."""
    if not importances:
        return None
    shown = importances[:15]
    left, height = 18 + TEXT_WIDTH * max(min(len(clean(i.name)), 28) for i in shown), 26 + 26 * len(shown)
    canvas = Canvas(WIDTH, height, "Importance of each hyperparameter: " + ", ".join(f"{clean(i.name)} {i.value:.0%}" for i in shown[:6]))
    across = scale([0.0, 1.0, *(i.high for i in shown)], left, WIDTH - 60, pad=0.0)
    foot = height - 18
    for mark in (0.0, 0.25, 0.5, 0.75, 1.0):
        canvas.line((across(mark), 4), (across(mark), foot), "grid")
        canvas.text((across(mark), foot + 14), f"{mark:.0%}", anchor="middle")
    for row, entry in enumerate(shown):
        y, name = 16 + 26 * row, clean(entry.name)
        canvas.text((left - 10, y + 4), name if len(name) <= 28 else f"{name[:27]}…", anchor="end")
        canvas.box((across(0), y - 7), (max(across(entry.value), across(0) + 1), y + 7), "bar")
        canvas.line((across(entry.low), y), (across(entry.high), y), "whisker")
        for end in (entry.low, entry.high):
            canvas.line((across(end), y - 4), (across(end), y + 4), "whisker")
    rows = tuple((clean(i.name), f"{i.value:.0%}", f"{i.low:.0%} to {i.high:.0%}", f"{i.explained:.0%}") for i in importances[:MOST_ROWS])
    return Chart(
        canvas.markup(),
        Table(("hyperparameter", "importance", "90 % of resamples", "explains of all scores"), rows, right=(1, 2, 3)),
        "How far the best trials gather along each, as a share of all; the whisker holds 90 % of the resamples.",
    )


def curves_chart(state: StudyState, plan: Plan, *, title: str, step: str) -> Chart | None:
    """The learning curves, where trials measure themselves in steps; folds are none."""
    drawn = [t for t in searched(state) if len(t.steps) > 1]
    if not drawn or (plan.task is not None and max(t.steps[-1][0] for t in drawn) <= plan.validation.splits):
        return None
    kept = thinned(drawn, MOST_LINES, keep=lambda t: t.number in (state.best, state.default))
    values = [v for t in kept for _, v in t.steps if math.isfinite(v)]
    ends = [t.steps[-1][1] for t in kept]
    low, high = robust_range(values, smaller_is_better=state.direction == "minimize", always=[e for e in ends if e in ends[:1]])
    canvas = Canvas(WIDTH, HEIGHT, f"Learning curves of {len(kept)} trials")
    reach = max(t.steps[-1][0] for t in kept)
    shape = frame(canvas, [0, reach], [low, high], x_title=step, y_title=title, x_pad=0.0)
    for trial in sorted(kept, key=lambda t: (t.number == state.best, t.number == state.default)):
        kind = "best" if trial.number == state.best else "default" if trial.number == state.default else "curve"
        if kind == "curve" and trial.status == "pruned":
            kind = "curve pruned"
        points = thinned(trial.steps, 150, keep=partial(eq, trial.steps[-1]))
        canvas.path([shape.at(s, v) for s, v in points], kind)
    best = state.trials.get(state.best) if state.best is not None else None
    if best is not None and best.steps:
        canvas.diamond(shape.at(*best.steps[-1]), "chosen")
    ranked = sorted(kept, key=lambda t: (t.number not in (state.best, state.default), t.number))[:MOST_ROWS]
    rows = tuple((str(t.number), t.status, str(t.steps[-1][0]), number(t.steps[0][1]), number(t.steps[-1][1])) for t in ranked)
    few = f" {len(kept)} of {len(drawn)} curves are drawn." if len(kept) < len(drawn) else ""
    return Chart(
        canvas.markup(),
        Table(("trial", "state", f"last {step}", "first value", "last value"), rows, right=(0, 2, 3, 4)),
        f"Thick: the best trial. Dashed: the default. Thin: the others, fainter where they were stopped early.{few}",
    )


def schedule_charts(schedule: Schedule, *, step: str, clean: Clean, end: int | None = None) -> list[Chart]:
    """What the best member of a population was trained under: one small drawing a hyperparameter that moved."""
    out = []
    names = [n for n in schedule[0][1] if is_number(schedule[0][1][n])] if len(schedule) > 1 else []
    last = max(schedule[-1][0], end or 0) if schedule else 0
    for name in names:
        points = [(float(s), float(c[name])) for s, c in schedule if is_number(c.get(name))]
        if len({v for _, v in points}) < 2:
            continue
        values = [v for _, v in points]
        canvas = Canvas(*SMALL, f"{clean(name)} over the training")
        wide = min(values) > 0 and max(values) / min(values) > 20
        shape = frame(canvas, [0, last], values, x_title=step, y_title=clean(name), y_log=wide, x_pad=0.0, most=(5, 4))
        canvas.path([shape.at(s, v) for s, v in [*points, (float(last), points[-1][1])]], "best", is_stepped=True)
        rows = tuple((str(int(s)), setting(v)) for s, v in points[:MOST_ROWS])
        out.append(Chart(canvas.markup(), Table((f"after {step}", clean(name)), rows, right=(0, 1)), title=clean(name), is_small=True))
    return out


def slice_charts(state: StudyState, spaces: Mapping[str, SearchSpace], order: Sequence[str], *, title: str, clean: Clean) -> list[Chart]:
    """One small drawing a hyperparameter of the best trial's family: its value across, the score upwards."""
    best = state.trials.get(state.best) if state.best is not None else None
    if best is None:
        return []
    trials = [e for e in scored(searched(state)) if e[0].family == best.family and e[0].is_static]
    if len(trials) < 4:
        return []
    space = spaces.get(best.family)
    low, high = robust_range([v for _, v in trials], smaller_is_better=state.direction == "minimize")
    out = []
    for name in order:
        parameter = space.parameters.get(name) if space is not None else None
        drawn = [(t, v, t.config[name]) for t, v in trials if name in t.config]
        drawn = thinned(drawn, MOST_POINTS // 2, keep=lambda e: e[0].number == best.number)
        if len({repr(value) for *_, value in drawn}) < 2:
            continue
        out.append(_slice(name, parameter, drawn, best, (low, high), title=title, clean=clean))
    return out


def _slice(
    name: str,
    parameter: Float | Int | Choice | None,
    drawn: Sequence[tuple[TrialState, float, Any]],
    best: TrialState,
    ends: tuple[float, float],
    *,
    title: str,
    clean: Clean,
) -> Chart:
    is_numeric = not isinstance(parameter, Choice) and all(is_number(value) for *_, value in drawn)
    canvas = Canvas(*SMALL, f"{title} by {clean(name)}")
    if is_numeric:
        values = [float(value) for *_, value in drawn]
        wide = parameter.log if isinstance(parameter, Float | Int) else min(values) > 0 and max(values) / min(values) > 100
        held = [float(parameter.low), float(parameter.high)] if isinstance(parameter, Float | Int) else []
        shape = frame(canvas, [*values, *held], ends, x_title=clean(name), y_title=title, x_log=wide and min(values) > 0, most=(5, 4))
        places = dict(zip((t.number for t, *_ in drawn), values, strict=True))
    else:
        seen = list(dict.fromkeys(clean(setting(value)) for *_, value in drawn))
        kept = seen[:MOST_CATEGORIES]
        at = {c: i for i, c in enumerate(kept)} | {c: len(kept) for c in seen[MOST_CATEGORIES:]}
        names = [*kept, *(["others"] if len(seen) > len(kept) else [])]
        room = max(4, int(46 / len(names)))
        shape = frame(
            canvas,
            [-0.5, len(names) - 0.5],
            ends,
            x_title=clean(name),
            y_title=title,
            x_label=lambda k: names[int(k)] if len(names[int(k)]) <= room else f"{names[int(k)][: room - 1]}…",
            x_ticks=[float(k) for k in range(len(names))],
            most=(5, 4),
        )
        # spread sideways by number, so that equal choices do not hide each other
        places = {t.number: at[clean(setting(value))] + 0.5 * ((t.number * 0.618) % 1 - 0.5) for t, _, value in drawn}
    for trial, value, _ in drawn:
        canvas.dot(shape.at(places[trial.number], value), "dot" if shape.y.holds(value) else "dot out", radius=2.2)
    for trial, value, _ in drawn:
        if trial.number == best.number:
            canvas.diamond(shape.at(places[trial.number], value), "chosen")
    return Chart(canvas.markup(), _best_values(name, drawn, best, title=title, clean=clean), title=clean(name), is_small=True)


def _best_values(name: str, drawn: Sequence[tuple[TrialState, float, Any]], best: TrialState, *, title: str, clean: Clean) -> Table:
    top = next((v for t, v, _ in drawn if t.number == best.number), drawn[0][1])
    ranked = sorted(drawn, key=lambda e: abs(e[1] - top))[:12]
    rows = tuple((str(t.number), clean(setting(value)), number(v)) for t, v, value in ranked)
    return Table(("trial", clean(name), title), rows, right=(0, 1, 2), note=f"The best {len(rows)} of {len(drawn)} trials drawn.")


def parallel_chart(state: StudyState, spaces: Mapping[str, SearchSpace], order: Sequence[str], *, title: str, clean: Clean) -> Chart | None:
    """Every trial of the best family as a line across its hyperparameters, the best tenth dark."""
    best = state.trials.get(state.best) if state.best is not None else None
    if best is None:
        return None
    sign = -1 if state.direction == "maximize" else 1
    trials = sorted((e for e in scored(searched(state)) if e[0].family == best.family and e[0].is_static), key=lambda e: sign * e[1])
    names = [n for n in order if len({repr(t.config.get(n)) for t, _ in trials}) > 1][:10]
    if len(trials) < 8 or len(names) < 3:
        return None
    top = max(1, len(trials) // 10)
    drawn = trials[:top][:40] + thinned(trials[top:], 100, keep=lambda _: False)
    canvas = Canvas(WIDTH, HEIGHT, f"{len(drawn)} trials across {len(names)} hyperparameters; the best tenth is dark")
    axes = [_axis(n, [t.config[n] for t, _ in trials if n in t.config], spaces.get(best.family), clean) for n in names]
    gap = (WIDTH - 100) / (len(names) - 1)
    places = [50 + gap * i for i in range(len(names))]
    for trial, _ in reversed(drawn):
        rank = next(i for i, (t, _) in enumerate(trials) if t.number == trial.number)
        points = [(x, axis(trial.config[n])) for x, n, (axis, *_) in zip(places, names, axes, strict=True) if n in trial.config]
        canvas.path(points, "best" if rank == 0 else "strand top" if rank < top else "strand")
    for i, (x, name, (_, low, high)) in enumerate(zip(places, names, axes, strict=True)):
        canvas.line((x, 40), (x, HEIGHT - 44), "axis")
        canvas.text((x, 30), high, anchor="middle")
        canvas.text((x, HEIGHT - 28), low, anchor="middle")
        shown, room = clean(name), max(8, int(gap / 6.2))
        canvas.text(
            (x, HEIGHT - (10 if i % 2 == 0 or gap > 90 else 1)),
            shown if len(shown) <= room else f"{shown[: room - 1]}…",
            "strong",
            anchor="middle",
        )
    rows = tuple(
        (str(t.number), number(v), *(clean(setting(t.config[n])) if n in t.config else "–" for n in names)) for t, v in trials[:12]
    )
    headers = ("trial", title, *(clean(n) for n in names))
    caption = "One line a trial: where the dark lines (the best tenth) run together, the hyperparameter matters; the thickest is the best."
    table = Table(headers, rows, right=tuple(range(len(headers))), note=f"The best {len(rows)} of {len(trials)} trials.")
    return Chart(canvas.markup(), table, caption, title="All hyperparameters at once")


def _axis(name: str, values: Sequence[Any], space: SearchSpace | None, clean: Clean) -> tuple[Callable[[Any], float], str, str]:
    """Place of a value on an upright axis, and what stands at its two ends."""
    top, bottom = 44.0, HEIGHT - 48
    parameter = space.parameters.get(name) if space is not None else None
    if not isinstance(parameter, Choice) and all(is_number(v) for v in values):
        numbers = [float(v) for v in values]
        held = [float(parameter.low), float(parameter.high)] if isinstance(parameter, Float | Int) else []
        wide = (parameter.log if isinstance(parameter, Float | Int) else False) and min(numbers) > 0
        upright = scale([*numbers, *held], bottom, top, is_log=wide, pad=0.0)
        return lambda v: upright(float(v)), setting(upright.low), setting(upright.high)
    seen = list(dict.fromkeys(clean(setting(v)) for v in values))
    upright = scale([0, max(len(seen) - 1, 1)], bottom, top, pad=0.0)
    short = [s if len(s) <= 10 else f"{s[:9]}…" for s in seen]
    return lambda v: upright(seen.index(clean(setting(v)))), short[0], short[-1]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
