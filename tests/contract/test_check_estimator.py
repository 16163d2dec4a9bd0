"""scikit-learn's own contract for estimators, run over the search. No check is expected to fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from advisor import AdvisedSearchCV

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@parametrize_with_checks([AdvisedSearchCV(LogisticRegression(), strategy="random", max_trials=3, isolation="inline")])
def test_the_search_is_an_estimator_as_scikit_learn_checks_it(estimator: AdvisedSearchCV, check: Callable[[Any], None]) -> None:
    check(estimator)
