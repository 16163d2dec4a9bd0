"""What stands beside a row of the plan and under a result: lessons, far changes, how sure the strategy is, importance, the budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textual.widgets import Static

from advisor.core.plan import Stability
from advisor.tui.app import AdvisorApp
from advisor.tui.frame import Panel, RowList
from advisor.tui.plan_rows import rows_of
from advisor.tui.plan_text import still_fields, why_text
from advisor.tui.result_text import importance_text
from advisor.tui.screens.plan import PlanScreen
from advisor.tui.screens.questions import QuestionsScreen
from advisor.tui.screens.result import ResultScreen
from tests.fakes import journals
from tests.tui.waiting import on_screen, until
from tests.tui.walk import FakeWalk

RUN = Path("runs/customers-1114")


def text_of(screen: PlanScreen | ResultScreen, name: str) -> str:
    """What the panel called `name` says."""
    return str(screen.query_one(name, Panel).query_one(Static).render())


async def test_beside_a_range_stands_what_too_small_and_too_large_do_and_w_looks_for_what_would_change_it() -> None:
    async with AdvisorApp(FakeWalk(), source="customers.csv").run_test(size=(120, 36)) as pilot:
        questions = await on_screen(pilot, QuestionsScreen)
        await until(pilot, lambda: questions.plan)
        await pilot.press("enter")
        plan = await on_screen(pilot, PlanScreen)
        rows = plan.query_one("#rows", RowList)
        rows.highlighted = next(i for i, o in enumerate(rows.options) if o.id == "space.learning_rate")
        await until(pilot, lambda: "Lesson" in text_of(plan, "#why"), "the lesson")
        assert "too small" in text_of(plan, "#why")
        asked = next(row for row in rows_of(plan.plan) if still_fields(plan.plan, row))
        rows.highlighted = next(i for i, o in enumerate(rows.options) if o.id == asked.key)
        await until(pilot, lambda: plan.query_one("#why", Panel).border_subtitle == "w looks for what would change it")
        await pilot.press("w")
        await until(pilot, lambda: "and answers.budget_seconds were 1 h" in text_of(plan, "#why"), "the pair")
        assert plan.query_one("#why", Panel).border_subtitle == ""


def test_a_strategy_that_a_slightly_other_fit_time_would_change_is_called_a_close_call() -> None:
    plan = journals.plan()
    near = plan.model_copy(update={"stability": Stability(fit_seconds=1.0, low_seconds=None, high_seconds=1.1)})
    far = plan.model_copy(update={"stability": Stability(fit_seconds=1.0, low_seconds=None, high_seconds=50.0)})
    row = next(row for row in rows_of(near) if row.key == "strategy")
    assert row.note.endswith("a close call")
    assert "! Holds unless the measured fit time is wrong by more than 1.1 ×" in why_text(near, row).plain
    assert "close call" not in next(row for row in rows_of(far) if row.key == "strategy").note
    assert "≈ Holds unless" in why_text(far, row).plain


async def test_a_result_says_what_mattered_how_sure_that_is_and_whether_the_budget_was_enough() -> None:
    async with AdvisorApp(FakeWalk(events=journals.finished()), attach=RUN).run_test(size=(120, 36)) as pilot:
        screen = await on_screen(pilot, ResultScreen)
        await until(pilot, lambda: screen.told, "the report's words")
        said = text_of(screen, "#rest")
        assert "Was the budget enough?" in said
        assert "was found by trial" in said
        assert screen.told is not None
        assert "learning_rate     ━━━━━━────  61% 38–79%" in said
        assert "min_samples_leaf  ──────────   3% 0–12%" in said


async def test_h_writes_the_report_and_says_where_it_lies() -> None:
    async with AdvisorApp(FakeWalk(events=journals.finished()), attach=RUN).run_test(size=(120, 36)) as pilot:
        screen = await on_screen(pilot, ResultScreen)
        await until(pilot, lambda: screen.outcome)
        await pilot.press("h")
        await until(pilot, lambda: pilot.app.clipboard == str(RUN / "report.html"), "the copied path")


async def test_trials_that_do_not_tell_say_why_nothing_is_told() -> None:
    async with AdvisorApp(FakeWalk(events=journals.finished()), attach=RUN).run_test() as pilot:
        screen = await on_screen(pilot, ResultScreen)
        await until(pilot, lambda: screen.told, "the report's words")
        assert screen.told is not None
        said = "\n".join(str(p) for p in importance_text(replace(screen.told, importances=(), importance_note="With 3 trials: nothing.")))
        assert "With 3 trials: nothing." in said
        assert "90 %" not in said
