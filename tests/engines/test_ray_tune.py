"""Population-based training and ASHA on Ray: real Ray processes, on this machine's loopback."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("ray")

from advisor.core.errors import CannotRunError, InputError
from advisor.core.ports import Measurement
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.engines.ray_tune import AshaLoop, Cluster, PopulationLoop, _Clip, _Draw, _Keys, _seeded, connected, read_checkpoint
from advisor.engines.schedule import replay
from tests.fakes.scribes import RecordingScribe

SPACE = SearchSpace(parameters={"lr": Float(1e-4, 0.5, log=True, default=0.01)})
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Descent:
    """Gradient descent on x²/2 from 5; its ledger gets a line a begin (step, process) and a line a step."""

    ledger: str = ""
    seconds: float = 0.0
    steps: int = 10_000
    processes: int = 0
    """Waits after step 5, a minute at most, until so many processes have trained: one on another node may take long to start."""

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:
        done, x = checkpoint or (0, 5.0)
        self._write("begin", done)
        for step in range(done + 1, self.steps + 1):
            time.sleep(self.seconds)
            if step == 6 and self.processes:
                self._wait()
            x *= 1 - config["lr"]
            self._write("step", step)
            yield Measurement(step, x, (step, x))

    def _wait(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and len({pid for _, pid, _ in ledger_of(Path(self.ledger), "step")}) < self.processes:
            time.sleep(0.2)

    def _write(self, what: str, step: int) -> None:
        if self.ledger:
            with Path(self.ledger).open("a") as file:
                file.write(json.dumps([what, step, os.getpid(), time.time()]) + "\n")


def ledger_of(path: Path, what: str) -> list[tuple[int, int, float]]:
    """(step, process, time) of the lines of one kind."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(step, pid, at) for kind, step, pid, at in lines if kind == what]


def value_under(schedule: tuple[tuple[int, Config], ...], steps: int) -> float:
    """What `Descent` measures after `steps` under a schedule, by hand."""
    x = 5.0
    for step in range(steps):
        x *= 1 - [c for begin, c in schedule if begin <= step][-1]["lr"]
    return x


class TestWithoutRay:
    """What needs no process of Ray's."""

    def test_draws_stay_within_the_bounds_and_are_uniform_on_their_scale(self) -> None:
        with _seeded("draws"):
            log = [_Draw(Float(1e-4, 1e-1, log=True))() for _ in range(4000)]
            whole = [_Draw(Int(1, 4))() for _ in range(4000)]
            picked = {_Draw(Choice(["a", None]))() for _ in range(50)}
        assert all(1e-4 <= v <= 1e-1 for v in log) and set(whole) == {1, 2, 3, 4} and picked == {0, 1}
        # A third of the draws fall into each decade: 1,333 ± 30 (one standard deviation); five of them are allowed.
        assert all(abs(sum(low <= v < 10 * low for v in log) - 4000 / 3) < 150 for low in (1e-4, 1e-3, 1e-2))

    def test_seeded_draws_leave_the_callers_random_numbers_alone(self) -> None:
        random.seed(3)
        expected = random.random()
        random.seed(3)
        with _seeded(1, "start", 0):
            first = random.random()
        with _seeded(1, "start", 0):
            assert random.random() == first
        assert random.random() == expected

    def test_a_perturbation_never_leaves_the_bounds(self) -> None:
        space = SPACE.replace(layers=Int(1, 4), kind=Choice(["a", "b"]))
        assert _Clip(space)({"lr": 0.6, "layers": 5, "kind": 1, "advisor.member": 3}) == {
            "lr": 0.5,
            "layers": 4,
            "kind": 1,
            "advisor.member": 3,
        }

    def test_a_replay_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(self) -> None:
        schedule = ((0, {"lr": 0.1}), (3, {"lr": 0.2}), (5, {"lr": 0.05}))
        objective = replay(Descent(steps=8), schedule)
        whole = list(objective({}))
        assert [m.step for m in whole] == list(range(1, 9)) and whole[-1].value == pytest.approx(value_under(schedule, 8), rel=1e-12)
        for stop in range(1, 8):
            steps = objective({})
            last = [next(steps) for _ in range(stop)][-1]
            held = last.checkpoint()
            steps.close()
            assert [(m.step, m.value) for m in objective({}, held)] == [(m.step, m.value) for m in whole[stop:]]

    def test_a_start_outside_the_space_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="outside the space: lr"):
            AshaLoop(Descent(), SPACE, direction="minimize", steps=2, folder=tmp_path, starts=[{"lr": 0.9}])

    @pytest.mark.parametrize("steps", [(), (1,), (0, 3, 3), (0, 4, 2)])
    def test_a_schedule_that_does_not_grow_from_0_is_refused(self, steps: tuple[int, ...]) -> None:
        with pytest.raises(InputError, match="begins after step 0"):
            replay(Descent(), tuple((step, {"lr": 0.1}) for step in steps))

    def test_a_key_is_never_given_twice_in_the_lives_of_a_run(self, tmp_path: Path) -> None:
        first = _Keys(tmp_path / "keys.json")
        for member in range(3):
            assert first.take(member) == (member, None)
            first.keep(member, member)
        first.end(1)
        second = _Keys(tmp_path / "keys.json")
        assert second.is_ended(1) and second.take(0) == (3, 0)
        second.keep(0, 3)
        assert second.take(3) == (4, None) and second.take(2) == (4, 2)

    def test_an_address_where_nobody_listens_is_refused_at_once(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        for address, said in ((f"127.0.0.1:{port}", "nothing answers"), (f"ray://127.0.0.1:{port}", "client's address")):
            loop = PopulationLoop(Descent(), SPACE, direction="minimize", steps=2, folder=tmp_path, cluster=Cluster(address=address))
            with pytest.raises(CannotRunError, match=said):
                loop.run(RecordingScribe())

    def test_an_objective_that_takes_no_checkpoint_or_cannot_be_sent_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CannotRunError, match="takes no checkpoint"):
            PopulationLoop(lambda config: 0.0, SPACE, direction="minimize", steps=2, folder=tmp_path)  # type: ignore[arg-type]
        with (tmp_path / "open").open("w") as file:
            loop = AshaLoop(lambda config: file.name, SPACE, direction="minimize", steps=2, folder=tmp_path)  # type: ignore[arg-type]
            with pytest.raises(InputError, match="cannot be sent to a worker"):
                loop.run(RecordingScribe())

    def test_a_stage_that_is_over_before_it_begins_starts_nothing(self, tmp_path: Path) -> None:
        scribe = RecordingScribe(over_when=lambda _: True)
        PopulationLoop(Descent(), SPACE, direction="minimize", steps=2, folder=tmp_path / "stage").run(scribe)
        assert not scribe.proposals and not (tmp_path / "stage").exists()


class TestOnALocalRay:
    """One Ray for all of them; each loop starts its own workers."""

    @pytest.fixture(scope="class", autouse=True)
    def local(self) -> Iterator[None]:
        with connected(Cluster(slots=2)):
            yield

    def test_a_population_learns_a_schedule_that_replays_to_the_same_value(self, tmp_path: Path) -> None:
        scribe = RecordingScribe()
        loop = PopulationLoop(Descent(), SPACE, direction="minimize", steps=30, folder=tmp_path, cluster=Cluster(slots=2), seed=1)
        loop.run(scribe)

        assert sorted(scribe.proposals) == list(range(8))
        assert scribe.proposals[0].origin == "default" and scribe.proposals[0].config == {"lr": 0.01}
        assert len({p.config["lr"] for p in scribe.proposals.values()}) == 8, "members differ: no mutated key was preset"
        assert {r.status for r in scribe.results.values()} == {"completed"}
        exploits = [(key, change) for key, changes in scribe.changes.items() for change in changes]
        assert exploits, "weak members took over strong weights"
        assert all(parent in scribe.proposals and parent != key for key, (_, _, parent, _) in exploits)
        assert all(SPACE.parameters["lr"].contains(config["lr"]) for _, (_, config, _, _) in exploits)

        best = loop.best
        assert best is not None and best.step == 30
        assert best.value == min(r.value for r in scribe.results.values() if r.value is not None)
        assert best.value == pytest.approx(value_under(best.schedule, 30), rel=1e-12)
        assert best.value < 5 * (1 - 0.01) ** 30, "better than its default"
        assert best.schedule[-1][1] == scribe.config(best.key)
        replayed = [m.value for m in replay(Descent(steps=30), best.schedule)({})]
        assert len(replayed) == 30 and replayed[-1] == pytest.approx(best.value, rel=1e-12)

        assert best.checkpoint is not None
        state, held = read_checkpoint(best.checkpoint)
        assert state["step"] == 30 and held == (30, pytest.approx(best.value, rel=1e-12))
        kept = list((tmp_path / "population").glob("member_*/checkpoint_*"))
        assert len(kept) == 8, "a loop that is done keeps the last checkpoint of each member only"

    def test_a_stage_that_is_over_ends_a_member_in_the_middle_of_a_long_step(self, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger"
        scribe = RecordingScribe(over_when=lambda _: ledger.exists())
        loop = PopulationLoop(Descent(str(ledger), seconds=600), SPACE, direction="minimize", steps=10, folder=tmp_path)
        began = time.monotonic()
        loop.run(scribe)
        assert time.monotonic() - began < 300, "a step takes ten minutes"
        assert {r.status for r in scribe.results.values()} == {"failed"} and loop.best is None
        # Ray hands its kill to another process, so the end is awaited; a step that was let run would hold for ten minutes.
        psutil.wait_procs([psutil.Process(pid) for _, pid, _ in ledger_of(ledger, "begin") if psutil.pid_exists(pid)], timeout=60)
        assert not any(psutil.pid_exists(pid) for _, pid, _ in ledger_of(ledger, "begin"))

    def test_asha_stops_the_losers_of_a_rung_and_runs_the_best_in_full(self, tmp_path: Path) -> None:
        scribe = RecordingScribe()
        loop = AshaLoop(Descent(), SPACE, direction="minimize", steps=16, folder=tmp_path, trials=12, grace=1, factor=4, seed=3)
        loop.run(scribe)

        assert sorted(scribe.proposals) == list(range(12)) and scribe.proposals[0].origin == "default"
        ends = {key: scribe.steps[key][-1][0] for key in scribe.results}
        assert {ends[key] for key, r in scribe.results.items() if r.status == "pruned"} <= {1, 4}
        assert {ends[key] for key, r in scribe.results.items() if r.status == "completed"} == {16}
        assert {r.status for r in scribe.results.values()} == {"completed", "pruned"}
        assert loop.best is not None and loop.best.step == 16 and len(loop.best.schedule) == 1
        assert not any(scribe.changes.values())

    def test_a_population_whose_engine_was_killed_goes_on_and_no_member_falls_back_to_its_start(self, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger"
        script = (
            "from tests.engines.test_ray_tune import *\n"
            f"PopulationLoop(Descent({str(ledger)!r}, seconds=0.05), SPACE, direction='minimize', steps=40, seed=5, population=4,"
            f" folder={str(tmp_path / 'stage')!r}, cluster=Cluster(slots=2)).run(RecordingScribe())\n"
        )
        engine = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, start_new_session=True)
        try:
            until = time.monotonic() + 150
            while not ledger.exists() or len([s for s, _, _ in ledger_of(ledger, "step") if s >= 10]) < 4:
                assert time.monotonic() < until and engine.poll() is None, "the first life runs"
                time.sleep(0.05)
            started = psutil.Process(engine.pid).children(recursive=True)
        finally:
            os.kill(engine.pid, signal.SIGKILL)
            engine.wait()
        _, alive = psutil.wait_procs(started, timeout=60)
        assert not alive, "Ray ends with the engine that started it"
        before = ledger_of(ledger, "step")
        ledger.unlink()

        scribe = RecordingScribe()
        loop = PopulationLoop(Descent(str(ledger)), SPACE, direction="minimize", steps=40, folder=tmp_path / "stage", population=4, seed=5)
        loop.run(scribe)
        begins = ledger_of(ledger, "begin")
        slowest = sorted(s for s, _, _ in before)[-4 * 3]
        assert min(step for step, _, _ in begins) > 0 and slowest > 0, "no member falls back to its start"
        assert {r.status for r in scribe.results.values()} == {"completed"} and len(scribe.results) == 4
        assert {p.continues for p in scribe.proposals.values()} == {0, 1, 2, 3} and min(scribe.proposals) == 4, "new keys, old members"
        assert loop.best is not None and loop.best.step == 40
        assert loop.best.value == pytest.approx(value_under(loop.best.schedule, 40), rel=1e-12), "the schedule holds both lives"

    def test_what_an_objective_does_wrong_ends_its_trial_with_the_cause(self, tmp_path: Path) -> None:
        scribe = RecordingScribe()
        starts = [{"lr": 0.1, "how": how} for how in ("raise", "text", "nan", "backwards", "nothing", "fine")]
        space = SPACE.replace(how=Choice([s["how"] for s in starts]))
        AshaLoop(misbehave, space, direction="minimize", steps=3, folder=tmp_path, trials=6, starts=starts, grace=3).run(scribe)
        said = {scribe.proposals[key].config["how"]: (r.status, r.cause) for key, r in scribe.results.items()}
        assert said["raise"] == ("failed", "ValueError: no such luck")
        assert said["text"] == ("failed", "the objective measured str, not a number")
        assert said["nan"] == ("failed", "it measured no finite value at step 3")
        assert said["backwards"] == ("failed", "step 1 follows step 1")
        assert said["nothing"] == ("failed", "the objective ended without a measurement")
        assert said["fine"][0] == "completed"

    def test_an_objective_that_a_worker_cannot_load_ends_its_trials_with_the_cause(self, tmp_path: Path) -> None:
        scribe = RecordingScribe()
        AshaLoop(OnlyHere(os.getpid()), SPACE, direction="minimize", steps=3, folder=tmp_path, trials=2).run(scribe)
        assert {r.cause for r in scribe.results.values()} == {"the objective cannot be loaded in a worker: ImportError: only there"}

    def test_a_population_refuses_an_objective_that_yields_no_checkpoint(self, tmp_path: Path) -> None:
        scribe = RecordingScribe()
        with pytest.raises(CannotRunError, match="yields no checkpoint"):
            PopulationLoop(misbehave, SPACE, direction="minimize", steps=5, folder=tmp_path, population=2).run(scribe)
        assert set(scribe.proposals) == set(scribe.results), "nothing is left running"

    @pytest.mark.slow
    def test_a_synchronous_population_does_not_wait_for_a_member_that_has_died(self, tmp_path: Path) -> None:
        scribe = RecordingScribe()
        starts = [{"lr": 0.01}, {"lr": 0.4999}]
        loop = PopulationLoop(
            Fragile(), SPACE, direction="minimize", steps=12, folder=tmp_path, population=4, interval=3, synch=True, starts=starts, seed=4
        )
        loop.run(scribe)
        assert scribe.results[1].status == "failed" and scribe.results[1].cause == "ValueError: too fast"
        assert [scribe.results[key].status for key in (0, 2, 3)] == ["completed"] * 3
        assert all(step % 3 == 0 for changes in scribe.changes.values() for step, _, _, _ in changes), "scores of one step are compared"

    @pytest.mark.slow
    def test_a_member_whose_process_is_killed_goes_on_from_its_checkpoint(self, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger"
        killed: list[float] = []

        def kill(scribe: RecordingScribe) -> bool:
            if not killed and len(scribe.proposals) == 2 and all(told and told[-1][0] >= 4 for told in scribe.steps.values()):
                os.kill(ledger_of(ledger, "step")[-1][1], signal.SIGKILL)
                killed.append(time.time())
            return False

        scribe = RecordingScribe(over_when=kill)
        loop = PopulationLoop(Descent(str(ledger), seconds=0.1), SPACE, direction="minimize", steps=30, folder=tmp_path / "s", population=2)
        loop.run(scribe)
        again = [step for step, _, at in ledger_of(ledger, "begin") if at > killed[0]]
        assert again and min(again) > 0
        assert {r.status for r in scribe.results.values()} == {"completed"}

    @pytest.mark.slow
    def test_asha_goes_on_with_its_rungs_after_a_stage_that_was_over(self, tmp_path: Path) -> None:
        def loop() -> AshaLoop:
            return AshaLoop(Descent(seconds=0.02), SPACE, direction="minimize", steps=16, folder=tmp_path, trials=14, seed=3)

        first = RecordingScribe(over_when=lambda scribe: len(scribe.results) >= 4)
        loop().run(first)
        rungs = json.loads((tmp_path / "rungs.json").read_text())
        second = RecordingScribe()
        again = loop()
        again.run(second)
        ended = {k for k, r in first.results.items() if not r.cause.startswith(("paused", "the stage"))}
        assert ended and not ended & set(second.proposals), "what had ended is not run again"
        assert len(json.loads((tmp_path / "rungs.json").read_text())[-1]) == 14 > len(rungs[-1]) > 0, "every trial stands at the first rung"
        whole = RecordingScribe()
        AshaLoop(Descent(), SPACE, direction="minimize", steps=16, folder=tmp_path / "whole", trials=14, seed=3).run(whole)
        configs = {tuple(p.config.items()) for scribe in (first, second) for p in scribe.proposals.values()}
        assert configs == {tuple(p.config.items()) for p in whole.proposals.values()}, "the same configurations as in one life"
        assert again.best is not None and again.best.step == 16

    @pytest.mark.slow
    def test_a_checkpoint_that_is_a_file_is_copied_so_that_no_two_members_write_one(self, tmp_path: Path) -> None:
        loop = PopulationLoop(InFiles(), SPACE, direction="minimize", steps=10, folder=tmp_path, population=4, interval=2, seed=1)
        scribe = RecordingScribe()
        loop.run(scribe)
        assert any(scribe.changes.values()) and {r.status for r in scribe.results.values()} == {"completed"}
        assert loop.best is not None and loop.best.value == pytest.approx(value_under(loop.best.schedule, 10), rel=1e-12)


def only_in(process: int) -> OnlyHere:
    """Loads an `OnlyHere` in its own process."""
    if os.getpid() != process:
        raise ImportError("only there")
    return OnlyHere(process)


@dataclass(frozen=True)
class OnlyHere:
    """An objective that no other process can load."""

    process: int

    def __call__(self, config: Config) -> float:
        return 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        return only_in, (self.process,)


@dataclass(frozen=True)
class Fragile:
    """`Descent` that dies at step 2 when the learning rate is above 0.49."""

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:
        for measurement in Descent()(config, checkpoint):
            if measurement.step == 2 and config["lr"] > 0.49:
                raise ValueError("too fast")
            yield measurement


@dataclass(frozen=True)
class InFiles:
    """`Descent` that keeps its state in a file, written again at every step, and yields the path."""

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:
        path = Path(checkpoint) if checkpoint else Path(tempfile.mkdtemp()) / "state.json"
        done = tuple(json.loads(path.read_text())) if checkpoint else None
        for measurement in Descent()(config, done):
            path.write_text(json.dumps(measurement.checkpoint))
            yield Measurement(measurement.step, measurement.value, str(path))


def misbehave(config: Config, checkpoint: Any = None) -> Iterator[Measurement]:
    """Does what ``config["how"]`` says; its measurements carry no checkpoint."""
    how = config.get("how", "fine")
    if how == "nothing":
        return
    for step in (1, 2, 3):
        if how == "raise" and step == 2:
            raise ValueError("no such luck")
        value: Any = {"text": "0.5", "nan": math.nan}.get(how, 1 / step)
        yield Measurement(1 if how == "backwards" else step, value)


def two_nodes(slots: int) -> Any:
    """A cluster of two nodes on loopback, `slots` trials each, and the second of them."""
    from ray.cluster_utils import Cluster as LoopbackCluster

    cluster = LoopbackCluster()
    shared = {"num_cpus": slots, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1"}
    cluster.add_node(include_dashboard=False, **shared)
    return cluster, cluster.add_node(**shared)


def lose_a_node(tmp_path: Path, *, slots: int, members: int, steps: int, at_step: int, seconds: float) -> None:
    """A population on two nodes, one of which is killed when all members have passed `at_step`: each goes on from a checkpoint."""
    os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)
    ledger = tmp_path / "ledger"
    cluster, second = two_nodes(slots)
    lost: list[tuple[float, dict[int, int]]] = []

    def lose(scribe: RecordingScribe) -> bool:
        furthest = {key: told[-1][0] for key, told in scribe.steps.items() if told}
        # A worker of the second node may take long to start: without it nothing would be lost.
        is_on_both = ledger.exists() and len({pid for _, pid, _ in ledger_of(ledger, "step")}) > slots
        if not lost and is_on_both and len(furthest) == members and min(furthest.values()) >= at_step:
            cluster.remove_node(second, allow_graceful=False)
            lost.append((time.time(), furthest))
        return False

    try:
        scribe = RecordingScribe(over_when=lose)
        loop = PopulationLoop(
            Descent(str(ledger), seconds=seconds, processes=slots + 1),
            SPACE,
            direction="minimize",
            steps=steps,
            folder=tmp_path / "stage",
            cluster=Cluster(address=cluster.address),
            population=members,
            seed=2,
        )
        loop.run(scribe)
    finally:
        cluster.shutdown()
    assert lost, "the second node trained too before the end"
    (at, furthest), *_ = lost
    again = [step for step, _, begun in ledger_of(ledger, "begin") if begun > at]
    assert again and min(again) > 0, "no member falls back to its start"
    # A checkpoint stands at each interval, and a member behind the slowest at the loss by more would have lost one.
    assert min(again) >= min(furthest.values()) - loop.interval
    assert {r.status for r in scribe.results.values()} == {"completed"} and len(scribe.results) == members
    for key, told in scribe.steps.items():
        own = [step for step, _ in told]
        jumps = {step for step, _, _, _ in scribe.changes[key]}
        assert all(b == a + 1 or b - 1 in jumps for a, b in pairwise(own)), "no finished step is missing"
    assert loop.best is not None and loop.best.value == pytest.approx(value_under(loop.best.schedule, steps), rel=1e-12)


@pytest.mark.timeout(240)
def test_a_node_lost_in_mid_run_sends_no_member_back_to_its_start(tmp_path: Path) -> None:
    lose_a_node(tmp_path, slots=1, members=4, steps=40, at_step=4, seconds=0.1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_larger_population_survives_the_loss_of_a_node_whole(tmp_path: Path) -> None:
    lose_a_node(tmp_path, slots=3, members=8, steps=60, at_step=20, seconds=0.1)
