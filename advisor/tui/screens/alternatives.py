"""Alternatives: the strategies that were not chosen beside the one that was, with what each would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList

from advisor.core.errors import AdvisorError
from advisor.report.wording import between, shown
from advisor.tui.background import Finished, run_behind
from advisor.tui.frame import Panel, RowList, fit, heading, lines, muted, wording_of

if TYPE_CHECKING:
    from advisor.core.facts import Facts
    from advisor.core.plan import Plan
    from advisor.session.alternatives import Alternative


class AlternativesScreen(ModalScreen[str | None]):
    """Closes with the strategy that was taken in place of the chosen one, or with None."""

    HELP = "Every other strategy with its forecast on these facts. Enter asks for it in place of the chosen one; u takes that back."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "Take it", key_display="Enter"),
        Binding("escape,q,a", "dismiss", "Keep the plan", key_display="Esc"),
    ]
    DEFAULT_CSS = """
    AlternativesScreen { align: center middle; background: $background 60%; }
    AlternativesScreen > Vertical { width: 112; max-width: 98%; height: 90%; border: round $accent; background: $surface; padding: 0 1; }
    AlternativesScreen RowList, AlternativesScreen RowList:focus { width: 46; border: none; background: $surface; padding: 0; }
    AlternativesScreen #detail { border: none; border-left: solid $edge; background: $surface; width: 1fr; height: 1fr; }
    AlternativesScreen Horizontal { height: 1fr; }
    """

    def __init__(self, plan: Plan, facts: Facts) -> None:
        super().__init__()
        self._plan, self._facts = plan, facts
        self.found: Sequence[Alternative] = ()

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = "Alternatives"
            frame.border_subtitle = "Enter takes it · Esc keeps the plan"
            with Horizontal():
                yield RowList("", id="strategies")
                yield Panel("", id="detail")

    def on_mount(self) -> None:
        self.query_one("#detail", Panel).show(muted("Planning with each strategy …"))
        walk = self.app.walk  # type: ignore[attr-defined]
        run_behind(self, "alternatives", lambda: walk.alternatives(self._facts, self._plan))
        self._fill()
        self.query_one("#strategies").focus()

    def on_finished(self, event: Finished) -> None:
        """Lists what was found."""
        if event.error is not None:
            if not isinstance(event.error, AdvisorError):
                raise event.error
            self.query_one("#detail", Panel).show(wording_of(event.error))
            return
        self.found = event.result
        self._fill()

    def action_take(self) -> None:
        """Asks for the strategy under the cursor; one that cannot be had says why."""
        chosen = self._selected
        if chosen is None:
            self.dismiss(None)
        elif chosen.refusal:
            self.notify(chosen.refusal, title="It cannot be had here", severity="warning", markup=False)
        else:
            self.dismiss(chosen.strategy.value)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click only moves the cursor."""
        event.stop()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """The details follow the cursor."""
        event.stop()
        self._tell()

    @property
    def _selected(self) -> Alternative | None:
        key = self.query_one("#strategies", RowList).highlighted_id
        return next((a for a in self.found if a.strategy == key), None)

    def _fill(self) -> None:
        plan = self._plan
        rows = [("chosen", _row(plan.strategy.value, plan.forecast.trials, plan.forecast.seconds_p50, plan.forecast.seconds_p90, "●"))]
        for a in self.found:
            if a.refusal:
                rows.append(
                    (a.strategy.value, Content.assemble("✗ ", (fit(a.strategy.value, 15), "$quiet"), ("cannot be had here", "$quiet")))
                )
            else:
                rows.append((a.strategy.value, _row(a.strategy.value, a.trials, a.seconds_p50, a.seconds_p90, " ")))
        self.query_one("#strategies", RowList).fill(rows)
        self._tell()

    def _tell(self) -> None:
        chosen = self._selected
        panel = self.query_one("#detail", Panel)
        if chosen is None:
            if self.found:
                panel.show(
                    lines(
                        [heading(f"{self._plan.strategy.value}: the plan"), "", muted("The others stand below, with what each would take.")]
                    )
                )
            return
        out: list[Content | str] = [heading(chosen.strategy.value)]
        if chosen.refusal:
            out += ["", Content.assemble(("✗ ", "$text-error"), shown(chosen.refusal))]
        if chosen.against:
            out += ["", Content.styled("What spoke against it", "bold")]
            out += [Content.assemble(("✗ ", "$text-error"), shown(reason)) for reason in chosen.against]
        if chosen.differs:
            out += ["", Content.styled("What would differ", "bold"), *(shown(line, longest=200) for line in chosen.differs)]
        panel.show(lines(out))
        panel.scroll_home(animate=False)


def _row(name: str, trials: int, low: float, high: float, mark: str) -> Content:
    return Content.assemble(f"{mark} ", (fit(name, 15), "bold"), f"{f'~{trials}':>6} trials  ", (between(low, high), "$quiet"))
