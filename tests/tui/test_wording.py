"""The words, numbers and curves that the screens write."""

from __future__ import annotations

import doctest
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from advisor.core.events import fold_all
from advisor.core.outcome import Gain, Outcome
from advisor.report import answering, wording
from advisor.report import ascii as ascii_module
from advisor.report.answering import read_answer
from advisor.report.wording import number, parse_duration, shown
from advisor.tui import frame
from advisor.tui.facts_text import headline
from advisor.tui.frame import fit
from advisor.tui.paths import free_path
from advisor.tui.plan_rows import range_of
from advisor.tui.plot import Curve, draw, value_range
from advisor.tui.result_text import verdict
from advisor.tui.run_text import splits_of
from advisor.tui.screens import start
from tests.fakes import journals
from tests.tui.walk import outcome


@pytest.mark.parametrize("module", [wording, answering, ascii_module, frame, start], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted
    assert result.failed == 0


@given(st.text())
def test_no_foreign_text_reaches_the_terminal_with_a_control_character(text: str) -> None:
    assert all(character.isprintable() or character == "\u3000" or character.isspace() for character in shown(text))
    assert "\x1b" not in shown(text, lines=True)
    assert "\u202e" not in shown(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S"])), st.integers(1, 40))
def test_a_fitted_text_has_exactly_its_width(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width


@given(st.floats(1e-4, 1e6))
def test_numbers_keep_four_digits(value: float) -> None:
    # half a unit of the fourth digit, relative to the smallest number with that first digit
    assert math.isclose(float(number(value)), value, rel_tol=5.1e-4)


@pytest.mark.parametrize("text", ["", "soon", "10x", "-5m", "1h 30", "0s", "10 m m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write it|longer"):
        parse_duration(text)


def test_answers_are_read_as_their_kind_wants_them() -> None:
    assert read_answer("duration", "1h30m") == 5400
    assert read_answer("number", " 7 ") == 7
    assert read_answer("text", "") is None
    with pytest.raises(ValueError, match="whole number"):
        read_answer("number", "seven")


def test_the_headline_names_strategy_pruner_trials_and_time() -> None:
    assert headline(journals.plan()) == "tpe + median pruner, ~95 trials, done in 16–20 min"


def verdict_with(**changed: object) -> str:
    """The sentence on a finished run with some values exchanged."""
    whole: Outcome = outcome(journals.finished(), "runs/one")
    return verdict(whole.model_copy(update=changed))[0]


def test_a_gain_is_claimed_only_when_its_interval_lies_above_zero() -> None:
    assert verdict_with() == (
        "✓ Tuned hist_gradient_boosting beats the default on unseen rows: log loss 0.3134 vs 0.3402, gain 0.0268 [0.0121, 0.0403]."
    )
    unsettled = verdict_with(gain=Gain(value=0.003, low=-0.01, high=0.02, probability=0.6))
    assert "cannot settle" in unsettled
    assert "beats" not in unsettled
    worse = verdict_with(gain=Gain(value=-0.03, low=-0.04, high=-0.01, probability=0.0))
    assert "worse than the default" in worse


def test_a_default_that_is_shipped_is_said_to_be_one() -> None:
    sentence, _ = verdict(outcome(journals.finished(shipped="default"), "runs/one"))
    assert sentence.startswith("= No evidence of gain: the default hist_gradient_boosting is shipped.")


def test_a_run_without_a_model_says_so() -> None:
    assert "there is no model" in verdict_with(status="nothing_finished", shipped=None, gain=None, best_value=None)
    assert "no score on unseen rows" in verdict_with(status="stopped", shipped=None, gain=None)


def test_a_plot_fills_its_place_and_marks_default_and_best() -> None:
    curve = Curve(points=((0, 1.0), (1, 0.5), (2, 0.7)), steps=((0, 1.0), (1, 0.5)), level=1.0, last=2)
    lines = draw(curve, 40, 9, axis=9, x_label="trial").plain.split("\n")
    assert len(lines) == 9
    assert all(cell_len(line) == 40 for line in lines)
    assert "trial 0" in lines[-1]


def test_a_wild_score_does_not_squeeze_the_plot() -> None:
    points = (*((float(i), 0.3 + i / 1000) for i in range(50)), (50.0, 1e9))
    low, high = value_range(Curve(points=points))
    assert 0.29 < low < high < 0.4


def test_equal_scores_still_have_a_scale() -> None:
    low, high = value_range(Curve(points=((0.0, 0.5), (1.0, 0.5))))
    assert low < 0.5 < high


def test_an_export_never_writes_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text("mine")
    assert free_path(tmp_path, "plan", ".toml").name == "plan-2.toml"


def test_bounds_are_written_short() -> None:
    assert range_of(journals.plan().space.parameters["learning_rate"]) == "0.001 … 0.3"


def test_many_wild_scores_leave_the_way_from_the_default_to_the_best_in_sight() -> None:
    wild = tuple((float(i), 0.5 + i) for i in range(30))
    low, high = value_range(Curve(points=wild, steps=((0.0, 0.34), (9.0, 0.31)), level=0.34))
    assert high - low < 0.1


def test_the_best_of_an_own_objective_is_said_beside_its_default_without_a_claim() -> None:
    whole = outcome(journals.finished(), "runs/one")
    own = whole.plan.model_copy(update={"task": None, "target": ""})
    sentence = verdict_with(plan=own, shipped=None, gain=None, metric="value", best_value=0.3125)
    assert sentence == "= The best value is 0.3125, the default's 0.3391. Your own objective says so: nothing is held out beside it."


def test_steps_of_an_own_objective_are_not_counted_against_folds() -> None:
    state = fold_all(journals.running())
    assert splits_of(state) == 5
    assert state.plan is not None
    own = {**state.plan, "validation": {**state.plan["validation"], "scheme": "own", "folds": 1}}
    assert splits_of(replace(state, plan=own)) == 0
