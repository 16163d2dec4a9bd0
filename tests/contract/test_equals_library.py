"""A run's own execution, from engine to journal, equals the library class called by hand on the same splits."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV

from advisor.core.events import Event, RunStarted, StudyState, fold
from advisor.core.facts import Task
from advisor.core.ports import Limits, Proposal
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.engines.sklearn_search import GridEngine, HalvingGridEngine, HalvingRandomEngine, RandomEngine, distributions
from advisor.objectives.prepared import Prepared, prepare
from advisor.objectives.scoring import scorer
from advisor.objectives.splitting import read_splits
from advisor.objectives.tables import TableObjective, read_prepared
from advisor.supervise.commands import CommandBox
from advisor.supervise.loop import drive
from advisor.supervise.pool import InlinePool
from advisor.supervise.resumption import next_trial, replay
from tests.objectives.tables_of_tests import BY_NAME, dataset, mixed, plan

SPACE = SearchSpace(
    parameters={
        "max_features": Float(0.2, 1.0, default=1.0),
        "min_samples_leaf": Int(1, 20, log=True, default=1),
        "bootstrap": Choice([True, False], default=True),
        "max_samples": Float(0.4, 1.0, default=0.9, when={"bootstrap": (True,)}),
    }
)


def execute(
    engine: Any, objective: TableObjective, direction: str, *, state: StudyState | None = None, most: int | None = None
) -> StudyState:
    """Drives `engine` as a run does, in this process, with every event folded; goes on from `state`, starts `most` trials in all."""
    state = fold(StudyState(), RunStarted(run="r", plan={"direction": direction})) if state is None else state

    def emit(event: Event) -> None:
        nonlocal state
        assert state is not None
        state = fold(state, event)

    with InlinePool() as pool:

        def named(proposal: Proposal) -> str:
            if proposal.rows is not None:
                pool.register(f"search@{proposal.rows}", objective.with_rows(proposal.rows))
            return "search" if proposal.rows is None else f"search@{proposal.rows}"

        pool.register("search", objective)
        for told in replay(state, "search"):
            engine.tell(*told)
        end = drive(
            engine,
            pool,
            stage="search",
            family=objective.family.name,
            objective_name=named,
            limits=Limits(deadline=time.monotonic() + 100, trial_seconds=100, max_trials=most),
            emit=emit,
            state=lambda: state,
            next_trial=next_trial(state),
            clock=time.monotonic,
            commands=CommandBox(None),
        )
    assert end.reason == ("done" if most is None else "trials")
    return state


def prefixed(parameters: Any) -> Any:
    """The same grid or distributions under the names of the pipeline's step."""
    if isinstance(parameters, Mapping):
        return {f"model__{name}": values for name, values in parameters.items()}
    return [prefixed(part) for part in parameters]


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    named = {k.replace("param_", "param_model__"): v for k, v in ours.items()}
    assert named.keys() == theirs.keys()
    assert prefixed(ours["params"]) == theirs["params"]
    for key in theirs.keys() - {"params"}:
        if "time" not in key:
            np.testing.assert_array_equal(np.ma.getmaskarray(named[key]), np.ma.getmaskarray(theirs[key]), err_msg=key)
            np.testing.assert_array_equal(np.ma.asarray(named[key]), np.ma.asarray(theirs[key]), err_msg=key)


@pytest.fixture(params=[(Task.BINARY, "log_loss"), (Task.REGRESSION, "r2")], ids=["log loss", "r2"])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Prepared:
    task, metric = request.param
    frame = mixed(task=task)
    return prepare(frame, dataset(frame, task), plan(task, metric), tmp_path)


def library(prepared: Prepared, search: type[Any], parameters: Any, **rest: Any) -> dict[str, Any]:
    objective = prepared.objective(BY_NAME["random_forest"], seed=3)
    table, splits = read_prepared(Path(prepared.table)), read_splits(Path(prepared.splits))
    score = scorer(objective.metric, len(prepared.classes))
    found = search(objective.pipeline({}), prefixed(parameters), cv=splits, scoring=score, refit=False, error_score="raise", **rest)
    results: dict[str, Any] = found.fit(table.frame, table.y).cv_results_
    return results


def test_grid_is_grid_search_cv(prepared: Prepared) -> None:
    objective = prepared.objective(BY_NAME["random_forest"], seed=3)
    direction = objective.metric.direction
    engine = GridEngine(SPACE, direction=direction, seed=3, splits=3, trials=12)
    execute(engine, objective, direction)
    theirs = library(prepared, GridSearchCV, engine.param_grid)
    compare(engine.results(), theirs)


def test_random_is_randomized_search_cv(prepared: Prepared) -> None:
    objective = prepared.objective(BY_NAME["random_forest"], seed=3)
    direction = objective.metric.direction
    engine = RandomEngine(SPACE, direction=direction, seed=3, splits=3, n_iter=8)
    execute(engine, objective, direction)
    theirs = library(prepared, RandomizedSearchCV, distributions(SPACE), n_iter=8, random_state=3)
    compare(engine.results(), theirs)


def halved(prepared: Prepared, search: type[Any], parameters: Any, **rest: Any) -> Any:
    """The library class on the development rows alone, as its user has them."""
    objective = prepared.objective(BY_NAME["random_forest"], seed=3)
    table, splits = read_prepared(Path(prepared.table)), read_splits(Path(prepared.splits))
    development = np.sort(np.concatenate(splits[0]))
    assert len(development) == prepared.development_rows < prepared.rows
    own = [(np.searchsorted(development, train), np.searchsorted(development, test)) for train, test in splits]
    score = scorer(objective.metric, len(prepared.classes))
    found = search(
        objective.pipeline({}),
        prefixed(parameters),
        cv=own,
        scoring=score,
        refit=False,
        error_score="raise",
        random_state=3,
        return_train_score=False,
        **rest,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # bootstrap samples of few rows
        return found.fit(table.frame[development], table.y[development])


def halving(prepared: Prepared, **changed: Any) -> HalvingRandomEngine:
    """Four candidates on 32 rows, two on 64, one on all 128, where ``exhaust`` puts them too."""
    settings = {"n_candidates": 4, "rows": prepared.development_rows, "classes": len(prepared.classes), "min_resources": 12, "factor": 2}
    direction = prepared.objective(BY_NAME["random_forest"], seed=3).metric.direction
    return HalvingRandomEngine(SPACE, direction=direction, seed=3, splits=3, **{**settings, **changed})


def test_halving_on_rows_is_halving_random_search_cv(prepared: Prepared) -> None:
    objective = prepared.objective(BY_NAME["random_forest"], seed=3)
    engine = halving(prepared)
    state = execute(engine, objective, objective.metric.direction)
    theirs = halved(prepared, HalvingRandomSearchCV, distributions(SPACE), n_candidates=4, factor=2, min_resources="exhaust")
    assert (theirs.n_resources_, theirs.n_candidates_) == ([32, 64, 128], [4, 2, 1])
    compare(engine.results(), theirs.cv_results_)
    assert state.best is not None
    assert state.trials[state.best].rows is None
    assert state.trials[state.best].config == engine.results()["params"][theirs.best_index_]


def test_halving_of_a_grid_on_rows_is_halving_grid_search_cv(prepared: Prepared) -> None:
    objective = prepared.objective(BY_NAME["random_forest"], seed=3)
    direction = objective.metric.direction
    grid: dict[str, list[Any]] = {"max_features": [0.4, 0.9], "min_samples_leaf": [1, 9]}
    engine = HalvingGridEngine(
        SPACE, direction=direction, seed=3, splits=3, param_grid=grid, rows=prepared.development_rows, min_resources=40, factor=3
    )
    execute(engine, objective, direction)
    theirs = halved(prepared, HalvingGridSearchCV, grid, factor=3, min_resources=42)
    assert (theirs.n_resources_, theirs.n_candidates_) == ([42, 126], [4, 2])
    compare(engine.results(), theirs.cv_results_)


def test_halving_with_growing_forests_is_halving_random_search_cv(prepared: Prepared) -> None:
    objective = prepared.objective(BY_NAME["random_forest"], seed=3)
    engine = halving(prepared, resource="n_estimators", max_resources=8, min_resources=1)
    execute(engine, objective, objective.metric.direction)
    theirs = halved(
        prepared,
        HalvingRandomSearchCV,
        distributions(SPACE),
        n_candidates=4,
        factor=2,
        resource="model__n_estimators",
        min_resources="exhaust",
        max_resources=8,
    )
    assert theirs.n_resources_ == [2, 4, 8]
    compare(engine.results(), theirs.cv_results_)


@pytest.mark.parametrize("cut", [3, 5])
def test_halving_resumed_in_the_middle_is_the_uninterrupted_one(prepared: Prepared, cut: int) -> None:
    objective = prepared.objective(BY_NAME["random_forest"], seed=3)
    direction = objective.metric.direction
    whole, resumed = halving(prepared), halving(prepared)
    expected = execute(whole, objective, direction)
    first = execute(halving(prepared), objective, direction, most=cut)
    assert len(first.trials) == cut < len(expected.trials)
    found = execute(resumed, objective, direction, state=first)
    assert [(t.config, t.rows, t.scores) for t in found.trials.values()] == [(t.config, t.rows, t.scores) for t in expected.trials.values()]
    np.testing.assert_array_equal(resumed.results()["mean_test_score"], whole.results()["mean_test_score"])
    assert found.best == expected.best
