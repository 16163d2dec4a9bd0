"""Names and values from a table, made safe to show."""

from __future__ import annotations

import unicodedata
from urllib.parse import urlsplit, urlunsplit

SHOWN_CHARACTERS = 60
"""A name longer than this is cut in messages; its true form stays in use."""

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def printable(text: object, limit: int = SHOWN_CHARACTERS) -> str:
    """`text` with control, formatting and private characters written as escapes, cut to `limit` characters.

    A name in a file may hold escape sequences that move a cursor or recolour a terminal; no such byte passes.

    >>> printable("age" + chr(27) + "[31m")
    'age\\\\x1b[31m'
    """
    written = str(text)
    if len(written) > limit:
        written = written[: limit - 1] + "…"
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSAFE else c for c in written)


def listed(names: list[str] | tuple[str, ...], most: int = 6) -> str:
    """The first `most` names, printable, and how many more there are; empty for none."""
    shown = ", ".join(printable(n) for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def without_secrets(url: str) -> str:
    """`url` without its user, password, query and fragment, so that it can be shown and saved; a plain path comes back as it is."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return url.split("://", 1)[0] + "://…"
    return urlunsplit((parts.scheme, host + port, parts.path, "", "")) if host else f"{parts.scheme}://{parts.path}"


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
