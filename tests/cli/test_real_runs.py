"""The command line in a terminal of its own, over a real engine: what Ctrl-C, a closed terminal and a second press do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import psutil
import pytest

from advisor import session
from advisor.core.events import StudyState
from tests.timing import kept

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 90
"""A machine that is busy with other tests starts an engine slowly; nothing below measures that."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Classes that a straight line separates only in part, so that trials differ."""
    path = tmp_path / "table.csv"
    rows = "".join(
        f"{i % 17},{(i * 7919) % 101 / 10},{(i * 31) % 13},{'yes' if (i % 17) + (i * 31) % 13 > 14 else 'no'}\n" for i in range(400)
    )
    path.write_text("one,two,three,outcome\n" + rows)
    return path


@pytest.fixture
def terminals() -> Iterator[list[Any]]:
    """Terminals that are closed at the end whatever happened."""
    opened: list[Any] = []
    yield opened
    for terminal in opened:
        terminal.close(force=True)


def _spawn(terminals: list[Any], *words: str) -> Any:
    terminal: Any = pexpect.spawn(
        sys.executable, ["-m", "advisor", *words], timeout=PATIENCE_SECONDS, encoding="utf-8", dimensions=(24, 110)
    )
    terminals.append(terminal)
    return terminal


def _start(terminals: list[Any], table: Path, runs: Path, *, budget: str = "60s") -> tuple[Any, Path]:
    """A run in a terminal, two trials into it, and its folder."""
    terminal = _spawn(terminals, "run", str(table), "--target", "outcome", "--budget", budget, "--yes", "--runs", str(runs))
    terminal.expect(r"run (\S+) \(watch")
    terminal.expect(r" [2-9]\d*/~\d+ trials")
    return terminal, runs / terminal_name(runs)


def terminal_name(runs: Path) -> str:
    """The name of the only run."""
    (run,) = runs.iterdir()
    return run.name


def _finished(state: StudyState) -> dict[int, float | None]:
    return {n: t.value for n, t in state.trials.items() if t.status == "completed"}


def _processes_of(run_dir: Path) -> list[int]:
    """Processes whose command line names the run: its engine."""
    return [p.pid for p in psutil.process_iter(["cmdline"]) if any(str(run_dir) in word for word in p.info["cmdline"] or ())]


def test_ctrl_c_ends_the_run_within_two_seconds_and_resume_goes_on(terminals: list[Any], table: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    terminal, run_dir = _start(terminals, table, runs)
    pressed = time.monotonic()
    terminal.sendintr()
    terminal.expect("advisor resume")
    terminal.expect(pexpect.EOF)
    took = time.monotonic() - pressed
    terminal.close()
    assert terminal.exitstatus == 130
    assert took < 2.5, "two seconds, and the half that reading a pseudo-terminal on a busy machine takes"
    assert not session.follow(run_dir).is_alive
    assert _processes_of(run_dir) == []
    before = _finished(session.follow(run_dir).poll())
    assert len(before) >= 2
    done = subprocess.run(
        [sys.executable, "-m", "advisor", "resume", run_dir.name, "--runs", str(runs), "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    outcome = json.loads(done.stdout)
    assert outcome["status"] == "done"
    after = _finished(session.follow(run_dir).poll())
    assert {n: after[n] for n in before} == before


def test_a_closed_terminal_stops_nothing_and_leaving_attach_stops_nothing(terminals: list[Any], table: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    terminal, run_dir = _start(terminals, table, runs, budget="40s")
    terminal.close(force=True)
    follower = session.follow(run_dir)
    follower.poll()
    assert follower.is_alive
    watching = _spawn(terminals, "attach", run_dir.name, "--plain", "--runs", str(runs))
    watching.expect(r"\d+/~\d+ trials")
    watching.sendintr()
    watching.expect("The run goes on")
    watching.expect(pexpect.EOF)
    watching.close()
    assert watching.exitstatus == 0
    follower.poll()
    assert follower.is_alive
    ended = _spawn(terminals, "stop", run_dir.name, "--runs", str(runs))
    ended.expect("stopped early")
    ended.expect(pexpect.EOF)
    ended.close()
    assert ended.exitstatus == 0


def test_a_second_press_ends_at_once(terminals: list[Any], table: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    terminal, run_dir = _start(terminals, table, runs)
    terminal.sendintr()
    time.sleep(0.1)
    pressed = time.monotonic()
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    assert kept(2, since=pressed)
    terminal.close()
    assert terminal.exitstatus == 130
    deadline = time.monotonic() + 2
    while _processes_of(run_dir) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _processes_of(run_dir) == []


def test_without_a_terminal_the_interface_refuses_within_two_seconds(table: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "advisor", str(table)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"advisor run {table} --yes" in done.stderr
    assert done.stdout == ""
    assert time.monotonic() - began < 5, "two seconds where nothing else runs"
