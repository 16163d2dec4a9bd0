"""The table of trials. Only the lines in sight are written, so that five thousand trials cost what fifty do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from advisor.core.events import TrialState
from advisor.report.wording import configuration, duration, number, shown
from advisor.tui.frame import fit

STATES = {"completed": "✓ done", "pruned": "◌ pruned", "failed": "✗ FAILED", "interrupted": "‖ cut off", "running": "▸ running"}
SORTS = ("newest", "best score", "slowest", "state")
HEADER = f"  {'#':>5}  {fit('state', 13)}{fit('family', 23)}{'score':>9}  {'± folds':>8}  {'time':>7}  configuration"
NARROW_HEADER = f"  {'#':>5}  {fit('state', 12)}{fit('family', 17)}{'score':>8}  {'time':>6}  configuration"
NARROW = 96
"""Cells below which the spread over the folds gives way to the configuration, or to why a trial failed."""
WIDTH = 240


def state_text(trial: TrialState, steps: int) -> str:
    """The state in words, with the step a running trial has reached."""
    text = STATES[trial.status]
    if trial.status == "running" and trial.steps:
        done = trial.steps[-1][0]
        return f"▸ run {done}/{steps}" if steps else f"▸ run {done}"
    return text


def score_of(trial: TrialState) -> float | None:
    """Its score, or that of its last step while it has none."""
    return trial.value if trial.value is not None else trial.steps[-1][1] if trial.steps else None


def spread_of(trial: TrialState) -> float | None:
    """Standard deviation over its folds; None below two."""
    if len(trial.scores) < 2:
        return None
    mean = sum(trial.scores) / len(trial.scores)
    return math.sqrt(sum((s - mean) ** 2 for s in trial.scores) / (len(trial.scores) - 1))


def row_text(trial: TrialState, *, steps: int, is_best: bool, elapsed: float, is_narrow: bool = False) -> str:
    """One line of the table, aligned under `HEADER`, or under `NARROW_HEADER`."""
    spread = spread_of(trial)
    seconds = trial.seconds if trial.status != "running" else max(0.0, elapsed - trial.started_elapsed)
    note = f"✗ {shown(trial.cause, longest=120)}" if trial.status == "failed" else configuration(trial.config)
    best = "★ best  " if is_best else "default  " if trial.origin == "default" else ""
    if is_narrow:
        return (
            f"{trial.number:>5}  {fit(state_text(trial, steps), 12)}{fit(shown(trial.family, longest=40), 16)} "
            f"{number(score_of(trial)):>8}  {duration(seconds):>6}  {best}{note}"
        )
    return (
        f"{trial.number:>5}  {fit(state_text(trial, steps), 13)}{fit(shown(trial.family, longest=40), 22)} {number(score_of(trial)):>9}  "
        f"{number(spread, 2) if spread is not None else '–':>8}  {duration(seconds):>7}  {best}{note}"
    )


def matches(trial: TrialState, words: tuple[str, ...]) -> bool:
    """True when every word stands in what the table or the detail says of `trial`."""
    text = f"#{trial.number} {STATES[trial.status]} {trial.status} {trial.stage} {trial.origin} {trial.family} {trial.cause}".casefold()
    config = configuration(trial.config).casefold() if any(w not in text for w in words) else ""
    return all(w in text or w in config for w in words)


class TrialTable(ScrollView, can_focus=True):
    """Trials as lines. The cursor keeps its trial whatever is sorted, filtered or added; until it is moved it follows the first line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Trial up", show=False),
        Binding("down", "move(1)", "Trial down", show=False),
        Binding("pageup", "move(-10)", "Ten up", show=False),
        Binding("pagedown", "move(10)", "Ten down", show=False),
        Binding("home", "first", "First trial, and follow", show=False),
        Binding("end", "last", "Last trial", show=False),
        Binding("left", "scroll_left", "Columns left", show=False),
        Binding("right", "scroll_right", "Columns right", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "trials--header",
        "trials--cursor",
        "trials--quiet",
        "trials--failed",
        "trials--best",
        "trials--running",
    }
    DEFAULT_CSS = """
    TrialTable { border: round $edge; border-title-color: $quiet; border-title-style: bold; border-subtitle-color: $quiet;
                 background: $background; height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
    TrialTable:focus { border: round $accent; border-title-color: $accent; }
    TrialTable > .trials--header { color: $quiet; text-style: bold; }
    TrialTable > .trials--cursor { background: $cursor; text-style: bold; }
    TrialTable > .trials--quiet { color: $quiet; }
    TrialTable > .trials--failed { color: $text-error; }
    TrialTable > .trials--best { color: $text-accent; text-style: bold; }
    TrialTable > .trials--running { color: $text-primary; }
    TrialTable:nocolor > .trials--cursor { text-style: bold reverse; }
    """

    class Moved(Message):
        """The cursor stands on another trial."""

        def __init__(self, trial: int | None) -> None:
            super().__init__()
            self.trial = trial

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._title = title
        self.border_title = title
        self._trials: Mapping[int, TrialState] = {}
        self._order: list[int] = []
        self._places: dict[int, int] = {}
        self._best: int | None = None
        self._smaller = True
        self._steps = 0
        self._elapsed = 0.0
        self.sort = SORTS[0]
        self.filter = ""
        self._held: int | None = None
        """The trial the user has put the cursor on; None: the first line, whatever it is."""

    # -- what is shown -------------------------------------------------------------------------------------------------
    def show(self, trials: Mapping[int, TrialState], *, best: int | None, direction: str, steps: int, elapsed: float) -> None:
        """Takes a new state of the run."""
        self._trials, self._best, self._steps, self._elapsed = trials, best, steps, elapsed
        self._smaller = direction != "maximize"
        self._arrange()

    def reorder(self, *, sort: str | None = None, filter: str | None = None) -> None:  # noqa: A002
        """Another order or another filter; the cursor keeps its trial where that is still shown."""
        self.sort = sort or self.sort
        self.filter = self.filter if filter is None else filter
        self._arrange()

    @property
    def selected(self) -> int | None:
        """The trial under the cursor; None when nothing is shown."""
        if self._held is not None and self._held in self._places:
            return self._held
        return self._order[0] if self._order else None

    @property
    def order(self) -> tuple[int, ...]:
        """The trials shown, from the top."""
        return tuple(self._order)

    def _arrange(self) -> None:
        before = self._places.get(self._held) if self._held is not None else None
        seen_at = None if before is None else before - self.scroll_offset.y
        words = tuple(self.filter.casefold().split())
        kept = [t for t in self._trials.values() if not words or matches(t, words)]
        self._order = [t.number for t in sorted(kept, key=self._rank)]
        self._places = {n: i for i, n in enumerate(self._order)}
        if self.virtual_size.height != len(self._order) + 1:
            self.virtual_size = Size(WIDTH, len(self._order) + 1)
        total = len(self._trials)
        count = f"{total}" if len(self._order) == total else f"{len(self._order)} of {total}"
        title = f"{self._title} · {count}"
        subtitle = f"sorted: {self.sort}" + (f" · filter: {shown(self.filter, longest=30)}" if self.filter else "")
        if (self.border_title, self.border_subtitle) != (title, subtitle):
            self.border_title, self.border_subtitle = title, subtitle
        if self._held is not None and self._held in self._places and seen_at is not None:
            self.scroll_to(y=max(0, self._places[self._held] - seen_at), animate=False, force=True)
        self.refresh()

    def _rank(self, trial: TrialState) -> tuple[float, ...]:
        match self.sort:
            case "best score":
                value = trial.value if trial.status == "completed" and trial.rows is None else None
                return (value is None, 0.0 if value is None else value if self._smaller else -value, -trial.number)
            case "slowest":
                return (-trial.seconds, -trial.number)
            case "state":
                return (list(STATES).index(trial.status) if trial.status != "running" else -1, -trial.number)
            case _:
                return (-trial.number,)

    # -- keys and mouse ------------------------------------------------------------------------------------------------
    def action_move(self, count: int) -> None:
        """Moves the cursor by `count` lines."""
        if self._order:
            at = self._places[self.selected] if self.selected is not None else 0
            self._go(self._order[min(len(self._order) - 1, max(0, at + count))])

    def action_first(self) -> None:
        """To the first line; the cursor stays there as trials come."""
        self._held = None
        self.scroll_to(y=0, animate=False, force=True)
        self.post_message(self.Moved(self.selected))
        self.refresh()

    def action_last(self) -> None:
        """To the last line."""
        if self._order:
            self._go(self._order[-1])

    def action_scroll_left(self) -> None:
        """Eight columns to the left."""
        self.scroll_to(x=max(0, self.scroll_offset.x - 8), animate=False, force=True)

    def action_scroll_right(self) -> None:
        """Eight columns to the right."""
        self.scroll_to(x=self.scroll_offset.x + 8, animate=False, force=True)

    def _go(self, trial: int) -> None:
        self._held = trial
        place = self._places[trial]
        room = max(1, self.scrollable_content_region.height - 1)
        top = self.scroll_offset.y
        if place < top:
            self.scroll_to(y=place, animate=False, force=True)
        elif place >= top + room:
            self.scroll_to(y=place - room + 1, animate=False, force=True)
        self.post_message(self.Moved(trial))
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Puts the cursor on the line."""
        offset = event.get_content_offset(self)
        if offset is not None and offset.y > 0:
            place = offset.y - 1 + self.scroll_offset.y
            if place < len(self._order):
                self._go(self._order[place])

    # -- drawing -------------------------------------------------------------------------------------------------------
    def render_line(self, y: int) -> Strip:
        """The header, or the trial that stands `y` lines below the top."""
        width = self.scrollable_content_region.width
        x = self.scroll_offset.x
        base = self.rich_style
        is_narrow = width < NARROW
        if y == 0:
            return Strip(
                [Segment(NARROW_HEADER if is_narrow else HEADER, base + self.get_component_rich_style("trials--header", partial=True))]
            ).crop_extend(x, x + width, base)
        place = y - 1 + self.scroll_offset.y
        if place >= len(self._order):
            return Strip.blank(width, base)
        trial = self._trials[self._order[place]]
        style = base + self._style(trial)
        mark = "  "
        if trial.number == self.selected:
            style += self.get_component_rich_style("trials--cursor", partial=True)
            mark = "› "
        is_best = trial.number == self._best
        text = mark + row_text(trial, steps=self._steps, is_best=is_best, elapsed=self._elapsed, is_narrow=is_narrow)
        return Strip([Segment(text, style)]).crop_extend(x, x + width, style)

    def _style(self, trial: TrialState) -> Style:
        if trial.number == self._best:
            return self.get_component_rich_style("trials--best", partial=True)
        name = {"failed": "trials--failed", "running": "trials--running", "pruned": "trials--quiet", "interrupted": "trials--quiet"}.get(
            trial.status
        )
        return self.get_component_rich_style(name, partial=True) if name else Style.null()

    @property
    def allow_horizontal_scroll(self) -> bool:
        """The configuration may be wider than the screen."""
        return True

    def cursor_region(self) -> Region:
        """Where the cursor stands, for tests: the place in the order."""
        place = self._places.get(self.selected, 0) if self.selected is not None else 0
        return Region(0, place, WIDTH, 1)
