"""Processors and memory under affinity, quotas and limits of either version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from advisor.core.facts import Unknown
from advisor.probes import cpu, memory
from tests.probes.trees import GIB, bare, plant, version1, version2


def test_without_control_groups_affinity_decides(tmp_path: Path) -> None:
    assert cpu.cpu_count(root=plant(tmp_path, bare(cpus="0-3,8,10-11"))) == 7


def test_a_version_2_quota_below_the_affinity_decides_rounded_down(tmp_path: Path) -> None:
    files = bare() | version2(files={"user.slice/app.scope/cpu.max": "250000 100000\n"})
    assert cpu.cpu_count(root=plant(tmp_path, files)) == 2


def test_a_quota_of_half_a_processor_still_leaves_one(tmp_path: Path) -> None:
    files = bare() | version2(files={"user.slice/app.scope/cpu.max": "50000 100000\n"})
    assert cpu.cpu_count(root=plant(tmp_path, files)) == 1


def test_a_quota_of_a_parent_binds_the_child(tmp_path: Path) -> None:
    files = bare() | version2(
        files={"user.slice/app.scope/cpu.max": "max 100000\n", "user.slice/cpu.max": "400000 100000\n", "cpu.max": "max 100000\n"}
    )
    assert cpu.cpu_count(root=plant(tmp_path, files)) == 4


def test_a_version_1_quota_counts_and_minus_one_means_none(tmp_path: Path) -> None:
    limited = version1(
        files={"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n"}
    )
    free = version1(files={"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n"})
    assert cpu.cpu_count(root=plant(tmp_path / "limited", bare() | limited)) == 3
    assert cpu.cpu_count(root=plant(tmp_path / "free", bare() | free)) == 16


def test_a_container_that_sees_only_its_part_of_the_hierarchy_finds_its_limits(tmp_path: Path) -> None:
    """Docker under version 1: the path is the host's, the mount point shows the container's own folder."""
    files = version1(
        mounted="/docker/abc",
        files={
            "cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": f"{4 * GIB}\n",
            "memory/memory.usage_in_bytes": f"{GIB}\n",
        },
    )
    root = plant(tmp_path, bare() | files)
    assert cpu.cpu_count(root=root) == 2
    assert memory.memory_available_bytes(root=root) == 3 * GIB


def test_a_mount_point_with_a_space_is_found(tmp_path: Path) -> None:
    files = bare() | {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": "31 23 0:28 / /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n",
        "mnt/my groups/cpu.max": "100000 100000\n",
    }
    assert cpu.cpu_count(root=plant(tmp_path, files)) == 1


def test_a_machine_that_tells_nothing_gives_unknowns_with_cures(tmp_path: Path) -> None:
    for value in (cpu.cpu_count(root=tmp_path), memory.memory_available_bytes(root=tmp_path), memory.memory_total_bytes(root=tmp_path)):
        assert isinstance(value, Unknown)
        assert value.cure
    assert isinstance(cpu.cpu_model(root=tmp_path), Unknown)
    assert isinstance(cpu.instruction_sets(root=tmp_path), Unknown)


@pytest.mark.parametrize("garbage", ["", "max", "1 2 3", "x y", "-5 100000", "100000 0", "\x00\xff", "9" * 5000 + " 1"])
def test_garbage_in_a_quota_is_no_quota(tmp_path: Path, garbage: str) -> None:
    root = plant(tmp_path, bare() | version2(files={"user.slice/app.scope/cpu.max": garbage}))
    assert cpu.cpu_count(root=root) == 16


def test_model_and_vector_sets_are_read_in_a_fixed_order(tmp_path: Path) -> None:
    root = plant(tmp_path, bare())
    assert cpu.cpu_model(root=root) == "Test CPU 9000"
    assert cpu.instruction_sets(root=root) == ("sse4_2", "avx2", "fma", "avx512f", "amx_bf16")


def test_an_arm_machine_lists_its_features(tmp_path: Path) -> None:
    root = plant(tmp_path, {"proc/cpuinfo": "Features\t: fp asimd sve2 bf16\nModel\t\t: Board 5\n"})
    assert cpu.instruction_sets(root=root) == ("asimd", "bf16", "sve2")
    assert cpu.cpu_model(root=root) == "Board 5"


def test_memory_without_limits_is_what_the_kernel_says(tmp_path: Path) -> None:
    root = plant(tmp_path, bare())
    assert memory.memory_total_bytes(root=root) == 64 * GIB
    assert memory.memory_available_bytes(root=root) == 48 * GIB


def test_a_version_2_limit_leaves_limit_less_usage(tmp_path: Path) -> None:
    files = version2(files={"user.slice/app.scope/memory.max": f"{8 * GIB}\n", "user.slice/app.scope/memory.current": f"{3 * GIB}\n"})
    root = plant(tmp_path, bare() | files)
    assert memory.memory_total_bytes(root=root) == 8 * GIB
    assert memory.memory_available_bytes(root=root) == 5 * GIB


def test_inactive_file_pages_count_as_free(tmp_path: Path) -> None:
    files = version2(
        files={
            "user.slice/app.scope/memory.max": f"{8 * GIB}\n",
            "user.slice/app.scope/memory.current": f"{7 * GIB}\n",
            "user.slice/app.scope/memory.stat": f"anon {GIB}\ninactive_file {5 * GIB}\nactive_file {GIB}\n",
        }
    )
    assert memory.memory_available_bytes(root=plant(tmp_path, bare() | files)) == 6 * GIB


def test_a_parent_that_is_nearly_full_binds_the_child(tmp_path: Path) -> None:
    files = version2(
        files={
            "user.slice/app.scope/memory.max": f"{8 * GIB}\n",
            "user.slice/app.scope/memory.current": f"{GIB}\n",
            "user.slice/memory.max": f"{16 * GIB}\n",
            "user.slice/memory.current": f"{14 * GIB}\n",
        }
    )
    assert memory.memory_available_bytes(root=plant(tmp_path, bare() | files)) == 2 * GIB


def test_the_largest_number_of_version_1_is_no_limit(tmp_path: Path) -> None:
    files = version1(
        files={"memory/docker/abc/memory.limit_in_bytes": "9223372036854771712\n", "memory/docker/abc/memory.usage_in_bytes": "1\n"}
    )
    root = plant(tmp_path, bare() | files)
    assert memory.memory_total_bytes(root=root) == 64 * GIB
    assert memory.memory_available_bytes(root=root) == 48 * GIB


def test_usage_above_a_limit_that_was_just_lowered_leaves_nothing(tmp_path: Path) -> None:
    files = version2(files={"user.slice/app.scope/memory.max": f"{GIB}\n", "user.slice/app.scope/memory.current": f"{2 * GIB}\n"})
    assert memory.memory_available_bytes(root=plant(tmp_path, bare() | files)) == 0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the affinity can only be set on Linux")
def test_the_affinity_of_this_very_process_is_respected() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cpu.cpu_count() == 1
    finally:
        os.sched_setaffinity(0, before)
