"""Our drive of scikit-learn's searches equals the library classes' own run; a contract test guards the private calls."""

from __future__ import annotations

import inspect
import math
import re
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
from sklearn.ensemble import RandomForestClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV, StratifiedKFold
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._search_successive_halving import BaseSuccessiveHalving, _SubsampleMetaSplitter
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import check_random_state

from advisor.core.errors import CannotRunError, InputError
from advisor.core.ports import Proposal, Result
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.engines.rungs import ladder
from advisor.engines.sklearn_search import (
    GridEngine,
    HalvingGridEngine,
    HalvingRandomEngine,
    IntLogUniform,
    RandomEngine,
    distributions,
    levels,
)

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
    grid: dict[str, list[Any]] = {"svc__C": [0.1, 1.0, 10.0], "svc__kernel": ["rbf", "linear"]}
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
    grid: dict[str, list[Any]] = {"svc__C": [0.1, 1.0, 10.0], "svc__kernel": ["linear"]}
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


FOREST = RandomForestClassifier(random_state=2)
TREES = SearchSpace(
    parameters={
        "max_features": Float(0.2, 1.0, default=1.0),
        "min_samples_leaf": Int(1, 20, log=True, default=1),
        "n_estimators": Int(1, 12, default=9),
    }
)


class TestHalving:
    """Both classes, with rows and with a parameter as the resource, against the library's own `fit`."""

    @staticmethod
    def scored(model: Any, proposal: Proposal, *, seed: int, sign: int = 1) -> Result:
        """What a worker gives: the library's own splitter cuts the rows."""
        splitter = StratifiedKFold(3, shuffle=True, random_state=1)
        if proposal.rows is not None:
            splitter = _SubsampleMetaSplitter(base_cv=splitter, fraction=proposal.rows / len(Y), subsample_test=True, random_state=seed)
        try:
            fitted = [(clone(model).set_params(**proposal.config).fit(X[a], Y[a]), b) for a, b in splitter.split(X, Y)]
        except ValueError as error:
            return Result("failed", cause=str(error))
        scores = tuple(sign * float(get_scorer("accuracy")(m, X[b], Y[b])) for m, b in fitted)
        return Result("completed", math.fsum(scores) / len(scores), scores)

    def finish(self, engine: Any, model: Any = PIPELINE, *, seed: int = 5) -> list[tuple[Proposal, Result]]:
        log = []
        while (proposal := engine.propose()) is not None:
            log.append((proposal, self.scored(model, proposal, seed=seed)))
            engine.tell(*log[-1])
        assert engine.is_done
        engine.close()
        return log

    @staticmethod
    def searched(search: type[Any], model: Any, parameters: Any, **rest: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return search(model, parameters, cv=SPLITS, scoring="accuracy", refit=False, return_train_score=False, **rest).fit(X, Y)

    @staticmethod
    def random(**changed: Any) -> HalvingRandomEngine:
        settings = {"direction": "maximize", "seed": 5, "splits": 3, "n_candidates": 9, "rows": len(Y), "classes": 2, "min_resources": 12}
        return HalvingRandomEngine(SPACE, **{**settings, **changed})

    def test_a_random_search_on_growing_rows_equals_the_library(self) -> None:
        engine = self.random()
        self.finish(engine)
        theirs = self.searched(
            HalvingRandomSearchCV, PIPELINE, distributions(SPACE), n_candidates=9, random_state=5, min_resources="exhaust", factor=3
        )
        assert theirs.n_resources_ == [13, 39, 117]
        assert_same(engine.results(), theirs.cv_results_)

    def test_a_first_rung_lifted_by_the_rule_equals_the_library_with_that_rung(self) -> None:
        engine = self.random(n_candidates=8, min_resources=50, factor=2)
        self.finish(engine)
        theirs = self.searched(
            HalvingRandomSearchCV, PIPELINE, distributions(SPACE), n_candidates=8, random_state=5, min_resources=50, factor=2
        )
        assert (theirs.n_resources_, theirs.n_candidates_) == ([50, 100], [8, 4])
        assert_same(engine.results(), theirs.cv_results_)

    def test_a_grid_on_growing_rows_equals_the_library(self) -> None:
        grid: dict[str, list[Any]] = {"svc__C": [0.1, 1.0, 10.0], "svc__kernel": ["rbf", "linear"]}
        engine = HalvingGridEngine(
            SPACE, direction="maximize", seed=5, splits=3, param_grid=grid, rows=len(Y), classes=2, min_resources=12, factor=2
        )
        self.finish(engine)
        theirs = self.searched(HalvingGridSearchCV, PIPELINE, grid, random_state=5, factor=2)
        assert theirs.n_resources_ == [30, 60, 120]
        assert_same(engine.results(), theirs.cv_results_)

    def test_a_grid_of_the_space_leaves_the_resource_out(self) -> None:
        engine = HalvingGridEngine(TREES, direction="maximize", seed=5, splits=3, trials=9, resource="n_estimators")
        self.finish(engine, FOREST)
        assert [sorted(part) for part in engine.param_grid] == [["max_features", "min_samples_leaf"]]
        theirs = self.searched(HalvingGridSearchCV, FOREST, engine.param_grid, **engine.settings)
        assert theirs.n_resources_ == [1, 3, 9]
        assert_same(engine.results(), theirs.cv_results_)

    def test_a_random_search_with_growing_forests_equals_the_library(self) -> None:
        engine = HalvingRandomEngine(
            TREES, direction="maximize", seed=5, splits=3, n_candidates=7, resource="n_estimators", max_resources=8
        )
        log = self.finish(engine, FOREST)
        theirs = self.searched(
            HalvingRandomSearchCV,
            FOREST,
            distributions(TREES.restrict(["max_features", "min_samples_leaf"])),
            n_candidates=7,
            random_state=5,
            resource="n_estimators",
            min_resources="exhaust",
            max_resources=8,
        )
        assert theirs.n_resources_ == [2, 6]
        assert_same(engine.results(), theirs.cv_results_)
        assert all(p.rows is None for p, _ in log)

    def test_failed_trials_are_nan_as_with_the_library_and_never_win(self) -> None:
        grid = {"svc__C": [-1.0, 1.0, -2.0, 10.0, -3.0]}
        engine = HalvingGridEngine(
            SPACE, direction="maximize", seed=5, splits=3, param_grid=grid, rows=len(Y), classes=2, min_resources=12, factor=2
        )
        log = self.finish(engine)
        theirs = self.searched(HalvingGridSearchCV, PIPELINE, grid, random_state=5, factor=2)
        assert_same(engine.results(), theirs.cv_results_)
        assert any(p.config["svc__C"] < 0 and p.rows == theirs.n_resources_[1] for p, _ in log), "the library promotes a failed one"
        finalists = [p.config["svc__C"] for p, _ in log if p.rows is None]
        assert finalists
        assert all(c > 0 for c in finalists)

    def test_a_score_to_minimise_keeps_the_candidates_with_the_smallest(self) -> None:
        up, down = self.random(), self.random(direction="minimize")
        log = self.finish(up)
        told = {(str(p.config), p.rows): r for p, r in log}
        while (proposal := down.propose()) is not None:
            result = told[str(proposal.config), proposal.rows]
            scores = tuple(-s for s in result.scores)
            down.tell(proposal, Result("completed", -(result.value or 0.0), scores))
        np.testing.assert_array_equal(down.results()["rank_test_score"], up.results()["rank_test_score"])

    def test_the_best_of_the_last_rung_are_measured_on_all_rows(self) -> None:
        engine = self.random()
        log = self.finish(engine)
        results = engine.results()
        last = [i for i, rung in enumerate(results["iter"]) if rung == 2]
        final = [p for p, _ in log if p.rows is None]
        # One of nine climbs twice; with two kept of the second rung the last would hold two.
        assert [p.config for p in final] == [log[i][0].config for i in last][:3]
        assert [p.key for p, _ in log] == list(range(9 + 3 + 1 + 1))
        assert len(results["params"]) == 9 + 3 + 1

    def test_the_rungs_are_those_forecast(self) -> None:
        engine = self.random(n_candidates=20, min_resources=12)
        log = self.finish(engine)
        rows = [p.rows for p, _ in log if p.rows is not None]
        assert [(rows.count(r), r) for r in sorted(set(rows))] == list(ladder(20, most=len(Y), least=12))

    @pytest.mark.parametrize("cut", [1, 5, 9, 11, 13])
    def test_a_resumed_search_goes_on_at_the_right_rung(self, cut: int) -> None:
        whole = self.random()
        log = self.finish(whole)
        resumed = self.random()
        for entry in log[:cut]:
            resumed.tell(*entry)
        assert self.finish(resumed) == log[cut:]
        assert_same(resumed.results(), whole.results())

    def test_a_journal_whose_trial_had_other_rows_is_refused(self) -> None:
        engine = self.random()
        first = engine.propose()
        assert first is not None
        engine.close()
        other = self.random(min_resources=30)
        other.tell(first, Result("completed", 0.5, (0.5, 0.5, 0.5)))
        with pytest.raises(CannotRunError, match=r"on 13 rows.*on 30 rows"):
            other.propose()
        other.close()

    def test_the_first_rung_has_five_hundred_rows_and_twenty_a_class_and_split(self) -> None:
        for classes, rows, expected in ((2, 50_000, 617), (2, 20_000, 500), (0, 20_000, 500), (12, 20_000, 720)):
            engine = self.random(n_candidates=81, rows=rows, classes=classes, min_resources=None)
            assert engine.settings["min_resources"] == expected
            engine.close()

    def test_too_few_rows_for_a_first_rung_are_refused(self) -> None:
        with pytest.raises(CannotRunError, match="needs 500 of n_samples, and there are 120"):
            self.random(min_resources=None)

    def test_a_resource_without_an_end_is_refused(self) -> None:
        with pytest.raises(InputError, match="whole of its resource"):
            self.random(rows=None)
        with pytest.raises(InputError, match="whole of its resource"):
            self.random(resource="max_iter")

    def test_a_resource_that_others_depend_on_is_refused(self) -> None:
        space = TREES.replace(max_depth=Int(1, 9, when={"n_estimators": (1,)}))
        with pytest.raises(CannotRunError, match="max_depth depends on it"):
            HalvingRandomEngine(space, direction="maximize", seed=5, splits=3, n_candidates=9, resource="n_estimators")


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

    def test_halving_reads_of_itself_what_we_set(self) -> None:
        assert list(inspect.signature(BaseSuccessiveHalving._run_search).parameters) == ["self", "evaluate_candidates", "callback_ctx"]
        source = inspect.getsource(BaseSuccessiveHalving._run_search)
        ours = {"_checked_cv_orig", "_n_samples_orig", "min_resources_", "max_resources_", "n_splits_"}
        arguments = {"resource", "factor", "min_resources", "aggressive_elimination", "verbose", "random_state"}
        made = {
            "n_resources_",
            "n_candidates_",
            "n_remaining_candidates_",
            "n_required_iterations_",
            "n_possible_iterations_",
            "n_iterations_",
        }
        assert set(re.findall(r"self\.(\w+)", source)) == ours | arguments | made | {"_generate_candidate_params"}
