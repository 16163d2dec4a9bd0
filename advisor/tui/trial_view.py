"""One trial: its steps as a picture, and all that is known of it as a text."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from advisor.core.events import TrialState
from advisor.report.wording import duration, gibibytes, number, setting, shown
from advisor.tui.frame import fit, heading, lines, muted
from advisor.tui.plot import Curve, Plot, draw
from advisor.tui.trials import STATES, score_of, state_text


def trial_text(trial: TrialState, metric: str) -> Content:
    """All that is known of one trial."""
    out: list[Content | str] = [
        Content.assemble((STATES[trial.status], "bold"), (f"   {trial.stage} · {trial.origin} · {shown(trial.family)}", "$quiet")),
        Content.assemble((f"{metric}  ", "$quiet"), (number(score_of(trial), 5), "bold"), (f"   {duration(trial.seconds)}", "$quiet")),
    ]
    if trial.peak_bytes:
        out.append(Content.assemble(("memory  ", "$quiet"), gibibytes(trial.peak_bytes)))
    if trial.cause:
        out += [
            "",
            Content.assemble(("✗ " if trial.status == "failed" else "", "bold $text-error"), (shown(trial.cause, lines=True), "bold")),
        ]
    if trial.cure:
        out.append(Content.assemble(("Cure  ", "$quiet"), shown(trial.cure, lines=True)))
    out += ["", heading("Configuration")]
    width = max((len(str(k)) for k in trial.config), default=0) + 2
    out += [Content.assemble((fit(shown(k, longest=40), min(width, 42)), "$quiet"), (setting(v), "bold")) for k, v in trial.config.items()]
    if trial.scores:
        out += ["", heading("Folds"), "  ".join(number(s) for s in trial.scores)]
    if trial.detail:
        out += ["", heading("Last lines of its trace"), shown(trial.detail, lines=True)]
    return lines(out)


class TrialView(Widget):
    """The steps of one trial: a line a fold, or a curve over epochs."""

    DEFAULT_CSS = """
    TrialView { height: 1fr; border: round $edge; border-title-color: $quiet; border-title-style: bold;
                border-subtitle-color: $quiet; padding: 0 1; background: $background; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    FEW = 12

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.border_title = "Trial"
        self._trial: TrialState | None = None
        self._best: TrialState | None = None
        self._steps = 0

    def show(self, trial: TrialState | None, *, best: TrialState | None, steps: int) -> None:
        """Shows `trial` beside the best one."""
        if trial is self._trial and best is self._best and steps == self._steps:
            return
        self._trial, self._best, self._steps = trial, best, steps
        self.border_title = "Trial" if trial is None else f"Trial {trial.number} · {state_text(trial, steps)}"
        self.refresh()

    def render(self) -> Content:
        trial = self._trial
        width, height = self.content_size
        if trial is None:
            return muted("No trial is chosen.")
        if not trial.steps:
            return lines([muted(shown(trial.cause or "No step is measured yet.")), muted(shown(trial.cure))])
        if len(trial.steps) > self.FEW:
            points = tuple((float(s), v) for s, v in trial.steps)
            level = self._best.value if self._best is not None else None
            return draw(
                Curve(line=points, level=level, first=points[0][0], last=points[-1][0]), width, height, axis=Plot.AXIS, x_label="step"
            )
        return lines(step_lines(trial, self._best, width)[: max(1, height)])


def step_lines(trial: TrialState, best: TrialState | None, width: int) -> list[Content]:
    """A line a step: the running mean as a number and as a place on one scale, which the best trial's score marks too."""
    values = [v for _, v in trial.steps]
    mark = best.value if best is not None and best.value is not None else None
    scale = values + ([mark] if mark is not None else [])
    low, high = min(scale), max(scale)
    room = max(6, width - 18)
    span = (high - low) or 1.0

    def place(value: float) -> int:
        return round((value - low) / span * (room - 1))

    out = [
        Content.assemble(
            (fit("step", 5), "$quiet"),
            (f"{'mean':>9}  ", "$quiet"),
            (f"{number(low)}{number(high):>{max(1, room - len(number(low)))}}", "$quiet"),
        )
    ]
    for step, value in trial.steps:
        cells = ["─"] * room
        if mark is not None:
            cells[place(mark)] = "┆"
        cells[place(value)] = "●"
        at = place(value)
        out.append(
            Content.assemble(
                (fit(str(step), 5), "$quiet"),
                (f"{number(value):>9}  ", "bold"),
                ("".join(cells[:at]), "$quiet"),
                ("●", "bold $accent"),
                ("".join(cells[at + 1 :]), "$quiet"),
            )
        )
    if mark is not None and best is not None:
        out.append(muted(f"┆ best: trial {best.number}, {number(mark)}"))
    return out
