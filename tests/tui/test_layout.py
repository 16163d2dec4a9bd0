"""Every screen at the smallest and at the best size: nothing out of reach, every key in sight or in help, and in the palette."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot
from textual.widgets import Footer, Static
from textual.widgets._footer import FooterKey

from advisor.tui.app import AdvisorApp
from advisor.tui.frame import Help, Page
from advisor.tui.screens.plan import PlanScreen
from advisor.tui.screens.questions import QuestionsScreen
from advisor.tui.screens.result import ResultScreen
from advisor.tui.screens.run import RunScreen
from advisor.tui.screens.start import StartScreen
from tests.fakes import journals
from tests.tui.waiting import on_screen, until
from tests.tui.walk import FakeSummary, FakeWalk

Opening = Callable[[Pilot[Any]], Awaitable[Page]]
SIZES = [(80, 24), (120, 36)]


async def start(pilot: Pilot[Any]) -> Page:
    """The start with its runs."""
    return await on_screen(pilot, StartScreen)


async def questions(pilot: Pilot[Any]) -> Page:
    """The questions with their plan."""
    screen = await on_screen(pilot, QuestionsScreen)
    await until(pilot, lambda: screen.plan and screen.questions)
    return screen


async def plan(pilot: Pilot[Any]) -> Page:
    """The plan."""
    await questions(pilot)
    await pilot.press("enter")
    screen = await on_screen(pilot, PlanScreen)
    await until(pilot, lambda: screen.lessons, "the lessons")
    return screen


async def run(pilot: Pilot[Any]) -> Page:
    """A run with trials."""
    screen = await on_screen(pilot, RunScreen)
    await until(pilot, lambda: screen.state.trials)
    return screen


async def result(pilot: Pilot[Any]) -> Page:
    """A result."""
    screen = await on_screen(pilot, ResultScreen)
    await until(pilot, lambda: screen.told, "the report's words")
    return screen


SCREENS: dict[str, tuple[Callable[[], AdvisorApp], Opening]] = {
    "start": (lambda: AdvisorApp(FakeWalk(runs=(FakeSummary("live", "runs/live", "running", 1.0, is_alive=True),))), start),
    "questions": (lambda: AdvisorApp(FakeWalk(), source="customers.csv"), questions),
    "plan": (lambda: AdvisorApp(FakeWalk(), source="customers.csv"), plan),
    "run": (lambda: AdvisorApp(FakeWalk(), attach=Path("runs/customers-1114")), run),
    "result": (lambda: AdvisorApp(FakeWalk(events=journals.finished()), attach=Path("runs/customers-1114")), result),
}


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x36"])
@pytest.mark.parametrize("name", SCREENS)
async def test_nothing_focusable_lies_off_screen_and_the_keys_fit(name: str, size: tuple[int, int]) -> None:
    make, opening = SCREENS[name]
    async with make().run_test(size=size) as pilot:
        screen = await opening(pilot)
        footer = screen.query_one(Footer)
        await until(
            pilot, lambda: footer.query(FooterKey) and all(key.region.width for key in footer.query(FooterKey)), "the keys are placed"
        )
        width, height = size
        for widget in screen.focus_chain:
            region = widget.region
            assert region.area > 0, f"{widget!r} has no place"
            assert (region.x >= 0) and (region.right <= width), f"{widget!r} at {region}"
            assert (region.y >= 0) and (region.bottom <= height), f"{widget!r} at {region}"
        for key in footer.query(FooterKey):
            assert key.region.right <= width, f"{key.description} does not fit"
        assert footer.region.bottom == height


@pytest.mark.parametrize("name", SCREENS)
async def test_every_binding_is_in_help_and_in_the_palette(name: str) -> None:
    make, opening = SCREENS[name]
    async with make().run_test() as pilot:
        screen = await opening(pilot)
        declared = {b.description for b in type(screen).BINDINGS if isinstance(b, Binding)}
        declared |= {b.description for b in AdvisorApp.BINDINGS if isinstance(b, Binding)}
        palette = {command.title for command in pilot.app.get_system_commands(screen)}
        assert declared - {"Palette"} <= palette
        await pilot.press("f1")
        help_screen = await on_screen(pilot, Help)
        text = str(help_screen.query_one("#help").query_one(Static).render())
        missing = {d for d in declared if d not in text}
        assert missing == set()
        assert all(binding.description for binding in type(screen).BINDINGS if isinstance(binding, Binding))
        await pilot.press("escape")
        await on_screen(pilot, type(screen))


@pytest.mark.parametrize("theme", ["advisor-dark", "advisor-light", "nord", "ansi-dark"])
async def test_every_theme_gives_every_colour_we_name(theme: str) -> None:
    make, opening = SCREENS["run"]
    async with make().run_test() as pilot:
        await opening(pilot)
        pilot.app.theme = theme
        await pilot.pause()
        assert pilot.app.export_screenshot()


async def test_light_and_dark_change_by_key() -> None:
    make, opening = SCREENS["questions"]
    async with make().run_test() as pilot:
        await opening(pilot)
        await pilot.press("ctrl+t")
        assert pilot.app.theme == "advisor-light"
        await pilot.press("ctrl+t")
        assert pilot.app.theme == "advisor-dark"


@pytest.mark.parametrize("pane", ["p", "l"])
async def test_a_small_screen_shows_one_pane_at_a_time_and_comes_back(pane: str) -> None:
    make, opening = SCREENS["run"]
    async with make().run_test(size=(80, 24)) as pilot:
        screen = await opening(pilot)
        table = screen.query_one("#table")
        await pilot.press(pane)
        await until(pilot, lambda: not table.display)
        await pilot.press(pane)
        await until(pilot, lambda: table.display)
        await until(pilot, lambda: screen.focused is screen.query_one("#trials"))
