"""The colours, dark and light, and what writes the screen where there is nothing beyond ASCII."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

from advisor.report.ascii import ascii_of

DARK = Theme(
    name="advisor-dark",
    primary="#6fa8dc",
    secondary="#8b9bb4",
    accent="#5cc8b5",
    warning="#e0b050",
    error="#ef7a72",
    success="#7cc47f",
    foreground="#d7dce4",
    background="#13161b",
    surface="#191d24",
    panel="#222832",
    dark=True,
    variables={
        "footer-background": "#191d24",
        "footer-key-foreground": "#5cc8b5",
        "footer-description-foreground": "#9aa4b2",
        "quiet": "#8a94a3",
        "edge": "#37404d",
        "cursor": "#2b3442",
    },
)
LIGHT = Theme(
    name="advisor-light",
    primary="#0b63b5",
    secondary="#52606d",
    accent="#00746a",
    warning="#8a5a00",
    error="#b3261e",
    success="#1a7f37",
    foreground="#20242b",
    background="#fbfbf9",
    surface="#f2f2ee",
    panel="#e6e6e0",
    dark=False,
    variables={
        "footer-background": "#f2f2ee",
        "footer-key-foreground": "#00746a",
        "footer-description-foreground": "#52606d",
        "quiet": "#5d6773",
        "edge": "#c3c8cd",
        "cursor": "#dbe5e6",
    },
)


class AsciiFilter(LineFilter):
    """Every character of a line in ASCII, each as wide as it was."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments with other characters and the same styles."""
        del background
        return [
            segment if segment.text.isascii() else Segment(ascii_of(segment.text), segment.style, segment.control) for segment in segments
        ]
