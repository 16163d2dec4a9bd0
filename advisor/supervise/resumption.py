"""What an earlier engine life left: the trials it did not end, and the proposals a new engine must be told of."""

from __future__ import annotations

import time

from advisor.core.events import StudyState, TrialInterrupted, TrialState
from advisor.core.ports import Proposal, Result


def interrupted(state: StudyState) -> tuple[TrialInterrupted, ...]:
    """One event for every trial that still counts as running, in order of number; emit them before anything is started."""
    return tuple(TrialInterrupted(at=time.time(), elapsed=state.elapsed, trial=t.number) for t in state.running)


def next_trial(state: StudyState) -> int:
    """The first trial number that is free."""
    return max(state.trials, default=-1) + 1


def result_of(trial: TrialState) -> Result:
    """How an ended trial ended, as an engine is told it.

    Raises: ValueError for one that runs or was interrupted.
    """
    match trial.status:
        case "completed" | "pruned" | "failed" as status:
            return Result(status, trial.value, trial.scores, trial.steps, trial.seconds, trial.fit_seconds, trial.cause, trial.suggested)
        case _:
            raise ValueError(f"trial {trial.number} has no end")


def replay(state: StudyState, stage: str) -> list[tuple[Proposal, Result]]:
    """Every ended proposal of `stage` with its result, in order of key: what `Engine.tell` gets before the first `propose`.

    Interrupted and running trials are left out, so the engine proposes their keys again.
    """
    told: dict[int, tuple[Proposal, Result]] = {}
    for trial in state.trials.values():
        if trial.stage != stage or trial.key < 0:
            continue
        match trial.status:
            case "completed" | "pruned" | "failed":
                config = trial.config if trial.first_config is None else trial.first_config
                proposal = Proposal(trial.key, config, trial.origin, trial.family, trial.seed, trial.until, trial.continues, trial.rows)
                told[trial.key] = (proposal, result_of(trial))
            case "running" | "interrupted":
                continue
    return [told[key] for key in sorted(told)]
