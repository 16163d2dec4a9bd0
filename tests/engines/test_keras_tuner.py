"""KerasTuner's Hyperband through ask and tell: its own trials, promotions that go on, and lives that end in between."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import pytest

from advisor.core.errors import CannotRunError, InputError
from advisor.core.events import Event, RunStarted, StudyState, fold
from advisor.core.ports import Limits, Proposal, Result
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.objectives.keras_model import KerasObjective
from advisor.supervise.commands import CommandBox
from advisor.supervise.loop import drive
from advisor.supervise.pool import WorkerPool

keras_tuner = pytest.importorskip("keras_tuner")

from advisor.engines.keras_tuner import KerasTunerEngine, hyperparameters, library_seed  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SPACE = SearchSpace(
    parameters={
        "rate": Float(1e-4, 1.0, log=True, default=0.1),
        "share": Float(0.1, 0.9, default=0.5),
        "units": Int(1, 64, log=True, default=8),
        "layers": Int(1, 4, default=2),
    }
)
BRANCHED = SearchSpace(
    parameters={
        "kind": Choice(["plain", "curved", None], default="plain"),
        "is_wide": Choice([True, False], default=False),
        "rate": Float(1e-4, 1.0, log=True, default=0.1),
        "degree": Int(2, 5, default=3, when={"kind": ("curved",)}),
        "bend": Float(0.0, 1.0, default=0.5, when={"degree": (4, 5), "is_wide": (True,)}),
    }
)


def loss(config: Config, epoch: int) -> float:
    """A curve that falls with the epochs; rates far from 0.01 stay high, and slow ones start higher."""
    return (math.log10(config["rate"]) + 2) ** 2 + 1 / epoch


@dataclass
class Trainer:
    """Trains as the supervisor does: from where a proposal goes on to where it is paused, or to its end."""

    engine: KerasTunerEngine
    score: Callable[[Config, int], float] = loss
    workers: int = 1
    epochs: int = 9
    log: list[tuple[Proposal, Result]] = field(default_factory=list)
    running: list[Proposal] = field(default_factory=list)

    def run(self, ends: int = 1000) -> Trainer:
        """Goes on until so many trials have ended; others may still run."""
        while ends:
            while len(self.running) < self.workers and (proposal := self.engine.propose()) is not None:
                self.running.append(proposal)
            if not self.running:
                assert self.engine.is_done
                break
            # The middle one ends first where several run, so that ends come in another order than starts.
            proposal = self.running.pop(len(self.running) // 2)
            self.end(proposal, self.trained(proposal))
            ends -= 1
        return self

    def trained(self, proposal: Proposal) -> Result:
        begun = 0
        if proposal.continues is not None:
            before = next(entry for entry in self.log if entry[0].key == proposal.continues)
            assert before[0].config == proposal.config
            begun = before[1].steps[-1][0]
        last = proposal.until or self.epochs
        steps = tuple((epoch, self.score(proposal.config, epoch)) for epoch in range(begun + 1, last + 1))
        return Result("completed" if proposal.until is None else "pruned", steps[-1][1], steps=steps, cause=f"paused at step {last}")

    def end(self, proposal: Proposal, result: Result) -> None:
        self.log.append((proposal, result))
        self.engine.tell(proposal, result)

    def replay(self, log: list[tuple[Proposal, Result]]) -> Trainer:
        for proposal, result in sorted(log, key=lambda entry: entry[0].key):
            self.end(proposal, result)
        return self

    @property
    def proposals(self) -> list[Proposal]:
        return sorted((p for p, _ in self.log), key=lambda p: p.key)


def engine(space: SearchSpace = SPACE, *, seed: int = 7, **settings: Any) -> KerasTunerEngine:
    return KerasTunerEngine(space, **{"direction": "minimize", "seed": seed, "max_epochs": 9, **settings})


def of_library(space: Any, folder: Path, *, seed: int, direction: str = "min", score: Callable[[Config, int], float] = loss) -> list[Any]:
    """(configuration, first epoch, last epoch, trial gone on from) of every trial of `keras_tuner.Hyperband` itself."""
    seen: list[Any] = []

    class Tuner(keras_tuner.Hyperband):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            values = dict(trial.hyperparameters.values)
            past = values.get("tuner/trial_id")
            config = {name: v for name, v in values.items() if not name.startswith("tuner/")}
            seen.append((config, values["tuner/initial_epoch"], values["tuner/epochs"], None if past is None else int(past)))
            return {"loss": score(config, values["tuner/epochs"])}

    tuner = Tuner(
        objective=keras_tuner.Objective("loss", direction),
        hyperparameters=space,
        max_epochs=9,
        seed=library_seed(seed),
        directory=folder,
    )
    tuner.search(verbose=0)
    return seen


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_every_trial_of_the_librarys_own_tuner_is_proposed_in_its_order(tmp_path: Path, direction: str) -> None:
    theirs = of_library(hyperparameters(SPACE), tmp_path, seed=7, direction=direction[:3])
    ours = Trainer(engine(direction=direction)).run()
    assert [(p.config, r.steps[0][0] - 1, p.until or 9, p.continues) for p, r in sorted(ours.log, key=lambda entry: entry[0].key)] == theirs
    assert len(theirs) == 9 + 3 + 1 + 5 + 2 + 3


def test_conditions_are_those_of_a_space_written_for_the_library(tmp_path: Path) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["plain", "curved"])
    hp.Float("rate", 1e-4, 1.0, sampling="log")
    with hp.conditional_scope("kind", ["curved"]):
        hp.Int("degree", 2, 5)
        with hp.conditional_scope("degree", [4, 5]):
            hp.Float("bend", 0.0, 1.0)
    space = SearchSpace(
        parameters={
            "kind": Choice(["plain", "curved"]),
            "rate": Float(1e-4, 1.0, log=True),
            "degree": Int(2, 5, when={"kind": ("curved",)}),
            "bend": Float(0.0, 1.0, when={"kind": ("curved",), "degree": (4, 5)}),
        }
    )
    theirs = of_library(hp, tmp_path, seed=3)
    assert [p.config for p in Trainer(engine(space, seed=3)).run().proposals] == [config for config, *_ in theirs]
    assert {frozenset(config) for config, *_ in theirs} == {
        frozenset({"kind", "rate"}),
        frozenset({"kind", "rate", "degree"}),
        frozenset({"kind", "rate", "degree", "bend"}),
    }


def test_a_configuration_belongs_to_the_space_and_holds_no_key_of_the_library() -> None:
    for proposal in Trainer(engine(BRANCHED, hyperband_iterations=3)).run().proposals:
        assert BRANCHED.faults(proposal.config) == ()
        assert {type(v) for v in proposal.config.values()} <= {str, type(None), bool, float, int}


def test_the_best_third_go_on_to_three_times_the_epochs_and_the_last_run_to_their_end() -> None:
    trainer = Trainer(engine()).run(13)
    first = {p.key: r.value for p, r in trainer.log if p.until == 1}
    promoted = [p.continues for p, _ in trainer.log if p.until == 3]
    assert len(first) == 9
    assert sorted(promoted, key=lambda k: first[k]) == sorted(first, key=lambda k: first[k])[:3]
    last = trainer.log[-1][0]
    assert last.until is None
    assert last.continues in {p.key for p, _ in trainer.log if p.until == 3}


def test_the_rounds_say_what_will_be_trained() -> None:
    assert engine().rounds == (((9, 1), (3, 3), (1, 9)), ((5, 3), (2, 9)), ((3, 9),))
    assert engine(min_epochs=3).rounds == (((5, 3), (2, 9)), ((3, 9),))
    trainer = Trainer(engine(min_epochs=3, hyperband_iterations=2)).run()
    assert len(trainer.log) == 2 * (5 + 2 + 3)
    assert min(p.until or 9 for p in trainer.proposals) == 3


def test_without_a_number_of_iterations_it_goes_on_for_as_long_as_it_is_asked() -> None:
    trainer = Trainer(engine(max_epochs=3, hyperband_iterations=None), epochs=3).run(100)
    assert not trainer.engine.is_done
    assert trainer.proposals[:6] == Trainer(engine(max_epochs=3), epochs=3).run().proposals


@pytest.mark.parametrize("killed_at", [1, 8, 9, 10, 12, 13, 18, 20])
def test_a_resumed_search_proposes_what_the_uninterrupted_one_would(killed_at: int) -> None:
    whole = Trainer(engine(BRANCHED)).run()
    resumed = Trainer(engine(BRANCHED)).replay(whole.log[:killed_at]).run()
    assert resumed.log == whole.log


@pytest.mark.parametrize("killed_at", [2, 7, 9, 11, 14, 19])
def test_a_search_on_three_workers_is_resumed_with_its_promotions_and_its_lost_configurations(killed_at: int) -> None:
    before = Trainer(engine(), workers=3).run(killed_at)
    lost = before.running
    after = Trainer(engine(), workers=3).replay(before.log)
    assert after.proposals == before.proposals
    after.run()
    whole = Trainer(engine(), workers=3).run()
    assert sorted(p.key for p in after.proposals) == list(range(len(whole.log)))
    # The drawings are a sequence of their own: whatever was promoted meanwhile, the same configurations are tried.
    drawn, without_a_break = ([p.config["rate"] for p in t.proposals if p.continues is None] for t in (after, whole))
    assert sorted(drawn) == sorted(without_a_break)
    assert all(p.config in [q.config for q in after.proposals] for p in lost)


def test_asking_whether_it_is_done_changes_nothing() -> None:
    asked, unasked = engine(), engine()
    trainer = Trainer(unasked).run()
    for proposal, result in trainer.log:
        assert not asked.is_done
        assert asked.propose() == proposal
        assert not asked.is_done
        asked.tell(proposal, result)
    assert asked.is_done
    assert asked.propose() is None


def test_a_trial_that_failed_or_was_cut_short_is_not_promoted_and_the_search_ends() -> None:
    trainer = Trainer(engine())
    spoiled: set[int] = set()
    while (proposal := trainer.engine.propose()) is not None:
        if proposal.key in (1, 4):
            trainer.end(proposal, Result("failed", cause="it broke"))
            spoiled.add(proposal.key)
        elif proposal.key == 14:
            trainer.end(proposal, Result("pruned", -9.0, steps=((1, -9.0),), cause="skipped"))
            spoiled.add(proposal.key)
        else:
            trainer.end(proposal, trainer.trained(proposal))
    assert trainer.engine.is_done
    assert spoiled == {1, 4, 14}
    assert spoiled.isdisjoint({p.continues for p in trainer.proposals})
    assert any(p.until is None for p in trainer.proposals)


def test_it_ends_when_every_trial_fails() -> None:
    search, count = engine(), 0
    while (proposal := search.propose()) is not None:
        search.tell(proposal, Result("failed", cause="it broke"))
        count += 1
    assert search.is_done
    assert count == 9 + 5 + 3


def test_a_trial_that_ended_by_itself_is_not_trained_again() -> None:
    trainer = Trainer(engine())
    while (proposal := trainer.engine.propose()) is not None:
        result = trainer.trained(proposal)
        if proposal.key == 2:
            result = Result("completed", -1.0, steps=((1, -1.0),))
        trainer.end(proposal, result)
    assert 2 not in {p.continues for p in trainer.proposals}
    assert [p.key for p in trainer.proposals] == list(range(len(trainer.log)))
    # It took one place in the round of three and the one in the round of one.
    assert len(trainer.log) == (9 + 3 + 1 + 5 + 2 + 3) - 2
    resumed = Trainer(engine()).replay(trainer.log[:11])
    assert resumed.run().log == trainer.log


def test_seeds_are_repeated_zero_too_and_neighbours_share_no_drawing() -> None:
    drawn = {seed: {p.config["rate"] for p in Trainer(engine(seed=seed)).run().proposals} for seed in range(5)}
    assert drawn[0] == {p.config["rate"] for p in Trainer(engine(seed=0)).run().proposals}
    assert all(drawn[a].isdisjoint(drawn[b]) for a in drawn for b in drawn if a < b)


def test_a_space_that_the_first_round_would_use_up_is_refused_with_the_cure() -> None:
    def words(count: int) -> SearchSpace:
        return SearchSpace(parameters={"kind": Choice([f"w{i}" for i in range(count)]), "size": Int(1, 2, when={"kind": ("w0",)})})

    with pytest.raises(CannotRunError, match=r"the space has 17.*grid"):
        engine(words(16))
    assert Trainer(engine(words(17)), score=lambda config, epoch: float(len(config["kind"]))).run(13).log[-1][0].until is None


def test_names_that_the_library_keeps_and_settings_without_brackets_are_refused() -> None:
    with pytest.raises(InputError, match="tuner/epochs"):
        engine(SearchSpace(parameters={"tuner/epochs": Int(1, 9)}))
    with pytest.raises(InputError, match=r"factor is 1.*max_epochs is 2, and must be at least 4"):
        engine(max_epochs=2, min_epochs=4, factor=1)


@pytest.mark.slow
def test_a_keras_model_is_tuned_by_real_workers_and_every_promotion_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(240, 8)).astype("float32")
    objective = KerasObjective(keras_model, (X, (X[:, 0] > 0).astype("int64")), epochs=9, batch_size="batch")
    space = SearchSpace(parameters={"rate": Float(1e-3, 1.0, log=True), "units": Int(2, 16), "batch": Choice([16, 32, 64])})
    events: list[Event] = [RunStarted(run="r", plan={"direction": "minimize"})]
    state = lambda: reduce(fold, events, StudyState())  # noqa: E731
    with WorkerPool(size=2, environment={"OMP_NUM_THREADS": "1"}, memory_bytes=None, log_folder=tmp_path / "logs") as pool:
        pool.register("keras", objective)
        end = drive(
            KerasTunerEngine(space, direction="minimize", seed=1, max_epochs=9),
            pool,
            stage="search",
            family="keras",
            objective_name=lambda _proposal: "keras",
            limits=Limits(deadline=time.monotonic() + 150, trial_seconds=100),
            emit=events.append,
            state=state,
            next_trial=0,
            clock=time.monotonic,
            commands=CommandBox(None),
            checkpoints=tmp_path,
        )
    assert end.reason == "done"
    trials = {trial.key: trial for trial in state().trials.values()}
    assert state().counts() == {"completed": 6, "pruned": 9 + 3 + 5, "failed": 0}
    for trial in trials.values():
        begun = 0 if trial.continues is None else trials[trial.continues].until
        assert [step for step, _ in trial.steps] == list(range((begun or 0) + 1, (trial.until or 9) + 1))
    # The trial with the most stations behind it: its whole curve equals that of one training without a pause.
    chain = [next(t for t in trials.values() if t.until is None and t.continues is not None and trials[t.continues].continues is not None)]
    while (before := chain[0].continues) is not None:
        chain.insert(0, trials[before])
    assert [(m.step, m.value) for m in objective(chain[0].config)] == [step for trial in chain for step in trial.steps]


def keras_model(config: Config) -> Any:
    import keras

    model = keras.Sequential([keras.layers.Dense(config["units"], activation="relu"), keras.layers.Dropout(0.2), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(config["rate"]), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_a_journal_of_another_space_is_refused() -> None:
    stranger = Proposal(0, {"rate": 0.5}, until=4)
    with pytest.raises(CannotRunError, match="has no place"):
        engine().tell(stranger, Result("pruned", 1.0, steps=((4, 1.0),)))


def test_a_value_that_is_not_finite_is_refused() -> None:
    search = engine()
    proposal = search.propose()
    assert proposal is not None
    with pytest.raises(InputError, match="nan"):
        search.tell(proposal, Result("completed", math.nan))
