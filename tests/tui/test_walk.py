"""The walk by keyboard: two presses to a run, Esc that keeps answers, errors that say what to do."""

from __future__ import annotations

import threading
from pathlib import Path

from textual.widgets import Input

from advisor.core.errors import InputError
from advisor.tui.app import AdvisorApp
from advisor.tui.frame import Panel, RowList
from advisor.tui.screens.editor import Editor
from advisor.tui.screens.plan import PlanScreen
from advisor.tui.screens.questions import QuestionsScreen
from advisor.tui.screens.result import ResultScreen
from advisor.tui.screens.run import RunScreen
from advisor.tui.screens.start import StartScreen
from tests.fakes import journals
from tests.tui.waiting import on_screen, until
from tests.tui.walk import FakeSummary, FakeWalk


def app_on_data(walk: FakeWalk, **answers: object) -> AdvisorApp:
    """The interface as ``advisor customers.csv`` opens it."""
    return AdvisorApp(walk, source="customers.csv", answers=answers)


async def test_two_presses_of_enter_reach_a_running_plan() -> None:
    walk = FakeWalk()
    async with app_on_data(walk).run_test() as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        await until(pilot, lambda: questions.plan)
        await pilot.press("enter")
        await on_screen(pilot, PlanScreen)
        await pilot.press("enter")
        run = await on_screen(pilot, RunScreen)
        await until(pilot, lambda: run.state.trials)
    assert len(walk.started) == 1


async def test_two_presses_typed_while_the_table_is_read_start_the_run_once_the_plan_is_there() -> None:
    walk = FakeWalk(gate=threading.Event())
    async with app_on_data(walk).run_test() as pilot:
        await on_screen(pilot, QuestionsScreen)
        await pilot.press("enter", "enter", "enter")
        assert not walk.started
        walk.gate.set()
        await on_screen(pilot, RunScreen)
    assert len(walk.started) == 1


async def test_escape_takes_back_an_enter_that_still_waits() -> None:
    walk = FakeWalk(gate=threading.Event())
    async with app_on_data(walk).run_test() as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        await pilot.press("enter", "escape")
        assert questions.wanted == 0
        walk.gate.set()
        await until(pilot, lambda: questions.plan)
        assert pilot.app.screen is questions


async def test_the_table_is_read_after_the_first_paint_and_says_so() -> None:
    walk = FakeWalk(gate=threading.Event())
    async with app_on_data(walk).run_test() as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        why = questions.query_one("#why", Panel)
        await until(pilot, lambda: why.border_title == "Reading")
        assert walk.gathered == []
        walk.gate.set()
        await until(pilot, lambda: questions.plan)
        assert why.border_title == "Why"


async def test_escape_on_the_plan_goes_back_and_keeps_the_answers() -> None:
    walk = FakeWalk()
    async with app_on_data(walk).run_test() as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        await until(pilot, lambda: questions.plan)
        await pilot.press("4", "space")
        editor = await on_screen(pilot, Editor)
        editor.query_one(Input).value = "20m"
        editor.query_one(Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: questions.facts.answers.budget_seconds == 1200 and questions.plan)
        await pilot.press("enter")
        plan = await on_screen(pilot, PlanScreen)
        assert plan.plan.forecast.seconds_p90 == 1200
        await pilot.press("escape")
        again = await on_screen(pilot, QuestionsScreen)
        assert again is questions
        assert again.answers == {"budget_seconds": 1200.0}
        assert len(walk.gathered) == 1, "a budget does not change what is read from the table"


async def test_another_target_reads_the_table_again_and_undo_takes_it_back() -> None:
    walk = FakeWalk()
    async with app_on_data(walk).run_test() as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        await until(pilot, lambda: questions.plan)
        await pilot.press("1", "space")
        await on_screen(pilot, Editor)
        await pilot.press("down", "enter")
        await until(pilot, lambda: len(walk.gathered) == 2 and questions.plan)
        assert walk.gathered[1] == {"target": "x1"}
        await pilot.press("u")
        await until(pilot, lambda: len(walk.gathered) == 3 and questions.plan)
        assert walk.gathered[2] == {}


async def test_a_duration_that_cannot_be_read_is_refused_in_place() -> None:
    async with app_on_data(FakeWalk()).run_test() as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        await until(pilot, lambda: questions.plan)
        await pilot.press("4", "space")
        editor = await on_screen(pilot, Editor)
        editor.query_one(Input).value = "soon"
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.screen is editor
        await pilot.press("escape")
        await on_screen(pilot, QuestionsScreen)
        assert questions.answers == {}


async def test_what_is_typed_over_a_list_narrows_it_and_enter_takes_what_is_left() -> None:
    walk = FakeWalk()
    async with app_on_data(walk).run_test() as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        await until(pilot, lambda: questions.plan)
        await pilot.press("1", "space")
        editor = await on_screen(pilot, Editor)
        hint = editor.query_one("#hint")
        await until(pilot, lambda: hint.region.area > 0, "the hint has its place on a small screen")
        assert hint.region.bottom < 24
        await pilot.press("x", "2")
        assert editor.query_one("#narrow", Input).value == "x2"
        await pilot.press("down", "enter")
        await until(pilot, lambda: len(walk.gathered) == 2 and questions.plan)
        assert walk.gathered[1] == {"target": "x20"}


async def test_digits_jump_to_questions() -> None:
    async with app_on_data(FakeWalk()).run_test() as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        await until(pilot, lambda: questions.plan)
        await pilot.press("5")
        assert questions.query_one("#questions", RowList).highlighted_id == "goal"


async def test_data_that_cannot_be_read_say_what_where_and_cure_and_leave_with_the_exit_code() -> None:
    walk = FakeWalk(error=InputError("the file is empty", where="customers.csv", cure="Name a table with rows."))
    app = app_on_data(walk)
    async with app.run_test() as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        why = questions.query_one("#why", Panel)
        await until(pilot, lambda: why.border_title == "Cannot go on")
        text = str(why.query("Static").first().render())
        assert "the file is empty" in text
        assert "customers.csv" in text
        assert "Name a table with rows." in text
        await pilot.press("q")
    assert app.return_code == 2
    assert "Name a table with rows." in app.farewell


async def test_the_start_lists_runs_and_opens_each_as_it_stands() -> None:
    runs = (
        FakeSummary("live", "runs/live", "running", 1.0, is_alive=True),
        FakeSummary("over", "runs/over", "done", 1.0),
    )
    for name, kind, events in (("live", RunScreen, journals.running()), ("over", ResultScreen, journals.finished())):
        async with AdvisorApp(FakeWalk(runs=runs, events=events)).run_test() as pilot:
            start = await on_screen(pilot, StartScreen)
            rows = start.query_one("#choices", RowList)
            await until(pilot, lambda rows=rows: rows.option_count == 5)
            rows.highlighted = next(i for i, o in enumerate(rows.options) if o.id == f"run runs/{name}")
            rows.focus()
            await pilot.press("enter")
            opened = await on_screen(pilot, kind)
            assert opened.run_dir == Path("runs") / name


async def test_a_named_table_leads_from_the_start_to_its_questions() -> None:
    walk = FakeWalk()
    async with AdvisorApp(walk).run_test() as pilot:
        start = await on_screen(pilot, StartScreen)
        start.query_one(Input).value = "customers.csv"
        await pilot.press("enter")
        questions = await on_screen(pilot, QuestionsScreen)
        await until(pilot, lambda: questions.plan)
        await pilot.press("escape")
        start = await on_screen(pilot, StartScreen)
        assert start.query_one(Input).value == "customers.csv"
