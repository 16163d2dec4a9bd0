"""The learning-rate range test: it finds where the loss falls, leaves no trace, and gives a soft window."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from advisor.core.space import Float
from advisor.objectives.network import TabularNetwork, Training
from advisor.objectives.range_test import HIGHEST, LOWEST, STEPS, range_test, rate_at, suggest, window

RATES = tuple(rate_at(i) for i in range(STEPS))


def _training(**settings: object) -> Training:
    draws = np.random.default_rng(0)
    X = draws.normal(size=(400, 6))
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(np.int64)
    estimator = TabularNetwork(batch_size=32, width=32, layers=1, **settings)  # type: ignore[arg-type]
    return Training(estimator.get_params(), X, y, None, classes=2)


def test_rates_go_evenly_on_a_logarithmic_scale() -> None:
    assert (RATES[0], RATES[-1]) == pytest.approx((LOWEST, HIGHEST))
    assert {round(b / a, 9) for a, b in pairwise(RATES)} == {round(10 ** (8 / 99), 9)}


def test_the_rate_of_the_steepest_descent_is_suggested() -> None:
    losses = [2 - 1 / (1 + np.exp(-(i - 60) / 3)) for i in range(STEPS)]  # a logistic step falls most in its middle
    assert suggest(RATES, losses) == RATES[60]


def test_the_first_ten_and_the_last_steps_are_not_looked_at() -> None:
    losses = [10.0 - i if i < 8 else 2 - 0.001 * i for i in range(STEPS)]
    losses[-1] = -100.0
    assert suggest(RATES, losses) in RATES[11:-2]


def test_nothing_is_suggested_where_the_loss_never_falls_or_too_few_steps_were_taken() -> None:
    assert suggest(RATES, [1 + 0.01 * i for i in range(STEPS)]) is None
    assert suggest(RATES[:13], [1 - 0.01 * i for i in range(13)]) is None


def test_a_network_is_as_it_was_and_trains_on_to_the_bit() -> None:
    tested, untouched = _training(), _training()
    for training in (tested, untouched):
        training.run_epoch()
    found = range_test(tested)
    assert found.suggestion is not None
    assert 1e-4 < found.suggestion < 1
    for training in (tested, untouched):
        training.run_epoch()
    assert tested.epoch == untouched.epoch == 2
    both = zip(tested.network.state_dict().values(), untouched.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in both)


def test_it_is_the_same_twice_and_leaves_the_generators_outside_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = range_test(_training()), range_test(_training())
    assert first == second
    assert torch.equal(before, torch.get_rng_state())


def test_it_ends_where_the_loss_has_left() -> None:
    training = _training(normalisation="none", activation="relu")
    training.settings["lr"] = 1.0
    steps = [0]

    def step(rows: torch.Tensor, rate: float) -> torch.Tensor:
        steps[0] += 1
        return torch.tensor(1.0 if steps[0] < 40 else float("nan"))

    training.step = step  # type: ignore[method-assign]
    found = range_test(training)
    assert found.diverged_at == pytest.approx(rate_at(39))
    assert len(found.losses) == 39


def test_the_window_is_soft_within_the_range_and_holds_the_default_and_the_best() -> None:
    rate = Float(1e-4, 3e-2, log=True, default=1e-3, hard=False)
    assert (window(rate, 1e-3).low, window(rate, 1e-3).high) == pytest.approx((1e-4, 1e-2))
    assert (window(rate, 0.05).low, window(rate, 0.05).high) == pytest.approx((1e-3, 3e-2))  # the default stays inside
    assert window(rate, 0.05, holds=[2e-4]).low == pytest.approx(2e-4)
    assert not window(rate, 1e-3).hard
    assert window(rate, 10.0) == rate  # nothing of the range is left
