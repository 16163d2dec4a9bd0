"""A run's own execution, from engine to journal, equals the library class called by hand on the same splits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

from advisor.core.events import Event, RunStarted, StudyState, fold
from advisor.core.facts import Task
from advisor.core.ports import Limits
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.engines.sklearn_search import GridEngine, RandomEngine, distributions
from advisor.objectives.prepared import Prepared, prepare
from advisor.objectives.scoring import scorer
from advisor.objectives.splitting import read_splits
from advisor.objectives.tables import TableObjective, read_prepared
from advisor.supervise.commands import CommandBox
from advisor.supervise.loop import drive
from advisor.supervise.pool import InlinePool
from tests.objectives.tables_of_tests import BY_NAME, dataset, mixed, plan

SPACE = SearchSpace(
    parameters={
        "max_features": Float(0.2, 1.0, default=1.0),
        "min_samples_leaf": Int(1, 20, log=True, default=1),
        "bootstrap": Choice([True, False], default=True),
        "max_samples": Float(0.4, 1.0, default=0.9, when={"bootstrap": (True,)}),
    }
)


def execute(engine: Any, objective: TableObjective, direction: str) -> None:
    """Drives `engine` as a run does, in this process, with every event folded."""
    state = fold(StudyState(), RunStarted(run="r", plan={"direction": direction}))

    def emit(event: Event) -> None:
        nonlocal state
        state = fold(state, event)

    with InlinePool() as pool:
        pool.register("search", objective)
        end = drive(
            engine,
            pool,
            stage="search",
            family=objective.family.name,
            objective_name=lambda _proposal: "search",
            limits=Limits(deadline=time.monotonic() + 100, trial_seconds=100),
            emit=emit,
            state=lambda: state,
            next_trial=0,
            clock=time.monotonic,
            commands=CommandBox(None),
        )
    assert end.reason == "done"


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
