"""What the linter found in a space, as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from advisor.report.wording import shown

if TYPE_CHECKING:
    from advisor.core.lint import Finding
    from advisor.core.lint_repair import Repair

_WIDTH = 100
_LEVELS = (("fault", "fault", "faults"), ("warning", "warning", "warnings"), ("advice", "piece of advice", "pieces of advice"))


def findings_text(title: str, count: int, findings: Sequence[Finding]) -> str:
    """Every finding, by hyperparameter, worst first; a clean space says so. `count` is that of its hyperparameters."""
    said = "1 hyperparameter" if count == 1 else f"{count} hyperparameters"
    if not findings:
        return f"{shown(title)}: {said}, nothing to find fault with."
    lines = [f"{shown(title)}: {tally(findings)} in {said}."]
    names = list(dict.fromkeys(f.parameter for f in findings))
    ordered = sorted(findings, key=lambda f: names.index(f.parameter))
    for name, group in groupby(ordered, key=lambda f: f.parameter):
        lines += ["", shown(name) or "The space"]
        for finding in group:
            lines += _told(finding)
    return "\n".join(lines)


def tally(findings: Sequence[Finding]) -> str:
    """How many of each level.

    >>> tally(())
    'no findings'
    """
    counts = [(sum(f.level == level for f in findings), one, several) for level, one, several in _LEVELS]
    parts = [f"{n} {one if n == 1 else several}" for n, one, several in counts if n]
    return ", ".join(parts) or "no findings"


def _told(finding: Finding) -> list[str]:
    lead = f"  {finding.level:<8} {finding.id}"
    repair = "  (--fix repairs it)" if finding.fix is not None else ""
    out = [f"{lead}{repair}", *_wrapped("", finding.says), *_wrapped("do", finding.cure)]
    return [*out, *_wrapped("because", finding.because), *_wrapped("source", finding.source)]


def _wrapped(label: str, text: str) -> list[str]:
    lead = f"    {label:<9}" if label else "    "
    return textwrap.wrap(shown(text), _WIDTH, initial_indent=lead, subsequent_indent=" " * (13 if label else 4))


def repairs_text(repairs: Sequence[Repair], left: Sequence[Finding], *, place: str = "") -> str:
    """What was changed, and what is left to a human, in a few lines."""
    lines = []
    if repairs:
        lines.append(f"Changed{f' in {shown(place)}' if place else ''}:")
        for repair in repairs:
            lines += textwrap.wrap(
                f"{shown(repair.parameter)}: {shown(repair.before)} is now {shown(repair.after)}  [{repair.id}]",
                _WIDTH,
                initial_indent="  ",
                subsequent_indent="    ",
                break_on_hyphens=False,
            )
    else:
        lines.append("Nothing was changed: no finding has a repair that is safe.")
    if not left:
        return "\n".join([*lines, "Nothing is left to you."])
    lines.append(f"Left to you ({tally(left)}):")
    for finding in left:
        name = shown(finding.parameter) or "the space"
        lines += textwrap.wrap(
            f"{name}: {finding.cure}  [{finding.id}]", _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    return "\n".join(lines)
