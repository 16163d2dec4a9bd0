"""What the rulebook says of one model family: how to build it, what it costs, what to search and where to begin."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_serializer, field_validator

from advisor.core.facts import Task
from advisor.core.space import Config, SearchSpace
from advisor.core.value import Value, decode, encode


class Cost(Value):
    """Seconds of one default fit on one thread: ``base + scale · (n/1000)^rows · (width/10)^columns · c^classes``."""

    base_seconds: float
    """Fixed part."""
    scale_seconds: float
    """Seconds at 1,000 rows, 10 features, and one class-unit."""
    rows_power: float = 1.0
    """Exponent of rows."""
    columns_power: float = 1.0
    """Exponent of features."""
    classes_power: float = 0.0
    """Exponent of the number of classes (1 for binary and regression)."""
    regression_times: float = 1.0
    """Factor on the scale for a number to predict."""
    accelerator_times: float = 1.0
    """Factor on the scale where an accelerator trains it; below 1."""
    source: str = ""
    """How it was measured."""

    def seconds(self, *, rows: int, width: int, classes: int, is_accelerated: bool = False) -> float:
        """Estimated seconds of one fit; rows and width at least 1; no classes means a number to predict."""
        c = max(1, classes) if classes > 2 else 1
        size = (max(rows, 1) / 1000) ** self.rows_power * (max(width, 1) / 10) ** self.columns_power
        times = c**self.classes_power if classes else self.regression_times
        if is_accelerated:
            times *= self.accelerator_times
        return float(self.base_seconds + self.scale_seconds * size * times)


class Preprocessing(Value):
    """What the pipeline before the estimator must do."""

    numeric: Literal["passthrough", "impute", "scale"]
    """`passthrough`: missing stay NaN; `impute`: median; `scale`: median, then standardised."""
    category: Literal["native", "ordinal", "onehot"]
    """`native`: codes with a mask the estimator takes; `ordinal`: codes; `onehot`: indicators."""


class Family(Value):
    """One model family of the rulebook."""

    name: str
    """Public name, as used in flags and files."""
    title: str
    """Name for people."""
    estimators: dict[Task, str]
    """Import path of the estimator for each task it can do, as ``package.module:Class``."""
    on_images: str | None = None
    """Import path of the estimator that takes images ``(rows, height, width, channels)``; None: it gets every pixel as a feature."""
    package: str | None = None
    """Module that must be installed for it, where that is none that everybody has."""
    needs_images: bool = False
    """True when it can learn from nothing else."""
    fixed: dict[str, Any] = {}
    """Constructor arguments that are not searched, such as ``max_iter``."""
    refit: dict[str, Any] = {}
    """Constructor arguments that change for the final fit, such as more trees."""
    preprocessing: Preprocessing
    """What comes before it."""
    cost: Cost
    """What a fit costs."""
    space: SearchSpace
    """Its search space before adjustments."""
    starts: tuple[Config, ...] = ()
    """Known-good configurations with a published source, the default not among them; values may be partial (the default fills them)."""
    starts_source: str = ""
    """Where they come from."""
    trains_in_steps: bool = False
    """True when training yields a measurement an epoch and can be paused."""
    is_linear: bool = False
    """True for the simplest kind, one of which is always on the shortlist."""
    is_path_model: bool = False
    """True when one path of a single regularisation strength is the whole search (grid by rule)."""
    is_differentiable: bool = False
    """True when the validation loss can be differentiated with respect to continuous hyperparameters."""
    has_part_penalties: bool = False
    """True when each of its parts can be given an L2 strength of its own, which hypergradients tune."""
    mutable: tuple[str, ...] = ()
    """Hyperparameters that may change in flight; the others fix the shape of the model."""
    trials_at_most: int | None = None
    """Trials beyond which tuning it is known not to pay."""
    supports_weights: bool = True
    """True when `fit` takes sample weights."""
    threads_argument: str | None = None
    """Constructor argument that sets its threads, if any."""
    seed_argument: str | None = "random_state"
    """Constructor argument of the seed, if any."""
    votes_argument: str | None = None
    """Constructor argument that counts the votes whose shares its probabilities are; one vote more is spread over all classes."""
    max_rows: int | None = None
    """Above this it is impractical and not shortlisted."""
    source: str = ""
    """Where the space comes from."""

    @field_validator("fixed", "refit", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        return decode(value)

    @field_serializer("fixed", "refit", when_used="json")
    def _encode(self, value: Any) -> Any:
        return encode(value)

    @field_validator("starts", mode="before")
    @classmethod
    def _decode_starts(cls, value: Any) -> Any:
        return tuple(decode(v) for v in value)

    @field_serializer("starts", when_used="json")
    def _encode_starts(self, value: Any) -> Any:
        return [encode(v) for v in value]
