"""The questionnaire: at most eight questions with the answers filled in, those first that can change the plan most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from advisor.core.errors import AdvisorError
from advisor.core.facts import Answers, ColumnKind, Facts, Goal, Task, Unknown
from advisor.core.metrics import METRICS
from advisor.core.plan import Plan
from advisor.core.recommend import recommend
from advisor.core.rules import Rulebook
from advisor.core.value import Value
from advisor.core.vocabulary import show_seconds

MOST_QUESTIONS = 8
"""Never more, usually three to five."""
GUESS_IS_SURE = 0.95
"""A guess of this confidence is not asked about again."""
BUDGETS = (30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
"""Budgets offered; any other may be written."""


class Question(Value):
    """One question with its answer already filled in."""

    field: str
    """The field of `Answers` it sets."""
    text: str
    """The question in words."""
    kind: Literal["choice", "column", "text", "number", "duration"]
    """What an answer is."""
    choices: tuple[Any, ...] = ()
    """What may be chosen, best first; empty for a free answer."""
    value: Any = None
    """The answer in force."""
    provenance: str
    """``detected``, ``guessed 0.93``, ``default`` or ``answered``."""
    why: str
    """Why this answer, or why it is asked."""
    changes: tuple[str, ...] = ()
    """What other answers would change, in words; empty when none changes the plan."""


def questions(facts: Facts, rulebook: Rulebook) -> tuple[Question, ...]:
    """The questions that could still change the plan, the most telling first; at most eight.

    Target, metric, model, budget and goal are always among them; group and time where columns offer themselves; the task
    where it was not plain. Where the target itself is unknown it stands first, and what depends on it follows later.

    Raises: InputError as `recommend` does for an answer that is wrong.
    """
    if facts.objective is not None:
        return _own_questions(facts, rulebook)
    plan = _plan(facts, rulebook)
    asked = [_target(facts, plan), _metric(facts, plan), _model(facts, plan, rulebook), _budget(facts), _goal(facts)]
    asked += [q for q in (_task(facts), _group(facts), _time(facts), _workers(facts, plan)) if q is not None]
    if plan is not None:
        asked = [q.model_copy(update={"changes": _changes(q, facts, rulebook, plan)}) for q in asked]
    always = {"target", "metric", "model", "budget_seconds", "goal"}
    rank = {name: i for i, name in enumerate(("target", "task", "group", "time", "metric", "model", "budget_seconds", "goal", "workers"))}
    first = sorted(asked, key=lambda q: (_weight(q, plan), rank[q.field]))
    kept = [q for q in first if q.field in always or q.changes or plan is None]
    return tuple(kept[:MOST_QUESTIONS])


def _own_questions(facts: Facts, rulebook: Rulebook) -> tuple[Question, ...]:
    """Those that mean something where the objective is the user's own: time, wish, direction and workers."""
    plan = recommend(facts, rulebook, flips=False)
    asked = [_budget(facts), _goal(facts), _own_workers(facts, plan)]
    return tuple(q.model_copy(update={"changes": _changes(q, facts, rulebook, plan)}) for q in asked)


def _own_workers(facts: Facts, plan: Plan) -> Question:
    return Question(
        field="workers",
        text=_text("workers"),
        kind="number",
        value=plan.envelope.workers,
        provenance=_provenance("workers", facts, "default"),
        why="One trial at a time, until you ask for more: what a trial of yours needs is not known.",
    )


def _plan(facts: Facts, rulebook: Rulebook) -> Plan | None:
    """The plan so far; None where the target or the task must be answered first."""
    try:
        return recommend(facts, rulebook, flips=False)
    except AdvisorError:
        if isinstance(facts.data.target, Unknown) or isinstance(facts.data.task, Unknown):
            return None
        raise


def _weight(question: Question, plan: Plan | None) -> int:
    """0 for what everything hangs on, then by how many answers would change the plan."""
    if question.field in ("target", "task") and (plan is None or question.provenance.startswith("guessed")):
        return -100
    return -min(len(question.changes), 9)


def _text(field: str) -> str:
    extra = Answers.model_fields[field].json_schema_extra
    return str(extra["question"]) if isinstance(extra, dict) else field


def _provenance(field: str, facts: Facts, otherwise: str) -> str:
    return "answered" if getattr(facts.answers, field) != Answers.model_fields[field].get_default(call_default_factory=True) else otherwise


def _target(facts: Facts, plan: Plan | None) -> Question:
    data = facts.data
    found = plan.target if plan is not None else (data.target if isinstance(data.target, str) else None)
    names = [c.name for c in data.columns if c.kind not in (ColumnKind.CONSTANT, ColumnKind.IDENTIFIER)]
    ordered = dict.fromkeys([*([found] if found else []), *(s.column for s in data.target_candidates), *names])
    why = (
        data.target.reason
        if isinstance(data.target, Unknown)
        else f"The best guess of the profile, confidence {data.target_confidence:.2f}."
    )
    if facts.answers.target is not None:
        why = "You named it."
    return Question(
        field="target",
        text=_text("target"),
        kind="column",
        choices=tuple(ordered),
        value=found,
        provenance=_provenance("target", facts, f"guessed {data.target_confidence:.2f}" if found else "open"),
        why=why,
    )


def _task(facts: Facts) -> Question | None:
    data = facts.data
    if facts.answers.task is None and not isinstance(data.task, Unknown):
        return None
    known = None if isinstance(data.task, Unknown) else data.task
    return Question(
        field="task",
        text=_text("task"),
        kind="choice",
        choices=tuple(Task),
        value=facts.answers.task or known,
        provenance=_provenance("task", facts, "detected" if known else "open"),
        why=data.task.reason if isinstance(data.task, Unknown) else "Read from the values of the target.",
    )


def _metric(facts: Facts, plan: Plan | None) -> Question:
    fitting = [m.name for m in METRICS.values() if plan is None or plan.task in m.tasks]
    chosen = plan.metric if plan is not None else facts.answers.metric
    why = next((e.because for e in plan.evidence if e.field == "metric"), "") if plan is not None else "It follows from the target."
    return Question(
        field="metric",
        text=_text("metric"),
        kind="choice",
        choices=tuple(dict.fromkeys([*([chosen] if chosen else []), *fitting])),
        value=chosen,
        provenance=_provenance("metric", facts, "default"),
        why=why,
    )


def _model(facts: Facts, plan: Plan | None, rulebook: Rulebook) -> Question:
    fitting = [f.name for f in rulebook.families.values() if plan is None or plan.task in f.estimators]
    raced = f"Raced: {', '.join(c.family for c in plan.shortlist)}." if plan is not None else "A shortlist is raced."
    return Question(
        field="model",
        text=_text("model"),
        kind="choice",
        choices=("auto", *fitting),
        value=facts.answers.model,
        provenance=_provenance("model", facts, "default"),
        why=raced if facts.answers.model == "auto" else "You named it.",
    )


def _budget(facts: Facts) -> Question:
    now = facts.answers.budget_seconds
    return Question(
        field="budget_seconds",
        text=_text("budget_seconds"),
        kind="duration",
        choices=tuple(sorted({*BUDGETS, now})),
        value=now,
        provenance=_provenance("budget_seconds", facts, "default"),
        why="Everything is included: reading, searching, confirming, the final fit.",
    )


def _goal(facts: Facts) -> Question:
    why = {
        Goal.QUICK: "A good answer soon: at most 60 trials.",
        Goal.BEST: "The best model that the budget affords.",
        Goal.EXPLORE: "A map of the space rather than one answer.",
        Goal.SCHEDULE: "A schedule of hyperparameters over the training is the product.",
        Goal.RESEARCH: "The last digit, whatever it takes.",
    }
    return Question(
        field="goal",
        text=_text("goal"),
        kind="choice",
        choices=tuple(Goal),
        value=facts.answers.goal,
        provenance=_provenance("goal", facts, "default"),
        why=why[facts.answers.goal],
    )


def _group(facts: Facts) -> Question | None:
    seen = facts.data.group_candidates
    if not seen and facts.answers.group is None:
        return None
    best, why = max(seen, key=lambda s: s.confidence, default=None), "You named it."
    if best is not None:
        why = f"{best.column}: {best.reason}. If rows of one belong together, scores without it are too good."
    return Question(
        field="group",
        text=_text("group"),
        kind="column",
        choices=(None, *(s.column for s in sorted(seen, key=lambda s: -s.confidence))),
        value=facts.answers.group,
        provenance=_provenance("group", facts, "default"),
        why=why,
    )


def _time(facts: Facts) -> Question | None:
    seen = facts.data.time_candidates
    if not seen and facts.answers.time is None:
        return None
    best, why = max(seen, key=lambda s: s.confidence, default=None), "You named it."
    if best is not None:
        why = f"{best.column}: {best.reason}. If the past must predict the future, scores without it are too good."
    why = (
        f"{best.column}: {best.reason}. If the past must predict the future, scores without it are too good."
        if best is not None
        else "You named it."
    )
    return Question(
        field="time",
        text=_text("time"),
        kind="column",
        choices=(None, *(s.column for s in sorted(seen, key=lambda s: -s.confidence))),
        value=facts.answers.time,
        provenance=_provenance("time", facts, "default"),
        why=why,
    )


def _workers(facts: Facts, plan: Plan | None) -> Question | None:
    if facts.answers.workers is None and not isinstance(facts.hardware.cpu_count, Unknown):
        return None
    return Question(
        field="workers",
        text=_text("workers"),
        kind="number",
        value=facts.answers.workers or (plan.envelope.workers if plan is not None else 1),
        provenance=_provenance("workers", facts, "default"),
        why="The number of processors could not be read." if isinstance(facts.hardware.cpu_count, Unknown) else "You named it.",
    )


def headline(plan: Plan) -> str:
    """What a person compares plans by: strategy, family, metric, validation, about how many trials in how long."""
    splits = f"{plan.validation.scheme} {plan.validation.folds}" + (f"×{plan.validation.repeats}" if plan.validation.repeats > 1 else "")
    if plan.valid is not None:
        splits = f"validated on {plan.valid.source}"
    if plan.validation.scheme == "own":
        splits = "validated by itself" + (f" on {plan.validation.folds} splits" if plan.validation.folds > 1 else "")
    when = show_seconds(plan.forecast.seconds_p50)
    family = plan.family if len(plan.shortlist) == 1 else f"{len(plan.shortlist)} families from {plan.family}"
    return f"{plan.strategy}, {family}, {plan.metric}, {splits}, about {plan.forecast.trials} trials in {when}"


_FEW = 6
"""Other answers tried for each question; more would make the screen wait."""


def _changes(question: Question, facts: Facts, rulebook: Rulebook, plan: Plan) -> tuple[str, ...]:
    """One line for each other answer that leads to another plan."""
    if question.field in ("target", "task", "workers"):
        return ("Everything else follows from it.",) if question.field != "workers" else ("More trials run at once.",)
    now, out = headline(plan), []
    others = [c for c in question.choices if c != question.value]
    if question.field == "budget_seconds":
        others = [question.value / 4, question.value * 4]
    for other in others[:_FEW]:
        show = cast("Callable[[Any], str]", show_seconds) if question.kind == "duration" else str
        try:
            then = headline(recommend(_answered(facts, question.field, other), rulebook, flips=False))
        except AdvisorError as error:
            out.append(f"{show(other)}: {error.what}")
            continue
        if then != now:
            out.append(f"{'none' if other is None else show(other)}: {then}")
    return tuple(out)


def _answered(facts: Facts, field: str, value: Any) -> Facts:
    """`facts` with another answer; a group column is taken to have as many groups as distinct values."""
    answers = facts.answers.model_copy(update={field: value})
    data = facts.data
    if field == "group":
        distinct = next((c.distinct for c in data.columns if c.name == value), 0)
        data = data.model_copy(update={"groups": distinct})
    return facts.model_copy(update={"answers": answers, "data": data})
