"""Our drive of scikit-learn's searches equals the library classes' own run; a contract test guards the private calls."""

from __future__ import annotations

import inspect
import math
import threading
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, StratifiedKFold
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import check_random_state

from advisor.core.errors import CannotRunError, InputError
from advisor.core.ports import Proposal, Result
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.engines.sklearn_search import GridEngine, IntLogUniform, RandomEngine, distributions, levels

X, Y = make_classification(120, 6, n_informative=4, random_state=1)
SPLITS = list(StratifiedKFold(3, shuffle=True, random_state=1).split(X, Y))
PIPELINE = make_pipeline(StandardScaler(), SVC())
SPACE = SearchSpace(
    parameters={
        "svc__kernel": Choice(["linear", "rbf", "poly"], default="rbf"),
        "svc__C": Float(1e-2, 1e2, log=True, default=1.0),
        "svc__gamma": Float(1e-3, 1.0, log=True, default=0.1, when={"svc__kernel": ("rbf", "poly")}),
        "svc__degree": Int(2, 4, default=3, when={"svc__kernel": ("poly",)}),
    }
)


def evaluated(config: Config, *, scoring: str, sign: int) -> Result:
    """One score a split in the metric's own direction, as a worker gives it."""
    scores = []
    for train, test in SPLITS:
        model: Pipeline = clone(PIPELINE).set_params(**config).fit(X[train], Y[train])
        scores.append(sign * float(get_scorer(scoring)(model, X[test], Y[test])))
    return Result("completed", math.fsum(scores) / len(scores), tuple(scores))


def finish(engine: GridEngine | RandomEngine, *, scoring: str = "accuracy", sign: int = 1) -> dict[str, Any]:
    while (proposal := engine.propose()) is not None:
        engine.tell(proposal, evaluated(proposal.config, scoring=scoring, sign=sign))
    assert engine.is_done
    results = engine.results()
    engine.close()
    return results


def assert_same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Equal on every key but times, to the last bit."""
    assert ours.keys() == theirs.keys()
    assert ours["params"] == theirs["params"]
    for key in theirs.keys() - {"params"}:
        if "time" not in key:
            np.testing.assert_array_equal(np.ma.asarray(ours[key]), np.ma.asarray(theirs[key]), err_msg=key, strict=True)
            np.testing.assert_array_equal(np.ma.getmaskarray(ours[key]), np.ma.getmaskarray(theirs[key]), err_msg=key)


def test_a_grid_equals_grid_search_cv() -> None:
    grid = {"svc__C": [0.1, 1.0, 10.0], "svc__kernel": ["rbf", "linear"]}
    theirs = GridSearchCV(PIPELINE, grid, cv=SPLITS, scoring="accuracy").fit(X, Y)
    assert_same(finish(GridEngine(SPACE, direction="maximize", seed=0, splits=3, param_grid=grid)), theirs.cv_results_)


def test_a_grid_over_a_conditional_space_equals_grid_search_cv() -> None:
    engine = GridEngine(SPACE, direction="maximize", seed=0, splits=3, trials=12)
    theirs = GridSearchCV(PIPELINE, engine.param_grid, cv=SPLITS, scoring="accuracy").fit(X, Y)
    assert_same(finish(engine), theirs.cv_results_)


def test_a_random_search_equals_randomized_search_cv() -> None:
    space = SPACE.restrict(["svc__C"]).replace(svc__degree=Int(2, 4, log=True), svc__coef0=Float(0.0, 1.0), svc__kernel=Choice(["poly"]))
    theirs = RandomizedSearchCV(PIPELINE, distributions(space), n_iter=12, random_state=5, cv=SPLITS, scoring="accuracy").fit(X, Y)
    assert_same(finish(RandomEngine(space, direction="maximize", seed=5, splits=3, n_iter=12)), theirs.cv_results_)


def test_a_random_search_over_a_conditional_space_equals_randomized_search_cv() -> None:
    theirs = RandomizedSearchCV(PIPELINE, distributions(SPACE), n_iter=12, random_state=5, cv=SPLITS, scoring="accuracy").fit(X, Y)
    assert_same(finish(RandomEngine(SPACE, direction="maximize", seed=5, splits=3, n_iter=12)), theirs.cv_results_)


def test_a_score_to_minimise_has_the_librarys_sign_in_its_table() -> None:
    grid = {"svc__C": [0.1, 1.0, 10.0], "svc__kernel": ["linear"]}
    expected = GridSearchCV(PIPELINE, grid, cv=SPLITS, scoring="neg_mean_absolute_error").fit(X, Y).cv_results_
    engine = GridEngine(SPACE, direction="minimize", seed=0, splits=3, param_grid=grid)
    assert_same(finish(engine, scoring="neg_mean_absolute_error", sign=-1), expected)


def test_a_failed_trial_scores_nan_as_with_the_library_and_ranks_last() -> None:
    grid = {"svc__C": [-1.0, 1.0, 10.0]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = GridSearchCV(PIPELINE, grid, cv=SPLITS, scoring="accuracy").fit(X, Y)
    engine = GridEngine(SPACE, direction="maximize", seed=0, splits=3, param_grid=grid)
    while (proposal := engine.propose()) is not None:
        is_bad = proposal.config["svc__C"] < 0
        engine.tell(proposal, Result("failed", cause="C is negative") if is_bad else evaluated(proposal.config, scoring="accuracy", sign=1))
    assert_same(engine.results(), theirs.cv_results_)
    assert engine.results()["rank_test_score"][0] == 3


def test_a_resumed_search_gives_the_table_of_the_uninterrupted_one() -> None:
    def new() -> RandomEngine:
        return RandomEngine(SPACE, direction="maximize", seed=5, splits=3, n_iter=8)

    whole, log = new(), []
    while (proposal := whole.propose()) is not None:
        result = evaluated(proposal.config, scoring="accuracy", sign=1)
        log.append((proposal, result))
        whole.tell(proposal, result)
    resumed = new()
    for proposal, result in log[:2] + log[3:6]:
        resumed.tell(proposal, result)
    assert_same(finish(resumed), whole.results())


def test_a_journal_of_another_search_is_refused() -> None:
    engine = RandomEngine(SPACE, direction="maximize", seed=5, splits=3, n_iter=8)
    engine.tell(Proposal(0, {"svc__kernel": "linear", "svc__C": 0.5}), Result("completed", 0.5, (0.5, 0.5, 0.5)))
    with pytest.raises(CannotRunError, match="proposal 0"):
        engine.propose()
    engine.close()


def test_a_trial_without_a_score_for_each_split_is_refused() -> None:
    engine = RandomEngine(SPACE, direction="maximize", seed=5, splits=3, n_iter=8)
    proposal = engine.propose()
    assert proposal is not None
    with pytest.raises(InputError, match="2 scores where the plan has 3 splits"):
        engine.tell(proposal, Result("completed", 0.5, (0.5, 0.5)))
    engine.close()


def test_a_table_of_an_unfinished_search_holds_what_has_ended() -> None:
    engine = RandomEngine(SPACE, direction="maximize", seed=5, splits=3, n_iter=8)
    assert engine.results() == {}
    first, second = engine.propose(), engine.propose()
    assert first is not None and second is not None
    engine.tell(second, evaluated(second.config, scoring="accuracy", sign=1))
    assert engine.results()["params"] == [second.config]
    engine.close()


def test_a_grid_the_library_refuses_is_named_and_leaves_no_thread() -> None:
    before = threading.active_count()
    engine = GridEngine(SPACE, direction="maximize", seed=0, splits=3, param_grid={"svc__C": []})
    with pytest.raises(CannotRunError, match="GridSearchCV cannot search this space"):
        engine.propose()
    engine.close()
    assert threading.active_count() == before


def test_a_finite_space_is_drawn_without_repeats_and_without_a_warning() -> None:
    space = SearchSpace(parameters={"svc__kernel": Choice(["linear", "rbf"]), "svc__shrinking": Choice([True, False])})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine = RandomEngine(space, direction="maximize", seed=0, splits=3, n_iter=50)
        assert len({str(p.config) for p in iter(engine.propose, None)}) == 4
    engine.close()


def test_of_a_hundred_thousand_candidates_only_those_needed_are_drawn() -> None:
    engine = RandomEngine(SPACE, direction="maximize", seed=0, splits=3, n_iter=100_000)
    few = RandomEngine(SPACE, direction="maximize", seed=0, splits=3, n_iter=3)
    began = time.process_time()
    assert [engine.propose() for _ in range(3)] == [few.propose() for _ in range(3)]
    # Drawing them all takes about 20 s; three take milliseconds.
    assert time.process_time() - began < 2.0
    engine.close()
    few.close()


def test_whole_numbers_on_a_logarithmic_scale_have_their_share_of_it() -> None:
    drawn = IntLogUniform(1, 8).rvs(size=20_000, random_state=check_random_state(0))
    edges = np.log(np.arange(1, 10) - 0.5)
    expected = 20_000 * np.diff(edges) / (edges[-1] - edges[0])
    # One test at one seed: a right distribution gives a p below 0.001 once in a thousand seeds, a plain log-uniform floor ~0.
    assert chisquare(np.bincount(drawn, minlength=9)[1:], expected).pvalue > 0.001


def test_levels_are_a_grid_that_the_engine_takes() -> None:
    chosen = levels(SPACE, 20)
    engine = GridEngine(SPACE, direction="maximize", seed=0, splits=3, levels=chosen)
    proposals = list(iter(engine.propose, None))
    assert 1 < len(proposals) <= 20
    engine.close()


class TestPrivateCalls:
    """What we use of scikit-learn beyond its documentation. When one of these fails, read the new `BaseSearchCV.fit`."""

    def test_run_search_takes_our_evaluator_and_a_context(self) -> None:
        for search in (GridSearchCV, RandomizedSearchCV):
            assert list(inspect.signature(search._run_search).parameters) == ["self", "evaluate_candidates", "callback_ctx"]

    def test_format_results_takes_candidates_splits_and_rows(self) -> None:
        assert list(inspect.signature(BaseSearchCV._format_results).parameters) == [
            "self",
            "candidate_params",
            "n_splits",
            "out",
            "more_results",
        ]

    def test_the_library_still_gives_the_evaluator_what_ours_takes(self) -> None:
        source = inspect.getsource(BaseSearchCV.fit)
        assert "candidate_params, cv=None, more_results=None, callback_ctx=None" in source
        assert "self.n_splits_ =" in source
