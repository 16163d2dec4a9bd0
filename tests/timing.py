"""Promises of time, told apart from the noise of a shared machine."""

from __future__ import annotations

import time

NOISE = 8.0
"""A loaded machine may take this many times as long. The promise itself is measured on a quiet one; here only a hang is caught."""


def kept(promised_seconds: float, *, since: float) -> bool:
    """True while no more than `promised_seconds` × `NOISE` have passed since the monotonic second `since`."""
    return time.monotonic() - since < promised_seconds * NOISE
