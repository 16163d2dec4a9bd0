"""Everything that happens in a run, as one frozen class per event, and the state that folding them gives.

The journal keeps these events and nothing else. Screens, command line, report and resumption all fold the same list, so
they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, field_serializer, field_validator

from advisor.core.space import Config
from advisor.core.value import Value, decode, encode

Origin = Literal["default", "start", "proposal", "confirm"]
TrialStatus = Literal["running", "completed", "pruned", "failed", "interrupted"]


class _Event(Value):
    at: float = 0.0
    """Wall-clock seconds since the epoch, for people."""
    elapsed: float = 0.0
    """Monotonic seconds of budget used when it happened, over all engine lives of the run."""


class RunStarted(_Event):
    """The run exists."""

    kind: Literal["run_started"] = "run_started"
    run: str
    """Name of the run."""
    plan: dict[str, Any]
    """The first plan, as `Plan.to_mapping` gives it."""
    versions: dict[str, str] = {}
    """Versions of Python and the libraries."""
    command: str = ""
    """The command that repeats it."""


class EngineStarted(_Event):
    """An engine process took the run over: at its start, and at each resume."""

    kind: Literal["engine_started"] = "engine_started"
    pid: int
    """Process id."""
    started_at_ticks: int
    """Start time of the process in clock ticks since boot: with pid and boot id it names the process for ever."""
    boot_id: str
    """Identity of this boot of the machine."""


class PlanRevised(_Event):
    """Measured facts changed the plan."""

    kind: Literal["plan_revised"] = "plan_revised"
    plan: dict[str, Any]
    """The plan in force from here on."""
    reason: str
    """What was measured."""
    changes: tuple[str, ...] = ()
    """What is different, one line a field."""
    measured: tuple[dict[str, Any], ...] = ()
    """The measured facts."""
    about: Literal["measurements", "resources"] = "measurements"
    """``resources``: memory has lowered a batch, and the rules were not asked again."""


class StageStarted(_Event):
    """A stage begins."""

    kind: Literal["stage_started"] = "stage_started"
    stage: str
    """Name of the stage."""
    strategy: str
    """Who proposes."""
    engine: str = ""
    """The library class that is executed."""
    space: dict[str, Any] = {}
    """The space of this stage, as JSON."""


class TrialStarted(_Event):
    """A worker begins an evaluation."""

    kind: Literal["trial_started"] = "trial_started"
    trial: int
    """Number within the run, from 0."""
    stage: str
    """The stage it belongs to."""
    origin: Origin
    """Who asked for it."""
    family: str
    """Model family; ``objective`` for a user's own function."""
    config: Config
    """The configuration."""
    key: int = -1
    """Which proposal of the engine this is (its index within the stage), -1 when it is none."""
    seed: int = 0
    """Seed of the trial."""
    until: int | None = None
    """Step at which it is to be paused; None: it runs to its end."""
    continues: int | None = None
    """Key of the paused proposal of this stage that it goes on from; None: it begins anew."""
    rows: int | None = None
    """Rows of the table it is given, the two parts of each split cut alike; None: all."""

    @field_validator("config", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return decode(value)

    @field_serializer("config", when_used="json")
    def _encode(self, value: Any) -> Any:
        return encode(value)


class ConfigChanged(_Event):
    """A running trial goes on under another configuration: a population's exploit, a schedule, or values its objective chose."""

    kind: Literal["config_changed"] = "config_changed"
    trial: int
    """The trial."""
    step: int
    """The change holds from after this step on; 0: from the beginning."""
    config: Config
    """The configuration from here on."""
    parent: int | None = None
    """Number of the trial whose weights it took over; None: it kept its own."""
    reason: str = ""
    """Why, in one sentence."""
    space: dict[str, Any] | None = None
    """The parameters that the objective asked for as it ran, as JSON; None where it asks for none."""

    @field_validator("config", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return decode(value)

    @field_serializer("config", when_used="json")
    def _encode(self, value: Any) -> Any:
        return encode(value)


class Measured(_Event):
    """A trial reports after a fold or an epoch."""

    kind: Literal["measured"] = "measured"
    trial: int
    """The trial."""
    step: int
    """Absolute step, from 1: fold or epoch."""
    value: float
    """The score of this step, finite, in the direction of the plan."""


class TrialFinished(_Event):
    """A trial ran in full."""

    kind: Literal["trial_finished"] = "trial_finished"
    trial: int
    """The trial."""
    value: float
    """Its score, finite: the mean over folds."""
    scores: tuple[float, ...] = ()
    """One score a fold."""
    seconds: float
    """Wall-clock seconds it took."""
    fit_seconds: float = 0.0
    """Seconds of one fit and score, median over its folds."""
    peak_bytes: int = 0
    """Peak memory of its worker; 0 when not known."""


class TrialPruned(_Event):
    """A trial was stopped early because others do better."""

    kind: Literal["trial_pruned"] = "trial_pruned"
    trial: int
    """The trial."""
    step: int
    """The last step it reported."""
    value: float
    """Its score there."""
    seconds: float
    """Seconds it took."""
    reason: str = ""
    """The pruner's reason."""


class TrialFailed(_Event):
    """A trial died; the run goes on."""

    kind: Literal["trial_failed"] = "trial_failed"
    trial: int
    """The trial."""
    cause: str
    """What happened, in one line."""
    cure: str = ""
    """What to do about it."""
    detail: str = ""
    """The last lines of the trial's own trace."""
    category: Literal["error", "invalid", "timeout", "memory", "signal", "deadline"] = "error"
    """What kind of end: `deadline` when the budget ended it."""
    seconds: float = 0.0
    """Seconds it took."""


class TrialInterrupted(_Event):
    """The engine died while this trial ran; it is started again as another trial."""

    kind: Literal["trial_interrupted"] = "trial_interrupted"
    trial: int
    """The trial."""


class BestSaved(_Event):
    """`best/` now holds this trial's model."""

    kind: Literal["best_saved"] = "best_saved"
    trial: int
    """The trial."""
    sha256: str
    """Hash of the model file."""
    trained_on: Literal["fold", "development", "all"]
    """Rows it was fitted on."""


class ConfirmScore(Value):
    """One candidate re-scored on fresh splits."""

    trial: int
    """The search trial whose configuration it is."""
    mean: float
    """Mean score on the fresh splits."""
    scores: tuple[float, ...]
    """One score a split, paired across candidates."""


class Confirmed(_Event):
    """The confirm stage has decided what is shipped."""

    kind: Literal["confirmed"] = "confirmed"
    candidates: tuple[ConfirmScore, ...]
    """The default and the best few."""
    chosen: int
    """The trial that is shipped."""
    shipped: Literal["tuned", "default"]
    """Which it is."""
    reason: str
    """Why, in one sentence."""


class HeldoutScored(_Event):
    """The rows no choice has seen were scored, once."""

    kind: Literal["heldout_scored"] = "heldout_scored"
    heldout_score: float | None
    """Score of what is shipped; None with `reason` when there is none."""
    default_heldout_score: float | None
    """Score of the default configuration."""
    gain: dict[str, float | None] | None = None
    """``value, low, high, probability``: gain over the default, positive is better, 95 % paired bootstrap."""
    rows: int = 0
    """Held-out rows."""
    reason: str = ""
    """Why a number is missing, or that the rows cannot settle it."""


class ModelShipped(_Event):
    """The final model is in `best/`."""

    kind: Literal["model_shipped"] = "model_shipped"
    trial: int
    """Whose configuration."""
    sha256: str
    """Hash of the model file."""
    trained_on: Literal["development", "all"]
    """Rows it was fitted on."""


class CommandReceived(_Event):
    """A command from a screen or a shell was carried out."""

    kind: Literal["command_received"] = "command_received"
    command: Literal["pause", "resume", "stop", "skip", "budget"]
    """What was asked."""
    argument: float | None = None
    """Trial to skip, or seconds of budget added."""


class Noted(_Event):
    """Something a user should read."""

    kind: Literal["noted"] = "noted"
    level: Literal["info", "warning"] = "info"
    """How important."""
    text: str
    """One sentence."""


class RunFinished(_Event):
    """The run is over."""

    kind: Literal["run_finished"] = "run_finished"
    status: Literal["done", "stopped", "nothing_finished", "failed"]
    """How it ended."""
    reason: str = ""
    """Why, in one sentence."""


Event = Annotated[
    RunStarted
    | EngineStarted
    | PlanRevised
    | StageStarted
    | TrialStarted
    | ConfigChanged
    | Measured
    | TrialFinished
    | TrialPruned
    | TrialFailed
    | TrialInterrupted
    | BestSaved
    | Confirmed
    | HeldoutScored
    | ModelShipped
    | CommandReceived
    | Noted
    | RunFinished,
    Field(discriminator="kind"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads and writes any event: ``EVENT.validate_json(text)``."""


@dataclass(frozen=True, slots=True)
class TrialState:
    """One trial as far as the events tell."""

    number: int
    stage: str
    origin: Origin
    family: str
    config: Config
    key: int
    seed: int
    status: TrialStatus = "running"
    steps: tuple[tuple[int, float], ...] = ()
    value: float | None = None
    scores: tuple[float, ...] = ()
    seconds: float = 0.0
    fit_seconds: float = 0.0
    peak_bytes: int = 0
    cause: str = ""
    cure: str = ""
    detail: str = ""
    category: str = ""
    """Of a failed trial: what kind of end (`TrialFailed.category`); empty otherwise."""
    started_elapsed: float = 0.0
    until: int | None = None
    continues: int | None = None
    rows: int | None = None
    changes: tuple[ConfigChanged, ...] = ()
    """How its configuration changed in flight; `config` is the last one."""
    first_config: Config | None = None
    """The configuration it began with, where that was changed."""

    @property
    def is_static(self) -> bool:
        """True when one configuration held from the first step to the last, so that it alone says how the score came about."""
        return all(c.step == 0 for c in self.changes)

    @property
    def suggested(self) -> dict[str, Any] | None:
        """What an objective that draws its own values asked for, ``{"config": …, "space": …}``; None for any other."""
        told = next((c for c in reversed(self.changes) if c.space is not None), None)
        return None if told is None else {"config": encode(told.config), "space": told.space}


@dataclass(frozen=True, slots=True)
class StudyState:
    """A run as far as its events tell. `best` and `default` are numbers of completed trials of pilot and search."""

    run: str = ""
    plan: dict[str, Any] | None = None
    """The plan in force."""
    first_plan: dict[str, Any] | None = None
    revisions: tuple[PlanRevised, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""
    stage: str = ""
    stages: tuple[StageStarted, ...] = ()
    trials: dict[int, TrialState] = field(default_factory=dict)
    """Number to trial, in order of start."""
    best: int | None = None
    default: int | None = None
    engine: EngineStarted | None = None
    saved: BestSaved | None = None
    confirmed: Confirmed | None = None
    heldout: HeldoutScored | None = None
    shipped: ModelShipped | None = None
    is_paused: bool = False
    notes: tuple[Noted, ...] = ()
    commands: tuple[CommandReceived, ...] = ()
    finished: RunFinished | None = None
    elapsed: float = 0.0
    extra_seconds: float = 0.0
    """Budget added while it ran."""
    events: int = 0
    at: float = 0.0
    """Wall-clock time of the last event, so that a screen can tell how long ago that was."""

    @property
    def is_measured(self) -> bool:
        """True once what the pilot measured was put before the rules."""
        return any(r.about == "measurements" for r in self.revisions)

    @property
    def direction(self) -> str:
        """``minimize`` or ``maximize``."""
        return str(self.plan["direction"]) if self.plan else "minimize"

    def better(self, a: float, b: float) -> bool:
        """True when score `a` is strictly better than `b`."""
        return a > b if self.direction == "maximize" else a < b

    def counts(self) -> dict[str, int]:
        """Completed, pruned and failed trials of pilot and search (confirm trials apart)."""
        out = {"completed": 0, "pruned": 0, "failed": 0}
        for t in self.trials.values():
            if t.stage != "confirm" and t.status in out:
                out[t.status] += 1
        return out

    @property
    def running(self) -> tuple[TrialState, ...]:
        """Trials without an end."""
        return tuple(t for t in self.trials.values() if t.status == "running")


def fold(state: StudyState, *events: Event) -> StudyState:
    """`state` after `events`; neither is changed. One copy of the trial map a call, however many events."""
    trials = dict(state.trials)
    current = replace(state, trials=trials)
    for event in events:
        current = _apply(current, event, trials)
    return current


def fold_all(events: Iterable[Event]) -> StudyState:
    """The state after all `events` from the beginning."""
    return fold(StudyState(), *events)


def _apply(state: StudyState, event: Event, trials: dict[int, TrialState]) -> StudyState:
    state = replace(state, elapsed=max(state.elapsed, event.elapsed), events=state.events + 1, at=max(state.at, event.at))
    match event:
        case RunStarted():
            return replace(state, run=event.run, plan=event.plan, first_plan=event.plan, versions=event.versions, command=event.command)
        case EngineStarted():
            return replace(state, engine=event, is_paused=False, finished=None)
        case PlanRevised():
            return replace(state, plan=event.plan, revisions=(*state.revisions, event))
        case StageStarted():
            return replace(state, stage=event.stage, stages=(*state.stages, event))
        case TrialStarted():
            trials[event.trial] = TrialState(
                event.trial,
                event.stage,
                event.origin,
                event.family,
                event.config,
                event.key,
                event.seed,
                started_elapsed=event.elapsed,
                until=event.until,
                continues=event.continues,
                rows=event.rows,
            )
            return state
        case ConfigChanged():
            t = trials[event.trial]
            first = t.config if t.first_config is None else t.first_config
            trials[event.trial] = replace(t, config=event.config, first_config=first, changes=(*t.changes, event))
            return state
        case Measured():
            t = trials[event.trial]
            trials[event.trial] = replace(t, steps=(*t.steps, (event.step, event.value)))
            return state
        case TrialFinished():
            return _finish(state, event, trials)
        case TrialPruned():
            trials[event.trial] = replace(
                trials[event.trial], status="pruned", value=event.value, seconds=event.seconds, cause=event.reason
            )
            return state
        case TrialFailed():
            trials[event.trial] = replace(
                trials[event.trial],
                status="failed",
                cause=event.cause,
                cure=event.cure,
                detail=event.detail,
                category=event.category,
                seconds=event.seconds,
            )
            return state
        case TrialInterrupted():
            trials[event.trial] = replace(trials[event.trial], status="interrupted")
            return state
        case BestSaved():
            return replace(state, saved=event)
        case Confirmed():
            return replace(state, confirmed=event)
        case HeldoutScored():
            return replace(state, heldout=event)
        case ModelShipped():
            return replace(state, shipped=event)
        case CommandReceived():
            paused = {"pause": True, "resume": False}.get(event.command, state.is_paused)
            extra = state.extra_seconds + (event.argument or 0.0) * (event.command == "budget")
            return replace(state, is_paused=paused, extra_seconds=extra, commands=(*state.commands, event))
        case Noted():
            return replace(state, notes=(*state.notes, event))
        case RunFinished():
            return replace(state, finished=event)


def _finish(state: StudyState, event: TrialFinished, trials: dict[int, TrialState]) -> StudyState:
    trial = replace(
        trials[event.trial],
        status="completed",
        value=event.value,
        scores=event.scores,
        seconds=event.seconds,
        fit_seconds=event.fit_seconds,
        peak_bytes=event.peak_bytes,
    )
    trials[event.trial] = trial
    if trial.stage == "confirm" or trial.rows is not None:
        return state
    best, default = state.best, state.default
    if trial.origin == "default" and default is None:
        default = trial.number
    if best is None or state.better(event.value, trials[best].value or 0.0):
        best = trial.number
    return replace(state, best=best, default=default)
