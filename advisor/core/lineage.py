"""What a model was trained under, from its first step on: a trial's own changes, and those of the trials whose weights it took."""

from __future__ import annotations

from collections.abc import Mapping

from advisor.core.events import TrialState
from advisor.core.space import Config

Schedule = tuple[tuple[int, Config], ...]
"""From after each step on, the configuration beside it; the first at step 0."""


def schedule_of(trials: Mapping[int, TrialState], number: int) -> Schedule:
    """The schedule that the model of trial `number` was trained under; one entry where its configuration never changed.

    Where a trial took another's weights over at a step, what it did before is forgotten and the other's past is its own.
    """
    return _until(trials, number, None)


def _until(trials: Mapping[int, TrialState], number: int, end: int | None) -> Schedule:
    trial = trials[number]
    past: list[tuple[int, Config]] = [(0, trial.config if trial.first_config is None else trial.first_config)]
    for change in trial.changes:
        if end is not None and change.step >= end:
            break
        if change.parent is not None:
            past = list(_until(trials, change.parent, change.step)) if change.step > 0 else []
        past = [(step, config) for step, config in past if step < change.step]
        past.append((change.step, change.config))
    return tuple(entry for i, entry in enumerate(past) if i == 0 or entry[1] != past[i - 1][1])
