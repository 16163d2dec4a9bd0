"""A whole engine in one page, for the tests that kill it: lock, journal, resume, drive.

``python -m tests.supervise.engine_script FOLDER [SECONDS]``, where a trial takes SECONDS.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from advisor.core.events import EngineStarted, Event, RunFinished, RunStarted, StageStarted, StudyState, fold, fold_all
from advisor.core.ports import Limits
from advisor.journal import Journal, read_events
from advisor.supervise.commands import CommandBox
from advisor.supervise.launch import StopSignals, process_identity
from advisor.supervise.lock import RunLock
from advisor.supervise.loop import drive
from advisor.supervise.pool import WorkerPool
from advisor.supervise.resumption import interrupted, next_trial, replay
from tests.fakes.engines import ListEngine
from tests.fakes.objectives import Ledger

TRIALS = 150
WORKERS = 2


def main() -> None:
    folder = Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 0.02
    state = StudyState()
    with RunLock(folder) as lock, StopSignals() as stop, Journal.open(folder / "journal.db") as journal:
        del lock
        state = fold_all(event for _, event in read_events(folder / "journal.db"))
        offset = state.elapsed - time.monotonic()

        def clock() -> float:
            return time.monotonic() + offset

        def emit(event: Event) -> None:
            nonlocal state
            journal.emit(event)
            state = fold(state, event)

        if not state.run:
            emit(RunStarted(run="kills", plan={"direction": "minimize"}, elapsed=clock()))
        identity = process_identity()
        assert identity is not None
        emit(EngineStarted(pid=identity.pid, started_at_ticks=identity.started_at_ticks, boot_id=identity.boot_id, elapsed=clock()))
        for event in interrupted(state):
            emit(event)
        if state.stage != "search":
            emit(StageStarted(stage="search", strategy="grid", elapsed=clock()))
        engine = ListEngine([{"x": x} for x in range(TRIALS)])
        for proposal, result in replay(state, "search"):
            engine.tell(proposal, result)
        with WorkerPool(size=WORKERS, environment={}, memory_bytes=None, log_folder=folder / "logs") as pool:
            pool.register("ledger", Ledger(folder / "ledger", seconds))
            end = drive(
                engine,
                pool,
                stage="search",
                family="toy",
                objective_name=lambda _proposal: "ledger",
                limits=Limits(deadline=1e9, trial_seconds=30.0),
                emit=emit,
                state=lambda: state,
                next_trial=next_trial(state),
                clock=clock,
                commands=CommandBox(folder),
                is_interrupted=stop,
            )
        if end.reason != "interrupted":
            emit(RunFinished(status="done" if end.reason == "done" else "stopped", elapsed=clock()))
    sys.exit(130 if end.reason == "interrupted" else 0)


if __name__ == "__main__":
    main()
