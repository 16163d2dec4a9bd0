"""Ranges edited by hand, and what is still to come of a run."""

from __future__ import annotations

import doctest
import statistics
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.core import editing
from advisor.core.editing import edited, read_parameter, with_parameter, written
from advisor.core.errors import InputError
from advisor.core.events import fold_all
from advisor.core.outlook import outlook, promise
from advisor.core.plan import Plan
from advisor.core.space import Choice, Float, Int
from tests.fakes import journals


def test_the_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(editing).failed == 0


@pytest.mark.parametrize(
    "parameter",
    [Float(1e-3, 0.3, log=True, default=0.1), Int(8, 255, log=True, default=31), Choice(["l1", "l2", None, True], default="l2")],
)
def test_what_is_written_is_read_back_as_it_was(parameter: Float | Int | Choice) -> None:
    assert read_parameter(written(parameter), parameter) == parameter


@pytest.mark.parametrize(
    ("text", "fault"), [("", "write it as"), ("3 .. 2", "not below"), ("0 .. 1 log", "above 0"), ("1 .. inf", "finite")]
)
def test_a_range_that_cannot_be_is_refused_with_what_it_is_now(text: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault) as refusal:
        read_parameter(text, Float(1e-3, 0.3, log=True))
    assert "0.001 .. 0.3 log" in refusal.value.cure


def test_half_a_whole_number_is_refused() -> None:
    with pytest.raises(InputError, match="no whole number"):
        read_parameter("1.5 .. 9", Int(1, 9))


def test_an_edit_is_told_as_your_own_word_and_moves_the_starts_inside() -> None:
    plan = with_parameter(journals.plan(), "learning_rate", Float(0.2, 0.5, log=True))
    assert edited(plan) == ("learning_rate",)
    assert all(plan.space.parameters["learning_rate"].contains(start["learning_rate"]) for start in plan.starts)
    told = [e for e in plan.evidence if e.field.startswith("space.learning_rate")]
    assert [e.rule for e in told] == ["answer"]
    assert "0.001 .. 0.3 log" in told[0].because
    assert Plan.from_mapping(plan.to_mapping()) == plan


def test_setting_what_is_already_so_is_no_edit() -> None:
    plan = journals.plan()
    assert with_parameter(plan, "learning_rate", plan.space.parameters["learning_rate"]) is plan


def test_a_hyperparameter_that_is_not_searched_is_refused() -> None:
    with pytest.raises(InputError, match="searches no depth"):
        with_parameter(journals.plan(), "depth", Int(1, 9))


@given(st.lists(st.floats(-1e3, 1e3), min_size=8, max_size=9), st.booleans())
def test_the_promise_is_the_expected_best_of_half_by_counting_every_half(values: list[float], is_maximised: bool) -> None:
    best = max if is_maximised else min
    behind = [abs(best(half) - best(values)) for half in combinations(values, len(values) // 2)]
    found = promise(values, is_maximised=is_maximised)
    assert found is not None
    # rounding of sums of at most 126 terms of size 2e3
    assert found.gain == pytest.approx(statistics.fmean(behind), abs=1e-6)
    assert found.error == pytest.approx(statistics.pstdev(behind), abs=1e-3)


def test_nothing_is_promised_of_a_handful_of_trials() -> None:
    assert promise([1.0] * 7, is_maximised=False) is None
    found = promise([1.0] * 8, is_maximised=False)
    assert found is not None
    assert found.gain == 0


def test_the_forecast_of_a_run_is_a_band_that_never_passes_the_budget() -> None:
    state = fold_all(journals.running())
    ahead = outlook(state, elapsed=376.0)
    assert ahead is not None
    assert 38 < ahead.trials_low < ahead.trials_high
    assert ahead.seconds_high <= 1200 - 376
    late = outlook(state, elapsed=1199.0)
    assert late is not None
    assert late.seconds_high <= 1
    assert late.trials_low >= 38, "finished trials stay"
    assert outlook(fold_all(journals.tiny()), elapsed=5.0) is None
    assert outlook(fold_all(journals.finished()), elapsed=1200.0) is None
