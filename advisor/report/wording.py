"""Numbers, times and foreign text as both doors and every report write them."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.core.plan import Plan

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
LONGEST = 2000
"""Characters of one foreign text that are shown; the rest is counted."""


def shown(text: object, *, longest: int = LONGEST, lines: bool = False) -> str:
    r"""`text` with every control, format and direction character as a visible escape, cut after `longest` characters.

    With `lines`, line ends stay.

    >>> shown("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    whole = str(text)
    cut = whole[:longest]
    out = "".join(c if (c == "\n" and lines) or unicodedata.category(c) not in _HIDDEN else _escape(c) for c in cut)
    return out if len(whole) <= longest else f"{out}… ({len(whole):,} characters)"


def _escape(character: str) -> str:
    return (
        character.encode("unicode_escape").decode("ascii") if character.isascii() or ord(character) > 0xFF else f"\\x{ord(character):02x}"
    )


def number(value: float | None, digits: int = 4) -> str:
    """`value` with `digits` significant digits and no exponent where it reads well; ``–`` for None.

    >>> number(0.031271), number(12345.6), number(3e-7), number(None)
    ('0.03127', '12346', '3e-07', '–')
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e7 or size < 1e-4:
        return f"{value:.{max(digits - 2, 1)}g}"
    whole = math.floor(math.log10(size)) + 1
    return f"{value:.{max(digits - whole, 0)}f}"


def setting(value: Any) -> str:
    """One hyperparameter's value, short.

    >>> setting(0.0712345), setting(None), setting(True), setting(31)
    ('0.07123', 'none', 'true', '31')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = number(value)
        return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
    if isinstance(value, list | tuple):
        return shown(", ".join(setting(v) for v in value), longest=60)
    return shown(value, longest=60)


def configuration(config: dict[str, Any]) -> str:
    """A configuration in one line.

    >>> configuration({"C": 0.5, "penalty": "l2"})
    'C 0.5 · penalty l2'
    """
    return " · ".join(f"{shown(k, longest=40)} {setting(v)}" for k, v in config.items())


def duration(seconds: float | None) -> str:
    """A span of time for people.

    >>> duration(0.012), duration(0.4), duration(48), duration(600), duration(5400), duration(None)
    ('12 ms', '0.4 s', '48 s', '10 min', '1 h 30 min', '–')
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if 0 < seconds < 0.1:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours / 24:.0f} days"
    return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"


def between(low: float, high: float) -> str:
    """Two spans as one range.

    >>> between(960, 1200), between(30, 30)
    ('16–20 min', '30 s')
    """
    a, b = duration(low), duration(high)
    if a == b:
        return a
    (x, _, unit_a), (y, _, unit_b) = a.rpartition(" "), b.rpartition(" ")
    return f"{x}–{y} {unit_b}" if unit_a == unit_b and " " not in x and " " not in y else f"{a} to {b}"


def clock(seconds: float) -> str:
    """Elapsed time as ``mm:ss`` or ``h:mm:ss``.

    >>> clock(472), clock(3700), clock(-3)
    ('07:52', '1:01:40', '00:00')
    """
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def gibibytes(count: float) -> str:
    """Bytes as GiB.

    >>> gibibytes(16106127360)
    '15.0 GiB'
    """
    return f"{count / 2**30:.1f} GiB"


def parse_duration(text: str) -> float:
    """Seconds from ``90s``, ``10m``, ``2h``, ``1h30m`` or a bare number of seconds.

    Raises: ValueError when it is none of these or not above zero.

    >>> parse_duration("10m"), parse_duration("1 h 30 min"), parse_duration("45")
    (600.0, 5400.0, 45.0)
    """
    import re

    units = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
    squeezed = text.strip().lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)([a-z]*)", squeezed)
    if not parts or "".join(n + u for n, u in parts) != squeezed or any(u and u not in units for _, u in parts):
        raise ValueError("write it as 90s, 10m, 2h or 1h30m")
    if len(parts) > 1 and any(not u for _, u in parts):
        raise ValueError("write it as 90s, 10m, 2h or 1h30m")
    seconds = sum(float(n) * units[u or "s"] for n, u in parts)
    if not 0 < seconds < math.inf:
        raise ValueError("it must be longer than nothing")
    return seconds


def bar(share: float, width: int) -> str:
    """A gauge of `width` cells that reads without colour.

    >>> bar(0.5, 8)
    '━━━━────'
    """
    full = round(max(0.0, min(1.0, share)) * width)
    return "━" * full + "─" * (width - full)


def learned_from(plan: Plan, trained_on: str | None) -> str:
    """The rows that the saved model was fitted on, in words; empty where there is none."""
    valid = None if plan.valid is None else shown(plan.valid.source, longest=60)
    test = None if plan.test is None else shown(plan.test.source, longest=60)
    match trained_on:
        case "all" if valid is not None:
            return f"all rows of the data and of {valid}{f', none of {test}' if test is not None else ''}"
        case "all" if test is not None:
            return f"all rows of the data, none of {test}"
        case "all":
            return "all rows"
        case "development" if valid is not None or test is not None:
            rows = "the data" if test is not None else "the rows of the data that were not held out"
            return f"{rows}, none of {' or '.join(n for n in (valid, test) if n is not None)}"
        case "development":
            return "the rows that were not held out"
        case "fold":
            return "the data alone" if valid is not None else "one training fold only"
        case _:
            return ""
