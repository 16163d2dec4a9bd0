"""Runs side by side, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from advisor.report.wording import duration, number, shown

if TYPE_CHECKING:
    from advisor.core.outcome import Gain


class Comparison(Protocol):
    """The runs, as `advisor.session.comparing` gives them."""

    @property
    def runs(self) -> Sequence[Any]:
        """One entry a run."""

    @property
    def differs(self) -> dict[str, tuple[str, ...]]:
        """Field to its values."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known first."""


MOST_FIELDS = 30
"""Fields of the plans that are listed."""
ALREADY = ("data", "data_fingerprint", "strategy", "family", "metric")
"""Fields of the plans that the results tell already."""
WIDEST = 28
"""Cells of a column."""


def table_of(comparison: Comparison) -> list[tuple[str, ...]]:
    """Rows of a table: a label, then one cell a run. An empty row stands between results and plans."""
    runs = comparison.runs
    rows = [
        ("", *(_cut(r.name) for r in runs)),
        ("ended", *(r.status for r in runs)),
        ("data", *(_cut(r.source.rpartition("/")[2]) for r in runs)),
        ("strategy", *(r.strategy for r in runs)),
        ("family", *(r.family or "–" for r in runs)),
        ("trials", *(str(r.trials) for r in runs)),
        ("time", *(duration(r.seconds) for r in runs)),
        ("metric", *(r.metric for r in runs)),
        ("validation", *(number(r.validation_score) for r in runs)),
        ("unseen rows", *(number(r.heldout_score) for r in runs)),
        ("gain", *(_gain(r.gain) for r in runs)),
    ]
    fields = [(name, values) for name, values in comparison.differs.items() if name not in ALREADY][:MOST_FIELDS]
    if fields:
        rows += [("",), *((name, *(_cut(v) for v in values)) for name, values in fields)]
    return rows


def comparison_text(comparison: Comparison) -> str:
    """The comparison for a reader."""
    rows = table_of(comparison)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(comparison.runs) + 1)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    more = sum(name not in ALREADY for name in comparison.differs) - MOST_FIELDS
    lines += [f"and {more} fields more"] if more > 0 else []
    return "\n".join([*lines, *(["", *comparison.notes] if comparison.notes else [])])


def _gain(gain: Gain | None) -> str:
    return "–" if gain is None else f"{number(gain.value, 3)} [{number(gain.low, 3)}, {number(gain.high, 3)}]"


def _cut(text: str) -> str:
    whole = shown(text)
    return whole if len(whole) <= WIDEST else whole[: WIDEST - 1] + "…"
