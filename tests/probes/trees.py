"""Trees of kernel files, as different machines show them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

V2_MOUNT = "31 23 0:28 {mounted} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1_MOUNTS = (
    "32 31 0:29 {mounted} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 {mounted} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)
GIB = 1 << 30


def plant(root: Path, files: Mapping[str, str]) -> Path:
    """`root` with `files` below it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def bare(*, cpus: str = "0-15", total: int = 64 * GIB, available: int = 48 * GIB) -> dict[str, str]:
    """A machine without control groups."""
    return {
        "proc/self/status": f"Name:\tpython\nCpus_allowed:\tffff\nCpus_allowed_list:\t{cpus}\n",
        "proc/meminfo": f"MemTotal: {total // 1024} kB\nMemFree: 1024 kB\nMemAvailable: {available // 1024} kB\n",
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Test CPU 9000\nflags\t\t: fpu sse4_2 avx2 fma amx_bf16 avx512f\n\nprocessor\t: 1\n",
        "proc/1/cgroup": "0::/init.scope\n",
    }


def version2(path: str = "/user.slice/app.scope", *, mounted: str = "/", files: Mapping[str, str]) -> dict[str, str]:
    """The files of a version-2 hierarchy; `files` are relative to the mount point."""
    return {
        "proc/self/cgroup": f"0::{path}\n",
        "proc/self/mountinfo": V2_MOUNT.format(mounted=mounted),
        "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }


def version1(path: str = "/docker/abc", *, mounted: str = "/", files: Mapping[str, str]) -> dict[str, str]:
    """The files of version-1 hierarchies; `files` are relative to ``/sys/fs/cgroup``."""
    return {
        "proc/self/cgroup": f"4:memory:{path}\n1:cpu,cpuacct:{path}\n",
        "proc/self/mountinfo": V1_MOUNTS.format(mounted=mounted),
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
