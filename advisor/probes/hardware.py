"""The whole machine: every fragment put together."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from advisor.core.facts import Hardware
from advisor.probes import cluster as cluster_probe
from advisor.probes import container, cpu, disk, gpus, memory, threads, torch_device


def probe_hardware(
    *,
    runs: Path,
    cluster: str | None = None,
    root: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
) -> Hardware:
    """What this process may use of the machine. Never raises: what cannot be read is an `Unknown` with its cure.

    `root` stands for the root of the file system, so that a tree of fixtures can be probed. About 0.1 seconds where
    there is a GPU, a hundredth where there is none; a named cluster that does not answer costs a second more.
    """
    surroundings = os.environ if environment is None else environment
    allowed = cpu.cpu_count(root=root)
    available = memory.memory_available_bytes(root=root)
    total = memory.memory_total_bytes(root=root)
    devices = gpus.visible_gpus(root=root, environment=surroundings, host_total_bytes=total, host_available_bytes=available)
    return Hardware(
        cpu_count=allowed,
        cpu_model=cpu.cpu_model(root=root),
        instruction_sets=cpu.instruction_sets(root=root),
        memory_total_bytes=total,
        memory_available_bytes=available,
        disk_free_bytes=disk.disk_free_bytes(runs),
        gpus=devices,
        torch_device=torch_device.torch_device(devices, package=torch_device.torch_folder(), root=root),
        blas_threads=threads.blas_threads(allowed, environment=surroundings),
        cluster_slots=cluster_probe.cluster_slots(cluster),
        platform=f"{platform.system()} {platform.machine()}",
        is_container=container.is_container(root=root, environment=surroundings),
    )
