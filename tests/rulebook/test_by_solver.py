"""A second, independent method: z3 proves of the strategy list what our enumeration of cells found.

Every fact is a solver's variable with a flag that says whether it is known; a rule wins where all conditions of it hold and those
of no rule before it do. Nothing of the enumerator is used.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from advisor.core.plan import Strategy
from advisor.core.predicates import AtLeast, Below, Is, OneOf, Predicate
from advisor.core.vocabulary import vocabulary
from advisor.rulebook.regions import leaves
from tests.fakes.rulebooks import shipped

z3 = pytest.importorskip("z3", reason="the solver of the dev extra is not installed")


class Encoded:
    """The strategy list in the solver's words."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.value: dict[str, Any] = {}
        self.domain: list[Any] = []
        self.holds = [self._all(rule.id) for rule in shipped().strategy_rules]

    def _all(self, name: str) -> Any:
        rule = shipped().rule(name)
        assert rule is not None
        assert rule.recommend is not None
        entry = shipped().strategies[rule.recommend]
        return z3.And(*(self._one(p) for p in (*entry.requires, *entry.needs, *rule.when)))

    def _one(self, p: Predicate) -> Any:
        about = vocabulary()[p.fact]
        if p.fact not in self.known:
            self.known[p.fact] = z3.Bool(f"known {p.fact}")
            if about.is_number:
                self.value[p.fact] = z3.Real(p.fact)
            elif about.kind == "flag":
                self.value[p.fact] = z3.Bool(p.fact)
            else:
                self.value[p.fact] = z3.Int(p.fact)
                self.domain.append(z3.And(self.value[p.fact] >= 0, self.value[p.fact] < len(about.choices)))
        value = self.value[p.fact]
        match p:
            case AtLeast(threshold=t):
                said = value >= z3.RealVal(repr(t))
            case Below(threshold=t):
                said = value < z3.RealVal(repr(t))
            case Is(wish=w):
                said = value == (z3.BoolVal(w) if isinstance(w, bool) else about.choices.index(str(w)))
            case OneOf(wishes=several):
                said = z3.Or(*(value == about.choices.index(str(w)) for w in several))
        return z3.And(self.known[p.fact], said)

    def wins(self, index: int) -> Any:
        return z3.And(self.holds[index], *(z3.Not(h) for h in self.holds[:index]))

    def is_possible(self, *claims: Any) -> bool:
        solver = z3.Solver()
        solver.add(*self.domain, *claims)
        return bool(solver.check() == z3.sat)


@cache
def encoded() -> Encoded:
    return Encoded()


def test_some_rule_wins_whatever_is_known_or_not() -> None:
    e = encoded()
    assert not e.is_possible(z3.Not(z3.Or(*e.holds)))


def test_never_do_two_rules_win() -> None:
    e = encoded()
    numbers = range(len(e.holds))
    assert not e.is_possible(z3.Sum(*(z3.If(e.wins(i), 1, 0) for i in numbers)) != 1)


def test_the_solver_and_the_enumeration_reach_the_same_of_the_last_rules() -> None:
    e, rules = encoded(), shipped().strategy_rules
    start = len(rules) - 8
    listed = [
        (r, (*shipped().strategies[s].requires, *shipped().strategies[s].needs, *r.when)) for r in rules[start:] if (s := r.recommend)
    ]
    by_solver = {r.id for i, r in enumerate(rules) if i >= start and e.is_possible(e.holds[i], *(z3.Not(h) for h in e.holds[start:i]))}
    assert by_solver == leaves(listed).reached


@pytest.mark.slow
def test_the_solver_and_the_enumeration_reach_the_same_rules() -> None:
    e, book = encoded(), shipped()
    by_solver = {r.id for i, r in enumerate(book.strategy_rules) if e.is_possible(e.wins(i))}
    listed = [(r, (*book.strategies[s].requires, *book.strategies[s].needs, *r.when)) for r in book.strategy_rules if (s := r.recommend)]
    assert by_solver == leaves(listed).reached == {r.id for r in book.strategy_rules}


@pytest.mark.parametrize("strategy", [s for s in Strategy if s is not Strategy.DEFAULT])
def test_no_strategy_wins_where_its_engine_is_missing(strategy: Strategy) -> None:
    e = encoded()
    name = f"engine.{strategy}.is_available"
    missing = z3.Or(z3.Not(e.known[name]), z3.Not(e.value[name]))
    won = z3.Or(*(e.wins(i) for i, r in enumerate(shipped().strategy_rules) if r.recommend is strategy))
    assert not e.is_possible(missing, won)


def test_the_solver_finds_the_gap_that_a_list_without_its_last_rules_has() -> None:
    e = encoded()
    assert e.is_possible(z3.Not(z3.Or(*e.holds[:-3])))
