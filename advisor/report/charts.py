"""Drawings as inline SVG, each with the table that says the same: scales, axes and marks.

Colours are classes, so that one style sheet serves light, dark and paper. Nothing here knows what a run is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from advisor.report.wording import number

Point = tuple[float, float]
TEXT_WIDTH = 7.2
"""Width of a character of the axis labels in units of the drawing, on average, rounded up."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings."""

    headers: tuple[str, ...]
    """What the columns are called."""
    rows: tuple[tuple[str, ...], ...]
    """Cells."""
    right: tuple[int, ...] = ()
    """Columns of numbers, set flush right."""
    note: str = ""
    """What is left out, in one sentence."""
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and its table."""

    svg: str
    """Markup, safe: every text in it is escaped."""
    table: Table
    """The same as text."""
    caption: str = ""
    """What is to be seen, in one or two sentences."""
    title: str = ""
    """Heading; empty where the section's own serves."""
    is_small: bool = False
    """True where it stands in a row beside others."""
    kind: str = "chart"


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to places along one axis."""

    low: float
    """Value at `start`."""
    high: float
    """Value at `end`."""
    start: float
    """Place of the lowest value."""
    end: float
    """Place of the highest value."""
    is_log: bool = False
    """True for a logarithmic axis; `low` is above 0."""

    def __call__(self, value: float) -> float:
        """The place of `value`; values outside are laid on the nearest end."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        share = 0.5 if high <= low else (at - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def holds(self, value: float) -> bool:
        """True when `value` lies on the axis."""
        return self.low <= value <= self.high

    def ticks(self, most: int = 6) -> list[float]:
        """Round values along the axis, at most about `most`."""
        if not self.is_log:
            return linear_ticks(self.low, self.high, most)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        decades = list(range(first, last + 1))
        if len(decades) < 2:
            return linear_ticks(self.low, self.high, min(most, 4))
        step = math.ceil(len(decades) / most)
        return [10.0**k for k in decades[::step]]


def scale(values: Iterable[float], start: float, end: float, *, is_log: bool = False, pad: float = 0.06) -> Scale:
    """An axis that holds all `values` with a little room at both ends; from 0 to 1 where there are none."""
    found = [v for v in values if math.isfinite(v) and (v > 0 or not is_log)]
    if not found:
        return Scale(0.0, 1.0, start, end)
    low, high = min(found), max(found)
    if is_log:
        room = pad * (math.log10(high / low) or 1.0)
        return Scale(low / 10**room, high * 10**room, start, end, is_log=True)
    room = pad * ((high - low) or abs(high) or 1.0)
    return Scale(low - room, high + room, start, end)


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten between `low` and `high`.

    >>> linear_ticks(0, 10, 6)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / max(most - 1, 1)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def tick_label(value: float, ticks: Sequence[float] = ()) -> str:
    """`value` with as many decimals as tell the `ticks` apart.

    >>> tick_label(0.3, [0.3, 0.35]), tick_label(1e-5), tick_label(0.0)
    ('0.30', '1e-05', '0')
    """
    size = max((abs(t) for t in ticks), default=abs(value))
    if len(ticks) < 2 or size >= 1e6 or (value and abs(value) < 1e-4):
        return "0" if value == 0 else f"{value:,.6g}" if 1e-4 <= abs(value) < 1e6 else f"{value:.3g}"
    gap = min(abs(b - a) for a, b in pairwise(ticks))
    return f"{value:.{max(0, min(6, _decimals(gap)))}f}" if gap > 0 else number(value)


def _decimals(gap: float) -> int:
    """Digits after the point that tell multiples of `gap` apart."""
    first = -math.floor(math.log10(gap) + 1e-9)
    return first if math.isclose(round(gap, max(first, 0)), gap, rel_tol=1e-6) else first + 1


@dataclass(slots=True)
class Canvas:
    """Marks within a drawing of `width` by `height` units, gathered in the order they are drawn."""

    width: float
    height: float
    label: str
    """What a screen reader says of the drawing."""
    _marks: list[str] = field(default_factory=list)

    def line(self, a: Point, b: Point, kind: str) -> None:
        """A straight line."""
        self._marks.append(f'<line x1="{a[0]:g}" y1="{a[1]:g}" x2="{b[0]:g}" y2="{b[1]:g}" class="{kind}"/>')

    def path(self, points: Sequence[Point], kind: str, *, is_stepped: bool = False) -> None:
        """A line through `points`; stepped: it stays level until the next."""
        if len(points) < 2:
            return
        out = [f"M{points[0][0]:g} {points[0][1]:g}"]
        out += [f"H{x:g}V{y:g}" if is_stepped else f"L{x:g} {y:g}" for x, y in points[1:]]
        self._marks.append(f'<path d="{"".join(out)}" class="{kind}"/>')

    def dot(self, at: Point, kind: str, *, radius: float = 2.6, tip: str = "") -> None:
        """A round mark; `tip` is shown by the browser where the pointer rests on it."""
        inside = f"<title>{escape(tip)}</title>" if tip else ""
        end = f">{inside}</circle>" if inside else "/>"
        self._marks.append(f'<circle cx="{at[0]:g}" cy="{at[1]:g}" r="{radius:g}" class="{kind}"{end}')

    def diamond(self, at: Point, kind: str, *, radius: float = 5, tip: str = "") -> None:
        """A mark told from a dot without colour."""
        x, y = at
        inside = f"<title>{escape(tip)}</title>" if tip else ""
        shape = f"M{x:g} {y - radius:g}L{x + radius:g} {y:g}L{x:g} {y + radius:g}L{x - radius:g} {y:g}Z"
        self._marks.append(f'<path d="{shape}" class="{kind}">{inside}</path>')

    def cross(self, at: Point, kind: str, *, radius: float = 2.8) -> None:
        """A mark of what came to nothing."""
        x, y, r = at[0], at[1], radius
        self._marks.append(f'<path d="M{x - r:g} {y - r:g}L{x + r:g} {y + r:g}M{x - r:g} {y + r:g}L{x + r:g} {y - r:g}" class="{kind}"/>')

    def box(self, a: Point, b: Point, kind: str) -> None:
        """A filled rectangle between two corners."""
        x, y = min(a[0], b[0]), min(a[1], b[1])
        w, h = abs(b[0] - a[0]), abs(b[1] - a[1])
        self._marks.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" class="{kind}"/>')

    def text(self, at: Point, text: str, kind: str = "label", *, anchor: str = "start") -> None:
        """`text`, escaped; `at` is its base line."""
        self._marks.append(f'<text x="{at[0]:g}" y="{at[1]:g}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>')

    def markup(self) -> str:
        """The drawing as an element of a page."""
        head = f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{escape(self.label)}">'
        return head + "".join(self._marks) + "</svg>"


@dataclass(frozen=True, slots=True)
class Frame:
    """A canvas with two axes drawn on it."""

    canvas: Canvas
    x: Scale
    y: Scale

    def at(self, x: float, y: float) -> Point:
        """The place of a value."""
        return self.x(x), self.y(y)


Label = Callable[[float], str]


def frame(
    canvas: Canvas,
    xs: Iterable[float],
    ys: Iterable[float],
    *,
    x_title: str,
    y_title: str,
    x_log: bool = False,
    y_log: bool = False,
    x_pad: float = 0.02,
    x_label: Label | None = None,
    x_ticks: Sequence[float] | None = None,
    most: tuple[int, int] = (7, 5),
) -> Frame:
    """Axes that hold `xs` and `ys`, with grid lines, labels and titles; the left edge is as wide as its widest label."""
    top, bottom = 22.0, canvas.height - 36
    y = scale(ys, bottom, top, is_log=y_log)
    marks = [t for t in y.ticks(most[1]) if y.holds(t)]
    labels = [tick_label(t, () if y_log else marks) for t in marks]
    left = 14 + TEXT_WIDTH * max((len(text) for text in labels), default=1)
    x = scale(xs, left, canvas.width - 12, is_log=x_log, pad=x_pad)
    for mark, text in zip(marks, labels, strict=True):
        canvas.line((left, y(mark)), (canvas.width - 12, y(mark)), "grid")
        canvas.text((left - 6, y(mark) + 3.5), text, anchor="end")
    below = [t for t in (x_ticks if x_ticks is not None else x.ticks(most[0])) if x.holds(t)]
    for mark in below:
        text = x_label(mark) if x_label is not None else tick_label(mark, () if x_log else below)
        canvas.line((x(mark), bottom), (x(mark), bottom + 4), "axis")
        canvas.text((x(mark), bottom + 16), text, anchor="middle")
    canvas.line((left, bottom), (canvas.width - 12, bottom), "axis")
    canvas.text((left, 12), y_title, "title")
    canvas.text((canvas.width - 12, canvas.height - 5), x_title, "title", anchor="end")
    return Frame(canvas, x, y)


def robust_range(values: Sequence[float], *, smaller_is_better: bool, always: Iterable[float] = ()) -> tuple[float, float]:
    """Ends of an axis on which a few absurd scores do not flatten the rest: the good end whole, the bad end cut.

    Cut beyond the worse quartile by half its distance to the best value, never inside `always`.
    """
    ordered = sorted(values)
    keep = [v for v in always if math.isfinite(v)]
    if not ordered:
        return (min(keep), max(keep)) if keep else (0.0, 1.0)
    if smaller_is_better:
        quartile = ordered[(3 * (len(ordered) - 1)) // 4]
        cut = quartile + 0.5 * (quartile - ordered[0])
        return min([ordered[0], *keep]), max([v for v in ordered if v <= cut] + keep)
    quartile = ordered[(len(ordered) - 1) // 4]
    cut = quartile - 0.5 * (ordered[-1] - quartile)
    return min([v for v in ordered if v >= cut] + keep), max([ordered[-1], *keep])
