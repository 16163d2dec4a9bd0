"""Examples catch what is wrong with a rule: every so-manyth mutant here, all of them by ``python -m tests.rulebook.mutation``."""

from __future__ import annotations

from dataclasses import replace

from advisor.core.predicates import AtLeast
from tests.fakes.rulebooks import shipped
from tests.rulebook.mutation import Mutant, is_caught, mutants, survivors


def test_every_third_mutant_of_the_rules_is_caught_by_an_example() -> None:
    count, left = survivors(shipped(), every=3)
    assert left == []
    assert count > 300


def test_a_mutant_that_no_example_catches_is_found() -> None:
    rule = next(r for r in shipped().tips if len(r.when) == 1 and isinstance(r.when[0], AtLeast))
    lax = replace(rule, examples=tuple(e for e in rule.examples if e.verdict == "unknown"))
    assert not any(is_caught(Mutant(m.rule, m.what)) for m in mutants(lax, shipped()) if m.what.count("at least") == 2)


def test_a_rule_that_says_something_else_than_its_example_gives_is_caught() -> None:
    rule = next(r for r in shipped().field_rules if "shortlist.size" in r.sets)
    assert is_caught(Mutant(replace(rule, sets={"shortlist.size": 9}), "nine"))
