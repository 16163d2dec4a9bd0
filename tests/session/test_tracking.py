"""Curves for other tools: written while the run goes, readable by the tools themselves, and never in the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import advisor
from advisor import session
from advisor.core.errors import AdvisorError, InputError
from advisor.core.events import Event, Measured, StudyState, TrialFinished, TrialPruned, TrialStarted, fold_all
from advisor.session import tracking
from advisor.session.recording import MemoryJournal, Recorder
from tests.fakes import journals

WAIT_SECONDS = 60.0
"""How long a test waits for a tracker's thread on a loaded machine before it gives up."""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    path = tmp_path / "customers-1114"
    path.mkdir()
    return path


def recorder() -> Recorder:
    return Recorder(MemoryJournal(), [], began=time.monotonic(), clock=time.monotonic)


def told(run_dir: Path, name: str, events: list[Event]) -> StudyState:
    """The state after `events` were told to the tracker and it was closed."""
    taker = recorder()
    trackings = tracking.track(taker, run_dir, [name])
    for event in events:
        taker.emit(event)
    tracking.end(taker, trackings, seconds=WAIT_SECONDS)
    return taker.state


def eventually(found: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + WAIT_SECONDS
    while not found():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    return True


def curves(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    return EventAccumulator(str(folder)).Reload()


def test_tensorboard_reads_every_curve_the_scores_and_the_best_so_far(run_dir: Path) -> None:
    state = told(run_dir, "tensorboard", journals.finished())
    expected = fold_all(journals.finished())
    assert [n.text for n in state.notes] == [n.text for n in expected.notes], "the tracker has complained"
    folder = run_dir / "tracking" / "tensorboard"
    for trial in expected.trials.values():
        read = curves(folder / f"trial-{trial.number:04d}")
        if trial.steps:
            found = [(e.step, e.value) for e in read.Scalars("value")]
            # The files hold 32-bit floats, whose relative error is at most 2^-24.
            assert found == [(step, pytest.approx(value, rel=2**-23)) for step, value in trial.steps]
        assert "_hparams_/session_start_info" in read.summary_metadata
        assert ("_hparams_/session_end_info" in read.summary_metadata) == (trial.status != "running")
    best = [e.value for e in curves(folder / "best").Scalars("best")]
    assert expected.best is not None
    assert best[-1] == pytest.approx(expected.trials[expected.best].value, rel=2**-23)
    assert best == sorted(best, reverse=expected.direction == "minimize"), "the best so far never gets worse"


def test_a_curve_is_on_disk_while_its_trial_still_runs(run_dir: Path) -> None:
    taker = recorder()
    trackings = tracking.track(taker, run_dir, ["tensorboard"])
    taker.emit(TrialStarted(trial=0, stage="search", origin="default", family="mlp", config={"lr": 0.01}, key=0))
    taker.emit(Measured(trial=0, step=1, value=0.5), Measured(trial=0, step=2, value=0.25))
    folder = run_dir / "tracking" / "tensorboard" / "trial-0000"

    def is_there() -> bool:
        return folder.exists() and "value" in (read := curves(folder)).Tags()["scalars"] and len(read.Scalars("value")) == 2

    assert eventually(is_there)
    tracking.end(taker, trackings, seconds=WAIT_SECONDS)


def test_a_tracker_that_fails_is_noted_once_and_the_run_goes_on(run_dir: Path) -> None:
    (run_dir / "tracking").mkdir()
    (run_dir / "tracking" / "tensorboard").write_text("in the way")
    taker = recorder()
    trackings = tracking.track(taker, run_dir, ["tensorboard"])
    assert eventually(lambda: bool(trackings[0].problem))
    for event in journals.finished():
        taker.emit(event)
    tracking.end(taker, trackings, seconds=WAIT_SECONDS)
    expected = fold_all(journals.finished())
    complaints = [n for n in taker.state.notes if "tensorboard" in n.text]
    assert [n.level for n in complaints] == ["warning"]
    assert taker.state.trials.keys() == expected.trials.keys()


def test_handing_over_events_waits_for_nobody(run_dir: Path) -> None:
    """The tracker's thread is still importing its library when all events have been taken."""
    taker = recorder()
    trackings = tracking.track(taker, run_dir, ["tensorboard"])
    events = [TrialStarted(trial=0, stage="search", origin="default", family="mlp", config={}, key=0)]
    said = trackings[0].take([*events, *(Measured(trial=0, step=s, value=1.0) for s in range(1, 2000))], fold_all(events))
    assert said is None
    assert trackings[0].close(WAIT_SECONDS) is None
    assert len(curves(run_dir / "tracking" / "tensorboard" / "trial-0000").Scalars("value")) == 1999


def test_an_unknown_tracker_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="Did you mean 'tensorboard'"):
        tracking.check(["tensorbord"])
    assert tracking.check(["mlflow", "mlflow", "wandb"]) == ("mlflow", "wandb")


def test_a_run_is_not_started_with_a_tracker_that_is_not_known(table: Path, tmp_path: Path) -> None:
    facts = advisor.gather(table, target="outcome", budget_seconds=60, trials=2, model="logistic_regression")
    with pytest.raises(AdvisorError, match="unknown tracker"):
        session.start(advisor.recommend(facts), facts, runs=tmp_path, track=["exel"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_mlflow_reads_every_trial_from_its_database(run_dir: Path) -> None:
    told(run_dir, "mlflow", journals.finished())
    from mlflow.tracking import MlflowClient

    expected = fold_all(journals.finished())
    client = MlflowClient(tracking_uri=f"sqlite:///{run_dir / 'tracking' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(run_dir.name)
    assert experiment is not None
    runs = {int(r.data.tags["trial"]): r for r in client.search_runs([experiment.experiment_id], max_results=1000)}
    assert runs.keys() == expected.trials.keys()
    for number, trial in expected.trials.items():
        assert runs[number].data.params.keys() == {"family", *trial.config}
        history = [(m.step, m.value) for m in client.get_metric_history(runs[number].info.run_id, "value")]
        assert history == list(trial.steps)
        status = {"completed": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "running": "RUNNING"}
        assert runs[number].info.status == status[trial.status]


@pytest.mark.slow
def test_wandb_writes_offline_runs(run_dir: Path) -> None:
    events: list[Event] = [
        TrialStarted(trial=0, stage="search", origin="default", family="mlp", config={"lr": 0.1}, key=0),
        Measured(trial=0, step=1, value=0.5),
        TrialFinished(trial=0, value=0.5, seconds=1.0),
        TrialStarted(trial=1, stage="search", origin="proposal", family="mlp", config={"lr": 0.2}, key=1),
        Measured(trial=1, step=1, value=0.75),
        TrialPruned(trial=1, step=1, value=0.75, seconds=1.0),
    ]
    state = told(run_dir, "wandb", events)
    assert state.notes == ()
    offline = list((run_dir / "tracking" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(offline) == 2
    assert any(b"trial-0001" in path.read_bytes() for path in offline)


@pytest.mark.slow
def test_a_real_run_writes_its_curves_and_its_script(table: Path, tmp_path: Path) -> None:
    facts = advisor.gather(table, target="outcome", budget_seconds=120, trials=4, model="logistic_regression", workers=1)
    advisor.execute(advisor.recommend(facts), table, run_dir=tmp_path / "one", facts=facts, track=["tensorboard"])
    state = session.follow(tmp_path / "one").poll()
    assert [n.text for n in state.notes if n.level == "warning"] == []
    for trial in state.trials.values():
        read = curves(tmp_path / "one" / "tracking" / "tensorboard" / f"trial-{trial.number:04d}")
        assert [e.step for e in read.Scalars("value")] == [step for step, _ in trial.steps]
    assert "import advisor" not in (tmp_path / "one" / "script.py").read_text()
