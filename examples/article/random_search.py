"""Random search of gradient boosting: the article's second example, redone.

Run it: ``python examples/article/random_search.py``. It takes about twenty seconds. The same on the advisor's own pipeline is the
plan beside this file: ``advisor run examples/article/random_search.toml``.

What is different from the article: the number of trees is no hyperparameter. It is set high, and each model stops adding trees when
rows of its own training part no longer gain, so that a slow learning rate gets the trees it needs and a fast one does not overfit;
the learning rate is drawn log-uniformly from rates that these trees can finish with; trial 0 is the default, so that the gain over
it is known.
"""

from __future__ import annotations

import argparse

from scipy.stats import loguniform, randint, uniform
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import train_test_split

from advisor import AdvisedSearchCV

DISTRIBUTIONS = {
    "learning_rate": loguniform(0.02, 0.5),
    "max_depth": randint(2, 7),
    "min_samples_leaf": randint(1, 31),
    "subsample": uniform(0.5, 0.5),
}
"""As for `RandomizedSearchCV`; `uniform` is given its start and its width."""


def main(arguments: list[str] | None = None) -> AdvisedSearchCV:
    """Tunes the trees and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=25, help="budget of the whole search")
    parser.add_argument("--trials", type=int, default=60, help="configurations at most; the best of 60 is in the top 5 % with odds of 95 %")
    given = parser.parse_args(arguments)

    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
    search = AdvisedSearchCV(
        GradientBoostingClassifier(n_estimators=400, n_iter_no_change=10, max_features="sqrt", random_state=0),
        param_distributions=DISTRIBUTIONS,
        strategy="random",
        scoring="neg_log_loss",
        cv=5,
        budget_seconds=given.seconds,
        max_trials=given.trials,
        isolation="inline",
    )
    search.fit(X_train, y_train)
    print(f"best of {len(search.outcome_.trials)}: {search.best_params_}")
    print(f"log loss {-search.best_score_:.4f} on the folds; the default has {-search.outcome_.trials[0].value:.4f}")
    print(f"{search.best_estimator_.n_estimators_} trees; log loss on rows that no choice has seen: {-search.score(X_test, y_test):.4f}")
    return search


if __name__ == "__main__":
    main()
