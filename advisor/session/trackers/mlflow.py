"""MLflow: one experiment a run with a run a trial, in a SQLite file; no server is asked.

Look at it with ``mlflow ui --backend-store-uri sqlite:///RUN/tracking/mlflow.db``.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

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

# It would tell its makers of every call, over the network.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

logging.getLogger("alembic").setLevel(logging.WARNING)

from mlflow.entities import Metric, Param  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes

DATABASE = "mlflow.db"
MOST_AT_ONCE = 1000
"""Metrics of one call. Source: MLflow's own limit."""


def open_tracker(folder: Path, run: str) -> MLflow:
    """A tracker that writes ``folder/mlflow.db``."""
    return MLflow(folder, run)


class MLflow:
    """Runs in an experiment named after the advisor's run."""

    def __init__(self, folder: Path, run: str) -> None:
        self._client = MlflowClient(tracking_uri=f"sqlite:///{(folder / DATABASE).resolve()}")
        known = self._client.get_experiment_by_name(run)
        self._experiment = (
            known.experiment_id
            if known is not None
            else self._client.create_experiment(run, artifact_location=(folder / "mlflow-artifacts").resolve().as_uri())
        )
        self._runs: dict[int, str] = {}
        self._waiting: dict[int, list[Metric]] = {}

    def write(self, event: Event, state: StudyState) -> None:
        """Takes one event."""
        at = int(event.at * 1000)
        match event:
            case TrialStarted():
                tags = {"stage": event.stage, "origin": event.origin, "trial": str(event.trial)}
                made = self._client.create_run(self._experiment, start_time=at, tags=tags, run_name=f"trial-{event.trial:04d}")
                self._runs[event.trial] = made.info.run_id
                params = [Param(_key(n), str(v)[:6000]) for n, v in {"family": event.family, **event.config}.items()]
                self._client.log_batch(made.info.run_id, params=params)
            case Measured():
                self._measure(event.trial, Metric("value", event.value, at, event.step))
            case TrialFinished():
                self._measure(event.trial, Metric("score", event.value, at, 0))
                if state.best is not None and (best := state.trials[state.best].value) is not None:
                    self._measure(event.trial, Metric("best_so_far", best, at, event.trial))
                self._end(event.trial, "FINISHED", at)
            case TrialPruned():
                self._client.set_tag(self._runs[event.trial], "pruned", event.reason or "true") if event.trial in self._runs else None
                self._end(event.trial, "FINISHED", at)
            case TrialFailed() | TrialInterrupted():
                if isinstance(event, TrialFailed) and event.trial in self._runs:
                    self._client.set_tag(self._runs[event.trial], "cause", event.cause[:5000])
                self._end(event.trial, "FAILED" if isinstance(event, TrialFailed) else "KILLED", at)
            case RunFinished():
                self._client.set_experiment_tag(self._experiment, "status", event.status)

    def flush(self) -> None:
        """Writes what was measured since the last time."""
        for trial in list(self._waiting):
            self._write_measured(trial)

    def close(self) -> None:
        """Writes what is left. A trial that still runs stays open: a resume ends it under another number."""
        self.flush()

    def _measure(self, trial: int, metric: Metric) -> None:
        if trial in self._runs:
            self._waiting.setdefault(trial, []).append(metric)
            if len(self._waiting[trial]) >= MOST_AT_ONCE:
                self._write_measured(trial)

    def _write_measured(self, trial: int) -> None:
        metrics = self._waiting.pop(trial, [])
        if metrics:
            self._client.log_batch(self._runs[trial], metrics=metrics)

    def _end(self, trial: int, status: str, at: int) -> None:
        self._write_measured(trial)
        run = self._runs.pop(trial, None)
        if run is not None:
            self._client.set_terminated(run, status, end_time=at)


def _key(name: str) -> str:
    """`name` with what MLflow refuses in a key exchanged."""
    return "".join(c if c.isalnum() or c in "_-. /:" else "_" for c in name)[:250]
