"""``advisor`` and ``python -m advisor``: opens one of the two doors."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from advisor.cli.door import Session

_BELIEVABLE_START_SECONDS = 5.0
"""An interpreter is up within this; a process that is older was something else before it became this one (``exec``)."""


def process_start(entered: float) -> float:
    """The monotonic second at which this process started, `entered` being when its first line of ours was reached.

    The budget of a run includes the start of the interpreter. Where the process had another life before (a shell that
    became this program), the processor time it had used when it got here is not known either: a usual start stands in.
    """
    from advisor.supervise.identity import process_age_seconds

    started = time.monotonic() - process_age_seconds()
    return started if 0 <= entered - started <= _BELIEVABLE_START_SECONDS else entered - _USUAL_START_SECONDS


_USUAL_START_SECONDS = 0.1
_INTERRUPTED = 130
"""`ExitCode.INTERRUPTED`, which may not be imported yet."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command line `arguments` (those of the process where None)."""
    entered = time.monotonic()
    try:
        # Imports take a moment, in which a Ctrl-C is as likely as later.
        from advisor.cli.door import Door
        from advisor.cli.main import run

        door = Door(_session, _interface, lambda: process_start(entered))
        code = run(list(sys.argv[1:] if arguments is None else arguments), door)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = _INTERRUPTED
    if arguments is None:  # this process is ours, and only has to go: a Ctrl-C now must not be told as an error of an exit handler
        signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    return code


def _session() -> Session:
    from advisor import session

    return cast("Session", session)


def _interface(data: str | None, **options: Any) -> int:
    from advisor.tui.app import run

    return run(data, **options)


if __name__ == "__main__":
    sys.exit(main())
