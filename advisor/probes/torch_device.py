"""The device PyTorch would use, found out without importing it (1.6 to 4 seconds)."""

from __future__ import annotations

import platform
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from advisor.core.facts import Gpu, Unknown
from advisor.probes.files import read_text

Device = Literal["cuda", "mps", "cpu"]


def torch_device(
    gpus: tuple[Gpu, ...] | Unknown,
    *,
    package: Path | None,
    system: str = platform.system(),
    machine: str = platform.machine(),
    root: Path = Path("/"),
) -> Device | Unknown:
    """``cuda`` for a CUDA build with a GPU, ``mps`` on Apple silicon, else ``cpu``.

    The build is read from torch's own ``version.py``. `package` is `torch_folder`: None where torch is not installed.
    Shell: ``python -c "import torch; print(torch.cuda.is_available())"``.
    """
    if package is None:
        return Unknown(reason="PyTorch is not installed", cure="Install it: python -m pip install 'torch>=2.6,<2.14'.")
    if system == "Darwin":
        return "mps" if machine == "arm64" else "cpu"
    build = read_text(package / "version.py")
    if build is None:
        return Unknown(reason=f"{package / 'version.py'} cannot be read", cure="Install PyTorch again.")
    if _assigned(build, "hip"):
        return "cuda" if (root / "dev/kfd").exists() else "cpu"
    if not _assigned(build, "cuda"):
        return "cpu"
    if isinstance(gpus, Unknown):
        return Unknown(reason=f"PyTorch was built for CUDA, but the GPUs are not known: {gpus.reason}", cure=gpus.cure)
    return "cuda" if gpus else "cpu"


def torch_folder() -> Path | None:
    """The folder torch would be imported from; None when it is not installed."""
    try:
        spec = find_spec("torch")
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


def _assigned(text: str, name: str) -> str:
    """The string assigned to `name`, empty for None."""
    found = re.search(rf"^{name}\s*(?::[^=\n]*)?=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return found[1] if found else ""
