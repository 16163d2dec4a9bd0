"""What the pilot measures of networks: memory lowers a batch and nothing raises it, a resumed run has it, rates are narrowed softly."""

from __future__ import annotations

from pathlib import Path

import pytest

import advisor
from advisor.core.events import Event, RunStarted, TrialFailed, TrialFinished, TrialStarted, fold_all
from advisor.core.space import Float
from advisor.objectives.network_objective import NetworkObjective
from advisor.session.folder import Request, RunFolder
from advisor.session.piloting import prepare, with_rates
from advisor.session.recording import MemoryJournal, Recorder
from advisor.session.running import prepare_table
from advisor.session.walking import Walk
from advisor.supervise.commands import CommandBox
from advisor.supervise.evaluation import Ended, Stepped
from advisor.supervise.pool import InlinePool

NETWORK = "mlp"


class _Clock:
    """Seconds that only pass where a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _walk(table: Path, folder: Path, *, budget: float = 60.0, memory: int | None = None, events: tuple[Event, ...] = ()) -> Walk:
    facts = advisor.gather(table, target="outcome", budget_seconds=budget, model=NETWORK)
    plan = advisor.recommend(facts)
    if memory is not None:
        plan = plan.model_copy(update={"envelope": plan.envelope.model_copy(update={"memory_per_worker_bytes": memory})})
    run = RunFolder(folder)
    run.work.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(MemoryJournal(), events, began=0.0, clock=_Clock())
    if not events:
        recorder.emit(RunStarted(run="one", plan=plan.to_mapping(), versions={}, command=""))
    assert recorder.state.plan is not None
    walk = Walk(
        folder=run,
        facts=facts,
        first=plan,
        plan=type(plan).from_mapping(recorder.state.plan),
        follows_facts=True,
        recorder=recorder,
        pool=InlinePool(),
        commands=CommandBox(None),
        is_interrupted=lambda: False,
        prepared_table=prepare_table(run, Request(data=str(table)), plan, facts),
    )
    walk.register(NETWORK)
    return walk


def _begun(number: int, *, at: float = 0.0) -> TrialStarted:
    return TrialStarted(trial=number, stage="pilot", origin="start", family=NETWORK, config={"lr": 1e-3}, key=number, elapsed=at)


def _texts(walk: Walk) -> str:
    return " | ".join(note.text for note in walk.recorder.state.notes)


def _used(walk: Walk) -> object:
    """The batch of the objective that the next trial is given."""
    pool = walk.pool
    assert isinstance(pool, InlinePool)
    objective = pool._objectives[f"search/{NETWORK}"]
    assert isinstance(objective, NetworkObjective)
    return objective.family.fixed["batch_size"]


def test_a_trial_that_dies_of_memory_halves_the_batch_once_for_all_that_ran_beside_it(table: Path, tmp_path: Path) -> None:
    walk = _walk(table, tmp_path)
    clock = walk.recorder._clock
    assert isinstance(clock, _Clock)
    prepare(walk)
    planned = walk.plan.envelope.batch_size
    assert planned == walk.batch(NETWORK) == 32
    walk.recorder.emit(_begun(0), _begun(1))
    clock.now = 5.0
    walk.recorder.emit(TrialFailed(trial=0, cause="out of memory", category="memory"))
    clock.now = 6.0
    walk.recorder.emit(TrialFailed(trial=1, cause="out of memory", category="memory"))
    assert (walk.batch(NETWORK), walk.plan.envelope.batch_size, _used(walk)) == (16, 16, 16)
    (revision,) = walk.recorder.state.revisions
    assert revision.about == "resources"
    assert not walk.recorder.state.is_measured
    assert "envelope.batch_size: 32 → 16" in revision.changes
    (proof,) = [e for e in walk.plan.evidence if e.field == "envelope.batch_size"]
    assert (proof.value, proof.facts) == (16, {"died": 0})

    clock.now = 7.0
    walk.recorder.emit(_begun(2), TrialFailed(trial=2, cause="out of memory", category="memory"))
    assert walk.batch(NETWORK) == 8
    clock.now = 8.0
    walk.recorder.emit(_begun(3), TrialFailed(trial=3, cause="out of memory", category="memory"))
    assert walk.batch(NETWORK) == 8  # what does not fit now is the network


def test_other_ends_leave_the_batch(table: Path, tmp_path: Path) -> None:
    walk = _walk(table, tmp_path)
    prepare(walk)
    walk.recorder.emit(_begun(0), TrialFailed(trial=0, cause="diverged", category="error"))
    assert walk.batch(NETWORK) == 32
    assert not walk.recorder.state.revisions


def test_a_resumed_run_has_the_lowered_batch(table: Path, tmp_path: Path) -> None:
    walk = _walk(table, tmp_path)
    prepare(walk)
    walk.recorder.emit(_begun(0), TrialFailed(trial=0, cause="out of memory", category="memory"))
    journal = walk.recorder._journal
    assert isinstance(journal, MemoryJournal)
    resumed = _walk(table, tmp_path, events=tuple(journal.events))
    assert fold_all(journal.events) == walk.recorder.state
    prepare(resumed)
    assert (resumed.batch(NETWORK), resumed.plan.envelope.batch_size, _used(resumed)) == (16, 16, 16)
    assert len(resumed.recorder.state.revisions) == 1


def test_ample_memory_is_said_and_changes_nothing(table: Path, tmp_path: Path) -> None:
    walk = _walk(table, tmp_path, budget=600.0, memory=64 * 2**30)
    prepare(walk)
    assert "Batches of the largest neural network of the space fit into" in _texts(walk)
    assert "rows, the most looked at" in _texts(walk)
    assert "32 are used, in fp32" in _texts(walk)
    assert not walk.recorder.state.revisions


def test_a_batch_that_does_not_fit_is_lowered_before_the_first_trial(table: Path, tmp_path: Path) -> None:
    walk = _walk(table, tmp_path, budget=600.0, memory=1)
    prepare(walk)
    assert (walk.batch(NETWORK), walk.plan.envelope.batch_size, _used(walk)) == (8, 8, 8)
    (revision,) = walk.recorder.state.revisions
    assert revision.about == "resources"
    assert "8 are used" in revision.reason
    walk.pool.start(0, f"search/{NETWORK}", {"lr": 1e-3, "width": 16, "layers": 1}, limit_seconds=60)
    (report,) = walk.pool.poll(1.0)
    assert isinstance(report, Stepped | Ended)


def test_on_a_processor_a_short_budget_is_not_spent_on_tracing(table: Path, tmp_path: Path) -> None:
    walk = _walk(table, tmp_path, budget=60.0)
    prepare(walk)
    assert _texts(walk) == ""


def test_a_plan_without_a_search_needs_no_range_test(table: Path, tmp_path: Path) -> None:
    walk = _walk(table, tmp_path, budget=600.0)
    walk.recorder.emit(_begun(0), TrialFinished(trial=0, value=0.3, seconds=0.5, fit_seconds=0.5))
    plan = walk.plan.model_copy(update={"stages": walk.plan.stages[:1]})
    assert (with_rates(walk, plan), _texts(walk)) == (plan, "")


def test_without_a_free_worker_the_measurement_is_left_out(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.session.piloting.WORKER_SECONDS", 0.0)
    walk = _walk(table, tmp_path, budget=600.0)
    walk.recorder.emit(_begun(0), TrialFinished(trial=0, value=0.3, seconds=0.5, fit_seconds=0.5))
    walk.pool.start(0, f"search/{NETWORK}", walk.plan.space.default(), limit_seconds=60)
    assert with_rates(walk, walk.plan) == walk.plan
    assert "told nothing: no worker was free" in _texts(walk)


@pytest.mark.parametrize(("fit_seconds", "narrows"), [(0.5, True), (1000.0, False)])
def test_a_range_test_narrows_the_learning_rates_softly_where_it_is_cheap(
    table: Path, tmp_path: Path, fit_seconds: float, narrows: bool
) -> None:
    walk = _walk(table, tmp_path, budget=600.0)
    done = TrialFinished(trial=0, value=0.3, seconds=fit_seconds, fit_seconds=fit_seconds)
    walk.recorder.emit(_begun(0), done)
    before, plan = walk.plan.space.parameters["lr"], with_rates(walk, walk.plan)
    after = plan.space.parameters["lr"]
    assert isinstance(before, Float)
    assert isinstance(after, Float)
    if not narrows:
        assert (plan, _texts(walk)) == (walk.plan, "")
        return
    assert "the loss fell fastest at" in _texts(walk)
    assert before.low <= after.low <= 1e-3 <= after.high <= before.high
    assert (after.low, after.high) != (before.low, before.high)
    assert not after.hard
    assert {n: p for n, p in plan.space.items() if n != "lr"} == {n: p for n, p in walk.plan.space.items() if n != "lr"}
