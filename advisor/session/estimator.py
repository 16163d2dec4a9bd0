"""`AdvisedSearchCV`: a recommended search as a scikit-learn estimator, on the same code as `tune` and `execute`."""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import joblib
import numpy as np
from sklearn import get_config
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import Tags, check_random_state, indexable
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRequest, MetadataRouter, get_routing_for_object
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_method_params, _num_samples, check_is_fitted

from advisor.core.derived import Situation
from advisor.core.errors import CannotRunError, InputError
from advisor.core.facts import Facts, Task, Unknown
from advisor.core.outcome import Outcome, TrialRecord
from advisor.core.spaces import candidate_of
from advisor.objectives.estimator import EstimatorObjective
from advisor.objectives.estimator_checks import is_unscaled, refused_values
from advisor.objectives.estimator_space import EstimatorSpace, estimator_space, family_of, family_space, no_space
from advisor.session.folder import RunFolder
from advisor.session.gathering import read_answers
from advisor.session.planning import rulebook
from advisor.session.tuning import _conduct, _folder, _in_memory, describe, on_disk

_TASKS = ("binary", "multiclass", "regression")


def _predicts(search: Any) -> bool:
    """True where `predict` may be called: without an estimator always, else where the search has it."""
    if not search.refit:
        raise AttributeError("predict is only there with refit=True")
    if search.estimator is not None or hasattr(search, "best_estimator_"):
        getattr(getattr(search, "best_estimator_", search.estimator), "predict")  # noqa: B009
    return True


class SearchFailedError(CannotRunError, ValueError, TypeError):
    """No configuration could be fitted and scored; a ValueError and a TypeError too, since estimators refuse data with either."""


class AdvisedSearchCV(BaseSearchCV):  # type: ignore[misc]
    """A search of `estimator` over `space` by the strategy that the rules recommend, within a budget; a scikit-learn estimator.

    With ``estimator=None`` the advisor's own model families compete on the table, as `execute` runs them, and
    `best_estimator_` is the model that is shipped. Otherwise trial 0 is the estimator as it is given, every configuration is
    scored on the same splits, and the best one is fitted on all rows.

    Parameters: `space` (or scikit-learn's name for it, `param_distributions`) holds `Float`, `Int` and `Choice`, or what
    scikit-learn's searches take; None: that of the model family the estimator (or a pipeline's last step) belongs to.
    `scoring` is a scorer or its name, None: the estimator's own score; without an estimator also a metric of ours. `cv` is as
    in scikit-learn. `goal`, `budget_seconds`, `max_trials`, `strategy`, `force` and `workers` are as in `tune`. ``isolation="inline"``
    runs trials in the calling process, ``"process"`` in worker processes, where one can crash or be cut short. `run_dir` is a
    folder that keeps the run; None: none is left. `task` says what `y` is where no estimator does: binary, multiclass or
    regression.

    After `fit`: `plan_`, `outcome_`, `best_params_`, `best_score_`, `best_index_`, `cv_results_`, `best_estimator_`,
    `refit_time_`, `scorer_`, `n_splits_`, and `explain`. Scores are the scorer's: larger is better.

    Raises, when fitted: InputError for a wrong argument, before the first trial; SearchFailedError (a ValueError) when no
    configuration could be fitted; CannotRunError when the strategy cannot run; NothingFinishedError when the budget was too short.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> search = AdvisedSearchCV(LogisticRegression(max_iter=500), max_trials=4, isolation="inline")
    >>> search.fit(*load_iris(return_X_y=True)).cv_results_["params"][0]
    {'C': 1.0}
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit"]), None],
        "space": "no_validation",
        "param_distributions": "no_validation",
        "goal": [str],
        "budget_seconds": [Interval(Real, 0, None, closed="neither")],
        "max_trials": [Interval(Integral, 1, None, closed="left"), None],
        "strategy": [str],
        "force": ["boolean"],
        "scoring": [str, callable, None],
        "cv": ["cv_object"],
        "workers": [Interval(Integral, 1, None, closed="left"), None],
        "refit": ["boolean"],
        "isolation": [StrOptions({"process", "inline"})],
        "run_dir": [str, Path, None],
        "task": [StrOptions(set(_TASKS)), None],
        "random_state": ["random_state"],
    }
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"sample_weight": None, "groups": None}
    __metadata_request__score: ClassVar[dict[str, Any]] = {"sample_weight": None}
    """Used where there is no estimator that could be asked: then weights and groups are the search's own."""

    error_score = math.nan
    """What a configuration scores that cannot be fitted."""
    return_train_score = False

    def __init__(
        self,
        estimator: Any = None,
        space: Any = None,
        *,
        param_distributions: Any = None,
        goal: str = "quick",
        budget_seconds: float = 60.0,
        max_trials: int | None = None,
        strategy: str = "auto",
        force: bool = False,
        scoring: Any = None,
        cv: Any = None,
        workers: int | None = 1,
        refit: bool = True,
        isolation: Literal["process", "inline"] = "process",
        run_dir: str | Path | None = None,
        task: str | None = None,
        random_state: Any = 0,
    ) -> None:
        self.estimator = estimator
        self.space = space
        self.param_distributions = param_distributions
        self.goal = goal
        self.budget_seconds = budget_seconds
        self.max_trials = max_trials
        self.strategy = strategy
        self.force = force
        self.scoring = scoring
        self.cv = cv
        self.workers = workers
        self.refit = refit
        self.isolation = isolation
        self.run_dir = run_dir
        self.task = task
        self.random_state = random_state

    # -- what scikit-learn asks ------------------------------------------------------------------------------------------

    def __sklearn_tags__(self) -> Tags:
        """Those of the estimator, as every search has them; without one, those that the fitted model or `task` tell."""
        if self.estimator is not None:
            return super().__sklearn_tags__()
        from advisor.session.table_estimator import tags_of_table

        tags: Tags = super(BaseSearchCV, self).__sklearn_tags__()
        return tags_of_table(tags, self.task or getattr(getattr(self, "best_estimator_", None), "task", None))

    def get_metadata_routing(self) -> MetadataRouter | MetadataRequest:
        """To whom weights, groups and other metadata go: as in every search; without an estimator, to the search itself."""
        if self.estimator is not None:
            return super().get_metadata_routing()
        return get_routing_for_object(super(BaseSearchCV, self).get_metadata_routing())

    @available_if(_predicts)  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Any:
        """What the best estimator predicts for `X`, as an array of ``(rows,)``; only where it was refitted."""
        return super().predict(X) if self.estimator is not None else self._fitted().predict(X)

    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """The score of the best estimator on `X` and `y`, by the scorer of the search; only where it was refitted."""
        if self.estimator is not None:
            return float(super().score(X, y, **params))
        model = self._fitted()
        scorer = copy(self.scorer_).set_score_request(sample_weight=True) if get_config()["enable_metadata_routing"] else self.scorer_
        return float(scorer(model, X, y, **params))

    def _fitted(self) -> Any:
        check_is_fitted(self)
        if not hasattr(self, "best_estimator_"):
            raise AttributeError("there is no model with refit=False")
        return self.best_estimator_

    def _sk_visual_block_(self) -> Any:
        return super()._sk_visual_block_() if self.estimator is not None or hasattr(self, "best_estimator_") else NotImplemented

    # -- fit -------------------------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """This search, carried out on `X` of ``(rows, features)`` and `y`.

        `params` go to the estimator's `fit`, with ``sample_weight`` to the scorer too where that takes it, and ``groups`` to the
        splitter; with metadata routing enabled, to those that request them. Without an estimator, ``sample_weight`` and
        ``groups`` are the search's own.

        Raises: as the class says.
        """
        _refuse_callbacks(self)
        if self.estimator is None:
            self._fit_table(X, y, params)
        else:
            self._fit_estimator(X, y, params)
        return self

    def _fit_estimator(self, X: Any, y: Any, params: dict[str, Any]) -> None:
        began = time.monotonic()
        scorer = self._get_scorers()[0]
        X, y = indexable(X, y)
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        splits = list(check_cv(self.cv, y, classifier=is_classifier(self.estimator)).split(X, y, **routed.splitter.split))
        if not splits:
            raise ValueError("No fits were performed: the CV iterator gave no split.")
        space = self._space_of(X, y)
        objective = EstimatorObjective(
            clone(self.estimator),
            X,
            y,
            space=space,
            splits=splits,
            scorer=scorer,
            fit_params=routed.estimator.fit,
            score_params=routed.scorer.score,
        )
        outcome = self._search(objective, began)
        results = _table_of(self, outcome.trials, n_splits=len(splits), sign=1, params=space.params)
        best = int(results["rank_test_score"].argmin())
        self._keep(outcome, results, best, n_splits=len(splits), scorer=scorer)
        if self.refit:
            since = time.perf_counter()
            best_estimator = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
            self.best_estimator_ = (
                best_estimator.fit(X, **routed.estimator.fit) if y is None else best_estimator.fit(X, y, **routed.estimator.fit)
            )
            self.refit_time_ = time.perf_counter() - since
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_

    def _fit_table(self, X: Any, y: Any, params: dict[str, Any]) -> None:
        from advisor.session.table_estimator import fit_table

        fitted = fit_table(self, X, y, _weights_and_groups(params), seed=_seed(self.random_state))
        splits = fitted.outcome.plan.validation.splits
        trials = tuple(t for t in fitted.outcome.trials if t.stage != "confirm" and t.rows is None)
        results = _table_of(self, trials, n_splits=splits, sign=fitted.sign, params=dict, families=True)
        best = next(
            n
            for n, t in enumerate(t for t in trials if t.status in _ENDED)
            if (t.family, t.config, t.status) == (fitted.outcome.family, fitted.outcome.best_config, "completed")
        )
        self._keep(fitted.outcome, results, best, n_splits=splits, scorer=fitted.scorer)
        if self.refit:
            self.best_estimator_ = fitted.model
            if hasattr(fitted.model, "feature_names_in_"):
                self.feature_names_in_ = fitted.model.feature_names_in_

    def _keep(self, outcome: Outcome, results: dict[str, Any], best: int, *, n_splits: int, scorer: Any) -> None:
        for name in ("best_estimator_", "feature_names_in_", "refit_time_"):
            if name in vars(self):
                delattr(self, name)  # of an earlier fit
        self.outcome_, self.plan_ = outcome, outcome.plan
        self.cv_results_, self.n_splits_, self.scorer_, self.multimetric_ = results, n_splits, scorer, False
        self.best_index_ = best
        self.best_params_ = results["params"][best]
        self.best_score_ = float(results["mean_test_score"][best])
        failed = [t for t in outcome.trials if t.status == "failed" and t.category != "deadline"]
        if failed:
            said = f"{len(failed)} of {len(outcome.trials)} trials failed, the first with: {failed[0].cause}"
            warnings.warn(said, FitFailedWarning, stacklevel=5)

    def _space_of(self, X: Any, y: Any) -> EstimatorSpace:
        """The space that was named, or the one that the rules have for this kind of estimator.

        Raises: InputError when there is none, or it was named twice.
        """
        if self.space is not None and self.param_distributions is not None:
            raise InputError("space and param_distributions are one and the same", where="space", cure="Name one of them.")
        named = self.space if self.space is not None else self.param_distributions
        if named is not None:
            return estimator_space(self.estimator, named)
        families = rulebook().families.values()
        found = family_of(self.estimator, families)
        if found is None:
            raise no_space(self.estimator, families)
        family, prefix = found
        candidate = candidate_of(family, rulebook(), _situation(X, y, is_bare=not prefix), {})
        return family_space(self.estimator, candidate.space, candidate.starts[1:], prefix)

    def _search(self, objective: EstimatorObjective, began: float) -> Outcome:
        """What came of the run.

        Raises: SearchFailedError when no configuration could be evaluated; what `tune` raises.
        """
        is_inline = self.isolation == "inline"
        if is_inline and self.workers not in (None, 1):
            raise InputError(f"{self.workers} workers cannot run inline", where="workers", cure='Use workers=1, or isolation="process".')
        answers = read_answers(
            goal=self.goal,
            budget_seconds=float(self.budget_seconds),
            trials=self.max_trials,
            workers=self.workers,
            seed=_seed(self.random_state),
            strategy=self.strategy,
            force=self.force,
        )
        brought, own = describe(objective, objective.space.space, direction="maximize", starts=objective.space.starts)
        name = objective.name if self.run_dir is None else f"{objective.name}-{_fingerprint(objective)}"
        own = own.model_copy(
            update={
                "name": name,
                "given": objective.space.given,
                "folds": len(objective.splits),
                "measurement": _said(objective.scorer),
                "is_unscaled": is_unscaled(self.estimator, rulebook().families.values(), own.space),
                "refused": refused_values(self.estimator, own.space),
            }
        )
        from advisor.probes.hardware import probe_hardware

        with ExitStack() as stack:
            place = (
                Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="advisor-"))) if self.run_dir is None else Path(self.run_dir)
            )
            facts = Facts(hardware=probe_hardware(runs=place if self.run_dir is None else place.parent), objective=own, answers=answers)
            if self.run_dir is None:
                folder = RunFolder(place)
                for part in (folder.work, folder.logs):
                    part.mkdir()
                opened = stack.enter_context(_in_memory(began, time.monotonic))
            else:
                folder = _folder(place, own, facts)
                opened = stack.enter_context(on_disk(folder, began, time.monotonic))
            try:
                return _conduct(brought, facts, folder, opened, is_inline=is_inline, clock=time.monotonic)
            except CannotRunError as error:
                tried = opened.recorder.state.trials.values()
                if tried and all(t.status == "failed" for t in tried):
                    raise _failed(error, [t.detail for t in tried]) from error
                raise

    # -- why -------------------------------------------------------------------------------------------------------------

    def explain(self, field: str | None = None, *, why_not: str | None = None) -> str:
        """Why the search was as it was, as text: all of it, one `field` of the plan (such as ``strategy``), or a strategy not chosen.

        Raises: NotFittedError before `fit`; InputError with the nearest name for a field or a strategy that there is none of.
        """
        from advisor.core import explain
        from advisor.report.text import outcome_text, plan_text

        check_is_fitted(self)
        parts = [explain.why(self.plan_, field)] if field is not None else []
        parts += [explain.why_not(self.plan_, why_not)] if why_not is not None else []
        return "\n\n".join(parts or [plan_text(self.plan_), outcome_text(self.outcome_)])


_ENDED = ("completed", "pruned", "failed")


def _table_of(
    search: Any, trials: Sequence[TrialRecord], *, n_splits: int, sign: int, params: Callable[[Any], dict[str, Any]], families: bool = False
) -> dict[str, Any]:
    """`cv_results_` of the trials that have ended, formatted by the library: scores, ranks, masked parameters.

    Its times are those the trials told; of what it has besides, `status` says how a trial ended, `origin` who proposed it.
    """
    ended = [t for t in trials if t.status in _ENDED]
    out = []
    for t in ended:
        scores = t.scores or ((t.value,) if t.value is not None and n_splits == 1 else ())
        known = t.status == "completed" and len(scores) == n_splits
        for split in range(n_splits):
            score = sign * scores[split] if known else math.nan
            out.append({"test_scores": score, "fit_time": t.fit_seconds if known else math.nan, "score_time": math.nan})
    named = [({"family": t.family} if families else {}) | params(t.config) for t in ended]
    more = {"status": [t.status for t in ended], "origin": [t.origin for t in ended], "seconds": [t.seconds for t in ended]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about the NaN of failed trials, which are told by their status
        found: dict[str, Any] = search._format_results(named, n_splits, out, more)
    return {n: v for n, v in found.items() if n not in ("std_fit_time", "mean_score_time", "std_score_time")}


def _failed(error: CannotRunError, details: Sequence[str]) -> SearchFailedError:
    """The error as scikit-learn's searches word it, with the trace of the first failure."""
    detail = next((d for d in details if d), "")
    cure = f"{error.cure}\n{detail}" if detail else error.cure
    return SearchFailedError(f"all {len(details)} fits failed: {error.what}", where=error.where, cure=cure)


def _situation(X: Any, y: Any, *, is_bare: bool) -> Situation:
    """What the rules that adjust a family's space may know of the data: rows, features, kind of target."""
    kind = type_of_target(y) if y is not None else "unknown"
    task = {"binary": Task.BINARY, "multiclass": Task.MULTICLASS}.get(kind, Task.REGRESSION if kind.startswith("continuous") else None)
    unknown = Unknown(reason="only shapes are looked at")
    shape = getattr(X, "shape", None) or np.shape(X)
    values: dict[str, Any] = {
        "data.rows": _num_samples(X),
        "data.width": int(shape[1]) if len(shape) == 2 else unknown,
        "data.task": task or unknown,
        "family.fit_seconds": 1.0,
    }
    spread = _variance(X) if is_bare and len(shape) == 2 else None
    if spread:
        values["data.gamma_unit"] = 1.0 / (shape[1] * spread)  # the unit is 1 / features of variance 1, and nothing scales these
    return Situation(values)


def _variance(X: Any) -> float | None:
    """The variance of all cells together; None where they are no finite dense numbers."""
    if hasattr(X, "toarray"):
        return None
    try:
        found = float(np.var(np.asarray(X, dtype=np.float64)))
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _weights_and_groups(params: Mapping[str, Any]) -> dict[str, Any]:
    """`sample_weight` and `groups`. Raises: TypeError for anything else, since there is no estimator that it could go to."""
    for name in params:
        if name not in ("sample_weight", "groups"):
            raise TypeError(f"fit() got an unexpected keyword argument {name!r}")
    return {n: v for n, v in params.items() if v is not None}


def _refuse_callbacks(search: Any) -> None:
    if getattr(search, "_skl_callbacks", None):
        raise InputError("callbacks of the search are not called", where="set_callbacks", cure="Set them on the estimator.")


def _seed(random_state: Any) -> int:
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _said(scorer: Any) -> str:
    """What a scorer measures, for people."""
    function = getattr(scorer, "_score_func", None)
    return str(getattr(function, "__name__", None) or getattr(scorer, "__name__", None) or "score")


def _fingerprint(objective: EstimatorObjective) -> str:
    """A hash of everything that its scores depend on, so that a folder is never gone on with under other data."""
    parts = (objective.X, objective.y, objective.splits, objective.fit_params, objective.score_params, repr(objective.scorer))
    return str(joblib.hash((objective.estimator.get_params(deep=True), *parts)))[:12]
