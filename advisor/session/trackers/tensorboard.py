"""TensorBoard: one log folder a trial with its curve and hyperparameters, and one for the best so far.

Look at it with ``tensorboard --logdir RUN/tracking/tensorboard``. TensorBoard's own writer is used, which needs neither TensorFlow
nor PyTorch; the hyperparameter messages are those of its HParams plugin.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event as Record  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # type: ignore[import-untyped]
from tensorboard.plugins.hparams import metadata  # type: ignore[import-untyped]
from tensorboard.plugins.hparams.api_pb2 import Status  # type: ignore[import-untyped]
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo  # type: ignore[import-untyped]
from tensorboard.summary.writer.event_file_writer import EventFileWriter  # type: ignore[import-untyped]

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

VALUE, FINAL, BEST = "value", "score", "best"
"""Tags: a trial's curve, its score, and the best score so far by trial."""


def open_tracker(folder: Path, run: str) -> TensorBoard:
    """A tracker that writes below ``folder/tensorboard``."""
    return TensorBoard(folder / "tensorboard", run)


class TensorBoard:
    """Event files, one folder a trial."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder, self._run = folder, run
        self._trials: dict[int, EventFileWriter] = {}
        self._best = EventFileWriter(str(folder / "best"))

    def write(self, event: Event, state: StudyState) -> None:
        """Takes one event."""
        match event:
            case TrialStarted():
                writer = EventFileWriter(str(self._folder / f"trial-{event.trial:04d}"))
                self._trials[event.trial] = writer
                self._add(writer, _started(self._run, event), at=event.at)
            case Measured():
                self._scalar(event.trial, VALUE, event.step, event.value, event.at)
            case TrialFinished() | TrialPruned():
                step = event.step if isinstance(event, TrialPruned) else max((s for s, _ in state.trials[event.trial].steps), default=1)
                self._scalar(event.trial, FINAL, step, event.value, event.at)
                if isinstance(event, TrialFinished) and state.best is not None:
                    best = state.trials[state.best].value
                    if best is not None:
                        self._add(self._best, _scalar(BEST, best), step=event.trial, at=event.at)
                self._end(event.trial, Status.STATUS_SUCCESS, event.at)
            case TrialFailed() | TrialInterrupted():
                self._end(event.trial, Status.STATUS_FAILURE, event.at)
            case RunFinished():
                self.flush()

    def flush(self) -> None:
        """Puts what was written on disk."""
        for writer in (*self._trials.values(), self._best):
            writer.flush()

    def close(self) -> None:
        """Closes all files."""
        for writer in (*self._trials.values(), self._best):
            writer.close()
        self._trials.clear()

    def _scalar(self, trial: int, tag: str, step: int, value: float, at: float) -> None:
        if trial in self._trials:
            self._add(self._trials[trial], _scalar(tag, value), step=step, at=at)

    def _end(self, trial: int, status: Any, at: float) -> None:
        writer = self._trials.pop(trial, None)
        if writer is not None:
            info = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=at))
            self._add(writer, _plugin(metadata.SESSION_END_INFO_TAG, info), at=at)
            writer.close()

    @staticmethod
    def _add(writer: EventFileWriter, summary: Summary, *, step: int = 0, at: float) -> None:
        writer.add_event(Record(wall_time=at or time.time(), step=step, summary=summary))


def _scalar(tag: str, value: float) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, simple_value=value)])


def _started(run: str, event: TrialStarted) -> Summary:
    """The configuration, as the HParams plugin reads it."""
    info = SessionStartInfo(group_name=f"trial-{event.trial:04d}", start_time_secs=event.at, model_uri=run)
    for name, value in {"family": event.family, **event.config}.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, int | float) and math.isfinite(value):
            info.hparams[name].number_value = value
        else:
            info.hparams[name].string_value = str(value)
    return _plugin(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def _plugin(tag: str, content: HParamsPluginData) -> Summary:
    content.version = metadata.PLUGIN_DATA_VERSION
    about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=content.SerializeToString()))
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])
