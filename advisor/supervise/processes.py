"""Finding and ending every process a worker left behind, wherever it hid. Standard library only.

A process group is not enough: a child that called setsid leaves it. What no child can shed by accident is the environment it
was started with, so each worker carries a mark there, and /proc is searched for it. Run as a program this module is the
sentinel of a pool: it waits until its engine is gone and then ends whatever still bears the pool's mark.
"""

from __future__ import annotations

import os
import signal
import sys
import time

MARK = "ADVISOR_WORKER"
"""Environment variable that marks a worker and all its descendants: ``TOKEN-NUMBER-``."""


def survivors(mark: str, session: int | None = None) -> set[int]:
    """Pids of live processes whose environment bears a mark that begins with `mark`, or that belong to `session`.

    Empty where there is no /proc (macOS): there only the process group is known. The caller is never among them.
    """
    wanted = f"{MARK}={mark}".encode()
    found: set[int] = set()
    try:
        names = os.listdir("/proc")  # noqa: PTH208
    except OSError:
        return found
    for name in names:
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123  pathlib doubles the cost of a scan
                fields = file.read().rpartition(b")")[2].split()
            if fields[0] in (b"Z", b"X"):
                continue
            if session is not None and int(fields[3]) == session:
                found.add(int(name))
                continue
            with open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                environment = file.read()
        except (OSError, IndexError):
            continue  # gone meanwhile, or another user's
        if environment.startswith(wanted) or b"\0" + wanted in environment:
            found.add(int(name))
    return found


def sweep(mark: str, session: int | None = None) -> int:
    """Kills every survivor, again until none is left, and gives how many there were; at most 2 seconds."""
    killed: set[int] = set()
    give_up = time.monotonic() + 2.0
    while time.monotonic() < give_up:
        found = survivors(mark, session)
        if not found:
            break
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.add(pid)
        time.sleep(0.005)
    return len(killed)


def signal_group(group: int, number: signal.Signals) -> None:
    """Sends `number` to a whole process group; one that is gone is fine."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return  # macOS answers EPERM for a group of zombies


def _watch() -> None:
    """The sentinel: reads until the engine's end of the pipe closes, then sweeps."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    sweep(sys.argv[1])


if __name__ == "__main__":
    _watch()
