"""Optuna by ask and tell: repeatable across restarts, pruned as meant, and told what was known before."""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest

from advisor.core.errors import CannotRunError, InputError
from advisor.core.events import (
    EngineStarted,
    Measured,
    RunStarted,
    TrialFailed,
    TrialFinished,
    TrialPruned,
    TrialStarted,
    fold_all,
)
from advisor.core.plan import Pruner
from advisor.core.ports import Proposal, Result
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.engines.optuna_study import FULL_LENGTH_FIRST, OptunaEngine, export_study, trial_seed
from tests.contract.engines import MIXED, NUMERIC, Drive, bowl, completed


def engine(space: SearchSpace = MIXED, **changed: Any) -> OptunaEngine:
    values: dict[str, Any] = {"strategy": "tpe", "direction": "minimize", "seed": 3, "settings": {"n_startup_trials": 4}}
    return OptunaEngine(space, **{**values, **changed})


PRUNERS = {
    "none": Pruner(name="none"),
    "median": Pruner(name="median", resource="fold", settings={"n_startup_trials": 3}),
    "wilcoxon": Pruner(name="wilcoxon", resource="fold", settings={"p_threshold": 0.3}),
    "successive_halving": Pruner(name="successive_halving", resource="epoch", settings={"reduction_factor": 2, "full_length_first": 3}),
    "hyperband": Pruner(name="hyperband", resource="epoch", settings={"max_resource": 3, "reduction_factor": 2, "full_length_first": 3}),
}


@pytest.mark.parametrize("pruner", list(PRUNERS))
@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_at_any_trial_goes_on_with_the_same_proposals_and_the_same_ends(pruner: str, seed: int) -> None:
    def new() -> OptunaEngine:
        return engine(seed=seed, pruner=PRUNERS[pruner], n_trials=14)

    whole = Drive(new()).run(14)
    for killed_at in (1, 4, 6, 9, 12):
        assert Drive(new()).replay(whole.log[:killed_at]).run(14).log == whole.log[killed_at:]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["tpe", "cmaes", "qmc", "random"])
def test_twenty_seeds_killed_at_five_trials_go_on_with_the_same_proposals(strategy: Any) -> None:
    space = NUMERIC if strategy in ("cmaes", "qmc") else MIXED
    settings = {"n_startup_trials": 4} if strategy == "tpe" else {}
    for seed in range(20):
        whole = Drive(engine(space, strategy=strategy, settings=settings, seed=seed, n_trials=12)).run(12)
        for killed_at in (1, 3, 6, 8, 11):
            resumed = engine(space, strategy=strategy, settings=settings, seed=seed, n_trials=12)
            assert Drive(resumed).replay(whole.log[:killed_at]).run(12).log == whole.log[killed_at:]


@pytest.mark.slow
def test_a_gaussian_process_killed_at_any_trial_goes_on_with_the_same_proposals() -> None:
    def new(seed: int) -> OptunaEngine:
        return engine(NUMERIC, strategy="gp", seed=seed, n_trials=7)

    for seed in range(2):
        whole = Drive(new(seed)).run(7)
        for killed_at in (2, 5):
            assert Drive(new(seed)).replay(whole.log[:killed_at]).run(7).log == whole.log[killed_at:]


def test_another_seed_gives_other_proposals() -> None:
    assert Drive(engine(seed=1)).run(3).proposals != Drive(engine(seed=2)).run(3).proposals


def test_the_seed_of_a_trial_depends_on_run_key_and_drawing() -> None:
    seeds = {trial_seed(run, key, attempt) for run in range(5) for key in range(5) for attempt in range(5)}
    assert len(seeds) == 125
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_few_dozen_trials_come_nearer_than_as_many_random_ones() -> None:
    def best(strategy: Any, settings: dict[str, Any]) -> float:
        space = SearchSpace(parameters={f"x{i}": Float(0.001, 1000.0, log=True) for i in range(4)})
        drives = [Drive(engine(space, strategy=strategy, settings=settings, seed=s, n_trials=50)).run(50) for s in range(3)]
        return sum(min(sum((math.log10(v) - 1) ** 2 for v in p.config.values()) for p, _ in d.log) for d in drives)

    assert best("tpe", {}) < best("random", {})


def test_every_configuration_of_a_small_space_is_tried_before_one_is_repeated() -> None:
    space = SearchSpace(parameters={"a": Choice(["x", "y", "z"], default="x"), "b": Int(1, 3, default=1)})
    drive = Drive(engine(space, history=[(space.default(), completed((0.1, 0.1, 0.1)))], n_trials=7)).run(7)
    seen = [str(p.config) for p in drive.proposals]
    assert len(set(seen)) >= 6
    assert str(space.default()) not in seen[:5]


def test_what_was_evaluated_before_is_learnt_and_what_lies_outside_is_noted() -> None:
    inside, outside = {"rate": 0.5, "share": 0.5, "depth": 3}, {"rate": 7.0, "share": 0.5, "depth": 3}
    history = [(inside, completed((0.5, 0.6, 0.7))), (outside, completed((0.1, 0.1, 0.1))), ({**inside, "depth": 4}, Result("failed"))]
    found = engine(NUMERIC, history=history)
    assert [t.params for t in found._study.trials] == [inside]
    assert found.notes == ["1 of 3 earlier evaluations lie outside the search space; the sampler does not learn from them."]


def test_of_parameters_that_do_not_move_in_a_stage_only_the_rest_counts() -> None:
    found = engine(NUMERIC.restrict(["rate"]), history=[({"rate": 0.5, "share": 0.5, "depth": 3}, completed((0.5, 0.6, 0.7)))])
    assert [t.params for t in found._study.trials] == [{"rate": 0.5}]


def test_the_wilcoxon_pruner_sees_each_folds_own_score() -> None:
    found = engine(NUMERIC, pruner=PRUNERS["wilcoxon"], history=[(NUMERIC.default(), completed((0.3, 0.5, 0.1)))])
    proposal = found.propose()
    assert proposal is not None
    for step, mean in completed((0.7, 0.2, 0.9)).steps:
        found.observe(proposal, step, mean)
    assert [t.intermediate_values for t in found._study.trials] == [{1: 0.3, 2: 0.5, 3: 0.1}, {1: 0.7, 2: 0.2, 3: 0.9}]


def test_a_trial_worse_on_every_fold_is_pruned_and_a_default_or_start_never() -> None:
    history = [(NUMERIC.default(), completed((0.1, 0.1, 0.1, 0.1, 0.1)))]
    pruned_at = {}
    for origin in ("proposal", "start", "default"):
        found = engine(NUMERIC, pruner=Pruner(name="wilcoxon", resource="fold"), history=history)
        first = found.propose()
        assert first is not None
        proposal = Proposal(first.key, first.config, origin)  # type: ignore[arg-type]
        steps = [found.observe(proposal, step, 0.9 + 0.01 * step) for step in range(1, 6)]
        pruned_at[origin] = steps.index(True) + 1 if True in steps else None
    assert pruned_at == {"proposal": 4, "start": None, "default": None}


@pytest.mark.parametrize("pruner", ["median", "successive_halving"])
def test_on_epochs_twelve_trials_run_in_full_before_one_is_pruned(pruner: Any) -> None:
    found = engine(NUMERIC, strategy="random", settings={}, pruner=Pruner(name=pruner, resource="epoch"))
    first_pruned = None
    for _ in range(20):
        proposal = found.propose()
        assert proposal is not None
        worse_each_time = 1.0 + proposal.key
        if any(found.observe(proposal, step, worse_each_time) for step in range(1, 6)):
            first_pruned = proposal.key if first_pruned is None else first_pruned
            found.tell(proposal, Result("pruned", worse_each_time))
        else:
            found.tell(proposal, Result("completed", worse_each_time))
    assert first_pruned == FULL_LENGTH_FIRST


def test_full_trials_are_entered_at_every_rung() -> None:
    pruner = Pruner(name="successive_halving", resource="epoch", settings={"reduction_factor": 2})
    found = engine(NUMERIC, strategy="random", settings={}, pruner=pruner, history=[(NUMERIC.default(), completed((0.3, 0.2, 0.1)))])
    assert {k for t in found._study.trials for k in t.system_attrs if k.startswith("completed_rung")} == {
        "completed_rung_0",
        "completed_rung_1",
    }


def test_values_that_optuna_refuses_or_confuses_come_back_as_they_are() -> None:
    choices = ([64, 64], [32], None, math.inf, True, 1, 1.0)
    space = SearchSpace(parameters={"shape": Choice(choices, default=None)})
    drive = Drive(engine(space, strategy="random", settings={}, n_trials=60), fails=lambda p: True).run(60)
    found = {(type(p.config["shape"]), str(p.config["shape"])) for p in drive.proposals}
    assert found == {(type(c), str(c)) for c in choices}
    assert engine(space, history=[({"shape": [32]}, completed((0.5,)))])._study.trials[0].params == {"shape": "[32]"}


def test_a_condition_decides_which_parameters_a_proposal_has() -> None:
    for proposal in Drive(engine(MIXED, n_trials=20)).run(20).proposals:
        assert ("degree" in proposal.config) is (proposal.config["kind"] == "curved")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_finite_number_is_refused(value: Any) -> None:
    found = engine(pruner=PRUNERS["median"])
    proposal = found.propose()
    assert proposal is not None
    with pytest.raises(InputError, match="no finite number"):
        found.tell(proposal, Result("completed", value))
    if value is not None:
        with pytest.raises(InputError, match="no finite number"):
            found.observe(proposal, 1, value)


def test_an_unknown_setting_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(InputError, match="Did you mean 'n_startup_trials'"):
        engine(settings={"n_startup_trial": 3})
    with pytest.raises(InputError, match="Did you mean 'p_threshold'"):
        engine(pruner=Pruner(name="wilcoxon", resource="fold", settings={"threshold": 0.1}))
    with pytest.raises(InputError, match="length of a full trial"):
        engine(strategy="hyperband", settings={})


def test_a_space_the_sampler_cannot_search_is_refused() -> None:
    with pytest.raises(CannotRunError, match="numbers only"):
        engine(MIXED, strategy="cmaes", settings={})
    with pytest.raises(CannotRunError, match="no conditions"):
        engine(MIXED, strategy="grid", settings={}, n_trials=9)


def test_optuna_is_silent_here_and_as_loud_as_before_elsewhere(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for strategy in ("tpe", "cmaes", "qmc", "grid"):
            Drive(engine(NUMERIC, strategy=strategy, settings={}, n_trials=9)).run(9)
        engine(pruner=PRUNERS["wilcoxon"])
    assert capfd.readouterr().err == ""
    assert optuna.logging.get_verbosity() == before
    assert logging.getLogger("optuna").level == before


def test_a_thousand_trials_are_replayed_in_a_few_seconds() -> None:
    import time

    log = [
        (Proposal(k, {"rate": 0.001 * (k + 1), "share": 0.5, "depth": 1 + k % 64}), completed((k * 0.1, k * 0.2, k * 0.3)))
        for k in range(900)
    ]
    found = engine(NUMERIC, n_trials=2000, pruner=PRUNERS["median"])
    began = time.process_time()
    Drive(found).replay(log)
    assert found.propose() is not None
    # Faults table, 1: the next trial starts within five seconds of a resume.
    assert time.process_time() - began < 4.0


class TestExport:
    def events(self) -> list[Any]:
        plan = {
            "direction": "maximize",
            "shortlist": [
                {"family": "first", "space": NUMERIC.model_dump(mode="json")},
                {"family": "second", "space": MIXED.model_dump(mode="json")},
            ],
        }
        out: list[Any] = [RunStarted(run="brave-otter", plan=plan, versions={}), EngineStarted(pid=1, started_at_ticks=1, boot_id="b")]

        def start(trial: int, family: str, config: Config, stage: str = "search") -> None:
            out.append(TrialStarted(trial=trial, stage=stage, origin="proposal", family=family, config=config, elapsed=float(trial)))

        start(0, "first", {"rate": 0.1, "share": 0.5, "depth": 8})
        out.append(Measured(trial=0, step=1, value=0.7))
        out.append(TrialFinished(trial=0, value=0.8, scores=(0.7, 0.9), seconds=2.0))
        start(1, "first", {"rate": 9.0, "share": 0.5, "depth": 8})
        out.append(Measured(trial=1, step=1, value=0.2))
        out.append(TrialPruned(trial=1, step=1, value=0.2, seconds=1.0))
        start(2, "second", {"kind": "curved", "rate": 0.1, "degree": 3, "weight": None})
        out.append(TrialFailed(trial=2, cause="it broke"))
        start(3, "second", {"kind": "plain", "rate": 0.2, "weight": "even"})
        out.append(TrialFinished(trial=3, value=0.9, seconds=1.0))
        start(4, "second", {"kind": "plain", "rate": 0.3, "weight": "even"})
        start(5, "first", {"rate": 0.1, "share": 0.5, "depth": 8}, stage="confirm")
        out.append(TrialFinished(trial=5, value=0.99, seconds=1.0))
        return out

    def test_the_file_is_a_study_a_family_that_optuna_reads(self, tmp_path: Path) -> None:
        path = export_study(fold_all(self.events()), tmp_path / "study.db")
        names = sorted(optuna.get_all_study_names(f"sqlite:///{path}"))
        first, second = (optuna.load_study(study_name=name, storage=f"sqlite:///{path}") for name in names)
        assert names == ["brave-otter/first", "brave-otter/second"]
        assert [(t.state.name, t.value, t.params["rate"]) for t in first.trials] == [("COMPLETE", 0.8, 0.1), ("PRUNED", 0.2, 9.0)]
        assert [(t.state.name, t.user_attrs["trial"]) for t in second.trials] == [("FAIL", 2), ("COMPLETE", 3)]
        assert (first.best_value, second.best_params) == (0.8, {"kind": "plain", "rate": 0.2, "weight": "even"})
        assert first.trials[0].duration is not None and first.trials[0].duration.total_seconds() == pytest.approx(2.0)

    def test_a_file_that_was_there_is_replaced_and_no_draft_stays(self, tmp_path: Path) -> None:
        (tmp_path / "study.db").write_text("old")
        export_study(fold_all(self.events()), tmp_path / "study.db")
        assert [p.name for p in tmp_path.iterdir()] == ["study.db"]
        assert (tmp_path / "study.db").read_bytes().startswith(b"SQLite format 3")

    def test_nothing_is_written_before_a_trial_has_ended(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="No trial has ended"):
            export_study(fold_all(self.events()[:3]), tmp_path / "study.db")
        assert list(tmp_path.iterdir()) == []


def test_the_fake_objective_has_three_scores() -> None:
    assert len(bowl(MIXED.default())) == 3
