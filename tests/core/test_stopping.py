"""When a search is settled."""

from __future__ import annotations

from advisor.core.stopping import Scored, settled


def flat(value: float, spread: float = 0.1) -> Scored:
    return Scored(value, (value - spread, value, value + spread))


def test_twenty_trials_without_a_gain_settle_a_small_space() -> None:
    assert settled([flat(1.0), *[flat(2.0)] * 19], 2) is None
    assert settled([flat(1.0), *[flat(2.0)] * 20], 2) == "the last 20 trials brought no gain"


def test_more_dimensions_need_more_patience() -> None:
    trials = [flat(1.0), *[flat(2.0)] * 30]
    assert settled(trials, 7) is None
    assert settled(trials, 6) is not None


def test_a_gain_beyond_its_noise_goes_on_and_one_within_does_not() -> None:
    clear = Scored(0.9, (0.8, 0.9, 1.0))  # 0.1 better on every split
    assert settled([flat(1.0), *[flat(2.0)] * 19, clear], 2) is None
    noisy = Scored(0.9, (1.4, 0.2, 1.1))
    assert "within the noise" in (settled([flat(1.0), *[flat(2.0)] * 19, noisy], 2) or "")


def test_pruned_trials_count_as_trials_without_a_gain() -> None:
    assert settled([flat(1.0), *[Scored(None)] * 20], 2) is not None


def test_one_score_a_trial_says_nothing_of_noise() -> None:
    assert settled([Scored(1.0), *[Scored(2.0)] * 50], 2) is None
