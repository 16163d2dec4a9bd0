"""Successive halving of a random forest: the article's fourth example, redone, with two kinds of resource.

    python examples/article/successive_halving.py                   # rows: scikit-learn's HalvingGridSearchCV, about half a minute
    python examples/article/successive_halving.py --resource trees  # trees: a forest that goes on growing, about fifteen seconds
    python examples/article/successive_halving.py --write FILE.csv  # only writes the table, for the plan beside this file

What is different from the article: the first rung is large enough to rank anything (here 500 rows), and the twelve candidates then
have the three rungs that a factor of three gives them; the forest's size is no hyperparameter (more trees are only slower); and the
forest's defaults compete, because it is the least tunable of the common models.

With trees as the resource a candidate that goes on keeps the trees it has: its checkpoint is the forest.
"""

from __future__ import annotations

import argparse
import csv
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import advisor

SPACE = {
    "max_depth": advisor.Choice([5, 10, 15, None], default=None),
    "min_samples_leaf": advisor.Choice([1, 2, 4], default=1),
}
"""The article's twelve candidates."""
DEFAULT = {"max_depth": None, "min_samples_leaf": 1}
TREES, TREES_A_STEP = 200, 20


@cache
def table() -> tuple[np.ndarray, np.ndarray]:
    """The article's table, features and classes, with 6,000 rows: halving on rows needs rows."""
    return make_classification(n_samples=6000, n_features=20, n_informative=10, flip_y=0.1, random_state=42)


def write_table(path: Path) -> Path:
    """`path` with the table as CSV."""
    X, y = table()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"x{i}" for i in range(X.shape[1])), "target"])
        writer.writerows([*(f"{v:.6g}" for v in row), f"class {label}"] for row, label in zip(X, y, strict=True))
    return path


def edited(plan: advisor.Plan) -> advisor.Plan:
    """The recommended plan with the article's candidates, 50 trees, and one holdout of a fifth instead of folds."""
    forest = plan.candidate.model_copy(
        update={"space": advisor.SearchSpace(parameters=SPACE), "starts": (DEFAULT,), "fixed": {"n_estimators": 50}}
    )
    halving = {"space": tuple(SPACE), "trials": 12, "engine": "sklearn.model_selection.HalvingGridSearchCV"}
    stages = tuple(s.model_copy(update=halving if s.name == "search" else {"trials": min(s.trials, 3)}) for s in plan.stages)
    forecast = plan.forecast.model_copy(update={"trials": 22})
    validation = plan.validation.model_copy(update={"scheme": "holdout", "folds": 1, "holdout_ratio": 0.2})
    return plan.model_copy(update={"shortlist": (forest,), "stages": stages, "validation": validation, "forecast": forecast})


def on_rows(seconds: float, run_dir: str | None) -> Any:
    """What came of the twelve candidates on 500 rows, the better third on 1,500, the best of those on nearly all."""
    with tempfile.TemporaryDirectory() as place:
        data = write_table(Path(place) / "rows.csv")
        # Rows are few for halving, says the rulebook; force overrides advice, never impossibility.
        facts = advisor.gather(data, target="target", model="random_forest", strategy="halving", budget_seconds=seconds, force=True)
        return advisor.execute(edited(advisor.recommend(facts)), data, facts=facts, run_dir=run_dir)


def grow(config: dict[str, Any], checkpoint: RandomForestClassifier | None = None) -> Iterator[advisor.Measurement]:
    """Log loss on validation rows after every twenty trees; goes on with the forest in `checkpoint`."""
    X, y = (part[:2500] for part in table())
    X_train, X_valid, y_train, y_valid = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    forest = checkpoint or RandomForestClassifier(n_estimators=0, warm_start=True, random_state=0, **config)
    for trees in range(len(getattr(forest, "estimators_", ())) + TREES_A_STEP, TREES + 1, TREES_A_STEP):
        forest.set_params(n_estimators=trees).fit(X_train, y_train)
        yield advisor.Measurement(trees // TREES_A_STEP, log_loss(y_valid, forest.predict_proba(X_valid)), forest)


def main(arguments: list[str] | None = None) -> Any:
    """Tunes the forest and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resource", choices=["rows", "trees"], default="rows")
    parser.add_argument("--seconds", type=float, default=30, help="budget of the whole run")
    parser.add_argument("--trials", type=int, default=24, help="configurations at most, where trees are the resource")
    parser.add_argument("--run-dir", default=None, help="folder of the run, where rows are the resource")
    parser.add_argument("--write", type=Path, metavar="FILE", help="only write the table")
    given = parser.parse_args(arguments)
    if given.write is not None:
        print(f"written to {write_table(given.write)}")
        return None
    if given.resource == "rows":
        outcome = on_rows(given.seconds, given.run_dir)
        rungs = Counter(trial.rows for trial in outcome.trials if trial.stage == "search")
        for rows, count in sorted(rungs.items(), key=lambda entry: entry[0] or math.inf):
            print(f"{count} candidates on {rows or 'all'} rows")
        print(f"shipped: the {outcome.shipped} forest with {outcome.best_config}; held-out {outcome.metric} {outcome.heldout_score}")
    else:
        outcome = advisor.tune(
            grow,
            SPACE,
            fidelity=advisor.Fidelity("twenty_trees", 1, TREES // TREES_A_STEP),
            strategy="asha",
            force=True,  # ASHA is advised from eight workers on; it runs with one
            budget_seconds=given.seconds,
            max_trials=given.trials,
            isolation="inline",
        )
        stopped = sum(trial.status == "pruned" for trial in outcome.trials)
        print(f"{len(outcome.trials)} trials by {outcome.plan.strategy}, {stopped} of them stopped before their {TREES} trees")
        print(f"best: {outcome.best_config}, log loss {outcome.best_value:.4f}; the default has {outcome.trials[0].value:.4f}")
    return outcome


if __name__ == "__main__":
    main()
