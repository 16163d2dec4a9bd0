"""The objective of tables against scikit-learn's own cross-validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.model_selection import cross_val_score

from advisor.core.facts import Task
from advisor.core.family import Family
from advisor.core.metrics import METRICS
from advisor.objectives.scoring import scorer
from advisor.objectives.splitting import read_splits
from advisor.objectives.tables import read_prepared
from tests.objectives.tables_of_tests import CASES, prepared


def _id(value: Any) -> str:
    return value.name if isinstance(value, Family) else str(value)


@pytest.mark.parametrize(("family", "task"), CASES, ids=_id)
def test_fold_scores_equal_cross_val_score_to_the_bit(family: Family, task: Task, tmp_path: Path) -> None:
    ready = prepared(tmp_path, task)
    objective = ready.objective(family, seed=3)
    table = read_prepared(Path(ready.table))
    expected = cross_val_score(
        objective.pipeline({}),
        table.frame,
        table.y,
        cv=read_splits(Path(ready.splits)),
        scoring=scorer(METRICS[ready.metric], len(ready.classes)),
        error_score="raise",
    )
    for _ in range(2):  # the second time the preprocessed folds come from the cache
        found = list(objective({}))
        assert [-m.score for m in found if m.score is not None] == list(expected)
    assert [m.step for m in found] == [1, 2, 3]
    assert found[-1].value == pytest.approx(-expected.mean(), rel=1e-12)
    assert objective.last_fit_seconds > 0
