"""What came out of a run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_serializer, field_validator

from advisor.core.diagnosis import Finding
from advisor.core.plan import Plan
from advisor.core.space import Config
from advisor.core.value import Value, decode, encode


class Gain(Value):
    """Gain over the default on the held-out rows; positive is better whatever the metric."""

    value: float
    """The gain."""
    low: float
    """Lower end of the 95 % interval of a paired bootstrap."""
    high: float
    """Upper end."""
    probability: float
    """Share of bootstrap draws with a gain above 0."""


class TrialRecord(Value):
    """One trial as `outcome.trials` lists it."""

    number: int
    """From 0."""
    stage: str
    """Stage it belongs to."""
    origin: str
    """default, start, proposal or confirm."""
    family: str
    """Model family."""
    config: Config
    """Configuration."""
    status: str
    """completed, pruned, failed, interrupted or running."""
    value: float | None
    """Score; None when there is none."""
    seconds: float
    """Time it took."""
    scores: tuple[float, ...] = ()
    """One score a split where it ran in full and gave them."""
    fit_seconds: float = 0.0
    """Time of one fit, as far as the objective told it."""
    cause: str = ""
    """Why it failed or was pruned."""
    category: str = ""
    """Of a failed trial, what kind of end it was: error, invalid, timeout, memory, signal or deadline."""
    rows: int | None = None
    """Rows of the table it was given (successive halving); None: all."""

    @field_validator("config", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return decode(value)

    @field_serializer("config", when_used="json")
    def _encode(self, value: Any) -> Any:
        return encode(value)


class ScheduleStep(Value):
    """One entry of a learned schedule."""

    step: int
    """It holds from after this step on; 0: from the beginning."""
    config: Config
    """The configuration from there on."""

    @field_validator("config", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return decode(value)

    @field_serializer("config", when_used="json")
    def _encode(self, value: Any) -> Any:
        return encode(value)


class Outcome(Value):
    """The result of a run; None where a number does not exist, with the reason in `reasons`."""

    run: str
    """Folder of the run."""
    status: Literal["done", "stopped", "nothing_finished", "failed", "running", "interrupted"]
    """How it ended, or that it has not."""
    family: str | None
    """Family of what is shipped."""
    default_family: str | None = None
    """Family of the default configuration that the gain is measured against: trial 0."""
    best_config: Config | None
    """Configuration that is shipped."""
    best_value: float | None
    """Its score in the search."""
    metric: str
    """The score."""
    direction: Literal["minimize", "maximize"]
    """Which way is better."""
    validation_score: float | None
    """Score of what is shipped on the confirm stage's fresh splits, else in the search."""
    heldout_score: float | None
    """Score on the rows no choice has seen."""
    default_heldout_score: float | None
    """The default configuration's score there."""
    gain: Gain | None
    """Gain over the default there."""
    shipped: Literal["tuned", "default"] | None
    """What `best/` holds."""
    trained_on: str | None
    """Rows the saved model was fitted on: fold, development or all."""
    trials: tuple[TrialRecord, ...]
    """Every trial."""
    counts: dict[str, int]
    """Completed, pruned and failed."""
    seconds: float
    """Budget used."""
    schedule: tuple[ScheduleStep, ...] = ()
    """What the best model was trained under, where its configuration changed in flight: the product of a population."""
    findings: tuple[Finding, ...] = ()
    """What was noticed: warnings of the run, then what its trials and curves show, each with cause and cure."""
    reasons: dict[str, str] = {}
    """Field to the reason why it is None or cannot be settled."""
    plan: Plan
    """The plan in force at the end."""

    def to_mapping(self) -> dict[str, Any]:
        """The outcome as plain data for ``--json``: `trials` holds the three counts, `plan` is left out."""
        plain = self.model_dump(mode="json", exclude={"plan", "trials", "counts"})
        plain["best_config"] = encode(self.best_config) if self.best_config is not None else None
        plain["trials"] = dict(self.counts)
        return plain
