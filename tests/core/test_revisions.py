"""What trials say about the space they were drawn from."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.core.revisions import Seen, revisions, scaled
from advisor.core.space import Choice, Float, Int, SearchSpace


def space(**parameters: Float | Int | Choice) -> SearchSpace:
    return SearchSpace(parameters=parameters)


def drawn(at: SearchSpace, count: int, optimum: float, seed: int = 0) -> list[Seen]:
    """Trials of which the score falls towards `optimum` on the scale of `rate`, the best ones at the edge."""
    rng = random.Random(seed)
    rate = at.parameters["rate"]
    out = []
    for _ in range(count):
        share = rng.random()
        value = rate.low * (rate.high / rate.low) ** share
        out.append(Seen({"rate": value}, abs(scaled(rate, value) - optimum)))
    return out


def test_a_soft_bound_that_the_best_press_against_is_widened_by_a_decade_then_by_two() -> None:
    at = space(rate=Float(1e-3, 1e-1, log=True, hard=False))
    trials = [Seen({"rate": 1.01e-3 * (1 + i / 100)}, 0.1 + i / 100) for i in range(3)] + drawn(at, 12, -0.5, 1)
    (found,) = revisions(at, trials)
    assert (found.kind, found.name, found.parameter.low, found.parameter.high) == ("widen", "rate", pytest.approx(1e-4), 1e-1)
    assert "press against the lower bound" in found.because
    (again,) = revisions(at, trials, widened={"rate.low": 1})
    assert again.parameter.low == pytest.approx(1e-5)


def test_a_hard_bound_is_never_widened() -> None:
    at = space(rate=Float(1e-3, 1e-1, log=True))
    assert revisions(at, drawn(at, 40, -0.5)) == ()


def test_a_best_trial_at_an_edge_by_chance_is_no_finding() -> None:
    at = space(rate=Float(1e-3, 1e-1, log=True, hard=False))
    trials = drawn(at, 30, 0.5)
    assert revisions(at, [*trials, Seen({"rate": 1.001e-3}, -1.0)]) == ()


def test_a_range_above_zero_never_reaches_it() -> None:
    at = space(rate=Float(0.1, 10.0, hard=False))
    trials = [Seen({"rate": 0.1 + i / 50}, i / 10) for i in range(10)]
    (found,) = revisions(at, trials)
    assert found.parameter.low == 0.0
    whole = space(rate=Int(1, 9, hard=False))
    assert revisions(whole, [Seen({"rate": 1}, 0.0)] * 3 + [Seen({"rate": i}, float(i)) for i in range(2, 9)]) == ()


def test_a_rate_that_diverges_above_a_value_is_cut_between_what_ran_and_what_failed() -> None:
    at = space(rate=Float(1e-4, 1.0, log=True))
    trials = [Seen({"rate": r}, 1.0) for r in (1e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-3, 3e-3, 4e-3)] + [
        Seen({"rate": r}, None) for r in (0.1, 0.2, 0.9)
    ]
    (found,) = revisions(at, trials)
    assert found.kind == "cut"
    assert 1e-2 < found.parameter.high < 0.1


def test_failures_all_over_the_range_cut_nothing() -> None:
    at = space(rate=Float(1e-4, 1.0, log=True))
    trials = [Seen({"rate": 10.0**-e}, 1.0) for e in (1, 2, 3, 4)] * 3 + [Seen({"rate": 10.0**-e}, None) for e in (1.5, 2.5, 3.5, 0.5)]
    assert revisions(at, trials) == ()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-5, 5)), min_size=8, max_size=40), st.integers(0, 3))
def test_no_revision_ever_loses_a_trial_that_ran_or_moves_a_hard_bound(points: list[tuple[float, float]], times: int) -> None:
    at = space(rate=Float(1e-3, 1e-1, log=True, hard=False), fixed=Float(0.0, 1.0))
    trials = [Seen({"rate": 1e-3 * 100**share, "fixed": share}, value) for share, value in points]
    for found in revisions(at, trials, widened={"rate.low": times, "rate.high": times}):
        assert found.name == "rate"
        assert found.parameter.low <= 1e-3 and found.parameter.high >= 1e-1
