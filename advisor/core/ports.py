"""The protocols where two implementations exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from advisor.core.events import Event
from advisor.core.facts import Hardware
from advisor.core.space import Config

Clock = Callable[[], float]
"""Seconds, never going back; real or simulated."""
Emit = Callable[[Event], None]
"""Takes an event; when it returns, the event is safe on disk."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an objective yields after each unit of resource.

    `step` is absolute and counts from 1; `value` is the score so far; `checkpoint` is any picklable value, a path, or a
    function giving one, called only when it is needed. `score` is the step's own score where `value` is a running mean.
    """

    step: int
    value: float
    checkpoint: Any = None
    score: float | None = None


class Objective(Protocol):
    """What is measured. A number (one measurement a trial), or an iterator of measurements; to prune is to stop pulling."""

    def __call__(self, config: Config, checkpoint: Any = None) -> float | Iterator[Measurement]: ...


@runtime_checkable
class ModelObjective(Protocol):
    """An objective that can hand over the model of the trial it ran last."""

    def __call__(self, config: Config, checkpoint: Any = None) -> float | Iterator[Measurement]: ...

    def save_last(self, path: str) -> None:
        """Writes the last trial's model to `path`."""
        ...


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration an engine wants evaluated. `key` is its index within the stage, from 0, stable across resumes."""

    key: int
    config: Config
    origin: Literal["default", "start", "proposal", "confirm"] = "proposal"
    family: str | None = None
    """Overrides the stage's family (the race of families)."""
    seed: int = 0
    until: int | None = None
    """Step at which the trial is paused with its checkpoint kept, told as `pruned`; None: it runs to its end."""
    continues: int | None = None
    """Key of the paused proposal of this stage whose checkpoint this one goes on from (a promotion, an exploit)."""
    rows: int | None = None
    """Rows of the table it is given (successive halving), the two parts of each split cut alike; None: all. It is never the best."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a proposal ended. `value` is None unless completed or pruned; `scores` holds one value a split when completed."""

    status: Literal["completed", "pruned", "failed"]
    value: float | None = None
    scores: tuple[float, ...] = ()
    steps: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    fit_seconds: float = 0.0
    cause: str = ""
    suggested: Mapping[str, Any] | None = None
    """What an objective that draws its own values ran under: ``{"config": …, "space": …}``, as JSON."""


class Engine(Protocol):
    """Who proposes. Driven from one thread: `propose` until it answers None, `observe` each step, `tell` each end.

    Resuming replays: `tell` is called for every finished proposal of the earlier life, in order of key, before the first
    `propose`, with the proposal the journal holds.
    """

    def propose(self) -> Proposal | None:
        """The next configuration; None when nothing can be proposed until a running trial has ended, or when `is_done`."""
        ...

    @property
    def is_done(self) -> bool:
        """True when no further proposal will ever come."""
        ...

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """Takes a step of a running trial; True means: stop it now (prune)."""
        ...

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Takes the end of a trial."""
        ...

    def close(self) -> None:
        """Frees threads and files; no call follows."""
        ...


class Scribe(Protocol):
    """Takes down what a library that owns its loop does: the stage's trials, by the key of their proposal, become events."""

    def started(self, proposal: Proposal) -> None:
        """A trial has begun."""
        ...

    def measured(self, key: int, step: int, value: float) -> None:
        """A running trial has reported; steps are absolute and grow."""
        ...

    def changed(self, key: int, step: int, config: Config, *, parent: int | None = None, because: str) -> None:
        """From after `step` on the trial runs under `config`; `parent` is the key of the trial whose weights it took.

        `because` may say ``{parent}`` for that trial, which is known to people by another number.
        """
        ...

    def ended(self, key: int, result: Result, *, cure: str = "") -> None:
        """A trial is over. Its configuration is the one it was changed to last."""
        ...

    def noted(self, text: str, *, is_warning: bool = False) -> None:
        """Something a user should read."""
        ...

    def is_over(self) -> bool:
        """True when the stage must end now: its time is up, a stop was asked for, or a signal came. Ask it every second at least."""
        ...

    def remaining(self) -> float:
        """Seconds left for the stage; 0 or less when its time is up."""
        ...


class LibraryLoop(Protocol):
    """An engine whose library owns the loop (Ray Tune, hypergradients): it runs the whole stage and reports as it goes."""

    def run(self, scribe: Scribe) -> None:
        """Runs the stage and returns when it is done or the scribe says that it is over; ends everything that it started.

        Raises: AdvisorError when it cannot run here.
        """
        ...


class Probe(Protocol):
    """Reads one fragment of the machine. Never raises: what is absent is an `Unknown`."""

    def __call__(self) -> Mapping[str, Any]:
        """Fields of `Hardware` by name."""
        ...


class HardwareProbe(Protocol):
    """Reads the whole machine."""

    def __call__(self, *, runs: str, cluster: str | None) -> Hardware: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What the drive of one stage must respect. Times are values of the clock."""

    deadline: float
    """No trial of this stage runs past it."""
    trial_seconds: float
    """Longest time of one trial."""
    max_trials: int | None = None
    """Trials of this stage at most."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Extra environment of a worker (thread limits)."""
    memory_bytes: int | None = None
    """Memory of one worker."""
    last_step: int | None = None
    """Step at which a full trial ends, where that is known: a trial that cannot reach it in time is stopped as soon as that shows."""
    is_shortened: bool = False
    """True where a step is a split: a trial that cannot score all of them is taken with those that it has, where nothing has finished."""
