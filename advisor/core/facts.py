"""Facts: what is known of the machine, the data and the wishes, before anything is decided.

A fact that could not be read is an `Unknown` with its reason and its cure. An `Unknown` cannot be compared, so no rule
can mistake a missing reading for a small or a large one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, NoReturn

from pydantic import Field

from advisor.core.objective import OwnObjective
from advisor.core.value import Value


class Unknown(Value):
    """A fact that could not be established. Ordering it or testing its truth raises TypeError; it equals only itself."""

    unknown: Literal[True] = True
    """Marks the value in files."""
    reason: str
    """Why it is not known."""
    cure: str = ""
    """What the user can do to make it known; empty when nothing."""

    def _refuse(self, _other: object = None) -> NoReturn:
        raise TypeError(f"an unknown fact cannot be compared: {self.reason}")

    __lt__ = __le__ = __gt__ = __ge__ = __bool__ = _refuse


class Task(StrEnum):
    """What is predicted."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"

    @property
    def is_classification(self) -> bool:
        """True when the target is a class."""
        return self is not Task.REGRESSION


class Goal(StrEnum):
    """What the user wants from the run."""

    QUICK = "quick"
    BEST = "best"
    EXPLORE = "explore"
    SCHEDULE = "schedule"
    RESEARCH = "research"


class ColumnKind(StrEnum):
    """What a column holds, decided from its values and its name."""

    NUMERIC = "numeric"
    INTEGER_CODED = "integer_coded"
    """Few distinct integers, probably codes; treated as a number by default, listed so that it can be changed."""
    BOOLEAN = "boolean"
    CATEGORY = "category"
    HIGH_CARDINALITY = "high_cardinality"
    DATE = "date"
    TEXT = "text"
    CONSTANT = "constant"
    IDENTIFIER = "identifier"
    IMAGE = "image"
    """Pixels: the one column of a data set of images."""


class Column(Value):
    """One column of a table."""

    name: str
    """The name in the file, unique."""
    kind: ColumnKind
    """What it holds."""
    missing_ratio: float = 0.0
    """Share of missing cells, however spelled, 0..1."""
    distinct: int | Unknown = 0
    """Number of distinct values, missing apart."""
    null_spellings: tuple[str, ...] = ()
    """Spellings of a missing value found here besides the empty cell, such as ``?``."""
    date_format: str = ""
    """How the dates are written here, as strftime writes it; empty for other kinds and for columns that hold real dates."""
    note: str = ""
    """Anything a user should know, such as the suspected missing code 0."""


class Suspicion(Value):
    """A column that may be something else than a feature."""

    column: str
    """The column's name."""
    confidence: float
    """0..1."""
    reason: str
    """What was seen, with its number."""


class Gpu(Value):
    """One accelerator (or MIG slice) as NVML names it. Shell: ``nvidia-smi -q``."""

    name: str
    """Product name."""
    uuid: str
    """``GPU-…`` or ``MIG-…``."""
    memory_total_bytes: int | Unknown
    """Memory of the device. Shell: ``nvidia-smi --query-gpu=memory.total``."""
    memory_used_bytes: int | Unknown
    """Memory in use by anyone."""
    memory_free_bytes: int | Unknown
    """Memory free now: what may be planned with."""
    held_by: tuple[str, ...] | Unknown = ()
    """``pid name bytes`` of the processes seen to hold memory; empty in most containers even when memory is held."""
    driver: str | Unknown
    """Driver version."""
    compute_capability: str | Unknown
    """``major.minor``."""
    utilisation_ratio: float | Unknown
    """Share of time busy, 0..1."""
    is_mig: bool = False
    """True for a MIG slice."""


class Hardware(Value):
    """What this process may use of the machine."""

    cpu_count: int | Unknown
    """Processors allowed by affinity and cgroup quota, rounded down, at least 1. Shell: ``nproc``; ``cat /sys/fs/cgroup/cpu.max``."""
    cpu_model: str | Unknown
    """Marketing name. Shell: ``lscpu``."""
    instruction_sets: tuple[str, ...] | Unknown
    """Vector instruction sets among the known ones (avx2, avx512f, avx512_bf16, amx_bf16, neon …)."""
    memory_total_bytes: int | Unknown
    """Memory of the machine or of the cgroup's limit, whichever is smaller."""
    memory_available_bytes: int | Unknown
    """min(cgroup limit − usage, MemAvailable). Shell: ``free -b``."""
    disk_free_bytes: int | Unknown
    """Free disk where runs live. Shell: ``df -B1 RUNS``."""
    gpus: tuple[Gpu, ...] | Unknown
    """Devices this process may see, `CUDA_VISIBLE_DEVICES` respected; empty when there is none."""
    torch_device: Literal["cuda", "mps", "cpu"] | Unknown
    """The best device PyTorch can use, asked without importing torch where possible."""
    blas_threads: int | Unknown
    """Threads a BLAS call would start: ``OMP_NUM_THREADS`` and its kin, else the processors allowed."""
    cluster_slots: int | Unknown
    """Concurrent trials of the named Ray cluster; 0 when none was named."""
    platform: str = ""
    """Operating system and architecture."""
    is_container: bool | Unknown = False
    """True inside a container."""


class GivenRows(Value):
    """Rows that the user keeps in a file of their own, to validate or to test on."""

    source: str
    """The file as the user named it."""
    fingerprint: str
    """Hash of its content."""
    rows: int
    """Rows with a known target."""


class Dataset(Value):
    """What is known of the data, before any model is fitted."""

    source: str
    """What the user named: a path, ``sklearn:NAME`` or a URL without its secrets."""
    fingerprint: str
    """Hash of the content that a plan depends on."""
    rows: int
    """Rows with a known target."""
    columns: tuple[Column, ...]
    """Every column but the target."""
    bytes: int
    """Size of the table in memory, about."""
    target: str | Unknown
    """The column to predict."""
    target_confidence: float = 0.0
    """0..1; 1 when the user named it."""
    target_candidates: tuple[Suspicion, ...] = ()
    """Other columns that could be the target, best first."""
    task: Task | Unknown
    """What kind of target it is."""
    classes: int = 0
    """Number of classes; 0 for regression."""
    rarest_class_rows: int = 0
    """Rows of the rarest class; 0 for regression."""
    minority_ratio: float = 0.0
    """Share of the rarest class, 0..1; 0 for regression."""
    has_heavy_tail: bool = False
    """Regression: the target's distribution has a heavy tail or spans decades."""
    feature_columns: int
    """Columns that can be used as features (constants and identifiers apart)."""
    numeric_columns: int
    """Of these, numeric or integer-coded or boolean."""
    category_columns: int
    """Of these, categories of either cardinality."""
    text_columns: int = 0
    """Of these, free text."""
    date_columns: int = 0
    """Of these, dates."""
    width: int
    """Features after the usual encoding (one-hot of categories, parts of dates, components of text)."""
    effective_dimensions: int | Unknown
    """Principal components that hold 95 % of the variance of the standardised numeric columns, on a sample."""
    missing_ratio: float
    """Share of missing cells among the features, 0..1."""
    duplicate_ratio: float | Unknown
    """Share of rows that repeat an earlier row, 0..1, on a sample when the table is large."""
    leaks: tuple[Suspicion, ...] = ()
    """Columns that seem to give the target away."""
    group_candidates: tuple[Suspicion, ...] = ()
    """Columns that seem to name a repeated entity."""
    time_candidates: tuple[Suspicion, ...] = ()
    """Columns that seem to order the rows in time."""
    groups: int | Unknown = 0
    """Distinct values of the group column in force; 0 when there is none."""
    is_sorted_by_time: bool | Unknown = False
    """True when the rows stand in the order of the best time candidate."""
    is_sorted_by_target: bool = False
    """True when the rows stand in the order of the target, so that an unshuffled split would be wrong."""
    image_side: int = 0
    """Side of the square image that the columns seem to hold, or of a square of as many pixels; 0 when the data are no images."""
    image_height: int = 0
    """Height of the images in pixels, after shrinking; 0 when the data are no images."""
    image_width: int = 0
    """Width of the images in pixels, after shrinking; 0 when the data are no images."""
    image_channels: int = 0
    """1 for grey, 3 for colour; 0 when the data are no images."""
    image_source: Literal["none", "columns", "folder", "idx", "arrays"] = "none"
    """How the images come: as the number columns of a table, a folder a class, IDX files, or an array (images, height, width, …)."""
    valid: GivenRows | None = None
    """The rows that every configuration is scored on; None: the splits are made from the data."""
    test: GivenRows | None = None
    """The rows that are scored once, at the end; None: a part of the data is kept apart for that."""
    warnings: tuple[str, ...] = ()
    """What a user should know before trusting a model of these data."""

    @property
    def holds_images(self) -> bool:
        """True when the data are images; False for a table, though its columns may be pixels."""
        return self.image_source not in ("none", "columns")

    @property
    def extent(self) -> str:
        """How much there is, for people: ``1,797 rows × 64 columns``, or ``1,797 images of 8 × 8 pixels``."""
        if self.holds_images:
            colour = " in colour" if self.image_channels > 1 else ""
            return f"{self.rows:,} images of {self.image_height} × {self.image_width} pixels{colour}"
        return f"{self.rows:,} rows × {len(self.columns)} columns"


MOST_SECONDS = 366 * 86_400.0
"""Longest budget, a year: beyond it nothing that is computed from it means anything, and infinity has no place in a plan."""
MOST_TRIALS = 10**9
"""Largest cap on trials: more than any budget affords."""


class Answers(Value):
    """The wishes: what neither the machine nor the data can say. Every field is a flag, a question and a saved answer."""

    target: str | None = Field(default=None, json_schema_extra={"flag": "--target", "question": "Which column is to be predicted?"})
    """Column to predict; None means: the best guess."""
    task: Task | None = Field(default=None, json_schema_extra={"flag": "--task", "question": "Is it a class or a number?"})
    """Kind of prediction; None means: read from the target."""
    metric: str | None = Field(default=None, json_schema_extra={"flag": "--metric", "question": "Which score decides?"})
    """Score to optimise; None means: the rules choose."""
    goal: Goal = Field(default=Goal.BEST, json_schema_extra={"flag": "--goal", "question": "What do you want from this run?"})
    """quick, best, explore, schedule or research."""
    budget_seconds: float = Field(
        default=600.0, gt=0, le=MOST_SECONDS, json_schema_extra={"flag": "--budget", "question": "How long may it take?"}
    )
    """Wall-clock budget, everything included."""
    trials: int | None = Field(
        default=None, ge=1, le=MOST_TRIALS, json_schema_extra={"flag": "--trials", "question": "At most how many trials?"}
    )
    """Cap on trials, the default included; None means: as many as the budget affords."""
    model: str = Field(default="auto", json_schema_extra={"flag": "--model", "question": "Which model family?"})
    """``auto``, a family name, or ``module:function``."""
    command: str | None = Field(
        default=None, json_schema_extra={"flag": "--command", "question": "Which command line is the objective?", "own": True}
    )
    """A command line that trains and prints its scores, such as ``python train.py --lr {lr}``; None: the objective is no command."""
    space: str | None = Field(
        default=None, json_schema_extra={"flag": "--space", "question": "Which file holds the search space?", "own": True}
    )
    """A TOML file with the search space of an objective of your own; None: the module's ``SPACE``."""
    fidelity: str | None = Field(
        default=None, json_schema_extra={"flag": "--fidelity", "question": "What is a step of your objective?", "own": True}
    )
    """``NAME:LOW:HIGH``, such as ``epoch:1:52``, for an objective of your own that measures in steps; None: the module's ``FIDELITY``."""
    direction: Literal["minimize", "maximize"] | None = Field(
        default=None, json_schema_extra={"flag": "--direction", "question": "Which way is better?", "own": True}
    )
    """Which way the value of an objective of your own is better; None: the module's ``DIRECTION``, else ``minimize``."""
    strategy: str = Field(default="auto", json_schema_extra={"flag": "--strategy", "question": "Which strategy?"})
    """``auto`` or a strategy's name, honoured when the facts allow it."""
    group: str | None = Field(default=None, json_schema_extra={"flag": "--group", "question": "Which column names the repeated entity?"})
    """Column whose rows must stay on one side of a split."""
    time: str | None = Field(default=None, json_schema_extra={"flag": "--time", "question": "Which column orders the rows in time?"})
    """Column by which the past must predict the future."""
    weights: str | None = Field(default=None, json_schema_extra={"flag": "--weights", "question": "Which column weighs the rows?"})
    """Column of sample weights."""
    valid: str | None = Field(
        default=None, json_schema_extra={"flag": "--valid", "question": "Which file holds the rows to validate on?", "file": "valid.csv"}
    )
    """A table like DATA: every configuration learns from DATA and is scored on these rows; None: splits are made from DATA."""
    test: str | None = Field(
        default=None, json_schema_extra={"flag": "--test", "question": "Which file holds the rows to test on?", "file": "test.csv"}
    )
    """A table like DATA: its rows are scored once, at the end, and decide nothing; None: a part of DATA is kept apart for that."""
    drop: tuple[str, ...] = Field(default=(), json_schema_extra={"flag": "--drop", "question": "Which columns must not be used?"})
    """Columns left out of the features."""
    freeze: dict[str, Any] = Field(
        default_factory=dict, json_schema_extra={"flag": "--freeze", "question": "Which hyperparameters are fixed?"}
    )
    """Hyperparameters held at a value."""
    baseline: dict[str, Any] = Field(
        default_factory=dict,
        json_schema_extra={"flag": "--baseline", "question": "Which configuration is in production?", "file": "config.toml"},
    )
    """Your own configuration, tried first in the default's place: hyperparameters, and ``family`` for a table; the flag names TOML."""
    cluster: str | None = Field(default=None, json_schema_extra={"flag": "--cluster", "question": "Which Ray cluster?"})
    """Address of a Ray cluster."""
    workers: int | None = Field(default=None, ge=1, json_schema_extra={"flag": "--workers", "question": "How many trials at once?"})
    """Concurrent trials; None means: the rules choose."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1, json_schema_extra={"flag": "--seed", "question": "Which seed?"})
    """Seed of every random choice."""
    force: bool = Field(default=False, json_schema_extra={"flag": "--force", "question": "Override the advice?"})
    """Overrides advice, never impossibility; recorded in the plan."""

    @property
    def is_own(self) -> bool:
        """True where the objective is the user's own: a function of a module, or a command line."""
        return self.command is not None or ":" in self.model


class Measured(Value):
    """What the pilot of a run measured, rounded to two significant digits before a rule sees it."""

    family: str
    """The family that was measured."""
    fit_seconds: float
    """Median seconds of one fit and score of the starting configurations on one training fold."""
    parallel_efficiency_ratio: float | Unknown = Unknown(reason="not measured yet")
    """Throughput of all workers over workers times that of one, 0..1."""
    peak_bytes: int | Unknown = Unknown(reason="not measured yet")
    """Peak memory of one trial."""


NO_TABLE = Dataset(
    source="",
    fingerprint="",
    rows=0,
    columns=(),
    bytes=0,
    target=Unknown(reason="there is no table: the objective is your own"),
    task=Unknown(reason="there is no table: the objective is your own"),
    feature_columns=0,
    numeric_columns=0,
    category_columns=0,
    width=0,
    effective_dimensions=Unknown(reason="there is no table: the objective is your own"),
    missing_ratio=0.0,
    duplicate_ratio=Unknown(reason="there is no table: the objective is your own"),
)
"""Stands for the data where the objective is the user's own; no rule sees it as a table."""


class Facts(Value):
    """Everything `recommend` may look at."""

    hardware: Hardware
    """The machine."""
    data: Dataset = NO_TABLE
    """The data; `NO_TABLE` with an `objective` of the user's own."""
    objective: OwnObjective | None = None
    """The user's own objective; None: a model family is tuned on `data`."""
    answers: Answers
    """The wishes."""
    measured: tuple[Measured, ...] = ()
    """One entry a family measured so far."""
    engines: tuple[str, ...] = ("default", "portfolio", "grid", "random", "qmc", "tpe", "gp", "cmaes", "halving", "asha", "hyperband")
    """Strategies this version can run; the others are rejected with that reason."""
    libraries: tuple[str, ...] = ()
    """Model libraries that are installed, of those that not everybody has, such as ``lightgbm``."""


def known(value: Any) -> bool:
    """False for an `Unknown`."""
    return not isinstance(value, Unknown)
