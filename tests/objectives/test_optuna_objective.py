"""An Optuna objective, unchanged: what it asks for, what it reports, how it is pruned, and that no thread is left."""

from __future__ import annotations

import json
import math
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from advisor.core.errors import InputError
from advisor.core.space import Choice, Float, Int
from advisor.objectives.optuna_objective import GRACE_SECONDS, OptunaObjective, merge
from advisor.supervise.evaluation import Died, Ended, Report, Stepped, TrialRun
from advisor.supervise.pool import WorkerPool

EPOCHS = 4


def training(trial: optuna.Trial) -> float:
    """As the documentation of Optuna writes it."""
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 4)
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adamw"])
    momentum = trial.suggest_float("momentum", 0.5, 0.9, step=0.1) if optimizer == "sgd" else 0.0
    for epoch in range(EPOCHS):
        trial.report(lr + layers + momentum + epoch, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return lr


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("optuna-objective")] == []


def to_the_end(function: Callable[..., Any] | OptunaObjective, config: dict[str, Any] | None = None) -> tuple[list[Stepped], Ended | Died]:
    objective = function if isinstance(function, OptunaObjective) else OptunaObjective(function)
    run = TrialRun(0, objective, {} if config is None else config)
    steps: list[Stepped] = []
    while True:
        report = run.next()
        if not isinstance(report, Stepped):
            return steps, report
        steps.append(report)


def ended(function: Any, config: dict[str, Any] | None = None) -> Ended:
    _, end = to_the_end(function, config)
    assert isinstance(end, Ended), end
    return end


def died(function: Any, config: dict[str, Any] | None = None) -> Died:
    _, end = to_the_end(function, config)
    assert isinstance(end, Died), end
    return end


def asked(function: Any, config: dict[str, Any] | None = None) -> dict[str, Any]:
    told = ended(function, config).suggested
    assert told is not None
    assert json.loads(json.dumps(told)) == told
    return told


def test_the_first_trial_takes_the_middle_of_each_range_and_the_first_choice() -> None:
    config = asked(training)["config"]
    # The geometric middle of 1e-5 and 1e-1; 2.5 rounded to even; the grid point nearest to 0.7 (0.5 + 2 steps of 0.1).
    assert config == {"lr": pytest.approx(1e-3), "layers": 2, "optimizer": "sgd", "momentum": pytest.approx(0.7)}


def test_reports_are_measurements_counted_from_one_and_the_score_is_what_is_returned() -> None:
    steps, end = to_the_end(training, {"lr": 0.01, "layers": 1, "optimizer": "adamw"})
    assert [(s.step, s.value) for s in steps] == [(1, 1.01), (2, 2.01), (3, 3.01), (4, 4.01)]
    assert isinstance(end, Ended)
    assert end.value == 0.01
    assert end.suggested is not None
    assert end.suggested["config"] == {"lr": 0.01, "layers": 1, "optimizer": "adamw"}


def test_steps_from_one_stay_as_they_are() -> None:
    def function(trial: optuna.Trial) -> float:
        trial.report(1.0, 1)
        trial.report(2.0, 10)
        return 3.0

    steps, _ = to_the_end(function)
    assert [s.step for s in steps] == [1, 10]


def test_an_objective_without_reports_gives_one_measurement() -> None:
    steps, end = to_the_end(lambda trial: trial.suggest_float("x", 0, 2) ** 2)
    assert [(s.step, s.value) for s in steps] == [(1, 1.0)]
    assert isinstance(end, Ended)
    assert end.value == 1.0


def test_repeated_and_late_steps_are_left_out_with_one_warning_each() -> None:
    def function(trial: optuna.Trial) -> float:
        for step in (0, 1, 1, 1, 5, 3, 2, 6):
            trial.report(float(step), step)
        return 0.0

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        steps, _ = to_the_end(function)
    assert [(s.step, s.value) for s in steps] == [(1, 0.0), (2, 1.0), (6, 5.0), (7, 6.0)]
    assert [("already reported" in str(w.message), "have to grow" in str(w.message)) for w in told] == [(True, False), (False, True)]


def test_what_a_configuration_lacks_is_drawn_by_its_seed_and_equal_configurations_draw_equally() -> None:
    config = {"lr": 0.01, "layers": 1, "optimizer": "sgd"}
    first, again = asked(training, config)["config"], asked(OptunaObjective(training), config)["config"]
    assert first == again
    others = {asked(OptunaObjective(training, seed=s), config)["config"]["momentum"] for s in range(20)}
    # Five grid points, 20 draws: all equal with probability 5^-19.
    assert len(others) > 1
    assert all(any(abs(v - g) < 1e-9 for g in (0.5, 0.6, 0.7, 0.8, 0.9)) for v in others)


def test_draws_fill_the_range_on_its_scale() -> None:
    def function(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", 1e-4, 1.0, log=True) + trial.suggest_int("n", 1, 64, log=True)

    logs, counts = [], []
    for number in range(200):
        config = asked(function, {"other": number})["config"]
        logs.append(math.log10(config["x"]))
        counts.append(config["n"])
    # Uniform on [-4, 0]: mean -2, standard error 4/sqrt(12 · 200) = 0.08; five of them.
    assert abs(np.mean(logs) + 2) < 0.41
    # log n uniform on [log 0.5, log 64.5]: P(n <= 8) = log(17)/log(129) = 0.583, standard error 0.035; five of them.
    assert abs(np.mean([n <= 8 for n in counts]) - 0.583) < 0.175
    assert min(counts) >= 1
    assert max(counts) <= 64


def test_values_are_moved_to_the_grid_and_the_configuration_says_so() -> None:
    def function(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", 0.0, 1.0, step=0.25) + trial.suggest_int("n", 2, 11, step=3)

    told = asked(function, {"x": 0.4, "n": 7})
    assert told["config"] == {"x": 0.5, "n": 8}
    assert merge(None, [told]).parameters["x"] == Float(0.0, 1.0, default=0.5)
    assert merge(None, [told]).parameters["n"] == Int(2, 11, default=5)


def test_a_value_outside_its_range_is_drawn_anew_with_a_warning() -> None:
    def function(trial: optuna.Trial) -> float:
        return float(trial.suggest_int("n", 1, 3 * trial.suggest_int("m", 1, 4)))

    with pytest.warns(UserWarning, match="n = 12 lies outside"):
        told = asked(function, {"m": 1, "n": 12})
    assert 1 <= told["config"]["n"] <= 3
    with pytest.warns(UserWarning, match="o = 'sdg' lies outside"):
        told = asked(lambda trial: len(trial.suggest_categorical("o", ["sgd", "adamw"])), {"o": "sdg"})
    assert told["config"]["o"] in ("sgd", "adamw")


def test_one_name_has_one_value_in_a_trial() -> None:
    def function(trial: optuna.Trial) -> float:
        first = trial.suggest_float("x", 0, 1)
        with pytest.warns(UserWarning, match="twice"):
            assert trial.suggest_float("x", 0, 4) == first
        with pytest.raises(ValueError, match="different distribution kind"):
            trial.suggest_int("x", 0, 4)
        return first

    assert ended(function).value == 0.5


def test_choices_may_be_none_true_one_and_infinite_but_must_be_writable() -> None:
    choices = (None, True, 1, 1.5, "one", math.inf)

    def function(trial: optuna.Trial) -> float:
        picked = trial.suggest_categorical("c", choices)
        return float(next(i for i, c in enumerate(choices) if type(c) is type(picked) and c == picked))

    for index, choice in enumerate(choices):
        assert ended(function, {"c": choice}).value == index
    told = asked(function)
    (parameter,) = merge(None, [told]).parameters.values()
    assert isinstance(parameter, Choice)
    assert parameter.choices == choices
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns too
        death = died(lambda trial: trial.suggest_categorical("layer", [torch.nn.ReLU, torch.nn.Tanh])() and 0.0)
        assert "layer: a choice is a type" in death.cause
        pairs = ended(lambda trial: sum(trial.suggest_categorical("sizes", [(1, 2), (3, 4)])), {"sizes": [3, 4]})  # as JSON holds it
    assert pairs.value == 7.0


def test_numpy_numbers_may_be_bounds_and_choices() -> None:
    def function(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", np.float64(0), np.float64(1)) + trial.suggest_categorical("n", [np.int64(3), np.float32(2)])  # type: ignore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert asked(function)["config"] == {"x": 0.5, "n": 3}


def test_the_deprecated_names_do_what_they_did_and_say_that_they_are_deprecated() -> None:
    def function(trial: optuna.Trial) -> float:
        with pytest.warns(FutureWarning, match="deprecated"):
            x = trial.suggest_uniform("x", 0, 2)
        with pytest.warns(FutureWarning, match="deprecated"):
            y = trial.suggest_loguniform("y", 1e-2, 1)
        with pytest.warns(FutureWarning, match="deprecated"):
            z = trial.suggest_discrete_uniform("z", 0, 1, 0.5)
        return x + y + z

    told = asked(function)
    assert told["config"] == {"x": 1.0, "y": pytest.approx(0.1), "z": 0.5}
    assert told["space"]["y"]["log"] is True


def test_the_trial_is_one_of_optunas_and_knows_what_it_was_told() -> None:
    def function(trial: optuna.Trial) -> float:
        assert isinstance(trial, optuna.trial.BaseTrial)
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr("kept", [1])
        assert trial.user_attrs == {"kept": [1]}
        assert trial.params == {"x": x}
        assert trial.distributions == {"x": optuna.distributions.FloatDistribution(0, 1)}
        assert trial.datetime_start is not None
        assert not hasattr(trial, "study")
        return float(trial.number)

    objective = OptunaObjective(function)
    run = TrialRun(17, objective, {})
    assert isinstance(run.next(), Stepped)
    end = run.next()
    assert isinstance(end, Ended)
    assert end.value == 17.0
    assert objective.last_user_attrs == {"kept": [1]}


def test_an_objective_that_needs_the_study_is_told_what_to_do() -> None:
    death = died(lambda trial: trial.study.best_value)
    assert "trial.study" in death.cause
    assert "Take out" in death.cause


def test_closing_prunes_and_the_objective_learns_of_it() -> None:
    seen: list[str] = []

    def function(trial: optuna.Trial) -> float:
        try:
            return training(trial)
        except optuna.TrialPruned:
            seen.append("pruned")
            raise

    run = TrialRun(0, OptunaObjective(function), {})
    run.next()
    run.next()
    end = run.stop()
    assert isinstance(end, Ended)
    assert end.value is None
    assert end.suggested is not None
    assert seen == ["pruned"]


def test_an_objective_that_never_asks_is_pruned_by_its_next_report() -> None:
    seen: list[int] = []

    def function(trial: optuna.Trial) -> float:
        for epoch in range(10):
            seen.append(epoch)
            trial.report(1.0, epoch)
        return 1.0

    run = TrialRun(0, OptunaObjective(function), {})
    run.next()
    run.stop()
    assert seen == [0, 1]


@pytest.mark.slow
def test_an_objective_that_goes_on_for_ever_is_interrupted_between_two_lines() -> None:
    def function(trial: optuna.Trial) -> float:
        trial.report(1.0, 0)
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                continue

    run = TrialRun(0, OptunaObjective(function), {})
    run.next()
    began = time.monotonic()
    assert isinstance(run.stop(), Ended)
    assert time.monotonic() - began >= GRACE_SECONDS


def test_an_objective_that_prunes_itself_ends_at_its_last_value() -> None:
    def function(trial: optuna.Trial) -> float:
        trial.report(5.0, 0)
        raise optuna.TrialPruned

    steps, end = to_the_end(function)
    assert len(steps) == 1
    assert isinstance(end, Ended)
    assert (end.value, end.cause) == (None, "the objective pruned itself")


def test_pruning_itself_before_any_report_fails_the_trial_with_the_cure() -> None:
    def function(trial: optuna.Trial) -> float:
        raise optuna.TrialPruned

    death = died(function)
    assert death.category == "invalid"
    assert "before it had measured anything" in death.cause
    assert death.cure


def test_an_exception_comes_through_with_its_own_trace() -> None:
    def function(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        raise ValueError("the learning rate is silly")

    death = died(function)
    assert death.cause == "ValueError: the learning rate is silly"
    assert 'raise ValueError("the learning rate is silly")' in death.detail
    assert death.suggested is not None
    assert death.suggested["config"] == {"x": 0.5}


def test_leaving_and_memory_are_what_they_are_in_any_objective() -> None:
    def leave(trial: optuna.Trial) -> float:
        raise SystemExit(3)

    def fill(trial: optuna.Trial) -> float:
        raise MemoryError

    assert died(leave).category == "signal"
    assert died(fill).category == "memory"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "infinity"),
        (None, "None"),
        ("0.5", "text ('0.5')"),
        ((1.0, 2.0), "2 values, and one is tuned at a time"),
        ([], "0 values"),
        (True, "a bool"),
        ({"loss": 1.0}, "a dict"),
        (np.ones(3), "a ndarray, which is not one number"),
        (object(), "a object, which is not one number"),
    ],
)
def test_what_is_not_one_finite_number_fails_the_trial_and_is_named(value: Any, says: str) -> None:
    for reports in (False, True):

        def function(trial: optuna.Trial, reports: bool = reports) -> Any:
            if reports:
                trial.report(1.0, 0)
            return value

        death = died(lambda trial, f=function: f(trial))
        assert says in death.cause
        assert "Return one" in death.cure


@pytest.mark.parametrize(
    ("value", "says"), [(float("nan"), "NaN at step 2"), (-math.inf, "minus infinity"), ("x", "TypeError"), ("1", "text")]
)
def test_a_report_that_is_no_finite_number_fails_the_trial(value: Any, says: str) -> None:
    def function(trial: optuna.Trial) -> float:
        trial.report(value, 2)
        return 1.0

    assert says in died(function).cause


def test_what_optuna_takes_for_a_number_is_taken() -> None:
    for value in (torch.tensor(0.5), np.float32(0.5), np.array(0.5), [0.5], (0.5,)):

        def function(trial: optuna.Trial, value: Any = value) -> Any:
            trial.report(value if not isinstance(value, list | tuple) else 0.5, 0)
            return value

        steps, end = to_the_end(lambda trial, f=function: f(trial))
        assert isinstance(end, Ended)
        assert (steps[0].value, end.value) == (0.5, 0.5)


def test_a_violated_constraint_leaves_the_trial_without_a_score() -> None:
    def function(trial: optuna.Trial) -> float:
        trial.set_constraint("memory", trial.suggest_float("x", -1, 1))
        return 1.0

    assert ended(function, {"x": -0.5}).value == 1.0
    assert "constraint 'memory' (0.5 is above 0)" in died(function, {"x": 0.5}).cause


def test_it_travels_and_what_cannot_be_called_is_refused() -> None:
    assert ended(pickle.loads(pickle.dumps(OptunaObjective(training)))).value == pytest.approx(1e-3)
    with pytest.raises(InputError, match="not a float"):
        OptunaObjective(1.0)  # type: ignore[arg-type]


def test_the_same_values_give_the_same_result_as_under_optuna() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1), pruner=optuna.pruners.NopPruner())
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(training, n_trials=8)
    for trial in study.trials:
        steps, end = to_the_end(training, trial.params)
        assert isinstance(end, Ended)
        assert end.value == trial.value
        assert {s.step - 1: s.value for s in steps} == trial.intermediate_values
        assert end.suggested is not None
        assert end.suggested["config"] == trial.params


def test_in_a_worker_it_is_the_same_and_says_what_it_asked_for(tmp_path: Path) -> None:
    def function(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        for epoch in range(4):
            trial.report(lr, epoch)
        if trial.number == 1:
            raise optuna.TrialPruned
        return lr

    ends: list[Report] = []
    with WorkerPool(size=1, environment={}, memory_bytes=None, log_folder=tmp_path) as pool:
        pool.register("own", OptunaObjective(function))
        for number in range(3):
            pool.start(number, "own", {"lr": 0.01}, limit_seconds=60.0)
            while len(ends) == number:
                for report in pool.poll(10.0):
                    if not isinstance(report, Stepped):
                        ends.append(report)
                    elif number == 2 and report.step == 2:
                        pool.stop(number)
                    else:
                        pool.advance(number)
    whole, gave_up, stopped = ends
    assert isinstance(whole, Ended)
    assert isinstance(gave_up, Ended)
    assert isinstance(stopped, Ended)
    assert (whole.value, gave_up.value, stopped.value) == (0.01, None, None)
    assert (whole.cause, gave_up.cause, stopped.cause) == ("", "the objective pruned itself", "")
    assert whole.suggested == gave_up.suggested == stopped.suggested == asked(function, {"lr": 0.01})


# -- the space that trials tell ----------------------------------------------------------------------------------------


def test_a_branch_becomes_a_condition() -> None:
    seen = [asked(training), asked(training, {"optimizer": "adamw"})]
    space = merge(None, seen)
    assert list(space.parameters) == ["lr", "layers", "optimizer", "momentum"]
    assert space.parameters["momentum"].when == {"optimizer": ("sgd",)}
    assert all(p.when is None for n, p in space.items() if n != "momentum")
    assert merge(space, seen) == space


def test_layers_of_a_network_hang_on_their_count() -> None:
    def function(trial: optuna.Trial) -> float:
        return float(sum(trial.suggest_int(f"units_{i}", 4, 64) for i in range(trial.suggest_int("layers", 1, 4))))

    space = merge(None, [asked(function, {"layers": n}) for n in (1, 2, 3, 4)])
    assert list(space.parameters) == ["layers", "units_0", "units_1", "units_2", "units_3"]
    assert space.parameters["units_0"].when is None
    assert space.parameters["units_1"].when == {"layers": (2, 3, 4)}
    assert space.parameters["units_3"].when == {"layers": (4,)}


def test_a_branch_in_a_branch_hangs_on_the_inner_one() -> None:
    def function(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("model", ["svm", "forest", "knn"]) == "svm":
            trial.suggest_float("C", 1e-3, 1e3, log=True)
            if trial.suggest_categorical("kernel", ["rbf", "linear"]) == "rbf":
                trial.suggest_float("gamma", 1e-3, 1.0, log=True)
        return 1.0

    configs = [{"model": "svm", "kernel": "rbf"}, {"model": "svm", "kernel": "linear"}, {"model": "forest"}, {"model": "knn"}]
    space = merge(None, [asked(function, c) for c in configs])
    assert space.parameters["C"].when == {"model": ("svm",)}
    assert space.parameters["kernel"].when == {"model": ("svm",)}
    assert space.parameters["gamma"].when == {"kernel": ("rbf",)}
    for config in configs:
        assert space.faults(asked(function, config)["config"]) == ()


def test_a_branch_not_seen_before_is_learned_from_the_trial_that_takes_it() -> None:
    first = merge(None, [asked(training, {"optimizer": "adamw"})])
    assert "momentum" not in first.parameters
    told = asked(training, {**first.default(), "optimizer": "sgd"})
    assert "momentum" in told["config"]
    both = merge(first, [asked(training, {"optimizer": "adamw"}), told])
    assert both.parameters["momentum"].when == {"optimizer": ("sgd",)}


def test_ranges_that_move_are_united_and_kinds_that_differ_are_refused() -> None:
    def function(trial: optuna.Trial) -> float:
        return float(trial.suggest_int("n", 1, 3 * trial.suggest_int("m", 1, 4)))

    space = merge(None, [asked(function, {"m": m}) for m in (1, 3)])
    assert space.parameters["n"].model_dump(include={"low", "high"}) == {"low": 1, "high": 9}
    with pytest.raises(InputError, match="x: it is a float in one trial and a int in another"):
        merge(None, [asked(lambda t: t.suggest_float("x", 0, 1)), asked(lambda t: t.suggest_int("x", 0, 1))])


@pytest.mark.slow
def test_the_example_is_tuned_unchanged_and_its_trials_are_those_of_optuna() -> None:
    import advisor
    from examples.optuna_objective import objective

    found = advisor.tune(objective, budget_seconds=60, max_trials=6, isolation="inline")
    assert len(found.trials) == 6
    assert found.best_config is not None
    assert {"schedule", "alpha", "eta0", "average"} <= set(found.best_config)
    assert found.best_value == pytest.approx(objective(optuna.trial.FixedTrial(found.best_config)))  # type: ignore[arg-type]
