"""Processors: how many this process may use, which they are, and what they can do."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

from advisor.core.facts import Unknown
from advisor.probes.cgroup import ControlGroup, control_groups
from advisor.probes.files import read_int, read_text

_VECTOR_SETS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "avx_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "neon",
    "asimd",
    "asimddp",
    "bf16",
    "i8mm",
    "sve",
    "sve2",
)
"""What matters to numerical libraries, in the kernel's spelling."""


def cpu_count(*, root: Path = Path("/")) -> int | Unknown:
    """Processors allowed: min(affinity, smallest cgroup quota / period on the way up), rounded down, at least 1.

    `os.cpu_count` ignores both and is asked last, where there is no ``/proc``.
    Shell: ``nproc``; ``cat /sys/fs/cgroup/cpu.max``.
    """
    allowed = _affinity(root)
    if allowed is None:
        return Unknown(reason="neither /proc nor the operating system tells the processors", cure="Set --workers yourself.")
    quotas = [q for q in (_quota(group) for group in control_groups("cpu", root=root)) if q is not None]
    return max(1, math.floor(min([float(allowed), *quotas])))


def _affinity(root: Path) -> int | None:
    for line in (read_text(root / "proc/self/status") or "").splitlines():
        name, _, value = line.partition(":")
        if name == "Cpus_allowed_list":
            counted = _count_list(value.strip())
            if counted:
                return counted
    return os.cpu_count() if root == Path("/") else None


def _count_list(text: str) -> int:
    """Members of a kernel list such as ``0-3,8``; 0 when it cannot be read."""
    total = 0
    for part in text.split(","):
        low, _, high = part.partition("-")
        try:
            total += int(high or low) - int(low) + 1
        except ValueError:
            return 0
    return total


def _quota(group: ControlGroup) -> float | None:
    """Processors that one group grants; None when it sets no limit."""
    if group.version == 2:
        words = (read_text(group.folder / "cpu.max") or "").split()
        if len(words) != 2 or words[0] == "max":
            return None
        try:
            quota, period = int(words[0]), int(words[1])
        except ValueError:
            return None
    else:
        quota = read_int(group.folder / "cpu.cfs_quota_us") or 0
        period = read_int(group.folder / "cpu.cfs_period_us") or 0
    return quota / period if quota > 0 and period > 0 else None


def cpu_model(*, root: Path = Path("/")) -> str | Unknown:
    """The marketing name. Shell: ``lscpu``."""
    lines = _cpuinfo(root)
    for key in ("model name", "Model", "cpu model", "Hardware"):
        if lines.get(key):
            return lines[key]
    named = platform.processor() if root == Path("/") else ""
    return named or Unknown(reason="/proc/cpuinfo names no model")


def instruction_sets(*, root: Path = Path("/")) -> tuple[str, ...] | Unknown:
    """Vector instruction sets, in a fixed order. Shell: ``grep -m1 -E 'flags|Features' /proc/cpuinfo``."""
    lines = _cpuinfo(root)
    flags = lines.get("flags") or lines.get("Features")
    if flags is None:
        return Unknown(reason="/proc/cpuinfo lists no instruction sets")
    present = set(flags.split())
    return tuple(name for name in _VECTOR_SETS if name in present)


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first value of every key of ``/proc/cpuinfo``."""
    out: dict[str, str] = {}
    for line in (read_text(root / "proc/cpuinfo") or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            out.setdefault(name.strip(), value.strip())
    return out
