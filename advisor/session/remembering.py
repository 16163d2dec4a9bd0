"""What was answered last time: the answers of the newest run on the same data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advisor.core.errors import AdvisorError
from advisor.core.facts import Answers
from advisor.session.folder import RunFolder

KEPT = ("target", "task", "metric", "goal", "budget_seconds", "model", "group", "time", "weights", "drop")
"""Answers worth keeping. A seed, a strategy or a freeze belongs to the run it was given for."""


def remembered(source: str | None, runs: str | Path = "runs") -> dict[str, Any]:
    """The answers of the newest run below `runs` on `source`, those that differ from a default; empty where there is none.

    Runs of an objective of one's own are left out: their answers are not about a table.
    """
    if source is None:
        return {}
    for folder in sorted(Path(runs).glob("*/facts.json"), key=_age, reverse=True):
        try:
            facts = RunFolder(folder.parent).read_facts()
        except AdvisorError:  # written by another version, or damaged: nothing to learn from it
            continue
        if facts.objective is None and _place(facts.data.source) == _place(source):
            defaults = Answers()
            return {name: value for name in KEPT if (value := getattr(facts.answers, name)) != getattr(defaults, name)}
    return {}


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0


def _place(source: str) -> str:
    """A file by where it lies, anything else by its name."""
    return source if ":" in source else str(Path(source).resolve())
