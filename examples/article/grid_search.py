"""Grid search of a support vector machine: the article's first example, redone.

Run it: ``python examples/article/grid_search.py``. It takes about ten seconds. The same on the advisor's own pipeline is the plan
beside this file: ``advisor run examples/article/grid_search.toml``.

What is different from the article: the features are scaled, inside the pipeline, so that a validation fold never lends its mean to
the training folds; C and gamma span their useful decades, on a log scale; the grid is coarse first and then fine around the best
cell, and moves on where the best lies on its edge; and rows that no choice has seen tell what the model is worth.
"""

from __future__ import annotations

import argparse

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from advisor import AdvisedSearchCV, Float

SPACE = {
    "svc__C": Float(1e-2, 1e3, log=True, default=1.0, hard=False),
    "svc__gamma": Float(1e-4, 1.0, log=True, default=1 / 30, hard=False),
}
"""The default of gamma is what ``gamma="scale"`` comes to on scaled features: one over their number."""


def main(arguments: list[str] | None = None) -> AdvisedSearchCV:
    """Tunes the machine and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="budget of the whole search")
    parser.add_argument("--trials", type=int, default=None, help="configurations at most")
    given = parser.parse_args(arguments)

    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
    search = AdvisedSearchCV(
        make_pipeline(StandardScaler(), SVC()),
        SPACE,
        strategy="grid",
        scoring="accuracy",
        cv=5,
        budget_seconds=given.seconds,
        max_trials=given.trials,
        isolation="inline",
    )
    search.fit(X_train, y_train)
    stages = [trial.stage for trial in search.outcome_.trials]
    print(f"{len(stages)} configurations: {', '.join(f'{stages.count(name)} {name}' for name in dict.fromkeys(stages))}")
    default = search.outcome_.trials[0].value
    print(f"best: {search.best_params_}, accuracy {search.best_score_:.4f} on the folds; the default has {default:.4f}")
    print(f"accuracy on rows that no choice has seen: {search.score(X_test, y_test):.4f}")
    return search


if __name__ == "__main__":
    main()
