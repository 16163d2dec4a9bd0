"""Where the interface writes what is asked for: beside where it was started, never over another file."""

from __future__ import annotations

from pathlib import Path


def free_path(folder: Path, stem: str, suffix: str) -> Path:
    """The first of ``stem.suffix``, ``stem-2.suffix`` … that does not exist in `folder`."""
    path = folder / f"{stem}{suffix}"
    count = 1
    while path.exists():
        count += 1
        path = folder / f"{stem}-{count}{suffix}"
    return path
