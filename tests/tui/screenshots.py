"""The screens as SVG, drawn by the interface itself on recorded runs: ``python -m tests.tui.screenshots [NAME …]``."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from advisor.core.diagnosis import Finding
from advisor.tui import watching
from advisor.tui.app import AdvisorApp
from advisor.tui.frame import RowList
from advisor.tui.screens.alternatives import AlternativesScreen
from advisor.tui.screens.columns import ColumnsScreen
from advisor.tui.screens.compare import CompareScreen
from advisor.tui.screens.run import RunScreen
from advisor.tui.watching import Gauges
from tests.fakes import journals
from tests.tui import test_layout as layout
from tests.tui.waiting import on_screen, until
from tests.tui.walk import FakeSummary, FakeWalk

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
RUN = Path("runs/customers-1114")
SMALL, MIDDLE, LARGE = (80, 24), (120, 36), (200, 50)
FINDING = Finding(
    id="pressed",
    title="The best trials press against a bound",
    level="minor",
    about="max_leaf_nodes",
    seen="8 of the best 10 trials lie above 240; the range ends at 255.",
    cause="The range may end before the best value.",
    cure="Widen max_leaf_nodes.",
    source="Bergstra and Bengio 2012",
    done="The range was widened to 1024 at trial 37.",
)
Steps = Callable[[Pilot[Any]], Awaitable[object]]


def on_data() -> AdvisorApp:
    """The interface as ``advisor customers.csv --budget 20m`` opens it."""
    return AdvisorApp(FakeWalk(last={"goal": "best"}), source="customers.csv", answers={"budget_seconds": 1200.0})


def on_run(events: list[Any]) -> AdvisorApp:
    """The interface as ``advisor attach`` opens it."""
    others = (FakeSummary("customers-1031", "runs/customers-1031", "done", time.time() - 9000),)
    return AdvisorApp(FakeWalk(events=events, found=(FINDING,), runs=others), attach=RUN)


async def start(pilot: Pilot[Any]) -> None:
    """The start with two runs."""
    screen = await layout.start(pilot)
    screen.query_one(Input).cursor_blink = False
    await until(pilot, lambda: screen.query_one("#choices", RowList).option_count >= 3)


async def columns(pilot: Pilot[Any]) -> None:
    """The columns over the questions."""
    await layout.questions(pilot)
    await pilot.press("c")
    await on_screen(pilot, ColumnsScreen)
    await pilot.press("end")


async def edited(pilot: Pilot[Any]) -> None:
    """The plan with a range that was set by hand."""
    plan = await layout.plan(pilot)
    await pilot.press(*["down"] * 7, "e")
    line = pilot.app.screen.query_one(Input)
    line.value = "0.0001 .. 0.5 linear"
    await pilot.press("enter")
    await until(pilot, lambda: plan.findings, "the linter's word")  # type: ignore[attr-defined]


async def alternatives(pilot: Pilot[Any]) -> None:
    """The alternatives over the plan."""
    await layout.plan(pilot)
    await pilot.press("a")
    screen = await on_screen(pilot, AlternativesScreen)
    await until(pilot, lambda: screen.found)
    await pilot.press("down")


async def still_run(pilot: Pilot[Any]) -> RunScreen:
    """A run whose journal is not looked at any more, its notices gone."""
    screen = await layout.run(pilot)
    assert isinstance(screen, RunScreen)
    await until(pilot, lambda: screen.findings)
    screen._stop.set()
    pilot.app.clear_notifications()
    await pilot.pause(0.2)
    return screen


async def slices(pilot: Pilot[Any]) -> None:
    """The scores over one hyperparameter."""
    await still_run(pilot)
    await pilot.press("v")


async def findings(pilot: Pilot[Any]) -> None:
    """What was noticed, with what was done."""
    await still_run(pilot)
    await pilot.press("f")


async def compare(pilot: Pilot[Any]) -> None:
    """Two runs side by side."""
    await layout.result(pilot)
    await pilot.press("v")
    await until(pilot, lambda: pilot.app.screen.query("OptionList"))
    await pilot.press("enter")
    screen = await on_screen(pilot, CompareScreen)
    await until(pilot, lambda: screen.comparison)


SHOTS: dict[str, tuple[Callable[[], AdvisorApp], Steps, tuple[tuple[int, int], ...], tuple[str, ...]]] = {
    "start": (
        lambda: AdvisorApp(FakeWalk(runs=(FakeSummary("customers-1114", str(RUN), "running", time.time() - 300, is_alive=True),))),
        start,
        (SMALL, MIDDLE),
        ("dark",),
    ),
    "questions": (on_data, layout.questions, (SMALL, MIDDLE, LARGE), ("dark", "light")),
    "columns": (on_data, columns, (SMALL, MIDDLE), ("dark",)),
    "plan": (on_data, edited, (SMALL, MIDDLE, LARGE), ("dark", "light")),
    "alternatives": (on_data, alternatives, (SMALL, MIDDLE), ("dark",)),
    "run": (lambda: on_run(journals.running()), still_run, (SMALL, MIDDLE, LARGE), ("dark", "light")),
    "slice": (lambda: on_run(journals.running()), slices, (MIDDLE,), ("dark",)),
    "findings": (lambda: on_run(journals.running()), findings, (MIDDLE,), ("dark",)),
    "result": (lambda: on_run(journals.finished()), layout.result, (SMALL, MIDDLE, LARGE), ("dark", "light")),
    "compare": (lambda: on_run(journals.finished()), compare, (MIDDLE,), ("dark",)),
}
"""Name to the interface, the way to the screen, sizes and themes."""


async def draw(name: str) -> None:
    """Writes every picture of one screen."""
    make, steps, sizes, themes = SHOTS[name]
    for size in sizes:
        for theme in themes if size == MIDDLE else ("dark",):
            app = make()
            app.theme = f"advisor-{theme}"
            async with app.run_test(size=size) as pilot:
                await steps(pilot)
                await pilot.pause(0.1)
                path = FOLDER / f"{name}-{size[0]}x{size[1]}{'' if theme == 'dark' else '-' + theme}.svg"
                path.write_text(app.export_screenshot(title="advisor"), encoding="utf-8")
                print(path.name)


def main(names: list[str]) -> None:
    """Writes the pictures of the named screens, all without a name."""
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    watching.read_gauges = lambda: Gauges(0.78, 3.1 * 2**30, 15 * 2**30)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or SHOTS:
        asyncio.run(draw(name))


if __name__ == "__main__":
    main(sys.argv[1:])
