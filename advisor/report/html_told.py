"""What the HTML report is made from, and the parts it is laid out in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from advisor.core.events import StudyState
from advisor.core.facts import Facts
from advisor.core.outcome import Outcome
from advisor.core.plan import Forecast, Plan
from advisor.core.redaction import without_secrets
from advisor.core.space import SearchSpace
from advisor.report import charts_run as draw
from advisor.report.charts import Chart
from advisor.report.wording import shown


@dataclass(frozen=True, slots=True)
class Told:
    """Everything the report is made from."""

    name: str
    """Name of the run."""
    state: StudyState
    """The run as its events tell."""
    outcome: Outcome
    """What came out of it."""
    facts: Facts | None = None
    """What the plan was made from; None where it was not kept."""
    importances: Sequence[draw.Importance] = ()
    """What matters, the most important first."""
    importance_note: str = ""
    """How it was measured, or why it was not."""
    repeat: str = ""
    """The command that does the same again."""
    secrets: tuple[str, ...] = ()
    """Values that must not be told."""
    written: float = 0.0
    """Wall-clock seconds since the epoch at which the report is written."""
    version: str = ""
    """The advisor's."""

    def clean(self, text: object, longest: int = 400) -> str:
        """`text` as others may read it: control characters shown, credentials struck out, the far end of a long one cut."""
        return shown(without_secrets(str(text), self.secrets), longest=longest, lines=True)

    @property
    def called(self) -> str:
        """The name as it is written."""
        return self.clean(self.name, 80)

    @property
    def plan(self) -> Plan:
        """The plan that what is shipped was found under: with time to spare, a run goes on to other families afterwards."""
        told = [self.outcome.plan, *(Plan.from_mapping(r.plan) for r in reversed(self.state.revisions))]
        return next((p for p in told if p.family == self.outcome.family), self.outcome.plan)

    @property
    def first_plan(self) -> Plan:
        """The plan the run began with."""
        return Plan.from_mapping(self.state.first_plan) if self.state.first_plan else self.outcome.plan

    @property
    def forecasts(self) -> tuple[Forecast, Forecast]:
        """What the first plan expected, and what the one that the pilot's measurements gave did."""
        first = self.first_plan.forecast
        measured = next((r for r in self.state.revisions if r.about == "measurements"), None)
        return first, Plan.from_mapping(measured.plan).forecast if measured is not None else first


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the report."""

    key: str
    """Anchor in the page."""
    title: str
    """Heading."""
    lines: Sequence[str] = ()
    """Sentences, each a paragraph."""
    charts: Sequence[Chart | None] = ()
    """Drawings, wide ones first."""
    blocks: Sequence[Any] = ()
    """What follows, each a `Block`."""


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Text to be copied as it stands."""

    title: str
    """What it is for."""
    text: str
    """The text."""
    kind: str = "verbatim"


def spaces_of(state: StudyState, plan: Plan) -> dict[str, SearchSpace]:
    """Family to its space: the planned one, else what the objective asked for as it ran."""
    found = {c.family: c.space for c in plan.shortlist}
    best = state.trials.get(state.best) if state.best is not None else None
    if best is not None and best.suggested is not None and not len(found.get(best.family, SearchSpace())):
        found[best.family] = SearchSpace.model_validate({"parameters": best.suggested["space"]})
    return found
