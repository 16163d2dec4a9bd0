"""Small mixed tables, plans for them, and a family a row of the estimators that the product names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from advisor.core.facts import Column, ColumnKind, Dataset, Task
from advisor.core.family import Cost, Family, Preprocessing
from advisor.core.plan import Budget, Candidate, Envelope, Forecast, Plan, Pruner, Strategy, Validation
from advisor.core.space import Float, SearchSpace
from advisor.objectives.prepared import Prepared, prepare

ENSEMBLE = "sklearn.ensemble:"
_KINDS: dict[str, ColumnKind] = {
    "size": ColumnKind.NUMERIC,
    "weight": ColumnKind.NUMERIC,
    "empty": ColumnKind.NUMERIC,
    "grade": ColumnKind.INTEGER_CODED,
    "member": ColumnKind.BOOLEAN,
    "colour": ColumnKind.CATEGORY,
    "blank": ColumnKind.CATEGORY,
    "town": ColumnKind.HIGH_CARDINALITY,
    "seen": ColumnKind.DATE,
    "remark": ColumnKind.TEXT,
}
COLUMNS = tuple(Column(name=name, kind=kind, missing_ratio=0.1 if name in ("size", "empty") else 0.0) for name, kind in _KINDS.items())
NUMBERS_ONLY = tuple(c for c in COLUMNS if c.name in ("size", "weight", "grade", "member"))


def mixed(rows: int = 160, *, task: Task = Task.BINARY, seed: int = 0) -> pl.DataFrame:
    """A table with numbers, gaps, an empty column, categories of both kinds, dates and text; ``target`` depends on three of them."""
    random = np.random.default_rng(seed)
    size, weight = random.normal(size=rows), random.exponential(size=rows) * 100
    colours = random.choice(["red", "green", "blue", "grey"], size=rows, p=[0.5, 0.3, 0.19, 0.01])
    towns = [f"town {i}" for i in random.integers(0, 40, size=rows)]
    words = ["late parcel", "broken glass", "all fine", "friendly staff", "", "never again"]
    signal = size + (colours == "red") + random.normal(scale=0.5, size=rows)
    match task:
        case Task.BINARY:
            target: Any = np.where(signal > 0.5, "yes", "no")
        case Task.MULTICLASS:
            target = np.digitize(signal, [0.0, 1.0]) + 3
        case Task.REGRESSION:
            target = np.exp(signal)
    days = random.integers(0, 1500, size=rows)
    return pl.DataFrame(
        {
            "size": [None if i % 10 == 0 else float(v) for i, v in enumerate(size)],
            "weight": weight,
            "empty": pl.Series([None] * rows, dtype=pl.Float64),
            "grade": random.integers(1, 5, size=rows).astype(float),
            "member": random.integers(0, 2, size=rows).astype(float),
            "colour": [None if i % 17 == 0 else str(c) for i, c in enumerate(colours)],
            "blank": pl.Series([None] * rows, dtype=pl.String),
            "town": towns,
            "seen": pl.Series(days * 86_400_000_000 + 1_577_836_800_000_000).cast(pl.Datetime("us")),
            "remark": [None if i % 13 == 0 else words[k] for i, k in enumerate(random.integers(0, len(words), size=rows))],
            "entity": [f"e{i}" for i in random.integers(0, 25, size=rows)],
            "importance": random.uniform(0.5, 2.0, size=rows),
            "target": target,
        }
    )


def family(
    name: str,
    classifier: str | None,
    regressor: str | None,
    *,
    numeric: Any = "scale",
    category: Any = "onehot",
    threads_argument: str | None = None,
    seed_argument: str | None = "random_state",
    weights: bool = True,
    **fixed: Any,
) -> Family:
    """A family of the rulebook's shape."""
    estimators = {}
    if classifier:
        estimators |= {Task.BINARY: classifier, Task.MULTICLASS: classifier}
    if regressor:
        estimators[Task.REGRESSION] = regressor
    return Family(
        name=name,
        title=name,
        estimators=estimators,
        fixed=fixed,
        preprocessing=Preprocessing(numeric=numeric, category=category),
        cost=Cost(base_seconds=0.01, scale_seconds=0.01),
        space=SearchSpace(),
        seed_argument=seed_argument,
        threads_argument=threads_argument,
        supports_weights=weights,
    )


FAMILIES = (
    family("logistic_regression", "sklearn.linear_model:LogisticRegression", None, max_iter=300),
    family("ridge", None, "sklearn.linear_model:Ridge"),
    family("lasso", None, "sklearn.linear_model:Lasso"),
    family("elastic_net", None, "sklearn.linear_model:ElasticNet"),
    family("svc", "sklearn.svm:SVC", None),
    family("svr", None, "sklearn.svm:SVR", seed_argument=None),
    family(
        "knn",
        "sklearn.neighbors:KNeighborsClassifier",
        "sklearn.neighbors:KNeighborsRegressor",
        seed_argument=None,
        weights=False,
        threads_argument="n_jobs",
    ),
    family(
        "random_forest",
        ENSEMBLE + "RandomForestClassifier",
        ENSEMBLE + "RandomForestRegressor",
        numeric="impute",
        category="ordinal",
        threads_argument="n_jobs",
        n_estimators=5,
    ),
    family(
        "extra_trees",
        ENSEMBLE + "ExtraTreesClassifier",
        ENSEMBLE + "ExtraTreesRegressor",
        numeric="impute",
        category="ordinal",
        threads_argument="n_jobs",
        n_estimators=5,
    ),
    family(
        "gradient_boosting",
        ENSEMBLE + "GradientBoostingClassifier",
        ENSEMBLE + "GradientBoostingRegressor",
        numeric="impute",
        category="ordinal",
        n_estimators=5,
    ),
    family(
        "hist_gradient_boosting",
        ENSEMBLE + "HistGradientBoostingClassifier",
        ENSEMBLE + "HistGradientBoostingRegressor",
        numeric="passthrough",
        category="native",
        max_iter=5,
    ),
)
BY_NAME = {f.name: f for f in FAMILIES}
CASES = tuple((f, task) for f in FAMILIES for task in f.estimators)


def validation(**changed: Any) -> Validation:
    """Three stratified folds, a fifth of the rows held out."""
    return Validation(**{"scheme": "stratified", "folds": 3, "heldout_ratio": 0.2, **changed})


def plan(task: Task, metric: str, *, columns: tuple[Column, ...] = COLUMNS, weights: str | None = None, **split: Any) -> Plan:
    """The parts of a plan that objectives read; the rest is the smallest that is valid."""
    scheme = {} if task.is_classification or "scheme" in split else {"scheme": "kfold"}
    return Plan(
        data="a table",
        data_fingerprint="",
        target="target",
        task=task,
        features=tuple(c.name for c in columns),
        metric=metric,
        direction="minimize",
        strategy=Strategy.RANDOM,
        family="ridge",
        shortlist=(
            Candidate(family="ridge", space=SearchSpace(parameters={"alpha": Float(0, 1, default=1)}), starts=({},), fit_seconds=1),
        ),
        stages=(),
        validation=validation(**scheme, **split),
        pruner=Pruner(name="none"),
        budget=Budget(seconds=1, startup_seconds=0, pilot_seconds=0, search_seconds=1, confirm_seconds=0, refit_seconds=0, trials=1),
        envelope=Envelope(workers=1, threads_per_worker=1, memory_per_worker_bytes=2**30, trial_seconds=1),
        forecast=Forecast(trials=1, seconds_p50=1, seconds_p90=1),
        weights=weights,
    )


def dataset(frame: pl.DataFrame, task: Task, columns: tuple[Column, ...] = COLUMNS) -> Dataset:
    """The facts of a mixed table."""
    return Dataset(
        source="a table",
        fingerprint="",
        rows=frame.height,
        columns=columns,
        bytes=0,
        target="target",
        task=task,
        feature_columns=len(columns),
        numeric_columns=4,
        category_columns=2,
        width=20,
        effective_dimensions=4,
        missing_ratio=0.1,
        duplicate_ratio=0.0,
    )


METRIC = {Task.BINARY: "log_loss", Task.MULTICLASS: "log_loss", Task.REGRESSION: "rmse"}


def prepared(
    folder: Path,
    task: Task,
    *,
    metric: str | None = None,
    rows: int = 160,
    columns: tuple[Column, ...] = COLUMNS,
    weights: str | None = None,
    frame: pl.DataFrame | None = None,
    **split: Any,
) -> Prepared:
    """A mixed table, prepared."""
    table = mixed(rows, task=task) if frame is None else frame
    return prepare(
        table, dataset(table, task, columns), plan(task, metric or METRIC[task], columns=columns, weights=weights, **split), folder
    )


NETWORK = family(
    "mlp", "advisor.objectives.network:TabularNetwork", "advisor.objectives.network:TabularNetwork", category="ordinal", epochs=4
)
NETWORK = NETWORK.model_copy(update={"trains_in_steps": True})
