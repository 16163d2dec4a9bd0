"""What is still to come: of a run that goes on, when it ends; of one that is over, what as much again should bring. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.core.events import StudyState

RECENT = 40
"""Trials whose times tell how long the next take: a search that moves has other times than it began with. [H]"""
FEWEST = 4
"""Finished trials below which no pace is told. [H]"""
FEWEST_FOR_GAIN = 8
"""Finished trials below which nothing is said of more of them. [H]"""


@dataclass(frozen=True, slots=True)
class Outlook:
    """When a run is expected to end, as bands between the quartiles of its trials' times."""

    trials_low: int
    """Trials finished by then, at the slower pace."""
    trials_high: int
    """At the faster pace."""
    seconds_low: float
    """Seconds from now to the end, at the faster pace."""
    seconds_high: float
    """At the slower pace; never beyond the budget."""


def outlook(state: StudyState, *, elapsed: float) -> Outlook | None:
    """The forecast of a run after `elapsed` seconds of its budget; None before it has a pace.

    Where the trials are counted the end is a band, where time is the limit the number of trials is.
    """
    if state.plan is None or state.finished is not None:
        return None
    taken = [t.seconds for t in state.trials.values() if t.status in ("completed", "pruned") and t.stage != "confirm" and t.seconds > 0]
    done = state.counts()["completed"] + state.counts()["pruned"]
    if len(taken) < FEWEST:
        return None
    recent = sorted(taken[-RECENT:])
    fast, slow = recent[len(recent) // 4], recent[(3 * len(recent)) // 4]
    budget = state.plan["budget"]
    workers = max(1, int(state.plan["envelope"]["workers"]))
    left = max(0.0, float(budget["seconds"]) + state.extra_seconds - elapsed)
    kept = float(budget.get("confirm_seconds", 0.0)) + float(budget.get("refit_seconds", 0.0))
    searching = max(0.0, left - kept) if state.confirmed is None and state.stage != "confirm" else 0.0
    more_low, more_high = int(searching * workers / slow), int(searching * workers / fast)
    cap = budget.get("trials_cap")
    if cap is None or done + more_low < cap:
        high = done + more_high if cap is None else min(cap, done + more_high)
        return Outlook(done + more_low, max(high, done), left, left)
    rest = max(0, cap - done) / workers
    return Outlook(max(cap, done), max(cap, done), min(left, rest * fast), min(left, rest * slow + kept))


@dataclass(frozen=True, slots=True)
class Promise:
    """What a second search as long as the first should bring on the validation splits."""

    gain: float
    """Expected gain, positive whatever the direction."""
    error: float
    """One standard deviation of that estimate over the order in which the trials might have come."""
    trials: int
    """Trials that it would take."""


def promise(values: Sequence[float], *, is_maximised: bool) -> Promise | None:
    """What doubling a search with these scores should bring: what its last doubling brought; None for fewer than eight scores.

    The last doubling is the best of all less the expected best of half of them drawn at random; the next is taken to bring no
    more, as the best of a growing sample gains less and less. A search that learns may do better, one that has settled worse.

    Source: Dodge and others 2019, arXiv:1909.03004 (the expected best of a sample without replacement).
    """
    count = len(values)
    if count < FEWEST_FOR_GAIN or not all(math.isfinite(v) for v in values):
        return None
    ranked = sorted(values, reverse=is_maximised)
    half = count // 2
    share, mean, square = half / count, 0.0, 0.0
    for place, value in enumerate(ranked):
        behind = abs(value - ranked[0])
        mean += share * behind
        square += share * behind**2
        share *= max(0, count - half - place) / (count - 1 - place) if place < count - 1 else 0.0
    return Promise(gain=mean, error=math.sqrt(max(0.0, square - mean**2)), trials=count)
