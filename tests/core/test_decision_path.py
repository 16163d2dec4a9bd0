"""The path through the strategy list: it ends where the plan's strategy is, and says how far the rules before it were from holding."""

from __future__ import annotations

import json
import re

import pytest

from advisor.core.decision_path import decision_path
from advisor.core.deliberation import outline
from advisor.core.facts import Facts
from advisor.core.predicates import Verdict
from advisor.report.tree import tree_text
from tests.cli.test_commands import call
from tests.fakes import facts as situations
from tests.fakes.rulebooks import shipped
from tests.fakes.session import FakeSession

SITUATIONS = [
    situations.laptop_small_table(),
    situations.laptop_small_table(goal="quick"),
    situations.laptop_mixed_table(),
    situations.large_regression(),
]


@pytest.mark.parametrize("facts", SITUATIONS, ids=range(len(SITUATIONS)))
def test_the_path_ends_at_the_rule_that_chose(facts: Facts) -> None:
    found = outline(facts, shipped())
    steps = decision_path(shipped(), found.situation)
    taken = [s for s in steps if s.state == "chosen"]
    assert found.choice.rule is not None
    assert [s.rule for s in taken] == [found.choice.rule.id]
    at = taken[0].number
    for step in steps[: at - 1]:
        verdicts = {c.verdict for c in step.conditions}
        assert (Verdict.FAILS in verdicts) == (step.state == "passed")
        assert step.state == "passed" or Verdict.UNKNOWN in verdicts
    assert all(c.verdict is Verdict.HOLDS for c in taken[0].conditions)
    assert {s.state for s in steps[at:]} <= {"not reached"}


def test_how_far_a_condition_is_from_holding_is_counted() -> None:
    facts = situations.laptop_small_table()
    steps = decision_path(shipped(), outline(facts, shipped()).situation)
    short = {c.fact: c.short for s in steps for c in s.conditions if c.short}
    assert short["search.dimensions"].endswith(" too many")
    assert short["search.regularisers"].endswith(" short")


def test_a_tree_without_facts_lists_every_rule_with_what_it_wants() -> None:
    text = tree_text(decision_path(shipped()))
    for rule in shipped().strategy_rules:
        assert f"[{rule.id}]" in text
    assert "TAKEN" not in text
    assert "always, where no rule before it holds" in text or "random can run" in text


def test_the_lit_path_reads_without_colour_on_any_terminal() -> None:
    text = tree_text(decision_path(shipped(), outline(situations.laptop_small_table(), shipped()).situation), subject="table.csv")
    assert text.count("<== TAKEN") == 1
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    marks = [line[0] for line in text.splitlines() if re.match(r"[x*?.] +\d+  ", line)]
    assert len(marks) == len(shipped().strategy_rules)
    assert re.fullmatch(r"[x?]*\*\.*", "".join(marks))  # passed by, then the one taken, then what was not reached


def test_the_command_draws_data_and_the_bare_list_and_gives_json() -> None:
    code, out, _ = call(FakeSession(), "rules", "tree")
    assert code == 0
    assert out.startswith("The strategy list")
    code, out, _ = call(FakeSession(), "rules", "tree", "pyproject.toml.csv", "--goal", "quick", "--runs", "nowhere")
    assert code == 0
    assert "<== TAKEN" in out
    steps = json.loads(call(FakeSession(), "rules", "tree", "--json")[1])["steps"]
    assert len(steps) == len(shipped().strategy_rules)


def test_a_strategy_that_was_asked_for_is_told_apart_from_where_the_list_leads() -> None:
    _, out, _ = call(FakeSession(), "rules", "tree", "table.csv", "--strategy", "random")
    assert "random was asked for with --strategy; the list itself leads to" in " ".join(out.split())
