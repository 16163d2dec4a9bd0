"""The user's own configuration in the default's place: checked, completed, first of its family, and only there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from advisor.core.baseline import based, baseline_of, with_baseline
from advisor.core.errors import AdvisorError, InputError
from advisor.core.facts import Answers, Facts
from advisor.core.objective import OwnObjective
from advisor.core.plan import Candidate, Plan
from advisor.core.recommend import recommend
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.session.gathering import read_answers
from advisor.session.planning import rulebook
from tests.fakes import facts as named

SPACE = SearchSpace(
    parameters={
        "optimizer": Choice(["sgd", "adamw"], default="adamw"),
        "lr": Float(1e-4, 1e-1, log=True, default=1e-2),
        "layers": Int(1, 4, default=2, hard=False),
        "momentum": Float(0.5, 0.99, default=0.9, when={"optimizer": ("sgd",)}),
    }
)


def planned(**answers: Any) -> Plan:
    """The plan for a small table on a laptop."""
    facts = Facts(hardware=named.hardware(), data=named.table(), answers=read_answers(budget_seconds=120.0, **answers))
    return recommend(facts, rulebook())


def test_it_is_trial_0_and_the_librarys_default_is_tried_as_well() -> None:
    usual = planned(model="hist_gradient_boosting")
    plan = planned(model="hist_gradient_boosting", baseline={"learning_rate": 0.07, "max_leaf_nodes": 20})
    assert plan.starts[0] == {**usual.starts[0], "learning_rate": 0.07, "max_leaf_nodes": 20}
    assert usual.starts[0] in plan.starts[1:]
    assert not any(plan.space.faults(s) for s in plan.starts)


def test_its_values_are_told_as_yours() -> None:
    plan = planned(model="hist_gradient_boosting", baseline={"learning_rate": 0.07})
    (told,) = [e for e in plan.evidence if e.field == "space.learning_rate.default"]
    assert (told.rule, told.value) == ("answer", 0.07)
    assert "--baseline" in told.because


def test_its_family_is_raced_first_whatever_the_rules_would_race() -> None:
    usual = planned()
    last = next(n for n in ("knn", "mlp", "gradient_boosting") if n not in {c.family for c in usual.shortlist})
    name, parameter = next((n, p) for n, p in rulebook().families[last].space.items() if isinstance(p, Int | Float))
    plan = planned(baseline={"family": last, name: parameter.default})
    assert plan.shortlist[0].family == plan.family == last
    assert {c.family for c in usual.shortlist} <= {c.family for c in plan.shortlist}


def test_what_is_not_searched_is_held_for_every_trial() -> None:
    family = rulebook().families["hist_gradient_boosting"]
    name = next(n for n, v in family.fixed.items() if isinstance(v, int) and not isinstance(v, bool))
    plan = planned(model="hist_gradient_boosting", baseline={name: 77})
    assert plan.candidate.fixed[name] == 77 and name not in plan.starts[0]


def test_another_family_is_left_as_it_is() -> None:
    answers = Answers(baseline={"family": "svc", "C": 3.0})
    assert baseline_of(answers, "svc") == {"C": 3.0}
    assert baseline_of(answers, "ridge") == {}
    assert (
        planned(baseline={"family": "svc", "C": 3.0}).shortlist[1].starts[0]
        == planned(model=planned(baseline={"family": "svc", "C": 3.0}).shortlist[1].family).starts[0]
    )


def test_a_soft_bound_gives_way_and_a_hard_one_does_not() -> None:
    assert based(SPACE, {"layers": 6}).parameters["layers"].model_dump()["high"] == 6
    with pytest.raises(InputError, match="lr is 3, which lies outside its space"):
        based(SPACE, {"lr": 3})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"learning": 0.1}, "no hyperparameter 'learning'"),
        ({"optimizer": "adam"}, "none of its choices"),
        ({"lr": "fast"}, "outside its space"),
        ({"lr": math.nan}, "outside its space"),
        ({"layers": 2.5}, "outside its space"),
        ({"layers": True}, "outside its space"),
        ({"momentum": 0.8}, "momentum counts only when optimizer is sgd"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(config: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        based(SPACE, config)
    assert said in caught.value.what and caught.value.cure


def test_a_condition_that_it_fulfils_itself_holds() -> None:
    candidate = Candidate(family="x", space=SPACE, starts=(SPACE.default(),), fit_seconds=1.0)
    found = with_baseline(candidate, {"optimizer": "sgd", "momentum": 0.8})
    assert found.starts[0] == {"optimizer": "sgd", "lr": 0.01, "layers": 2, "momentum": 0.8}
    assert with_baseline(candidate, {}) is candidate


def test_an_objective_of_ones_own_begins_with_it() -> None:
    own = OwnObjective(name="train:objective", space=SPACE)
    answers = Answers(model="train:objective", baseline={"lr": 0.02}, budget_seconds=60)
    plan = recommend(Facts(hardware=named.hardware(), objective=own, answers=answers), rulebook())
    assert plan.starts[0] == {**SPACE.default(), "lr": 0.02}
    wrong = answers.model_copy(update={"baseline": {"rate": 0.02}})
    with pytest.raises(InputError, match="no hyperparameter 'rate'"):
        recommend(Facts(hardware=named.hardware(), objective=own, answers=wrong), rulebook())


def test_a_file_is_read_and_its_faults_are_told(tmp_path: Path) -> None:
    path = tmp_path / "production.toml"
    path.write_text('family = "svc"\nC = 3.0\nmax_depth = { none = true }\n')
    assert read_answers(baseline=path).baseline == {"family": "svc", "C": 3.0, "max_depth": None}
    for text in ("", "C = ", "\x00"):
        path.write_text(text)
        with pytest.raises(AdvisorError):
            read_answers(baseline=str(path))
    with pytest.raises(InputError, match="does not say which model"):
        read_answers(baseline={"C": 3.0})
    with pytest.raises(InputError, match="the baseline is a svc, and --model asks for ridge"):
        read_answers(model="ridge", baseline={"family": "svc"})
    assert read_answers(model="svc", baseline={"C": 3.0}).baseline == {"family": "svc", "C": 3.0}
