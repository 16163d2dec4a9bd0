"""Pruning is trusted where full curves say so, and only there: built curves that cross, are noise, or are well ordered."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from advisor.core.earning import FEWEST, Curve, Judgement, forecast, is_hopeless, judge, rungs

HIGH = 48
LADDER = rungs(1, HIGH)


def built(value: Callable[[float, int], float], *, count: int = 16, seed: int = 0) -> list[Curve]:
    """Curves of `count` trials of quality 0 (best) to 1, in random order."""
    steps = tuple(range(1, HIGH + 1))
    qualities = [i / (count - 1) for i in range(count)]
    random.Random(seed).shuffle(qualities)
    return [Curve(steps, values := tuple(value(q, s) for s in steps), values[-1]) for q in qualities]


def ordered(quality: float, step: int) -> float:
    return quality + 2 / step


def crossing(quality: float, step: int) -> float:
    """What is best in the end is worst until shortly before it."""
    return quality if step > 0.9 * HIGH else 1 - quality


def test_rungs_are_shares_of_the_full_length() -> None:
    assert rungs(1, 52) == (1, 3, 6, 13, 26)
    assert rungs(5, 52) == (6, 13, 26)
    assert rungs(1, 1) == ()


def test_well_ordered_curves_earn_a_rule_that_saves_time_and_kills_none_of_the_best() -> None:
    found = judge(built(ordered), LADDER, HIGH)
    assert found.rule is not None
    assert found.lost == 0
    assert found.saved_ratio > 0.3
    assert "would have saved" in found.because


def test_crossing_curves_switch_pruning_off() -> None:
    found = judge(built(crossing), LADDER, HIGH)
    assert found.rule is None
    assert "cross" in found.because
    assert not is_hopeless(found, built(crossing), LADDER[0], math.inf)


def test_curves_of_pure_noise_earn_nothing_in_nearly_all_draws() -> None:
    def trusted(seed: int) -> bool:
        draw = random.Random(seed)
        steps = tuple(range(1, HIGH + 1))
        curves = [Curve(steps, tuple(draw.random() for _ in steps), draw.random()) for _ in range(FEWEST)]
        return judge(curves, LADDER, HIGH).rule is not None

    # The last rung passes the test of its rank at 5 %; a rule must then spare the best too. 200 draws: mean 10 at the very most,
    # and 22 is four standard deviations of a binomial above it.
    assert sum(trusted(seed) for seed in range(200)) <= 22


def test_a_noisy_start_raises_the_first_rung() -> None:
    draw = random.Random(1)
    curves = built(lambda q, s: draw.random() if s <= 6 else q + draw.gauss(0, 0.01))
    found = judge(curves, LADDER, HIGH)
    assert found.rule is not None
    assert found.rungs[0] > 6


def test_nothing_is_judged_before_twelve_trials_have_run_in_full() -> None:
    assert judge(built(ordered, count=FEWEST - 1), LADDER, HIGH).rule is None
    assert judge(built(ordered, count=FEWEST), LADDER, HIGH).rule is not None


def test_one_slow_starter_that_ends_best_takes_the_trust_away_from_the_rungs_before_it_turned() -> None:
    curves = built(ordered)
    steps = curves[0].steps
    late = Curve(steps, tuple(3.0 + 2 / s if s <= 30 else -1.0 for s in steps), -1.0)
    assert judge(curves, LADDER, HIGH).rule is not None
    assert judge([*curves, late], LADDER, HIGH).rule is None


def test_the_rule_stops_the_bad_and_spares_the_good() -> None:
    curves = built(ordered)
    found = judge(curves, LADDER, HIGH)
    first = found.rungs[0]
    assert is_hopeless(found, curves, first, ordered(0.95, first))
    assert not is_hopeless(found, curves, first, ordered(0.0, first))
    assert not is_hopeless(found, curves, first + 1, ordered(0.95, first + 1))  # between rungs nobody is asked


@pytest.mark.parametrize("rule", ["median", "third", "envelope"])
def test_every_rule_can_kill_and_can_spare(rule: str) -> None:
    curves = built(ordered)
    trusted = Judgement(rule, (6,))  # type: ignore[arg-type]
    assert is_hopeless(trusted, curves, 6, ordered(0.6, 6))
    assert not is_hopeless(trusted, curves, 6, ordered(0.01, 6))


def test_the_forecast_of_a_stopped_trial_is_what_its_like_ended_at_and_never_the_best() -> None:
    curves = built(ordered)
    bad = forecast(curves, 6, ordered(0.8, 6))
    assert bad is not None
    assert bad == pytest.approx(ordered(0.8, HIGH), abs=2 / 15)  # qualities stand 1/15 apart
    best = min(c.final for c in curves)
    assert (forecast(curves, 6, -100.0) or 0.0) >= best
    assert forecast([], 6, 1.0) is None
