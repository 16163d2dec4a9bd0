"""Coverage of the rulebook: examples and plans together exercise every rule and every condition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.rulebook.coverage import coverage
from advisor.rulebook.situations import varied
from tests.fakes.rulebooks import shipped


def test_the_examples_show_every_condition_with_each_verdict() -> None:
    found = coverage(shipped(), ())
    assert [what for what in found.lacking if what.endswith("in an example")] == []


def test_what_is_never_exercised_is_named() -> None:
    found = coverage(shipped(), (varied(seed, shipped()) for seed in range(20)))
    assert found.plans > 10
    assert found.lacking
    assert 0.5 < found.ratio < 1


def test_a_rule_without_an_example_that_is_unknown_is_not_covered() -> None:
    rule = next(r for r in shipped().tips if len(r.when) == 1)
    lax = replace(rule, examples=tuple(e for e in rule.examples if e.verdict != "unknown"))
    found = coverage(replace(shipped(), tips=(lax,)), ())
    assert any(what.startswith(f"{rule.id}: ") and what.endswith("unknown in an example") for what in found.lacking)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_plans_for_random_facts_exercise_every_rule_and_every_condition() -> None:
    found = coverage(shipped(), (varied(seed, shipped()) for seed in range(6000)))
    assert found.lacking == ()


def test_the_same_seed_draws_the_same_facts() -> None:
    assert all(varied(seed, shipped()) == varied(seed, shipped()) for seed in range(10))
