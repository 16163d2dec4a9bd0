"""The article's examples, redone: each runs from end to end, and is right where the article's is not."""

from __future__ import annotations

import copy
import importlib.util
import re
import subprocess
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
    example: Example, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs = example("article/epochs.py")
    monkeypatch.setattr(epochs, "EPOCHS", 9)
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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_population_learns_a_schedule_that_replays_and_that_its_last_line_does_not_replace(tmp_path: Path) -> None:
    script = FOLDER / "article" / "population.py"
    command = [sys.executable, str(script), "--seconds", "120", "--run-dir", str(tmp_path / "run")]
    text = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    learned = float(re.search(r"validation loss of ([\d.]+)", text)[1])  # type: ignore[index]
    replayed = float(re.search(r"replayed: validation loss ([\d.]+)", text)[1])  # type: ignore[index]
    assert text.count("from epoch") > 1
    assert replayed == pytest.approx(learned, abs=1e-4)


def test_strengths_by_column_can_do_what_one_for_all_cannot(example: Example) -> None:
    module = example("article/hypergradients.py")
    training, space = module.build()
    assert len(space) >= 50
    assert training.test_loss is not None
    columns = len(space)
    for_all = dict.fromkeys(space, 0.03)
    by_kind = {name: 0.01 if i < columns - 64 else 10.0 for i, name in enumerate(space)}  # the last 64 columns are noise
    assert module.test_loss(training, by_kind) < module.test_loss(training, for_all)


@pytest.mark.slow
def test_hypergradients_find_strengths_that_beat_the_default_on_the_test_rows(example: Example) -> None:
    module = example("article/hypergradients.py")
    outcome = module.main(["--seconds", "60"])
    training, space = module.build()
    assert outcome.trials[-1].value < outcome.trials[0].value
    assert module.test_loss(training, outcome.trials[-1].config) < module.test_loss(training, dict.fromkeys(space, 1e-2))


def test_a_function_of_ones_own_is_tuned_and_the_reason_is_told(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = example("own_function.py").main(["--seconds", "60", "--trials", "12"])
    assert len(outcome.trials) == 12
    assert outcome.best_value <= outcome.trials[0].value
    assert f"trials by {outcome.plan.strategy}" in capsys.readouterr().out


@pytest.mark.slow
def test_three_lines_ship_a_model(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    example("three_lines.py").main()
    assert "held-out" in capsys.readouterr().out


def _first(iterator: Any, count: int) -> list[Any]:
    """The first measurements; their checkpoints are copied, since a training goes on with the very objects."""
    out = []
    for _ in range(count):
        measurement = next(iterator)
        out.append(copy.deepcopy(measurement))
    iterator.close()
    return out
