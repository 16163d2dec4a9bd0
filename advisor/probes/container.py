"""Whether this process runs in a container."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from advisor.core.facts import Unknown
from advisor.probes.files import read_text

_MARKS = ("/docker", "/kubepods", "/containerd", "/lxc", "/libpod", "docker-", "cri-containerd-")


def is_container(*, root: Path = Path("/"), environment: Mapping[str, str]) -> bool | Unknown:
    """True inside Docker, Podman, Kubernetes, LXC or systemd-nspawn. Shell: ``systemd-detect-virt --container``."""
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return True
    if environment.get("container") or environment.get("KUBERNETES_SERVICE_HOST"):
        return True
    groups = read_text(root / "proc/1/cgroup")
    if groups is None and not (root / "proc").is_dir():
        return Unknown(reason="there is no /proc to look into")
    return any(mark in (groups or "") for mark in _MARKS)
