"""What an exported script is written from: values only, put together by the session."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from advisor.core.plan import Pruner, Strategy
from advisor.core.space import Config, SearchSpace
from advisor.report.excerpts import Excerpt


@dataclass(frozen=True, slots=True)
class ModelCode:
    """One model family as code."""

    family: str
    """Its name."""
    preprocessing: str
    """An expression of ``config``: the transformer before the estimator."""
    model: str
    """An expression of ``config``: the estimator of the search."""
    refit: str
    """The estimator of the final fit on all rows."""
    supports_weights: bool = True
    """True when its fit takes sample weights."""
    trains_in_steps: bool = False
    """True when every epoch is a step."""


@dataclass(frozen=True, slots=True)
class BesideCode:
    """A file of rows beside the data, as code."""

    name: Literal["VALID", "TEST"]
    """What the script calls it."""
    path: str
    """Where it lies."""
    reading: str
    """The body of a function that returns its table as a polars frame."""


@dataclass(frozen=True, slots=True)
class TableCode:
    """Everything about the data of a table and how it is scored, as code."""

    reading: str
    """The body of a function that returns the table as a polars frame."""
    features: tuple[str, ...]
    """Names of the features, in order."""
    columns: Mapping[str, tuple[tuple[str, ...], str]]
    """Name of a group of columns to their names, and an expression of ``table`` and ``name``: the typed series."""
    spellings: Mapping[str, tuple[str, ...]]
    """Column to the spellings of a missing cell that are its own."""
    target: str
    """Column to predict."""
    is_classification: bool
    """False for a number."""
    is_binary: bool
    """True for two classes, of which the rarer is the positive one."""
    prediction: str
    """Name of the function that gives what the metric needs: ``probabilities``, ``labels`` or ``numbers``."""
    metric: str
    """Its name."""
    score: str
    """An expression of ``y``, ``p`` and ``weight``."""
    heldout: str
    """An expression: development and held-out rows."""
    splits: str
    """The body of a function of ``is_fresh`` that returns the splits of the development rows."""
    order: str | None
    """Column by which the rows are put in order."""
    group: str | None
    """Column of groups."""
    weights: str | None
    """Column of weights."""
    models: tuple[ModelCode, ...]
    """The families, in the order of the race."""
    beside: tuple[BesideCode, ...] = ()
    """Files with the rows to validate and to test on."""

    @property
    def is_scored_beside(self) -> bool:
        """True where a file's rows score every configuration."""
        return any(b.name == "VALID" for b in self.beside)


@dataclass(frozen=True, slots=True)
class OwnCode:
    """A function of the user's, as code."""

    family: str
    """How trials name it."""
    code: str
    """Statements that make ``objective`` callable, or say what ``COMMAND`` is."""
    call: str
    """How a function is called, such as ``objective(dict(config))``."""
    kind: Literal["function", "optuna", "command", "differentiable"]
    """How it is called."""
    fidelity: tuple[str, int, int] | None
    """Name, lowest and highest step; None: one measurement a trial."""
    resumed: str = ""
    """How a function is called to go on from ``checkpoint``."""


@dataclass(frozen=True, slots=True)
class SpaceCode:
    """What is searched in one family."""

    family: str
    """Its name."""
    space: SearchSpace
    """Its parameters that move."""
    held: Mapping[str, Any]
    """Parameters that have one value only: they belong to every configuration, and nothing proposes them."""
    starts: tuple[Config, ...]
    """Configurations tried first, the default at index 0."""
    default: Config = field(default_factory=dict)
    """Every parameter at its default: what a stage that moves some of them begins from."""
    levels: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Coarse levels of a grid."""
    grid: Sequence[Mapping[str, Sequence[Any]]] = ()
    """The coarse grid, one mapping for each branch of a condition."""
    branches: Sequence[Mapping[str, Any]] = ()
    """The same branches for random draws: a list where the values are one, else None."""


@dataclass(frozen=True, slots=True)
class LadderCode:
    """How successive halving begins."""

    candidates: int
    """On its first rung."""
    is_grid: bool
    """True when they are all combinations of a grid, False for draws."""
    least_rows: int
    """Rows of the first rung at least."""
    factor: int
    """One of so many climbs to the next rung, which has so many times the rows."""
    finalists: int
    """Candidates of the last rung that are evaluated on all rows."""


@dataclass(frozen=True, slots=True)
class PopulationCode:
    """Population-based training."""

    family: str
    """What its members train."""
    space: SearchSpace
    """What they are drawn from."""
    starts: tuple[Config, ...]
    """The first members."""
    mutable: tuple[str, ...]
    """What may change while a member trains."""
    members: int
    """How many."""
    steps: int
    """Of a full training."""
    interval: int
    """Steps between two perturbations."""
    quantile: float
    """Share of the members that is replaced, and that is copied from."""
    resample: float
    """How often a value is drawn anew instead of changed by a factor."""
    factors: tuple[float, float]
    """What a value is changed by."""
    slots: int
    """Members that train side by side."""
    cluster: str | None
    """Address of a running Ray; None: one on this machine."""
    schedule: tuple[tuple[int, Config], ...] = ()
    """What the best member of the run was trained under: from after each step on, the configuration."""


@dataclass(frozen=True, slots=True)
class KerasCode:
    """Hyperband by KerasTuner."""

    epochs: int
    """Of a full training."""
    factor: int
    """One of so many goes on."""
    seed: int
    """What KerasTuner is given, which shares its draws between neighbouring seeds."""


@dataclass(frozen=True, slots=True)
class StageCode:
    """One stage of the search."""

    name: str
    """Its name in the plan."""
    strategy: Strategy
    """Who proposes."""
    family: str | None
    """The family it searches; None: the winner of the race."""
    space: SearchSpace | None
    """What moves in it, where that is known; None: the family's whole space."""
    trials: int | None
    """Trials at most; None: the time decides."""
    n_iter: int
    """Candidates of a random search: of a finite space their order depends on it."""
    sampler: Mapping[str, Any] = field(default_factory=dict)
    """Every setting of the sampler, none left to the library's default."""
    pruner: Pruner = field(default_factory=lambda: Pruner(name="none"))
    """What stops a trial early."""
    pruner_settings: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the library's pruner."""
    full_length_first: int = 0
    """Trials that run in full before any is pruned."""
    moves: tuple[str, ...] = ()
    """What moves in it where that is not all that is free; the rest stays at the best of the stages before."""
    ladder: LadderCode | None = None
    """Successive halving on rows."""
    keras: KerasCode | None = None
    """Hyperband by KerasTuner; None where Optuna's runs it."""
    population: PopulationCode | None = None
    """Population-based training."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What a script is written from."""

    name: str
    """The run or plan."""
    data: str
    """What is tuned on, for people and as the script's ``DATA``."""
    made_by: str
    """Version and hash, one line."""
    direction: Literal["minimize", "maximize"]
    """Which way is better."""
    subject: TableCode | OwnCode
    """What is measured."""
    spaces: tuple[SpaceCode, ...]
    """What is searched, one a family, in the order of the race."""
    stages: tuple[StageCode, ...]
    """The search, without pilot and confirm."""
    race: tuple[tuple[str, Config], ...]
    """Family and configuration of every trial of the race, where a run has shown them; empty: defaults first, then the leader's starts."""
    seed: int
    """Seed of everything."""
    threads: int
    """Threads a fit may use."""
    workers: int
    """Workers of the run."""
    seconds: float
    """The whole budget."""
    pilot_seconds: float
    """Of it for the race."""
    end_seconds: float
    """Of it kept back for the honest end."""
    trials: int | None
    """Trials in all; None: the time decides."""
    race_trials: int | None = None
    """Trials of the race at most, where trials in all are limited."""
    pieces: Excerpt = field(default_factory=Excerpt)
    """Definitions copied from the advisor's own source."""
    differences: tuple[str, ...] = ()
    """Where the script differs from the run, one sentence each."""


def literal(value: Any) -> str:
    """`value` as Python source.

    >>> literal({"C": 0.5, "depth": None, "cap": float("inf")})
    '{"C": 0.5, "depth": None, "cap": float("inf")}'
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(literal, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def wrapped(values: Iterable[Any], width: int = 116) -> str:
    """A list as Python source, broken into lines where it is long."""
    items = [literal(v) for v in values]
    whole = "[" + ", ".join(items) + "]"
    if len(whole) <= width - 20:
        return whole
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > width and line.strip():
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "[\n" + "\n".join([*lines, line]) + "\n]"
