"""Accelerators as NVML names them, narrowed to those that CUDA would show this process.

NVML ignores `CUDA_VISIBLE_DEVICES` and orders by PCI bus, so the devices are matched by UUID. A machine without a driver
has no GPU; every other way in which NVML can fail is an `Unknown` that says what to do about it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from advisor.core.facts import Gpu, Unknown
from advisor.probes.files import read_text

_LIBRARY = "libnvidia-ml.so.1"
_CPU_ONLY = "Set CUDA_VISIBLE_DEVICES= (empty) to plan for the processors alone."

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Device:
    """What CUDA can be pointed at: a whole GPU, or one slice of it. `position` is the index of the GPU in PCI order."""

    handle: Any
    uuid: str
    position: int
    is_slice: bool
    parent: Any


def visible_gpus(
    *,
    root: Path = Path("/"),
    environment: Mapping[str, str],
    host_total_bytes: int | Unknown,
    host_available_bytes: int | Unknown,
) -> tuple[Gpu, ...] | Unknown:
    """The devices CUDA would show, in its order; empty where there is clearly none, an `Unknown` where it cannot be told.

    A part with unified memory answers NOT_SUPPORTED when it is asked for its memory: the host's stands in, there only.
    Shell: ``nvidia-smi -L``; ``echo $CUDA_VISIBLE_DEVICES``.
    """
    wanted = environment.get("CUDA_VISIBLE_DEVICES")
    if wanted is not None and not wanted.strip():
        return ()
    missing = _missing_library(root)
    if missing is not None:
        return missing
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return _unusable(pynvml, error)
    try:
        devices = _devices(pynvml)
        chosen = devices if wanted is None else select_visible(wanted, devices)
        driver = _ask(pynvml, lambda: str(pynvml.nvmlSystemGetDriverVersion()))
        return tuple(_describe(pynvml, device, driver, root, host_total_bytes, host_available_bytes) for device in chosen)
    except (pynvml.NVMLError, UnicodeDecodeError) as error:
        return _unusable(pynvml, error)
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def select_visible(wanted: str, devices: Sequence[_Device]) -> tuple[_Device, ...]:
    """Those of `devices` (in PCI order) that ``CUDA_VISIBLE_DEVICES=wanted`` shows, in the order it names them.

    CUDA's rules: the kind of the first entry (index, ``GPU-…`` or ``MIG-…``) is the kind of all; a UUID may be cut short as
    long as it stays unambiguous; the first entry that is invalid ends the list; naming a device twice shows none.
    An index whose GPU is cut into slices shows the first of them.
    Source: CUDA C++ Programming Guide, environment variables; `torch.cuda._parse_visible_devices`.
    """
    entries = [entry.strip() for entry in wanted.split(",")]
    prefix = next((p for p in ("GPU-", "MIG-") if entries[0].startswith(p)), "")
    chosen: list[_Device] = []
    for entry in entries:
        found = _by_uuid(entry, devices) if prefix and entry.startswith(prefix) else None if prefix else _by_index(entry, devices)
        if found is None:
            break
        if found in chosen:
            return ()
        chosen.append(found)
    return tuple(chosen)


def _by_uuid(entry: str, devices: Sequence[_Device]) -> _Device | None:
    found = [device for device in devices if device.uuid.startswith(entry)]
    return found[0] if len(found) == 1 else None


def _by_index(entry: str, devices: Sequence[_Device]) -> _Device | None:
    """CUDA reads an index as C's strtoul does: ``1gpu`` is 1."""
    digits = entry.removeprefix("+")
    digits = digits[: len(digits) - len(digits.lstrip("0123456789"))]
    if not digits or len(digits) > 9:
        return None
    return next((device for device in devices if device.position == int(digits)), None)


def _missing_library(root: Path) -> tuple[Gpu, ...] | Unknown | None:
    """None when the library can be loaded; empty when there is no sign of a driver either."""
    if not sys.platform.startswith("linux"):
        return None if sys.platform == "win32" else ()
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError as error:
        if (root / "proc/driver/nvidia/version").exists() or (root / "dev/nvidiactl").exists():
            return Unknown(
                reason=f"an NVIDIA driver is loaded, but {_LIBRARY} cannot be: {error}",
                cure=f"In a container, start it with --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility. {_CPU_ONLY}",
            )
        if "No such file" in str(error):
            return ()
        return Unknown(reason=f"{_LIBRARY} cannot be loaded: {error}", cure=f"Install the NVIDIA driver again. {_CPU_ONLY}")
    return None


def _unusable(pynvml: Any, error: Exception) -> Unknown:
    """Why NVML as a whole gives nothing, and what to do."""
    cures = {
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "Load the driver (`sudo modprobe nvidia`).",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "Restart the machine: the driver was updated and the old one is still loaded.",
        pynvml.NVML_ERROR_NO_PERMISSION: "Ask for access to /dev/nvidia* (often the group `video` or `render`).",
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "Update the NVIDIA driver: its NVML lacks a function.",
        pynvml.NVML_ERROR_GPU_IS_LOST: "Restart the machine: a GPU has fallen off the bus.",
    }
    cure = cures.get(getattr(error, "value", None), "See what `nvidia-smi` says.")
    return Unknown(reason=f"NVML: {str(error).rstrip('.')}", cure=f"{cure} {_CPU_ONLY}")


def _devices(pynvml: Any) -> tuple[_Device, ...]:
    """Every device in PCI order. A GPU in MIG mode stands for its slices: CUDA cannot use it whole.

    Raises: pynvml.NVMLError when the devices cannot be listed.
    """
    out: list[_Device] = []
    for position in range(pynvml.nvmlDeviceGetCount()):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(position)
        except pynvml.NVMLError as error:
            if error.value in (pynvml.NVML_ERROR_NO_PERMISSION, pynvml.NVML_ERROR_GPU_IS_LOST):
                continue  # hidden by the container, or gone: not one this process may use
            raise
        slices = _slices(pynvml, handle)
        if slices is None:
            out.append(_Device(handle, str(pynvml.nvmlDeviceGetUUID(handle)), position, False, handle))
        else:
            out += [_Device(part, str(pynvml.nvmlDeviceGetUUID(part)), position, True, handle) for part in slices]
    return tuple(out)


def _slices(pynvml: Any, handle: Any) -> list[Any] | None:
    """The MIG slices; None when the GPU is not in MIG mode, knows none, or an old driver cannot say."""
    try:
        current, _pending = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:
        return None
    if current != pynvml.NVML_DEVICE_MIG_ENABLE:
        return None
    found = []
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(pynvml.NVMLError_NotFound):  # places without a slice are listed too
            found.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
    return found


def _describe(
    pynvml: Any,
    device: _Device,
    driver: str | Unknown,
    root: Path,
    host_total_bytes: int | Unknown,
    host_available_bytes: int | Unknown,
) -> Gpu:
    """One device; a reading that fails is an `Unknown` of its own."""
    name = _ask(pynvml, lambda: str(pynvml.nvmlDeviceGetName(device.handle)))
    memory = _ask(pynvml, lambda: pynvml.nvmlDeviceGetMemoryInfo(device.handle))
    total: int | Unknown
    used: int | Unknown
    free: int | Unknown
    if not isinstance(memory, Unknown):
        total, used, free = int(memory.total), int(memory.used), int(memory.free)
    elif memory.reason == _reason(pynvml, pynvml.NVML_ERROR_NOT_SUPPORTED):
        used = Unknown(reason="the device shares the memory of the machine")
        total, free = host_total_bytes, host_available_bytes
    else:
        total = used = free = memory
    return Gpu(
        name="GPU" if isinstance(name, Unknown) else name,
        uuid=device.uuid,
        memory_total_bytes=total,
        memory_used_bytes=used,
        memory_free_bytes=free,
        held_by=_ask(pynvml, lambda: _holders(pynvml, device.handle, root)),
        driver=driver,
        compute_capability=_ask(pynvml, lambda: "{}.{}".format(*pynvml.nvmlDeviceGetCudaComputeCapability(device.parent))),
        utilisation_ratio=_ask(pynvml, lambda: float(pynvml.nvmlDeviceGetUtilizationRates(device.handle).gpu) / 100),
        is_mig=device.is_slice,
    )


def _holders(pynvml: Any, handle: Any, root: Path) -> tuple[str, ...]:
    """``pid name bytes`` of each process that holds memory, by pid. Raises: pynvml.NVMLError."""
    seen: dict[int, int | None] = {}
    for process in _processes(pynvml, "nvmlDeviceGetComputeRunningProcesses", handle):
        seen[int(process.pid)] = process.usedGpuMemory
    with suppress(pynvml.NVMLError):
        for process in _processes(pynvml, "nvmlDeviceGetGraphicsRunningProcesses", handle):
            seen.setdefault(int(process.pid), process.usedGpuMemory)
    out = []
    for pid, held in sorted(seen.items()):
        command = (read_text(root / f"proc/{pid}/comm") or "?").strip()
        out.append(f"{pid} {command} {'?' if held is None else held}")
    return tuple(out)


def _processes(pynvml: Any, function: str, handle: Any) -> list[Any]:
    """The answer of the newest version of `function` that the driver has. Raises: pynvml.NVMLError.

    The unversioned name is not called: on a driver older than the binding it raises an error outside NVML's own tree.
    """
    try:
        return list(getattr(pynvml, f"{function}_v3")(handle))
    except pynvml.NVMLError_FunctionNotFound:
        return list(getattr(pynvml, f"{function}_v2")(handle))


def _ask(pynvml: Any, question: Callable[[], T]) -> T | Unknown:
    """The answer, or why there is none."""
    try:
        return question()
    except pynvml.NVMLError as error:
        return Unknown(reason=_reason(pynvml, error.value), cure="See what `nvidia-smi -q` says.")
    except UnicodeDecodeError:
        return Unknown(reason="NVML: the answer is no text", cure="See what `nvidia-smi -q` says.")


def _reason(pynvml: Any, code: int) -> str:
    return f"NVML: {str(pynvml.NVMLError(code)).rstrip('.')}"
