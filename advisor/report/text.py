"""Plans, outcomes, facts and lists of runs as text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from advisor.core.facts import ColumnKind, Dataset, Facts, GivenRows, Hardware, Unknown
from advisor.core.metrics import METRICS
from advisor.core.plan import Evidence, Plan, Strategy
from advisor.core.space import Choice, Config, Float, Int
from advisor.core.vocabulary import show_number, vocabulary
from advisor.report.wording import between, duration, learned_from, number, setting, shown

if TYPE_CHECKING:
    from advisor.core.outcome import Outcome

WIDTH = 80
_TOLD_FIELDS = ("strategy", "family", "metric", "validation.scheme", "validation.folds", "pruner.name", "envelope.workers")
"""Fields whose reasons stand in the plan's text; the reasons of the others are a question away."""
_COLUMNS_SHOWN = 40


class Summary(Protocol):
    """One line of a list of runs."""

    @property
    def name(self) -> str:
        """Name of the run."""
        ...

    @property
    def status(self) -> str:
        """How it stands."""
        ...

    @property
    def started(self) -> float:
        """Wall-clock seconds since the epoch."""
        ...

    @property
    def source(self) -> str:
        """The data."""
        ...

    @property
    def strategy(self) -> str:
        """Strategy of the search."""
        ...

    @property
    def metric(self) -> str:
        """The score."""
        ...

    @property
    def best_value(self) -> float | None:
        """Best so far."""
        ...

    @property
    def trials(self) -> int:
        """Trials completed."""
        ...


def headline(plan: Plan) -> str:
    """The plan in one or two lines: what is searched how, how many trials, and when it is done."""
    raced = f" (after racing {len(plan.shortlist)} families)" if len(plan.shortlist) > 1 else ""
    pruner = f" with {plan.pruner.name.replace('_', ' ')} pruning" if plan.pruner.name != "none" else ""
    finish = between(plan.forecast.seconds_p50, plan.forecast.seconds_p90)
    how = {Strategy.DEFAULT: "the default configuration", Strategy.PORTFOLIO: "known-good configurations"}.get(
        plan.strategy, str(plan.strategy)
    )
    return (
        f"{how}{pruner} on {plan.family}{raced}: about {plan.forecast.trials} trials, "
        f"done in {finish} (budget {duration(plan.budget.seconds)})"
    )


def plan_text(plan: Plan, *, facts: Facts | None = None) -> str:
    """The whole plan for a reader: what will be done, what it may take, why, and what was decided against."""
    blocks = [
        [*_wrap(f"PLAN  {_about_data(plan, facts)}", hang=6), *_wrap(headline(plan), indent=6)],
        _section("Stages", _stage_rows(plan)),
        _section(f"Space of {plan.family}", _space_rows(plan)),
        _section("Starts, tried first", _start_rows(plan)),
        _section("Families raced" if len(plan.shortlist) > 1 else "Family", _family_rows(plan)),
        _section("Validation", _validation_lines(plan)),
        _section("Budget and machine", _budget_lines(plan)),
        _section(
            "Not used",
            [line for name, reason in plan.dropped.items() for line in _wrap(f"{shown(name, longest=60)}: {shown(reason)}", hang=2)],
        ),
        _section("Why", _why_lines(plan)),
        _section("Why not", _why_not_lines(plan)),
        _section("Advice", [line for tip in plan.advice for line in _bullet(f"{tip.text} [{tip.source}]")]),
        _section("Warnings", [line for warning in (facts.data.warnings if facts else ()) for line in _bullet(shown(warning))]),
        _section("Forced", [line for advice in plan.forced for line in _bullet(f"overridden: {advice}")]),
        _section(
            "Open, could still change the plan", [line for q in plan.open for line in _bullet(f"{q.fact}: {q.reason}. {q.cure}".strip())]
        ),
        [f"plan {plan.hash[:12]} · rules {plan.rulebook_hash[:12] or '-'} · seed {plan.seed}"],
    ]
    return "\n".join("\n".join(block) + "\n" for block in blocks if block).rstrip("\n")


def _about_data(plan: Plan, facts: Facts | None) -> str:
    parts = [shown(plan.data, longest=200)]
    if plan.task is None:
        return f"{parts[0]} · your own objective, {plan.direction}d"
    if facts is not None:
        parts.append(facts.data.extent)
    task = {"binary": "two classes", "multiclass": f"{facts.data.classes} classes" if facts else "several classes"}.get(
        plan.task, "a number"
    )
    guess = ""
    if facts is not None and facts.answers.target is None and facts.data.target_confidence < 1:
        guess = f", guessed with confidence {facts.data.target_confidence:.2f}"
    parts.append(f"predicts {shown(plan.target, longest=60)} ({task}{guess})")
    return " · ".join(parts)


def _stage_rows(plan: Plan) -> list[str]:
    rows = [(s.name, str(s.strategy), _count(s.trials, "trial"), duration(s.seconds), _library(s.engine)) for s in plan.stages]
    return _table(rows, right=(2, 3))


def _library(engine: str) -> str:
    """Package and class of a library's engine; nothing for our own."""
    package, _, rest = engine.partition(".")
    return "" if package == "advisor" else f"{package} {rest.rsplit('.', 1)[-1]}".strip()


def _count(number_of: int, noun: str) -> str:
    return f"{number_of:,} {noun}{'' if number_of == 1 else 's'}"


def _space_rows(plan: Plan) -> list[str]:
    rows = []
    for name, parameter in plan.space.items():
        rows.append((name, _range(parameter), _scale(parameter), f"default {setting(parameter.default)}", _condition(parameter)))
    return _table(rows) if rows else ["nothing is searched"]


def _range(parameter: Float | Int | Choice) -> str:
    if isinstance(parameter, Choice):
        return " | ".join(setting(choice) for choice in parameter.choices)
    return f"{setting(parameter.low)} .. {setting(parameter.high)}"


def _scale(parameter: Float | Int | Choice) -> str:
    if isinstance(parameter, Choice):
        return ""
    return "log" if parameter.log else "linear"


def _condition(parameter: Float | Int | Choice) -> str:
    if not parameter.when:
        return ""
    return "when " + " and ".join(f"{name} is {' or '.join(setting(v) for v in values)}" for name, values in parameter.when.items())


def _start_rows(plan: Plan) -> list[str]:
    default = plan.starts[0] if plan.starts else {}
    lines = [f"0  {'your own configuration' if has_baseline(plan) else 'the default'}"]
    for position, start in enumerate(plan.starts[1:], 1):
        lines += _wrap(f"{position}  {_difference(default, start)}", hang=3)
    return lines


def has_baseline(plan: Plan) -> bool:
    """True where what the user has in production stands in the default's place."""
    return any(e.rule == "answer" and e.field.startswith(("space.", "fixed.")) and "--baseline" in e.because for e in plan.evidence)


def _difference(default: Config, start: Config) -> str:
    changed = [f"{name} {setting(value)}" for name, value in start.items() if name not in default or default[name] != value]
    return " · ".join(changed) or "as the default"


def _family_rows(plan: Plan) -> list[str]:
    return _table(
        [
            (
                c.family,
                f"{len(c.space.free)} free",
                _count(len(c.starts), "start"),
                f"{duration(c.fit_seconds)} a fit",
                "measured" if c.is_measured else "estimated",
            )
            for c in plan.shortlist
        ],
        right=(1, 2, 3),
    )


def _given(rows: GivenRows | None) -> str:
    return "" if rows is None else f"the {rows.rows:,} rows of {shown(rows.source, longest=60)}"


def _validation_lines(plan: Plan) -> list[str]:
    v = plan.validation
    kinds = {
        "holdout": f"one split, {v.holdout_ratio:.0%} of the development rows score",
        "kfold": f"{v.folds} folds, shuffled",
        "stratified": f"{v.folds} folds, each with the class balance of the whole",
        "group": f"{v.folds} folds, each {shown(v.group, longest=60)} on one side",
        "stratified_group": f"{v.folds} folds with the class balance of the whole, each {shown(v.group, longest=60)} on one side",
        "given": f"every trial learns from the data and is scored on {_given(plan.valid)}",
        "time": f"{v.folds} folds, the past predicts the future by {shown(v.time, longest=60)}",
    }
    repeats = f", repeated {v.repeats} times" if v.repeats > 1 else ""
    better = "larger is better" if plan.direction == "maximize" else "smaller is better"
    title = METRICS[plan.metric].title if plan.metric in METRICS else plan.metric
    if v.scheme == "own":
        return [f"your own objective validates by itself; its value is {plan.direction}d"]
    lines = [*_wrap(kinds[v.scheme] + repeats), f"score: {title} ({plan.metric}), {better}"]
    held = f"{v.heldout_ratio:.0%} of {'the data' if plan.valid is not None else 'all rows'} are held out"
    held = held if plan.test is None else f"{_given(plan.test)} are held out"
    lines += _wrap(f"{held}: no choice sees them, they are scored once, at the end")
    if plan.pruner.name == "none":
        lines.append("no pruning: every trial runs in full")
    else:
        settings = ", ".join(f"{k} {setting(s)}" for k, s in plan.pruner.settings.items())
        lines += _wrap(f"pruner: {plan.pruner.name}, after each {plan.pruner.resource}{f' ({settings})' if settings else ''}")
    return lines


def _budget_lines(plan: Plan) -> list[str]:
    b, e = plan.budget, plan.envelope
    parts = ("startup", "pilot", "search", "confirm", "refit")
    split = " · ".join(f"{name} {duration(getattr(b, f'{name}_seconds'))}" for name in parts if getattr(b, f"{name}_seconds") > 0)
    cap = f", at most {b.trials_cap} trials" if b.trials_cap is not None else ""
    memory = "" if isinstance(e.memory_per_worker_bytes, Unknown) else f", {_bytes(e.memory_per_worker_bytes)} each"
    batch = f", batches of {e.batch_size}" if e.batch_size else ""
    return [
        *_wrap(f"{duration(b.seconds)} in all{cap}: {split}", hang=2),
        *_wrap(
            f"{_count(e.workers, 'worker')} × {_count(e.threads_per_worker, 'thread')}{memory}, on {e.device}{batch}; "
            f"a trial may take {duration(e.trial_seconds)}",
            hang=2,
        ),
    ]


def _why_lines(plan: Plan) -> list[str]:
    told = [evidence for field in _TOLD_FIELDS for evidence in plan.evidence if evidence.field == field]
    if not told:
        return []
    lines = []
    for evidence in told:
        lines += evidence_lines(evidence)
        if evidence.field == "strategy" and plan.stability is not None:
            lines += _wrap(plan.stability.text[0].lower() + plan.stability.text[1:].rstrip("."), indent=2, hang=2)
    rest = len({e.field for e in plan.evidence}) - len({e.field for e in told})
    if rest > 0:
        lines.append(f"{_count(rest, 'more field')} explained by: advisor explain PLAN --why FIELD")
    return lines


def evidence_lines(evidence: Evidence) -> list[str]:
    """Field, value, reason, rule and source, and the nearest change of a fact that would flip it."""
    lines = _wrap(f"{evidence.field} = {setting(evidence.value)}: {evidence.because}", hang=2)
    lines += _wrap(f"rule {evidence.rule}" + (f"; source: {evidence.source}" if evidence.source else ""), indent=2, hang=2)
    for flip in evidence.flips[:2]:
        about = vocabulary().get(flip.fact)
        now, becomes = (about.show(v) if about is not None else setting(v) for v in (flip.now, flip.becomes))
        lines += _wrap(f"would be {flip.then} if {flip.fact} were {becomes} (now {now})", indent=2, hang=2)
    return lines


def folded(text: str) -> str:
    """`text` with every line that is too wide broken below its own indent."""
    lines = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        lines += textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]
    return "\n".join(lines)


def _why_not_lines(plan: Plan) -> list[str]:
    width = max((len(r.strategy) for r in plan.rejected), default=0)
    lines = []
    for rejected in plan.rejected:
        reasons = "; ".join(rejected.failed)
        lines += _wrap(f"{rejected.strategy:<{width}}  {reasons}", hang=width + 2)
    return lines


def outcome_text(outcome: Outcome) -> str:
    """What came out of a run: the verdict first, then the configuration, the scores and what to do with it."""
    name = outcome.run.rstrip("/").rsplit("/", 1)[-1]
    counts = " · ".join(f"{outcome.counts.get(kind, 0)} {kind}" for kind in ("completed", "pruned", "failed"))
    blocks = [
        [*_wrap(f"RESULT  {verdict(outcome)}", hang=8), f"        {counts} trials in {duration(outcome.seconds)}"],
        _section("Scores", _score_rows(outcome)),
        _section(f"Configuration of {outcome.family}", _table([(k, setting(v)) for k, v in outcome.best_config.items()]))
        if outcome.best_config is not None
        else [],
        _section("Schedule it was trained under", _schedule_rows(outcome)),
        _section("Findings", [line for finding in outcome.findings for line in _bullet(shown(finding))]),
        _section("Not known", [line for field, reason in outcome.reasons.items() for line in _bullet(f"{field}: {shown(reason)}")]),
        _section("Next", _next_rows(outcome, name)),
    ]
    return "\n".join("\n".join(block) + "\n" for block in blocks if block).rstrip("\n")


def _schedule_rows(outcome: Outcome) -> list[str]:
    return _table([(f"after step {s.step}", ", ".join(f"{k} = {setting(v)}" for k, v in s.config.items())) for s in outcome.schedule])


def verdict(outcome: Outcome) -> str:
    """One sentence: what is shipped, and whether tuning was worth it."""
    match outcome.status:
        case "nothing_finished":
            return "the budget ended before any trial had finished; there is no model"
        case "failed":
            return "the run failed; " + ("there is no model" if outcome.best_config is None else "the best model so far is kept")
        case "interrupted":
            return "interrupted; everything finished is kept and the run can go on"
        case "running":
            return "still running; these are the figures so far"
        case "done" | "stopped":
            stopped = "stopped early; " if outcome.status == "stopped" else ""
    if outcome.plan.task is None:
        return f"{stopped}{_own_verdict(outcome)}"
    if outcome.shipped == "default":
        return f"{stopped}nothing beat the default {outcome.plan.validation.again}: the default {outcome.family} is shipped"
    default = "the default" if outcome.default_family in (None, outcome.family) else f"the default ({outcome.default_family})"
    if outcome.gain is None:
        return f"{stopped}a tuned {outcome.family} is shipped; its gain over {default} is not known"
    gain = outcome.gain
    interval = f"{_signed(gain.value)} (95 % interval {_signed(gain.low)} to {_signed(gain.high)})"
    if gain.low > 0:
        return f"{stopped}a tuned {outcome.family} is shipped; it beats {default} on held-out rows by {interval}"
    if gain.high < 0:
        return f"{stopped}a tuned {outcome.family} is shipped, yet {default} does better on the held-out rows: {interval}"
    return f"{stopped}a tuned {outcome.family} is shipped; its gain over {default}, {interval}, cannot be settled with these held-out rows"


def _own_verdict(outcome: Outcome) -> str:
    """The best value of an objective of the user's own, and how far it is from the default's."""
    if outcome.best_value is None:
        return "no configuration has a value"
    default = next((t.value for t in outcome.trials if t.origin == "default" and t.status == "completed"), None)
    best = f"{outcome.metric} {number(outcome.best_value)}"
    if default is None:
        return f"the best {best}; the default has no value"
    if default == outcome.best_value:
        return f"nothing beat the default, {best}"
    gain = default - outcome.best_value if outcome.direction == "minimize" else outcome.best_value - default
    return f"the best {best}, better than the default's {number(default)} by {number(gain)}, as your objective validates"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)


def _score_rows(outcome: Outcome) -> list[str]:
    better = "larger is better" if outcome.direction == "maximize" else "smaller is better"
    rows = []
    if outcome.heldout_score is not None:
        rows.append(("held-out, shipped model", number(outcome.heldout_score), f"{outcome.metric}, {better}"))
    if outcome.default_heldout_score is not None and outcome.shipped != "default":
        rows.append(("held-out, default", number(outcome.default_heldout_score), ""))
    if outcome.gain is not None:
        rows.append(("gain over the default", _signed(outcome.gain.value), f"better in {outcome.gain.probability:.0%} of resamples"))
    if outcome.validation_score is not None:
        rows.append(("validation", number(outcome.validation_score), "optimistic: choices were made with it"))
    return _table(rows, right=(1,))


def _next_rows(outcome: Outcome, name: str) -> list[str]:
    name = shown(name, longest=200)
    if outcome.status in ("interrupted", "failed", "nothing_finished"):
        return [f"advisor resume {name}"] if outcome.status == "interrupted" else []
    rows = [(f"advisor explain {name}", "why it was done this way")]
    if outcome.plan.task is not None:
        new = "NEW_FOLDER" if outcome.plan.features == ("image",) else "NEW.csv"
        rows.insert(0, (f"advisor predict {name} {new}", "predictions of the shipped model"))
    trained = learned_from(outcome.plan, outcome.trained_on)
    note = _wrap(f"The saved model was fitted on {trained}. It lies in {shown(outcome.run, longest=400)}/best.", hang=2) if trained else []
    return [*note, *_table(rows)]


def hardware_text(hardware: Hardware) -> str:
    """What this process may use of the machine, one line a fact, and the cure of what could not be read."""
    rows = [
        ("processors", _fact(hardware.cpu_count), _fact(hardware.cpu_model)),
        ("vector sets", _fact(hardware.instruction_sets), ""),
        ("memory", _bytes(hardware.memory_available_bytes), f"free of {_bytes(hardware.memory_total_bytes)}"),
        ("disk", _bytes(hardware.disk_free_bytes), "free where runs live"),
        ("BLAS threads", _fact(hardware.blas_threads), ""),
        ("PyTorch", _fact(hardware.torch_device), ""),
        ("cluster", "none" if hardware.cluster_slots == 0 else _fact(hardware.cluster_slots), ""),
        ("system", hardware.platform, "in a container" if hardware.is_container is True else ""),
    ]
    lines = [line for row in rows for line in _wrap(f"{row[0]:<13} {row[1]}{f'  {row[2]}' if row[2] else ''}", hang=14)]
    if isinstance(hardware.gpus, Unknown):
        lines += _wrap(f"{'GPUs':<13} {_fact(hardware.gpus)}", hang=14)
    elif not hardware.gpus:
        lines.append(f"{'GPUs':<13} none")
    else:
        for gpu in hardware.gpus:
            kind = "MIG slice" if gpu.is_mig else "GPU"
            busy = "" if isinstance(gpu.utilisation_ratio, Unknown) else f", {gpu.utilisation_ratio:.0%} busy"
            text = (
                f"{kind:<13} {shown(gpu.name)} {_bytes(gpu.memory_free_bytes)} free of {_bytes(gpu.memory_total_bytes)}{busy}, "
                f"compute capability {_fact(gpu.compute_capability)}, driver {_fact(gpu.driver)}, {gpu.uuid}"
            )
            lines += _wrap(text, hang=14)
            held = gpu.held_by
            if not isinstance(held, Unknown):
                lines += [line for holder in held for line in _wrap(f"held by {shown(holder)}", indent=14, hang=2)]
    cures = [f"{name}: {value.cure}" for name, value in hardware if isinstance(value, Unknown) and value.cure]
    return "\n".join([*lines, *(["", "To make it known"] if cures else []), *(line for cure in cures for line in _bullet(cure))])


def dataset_text(data: Dataset) -> str:
    """What the data hold: size, target, warnings, suspicions, and one line a column."""
    lines = _wrap(f"{shown(data.source, longest=200)} · {data.extent} · {_bytes(data.bytes)} in memory")
    if isinstance(data.target, Unknown):
        lines += _wrap(f"target  {_fact(data.target)} {data.target.cure}", hang=8)
    else:
        sort = (
            f"{data.classes} classes, the rarest has {data.rarest_class_rows:,} rows ({data.minority_ratio:.1%})"
            if data.classes
            else "a number"
        )
        confidence = "named" if data.target_confidence >= 1 else f"guessed, confidence {data.target_confidence:.2f}"
        confidence = "given by the data" if data.holds_images else confidence
        lines += _wrap(f"target  {shown(data.target, longest=60)} ({confidence}): {sort}", hang=8)
        others = ", ".join(f"{shown(s.column, longest=40)} ({s.confidence:.2f})" for s in data.target_candidates[:4])
        if others:
            lines += _wrap(f"could also be  {others}", indent=8, hang=2)
    if data.holds_images:
        lines += _wrap(f"{_share(data.duplicate_ratio)} duplicate images; effective dimensions {_fact(data.effective_dimensions)}")
    else:
        lines += _wrap(
            f"{data.feature_columns} features ({data.numeric_columns} numeric, {data.category_columns} categories, "
            f"{data.text_columns} text, {data.date_columns} dates), {data.width} after encoding; {data.missing_ratio:.1%} of cells "
            f"missing; {_share(data.duplicate_ratio)} duplicate rows; effective dimensions {_fact(data.effective_dimensions)}",
        )
        if data.image_side:
            lines.append(f"The columns look like images of {data.image_side} × {data.image_side} pixels.")
    sections = (
        ("Warnings", [shown(w) for w in data.warnings]),
        ("Suspected leaks", [_suspicion(s) for s in data.leaks]),
        ("Could name a repeated entity (--group)", [_suspicion(s) for s in data.group_candidates]),
        ("Could order the rows in time (--time)", [_suspicion(s) for s in data.time_candidates]),
    )
    for title, items in sections:
        if items:
            lines += ["", *_section(title, [line for item in items for line in _bullet(item)])]
    rows = [
        (
            shown(c.name, longest=32),
            c.kind.value.replace("_", " "),
            f"{_fact(c.distinct)} distinct" if c.kind is not ColumnKind.CONSTANT else "",
            f"{c.missing_ratio:.1%} missing" if c.missing_ratio else "",
        )
        for c in data.columns[:_COLUMNS_SHOWN]
    ]
    listed: list[str] = []
    for column, line in zip(data.columns, _table(rows, right=(2, 3)), strict=False):
        listed += [line.rstrip(), *_wrap(shown(column.note), indent=4)]
    rest = len(data.columns) - len(rows)
    if not data.holds_images:
        lines += ["", *_section("Columns", [*listed, *([f"and {rest} more: --json lists them all"] if rest > 0 else [])])]
    return "\n".join(lines)


def runs_text(runs: Sequence[Summary]) -> str:
    """One line a run, the newest first."""
    rows = [("RUN", "STATUS", "STARTED", "TRIALS", "BEST", "STRATEGY", "DATA")]
    for run in runs:
        began = time.strftime("%d %b %H:%M", time.localtime(run.started))
        best = f"{run.metric} {number(run.best_value)}" if run.best_value is not None else "–"
        rows.append((shown(run.name, longest=40), run.status, began, str(run.trials), best, run.strategy, shown(run.source, longest=60)))
    return "\n".join(_table(rows, right=(3,)))


def _suspicion(suspicion: Any) -> str:
    return f"{shown(suspicion.column, longest=60)} ({suspicion.confidence:.2f}): {shown(suspicion.reason)}"


def _fact(value: Any) -> str:
    """A fact for people: an unknown one with its reason."""
    if isinstance(value, Unknown):
        return f"unknown ({shown(value.reason)})"
    if isinstance(value, tuple):
        return " ".join(shown(v) for v in value) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else shown(value)


def _bytes(value: int | Unknown) -> str:
    return _fact(value) if isinstance(value, Unknown) else show_number(value, "bytes")


def _share(value: float | Unknown) -> str:
    return _fact(value) if isinstance(value, Unknown) else f"{value:.1%}"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    """`title` with `lines` indented below it; nothing when there are none."""
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _wrap(text: str, *, indent: int = 0, hang: int = 0) -> list[str]:
    """`text` broken into lines that stay within the width when they stand below a section's title."""
    return textwrap.wrap(
        text,
        WIDTH - 2,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hang),
        break_long_words=True,
        break_on_hyphens=False,
    )


def _bullet(text: str) -> list[str]:
    return _wrap(f"- {text}", hang=2)


def _table(rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """`rows` in columns as wide as their widest cell, those of `right` flush right; the last is broken where it is too long."""
    listed = [tuple(row) for row in rows]
    if not listed:
        return []
    last = len(listed[0]) - 1
    widths = [max(len(row[column]) for row in listed) for column in range(last)]
    lead = sum(widths) + 2 * last
    lines = []
    for row in listed:
        cells = [f"{row[c]:>{widths[c]}}" if c in right else f"{row[c]:<{widths[c]}}" for c in range(last)]
        start = "  ".join([*cells, ""])
        ending = f"{row[last]:>{max(len(r[last]) for r in listed)}}" if last in right else row[last]
        if lead > WIDTH - 22 or len(start) + len(ending) <= WIDTH - 2:
            lines += _wrap_columns(start + ending)
        else:
            lines += textwrap.wrap(
                ending, WIDTH - 2, initial_indent=start, subsequent_indent=" " * lead, break_long_words=True, break_on_hyphens=False
            )
    return lines


def _wrap_columns(line: str) -> list[str]:
    """A table line as it is where it fits, else broken with a hanging indent."""
    line = line.rstrip()
    if len(line) <= WIDTH - 2:
        return [line]
    return textwrap.wrap(line, WIDTH - 2, subsequent_indent="    ", break_long_words=True, break_on_hyphens=False, drop_whitespace=True)
