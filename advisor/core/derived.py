"""Facts computed from other facts, and the situation in which rules look facts up.

Rules only compare one fact with one constant. Every ratio, product and share they need is a function here, with its
inputs and the primary facts it rises or falls with, so that a flip can be found by bisection on a primary fact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from advisor.core.facts import Facts, Unknown
from advisor.core.plan import Strategy
from advisor.core.vocabulary import Fact, Kind

LIBRARIES = {"lightgbm": "LightGBM", "xgboost": "XGBoost", "catboost": "CatBoost"}
"""Libraries of models that not everybody has, by module: their names."""

NOT_GIVEN = Unknown(reason="not given")
NOT_DECIDED = Unknown(reason="decided later in the plan")

DECIDED: tuple[Fact, ...] = (
    Fact("plan.strategy", "choice", "Strategy of the search stage.", choices=tuple(Strategy)),
    Fact("plan.metric_needs", "choice", "What the metric needs from a model.", choices=("probability", "label", "number")),
    Fact("validation.splits", "integer", "Folds × repeats: fits of one full evaluation.", noun="splits"),
    Fact("family.name", "text", "Name of the model family."),
    Fact(
        "family.trains_in_steps",
        "flag",
        "Training yields a score an epoch and can be paused.",
        says=("trains in one go", "trains in steps"),
    ),
    Fact(
        "family.is_own", "flag", "The objective is a function of the user's.", says=("the objective is ours", "the objective is your own")
    ),
    Fact(
        "family.is_differentiable",
        "flag",
        "Validation loss can be differentiated.",
        says=("the training cannot be differentiated", "the training can be differentiated"),
    ),
    Fact("family.is_threaded", "flag", "One fit can use several threads."),
    Fact("family.epochs", "integer", "Epochs of a full training; 1 when it trains in one go.", noun="epochs"),
    Fact("family.largest_rows", "number", "Rows above which it is impractical.", noun="rows at most"),
    Fact("family.fit_seconds", "number", "Seconds of one fit of the default, estimated or measured, two significant digits.", noun="a fit"),
    Fact(
        "family.estimated_seconds", "number", "Seconds of one fit of the default as the cost formula says, measured or not.", noun="a fit"
    ),
    Fact("family.cost_seconds", "number", "Median seconds of one fit over the starting configurations.", noun="a fit"),
    Fact("search.dimensions", "integer", "Hyperparameters that can take more than one value.", noun="dimensions"),
    Fact("search.numeric_dimensions", "integer", "Of these, numbers.", noun="numeric dimensions"),
    Fact(
        "search.is_numeric", "flag", "No hyperparameter is a choice.", says=("the space has choices without order", "the space is numeric")
    ),
    Fact(
        "search.is_conditional",
        "flag",
        "Some hyperparameter depends on another.",
        says=("no hyperparameter depends on another", "some hyperparameters depend on others"),
    ),
    Fact(
        "search.is_mutable",
        "flag",
        "Every hyperparameter may change while training.",
        says=("some hyperparameters fix the model's shape and cannot change in flight", "every hyperparameter may change in flight"),
    ),
    Fact(
        "search.grid_size",
        "number",
        "Configurations of the smallest useful grid: choices × 5 levels a number (4 from three numbers on).",
        noun="configurations in the grid",
    ),
    Fact("search.regularisers", "integer", "Continuous hyperparameters of the regularisation group.", noun="continuous regularisers"),
    Fact("search.workers", "integer", "Concurrent trials.", noun="concurrent trials", rises_with=("hardware.cpu_count",)),
    Fact(
        "search.seconds",
        "number",
        "Seconds of the budget left for the search.",
        noun="for the search",
        rises_with=("answers.budget_seconds",),
    ),
    Fact("search.trials_at_most", "number", "Cap on trials by the rules and the user; infinite without one.", noun="trials at most"),
    *(
        Fact(f"engine.{s}.is_available", "flag", f"This version can run {s}.", says=(f"no engine of this version runs {s}", f"{s} can run"))
        for s in Strategy
    ),
    *(
        Fact(f"library.{name}.is_installed", "flag", f"{title} is installed.", says=(f"{title} is not installed", f"{title} is installed"))
        for name, title in LIBRARIES.items()
    ),
)
"""Facts that earlier parts of the plan decide for later ones."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A fact and the function that computes it."""

    fact: Fact
    """Its entry in the vocabulary."""
    compute: Callable[[Callable[[str], Any]], Any]
    """From a look-up of known values to the value."""


DERIVED: dict[str, Derived] = {}
"""Every derived fact by name."""


class _NotKnownError(Exception):
    """An input of a derived fact is unknown."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown.reason)
        self.unknown = unknown


def derived(
    name: str,
    kind: Kind,
    *,
    inputs: tuple[str, ...],
    noun: str = "",
    says: tuple[str, str] = ("", ""),
    rises_with: tuple[str, ...] = (),
    falls_with: tuple[str, ...] = (),
) -> Callable[[Callable[[Callable[[str], Any]], Any]], Callable[[Callable[[str], Any]], Any]]:
    """A decorator that enters a function into `DERIVED` under `name`; its docstring is the fact's meaning."""

    def enter(function: Callable[[Callable[[str], Any]], Any]) -> Callable[[Callable[[str], Any]], Any]:
        doc = (function.__doc__ or "").strip()
        about = Fact(name, kind, doc, noun=noun, says=says, inputs=inputs, rises_with=rises_with, falls_with=falls_with)
        DERIVED[name] = Derived(about, function)
        return function

    return enter


class Situation:
    """Facts by dotted name, derived ones computed on demand. Never changed: `decide` gives a new one."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        self._computed: dict[str, Any] = {}

    def value(self, name: str) -> Any:
        """The value of `name`; an `Unknown` when it, or an input of it, is not known."""
        if name in self._values:
            return self._values[name]
        if name in self._computed:
            return self._computed[name]
        entry = DERIVED.get(name)
        if entry is None:
            return NOT_DECIDED
        try:
            value = entry.compute(self._known)
        except _NotKnownError as missing:
            value = missing.unknown
        self._computed[name] = value
        return value

    def _known(self, name: str) -> Any:
        value = self.value(name)
        if isinstance(value, Unknown):
            raise _NotKnownError(value)
        return value

    def decide(self, **changed: Any) -> Situation:
        """This situation with further facts decided; dots are written as two underscores."""
        return self.with_values({name.replace("__", "."): value for name, value in changed.items()})

    def with_values(self, changed: Mapping[str, Any]) -> Situation:
        """This situation with the values of `changed` in force."""
        return Situation({**self._values, **changed})


class Given:
    """Facts given in an example of a rule: what is not given is unknown, nothing is computed."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def value(self, name: str) -> Any:
        """The value given, else an `Unknown`."""
        return self._values.get(name, NOT_GIVEN)


def situation_of(facts: Facts) -> Situation:
    """The primary facts of `facts`, and the engines and libraries that exist, by dotted name."""
    values: dict[str, Any] = {}
    for prefix, model in (("hardware", facts.hardware), ("data", facts.data), ("answers", facts.answers)):
        for name in type(model).model_fields:
            values[f"{prefix}.{name}"] = getattr(model, name)
    for strategy in Strategy:
        values[f"engine.{strategy}.is_available"] = strategy in facts.engines
    for name in LIBRARIES:
        values[f"library.{name}.is_installed"] = name in facts.libraries
    return Situation(values)


Get = Callable[[str], Any]


@derived("hardware.has_accelerator", "flag", inputs=("hardware.torch_device",), says=("no accelerator", "an accelerator"))
def has_accelerator(get: Get) -> bool:
    """PyTorch can use a device that is not the processor."""
    return bool(get("hardware.torch_device") != "cpu")


@derived("answers.has_group", "flag", inputs=("answers.group",), says=("no group column was named", "a group column was named"))
def has_group(get: Get) -> bool:
    """Rows of a named entity must stay on one side of a split."""
    return get("answers.group") is not None


@derived("answers.has_time", "flag", inputs=("answers.time",), says=("no time column was named", "a time column was named"))
def has_time(get: Get) -> bool:
    """The past must predict the future."""
    return get("answers.time") is not None


@derived(
    "answers.has_valid_file",
    "flag",
    inputs=("answers.valid",),
    says=("no file was named to validate on", "a file was named to validate on"),
)
def has_valid_file(get: Get) -> bool:
    """The rows to validate on come in a file of their own."""
    return get("answers.valid") is not None


@derived("answers.has_test_file", "flag", inputs=("answers.test",), says=("no file was named to test on", "a file was named to test on"))
def has_test_file(get: Get) -> bool:
    """The rows to test on come in a file of their own."""
    return get("answers.test") is not None


@derived(
    "answers.is_exchangeable",
    "flag",
    inputs=("answers.group", "answers.time"),
    says=("rows belong to groups or to a time order", "rows can be exchanged"),
)
def is_exchangeable(get: Get) -> bool:
    """Neither groups nor time bind the rows."""
    return get("answers.group") is None and get("answers.time") is None


@derived("answers.model_is_auto", "flag", inputs=("answers.model",), says=("the model was named", "the model is left to us"))
def model_is_auto(get: Get) -> bool:
    """The choice of the family is left to us."""
    return bool(get("answers.model") == "auto")


@derived("data.is_classification", "flag", inputs=("data.task",), says=("the target is a number", "the target is a class"))
def is_classification(get: Get) -> bool:
    """The target is a class."""
    return bool(get("data.task") != "regression")


@derived(
    "data.has_categories",
    "flag",
    inputs=("data.category_columns", "data.text_columns"),
    says=("every column is a number", "some columns are categories or text"),
)
def has_categories(get: Get) -> bool:
    """Some features are categories or text."""
    return bool(get("data.category_columns") + get("data.text_columns") > 0)


@derived("data.is_image", "flag", inputs=("data.image_side",), says=("the columns are no image", "the columns are an image"))
def is_image(get: Get) -> bool:
    """The columns seem to be the pixels of a square image."""
    return bool(get("data.image_side") > 0)


@derived(
    "data.rows_per_width",
    "number",
    inputs=("data.rows", "data.width"),
    noun="rows a feature",
    rises_with=("data.rows",),
    falls_with=("data.width",),
)
def rows_per_width(get: Get) -> float:
    """Rows over features after encoding."""
    return float(get("data.rows") / max(1, get("data.width")))


@derived("data.gamma_unit", "number", inputs=("data.width",), noun="a feature", falls_with=("data.width",))
def gamma_unit(get: Get) -> float:
    """1 / features: scikit-learn's ``gamma="scale"`` on standardised features, to three significant digits."""
    return float(f"{1 / max(1, get('data.width')):.3g}")


@derived(
    "data.cells", "number", inputs=("data.rows", "data.feature_columns"), noun="cells", rises_with=("data.rows", "data.feature_columns")
)
def cells(get: Get) -> float:
    """Rows × feature columns."""
    return float(get("data.rows") * max(1, get("data.feature_columns")))


@derived(
    "data.cells_per_hour",
    "number",
    inputs=("data.cells", "answers.budget_seconds"),
    noun="cells for each hour of budget",
    rises_with=("data.rows", "data.feature_columns"),
    falls_with=("answers.budget_seconds",),
)
def cells_per_hour(get: Get) -> float:
    """Rows × feature columns over the budget in hours: FLAML's measure of whether folds are affordable."""
    return float(get("data.cells") / (get("answers.budget_seconds") / 3600))


@derived(
    "data.rows_per_first_rung",
    "number",
    inputs=("data.rows", "data.classes", "validation.splits"),
    noun="times the rows of a first rung",
    rises_with=("data.rows",),
    falls_with=("validation.splits",),
)
def rows_per_first_rung(get: Get) -> float:
    """Rows over those that the first rung of successive halving needs: max(500, 20 · classes · splits)."""
    return float(get("data.rows") / max(500, 20 * max(1, get("data.classes")) * get("validation.splits")))


@derived(
    "data.rarest_rows_in_first_rung",
    "number",
    inputs=("data.rarest_class_rows", "data.is_classification", "data.rows_per_first_rung"),
    noun="rows of the rarest class in a first rung",
)
def rarest_rows_in_first_rung(get: Get) -> float:
    """Rows of the rarest class that a first rung can expect (its draw is not stratified); infinite for a number to predict."""
    return float(get("data.rarest_class_rows") / get("data.rows_per_first_rung")) if get("data.is_classification") else math.inf


@derived("data.spare_rows", "number", inputs=("data.rows",), noun="rows to spare for a third split", rises_with=("data.rows",))
def spare_rows(get: Get) -> float:
    """A tenth of the rows: what a third split would hold."""
    return float(get("data.rows") * 0.1)


@derived(
    "family.evaluation_seconds",
    "number",
    inputs=("family.estimated_seconds", "validation.splits"),
    noun="a full evaluation of the default",
    rises_with=("data.rows",),
)
def evaluation_seconds(get: Get) -> float:
    """Estimated seconds of one evaluation of the default, k · T; nothing measured, so that the pilot cannot change the splits."""
    return float(get("family.estimated_seconds") * get("validation.splits"))


@derived(
    "family.budget_share_ratio",
    "number",
    inputs=("family.evaluation_seconds", "answers.budget_seconds"),
    noun="of the budget for one evaluation",
    rises_with=("data.rows",),
    falls_with=("answers.budget_seconds",),
)
def budget_share_ratio(get: Get) -> float:
    """One evaluation of the default as a share of the budget."""
    return float(get("family.evaluation_seconds") / get("answers.budget_seconds"))


@derived(
    "family.rows_ratio", "number", inputs=("data.rows", "family.largest_rows"), noun="of the rows it can take", rises_with=("data.rows",)
)
def rows_ratio(get: Get) -> float:
    """Rows over the rows above which the family is impractical."""
    return float(get("data.rows") / get("family.largest_rows"))


@derived(
    "family.has_trusted_fidelity",
    "flag",
    inputs=("family.trains_in_steps", "family.epochs"),
    says=("no cheaper version of a trial can be trusted", "an early epoch can be trusted"),
)
def has_trusted_fidelity(get: Get) -> bool:
    """Trained in at least 9 epochs, so that a rung at a ninth or later exists (it ranks as the end does from about there)."""
    return bool(get("family.trains_in_steps") and get("family.epochs") >= 9)


@derived("search.efficiency_ratio", "number", inputs=("search.workers",), noun="of ideal throughput", falls_with=("search.workers",))
def efficiency_ratio(get: Get) -> float:
    """Throughput of W workers over W times one: 1 for one, 0.85 until it is measured (knowledge B.1)."""
    return 1.0 if get("search.workers") == 1 else 0.85


@derived("search.trial_seconds", "number", inputs=("family.cost_seconds", "validation.splits"), noun="a trial", rises_with=("data.rows",))
def trial_seconds(get: Get) -> float:
    """Seconds of one trial at full length: splits × cost."""
    return float(get("family.cost_seconds") * get("validation.splits"))


@derived(
    "search.affordable_trials",
    "number",
    inputs=("search.seconds", "search.workers", "search.efficiency_ratio", "search.trial_seconds"),
    noun="trials affordable",
    rises_with=("answers.budget_seconds", "search.workers"),
    falls_with=("data.rows", "validation.splits"),
)
def affordable_trials(get: Get) -> float:
    """(B − pilot − confirm − refit) · W · e(W) / (k · cost), rounded down."""
    seconds = get("search.trial_seconds")
    return (
        float(math.floor(get("search.seconds") * get("search.workers") * get("search.efficiency_ratio") / seconds)) if seconds > 0 else 1e9
    )


@derived(
    "search.trials",
    "number",
    inputs=("search.affordable_trials", "search.trials_at_most"),
    noun="trials",
    rises_with=("answers.budget_seconds", "search.workers"),
    falls_with=("validation.splits",),
)
def trials(get: Get) -> float:
    """N: the trials that time affords, within the caps."""
    return float(min(get("search.affordable_trials"), get("search.trials_at_most")))


@derived(
    "search.trials_per_grid",
    "number",
    inputs=("search.trials", "search.grid_size"),
    noun="times the grid",
    rises_with=("answers.budget_seconds",),
)
def trials_per_grid(get: Get) -> float:
    """N over the size of the smallest useful grid; 1 or more means that the grid fits."""
    return float(get("search.trials") / max(1.0, get("search.grid_size")))


@derived(
    "search.trials_per_worker",
    "number",
    inputs=("search.trials", "search.workers"),
    noun="trials a worker",
    rises_with=("answers.budget_seconds",),
)
def trials_per_worker(get: Get) -> float:
    """N over the concurrent trials; below 4 a model has little to learn from (W ≥ N/4)."""
    return float(get("search.trials") / get("search.workers"))


@derived(
    "search.slots",
    "integer",
    inputs=("hardware.cluster_slots", "search.workers"),
    noun="slots",
    rises_with=("hardware.cluster_slots", "search.workers"),
)
def slots(get: Get) -> int:
    """Trials that can train side by side: cluster slots, or the workers of this machine."""
    return int(max(get("hardware.cluster_slots"), get("search.workers")))


@derived(
    "search.populations",
    "number",
    inputs=("search.seconds", "search.slots", "search.trial_seconds"),
    noun="populations of 8 affordable",
    rises_with=("answers.budget_seconds", "hardware.cluster_slots"),
    falls_with=("data.rows",),
)
def populations(get: Get) -> float:
    """Trainings to the end of populations of 8 that the search can pay for, over all slots."""
    return float(get("search.seconds") * get("search.slots") / (8 * max(1e-9, get("search.trial_seconds"))))


@derived(
    "search.inner_runs",
    "number",
    inputs=("search.seconds", "family.fit_seconds"),
    noun="inner trainings affordable",
    rises_with=("answers.budget_seconds",),
)
def inner_runs(get: Get) -> float:
    """Full trainings, one after the other, that the search can pay for."""
    return float(get("search.seconds") / max(1e-9, get("family.fit_seconds")))


@derived(
    "search.memory_per_training",
    "number",
    inputs=("hardware.memory_available_bytes", "data.bytes"),
    noun="times the memory of one training",
    rises_with=("hardware.memory_available_bytes",),
    falls_with=("data.bytes",),
)
def memory_per_training(get: Get) -> float:
    """Available memory over that of one training: three copies of the table and 500 MB for the libraries."""
    return float(get("hardware.memory_available_bytes") / (3 * get("data.bytes") + 500e6))
