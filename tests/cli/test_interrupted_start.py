"""Ctrl-C at odd moments of the command line: no traceback, exit code 130."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import pytest


def test_ctrl_c_while_the_command_line_is_still_being_imported_is_exit_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from advisor.__main__ import main

    real = builtins.__import__

    def pressed(name: str, *rest: Any, **named: Any) -> Any:
        if name == "advisor.cli.door":
            raise KeyboardInterrupt
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", pressed)
    assert main(["--version"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_ctrl_c_after_the_last_word_is_exit_130_without_a_trace() -> None:
    late = "import atexit, os, signal, sys; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT));"
    program = late + "sys.argv = ['advisor', '--version']; from advisor.__main__ import main; sys.exit(main())"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (130, "")
