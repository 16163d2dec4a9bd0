"""Ray Tune's population-based training and ASHA, on a local Ray or on a named cluster.

Ray owns the loop: `PopulationLoop` and `AshaLoop` build a `ray.tune.Tuner` on Ray's own scheduler, run it, and tell a scribe what
happens as it happens. A trial is an objective in steps; a member pulls one measurement an iteration, its checkpoint is
pickled into the storage folder, and after an exploit the objective is called again with the donor's checkpoint and the
perturbed configuration. The schedule that a model was trained under travels inside its checkpoint, so it is right whatever
died in between.

What is Ray's and was found wanting, with what is done about it here:

- Its snapshot of the population is up to 10 s old: it is taken every second, and a member that Ray would start anew looks for
  its own latest checkpoint first.
- A member that is started again after a node was lost is new to the scheduler: its state there is kept.
- A synchronous population waits for ever for a member that has died: the others are let go on.
- It takes no seed: every decision of the scheduler draws from a stream of its own (run seed, member, count of its decisions). What
  stays free is the order in which members on several slots report.
"""

# ruff: noqa: ARG002 - the signatures are Ray's

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import numbers
import os
import pickle
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cloudpickle
import psutil

from advisor.core.errors import AdvisorError, CannotRunError, InputError
from advisor.core.objective import call, checkpoint_style
from advisor.core.ports import Measurement, Objective, Proposal, Result, Scribe
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.engines.schedule import Schedule, value_of

try:
    import ray
    from ray import tune
    from ray._private import ray_constants
    from ray._private import worker as ray_worker
    from ray.train._internal.session import _FutureTrainingResult
    from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
    from ray.tune.search import Searcher
except ImportError as error:  # pragma: no cover - the full environment has it
    raise CannotRunError("Ray is not installed", cure="Install it with `pip install 'tuning-advisor[ray]'`.") from error

Direction = Literal["minimize", "maximize"]
FEWEST_MEMBERS = 8
"""Below this many a quarter of the population is one member. Source: knowledge A.1 PBT."""
MOST_MEMBERS = 40
"""[M] Largest population that is chosen without being asked for. Source: knowledge A.1 PBT."""
EVENTS = 15
"""[H] Perturbations of a full run, of the 10 to 20 that are advised. Source: knowledge A.1 PBT."""
QUANTILE, RESAMPLE, FACTORS = 0.25, 0.25, (1.2, 0.8)
"""Ray's defaults. Source: knowledge A.1 PBT."""

_MEMBER = "advisor.member"
"""The one key of Ray's configuration that is no hyperparameter; a point cannot stand in a Python name."""
_METRIC = "value"
_ITERATION = "training_iteration"
_EXPERIMENT = "population"
_LOOK_SECONDS = 0.25
"""How often the scribe is asked whether the stage is over; Ray's own loop turns every 0.1 s."""
_MOST_FAILURES = 5
"""[H] How often a member whose process or node died is started again; an objective that raises is not."""
_CHECKPOINT_SHARE = 20
"""[H] Between the intervals a checkpoint is taken when training has lasted this many times its cost: 5 % at most."""
_PATIENCE_SECONDS = 60.0
"""[H] How long a member waits for its donor's checkpoint."""
_STORE_BYTES = 128 * 2**20
"""Ray's shared memory on a local Ray: objectives travel by file, so nothing large is put there."""
_WORST = sys.float_info.max / 4
"""Stands for the value of a trial that diverged, in the direction that is worse; infinities would spoil ASHA's percentiles."""
_PAUSED = "paused at step"
"""How the cause of a trial that may be gone on from begins; supervision reads it."""


class _Over(Exception):  # noqa: N818 - no error: the way out of Ray's loop
    """The scribe has said that the stage is over."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the trials run and what each is given."""

    address: str | None = None
    """``HOST:PORT`` of a running Ray that this machine belongs to; None: one is started on this machine's loopback and ended."""
    slots: int = 1
    """Trials side by side on a local Ray; on a cluster its own resources decide."""
    cpus: float = 1
    """CPU cores of a trial."""
    gpus: float = 0
    """GPUs of a trial, a share allowed."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The best model of a loop and how it came to be."""

    key: int
    """Key of its proposal."""
    value: float
    """Its last score."""
    step: int
    """Steps it has been trained for, those of its ancestors included."""
    schedule: Schedule
    """What it was trained under from the first step on, through all its ancestors."""
    checkpoint: str | None
    """Folder of its last checkpoint; None when it kept none."""


# --- configurations as Ray sees them ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Draw:
    """Draws one value of a parameter from the `random` module, uniform on its scale. A choice is drawn as its index."""

    parameter: Float | Int | Choice

    def __call__(self) -> float | int:
        match self.parameter:
            case Choice() as p:
                return random.randrange(len(p.choices))
            case Int() as p if p.log:
                # From half a step below to half a step above, so that the ends are as likely as their neighbours.
                drawn = math.exp(random.uniform(math.log(max(p.low - 0.5, 0.5)), math.log(p.high + 0.5)))
                return min(max(round(drawn), p.low), p.high)
            case Int() as p:
                return random.randint(p.low, p.high)
            case Float() as p if p.log:
                return min(max(math.exp(random.uniform(math.log(p.low), math.log(p.high))), p.low), p.high)
            case Float() as p:
                return random.uniform(p.low, p.high)


@dataclass(frozen=True)
class _Clip:
    """Brings a perturbed configuration back within the bounds; Ray's factors know none."""

    space: SearchSpace

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        for name, p in self.space.items():
            if not isinstance(p, Choice) and name in config:
                config[name] = min(max(config[name], p.low), p.high)
        return config


def _encoded(space: SearchSpace, config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with choices as their index; parameters that it lacks are absent."""
    return {
        name: (
            next(i for i, c in enumerate(p.choices) if type(c) is type(config[name]) and c == config[name])
            if isinstance(p, Choice)
            else config[name]
        )
        for name, p in space.items()
        if name in config
    }


def _decoded(space: SearchSpace, raw: Mapping[str, Any]) -> Config:
    """The configuration an objective is given: choices as their values, only what is active."""
    return space.active({n: (p.choices[raw[n]] if isinstance(p, Choice) else raw[n]) for n, p in space.items() if n in raw})


@contextmanager
def _seeded(*parts: Any) -> Iterator[None]:
    """The `random` module draws from the stream named by `parts` within; its own state is back afterwards."""
    kept = random.getstate()
    random.seed(_seed(*parts))
    try:
        yield
    finally:
        random.setstate(kept)


def _seed(*parts: Any) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:4], "big")


# --- in the workers -----------------------------------------------------------------------------------------------------


class _Member(tune.Trainable):
    """One trial in a worker of Ray: pulls a measurement an iteration, keeps its checkpoint, goes on from any."""

    def setup(self, config: dict[str, Any], *, folder: str = "", interval: int = 1) -> None:
        """Loads the objective; `config` is applied when the first measurement is pulled, after a checkpoint was restored."""
        self._folder, self._interval = Path(folder), interval
        self._objective: Any = None
        self._space, self._worst, pickled = pickle.loads((self._folder / "objective.pkl").read_bytes())
        self._fault = ""
        try:
            self._objective = pickle.loads(pickled)
        except Exception as error:
            # Told as the trial's end: raised here, Ray would start process after process.
            self._fault = f"the objective cannot be loaded in a worker: {type(error).__name__}: {error}"[:300]
        self._keeps = self._objective is not None and checkpoint_style(self._objective) != "none"
        self._cost_seconds = 0.0
        self._begin()

    def _begin(self) -> None:
        self._steps: Iterator[Any] | None = None
        self._last: Measurement | None = None
        self._at, self._value = 0, self._worst
        self._checkpoint: Any = None
        self._schedule: list[list[Any]] = []
        self._pulled = 0
        self._kept_at = time.monotonic()
        self._is_loaded = False

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Makes the process ready for another member; True: it can be."""
        self._close()
        self._begin()
        return True

    def step(self) -> dict[str, Any]:
        """One measurement, or the last one again with ``done`` when the objective has ended or died."""
        try:
            measurement = self._pull()
        except StopIteration:
            cause = "" if self._pulled or self._at else "the objective ended without a measurement"
            return self._report(is_over=True, cause=cause, cure="Yield at least one Measurement." if cause else "")
        except _InvalidError as error:
            return self._report(is_over=True, cause=error.cause, cure=error.cure)
        except Exception as error:
            return self._report(
                is_over=True,
                cause=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300],
                cure="The configuration or the objective is at fault.",
            )
        self._last, self._at, self._value = measurement, int(measurement.step), float(measurement.value)
        self._pulled += 1
        return self._report(is_over=False)

    def _pull(self) -> Measurement:
        if self._fault:
            raise _InvalidError(self._fault, "Define it, and all it calls, in a module that every node can import.")
        if self._steps is None:
            raw = {n: v for n, v in self.config.items() if n in self._space.parameters}
            if not self._is_loaded and self._keeps:
                self._look_for_own()
            if not self._schedule or self._schedule[-1][1] != raw:
                self._schedule = [*(s for s in self._schedule if s[0] < self._at), [self._at, raw]]
            answer = call(self._objective, _decoded(self._space, raw), self._checkpoint)
            if not isinstance(answer, Iterator):
                raise _InvalidError(
                    f"the objective gave {type(answer).__name__}, no steps", "Yield a Measurement after each unit of resource."
                )
            self._steps = answer
        measurement = next(self._steps)
        if not isinstance(measurement, Measurement):
            raise _InvalidError(f"the objective yielded {type(measurement).__name__}, not a Measurement", "Yield advisor.Measurement(…).")
        step: Any = measurement.step
        value: Any = measurement.value
        if isinstance(step, bool) or not isinstance(step, numbers.Integral) or step <= self._at:
            raise _InvalidError(f"step {step!r} follows step {self._at}", "Count steps from 1, absolute and growing.")
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise _InvalidError(f"the objective measured {type(value).__name__}, not a number", "Yield a float as value.")
        return measurement

    def _report(self, *, is_over: bool, cause: str = "", cure: str = "") -> dict[str, Any]:
        is_finite = math.isfinite(self._value)
        report = {
            # A member that diverged is the worst, so that it is the next to be replaced: NaN would never be.
            _METRIC: self._value if is_finite else self._worst,
            _ITERATION: self._at,
            "is_finite": is_finite,
            "is_repeated": is_over,  # the step was reported before
            "cause": cause,
            "cure": cure,
            "schedule": [list(s) for s in self._schedule],
            "has_checkpoint": self._last is None or self._last.checkpoint is not None,
        }
        if is_over:
            report["done"] = True
        elif self._is_due() and is_finite:
            report["should_checkpoint"] = True
        return report

    def _is_due(self) -> bool:
        """True at the first step of a life, at each interval, and where a checkpoint costs little beside the training."""
        if not self._keeps or self._last is None or self._last.checkpoint is None:
            return False
        since = time.monotonic() - self._kept_at
        return self._pulled == 1 or self._at % self._interval == 0 or since > _CHECKPOINT_SHARE * self._cost_seconds > 0

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Writes the objective's checkpoint, or the one it began from, and the schedule that led there."""
        began = time.monotonic()
        held = self._checkpoint if self._last is None else value_of(self._last.checkpoint)
        state = {"step": self._at, "value": self._value, "schedule": self._schedule, "checkpoint": held}
        if isinstance(held, str | Path) and Path(held).exists():
            kept = Path(checkpoint_dir) / "files" / Path(held).name
            kept.parent.mkdir()
            shutil.copytree(held, kept) if Path(held).is_dir() else shutil.copy2(held, kept)
            state |= {"checkpoint": None, "file": kept.name, "is_text": isinstance(held, str)}
        (Path(checkpoint_dir) / "state.pkl").write_bytes(cloudpickle.dumps(state))
        self._kept_at = time.monotonic()
        self._cost_seconds = self._kept_at - began

    def load_checkpoint(self, checkpoint: dict[str, Any] | str | None) -> None:
        """Takes over the weights, the step and the schedule of a checkpoint; the configuration stays the trial's own."""
        assert isinstance(checkpoint, str)
        state, held = read_checkpoint(checkpoint, copies_to=Path(self.logdir))
        self._close()
        self._begin()
        self._is_loaded = True
        self._at, self._value, self._checkpoint, self._schedule = state["step"], state["value"], held, list(state["schedule"])

    def _look_for_own(self) -> None:
        """Goes on from this member's latest whole checkpoint where Ray knows of none: its snapshot was older, or a node died."""
        own = self._folder / _EXPERIMENT / _folder_of(self.config[_MEMBER])
        for folder in sorted(own.glob("checkpoint_*"), key=lambda f: f.stat().st_mtime, reverse=True):
            with contextlib.suppress(Exception):  # a torn one: the one before it is whole
                self.load_checkpoint(str(folder))
                return

    def _close(self) -> None:
        if self._steps is not None and hasattr(self._steps, "close"):
            with contextlib.suppress(Exception):
                self._steps.close()
        self._steps = None

    def cleanup(self) -> None:
        """Closes the objective."""
        self._close()


class _InvalidError(Exception):
    """What the objective gave is no measurement."""

    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(cause)
        self.cause, self.cure = cause, cure


def read_checkpoint(folder: str, *, copies_to: Path | None = None) -> tuple[dict[str, Any], Any]:
    """The state of a checkpoint that a loop of this run wrote, and the objective's own checkpoint within.

    A checkpoint that is a path is given as a copy under `copies_to`, so that no two trials write one file; without it, in place.
    """
    state = pickle.loads((Path(folder) / "state.pkl").read_bytes())  # written by this run's own workers
    held = state["checkpoint"]
    if "file" in state:
        kept = Path(folder) / "files" / state["file"]
        if copies_to is not None:
            copy = Path(tempfile.mkdtemp(dir=copies_to)) / kept.name
            shutil.copytree(kept, copy) if kept.is_dir() else shutil.copy2(kept, copy)
            kept = copy
        held = str(kept) if state["is_text"] else kept
    return state, held


def _folder_of(member: int) -> str:
    return f"member_{member:05d}"


# --- Ray's schedulers ---------------------------------------------------------------------------------------------------


class _Awaited(_FutureTrainingResult):
    """A checkpoint that a donor is still writing. Ray waits for it without end, and its node may be gone."""

    def __init__(self, future: Any, run: str) -> None:
        super().__init__(future)
        self._run = run

    def resolve(self, block: bool = True) -> Any:
        """The checkpoint; None when it could not be written in time, and then there is no exploit."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while not ray.wait([self.future], timeout=_LOOK_SECONDS)[0]:
            _RUNS[self._run].look()
            if time.monotonic() > until:
                return None
        return super().resolve(block)


class _Population(PopulationBasedTraining):
    """Ray's scheduler with seeded draws, a word about each exploit, and members that survive the loss of a node."""

    def __init__(self, *, run: str, seed: int, starts: Sequence[dict[str, Any]], mutated: SearchSpace, **settings: Any) -> None:
        super().__init__(**settings)
        self._run, self._seed, self._starts, self._mutated = run, seed, list(starts), mutated
        self._decisions: dict[int, int] = {}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Draws what the member's configuration lacks; one that is started again keeps its place in the population."""
        known = self._trial_state.get(trial)
        member = trial.config[_MEMBER]
        if member < len(self._starts):
            for name, value in self._starts[member].items():
                trial.config.setdefault(name, value)
                trial.evaluated_params.setdefault(name, value)
        with _seeded(self._seed, "start", member):
            super().on_trial_add(tune_controller, trial)
        state = self._trial_state[trial]
        at = int(trial.last_result.get(_ITERATION, 0)) if trial.last_result else 0
        interval = int(self._perturbation_interval)
        if known is not None:
            self._trial_state[trial] = known
        elif at:  # restored in another life of the run
            state.last_train_time, state.last_perturbation_time = at, at - at % interval
            self._next_perturbation_sync = max(self._next_perturbation_sync, state.last_perturbation_time + interval)

    def _checkpoint_or_exploit(self, trial: Any, tune_controller: Any, upper_quantile: list[Any], lower_quantile: list[Any]) -> None:
        member = trial.config[_MEMBER]
        self._decisions[member] = self._decisions.get(member, -1) + 1
        with _seeded(self._seed, "decision", member, self._decisions[member]):
            super()._checkpoint_or_exploit(trial, tune_controller, upper_quantile, lower_quantile)
        state = self._trial_state[trial]
        if type(state.last_checkpoint) is _FutureTrainingResult:
            state.last_checkpoint = _Awaited(state.last_checkpoint.future, self._run)

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        new, operations = super()._get_new_config(trial, trial_to_clone)
        for name, p in self._mutated.items():
            told = str(operations.get(name, ""))
            if isinstance(p, Int) and told.startswith("*") and new[name] == trial_to_clone.config[name]:
                # 2 × 1.2 rounds to 2: a small whole number would never move.
                new[name] = min(max(new[name] + (1 if float(told[1:]) > 1 else -1), p.low), p.high)
        new[_MEMBER] = trial.config[_MEMBER]
        return new, operations

    def _exploit(self, tune_controller: Any, trial: Any, trial_to_clone: Any) -> None:
        super()._exploit(tune_controller, trial, trial_to_clone)
        taken = trial.run_metadata.checkpoint_manager.latest_checkpoint_result
        _RUNS[self._run].exploited(trial, trial_to_clone, int(taken.metrics[_ITERATION]))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Lets the others go on when the one they wait for has ended."""
        super().on_trial_complete(tune_controller, trial, result)
        self._release(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Lets the others go on when the one they wait for has died for good."""
        super().on_trial_error(tune_controller, trial)
        if not trial.should_recover():
            self._release(tune_controller, trial)

    def _release(self, tune_controller: Any, ended: Any) -> None:
        self._trial_state[ended].last_score = None
        alive = [t for t in tune_controller.get_trials() if t is not ended and not t.is_finished()]
        if self._synch and alive and all(self._trial_state[t].last_train_time >= self._next_perturbation_sync for t in alive):
            self._next_perturbation_sync += self._perturbation_interval


class _Asha(ASHAScheduler):
    """Ray's scheduler, with rungs that outlive the engine: without them the first trials after a resume would all be promoted."""

    def __init__(self, *, run: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._run = run
        self._members: dict[str, str] = {}
        """Ray's name of a trial, which changes where its snapshot did not know it yet, to its member."""
        self._written = -1

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Reads what earlier lives have recorded before the first trial."""
        rungs = [recorded for _, recorded in self._brackets[0]._rungs]
        member = str(trial.config[_MEMBER])
        if self._written < 0:
            for recorded, kept in zip(rungs, json.loads(self._path().read_text()) if self._path().exists() else [], strict=False):
                recorded.update(kept)
            self._written = self._recorded()
        self._members[trial.trial_id] = member
        for recorded in rungs:
            if member in recorded:
                recorded[trial.trial_id] = recorded.pop(member)
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Ray's decision; what a rung has recorded is on disk when it is given."""
        decision = super().on_trial_result(tune_controller, trial, result)
        if self._recorded() > self._written:
            rungs = [{self._members.get(name, name): value for name, value in rung.items()} for _, rung in self._brackets[0]._rungs]
            draft = self._path().with_suffix(".draft")
            draft.write_text(json.dumps(rungs))
            draft.replace(self._path())
            self._written = self._recorded()
        return str(decision)

    def _recorded(self) -> int:
        return sum(len(recorded) for _, recorded in self._brackets[0]._rungs)

    def _path(self) -> Path:
        return _RUNS[self._run].folder / "rungs.json"


class _Stream(Searcher):
    """Configurations drawn at random, one stream a trial, so that a resumed run proposes the same."""

    def __init__(self, space: SearchSpace, *, seed: int, starts: Sequence[dict[str, Any]], trials: int | None) -> None:
        super().__init__(metric=_METRIC)
        self._space, self._seed, self._starts, self._trials = space, seed, list(starts), trials
        self._next = 0

    def suggest(self, trial_id: str) -> Any:
        """The next configuration; FINISHED when all are drawn."""
        if self._trials is not None and self._next >= self._trials:
            return str(Searcher.FINISHED)
        member, self._next = self._next, self._next + 1
        return {_MEMBER: member, **self._drawn(member)}

    def _drawn(self, member: int) -> dict[str, Any]:
        with _seeded(self._seed, "start", member):
            drawn = {name: _Draw(p)() for name, p in self._space.items()}
        return {**drawn, **(self._starts[member] if member < len(self._starts) else {})}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Random draws learn nothing."""

    def save(self, checkpoint_path: str) -> None:
        """Writes how many were drawn."""
        Path(checkpoint_path).write_text(json.dumps(self._next))

    def restore(self, checkpoint_path: str) -> None:
        """Reads how many were drawn."""
        self._next = json.loads(Path(checkpoint_path).read_text())


# --- what is told -------------------------------------------------------------------------------------------------------


@dataclass
class _Told:
    """A trial as the scribe knows it."""

    key: int
    config: Config
    steps: list[tuple[int, float]] = field(default_factory=list)
    """What was measured in this life; of steps that were run twice, the later."""
    furthest: int = 0
    """The last step the scribe has heard of: a donor may be behind the member that takes its weights."""
    is_ended: bool = False
    has_diverged: bool = False
    last: dict[str, Any] | None = None
    """The last report of the worker."""


class _Run:
    """One life of a loop: takes what Ray's callbacks say and tells the scribe."""

    def __init__(self, scribe: Scribe, loop: _RayLoop, folder: Path) -> None:
        self.scribe, self.loop, self.folder = scribe, loop, folder
        self.told: dict[int, _Told] = {}
        self.trials: list[Any] = []
        """Ray's trials, those of earlier lives included."""
        self.error: AdvisorError | None = None
        self._looked_at = -math.inf
        self._keys = _Keys(folder / "keys.json")

    def look(self, trials: Sequence[Any] | None = None) -> None:
        """Leaves Ray's loop when the stage is over; its processes are ended first, for Ray would wait for a step to end."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at, self.trials = now, list(trials) if trials is not None else self.trials
        if self.error is not None or self.scribe.is_over():
            _kill(self.trials)
            raise _Over

    def started(self, trial: Any) -> None:
        """Tells of a trial the first time it runs in this life."""
        member = trial.config[_MEMBER]
        if member in self.told or self._keys.is_ended(member):
            return
        config = _decoded(self.loop.space, trial.config)
        key, before = self._keys.take(member)
        origin: Literal["default", "start", "proposal"] = "proposal"
        if member < len(self.loop.starts):
            origin = "default" if self.loop.starts[member] == self.loop.space.default() else "start"
        self.told[member] = _Told(key, config)
        self.scribe.started(Proposal(key, config, origin, seed=_seed(self.loop.seed, member), continues=before))
        self._keys.keep(member, key)

    def measured(self, trial: Any, report: Mapping[str, Any]) -> None:
        """Tells of a step. One that is run again after a process died is told once."""
        told = self.told.get(trial.config[_MEMBER])
        if told is None:
            return
        told.last = dict(report)
        step, value = int(report[_ITERATION]), float(report[_METRIC])
        if report["cause"] or report["is_repeated"]:
            return
        if self.loop.needs_checkpoints and not report["has_checkpoint"]:
            self.error = CannotRunError(
                "a population shares weights, and the objective yields no checkpoint",
                cure="Yield Measurement(step=…, value=…, checkpoint=…), or use the strategy `asha`.",
            )
            return
        if not report["is_finite"]:
            if not told.has_diverged:
                self.scribe.noted(f"trial {told.key} diverged at step {step}", is_warning=True)
            told.has_diverged = True
            return
        told.steps = [*(s for s in told.steps if s[0] < step), (step, value)]
        if step > told.furthest:
            told.furthest = step
            self.scribe.measured(told.key, step, value)

    def exploited(self, trial: Any, donor: Any, step: int) -> None:
        """Tells that a member goes on from another's weights."""
        member, source = trial.config[_MEMBER], donor.config[_MEMBER]
        told, parent = self.told.get(member), self.told.get(source)
        if told is None:
            return
        told.config, told.has_diverged = _decoded(self.loop.space, trial.config), False
        because = f"its score was in the lowest quarter; it goes on from trial {{parent}} at step {step}" if parent else "exploit"
        self.scribe.changed(told.key, step, told.config, parent=parent.key if parent else None, because=because)

    def completed(self, trial: Any) -> None:
        """Tells the end of a trial that Ray has ended."""
        told = self.told.get(trial.config[_MEMBER])
        if told is not None and not told.is_ended:
            last = told.last or {}
            step = int(last.get(_ITERATION, 0))
            if last.get("cause"):
                self._end(trial, Result("failed", cause=last["cause"]), cure=last["cure"])
            elif not last.get("is_finite", False):
                self._end(trial, Result("failed", cause=f"it measured no finite value at step {step}"), cure="Lower the learning rate.")
            elif last["is_repeated"] or step >= self.loop.steps:
                self._end(trial, Result("completed", float(last[_METRIC])))
            else:
                self._end(trial, Result("pruned", float(last[_METRIC]), cause=f"stopped at step {step}: not among the best of its rung"))

    def failed(self, trial: Any) -> None:
        """Tells the end of a trial whose processes died too often."""
        said = " ".join(str(getattr(trial, "error_file", "") and _last_line(trial.error_file)).split())
        self._end(trial, Result("failed", cause=f"its process died {trial.num_failures} times: {said}"[:300]), cure="Read Ray's logs.")

    def finish(self) -> None:
        """Tells of what was running when the stage ended: each may be gone on from."""
        for trial in self.trials:
            told = self.told.get(trial.config.get(_MEMBER))
            if told is None or told.is_ended:
                continue
            if told.steps:
                step, value = told.steps[-1]
                self._end(trial, Result("pruned", value, cause=f"{_PAUSED} {step}: the stage was over"), is_final=False)
            else:
                self._end(trial, Result("failed", cause="the stage was over before its first step"), is_final=False)

    def key_of(self, trial: Any) -> int:
        """The key under which a trial was told last, in this life or an earlier one."""
        told = self.told.get(trial.config[_MEMBER])
        return told.key if told is not None else self._keys.last(trial.config[_MEMBER])

    def _end(self, trial: Any, result: Result, *, cure: str = "", is_final: bool = True) -> None:
        member = trial.config[_MEMBER]
        told = self.told.get(member)
        if told is None or told.is_ended:
            return
        told.is_ended = True
        seconds = float((told.last or {}).get("time_total_s", 0.0))
        steps = tuple(told.steps)
        self.scribe.ended(
            told.key,
            Result(result.status, result.value, steps=steps, seconds=seconds, fit_seconds=seconds, cause=result.cause),
            cure=cure,
        )
        if is_final:
            self._keys.end(member)


_RUNS: dict[str, _Run] = {}
"""The lives that are running in this process, by name: what Ray pickles (schedulers, callbacks) holds the name only."""


class _Keys:
    """Which key a trial had last, kept on disk so that another life of the run gives new ones."""

    def __init__(self, path: Path) -> None:
        self._path = path
        held: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"used": [], "last": {}, "ended": []}
        self._used: set[int] = set(held["used"])
        self._last: dict[str, int] = held["last"]
        self._ended: set[int] = set(held["ended"])

    def take(self, member: int) -> tuple[int, int | None]:
        """A free key for `member`, its own number the first time, and the one it had in the life before."""
        key = member if member not in self._used else max(self._used) + 1
        return key, self._last.get(str(member))

    def is_ended(self, member: int) -> bool:
        """True when its end was told in an earlier life."""
        return member in self._ended

    def last(self, member: int) -> int:
        """The key that `member` had last; its own number when it has had none."""
        return self._last.get(str(member), member)

    def keep(self, member: int, key: int) -> None:
        """Remembers that `key` was told."""
        self._used.add(key)
        self._last[str(member)] = key
        self._write()

    def end(self, member: int) -> None:
        """Remembers that its end was told."""
        self._ended.add(member)
        self._write()

    def _write(self) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps({"used": sorted(self._used), "last": self._last, "ended": sorted(self._ended)}))
        draft.replace(self._path)


class _Callbacks(tune.Callback):
    """Ray's callbacks, handed on to the run."""

    def __init__(self, run: str) -> None:
        self._run = run

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Asks whether the stage is over."""
        _RUNS[self._run].look(trials)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A process is on its way."""
        _RUNS[self._run].started(trial)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """A step."""
        _RUNS[self._run].measured(trial, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """An end."""
        _RUNS[self._run].completed(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A bad end."""
        _RUNS[self._run].failed(trial)


# --- the loops ----------------------------------------------------------------------------------------------------------


class _RayLoop(ABC):
    """What the two loops share: one life of a Tuner in a storage folder, told to a scribe."""

    needs_checkpoints = False
    """True when trials share weights."""

    def __init__(
        self,
        objective: Objective,
        space: SearchSpace,
        *,
        direction: Direction,
        steps: int,
        folder: str | os.PathLike[str],
        seed: int = 0,
        starts: Sequence[Config] = (),
        cluster: Cluster | None = None,
    ) -> None:
        if steps < 1:
            raise InputError(f"a trial has at least one step, got {steps}", cure="Give the steps of a full trial.")
        if not space.free:
            raise CannotRunError("nothing in the space can vary", cure="Give a space with at least one free hyperparameter.")
        self.objective, self.space, self.direction, self.steps, self.seed = objective, space, direction, steps, seed
        self.cluster = cluster or Cluster()
        for start in starts:
            wrong = [n for n, v in start.items() if n not in space.parameters or not space.parameters[n].contains(v)]
            if wrong:
                raise InputError(f"a starting configuration lies outside the space: {', '.join(wrong)}", cure="Correct it or leave it out.")
        self.starts = [dict(s) for s in starts] or ([space.default()] if not space.faults(space.default()) else [])
        self.best: Trained | None = None
        """The best model after `run`; None when nothing was measured."""
        self._folder = Path(folder).absolute()

    def run(self, scribe: Scribe) -> None:
        """Runs the stage, from where an earlier life of the folder was; ends every process it started.

        Raises: CannotRunError when there is no such cluster or it is too small; InputError when the objective cannot be pickled.
        """
        if scribe.is_over():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_objective()
        run, name = _Run(scribe, self, self._folder), _name(self._folder)
        _RUNS[name] = run
        try:
            with connected(self.cluster):
                slots = _slots(self.cluster)
                _check_storage(self._folder)
                is_whole = self._fit(run, name, slots)
            run.finish()
            self.best = self._best(run)
            if run.error is not None:
                raise run.error
            if is_whole:
                _thin(run.trials)
        finally:
            del _RUNS[name]

    def _fit(self, run: _Run, name: str, slots: int) -> bool:
        """Runs Ray's own loop; False when the stage was over before it was done."""
        try:
            tuner = self._tuner(run, name, slots)
            run.trials = list(tuner.fit()._experiment_analysis.trials)
        except _Over:
            return False
        except ray.exceptions.RayError as error:
            run.finish()
            raise CannotRunError(
                f"Ray has ended: {' '.join(str(error).split())[:200]}", cure="Look at the cluster, then resume the run."
            ) from error
        return True

    def _tuner(self, run: _Run, name: str, slots: int) -> Any:
        path = self._folder / _EXPERIMENT
        trainable = tune.with_resources(
            tune.with_parameters(_Member, folder=str(self._folder), interval=self._interval(slots)),
            {"cpu": self.cluster.cpus, "gpu": self.cluster.gpus},
        )
        if tune.Tuner.can_restore(path):
            try:
                return tune.Tuner.restore(str(path), trainable, resume_errored=False)
            except Exception as error:
                # A torn state; the members still find their own checkpoints.
                run.scribe.noted(f"Ray's record of the earlier life cannot be read ({type(error).__name__}); begun anew", is_warning=True)
        return tune.Tuner(
            trainable,
            param_space=self._param_space(slots),
            tune_config=self._tune_config(name, slots),
            run_config=tune.RunConfig(
                name=_EXPERIMENT,
                storage_path=str(self._folder),
                stop={_ITERATION: self.steps},
                callbacks=[_Callbacks(name)],
                failure_config=tune.FailureConfig(max_failures=_MOST_FAILURES),
                # None: with a number Ray deletes checkpoints that a member is about to take over.
                checkpoint_config=tune.CheckpointConfig(num_to_keep=None, checkpoint_at_end=checkpoint_style(self.objective) != "none"),
                verbose=0,
            ),
        )

    def _write_objective(self) -> None:
        """The objective as a file that every worker reads: object stores die with their node."""
        worst = _WORST if self.direction == "minimize" else -_WORST
        try:
            pickled = pickle.dumps((self.space, worst, cloudpickle.dumps(self.objective)))
        except Exception as error:
            raise InputError(
                f"the objective cannot be sent to a worker: {type(error).__name__}: {error}"[:300],
                cure="Define it at the top of a module and open files and connections within it.",
            ) from error
        draft = self._folder / "objective.draft"
        draft.write_bytes(pickled)
        draft.replace(self._folder / "objective.pkl")

    def _best(self, run: _Run) -> Trained | None:
        sign = 1 if self.direction == "minimize" else -1
        # Not `last_result`: of a trial that has not reported it asks Ray, which has ended by now.
        measured = [t for t in run.trials if (told := t.run_metadata.last_result).get("is_finite") and not told.get("cause")]
        if not measured:
            return None
        furthest = max(int(t.last_result[_ITERATION]) for t in measured)
        # Scores of one length only: members of a population that was ended differ by an interval at most.
        fair = [t for t in measured if t.last_result[_ITERATION] > furthest - self._interval(1)]
        best = min(fair, key=lambda t: sign * t.last_result[_METRIC])
        report = best.last_result
        return Trained(
            key=run.key_of(best),
            value=float(report[_METRIC]),
            step=int(report[_ITERATION]),
            schedule=tuple((int(step), _decoded(self.space, raw)) for step, raw in report["schedule"]),
            checkpoint=best.checkpoint.path if best.checkpoint else None,
        )

    @property
    def _mode(self) -> str:
        return "min" if self.direction == "minimize" else "max"

    @abstractmethod
    def _interval(self, slots: int) -> int:
        """Steps between two checkpoints."""

    @abstractmethod
    def _param_space(self, slots: int) -> dict[str, Any] | None:
        """What Ray draws trials from."""

    @abstractmethod
    def _tune_config(self, name: str, slots: int) -> Any:
        """Ray's scheduler and searcher."""


class PopulationLoop(_RayLoop):
    """Population-based training by Ray Tune's `PopulationBasedTraining`: weak members take over strong weights and change.

    `space` is what members are drawn from, uniform on each parameter's scale; `starts` are the configurations of the first
    members (the default where none are given). Of it `mutable` (None: all) may change while a member trains; the others a
    member takes over together with the weights. `steps` is the length of a full training. `interval` is the steps between
    two perturbations, by default so many that a full run has 15; none happens before `burn_in` steps. `synch` makes members
    wait for each other, so that scores of one step are compared; it costs a new process a slot at every perturbation, for Ray keeps none
    while all wait.
    After `run`, `best` holds the schedule that the best model was trained under.

    Raises: InputError for settings that make no sense; CannotRunError when the objective takes no checkpoint.
    Source: knowledge A.1 PBT (Jaderberg et al. 2017; Ray documentation).
    """

    needs_checkpoints = True

    def __init__(
        self,
        objective: Objective,
        space: SearchSpace,
        *,
        direction: Direction,
        steps: int,
        folder: str | os.PathLike[str],
        seed: int = 0,
        starts: Sequence[Config] = (),
        cluster: Cluster | None = None,
        population: int | None = None,
        mutable: Sequence[str] | None = None,
        interval: int | None = None,
        burn_in: int = 0,
        quantile: float = QUANTILE,
        resample: float = RESAMPLE,
        factors: tuple[float, float] = FACTORS,
        synch: bool = False,
    ) -> None:
        super().__init__(objective, space, direction=direction, steps=steps, folder=folder, seed=seed, starts=starts, cluster=cluster)
        if checkpoint_style(objective) == "none":
            raise CannotRunError(
                "members share weights, and the objective takes no checkpoint",
                cure="Write it as objective(config, checkpoint=None) that goes on from what it yielded, or use the strategy `asha`.",
            )
        if population is not None and population < 2:
            raise InputError(f"a population has at least two members, got {population}", cure=f"Give {FEWEST_MEMBERS} or more.")
        if not 0 < quantile <= 0.5 or not 0 <= resample <= 1:
            raise InputError(
                f"quantile {quantile} or resample {resample} is out of range", cure="Give a quantile in (0, 0.5], a share in [0, 1]."
            )
        moving = space.free if mutable is None else tuple(n for n in space.free if n in mutable)
        if not moving:
            raise CannotRunError("no hyperparameter may change while a member trains", cure="Name them as mutable, or use `asha`.")
        self.mutable = moving
        self.population = population
        self.interval = interval or max(1, round(steps / EVENTS))
        self.burn_in, self.quantile, self.resample, self.factors, self.synch = burn_in, quantile, resample, factors, synch

    def members(self, slots: int) -> int:
        """Members of the population: as many as train side by side, between 8 and 40, unless it was given."""
        return self.population or min(max(FEWEST_MEMBERS, slots), MOST_MEMBERS)

    def _interval(self, slots: int) -> int:
        return self.interval

    def _param_space(self, slots: int) -> dict[str, Any]:
        # Mutated keys are left out: one that is preset would be the same for every member.
        return {_MEMBER: tune.grid_search(list(range(self.members(slots))))}

    def _tune_config(self, name: str, slots: int) -> Any:
        mutated = self.space.restrict(self.mutable)
        members = self.members(slots)
        scheduler = _Population(
            run=name,
            seed=self.seed,
            starts=self._first(members),
            mutated=mutated,
            time_attr=_ITERATION,
            metric=_METRIC,
            mode=self._mode,
            perturbation_interval=self.interval,
            burn_in_period=self.burn_in,
            hyperparam_mutations={n: list(range(len(p.choices))) if isinstance(p, Choice) else _Draw(p) for n, p in mutated.items()},
            quantile_fraction=self.quantile,
            resample_probability=self.resample,
            perturbation_factors=self.factors,
            custom_explore_fn=_Clip(self.space),
            log_config=False,
            synch=self.synch,
        )
        return tune.TuneConfig(scheduler=scheduler, reuse_actors=True, trial_dirname_creator=_dirname)

    def _first(self, members: int) -> list[dict[str, Any]]:
        """What is set of each member before Ray draws the rest: the starts, and parameters that it does not change."""
        still = {n: p for n, p in self.space.items() if n not in self.mutable}
        first = []
        for member in range(members):
            with _seeded(self.seed, "still", member):
                drawn = {n: _Draw(p)() for n, p in still.items()}
            first.append({**drawn, **(_encoded(self.space, self.starts[member]) if member < len(self.starts) else {})})
        return first


class AshaLoop(_RayLoop):
    """ASHA by Ray Tune's `ASHAScheduler`, for trials that cannot share weights: losers of a rung are stopped.

    `trials` configurations are drawn at random, uniform on each parameter's scale, after `starts` (the default where none are
    given); None: until the stage is over. Rungs stand at ``grace × factor^k`` steps. Random draws and nothing learnt: on a
    cluster the trials that run side by side would mislead a model.

    Raises: InputError for settings that make no sense.
    Source: knowledge A.1 ASHA (Li et al. 2020).
    """

    def __init__(
        self,
        objective: Objective,
        space: SearchSpace,
        *,
        direction: Direction,
        steps: int,
        folder: str | os.PathLike[str],
        seed: int = 0,
        starts: Sequence[Config] = (),
        cluster: Cluster | None = None,
        trials: int | None = None,
        grace: int = 1,
        factor: float = 4,
    ) -> None:
        super().__init__(objective, space, direction=direction, steps=steps, folder=folder, seed=seed, starts=starts, cluster=cluster)
        if not 1 <= grace <= steps or factor <= 1:
            raise InputError(f"grace {grace} or factor {factor} is out of range", cure=f"Give 1 to {steps} steps and a factor above 1.")
        if trials is not None and trials < 1:
            raise InputError(f"at least one trial is needed, got {trials}", cure="Give one or more.")
        self.trials, self.grace, self.factor = trials, grace, factor

    def _interval(self, slots: int) -> int:
        return max(1, self.grace)

    def _param_space(self, slots: int) -> None:
        return None

    def _tune_config(self, name: str, slots: int) -> Any:
        scheduler = _Asha(
            run=name,
            time_attr=_ITERATION,
            metric=_METRIC,
            mode=self._mode,
            max_t=self.steps,
            grace_period=self.grace,
            reduction_factor=self.factor,
        )
        starts = [_encoded(self.space, s) for s in self.starts]
        return tune.TuneConfig(
            scheduler=scheduler,
            search_alg=_Stream(self.space, seed=self.seed, starts=starts, trials=self.trials),
            num_samples=-1 if self.trials is None else self.trials,
            reuse_actors=True,
            trial_dirname_creator=_dirname,
        )


def _dirname(trial: Any) -> str:
    return _folder_of(trial.config[_MEMBER])


def _name(folder: Path) -> str:
    """The name of a folder's loop, the same in every life: what Ray pickled in an earlier one holds it."""
    path = folder / "name"
    if not path.exists():
        path.write_text(uuid.uuid4().hex)
    return path.read_text()


def _thin(trials: Sequence[Any]) -> None:
    """Deletes all checkpoints of a loop that is done but the last of each trial."""
    for trial in trials:
        kept = Path(trial.checkpoint.path) if trial.checkpoint else None
        for folder in Path(trial.storage.trial_fs_path).glob("checkpoint_*") if kept is not None else ():
            if folder != kept:
                shutil.rmtree(folder, ignore_errors=True)


def _kill(trials: Sequence[Any]) -> None:
    """Ends the processes of the trials now."""
    for trial in trials:
        actor = trial.temporary_state.ray_actor
        if actor is not None:
            with contextlib.suppress(Exception):
                ray.kill(actor)


def _last_line(path: str) -> str:
    try:
        lines = [line for line in Path(path).read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1] if lines else ""


# --- connecting to Ray --------------------------------------------------------------------------------------------------

_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would report to a server of Ray's makers
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints a heading whatever the verbosity
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths of an objective mean what they mean in the calling process
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@contextmanager
def _environment() -> Iterator[None]:
    """Ray runs quietly, tells nobody, and takes no signal away, within."""
    kept = {name: os.environ.get(name) for name in _VARIABLES}
    logger = logging.getLogger("ray")
    level = logger.level
    os.environ.update(_VARIABLES)
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with _own_signals():
            yield
    finally:
        logger.setLevel(level)
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps what Ray's servers say off standard output, where the caller's results are printed."""
    kept = ray_worker.print_worker_logs
    ray_worker.print_worker_logs = lambda lines, *_, **__: logging.getLogger("ray").warning("%s", lines)
    try:
        yield
    finally:
        ray_worker.print_worker_logs = kept


@contextmanager
def _own_signals() -> Iterator[None]:
    """Puts the caller's handlers back; `ray.init` takes SIGTERM, Tune SIGUSR1."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Within, this process is connected to Ray; a loop connects itself, several share one Ray within this.

    Raises: CannotRunError when no cluster answers at the address.
    """
    with _environment():
        if ray.is_initialized():
            yield
            return
        with _silent(), _local(cluster) if cluster.address is None else _remote(cluster.address):
            yield


@contextmanager
def _local(cluster: Cluster) -> Iterator[None]:
    """A Ray of this process on loopback; ended with everything that it started."""
    # With a token in the environment Ray asks for it and writes none into the home folder. It stays: Ray reads it once a process.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    temporary = tempfile.mkdtemp(prefix="ray-")  # short: Ray puts sockets there, whose paths may have 107 characters
    try:
        with _own_signals(), _loopback():
            ray.init(
                address="local",
                num_cpus=math.ceil(cluster.slots * cluster.cpus),
                num_gpus=None if cluster.gpus else 0,
                object_store_memory=_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                logging_level=logging.CRITICAL,
                _node_ip_address="127.0.0.1",
                _temp_dir=temporary,
            )
        with _watched(temporary):
            yield
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


_WATCHER = """
import os, shutil, sys
sys.stdin.read()
for said in sys.argv[2:]:
    pid, began = said.split(":")
    try:
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[19] == began:
                os.kill(int(pid), 9)
    except OSError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


@contextmanager
def _watched(temporary: str) -> Iterator[None]:
    """Within, the processes of this process's Ray end at once and its files go, even where this process is killed.

    Ray's own agents would live on for a minute: they report to a server that is gone.
    """
    said = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(OSError, IndexError):
            began = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
            line = Path(f"/proc/{child.pid}/cmdline").read_text()
            if temporary in line or line.startswith("ray::"):
                said.append(f"{child.pid}:{began}")
    watcher = subprocess.Popen([sys.executable, "-c", _WATCHER, temporary, *said], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watcher.kill()
        watcher.wait()
        assert watcher.stdin is not None
        watcher.stdin.close()


@contextmanager
def _loopback() -> Iterator[None]:
    """Ray takes 127.0.0.1 at its word within; elsewhere it registers, and listens on, an address that others can reach."""
    kept = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False  # what Ray does on Windows and macOS
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = kept


def _answers_on_loopback_only(address: str) -> bool:
    """True for a cluster that was started on this machine's loopback address.

    Raises: CannotRunError when nobody listens there; Ray itself tries for minutes.
    """
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return False  # "auto" and the like
    means = ray.util.get_node_ip_address() if host in ("127.0.0.1", "localhost") else host  # type: ignore[no-untyped-call]
    if _listens(means, int(port)):
        return False
    if means != host and _listens(host, int(port)):
        return True
    raise CannotRunError(f"nothing answers at {address}", cure="Check the address: `ray status` on the cluster's head prints it.")


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def _remote(address: str) -> Iterator[None]:
    """A connection to a cluster that this machine belongs to; only the connection is ended."""
    if address.startswith("ray://"):
        raise CannotRunError(
            f"{address} is a client's address, through which nothing is heard while trials run",
            cure="Run on a node of the cluster (`ray start --address=HOST:PORT` joins it) and give HOST:PORT.",
        )
    try:
        with _own_signals(), _loopback() if _answers_on_loopback_only(address) else nullcontext():
            ray.init(address=address, log_to_driver=False, configure_logging=False, logging_level=logging.CRITICAL)
    except (ConnectionError, RuntimeError, ValueError, AssertionError, ray.exceptions.RayError) as error:
        ray.shutdown()
        raise CannotRunError(
            f"no Ray cluster answers at {address}: {' '.join(str(error).split())[:200]}",
            cure="Check the address, and set RAY_AUTH_TOKEN to the cluster's token where it asks for one.",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _slots(cluster: Cluster) -> int:
    total = dict(ray.cluster_resources())  # type: ignore[no-untyped-call]
    fits = [
        total.get("CPU", 0.0) / cluster.cpus if cluster.cpus else math.inf,
        total.get("GPU", 0.0) / cluster.gpus if cluster.gpus else math.inf,
    ]
    slots = int(min(fits)) if min(fits) < math.inf else cluster.slots
    if slots < 1:
        raise CannotRunError(
            f"a trial wants {cluster.cpus:g} CPU and {cluster.gpus:g} GPU; Ray has {total.get('CPU', 0):g} and {total.get('GPU', 0):g}",
            cure="Ask for less, or join more nodes.",
        )
    return slots


def _check_storage(folder: Path) -> None:
    """Every node must see the run's folder: checkpoints go through it."""
    nodes = [n for n in ray.nodes() if n["Alive"]]  # type: ignore[no-untyped-call]
    if len(nodes) < 2:
        return
    mark = folder / f"seen-{uuid.uuid4().hex}"
    mark.touch()
    try:
        sees = ray.remote(num_cpus=0)(os.path.exists)
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        asked = {
            n["NodeManagerAddress"]: sees.options(scheduling_strategy=strategy(n["NodeID"], soft=False)).remote(str(mark)) for n in nodes
        }
        blind = [address for address, answer in asked.items() if not ray.get(answer, timeout=60)]
    finally:
        mark.unlink()
    if blind:
        raise CannotRunError(
            f"{folder} is not there on {', '.join(blind)}",
            cure="Put the runs on a file system that all nodes share (--runs).",
        )
