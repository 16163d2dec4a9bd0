"""The end of a run against its budget, on a clock that only moves where something takes time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.core.events import EngineStarted, RunFinished, RunStarted
from advisor.core.facts import Facts
from advisor.session import ending, exporting
from advisor.session.ending import SLOWEST, close, has_time_for_page, kept_seconds, slowness
from advisor.session.folder import RunFolder
from advisor.session.gathering import read_answers
from advisor.session.outcomes import outcome_of
from advisor.session.planning import recommend
from advisor.session.recording import MemoryJournal, Recorder
from advisor.session.reporting import report_text
from tests.fakes import facts as named

BUDGET = 40.0


class Clock:
    """Seconds that pass when they are spent."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now


def run_at(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, result_takes: float, page_takes: float
) -> tuple[Clock, Recorder, RunFolder, MemoryJournal]:
    """A run `seconds` after its budget began, whose result and page take so long."""
    facts = Facts(hardware=named.hardware(), data=named.table(), answers=read_answers(model="logistic_regression", budget_seconds=BUDGET))
    folder = RunFolder(tmp_path)
    folder.write_facts(facts)
    clock, journal = Clock(), MemoryJournal()
    recorder = Recorder(journal, [], began=0.0, clock=clock)
    recorder.emit(RunStarted(run="one", plan=recommend(facts).to_mapping()), EngineStarted(pid=1, started_at_ticks=1, boot_id="b"))
    clock.now = seconds
    told, page = outcome_of, report_text

    def slow_result(*given: Any) -> Any:
        clock.now += result_takes
        clock.order.append("result")
        return told(*given)

    def slow_page(*given: Any, **also: Any) -> str:
        assert folder.result.exists(), "the result is written before the page is begun"
        clock.now += page_takes
        clock.order.append("page")
        return page(*given, **also)

    monkeypatch.setattr(ending, "outcome_of", slow_result)
    monkeypatch.setattr(ending, "report_text", slow_page)
    return clock, recorder, folder, journal


def test_a_run_in_time_has_both_and_its_end_stands_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, recorder, folder, journal = run_at(20.0, tmp_path, monkeypatch, result_takes=0.1, page_takes=0.2)
    close(recorder, folder, RunFinished(status="done"))
    assert clock.order == ["result", "page"]
    assert (tmp_path / "report.html").exists()
    last = journal.events[-1]
    assert isinstance(last, RunFinished) and last.elapsed == pytest.approx(20.3)
    written = json.loads(folder.result.read_text())
    assert (written["status"], written["seconds"]) == ("done", pytest.approx(20.3))


def test_where_the_result_took_long_the_page_is_left_to_a_later_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends a run takes 2 s each on this machine: with the page it would be over 3.9 s late."""
    clock, recorder, folder, _ = run_at(BUDGET - 0.1, tmp_path, monkeypatch, result_takes=2.0, page_takes=2.0)
    close(recorder, folder, RunFinished(status="done"))
    assert clock.order == ["result"]
    assert folder.result.exists() and not (tmp_path / "report.html").exists()
    assert recorder.state.finished is not None and recorder.elapsed() <= BUDGET + 3.0


@pytest.mark.parametrize("slow", [1.0, 2.0, 4.0, 6.0, 12.0, SLOWEST])
@pytest.mark.parametrize("budget", [5.0, 40.0, 600.0])
def test_however_slow_the_machine_a_page_is_only_begun_where_it_can_be_ready(slow: float, budget: float) -> None:
    """From the moment that the last fit must be over by, every step takes `slow` times what it was seen to take."""
    now = budget - kept_seconds(budget, slow)
    now += 0.1 * slow  # diagnosis and the result
    page = 0.2 * slow
    if has_time_for_page(budget - now, budget, slow, 0.1 * slow):
        now += page
        assert now + ending.LEAVING_SECONDS * slow <= budget + max(3.0, 0.01 * budget) + 1e-9
    elif slow <= 2:
        pytest.fail("a machine that is hardly slowed down has time for the page")


def test_a_page_that_cannot_be_made_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, recorder, folder, _ = run_at(5.0, tmp_path, monkeypatch, result_takes=0.0, page_takes=0.0)

    def broken(*_: Any, **__: Any) -> str:
        raise ValueError("no chart")

    monkeypatch.setattr(ending, "report_text", broken)
    close(recorder, folder, RunFinished(status="done"))
    assert recorder.state.finished is not None and not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("wall", "cpu", "times"), [(2.0, 2.0, 1.0), (12.0, 2.0, 6.0), (1.0, 2.0, 1.0), (5.0, 0.01, 1.0), (900.0, 1.0, SLOWEST)]
)
def test_how_slow_a_machine_is_shows_in_what_only_computed(wall: float, cpu: float, times: float) -> None:
    assert slowness(wall, cpu) == times


def test_more_is_kept_back_on_a_slow_machine_but_never_much_of_the_budget() -> None:
    assert kept_seconds(600.0, 1.0) == ending.ENDING_SECONDS
    assert kept_seconds(600.0, 6.0) == 6 * ending.ENDING_SECONDS
    assert kept_seconds(20.0, 12.0) == 1.0
    assert kept_seconds(5.0, 12.0) == ending.ENDING_SECONDS


class _Late:
    """As much of a walk as writing a script looks at."""

    is_own = False

    def __init__(self, remaining: float, slow: float, folder: RunFolder, recorder: Recorder) -> None:
        self._remaining, self.slow, self.folder, self.recorder = remaining, slow, folder, recorder

    def remaining(self) -> float:
        return self._remaining


@pytest.mark.parametrize(
    ("remaining", "slow", "is_written"), [(0.0, 1.0, True), (-0.6, 1.0, True), (0.0, 6.0, False), (1.0, 6.0, True), (-0.9, 1.0, False)]
)
def test_a_script_is_written_where_this_machine_has_time_for_it(
    remaining: float, slow: float, is_written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sklearn.model_selection  # noqa: F401  as in an engine that has split a table

    _, recorder, folder, _ = run_at(BUDGET, tmp_path, monkeypatch, result_takes=0.0, page_takes=0.0)
    written: list[RunFolder] = []
    monkeypatch.setattr(exporting, "write_script", lambda folder, _: written.append(folder))
    walk: Any = _Late(remaining, slow, folder, recorder)
    exporting.offer_script(walk)
    assert bool(written) is is_written
    assert is_written or "advisor export" in recorder.state.notes[-1].text
