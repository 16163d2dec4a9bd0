"""Answers in words: how a question's answer is shown, and how what a person writes is read. Every door uses these."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from advisor.report.wording import duration, parse_duration, setting

FREE = {"duration", "number", "text"}
"""Kinds of question whose answer may be written as well as chosen."""
PROFILED = {"target", "task", "group", "time", "drop", "weights", "cluster"}
"""Answers that change what is read from the table: another one means reading it again."""


def label(field: str) -> str:
    """The field of `Answers` as a row names it.

    >>> label("budget_seconds"), label("target")
    ('Budget', 'Target')
    """
    return {"budget_seconds": "Budget"}.get(field, field.replace("_", " ").capitalize())


def answer_text(kind: str, value: Any) -> str:
    """An answer as a row shows it."""
    from advisor.core.facts import Unknown

    if isinstance(value, Unknown) or value is None or value == ():
        return "–"
    if isinstance(value, Enum):
        return str(value.value)
    if kind == "duration" and isinstance(value, int | float):
        return duration(float(value))
    return setting(value)


def read_answer(kind: str, text: str) -> Any:
    """What was written, as the kind of question wants it; None for an empty line.

    Raises: ValueError with what is expected.
    """
    written = text.strip()
    if not written:
        if kind == "duration":
            raise ValueError("write it as 90s, 10m, 2h or 1h30m")
        return None
    if kind == "duration":
        return parse_duration(written)
    if kind == "number":
        try:
            return int(written)
        except ValueError:
            raise ValueError("write a whole number") from None
    return written


def literal(text: str) -> Any:
    """What `text` says: a JSON number, truth value, string or list; ``none`` is None; otherwise the text itself.

    >>> literal("0.1"), literal("true"), literal("none"), literal("l2")
    (0.1, True, None, 'l2')
    """
    if text.casefold() in ("none", "null"):
        return None
    if text.casefold() in ("true", "false"):
        return text.casefold() == "true"
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
