"""Population-based training and ASHA on Ray: real Ray processes, on this machine's loopback."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("ray")

from advisor.core.errors import CannotRunError, InputError
from advisor.core.ports import Measurement
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.engines import ray_tune
from advisor.engines.ray_tune import AshaLoop, Cluster, PopulationLoop, connected, read_checkpoint
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

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:
        done, x = checkpoint or (0, 5.0)
        self._write("begin", done)
        for step in range(done + 1, self.steps + 1):
            time.sleep(self.seconds)
            x *= 1 - config["lr"]
            self._write("step", step)
            yield Measurement(step, x, (step, x))

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


def processes_of_ray() -> set[int]:
    """Descendants of this process that belong to Ray."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        try:
            if any(word in " ".join(child.cmdline()) for word in ("raylet", "gcs_server", "ray::", "default_worker.py", "/ray/")):
                found.add(child.pid)
        except psutil.Error:
            continue
    return found


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
