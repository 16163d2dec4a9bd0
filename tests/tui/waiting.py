"""Waiting on a condition, with what the screen showed when it never came true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from textual.pilot import Pilot
from textual.screen import Screen

S = TypeVar("S", bound=Screen[Any])
LONGEST_SECONDS = 20.0
"""Far above what any step takes (milliseconds): only a step that never comes reaches it."""


async def until(pilot: Pilot[Any], holds: Callable[[], object], what: str = "the condition", *, seconds: float = LONGEST_SECONDS) -> None:
    """Returns once `holds()` is true; fails, naming `what`, when it is not after `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} never held on {pilot.app.screen!r}"
        await pilot.pause(0.01)


async def on_screen(pilot: Pilot[Any], kind: type[S]) -> S:
    """The screen on top, once it is of `kind`."""
    await until(pilot, lambda: isinstance(pilot.app.screen, kind) and pilot.app.screen.is_mounted, kind.__name__)
    return cast(S, pilot.app.screen)
