"""What the screens ask of the session: exactly these calls, so that a test can hand in another walk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from advisor.core.diagnosis import Finding as Diagnosed
    from advisor.core.events import StudyState
    from advisor.core.facts import Facts
    from advisor.core.lint import Finding
    from advisor.core.outcome import Outcome
    from advisor.core.plan import Plan
    from advisor.report.html_told import Told
    from advisor.session.alternatives import Alternative
    from advisor.session.comparing import Comparison

Command = Literal["pause", "resume", "stop", "skip", "budget"]


class Question(Protocol):
    """One question with its answer already filled in."""

    @property
    def field(self) -> str:
        """The field of `Answers` it sets."""

    @property
    def text(self) -> str:
        """The question in words."""

    @property
    def kind(self) -> str:
        """``choice``, ``column``, ``text``, ``number`` or ``duration``."""

    @property
    def choices(self) -> Sequence[Any]:
        """What may be chosen, best first; empty for a free answer."""

    @property
    def value(self) -> Any:
        """The answer in force."""

    @property
    def provenance(self) -> str:
        """Where the answer comes from: guessed, detected, default, yours …"""

    @property
    def why(self) -> str:
        """Why this answer."""

    @property
    def changes(self) -> Any:
        """What another answer would change, in words."""


class Follower(Protocol):
    """Reads a run as it goes on."""

    def poll(self) -> StudyState:
        """The state now."""

    @property
    def is_alive(self) -> bool:
        """True while the engine process lives."""


class RunSummary(Protocol):
    """One line of the list of runs."""

    @property
    def name(self) -> str:
        """Name of the run."""

    @property
    def path(self) -> str:
        """Its folder."""

    @property
    def status(self) -> str:
        """running, done, stopped, nothing_finished, failed or interrupted."""

    @property
    def started(self) -> float:
        """Wall-clock seconds since the epoch."""

    @property
    def source(self) -> str:
        """The data it was started on."""

    @property
    def metric(self) -> str:
        """The score."""

    @property
    def best_value(self) -> float | None:
        """Best score so far."""

    @property
    def trials(self) -> int:
        """Trials completed."""

    @property
    def is_alive(self) -> bool:
        """True while its engine lives."""


class Walk(Protocol):
    """The calls of the session that the screens make. All may block; none is made on the thread that draws."""

    def gather(self, source: str | None, *, query: str | None, runs: str, answers: dict[str, Any]) -> Facts:
        """Facts about the machine and the table, or about the objective that the answers name."""

    def remembered(self, source: str | None, runs: str) -> dict[str, Any]:
        """The answers of the last run on the same data."""

    def questions(self, facts: Facts) -> Sequence[Question]:
        """The questions worth asking, answers filled in."""

    def recommend(self, facts: Facts) -> Plan:
        """The plan."""

    def draft(self, facts: Facts) -> Plan:
        """The plan without what would change it: at once, for its headline."""

    def replan(self, facts: Facts, edits: Mapping[str, Any]) -> tuple[Plan, Mapping[str, Any]]:
        """The plan with the ranges that the user has set, and those of them that it still searches."""

    def lint(self, plan: Plan, names: Sequence[str]) -> tuple[Finding, ...]:
        """What the linter says of the named hyperparameters."""

    def lessons(self, plan: Plan) -> Mapping[str, str]:
        """For each hyperparameter that is searched and taught, what it does when it is too small and too large, in a line."""

    def farther(self, facts: Facts, plan: Plan, fields: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """What it takes to change the fields that nothing near does, in sentences: a far change of one fact, or the smallest pair."""

    def alternatives(self, facts: Facts, plan: Plan) -> Sequence[Alternative]:
        """The other strategies with their forecasts."""

    def script(self, plan: Plan, facts: Facts | None) -> str:
        """The plan as a plain script."""

    def start(self, plan: Plan, facts: Facts, *, query: str | None, runs: str, began: float) -> Path:
        """Starts a detached engine; returns its run folder."""

    def follow(self, run_dir: Path) -> Follower:
        """A follower; raises RunNotFoundError while the journal is not there."""

    def findings(self, state: StudyState) -> tuple[Diagnosed, ...]:
        """What the trials of a run show so far, each with what was done about it."""

    def send(self, run_dir: Path, command: Command, argument: float | None = None) -> None:
        """Hands a command to the engine."""

    def resume(self, run_dir: Path) -> Path:
        """A new engine goes on with a run."""

    def list_runs(self, runs: str) -> Sequence[RunSummary]:
        """Recent runs, the newest first."""

    def outcome(self, run_dir: Path) -> Outcome:
        """What came out of a run."""

    def told(self, run_dir: Path) -> Told:
        """All that the report of a run says: how much each hyperparameter matters takes seconds."""

    def save_plan(self, plan: Plan, path: Path, facts: Facts | None) -> None:
        """Writes the plan as TOML."""

    def script_of(self, run_dir: Path) -> str:
        """The run as a plain script."""

    def report(self, run_dir: Path) -> Path:
        """Writes the report of the run; where it lies."""

    def longer(self, run_dir: Path, factor: float) -> tuple[Plan, Facts]:
        """The plan for what the run was about with `factor` times its budget."""

    def compare(self, run_dirs: Sequence[Path]) -> Comparison:
        """Runs side by side."""


class SessionWalk:
    """The walk over the real session. Nothing of it is imported before the first call, so that the first paint waits for nothing."""

    def __init__(self) -> None:
        self._source: str | None = None

    def gather(self, source: str | None, *, query: str | None, runs: str, answers: dict[str, Any]) -> Facts:
        """Facts about the machine and the table, or about the objective that the answers name."""
        from advisor import session

        self._source = source
        return session.gather(source, query=query, runs=runs, **answers)

    def remembered(self, source: str | None, runs: str) -> dict[str, Any]:
        """The answers of the last run on the same data."""
        from advisor.session.remembering import remembered

        return remembered(source, runs)

    def questions(self, facts: Facts) -> Sequence[Question]:
        """The questions worth asking, answers filled in."""
        from advisor import session
        from advisor.core.interview import questions

        return questions(facts, session.rulebook())

    def recommend(self, facts: Facts) -> Plan:
        """The plan."""
        from advisor import session

        return session.recommend(facts)

    def draft(self, facts: Facts) -> Plan:
        """The plan without what would change it: at once, for its headline."""
        from advisor import session
        from advisor.core.recommend import recommend

        return recommend(facts, session.rulebook(), flips=False)

    def replan(self, facts: Facts, edits: Mapping[str, Any]) -> tuple[Plan, Mapping[str, Any]]:
        """The plan with the ranges that the user has set, and those of them that it still searches."""
        from advisor.core.editing import with_parameter

        plan = self.recommend(facts)
        kept = {name: edit for name, edit in edits.items() if name in plan.space.parameters}
        for name, edit in kept.items():
            plan = with_parameter(plan, name, edit)
        return plan, kept

    def lint(self, plan: Plan, names: Sequence[str]) -> tuple[Finding, ...]:
        """What the linter says of the named hyperparameters."""
        from advisor import session
        from advisor.core.lint import lint

        rules = session.rulebook()
        return tuple(f for f in lint(plan.space, rules.lints, rules.roles, rules.lessons) if f.parameter in names)

    def lessons(self, plan: Plan) -> Mapping[str, str]:
        """For each hyperparameter that is searched and taught, what it does when it is too small and too large, in a line."""
        from advisor import session
        from advisor.core.lessons import lesson

        book = session.rulebook()
        found = {name: lesson(name, book.lessons, book.roles, family=plan.family) for name in plan.space.parameters}
        return {name: told.line for name, told in found.items() if told is not None}

    def farther(self, facts: Facts, plan: Plan, fields: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """What it takes to change the fields that nothing near does, in sentences: a far change of one fact, or the smallest pair."""
        from advisor import session
        from advisor.core.explain import farther

        return farther([e for e in plan.evidence if e.field in fields], facts, session.rulebook())

    def alternatives(self, facts: Facts, plan: Plan) -> Sequence[Alternative]:
        """The other strategies with their forecasts."""
        from advisor.session.alternatives import alternatives

        return alternatives(facts, plan)

    def script(self, plan: Plan, facts: Facts | None) -> str:
        """The plan as a plain script."""
        import tempfile

        from advisor import session

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "plan.toml"
            session.save_plan(plan, path, facts=facts)
            return session.export(path)

    def start(self, plan: Plan, facts: Facts, *, query: str | None, runs: str, began: float) -> Path:
        """Starts a detached engine; returns its run folder."""
        from advisor import session

        return session.start(plan, facts, data=self._source, query=query, runs=runs, began=began)

    def follow(self, run_dir: Path) -> Follower:
        """A follower of the run's journal."""
        from advisor import session

        return session.follow(run_dir)

    def findings(self, state: StudyState) -> tuple[Diagnosed, ...]:
        """What the trials of a run show so far, each with what was done about it."""
        from advisor.session.diagnosing import diagnose_run

        return diagnose_run(state).findings if state.plan is not None and state.trials else ()

    def send(self, run_dir: Path, command: Command, argument: float | None = None) -> None:
        """Hands a command to the engine."""
        from advisor import session

        session.send(run_dir, command, argument)

    def resume(self, run_dir: Path) -> Path:
        """A new engine goes on with a run."""
        from advisor import session

        return session.resume(run_dir)

    def list_runs(self, runs: str) -> Sequence[RunSummary]:
        """Recent runs, the newest first."""
        from advisor import session

        return session.list_runs(runs)

    def outcome(self, run_dir: Path) -> Outcome:
        """What came out of a run."""
        from advisor import session

        return session.outcome(run_dir)

    def told(self, run_dir: Path) -> Told:
        """All that the report of a run says: how much each hyperparameter matters takes seconds."""
        from advisor.session.folder import RunFolder
        from advisor.session.following import follow
        from advisor.session.reporting import told_of

        return told_of(RunFolder(run_dir), follow(run_dir).poll())

    def save_plan(self, plan: Plan, path: Path, facts: Facts | None) -> None:
        """Writes the plan as TOML."""
        from advisor import session

        session.save_plan(plan, path, facts=facts)

    def script_of(self, run_dir: Path) -> str:
        """The run as a plain script."""
        from advisor import session

        return session.export(run_dir.name, runs=run_dir.parent)

    def report(self, run_dir: Path) -> Path:
        """Writes the report of the run; where it lies."""
        from advisor import session

        return session.report(run_dir)

    def longer(self, run_dir: Path, factor: float) -> tuple[Plan, Facts]:
        """The plan for what the run was about with `factor` times its budget."""
        from advisor.session.folder import RunFolder

        folder = RunFolder(run_dir)
        facts = folder.read_facts()
        answers = facts.answers.model_copy(update={"budget_seconds": facts.answers.budget_seconds * factor})
        facts = facts.model_copy(update={"answers": answers})
        self._source = None if facts.objective is not None else folder.read_request().data
        return self.recommend(facts), facts

    def compare(self, run_dirs: Sequence[Path]) -> Comparison:
        """Runs side by side."""
        from advisor.session.comparing import compare

        return compare(run_dirs)
