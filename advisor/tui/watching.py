"""Looking at a run from a thread of its own: what is seen travels to the screen as one message that nothing changes afterwards."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message
from textual.message_pump import MessagePump

from advisor.core.diagnosis import Finding
from advisor.core.errors import RunNotFoundError
from advisor.core.events import StudyState
from advisor.core.facts import Gpu, Unknown
from advisor.report.wording import bar, gibibytes
from advisor.tui.background import post
from advisor.tui.walk import Walk

PERIOD_SECONDS = 0.5
"""Time between two looks at the journal."""
FINDINGS_SECONDS = 10.0
"""Time between two looks for findings, which cost a tenth of a second with thousands of trials."""
START_SECONDS = 30.0
"""How long an engine may take to open its journal before we say so."""


@dataclass(frozen=True)
class Gauges:
    """How busy the machine is."""

    cpu_ratio: float
    memory_used_bytes: float
    memory_total_bytes: float
    gpus: tuple[Gpu, ...] = ()
    """Each accelerator that this process may see."""


class Seen(Message):
    """One look at the run. Nothing in it changes afterwards."""

    def __init__(
        self,
        state: StudyState,
        *,
        is_alive: bool,
        gauges: Gauges,
        findings: tuple[Finding, ...] = (),
        error: Exception | None = None,
    ) -> None:
        super().__init__()
        self.state = state
        self.is_alive = is_alive
        self.gauges = gauges
        self.findings = findings
        self.error = error

    def can_replace(self, message: Message) -> bool:
        """A newer look makes an older one that still waits superfluous."""
        return isinstance(message, Seen)


def read_gauges() -> Gauges:
    """Processor and memory in use on this machine."""
    import psutil

    memory = psutil.virtual_memory()
    busy = psutil.cpu_percent(interval=None) / 100
    return Gauges(busy, float(memory.total - memory.available), float(memory.total), read_gpus(memory.total, memory.available))


def read_gpus(total_bytes: int, available_bytes: int) -> tuple[Gpu, ...]:
    """The accelerators as they are now; empty where there is none, and where none can be read."""
    from advisor.probes.gpus import visible_gpus

    found = visible_gpus(environment=os.environ, host_total_bytes=total_bytes, host_available_bytes=available_bytes)
    return () if isinstance(found, Unknown) else found


def watch(owner: MessagePump, walk: Walk, run_dir: Path, stop: threading.Event, *, period: float = PERIOD_SECONDS) -> None:
    """Posts `Seen` to `owner` until `stop` is set; runs in a thread of its own and ends with the first error it posts."""
    began = time.monotonic()
    read_gauges()  # the first reading of the processor has nothing to compare with and says 0
    follower = None
    findings: tuple[Finding, ...] = ()
    looked_at, looked = -1, 0.0
    while not stop.is_set():
        try:
            if follower is None:
                follower = walk.follow(run_dir)
            state = follower.poll()
            is_alive = follower.is_alive
            if state.events != looked_at and time.monotonic() - looked >= FINDINGS_SECONDS:
                findings, looked_at, looked = walk.findings(state), state.events, time.monotonic()
        except RunNotFoundError as error:
            if time.monotonic() - began > START_SECONDS:
                post(owner, Seen(StudyState(), is_alive=False, gauges=read_gauges(), error=error))
                return
            stop.wait(period)
            continue
        except Exception as error:
            post(owner, Seen(StudyState(), is_alive=False, gauges=read_gauges(), error=error))
            return
        if not post(owner, Seen(state, is_alive=is_alive, gauges=read_gauges(), findings=findings)):
            return
        stop.wait(period)


def gauges_text(gauges: Gauges) -> str:
    """How busy the machine is, in one line."""
    share = gauges.memory_used_bytes / gauges.memory_total_bytes if gauges.memory_total_bytes else 0.0
    return (
        f"CPU {bar(gauges.cpu_ratio, 8)} {gauges.cpu_ratio:>4.0%}   "
        f"RAM {bar(share, 8)} {gauges.memory_used_bytes / 2**30:.1f} / {gibibytes(gauges.memory_total_bytes)}   "
        f"{''.join(_gpu_text(place, gpu) for place, gpu in enumerate(gauges.gpus))}journal safe: you may quit"
    )


def _gpu_text(place: int, gpu: Gpu) -> str:
    used, total = gpu.memory_used_bytes, gpu.memory_total_bytes
    busy = "" if isinstance(gpu.utilisation_ratio, Unknown) else f" {gpu.utilisation_ratio:.0%}"
    memory = "" if isinstance(used, Unknown) or isinstance(total, Unknown) else f" {used / 2**30:.1f} / {gibibytes(total)}"
    return f"GPU {place}{busy}{memory}   "
