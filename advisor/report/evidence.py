"""What the rules were measured to do, as text."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from advisor.core.rules import Rule

WIDTH = 100
"""Columns."""


def evidence_text(rules: Sequence[Rule]) -> str:
    """A paragraph for each of `rules` that was measured, the strongest effect first, then how many were not."""
    measured = sorted((r for r in rules if r.evidence is not None), key=lambda r: r.evidence.effect if r.evidence is not None else 0.0)
    blocks = [_block(r) for r in measured]
    rest = len(rules) - len(measured)
    end = f"{len(measured)} of {len(rules)} rules that change a plan were measured; the other {rest} stand on their sources alone."
    return "\n\n".join([*blocks, fill(end, WIDTH)])


def verdict(rule: Rule) -> str:
    """`helps`, `hurts`, or `not settled` where the interval holds 0; less is better in every measure."""
    if rule.evidence is None:
        return "not measured"
    low, high = rule.evidence.interval
    return "helps" if high < 0 else "hurts" if low > 0 else "not settled"


def _block(rule: Rule) -> str:
    found = rule.evidence
    assert found is not None
    low, high = found.interval
    said = f"{found.effect:+.3f} [{low:+.3f}, {high:+.3f}] {found.measure}, {found.tasks} problems, {found.date}: {verdict(rule)}"
    lines = [rule.id, fill(said, WIDTH, initial_indent="  ", subsequent_indent="    ")]
    lines += [fill(f"again: {found.command}", WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)]
    return "\n".join([*lines, f"  with {found.versions}"])
