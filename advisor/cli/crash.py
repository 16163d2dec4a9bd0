"""The report of a failure nobody foresaw: enough to find the fault, nothing that belongs to the user."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

_SECRET_NAME = re.compile(r"(?i)(key|token|secret|passw|credential|auth|_pwd$)")
_IN_URL = re.compile(r"(?<=://)[^/@\s:]*(?::[^@\s]*)?@")
_IN_QUERY = re.compile(r"(?i)([?&;\s](?:[a-z_]*(?:key|token|secret|passw(?:or)?d|pwd))=)[^&\s'\"]+")


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
            out.write(without_secrets(text, os.environ))
    except OSError:
        return None
    return Path(name)


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """`text` without credentials in URLs and queries, and without the values of variables that are named like secrets.

    >>> without_secrets("postgres://me:pw@host/db", {})
    'postgres://…@host/db'
    """
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and len(value) >= 6:
            text = text.replace(value, "…")
    return _IN_QUERY.sub(r"\1…", _IN_URL.sub("…@", text))


def describe(error: BaseException, report: Path | None) -> str:
    """The lines a user sees."""
    kind = type(error).__name__
    place = f"Report: {report}" if report else "No report could be written."
    return f"error: something failed that should not have ({kind}). {place}\nSend the report with the command that led to it." + (
        "" if sys.flags.dev_mode == 0 else f"\n{error!r}"
    )
