"""What the command line asks of the rest, as one value: the session, the interface, the terminal, and when it all began."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from advisor.report.ascii import ascii_json, ascii_of

if TYPE_CHECKING:
    import polars

    from advisor.core.events import StudyState
    from advisor.core.facts import Facts
    from advisor.core.outcome import Outcome
    from advisor.core.plan import Plan
    from advisor.core.rules import Rulebook
    from advisor.session.following import RunSummary

_OBEYED = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""Characters that JSON lets stand in a string although a terminal may act on them or cannot show them."""

Command = Literal["pause", "resume", "stop", "skip", "budget"]


class Follower(Protocol):
    """Reads a run as it goes on."""

    def poll(self) -> StudyState:
        """The state now."""
        ...

    @property
    def is_alive(self) -> bool:
        """True while the engine process lives."""
        ...


class Session(Protocol):
    """The functions of `advisor.session` that commands call: the module itself, or a fake of it."""

    def gather(self, data: Any, *, query: str | None = None, runs: str | Path = "runs", **answers: Any) -> Facts:
        """Facts about the machine, the data and the wishes."""
        ...

    def rulebook(self) -> Rulebook:
        """The rules in force."""
        ...

    def recommend(self, facts: Facts, rules: Rulebook | None = None) -> Plan:
        """The plan."""
        ...

    def start(
        self,
        plan: Plan,
        facts: Facts,
        *,
        data: str | None,
        query: str | None = None,
        runs: str | Path = "runs",
        began: float | None = None,
        track: Sequence[str] = (),
        continues: str | Path | None = None,
    ) -> Path:
        """Starts a detached engine; returns its run folder."""
        ...

    def follow(self, run_dir: str | Path) -> Follower:
        """Reads the journal of a run."""
        ...

    def send(self, run_dir: str | Path, command: Command, argument: float | None = None) -> None:
        """Hands a command to the engine."""
        ...

    def resume(self, run_dir: str | Path, *, began: float | None = None) -> Path:
        """A new engine goes on."""
        ...

    def list_runs(self, runs: str | Path = "runs") -> Sequence[RunSummary]:
        """The runs, the newest first."""
        ...

    def find_run(self, name: str | Path, runs: str | Path = "runs") -> Path:
        """The folder of a run."""
        ...

    def outcome(self, run_dir: str | Path) -> Outcome:
        """What came out of a run."""
        ...

    def predict(self, run_dir: str | Path, source: Any, *, query: str | None = None) -> polars.DataFrame:
        """Predictions of the shipped model."""
        ...

    def report(self, run: str | Path, *, out: str | Path | None = None, runs: str | Path = "runs") -> Path:
        """Where the HTML report of a run was written."""
        ...

    def export(self, subject: str | Path, *, kind: str = "script", runs: str | Path = "runs") -> str:
        """A plan's file or a run as a plain script."""
        ...

    def load_plan(self, path: str | Path) -> tuple[Plan, Facts | None]:
        """A saved plan, with its facts where the file holds them."""
        ...

    def save_plan(self, plan: Plan, path: str | Path, *, facts: Facts | None = None) -> None:
        """Writes a plan."""
        ...


class ReaderGoneError(Exception):
    """Whoever read the stream has closed it (`| head`). Not an OSError: click would end the process for one."""


Interface = Callable[..., int]
"""Opens the terminal interface: ``interface(data, answers=…, runs=…, query=…, attach=…)`` gives its exit code."""


@dataclass(slots=True)
class Door:
    """Everything a command needs besides its arguments. Tests hand in a fake session and streams of their own."""

    session_source: Callable[[], Session]
    """Called once, when a command first needs the session: help and usage errors never pay for its import."""
    interface: Interface
    """The terminal interface, which this room may not import."""
    began: Callable[[], float]
    """Gives the monotonic second at which the process started: the budget counts from there."""
    out: TextIO = field(default_factory=lambda: sys.stdout)
    """Results."""
    err: TextIO = field(default_factory=lambda: sys.stderr)
    """Narration."""
    source: TextIO = field(default_factory=lambda: sys.stdin)
    """Answers."""
    clock: Callable[[], float] = time.monotonic
    """Seconds, never going back."""
    as_json: bool = False
    """True once ``--json`` was seen: an error then becomes an object on standard output too."""
    is_plain: bool = False
    """True where no line is written over: a screen reader would read it again and again."""
    is_ascii: bool = False
    """True once ``--ascii`` was seen: whatever is written stays below 128."""
    _session: Session | None = None

    @property
    def session(self) -> Session:
        """The session, imported on first use."""
        if self._session is None:
            self._session = self.session_source()
        return self._session

    @property
    def is_interactive(self) -> bool:
        """True when a person can be asked and shown screens: all three streams are terminals."""
        return all(_is_terminal(stream) for stream in (self.source, self.out, self.err)) and os.environ.get("TERM") != "dumb"

    @property
    def can_ask(self) -> bool:
        """True when a question can be read and answered, wherever the results go."""
        return _is_terminal(self.source) and _is_terminal(self.err)

    @property
    def is_dumb(self) -> bool:
        """True for a terminal that can show lines and nothing else."""
        return os.environ.get("TERM") == "dumb"

    @property
    def is_live(self) -> bool:
        """True when a line of narration can be written over."""
        return not self.is_plain and _is_terminal(self.err) and os.environ.get("TERM") != "dumb"

    def written(self, text: str) -> str:
        """`text` as it may be written here."""
        return ascii_of(text) if self.is_ascii else text

    def result(self, text: str) -> None:
        """Writes a result."""
        _write(self.out, self.written(text))

    def result_json(self, text: str) -> None:
        """Writes JSON: what a terminal could obey inside its strings is escaped the way JSON escapes."""
        escaped = _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        _emit(self.out, ascii_json(escaped) if self.is_ascii else escaped)

    def say(self, text: str) -> None:
        """Writes a line of narration."""
        _write(self.err, self.written(text))


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _write(stream: TextIO, text: str) -> None:
    """Writes `text` and a line end, control characters as visible escapes."""
    from advisor.report.wording import shown

    _emit(stream, shown(text, longest=len(text), lines=True))


def _emit(stream: TextIO, text: str) -> None:
    """Writes `text` and a line end; what the stream cannot encode appears as an escape."""
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error
