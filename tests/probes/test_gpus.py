"""GPUs, exercised through the unmodified NVML binding on a stub of its library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from advisor.probes.gpus import _Device, select_visible

COMPILER = shutil.which("gcc") or shutil.which("cc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler to build the stub of libnvidia-ml.so.1 with")

_READ = """
import json, os, sys
from pathlib import Path
from advisor.core.facts import Unknown
from advisor.probes.gpus import visible_gpus
found = visible_gpus(root=Path(sys.argv[1]), environment=os.environ, host_total_bytes=64 << 30, host_available_bytes=48 << 30)
print(json.dumps(found.model_dump(mode="json") if isinstance(found, Unknown) else [g.model_dump(mode="json") for g in found]))
"""

Read = Callable[..., Any]


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders that hold a libnvidia-ml.so.1: whole, without the count, without the details, and one that is no library."""
    assert COMPILER is not None
    source = Path(__file__).with_name("nvml_stub.c")
    out = {}
    for name, flags in (("whole", []), ("without_count", ["-DWITHOUT_COUNT"]), ("without_details", ["-DWITHOUT_DETAILS"])):
        folder = tmp_path_factory.mktemp(name)
        subprocess.run([COMPILER, "-shared", "-fPIC", *flags, "-o", str(folder / "libnvidia-ml.so.1"), str(source)], check=True)
        out[name] = folder
    broken = tmp_path_factory.mktemp("broken")
    (broken / "libnvidia-ml.so.1").write_text("no library")
    return out | {"broken": broken}


@pytest.fixture
def read(libraries: dict[str, Path], tmp_path: Path) -> Read:
    """Reads the GPUs in a process whose loader finds the stub."""

    def reading(library: str = "whole", *, root: Path = tmp_path, **environment: object) -> Any:
        inherited = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        done = subprocess.run(
            [sys.executable, "-c", _READ, str(root)],
            env=inherited | {k: str(v) for k, v in environment.items()} | {"LD_LIBRARY_PATH": str(libraries[library])},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return reading


@needs_compiler
def test_every_gpu_is_read_with_its_memory_and_who_holds_it(read: Read, tmp_path: Path) -> None:
    (tmp_path / "proc" / "4242").mkdir(parents=True)
    (tmp_path / "proc" / "4242" / "comm").write_text("trainer\n")
    first, second = read(STUB_USED_MIB=1024, STUB_HOLDER=4242)
    assert (first["name"], first["uuid"], first["driver"], first["compute_capability"]) == ("Stub 0", "GPU-0000-stub", "575.64", "9.0")
    assert first["memory_total_bytes"] == 16 << 30
    assert first["memory_used_bytes"] == 1 << 30
    assert first["memory_free_bytes"] == 15 << 30
    assert first["held_by"] == ["4242 trainer 123456789"]
    assert first["utilisation_ratio"] == 0.4
    assert second["memory_total_bytes"] == 32 << 30
    assert second["held_by"] == ["7 ? ?"], "its name and its share are not told"


@needs_compiler
@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("1", ["GPU-1111-stub"]),
        ("1,0", ["GPU-1111-stub", "GPU-0000-stub"]),
        ("GPU-2222", ["GPU-2222-stub"]),
        ("0,7,1", ["GPU-0000-stub"]),
        ("-1", []),
        ("", []),
        ("0,0", []),
    ],
)
def test_only_the_devices_cuda_would_show_are_listed(read: Read, visible: str, expected: list[str]) -> None:
    assert [gpu["uuid"] for gpu in read(STUB_GPUS=3, CUDA_VISIBLE_DEVICES=visible)] == expected


@needs_compiler
def test_a_gpu_in_mig_mode_is_listed_by_its_slices(read: Read) -> None:
    gpus = read(STUB_MIG=2)
    assert [(g["uuid"], g["is_mig"]) for g in gpus] == [("MIG-aaaa0", True), ("MIG-aaaa1", True), ("GPU-1111-stub", False)]
    assert gpus[0]["memory_total_bytes"] == 4 << 30
    assert gpus[0]["compute_capability"] == "9.0", "asked of the GPU: a slice does not answer"
    assert gpus[0]["utilisation_ratio"]["unknown"] is True
    assert [g["uuid"] for g in read(STUB_MIG=2, CUDA_VISIBLE_DEVICES="MIG-aaaa1")] == ["MIG-aaaa1"]


@needs_compiler
@pytest.mark.parametrize(
    ("code", "cure"),
    [(9, "modprobe"), (18, "Restart"), (4, "access"), (999, "nvidia-smi")],
    ids=["driver not loaded", "version mismatch", "no permission", "unknown error"],
)
def test_an_nvml_that_fails_as_a_whole_is_unknown_with_a_cure(read: Read, code: int, cure: str) -> None:
    value = read(STUB_INIT=code)
    assert value["unknown"] is True
    assert cure in value["cure"]
    assert "CUDA_VISIBLE_DEVICES" in value["cure"], "there is always a way to go on without"


@needs_compiler
def test_a_missing_function_of_the_whole_is_unknown(read: Read) -> None:
    value = read("without_count")
    assert value["unknown"] is True
    assert "Function Not Found" in value["reason"]


@needs_compiler
def test_missing_functions_of_a_reading_make_that_reading_unknown(read: Read) -> None:
    first, *_ = read("without_details")
    assert first["uuid"] == "GPU-0000-stub"
    for field in ("memory_free_bytes", "compute_capability", "utilisation_ratio", "held_by"):
        assert first[field]["unknown"] is True


@needs_compiler
def test_unified_memory_stands_for_the_hosts_and_no_other_error_does(read: Read) -> None:
    shared, *_ = read(STUB_MEMORY=3)
    assert (shared["memory_total_bytes"], shared["memory_free_bytes"]) == (64 << 30, 48 << 30)
    failing, *_ = read(STUB_MEMORY=15)
    assert failing["memory_free_bytes"]["unknown"] is True


@needs_compiler
def test_a_gpu_that_may_not_be_opened_is_left_out(read: Read) -> None:
    assert [gpu["uuid"] for gpu in read(STUB_HIDDEN=0)] == ["GPU-1111-stub"]


@needs_compiler
def test_a_file_that_is_no_library_is_unknown(read: Read) -> None:
    assert read("broken")["unknown"] is True


@pytest.mark.skipif(sys.platform != "linux", reason="the driver's files are those of Linux")
def test_without_library_the_signs_of_a_driver_decide_between_none_and_unknown(tmp_path: Path) -> None:
    """In a process whose loader finds no stub: the machine that runs the tests may have a real library."""
    script = (
        "import ctypes, sys\n"
        "def absent(*a, **k): raise OSError('libnvidia-ml.so.1: cannot open shared object file: No such file or directory')\n"
        "ctypes.CDLL = absent\n" + _READ
    )
    inherited = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}

    def reading() -> Any:
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=inherited, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)

    assert reading() == []
    (tmp_path / "proc" / "driver" / "nvidia").mkdir(parents=True)
    (tmp_path / "proc" / "driver" / "nvidia" / "version").write_text("NVRM version: 575\n")
    value = reading()
    assert value["unknown"] is True
    assert "--gpus all" in value["cure"]


def _gpu(position: int, uuid: str) -> _Device:
    return _Device(None, uuid, position, uuid.startswith("MIG-"), None)


DEVICES = (_gpu(0, "GPU-aab"), _gpu(1, "GPU-aac"), _gpu(2, "MIG-x1"), _gpu(2, "MIG-x2"), _gpu(3, "GPU-d"))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("0,1", ["GPU-aab", "GPU-aac"]),
        ("3,0", ["GPU-d", "GPU-aab"]),
        (" 1 , 0 ", ["GPU-aac", "GPU-aab"]),
        ("1gpu", ["GPU-aac"]),
        ("+1", ["GPU-aac"]),
        ("2", ["MIG-x1"]),
        ("0,-1,1", ["GPU-aab"]),
        ("0,,1", ["GPU-aab"]),
        ("0,9,1", ["GPU-aab"]),
        ("x,0", []),
        ("1,1", []),
        ("9" * 400, []),
        ("GPU-aab", ["GPU-aab"]),
        ("GPU-d,GPU-aab", ["GPU-d", "GPU-aab"]),
        ("GPU-aa", []),
        ("GPU-d,GPU-aa,GPU-aab", ["GPU-d"]),
        ("GPU-d,0", ["GPU-d"]),
        ("0,GPU-d", ["GPU-aab"]),
        ("MIG-x2", ["MIG-x2"]),
        ("MIG-x2,GPU-d", ["MIG-x2"]),
        ("GPU-d,GPU-d", []),
    ],
)
def test_the_rules_of_cuda_choose_the_devices(wanted: str, expected: list[str]) -> None:
    assert [device.uuid for device in select_visible(wanted, DEVICES)] == expected
