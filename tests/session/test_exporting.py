"""Exported scripts run without the advisor, and their trials are the run's own: configurations, ends and scores."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest

import advisor
from advisor import session
from advisor.core.errors import CannotRunError, InputError
from advisor.core.events import StudyState, TrialState
from advisor.core.plan import Plan, Strategy
from advisor.report.script_search import EXPORTED
from advisor.session import exporting
from advisor.session.exporting import export, script_of_plan
from advisor.session.folder import Request, RunFolder
from advisor.session.planning import rulebook
from advisor.session.running import prepare_table

BOWL = '''
class Step:
    def __init__(self, step, value):
        self.step, self.value, self.checkpoint, self.score = step, value, None, None

def objective(config):
    """A bowl with a step in it."""
    tilt = 0.5 if config.get("kind") == "a" else 0.1 * (config.get("z", 0) - 3) ** 2
    return (config["x"] - 2) ** 2 + (config["y"] - 0.3) ** 2 + tilt

def for_optuna(trial):
    """The same for Optuna, in five reported steps."""
    import optuna
    x, kind = trial.suggest_float("x", -5, 5), trial.suggest_categorical("kind", ["a", "b"])
    y = trial.suggest_float("y", 1e-3, 1, log=True) if kind == "b" else 0.0
    for step in range(5):
        trial.report((x - 1) ** 2 + y + 1 / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return (x - 1) ** 2 + y
'''
STEPPED = '''
from advisor import Measurement

def stepped(config, checkpoint=None):
    """Falls to its own floor over 27 epochs."""
    for step in range((checkpoint or 0) + 1, 28):
        yield Measurement(step=step, value=(config["x"] - 2) ** 2 * (1 + 1 / step) + config["y"] / step, checkpoint=step)
'''
MIXED = {
    "x": advisor.Float(-5, 10),
    "y": advisor.Float(1e-3, 10, log=True),
    "kind": advisor.Choice(["a", "b"]),
    "z": advisor.Int(1, 9, when={"kind": ["b"]}),
}
HELD = {"x": advisor.Float(-5, 10), "y": advisor.Float(0.3, 0.3), "z": advisor.Int(1, 9)}
NUMBERS = {"x": advisor.Float(-5, 10), "y": advisor.Float(1e-3, 10, log=True), "z": advisor.Int(1, 64, log=True)}
BLOCKED = (
    "import sys; sys.modules['advisor'] = None; import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""Runs a script in an interpreter in which importing the advisor fails."""


def carried_out(
    script: str,
    folder: Path,
    trials: int,
    *,
    path: Path | None = None,
    blocked: bool = True,
    seconds: float = 500,
    options: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """The trials of `script` in an interpreter of its own."""
    file, log = folder / "exported.py", folder / "trials.jsonl"
    file.write_text(script, encoding="utf-8")
    log.unlink(missing_ok=True)
    arguments = [
        str(file),
        "--trials",
        str(trials),
        "--seconds",
        str(seconds),
        "--log",
        str(log),
        "--out",
        str(folder / "result"),
        *options,
    ]
    done = subprocess.run(
        [sys.executable, *(["-c", BLOCKED] if blocked else []), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path or ""), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in log.read_text().splitlines()]


def of_search(state: StudyState) -> list[TrialState]:
    return [t for t in state.trials.values() if t.stage != "confirm"]


def assert_same(theirs: list[dict[str, Any]], ours: list[TrialState]) -> None:
    """Equal in number, order, family, configuration, end and score."""
    assert len(theirs) == len(ours)
    for script, run in zip(theirs, ours, strict=True):
        seen = (script["family"], script["config"], script["status"])
        assert seen == (run.family, run.config, run.status), f"trial {run.number}: {script.get('cause', '')}"
        # BLAS adds in another order when rows lie otherwise in memory: a few units in the last place (2^-52) of a sum over rows.
        assert script.get("value") == (None if run.value is None else pytest.approx(run.value, rel=1e-12)), f"trial {run.number}"


def tuned(
    folder: Path,
    source: str,
    function: str,
    space: Mapping[str, Any] | None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    seconds: float = 600,
    isolation: Literal["process", "inline"] = "inline",
    **rest: Any,
) -> Path:
    """The run of a function of a module of its own."""
    name = f"own_{re.sub('[^a-z0-9]', '_', folder.name)}"
    (folder / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    module = __import__(name)
    advisor.tune(getattr(module, function), space, budget_seconds=seconds, run_dir=folder / "run", isolation=isolation, force=True, **rest)
    return folder / "run"


def test_the_first_fifty_proposals_of_tpe_are_those_of_optuna_run_by_the_exported_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = tuned(tmp_path, BOWL, "objective", MIXED, monkeypatch, strategy="tpe", max_trials=54)
    ours = of_search(session.follow(run_dir).poll())
    assert len([t for t in ours if t.stage == "search"]) >= 50
    assert_same(carried_out(export(run_dir), tmp_path, 54, path=tmp_path), ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "space", "trials"),
    [
        ("random", MIXED, 30),
        ("random", HELD, 16),
        ("grid", MIXED, 60),
        ("qmc", NUMBERS, 30),
        ("cmaes", NUMBERS, 40),
        ("gp", NUMBERS, 16),
        ("tpe", HELD, 16),
    ],
)
def test_every_sampler_is_repeated_by_its_script(
    strategy: str, space: Mapping[str, Any], trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = tuned(tmp_path, BOWL, "objective", space, monkeypatch, strategy=strategy, max_trials=trials)
    assert_same(carried_out(export(run_dir), tmp_path, trials, path=tmp_path), of_search(session.follow(run_dir).poll()))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["tpe", "asha", "hyperband"])
def test_pruned_trials_are_pruned_at_the_same_step(strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fidelity = advisor.Fidelity("epoch", 1, 27)
    run_dir = tuned(tmp_path, STEPPED, "stepped", NUMBERS, monkeypatch, strategy=strategy, max_trials=45, fidelity=fidelity)
    state = session.follow(run_dir).poll()
    if strategy != "tpe":
        assert state.counts()["pruned"] > 0
    # The objective itself imports the advisor for its Measurement.
    script, ours = export(run_dir), of_search(state)
    theirs = carried_out(script, tmp_path, 45, path=tmp_path, blocked=False)
    if strategy == "tpe":  # it stops trials by what they have earned, which the script says that it does not
        assert "until the first trial that it stopped" in " ".join(script.split())
        same = next((i for i, t in enumerate(ours) if t.status == "pruned"), len(ours))
        assert same > 10
        theirs, ours = theirs[:same], ours[:same]
    assert_same(theirs, ours)
    assert [[tuple(s) for s in t["steps"]] for t in theirs] == [list(t.steps) for t in ours]


@pytest.mark.slow
def test_an_objective_of_optuna_is_repeated_with_optuna_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = tuned(tmp_path, BOWL, "for_optuna", None, monkeypatch, strategy="tpe", max_trials=30)
    assert_same(carried_out(export(run_dir), tmp_path, 30, path=tmp_path), of_search(session.follow(run_dir).poll()))


DRIFTING = """
from advisor import Measurement

def drifting(config, checkpoint=None):
    \"\"\"A point that a rate draws to zero, and that noise pushes away.\"\"\"
    step, x = checkpoint or (0, 5.0)
    for step in range(step + 1, 9):
        x = x - config["rate"] * x + 0.05 * config["noise"] * config["held"]
        yield Measurement(step, abs(x), (step, x))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_population_is_a_script_on_ray_that_replays_what_the_run_has_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"rate": advisor.Float(1e-3, 1.0, log=True), "noise": advisor.Float(0.0, 1.0), "held": advisor.Float(0.5, 0.5)}
    fidelity = advisor.Fidelity("epoch", 1, 8)
    asked: dict[str, Any] = {"strategy": "pbt", "goal": "schedule", "fidelity": fidelity, "workers": 2, "isolation": "process"}
    run_dir = tuned(tmp_path, DRIFTING, "drifting", space, monkeypatch, seconds=90, **asked)
    members = [t for t in session.follow(run_dir).poll().trials.values() if t.stage == "search" and t.status == "completed"]
    script = export(run_dir)
    (replayed,) = carried_out(script, tmp_path, 1, path=tmp_path, blocked=False, options=("--replay",))
    assert replayed["value"] == min(t.value for t in members if t.value is not None)

    theirs = [t for t in carried_out(script, tmp_path, 99, path=tmp_path, blocked=False, seconds=150) if t["stage"] == "search"]
    assert len(theirs) == 8
    assert len({repr(t["schedule"]) for t in theirs}) > 1, "the members are all alike"
    assert any(len(t["schedule"]) > 1 for t in theirs), "no member has taken anything over"
    drifting = sys.modules[f"own_{re.sub('[^a-z0-9]', '_', tmp_path.name)}"].drifting
    for trial in theirs:
        checkpoint, value = None, 5.0
        for number, (_, config) in enumerate(trial["schedule"]):
            ends = [*(step for step, _ in trial["schedule"]), trial["steps"][-1][0]]
            for measurement in drifting({**config, "held": 0.5}, checkpoint):
                checkpoint, value = measurement.checkpoint, measurement.value
                if measurement.step == ends[number + 1]:
                    break
        assert value == trial["value"]


PAIR = """
import advisor
import torch

draws = torch.Generator().manual_seed(0)
truth = torch.tensor([2.0, 2.0, 0.0, 0.0])


def rows(count):
    x = torch.randn(count, 4, generator=draws)
    return x, x @ truth + torch.randn(count, generator=draws)


def error(x, y):
    return lambda p: ((x @ p["w"] - y) ** 2).mean()


fitted = error(*rows(30))
pair = advisor.Differentiable(
    start={"w": torch.zeros(4)},
    train_loss=lambda p, h: fitted(p) + sum(h[f"l{i}"] * p["w"][i] ** 2 for i in range(4)),
    validation_loss=error(*rows(80)),
    second_validation_loss=error(*rows(80)),
    steps=40,
    learning_rate=0.1,
    optimiser="OPTIMISER",
)
"""


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["adam", "sgd", "lbfgs"])
def test_a_hypergradient_is_followed_to_where_the_run_ended(optimiser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {f"l{i}": advisor.Float(1e-4, 10.0, log=True, default=0.01) for i in range(4)}
    source = PAIR.replace("OPTIMISER", optimiser)
    run_dir = tuned(tmp_path, source, "pair", space, monkeypatch, goal="research", strategy="hypergradient", seconds=90)
    found = [t for t in session.follow(run_dir).poll().trials.values() if t.stage == "search"][-1]
    theirs = carried_out(export(run_dir), tmp_path, 99, path=tmp_path, blocked=False)
    # Single precision (2^-24) through a few hundred steps and a logarithm.
    assert theirs[-1]["config"] == pytest.approx(found.config, rel=1e-4)
    assert theirs[-1]["value"] == pytest.approx(found.value, rel=1e-5)


KERAS = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras
import numpy as np
from advisor.objectives.keras_model import KerasObjective

x = np.random.default_rng(0).normal(size=(120, 4)).astype("float32")


def build(config):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(config["units"], activation="relu"), keras.layers.Dense(2)])
    sgd = keras.optimizers.SGD(config["rate"], momentum=config.get("momentum", 0.0))
    optimizer = keras.optimizers.Adam(config["rate"]) if config["kind"] == "adam" else sgd
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


networks = KerasObjective(build, (x, (x[:, 0] > 0).astype("int64")), epochs=9)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_keras_model_is_searched_by_keras_tuner_whose_first_round_is_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {
        "rate": advisor.Float(1e-4, 1e-1, log=True),
        "units": advisor.Int(2, 16),
        "kind": advisor.Choice(["adam", "sgd"]),
        "momentum": advisor.Float(0.0, 0.9, when={"kind": ["sgd"]}),
    }
    asked: dict[str, Any] = {"strategy": "hyperband", "fidelity": advisor.Fidelity("epoch", 1, 9), "max_trials": 14}
    run_dir = tuned(tmp_path, KERAS, "networks", space, monkeypatch, seconds=300, **asked)
    ours = [t for t in of_search(session.follow(run_dir).poll()) if t.stage == "search"]
    theirs = carried_out(export(run_dir), tmp_path, 14, path=tmp_path, blocked=False)
    first = [t for t in theirs if t["stage"] == "search" and t["steps"][0][0] == 1]
    assert [t["config"] for t in first] == [t.config for t in ours if t.until == 1]
    assert {len(t["config"]) for t in first} == {3, 4}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_network_follows_a_schedule_in_the_script_as_in_a_trial(tmp_path: Path) -> None:
    facts = advisor.gather("sklearn:iris", budget_seconds=300, workers=1, force=True, model="mlp", strategy="pbt", goal="schedule")
    plan = advisor.recommend(facts)
    schedule = ((0, {"lr": 0.01, "dropout": 0.1, "weight_decay": 1e-4}), (3, {"lr": 0.001, "dropout": 0.3, "weight_decay": 1e-2}))
    (stage,) = [s for s in plan.stages if s.strategy is Strategy.PBT]
    script = exporting._script(
        plan, plan, facts, name="plan", data="sklearn:iris", stages=[(stage, plan.family, plan.space)], race=(), schedule=schedule
    )
    (replayed,) = carried_out(script, tmp_path, 1, options=("--replay",))

    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    prepared = prepare_table(folder, Request(data="sklearn:iris"), plan, facts)
    family = rulebook().families["mlp"].model_copy(update={"fixed": plan.candidate.fixed})
    config = {**plan.space.default(), **schedule[0][1], "course": [[3, schedule[1][1]]]}
    *_, last = prepared.objective(family, seed=plan.seed)(config)
    assert replayed["steps"][-1] == [last.step, pytest.approx(last.value, rel=1e-9)]


def run_of(table: Path | str, folder: Path, *, seconds: float = 300, **answers: Any) -> tuple[Path, Plan]:
    facts = advisor.gather(table, budget_seconds=seconds, workers=1, force=True, **answers)
    plan = advisor.recommend(facts)
    advisor.execute(plan, table, run_dir=folder / "run", facts=facts)
    return folder / "run", plan


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("model", "strategy", "trials"),
    [
        ("logistic_regression", "tpe", 12),
        ("svc", "grid", 10),
        ("hist_gradient_boosting", "random", 5),
        ("random_forest", "random", 5),
        ("knn", "tpe", 10),
        ("mlp", "random", 5),
        ("lightgbm", "tpe", 6),
        ("xgboost", "random", 6),
        ("catboost", "random", 5),
    ],
)
def test_a_table_is_read_split_fitted_and_scored_as_the_run_did(
    model: str, strategy: str, trials: int, table: Path, tmp_path: Path
) -> None:
    quick: dict[str, Any] = {"freeze": {"n_estimators": 30}} if model == "catboost" else {}
    run_dir, _ = run_of(table, tmp_path, target="outcome", model=model, strategy=strategy, trials=trials, **quick)
    state = session.follow(run_dir).poll()
    assert_same(carried_out(export(run_dir), tmp_path, len(of_search(state))), of_search(state))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("model", "is_grid"), [("logistic_regression", False), ("knn", True)])
def test_halving_cuts_the_rows_and_climbs_as_the_run_did(model: str, is_grid: bool, tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    x = source.normal(size=(2600, 3))
    table = {**{f"f{i}": x[:, i] for i in range(3)}, "outcome": np.where(x[:, 0] + source.normal(size=2600) > 0, "yes", "no")}
    pl.DataFrame(table).write_csv(tmp_path / "table.csv")
    answers: dict[str, Any] = {"freeze": {"n_neighbors": 20, "p": 2.0}} if is_grid else {}
    run_dir, _ = run_of(tmp_path / "table.csv", tmp_path, target="outcome", model=model, strategy="halving", trials=20, **answers)
    state = session.follow(run_dir).poll()
    searched = [t for t in of_search(state) if t.stage == "search"]
    assert {t.rows for t in searched} > {None}, "no finalist ran on all rows"
    script = export(run_dir)
    assert ("ParameterGrid(" in script) is is_grid
    theirs = carried_out(script, tmp_path, len(of_search(state)))
    assert_same(theirs, of_search(state))
    assert [t["rows"] for t in theirs] == [t.rows for t in of_search(state)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("strategy", ["tpe", "random"])
def test_stages_that_move_a_part_keep_the_best_of_the_rest(strategy: str, table: Path, tmp_path: Path) -> None:
    facts = advisor.gather(table, target="outcome", budget_seconds=300, workers=1, force=True, model="knn", strategy=strategy, trials=24)
    plan = advisor.recommend(facts)
    pilot, search, confirm = plan.stages
    parts = {"capacity": ("n_neighbors", "p"), "regularisation": ("n_neighbors", "weights")}
    groups = [search.model_copy(update={"name": name, "space": moves, "trials": 9}) for name, moves in parts.items()]
    plan = plan.model_copy(update={"stages": (pilot, *groups, confirm)})
    advisor.execute(plan, table, run_dir=tmp_path / "run")
    RunFolder(tmp_path / "run").write_facts(facts)
    state = session.follow(tmp_path / "run").poll()
    assert {t.stage for t in state.trials.values()} >= {"pilot", *parts}
    assert_same(carried_out(export(tmp_path / "run"), tmp_path, len(of_search(state))), of_search(state))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_several_families_and_a_number_to_predict(tmp_path: Path) -> None:
    run_dir, _ = run_of("sklearn:diabetes", tmp_path, strategy="random", trials=8)
    state = session.follow(run_dir).poll()
    assert len({t.family for t in state.trials.values()}) > 1
    assert_same(carried_out(export(run_dir), tmp_path, len(of_search(state))), of_search(state))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_script_of_a_plan_runs_before_any_run_and_ships_a_model(table: Path, tmp_path: Path) -> None:
    import joblib

    facts = advisor.gather(table, target="outcome", budget_seconds=300, workers=1, model="logistic_regression", trials=6)
    plan = advisor.recommend(facts)
    theirs = carried_out(script_of_plan(plan, facts, name="plan.toml"), tmp_path, 6)
    assert [t["config"] for t in theirs][: plan.stages[0].trials] == [dict(s) for s in plan.starts[: plan.stages[0].trials]]
    kept = joblib.load(tmp_path / "result")
    assert kept["labels"] == ("good", "bad") or kept["labels"] == ("bad", "good")
    assert hasattr(kept["pipeline"], "predict_proba")


def test_a_script_is_python_that_imports_no_advisor(table: Path, tmp_path: Path) -> None:
    facts = advisor.gather(table, target="outcome", budget_seconds=600)
    plan = advisor.recommend(facts)
    session.save_plan(plan, tmp_path / "plan.toml", facts=facts)
    script = export(tmp_path / "plan.toml")
    tree = ast.parse(script)
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not [m for m in modules if m.split(".")[0] == "advisor"]
    assert all(c.family in script for c in plan.shortlist)


def test_there_is_no_strategy_without_a_script() -> None:
    assert frozenset(Strategy) == EXPORTED


def test_the_same_plan_gives_the_same_script(table: Path, tmp_path: Path) -> None:
    facts = advisor.gather(table, target="outcome", budget_seconds=600, model="logistic_regression")
    plan = advisor.recommend(facts)
    assert script_of_plan(plan, facts, name="a") == script_of_plan(plan, facts, name="a")


def test_a_plan_without_its_facts_is_refused_with_the_cure(table: Path, tmp_path: Path) -> None:
    plan = advisor.recommend(advisor.gather(table, target="outcome", budget_seconds=60))
    session.save_plan(plan, tmp_path / "plan.toml")
    with pytest.raises(InputError, match="advisor plan DATA --out"):
        export(tmp_path / "plan.toml")


def test_a_function_that_nobody_can_import_is_refused(tmp_path: Path) -> None:
    advisor.tune(lambda config: config["x"], {"x": advisor.Float(0, 1)}, max_trials=3, isolation="inline", run_dir=tmp_path / "run")
    with pytest.raises(CannotRunError, match="nothing that a script can import"):
        export(tmp_path / "run")
    notes = session.follow(tmp_path / "run").poll().notes
    assert any("script.py was not written" in n.text for n in notes)
