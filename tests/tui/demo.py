"""The interface on recorded runs, in a real terminal: ``python -m tests.tui.demo start|data|run|result|crash [--ascii]``."""

from __future__ import annotations

import sys
from pathlib import Path

from advisor.core.events import StudyState
from advisor.tui.app import run
from tests.fakes import journals
from tests.tui.walk import FakeFollower, FakeWalk


class Broken(FakeFollower):
    """A follower with a fault of ours in it, and a secret in its variables."""

    def poll(self) -> StudyState:
        """Never returns."""
        password = "hunter2"
        raise ZeroDivisionError(f"a fault of {len(password)} letters")


class BrokenWalk(FakeWalk):
    """A walk whose follower breaks."""

    def follow(self, run_dir: Path) -> FakeFollower:
        """The broken one."""
        return Broken(self)


def main(what: str, *, is_ascii: bool = False) -> int:
    """The exit code of the interface, opened on `what`."""
    data = "customers.csv" if what == "data" else None
    attach = Path("runs/customers-1114") if what in {"run", "result", "crash"} else None
    events = journals.finished() if what == "result" else journals.running()
    walk = BrokenWalk(events=events) if what == "crash" else FakeWalk(events=events)
    return run(data, answers={}, runs="runs", query=None, attach=attach, walk=walk, is_ascii=is_ascii)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], is_ascii="--ascii" in sys.argv))
