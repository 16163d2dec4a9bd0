"""Every family of the rulebook runs on a table of everything: strings, gaps, dates, text, rare classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from advisor.core.facts import Task
from advisor.core.family import Family
from advisor.objectives.final import FinalFit
from advisor.objectives.model import load
from advisor.objectives.pipelines import estimator_class
from advisor.rulebook.loading import load_rulebook
from tests.objectives.tables_of_tests import mixed, prepared

FAMILIES = tuple(load_rulebook().families.values())
CASES = [pytest.param(f, task, id=f"{f.name}-{task}") for f in FAMILIES if not f.needs_images for task in f.estimators]


def _small(family: Family) -> Family:
    """The family with a shorter training, so that the test is quick."""
    short = {"epochs": 2, "max_iter": 20, "n_estimators": 5} if not family.is_linear else {}
    return family.model_copy(update={"fixed": {**family.fixed, **{k: v for k, v in short.items() if k in family.fixed}}})


@pytest.mark.parametrize(("family", "task"), CASES)
def test_a_family_runs_on_a_table_of_everything(family: Family, task: Task, tmp_path: Path) -> None:
    frame = mixed(160, task=task)
    if task is Task.MULTICLASS:  # a class of one row
        frame = frame.with_columns(target=pl.when(pl.int_range(160) == 7).then(99).otherwise("target"))
    ready = prepared(tmp_path, task, frame=frame)
    small = _small(family)
    objective = ready.objective(small, seed=0)
    for config in (family.space.default(), *family.starts):
        full = {**family.space.default(), **config}
        steps = list(objective(family.space.active(full)))
        assert np.isfinite([m.value for m in steps]).all()
    assert [m.step for m in steps] == list(range(1, (2 if family.trains_in_steps else 3) + 1))
    final = FinalFit(prepared=ready, family=small, rows="all", overrides={})
    assert np.isfinite(next(iter(final(family.space.default()))).value)
    model = load(tmp_path / "m", final.save_last(str(tmp_path / "m")))
    out = model.predict(mixed(25, task=task, seed=8))
    assert out["prediction"].null_count() == 0
    if task.is_classification:
        assert out.width == 1 + len(ready.classes)


@pytest.mark.parametrize(("family", "task"), CASES)
def test_the_extremes_of_a_space_are_arguments_the_estimator_takes(family: Family, task: Task, tmp_path: Path) -> None:
    ready = prepared(tmp_path, task, rows=300)
    objective = ready.objective(_small(family), seed=0)
    for end in ("low", "high"):
        config = {
            name: (p.choices[0 if end == "low" else -1] if p.type == "choice" else getattr(p, end)) for name, p in family.space.items()
        }
        config = family.space.active(config)
        assert objective.pipeline(config)
        if not family.trains_in_steps:
            assert np.isfinite(next(iter(objective(config))).value)


def test_every_family_names_a_class_that_exists() -> None:
    for family in FAMILIES:
        for task in family.estimators:
            assert estimator_class(family, task)
