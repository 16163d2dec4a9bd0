"""Where the control groups of this process keep their files, for version 1, version 2 and the hybrid of both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from advisor.probes.files import read_text


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One folder of one controller. A limit set in any folder up to the mount point binds, so all of them are listed."""

    version: Literal[1, 2]
    folder: Path


def control_groups(controller: str, *, root: Path = Path("/")) -> tuple[ControlGroup, ...]:
    """The folders of `controller` (``cpu``, ``memory``) that bind this process, the innermost first; empty without cgroups.

    Under version 2 one hierarchy serves every controller. A container without a cgroup namespace sees the path of its
    host in ``/proc/self/cgroup`` and only its own part of it below the mount point: the part that is not mounted is cut.
    Shell: ``cat /proc/self/cgroup; grep cgroup /proc/self/mountinfo``.
    """
    paths = _paths(root)
    found: list[ControlGroup] = []
    for version, names, mounted, point in _mounts(root):
        if version == 1 and controller not in names:
            continue
        key = controller if version == 1 else ""
        if key not in paths:
            continue
        found += [ControlGroup(version, folder) for folder in _ascent(_below(paths[key], mounted), point, root)]
    return tuple(found)


def _paths(root: Path) -> dict[str, str]:
    """Controller to path, the empty name standing for version 2."""
    out: dict[str, str] = {}
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for name in parts[1].split(","):
                out[name] = parts[2]
    return out


def _mounts(root: Path) -> list[tuple[Literal[1, 2], frozenset[str], str, str]]:
    """Version, controllers, mounted part and mount point of every cgroup mount; the usual places where none is listed."""
    out: list[tuple[Literal[1, 2], frozenset[str], str, str]] = []
    for line in (read_text(root / "proc/self/mountinfo") or "").splitlines():
        left, dash, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if not dash or len(fields) < 5 or not kind:
            continue
        if kind[0] == "cgroup2":
            out.append((2, frozenset(), _unescape(fields[3]), _unescape(fields[4])))
        elif kind[0] == "cgroup":
            options = kind[2] if len(kind) > 2 else ""
            out.append((1, frozenset(options.split(",")), _unescape(fields[3]), _unescape(fields[4])))
    if out:
        return out
    usual = root / "sys/fs/cgroup"
    if (usual / "cgroup.controllers").exists():
        return [(2, frozenset(), "/", "/sys/fs/cgroup")]
    places: tuple[tuple[str, str], ...] = (("cpu", "cpu"), ("cpu", "cpu,cpuacct"), ("memory", "memory"))
    return [(1, frozenset({name}), "/", f"/sys/fs/cgroup/{folder}") for name, folder in places if (usual / folder).is_dir()]


def _unescape(path: str) -> str:
    """`path` with the octal escapes of mountinfo (``\\040`` is a space) undone."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), path)


def _below(path: str, mounted: str) -> tuple[str, ...]:
    """The parts of `path` below what is mounted; none when the path lies outside it, as it does in many containers."""
    parts = [p for p in PurePosixPath(path).parts if p not in ("/", "..", ".")]
    cut = [p for p in PurePosixPath(mounted).parts if p != "/"]
    if parts[: len(cut)] == cut:
        return tuple(parts[len(cut) :])
    return ()


def _ascent(parts: tuple[str, ...], point: str, root: Path) -> list[Path]:
    """The folder that `parts` lead to and its parents up to the mount point, as far as they exist."""
    base = root / point.lstrip("/")
    folders = [base.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
    return [folder for folder in folders if folder.is_dir()]
