"""Which boosted trees are raced, by what is installed and how much time there is."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.core.deliberation import boosted
from advisor.core.errors import CannotRunError
from advisor.core.explain import what_if
from advisor.core.plan import Plan
from advisor.core.recommend import recommend
from advisor.rulebook.loading import load_rulebook
from tests.fakes.facts import facts, table

BOOK = load_rulebook()
ALL = ("lightgbm", "xgboost", "catboost")


def plan_with(*libraries: str, rows: int = 3000, **answers: Any) -> Plan:
    given = facts(data=table(rows=rows), **{"budget_seconds": 600.0, **answers})
    return recommend(given.model_copy(update={"libraries": libraries}), BOOK, flips=False)


def raced(plan: Plan) -> list[str]:
    return [c.family for c in plan.shortlist]


def test_without_the_libraries_the_boosted_trees_that_everybody_has_are_raced() -> None:
    assert raced(plan_with())[0] == "hist_gradient_boosting"
    assert not set(raced(plan_with())) & set(ALL)


@pytest.mark.parametrize(
    ("libraries", "first"),
    [(ALL, "lightgbm"), (("xgboost",), "xgboost"), (("lightgbm",), "lightgbm"), (("catboost",), "hist_gradient_boosting")],
)
def test_an_installed_library_takes_their_place(libraries: tuple[str, ...], first: str) -> None:
    plan = plan_with(*libraries)
    assert raced(plan)[0] == first
    assert ("hist_gradient_boosting" in raced(plan)) is (first == "hist_gradient_boosting")
    (why,) = [e for e in plan.evidence if e.field == "family"]
    assert (why.rule in ("lightgbm-where-it-is-installed", "xgboost-where-it-is-the-one-installed")) is (first in ("lightgbm", "xgboost"))


def test_below_a_minute_the_narrower_space_is_kept() -> None:
    assert raced(plan_with(*ALL, budget_seconds=59.0))[0] == "hist_gradient_boosting"


def test_catboost_is_raced_beside_them_only_when_time_is_plenty() -> None:
    assert "catboost" not in raced(plan_with(*ALL, budget_seconds=600.0))
    assert raced(plan_with(*ALL, budget_seconds=3600.0))[:2] == ["lightgbm", "catboost"]
    assert raced(plan_with("catboost", budget_seconds=3600.0))[:2] == ["hist_gradient_boosting", "catboost"]


@pytest.mark.parametrize("library", ALL)
def test_a_library_that_is_not_installed_is_refused_with_the_command_that_installs_it(library: str) -> None:
    with pytest.raises(CannotRunError, match="is not installed") as refused:
        plan_with(model=library)
    assert "pip install 'tuning-advisor[boost]'" in refused.value.cure
    assert plan_with(library, model=library).family == library


def test_what_a_library_would_change_can_be_asked() -> None:
    given = facts(data=table(rows=3000), budget_seconds=600.0)
    changed = what_if(given, BOOK, {"library.lightgbm.is_installed": "true"})
    (family,) = [d for d in changed.differences if d.field == "family"]
    assert (family.now, family.then) == ("hist_gradient_boosting", "lightgbm")


def test_few_trials_hold_what_is_of_low_rank() -> None:
    short, long = (plan_with("lightgbm", model="lightgbm", budget_seconds=s).space.free for s in (60.0, 36_000.0))
    assert set(short) < set(long)
    assert {"learning_rate", "num_leaves", "min_data_in_leaf", "feature_fraction"} <= set(short)
    assert "cat_l2" not in long, "there is no category"


def test_families_take_the_place_of_the_boosted_trees_and_of_no_other() -> None:
    assert boosted(["svc", "hist_gradient_boosting", "ridge"], "lightgbm", "catboost") == ["svc", "lightgbm", "catboost", "ridge"]
    assert boosted(["svc", "hist_gradient_boosting"]) == ["svc", "hist_gradient_boosting"]
    assert boosted(["svc", "ridge"], "lightgbm") == ["svc", "ridge"]
