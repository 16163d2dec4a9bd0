"""Optuna's samplers and pruners, asked and told over an in-memory study.

The journal is the truth; the study is rebuilt from it. Every ask gets a fresh sampler seeded by hash(run seed, key), so
a resumed sequential run proposes what the uninterrupted one would have: a sampler that lived through the whole run has
drawn random numbers that the resumed one has not. What it costs: the Gaussian process starts its fit without the kernel
of the trial before.

The first Gaussian-process proposal imports torch (2 to 4 s); export ``OMP_NUM_THREADS`` before the process starts.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution, distribution_to_json
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from advisor.core.earning import SENTINELS, Curve, Judgement, forecast, is_hopeless, judge, rungs
from advisor.core.errors import CannotRunError, InputError, nearest
from advisor.core.events import StudyState
from advisor.core.events import TrialState as JournalTrial
from advisor.core.plan import Pruner
from advisor.core.ports import Proposal, Result
from advisor.core.revisions import scaled
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.core.value import encode
from advisor.engines.levels import levels
from advisor.engines.thinning import representatives
from advisor.engines.warping import warp

SamplerName = Literal["tpe", "gp", "cmaes", "qmc", "random", "grid"]
StrategyName = Literal["tpe", "gp", "cmaes", "qmc", "random", "grid", "asha", "hyperband"]
"""A sampler, or one of the two strategies that are a sampler with a pruner of their own."""

FULL_LENGTH_FIRST = 12
"""Trials that run in full before any is pruned on epochs, default and starts among them. Source: contract, Fidelity."""
MOST_RESAMPLES = 8
"""[H] How often a proposal that repeats an evaluated configuration is drawn again before it is accepted."""
RESAMPLES_BY_MODEL = 3
"""[H] After so many the redraws are uniform: a model that is sure of its best point repeats it whatever the seed."""
_STUDY_NAME = "search"
"""Fixed: Hyperband's brackets are a hash of the study's name and the trial's number."""
_FULL_LENGTH = "full_length_first"
"""The one setting of a pruner that is ours: how many trials run in full before any is pruned."""
_COST_COOLING = "cost_cooling"
"""The one setting of a sampler that is ours."""
MOST_LEARNED = 250
"""Trials that a warped Gaussian process learns from: its cost grows with their cube. Source: contract, strategy list 10 (N at most 250)."""
_NO_PRUNER = Pruner(name="none")
_DIGITS = 12
"""Significant digits kept of a fold's score recovered from running means, so that equal folds stay equal."""

_SETTINGS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 10, "n_ei_candidates": 24, "multivariate": True, "group": None, "constant_liar": None},
    "gp": {"n_startup_trials": 10, "deterministic_objective": False, _COST_COOLING: False},
    "cmaes": {
        "n_startup_trials": 1,
        "popsize": None,
        "with_margin": None,
        "lr_adapt": False,
        "use_separable_cma": False,
        "consider_pruned_trials": None,
    },
    "qmc": {"qmc_type": "sobol", "scramble": True},
    "random": {},
    "grid": {"levels": None},
}
"""Every setting a strategy takes, with what is used when a plan does not say. None: derived from space, workers and pruner."""

_PRUNERS: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 5, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1},
    "wilcoxon": {"p_threshold": 0.1, "n_startup_steps": 2},
    "successive_halving": {"min_resource": 1, "reduction_factor": 4, "min_early_stopping_rate": 0, "bootstrap_count": 0},
    "hyperband": {"min_resource": 1, "max_resource": None, "reduction_factor": 3, "bootstrap_count": 0},
}
"""Every setting a pruner takes, with the library's value. `full_length_first` may be given with each."""


@dataclass(slots=True)
class _Running:
    """A trial without an end."""

    trial: Trial
    proposal: Proposal
    last: tuple[int, float] = (0, 0.0)
    """Last step and its running mean."""


class OptunaEngine:
    """Proposes with one of Optuna's samplers and prunes with one of its pruners.

    `history` holds evaluations made before (the race of families): the model learns from those that completed and belong
    to the space, and none is proposed again; what it could not use is said in `notes`. Of parameters that do not move in
    this stage only the rest of the configuration counts. `starts` that `history` does not hold are proposed first. Default
    and starts are never pruned, nor is any trial on epochs before `FULL_LENGTH_FIRST` have run in full, but all are entered
    at every rung. The pruner ``earned`` is ours: it needs `steps`, the first and the last of a full trial, and what it
    concludes goes to `notes` and to `note`. With `warps` a Gaussian process sees scores as `advisor.engines.warping` leaves
    them; then, and beside ``earned``, it is told a guess for what was stopped and the worst score for what failed: it learns
    from scores alone. With the setting ``cost_cooling`` too, the time of trials counts (`advisor.engines.optuna_cooled`), the less
    the more of `budget_seconds` is used. Without both it is the library's own, which an exported script repeats.

    The strategies ``hyperband`` (TPE) and ``asha`` (random draws, successive halving) bring their pruner along, whose settings
    may stand in either place. `settings` and ``pruner.settings`` override the tables above by name. With several workers
    `constant_liar` keeps concurrent proposals apart.

    Raises: CannotRunError when the sampler cannot search the space; InputError for a setting the strategy does not have.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        strategy: StrategyName,
        direction: Literal["minimize", "maximize"],
        seed: int,
        settings: Mapping[str, Any] | None = None,
        pruner: Pruner = _NO_PRUNER,
        n_trials: int | None = None,
        history: Sequence[tuple[Config, Result]] = (),
        constant_liar: bool = False,
        starts: Sequence[Config] = (),
        steps: tuple[int, int] | None = None,
        note: Callable[[str], None] | None = None,
        warps: bool = False,
        budget_seconds: float | None = None,
    ) -> None:
        sampler, settings, pruner = _with_own_pruner(strategy, settings or {}, pruner)
        _check_space(space, sampler)
        self._space = space
        self._strategy = sampler
        self._seed = seed
        self._pruner = pruner
        self._n_trials = n_trials
        self._starts = tuple(dict(s) for s in starts)
        self._sign = 1 if direction == "minimize" else -1
        self._earning = _Earning(*(steps or (1, 1)), seed=seed, first=self._full_length_wanted(pruner)) if pruner.name == "earned" else None
        self._note = note
        self._warps = warps and sampler == "gp"
        self._guesses = sampler == "gp" and (warps or self._earning is not None)
        self._settings = _settings(sampler, settings, space=space, constant_liar=constant_liar, pruner=pruner)
        self._times = (
            _Times(budget_seconds, last_step=steps[1] if steps else None) if self._settings.pop(_COST_COOLING, False) and warps else None
        )
        self._grid = _finite_grid(space, self._settings["levels"], n_trials) if sampler == "grid" else {}
        self._full_length_first = self._full_length_wanted(pruner)
        self._running: dict[int, _Running] = {}
        self._reserved: dict[int, tuple[Trial, Proposal]] = {}
        self._told: set[int] = set()
        self._seen: set[str] = set()
        self._full_length = 0
        self._source: list[FrozenTrial] = []
        self.notes: list[str] = []
        """What a user should read, one sentence each."""
        with _quiet():
            self._study = optuna.create_study(
                study_name=_STUDY_NAME, direction=direction, sampler=_bystander(), pruner=_library_pruner(pruner)
            )
            self._learn(history)

    def propose(self) -> Proposal | None:
        """The sampler's next configuration; None once `n_trials` were proposed, or the grid is used up."""
        if self.is_done:
            return None
        key = self._next_key()
        with _quiet():
            trial, proposal = self._reserved.pop(key) if key in self._reserved else self._ask(key)
        self._running[key] = _Running(trial, proposal)
        self._seen.add(_identity(proposal.config))
        return proposal

    @property
    def is_done(self) -> bool:
        """True once `n_trials` were proposed, or every point of the grid."""
        most = self._n_trials
        if self._strategy == "grid":
            points = math.prod(len(v) for v in self._grid.values())
            most = points if most is None else min(points, most)
        return most is not None and self._next_key() >= most

    def observe(self, proposal: Proposal, step: int, value: float) -> bool:
        """Takes a step of a running trial: `value` is the running mean over folds, or the score at this epoch.

        Raises: InputError when `value` is not finite.
        """
        _finite(value, proposal.key)
        running = self._running.get(proposal.key)
        if running is None or self._pruner.name == "none":
            return False
        if self._earning is not None:
            return self._earning.is_hopeless(proposal, step, self._sign * value, self._say)
        with _quiet():
            self._report(running, step, value)
            # Asked even when the answer is not taken: successive halving enters the trial in its rung here.
            is_behind = running.trial.should_prune()
        is_exempt = proposal.origin in ("default", "start") or self._full_length < self._full_length_first
        return is_behind and not is_exempt

    def tell(self, proposal: Proposal, result: Result) -> None:
        """Takes the end of a trial, of this life or an earlier one.

        Raises: InputError when a completed trial has no finite value.
        """
        if result.status == "completed":
            _finite(result.value, proposal.key)
        with _quiet():
            running = self._running.pop(proposal.key, None)
            if running is None:
                running = self._replay(proposal, result)
            self._end(running.trial, result)
        if self._earning is not None:
            self._earning.take(result, self._sign)
        self._told.add(proposal.key)
        self._seen.add(_identity(proposal.config))

    def close(self) -> None:
        """Forgets the trials that run; no thread and no file is held. What pruning cost and saved is noted."""
        if self._earning is not None and self._earning.has_spoken:
            self._say(self._earning.summary())
        self._running.clear()
        self._reserved.clear()

    def _next_key(self) -> int:
        key = 0
        while key in self._told or key in self._running:
            key += 1
        return key

    # asking -------------------------------------------------------------------------------------------------------

    def _ask(self, key: int) -> tuple[Trial, Proposal]:
        """A start, or a new trial of the study; one that repeats an evaluated configuration is drawn again a few times."""
        start = next((s for s in self._starts if _identity(s) not in self._seen), None)
        if start is not None:
            return self._enter(start), Proposal(key, dict(start), "start", seed=trial_seed(self._seed, key))
        for attempt in range(MOST_RESAMPLES + 1):
            seed = trial_seed(self._seed, key, attempt)
            trial = self._suggest(self._sampler(seed) if attempt <= RESAMPLES_BY_MODEL else optuna.samplers.RandomSampler(seed=seed))
            config = self._config(trial.params)
            is_last = attempt == MOST_RESAMPLES or self._strategy not in ("tpe", "gp")
            if is_last or _identity(config) not in self._seen:
                return trial, Proposal(key, config, seed=seed)
            self._discard(trial)
        raise AssertionError("the last attempt is always accepted")

    def _suggest(self, sampler: optuna.samplers.BaseSampler) -> Trial:
        if self._warps and isinstance(sampler, optuna.samplers.GPSampler):
            return self._enter(self._suggest_warped(sampler))
        self._study.sampler = sampler
        trial = self._study.ask()
        config: Config = {}
        for name, parameter in self._space.items():
            if parameter.is_active(config):
                config[name] = _from_optuna(parameter, _draw(trial, name, parameter))
        return trial

    def _suggest_warped(self, sampler: optuna.samplers.BaseSampler) -> Config:
        """What the sampler proposes in a study of its own, whose scores are warped: what is good is told anew at every trial."""
        sign = -float(self._sign)
        ended = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        scores = warp([sign * (t.value or 0.0) for t in ended])
        for i in representatives([self._place(t.params) for t in ended], scores, MOST_LEARNED):
            study.add_trial(create_trial(params=ended[i].params, distributions=ended[i].distributions, value=scores[i]))
        for t in running:
            study.add_trial(create_trial(state=TrialState.RUNNING, params=t.params, distributions=t.distributions))
        trial = study.ask()
        return {name: _from_optuna(p, _draw(trial, name, p)) for name, p in self._space.items()}

    def _place(self, params: Mapping[str, Any]) -> list[float]:
        """Where `params` lie in the space, one number from 0 to 1 a dimension; what is missing lies in the middle."""
        out = []
        for name, p in self._space.items():
            value = _from_optuna(p, params[name]) if name in params else None
            if value is None:
                out.append(0.5)
            else:
                out.append(p.choices.index(value) / max(1, len(p.choices) - 1) if isinstance(p, Choice) else scaled(p, value))
        return out

    def _discard(self, trial: Trial) -> None:
        self._study.sampler = _bystander()
        self._study.tell(trial, state=TrialState.FAIL)

    def _config(self, params: Mapping[str, Any]) -> Config:
        return {name: _from_optuna(p, params[name]) for name, p in self._space.items() if name in params}

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        s = self._settings
        match self._strategy:
            case "tpe":
                return optuna.samplers.TPESampler(seed=seed, **s)
            case "gp" if self._times is not None:
                return self._times.sampler(seed=seed, warn_independent_sampling=False, **s)
            case "gp":
                return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False, **s)
            case "cmaes":
                return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False, source_trials=self._source or None, **s)
            case "qmc":
                # One sequence for the whole run: a seed for each trial would scramble each point differently.
                return optuna.samplers.QMCSampler(
                    seed=trial_seed(self._seed, 0), warn_asynchronous_seeding=False, warn_independent_sampling=False, **s
                )
            case "random":
                return optuna.samplers.RandomSampler(seed=seed)
            case "grid":
                return optuna.samplers.GridSampler(self._grid, seed=trial_seed(self._seed, 0))

    # telling ------------------------------------------------------------------------------------------------------

    def _report(self, running: _Running, step: int, value: float) -> None:
        reported = value
        if self._pruner.name == "wilcoxon":
            before, mean = running.last
            reported = _rounded((step * value - before * mean) / max(1, step - before))
        running.last = (step, value)
        running.trial.report(reported, step)

    def _end(self, trial: Trial, result: Result) -> None:
        # `tell` runs the sampler's after_trial; GridSampler's stops an optimize loop that does not exist here.
        self._study.sampler = _bystander()
        if self._times is not None:
            self._times.take(trial, result)
        match result.status:
            case "completed":
                self._study.tell(trial, result.value)
                self._full_length += 1
            case "pruned":
                self._unfinished(trial, TrialState.PRUNED, self._forecast(result))
            case "failed":
                self._unfinished(trial, TrialState.FAIL, self._worst())

    def _unfinished(self, trial: Trial, state: TrialState, guess: float | None) -> None:
        """Ends a trial without a score of its own. A Gaussian process learns from scores alone and would propose the same again."""
        if self._guesses and guess is not None:
            self._study.tell(trial, guess)
        else:
            self._study.tell(trial, state=state)

    def _worst(self) -> float | None:
        values = [t.value for t in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if t.value is not None]
        return (max if self._sign == 1 else min)(values) if values else None

    def _forecast(self, result: Result) -> float | None:
        """What a stopped trial would have ended at, from those that ran in full; the worst score where that cannot be said."""
        if self._earning is None or not result.steps:
            return self._worst()
        step, value = result.steps[-1]
        ended = forecast(self._earning.curves, step, self._sign * value)
        return self._worst() if ended is None else self._sign * ended

    def _say(self, text: str) -> None:
        self.notes.append(text)
        if self._note is not None:
            self._note(text)

    @staticmethod
    def _full_length_wanted(pruner: Pruner) -> int:
        return int(pruner.settings.get(_FULL_LENGTH, FULL_LENGTH_FIRST if pruner.resource == "epoch" else 0))

    def _replay(self, proposal: Proposal, result: Result) -> _Running:
        """The trial of an earlier life, entered as if it had been proposed and observed here.

        CMA-ES, Sobol and the grid keep their state beside the trials: they are asked again, which is cheap. The others
        are functions of the finished trials, so theirs are entered as they stand; drawings that were discarded as repeats
        are counted from the proposal's seed, because Hyperband's brackets depend on the trial's number.
        """
        if self._strategy in ("cmaes", "qmc", "grid"):
            for key in range(proposal.key):
                if key not in self._told and key not in self._reserved:
                    self._reserved[key] = self._ask(key)
            trial, again = self._reserved.pop(proposal.key) if proposal.key in self._reserved else self._ask(proposal.key)
            if again.config != proposal.config:
                # With several workers the library knew less when it proposed than it knows in this order.
                self._discard(trial)
                trial = self._enter(proposal.config)
        else:
            for _ in range(_attempts(self._seed, proposal)):
                self._discard(self._study.ask())
            trial = self._enter(proposal.config)
        running = _Running(trial, proposal)
        self._observe_again(running, result)
        return running

    def _enter(self, config: Config) -> Trial:
        """A running trial with this configuration; values outside the space stay out of it."""
        self._study.sampler = _bystander()
        known = {n: _to_optuna(self._space.parameters[n], v) for n, v in config.items() if n in self._space.parameters}
        self._study.enqueue_trial(known)
        trial = self._study.ask()
        for name in known:
            _draw(trial, name, self._space.parameters[name])
        return trial

    def _observe_again(self, running: _Running, result: Result) -> None:
        if self._pruner.name == "none":
            return
        steps = result.steps or _running_means(result.scores)
        for step, value in steps:
            self._report(running, step, value)
            running.trial.should_prune()

    def _learn(self, history: Sequence[tuple[Config, Result]]) -> None:
        outside = 0
        for whole, result in history:
            config = self._space.active(whole)
            self._seen.add(_identity(config))
            is_scored = result.status == "completed" and result.value is not None
            if not is_scored and not self._guesses:
                continue
            if self._space.faults(config):
                outside += is_scored
                continue
            if is_scored:
                _finite(result.value, -1)
            running = _Running(self._enter(config), Proposal(-1, config))
            self._observe_again(running, result)
            self._end(running.trial, result)
            if self._earning is not None:
                self._earning.take(result, self._sign)
        if outside:
            self.notes.append(
                f"{outside} of {len(history)} earlier evaluations lie outside the search space; the sampler does not learn from them."
            )
        if self._strategy == "cmaes" and len(self._study.trials) >= FULL_LENGTH_FIRST:
            self._source = self._study.get_trials(states=(TrialState.COMPLETE,))


class _Times:
    """What finished trials took, and how much of the budget that was."""

    def __init__(self, budget_seconds: float | None, *, last_step: int | None) -> None:
        self._budget, self._last = budget_seconds, last_step
        self._used = 0.0
        self._timed: list[tuple[FrozenTrial, float]] = []

    def take(self, trial: Trial, result: Result) -> None:
        """Takes the end of a trial; one that was stopped early counts with what all of its steps would have taken."""
        self._used += result.seconds
        reached = result.steps[-1][0] if result.steps else None
        if result.seconds <= 0 or result.status == "failed" or (result.status == "pruned" and not (reached and self._last)):
            return
        share = reached / self._last if reached and self._last else 1.0
        self._timed.append((_frozen(trial), result.seconds / share))

    def sampler(self, **settings: Any) -> optuna.samplers.GPSampler:
        """The sampler for the next proposal; torch is needed from here on."""
        from advisor.engines.optuna_cooled import CooledGPSampler, Timed, heat_left

        return CooledGPSampler(timed=[Timed(*t) for t in self._timed], heat=heat_left(self._used, self._budget), **settings)


def _frozen(trial: Trial) -> FrozenTrial:
    return trial.study.get_trials(deepcopy=False)[trial.number]


class _Earning:
    """Full trials of this search, what they say about stopping others, and what stopping has cost and saved."""

    def __init__(self, low: int, high: int, *, seed: int, first: int) -> None:
        self.curves: list[Curve] = []
        self.has_spoken = False
        self._high, self._seed, self._first = high, seed, first
        self._ladder = rungs(low, high)
        self._judged = (-1, Judgement(None))
        self._said: tuple[object, ...] = ()
        self._sentinels: dict[int, int] = {}
        self._stopped = self._spared = 0
        self._steps = 0

    def take(self, result: Result, sign: int) -> None:
        """Takes the end of a trial."""
        self._steps += result.steps[-1][0] if result.steps else 0
        if result.status == "pruned" and result.steps:
            self._stopped += 1
            self._spared += self._high - result.steps[-1][0]
        if result.status == "completed" and result.value is not None and result.steps:
            steps, values = zip(*result.steps, strict=True)
            self.curves.append(Curve(tuple(steps), tuple(sign * v for v in values), sign * result.value))

    def is_hopeless(self, proposal: Proposal, step: int, value: float, say: Callable[[str], None]) -> bool:
        """True when the trial is to be stopped at this step; `say` takes every change of trust."""
        if proposal.origin in ("default", "start") or len(self.curves) < self._first or step not in self._ladder:
            return False
        if self._judged[0] != len(self.curves):
            self._judged = (len(self.curves), judge(self.curves, self._ladder, self._high))
        found = self._judged[1]
        mark = (found.rule, found.rungs[:1])
        if mark != self._said:
            self._said, self.has_spoken = mark, True
            say(f"{'Trials are stopped early' if found.rule else 'No trial is stopped early'}: {found.because}.")
        if not is_hopeless(found, self.curves, step, value):
            return False
        if trial_seed(self._seed, proposal.key, _SENTINEL) % SENTINELS == 0:
            self._sentinels.setdefault(proposal.key, step)
            return False
        return True

    def summary(self) -> str:
        """What stopping early cost and saved, for people."""
        total = self._steps + self._spared
        return (
            f"Stopping early: {self._stopped} trials were stopped, which saved {self._spared / max(1, total):.0%} of all steps;"
            f" {len(self._sentinels)} that would have been stopped ran on to check it."
        )


_SENTINEL = -1
"""In the place of a drawing's number, so that the choice of sentinels shares no seed with a proposal."""


def trial_seed(seed: int, key: int, attempt: int = 0) -> int:
    """A 32-bit seed for proposal `key`: the head of SHA-256 over the run's seed, the key and the drawing's number."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}:{attempt}".encode()).digest()[:4], "big")


def _attempts(seed: int, proposal: Proposal) -> int:
    """How many drawings were discarded before this proposal; 0 where its seed does not tell."""
    seeds = [trial_seed(seed, proposal.key, attempt) for attempt in range(MOST_RESAMPLES + 1)]
    return seeds.index(proposal.seed) if proposal.seed in seeds else 0


def explicit_settings(
    strategy: StrategyName, settings: Mapping[str, Any], *, pruner: Pruner, space: SearchSpace, constant_liar: bool
) -> tuple[dict[str, Any], Pruner, dict[str, Any], int]:
    """What the engine gives Optuna, for an exported script: the sampler's arguments, the pruner, its arguments, and how many trials
    run in full before any is pruned.

    Raises: InputError for a setting the strategy does not have.
    """
    sampler, given, own = _with_own_pruner(strategy, settings, pruner)
    known = {**_PRUNERS.get(own.name, {}), **{n: v for n, v in own.settings.items() if n != _FULL_LENGTH}}
    whole = {n: v if n == "p_threshold" or v is None else int(v) for n, v in known.items()}
    full = int(own.settings.get(_FULL_LENGTH, FULL_LENGTH_FIRST if own.resource == "epoch" else 0))
    explicit = _settings(sampler, given, space=space, constant_liar=constant_liar, pruner=own)
    explicit.pop(_COST_COOLING, None)  # ours, not the library's
    return explicit, own, whole, full


def _bystander() -> optuna.samplers.BaseSampler:
    """A sampler for the moments when nothing is sampled."""
    return optuna.samplers.RandomSampler(seed=0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's log and its warnings about experimental arguments are kept off the terminal, here only."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", message=".*Sobol' sequences.*")
            warnings.filterwarnings("ignore", category=UserWarning, module=r"optuna\..*")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _with_own_pruner(strategy: StrategyName, settings: Mapping[str, Any], pruner: Pruner) -> tuple[SamplerName, dict[str, Any], Pruner]:
    """The sampler behind a strategy, its settings, and the pruner: the strategy's own where it has one."""
    match strategy:
        case "hyperband" | "asha":
            name: Literal["hyperband", "successive_halving"] = "hyperband" if strategy == "hyperband" else "successive_halving"
            own = {n: v for n, v in settings.items() if n in _PRUNERS[name] or n == _FULL_LENGTH}
            rest = {n: v for n, v in settings.items() if n not in own}
            return (
                "tpe" if strategy == "hyperband" else "random",
                rest,
                Pruner(name=name, resource="epoch", settings={**own, **pruner.settings}),
            )
        case _:
            return strategy, dict(settings), pruner


def _check_space(space: SearchSpace, strategy: SamplerName) -> None:
    if strategy == "cmaes" and (space.is_conditional or not space.is_numeric):
        raise CannotRunError(
            "CMA-ES searches numbers only, and this space has categories or conditions",
            where="search space",
            cure="Search with --strategy tpe.",
        )
    if strategy == "grid" and space.is_conditional:
        raise CannotRunError(
            "Optuna's grid has no conditions, and this space has some",
            where="search space",
            cure="Search with --strategy grid through scikit-learn, or with --strategy tpe.",
        )


def _settings(
    strategy: SamplerName, given: Mapping[str, Any], *, space: SearchSpace, constant_liar: bool, pruner: Pruner
) -> dict[str, Any]:
    known = _SETTINGS[strategy]
    for name in given:
        if name not in known:
            raise InputError(f"{strategy} has no setting {name!r}", where="plan, sampler", cure=nearest(name, known))
    chosen = {**known, **given}
    derived: dict[str, Any] = {
        "group": space.is_conditional and bool(chosen.get("multivariate")),
        "constant_liar": constant_liar,
        "with_margin": any(isinstance(p, Int) for _, p in space.items())
        and not chosen.get("lr_adapt")
        and not chosen.get("use_separable_cma"),
        # Source: knowledge A.1: True with Hyperband, False with Median.
        "consider_pruned_trials": pruner.name == "hyperband",
    }
    return {name: derived[name] if value is None and name in derived else value for name, value in chosen.items()}


def _library_pruner(pruner: Pruner) -> optuna.pruners.BasePruner:
    if pruner.name == "none" or pruner.name == "earned":
        return optuna.pruners.NopPruner()
    known = _PRUNERS[pruner.name]
    for name in pruner.settings:
        if name not in known and name != _FULL_LENGTH:
            raise InputError(f"The {pruner.name} pruner has no setting {name!r}", where="plan, pruner", cure=nearest(name, known))
    given = {**known, **{n: v for n, v in pruner.settings.items() if n != _FULL_LENGTH}}
    whole: dict[str, Any] = {n: v if n == "p_threshold" or v is None else int(v) for n, v in given.items()}
    match pruner.name:
        case "median":
            return optuna.pruners.MedianPruner(**whole)
        case "wilcoxon":
            return optuna.pruners.WilcoxonPruner(**whole)
        case "successive_halving":
            return optuna.pruners.SuccessiveHalvingPruner(**whole)
        case "hyperband":
            if whole["max_resource"] is None:
                raise InputError(
                    "Hyperband needs the length of a full trial", where="plan, pruner.settings", cure="Give max_resource in steps."
                )
            return optuna.pruners.HyperbandPruner(**whole)


def _finite_grid(space: SearchSpace, given: Mapping[str, Sequence[Any]] | None, n_trials: int | None) -> dict[str, list[Any]]:
    if given is None and n_trials is None:
        raise InputError("A grid needs its levels", where="plan, sampler", cure="Give levels or the number of trials.")
    chosen = given if given is not None else levels(space, n_trials or 1)
    return {name: [_to_optuna(space.parameters[name], v) for v in values] for name, values in chosen.items()}


# values -------------------------------------------------------------------------------------------------------------


def _draw(trial: Trial, name: str, parameter: Float | Int | Choice) -> Any:
    """What the sampler suggests, in Optuna's terms."""
    match parameter:
        case Float():
            return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
        case Int():
            return trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
        case Choice():
            return trial.suggest_categorical(name, _categories(parameter.choices))


def _distribution(parameter: Float | Int | Choice) -> BaseDistribution:
    match parameter:
        case Float():
            return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
        case Int():
            return IntDistribution(parameter.low, parameter.high, log=parameter.log)
        case Choice():
            return CategoricalDistribution(_categories(parameter.choices))


def _categories(choices: Sequence[Any]) -> list[Any]:
    """The choices as Optuna can hold them: themselves, or their texts where it refuses or could confuse them.

    It takes None, booleans, numbers and strings; it takes True for 1 and would store an infinity as no legal JSON.
    """
    is_plain = all(c is None or isinstance(c, bool | int | str) or (isinstance(c, float) and math.isfinite(c)) for c in choices)
    if is_plain and not any(a == b for i, a in enumerate(choices) for b in choices[:i]):
        return list(choices)
    texts = [repr(c) for c in choices]
    return texts if len(set(texts)) == len(texts) else [f"{i}: {text}" for i, text in enumerate(texts)]


def _to_optuna(parameter: Float | Int | Choice, value: Any) -> Any:
    if not isinstance(parameter, Choice):
        return value
    index = next(i for i, c in enumerate(parameter.choices) if type(c) is type(value) and c == value)
    return _categories(parameter.choices)[index]


def _from_optuna(parameter: Float | Int | Choice, value: Any) -> Any:
    if not isinstance(parameter, Choice):
        return value
    categories = _categories(parameter.choices)
    return parameter.choices[next(i for i, c in enumerate(categories) if type(c) is type(value) and c == value)]


def _identity(config: Mapping[str, Any]) -> str:
    return json.dumps(encode(dict(config)), sort_keys=True, default=repr)


def _finite(value: float | None, key: int) -> None:
    if value is None or not math.isfinite(value):
        raise InputError(f"The value {value} of a trial is no finite number", where=f"proposal {key}", cure="Tell such a trial as failed.")


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _running_means(scores: Sequence[float]) -> tuple[tuple[int, float], ...]:
    return tuple((n, math.fsum(scores[:n]) / n) for n in range(1, len(scores) + 1))


_STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


# export -------------------------------------------------------------------------------------------------------------


def export_study(state: StudyState, path: str | Path) -> Path:
    """Writes the run as an Optuna study database (SQLite) for other tools, such as optuna-dashboard; gives its path.

    One study a family, named ``run/family``, because equal names in two families are different hyperparameters. Trials
    that have ended are in it, the confirm stage's are not. Ranges are widened to hold every value that was tried. The
    file appears whole or not at all; one that was there is replaced.

    Raises: InputError when no trial has ended.
    """
    target = Path(path)
    ended = [t for t in state.trials.values() if t.status in _STATES and t.stage != "confirm"]
    if not ended:
        raise InputError("No trial has ended, so there is no study to write", where=state.run, cure="Wait for the first trial.")
    # The schema holds naive times in UTC.
    began = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=state.elapsed)
    spaces = {c["family"]: SearchSpace.model_validate(c["space"]) for c in (state.plan or {}).get("shortlist", ())}
    draft = target.with_name(target.name + ".part")
    draft.unlink(missing_ok=True)
    try:
        studies = _empty_studies(draft, state, dict.fromkeys(t.family for t in ended))
        with closing(sqlite3.connect(draft)) as database, database:
            numbers: Counter[str] = Counter()
            for family, study in studies.items():
                rows = [t for t in ended if t.family == family]
                widened = _widened_space(spaces.get(family), rows)
                for t in rows:
                    _insert(database, t, widened, study=study, number=numbers[family], began=began)
                    numbers[family] += 1
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def _empty_studies(path: Path, state: StudyState, families: Iterable[str]) -> dict[str, int]:
    """A database with Optuna's own schema; family to the id of its study."""
    with _quiet():
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        try:
            direction = optuna.study.StudyDirection.MAXIMIZE if state.direction == "maximize" else optuna.study.StudyDirection.MINIMIZE
            return {family: storage.create_new_study([direction], f"{state.run}/{family}") for family in families}
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _insert(
    database: sqlite3.Connection,
    t: JournalTrial,
    space: Mapping[str, Float | Int | Choice],
    *,
    study: int,
    number: int,
    began: datetime,
) -> None:
    """Writes one trial in the tables of Optuna's schema.

    By hand, because `Study.add_trial` commits each trial and looks each of its values up first: 59 ms a trial with five
    steps, here 0.1 ms. The schema changes by migration only; a test reads the file with Optuna.
    """
    start = began + timedelta(seconds=t.started_elapsed)
    trial = database.execute(
        "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) VALUES (?, ?, ?, ?, ?)",
        (number, study, _STATES[t.status].name, start.isoformat(" "), (start + timedelta(seconds=t.seconds)).isoformat(" ")),
    ).lastrowid
    distributions = {name: _distribution(space[name]) for name in t.config}
    database.executemany(
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)",
        [
            (trial, name, distributions[name].to_internal_repr(_to_optuna(space[name], v)), distribution_to_json(distributions[name]))
            for name, v in t.config.items()
        ],
    )
    if t.value is not None and t.status != "failed":
        database.execute("INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, 0, ?, 'FINITE')", (trial, t.value))
    database.executemany(
        "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) VALUES (?, ?, ?, 'FINITE')",
        [(trial, step, value) for step, value in t.steps],
    )
    said = {"trial": t.number, "stage": t.stage, "origin": t.origin, "seconds": t.seconds, "cause": t.cause}
    database.executemany(
        "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
        [(trial, key, json.dumps(value)) for key, value in said.items()],
    )


def _widened_space(space: SearchSpace | None, trials: Sequence[JournalTrial]) -> dict[str, Float | Int | Choice]:
    """Name to a parameter that holds every value that was tried."""
    names = dict.fromkeys(name for t in trials for name in t.config)
    known = space.parameters if space else {}
    return {name: _widened(known.get(name), [t.config[name] for t in trials if name in t.config]) for name in names}


def _widened(parameter: Float | Int | Choice | None, values: Sequence[Any]) -> Float | Int | Choice:
    """The parameter with bounds or choices that hold every one of `values`."""
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    if parameter is None or isinstance(parameter, Choice) or not is_number:
        known = list(parameter.choices) if isinstance(parameter, Choice) else []
        for value in values:
            if not any(type(value) is type(k) and value == k for k in known):
                known.append(value)
        return Choice(known)
    low, high = min(parameter.low, *values), max(parameter.high, *values)
    is_log = parameter.log and low > 0
    if isinstance(parameter, Int) and all(isinstance(v, int) for v in values):
        return Int(int(low), int(high), log=is_log)
    return Float(low, high, log=is_log)
