"""Compare: two or more runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen

from advisor.core.errors import AdvisorError
from advisor.report.comparing import table_of
from advisor.tui.background import Finished, run_behind
from advisor.tui.frame import Panel, fit, lines, muted, wording_of

if TYPE_CHECKING:
    from advisor.session.comparing import Comparison


class CompareScreen(ModalScreen[None]):
    """A column a run: what came out with its interval, then where the plans differ."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy"),
        Binding("escape,q,enter", "dismiss", "Close", key_display="Esc"),
    ]
    DEFAULT_CSS = """
    CompareScreen { align: center middle; background: $background 60%; }
    CompareScreen > Panel { width: 112; max-width: 98%; height: 90%; border: round $accent; background: $surface; padding: 0 1; }
    """

    def __init__(self, runs: Sequence[Path]) -> None:
        super().__init__()
        self._runs = runs
        self.comparison: Comparison | None = None

    def compose(self) -> ComposeResult:
        yield Panel("Compare", id="compare")

    def on_mount(self) -> None:
        panel = self.query_one(Panel)
        panel.border_subtitle = "y copies · Esc closes"
        panel.show(muted("Reading the journals …"))
        panel.focus()
        walk = self.app.walk  # type: ignore[attr-defined]
        run_behind(self, "compare", lambda: walk.compare(self._runs))

    def on_finished(self, event: Finished) -> None:
        """Shows the table, or why there is none."""
        panel = self.query_one(Panel)
        if event.error is not None:
            if not isinstance(event.error, AdvisorError):
                raise event.error
            panel.show(wording_of(event.error))
            return
        self.comparison = event.result
        panel.show(text_of(event.result, self.size.width))

    def action_copy(self) -> None:
        """Copies the table as plain text."""
        if self.comparison is not None:
            from advisor.report.comparing import comparison_text

            self.app.copy_to_clipboard(comparison_text(self.comparison))
            self.notify("Copied.", markup=False, timeout=2)


def text_of(comparison: Comparison, width: int) -> Content:
    """The table in `width` cells: values that differ from the first run's are bold and marked."""
    room = max(14, min(34, (min(width, 112) - 34) // len(comparison.runs)))
    out: list[Content | str] = []
    for place, row in enumerate(table_of(comparison)):
        if len(row) == 1:
            out += ["", Content.styled("Where the plans differ", "bold $accent")]
            continue
        cells: list[tuple[str, str]] = [(fit(row[0], 24), "$quiet")]
        for cell in row[1:]:
            is_other = place > 0 and cell != row[1]
            cells.append((fit(("≠ " if is_other else "  ") + cell, room), "bold" if is_other or place == 0 else ""))
        out.append(Content.assemble(*cells))
    out += ["", *(Content.assemble(("! ", "bold $text-warning"), note) for note in comparison.notes)]
    return lines(out)
