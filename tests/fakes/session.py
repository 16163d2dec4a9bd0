"""A session without machine, data or engine: facts and plans from the other fakes, runs from recorded events."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from advisor.cli.door import Command, Door
from advisor.core.errors import AdvisorError, RunNotFoundError
from advisor.core.events import Event, StudyState, fold, fold_all
from advisor.core.facts import Facts
from advisor.core.outcome import Outcome
from advisor.core.plan import Plan
from advisor.core.rules import Rulebook
from advisor.session.following import RunSummary
from advisor.session.gathering import read_answers
from advisor.session.outcomes import outcome_of
from tests.fakes import facts as builders
from tests.fakes import journals


class RecordedFollower:
    """Plays `events` in as many polls as there are `parts`; alive until the last."""

    def __init__(self, events: Sequence[Event], *, parts: int = 4) -> None:
        size = max(1, -(-len(events) // parts))
        self._parts = [events[i : i + size] for i in range(0, len(events), size)]
        self._state = StudyState()

    def poll(self) -> StudyState:
        """The state after the next part."""
        if self._parts:
            self._state = fold(self._state, *self._parts.pop(0))
        return self._state

    @property
    def is_alive(self) -> bool:
        """True while there is more to play."""
        return bool(self._parts)


class FakeSession:
    """Implements `advisor.cli.door.Session`; `calls` remembers what was asked, `problem` is raised by `gather`."""

    def __init__(self, events: Sequence[Event] = (), *, plan: Plan | None = None, problem: BaseException | None = None) -> None:
        self.events = list(events) or journals.finished()
        self.plan = plan or journals.plan()
        self.problem = problem
        self.calls: list[tuple[str, Any]] = []
        self.predictions = pl.DataFrame({"prediction": ["no", "yes"]})

    def gather(self, data: Any, *, query: str | None = None, runs: str | Path = "runs", **answers: Any) -> Facts:
        """Facts of a laptop with a small table."""
        self.calls.append(("gather", (data, query, answers)))
        if self.problem is not None:
            raise self.problem
        return builders.facts().model_copy(update={"answers": read_answers(**answers)})

    def rulebook(self) -> Rulebook:
        """The shipped rules."""
        from advisor.rulebook.loading import load_rulebook

        return load_rulebook()

    def recommend(self, facts: Facts, rules: Rulebook | None = None) -> Plan:
        """The plan it was made with."""
        self.calls.append(("recommend", facts))
        return self.plan

    def start(
        self,
        plan: Plan,
        facts: Facts,
        *,
        data: str | None = None,
        query: str | None = None,
        runs: str | Path = "runs",
        began: float | None = None,
        track: Sequence[str] = (),
        continues: str | Path | None = None,
    ) -> Path:
        """The folder of the recorded run."""
        if continues is not None:
            self.calls.append(("continue", continues))
        self.calls.append(("start", (plan, facts, began)))
        self.calls.append(("track", tuple(track)))
        return Path(runs) / "customers-1114"

    def follow(self, run_dir: str | Path) -> RecordedFollower:
        """The recorded run from its beginning."""
        return RecordedFollower(self.events)

    def send(self, run_dir: str | Path, command: Command, argument: float | None = None) -> None:
        """Remembers the command."""
        self.calls.append(("send", (command, argument)))

    def resume(self, run_dir: str | Path, *, began: float | None = None) -> Path:
        """The same folder."""
        self.calls.append(("resume", began))
        return Path(run_dir)

    def list_runs(self, runs: str | Path = "runs") -> Sequence[RunSummary]:
        """One run."""
        return (
            RunSummary(
                name="customers-1114",
                path="runs/customers-1114",
                status="done",
                started=journals.EPOCH,
                source="customers.csv",
                strategy="tpe",
                metric="log_loss",
                best_value=0.3127,
                trials=41,
                is_alive=False,
            ),
        )

    def find_run(self, name: str | Path, runs: str | Path = "runs") -> Path:
        """The recorded run and no other."""
        if str(name) != "customers-1114":
            raise RunNotFoundError(f"no run {str(name)!r}", where=str(runs), cure="Did you mean 'customers-1114'?")
        return Path(runs) / str(name)

    def outcome(self, run_dir: str | Path) -> Outcome:
        """What the recorded events amount to."""
        return outcome_of(str(run_dir), fold_all(self.events))

    def predict(self, run_dir: str | Path, source: Any, *, query: str | None = None) -> pl.DataFrame:
        """The predictions it was given."""
        return self.predictions

    def report(self, run: str | Path, *, out: str | Path | None = None, runs: str | Path = "runs") -> Path:
        """Where it would lie; nothing is written."""
        self.calls.append(("report", (run, out)))
        return Path(out) if out is not None else Path(runs) / str(run) / "report.html"

    def export(self, subject: str | Path, *, kind: str = "script", runs: str | Path = "runs") -> str:
        """A script of one line."""
        self.calls.append(("export", (subject, kind)))
        return "print(1)\n"

    def load_plan(self, path: str | Path) -> tuple[Plan, Facts | None]:
        """The plan it was made with, without facts."""
        self.calls.append(("load_plan", path))
        return self.plan, None

    def save_plan(self, plan: Plan, path: str | Path, *, facts: Facts | None = None) -> None:
        """Remembers where."""
        self.calls.append(("save_plan", path))

    def called(self, name: str) -> list[Any]:
        """The arguments of every call of `name`."""
        return [arguments for called, arguments in self.calls if called == name]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """True."""
        return True


def door(session: FakeSession | None = None, *, is_terminal: bool = False, typed: str = "") -> Door:
    """A door onto `session` with streams in memory; the interface gives exit code 7 and remembers its arguments."""
    kind = Terminal if is_terminal else io.StringIO
    walk = session or FakeSession()

    def interface(data: str | None, **options: Any) -> int:
        walk.calls.append(("interface", (data, options)))
        return 7

    os.environ.setdefault("TERM", "xterm")
    return Door(lambda: walk, interface, lambda: 12.5, out=kind(), err=kind(), source=kind(typed))


def refused(error: AdvisorError) -> FakeSession:
    """A session whose facts cannot be gathered."""
    return FakeSession(problem=error)
