"""``advisor`` and ``python -m advisor``: opens one of the two doors."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from advisor.cli.door import Session

_BELIEVABLE_START_SECONDS = 5.0
"""An interpreter is up within this; a process that is older was something else before it became this one (``exec``)."""


def process_start(now: float) -> float:
    """The monotonic second at which this process started, `now` being the present one.

    The budget of a run includes the start of the interpreter. Linux tells it in clock ticks since boot; elsewhere, and
    where the process had another life before, the processor time used so far stands in.
    """
    used = min(time.process_time(), 1.0)
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 (pathlib costs 10 ms here)
            ticks = int(file.read().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return now - used
    return now - (age if used <= age <= _BELIEVABLE_START_SECONDS else used)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command line `arguments` (those of the process where None)."""
    began = process_start(time.monotonic())
    from advisor.cli.door import Door
    from advisor.cli.main import run

    return run(list(sys.argv[1:] if arguments is None else arguments), Door(_session, _interface, began))


def _session() -> Session:
    from advisor import session

    return cast("Session", session)


def _interface(data: str | None, **options: Any) -> int:
    from advisor.tui.app import run

    return run(data, **options)


if __name__ == "__main__":
    sys.exit(main())
