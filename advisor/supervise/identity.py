"""What names a process for ever: boot id, pid and start time. Never its age, never the pid alone."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process among all that ever ran on this machine."""

    pid: int
    """Process id."""
    started_at_ticks: int
    """Start time in clock ticks since boot (field 22 of ``/proc/PID/stat``)."""
    boot_id: str
    """``/proc/sys/kernel/random/boot_id``; empty where there is none."""


def process_identity(pid: int | None = None) -> ProcessIdentity | None:
    """The identity of process `pid` (this one when None); None when it does not exist or is a zombie.

    Shell: ``cut -d' ' -f22 /proc/PID/stat``. Without /proc (macOS) psutil's creation time in hundredths of a second stands in.
    """
    pid = os.getpid() if pid is None else pid
    if (_PROC / "self/stat").exists():
        found = _stat(pid)
        return None if found is None else ProcessIdentity(pid, found, boot_id())
    import psutil  # 15 ms that only a system without /proc needs

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ProcessIdentity(pid, int(process.create_time() * 100), "")
    except psutil.Error:
        return None


def is_alive(identity: ProcessIdentity) -> bool:
    """True when exactly this process still runs; a reused pid, another boot or a zombie is not it."""
    return process_identity(identity.pid) == identity


def boot_id() -> str:
    """Identity of this boot of the machine; empty where the kernel gives none."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_age_seconds() -> float:
    """Seconds since this process was started, the start of the interpreter included.

    Shell: ``ps -o etimes= -p PID``. Resolution is one clock tick (usually 0.01 s).
    """
    ticks = _stat(os.getpid())
    if ticks is None:
        import psutil

        return max(0.0, time.time() - psutil.Process().create_time())
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def _stat(pid: int) -> int | None:
    """Start ticks of `pid`; None when it is gone or a zombie."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])
