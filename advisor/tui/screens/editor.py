"""One answer: a list to choose from, or a line to write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from advisor.core.errors import AdvisorError
from advisor.report.answering import FREE, answer_text, read_answer
from advisor.report.wording import shown

if TYPE_CHECKING:
    from advisor.tui.walk import Question


class Editor(ModalScreen[Any]):
    """One answer: a list to choose from, or a line to write."""

    NOTHING = object()
    """Stands for the answer "none", which is not the same as no answer."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Keep the answer"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]
    DEFAULT_CSS = """
    Editor { align: center middle; background: $background 60%; }
    Editor > Vertical { width: 64; max-width: 96%; height: auto; max-height: 90%; border: round $accent;
        background: $surface; padding: 1 2; }
    Editor OptionList { height: auto; max-height: 14; border: none; background: $surface; padding: 0;
        text-wrap: nowrap; text-overflow: ellipsis; }
    Editor OptionList > .option-list--option-highlighted { background: $cursor; text-style: bold; color: $foreground; }
    Editor OptionList:focus { border: none; background: $surface; background-tint: $foreground 0%; }
    Editor OptionList:focus > .option-list--option-highlighted { background: $cursor; text-style: bold; color: $foreground; }
    Editor OptionList:nocolor > .option-list--option-highlighted { text-style: reverse; }
    Editor.-short > Vertical { padding: 0 2; }
    Editor.-short OptionList { max-height: 8; }
    Editor Input { border: round $edge; background: $surface; }
    Editor Input:focus { border: round $accent; background-tint: $foreground 0%; }
    Editor #fault { color: $text-error; height: auto; }
    Editor #hint { color: $quiet; height: auto; margin-top: 1; }
    """

    def __init__(self, question: Question, choices: Sequence[Any]) -> None:
        super().__init__()
        self._question = question
        self._choices = list(choices)
        self._visible: list[Any] = []

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = shown(self._question.text, longest=58)
            if len(self._choices) > 10:
                yield Input(placeholder="type to narrow the list", id="narrow", select_on_focus=False)
            if self._choices:
                yield OptionList(id="choices", markup=False)
            if not self._choices or self._question.kind in FREE:
                yield Input(
                    value="" if self._choices else self._written(),
                    id="written",
                    select_on_focus=not self._choices,  # else the first letter, typed over the list, would be marked and overwritten
                    placeholder=("or write another: " if self._choices else "") + self._example(),
                )
            yield Static("", id="fault", markup=False)
            yield Static("Enter takes it · Esc keeps the old answer", id="hint", markup=False)

    def on_mount(self) -> None:
        if self._choices:
            self._fill("")
            self.query_one("#choices").focus()

    def on_key(self, event: Key) -> None:
        """Letters go to the line even while the list has the keys, and arrows to the list while the line has them."""
        line = next(iter(self.query(Input)), None)
        if line is None or not self._choices:
            return
        if isinstance(self.focused, Input):
            if event.key in ("up", "down"):
                event.stop()
                listed = self.query_one("#choices", OptionList)
                listed.action_cursor_down() if event.key == "down" else listed.action_cursor_up()
        elif event.is_printable and event.character and not event.character.isspace():
            event.stop()
            line.focus()
            line.insert_text_at_cursor(event.character)

    def _written(self) -> str:
        text = answer_text(self._question.kind, self._question.value)
        return "" if text == "–" else text

    def _example(self) -> str:
        return {"duration": "90s, 10m, 2h", "number": "a whole number; empty for none"}.get(self._question.kind, "empty for none")

    def _fill(self, narrow: str) -> None:
        listed = self.query_one("#choices", OptionList)
        kept = [c for c in self._choices if narrow.casefold() in self._text(c).casefold()]
        self._visible = kept
        listed.clear_options()
        listed.add_options([("● " if c == self._question.value else "  ") + self._text(c) for c in kept])
        at = next((i for i, c in enumerate(kept) if c == self._question.value), 0)
        listed.highlighted = at if kept else None

    def _text(self, choice: Any) -> str:
        text = answer_text(self._question.kind, choice)
        return "none" if text == "–" else text

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrows the list as one types."""
        if event.input.id == "narrow":
            self._fill(event.value)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Takes the row."""
        event.stop()
        value = self._visible[event.option_index]
        self.dismiss(self.NOTHING if value is None else value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Takes the line, when it can be read."""
        if event.input.id == "narrow":
            if self._visible:
                value = self._visible[self.query_one("#choices", OptionList).highlighted or 0]
                self.dismiss(self.NOTHING if value is None else value)
            return
        try:
            value = read_answer(self._question.kind, event.value)
        except ValueError as error:
            self.query_one("#fault", Static).update(f"✗ {error}")
            return
        self.dismiss(self.NOTHING if value is None else value)


class Offer(ModalScreen[int | None]):
    """A few things that can be done, each with why; closes with the place of the one that was taken."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss", "Leave it", key_display="Esc")]
    DEFAULT_CSS = """
    Offer { align: center middle; background: $background 60%; }
    Offer > Vertical { width: 84; max-width: 96%; height: auto; max-height: 90%; border: round $accent;
        background: $surface; padding: 1 2; }
    Offer OptionList, Offer OptionList:focus { height: auto; max-height: 14; border: none; background: $surface; padding: 0;
        background-tint: $foreground 0%; }
    Offer OptionList > .option-list--option-highlighted { background: $cursor; text-style: bold; color: $foreground; }
    Offer OptionList:nocolor > .option-list--option-highlighted { text-style: reverse; }
    Offer #hint { color: $quiet; height: auto; margin-top: 1; }
    """

    def __init__(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title, self._rows = title, rows

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = self._title
            yield OptionList(
                *[Content.assemble((shown(a, longest=70), "bold"), (f"  {shown(b, longest=200)}", "$quiet")) for a, b in self._rows]
            )
            yield Static("Enter does it · Esc leaves it", id="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Takes the row."""
        event.stop()
        self.dismiss(event.option_index)


class LineEditor(ModalScreen[None]):
    """One line to write. It closes once it can be taken; until then it says what is wrong."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Keep it", key_display="Esc")]
    DEFAULT_CSS = """
    LineEditor { align: center middle; background: $background 60%; }
    LineEditor > Vertical { width: 68; max-width: 96%; height: auto; border: round $accent; background: $surface; padding: 1 2; }
    LineEditor Input { border: round $edge; background: $surface; }
    LineEditor Input:focus { border: round $accent; background-tint: $foreground 0%; }
    LineEditor #fault { color: $text-error; height: auto; }
    LineEditor #hint { color: $quiet; height: auto; margin-top: 1; }
    """

    def __init__(self, title: str, text: str, *, hint: str, take: Callable[[str], None]) -> None:
        super().__init__()
        self._title, self._text, self._hint, self._take = title, text, hint, take

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = shown(self._title, longest=60)
            yield Input(value=self._text, id="line")
            yield Static("", id="fault", markup=False)
            yield Static(f"{self._hint}\nEnter takes it · Esc keeps it as it was", id="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_changed(self) -> None:
        """A fault belongs to what was written before."""
        self.query_one("#fault", Static).update("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Takes the line, when it can be."""
        try:
            self._take(event.value.strip())
        except (AdvisorError, ValueError) as error:
            self.query_one("#fault", Static).update(f"✗ {shown(error, longest=200)}")
            return
        self.dismiss()
