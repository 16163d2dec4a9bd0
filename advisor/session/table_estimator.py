"""The advisor's own families behind scikit-learn's interface: arrays in, the run of `execute`, the shipped model out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils import ClassifierTags, RegressorTags, Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d, validate_data

from advisor.core.errors import InputError, NothingFinishedError, nearest
from advisor.core.facts import Task
from advisor.core.metrics import METRICS, metric
from advisor.core.outcome import Outcome
from advisor.objectives.model import PREDICTION, PROBABILITY, ShippedModel, load
from advisor.session.folder import RunFolder
from advisor.session.gathering import gather
from advisor.session.launching import execute
from advisor.session.outcomes import read_manifest
from advisor.session.planning import recommend


@dataclass(frozen=True)
class TableFit:
    """What came of a run on a table."""

    outcome: Outcome
    model: AdvisedModel
    scorer: Any
    """scikit-learn's scorer of the same meaning as the plan's metric."""
    sign: int
    """What turns a value of the run into that scorer's: larger is better."""


class AdvisedModel(BaseEstimator):  # type: ignore[misc]
    """A fitted model of the advisor's own families: features in as `fit` of the search was given them, NumPy arrays out."""

    def __init__(self, model: ShippedModel, labels: npt.NDArray[Any] | None = None) -> None:
        self.model = model
        self.labels = labels

    @property
    def task(self) -> str:
        """binary, multiclass or regression."""
        return self.model.task.value

    def __sklearn_tags__(self) -> Tags:
        """Those of a classifier or of a regressor of tables."""
        return tags_of_table(super().__sklearn_tags__(), self.task)

    def __sklearn_is_fitted__(self) -> bool:
        """Always: it is made of a fitted model."""
        return True

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Labels as `y` had them, or numbers, of ``(rows,)``.

        Raises: InputError or ValueError when a column is absent, or there are more or fewer.
        """
        found = self._predicted(X)[PREDICTION]
        return np.asarray(found.to_numpy() if self.labels is None else self.labels[found.cast(pl.Int64).to_numpy()])

    @available_if(lambda self: hasattr(self.model.pipeline, "predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities of ``(rows, classes)``, in the order of `classes_`."""
        assert self.labels is not None
        found = self._predicted(X)
        out = np.zeros((found.height, len(self.labels)))
        for label in self.model.classes:
            out[:, int(label)] = found[f"{PROBABILITY}{label}"].to_numpy()
        return out

    def _predicted(self, X: Any) -> pl.DataFrame:
        from advisor.profiling.columns import cast
        from advisor.profiling.reading import read_table

        validate_data(self, X, reset=False, skip_check_array=True)
        return self.model.predict(cast(read_table(frame_of(X)), self.model.columns))


def fit_table(search: Any, X: Any, y: Any, given: Mapping[str, Any], *, seed: int) -> TableFit:
    """What a run of the advisor's own families on `X` and `y` comes to, by the parameters of `search`.

    Raises: InputError where the search asks for what only an estimator has; what `execute` raises.
    """
    _refuse(search)
    frame = frame_of(X)
    if y is None:
        raise ValueError("AdvisedSearchCV requires y to be passed, but the target y is None")
    told = np.asarray(column_or_1d(y, warn=True))
    if len(told) != frame.height:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {[frame.height, len(told)]}")
    task = _task_of(told, search.task)
    labels = codes = None
    if task.is_classification:
        labels, codes = np.unique(told, return_inverse=True)
    roles = {"target": codes if codes is not None else told.astype(np.float64), **given}
    names = {role: _free(role, frame.columns) for role in roles}
    whole = frame.with_columns([pl.Series(names[role], np.asarray(values)) for role, values in roles.items()])
    wanted = _metric_name(search.scoring, task)
    facts = gather(
        whole,
        target=names["target"],
        task=task,
        group=names.get("groups"),
        weights=names.get("sample_weight"),
        metric=wanted,
        goal=search.goal,
        budget_seconds=float(search.budget_seconds),
        trials=search.max_trials,
        strategy=search.strategy,
        force=search.force,
        workers=search.workers,
        seed=seed,
    )
    with ExitStack() as stack:
        place = search.run_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="advisor-"))
        outcome = execute(recommend(facts), whole, run_dir=place, facts=facts)
        folder = RunFolder(Path(place))
        if not folder.best.exists():
            seconds = float(search.budget_seconds)
            raise NothingFinishedError(
                f"the budget of {seconds:g} s ended before a model was saved", where="budget_seconds", cure=f"Give it {3 * seconds:g} s."
            )
        shipped = load(folder.best / "model.joblib", sha256=str(read_manifest(folder)["sha256"]))
    model = AdvisedModel(shipped, labels)
    validate_data(model, X, skip_check_array=True)
    if labels is not None:
        model.classes_ = labels
    score = metric(outcome.metric)
    return TableFit(outcome=outcome, model=model, scorer=get_scorer(score.scorer), sign=score.sign)


def tags_of_table(tags: Tags, task: str | None) -> Tags:
    """`tags` of what predicts from a table: missing cells and text are welcome, sparse matrices are not."""
    tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
    tags.input_tags.sparse = False
    tags.target_tags.required = True
    if task == Task.REGRESSION.value:
        tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
    elif task is not None:
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
    return tags


def frame_of(X: Any) -> pl.DataFrame:
    """The features as a table: a frame under its own names, an array under ``x0`` ….

    Raises: InputError for a sparse matrix and for other shapes than ``(rows, features)``.
    """
    from advisor.profiling.lines import array_column
    from advisor.profiling.reading import read_table

    if hasattr(X, "toarray"):
        raise InputError(
            "the advisor's own families take no sparse matrix", where="X", cure="Name an estimator that does, or give X.toarray()."
        )
    if isinstance(X, pl.DataFrame) or _has_names(X):
        return read_table(X)
    array = np.asarray(X)
    if array.ndim != 2 or not array.shape[0] or not array.shape[1]:
        raise ValueError(f"Expected 2D array with rows and features, got an array of shape {array.shape}. Reshape your data.")
    return read_table(pl.DataFrame([array_column(f"x{i}", array[:, i]) for i in range(array.shape[1])]))


def _has_names(X: Any) -> bool:
    return hasattr(X, "columns") and hasattr(X, "__getitem__")


def _free(role: str, taken: Sequence[str]) -> str:
    """`role`, or with underscores behind it where a column is called so."""
    while role in taken:
        role += "_"
    return role


def _task_of(y: npt.NDArray[Any], wanted: str | None) -> Task:
    from advisor.profiling.lines import array_column
    from advisor.profiling.target import task_of

    return task_of(array_column("target", y), "target", None if wanted is None else Task(wanted))


def _metric_name(scoring: Any, task: Task) -> str | None:
    """Our metric behind a name of ours or of scikit-learn's.

    Raises: InputError for a scorer that has no counterpart.
    """
    if scoring is None:
        return None
    fitting = {m.scorer: m.name for m in METRICS.values() if task in m.tasks} | {
        m.name: m.name for m in METRICS.values() if task in m.tasks
    }
    if task is Task.BINARY:
        fitting["roc_auc"] = "roc_auc"
    if isinstance(scoring, str) and scoring in fitting:
        return fitting[scoring]
    what = f"{scoring!r} is no score that the advisor's own families are tuned by"
    cure = nearest(scoring, fitting) if isinstance(scoring, str) else f"Name one of: {', '.join(sorted(fitting))}."
    if isinstance(scoring, str) and scoring in get_scorer_names():
        cure = f"Name an estimator to be tuned by it, or one of: {', '.join(sorted(fitting))}."
    raise InputError(what, where="scoring", cure=cure)


def _refuse(search: Any) -> None:
    """Raises: InputError where a parameter only has a meaning with an estimator."""
    for name in ("space", "param_distributions", "cv"):
        if getattr(search, name) is not None:
            raise InputError(
                f"{name} is for an estimator of your own; without one the families bring theirs",
                where=name,
                cure=f"Name an estimator, or leave {name} out.",
            )
    if search.isolation == "inline":
        raise InputError(
            "the advisor's own families run in worker processes", where="isolation", cure='Use isolation="process", or name an estimator.'
        )
