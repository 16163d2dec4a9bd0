"""The drive of one stage, with real workers and inline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor.core.errors import AdvisorError
from advisor.core.events import (
    BestSaved,
    Event,
    Measured,
    Noted,
    RunStarted,
    StudyState,
    TrialFailed,
    TrialFinished,
    TrialInterrupted,
    TrialPruned,
    TrialStarted,
    fold,
)
from advisor.core.ports import Limits, Measurement, Proposal
from advisor.engines.portfolio import FixedEngine
from advisor.supervise.commands import CommandBox, send
from advisor.supervise.loop import Deadline, DriveEnd, drive
from advisor.supervise.pool import InlinePool, WorkerPool
from advisor.supervise.resumption import interrupted, next_trial, replay
from tests.fakes import objectives
from tests.fakes.engines import ListEngine, StalledEngine
from tests.timing import kept


class Run:
    """A journal in memory and its fold."""

    def __init__(self, folder: Path | None = None) -> None:
        self.events: list[Event] = []
        self.state = StudyState()
        self.folder = folder
        self.clock: Callable[[], float] = time.monotonic
        self.emit(RunStarted(run="r", plan={"direction": "minimize"}))

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.state = fold(self.state, event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]

    def drive(self, engine: Any, pool: Any, name: str = "square", *, seconds: float = 60.0, **rest: Any) -> DriveEnd:
        limits = Limits(
            deadline=self.clock() + seconds,
            trial_seconds=rest.pop("trial_seconds", 30.0),
            max_trials=rest.pop("max_trials", None),
            last_step=rest.pop("last_step", None),
            is_shortened=rest.pop("is_shortened", False),
        )
        return drive(
            engine,
            pool,
            stage="search",
            family="toy",
            objective_name=rest.pop("objective_name", lambda _proposal: name),
            limits=limits,
            emit=rest.pop("emit", self.emit),
            state=lambda: self.state,
            next_trial=next_trial(self.state),
            clock=self.clock,
            commands=CommandBox(self.folder),
            **rest,
        )


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WorkerPool]:
    with WorkerPool(size=2, environment={}, memory_bytes=None, log_folder=tmp_path / "logs") as pool:
        for name in ("square", "curve", "sleeper", "misbehave"):
            pool.register(name, getattr(objectives, name))
        pool.register("saving", objectives.Saving())
        yield pool


def inline(clock: Callable[[], float] = time.monotonic, **functions: Callable[..., Any]) -> InlinePool:
    pool = InlinePool(clock=clock)
    for name, function in {"square": objectives.square, "curve": objectives.curve, **functions}.items():
        pool.register(name, function)
    return pool


def test_every_proposal_becomes_a_trial_and_is_told(pool: WorkerPool) -> None:
    run, engine = Run(), ListEngine([{"x": x} for x in range(6)])
    end = run.drive(engine, pool)
    assert end == DriveEnd("done", 6)
    assert {key: r.value for key, r in engine.told.items()} == {x: x * x for x in range(6)}
    assert run.state.counts() == {"completed": 6, "pruned": 0, "failed": 0}
    assert run.state.best == run.state.default == 0
    assert [e.key for e in run.of(TrialStarted)] == list(range(6))
    assert [e.seed for e in run.of(TrialStarted)] == list(range(6))


def test_inline_and_in_workers_the_journal_tells_the_same(tmp_path: Path) -> None:
    def story(pool: Any) -> list[Any]:
        run = Run()
        run.drive(ListEngine([{"x": x} for x in (3, 1, 2)], prune=lambda p, step, _v: p.key == 2 and step == 2), pool, "curve")
        return [
            e.model_copy(update={"at": 0, "elapsed": 0, **{f: 0 for f in ("seconds", "fit_seconds", "peak_bytes") if hasattr(e, f)}})
            for e in run.events
        ]

    with WorkerPool(size=1, environment={}, memory_bytes=None, log_folder=tmp_path) as workers:
        workers.register("curve", objectives.curve)
        assert story(workers) == story(inline())


def test_inline_an_engine_is_told_of_a_pruned_trial_before_it_is_asked_for_the_next() -> None:
    known: list[int] = []

    class Attentive(ListEngine):
        def propose(self) -> Proposal | None:
            known.append(len(self.told))
            return super().propose()

    Run().drive(Attentive([{"x": 1}, {"x": 2}, {"x": 3}], prune=lambda _p, step, _value: step == 2), inline(), "curve")
    assert known == [0, 1, 2, 3]


def test_a_pruned_trial_stops_at_its_step_and_keeps_its_value() -> None:
    run = Run()
    engine = ListEngine([{"x": 1}, {"x": 2}], prune=lambda p, step, _value: p.key == 1 and step == 2)
    run.drive(engine, inline(), "curve")
    (pruned,) = run.of(TrialPruned)
    assert (pruned.trial, pruned.step, pruned.value) == (1, 2, 2.5)
    assert (engine.told[1].status, engine.told[1].steps) == ("pruned", ((1, 3.0), (2, 2.5)))
    assert [(m.trial, m.step) for m in run.of(Measured)] == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 1), (1, 2)]
    (finished,) = run.of(TrialFinished)
    assert finished.scores == (1.0, 2.0, 3.0, 4.0)


def test_a_failure_is_an_event_and_the_stage_goes_on(pool: WorkerPool) -> None:
    run = Run()
    hows = ["good", "nan", "raise", "good", "segv", "good"]
    end = run.drive(ListEngine([{"how": h, "x": i} for i, h in enumerate(hows)]), pool, "misbehave")
    assert end.reason == "done"
    assert run.state.counts() == {"completed": 3, "pruned": 0, "failed": 3}
    assert sorted(e.category for e in run.of(TrialFailed)) == ["error", "invalid", "signal"]
    assert all(e.cause and e.cure for e in run.of(TrialFailed))


def test_a_configuration_that_killed_its_worker_twice_is_not_tried_a_third_time(pool: WorkerPool) -> None:
    run = Run()
    run.drive(ListEngine([{"how": "leave"}] * 4), pool, "misbehave", max_trials=None)
    causes = [e.cause for e in run.of(TrialFailed)]
    # Two workers may both be on it when the second death is told, so the third start may have happened at the same time.
    assert sum("exit code 7" in c for c in causes) in (2, 3)
    assert sum(c.startswith("not tried") for c in causes) in (1, 2)


def test_the_deadline_kills_what_runs_and_says_so(pool: WorkerPool) -> None:
    run, engine = Run(), ListEngine([{"seconds": 60.0}] * 3)
    began = time.monotonic()
    end = run.drive(engine, pool, "sleeper", seconds=0.8)
    assert end == DriveEnd("deadline", 2)
    assert kept(0.8 + 2.0, since=began)  # the trials sleep a minute
    assert [e.category for e in run.of(TrialFailed)] == ["deadline", "deadline"]
    assert run.state.running == ()
    assert {r.status for r in engine.told.values()} == {"failed"}


def test_a_trial_that_would_not_end_in_time_is_not_started() -> None:
    now = [0.0]

    def slow(config: dict[str, Any]) -> float:
        now[0] += config["seconds"]
        return 1.0

    run = Run()
    run.clock = lambda: now[0]
    end = run.drive(ListEngine([{"seconds": 30.0}] * 9), inline(run.clock, slow=slow), "slow", seconds=100.0)
    assert end == DriveEnd("deadline", 3)
    assert now[0] == 90.0


class Simulated:
    """A clock that an objective moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def train(self, config: dict[str, Any]) -> Iterator[Measurement]:
        """Twenty steps of `x` seconds each; the first takes ten more (it loads and compiles)."""
        self.now += 10
        for step in range(1, 21):
            self.now += config["x"]
            yield Measurement(step, float(config["x"]))


def test_a_trial_that_its_steps_show_to_be_too_slow_is_given_up_after_a_few_and_a_quicker_one_still_ends() -> None:
    run, clock = Run(), Simulated()
    run.clock = clock
    engine = ListEngine([{"x": 1}, {"x": 5}, {"x": 1}])
    run.drive(engine, inline(clock, train=clock.train), "train", seconds=90.0, trial_seconds=1000.0, last_step=20)
    # The first takes 30 s; the second would take 110 of the 60 s left, which two steps after its first show; the third 30 of the 35.
    assert [run.state.trials[i].status for i in range(3)] == ["completed", "pruned", "completed"]
    (given_up,) = run.of(TrialPruned)
    assert given_up.step == 3
    assert "would not have ended in time: 17 steps to go, about 85 s" in given_up.reason


def test_a_trial_whose_steps_outlast_its_own_limit_is_given_up_too_but_never_the_first_of_all() -> None:
    run, clock = Run(), Simulated()
    run.clock = clock
    engine = ListEngine([{"x": 1}, {"x": 9}])
    run.drive(engine, inline(clock, train=clock.train), "train", seconds=900.0, trial_seconds=60.0, last_step=20)
    assert [run.state.trials[i].status for i in range(2)] == ["completed", "pruned"]
    slow, clock = Run(), Simulated()
    slow.clock = clock
    slow.drive(ListEngine([{"x": 9}]), inline(clock, train=clock.train), "train", seconds=100.0, trial_seconds=1000.0, last_step=20)
    assert slow.state.trials[0].status == "failed"  # nothing had finished: it was given all the time there was


def test_where_nothing_has_finished_a_trial_is_taken_with_the_splits_that_it_has() -> None:
    clock = Simulated()

    def splits(config: dict[str, Any]) -> Iterator[Measurement]:
        for step in range(1, 6):
            clock.now += config["x"]
            yield Measurement(step, 10.0 * config["x"], score=10.0 * config["x"])

    run = Run()
    run.clock = clock
    run.drive(
        ListEngine([{"x": 40}, {"x": 3}]), inline(clock, splits=splits), "splits", seconds=100.0, trial_seconds=99.0, is_shortened=True
    )
    # Two splits of 40 s fit into 100 s, a third does not; then there is something, and the other is scored on all five or not at all.
    assert [(t.status, t.scores) for t in run.state.trials.values()] == [("completed", (400.0, 400.0))]
    (note,) = run.of(Noted)
    assert note.text == "Trial 0 was scored on 2 splits only: there was no time for another one."


def test_the_limit_of_a_trial_may_be_asked_for_as_it_begins() -> None:
    run, clock = Run(), Simulated()
    run.clock = clock
    longest = iter([200.0, 25.0]).__next__
    run.drive(ListEngine([{"x": 1}, {"x": 1}]), inline(clock, train=clock.train), "train", seconds=900.0, longest=longest)
    # Each takes 30 s. The second has 25: its last step ends past that, and nothing told that it would.
    assert [t.status for t in run.state.trials.values()] == ["completed", "failed"]


class Slow:
    """A score at once, and a model that takes a second to write."""

    def __call__(self, config: dict[str, Any]) -> float:
        return float(config["x"])

    def save_last(self, path: str) -> None:
        time.sleep(1.0)
        Path(path).write_text("model")


def test_the_model_of_an_incumbent_is_still_written_after_the_deadline(tmp_path: Path) -> None:
    run = Run()
    with WorkerPool(size=1, environment={}, memory_bytes=None, log_folder=tmp_path / "logs") as pool:
        pool.register("slow", Slow())
        pool.load("slow")
        best, end = tmp_path / "best.joblib", time.monotonic() + 20
        run.drive(ListEngine([{"x": 1}]), pool, "slow", seconds=0.5, best_path=best, hard_end=lambda: end)
    assert best.read_text() == "model"
    assert run.state.saved is not None


def test_a_quick_family_still_runs_when_a_slow_one_no_longer_fits() -> None:
    now = [0.0]

    def timed(config: dict[str, Any]) -> float:
        now[0] += config["seconds"]
        return 1.0

    run = Run()
    run.clock = lambda: now[0]
    configs = [{"seconds": s} for s in (60.0, 1.0, 60.0, 1.0, 1.0)]
    engine = ListEngine(configs, families=["slow", "quick", "slow", "quick", "quick"])
    end = run.drive(engine, inline(run.clock, timed=timed), "timed", seconds=100.0, trial_seconds=100.0)
    assert end == DriveEnd("deadline", 4)
    assert sorted(engine.told) == [0, 1, 3, 4]


def test_no_more_trials_start_than_the_cap_allows_over_all_lives() -> None:
    run = Run()
    assert run.drive(ListEngine([{"x": x} for x in range(9)]), inline(), max_trials=3) == DriveEnd("trials", 3)
    assert run.drive(ListEngine([{"x": x} for x in range(9)]), inline(), max_trials=5) == DriveEnd("trials", 5)


def test_an_engine_that_stalls_is_an_error_and_not_a_wait() -> None:
    with pytest.raises(AdvisorError, match="StalledEngine"):
        Run().drive(StalledEngine([{"x": 1}]), inline())


def test_a_journal_that_cannot_be_written_stops_the_stage() -> None:
    run = Run()

    def emit(event: Event) -> None:
        if isinstance(event, TrialFinished):
            raise OSError("the disk is gone")
        run.emit(event)

    engine = ListEngine([{"x": 1}])
    with pytest.raises(OSError, match="gone"):
        run.drive(engine, inline(), emit=emit)
    assert engine.told == {}, "an end that is not on disk must not be acknowledged"


def test_the_model_of_each_new_best_is_published_and_only_then_announced(pool: WorkerPool, tmp_path: Path) -> None:
    run, published = Run(), []
    best = tmp_path / "best.model"

    def publish(trial: int, file: Path, sha256: str) -> None:
        published.append((trial, file.read_text(), len(sha256)))
        assert trial not in [saved.trial for saved in run.of(BestSaved)]
        file.replace(best)

    run.drive(ListEngine([{"x": 3}, {"x": 5}, {"x": 1}]), pool, "saving", best_path=best, publish=publish)
    assert published[-1] == (2, "1.0", 64)
    values = [float(text) for _, text, _ in published]
    assert values == sorted(values, reverse=True), "each is better than the one before, whichever worker was first"
    assert best.read_text() == "1.0"
    assert run.state.saved is not None
    assert run.state.saved.trial == 2
    assert [p.name for p in tmp_path.iterdir() if "trial-" in p.name] == []


def test_without_a_publisher_the_model_is_renamed_into_place(tmp_path: Path) -> None:
    run, pool = Run(), InlinePool()
    pool.register("saving", objectives.Saving())
    run.drive(ListEngine([{"x": 3}]), pool, "saving", best_path=tmp_path / "best")
    assert (tmp_path / "best").read_text() == "3.0"


def test_commands_are_obeyed_in_order_and_journalled(tmp_path: Path) -> None:
    run = Run(tmp_path)
    deadline = Deadline(run.clock() + 60)
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "0.json").write_text('{"command": "dance"}')
    send(tmp_path, "budget", 30)
    send(tmp_path, "stop")
    end = run.drive(ListEngine([{"x": 1}]), inline(), deadline=deadline)
    assert end.reason == "stopped"
    assert deadline.extra_seconds == 30
    assert [(c.command, c.argument) for c in run.state.commands] == [("budget", 30.0), ("stop", None)]
    assert "dance" in run.of(Noted)[0].text
    assert list((tmp_path / "commands").iterdir()) == []


def test_stop_leaves_what_runs_interrupted(tmp_path: Path, pool: WorkerPool) -> None:
    run = Run(tmp_path)

    def emit(event: Event) -> None:
        run.emit(event)
        if isinstance(event, TrialStarted) and event.trial == 1:
            send(tmp_path, "stop")

    began = time.monotonic()
    assert run.drive(ListEngine([{"seconds": 60.0}] * 3), pool, "sleeper", emit=emit).reason == "stopped"
    assert time.monotonic() - began < 10  # the trials sleep a minute
    assert [e.trial for e in run.of(TrialInterrupted)] == [0, 1]
    assert run.state.counts()["failed"] == 0


def test_a_pause_starts_nothing_until_resume(tmp_path: Path) -> None:
    run = Run(tmp_path)
    send(tmp_path, "pause")
    seen: list[int] = []

    def emit(event: Event) -> None:
        run.emit(event)
        if run.state.is_paused and not seen:
            seen.append(len(run.state.trials))
            send(tmp_path, "resume")

    assert run.drive(ListEngine([{"x": 1}]), inline(), emit=emit).reason == "done"
    assert seen == [0]
    assert [c.command for c in run.state.commands] == ["pause", "resume"]


def test_skip_ends_one_trial_and_the_others_go_on(tmp_path: Path, pool: WorkerPool) -> None:
    run = Run(tmp_path)

    def emit(event: Event) -> None:
        run.emit(event)
        if isinstance(event, TrialStarted) and event.trial == 0:
            send(tmp_path, "skip", 0)
            send(tmp_path, "skip", 77)

    engine = ListEngine([{"seconds": 60.0}, {"seconds": 0.3}])
    assert run.drive(engine, pool, "sleeper", emit=emit).reason == "done"
    (failed,) = run.of(TrialFailed)
    assert (failed.trial, failed.cause) == (0, "skipped on request")
    assert engine.told[1].status == "completed"
    assert "77" in run.of(Noted)[0].text


def test_an_interruption_leaves_trials_that_a_second_life_starts_again(pool: WorkerPool) -> None:
    run = Run()
    configs: list[dict[str, Any]] = [{"seconds": 0.0}, {"seconds": 60.0}, {"seconds": 0.0}]
    end = run.drive(ListEngine(configs), pool, "sleeper", is_interrupted=lambda: run.state.counts()["completed"] == 2)
    assert end.reason == "interrupted"
    assert interrupted(run.state) == ()
    second = ListEngine([{**c, "seconds": 0.0} for c in configs])
    told = replay(run.state, "search")
    assert [p.key for p, _ in told] == [0, 2]
    for proposal, result in told:
        assert proposal.config == configs[proposal.key]
        second.tell(proposal, result)
    assert run.drive(second, pool, "sleeper").reason == "done"
    assert second.proposed == [1]
    assert run.state.counts() == {"completed": 3, "pruned": 0, "failed": 0}
    assert [t.status for t in run.state.trials.values()].count("interrupted") == 1


def test_replay_gives_every_end_in_order_of_key() -> None:
    run = Run()
    engine = ListEngine([{"x": 1}, {"x": 2}, {"x": 3}], prune=lambda p, step, _v: p.key == 1 and step == 1)
    run.drive(engine, inline(), "curve")
    assert {p.key: replace(r, cause="") for p, r in replay(run.state, "search")} == {
        k: replace(r, cause="") for k, r in engine.told.items()
    }
    assert replay(run.state, "confirm") == []


def test_elapsed_is_the_budget_used_by_the_clock() -> None:
    now = [100.0]

    def slow(config: dict[str, Any], checkpoint: Any = None) -> Iterator[Measurement]:
        for step in (1, 2):
            now[0] += 10
            yield Measurement(step=step, value=1.0)

    run = Run()
    run.clock = lambda: now[0]
    run.drive(ListEngine([{}]), inline(run.clock, slow=slow), "slow")
    assert [e.elapsed for e in run.events[1:]] == [100.0, 110.0, 120.0, 120.0]
    assert run.of(TrialFinished)[0].seconds == 20.0


def test_a_paused_trial_keeps_its_state_and_another_goes_on_from_it(tmp_path: Path) -> None:
    run, first = Run(), Proposal(0, {"x": 7}, until=2)
    run.drive(FixedEngine([first, Proposal(1, {"x": 7}, continues=0)]), inline(), "curve", checkpoints=tmp_path)
    (paused,) = run.of(TrialPruned)
    assert (paused.trial, paused.step) == (0, 2) and paused.reason.startswith("paused at step 2")
    assert run.state.trials[1].steps == ((3, 7 + 1 / 3), (4, 7.25))
    assert run.state.best == 1
    assert [(p.until, p.continues) for p, _ in replay(run.state, "search")] == [(2, None), (None, 0)]


def test_a_trial_whose_checkpoint_is_gone_fails_with_the_reason(tmp_path: Path, pool: WorkerPool) -> None:
    pool.register("curve", objectives.curve)
    run = Run()
    run.drive(FixedEngine([Proposal(0, {"x": 7}, continues=5)]), pool, "curve", checkpoints=tmp_path)
    (failed,) = run.of(TrialFailed)
    assert "the checkpoint it goes on from is gone" in failed.cause
