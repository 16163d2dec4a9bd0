"""Text for terminals and readers that know no character beyond ASCII: signs become letters of the same width."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╔╗╚╝", "+"),
        **dict.fromkeys("─━═╌┄┈⎯", "-"),
        **dict.fromkeys("│┃║┆┊▏▎▌▐▕", "|"),
        **dict.fromkeys("–—−‒‑", "-"),
        **dict.fromkeys("‘’‚", "'"),
        **dict.fromkeys("“”„«»", '"'),
        **dict.fromkeys("▁▂▃▄▅▆▇█▀▔▆", "#"),
        **dict.fromkeys("›▸▶→↷⇒", ">"),
        **dict.fromkeys("‹◂◀←", "<"),
        **dict.fromkeys("·•∙⋅", "."),
        **dict.fromkeys("≥", ">"),
        **dict.fromkeys("≤", "<"),
        "↻": "~",
        "…": "~",
        "‖": "=",
        "■": "#",
        "●": "*",
        "★": "*",
        "◌": "o",
        "✓": "+",
        "✗": "x",
        "×": "x",
        "∞": "8",
        "±": "+",
        "∂": "d",
        "\xa0": " ",
        "\u2009": " ",
        "\u202f": " ",
    }
)
_SHADES = " .:*#"
"""Braille cells by how many of their dots are set: none, one or two, to four, to six, more."""
_BEYOND = re.compile(r"[^\x00-\x7f]")


def ascii_of(text: str) -> str:
    """`text` in ASCII alone, every character replaced by as many cells as it filled.

    Letters lose their accents, dots in braille become shades, what has no likeness becomes a question mark.

    >>> ascii_of("✓ 3 × 0.1 … café"), ascii_of("日本")
    ('+ 3 x 0.1 ~ cafe', '????')
    """
    return text if text.isascii() else _BEYOND.sub(lambda found: _likeness(found[0]), text.translate(_SIGNS))


def ascii_json(text: str) -> str:
    r"""JSON in ASCII alone, which says the same.

    >>> ascii_json('{"a": "é"}')
    '{"a": "\\u00e9"}'
    """
    return _BEYOND.sub(lambda found: json.dumps(found[0])[1:-1], text)


@lru_cache(4096)
def _likeness(character: str) -> str:
    code = ord(character)
    if 0x2800 <= code <= 0x28FF:
        return _SHADES[(bin(code - 0x2800).count("1") + 1) // 2]
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    if len(plain) == 1:
        return plain
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return ""
    return "??" if unicodedata.east_asian_width(character) in "WF" else "?"
