"""Why, why not, what if: text from the evidence that a plan carries."""

from __future__ import annotations

import pytest

from advisor.core.errors import InputError
from advisor.core.explain import what_if, why, why_not
from advisor.core.plan import Strategy
from advisor.core.recommend import recommend
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
