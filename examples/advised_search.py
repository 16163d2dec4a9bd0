"""A recommended search in the place of ``GridSearchCV``: in a pipeline, with scikit-learn's names, and with its reasons.

Run it: ``python examples/advised_search.py``. It takes some seconds.
"""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from advisor import AdvisedSearchCV


def main() -> None:
    """Tunes a support vector machine, says why it was done so, and scores it on rows that no trial has seen."""
    X, y = load_digits(return_X_y=True, as_frame=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, train_size=0.4, random_state=0)

    # No space is named: the last step is of a family that the rules know. Trial 0 is the pipeline as it stands.
    model = make_pipeline(StandardScaler(), SVC())
    search = AdvisedSearchCV(model, goal="quick", budget_seconds=20, max_trials=12, cv=3, scoring="balanced_accuracy", isolation="inline")
    search.fit(X_train, y_train)

    print(f"{len(search.cv_results_['params'])} trials by {search.plan_.strategy}")
    print(search.explain("strategy"))
    print(f"as it stands {search.cv_results_['mean_test_score'][0]:.4f}, best {search.best_score_:.4f} with {search.best_params_}")
    untuned = search.scorer_(model.fit(X_train, y_train), X_test, y_test)
    print(f"on the test rows: {search.score(X_test, y_test):.4f}, untuned {untuned:.4f}")


if __name__ == "__main__":
    main()
