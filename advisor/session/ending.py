"""The last seconds of a run: how many are kept back on this machine, what is written first, what is left to a later command."""

from __future__ import annotations

import json

from advisor.core.events import RunFinished, fold
from advisor.session.folder import RunFolder, write_atomically
from advisor.session.outcomes import outcome_of
from advisor.session.recording import Recorder
from advisor.session.reporting import IMPORTANCE_SECONDS, offer_report, report_text

ENDING_SECONDS = 0.5
"""Diagnosis, ``result.json`` and the end of the workers on a machine with nothing else to do. Source: seen, 0.1 s each."""
KEPT_RATIO = 0.05
"""Share of the budget that a slow machine may take for them. [H]"""
PAGE_SECONDS = 0.3
"""Processor time of making ``report.html`` without importance. Source: seen, 0.1 to 0.2 s."""
LEAVING_SECONDS = 0.5
"""From the last event until the process that waits has printed the outcome, on a machine with nothing else to do. Source: seen."""
LEAST_LATE_SECONDS, LATE_RATIO = 3.0, 0.01
"""A run is over this long after its budget at the latest, or after this share of it. Source: contract, Time."""
LEAST_CPU_SECONDS = 0.1
"""Less processor time than this tells nothing of the machine."""
SLOWEST = 20.0
"""No machine is taken to be slower than so many times. [H]"""


def slowness(wall_seconds: float, cpu_seconds: float) -> float:
    """How many times longer than on an idle machine things take here, by a stretch of work that only computed; 1 at least."""
    if cpu_seconds < LEAST_CPU_SECONDS:
        return 1.0
    return min(SLOWEST, max(1.0, wall_seconds / cpu_seconds))


def kept_seconds(budget_seconds: float, slow: float) -> float:
    """Seconds kept back at the very end, for what must be written whatever happens."""
    return min(ENDING_SECONDS * slow, max(ENDING_SECONDS, KEPT_RATIO * budget_seconds))


def has_time_for_page(seconds_left: float, budget_seconds: float, slow: float, result_seconds: float) -> bool:
    """True where ``report.html`` can be made and the run still be over in time; `result_seconds` is what the result took just now."""
    allowed = seconds_left + max(LEAST_LATE_SECONDS, LATE_RATIO * budget_seconds) - LEAVING_SECONDS * slow
    return max(PAGE_SECONDS * slow, result_seconds) <= allowed


def close(recorder: Recorder, folder: RunFolder, event: RunFinished, *, slow: float = 1.0) -> None:
    """Writes ``result.json``, then ``report.html`` where there is time for it, and journals the end of the run.

    `advisor report` makes the page that a late run goes without. Whoever sees the end in the journal finds the files written.
    """
    plan = recorder.state.plan
    budget = float(plan["budget"]["seconds"]) if plan is not None else 0.0
    end = budget + recorder.state.extra_seconds
    began = recorder.elapsed()
    state = fold(recorder.state, event.model_copy(update={"elapsed": round(began, 4)}))
    result = outcome_of(str(folder.path), state)
    _write(folder, result.to_mapping())
    now = recorder.elapsed()
    if has_time_for_page(end - now, budget, slow, now - began):
        try:
            page: str | None = report_text(folder, state, with_importance=end - now > IMPORTANCE_SECONDS * slow)
        except Exception:  # nothing depends on the page, and `advisor report` tells what is wrong
            page = None
        offer_report(folder, page)
    recorder.emit(event)
    _write(folder, result.model_copy(update={"seconds": round(recorder.state.elapsed, 3)}).to_mapping())


def _write(folder: RunFolder, result: dict[str, object]) -> None:
    write_atomically(folder.result, json.dumps(result, indent=2, allow_nan=False))
