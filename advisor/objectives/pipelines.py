"""A model family, typed columns and a configuration become one scikit-learn pipeline, fitted whole inside each fold.

Its input is a polars frame whose columns are typed by their kind: numbers as Float64, categories and text as String, dates
as Datetime, and null wherever a cell is missing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils.validation import check_is_fitted

from advisor.core.errors import CannotRunError, InputError, nearest
from advisor.core.facts import Column, ColumnKind, Task
from advisor.core.family import Family
from advisor.core.space import Config
from advisor.objectives.images import IMAGE, preprocess_images

Needs = Literal["probability", "label", "number"]
Numbers = npt.NDArray[np.float64]

NUMERIC_KINDS = frozenset({ColumnKind.NUMERIC, ColumnKind.INTEGER_CODED, ColumnKind.BOOLEAN})
UNUSED_KINDS = frozenset({ColumnKind.CONSTANT, ColumnKind.IDENTIFIER})
SCALER = "scaler"
"""The one hyperparameter that belongs to the preprocessing: ``standard``, ``quantile`` or ``robust``."""

PENALTY = "l2_"
"""Opens the names of hyperparameters that are L2 strengths of one part of a network each."""

NATIVE_CATEGORIES = 255
"""Most codes a histogram-based tree takes in one column. Source: HistGradientBoosting, `max_bins`."""
ONEHOT_CATEGORIES = 50
"""Most indicators one column becomes; the rest share one. Source: our choice, it keeps the dense matrix small."""
RARE_ROWS = 3
"""Categories seen in fewer training rows share one code. Source: our choice."""
TARGET_ENCODED_CLASSES = 10
"""Above this many classes target encoding would widen a column too much, and codes are used."""
TEXT_TERMS = 4000
TEXT_COMPONENTS = 32
"""Terms kept, and components they are reduced to. Source: our choice."""
LARGEST = 1e37
"""Numbers are clipped here: forests work in float32, which ends at 3.4e38."""
CALIBRATION_FOLDS = 3

_STANDARDISED_TARGET = frozenset({"SVR", "NuSVR", "LinearSVR", "MLPRegressor"})
"""Regressors whose hyperparameters are in units of the target."""


def typed(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """The named columns of `frame`, in order, with the type their kind asks for; what cannot be read as such is null.

    Numbers that are not finite become null and are clipped to ±1e37. Unused kinds (constant, identifier) are left out.

    Raises: InputError when a column is absent.
    """
    wanted = [c for c in columns if c.kind not in UNUSED_KINDS]
    absent = [c.name for c in wanted if c.name not in frame.columns]
    if absent:
        raise InputError(
            f"{len(absent)} column(s) of the model are not in the data: {', '.join(map(repr, absent[:5]))}",
            where="columns",
            cure=nearest(absent[0], frame.columns),
        )
    return frame.select(_typed(pl.col(c.name), frame.schema[c.name], c.kind) for c in wanted)


def _typed(column: pl.Expr, dtype: pl.DataType, kind: ColumnKind) -> pl.Expr:
    if kind in NUMERIC_KINDS:
        number = column.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number.clip(-LARGEST, LARGEST)).otherwise(None).name.keep()
    if kind is ColumnKind.DATE:
        if dtype == pl.String:
            return column.str.to_datetime(strict=False).dt.cast_time_unit("us")
        date = column.cast(pl.Datetime("us"), strict=False) if dtype in (pl.Date, pl.Null) else column
        return date.dt.replace_time_zone(None).dt.cast_time_unit("us")
    return column.cast(pl.String, strict=False)


class DateParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Numbers ``(rows, parts of each date column)``: only the parts that vary in the training rows; missing dates are NaN.

    Parts: year, month, day, weekday, hour, and days since 1970. A column where none varies gives its days.
    """

    _PARTS = ("year", "month", "day", "weekday", "hour", "days")

    def fit(self, X: pl.DataFrame, y: object = None) -> Self:  # noqa: ARG002
        parts = self._all(X)
        varies = [name for name in parts.columns if parts[name].n_unique() - (parts[name].null_count() > 0) > 1]
        self.parts_ = [name for name in parts.columns if name in varies or (name.endswith("\x1fdays") and not _of(name, varies))]
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        self.n_features_in_ = X.width
        return self

    def transform(self, X: pl.DataFrame) -> Numbers:
        check_is_fitted(self, "parts_")
        return self._all(X).select(self.parts_).to_numpy().astype(np.float64)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:  # noqa: ARG002
        check_is_fitted(self, "parts_")
        return np.asarray([name.replace("\x1f", "_") for name in self.parts_], dtype=object)

    def _all(self, X: pl.DataFrame) -> pl.DataFrame:
        def part(name: str, which: str) -> pl.Expr:
            date = pl.col(name)
            value = date.dt.epoch("s") / 86_400 if which == "days" else getattr(date.dt, which)()
            return value.cast(pl.Float64).alias(f"{name}\x1f{which}")

        return X.select(part(name, which) for name in X.columns for which in self._PARTS)


def _of(part: str, parts: Sequence[str]) -> bool:
    """True when another part of the same column is among `parts`."""
    column = part.rpartition("\x1f")[0]
    return any(p.rpartition("\x1f")[0] == column for p in parts)


class Gaps(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The same numbers with missing cells as NaN; a column without any value in the training rows is 0 throughout.

    Histogram-based trees take NaN, but fail on a column that holds nothing else.
    """

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002
        numbers = np.asarray(X, dtype=np.float64)
        self.empty_ = np.isnan(numbers).all(axis=0)
        self.n_features_in_ = numbers.shape[1]
        return self

    def transform(self, X: Any) -> Numbers:
        check_is_fitted(self, "empty_")
        numbers = np.array(X, dtype=np.float64)
        numbers[:, self.empty_] = 0.0
        return numbers

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        check_is_fitted(self, "empty_")
        names = [f"x{i}" for i in range(self.n_features_in_)] if input_features is None else input_features
        return np.asarray(names, dtype=object)


class TextComponents(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Numbers ``(rows, components)`` of one text column: weighted terms reduced by a truncated decomposition.

    Missing text counts as empty. Without any usable term the column becomes one zero.
    """

    def __init__(self, *, terms: int = TEXT_TERMS, components: int = TEXT_COMPONENTS, random_state: int = 0) -> None:
        self.terms = terms
        self.components = components
        self.random_state = random_state

    def fit(self, X: pl.Series, y: object = None) -> Self:  # noqa: ARG002
        self.fit_transform(X)
        return self

    def fit_transform(self, X: pl.Series, y: object = None, **_: object) -> Numbers:  # noqa: ARG002
        vectoriser = TfidfVectorizer(max_features=self.terms, sublinear_tf=True, strip_accents="unicode")
        self.vectoriser_: TfidfVectorizer | None = None
        self.reduction_: TruncatedSVD | None = None
        texts = self._texts(X)
        tokens = vectoriser.build_analyzer()
        if not any(tokens(text) for text in texts):
            self.width_ = 1
            return np.zeros((len(texts), 1))
        weights = vectoriser.fit_transform(texts)
        self.vectoriser_ = vectoriser
        if min(weights.shape) <= self.components:
            self.width_ = weights.shape[1]
            return np.asarray(weights.toarray(), dtype=np.float64)
        self.reduction_ = TruncatedSVD(self.components, random_state=self.random_state)
        self.width_ = self.components
        return np.asarray(self.reduction_.fit_transform(weights), dtype=np.float64)

    def transform(self, X: pl.Series) -> Numbers:
        check_is_fitted(self, "width_")
        texts = self._texts(X)
        if self.vectoriser_ is None:
            return np.zeros((len(texts), 1))
        weights = self.vectoriser_.transform(texts)
        return np.asarray(self.reduction_.transform(weights) if self.reduction_ is not None else weights.toarray(), dtype=np.float64)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:  # noqa: ARG002
        check_is_fitted(self, "width_")
        return np.asarray([f"text_{i}" for i in range(self.width_)], dtype=object)

    @staticmethod
    def _texts(X: pl.Series) -> list[str]:
        return list(X.fill_null(""))


class CalibratedMargins(CalibratedClassifierCV):  # type: ignore[misc]
    """A classifier of margins with probabilities learned from out-of-fold margins, and one model on all rows.

    Classes of a single row cannot be calibrated; they are left out of `classes_` and never predicted.
    """

    def fit(self, X: Numbers, y: npt.NDArray[Any], sample_weight: Numbers | None = None, **fit_params: object) -> Self:
        _, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
        kept = counts[inverse] >= 2
        weight = None if sample_weight is None else np.asarray(sample_weight)[kept]
        folds = int(min(CALIBRATION_FOLDS, counts[counts >= 2].min())) if kept.any() else 2
        self.cv = StratifiedKFold(folds, shuffle=True, random_state=0)
        super().fit(np.asarray(X)[kept], np.asarray(y)[kept], sample_weight=weight, **fit_params)
        return self


class StoppedEarly(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """A boosting of several classes that stops by a stratified part of its rows, made to work where classes are rare.

    Classes of one row are left out of `classes_`: no part could hold them. With more classes than the part has rows, stopping is off.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Numbers, y: npt.NDArray[Any], sample_weight: Any = None) -> Self:
        _, inverse, counts = np.unique(y, return_inverse=True, return_counts=True)
        kept = counts[inverse] >= 2
        self.estimator_ = clone(self.estimator)
        if kept.sum() * self.estimator.validation_fraction < (counts >= 2).sum():
            has_switch = "early_stopping" in self.estimator.get_params()
            self.estimator_.set_params(**({"early_stopping": False} if has_switch else {"n_iter_no_change": None}))
        if kept.all():
            self.estimator_.fit(X, y, sample_weight=sample_weight)
        else:
            weight = None if sample_weight is None else np.asarray(sample_weight)[kept]
            self.estimator_.fit(np.asarray(X)[kept], np.asarray(y)[kept], sample_weight=weight)
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Numbers) -> npt.NDArray[Any]:
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict(X))

    def predict_proba(self, X: Numbers) -> Numbers:
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict_proba(X))


class SmoothedVotes(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose probabilities are shares of `votes`, with one vote more spread evenly over the classes.

    A hundred trees that agree cannot know that a probability is 0, and one row of the class they ruled out costs 36 nats of log
    loss: enough to decide a selection, seldom seen in validation. Source: additive smoothing with a pseudo-count of one in all.
    """

    def __init__(self, estimator: Any, votes: int) -> None:
        self.estimator = estimator
        self.votes = votes

    def fit(self, X: Numbers, y: npt.NDArray[Any], sample_weight: Any = None) -> Self:
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.estimator_ = clone(self.estimator).fit(X, y, **weight)
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Numbers) -> npt.NDArray[Any]:
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict(X))

    def predict_proba(self, X: Numbers) -> Numbers:
        check_is_fitted(self, "estimator_")
        shares = np.asarray(self.estimator_.predict_proba(X))
        return np.asarray((shares * self.votes + 1 / shares.shape[1]) / (self.votes + 1))


def build(
    family: Family,
    columns: Sequence[Column],
    task: Task,
    config: Config,
    *,
    seed: int,
    threads: int = 1,
    classes: int = 2,
    needs: Needs = "probability",
    overrides: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Pipeline:
    """An unfitted pipeline of two steps: ``columns`` (the preprocessing) and ``model`` (the estimator).

    `overrides` wins over `config`, which wins over the family's fixed arguments. With `needs` probability, a classifier
    that has only margins is calibrated. `classes` is the number of classes of the whole table;
    `device` is where a network is trained, other families ignore it.

    Raises: CannotRunError when the family cannot do the task, its library is absent or no column can be used;
    InputError when the configuration names an argument that the estimator does not have.
    """
    if takes_images(columns):
        model = _estimator(family, task, config, seed, threads, 0, needs, overrides or {}, device, on_images=True)
        return Pipeline([("columns", preprocess_images(family)), ("model", model)])
    preprocessing, category_columns = preprocess(family, columns, task, config, seed=seed, classes=classes)
    model = _estimator(family, task, config, seed, threads, category_columns, needs, overrides or {}, device)
    return Pipeline([("columns", preprocessing), ("model", model)])


def takes_images(columns: Sequence[Column]) -> bool:
    """True when the one feature is an image."""
    return [c.kind for c in columns] == [IMAGE.kind]


def preprocess(
    family: Family, columns: Sequence[Column], task: Task, config: Config, *, seed: int, classes: int = 2
) -> tuple[ColumnTransformer, int]:
    """What comes before the estimator, and how many leading columns of its output are category codes (0 when they are indicators).

    Raises: CannotRunError when no column can be used.
    """
    kinds = {c.name: c.kind for c in columns if c.kind not in UNUSED_KINDS}
    if not kinds:
        raise CannotRunError("no column can be used as a feature", where="columns", cure="Name fewer columns in --drop.")

    def named(*wanted: ColumnKind) -> list[str]:
        return [name for name, kind in kinds.items() if kind in wanted]

    steps: list[tuple[str, Any, Any]] = []
    categories, many, codes = named(ColumnKind.CATEGORY), named(ColumnKind.HIGH_CARDINALITY), 0
    if classes > TARGET_ENCODED_CLASSES:
        categories, many = [n for n, k in kinds.items() if k in (ColumnKind.CATEGORY, ColumnKind.HIGH_CARDINALITY)], []
    if categories:
        match family.preprocessing.category:
            case "native":
                codes = len(categories)
                bins = config.get("max_bins", family.fixed.get("max_bins", NATIVE_CATEGORIES))
                steps.append(("category", _codes(np.nan, int(bins)), categories))
            case "ordinal":
                codes = len(categories)
                steps.append(("category", _codes(-1), categories))
            case "onehot":
                onehot = OneHotEncoder(
                    handle_unknown="infrequent_if_exist",
                    min_frequency=RARE_ROWS,
                    max_categories=ONEHOT_CATEGORIES,
                    sparse_output=False,
                )
                steps.append(("category", onehot, categories))
    numeric = [name for name, kind in kinds.items() if kind in NUMERIC_KINDS]
    treatment, scaler = family.preprocessing.numeric, str(config.get(SCALER, "standard"))
    if numeric:
        steps.append(("numeric", _numeric(treatment, scaler, seed), numeric))
        gaps = [c.name for c in columns if c.name in numeric and c.missing_ratio > 0]
        if gaps and treatment != "passthrough":
            steps.append(("missing", MissingIndicator(features="missing-only", error_on_new=False), gaps))
    if many:
        encoder = _target_encoder(task, seed)
        steps.append(("many", make_pipeline(encoder, StandardScaler()) if treatment == "scale" else encoder, many))
    if dates := named(ColumnKind.DATE):
        parts = DateParts()
        steps.append(("date", make_pipeline(parts, _numeric(treatment, scaler, seed)), dates))
    for i, name in enumerate(named(ColumnKind.TEXT)):
        text = TextComponents(random_state=seed)
        steps.append((f"text{i}", text, name))
    return ColumnTransformer(steps, sparse_threshold=0.0, verbose_feature_names_out=False), codes


def _codes(unknown: float, most: int = NATIVE_CATEGORIES) -> OrdinalEncoder:
    """Codes from 0 in the order of the names, with one code for what is rare; a missing cell is a category of its own."""
    return OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=unknown,
        min_frequency=RARE_ROWS,
        max_categories=min(most, NATIVE_CATEGORIES),
    )


def _numeric(treatment: str, scaler: str, seed: int) -> Any:
    if treatment == "passthrough":
        return Gaps()
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    if treatment == "impute":
        return impute
    match scaler:
        case "standard":
            return make_pipeline(impute, StandardScaler())
        case "quantile":
            return make_pipeline(impute, QuantileTransformer(output_distribution="normal", random_state=seed))
        case "robust":
            return make_pipeline(impute, RobustScaler())
        case _:
            raise InputError(f"unknown scaler {scaler!r}", where=SCALER, cure=nearest(scaler, ("standard", "quantile", "robust")))


def _target_encoder(task: Task, seed: int) -> TargetEncoder:
    folds = StratifiedKFold if task.is_classification else KFold
    kind = {Task.BINARY: "binary", Task.MULTICLASS: "multiclass", Task.REGRESSION: "continuous"}[task]
    return TargetEncoder(target_type=kind, cv=folds(5, shuffle=True, random_state=seed))


def estimator_class(family: Family, task: Task, *, on_images: bool = False) -> type[Any]:
    """The class that the family names for `task`, or for images where it has one of its own.

    Raises: CannotRunError when there is none, or its library is absent.
    """
    path = family.estimators.get(task)
    if path is None:
        raise CannotRunError(
            f"{family.name} does not do {task}", where="--model", cure="Choose another family: `advisor rules list` shows all."
        )
    module, _, name = (family.on_images or path if on_images else path).partition(":")
    try:
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        raise CannotRunError(
            f"{family.name} needs {module.partition('.')[0]}, which is not installed",
            where="--model",
            cure=f"Install it with `pip install {module.partition('.')[0]}`.",
        ) from error


def _estimator(
    family: Family,
    task: Task,
    config: Config,
    seed: int,
    threads: int,
    category_columns: int,
    needs: Needs,
    overrides: Mapping[str, Any],
    device: str,
    *,
    on_images: bool = False,
) -> Any:
    kind = estimator_class(family, task, on_images=on_images)
    signature = inspect.signature(kind).parameters
    arguments = {**family.fixed, **config, **overrides}
    if SCALER not in signature:
        arguments.pop(SCALER, None)
    if "penalties" in signature and (parts := [name for name in arguments if name.startswith(PENALTY)]):
        arguments["penalties"] = {penalised_part(name): arguments.pop(name) for name in parts}
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.values()):
        for name in arguments:
            if name not in signature:
                raise InputError(f"{kind.__name__} has no argument {name!r}", where=family.name, cure=nearest(name, signature))
    if family.seed_argument and family.seed_argument in signature:
        arguments.setdefault(family.seed_argument, seed)
    if family.threads_argument:
        arguments.setdefault(family.threads_argument, threads)
    if "categorical_features" in signature and (family.preprocessing.category == "native" or hasattr(kind, "embeds_categories")):
        arguments["categorical_features"] = list(range(category_columns)) or None
    if hasattr(kind, "takes_task"):
        arguments |= {"task": task.value, "threads": threads, "device": device}
    model = kind(**arguments)
    if task is Task.MULTICLASS and _stops_early(model):
        model = StoppedEarly(model)
    if task is Task.REGRESSION:
        return TransformedTargetRegressor(model, transformer=StandardScaler()) if kind.__name__ in _STANDARDISED_TARGET else model
    if needs == "probability" and not hasattr(model, "predict_proba"):
        return CalibratedMargins(model, ensemble=False, method="temperature" if task is Task.MULTICLASS else "sigmoid")
    if needs == "probability" and family.votes_argument is not None:
        return SmoothedVotes(model, int(getattr(model, family.votes_argument)))
    return model


def penalised_part(name: str) -> str:
    """The part of a network that a hyperparameter is the L2 strength of: ``l2_input_3_age`` is of ``input_3``."""
    part = name.removeprefix(PENALTY)
    column = re.match(r"input_\d+", part)
    return column[0] if column else part


def _stops_early(model: Any) -> bool:
    """True for a boosting that keeps a stratified part of its rows to stop by."""
    if not hasattr(model, "validation_fraction"):
        return False
    if hasattr(model, "early_stopping"):
        return model.early_stopping is not False
    return getattr(model, "n_iter_no_change", None) is not None
