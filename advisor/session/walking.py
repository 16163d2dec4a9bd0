"""What every part of an engine's walk shares: the plan in force, the time left, the workers, and the drive of one stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.core.events import StageStarted, StudyState, TrialFailed, TrialInterrupted, TrialState
from advisor.core.facts import Facts
from advisor.core.family import Family
from advisor.core.own import own_family
from advisor.core.plan import Plan, Stage
from advisor.core.ports import Engine, LibraryLoop, Limits, Proposal, Result
from advisor.core.space import Config, SearchSpace
from advisor.core.value import encode
from advisor.session.folder import RunFolder, publish_best
from advisor.session.planning import rulebook
from advisor.session.recording import Gate, Recorder
from advisor.supervise.loop import Deadline

if TYPE_CHECKING:
    from advisor.objectives.prepared import Prepared
    from advisor.objectives.tables import TableObjective
    from advisor.supervise.commands import CommandBox
    from advisor.supervise.pool import Pool


class StageEnd(Deadline):
    """The end of a stage, asked anew at every look: it moves as fits are measured and as budget is added."""

    def __init__(self, end: Callable[[], float]) -> None:
        self._end = end
        self.extra_seconds = 0.0

    @property
    def at(self) -> float:
        """Seconds of budget used."""
        return self._end()

    @at.setter
    def at(self, _value: float) -> None:
        """The journal says how much budget was added; there is nothing to keep."""


SHUTDOWN_SECONDS = 0.5
"""Kept back at the very end for writing the result and ending the workers. Source: seen, a pool of two closes in 0.1 s."""


@dataclass
class Walk:
    """One life of a run's engine. The journal is the truth; everything here can be made again from it."""

    folder: RunFolder
    facts: Facts
    first: Plan
    """The plan the run began with: its shortlist is raced, its fixed arguments hold throughout. Read once: every look asks for it."""
    plan: Plan
    """The plan in force."""
    follows_facts: bool
    recorder: Recorder
    pool: Pool
    commands: CommandBox
    is_interrupted: Callable[[], bool]
    prepared_table: Prepared | None = None
    """The table; None where the objective is the user's own."""
    keeps_models: bool = True
    """False for a run that leaves no folder behind."""
    shutdown_seconds: float = SHUTDOWN_SECONDS
    """Kept back at the very end."""
    slow: float = 1.0
    """How many times longer than on an idle machine things take here."""
    brought: Callable[..., Any] | None = None
    """The user's own objective, where it is one."""
    registered: set[str] = field(default_factory=set)
    """Objectives on fewer rows that the workers know."""
    batches: dict[str, int] = field(default_factory=dict)
    """Family to its rows a gradient step, where memory allows fewer than the rules have set."""
    histories: dict[str, list[tuple[Config, Result]]] = field(default_factory=dict)
    """What the pilot evaluated, by family."""
    ranking: list[str] = field(default_factory=list)
    """Families with a score in the race, best first."""
    has_stopped: bool = False
    """True once a stop command was carried out: what is left is to confirm and ship."""
    was_interrupted: bool = False
    """True once a signal asked the process to go: everything else is left to a resume."""

    @property
    def prepared(self) -> Prepared:
        """The table.

        Raises: ValueError where the objective is the user's own.
        """
        if self.prepared_table is None:
            raise ValueError("there is no table: the objective is the user's own")
        return self.prepared_table

    @property
    def is_own(self) -> bool:
        """True where the objective is the user's own."""
        return self.facts.objective is not None

    @property
    def traces(self) -> bool:
        """True where the objective draws its own values, so that its space is learned by running it."""
        return self.facts.objective is not None and self.facts.objective.kind == "optuna"

    def end(self) -> float:
        """Seconds of budget at which the run must be over, budget added or taken away while it ran included."""
        return self.plan.budget.seconds + self.recorder.state.extra_seconds - self.shutdown_seconds

    def remaining(self) -> float:
        """Seconds until the run must be over."""
        return self.end() - self.recorder.elapsed()

    def family(self, name: str) -> Family:
        """The rulebook's page on a family, with the constructor arguments that the plan fixed for these facts."""
        if self.facts.objective is not None:
            return own_family(self.facts.objective, self.plan.space)
        fixed = next((c.fixed for c in (*self.first.shortlist, *self.plan.shortlist) if c.family == name), None)
        family = rulebook().families[name]
        if name in self.batches:
            fixed = {**(family.fixed if fixed is None else fixed), "batch_size": self.batches[name]}
        return family if fixed is None else family.model_copy(update={"fixed": fixed})

    def batch(self, family: str) -> int | None:
        """Rows a gradient step of `family`; None for what has no batches, and for an objective of the user's own."""
        batch = None if self.is_own else self.family(family).fixed.get("batch_size")
        return batch if isinstance(batch, int) and rulebook().families[family].trains_in_steps else None

    def with_batches(self, plan: Plan) -> Plan:
        """`plan` with the batches that memory allows, where they are smaller than those of the rules."""
        if not self.batches:
            return plan
        shortlist = tuple(
            c.model_copy(update={"fixed": {**c.fixed, "batch_size": self.batches[c.family]}}) if c.family in self.batches else c
            for c in plan.shortlist
        )
        batch = self.batches.get(plan.family, plan.envelope.batch_size)
        return plan.model_copy(update={"shortlist": shortlist, "envelope": plan.envelope.model_copy(update={"batch_size": batch})})

    def register(self, family: str) -> None:
        """Makes the objectives of `family` known to the workers: the splits of the search, and the fresh ones."""
        for purpose, is_fresh in (("search", False), ("confirm", True)):
            self.pool.register(f"{purpose}/{family}", self._table_objective(family, is_fresh=is_fresh))

    def _table_objective(self, family: str, *, is_fresh: bool = False) -> TableObjective:
        """The objective of `family` on the splits of the search, or on the fresh ones."""
        envelope = self.plan.envelope
        return self.prepared.objective(
            self.family(family), seed=self.plan.seed, threads=envelope.threads_per_worker, is_fresh=is_fresh, device=envelope.device
        )

    def objective(self) -> Callable[..., Any]:
        """The objective of the planned family, for a library that runs trials by itself."""
        if self.brought is not None:
            return self.brought
        return self._table_objective(self.plan.family)

    def objective_name(self, proposal: Proposal, purpose: str) -> str:
        """Under which name the workers know what evaluates `proposal`; one on fewer rows is made known when it is first asked for."""
        family = proposal.family or self.plan.family
        if proposal.rows is None:
            return f"{purpose}/{family}"
        name = f"{purpose}/{family}@{proposal.rows}"
        if name not in self.registered:
            self.pool.register(name, self._table_objective(family).with_rows(proposal.rows))
            self.registered.add(name)
        return name

    def _begin(self, stage: Stage, space: SearchSpace) -> None:
        """Journals that a stage begins, once over all lives of the run."""
        if not any(s.stage == stage.name for s in self.recorder.state.stages):
            self.recorder.emit(
                StageStarted(
                    stage=stage.name,
                    strategy=stage.strategy.value,
                    engine=stage.engine,
                    space={n: p.model_dump(mode="json") for n, p in space.items()},
                )
            )

    def run_loop(self, loop: LibraryLoop, *, stage: Stage, space: SearchSpace, reserve: Callable[[StudyState], float]) -> bool:
        """Lets a library run a stage by its own loop, and takes down what it does. False when a signal asks the process to go."""
        from advisor.session.scribing import StageScribe
        from advisor.supervise.resumption import next_trial

        self._begin(stage, space)
        end = lambda: self.end() - reserve(self.recorder.state)  # noqa: E731
        loop.run(StageScribe(self, stage, end, next_trial=next_trial(self.recorder.state)))
        self.was_interrupted = self.was_interrupted or self.is_interrupted()
        for trial in self.recorder.state.running:
            if self.was_interrupted or self.has_stopped:
                self.recorder.emit(TrialInterrupted(trial=trial.number))
            else:
                seconds = self.recorder.elapsed() - trial.started_elapsed
                cause, cure = "the time of the stage ended while it ran", "Give the run more time."
                self.recorder.emit(TrialFailed(trial=trial.number, cause=cause, cure=cure, category="deadline", seconds=seconds))
        return not self.was_interrupted

    def drive(
        self,
        engine: Engine,
        *,
        stage: Stage,
        space: SearchSpace,
        purpose: str = "search",
        reserve: Callable[[StudyState], float],
        soft_end: float | None = None,
        at_least: int = 1,
        is_over: bool = False,
        max_trials: int | None = None,
        longest: Callable[[], float] | None = None,
    ) -> bool:
        """Replays what the journal holds of this stage, then lets the engine propose until it is done or its time is over.

        False when a signal asks the process to go.

        `longest` takes the place of the plan's limit of one trial (the pilot does not know yet what a fit takes).
        What `reserve` says of the state is left to what follows; after `soft_end` (seconds of budget used) nothing new is
        started once `at_least` proposals were.
        """
        from advisor.supervise.loop import drive
        from advisor.supervise.resumption import next_trial, replay

        try:
            for proposal, result in replay(self.recorder.state, stage.name):
                engine.tell(proposal, result)
            if is_over or self.was_interrupted:
                return not self.was_interrupted
            self._begin(stage, space)
            elapsed = self.recorder.elapsed

            def is_late() -> bool:
                """Past the soft end; where the default is the user's own, its failing is no reason to give up."""
                return soft_end is not None and elapsed() >= soft_end and not (self.is_own and self.recorder.state.best is None)

            end = drive(
                Gate(self._remembering(engine, purpose), is_late, at_least=at_least),
                self.pool,
                stage=stage.name,
                family=self.plan.family,
                objective_name=lambda proposal: self.objective_name(proposal, purpose),
                limits=Limits(
                    deadline=self.end() - reserve(self.recorder.state),
                    trial_seconds=self.plan.envelope.trial_seconds,
                    max_trials=max_trials,
                    last_step=own.fidelity.high if (own := self.facts.objective) is not None and own.fidelity is not None else None,
                    is_shortened=purpose == "search" and not self.is_own,
                ),
                emit=self.recorder.emit,
                state=lambda: self.recorder.state,
                next_trial=next_trial(self.recorder.state),
                clock=elapsed,
                commands=self.commands,
                best_path=self.folder.work / "incumbent.joblib" if purpose == "search" and self.keeps_models else None,
                checkpoints=self.folder.work,
                publish=self.publish,
                is_interrupted=self.is_interrupted,
                deadline=StageEnd(lambda: self.end() - reserve(self.recorder.state)),
                longest=longest,
                hard_end=self.end,
            )
            self.has_stopped = self.has_stopped or end.reason == "stopped"
            self.was_interrupted = self.was_interrupted or end.reason == "interrupted"
            return not self.was_interrupted
        finally:
            engine.close()

    def _remembering(self, engine: Engine, purpose: str) -> Engine:
        """`engine`, told at once what an earlier run has evaluated on these splits; the fresh ones of the confirm stage are others."""
        from advisor.session.continuing import Remembering, carried

        known = carried(self.recorder.state) if purpose == "search" else {}
        return Remembering(engine, known, self.plan.family) if known else engine

    def trials_left(self) -> int | None:
        """Evaluations that are still allowed: the user's cap counts all of them, the plan's counts those of its family."""
        trials = [t for t in self.recorder.state.trials.values() if t.stage != "confirm" and t.status != "interrupted"]
        left = []
        if self.facts.answers.trials is not None:
            left.append(self.facts.answers.trials - len(trials))
        if self.plan.budget.trials_cap is not None:
            left.append(self.plan.budget.trials_cap - sum(t.family == self.plan.family for t in trials))
        return max(min(left), 0) if left else None

    def publish(self, trial: int, model: Path, sha256: str) -> None:
        """Puts the model of the best trial so far into ``best/``."""
        self.put_best(self.recorder.state.trials[trial], model, sha256=sha256, trained_on="fold")

    def put_best(self, trial: TrialState, model: Path, *, sha256: str, trained_on: str) -> None:
        """Moves `model` into ``best/`` with what is known of it, in one step."""
        manifest: dict[str, Any] = {
            "sha256": sha256,
            "trial": trial.number,
            "family": trial.family,
            "config": encode(trial.config),
            "metric": self.plan.metric,
            "validation_score": trial.value,
            "trained_on": trained_on,
            "target": self.plan.target,
            "task": self.plan.task.value if self.plan.task is not None else None,
        }
        publish_best(self.folder, model=model, manifest=manifest)
