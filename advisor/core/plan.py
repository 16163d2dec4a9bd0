"""The plan: what will be done, and for every field the rule that set it."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Any, Literal

from pydantic import field_serializer, field_validator

from advisor.core.facts import GivenRows, Task, Unknown
from advisor.core.space import Config, SearchSpace
from advisor.core.value import Value, decode, encode

GIVEN_REFITS = 2
"""Fits with fresh seeds by which a configuration is scored again on rows that were given: those rows themselves stay the same. [H]"""


class Strategy(StrEnum):
    """How configurations are chosen. `none` is the outcome of a gate that failed."""

    DEFAULT = "default"
    PORTFOLIO = "portfolio"
    GRID = "grid"
    RANDOM = "random"
    QMC = "qmc"
    TPE = "tpe"
    GP = "gp"
    CMAES = "cmaes"
    HALVING = "halving"
    ASHA = "asha"
    HYPERBAND = "hyperband"
    PBT = "pbt"
    HYPERGRADIENT = "hypergradient"


class Validation(Value):
    """How a configuration is scored, and what is kept apart until the end."""

    scheme: Literal["holdout", "kfold", "stratified", "group", "stratified_group", "time", "given", "own"]
    """Kind of split inside the development rows; ``given``: the rows of a file score; ``own``: the objective validates by itself."""
    folds: int
    """Folds; 1 for a holdout."""
    repeats: int = 1
    """Repeats with other shuffles."""
    holdout_ratio: float = 0.0
    """Share of the development rows that a holdout scores, 0..1; 0 when folds are used."""
    heldout_ratio: float
    """Share of all rows kept apart until the end, 0..1; no choice ever sees them."""
    group: str | None = None
    """Column whose rows stay on one side."""
    time: str | None = None
    """Column by which earlier rows predict later ones."""
    seed: int = 0
    """Seed of the shuffles."""

    @property
    def splits(self) -> int:
        """Fits a full evaluation costs: folds × repeats."""
        return self.folds * self.repeats

    @property
    def fresh_splits(self) -> int:
        """Fits by which the confirm stage scores a configuration again."""
        return GIVEN_REFITS if self.scheme == "given" else self.splits

    @property
    def again(self) -> str:
        """How the confirm stage scores a configuration again, in words."""
        return "in refits with fresh seeds" if self.scheme == "given" else "on fresh splits"


class Pruner(Value):
    """What stops a trial early."""

    name: Literal["none", "median", "wilcoxon", "hyperband", "successive_halving", "earned"]
    """The pruner; `none` never stops a trial, `earned` only by a rule that the first full trials have shown to be safe."""
    resource: Literal["none", "fold", "epoch"] = "none"
    """What a step is."""
    settings: dict[str, float] = {}
    """Arguments of the library's pruner."""


class Budget(Value):
    """Where the wall-clock seconds go; the parts add up to `seconds`."""

    seconds: float
    """All of it, from the start of the process."""
    startup_seconds: float
    """Starting, reading, splitting."""
    pilot_seconds: float
    """Racing the families and measuring one fit."""
    search_seconds: float
    """The search."""
    confirm_seconds: float
    """Re-scoring the best few and the default on fresh splits."""
    refit_seconds: float
    """Final fits and the held-out score."""
    trials: int
    """Trials that are expected to fit: N."""
    trials_cap: int | None = None
    """Trials never exceeded; None: time alone decides."""


class Envelope(Value):
    """What one trial and all trials together may use."""

    workers: int
    """Concurrent trials."""
    threads_per_worker: int
    """Threads of one trial; workers × threads never exceed the processors allowed."""
    memory_per_worker_bytes: int | Unknown
    """Memory limit of one trial."""
    trial_seconds: float
    """Longest time one trial may take."""
    batch_size: int | None = None
    """Rows per gradient step, for networks."""
    device: str = "cpu"
    """Where networks are trained."""


class Stage(Value):
    """One part of the run."""

    name: str
    """What it is for, unique in the plan: pilot, search, coarse, fine, confirm; runner_up, runner_up_2 … search further families."""
    strategy: Strategy
    """Who proposes."""
    engine: str
    """The library class that is executed, as ``package.Class``."""
    space: tuple[str, ...] = ()
    """Names of the parameters that move in this stage."""
    trials: int
    """Trials expected."""
    seconds: float
    """Seconds given."""


class Candidate(Value):
    """One model family of the shortlist with everything needed to try it."""

    family: str
    """The family's name."""
    space: SearchSpace
    """Its search space, adjusted to the facts."""
    starts: tuple[Config, ...]
    """Configurations tried first; the default at index 0."""
    fixed: dict[str, Any] = {}
    """Constructor arguments that are not searched, adjusted to the facts and to the user's ``--freeze``."""
    fit_seconds: float
    """One fit of the default, estimated or measured."""
    is_measured: bool = False
    """True when `fit_seconds` was measured by a pilot."""

    @field_serializer("starts", when_used="json")
    def _encode_starts(self, value: Any) -> Any:
        return [encode(v) for v in value]

    @field_validator("starts", mode="before")
    @classmethod
    def _decode_starts(cls, value: Any) -> Any:
        return tuple(decode(v) for v in value)

    @field_serializer("fixed", when_used="json")
    def _encode_fixed(self, value: Any) -> Any:
        return encode(value)

    @field_validator("fixed", mode="before")
    @classmethod
    def _decode_fixed(cls, value: Any) -> Any:
        return decode(value)


class Flip(Value):
    """The nearest change of one fact that would change a field."""

    fact: str
    """Name of the fact."""
    now: Any
    """Its value."""
    becomes: Any
    """The value at which the field changes."""
    then: str
    """What the field would be, in words."""


class Evidence(Value):
    """Why one field has its value."""

    field: str
    """Path in the plan, such as ``validation.folds``."""
    value: Any
    """The value that was set."""
    rule: str
    """The rule's id, ``answer`` for a user's own word, ``computed`` for arithmetic named in `because`."""
    because: str
    """The reason in one sentence."""
    facts: dict[str, Any]
    """The facts the rule looked at, with their values."""
    source: str
    """Where the knowledge comes from."""
    also: tuple[str, ...] = ()
    """Further rules that hold and say the same."""
    flips: tuple[Flip, ...] = ()
    """What would change it."""


class Stability(Value):
    """Between which fit times, as the pilot may measure them, the strategy stays the same."""

    fit_seconds: float
    """Seconds of a fit that the plan reckons with."""
    low_seconds: float | None
    """From this fit time downwards another strategy would be planned; None when none is within a thousandfold."""
    high_seconds: float | None
    """The same, upwards."""

    @property
    def factor(self) -> float | None:
        """How many times wrong the fit time may be, either way, before the strategy changes; None when more than a thousand."""
        low = self.fit_seconds / self.low_seconds if self.low_seconds else None
        high = self.high_seconds / self.fit_seconds if self.high_seconds else None
        return min((f for f in (low, high) if f is not None), default=None)

    @property
    def is_near(self) -> bool:
        """True when a fit time within 20 % of the one reckoned with would change the strategy."""
        return self.factor is not None and self.factor <= 1.2

    @property
    def text(self) -> str:
        """One sentence."""
        factor = self.factor
        if factor is None:
            return "Holds whatever a fit is measured to take, within a thousandfold."
        if factor == 1:
            return f"May change as soon as a fit is measured: {self.fit_seconds:.3g} s are reckoned with."
        edges = [f"{v:.3g} s" for v in (self.low_seconds, self.high_seconds) if v is not None]
        reckoned = f"{self.fit_seconds:.3g} s; changes at {' and '.join(edges)}"
        return f"Holds unless the measured fit time is wrong by more than {factor:.2g} × ({reckoned})."


class Rejected(Value):
    """A strategy that was not chosen."""

    strategy: Strategy
    """The strategy."""
    rule: str
    """The rule that would have chosen it and came nearest."""
    failed: tuple[str, ...]
    """Each condition that failed and by how much, or ``a rule before it won``."""


class Advice(Value):
    """A tip that a human must act on."""

    rule: str
    """The rule's id."""
    text: str
    """What to do, in one or two sentences."""
    source: str
    """Where it comes from."""


class OpenQuestion(Value):
    """A fact that is not known and could still change the plan."""

    fact: str
    """Name of the fact."""
    reason: str
    """Why it is not known."""
    cure: str
    """How to make it known."""
    rules: tuple[str, ...]
    """The rules that were passed over for it."""


class Forecast(Value):
    """What the run is expected to take."""

    trials: int
    """Full evaluations expected."""
    seconds_p50: float
    """Median of the finish."""
    seconds_p90: float
    """90th percentile of the finish; never above the budget."""


class Plan(Value):
    """Everything a run needs, and the proof of every field."""

    data: str
    """What the user named."""
    data_fingerprint: str
    """Hash of the content."""
    target: str
    """Column to predict."""
    task: Task | None
    """What kind of target; None where the objective is your own."""
    features: tuple[str, ...]
    """Columns used as features, in order."""
    dropped: dict[str, str] = {}
    """Columns not used, with the reason."""
    metric: str
    """Score to optimise."""
    direction: Literal["minimize", "maximize"]
    """Which way is better."""
    strategy: Strategy
    """The strategy of the search stage."""
    family: str
    """The family the search is planned for: the first of the shortlist, or the winner once the pilot has run."""
    shortlist: tuple[Candidate, ...]
    """Families raced by the pilot, best guess first; one when the user or the pilot has decided."""
    stages: tuple[Stage, ...]
    """The parts of the run, in order."""
    validation: Validation
    """How configurations are scored."""
    pruner: Pruner
    """What stops a trial early."""
    budget: Budget
    """Where the time goes."""
    envelope: Envelope
    """What trials may use."""
    forecast: Forecast
    """What to expect."""
    sampler: dict[str, Any] = {}
    """Settings of the sampler, all explicit."""
    weights: str | None = None
    """Column of sample weights."""
    valid: GivenRows | None = None
    """The rows of a file that every configuration is scored on; None: `validation` splits the data."""
    test: GivenRows | None = None
    """The rows of a file that are scored once, at the end; None: `validation` keeps a part of the data apart."""
    seed: int = 0
    """Seed of every random choice."""
    forced: tuple[str, ...] = ()
    """Advice that ``--force`` overrode."""
    advice: tuple[Advice, ...] = ()
    """Tips for the human."""
    evidence: tuple[Evidence, ...] = ()
    """One entry a field at least."""
    stability: Stability | None = None
    """How wrong the fit time may be before the strategy changes; None where the user named the strategy."""
    rejected: tuple[Rejected, ...] = ()
    """Every strategy not chosen."""
    open: tuple[OpenQuestion, ...] = ()
    """What is not known and could change the plan."""
    rulebook_hash: str = ""
    """Hash of the rules in force."""

    @property
    def table_task(self) -> Task:
        """What kind of target, for what only runs on tables.

        Raises: ValueError where the objective is the user's own.
        """
        if self.task is None:
            raise ValueError("this plan is for an objective of the user's own: there is no target")
        return self.task

    @property
    def candidate(self) -> Candidate:
        """The shortlist's entry of `family`."""
        return next(c for c in self.shortlist if c.family == self.family)

    @property
    def space(self) -> SearchSpace:
        """The search space of `family`."""
        return self.candidate.space

    @property
    def starts(self) -> tuple[Config, ...]:
        """The starting configurations of `family`, the default first."""
        return self.candidate.starts

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON of the plan."""
        return hashlib.sha256(canonical(self.model_dump(mode="json")).encode()).hexdigest()

    def to_mapping(self) -> dict[str, Any]:
        """The plan as plain data for ``--json``: every field, with `space`, `starts` and `hash` of the chosen family beside."""
        plain = self.model_dump(mode="json")
        plain["space"] = {n: p.model_dump(mode="json", exclude_none=True) for n, p in self.space.items()}
        for name, parameter in self.space.items():
            if parameter.default is None:
                plain["space"][name]["default"] = encode(None)
        plain["starts"] = [encode(s) for s in self.starts]
        plain["hash"] = self.hash
        return plain

    def to_json(self) -> str:
        """`to_mapping` as canonical JSON: equal plans are equal bytes."""
        return json.dumps(self.to_mapping(), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_mapping(cls, plain: dict[str, Any]) -> Plan:
        """The plan from what `to_mapping` gave; the derived keys are ignored.

        Raises: pydantic.ValidationError when a field is missing, unknown or of another type.
        """
        derived = {"space", "starts", "hash"}
        return cls.model_validate({k: v for k, v in plain.items() if k not in derived})


def canonical(plain: Any) -> str:
    """JSON with sorted keys and no white space: the text that hashes are taken of."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
