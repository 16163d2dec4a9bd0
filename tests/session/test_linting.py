"""Findings in a user's own space are advice in the plan, and change nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from advisor.core.facts import Facts
from advisor.core.objective import Fidelity, OwnObjective
from advisor.core.plan import Plan
from advisor.core.recommend import recommend
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.objectives.estimator_checks import is_unscaled, refused_values
from advisor.session.linting import lint_space
from advisor.session.planning import save_plan
from tests.fakes.facts import facts as facts_of
from tests.fakes.rulebooks import shipped

SPACE = SearchSpace(
    parameters={"lr": Float(1e-5, 0.1), "dropout": Float(0.0, 1.0), "epochs": Int(5, 50), "optimizer": Choice(["sgd", "adam"])}
)


def situation(space: SearchSpace = SPACE, own: dict[str, Any] | None = None, **answers: Any) -> Facts:
    given = {"name": "train", "space": space, "fidelity": Fidelity("epoch", 1, 50), **(own or {})}
    base = facts_of(**answers)
    return base.model_copy(update={"objective": OwnObjective(**given)})


def advised(facts: Facts) -> Plan:
    return recommend(facts, shipped(), flips=False)


def test_the_plan_of_an_own_objective_carries_the_findings_as_advice_and_leaves_the_space_as_it_is() -> None:
    plan = advised(situation())
    tips = {a.rule: a for a in plan.advice}
    assert {"dropout-of-everything", "fidelity-tuned"} <= tips.keys()
    assert "dropout reaches 1" in tips["dropout-of-everything"].text
    assert tips["dropout-of-everything"].source
    for name, parameter in SPACE.items():
        drawn = plan.space.parameters[name]
        assert [getattr(drawn, end, None) for end in ("low", "high")] == [getattr(parameter, end, None) for end in ("low", "high")]


def test_what_the_plan_draws_on_a_logarithmic_scale_by_itself_is_no_finding() -> None:
    plan = advised(situation())
    assert plan.space.parameters["lr"].log  # type: ignore[union-attr]
    assert "linear-over-decades" not in {a.rule for a in plan.advice}


def test_what_is_frozen_raises_nothing() -> None:
    plan = advised(situation(freeze={"dropout": 0.1, "epochs": 20}))
    assert not {"dropout-of-everything", "fidelity-tuned", "one-value"} & {a.rule for a in plan.advice}


def test_the_budget_is_only_held_against_a_space_once_it_is_known() -> None:
    assert "more-dimensions-than-the-budget-pays-for" not in {a.rule for a in advised(situation()).advice}
    plan = advised(situation(trials=12))
    text = next(a.text for a in plan.advice if a.rule == "more-dimensions-than-the-budget-pays-for")
    assert "4 hyperparameters are tuned with 12 trials, which pay for 1" in text
    assert "lr" not in text.rpartition(":")[2]  # the rate is held last


def test_an_estimator_given_unscaled_features_is_told_of() -> None:
    space = SearchSpace(parameters={"C": Float(0.01, 100.0, log=True)})
    told = {a.rule for a in advised(situation(space, {"fidelity": None, "kind": "estimator", "is_unscaled": True})).advice}
    assert "features-not-scaled" in told
    told = {a.rule for a in advised(situation(space, {"fidelity": None, "kind": "estimator", "is_unscaled": False})).advice}
    assert "features-not-scaled" not in told


def test_a_plan_file_is_linted_with_its_own_trials_and_steps(tmp_path: Path) -> None:
    facts = situation()
    save_plan(advised(facts), tmp_path / "plan.toml", facts=facts)
    looked = lint_space(str(tmp_path / "plan.toml"), shipped())
    assert {"fidelity-tuned", "dropout-of-everything", "linear-over-decades"} <= {f.id for f in looked.findings}
    assert looked.text is None  # a plan is never changed in place


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (SVC(), True),
        (RandomForestClassifier(), False),
        (make_pipeline(StandardScaler(), SVC()), False),
        (make_pipeline(PCA(), SVC()), True),
        (make_pipeline(ColumnTransformer([]), SVC()), None),
    ],
)
def test_whether_features_are_scaled_is_told_or_left_open(estimator: Any, expected: bool | None) -> None:
    assert is_unscaled(estimator, shipped().families.values()) is expected


def test_a_scaler_that_is_searched_leaves_it_open() -> None:
    estimator = make_pipeline(PCA(), SVC())
    assert is_unscaled(estimator, shipped().families.values(), SearchSpace(parameters={"pca": Choice(["a", "b"])})) is None


def test_scikit_learns_own_limits_are_asked_at_every_bound_and_choice() -> None:
    space = SearchSpace(parameters={"svc__C": Float(0.0, 1.0), "svc__kernel": Choice(["rbf", "cubic"]), "svc__gamma": Float(0.0, 1.0)})
    refused = refused_values(make_pipeline(StandardScaler(), SVC()), space)
    assert set(refused) == {"svc__C", "svc__kernel"}
    assert "'cubic'" in refused["svc__kernel"]
