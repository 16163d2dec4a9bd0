"""Finished trials to symptoms: of the study, of each hyperparameter, of each pair of them. Pure.

Scores are signed so that smaller is better. What the trials do not hold is an `Unknown` with its reason.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from advisor.core.diagnosis_symptoms import NotToldError, measured
from advisor.core.earning import spearman
from advisor.core.importance import Importance, importance, top_count
from advisor.core.revisions import OUTER, Seen, by_chance, scaled
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.core.stopping import Scored, settled

FEWEST_RANKED = 8
"""Finished trials before early and final ranks are compared. Source: knowledge D15."""
FIRST_RUNG = 9
"""Where no trial was stopped: the first rung is the last step over this, two halvings by three. Source: knowledge A.1."""
FEWEST_TOP = 3
"""Top trials whose place against a bound is looked at, at least."""
PERFECT = 0.002
"""Distance to the best possible score that counts as perfect. [H]"""


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial that has ended."""

    number: int
    """From 0."""
    config: Config
    """Its configuration."""
    status: Literal["completed", "pruned", "failed"]
    """How it ended."""
    value: float | None
    """Its score, in the direction of the study; None: it has none."""
    scores: tuple[float, ...] = ()
    """One score a split, where splits are the same for every trial."""
    steps: tuple[tuple[int, float], ...] = ()
    """Scores by step of its training; empty where it has no steps."""
    cause: str = ""
    """Why it failed."""
    drawn: tuple[str, ...] | None = None
    """Hyperparameters that were drawn for it, the others being held; None: all."""


@dataclass(frozen=True)
class Study:
    """What one search has left behind."""

    trials: tuple[Tried, ...]
    """Every trial that has ended, in order."""
    direction: Literal["minimize", "maximize"]
    """Which way is better."""
    space: SearchSpace = field(default_factory=SearchSpace)
    """What configurations were drawn from; empty: not told."""
    roles: dict[str, str] = field(default_factory=dict)
    """Hyperparameter to its role, where it is recognised."""
    default: int | None = None
    """Number of the trial that ran the default configuration; None: not told."""
    prunes: bool | None = None
    """Whether something stops trials for being behind; None: not told."""
    validation: tuple[float, ...] = ()
    """Scores of what is shipped, one a fresh split; empty: not told."""
    heldout: float | None = None
    """Its score on rows no choice has seen; None: not told."""
    leak: str | None = None
    """A feature that alone tells the target; empty: there is none; None: not looked for."""


def study_symptoms(study: Study) -> dict[str, Any]:
    """Every ``study.*`` symptom by name."""
    return measured(STUDY, _Reading(study))


def parameter_symptoms(study: Study) -> dict[str, dict[str, Any]]:
    """Every ``parameter.*`` symptom of each hyperparameter that was searched, by its name."""
    read = _Reading(study)
    return {name: measured(PARAMETER, _Dimension(read, name)) for name in study.space.free}


def pair_symptoms(study: Study) -> dict[str, dict[str, Any]]:
    """Every ``pair.*`` symptom of each two ordered hyperparameters, by their names joined by ``, ``."""
    read = _Reading(study)
    ordered = [n for n in study.space.free if not isinstance(study.space.parameters[n], Choice)]
    pairs = list(itertools.combinations(ordered, 2))
    return {f"{a}, {b}": measured(PAIR, _Pair(read, a, b, len(pairs))) for a, b in pairs}


class _Reading:
    """One study, signed and sorted once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.sign = 1 if study.direction == "minimize" else -1
        self.trials = study.trials
        self.done = [t for t in study.trials if t.status == "completed" and t.value is not None]

    def loss(self, trial: Tried) -> float:
        return self.sign * (trial.value or 0.0)

    @cached_property
    def ranked(self) -> list[Tried]:
        """Completed trials, best first."""
        return sorted(self.done, key=self.loss)

    @cached_property
    def best(self) -> Tried:
        if not self.done:
            raise NotToldError("no trial has completed")
        return self.ranked[0]

    @cached_property
    def default(self) -> Tried:
        found = next((t for t in self.trials if t.number == self.study.default), None)
        if found is None:
            raise NotToldError("no trial is known to have run the default configuration")
        return found

    @cached_property
    def importance(self) -> dict[str, Importance]:
        return importance(self.study.space, [Seen(t.config, self.loss(t)) for t in self.done])

    @cached_property
    def rung(self) -> int:
        """The first step at which trials are compared."""
        stopped = [t.steps[-1][0] for t in self.trials if t.status == "pruned" and t.steps]
        if stopped:
            return min(stopped)
        last = max((t.steps[-1][0] for t in self.done if t.steps), default=0)
        first = min((t.steps[0][0] for t in self.done if t.steps), default=0)
        if last <= first:
            raise NotToldError("trials have no steps")
        return max(first, last // FIRST_RUNG)


# ---------------------------------------------------------------------------------------------------------- of the study


def _failed_ratio(r: _Reading) -> float:
    if not r.trials:
        raise NotToldError("no trial has ended")
    return sum(t.status == "failed" for t in r.trials) / len(r.trials)


def _failed_cause(r: _Reading) -> str:
    causes = Counter(t.cause for t in r.trials if t.status == "failed" and t.cause)
    if not causes:
        raise NotToldError("no cause of a failure is known")
    return causes.most_common(1)[0][0]


def _has_failed_default(r: _Reading) -> bool:
    return r.default.status == "failed"


def _pruned_ratio(r: _Reading) -> float:
    if r.study.prunes is None:
        raise NotToldError("it is not known whether trials are stopped for being behind")
    ended = [t for t in r.trials if t.status != "failed"]
    if not ended:
        raise NotToldError("no trial has ended")
    return sum(t.status == "pruned" for t in ended) / len(ended)


def _prunes(r: _Reading) -> bool:
    if r.study.prunes is None:
        raise NotToldError("it is not known whether trials are stopped for being behind")
    return r.study.prunes


def _rung_pairs(r: _Reading) -> list[tuple[float, float]]:
    at = r.rung
    found = []
    for trial in r.done:
        early = [v for s, v in trial.steps if s <= at]
        if early and trial.steps[-1][0] > at:
            found.append((r.sign * early[-1], r.loss(trial)))
    return found


def _rung_correlation(r: _Reading) -> float:
    pairs = _rung_pairs(r)
    if len(pairs) < FEWEST_RANKED:
        raise NotToldError(f"{len(pairs)} completed trials with steps, {FEWEST_RANKED} needed")
    return spearman([a for a, _ in pairs], [b for _, b in pairs])


def _error(scores: Sequence[float]) -> float:
    if len(scores) < 2:
        raise NotToldError("trials have no scores a split")
    return statistics.stdev(scores) / math.sqrt(len(scores))


def _differences(a: Tried, b: Tried) -> list[float]:
    if len(a.scores) < 2 or len(a.scores) != len(b.scores):
        raise NotToldError("the two trials have no scores on the same splits")
    return [x - y for x, y in zip(a.scores, b.scores, strict=True)]


def _in_errors(difference: float, error: float) -> float:
    if error > 0:
        return difference / error
    return math.inf if difference > 0 else 0.0


def _fold_deviation_per_spread(r: _Reading) -> float:
    if len(r.best.scores) < 2:
        raise NotToldError("trials have no scores a split")
    if len(r.done) < FEWEST_RANKED:
        raise NotToldError(f"{len(r.done)} completed trials, {FEWEST_RANKED} needed")
    spread = statistics.median([r.loss(t) for t in r.done]) - r.loss(r.best)
    deviation = statistics.stdev(r.best.scores)
    return deviation / spread if spread > 0 else math.inf if deviation > 0 else 0.0


def _gain_errors(r: _Reading) -> float:
    if r.default.value is None:
        raise NotToldError("the default configuration has no score")
    gain = r.loss(r.default) - r.loss(r.best)
    return _in_errors(gain, _error(_differences(r.default, r.best)))


def _distinct(r: _Reading) -> tuple[Tried, Tried]:
    best = r.best
    second = next((t for t in r.ranked if t.config != best.config), None)
    if second is None:
        raise NotToldError("one configuration alone has completed")
    return best, second


def _lead_errors(r: _Reading) -> float:
    best, second = _distinct(r)
    lead = r.loss(second) - r.loss(best)
    return _in_errors(lead, _error(_differences(second, best)))


def _repeats(r: _Reading) -> float:
    """Pooled standard deviation of the scores of equal configurations."""
    groups: dict[str, list[float]] = {}
    for trial in r.done:
        groups.setdefault(repr(sorted(trial.config.items(), key=lambda item: item[0])), []).append(r.loss(trial))
    repeated = [g for g in groups.values() if len(g) > 1]
    free = sum(len(g) - 1 for g in repeated)
    if free < 2:
        raise NotToldError("no configuration was evaluated again under another seed")
    return math.sqrt(math.fsum(statistics.variance(g) * (len(g) - 1) for g in repeated) / free)


def _lead_per_repeat_deviation(r: _Reading) -> float:
    best, second = _distinct(r)
    deviation = _repeats(r)
    if deviation == 0:
        raise NotToldError("repeated evaluations give equal scores")
    return (r.loss(second) - r.loss(best)) / deviation


def _settled(r: _Reading) -> str | None:
    judged = [
        Scored(None if t.status == "pruned" else r.loss(t), tuple(r.sign * s for s in t.scores)) for t in r.trials if t.status != "failed"
    ]
    return settled(judged, len(r.study.space.free))


def _settled_because(r: _Reading) -> str:
    found = _settled(r)
    if found is None:
        raise NotToldError("it still gains")
    return found


def _heldout_errors(r: _Reading) -> float:
    """By how many standard errors the held-out rows are worse: theirs counts as that of one more split."""
    if r.study.heldout is None or len(r.study.validation) < 2:
        raise NotToldError("no score on held-out rows beside scores on splits")
    k = len(r.study.validation)
    worse = r.sign * (r.study.heldout - statistics.fmean(r.study.validation))
    error = statistics.stdev(r.study.validation) * math.sqrt(1 + 1 / k)
    return _in_errors(max(worse, 0.0), error)


def _is_near_perfect(r: _Reading) -> bool:
    best = r.loss(r.best)
    if r.sign < 0:
        return -1 <= best <= -1 + PERFECT
    if best < 0:
        raise NotToldError("the best possible score is not known")
    return best <= PERFECT


def _leak(r: _Reading) -> str:
    if r.study.leak is None:
        raise NotToldError("features that tell the target were not looked for")
    return r.study.leak


STUDY: dict[str, Callable[[_Reading], Any]] = {
    "study.trials": lambda r: len(r.trials),
    "study.completed": lambda r: len(r.done),
    "study.failed_ratio": _failed_ratio,
    "study.failed_cause": _failed_cause,
    "study.has_failed_default": _has_failed_default,
    "study.prunes": _prunes,
    "study.pruned_ratio": _pruned_ratio,
    "study.rung_step": lambda r: r.rung,
    "study.rung_trials": lambda r: len(_rung_pairs(r)),
    "study.rung_correlation": _rung_correlation,
    "study.fold_deviation_per_spread": _fold_deviation_per_spread,
    "study.gain_errors": _gain_errors,
    "study.lead_errors": _lead_errors,
    "study.lead_per_repeat_deviation": _lead_per_repeat_deviation,
    "study.is_settled": lambda r: _settled(r) is not None,
    "study.settled_because": _settled_because,
    "study.heldout_errors": _heldout_errors,
    "study.is_near_perfect": _is_near_perfect,
    "study.has_leak": lambda r: bool(_leak(r)),
    "study.leak": _leak,
}
"""Symptom of the study to its measure."""


# ------------------------------------------------------------------------------------------------ of each hyperparameter


class _Dimension:
    """One hyperparameter of a study."""

    def __init__(self, read: _Reading, name: str) -> None:
        self.read, self.name = read, name
        self.parameter = read.study.space.parameters[name]

    @cached_property
    def having(self) -> list[Tried]:
        """Completed trials that it was drawn for, best first."""
        return [
            t
            for t in self.read.ranked
            if self.name in t.config and self.parameter.contains(t.config[self.name]) and (t.drawn is None or self.name in t.drawn)
        ]

    @property
    def ordered(self) -> Float | Int:
        if isinstance(self.parameter, Choice):
            raise NotToldError(f"{self.name} has no order")
        return self.parameter

    def places(self, count: int) -> list[float]:
        """Where the best `count` lie, 0 at the lower and 1 at the upper bound."""
        parameter = self.ordered
        if len(self.having) < FEWEST_RANKED:
            raise NotToldError(f"{len(self.having)} completed trials have {self.name}, {FEWEST_RANKED} needed")
        return [scaled(parameter, t.config[self.name]) for t in self.having[:count]]

    @cached_property
    def edge(self) -> tuple[Literal["low", "high"], int, int]:
        """The side that more of the best tenth lie at, how many, and of how many."""
        tenth = max(FEWEST_TOP, math.ceil(len(self.having) / 10))
        places = self.places(tenth)
        low, high = (sum(d <= OUTER for d in side) for side in (places, [1 - p for p in places]))
        return ("low", low, len(places)) if low >= high else ("high", high, len(places))

    @property
    def importance(self) -> Importance:
        found = self.read.importance.get(self.name)
        if found is None:
            raise NotToldError(f"too few completed trials vary {self.name}")
        return found


def _role(d: _Dimension) -> str:
    found = d.read.study.roles.get(d.name)
    if found is None:
        raise NotToldError(f"the role of {d.name} is not recognised")
    return found


def _is_natural_end(d: _Dimension) -> bool:
    """True where nothing lies beyond the bound: 0 or 1 of a fraction, the least of a count."""
    parameter, (side, _, _) = d.ordered, d.edge
    bound = getattr(parameter, side)
    if isinstance(parameter, Int):
        return side == "low" and bound in (0, 1)
    is_fraction = not parameter.log and 0 <= parameter.low <= parameter.high <= 1
    return (is_fraction and bound in (0, 1)) or (side == "low" and bound == 0)


def _edge_chance(d: _Dimension) -> float:
    """Probability that uniform draws would put as many of the best at some end of some hyperparameter."""
    _, hits, draws = d.edge
    ordered = sum(not isinstance(d.read.study.space.parameters[n], Choice) for n in d.read.study.space.free)
    return min(1.0, by_chance(hits, draws) * 2 * ordered)


def _spread_ratio(d: _Dimension) -> float:
    places = d.places(top_count(len(d.having)))
    if len(places) < 5:
        raise NotToldError(f"{len(places)} best trials have {d.name}, 5 needed")
    return max(places) - min(places)


def _failures(d: _Dimension) -> tuple[list[float], list[float]]:
    """Places of failed trials and of completed ones, the best first."""
    parameter = d.ordered
    bad = [scaled(parameter, t.config[d.name]) for t in d.read.trials if t.status == "failed" and d.name in t.config]
    if len(bad) < FEWEST_TOP or not d.having:
        raise NotToldError(f"{len(bad)} failed trials, {FEWEST_TOP} needed")
    return bad, [scaled(parameter, t.config[d.name]) for t in d.having]


def _failed_above_ratio(d: _Dimension) -> float:
    bad, good = _failures(d)
    return sum(b > good[0] for b in bad) / len(bad)


def _failures_from(d: _Dimension) -> float:
    """The place from which on more than half of the trials fail."""
    bad, good = _failures(d)
    for place in sorted(bad):
        if sum(b >= place for b in bad) > sum(g >= place for g in good):
            return place
    raise NotToldError("failures are nowhere more frequent than scores")


def _gap_to_failures(d: _Dimension) -> float:
    return _failures_from(d) - _failures(d)[1][0]


PARAMETER: dict[str, Callable[[_Dimension], Any]] = {
    "parameter.name": lambda d: d.name,
    "parameter.role": _role,
    "parameter.best": lambda d: d.having[0].config[d.name] if d.having else _raise("no completed trial has it"),
    "parameter.edge_ratio": lambda d: d.edge[1] / d.edge[2],
    "parameter.edge_trials": lambda d: d.edge[1],
    "parameter.top_trials": lambda d: d.edge[2],
    "parameter.edge_chance": _edge_chance,
    "parameter.edge_side": lambda d: {"low": "lower", "high": "upper"}[d.edge[0]],
    "parameter.edge_bound": lambda d: getattr(d.ordered, d.edge[0]),
    "parameter.is_natural_end": _is_natural_end,
    "parameter.top_shift": lambda d: d.importance.top_shift,
    "parameter.explained": lambda d: d.importance.explained,
    "parameter.spread_ratio": _spread_ratio,
    "parameter.failed_above_ratio": _failed_above_ratio,
    "parameter.gap_to_failures": _gap_to_failures,
}
"""Symptom of a hyperparameter to its measure."""


def _raise(reason: str) -> Any:
    raise NotToldError(reason)


# ---------------------------------------------------------------------------------------------------------- of each pair


@dataclass(frozen=True)
class _Pair:
    """Two ordered hyperparameters of a study."""

    read: _Reading
    first: str
    second: str
    pairs: int
    """Pairs that are looked at."""

    @cached_property
    def places(self) -> tuple[list[float], list[float]]:
        most = top_count(len(self.read.ranked))
        if most < FEWEST_RANKED:  # told before anything is sorted out: a wide space has thousands of pairs
            raise NotToldError(f"{most} best trials have both, {FEWEST_RANKED} needed")
        space = self.read.study.space.parameters
        one, two = space[self.first], space[self.second]
        assert not isinstance(one, Choice)
        assert not isinstance(two, Choice)
        both = [
            (scaled(one, t.config[self.first]), scaled(two, t.config[self.second]))
            for t in self.read.ranked
            if self.first in t.config
            and self.second in t.config
            and one.contains(t.config[self.first])
            and two.contains(t.config[self.second])
        ]
        top = both[: top_count(len(both))]
        if len(top) < FEWEST_RANKED:
            raise NotToldError(f"{len(top)} best trials have both, {FEWEST_RANKED} needed")
        return [a for a, _ in top], [b for _, b in top]


def _correlation(p: _Pair) -> float:
    first, second = p.places
    if len(set(first)) < 2 or len(set(second)) < 2:
        raise NotToldError("the best trials do not vary one of them")
    return statistics.correlation(first, second)


def _chance(p: _Pair) -> float:
    """Probability that so strong a correlation shows in some pair by chance, by Fisher's transformation."""
    count, found = len(p.places[0]), min(abs(_correlation(p)), 1 - 1e-12)
    return min(1.0, p.pairs * math.erfc(math.atanh(found) * math.sqrt(count - 3) / math.sqrt(2)))


PAIR: dict[str, Callable[[_Pair], Any]] = {
    "pair.first": lambda p: p.first,
    "pair.second": lambda p: p.second,
    "pair.top_trials": lambda p: len(p.places[0]),
    "pair.correlation": _correlation,
    "pair.correlation_size": lambda p: abs(_correlation(p)),
    "pair.chance": _chance,
}
"""Symptom of a pair to its measure."""
