"""Every entry of the rulebook prints as a page that says what, when, why, where from, and what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.cli.rules import ENTRIES, KINDS, entries_of, of_kind, pages_of
from advisor.core.rules import Measured
from advisor.report.pages import rule_page
from tests.fakes.rulebooks import shipped

BOOK = shipped()


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_has_a_page(kind: str) -> None:
    for rule in of_kind(BOOK, kind):
        page = rule_page(rule, kind, BOOK)
        for part in (rule.id, "It holds when all of these do", "Measured", "Source", "File"):
            assert part in page, (rule.id, part)
        assert " ".join(rule.because.split()) in " ".join(page.split())
        assert max(map(len, page.splitlines())) <= 110, rule.id  # a name that is longer than a line is not broken
        assert ("Examples" in page) == bool(rule.examples)


@pytest.mark.parametrize("kind", [k for k in ENTRIES if k != "lesson"])
def test_every_finding_has_a_page_by_its_name(kind: str) -> None:
    for name, _, _ in entries_of(BOOK, kind):
        pages = pages_of(BOOK, name)
        assert kind in {plain["kind"] for _, plain in pages}, name
        assert all("{" not in page.partition("Examples")[0] for page, _ in pages), name


def test_a_lesson_has_a_page_and_what_shares_its_name_too() -> None:
    assert {plain["kind"] for _, plain in pages_of(BOOK, "dropout")} == {"lesson"}
    assert {plain["kind"] for _, plain in pages_of(BOOK, "extra_trees")} == {"family", "lesson"}


def test_strategies_and_families_have_pages() -> None:
    ((page, _),) = pages_of(BOOK, "tpe")
    assert "Recommended by" in page
    ((page, _),) = pages_of(BOOK, "svc")
    assert "too small: " in page
    assert "svc-gamma-follows-the-features: svc.gamma: in units of data.gamma_unit" in page


def test_a_page_names_its_neighbours() -> None:
    overriding = next(r for r in BOOK.rules if r.overrides)
    kind = next(k for k in KINDS if overriding in of_kind(BOOK, k))
    assert f"overrides {overriding.overrides[0]}" in " ".join(rule_page(overriding, kind, BOOK).split())
    second = BOOK.strategy_rules[1]
    page = rule_page(second, "strategy", BOOK)
    assert f"rule 2 of {len(BOOK.strategy_rules)} of the strategy list" in page
    assert f"after {BOOK.strategy_rules[0].id}" in page


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((-0.07, -0.01), "it helps"), ((-0.07, 0.01), "no effect can be told from chance"), ((0.01, 0.07), "it does harm")],
)
def test_what_was_measured_stands_on_the_page_with_what_it_means(interval: tuple[float, float], verdict: str) -> None:
    evidence = Measured(effect=-0.04, interval=interval, tasks=17, command="make evidence", date="2026-11-24", versions="optuna 5.0")
    rule = replace(BOOK.tips[0], evidence=evidence)
    page = " ".join(rule_page(rule, "tip", BOOK).split())
    assert f"on 17 tuning problems: {verdict}." in page
    assert "2026-11-24, optuna 5.0" in page
    assert "again: make evidence" in page
    assert "Not yet" in rule_page(BOOK.tips[0], "tip", BOOK)
