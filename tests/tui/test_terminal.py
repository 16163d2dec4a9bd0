"""In a real terminal: the screen is given back, colours are left out when asked, a crash tells nothing secret."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"sklearn", "optuna", "torch", "polars", "scipy", "numpy", "plotext"}
COLOUR = re.compile(rb"\x1b\[(?:[\d;]*;)?(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|38;[25]|48;[25])[\d;]*m")


def opened(*words: str, **environment: str) -> pexpect.spawn:
    """The interface in a terminal of 80 × 24."""
    variables = {**os.environ, "TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none", "PYTHONPATH": str(ROOT), **environment}
    return pexpect.spawn(sys.executable, ["-m", "tests.tui.demo", *words], cwd=str(ROOT), env=variables, dimensions=(24, 80), timeout=30)


def closed(child: pexpect.spawn) -> tuple[bytes, int]:
    """Everything after the last match, and the exit code."""
    child.expect(pexpect.EOF)
    child.close()
    return child.before, child.exitstatus if child.exitstatus is not None else -1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(number: signal.Signals) -> None:
    child = opened("run")
    child.expect(b"Trials")
    child.kill(number)
    rest, code = closed(child)
    assert b"\x1b[?1049l" in rest, "the alternate screen is left"
    assert b"\x1b[?1000l" in rest, "the mouse is given back"
    assert code == 128 + number


def test_detaching_says_how_to_come_back_and_ends_with_zero() -> None:
    child = opened("run")
    child.expect(b"0.3141")
    child.send("d")
    rest, code = closed(child)
    assert b"advisor attach customers-1114" in rest
    assert code == 0


def test_no_colour_is_written_when_colours_are_not_wanted() -> None:
    child = opened("run", NO_COLOR="1")
    child.expect(b"0.3141")
    written = child.before + child.after
    child.send("q")
    rest, _ = closed(child)
    assert COLOUR.findall(written + rest) == []


@pytest.mark.parametrize("what", ["start", "data", "run", "result"])
def test_with_ascii_every_byte_is_below_128(what: str) -> None:
    child = opened(what, "--ascii")
    child.expect({"start": b"sklearn:wine", "data": b"95 trials|48 trials", "run": b"0.3141", "result": b"Tuned"}[what])
    written = child.before + child.after
    child.sendcontrol("q")
    rest, _ = closed(child)
    assert max(written + rest) < 128


def test_a_crash_ends_with_one_and_a_report_without_values() -> None:
    child = opened("crash")
    rest, code = closed(child)
    assert code == 1
    found = re.search(rb"Report: (\S+)", rest)
    assert found is not None
    report = Path(found.group(1).decode())
    text = report.read_text()
    report.unlink()
    assert "ZeroDivisionError" in text
    assert "hunter2" not in rest.decode(errors="replace")
    assert b"\x1b[?1049l" in rest


def test_every_screen_can_be_imported_without_a_heavy_library() -> None:
    code = (
        "import sys, advisor.tui.app, advisor.tui.screens.start, advisor.tui.screens.questions, advisor.tui.screens.plan, "
        "advisor.tui.screens.run, advisor.tui.screens.result; print(*{m.partition('.')[0] for m in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert "textual" in loaded
    assert HEAVY.isdisjoint(loaded)


def test_the_questions_paint_before_any_model_of_values_is_loaded() -> None:
    code = "import sys, advisor.tui.app, advisor.tui.screens.questions, advisor.tui.screens.start; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert "pydantic" not in loaded
    assert "advisor.session" not in loaded
