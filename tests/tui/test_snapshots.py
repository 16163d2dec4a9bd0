"""The screens as pictures. `make snapshots` accepts them as they are now; look at them before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from advisor.tui import watching
from advisor.tui.app import AdvisorApp
from advisor.tui.frame import RowList
from advisor.tui.screens.run import RunScreen
from advisor.tui.watching import Gauges
from tests.fakes import journals
from tests.tui import test_layout as layout
from tests.tui.walk import FakeSummary, FakeWalk

RUN = Path("runs/customers-1114")
Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gauges that always stand at the same place."""
    monkeypatch.setattr(watching, "read_gauges", lambda: Gauges(0.78, 3.1 * 2**30, 15 * 2**30))


def on_data(**answers: Any) -> AdvisorApp:
    """The interface as ``advisor customers.csv --budget 20m`` opens it."""
    return AdvisorApp(FakeWalk(), source="customers.csv", answers={"budget_seconds": 1200.0, **answers})


def watched(events: list[Any]) -> AdvisorApp:
    """The interface as ``advisor attach`` opens it."""
    return AdvisorApp(FakeWalk(events=events), attach=RUN)


async def quiet_run(pilot: Pilot[Any]) -> None:
    """A run whose journal is not looked at any more."""
    screen = await layout.run(pilot)
    assert isinstance(screen, RunScreen)
    screen._stop.set()
    await pilot.pause()


def test_start(snap_compare: Compare) -> None:
    runs = (
        FakeSummary("customers-1114", "runs/customers-1114", "running", time.time() - 300, is_alive=True),
        FakeSummary("houses-1031", "runs/houses-1031", "interrupted", time.time() - 9000, metric="rmse", best_value=12.3),
    )

    async def before(pilot: Pilot[Any]) -> None:
        screen = await layout.start(pilot)
        screen.query_one(Input).cursor_blink = False
        await layout.until(pilot, lambda: screen.query_one("#choices", RowList).option_count == 5)

    assert snap_compare(AdvisorApp(FakeWalk(runs=runs)), terminal_size=(80, 24), run_before=before)


@pytest.mark.parametrize("size", layout.SIZES, ids=["80x24", "120x36"])
def test_questions(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(on_data(), terminal_size=size, run_before=layout.questions)


@pytest.mark.parametrize("size", layout.SIZES, ids=["80x24", "120x36"])
def test_plan(snap_compare: Compare, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await layout.plan(pilot)
        await pilot.press(*["down"] * 6)

    assert snap_compare(on_data(), terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", layout.SIZES, ids=["80x24", "120x36"])
def test_run(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(watched(journals.running()), terminal_size=size, run_before=quiet_run)


def test_run_in_light_colours(snap_compare: Compare) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await quiet_run(pilot)
        await pilot.press("ctrl+t")

    assert snap_compare(watched(journals.running()), terminal_size=(120, 36), run_before=before)


@pytest.mark.parametrize("shipped", ["tuned", "default"])
def test_result(snap_compare: Compare, shipped: str) -> None:
    assert snap_compare(watched(journals.finished(shipped=shipped)), terminal_size=(80, 24), run_before=layout.result)
