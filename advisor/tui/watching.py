"""Looking at a run from a thread of its own: what is seen travels to the screen as one message that nothing changes afterwards."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message
from textual.message_pump import MessagePump

from advisor.core.errors import RunNotFoundError
from advisor.core.events import StudyState
from advisor.tui.background import post
from advisor.tui.walk import Walk

PERIOD_SECONDS = 0.5
"""Time between two looks at the journal."""
START_SECONDS = 30.0
"""How long an engine may take to open its journal before we say so."""


@dataclass(frozen=True)
class Gauges:
    """How busy the machine is."""

    cpu_ratio: float
    memory_used_bytes: float
    memory_total_bytes: float


class Seen(Message):
    """One look at the run. Nothing in it changes afterwards."""

    def __init__(self, state: StudyState, *, is_alive: bool, gauges: Gauges, error: Exception | None = None) -> None:
        super().__init__()
        self.state = state
        self.is_alive = is_alive
        self.gauges = gauges
        self.error = error

    def can_replace(self, message: Message) -> bool:
        """A newer look makes an older one that still waits superfluous."""
        return isinstance(message, Seen)


def read_gauges() -> Gauges:
    """Processor and memory in use on this machine."""
    import psutil

    memory = psutil.virtual_memory()
    return Gauges(psutil.cpu_percent(interval=None) / 100, float(memory.total - memory.available), float(memory.total))


def watch(owner: MessagePump, walk: Walk, run_dir: Path, stop: threading.Event, *, period: float = PERIOD_SECONDS) -> None:
    """Posts `Seen` to `owner` until `stop` is set; runs in a thread of its own and ends with the first error it posts."""
    began = time.monotonic()
    read_gauges()  # the first reading of the processor has nothing to compare with and says 0
    follower = None
    while not stop.is_set():
        try:
            if follower is None:
                follower = walk.follow(run_dir)
            state = follower.poll()
            is_alive = follower.is_alive
        except RunNotFoundError as error:
            if time.monotonic() - began > START_SECONDS:
                post(owner, Seen(StudyState(), is_alive=False, gauges=read_gauges(), error=error))
                return
            stop.wait(period)
            continue
        except Exception as error:
            post(owner, Seen(StudyState(), is_alive=False, gauges=read_gauges(), error=error))
            return
        if not post(owner, Seen(state, is_alive=is_alive, gauges=read_gauges())):
            return
        stop.wait(period)
