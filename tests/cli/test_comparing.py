"""``advisor compare``: runs side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor.cli.main import run
from advisor.core.errors import InputError
from advisor.report.comparing import comparison_text
from advisor.session import comparing
from advisor.session.comparing import comparison_of
from tests.fakes import journals
from tests.fakes.session import FakeSession, door
from tests.tui.walk import outcome


def test_results_stand_with_their_intervals_and_plans_with_what_differs() -> None:
    one, two = outcome(journals.finished(), "runs/one"), outcome(journals.finished(shipped="default"), "runs/two")
    longer = two.plan.model_copy(update={"budget": two.plan.budget.model_copy(update={"seconds": 2400.0})})
    found = comparison_of([one, two.model_copy(update={"plan": longer})])
    assert found.differs == {"budget.seconds": ("1200", "2400")}
    lines = comparison_text(found).splitlines()
    assert any(line.startswith("gain") and "[0.0121, 0.0403]" in line and "[0, 0]" in line for line in lines)
    assert any(line.startswith("budget.seconds") and "1200" in line and "2400" in line for line in lines)
    assert "overlap" in found.notes[0]


def test_other_data_and_other_metrics_are_warned_of() -> None:
    one = outcome(journals.finished(), "runs/one")
    other = one.model_copy(update={"metric": "accuracy", "plan": one.plan.model_copy(update={"data_fingerprint": "sha256:9"})})
    notes = " ".join(comparison_of([one, other]).notes)
    assert "different data" in notes
    assert "different metrics" in notes


def test_one_run_alone_is_refused() -> None:
    with pytest.raises(InputError, match="one run alone"):
        comparing.compare([Path("runs/one")])
    way = door(FakeSession())
    assert run(["compare", "customers-1114"], way) == 2


def test_the_command_prints_a_table_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = iter([outcome(journals.finished(), "runs/one"), outcome(journals.finished(), "runs/two")] * 2)
    monkeypatch.setattr(comparing, "outcome", lambda run: next(outcomes))
    way = door(FakeSession())
    assert run(["compare", "customers-1114", "customers-1114"], way) == 0
    assert "0.3134" in way.out.getvalue()  # type: ignore[attr-defined]
    way = door(FakeSession())
    assert run(["compare", "customers-1114", "customers-1114", "--json"], way) == 0
    assert [r["name"] for r in json.loads(way.out.getvalue())["runs"]] == ["one", "two"]  # type: ignore[attr-defined]
