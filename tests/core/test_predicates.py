"""Conditions: three verdicts, and words for how far a fact is from them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from advisor.core.derived import DERIVED, Given, Situation
from advisor.core.facts import Unknown
from advisor.core.predicates import AtLeast, Below, Is, OneOf, Predicate, Verdict, all_of, parse_predicate
from advisor.core.vocabulary import fact, vocabulary


@pytest.mark.parametrize(
    ("table", "value", "verdict"),
    [
        ({"fact": "answers.budget_seconds", "at_least": "4 h"}, 14_400.0, Verdict.HOLDS),
        ({"fact": "answers.budget_seconds", "at_least": "4 h"}, 14_399.0, Verdict.FAILS),
        ({"fact": "hardware.memory_available_bytes", "below": "24 GiB"}, 24 * 1024**3, Verdict.FAILS),
        ({"fact": "hardware.memory_available_bytes", "below": "24 GiB"}, 24 * 1024**3 - 1, Verdict.HOLDS),
        ({"fact": "data.minority_ratio", "below": "5%"}, 0.049, Verdict.HOLDS),
        ({"fact": "answers.goal", "is": "quick"}, "quick", Verdict.HOLDS),
        ({"fact": "answers.goal", "one_of": ["best", "research"]}, "quick", Verdict.FAILS),
        ({"fact": "family.is_threaded", "is": True}, False, Verdict.FAILS),
        ({"fact": "answers.cluster", "is": "ray://x"}, None, Verdict.FAILS),
        ({"fact": "data.rows", "at_least": 1}, Unknown(reason="x"), Verdict.UNKNOWN),
    ],
)
def test_a_condition_holds_fails_or_is_unknown(table: dict[str, Any], value: Any, verdict: Verdict) -> None:
    assert parse_predicate(table).verdict(Given({table["fact"]: value})) is verdict


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"fact": "data.row", "below": 3}, r"unknown fact 'data.row'. Did you mean 'data.rows'\?"),
        ({"fact": "data.rows", "bellow": 3}, "Did you mean 'below'"),
        ({"fact": "data.rows"}, "no single comparison"),
        ({"fact": "data.rows", "below": 3, "at_least": 1}, "no single comparison"),
        ({"fact": "data.rows", "below": "3 h"}, "expected a number"),
        ({"fact": "data.rows", "is": 2.5}, "whole number"),
        ({"fact": "answers.goal", "below": 3}, "cannot be ordered"),
        ({"fact": "answers.goal", "is": "qick"}, "Did you mean 'quick'"),
        ({"fact": "family.is_threaded", "is": "maybe"}, "needs true or false"),
        ({"below": 3}, "needs fact"),
    ],
)
def test_a_misspelt_condition_names_the_nearest_word(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_predicate(table)


@pytest.mark.parametrize(
    ("predicate", "value", "words"),
    [
        (Below("search.dimensions", 4), 6, "6 dimensions, at most 3"),
        (AtLeast("search.slots", 8), 2, "2 slots, at least 8"),
        (AtLeast("search.workers", 8), 1, "1 concurrent trial, at least 8"),
        (Is("answers.goal", "research"), "best", "goal is best, not research"),
        (Is("family.trains_in_steps", True), False, "trains in one go"),
        (OneOf("answers.goal", ("best", "research")), "quick", "goal is quick, not one of best, research"),
        (AtLeast("search.slots", 4), Unknown(reason="no driver"), "slots: unknown (no driver), at least 4"),
    ],
)
def test_a_failed_condition_says_by_how_much(predicate: Predicate, value: Any, words: str) -> None:
    assert predicate.say(value) == words


def test_one_failure_outweighs_an_unknown() -> None:
    both = (AtLeast("data.rows", 10), Is("answers.goal", "quick"))
    assert all_of(both, Given({"answers.goal": "best"})) is Verdict.FAILS
    assert all_of(both, Given({"answers.goal": "quick"})) is Verdict.UNKNOWN
    assert all_of((), Given({})) is Verdict.HOLDS


@pytest.mark.parametrize(("value", "near"), [(79, False), (80, True), (100, True), (120, True), (121, False)])
def test_within_a_fifth_of_the_threshold_is_near(value: float, near: bool) -> None:
    assert AtLeast("data.rows", 100).is_near(value) is near


def test_every_derived_fact_names_inputs_that_exist() -> None:
    for name, entry in DERIVED.items():
        assert entry.fact.doc, name
        for other in (*entry.fact.inputs, *entry.fact.rises_with, *entry.fact.falls_with):
            known = other in vocabulary() or other == "hardware.gpus"
            assert known, f"{name} names {other}"


def test_every_fact_has_a_meaning() -> None:
    assert [n for n, f in vocabulary().items() if not f.doc] == []


BASE = {
    "search.seconds": 100.0,
    "search.workers": 4,
    "family.cost_seconds": 0.5,
    "family.fit_seconds": 0.4,
    "family.estimated_seconds": 0.4,
    "family.largest_rows": 1e5,
    "validation.splits": 5,
    "data.classes": 3,
    "search.trials_at_most": 1e9,
    "search.grid_size": 25.0,
    "data.rows": 5000,
    "data.width": 20,
    "data.feature_columns": 20,
    "data.bytes": 10**6,
    "answers.budget_seconds": 600.0,
    "hardware.memory_available_bytes": 10**10,
    "hardware.cluster_slots": 8,
}


@pytest.mark.parametrize("name", [n for n, d in DERIVED.items() if d.fact.is_number])
def test_a_derived_fact_moves_the_way_it_declares(name: str) -> None:
    about = DERIVED[name].fact
    for other, sign in (*((f, 1) for f in about.rises_with), *((f, -1) for f in about.falls_with)):
        if other not in BASE:
            continue
        values = [Situation({**BASE, other: BASE[other] * times}).value(name) for times in (1, 2, 4, 8)]
        steps = [sign * (b - a) for a, b in pairwise(values)]
        assert all(s >= 0 for s in steps), f"{name} against {other}: {values}"


def test_an_unknown_input_makes_a_derived_fact_unknown_with_the_same_reason() -> None:
    lost = Unknown(reason="no driver")
    assert Situation({**BASE, "search.workers": lost}).value("search.trials") == lost


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("answers.budget_seconds", "90s", 90.0), ("answers.budget_seconds", "1.5 h", 5400.0), ("data.rows", "1e3", 1000)],
)
def test_values_are_read_with_their_unit(name: str, text: str, value: float) -> None:
    assert fact(name).parse(text) == value
