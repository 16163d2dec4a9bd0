"""Reading small kernel files under a root, so that every probe can be tested on a tree of fixtures."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """The text of `path`, undecodable bytes replaced; None when it is absent, forbidden or no file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None


def read_int(path: Path) -> int | None:
    """The first word of `path` as an integer; None when there is none (``max`` means no limit)."""
    words = (read_text(path) or "").split()
    try:
        return int(words[0]) if words else None
    except ValueError:
        return None
