"""Text for people: within 80 columns, hostile names made harmless, the verdict true to the figures."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.core.events import fold_all
from advisor.core.facts import Column, ColumnKind, Suspicion, Unknown
from advisor.report.text import dataset_text, hardware_text, outcome_text, plan_text, runs_text, verdict
from advisor.report.wording import duration, parse_duration, shown
from advisor.session.outcomes import outcome_of
from tests.fakes import facts as builders
from tests.fakes import journals

EVIL = "\x1b[2J\x9b\x07\u202e\u200b name\n" + "w" * 300


def _outcome(**arguments: Any) -> Any:
    return outcome_of("runs/customers-1114", fold_all(journals.finished(**arguments)))


def _is_harmless(text: str) -> bool:
    return not set(text) & set("\x1b\x9b\x07\u202e\u200b") and max(map(len, text.splitlines())) <= 80


def test_names_from_data_can_neither_move_the_cursor_nor_break_the_width() -> None:
    column = Column(name=EVIL, kind=ColumnKind.CATEGORY, distinct=3, note=EVIL)
    data = builders.table(
        source=EVIL,
        target=EVIL,
        extra=(column,),
        warnings=(EVIL,),
        leaks=(Suspicion(column=EVIL, confidence=1.0, reason=EVIL),),
        target_candidates=(Suspicion(column=EVIL, confidence=0.5, reason=EVIL),),
    )
    facts = builders.facts(data=data)
    plan = journals.plan(data=EVIL, target=EVIL, dropped={EVIL: EVIL})
    assert _is_harmless(plan_text(plan, facts=facts))
    assert _is_harmless(dataset_text(data))
    assert _is_harmless(hardware_text(builders.hardware(cpu_model=EVIL, gpus=(builders.gpu(name=EVIL, held_by=(EVIL,)),))))


def test_unknown_hardware_is_told_with_its_cure() -> None:
    text = hardware_text(builders.unknown_hardware())
    assert "unknown (the probe was refused)" in text
    assert "Allow reading /proc." in text


def test_a_table_whose_target_is_unknown_says_what_to_do() -> None:
    data = builders.table(target=Unknown(reason="no column looks like one", cure="Name it with --target."))
    assert "Name it with --target." in dataset_text(data)


def test_the_verdict_follows_what_was_shipped_and_what_the_rows_could_settle() -> None:
    tuned = _outcome()
    assert "beats the default on held-out rows by +0.02680" in verdict(tuned)
    unsettled = tuned.model_copy(update={"gain": tuned.gain.model_copy(update={"low": -0.01})})
    assert "cannot be settled" in verdict(unsettled)
    worse = tuned.model_copy(update={"gain": tuned.gain.model_copy(update={"value": -0.02, "low": -0.03, "high": -0.01})})
    assert "beats" not in verdict(worse)
    assert "nothing beat the default" in verdict(_outcome(shipped="default"))
    assert verdict(_outcome(status="stopped")).startswith("stopped early; ")
    assert "there is no model" in verdict(_outcome(status="nothing_finished"))


@pytest.mark.parametrize("status", ["done", "stopped", "nothing_finished", "failed"])
@pytest.mark.parametrize("shipped", ["tuned", "default"])
def test_every_outcome_reads_within_80_columns(status: str, shipped: str) -> None:
    text = outcome_text(_outcome(status=status, shipped=shipped))
    assert text.startswith("RESULT  ")
    assert max(map(len, text.splitlines())) <= 80


def test_no_runs_and_one_run_are_both_a_table() -> None:
    assert runs_text(()).startswith("RUN")


def test_durations_are_read_as_they_are_written() -> None:
    for seconds in (1.0, 48.0, 600.0, 5400.0, 7200.0):
        assert parse_duration(duration(seconds)) == seconds


def test_a_long_text_is_cut_and_counted() -> None:
    assert shown("x" * 5000, longest=10) == "x" * 10 + "… (5,000 characters)"
