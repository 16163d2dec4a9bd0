"""Curves in braille dots, drawn by ourselves.

A redraw takes about 2 ms where textual-plotext took 155 ms at 100 points, which is longer than a key press may wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from advisor.report.wording import number

Dot = Callable[[str, int, int], None]
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


ROOM = 1.0
"""How far beyond the best and the default single scores may stretch the scale, in spans between these two."""


@dataclass(frozen=True)
class Curve:
    """What one plot shows. All y are finite."""

    points: tuple[tuple[float, float], ...] = ()
    """Single scores: x, y."""
    steps: tuple[tuple[float, float], ...] = ()
    """The best so far, from where it changes; drawn as stairs to the right edge."""
    line: tuple[tuple[float, float], ...] = ()
    """A polyline."""
    level: float | None = None
    """A dashed horizontal line."""
    last: float = 1.0
    """Right edge of x."""
    first: float = 0.0
    """Left edge of x."""
    ends: tuple[str, str] | None = None
    """What is written at the edges of x; None: their numbers."""
    is_bold: bool = False
    """True where the single scores are what is to be seen."""


class Plot(Widget):
    """A `Curve` with its y axis."""

    DEFAULT_CSS = """
    Plot { height: 1fr; border: round $edge; border-title-color: $quiet; border-title-style: bold;
           border-subtitle-color: $quiet; padding: 0 1; background: $background; }
    """
    AXIS = 9

    def __init__(self, title: str, *, id: str, x_label: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = title
        self._x_label = x_label
        self._curve = Curve()
        self._note = ""
        self._drawn: tuple[Curve, int, int, Content] | None = None

    def draw(self, curve: Curve, *, note: str = "", x_label: str | None = None) -> None:
        """Shows `curve`; `note` stands where there is nothing to draw yet."""
        if x_label is not None and x_label != self._x_label:
            self._x_label, self._drawn = x_label, None
        if curve != self._curve or note != self._note:
            self._curve, self._note = curve, note
            self.refresh()

    def render(self) -> Content:
        width, height = self.content_size
        curve = self._curve
        if not (curve.points or curve.steps or curve.line) or width < self.AXIS + 4 or height < 3:
            return Content.styled(self._note, "$quiet")
        if self._drawn is None or self._drawn[:3] != (curve, width, height):
            self._drawn = (curve, width, height, draw(curve, width, height, axis=self.AXIS, x_label=self._x_label))
        return self._drawn[3]


def value_range(curve: Curve) -> tuple[float, float]:
    """Lowest and highest y shown. Wild scores do not squeeze the rest: the outer tenth of the points at either end is clipped,
    and what lies further than `ROOM` times the way from the default to the best."""
    firm = [y for _, y in (*curve.steps, *curve.line)] + ([curve.level] if curve.level is not None else [])
    loose = sorted(y for _, y in curve.points)
    if loose:
        cut = len(loose) // 10
        ends = [loose[cut], loose[-1 - cut]]
        if firm and max(firm) > min(firm):
            room = ROOM * (max(firm) - min(firm))
            ends = [min(max(y, min(firm) - room), max(firm) + room) for y in ends]
        firm += ends
    low, high = min(firm), max(firm)
    if low == high:
        pad = abs(low) * 0.05 or 0.5
        return low - pad, high + pad
    pad = (high - low) * 0.04
    return low - pad, high + pad


def draw(curve: Curve, width: int, height: int, *, axis: int, x_label: str) -> Content:
    """`curve` in `width` × `height` cells: `axis` columns of scale at the left and one row of scale below."""
    rows, columns = height - 1, width - axis
    across, down = columns * 2, rows * 4
    low, high = value_range(curve)
    span = (curve.last - curve.first) or 1.0

    def column(x: float) -> int:
        return min(across - 1, max(0, round((x - curve.first) / span * (across - 1))))

    def row(y: float) -> int:
        return min(down - 1, max(0, round((high - y) / (high - low) * (down - 1))))

    layers = ("point", "level", "line")
    grids = {name: [[0] * columns for _ in range(rows)] for name in layers}

    def dot(name: str, x: int, y: int) -> None:
        grids[name][y // 4][x // 2] |= _DOTS[x % 2][y % 4]

    for x, y in {(column(x), row(y)) for x, y in curve.points}:
        dot("point", x, y)
        if curve.is_bold:  # two by two, so that each is seen
            near_x, near_y = min(across - 1, x ^ 1), min(down - 1, y ^ 1)
            for spot in ((near_x, y), (x, near_y), (near_x, near_y)):
                dot("point", *spot)
    if curve.level is not None:
        for x_dot in range(across):
            if x_dot % 6 < 3:
                dot("level", x_dot, row(curve.level))
    _stairs(curve.steps, column, row, across, down - 1, dot)
    for (x1, y1), (x2, y2) in zip(curve.line, curve.line[1:], strict=False):
        _segment(column(x1), row(y1), column(x2), row(y2), dot)
    if len(curve.line) == 1:
        dot("line", column(curve.line[0][0]), row(curve.line[0][1]))

    styles = {"point": "bold $accent" if curve.is_bold else "$quiet", "level": "$warning", "line": "bold $accent"}
    labels = {0: number(high), rows - 1: number(low)}
    if rows >= 7:
        labels[rows // 2] = number((low + high) / 2)
    out: list[Content] = []
    for index in range(rows):
        parts: list[tuple[str, str]] = [
            (f"{labels.get(index, ''):>{axis - 2}} ", "$quiet"),
            ("┤" if index in labels else "│", "$quiet"),
        ]
        for cell in range(columns):
            bits, style = 0, ""
            for name in layers:
                if grids[name][index][cell]:
                    bits |= grids[name][index][cell]
                    style = styles[name]
            parts.append((chr(0x2800 + bits) if bits else " ", style))
        out.append(Content.assemble(*_joined(parts)))
    ends = curve.ends or (f"{curve.first:g}", f"{curve.last:g}")
    left, right = f"{x_label} {ends[0]}", ends[1]
    gap = max(1, columns - len(left) - len(right))
    out.append(Content.styled(" " * axis + left + " " * gap + right, "$quiet"))
    return Content("\n").join(out)


def _stairs(
    steps: Sequence[tuple[float, float]], column: Callable[[float], int], row: Callable[[float], int], across: int, lowest: int, dot: Dot
) -> None:
    for index, (x, y) in enumerate(steps):
        end = column(steps[index + 1][0]) if index + 1 < len(steps) else across - 1
        for x_dot in range(column(x), end + 1):
            dot("line", x_dot, row(y))
            dot("line", x_dot, min(lowest, row(y) + 1))
        if index + 1 < len(steps):
            a, b = sorted((row(y), row(steps[index + 1][1])))
            for y_dot in range(a, b + 1):
                dot("line", end, y_dot)


def _segment(x1: int, y1: int, x2: int, y2: int, dot: Dot) -> None:
    count = max(abs(x2 - x1), abs(y2 - y1), 1)
    for i in range(count + 1):
        dot("line", x1 + math.floor((x2 - x1) * i / count + 0.5), y1 + math.floor((y2 - y1) * i / count + 0.5))


def _joined(parts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one style as one piece."""
    out: list[tuple[str, str]] = []
    for text, style in parts:
        if out and out[-1][1] == style:
            out[-1] = (out[-1][0] + text, style)
        else:
            out.append((text, style))
    return out
