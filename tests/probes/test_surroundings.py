"""Disk, threads, container, torch's build and a named cluster."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from advisor.core.facts import Gpu, Unknown
from advisor.probes import cluster, container, disk, threads, torch_device
from advisor.probes.hardware import probe_hardware
from tests.probes.trees import bare, plant
from tests.timing import kept

GPU = Gpu(
    name="G",
    uuid="GPU-1",
    memory_total_bytes=1,
    memory_used_bytes=0,
    memory_free_bytes=1,
    driver="1",
    compute_capability="9.0",
    utilisation_ratio=0.0,
)


def test_free_disk_is_that_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    free = disk.disk_free_bytes(tmp_path / "not" / "yet")
    assert isinstance(free, int)
    # Others write to the same disk meanwhile: within a gigabyte.
    assert abs(free - shutil.disk_usage(tmp_path).free) < 1 << 30


def test_a_file_in_the_way_of_the_runs_folder_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    value = disk.disk_free_bytes(tmp_path / "file" / "runs")
    assert isinstance(value, Unknown | int)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 8),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "0"}, 8),
        ({"OMP_NUM_THREADS": "many"}, 8),
        ({"MKL_NUM_THREADS": " 5 "}, 5),
    ],
)
def test_blas_threads_follow_the_environment_then_the_processors(environment: dict[str, str], expected: int) -> None:
    assert threads.blas_threads(8, environment=environment) == expected


def test_blas_threads_are_unknown_when_the_processors_are() -> None:
    assert isinstance(threads.blas_threads(Unknown(reason="x"), environment={}), Unknown)


@pytest.mark.parametrize(
    ("files", "environment", "expected"),
    [
        ({"proc/1/cgroup": "0::/init.scope\n"}, {}, False),
        ({".dockerenv": ""}, {}, True),
        ({"run/.containerenv": ""}, {}, True),
        ({"proc/1/cgroup": "3:cpu:/kubepods/burstable/pod1\n"}, {}, True),
        ({"proc/1/cgroup": "0::/\n"}, {"container": "systemd-nspawn"}, True),
        ({"proc/1/cgroup": "0::/\n"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, True),
    ],
)
def test_containers_leave_their_marks(tmp_path: Path, files: dict[str, str], environment: dict[str, str], expected: bool) -> None:
    assert container.is_container(root=plant(tmp_path, files), environment=environment) is expected


def test_without_proc_whether_it_is_a_container_is_unknown(tmp_path: Path) -> None:
    assert isinstance(container.is_container(root=tmp_path, environment={}), Unknown)


def _torch(tmp_path: Path, *, cuda: str | None = None, hip: str | None = None) -> Path:
    text = f"from typing import Optional\n__version__ = '2.9.0'\ncuda: Optional[str] = {cuda!r}\nhip: Optional[str] = {hip!r}\n"
    return plant(tmp_path, {"torch/version.py": text}) / "torch"


@pytest.mark.parametrize(
    ("build", "gpus", "expected"),
    [
        ({}, (GPU,), "cpu"),
        ({"cuda": "12.8"}, (GPU,), "cuda"),
        ({"cuda": "12.8"}, (), "cpu"),
        ({"hip": "6.4"}, (), "cpu"),
    ],
)
def test_torch_uses_what_both_its_build_and_the_machine_have(
    tmp_path: Path, build: dict[str, str], gpus: tuple[Gpu, ...], expected: str
) -> None:
    found = torch_device.torch_device(gpus, package=_torch(tmp_path, **build), system="Linux", machine="x86_64", root=tmp_path)
    assert found == expected


def test_a_rocm_build_with_its_device_is_cuda_to_torch(tmp_path: Path) -> None:
    folder = _torch(tmp_path, hip="6.4")
    plant(tmp_path, {"dev/kfd": ""})
    assert torch_device.torch_device((), package=folder, system="Linux", machine="x86_64", root=tmp_path) == "cuda"


def test_a_cuda_build_on_unknown_gpus_is_unknown_for_the_same_reason(tmp_path: Path) -> None:
    unknown = Unknown(reason="driver asleep", cure="Wake it.")
    found = torch_device.torch_device(unknown, package=_torch(tmp_path, cuda="12.8"), system="Linux", machine="x86_64")
    assert isinstance(found, Unknown)
    assert "driver asleep" in found.reason
    assert found.cure == "Wake it."


@pytest.mark.parametrize(("machine", "expected"), [("arm64", "mps"), ("x86_64", "cpu")])
def test_a_mac_uses_its_own_device_on_apple_silicon_only(tmp_path: Path, machine: str, expected: str) -> None:
    assert torch_device.torch_device((), package=_torch(tmp_path), system="Darwin", machine=machine) == expected


def test_without_torch_the_cure_is_to_install_it() -> None:
    found = torch_device.torch_device((), package=None)
    assert isinstance(found, Unknown)
    assert "pip install" in found.cure


def test_the_installed_build_is_read_as_torch_itself_would_say() -> None:
    """The CPU build says None, a CUDA build its version: whatever is installed, the text is found and read."""
    folder = torch_device.torch_folder()
    assert folder is not None
    assert isinstance(torch_device.torch_device((), package=folder), str)


def test_no_cluster_named_means_no_slots() -> None:
    assert cluster.cluster_slots(None) == 0


def test_a_cluster_that_does_not_answer_is_unknown_within_its_patience() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        began = time.monotonic()
        value = cluster.cluster_slots(f"127.0.0.1:{taken.getsockname()[1]}")
    assert isinstance(value, Unknown)
    assert "no answer" in value.reason
    assert value.cure
    assert kept(2, since=began)


def test_a_cluster_that_answers_is_unknown_with_what_is_missing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        value = cluster.cluster_slots(f"ray://127.0.0.1:{server.getsockname()[1]}")
    assert isinstance(value, Unknown)
    assert "answers" in value.reason
    assert value.cure


@pytest.mark.parametrize("address", ["", ":", "host:port", "host:70000", "http://host:1/x", "ray://"])
def test_what_is_no_address_is_said_to_be_none(address: str) -> None:
    value = cluster.cluster_slots(address)
    assert isinstance(value, Unknown)
    assert "no address" in value.reason


def test_the_whole_machine_of_a_fixture_tree_is_probed(tmp_path: Path) -> None:
    hardware = probe_hardware(runs=tmp_path, root=plant(tmp_path, bare()), environment={"CUDA_VISIBLE_DEVICES": ""})
    assert hardware.cpu_count == 16
    assert hardware.blas_threads == 16
    assert hardware.gpus == ()
    assert hardware.is_container is False


def test_an_empty_tree_gives_a_value_for_every_field(tmp_path: Path) -> None:
    hardware = probe_hardware(runs=tmp_path, root=tmp_path / "nothing", environment={"CUDA_VISIBLE_DEVICES": ""})
    unknown: list[Any] = [hardware.cpu_count, hardware.memory_total_bytes, hardware.instruction_sets, hardware.is_container]
    assert all(isinstance(value, Unknown) for value in unknown)


def test_facts_of_this_machine_survive_a_file(tmp_path: Path) -> None:
    hardware = probe_hardware(runs=tmp_path)
    assert type(hardware).model_validate_json(hardware.model_dump_json()) == hardware
