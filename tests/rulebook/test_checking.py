"""The check that proves a rulebook, and that it finds what it is there to find."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from advisor.core.plan import Strategy
from advisor.core.predicates import AtLeast, Below, Is, Verdict
from advisor.core.rules import Adjustment, Bound, Rule, Rulebook
from advisor.rulebook.checking import Check, check
from advisor.rulebook.regions import holdings, leaves
from advisor.rulebook.shaping import check_family
from tests.fakes.rulebooks import shipped


@cache
def whole() -> Check:
    return check(shipped())


@cache
def short() -> Rulebook:
    """The shipped fields under a list of three strategies and no family: quick to check."""
    return replace(shipped(), strategy_rules=shipped().strategy_rules[-3:], families={}, adjustments=(), tips=())


def faults_of(**changed: Any) -> str:
    return "\n".join(check(replace(short(), **changed)).faults)


def ruled(name: str, *when: Any, **effect: Any) -> Rule:
    return Rule(id=name, place="mine.toml:1", when=when, because="So.", source="a test", **effect)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_shipped_rulebook_is_sound_over_every_cell() -> None:
    assert whole().faults == ()
    cells = {s.name: s.cells for s in whole().slots}
    assert cells["strategy list"] > 1_000_000
    assert cells["validation.folds"] > 100
    assert set(cells) >= {"family shortlists", "metric", "pruner.name", "tips", *(f"space of {f}" for f in shipped().families)}
    assert "0 gaps, 0 conflicts, 0 rules that can never win, 0 unused facts, 0 override cycles" in whole().text


def test_a_list_without_its_last_rules_has_gaps() -> None:
    assert "strategy list: no rule holds for" in faults_of(strategy_rules=shipped().strategy_rules[-3:-1][:1])


def test_a_rule_behind_the_catch_all_is_found_dead() -> None:
    dead = replace(shipped().strategy_rules[4], id="dead")
    assert "'dead' can never be reached" in faults_of(strategy_rules=(*short().strategy_rules, dead))


def test_two_rules_that_may_disagree_are_found_however_narrow_the_overlap() -> None:
    narrow = ruled("narrow", AtLeast("data.rows", 777), Below("data.rows", 778), sets={"validation.heldout_ratio": 0.3})
    other = ruled("other", AtLeast("data.rows", 777.5), sets={"validation.heldout_ratio": 0.4})
    found = faults_of(field_rules=(*short().field_rules, narrow, other))
    assert "'narrow' and 'other' both hold and disagree on validation.heldout_ratio" in found
    assert "777.5 <= data.rows < 778" in found


def test_a_rule_that_another_always_overrides_can_never_win() -> None:
    weak = ruled("weak", AtLeast("data.rows", 10), sets={"shortlist.size": 2})
    strong = ruled("strong", AtLeast("data.rows", 5), sets={"shortlist.size": 1}, overrides=("weak",))
    rest = tuple(r for r in short().field_rules if "shortlist.size" not in r.sets or not r.when)
    assert "'weak' can never win" in faults_of(field_rules=(*rest, weak, strong))


def test_a_field_that_a_plan_needs_and_no_rule_sets_is_a_gap() -> None:
    rest = tuple(r for r in short().field_rules if r.id != "log-loss-for-classes")
    assert "metric: no rule sets it" in faults_of(field_rules=rest)


def test_overrides_in_a_circle_and_beside_the_point_are_found() -> None:
    one = ruled("one", AtLeast("data.rows", 5), sets={"shortlist.size": 2}, overrides=("two",))
    two = ruled("two", AtLeast("data.rows", 5), sets={"shortlist.size": 3}, overrides=("one", "one-thread-a-trial"))
    found = faults_of(field_rules=(*short().field_rules, one, two))
    assert "'one' overrides itself by a circle" in found
    assert "'two' overrides 'one-thread-a-trial', which sets other fields" in found


def test_a_fact_that_decides_nothing_is_found() -> None:
    assert "fact data.minority_ratio decides nothing" in faults_of(
        field_rules=tuple(r for r in short().field_rules if all(p.fact != "data.minority_ratio" for p in r.when))
    )


def test_a_strategy_that_could_be_recommended_without_its_engine_is_found() -> None:
    book = shipped()
    lax = replace(book.strategies[Strategy.ASHA], requires=book.strategies[Strategy.ASHA].requires[1:])
    assert "strategy asha does not require its engine" in faults_of(strategies={**book.strategies, Strategy.ASHA: lax})


def test_a_tip_whose_conditions_exclude_each_other_is_found() -> None:
    tip = ruled("never", AtLeast("data.rows", 10), Below("data.rows", 10), advise="Nothing.")
    assert "'never' can never hold" in faults_of(tips=(tip,))


@pytest.mark.parametrize(
    ("lacking", "message"),
    [("holds", "no example in which it holds"), ("fails", "no example stops short of"), ("unknown", "no example in which only")],
)
def test_an_example_must_fire_just_miss_and_be_unknown(lacking: str, message: str) -> None:
    rule = next(r for r in shipped().tips if len(r.when) == 1)
    lax = replace(rule, examples=tuple(e for e in rule.examples if e.verdict != lacking))
    assert message in faults_of(tips=(lax,))


def test_an_example_far_from_the_threshold_does_not_just_miss_it() -> None:
    rule = next(r for r in shipped().tips if len(r.when) == 1 and isinstance(r.when[0], AtLeast | Below))
    fact = rule.when[0].fact
    far = tuple(
        replace(e, given={fact: e.given[fact] * 100}) if e.verdict is Verdict.FAILS and fact in e.given else e for e in rule.examples
    )
    far = tuple(replace(e, given={fact: e.given[fact] / 1e6}) if e.verdict is Verdict.FAILS else e for e in rule.examples)
    assert "no example just misses" in faults_of(tips=(replace(rule, examples=far),)) or isinstance(rule.when[0], Below)


# -------------------------------------------------------------------------------------------------- spaces of families


def space_faults(*rules: Rule) -> str:
    faults: list[str] = []
    check_family(shipped().families["hist_gradient_boosting"], rules, faults)
    return "\n".join(faults)


def adjusting(name: str, *when: Any, **change: Any) -> Rule:
    return ruled(name, *when, adjust=Adjustment(family="hist_gradient_boosting", parameter="max_leaf_nodes", **change))


def test_ranges_that_leave_nothing_between_them_are_found_at_the_one_row_where_they_do() -> None:
    low = adjusting("low", low=Bound("data.rows", times=0.01, at_most=100))
    high = adjusting("high", Below("data.rows", 10_000), high=99)
    assert "has no value left" not in space_faults(low, high), "at 9,999 rows the lower bound is 99"
    assert "has no value left" in space_faults(low, replace(high, when=(Below("data.rows", 10_101),)))


def test_two_defaults_for_one_hyperparameter_are_a_contradiction() -> None:
    assert "disagree on default of max_leaf_nodes" in space_faults(adjusting("a", default=7), adjusting("b", default=9))


def test_a_bound_that_never_binds_can_never_win() -> None:
    assert "'wide' can never win" in space_faults(adjusting("wide", high=10_000))


# ------------------------------------------------------------------------------------------------------------ splitting


def test_splitting_visits_below_above_and_unknown() -> None:
    found = leaves([(ruled("many"), (AtLeast("data.rows", 10),)), (ruled("few"), ())])
    assert found.count == 3, "at least 10; below 10; unknown"
    assert found.reached == {"many", "few"}
    assert found.gaps == []


def test_every_combination_of_rules_that_can_hold_together_is_found_and_no_other() -> None:
    rules = [
        ruled("small", Below("data.rows", 10)),
        ruled("large", AtLeast("data.rows", 20)),
        ruled("goal", Is("answers.goal", "quick"), AtLeast("data.rows", 15)),
    ]
    found = holdings(rules)
    assert {held for _, held in found.parts} == {
        frozenset(),
        frozenset({"small"}),
        frozenset({"large"}),
        frozenset({"goal"}),
        frozenset({"large", "goal"}),
    }
