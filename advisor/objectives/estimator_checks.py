"""What scikit-learn itself says of a space for one of its estimators: values that it refuses, and features that it is given unscaled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from sklearn.utils._param_validation import make_constraint

from advisor.core.family import Family
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.objectives.estimator_space import family_of

SCALERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "QuantileTransformer", "PowerTransformer", "Normalizer")
"""Steps that put the features on one scale. Source: scikit-learn's guide to preprocessing."""
KEEP_SCALE = (
    "SimpleImputer",
    "KNNImputer",
    "MissingIndicator",
    "VarianceThreshold",
    "SelectKBest",
    "SelectPercentile",
    "PolynomialFeatures",
    "PCA",
)
"""Steps after which features are on the scales that they came with. What is neither may do anything."""
WANT_SCALE = ("LinearSVC", "LinearSVR", "NuSVC", "NuSVR", "SGDClassifier", "SGDRegressor", "MLPClassifier", "MLPRegressor", "Perceptron")
"""Estimators beyond our families that measure distances or shrink coefficients. Source: scikit-learn's guides to each."""


def refused_values(estimator: Any, space: SearchSpace, *, prefix: str = "") -> dict[str, str]:
    """Name to what the library says, for each hyperparameter of `space` of which it refuses a bound or a choice.

    Only what scikit-learn declares is asked, and nothing is fitted. Names that the estimator does not have are passed over.
    """
    out = {}
    for name, parameter in space.items():
        holder, _, own = f"{prefix}{name}".rpartition("__")
        owner = estimator.get_params(deep=True).get(holder) if holder else estimator
        declared = getattr(owner, "_parameter_constraints", None)
        if not isinstance(declared, Mapping) or own not in declared or isinstance(declared[own], str):
            continue
        constraints = [make_constraint(c) for c in declared[own]]
        for value in _ends(parameter):
            if not any(c.is_satisfied_by(value) for c in constraints):
                allowed = " or ".join(str(c) for c in constraints if not getattr(c, "hidden", False))
                out[name] = f"{own} = {value!r} must be {allowed}"
                break
    return out


def _ends(parameter: Float | Int | Choice) -> tuple[Any, ...]:
    return parameter.choices if isinstance(parameter, Choice) else (parameter.low, parameter.high)


def is_unscaled(estimator: Any, families: Iterable[Family], space: SearchSpace | None = None) -> bool | None:
    """True when `estimator` depends on the scale of the features and nothing before it sets one.

    None where that cannot be told: a step before it that is searched, or may do anything.
    """
    *before, last = _steps(estimator)
    found = family_of(last, families)
    wants = found[0].preprocessing.numeric == "scale" if found is not None else type(last).__name__ in WANT_SCALE
    if not wants:
        return False
    searched = {n.partition("__")[0] for n in (space.parameters if space is not None else ()) if "__" not in n}
    is_told = True
    for name, step in _named_steps(estimator)[:-1]:
        if type(step).__name__ in SCALERS:
            return False
        is_told = is_told and name not in searched and (step in (None, "passthrough") or type(step).__name__ in KEEP_SCALE)
    return True if is_told or not before else None


def _named_steps(estimator: Any) -> list[tuple[str, Any]]:
    steps = getattr(estimator, "steps", None)
    return list(steps) if isinstance(steps, list) and steps else [("", estimator)]


def _steps(estimator: Any) -> list[Any]:
    return [step for _, step in _named_steps(estimator)]


def estimator_of(family: Family) -> Any | None:
    """An estimator of `family` with its library's defaults, where that is scikit-learn's; None for others."""
    path = next((p for p in family.estimators.values() if p.startswith("sklearn.")), None)
    if path is None:
        return None
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)()
