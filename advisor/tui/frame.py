"""What every screen shares: the trail on top, panels, lists of rows, the keys below, help and the palette."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from advisor.core.errors import AdvisorError
from advisor.report.wording import shown

if TYPE_CHECKING:
    from advisor.tui.app import AdvisorApp

STEPS = ("Start", "Questions", "Plan", "Run", "Result")


def fit(text: str, width: int) -> str:
    """`text` in exactly `width` cells, cut with an ellipsis or padded.

    >>> fit("learning_rate", 8), fit("C", 3)
    ('learnin…', 'C  ')
    """
    if width <= 0:
        return ""
    length = cell_len(text)
    if length <= width:
        return text + " " * (width - length)
    kept = ""
    used = 0
    for character in text:
        size = cell_len(character)
        if used + size > width - 1:
            break
        kept += character
        used += size
    return kept + "…" + " " * (width - 1 - used)


def heading(text: str) -> Content:
    """A small heading inside a panel."""
    return Content.styled(text, "bold $accent")


def muted(text: str) -> Content:
    """Text that may be passed over."""
    return Content.styled(text, "$quiet")


def lines(parts: Iterable[Content | str]) -> Content:
    """The parts as lines of one text; strings are taken literally."""
    return Content("\n").join([Content(p) if isinstance(p, str) else p for p in parts])


def wording_of(error: Exception) -> Content:
    """An error as a screen shows it: what, where, and the cure."""
    if not isinstance(error, AdvisorError):
        return lines([Content.styled(f"✗ {type(error).__name__}: {shown(error, lines=True)}", "bold $text-error")])
    out: list[Content | str] = [Content.styled(f"✗ {shown(error.what, lines=True)}", "bold $text-error")]
    if error.where:
        out.append(Content.assemble(("Where  ", "$quiet"), shown(error.where)))
    if error.cure:
        out.append(Content.assemble(("Cure   ", "$quiet"), shown(error.cure)))
    return lines(out)


class Trail(Static):
    """The steps of the walk, the present one marked by brackets and weight, and what it is about."""

    DEFAULT_CSS = """
    Trail { dock: top; height: 1; padding: 0 1; background: $panel; color: $foreground; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, step: str) -> None:
        super().__init__(markup=False)
        self._step = step
        self._about = ""

    def on_mount(self) -> None:
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def tell(self, about: str) -> None:
        """Shows what the walk is about, at the right."""
        self._about = shown(about, longest=120)
        self._draw()

    def _draw(self) -> None:
        parts: list[tuple[str, str] | str] = [("advisor  ", "bold $accent")]
        used = cell_len("advisor  ")
        whole = sum(cell_len(s) for s in STEPS) + 3 * (len(STEPS) - 1) + 2
        steps = STEPS if used + whole + cell_len(self._about) + 6 <= self.size.width else (self._step,)
        for index, step in enumerate(steps):
            if index:
                parts.append((" › ", "$quiet"))
                used += 3
            here = step == self._step
            parts.append((f"[{step}]" if here else step, "bold" if here else "$quiet"))
            used += cell_len(step) + 2 * here
        room = self.size.width - 2 - used - 2
        if self._about and room > 8:
            about = self._about if cell_len(self._about) <= room else fit(self._about, room).rstrip()
            parts.append((" " * (room + 2 - cell_len(about)) + about, "$quiet"))
        self.update(Content.assemble(*parts))


class Panel(VerticalScroll):
    """A bordered, scrolling place for one text."""

    DEFAULT_CSS = """
    Panel { border: round $edge; border-title-color: $quiet; border-title-style: bold; border-subtitle-color: $quiet;
            padding: 0 1; height: 1fr; background: $background; scrollbar-size-vertical: 1; }
    Panel:focus { border: round $accent; border-title-color: $accent; background-tint: $foreground 0%; }
    Panel > Static { width: 1fr; height: auto; }
    """

    def __init__(self, title: str, *, id: str, focusable: bool = True) -> None:  # noqa: A002
        super().__init__(Static(markup=False), id=id, can_focus=focusable)
        self.border_title = title

    def show(self, content: Content | str) -> None:
        """Exchanges the text."""
        self.query_one(Static).update(content if isinstance(content, Content) else Content(content))


class RowList(OptionList, inherit_bindings=False):
    """A list of one-line rows. Enter is left to the screen, so that it always means "go on"."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", "Row up", show=False),
        Binding("down", "cursor_down", "Row down", show=False),
        Binding("home", "first", "First row", show=False),
        Binding("end", "last", "Last row", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
    ]
    DEFAULT_CSS = """
    RowList { border: round $edge; border-title-color: $quiet; border-title-style: bold; border-subtitle-color: $quiet;
              background: $background; padding: 0 1; height: 1fr; max-height: 100%; text-wrap: nowrap; text-overflow: ellipsis;
              scrollbar-size-vertical: 1; }
    RowList:focus { border: round $accent; border-title-color: $accent; background-tint: $foreground 0%; background: $background; }
    RowList > .option-list--option-highlighted { background: $panel; color: $foreground; text-style: none; }
    RowList:focus > .option-list--option-highlighted { background: $cursor; color: $foreground; text-style: bold; }
    RowList:nocolor > .option-list--option-highlighted { text-style: reverse; }
    """

    def __init__(self, title: str, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id, markup=False)
        self.border_title = title

    def fill(self, rows: list[tuple[str, Content]]) -> None:
        """Exchanges the rows, given as id and text; the highlight stays on its id."""
        held = self.highlighted_id
        if [o.id for o in self.options] == [key for key, _ in rows]:
            for key, content in rows:
                self.replace_option_prompt(key, content)
            return
        self.clear_options()
        self.add_options([Option(content, id=key) for key, content in rows])
        keys = [key for key, _ in rows]
        if rows:
            self.highlighted = keys.index(held) if held in keys else 0

    @property
    def highlighted_id(self) -> str | None:
        """The id of the row under the cursor."""
        if self.highlighted is None or self.highlighted >= self.option_count:
            return None
        return self.get_option_at_index(self.highlighted).id


class Page(Screen[None]):
    """A screen of the walk."""

    STEP: ClassVar[str] = ""
    """Its place in the trail."""
    HELP: ClassVar[str] = ""
    """What it is for, in a few sentences."""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next pane", show=False),
        Binding("shift+tab", "app.focus_previous", "Pane before", show=False),
        Binding("ctrl+c,super+c", "screen.copy_text", "Copy what the mouse has marked", show=False),
    ]
    ESCAPE_TO_MINIMIZE: ClassVar[bool | None] = False

    @property
    def advisor(self) -> AdvisorApp:
        """The interface this screen belongs to."""
        return cast("AdvisorApp", self.app)

    def compose(self) -> ComposeResult:
        yield Trail(self.STEP)
        yield from self.body()
        yield Footer(compact=True, show_command_palette=False)

    def on_resize(self) -> None:
        """Gives the keys more air where there is room."""
        self.query_one(Footer).compact = self.size.width < 100

    def body(self) -> Iterable[Widget]:
        """What stands between the trail and the keys."""
        return ()

    def tell(self, about: str) -> None:
        """Says what the walk is about, in the trail."""
        self.query_one(Trail).tell(about)


class Help(ModalScreen[None]):
    """The keys of the screen below, every one, and what the screen is for."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,f1,enter", "dismiss", "Close")]
    DEFAULT_CSS = """
    Help { align: center middle; background: $background 60%; }
    Help > Panel { width: 76; max-width: 96%; height: auto; max-height: 92%; border: round $accent; background: $surface; padding: 1 2; }
    """

    def __init__(self, screen: Screen[object]) -> None:
        super().__init__()
        self._screen = screen
        self.keys = keys_of(screen)

    def compose(self) -> ComposeResult:
        yield Panel("Help", id="help")

    def on_mount(self) -> None:
        panel = self.query_one(Panel)
        panel.border_subtitle = "Esc closes"
        out: list[Content | str] = []
        about = getattr(self._screen, "HELP", "")
        if about:
            out += [about, ""]
        out.append(heading("Keys"))
        out += [Content.assemble((fit(keys, 18), "bold"), text) for keys, text in self.keys]
        panel.show(lines(out))
        panel.focus()


def keys_of(screen: Screen[object]) -> list[tuple[str, str]]:
    """Every binding in force on `screen` as keys and description, the screen's own first."""
    app = screen.app
    own = [b.description for b in type(screen).BINDINGS if isinstance(b, Binding)]
    grouped: dict[str, list[str]] = {}
    ranks: dict[str, int] = {}
    for node, binding, _enabled, _tooltip in screen.active_bindings.values():
        text = binding.description
        if binding.system or not text:
            continue
        rank = own.index(text) if text in own else 102 if node is app else 101 if node is screen else 100
        ranks[text] = min(rank, ranks.get(text, rank))
        grouped.setdefault(text, []).append(app.get_key_display(binding))
    return [(" ".join(grouped[text]), text) for text in sorted(grouped, key=lambda text: ranks[text])]


class Ask(ModalScreen[bool]):
    """A question whose safe answer is under Enter; the other needs its own letter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,escape,n", "answer(False)", "No, go on"),
        Binding("y", "answer(True)", "Yes"),
    ]
    DEFAULT_CSS = """
    Ask { align: center middle; background: $background 60%; }
    Ask > Panel { width: 64; max-width: 96%; height: auto; border: round $warning; background: $surface; padding: 1 2; }
    """

    def __init__(self, title: str, text: str, *, yes: str, no: str) -> None:
        super().__init__()
        self._title, self._text, self._yes, self._no = title, text, yes, no

    def compose(self) -> ComposeResult:
        yield Panel(self._title, id="ask")

    def on_mount(self) -> None:
        panel = self.query_one(Panel)
        panel.show(
            lines(
                [self._text, "", Content.assemble(("y      ", "bold"), self._yes), Content.assemble(("Enter  ", "bold"), self._no)],
            )
        )
        panel.focus()

    def action_answer(self, value: bool) -> None:
        """Closes with the answer."""
        self.dismiss(value)


class Reading(ModalScreen[None]):
    """One text over the screen, to be read and closed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Close")]
    DEFAULT_CSS = """
    Reading { align: center middle; background: $background 60%; }
    Reading > Panel { width: 90%; max-width: 110; height: auto; max-height: 90%; border: round $accent;
        background: $surface; padding: 1 2; }
    """

    def __init__(self, title: str, content: Content) -> None:
        super().__init__()
        self._title, self._content = title, content

    def compose(self) -> ComposeResult:
        yield Panel(shown(self._title, longest=80), id="reading")

    def on_mount(self) -> None:
        panel = self.query_one(Panel)
        panel.border_subtitle = "Esc closes"
        panel.show(self._content)
        panel.focus()
