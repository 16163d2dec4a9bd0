"""`advisor.tune`: an objective of the user's own, inline on simulated time and in worker processes."""

from __future__ import annotations

import functools
import json
import math
import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import advisor
from advisor.core.errors import CannotRunError, InputError, NothingFinishedError
from advisor.core.ports import Proposal, Result, Scribe
from advisor.objectives.trained import TrainedInFull
from advisor.session import follow, predict
from advisor.supervise.loop import fingerprint
from tests.timing import kept

SPACE = {
    "x": advisor.Float(-5, 5),
    "rate": advisor.Float(1e-4, 1.0, log=True),
    "kind": advisor.Choice(["plain", "steep"]),
    "slope": advisor.Float(0.0, 1.0, when={"kind": ["steep"]}),
}
EPOCHS = advisor.Fidelity("epoch", 1, 12)


def bowl(config: dict[str, Any]) -> float:
    """Its least value, 0, lies at x = 1, rate = 0.01."""
    return (config["x"] - 1) ** 2 + (math.log10(config["rate"]) + 2) ** 2 + config.get("slope", 0.0)


def curve(config: dict[str, Any], checkpoint: Any = None) -> Iterator[advisor.Measurement]:
    for epoch in range((checkpoint or 0) + 1, 13):
        yield advisor.Measurement(step=epoch, value=bowl(config) + 1 / epoch, checkpoint=epoch)


class Simulated:
    """A clock that the objective moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def objective(self, config: dict[str, Any], checkpoint: Any = None) -> Iterator[advisor.Measurement]:
        for measurement in curve(config, checkpoint):
            self.now += 10.0
            yield measurement


def test_a_function_is_tuned_inline_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = advisor.tune(bowl, SPACE, max_trials=30, isolation="inline")
    assert found.best_value == min(t.value for t in found.trials if t.value is not None)
    assert found.best_value < 1.0, "a random draw in this box has about a one in forty chance of less than 1"
    assert bowl(found.best_config) == found.best_value
    assert len(found.trials) == 30
    assert list(tmp_path.iterdir()) == []


def test_trial_0_is_the_default_and_the_users_starts_come_next() -> None:
    space = {"x": advisor.Float(0, 10, default=3.0), "n": advisor.Int(1, 100, log=True)}
    found = advisor.tune(lambda c: c["x"] + c["n"], space, max_trials=4, starts=[{"x": 9.0, "n": 2}], isolation="inline")
    assert [t.config for t in found.trials[:2]] == [{"x": 3.0, "n": 10}, {"x": 9.0, "n": 2}]
    assert found.trials[0].origin == "default"


def test_the_budget_is_counted_on_a_simulated_clock_and_nothing_runs_past_it() -> None:
    clock = Simulated()
    found = advisor.tune(clock.objective, SPACE, fidelity=EPOCHS, budget_seconds=2400, clock=clock)
    # A full trial takes 120 s; one step may pass the end before the clock is looked at.
    assert clock.now - 1000.0 <= 2400 + 10
    assert found.counts["completed"] >= 8
    assert found.seconds <= 2410
    assert found.best_value is not None


def test_the_same_seed_gives_the_same_trials() -> None:
    def trials(seed: int) -> list[Any]:
        return [t.config for t in advisor.tune(bowl, SPACE, max_trials=25, seed=seed, isolation="inline").trials]

    assert trials(3) == trials(3)
    assert trials(3)[-10:] != trials(4)[-10:]


def test_in_processes_the_run_has_a_folder_a_study_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    first = advisor.tune(curve, SPACE, fidelity=EPOCHS, max_trials=6, run_dir=tmp_path / "run")
    assert first.status == "done"
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'run' / 'study.db'}")
    assert len(study.trials) == len(first.trials) == 6
    assert max(len(t.intermediate_values) for t in study.trials) == 12
    again = advisor.tune(curve, SPACE, fidelity=EPOCHS, max_trials=6, run_dir=tmp_path / "run")
    assert [t.config for t in again.trials] == [t.config for t in first.trials], "nothing was left to do"


def test_another_objective_does_not_take_over_a_folder(tmp_path: Path) -> None:
    advisor.tune(bowl, SPACE, max_trials=2, run_dir=tmp_path / "run")
    with pytest.raises(InputError, match="another objective or space"):
        advisor.tune(bowl, {"x": advisor.Float(0, 1)}, max_trials=2, run_dir=tmp_path / "run")


@pytest.mark.parametrize("strategy", ["grid", "random", "qmc", "tpe", "cmaes", "asha", "hyperband", "portfolio"])
def test_every_proposing_strategy_runs_on_a_function_with_steps(strategy: str) -> None:
    space = {"x": advisor.Float(-5, 5), "rate": advisor.Float(1e-4, 1.0, log=True)}
    found = advisor.tune(curve, space, fidelity=EPOCHS, max_trials=20, strategy=strategy, force=True, isolation="inline")
    assert found.plan.strategy == strategy
    assert found.counts["completed"] + found.counts["pruned"] == len(found.trials)
    assert found.status == "done"


def test_an_optuna_objective_is_taken_unchanged_and_tells_its_space() -> None:
    def objective(trial: optuna.Trial) -> float:
        kind = trial.suggest_categorical("kind", ["a", "b", "c"])
        depth = trial.suggest_int("depth", 1, 9) if kind == "b" else 5
        return abs(depth - 7) + {"a": 1, "b": 0, "c": 2}[kind] + trial.suggest_float("x", 0.0, 1.0)

    found = advisor.tune(objective, max_trials=30, isolation="inline")
    assert found.plan.space.parameters["depth"].when == {"kind": ("b",)}
    assert found.best_config["kind"] == "b"
    assert {"kind", "x"} <= set(found.best_config)


def test_an_optuna_objective_that_reports_is_pruned() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -10.0, 10.0)
        for step in range(20):
            trial.report(x * x + 1 / (step + 1), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x * x

    found = advisor.tune(objective, max_trials=60, strategy="tpe", isolation="inline")
    assert found.counts["pruned"] > 0
    assert found.best_value < 1.0


BROKEN: dict[str, tuple[Any, str]] = {
    "nan": (lambda _c: math.nan, "NaN"),
    "inf": (lambda _c: math.inf, "infinity"),
    "text": (lambda _c: "0.3", "text"),
    "none": (lambda _c: None, "None"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_value_that_is_no_number_fails_its_trial_and_the_run_goes_on(how: str) -> None:
    give, words = BROKEN[how]
    found = advisor.tune(
        lambda c: give(c) if c["x"] > 0 else c["x"] ** 2, {"x": advisor.Float(-1, 1)}, max_trials=20, strategy="random", isolation="inline"
    )
    broken = [t for t in found.trials if t.status == "failed"]
    assert broken and all(words in t.cause for t in broken)
    assert found.best_config["x"] <= 0


def test_an_objective_that_always_raises_ends_with_its_own_words() -> None:
    def broken(config: dict[str, Any]) -> float:
        raise ZeroDivisionError("no data here")

    with pytest.raises(InputError, match=r"6 tried: ZeroDivisionError: no data here") as caught:
        advisor.tune(broken, SPACE, max_trials=10, isolation="inline")
    assert caught.value.where == f"trial 0 in {__file__}, line {broken.__code__.co_firstlineno + 1}"


def test_a_library_that_raises_is_told_by_the_line_of_the_users_code_that_called_it() -> None:
    def broken(config: dict[str, Any]) -> float:
        return float(json.loads("[1, 2"))

    with pytest.raises(InputError, match="JSONDecodeError") as caught:
        advisor.tune(broken, SPACE, max_trials=10, isolation="inline")
    assert caught.value.where == f"trial 0 in {__file__}, line {broken.__code__.co_firstlineno + 1}"


def test_a_default_that_fails_is_an_event_and_the_run_goes_on() -> None:
    def picky(config: dict[str, Any]) -> float:
        if config["x"] == 0.0:
            raise ValueError("not there")
        return float(config["x"] ** 2)

    found = advisor.tune(picky, {"x": advisor.Float(-1, 1)}, max_trials=8, strategy="random", isolation="inline")
    assert found.trials[0].origin == "default" and "not there" in found.trials[0].cause
    assert found.counts["completed"] == 7


def test_a_default_that_fails_late_leaves_the_starts_and_draws_their_turn() -> None:
    clock = Simulated()

    def picky(config: dict[str, Any]) -> float:
        clock.now += 5.0  # the pilot of 40 s is planned for one trial of 1 s
        if config["x"] == 0.0:
            raise ValueError("not there")
        return float(config["x"] ** 2)

    found = advisor.tune(picky, {"x": advisor.Float(-1, 1)}, budget_seconds=40, clock=clock)
    assert found.trials[0].status == "failed" and found.counts["completed"] >= 5


def test_an_optuna_objective_whose_default_fails_is_tried_elsewhere() -> None:
    def picky(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1.0, 1.0)
        if x == 0.0:
            raise ValueError("not there")
        return x**2

    found = advisor.tune(picky, max_trials=9, isolation="inline")
    assert found.trials[0].status == "failed" and found.counts["completed"] >= 6


def test_what_leaves_its_process_every_time_cannot_run_here(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="left with exit code 3"):
        advisor.tune(lambda _c: os._exit(3), {"x": advisor.Float(0, 1)}, max_trials=3, run_dir=tmp_path / "run")


def greedy(config: dict[str, Any]) -> float:
    """Asks for all that its worker may hold, where it may not hold everything."""
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    if config["x"] > 0 and limit != resource.RLIM_INFINITY:
        return float(np.ones(limit, dtype=np.uint8)[0])
    return float(config["x"] ** 2)


def test_a_trial_that_wants_more_memory_than_its_share_is_an_event_and_the_run_goes_on(tmp_path: Path) -> None:
    found = advisor.tune(greedy, {"x": advisor.Float(-1, 1)}, max_trials=8, strategy="random", run_dir=tmp_path / "run")
    dead = [t for t in found.trials if t.status == "failed"]
    assert dead and {t.category for t in dead} == {"memory"}
    assert all(t.cause.startswith("out of memory: Unable to allocate") for t in dead)
    assert all(t.config["x"] > 0 for t in dead) and found.counts["completed"] == 8 - len(dead)
    assert len({fingerprint(t.family, t.config) for t in dead}) == len(dead), "none was tried again"


async def later(config: dict[str, Any]) -> float:
    return 0.0


class Scored:
    def __call__(self, config: dict[str, Any]) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (lambda: 1.0, "takes 0 positional|too many positional"),
        (lambda a, b, c: 1.0, "missing a required argument: 'c'"),
        (lambda *, config: 1.0, "too many positional"),
        (Scored, "is a class"),
        (later, "is a coroutine"),
        (functools.cache(bowl), "functools.cache"),
    ],
)
def test_what_cannot_be_called_with_a_configuration_is_refused_before_the_first_trial(objective: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        advisor.tune(objective, SPACE, max_trials=3, isolation="inline")
    assert caught.value.where == "objective" and caught.value.cure


def test_steps_out_of_order_fail_the_trial_with_the_reason() -> None:
    def backwards(config: dict[str, Any]) -> Iterator[advisor.Measurement]:
        for step in (2, 1):
            yield advisor.Measurement(step=step, value=config["x"])

    with pytest.raises(InputError, match="step 1 follows step 2"):
        advisor.tune(backwards, {"x": advisor.Float(0, 1)}, fidelity=EPOCHS, max_trials=5, isolation="inline")


def test_an_objective_that_cannot_travel_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    lock = threading.Lock()
    with pytest.raises(InputError, match="cannot be sent to a worker") as caught:
        advisor.tune(lambda c: c["x"] if lock else 0.0, {"x": advisor.Float(0, 1)}, max_trials=3, run_dir=tmp_path / "run")
    assert 'isolation="inline"' in caught.value.cure
    assert follow(tmp_path / "run").poll().trials == {}


class Unloadable:
    """Pickles, and fails wherever it is loaded."""

    def __reduce__(self) -> Any:
        return exec, ("raise ImportError('no such library here')",)

    def __call__(self, config: dict[str, Any]) -> float:
        return 0.0


def test_an_objective_that_no_worker_can_load_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded in a worker: ImportError: no such library here"):
        advisor.tune(Unloadable(), {"x": advisor.Float(0, 1)}, max_trials=3, run_dir=tmp_path / "run")
    assert follow(tmp_path / "run").poll().trials == {}


class Keeps:
    """Scores its configuration, and can say what it made of it."""

    def __call__(self, config: dict[str, Any]) -> float:
        return float(config["x"])

    def save_last(self, path: str) -> None:
        Path(path).write_text("model")


def test_what_the_best_trial_saved_is_told_of(tmp_path: Path) -> None:
    found = advisor.tune(Keeps(), {"x": advisor.Float(0, 1)}, max_trials=3, run_dir=tmp_path / "run")
    assert (tmp_path / "run" / "best" / "model.joblib").read_text() == "model"
    assert "best/ holds what trial" in found.reasons["shipped"]
    with pytest.raises(InputError, match="by your own code only"):
        predict(tmp_path / "run", tmp_path / "rows.csv")


NOW = [1000.0]
"""What a clock says that trials move."""


def slow_bowl(config: dict[str, Any]) -> float:
    NOW[0] += 10
    return bowl(config)


def test_a_run_that_used_all_of_its_budget_has_its_script(tmp_path: Path) -> None:
    found = advisor.tune(slow_bowl, SPACE, budget_seconds=300, clock=lambda: NOW[0], run_dir=tmp_path / "run")
    assert found.seconds >= 290
    assert "test_tuning" in (tmp_path / "run" / "script.py").read_text()


def test_predicting_with_a_run_of_an_own_objective_is_refused_for_what_it_is(tmp_path: Path) -> None:
    run = tmp_path / "run"
    advisor.tune(lambda c: float(c["x"]), {"x": advisor.Float(0, 1)}, max_trials=2, isolation="inline", run_dir=run)
    with pytest.raises(InputError, match="no model is kept of an objective of your own") as caught:
        predict(run, tmp_path / "rows.csv")
    assert "resume" not in caught.value.cure


def test_a_start_that_hangs_is_killed_and_the_run_goes_on(tmp_path: Path) -> None:
    def hang(config: dict[str, Any]) -> float:
        if config["x"] == 0.9:
            time.sleep(600)
        return float(config["x"])

    space = {"x": advisor.Float(0, 1, default=0.5)}
    found = advisor.tune(hang, space, starts=[{"x": 0.9}], budget_seconds=20, max_trials=6, strategy="random", run_dir=tmp_path / "run")
    (hung,) = [t for t in found.trials if t.status == "failed"]
    assert (hung.config, hung.category) == ({"x": 0.9}, "timeout")
    assert found.counts["completed"] == 5


def test_an_objective_that_hangs_ends_with_the_budget(tmp_path: Path) -> None:
    def hang(config: dict[str, Any]) -> float:
        time.sleep(600)
        return 0.0

    began = time.monotonic()
    with pytest.raises(NothingFinishedError, match="ended before any trial finished"):
        advisor.tune(hang, {"x": advisor.Float(0, 1)}, budget_seconds=4, run_dir=tmp_path / "run")
    assert kept(7.0, since=began)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"direction": "up"}, "unknown direction"),
        ({"fidelity": ("epoch", 1, 9)}, "the fidelity is"),
        ({"space": {}}, "the space is empty"),
        ({"space": {"x": object()}}, "x"),
        ({"workers": 2}, "cannot run inline"),
        ({"isolation": "thread"}, "unknown isolation"),
        ({"starts": [{"y": 1}]}, "no parameter of the space"),
        ({"starts": [{"x": 99.0}]}, "does not belong to the space"),
        ({"starts": [3]}, "start 0 is a int"),
        ({"budget_seconds": -1}, "is not valid"),
        ({"strategy": "tpee"}, "unknown strategy"),
        ({"objective": 3}, "an objective of type int cannot be called"),
        ({"freeze": {"y": 1}}, "no hyperparameter"),
    ],
)
def test_a_wrong_argument_is_refused_with_its_place(wrong: dict[str, Any], words: str) -> None:
    arguments = {"objective": bowl, "space": {"x": advisor.Float(0, 1)}, "isolation": "inline", "max_trials": 3} | wrong
    with pytest.raises(InputError, match=words) as caught:
        advisor.tune(**arguments)
    assert caught.value.where and caught.value.cure


def test_research_on_many_differentiable_regularisers_follows_the_gradient() -> None:
    import torch

    width, generator = 24, torch.Generator().manual_seed(0)
    truth = torch.zeros(width)
    truth[:3] = 2.0

    def rows(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        X = torch.randn(count, width, generator=generator)
        return X, X @ truth + torch.randn(count, generator=generator)

    (X, y), (Xa, ya), (Xb, yb) = rows(40), rows(80), rows(80)
    pair = advisor.Differentiable(
        start={"w": torch.zeros(width)},
        train_loss=lambda p, h: ((X @ p["w"] - y) ** 2).mean() + sum(h[f"l{i}"] * p["w"][i] ** 2 for i in range(width)),
        validation_loss=lambda p: ((Xa @ p["w"] - ya) ** 2).mean(),
        second_validation_loss=lambda p: ((Xb @ p["w"] - yb) ** 2).mean(),
        steps=40,
        learning_rate=0.1,
    )
    space = {f"l{i}": advisor.Float(1e-4, 10.0, log=True, default=0.01) for i in range(width)}
    found = advisor.tune(pair, space, goal="research", budget_seconds=60, isolation="inline")
    assert found.plan.strategy == "hypergradient"
    default = next(t.value for t in found.trials if t.origin == "default")
    assert found.best_value < default
    assert len(found.best_config) == width
    assert found.best_value == TrainedInFull(pair)(found.best_config), "the score of a training from the start"


class Population:
    """Two members of a population in this process, ended with the stage as Ray's would be: the second takes the first's weights."""

    def __init__(self, clock: Simulated) -> None:
        self.clock = clock

    def run(self, scribe: Scribe) -> None:
        configs: list[dict[str, Any]] = [{"x": 1.0, "rate": 0.01}, {"x": 4.0, "rate": 0.5}]
        for key, config in enumerate(configs):
            scribe.started(Proposal(key, config))
        steps: list[tuple[int, float]] = []
        for epoch in range(1, 12):
            if scribe.is_over():
                break
            self.clock.now += 40.0
            steps = [(epoch, bowl(configs[key]) + 1 / epoch) for key in (0, 1)]
            for key, (step, value) in enumerate(steps):
                scribe.measured(key, step, value)
            if epoch == 2:
                configs[1] = {"x": 1.0, "rate": 0.012}
                scribe.changed(1, 2, configs[1], parent=0, because="it goes on from trial {parent}")
        for key, step in enumerate(steps):
            scribe.ended(key, Result("pruned", step[1] - key, steps=(step,), cause="the stage was over"))


def test_a_population_ended_by_the_deadline_ends_with_the_schedule_it_had_learned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = Simulated()
    monkeypatch.setattr("advisor.session.searching.loop_for", lambda _walk, _stage: Population(clock))
    space = {"x": SPACE["x"], "rate": SPACE["rate"]}
    found = advisor.tune(
        clock.objective,
        space,
        fidelity=EPOCHS,
        goal="schedule",
        strategy="pbt",
        force=True,
        budget_seconds=500,
        clock=clock,
        run_dir=tmp_path / "run",
    )
    # The default takes 120 s; the members get what is left less once more that with a slack of a fifth: five looks of 40 s.
    last = found.trials[-1]
    assert (last.stage, last.status) == ("verify", "completed")
    assert max(t.number for t in found.trials if t.status == "pruned") < last.number
    assert found.best_value == last.value, "trained from the start under the schedule, to the last step"
    assert [(s.step, s.config["rate"]) for s in found.schedule] == [(0, 0.01), (2, 0.012)]
    (exploit,) = [c for t in follow(tmp_path / "run").poll().trials.values() for c in t.changes if c.parent is not None]
    assert exploit.reason == f"it goes on from trial {exploit.parent}", "by the number that people know it by"
    assert clock.now - 1000.0 <= 500


def test_a_cluster_that_does_not_answer_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="cannot be used") as caught:
        advisor.tune(curve, SPACE, fidelity=EPOCHS, max_trials=3, cluster="127.0.0.1:1", run_dir=tmp_path / "run")
    assert caught.value.where == "--cluster" and caught.value.cure
    assert not (tmp_path / "run").exists()
