"""A walk without a session: facts, plan and journals are recorded, commands are remembered."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from advisor.core.diagnosis import Finding as Diagnosed
from advisor.core.editing import with_parameter
from advisor.core.errors import AdvisorError
from advisor.core.events import Event, StudyState, fold_all
from advisor.core.facts import Answers, Column, ColumnKind, Dataset, Facts, Goal, Task
from advisor.core.lint import Finding
from advisor.core.outcome import Outcome
from advisor.core.plan import Plan, Strategy
from advisor.report.html_told import Told
from advisor.session.alternatives import Alternative
from advisor.session.comparing import Comparison, comparison_of
from advisor.session.folder import RunFolder
from advisor.session.reporting import Weight, told_of
from advisor.tui.walk import SessionWalk
from tests.fakes import facts as fake_facts
from tests.fakes import journals

WEIGHTS = (
    Weight("learning_rate", value=0.61, explained=0.44, low=0.38, high=0.79),
    Weight("max_leaf_nodes", value=0.27, explained=0.2, low=0.08, high=0.46),
    Weight("l2_regularization", value=0.09, explained=0.03, low=0.0, high=0.21),
    Weight("min_samples_leaf", value=0.03, explained=0.01, low=0.0, high=0.12),
)
"""What mattered in the recorded run."""


@dataclass(frozen=True)
class FakeQuestion:
    """A question as the interview gives it."""

    field: str
    text: str
    kind: str
    choices: tuple[Any, ...]
    value: Any
    provenance: str
    why: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FakeSummary:
    """One run of a list."""

    name: str
    path: str
    status: str
    started: float
    source: str = "customers.csv"
    metric: str = "log_loss"
    best_value: float | None = 0.3127
    trials: int = 33
    is_alive: bool = False


class FakeFollower:
    """A follower whose journal is a list; `events` may be exchanged while it is polled."""

    def __init__(self, walk: FakeWalk) -> None:
        self._walk = walk
        self._seen: list[Event] | None = None
        self._state = StudyState()

    def poll(self) -> StudyState:
        """The state of the events that the walk holds now."""
        if self._walk.events is not self._seen:
            self._seen = self._walk.events
            self._state = replace(fold_all(self._seen), at=0.0)
        return self._state

    @property
    def is_alive(self) -> bool:
        """What the walk says."""
        return self._walk.is_alive and self._state.finished is None


@dataclass
class FakeWalk:
    """Answers every call from memory. `gate` holds `gather` back until it is set."""

    events: list[Event] = field(default_factory=journals.running)
    error: AdvisorError | None = None
    gate: threading.Event | None = None
    is_alive: bool = True
    gathered: list[dict[str, Any]] = field(default_factory=list)
    started: list[Plan] = field(default_factory=list)
    sent: list[tuple[str, float | None]] = field(default_factory=list)
    resumed: list[Path] = field(default_factory=list)
    saved: list[Path] = field(default_factory=list)
    runs: tuple[FakeSummary, ...] = ()
    found: tuple[Diagnosed, ...] = ()
    last: dict[str, Any] = field(default_factory=dict)

    def gather(self, source: str, *, query: str | None, runs: str, answers: dict[str, Any]) -> Facts:
        """The facts of a table of customers."""
        if self.gate is not None:
            self.gate.wait(10)
        self.gathered.append(dict(answers))
        if self.error is not None:
            raise self.error
        return customers(**{k: v for k, v in answers.items() if v is not None})

    def remembered(self, source: str | None, runs: str) -> dict[str, Any]:
        """What was answered last time."""
        return dict(self.last)

    def questions(self, facts: Facts) -> Sequence[FakeQuestion]:
        """Seven questions on them."""
        return questions(facts)

    def recommend(self, facts: Facts) -> Plan:
        """A plan whose time follows the budget."""
        seconds = facts.answers.budget_seconds
        recorded = journals.plan()
        return recorded.model_copy(
            update={
                "forecast": recorded.forecast.model_copy(
                    update={"seconds_p50": 0.8 * seconds, "seconds_p90": seconds, "trials": round(seconds * 95 / 1200)}
                )
            }
        )

    def draft(self, facts: Facts) -> Plan:
        """The same plan."""
        return self.recommend(facts)

    def replan(self, facts: Facts, edits: Mapping[str, Any]) -> tuple[Plan, Mapping[str, Any]]:
        """The plan with the edits in it."""
        plan = self.recommend(facts)
        if facts.answers.strategy != "auto":
            plan = plan.model_copy(update={"strategy": Strategy(facts.answers.strategy)})
        for name, edit in edits.items():
            plan = with_parameter(plan, name, edit)
        return plan, edits

    def lint(self, plan: Plan, names: Sequence[str]) -> tuple[Finding, ...]:
        """What the real linter says."""
        return SessionWalk().lint(plan, names)

    def lessons(self, plan: Plan) -> Mapping[str, str]:
        """What the shipped lessons say."""
        return SessionWalk().lessons(plan)

    def farther(self, facts: Facts, plan: Plan, fields: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The same pair for every field."""
        pair = f"would be otherwise if data.rows were 500 (now {facts.data.rows}), and answers.budget_seconds were 1 h (now 20 min)"
        return dict.fromkeys(fields, (pair,))

    def told(self, run_dir: Path) -> Told:
        """What the report says of `events`, with weights of its own: the recorded scores do not follow the hyperparameters."""
        note = "Measured over 31 finished trials of hist_gradient_boosting, within the ranges that were searched."
        told = told_of(RunFolder(run_dir), fold_all(self.events), with_importance=False)
        return replace(told, importances=WEIGHTS, importance_note=note)

    def alternatives(self, facts: Facts, plan: Plan) -> Sequence[Alternative]:
        """One that can be had and one that cannot."""
        return (
            Alternative(strategy=Strategy.RANDOM, trials=90, seconds_p50=900, seconds_p90=1200, differs=("strategy: tpe → random",)),
            Alternative(strategy=Strategy.GRID, refusal="grid is not advised here: 6 dimensions, at most 3", against=("6 dimensions",)),
        )

    def script(self, plan: Plan, facts: Facts | None) -> str:
        """A script of one line."""
        return "print(1)\n"

    def start(self, plan: Plan, facts: Facts, *, query: str | None, runs: str, began: float) -> Path:
        """Remembers the plan."""
        self.started.append(plan)
        return Path(runs) / "customers-1114"

    def follow(self, run_dir: Path) -> FakeFollower:
        """A follower of `events`."""
        return FakeFollower(self)

    def findings(self, state: StudyState) -> tuple[Diagnosed, ...]:
        """Those given."""
        return self.found

    def send(self, run_dir: Path, command: str, argument: float | None = None) -> None:
        """Remembers the command."""
        self.sent.append((command, argument))

    def resume(self, run_dir: Path) -> Path:
        """Remembers the run."""
        self.resumed.append(run_dir)
        return run_dir

    def list_runs(self, runs: str) -> Sequence[FakeSummary]:
        """The runs given."""
        return self.runs

    def outcome(self, run_dir: Path) -> Outcome:
        """The outcome of `events`."""
        return outcome(self.events, str(run_dir))

    def save_plan(self, plan: Plan, path: Path, facts: Facts | None) -> None:
        """Writes the plan as JSON text: the form does not matter here."""
        path.write_text(plan.to_json(), encoding="utf-8")
        self.saved.append(path)

    def script_of(self, run_dir: Path) -> str:
        """A script of one line."""
        return "print(1)\n"

    def report(self, run_dir: Path) -> Path:
        """Where it would lie."""
        return run_dir / "report.html"

    def longer(self, run_dir: Path, factor: float) -> tuple[Plan, Facts]:
        """The plan for twice the time."""
        facts = customers(budget_seconds=1200.0 * factor)
        return self.recommend(facts), facts

    def compare(self, run_dirs: Sequence[Path]) -> Comparison:
        """The recorded outcome beside itself with the default shipped."""
        outcomes = [outcome(journals.finished(), str(run_dirs[0])), outcome(journals.finished(shipped="default"), str(run_dirs[1]))]
        return comparison_of(outcomes)


def customers(**answers: Any) -> Facts:
    """Facts of a table of 12,430 customers."""
    columns = (
        *(Column(name=f"x{i}", kind=ColumnKind.NUMERIC) for i in range(1, 30)),
        Column(name="customer_id", kind=ColumnKind.IDENTIFIER, distinct=12430),
    )
    data = Dataset(
        source="customers.csv",
        fingerprint="sha256:0",
        rows=12430,
        columns=columns,
        bytes=3_000_000,
        target=answers.get("target", "left"),
        target_confidence=0.93,
        task=Task.BINARY,
        classes=2,
        rarest_class_rows=1367,
        minority_ratio=0.11,
        feature_columns=29,
        numeric_columns=29,
        category_columns=0,
        width=29,
        effective_dimensions=14,
        missing_ratio=0.021,
        duplicate_ratio=0.0,
        warnings=("customer_id looks like an identifier: it is not used.", "x7 spells missing values as '?': 214 cells."),
    )
    return Facts(hardware=fake_facts.hardware(), data=data, answers=Answers(**answers))


def questions(facts: Facts) -> tuple[FakeQuestion, ...]:
    """The questions a table of customers raises."""
    a = facts.answers
    names = tuple(c.name for c in facts.data.columns)
    return (
        FakeQuestion(
            "target",
            "Which column is to be predicted?",
            "column",
            ("left", *names),
            a.target or "left",
            "guessed 0.93",
            "left: 2 values, the last column, a name that targets often have.",
            ("Everything else follows from it.",),
        ),
        FakeQuestion(
            "metric",
            "Which score decides?",
            "choice",
            ("log_loss", "average_precision", "roc_auc", "accuracy"),
            a.metric or "log_loss",
            "guessed",
            "11 % positives: accuracy would reward never predicting them.",
            ("accuracy: tpe, 3 families, accuracy, about 95 trials in 16 min",),
        ),
        FakeQuestion(
            "model",
            "Which model family?",
            "choice",
            ("auto", "hist_gradient_boosting", "extra_trees"),
            a.model,
            "default",
            "Three families are raced.",
            "",
        ),
        FakeQuestion(
            "budget_seconds",
            "How long may it take?",
            "duration",
            (),
            a.budget_seconds,
            "default",
            "Ten minutes afford about 48 trials.",
            ("6 min: random, 2 families, about 28 trials in 5 min", "40 min: gp, 3 families, about 190 trials in 34 min"),
        ),
        FakeQuestion(
            "goal",
            "What do you want from this run?",
            "choice",
            tuple(Goal),
            a.goal,
            "default",
            "best: as good as the budget affords.",
            ("quick: random, 3 families, about 60 trials in 10 min",),
        ),
        FakeQuestion(
            "group",
            "Which column names the repeated entity?",
            "column",
            (None, *names),
            a.group,
            "none found",
            "No column repeats an entity.",
            ("x3: folds by group",),
        ),
        FakeQuestion("seed", "Which seed?", "number", (), a.seed, "default", "Equal seeds give equal runs.", ()),
    )


def outcome(events: list[Event], run: str) -> Outcome:
    """The outcome of recorded events, as the session folds it."""
    from advisor.session.outcomes import outcome_of

    return outcome_of(run, fold_all(events))
