"""A schedule of configurations, such as a population learns, and the objective that trains one model under it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from advisor.core.errors import InputError
from advisor.core.objective import call
from advisor.core.ports import Measurement, Objective
from advisor.core.space import Config

Schedule = tuple[tuple[int, Config], ...]
"""What a model is trained under: from after each step on, the configuration beside it. The first step is 0."""


@dataclass(frozen=True, slots=True)
class ReplayCheckpoint:
    """A checkpoint of a replay: the objective's own and the step it belongs to."""

    step: int
    """Steps trained."""
    inner: Any
    """What the objective gave."""


@dataclass(frozen=True)
class Replay:
    """An objective that trains one model from the start under `schedule`; hyperparameters it does not name come from `config`."""

    objective: Objective
    """Trains in steps and goes on from a checkpoint."""
    schedule: Schedule
    """From after each step on, the configuration beside it; the first at 0."""

    def __post_init__(self) -> None:
        steps = [step for step, _ in self.schedule]
        if not steps or steps[0] != 0 or steps != sorted(set(steps)):
            raise InputError(
                f"a schedule begins after step 0 and its steps grow; this one has {steps}",
                cure="Give (step, configuration) pairs as a population's result holds them.",
            )

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:
        """The measurements of the one model, steps absolute; `checkpoint` is a `ReplayCheckpoint` of this class."""
        done, inner = (checkpoint.step, checkpoint.inner) if isinstance(checkpoint, ReplayCheckpoint) else (0, None)
        ends = [step for step, _ in self.schedule[1:]] + [None]
        for (_, scheduled), end in zip(self.schedule, ends, strict=True):
            if end is not None and done >= end:
                continue
            steps = call(self.objective, {**config, **scheduled}, inner)
            last = None
            try:
                for last in steps:
                    done = last.step
                    yield Measurement(done, last.value, _Held(done, last.checkpoint), last.score)
                    if end is not None and done >= end:
                        inner = value_of(last.checkpoint)
                        break
                else:
                    return
            finally:
                if hasattr(steps, "close"):
                    steps.close()


@dataclass(frozen=True, slots=True)
class _Held:
    """Gives the checkpoint of a replay when it is asked for."""

    step: int
    inner: Any

    def __call__(self) -> ReplayCheckpoint:
        return ReplayCheckpoint(self.step, value_of(self.inner))


def replay(objective: Objective, schedule: Schedule) -> Replay:
    """An objective that trains one model under `schedule` from the start.

    Raises: InputError when the schedule does not begin at 0 or its steps do not grow.
    """
    return Replay(objective, schedule)


def value_of(checkpoint: Any) -> Any:
    """The checkpoint itself where a function giving one was yielded."""
    return checkpoint() if callable(checkpoint) else checkpoint
