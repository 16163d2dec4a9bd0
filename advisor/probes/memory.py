"""Main memory: how much there is and how much may be planned with."""

from __future__ import annotations

import os
from pathlib import Path

from advisor.core.facts import Unknown
from advisor.probes.cgroup import ControlGroup, control_groups
from advisor.probes.files import read_int, read_text

_NO_LIMIT_BYTES = 1 << 60
"""Version 1 writes "no limit" as the largest page-aligned number; nothing real comes near this."""


def memory_total_bytes(*, root: Path = Path("/")) -> int | Unknown:
    """MemTotal or the smallest cgroup limit, whichever is smaller. Shell: ``free -b``; ``cat /sys/fs/cgroup/memory.max``."""
    total = _meminfo(root).get("MemTotal") or _sysconf_total(root)
    bounds = [limit for limit in (_limit(group) for group in control_groups("memory", root=root)) if limit is not None]
    if total is not None:
        bounds.append(total)
    return min(bounds) if bounds else Unknown(reason="/proc/meminfo cannot be read", cure="Set --workers yourself.")


def memory_available_bytes(*, root: Path = Path("/")) -> int | Unknown:
    """min(limit − usage of every group on the way up, MemAvailable), at least 0. Shell: ``free -b``.

    File pages that have gone inactive count as free, as they do for MemAvailable: the kernel drops them before it would
    end a process, and the file just profiled must not look like memory that is gone.
    Source: the working set as the kubelet computes it, usage − inactive_file.
    """
    available = _meminfo(root).get("MemAvailable")
    bounds = [room for room in (_room(group) for group in control_groups("memory", root=root)) if room is not None]
    if available is not None:
        bounds.append(available)
    return max(0, min(bounds)) if bounds else Unknown(reason="/proc/meminfo tells no MemAvailable", cure="Set --workers yourself.")


def _limit(group: ControlGroup) -> int | None:
    limit = read_int(group.folder / ("memory.max" if group.version == 2 else "memory.limit_in_bytes"))
    return limit if limit is not None and 0 < limit < _NO_LIMIT_BYTES else None


def _room(group: ControlGroup) -> int | None:
    limit = _limit(group)
    usage = read_int(group.folder / ("memory.current" if group.version == 2 else "memory.usage_in_bytes"))
    if limit is None or usage is None:
        return None
    return limit - max(0, usage - _inactive_file(group))


def _inactive_file(group: ControlGroup) -> int:
    key = "inactive_file" if group.version == 2 else "total_inactive_file"
    for line in (read_text(group.folder / "memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.strip().isdigit():
            return int(value)
    return 0


def _meminfo(root: Path) -> dict[str, int]:
    """Bytes by name."""
    out: dict[str, int] = {}
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            out[name] = int(words[0]) * (1024 if words[-1] == "kB" else 1)
    return out


def _sysconf_total(root: Path) -> int | None:
    """Physical memory where there is no ``/proc``."""
    if root != Path("/"):
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
