"""Weights & Biases, offline: one run a trial, grouped under the advisor's run; nothing leaves the machine.

Hand it over with ``wandb sync RUN/tracking/wandb/offline-run-*`` when, and if, you want to.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# It would tell its makers of every fault of its own, over the network.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb

from advisor.core.events import (
    Event,
    Measured,
    RunFinished,
    StudyState,
    TrialFailed,
    TrialFinished,
    TrialInterrupted,
    TrialPruned,
    TrialStarted,
)

PROJECT = "tuning-advisor"


def open_tracker(folder: Path, run: str) -> WeightsAndBiases:
    """A tracker that writes below ``folder/wandb``."""
    return WeightsAndBiases(folder, run)


class WeightsAndBiases:
    """Offline runs in one group."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder, self._run = folder, run
        self._runs: dict[int, Any] = {}

    def write(self, event: Event, state: StudyState) -> None:
        """Takes one event."""
        match event:
            case TrialStarted():
                self._runs[event.trial] = wandb.init(
                    project=PROJECT,
                    group=self._run,
                    name=f"trial-{event.trial:04d}",
                    config={"family": event.family, **event.config},
                    tags=[event.stage, event.origin],
                    dir=str(self._folder),
                    mode="offline",
                    reinit="create_new",
                    settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True),
                )
            case Measured() if event.trial in self._runs:
                self._runs[event.trial].log({"value": event.value}, step=event.step)
            case TrialFinished():
                best = state.trials[state.best].value if state.best is not None else None
                self._end(event.trial, "completed", score=event.value, best_so_far=best)
            case TrialPruned():
                self._end(event.trial, "pruned", score=event.value)
            case TrialFailed():
                self._end(event.trial, "failed", cause=event.cause)
            case TrialInterrupted():
                self._end(event.trial, "interrupted")
            case RunFinished() | _:
                pass

    def flush(self) -> None:
        """Nothing: its own process writes as it goes."""

    def close(self) -> None:
        """Ends what is open."""
        for trial in list(self._runs):
            self._end(trial, "interrupted")

    def _end(self, trial: int, status: str, **summary: Any) -> None:
        run = self._runs.pop(trial, None)
        if run is not None:
            run.summary.update({"status": status, **summary})
            run.finish(exit_code=1 if status == "failed" else 0)
