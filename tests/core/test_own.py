"""The plan of an own objective: what its hyperparameters are for gives what was left open, and never more than a third of the trials."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.core.facts import Answers, Facts, Measured
from advisor.core.objective import Fidelity, OwnObjective
from advisor.core.own import FAMILY
from advisor.core.plan import Plan, Strategy
from advisor.core.recommend import recommend
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.rulebook.loading import load_rulebook, shipped_folder
from tests.fakes.facts import hardware

BOOK = load_rulebook(shipped_folder())
NETWORK: dict[str, Float | Int | Choice] = {
    "lr": Float(1e-4, 0.2, log=True),
    "momentum": Float(0.5, 0.99),
    "wd": Float(1e-6, 0.1),
    "depth_of_field": Float(0.0, 4.0),
}


def plan(space: dict[str, Float | Int | Choice], *, trials: int = 40, steps: int = 50, trial_seconds: float = 10.0, **own: Any) -> Plan:
    """The plan once a trial is known to take `trial_seconds`, in a budget of `trials` of them."""
    objective = OwnObjective(name="train", space=SearchSpace(parameters=space), fidelity=Fidelity("epoch", 1, steps), **own)
    return recommend(
        Facts(
            hardware=hardware(),
            objective=objective,
            answers=Answers(budget_seconds=trials * trial_seconds),
            measured=(Measured(family=FAMILY, fit_seconds=trial_seconds),),
        ),
        BOOK,
    )


def evidence(of: Plan, field: str) -> Any:
    return next(e for e in of.evidence if e.field == field)


def test_what_the_user_left_open_is_filled_in_by_practice_and_says_from_where() -> None:
    made = plan(NETWORK)
    assert made.starts[0] == {"lr": 0.1, "momentum": 0.9, "wd": 1e-4, "depth_of_field": 2.0}
    assert evidence(made, "roles.lr").value == "learning_rate"
    assert "He et al. 2016" in evidence(made, "space.lr.default").source
    assert evidence(made, "starts.practice_2").source


def test_a_default_of_the_users_own_stays_trial_0() -> None:
    made = plan({**NETWORK, "lr": Float(1e-4, 0.2, log=True, default=0.003)})
    assert made.starts[0]["lr"] == 0.003
    assert made.starts[1]["lr"] == 0.1


def test_bounds_stay_and_only_the_scale_of_the_draws_changes() -> None:
    made = plan(NETWORK)
    wd = made.space.parameters["wd"]
    assert isinstance(wd, Float)
    assert (wd.low, wd.high, wd.log) == (1e-6, 0.1, True)
    assert evidence(made, "space.wd.log").value is True
    assert not made.space.parameters["depth_of_field"].log


@pytest.mark.parametrize(("trials", "most"), [(4, 1), (9, 3), (12, 4), (60, 20)])
def test_starts_of_practice_take_a_third_of_the_trials_at_most(trials: int, most: int) -> None:
    assert len(plan(NETWORK, trials=trials).starts) <= most


def test_names_that_say_nothing_give_the_middle_of_the_space_and_no_starts() -> None:
    made = plan({f"x{i}": p for i, p in enumerate(NETWORK.values())})
    assert len(made.starts) == 1
    assert made.starts[0]["x1"] == pytest.approx(0.745)


def test_few_dear_trials_go_to_a_model_after_the_starts_and_none_is_pruned_below_thirty() -> None:
    few, more = plan(NETWORK, trials=8), plan(NETWORK, trials=40)
    assert few.strategy is Strategy.GP and few.pruner.name == "none"
    assert more.strategy is Strategy.GP and more.pruner.name == "earned"
    assert few.sampler["n_startup_trials"] == 4
    assert plan(NETWORK, trials=40, steps=5).pruner.name == "none"


def test_the_users_own_starts_come_before_those_of_practice() -> None:
    mine = {"lr": 0.02, "momentum": 0.8, "wd": 1e-3, "depth_of_field": 1.0}
    made = plan(NETWORK, starts=(mine,))
    assert mine in made.starts[:2]
