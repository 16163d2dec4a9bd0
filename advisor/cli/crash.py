"""The report of a failure nobody foresaw: enough to find the fault, nothing that belongs to the user."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from advisor.core.redaction import secret_values, without_secrets


def write_report(error: BaseException, arguments: Sequence[str], *, folder: Path | None = None) -> Path | None:
    """The file that describes `error`: versions, command and the lines of the trace, without values of variables.

    Lies in `folder`, else in the system's place for temporary files, readable by its owner alone; None when it cannot
    be written.
    """
    from advisor import __version__

    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    text = "\n".join(
        [
            f"Tuning Advisor {__version__} failed on {time.strftime('%Y-%m-%d %H:%M:%S %z')}",
            f"Python {platform.python_version()} on {platform.platform()}",
            f"command: advisor {' '.join(arguments)}",
            "",
            trace,
        ]
    )
    try:
        handle, name = tempfile.mkstemp(prefix="advisor-crash-", suffix=".txt", dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(without_secrets(text, secret_values(os.environ)))
    except OSError:
        return None
    return Path(name)


def describe(error: BaseException, report: Path | None) -> str:
    """The lines a user sees."""
    kind = type(error).__name__
    place = f"Report: {report}" if report else "No report could be written."
    return f"error: something failed that should not have ({kind}). {place}\nSend the report with the command that led to it." + (
        "" if sys.flags.dev_mode == 0 else f"\n{error!r}"
    )
