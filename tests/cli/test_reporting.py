"""``advisor report`` over recorded journals, and the page that every run leaves behind."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Any

import pytest

import advisor
from advisor import session
from advisor.core.events import Event
from advisor.journal import Journal
from advisor.session.folder import RunFolder
from tests.fakes import journals
from tests.fakes.session import FakeSession, door


def recorded(runs: Path, events: list[Event], name: str = "customers-1114") -> Path:
    """The folder of a run that holds its journal alone: as one that was killed, or copied from elsewhere."""
    folder = runs / name
    folder.mkdir(parents=True)
    with Journal.open(folder / "journal.db") as journal:
        journal.append(*events)
    return folder


def call(*words: str, over: Any = session) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``advisor WORDS``."""
    from advisor.cli.main import run

    opened = door(FakeSession())
    opened.session_source = lambda: over
    code = run(words, opened)
    return code, opened.out.getvalue(), opened.err.getvalue()  # type: ignore[attr-defined]


def test_the_report_lies_in_the_folder_of_the_run_and_its_place_is_printed(tmp_path: Path) -> None:
    folder = recorded(tmp_path, journals.finished())
    code, out, err = call("report", "customers", "--runs", str(tmp_path))
    assert (code, out.strip(), err) == (0, str(folder / "report.html"), "")
    assert "Tuning paid" in (folder / "report.html").read_text()


def test_out_names_another_place_and_json_tells_it(tmp_path: Path) -> None:
    folder = recorded(tmp_path, journals.running())
    code, out, _ = call("report", str(folder), "--out", str(tmp_path / "sent.html"), "--json")
    assert (code, json.loads(out)) == (0, {"report": str(tmp_path / "sent.html")})
    assert "was interrupted and can go on" in (tmp_path / "sent.html").read_text()
    assert not (folder / "report.html").exists()


def test_a_run_that_is_not_there_and_a_place_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    recorded(tmp_path, journals.finished())
    code, out, err = call("report", "customer-9", "--runs", str(tmp_path))
    assert code == 2 and out == "" and "customers-1114" in err
    code, _, err = call("report", "customers-1114", "--runs", str(tmp_path), "--out", str(tmp_path / "no" / "such" / "a.html"))
    assert code == 2 and "cannot write the report" in err


def test_a_run_without_a_plan_yet_is_told(tmp_path: Path) -> None:
    recorded(tmp_path, [], name="young")
    code, _, err = call("report", "young", "--runs", str(tmp_path))
    assert code == 2 and "no plan yet" in err


def test_without_a_browser_the_place_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(asked.append(url)))
    code, _, err = call("report", "x", "--open", over=FakeSession())
    assert code == 0 and asked[0].startswith("file:///") and "Open it by hand" in err


def bowl(config: dict[str, float]) -> float:
    """Smallest at 0.3."""
    return (config["x"] - 0.3) ** 2


@pytest.mark.slow
def test_every_run_ends_with_its_report_which_names_the_command_or_the_call(tmp_path: Path) -> None:
    advisor.tune(bowl, {"x": advisor.Float(0.0, 1.0)}, max_trials=12, budget_seconds=20, run_dir=tmp_path / "one", isolation="inline")
    page = (tmp_path / "one" / "report.html").read_text()
    assert "as your own objective measures it" in page or "Nothing tried was better" in page
    assert "Finished" in page


@pytest.mark.slow
def test_a_report_that_cannot_be_made_harms_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advisor.report import html

    def broken(_told: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(html, "report_html", broken)
    outcome = advisor.tune(
        bowl, {"x": advisor.Float(0.0, 1.0)}, max_trials=4, budget_seconds=20, run_dir=tmp_path / "one", isolation="inline"
    )
    assert outcome.status == "done"
    assert not (tmp_path / "one" / "report.html").exists() and RunFolder(tmp_path / "one").result.exists()
