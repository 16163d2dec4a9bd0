"""Why, why not, what if: text from the evidence that a plan carries."""

from __future__ import annotations

import pytest

from advisor.core.errors import InputError
from advisor.core.explain import what_if, why, why_not
from advisor.core.facts import Measured
from advisor.core.plan import Strategy
from advisor.core.recommend import recommend
from advisor.rulebook.situations import varied
from tests.fakes import facts as situations
from tests.fakes.rulebooks import shipped


def test_why_names_rule_facts_source_and_flips() -> None:
    text = why(recommend(situations.laptop_mixed_table(budget_seconds=60.0), shipped()), "strategy")
    for part in ("strategy = ", "rule ", "fact    search.trials", "source  ", "would be ", "answers.budget_seconds were"):
        assert part in text


def test_why_of_a_prefix_tells_everything_below_it() -> None:
    text = why(recommend(situations.laptop_small_table(), shipped()), "validation")
    assert "validation.folds" in text
    assert "validation.heldout_ratio" in text


def test_why_of_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"Did you mean 'validation.folds'"):
        why(recommend(situations.laptop_small_table(), shipped()), "validation.fold")


@pytest.mark.parametrize("strategy", list(Strategy))
def test_why_not_speaks_of_every_strategy(strategy: Strategy) -> None:
    plan = recommend(situations.laptop_mixed_table(), shipped())
    text = why_not(plan, strategy)
    assert text.startswith(f"{strategy} was {'chosen' if strategy is plan.strategy else 'not chosen'}")


def test_what_if_reads_durations_and_tells_what_changes() -> None:
    diff = what_if(situations.laptop_mixed_table(budget_seconds=60.0), shipped(), {"budget_seconds": "2 h", "answers.goal": "quick"})
    told = {d.field: d for d in diff.differences}
    assert (told["strategy"].now, told["strategy"].then) == ("gp", "random")
    assert told["budget.seconds"].then == "7200"
    assert diff.lines[0].startswith("- gp")


def test_what_if_nothing_changes_says_so() -> None:
    diff = what_if(situations.laptop_mixed_table(), shipped(), {"answers.budget_seconds": "10 min"})
    assert diff.lines[-1] == "nothing changes"


def test_what_if_of_a_plan_that_cannot_be_says_why() -> None:
    diff = what_if(situations.laptop_mixed_table(), shipped(), {"data.rows": 5})
    assert "no legal validation" in diff.headline_then


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers.budget_second": "2 h"}, "answers.budget_seconds"),
        ({"search.trials": 5}, "is computed and cannot be set"),
        ({"answers.budget_seconds": "soon"}, "expected a number of seconds"),
        ({"answers.budget_seconds": "-5"}, "greater than 0"),
        ({"answers.goal": "bst"}, "Did you mean 'best'"),
    ],
)
def test_what_if_refuses_what_cannot_be_changed(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        what_if(situations.laptop_mixed_table(), shipped(), change)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("budget", "answers.budget_seconds"),
        ("gaol", "answers.goal"),
        ("row", "data.rows"),
        ("cpu_cuont", "hardware.cpu_count"),
        ("fit_seconds", "family.fit_seconds"),
    ],
)
def test_a_name_that_is_no_fact_is_answered_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(InputError) as caught:
        what_if(situations.laptop_mixed_table(), shipped(), {name: "1"})
    assert f"'{meant}'" in caught.value.cure


def test_a_hyperparameter_of_ones_own_is_told_from_a_fact() -> None:
    own = next(
        f for f in (varied(seed, shipped()) for seed in range(100)) if f.objective is not None and "x0" in f.objective.space.parameters
    )
    with pytest.raises(InputError) as caught:
        what_if(own, shipped(), {"x0": "1"})
    assert "--freeze x0=VALUE" in caught.value.cure


def test_what_if_the_pilot_measured_another_fit_time() -> None:
    facts = situations.laptop_mixed_table(budget_seconds=60.0)
    now = recommend(facts, shipped(), flips=False)
    diff = what_if(facts, shipped(), {"family.fit_seconds": "50 s"})
    measured = facts.model_copy(update={"measured": (Measured(family=now.family, fit_seconds=50.0),)})
    assert diff.headline_then.startswith(str(recommend(measured, shipped(), flips=False).strategy))


def test_an_own_objective_is_not_called_own_1() -> None:
    own = next(f for f in (varied(seed, shipped()) for seed in range(100)) if f.objective is not None)
    assert "own 1" not in what_if(own, shipped(), {"budget_seconds": "2 h"}).headline_now


def test_why_tells_where_a_fact_was_measured_and_how_wrong_a_fit_time_may_be() -> None:
    text = why(recommend(situations.laptop_mixed_table(budget_seconds=60.0), shipped()), "strategy")
    assert "computed from" in text
    assert "Holds unless the measured fit time is wrong by more than" in text


def test_a_field_without_a_near_flip_is_told_what_it_would_take() -> None:
    facts = situations.large_regression(budget_seconds=3600.0)
    plan = recommend(facts, shipped())
    entry = next(e for e in plan.evidence if e.field == "validation.scheme")
    assert not entry.flips
    assert why(plan, entry.field, facts, shipped()).count("\n") > why(plan, entry.field).count("\n")
