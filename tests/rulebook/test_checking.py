"""The check that proves a rulebook, and that it finds what it is there to find."""

from __future__ import annotations

from dataclasses import replace

from advisor.core.predicates import AtLeast
from advisor.rulebook.checking import check, leaves
from tests.fakes.rulebooks import shipped


def test_the_shipped_rulebook_has_no_gap_no_dead_rule_and_no_contradiction() -> None:
    found = check(shipped())
    assert found.faults == ()
    assert found.strategy_leaves > 10_000
    assert found.examples >= 2 * sum(bool(r.when) for r in shipped().rules)


def test_a_list_without_its_last_rules_has_gaps() -> None:
    book = replace(shipped(), strategy_rules=shipped().strategy_rules[:-3])
    assert any("no rule holds for" in f for f in check(book).faults)


def test_a_rule_behind_the_catch_all_is_found_dead() -> None:
    rules = shipped().strategy_rules
    dead = replace(rules[4], id="dead")
    faults = check(replace(shipped(), strategy_rules=(*rules, dead))).faults
    assert any("'dead' can never be reached" in f for f in faults)


def test_two_rules_that_may_disagree_are_found() -> None:
    contrary = replace(
        next(r for r in shipped().field_rules if r.id == "three-folds-when-time-binds"), id="contrary", sets={"validation.folds": 4}
    )
    faults = check(replace(shipped(), field_rules=(*shipped().field_rules, contrary))).faults
    assert any("'contrary' both hold and disagree on validation.folds" in f for f in faults)


def test_an_example_must_stop_short_of_each_condition() -> None:
    rule = next(r for r in shipped().tips if len(r.when) == 1)
    lax = replace(rule, examples=tuple(e for e in rule.examples if e.verdict != "fails"))
    faults = check(replace(shipped(), tips=(lax, *(t for t in shipped().tips if t is not rule)))).faults
    assert any("no example stops short of" in f for f in faults)


def test_splitting_visits_below_above_and_unknown() -> None:
    rule = shipped().strategy_rules[-1]
    found = leaves([(replace(rule, id="many"), (AtLeast("data.rows", 10),)), (replace(rule, id="few"), ())])
    assert found.count == 3, "at least 10; below 10; unknown"
    assert found.reached == {"many", "few"}
    assert found.gaps == []
