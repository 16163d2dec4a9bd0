"""The finished trials of an earlier run as the beginning of a new one: nothing that was evaluated is evaluated again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from advisor.core.errors import InputError
from advisor.core.events import Event, Noted, RunStarted, StudyState, TrialFinished, TrialStarted, TrialState
from advisor.core.facts import Facts, GivenRows
from advisor.core.plan import Plan
from advisor.core.ports import Engine, Proposal, Result
from advisor.core.space import Config
from advisor.session.folder import RunFolder
from advisor.supervise.resumption import result_of

FLAG = "--continue"
BEFORE_THE_CLOCK = -1.0
"""When a trial began that an earlier run has paid for: the clock of a run begins at 0, a simulated one exactly there."""


def carried_over(run: Path, plan: Plan, facts: Facts) -> tuple[Plan, list[Event]]:
    """`plan` with the splits of the earlier run, and its finished trials as events of the pilot, which tells them to every engine.

    Carried are whole trials that ran in full under one configuration that belongs to the space of `plan`. The default stays trial 0
    where it is the same.

    Raises: RunNotFoundError without such a run; InputError when its scores cannot be compared with those of `plan`, or none is left.
    """
    from advisor.session.following import follow

    state = follow(run).poll()
    if state.plan is None:
        raise InputError("that run has no plan yet", where=f"{FLAG} {run.name}", cure="Name a run that has finished trials.")
    earlier = Plan.from_mapping(state.plan)
    _compare(earlier, RunFolder(run).read_facts(), plan, facts, run.name)
    plan = plan.model_copy(update={"validation": earlier.validation})
    ended = [t for t in state.trials.values() if t.stage != "confirm" and t.status == "completed" and t.rows is None and t.is_static]
    fitting = _distinct([t for t in ended if _belongs(t, plan)])
    if not fitting:
        raise InputError(
            f"none of its {len(ended)} finished trials belongs to the space of this plan" if ended else "it has no finished trial",
            where=f"{FLAG} {run.name}",
            cure="Start a new run without it.",
        )
    return plan, [*_events(fitting, plan), Noted(text=_said(run.name, len(fitting), len(ended)))]


def _said(name: str, kept: int, ended: int) -> str:
    left = ended - kept
    rest = f"; {left} of its trials are repeats or lie outside the space and are left out" if left else ""
    return f"{kept} finished trials are carried over from {name}, with its splits{rest}."


def _compare(before: Plan, old: Facts, plan: Plan, facts: Facts, name: str) -> None:
    """Raises: InputError with the first thing that makes the scores incomparable."""
    where = f"{FLAG} {name}"
    if (old.objective is None) != (facts.objective is None):
        raise InputError("one of the two runs is of a table and the other of your own objective", where=where, cure="Leave --continue out.")
    pairs: list[tuple[str, object, object]] = [("metric", before.metric, plan.metric), ("direction", before.direction, plan.direction)]
    if old.objective is not None and facts.objective is not None:
        if facts.objective.kind == "optuna":
            raise InputError(
                "an objective that draws its own values tells its space only as it runs, so nothing can be carried over",
                where=where,
                cure="Go on with the run itself: `advisor resume`.",
            )
        a, b = old.objective, facts.objective
        pairs = [("objective", a.name, b.name), ("kind", a.kind, b.kind), ("fidelity", a.fidelity, b.fidelity), *pairs]
    else:
        pairs = [
            ("data", before.data_fingerprint, plan.data_fingerprint),
            ("target", before.target, plan.target),
            ("task", before.task, plan.task),
            *pairs,
            ("features", before.features, plan.features),
            ("group", before.validation.group, plan.validation.group),
            ("time", before.validation.time, plan.validation.time),
            ("weights", before.weights, plan.weights),
            ("rows to validate on", _mark(before.valid), _mark(plan.valid)),
            ("rows to test on", _mark(before.test), _mark(plan.test)),
        ]
    for what, then, now in pairs:
        if then != now:
            told = "" if what in ("data", "features", "fidelity") or what.startswith("rows") else f": {then} then, {now} now"
            raise InputError(
                f"its scores cannot be compared with those of this run, which has other {what}{told}",
                where=where,
                cure="Run it with what it was run with, or leave --continue out.",
            )


def _mark(rows: GivenRows | None) -> str | None:
    """What tells one file's rows from another's, wherever it lies."""
    return None if rows is None else rows.fingerprint


def _belongs(trial: TrialState, plan: Plan) -> bool:
    candidate = next((c for c in plan.shortlist if c.family == trial.family), None)
    return candidate is not None and (not candidate.space.faults(trial.config) or trial.config in candidate.starts)


def _distinct(trials: list[TrialState]) -> list[TrialState]:
    """The first trial of each configuration."""
    kept: list[TrialState] = []
    for trial in trials:
        if not any(k.family == trial.family and k.config == trial.config for k in kept):
            kept.append(trial)
    return kept


def _events(trials: list[TrialState], plan: Plan) -> list[Event]:
    """The trials as ended ones of the pilot; the plan's default first where it is among them."""
    default = plan.starts[0]

    def is_default(t: TrialState) -> bool:
        return t.family == plan.family and t.config == default

    out: list[Event] = []
    for number, trial in enumerate(sorted(trials, key=lambda t: (not is_default(t), t.number))):
        out.append(
            TrialStarted(
                elapsed=BEFORE_THE_CLOCK,
                trial=number,
                stage=plan.stages[0].name,
                origin="default" if is_default(trial) else "start",
                family=trial.family,
                config=trial.config,
                key=number,
                seed=trial.seed,
            )
        )
        out.append(
            TrialFinished(
                trial=number,
                value=trial.value or 0.0,
                scores=trial.scores,
                seconds=trial.seconds,
                fit_seconds=trial.fit_seconds,
                peak_bytes=trial.peak_bytes,
            )
        )
    return out


def begin_with(folder: RunFolder, plan: Plan, events: list[Event], command: str) -> None:
    """Writes the beginning of the journal of a new run: it exists, and has these trials. An engine goes on from there."""
    from advisor.journal import Journal
    from advisor.session.running import versions

    started = RunStarted(run=folder.path.name, plan=plan.to_mapping(), versions=versions(), command=command)
    stamp = {"at": time.time()}
    with Journal.open(folder.journal) as journal:
        journal.append(*(event.model_copy(update=stamp) for event in (started, *events)))


def carried(state: StudyState) -> dict[str, list[tuple[Config, Result]]]:
    """Family to what was carried over into this run: the trials that began before its clock did."""
    out: dict[str, list[tuple[Config, Result]]] = {}
    for trial in state.trials.values():
        if trial.started_elapsed < 0 and trial.status == "completed":
            out.setdefault(trial.family, []).append((trial.config, result_of(trial)))
    return out


class Remembering:
    """An engine whose proposals are answered at once where an earlier run has evaluated them; only the others are passed on."""

    def __init__(self, engine: Engine, known: Mapping[str, list[tuple[Config, Result]]], family: str) -> None:
        """`family` is that of proposals which name none."""
        self._engine, self._known, self._family = engine, known, family

    def propose(self) -> Proposal | None:
        """The engine's next proposal that nothing is known of."""
        while (proposal := self._engine.propose()) is not None:
            result = self._remembered(proposal)
            if result is None:
                return proposal
            self._engine.tell(proposal, result)
        return None

    @property
    def is_done(self) -> bool:
        """The engine's own word."""
        return self._engine.is_done

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """The engine's own word."""
        return self._engine.observe(proposal, step, value)

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Passed on."""
        self._engine.tell(proposal, result)

    def close(self) -> None:
        """Passed on."""
        self._engine.close()

    def _remembered(self, proposal: Proposal) -> Result | None:
        if proposal.rows is not None or proposal.until is not None or proposal.continues is not None:
            return None  # a part of a trial is another measurement
        known = self._known.get(proposal.family or self._family, [])
        return next((result for config, result in known if config == proposal.config), None)
