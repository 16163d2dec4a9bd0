"""Columns: what was read of the table, a row a column, and what can be done about each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from advisor.report.wording import shown
from advisor.tui.frame import RowList, fit, heading, lines, muted

if TYPE_CHECKING:
    from advisor.core.facts import Column, Facts


class Find(Input):
    """The line that narrows the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,down", "screen.to_list", "To the columns", key_display="Enter"),
        Binding("escape", "screen.clear", "Show all", key_display="Esc"),
    ]


class ColumnsScreen(ModalScreen[tuple[str, Any] | None]):
    """Every column with its kind, its gaps and its role. Closes with the answer that was given to one of them, or with None."""

    HELP = "What was read of each column. A key gives the column under the cursor another role; the data are then read again."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "leave_out", "Leave out, or take back"),
        Binding("t", "role('target')", "Predict it"),
        Binding("g", "role('group')", "Group"),
        Binding("o", "role('time')", "Time order"),
        Binding("w", "role('weights')", "Weights"),
        Binding("slash", "find", "Find", key_display="/"),
        Binding("escape,q,c", "dismiss", "Close", key_display="Esc"),
    ]
    DEFAULT_CSS = """
    ColumnsScreen { align: center middle; background: $background 60%; }
    ColumnsScreen > Vertical { width: 112; max-width: 98%; height: 90%; border: round $accent; background: $surface; padding: 0 1; }
    ColumnsScreen RowList, ColumnsScreen RowList:focus { border: none; background: $surface; padding: 0; }
    ColumnsScreen Find { border: none; height: 1; background: $panel; display: none; padding: 0 1; }
    ColumnsScreen.-finding Find { display: block; }
    ColumnsScreen #head, ColumnsScreen #about, ColumnsScreen #keys { height: auto; }
    ColumnsScreen #about { min-height: 2; max-height: 6; margin-top: 1; }
    ColumnsScreen #keys { color: $quiet; }
    """

    def __init__(self, facts: Facts, *, find: bool = False) -> None:
        super().__init__()
        self._facts = facts
        self._finds = find
        self._columns = facts.data.columns
        self._widths = (30, 17)

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = f"Columns of {shown(self._facts.data.source, longest=60)}"
            frame.border_subtitle = f"{len(self._columns)} and the target"
            yield Find(placeholder="part of a name", id="find")
            yield Static("", id="head")
            yield RowList("", id="columns")
            yield Static("", id="about", markup=False)
            yield Static("x leave out or back · t target · g group · o time · w weights · / find", id="keys")

    def on_mount(self) -> None:
        wide = self.app.size.width >= 100
        self._widths = (30, 17) if wide else (18, 13)
        name, kind = self._widths
        self.query_one("#head", Static).update(muted(f"{fit('column', name)} {fit('kind', kind)} {'missing':>7} {'distinct':>8}  role"))
        self._fill("")
        self.query_one("#columns", RowList).focus()
        if self._finds:
            self.action_find()

    # -- keys ----------------------------------------------------------------------------------------------------------
    def action_leave_out(self) -> None:
        """Leaves the column out of the features, or takes it back."""
        from advisor.core.remedies import without

        column = self._selected
        if column is not None:
            self.dismiss(("drop", without(self._facts.answers, column.name)))

    def action_role(self, field: str) -> None:
        """Gives the column a role, or takes it away again."""
        column = self._selected
        if column is not None:
            self.dismiss((field, None if getattr(self._facts.answers, field) == column.name else column.name))

    def action_find(self) -> None:
        """Opens the line that narrows the list."""
        self.add_class("-finding")
        self.query_one("#find").focus()

    def action_clear(self) -> None:
        """Shows every column again."""
        self.query_one("#find", Input).value = ""
        self.remove_class("-finding")
        self.action_to_list()

    def action_to_list(self) -> None:
        """Back to the columns."""
        self.query_one("#columns").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The list follows what is written."""
        self._fill(event.value)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """What is known of the column under the cursor."""
        event.stop()
        self._tell()

    # -- drawing -------------------------------------------------------------------------------------------------------
    @property
    def _selected(self) -> Column | None:
        key = self.query_one("#columns", RowList).highlighted_id
        return self._columns[int(key)] if key is not None else None

    def _fill(self, part: str) -> None:
        wanted = part.casefold()
        rows = [(str(i), self._row(c)) for i, c in enumerate(self._columns) if wanted in c.name.casefold()]
        self.query_one("#columns", RowList).fill(rows)
        self._tell()

    def _row(self, column: Column) -> Content:
        role, style = role_of(column, self._facts)
        name, kind = self._widths
        missing = f"{column.missing_ratio:.1%}" if column.missing_ratio else "–"
        return Content.assemble(
            (fit(shown(column.name), name), "bold"),
            f" {fit(column.kind.value.replace('_', ' '), kind)} {missing:>7} {_count(column.distinct):>8}  ",
            (role, style),
        )

    def _tell(self) -> None:
        column = self._selected
        out: list[Content | str] = []
        if column is not None:
            data = self._facts.data
            seen = [*data.leaks, *data.group_candidates, *data.time_candidates, *data.target_candidates]
            out.append(heading(shown(column.name, longest=100)))
            out += [Content.assemble(("! ", "bold $text-warning"), shown(s.reason)) for s in seen if s.column == column.name]
            if column.note:
                out.append(shown(column.note))
            if column.null_spellings:
                out.append(f"missing is spelled {', '.join(map(repr, column.null_spellings))}")
        self.query_one("#about", Static).update(lines(out))


def role_of(column: Column, facts: Facts) -> tuple[str, str]:
    """What the column is used for, and the style it is written in."""
    answers, data = facts.answers, facts.data
    named = {"group": answers.group, "time order": answers.time, "weights": answers.weights}
    for role, name in named.items():
        if name == column.name:
            return f"■ {role}", "bold $accent"
    if column.name in answers.drop:
        return "✗ left out by you", "$text-warning"
    if column.kind.value in ("identifier", "constant"):
        return f"✗ not used: {column.kind.value}", "$quiet"
    if any(leak.column == column.name for leak in data.leaks):
        return "! feature, perhaps a leak", "$text-warning"
    return "feature", ""


def _count(distinct: Any) -> str:
    return f"{distinct:,}" if isinstance(distinct, int) else "?"
