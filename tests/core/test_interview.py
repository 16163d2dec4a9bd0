"""The questionnaire: few questions, the telling ones first, answers filled in."""

from __future__ import annotations

import pytest

from advisor.core.facts import Answers, Unknown
from advisor.core.interview import MOST_QUESTIONS, questions
from tests.fakes import facts as situations
from tests.fakes.facts import SITUATIONS, facts, table
from tests.fakes.rulebooks import shipped

ALWAYS = {"target", "metric", "model", "budget_seconds", "goal"}


@pytest.mark.parametrize("name", SITUATIONS)
def test_at_most_eight_questions_the_five_always_among_them(name: str) -> None:
    asked = questions(SITUATIONS[name](), shipped())
    fields = [q.field for q in asked]
    assert len(fields) == len(set(fields)) <= MOST_QUESTIONS
    assert set(fields) >= ALWAYS
    assert set(fields) <= set(Answers.model_fields)
    assert all(q.text.endswith("?") and q.why for q in asked)
    assert all(q.value in q.choices for q in asked if q.choices)


def test_groups_are_asked_about_where_a_column_offers_itself() -> None:
    asked = {q.field: q for q in questions(situations.grouped_table(), shipped())}
    assert asked["group"].choices == (None, "patient")
    assert "80 values" in asked["group"].why
    assert any("stratified_group" in c for c in asked["group"].changes)
    assert "group" not in {q.field for q in questions(situations.laptop_small_table(), shipped())}


def test_an_unknown_target_is_the_first_question() -> None:
    lost = facts(data=table(target=Unknown(reason="two columns look alike")))
    asked = questions(lost, shipped())
    assert asked[0].field == "target"
    assert asked[0].value is None
    assert asked[0].why == "two columns look alike"


def test_what_was_answered_is_marked_and_what_is_guessed_says_how_surely() -> None:
    asked = {q.field: q for q in questions(situations.laptop_small_table(goal="quick", budget_seconds=60.0), shipped())}
    assert asked["target"].provenance == "guessed 0.93"
    assert asked["goal"].provenance == asked["budget_seconds"].provenance == "answered"
    assert asked["metric"].provenance == "default"


def test_only_answers_that_change_the_plan_are_told_as_changes() -> None:
    asked = {q.field: q for q in questions(situations.laptop_mixed_table(), shipped())}
    told = [c.split(":")[0] for c in asked["goal"].changes]
    assert "quick" in told
    assert "best" not in told
