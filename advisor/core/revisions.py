"""What finished trials say about the space they were drawn from: a bound to widen, a range to cut, a hyperparameter to freeze.

Pure: trials in, revisions out. A bound that the best trials press against is only a finding when their mass would be there
by chance with a small probability over all bounds looked at: the best one alone lies in the outer twentieth of some bound
by chance every other time at seven dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from advisor.core.space import Choice, Config, Float, Int, Parameter, SearchSpace

OUTER = 0.05
"""Share of a range, on its scale, that counts as its edge. Source: knowledge D1."""
TOP_RATIO = 0.1
"""Share of the trials that is looked at. Source: contract, Honest results; knowledge D1."""
FEWEST_TOP = 3
"""Trials looked at, at least."""
CHANCE = 0.05
"""Probability, over all soft bounds, that as many of the top would lie at an edge by chance. [H]"""
FEWEST_TRIALS = 8
"""Completed trials before anything is concluded. [H]"""
DIVERGED_RATIO = 0.2
"""Share of failed trials from which on a range is suspected. Source: knowledge D3."""


Side = Literal["low", "high"]
"""An end of a range."""
SIDES: tuple[Side, Side] = ("low", "high")
"""Both."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One finished trial."""

    config: Config
    """Its configuration."""
    value: float | None
    """Its score, smaller is better; None: it failed."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of a space."""

    kind: Literal["widen", "cut", "freeze"]
    """What is done."""
    name: str
    """The hyperparameter."""
    parameter: Parameter
    """What it becomes."""
    because: str
    """The finding, in one sentence with its numbers."""


def scaled(parameter: Float | Int, value: float) -> float:
    """Where `value` lies in the range, 0 at the lower and 1 at the upper bound, on the range's scale."""
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if high > low else 0.5


def revisions(space: SearchSpace, trials: Sequence[Seen], *, widened: dict[str, int] | None = None) -> tuple[Revision, ...]:
    """The changes that `trials` speak for; `widened` counts how often each bound was widened before, which doubles the next step.

    A hard bound is never widened, and a range that began above zero never reaches it.
    """
    done = [t for t in trials if t.value is not None and all(p.contains(t.config[n]) for n, p in space.items() if n in t.config)]
    if len(done) < FEWEST_TRIALS:
        return ()
    return (*_cuts(space, trials), *_widenings(space, done, widened or {}))


def _widenings(space: SearchSpace, done: Sequence[Seen], widened: dict[str, int]) -> list[Revision]:
    top = sorted(done, key=lambda t: t.value or 0.0)[: max(FEWEST_TOP, math.ceil(TOP_RATIO * len(done)))]
    soft = {n: p for n, p in space.items() if not isinstance(p, Choice) and not p.hard and p.low < p.high}
    found = []
    for name, parameter in soft.items():
        places = [scaled(parameter, t.config[name]) for t in top if name in t.config]
        for side in SIDES:
            at_edge = sum((p if side == "low" else 1 - p) <= OUTER for p in places)
            if not places or 2 * at_edge < len(places) or by_chance(at_edge, len(places)) * 2 * len(soft) > CHANCE:
                continue
            seen = f"{at_edge} of the best {len(places)} trials press against"
            revision = widening(space, name, side, widened.get(f"{name}.{side}", 0), seen=seen)
            if revision is not None:
                found.append(revision)
                break
    return found


def widening(space: SearchSpace, name: str, side: Side, times: int, *, seen: str = "the best trial lies at") -> Revision | None:
    """`name` with its range widened on one `side`, for the `times`-th time more; `seen` says why. None: it is hard, or cannot move."""
    parameter = space.parameters[name]
    if isinstance(parameter, Choice) or parameter.hard:
        return None
    wider = _wider(parameter, side, times)
    if wider is None:
        return None
    bound, which = f"{getattr(parameter, side):.4g}", "lower" if side == "low" else "upper"
    return Revision("widen", name, wider, f"{seen} the {which} bound {bound} of {name}: it becomes {getattr(wider, side):.4g}")


def by_chance(hits: int, draws: int) -> float:
    """Probability that at least `hits` of `draws` uniform draws lie within the outer share of one side."""
    return math.fsum(math.comb(draws, k) * OUTER**k * (1 - OUTER) ** (draws - k) for k in range(hits, draws + 1))


def _wider(parameter: Float | Int, side: Side, times: int) -> Float | Int | None:
    """`parameter` with one side moved out by a decade, or by half of the range; twice as far each time. None: it cannot move."""
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        factor = 10.0 ** (2**times)
        low, high = (low / factor, high) if side == "low" else (low, high * factor)
    else:
        further = (high - low) * 0.5 * 2**times
        low, high = (low - further, high) if side == "low" else (low, high + further)
        if parameter.low >= 0:
            low = max(low, 0.0)
    if isinstance(parameter, Int):
        least = 1 if parameter.low >= 1 else 0 if parameter.low >= 0 else -math.inf
        bounds: dict[str, float | int] = {"low": int(max(least, math.floor(low))), "high": math.ceil(high)}
    else:
        if not (math.isfinite(low) and math.isfinite(high)) or (parameter.log and low < 1e-300):
            return None
        bounds = {"low": low, "high": high}
    if bounds == {"low": parameter.low, "high": parameter.high}:
        return None
    return parameter.model_copy(update=bounds)


def _cuts(space: SearchSpace, trials: Sequence[Seen]) -> list[Revision]:
    """The upper end of a logarithmic range, where nothing survived: a learning rate that diverges."""
    failed = [t for t in trials if t.value is None]
    if len(failed) < DIVERGED_RATIO * len(trials) or len(failed) < FEWEST_TOP:
        return []
    found = []
    for name, parameter in space.items():
        if isinstance(parameter, Choice) or not parameter.log or parameter.low >= parameter.high:
            continue
        bad = [t.config[name] for t in failed if name in t.config]
        good = [t.config[name] for t in trials if t.value is not None and name in t.config]
        if len(bad) < len(failed) or not good or min(bad) <= max(good):
            continue  # failures do not begin above everything that ran
        high = math.sqrt(max(good)) * math.sqrt(min(bad))
        cut = parameter.model_copy(update={"high": int(high) if isinstance(parameter, Int) else high})
        if cut.high <= cut.low or cut.high >= parameter.high:
            continue
        because = f"all {len(bad)} trials with {name} from {min(bad):.4g} on failed and none below: its upper bound becomes {cut.high:.4g}"
        found.append(Revision("cut", name, cut, because))
    return found
