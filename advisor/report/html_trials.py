"""The report's lists: trials, failures, warnings, findings, and where it ran."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from advisor.core.events import CommandReceived, Noted, TrialState
from advisor.core.facts import Hardware, Unknown
from advisor.core.vocabulary import show_number
from advisor.report.charts import Table
from advisor.report.charts_run import is_number
from advisor.report.html_told import Section, Told, Verbatim
from advisor.report.html_words import metric_title
from advisor.report.wording import duration, number, setting

MOST_TRIALS = 300
"""Trials listed; of more the best are."""
PAGE = 50
"""Trials of one page of the table; the first is open."""
MOST_COLUMNS = 7
"""Hyperparameters with a column of their own; more of them stand in one."""
MOST_CAUSES = 40


@dataclass(frozen=True, slots=True)
class Pages:
    """A long table in parts that fold away."""

    pages: tuple[tuple[str, Table], ...]
    """Title and table of each part."""
    kind: str = "pages"


@dataclass(frozen=True, slots=True)
class Failure:
    """One cause, and everything that died of it."""

    cause: str
    cure: str
    category: str
    trials: str
    detail: str
    count: int


@dataclass(frozen=True, slots=True)
class Failures:
    """All causes, the most frequent first."""

    entries: tuple[Failure, ...]
    kind: str = "failures"


def trials_section(told: Told) -> Section | None:
    """Every trial, or of a long run the best, in parts."""
    state = told.state
    every = list(state.trials.values())
    if not every:
        return None
    sign = -1 if state.direction == "maximize" else 1
    listed, lines = every, []
    if len(every) > MOST_TRIALS:
        ranked = sorted(every, key=lambda t: (t.number != state.default, t.status != "completed", sign * (t.value or 0.0), t.number))
        listed = ranked[:MOST_TRIALS]
        rest = len(every) - len(listed)
        lines.append(f"The default and the best {len(listed) - 1} trials; {rest:,} more are in the run's journal and in its study.db.")
    names = list(dict.fromkeys(name for t in listed for name in t.config))
    families = len({t.family for t in listed}) > 1
    columns = names if len(names) <= MOST_COLUMNS and not families else []
    has_rows = any(t.rows is not None for t in listed)
    headers = (
        "#",
        "state",
        "stage",
        *(("family",) if families else ()),
        *(("rows",) if has_rows else ()),
        metric_title(told.plan.metric),
        "time",
    )
    headers = (*headers, *(told.clean(n, 40) for n in columns)) if columns else (*headers, "configuration")
    first_text = 3 + families
    numeric = [all(is_number(t.config[n]) for t in listed if n in t.config) for n in columns]
    last = len(headers) - (len(columns) or 1)
    right = (0, *range(first_text, last), *(last + i for i, flush in enumerate(numeric) if flush))

    def row(t: TrialState) -> tuple[str, ...]:
        mark = {state.best: " ★ best", state.default: " default"}.get(t.number, "")
        value = number(t.value) if t.value is not None else "–"
        cells = [str(t.number), f"{t.status}{mark}", told.clean(t.stage, 30), *([told.clean(t.family, 40)] if families else [])]
        cells += [f"{t.rows:,}" if t.rows is not None else "all"] if has_rows else []
        cells += [value, duration(t.seconds) if t.status != "running" else "–"]
        if columns:
            return (*cells, *(told.clean(setting(t.config[n]), 60) if n in t.config else "" for n in columns))
        text = " · ".join(f"{told.clean(k, 40)} {told.clean(setting(v), 60)}" for k, v in t.config.items())
        return (*cells, told.clean(text, 400))

    pages = []
    for start in range(0, len(listed), PAGE):
        part = listed[start : start + PAGE]
        title = f"{start + 1} to {start + len(part)} of {len(listed)}"
        pages.append((title, Table(headers, tuple(row(t) for t in part), right=right)))
    return Section("trials", f"Trials ({len(every):,})", lines, [], [Pages(tuple(pages))])


def failures_section(told: Told) -> Section | None:
    """Failed trials by cause, with the cure and the last lines of one trace."""
    failed: dict[tuple[str, str], list[TrialState]] = defaultdict(list)
    for trial in told.state.trials.values():
        if trial.status == "failed":
            failed[(trial.category, trial.cause)].append(trial)
    if not failed:
        return None
    ranked = sorted(failed.items(), key=lambda e: (-len(e[1]), e[1][0].number))
    entries = tuple(
        Failure(
            cause=told.clean(cause, 600),
            cure=told.clean(trials[0].cure, 400),
            category=category,
            trials=", ".join(str(t.number) for t in trials[:20]) + (f" and {len(trials) - 20} more" if len(trials) > 20 else ""),
            detail=told.clean(trials[0].detail, 4000),
            count=len(trials),
        )
        for (category, cause), trials in ranked[:MOST_CAUSES]
    )
    count = sum(len(t) for t in failed.values())
    lines = [f"{count:,} trial{'s' if count > 1 else ''} failed; each was taken down, and the run went on without it."]
    if len(ranked) > MOST_CAUSES:
        lines.append(f"The {MOST_CAUSES} most frequent of {len(ranked)} causes.")
    return Section("failures", "Failures", lines, [], [Failures(entries)])


def warnings_section(told: Told) -> Section | None:
    """What a reader should know of the data, and what a human must act on."""
    plan, data = told.plan, told.facts.data if told.facts is not None else None
    rows = [("data", told.clean(w)) for w in (data.warnings if data is not None else ())[:60]]
    if data is not None:
        rows += [("may give the target away", f"{told.clean(s.column, 60)}: {told.clean(s.reason)}") for s in data.leaks[:30]]
    rows += [("not used", f"{told.clean(name, 60)}: {told.clean(why)}") for name, why in list(plan.dropped.items())[:60]]
    rows += [("advice", f"{told.clean(a.text)} [{told.clean(a.source, 160)}]") for a in plan.advice]
    if not rows:
        return None
    return Section("warnings", "Warnings about the data, and advice", [], [], [Table(("kind", "what"), tuple(rows))])


def findings_section(told: Told) -> Section | None:
    """What was noticed while it ran, and what was done about it."""
    rows: list[tuple[float, str, str]] = []
    for event in (*told.state.notes, *told.state.commands):
        match event:
            case Noted():
                rows.append((event.elapsed, "finding" if event.level == "warning" else "note", told.clean(event.text, 800)))
            case CommandReceived():
                what = {"budget": "the budget was changed", "skip": "a trial was skipped"}.get(
                    event.command, f"{event.command} was asked for"
                )
                rows.append((event.elapsed, "by hand", what + (f": {number(event.argument)}" if event.argument is not None else "")))
    rows.sort(key=lambda r: r[0])
    kept = rows[:120]
    table = Table(
        ("after", "kind", "what was seen and done"),
        tuple((duration(at), kind, text) for at, kind, text in kept),
        right=(0,),
        note=f"The first {len(kept)} of {len(rows)}." if len(rows) > len(kept) else "",
    )
    found = [f for f in told.outcome.findings if f.id != "note"]
    diagnosed = Table(
        ("weight", "what was seen", "what it comes from", "what was done, or is to be done"),
        tuple(
            (
                f.level,
                told.clean(f"{f.title} ({f.about}): {f.seen}" if f.about else f"{f.title}: {f.seen}", 800),
                told.clean(f.cause, 600),
                told.clean(f"Done: {f.done}" if f.done else f"To do: {f.cure}" if f.cure else "", 600),
            )
            for f in found[:40]
        ),
    )
    if not rows and not found:
        return None
    return Section("findings", "Findings, and what was done", [], [], [*([diagnosed] if found else []), *([table] if rows else [])])


def environment_section(told: Told) -> Section:
    """Machine, versions, seed and hashes, and the command that repeats it."""
    plan, state = told.plan, told.state
    rows: list[tuple[str, str]] = [
        ("seed", str(plan.seed)),
        ("plan", plan.hash[:16]),
        ("rules", plan.rulebook_hash[:16] or "–"),
        ("data", f"{told.clean(plan.data, 200)}{', ' + plan.data_fingerprint[:24] if plan.data_fingerprint else ''}"),
    ]
    for called, given in (("validated on", plan.valid), ("tested on", plan.test)):
        if given is not None:
            rows.append((called, f"{given.rows:,} rows of {told.clean(given.source, 200)}, {given.fingerprint[:24]}"))
    if told.facts is not None and told.facts.objective is None:
        rows.append(("extent", told.facts.data.extent))
    if told.facts is not None:
        rows += _machine(told.facts.hardware, told)
    envelope = plan.envelope
    rows.append(("workers", f"{envelope.workers} × {envelope.threads_per_worker} threads, on {envelope.device}"))
    rows += [(told.clean(name, 60), told.clean(version, 60)) for name, version in state.versions.items() if version != "absent"]
    blocks: list[Any] = [Table(("", ""), tuple(rows))]
    if told.repeat:
        blocks.insert(0, Verbatim("The same again", told.clean(told.repeat, 2000)))
    again = f"advisor explain {told.called}\nadvisor export {told.called} --as script"
    blocks.insert(1 if told.repeat else 0, Verbatim("Every reason, and a script that needs no advisor", again))
    return Section("environment", "Environment, and how to repeat it", [], [], blocks)


def _machine(hardware: Hardware, told: Told) -> list[tuple[str, str]]:
    def fact(value: Any) -> str:
        return f"unknown ({told.clean(value.reason)})" if isinstance(value, Unknown) else told.clean(value, 120)

    rows = [("processors", f"{fact(hardware.cpu_count)} · {fact(hardware.cpu_model)}")]
    memory = hardware.memory_total_bytes
    rows.append(("memory", fact(memory) if isinstance(memory, Unknown) else show_number(memory, "bytes")))
    gpus = hardware.gpus
    rows.append(("GPUs", fact(gpus) if isinstance(gpus, Unknown) else ", ".join(told.clean(g.name, 80) for g in gpus) or "none"))
    rows.append(("system", told.clean(hardware.platform, 80) + (", in a container" if hardware.is_container is True else "")))
    return rows
