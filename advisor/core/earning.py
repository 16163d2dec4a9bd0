"""Pruning that has earned it: what stopping trials early would have cost and saved on trials that ran in full. Pure.

Nothing extra is paid for: the default, the starts and the first trials run in full anyway. Each rule is replayed on their
curves, one left out at a time, from each rung on; one is trusted where it would have saved time and killed none of the best.
A few trials it would kill are completed all the same, and every full trial is judged anew, so trust can be lost.

Scores are signed here so that smaller is better.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

RuleName = Literal["median", "third", "envelope"]
RULES: tuple[RuleName, ...] = ("median", "third", "envelope")
"""`median`: worse than the middle one at this step. `third`: not among the best third, as in successive halving. `envelope`: worse
than every trial that ended among the best quarter stood at this step, while five others that stood as badly ended outside it."""
FACTOR = 2
"""Between one rung and the next."""
FEWEST = 12
"""Full trials before anything is judged. Source: contract, Fidelity."""
BEST_SHARE = 0.25
"""The best of the full trials: those whose loss a rule answers for. [H]"""
FORGIVEN_SHARE = 0.1
"""Share of the best that a rule may kill in replay; the very best never. [H]"""
LEAST_SAVED = 0.1
"""Steps that a rule must save, as a share of all, to be worth its risk. [H]"""
Z = 1.645
"""A rung is noise when its rank correlation with the end is not above zero at 5 %, one-sided: ``rho <= Z / sqrt(n - 1)``."""
SENTINELS = 8
"""One in so many of the trials that would be stopped is completed all the same. [H]"""
WITNESSES = 5
"""Trials that stood as badly and ended badly, before the envelope kills. [H]"""
NEIGHBOURS = 3
"""Full trials that a stopped one's end is forecast from."""


@dataclass(frozen=True)
class Curve:
    """One trial that ran in full."""

    steps: tuple[int, ...]
    """Steps at which it was measured, growing."""
    values: tuple[float, ...]
    """Its score at each, smaller is better."""
    final: float
    """Its score in the end."""

    def at(self, step: int) -> float | None:
        """The last score at or before `step`; None before the first."""
        place = bisect_right(self.steps, step)
        return self.values[place - 1] if place else None


@dataclass(frozen=True)
class Judgement:
    """What the full trials say about stopping others early."""

    rule: RuleName | None
    """The rule that is trusted; None: no trial is stopped."""
    rungs: tuple[int, ...] = ()
    """Steps at which it is asked."""
    saved_ratio: float = 0.0
    """Share of the steps it would have saved."""
    lost: int = 0
    """Of the best trials, those it would have killed."""
    correlations: dict[int, float] = field(default_factory=dict)
    """Rung to the rank correlation of the scores there with those of the end."""
    because: str = ""
    """Why, in one sentence with the numbers."""


def rungs(low: int, high: int, factor: int = FACTOR) -> tuple[int, ...]:
    """Steps at which trials may be compared: `high` over the powers of `factor`, none below `low`, `high` itself left out."""
    out = []
    step = high // factor
    while step >= low:
        out.append(step)
        step //= factor
    return tuple(reversed(out))


def judge(curves: Sequence[Curve], ladder: Sequence[int], high: int) -> Judgement:
    """Which rule has earned to stop trials, from which rung on.

    Of the rules that would have killed no more of the best than is forgiven, and never the very best, the one that saves
    most; rungs whose ranks are noise are left out from below.
    """
    if len(curves) < FEWEST:
        return Judgement(None, because=f"{len(curves)} full trials, {FEWEST} needed")
    usable = [r for r in ladder if all(c.at(r) is not None for c in curves)]
    correlations = {r: spearman([_at(c, r) for c in curves], [c.final for c in curves]) for r in usable}
    noise = Z / math.sqrt(len(curves) - 1)
    clear = [r for i, r in enumerate(usable) if all(correlations[s] > noise for s in usable[i:])]
    if not clear:
        shown = ", ".join(f"{r}: {correlations[r]:.2f}" for r in usable) or "none"
        return Judgement(
            None, correlations=correlations, because=f"early ranks are noise or cross (rank correlation with the end by step {shown})"
        )
    best = sorted(range(len(curves)), key=lambda i: curves[i].final)
    good = set(best[: max(1, math.ceil(BEST_SHARE * len(curves)))])
    found: list[tuple[float, int, RuleName, tuple[int, ...]]] = []
    for name in RULES:
        for start in range(len(clear)):
            asked = tuple(clear[start:])
            saved, killed = _replay(name, curves, asked, high)
            lost = len(good & killed)
            if best[0] not in killed and lost <= FORGIVEN_SHARE * len(good) and saved >= LEAST_SAVED:
                found.append((saved, lost, name, asked))
    if not found:
        return Judgement(None, correlations=correlations, because="every rule would have killed one of the best, or saved next to nothing")
    saved, lost, name, asked = max(found, key=lambda f: (f[0], -f[1]))
    return Judgement(
        name,
        asked,
        saved,
        lost,
        correlations,
        f"on {len(curves)} full trials the {name} rule from step {asked[0]} on would have saved {saved:.0%} of the steps and killed"
        f" {lost} of the best {len(good)} (rank correlation there {correlations[asked[0]]:.2f})",
    )


def is_hopeless(judgement: Judgement, curves: Sequence[Curve], step: int, value: float) -> bool:
    """True when the trusted rule stops a trial that stands at `value` at `step`."""
    return judgement.rule is not None and step in judgement.rungs and _kills(judgement.rule, curves, step, value)


def forecast(curves: Sequence[Curve], step: int, value: float) -> float | None:
    """Where a trial that was stopped at `step` would have ended: the mean end of the full ones that stood nearest, never better
    than the best of them. None where there is none."""
    stood = [(abs(at - value), c.final) for c in curves if (at := c.at(step)) is not None]
    if not stood:
        return None
    nearest = sorted(stood)[:NEIGHBOURS]
    return max(sum(final for _, final in nearest) / len(nearest), min(c.final for c in curves))


def _kills(rule: RuleName, curves: Sequence[Curve], step: int, value: float) -> bool:
    stood = [(at, c.final) for c in curves if (at := c.at(step)) is not None]
    if not stood:
        return False
    better = sum(at < value for at, _ in stood)
    match rule:
        case "median":
            return better > len(stood) / 2
        case "third":
            return better > len(stood) / 3
        case "envelope":
            ends = sorted(final for _, final in stood)
            edge = ends[max(1, math.ceil(BEST_SHARE * len(ends))) - 1]
            as_bad = [final for at, final in stood if at >= value]
            return value > max(at for at, final in stood if final <= edge) and len(as_bad) >= WITNESSES


def _replay(rule: RuleName, curves: Sequence[Curve], asked: Sequence[int], high: int) -> tuple[float, set[int]]:
    """Share of the steps saved, and which trials would have been killed, each judged by the others."""
    saved, killed = 0.0, set()
    for i, curve in enumerate(curves):
        others = [*curves[:i], *curves[i + 1 :]]
        for step in asked:
            if _kills(rule, others, step, _at(curve, step)):
                saved += 1 - step / high
                killed.add(i)
                break
    return saved / len(curves), killed


def _at(curve: Curve, step: int) -> float:
    value = curve.at(step)
    assert value is not None
    return value


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Rank correlation, ties at their mean rank; 0 where one does not vary."""
    x, y = ranks(a), ranks(b)
    mean = (len(x) + 1) / 2
    above = math.fsum((p - mean) * (q - mean) for p, q in zip(x, y, strict=True))
    below = math.sqrt(math.fsum((p - mean) ** 2 for p in x) * math.fsum((q - mean) ** 2 for q in y))
    return above / below if below else 0.0


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value from 1, ties at their mean rank."""
    order = sorted(values)
    return [(bisect_right(order, v) + sum(o < v for o in order) + 1) / 2 for v in values]
