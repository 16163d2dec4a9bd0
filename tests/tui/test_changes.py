"""What a person changes: columns and their roles, ranges of the plan, strategies; and what is seen of a run besides its best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from advisor.core.space import Float
from advisor.tui.app import AdvisorApp
from advisor.tui.frame import Panel, Reading, RowList
from advisor.tui.plot import Plot
from advisor.tui.screens.alternatives import AlternativesScreen
from advisor.tui.screens.columns import ColumnsScreen
from advisor.tui.screens.compare import CompareScreen
from advisor.tui.screens.editor import LineEditor
from advisor.tui.screens.plan import PlanScreen
from advisor.tui.screens.questions import QuestionsScreen
from advisor.tui.screens.result import ResultScreen
from advisor.tui.screens.run import RunScreen
from tests.fakes import journals
from tests.tui.screenshots import FINDING
from tests.tui.waiting import on_screen, until
from tests.tui.walk import FakeSummary, FakeWalk

RUN = Path("runs/customers-1114")


def on_data(walk: FakeWalk) -> AdvisorApp:
    """The interface as ``advisor customers.csv`` opens it."""
    return AdvisorApp(walk, source="customers.csv")


async def asked(pilot: Pilot[Any]) -> QuestionsScreen:
    """The questions with their plan."""
    screen = await on_screen(pilot, QuestionsScreen)
    await until(pilot, lambda: screen.plan and screen.questions)
    return screen


async def planned(pilot: Pilot[Any]) -> PlanScreen:
    """The plan."""
    await asked(pilot)
    await pilot.press("enter")
    return await on_screen(pilot, PlanScreen)


async def test_a_column_is_left_out_by_key_and_the_table_is_read_again() -> None:
    walk = FakeWalk()
    async with on_data(walk).run_test() as pilot:
        screen = await asked(pilot)
        await pilot.press("slash")
        columns = await on_screen(pilot, ColumnsScreen)
        columns.query_one(Input).value = "X17"
        await until(pilot, lambda: columns.query_one(RowList).option_count == 1)
        await pilot.press("enter", "x")
        await until(pilot, lambda: len(walk.gathered) == 2 and screen.plan)
        assert walk.gathered[1] == {"drop": ("x17",)}
        await pilot.press("u")
        await until(pilot, lambda: len(walk.gathered) == 3)
        assert walk.gathered[2] == {}


async def test_answers_of_last_time_are_filled_in_and_said_to_be_so() -> None:
    walk = FakeWalk(last={"budget_seconds": 1200.0})
    async with on_data(walk).run_test() as pilot:
        screen = await asked(pilot)
        assert walk.gathered == [{"budget_seconds": 1200.0}]
        rows = screen.query_one("#questions", RowList)
        assert "last time" in str(rows.get_option("budget_seconds").prompt)
        assert "last time" not in str(rows.get_option("goal").prompt)


async def edit(pilot: Pilot[Any], plan: PlanScreen, row: str, text: str) -> LineEditor:
    """Writes `text` into the row called `row` and presses Enter."""
    rows = plan.query_one("#rows", RowList)
    rows.highlighted = rows.get_option_index(row)
    await pilot.press("e")
    editor = await on_screen(pilot, LineEditor)
    editor.query_one(Input).value = text
    await pilot.press("enter")
    return editor


async def test_a_range_set_on_the_plan_is_marked_linted_run_and_taken_back() -> None:
    walk = FakeWalk()
    async with on_data(walk).run_test() as pilot:
        plan = await planned(pilot)
        before = plan.plan
        await edit(pilot, plan, "space.learning_rate", "0.0001 .. 0.5 linear")
        await until(pilot, lambda: plan.edits)
        assert "yours" in str(plan.query_one("#rows", RowList).get_option("space.learning_rate").prompt)
        assert "logarithmic scale" in str(plan.query_one("#why", Panel).query("Static").first().render())
        await pilot.press("u")
        await until(pilot, lambda: plan.plan == before)
        assert not plan.edits
        await edit(pilot, plan, "space.learning_rate", "0.01 .. 0.2 log")
        await until(pilot, lambda: plan.edits)
        await pilot.press("enter")
        await until(pilot, lambda: walk.started)
    assert walk.started[0].space.parameters["learning_rate"] == Float(0.01, 0.2, log=True, default=0.1)


async def test_a_range_that_cannot_be_is_refused_where_it_is_written() -> None:
    async with on_data(FakeWalk()).run_test() as pilot:
        plan = await planned(pilot)
        editor = await edit(pilot, plan, "space.learning_rate", "5 .. 1")
        assert "not below" in str(editor.query_one("#fault").render())
        await pilot.press("escape")
        await on_screen(pilot, PlanScreen)
        assert not plan.edits


async def test_a_budget_set_on_the_plan_goes_back_to_the_questions_with_the_ranges_kept() -> None:
    async with on_data(FakeWalk()).run_test() as pilot:
        plan = await planned(pilot)
        await edit(pilot, plan, "budget", "20m")
        await until(pilot, lambda: plan.plan.forecast.seconds_p90 == 1200)
        await edit(pilot, plan, "space.max_leaf_nodes", "8 .. 64")
        await until(pilot, lambda: plan.edits)
        await pilot.press("escape")
        screen = await on_screen(pilot, QuestionsScreen)
        await until(pilot, lambda: screen.plan and screen.answers == {"budget_seconds": 1200.0})
        await pilot.press("enter")
        again = await on_screen(pilot, PlanScreen)
        await until(pilot, lambda: again.edits)
        assert again.plan.space.parameters["max_leaf_nodes"].high == 64  # type: ignore[union-attr]


async def test_an_alternative_is_taken_and_one_that_cannot_be_had_is_not() -> None:
    async with on_data(FakeWalk()).run_test() as pilot:
        plan = await planned(pilot)
        await pilot.press("a")
        screen = await on_screen(pilot, AlternativesScreen)
        await until(pilot, lambda: screen.found)
        await pilot.press("end", "enter")
        assert pilot.app.screen is screen, "grid cannot be had"
        await pilot.press("up", "enter")
        await until(pilot, lambda: plan.facts.answers.strategy == "random" and plan.plan.strategy == "random")
        await pilot.press("u")
        await until(pilot, lambda: plan.plan.strategy == "tpe")


async def test_a_plan_is_exported_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    walk = FakeWalk()
    async with on_data(walk).run_test() as pilot:
        await planned(pilot)
        await pilot.press("x")
        await until(pilot, lambda: pilot.app.screen.query("OptionList"))
        await pilot.press("down", "enter")
        await until(pilot, (tmp_path / "tune.py").exists)
    assert not walk.started


async def test_scores_are_seen_over_each_hyperparameter_and_findings_with_what_was_done() -> None:
    async with AdvisorApp(FakeWalk(found=(FINDING,)), attach=RUN).run_test(size=(120, 36)) as pilot:
        run = await on_screen(pilot, RunScreen)
        await until(pilot, lambda: run.state.trials and run.findings)
        plot = run.query_one("#best", Plot)
        await pilot.press("v")
        assert "learning_rate · log" in str(plot.border_title)
        await pilot.press("right_square_bracket")
        assert "max_leaf_nodes" in str(plot.border_title)
        await pilot.press("v")
        assert "Best so far" in str(plot.border_title)
        await pilot.press("f")
        reading = await on_screen(pilot, Reading)
        assert "widened to 1024" in str(reading.query("Static").first().render())


async def test_the_next_step_is_a_plan_of_twice_the_time() -> None:
    async with AdvisorApp(FakeWalk(events=journals.finished()), attach=RUN).run_test(size=(120, 36)) as pilot:
        result = await on_screen(pilot, ResultScreen)
        await until(pilot, lambda: result.outcome)
        assert "should bring" in str(result.query_one("#rest", Panel).query("Static").first().render())
        await pilot.press("c")
        plan = await on_screen(pilot, PlanScreen)
        assert plan.plan.forecast.seconds_p90 == 2400


async def test_two_runs_stand_side_by_side() -> None:
    walk = FakeWalk(events=journals.finished(), runs=(FakeSummary("other", "runs/other", "done", 1.0),))
    async with AdvisorApp(walk, attach=RUN).run_test(size=(120, 36)) as pilot:
        result = await on_screen(pilot, ResultScreen)
        await until(pilot, lambda: result.outcome)
        await pilot.press("v")
        await until(pilot, lambda: pilot.app.screen.query("OptionList"))
        await pilot.press("enter")
        screen = await on_screen(pilot, CompareScreen)
        await until(pilot, lambda: screen.comparison)
        text = str(screen.query("Static").first().render())
        assert "[0.0121, 0.0403]" in text
        assert "other" in text
