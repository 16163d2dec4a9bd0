"""The walk over the real session: the calls that the screens make are there and mean what the screens think."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.core.errors import RunNotFoundError
from advisor.tui.app import AdvisorApp
from advisor.tui.plan_rows import rows_of
from advisor.tui.plan_text import why_text
from advisor.tui.screens.plan import PlanScreen
from advisor.tui.screens.questions import QuestionsScreen, field_of
from advisor.tui.screens.result import ResultScreen
from advisor.tui.screens.run import RunScreen
from advisor.tui.walk import SessionWalk
from tests.tui.waiting import on_screen, until


def test_facts_questions_and_plan_come_from_the_session(tmp_path: Path) -> None:
    walk = SessionWalk()
    facts = walk.gather("sklearn:iris", query=None, runs=str(tmp_path), answers={"budget_seconds": 60.0, "target": None})
    assert {"target", "budget_seconds", "goal"} <= {field_of(q) for q in walk.questions(facts)}
    plan = walk.recommend(facts)
    explained = [why_text(plan, row).plain for row in rows_of(plan) if row.fields]
    assert all(explained)
    assert sum("no rule of its own" in text for text in explained) <= 1, "nearly every row names its rule"
    path = tmp_path / "plan.toml"
    walk.save_plan(plan, path, facts)
    assert path.stat().st_size > 0
    assert list(walk.list_runs(str(tmp_path))) == []
    with pytest.raises(RunNotFoundError):
        walk.follow(tmp_path / "nowhere")


@pytest.mark.slow
async def test_two_presses_of_enter_tune_a_real_model(tmp_path: Path) -> None:
    app = AdvisorApp(SessionWalk(), source="sklearn:iris", answers={"budget_seconds": 60.0}, runs=str(tmp_path))
    async with app.run_test(size=(120, 36)) as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        await until(pilot, lambda: questions.plan)
        await pilot.press("enter")
        await on_screen(pilot, PlanScreen)
        await pilot.press("enter")
        run = await on_screen(pilot, RunScreen)
        await until(pilot, lambda: run.state.trials or not run.is_attached, "a first trial")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResultScreen), "the result", seconds=120)
        result = pilot.app.screen
        assert isinstance(result, ResultScreen)
        await until(pilot, lambda: result.outcome)
        assert result.outcome is not None
        assert result.outcome.status == "done"
