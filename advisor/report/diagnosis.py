"""A diagnosis as text: what a colleague would write after a look at the curves and the trials."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from advisor.core.diagnosis import DiagnosisReport, Finding, Passed
from advisor.report.wording import shown

WIDTH = 79
"""Columns of a line."""
_LABEL = 10
_MOST_PASSED = 4


def diagnosis_text(told: DiagnosisReport) -> str:
    """The findings, the most important first; one sentence where there is none."""
    looked = " and ".join(_counted(n, what) for n, what in ((told.trials, "trial"), (told.curves, "curve")) if n)
    lines = _wrap(f"{shown(told.subject)}: {looked} looked at.")
    lines += [line for note in told.notes for line in _wrap(shown(note))]
    if told.findings:
        lines += ["", f"{_counted(len(told.findings), 'finding')}, the most important first."]
        for number, finding in enumerate(told.findings, start=1):
            lines += ["", *_finding(number, finding)]
    else:
        lines += ["", "Nothing is wrong as far as these can tell: no finding."]
    return "\n".join([*lines, *_not_looked_for(told.passed)])


def _finding(number: int, finding: Finding) -> list[str]:
    rows = [("seen", finding.seen), ("cause", finding.cause), ("done", finding.done), ("cure", finding.cure), ("source", finding.source)]
    lines = _wrap(f"{number}. {finding.title} · {finding.level} · {shown(finding.about)}  [{finding.id}]", hang=3)
    for label, text in rows:
        if text:
            sentence = shown(text).rstrip(".") + ("" if label == "source" else ".")
            if label != "source" and not sentence.startswith(finding.about):
                sentence = sentence[0].upper() + sentence[1:]
            lines += textwrap.wrap(
                sentence, WIDTH, initial_indent=f"   {label:<{_LABEL - 3}}", subsequent_indent=" " * _LABEL, break_on_hyphens=False
            )
    return lines


def _not_looked_for(passed: Sequence[Passed]) -> list[str]:
    """What could not be looked for, by what was missing."""
    by_reason: dict[str, list[str]] = {}
    for entry in passed:
        by_reason.setdefault(entry.reason, []).append(entry.id)
    if not by_reason:
        return []
    lines = ["", "Not looked for, as something was missing:"]
    for reason, names in by_reason.items():
        rest = len(names) - _MOST_PASSED
        listed = ", ".join(names[:_MOST_PASSED]) + (f" and {rest} more" if rest > 0 else "")
        lines += textwrap.wrap(f"- {shown(reason)}: {listed}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return lines


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count:,} {what}s"


def _wrap(text: str, hang: int = 0) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * hang, break_on_hyphens=False)
