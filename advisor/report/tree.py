"""The strategy list as a tree for a terminal; the path taken is told by signs and words, not by colour."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from advisor.core.predicates import Verdict

if TYPE_CHECKING:
    from advisor.core.decision_path import Condition, Step

_WIDTH = 80
_MARKS = {"listed": "+", "passed": "x", "open": "?", "chosen": "*", "not reached": "."}
_SAID = {Verdict.HOLDS: "yes", Verdict.FAILS: "no ", Verdict.UNKNOWN: "?? "}


def tree_text(steps: Sequence[Step], *, subject: str = "", note: str = "") -> str:
    """The list in order: each rule with its conditions; with facts behind it, which held, which failed and by how much.

    ASCII alone, so that it reads on any terminal and without colour.
    """
    is_lit = any(step.state != "listed" for step in steps)
    lines = [f"How the strategy was chosen{f' for {subject}' if subject else ''}" if is_lit else "The strategy list"]
    lines += textwrap.wrap("The first rule whose conditions all hold wins; an unknown condition neither holds nor fails.", _WIDTH)
    if is_lit:
        lines += textwrap.wrap("* taken   x passed by   ? passed by, for want of a fact   . not reached", _WIDTH)
    lines += textwrap.wrap(note, _WIDTH) if note else []
    lines.append("|" if is_lit else "")
    for step in steps:
        lines += _step(step, is_lit=is_lit)
    return "\n".join(lines).rstrip("\n|") + "\n" if not is_lit else "\n".join(lines)


def _step(step: Step, *, is_lit: bool) -> list[str]:
    rail = "|" if is_lit and step.state in ("passed", "open") else " "
    head = f"{_MARKS[step.state]} {step.number:>2}  {step.strategy}  [{step.rule}]"
    lines = [f"{head}  <== TAKEN" if step.state == "chosen" else head]
    if step.state != "not reached":
        for condition in step.conditions:
            lines += _condition(condition, rail)
        if not step.conditions:
            lines.append(f"{rail}      always, where no rule before it holds")
    if step.state == "chosen":
        lines += textwrap.wrap(step.because, _WIDTH, initial_indent="       why  ", subsequent_indent=" " * 12)
    return [*lines, rail.rstrip()] if step.state != "not reached" else lines


def _condition(condition: Condition, rail: str) -> list[str]:
    if condition.verdict is None:
        return textwrap.wrap(condition.wanted, _WIDTH, initial_indent=f"{rail}      - ", subsequent_indent=f"{rail}        ")
    short = f" ({condition.short})" if condition.short else ""
    lead = f"{rail}      {_SAID[condition.verdict]}  "
    return textwrap.wrap(f"{condition.said}{short}", _WIDTH, initial_indent=lead, subsequent_indent=f"{rail}           ")
