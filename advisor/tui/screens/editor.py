"""One answer: a list to choose from, or a line to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

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
                yield Input(placeholder="type to narrow the list", id="narrow")
            if self._choices:
                yield OptionList(id="choices", markup=False)
            if not self._choices or self._question.kind in FREE:
                yield Input(
                    value="" if self._choices else self._written(),
                    id="written",
                    placeholder=("or write another: " if self._choices else "") + self._example(),
                )
            yield Static("", id="fault", markup=False)
            yield Static("Enter takes it · Esc keeps the old answer", id="hint", markup=False)

    def on_mount(self) -> None:
        if self._choices:
            self._fill("")
            self.query_one("#choices").focus()

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
