"""What the interface makes one wait for: the first paint, and a key during a run and with thousands of trials, in a real terminal.

    python -m benchmarks.interface [--rounds 7] [--keys 20] [--burners 2]

A terminal of 80 × 24 is opened on the real command, with as many busy processes beside it as `--burners` says. The first paint is
the time from the start of the process until the name of the screen is written; beside it stands a bare interpreter that only
imports the terminal library. A key is the time from its press until what it asks for is written. Beside each wait stands what the
process itself computed meanwhile, which other work on the machine hardly moves. The runs are recorded ones, written to a journal
of their own; the first goes on growing by eight trials a second, as far as the screen can tell by a living engine.

Ends with 1 when a median is beyond what is promised: 1 s, 100 ms, 200 ms.
"""

from __future__ import annotations

import argparse
import fcntl
import multiprocessing
import os
import pty
import select
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from advisor.core.events import EngineStarted, Event
from advisor.journal import Journal
from advisor.supervise.identity import process_identity
from benchmarks.import_cost import cost, small_table
from tests.fakes import journals

ROOT = Path(__file__).parents[1]
PAINT_SECONDS, KEY_SECONDS, CROWDED_KEY_SECONDS = 1.0, 0.1, 0.2
LONGEST_SECONDS = 60.0
DOWN = b"\x1b[B"


@dataclass(frozen=True, slots=True)
class Took:
    """What one wait took."""

    seconds: float
    """On the clock: what a person waits."""
    cpu_seconds: float
    """Of it, what the process itself was computing (all its threads); other work on the machine does not move it."""


class Terminal:
    """A command in a terminal of 80 × 24."""

    def __init__(self, words: Sequence[str]) -> None:
        self.began = time.perf_counter()
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", TEXTUAL_ANIMATIONS="none", PYTHONPATH=str(ROOT))
            os.execv(sys.executable, [sys.executable, *words])
        fcntl.ioctl(self.handle, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def until(self, wanted: bytes) -> float:
        """The moment at which `wanted` had been written since the last call. Raises: TimeoutError."""
        seen = b""
        end = time.perf_counter() + LONGEST_SECONDS
        while time.perf_counter() < end:
            if select.select([self.handle], [], [], 0.5)[0]:
                try:
                    seen += os.read(self.handle, 65536)
                except OSError:
                    break
                if wanted in seen:
                    return time.perf_counter()
        raise TimeoutError(f"{wanted!r} was never written; the last of it: {seen[-400:]!r}")

    def drain(self, seconds: float) -> None:
        """Reads on for `seconds`."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.handle], [], [], left)[0]:
                os.read(self.handle, 65536)

    def cpu(self) -> float:
        """Seconds that the process has computed so far."""
        return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat")) / 1e9

    def key(self, press: bytes, wanted: bytes) -> Took:
        """What it takes from a press until `wanted` is written."""
        computed, began = self.cpu(), time.perf_counter()
        os.write(self.handle, press)
        return Took(self.until(wanted) - began, self.cpu() - computed)

    def close(self) -> None:
        """Ends the interface by its own key and waits for it."""
        os.write(self.handle, b"\x11")
        try:
            while os.read(self.handle, 65536):
                pass
        except OSError:  # the other end is gone
            pass
        os.waitpid(self.pid, 0)
        os.close(self.handle)


def burn() -> None:
    """Keeps one core busy."""
    while True:
        sum(range(10_000))


@contextmanager
def burners(count: int) -> Iterator[None]:
    """`count` busy processes beside what is measured."""
    busy = [multiprocessing.Process(target=burn, daemon=True) for _ in range(count)]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.join()


def first_paints(table: Path, rounds: int) -> list[Took]:
    """What it takes until the questions stand on the terminal, a round each."""
    out = []
    for _ in range(rounds):
        terminal = Terminal(["-m", "advisor", str(table)])
        out.append(Took(terminal.until(b"Questions") - terminal.began, terminal.cpu()))
        terminal.close()
    return out


def bare_imports(rounds: int) -> list[Took]:
    """What an interpreter takes which only imports the terminal library takes."""
    out = []
    for _ in range(rounds):
        found = cost("-c", "import textual.app, textual.widgets")
        out.append(Took(found.wall_seconds, found.cpu_seconds))
    return out


def alive(events: Sequence[Event]) -> list[Event]:
    """The events with this very process as their engine."""
    me = process_identity()
    assert me is not None
    engine = {"pid": me.pid, "started_at_ticks": me.started_at_ticks, "boot_id": me.boot_id}
    return [e.model_copy(update=engine) if isinstance(e, EngineStarted) else e for e in events]


def growing(path: Path, first: int, stop: threading.Event) -> None:
    """Adds a trial eight times a second."""
    with Journal.open(path) as journal:
        number = first
        while not stop.wait(0.125):
            journal.append(*journals.trials(1, first=number, seconds=0.1, steps=2))
            number += 1


def keys_of(folder: Path, events: Sequence[Event], *, keys: int, grows: bool) -> dict[str, list[Took]]:
    """What a key takes on the run of `events`: one row down, another pane, and the help."""
    run_dir = folder / f"run-{len(events)}"
    run_dir.mkdir()
    with Journal.open(run_dir / "journal.db") as journal:
        journal.append(*alive(events))
    newest = max(e.trial for e in events if e.kind == "trial_started")
    stop = threading.Event()
    terminal = Terminal(["-m", "advisor", "attach", str(run_dir)])
    terminal.until(b"journal safe")
    terminal.drain(3.0)
    if grows:
        threading.Thread(target=growing, args=(run_dir / "journal.db", newest + 1, stop), daemon=True).start()
    os.write(terminal.handle, DOWN)  # from now on the cursor keeps its trial, whatever comes above it
    terminal.drain(1.0)
    under = newest - 1
    taken: dict[str, list[Took]] = {"one row down": [], "plots": [], "help": []}
    for _ in range(keys):
        terminal.drain(0.15)
        if not grows:  # a table that grows is written anew anyway, so that the row's number tells nothing
            under -= 1
            taken["one row down"].append(terminal.key(DOWN, str(under).encode()))
        terminal.drain(0.15)
        taken["plots"].append(terminal.key(b"p", f"Trial {under}".encode()))
        os.write(terminal.handle, b"p")
        terminal.drain(0.5)
        taken["help"].append(terminal.key(b"?", b"Esc closes"))
        os.write(terminal.handle, b"\x1b")
        terminal.drain(0.5)
    stop.set()
    terminal.close()
    return {key: seconds for key, seconds in taken.items() if seconds}


def told(name: str, waits: Sequence[Took], promised: float | None = None) -> bool:
    """Prints one line; True when the median wait keeps what is promised."""
    middle = statistics.median(w.seconds for w in waits)
    computed = statistics.median(w.cpu_seconds for w in waits)
    worst = max(w.seconds for w in waits)
    limit = f"promised {promised * 1000:.0f} ms" if promised else ""
    print(
        f"{name:42}{middle * 1000:7.0f} ms  worst {worst * 1000:5.0f} ms  own CPU {computed * 1000:5.0f} ms  n={len(waits):<3} {limit}",
        flush=True,
    )
    return promised is None or middle <= promised


def main() -> int:
    """0 when every promise is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--burners", type=int, default=2)
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} cores, {chosen.burners} busy processes beside, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name, burners(chosen.burners):
        folder = Path(name)
        first_paints(small_table(folder), 1)  # the first start compiles
        told("bare interpreter, terminal library alone", bare_imports(chosen.rounds))
        kept = [told("first paint, 80 × 24", first_paints(small_table(folder), chosen.rounds), PAINT_SECONDS)]
        for what, events, grows, promised in (
            ("during a run", journals.running(), True, KEY_SECONDS),
            ("5,000 trials", journals.huge(), False, CROWDED_KEY_SECONDS),
        ):
            for key, seconds in keys_of(folder, events, keys=chosen.keys, grows=grows).items():
                kept.append(told(f"{what}: {key}", seconds, promised))
    print("kept" if all(kept) else "NOT KEPT")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
