"""The article's examples, redone: each runs from end to end, and is right where the article's is not."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent.parent / "examples"
Example = Callable[[str], ModuleType]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Example:
    """Imports an example by its path below ``examples``; what it writes goes to a folder of the test."""
    monkeypatch.chdir(tmp_path)

    def load(path: str) -> ModuleType:
        name = f"example_{Path(path).stem}"
        spec = importlib.util.spec_from_file_location(name, FOLDER / path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_grid_search_is_coarse_then_fine_over_a_scaled_pipeline(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    search = example("article/grid_search.py").main(["--seconds", "90", "--trials", "40"])
    stages = {trial.stage for trial in search.outcome_.trials}
    assert {"pilot", "coarse", "fine"} <= stages
    assert search.plan_.strategy == "grid"
    assert [name for name, _ in search.best_estimator_.steps] == ["standardscaler", "svc"]
    assert search.best_score_ >= search.outcome_.trials[0].value
    assert "no choice has seen" in capsys.readouterr().out


def test_random_search_leaves_the_number_of_trees_to_early_stopping(example: Example) -> None:
    search = example("article/random_search.py").main(["--seconds", "90", "--trials", "3"])
    assert len(search.outcome_.trials) == 3
    assert all("n_estimators" not in trial.config for trial in search.outcome_.trials)
    assert search.best_estimator_.n_estimators_ < search.best_estimator_.n_estimators


def test_halving_on_trees_goes_on_with_the_forest_it_has(example: Example) -> None:
    halving = example("article/successive_halving.py")
    whole = [m.value for m in _first(halving.grow({"max_depth": 5, "min_samples_leaf": 4}), 3)]
    second = list(_first(halving.grow({"max_depth": 5, "min_samples_leaf": 4}), 2))[-1]
    assert len(second.checkpoint.estimators_) == 2 * halving.TREES_A_STEP
    on = next(halving.grow({"max_depth": 5, "min_samples_leaf": 4}, second.checkpoint))
    assert (on.step, on.value) == (3, pytest.approx(whole[2], abs=1e-12))


@pytest.mark.slow
def test_halving_on_trees_stops_what_ranks_low(example: Example) -> None:
    outcome = example("article/successive_halving.py").main(["--resource", "trees", "--seconds", "300"])
    assert outcome.plan.strategy == "asha"
    assert any(trial.status == "pruned" for trial in outcome.trials)


@pytest.mark.slow
def test_halving_on_rows_gives_the_better_third_three_times_the_rows(example: Example, tmp_path: Path) -> None:
    outcome = example("article/successive_halving.py").main(["--seconds", "200", "--run-dir", str(tmp_path / "run")])
    rows = [trial.rows for trial in outcome.trials if trial.stage == "search" and trial.rows is not None]
    first, second, third = sorted(set(rows))
    assert [rows.count(r) for r in (first, second, third)] == [12, 4, 2]
    assert (second, third) == (3 * first, 9 * first)
    assert outcome.heldout_score is not None


def test_successive_halving_on_epochs_stops_trials_and_scores_the_test_rows_once(
    example: Example, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs = example("article/epochs.py")
    outcome = epochs.main(["--seconds", "120", "--trials", "14"])
    assert outcome.plan.strategy == "asha"
    assert any(trial.status == "pruned" for trial in outcome.trials)
    assert "test accuracy" in capsys.readouterr().out


def test_a_training_gone_on_with_is_the_one_that_never_stopped(example: Example) -> None:
    for path, config in (
        ("article/epochs.py", {"lr": 0.05, "momentum": 0.9, "width": 16, "dropout": 0.2}),
        ("article/population.py", {"lr": 0.05, "weight_decay": 1e-4}),
    ):
        module = example(path)
        whole = [m.value for m in _first(module.train(config), 4)]
        paused = list(_first(module.train(config), 2))[-1]
        assert [m.value for m in _first(module.train(config, paused.checkpoint), 2)] == whole[2:]


def test_a_schedule_of_one_line_is_a_plain_training(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    population = example("article/population.py")
    monkeypatch.setattr(population, "EPOCHS", 4)
    config = {"lr": 0.05, "weight_decay": 1e-4}
    *_, last = population.train(config)
    assert population.follow([(0, config)])[0] == last.value
    assert population.follow([(0, config), (2, config)])[0] == last.value
    assert population.follow([(0, config), (2, config | {"lr": 0.005})])[0] != last.value


def _first(iterator: Any, count: int) -> list[Any]:
    """The first measurements; their checkpoints are copied, since a training goes on with the very objects."""
    import copy

    out = []
    for _ in range(count):
        measurement = next(iterator)
        out.append(copy.deepcopy(measurement))
    iterator.close()
    return out
