"""How much each hyperparameter matters, by two measures that err differently. Pure.

`top_shift` asks where the best trials lie, `explained` how scores follow the hyperparameter over all trials. A hyperparameter is
called unimportant only where both are small: the first misses what matters among bad trials alone, the second what matters only
together with another. Both hold within the range that was searched, and nowhere else.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advisor.core.earning import ranks
from advisor.core.revisions import Seen, scaled
from advisor.core.space import Choice, Float, Int, SearchSpace

TOP_RATIO = 0.1
"""Share of the trials whose place is asked for. Source: Optuna's `PedAnovaImportanceEvaluator`."""
FEWEST_TOP = 10
"""Top trials, as far as a quarter of all allows: fewer have no shape. [H]"""
CELLS = 40
"""Cells that a range is cut into."""
MOST_GROUPS = 6
"""Groups of equal size whose mean scores are compared. [H]"""
FEWEST_A_GROUP = 6
"""Trials in each group, at least. [H]"""


@dataclass(frozen=True, slots=True)
class Importance:
    """How much one hyperparameter matters."""

    top_shift: float
    """Share of the shift of the best trials, over all hyperparameters, that lies along this one: 0 to 1."""
    explained: float
    """Share of the variance of the scores' ranks that it explains by itself: 0 to 1."""


def importance(space: SearchSpace, trials: Sequence[Seen]) -> dict[str, Importance]:
    """The importance of each hyperparameter of `space` that varies over the completed `trials`, by name; empty for fewer than eight.

    `top_shift` is PED-ANOVA: the Pearson divergence of the density of the best tenth from that of all trials, less what equally
    many trials taken at even distances show by chance, over the sum of all. `explained` is the adjusted correlation ratio of the
    ranks of the scores over groups of equal size.

    Source: Watanabe, Bansal and Hutter 2023, arXiv:2304.10255 (the divergence); Pearson 1903 and Ezekiel 1930 (the ratio).
    """
    done = [t for t in trials if t.value is not None]
    shifts: dict[str, float] = {}
    explained: dict[str, float] = {}
    for name, parameter in space.items():
        having = [t for t in done if name in t.config and parameter.contains(t.config[name])]
        places = [_place(parameter, t.config[name]) for t in having]
        if len(having) < 8 or len(set(places)) < 2:
            continue
        values = [t.value or 0.0 for t in having]
        cells = len(parameter.choices) if isinstance(parameter, Choice) else CELLS
        shifts[name] = _shift(places, values, cells, is_ordered=not isinstance(parameter, Choice))
        explained[name] = _explained(places, values, is_ordered=not isinstance(parameter, Choice))
    total = math.fsum(shifts.values())
    return {n: Importance(top_shift=shifts[n] / total if total > 0 else 0.0, explained=explained[n]) for n in shifts}


def top_count(trials: int) -> int:
    """How many of so many trials count as the best."""
    return max(1, math.ceil(TOP_RATIO * trials), min(FEWEST_TOP, trials // 4))


def _place(parameter: Float | Int | Choice, value: Any) -> float:
    if isinstance(parameter, Choice):
        index = next(i for i, c in enumerate(parameter.choices) if type(c) is type(value) and c == value)
        return (index + 0.5) / len(parameter.choices)
    return scaled(parameter, value)


def _shift(places: Sequence[float], values: Sequence[float], cells: int, *, is_ordered: bool) -> float:
    """The divergence of the best from all, less the mean divergence of equally many taken at even distances."""
    count = top_count(len(places))
    best = sorted(range(len(places)), key=lambda i: values[i])[:count]
    stride = len(places) // count
    width = _width(places) if is_ordered else 0.0
    whole = _density(places, cells, width)
    chance = [_divergence(_density([places[i] for i in range(r, len(places), stride)][:count], cells, width), whole) for r in range(stride)]
    found = _divergence(_density([places[i] for i in best], cells, width), whole)
    spread = statistics.pstdev(chance) if len(chance) > 1 else 0.0
    return max(0.0, found - statistics.fmean(chance) - spread)


def _width(places: Sequence[float]) -> float:
    """The width of a kernel for the best trials, by Scott's rule, of one cell at least."""
    return max(1 / CELLS, 1.06 * statistics.pstdev(places) / math.pow(top_count(len(places)), 0.2))


def _density(places: Sequence[float], cells: int, width: float) -> list[float]:
    """Share of `places` in each cell, spread by a Gaussian of `width` where that is not 0; mass beyond an end is put back."""
    counts = [0.0] * cells
    for place in places:
        counts[min(cells - 1, max(0, int(place * cells)))] += 1 / len(places)
    if width == 0:
        return counts
    out = [0.0] * cells
    kernel = [math.exp(-0.5 * (d / (cells * width)) ** 2) for d in range(cells)]
    for at, mass in enumerate(counts):
        if mass:
            norm = math.fsum(kernel[abs(at - to)] for to in range(cells))
            for to in range(cells):
                out[to] += mass * kernel[abs(at - to)] / norm
    return out


def _divergence(of: Sequence[float], base: Sequence[float]) -> float:
    """Pearson's: the mean under `base` of the squared distance of the ratio from one."""
    return math.fsum(b * (a / b - 1) ** 2 for a, b in zip(of, base, strict=True) if b > 0)


def _explained(places: Sequence[float], values: Sequence[float], *, is_ordered: bool) -> float:
    ranked = ranks(values)
    groups: Mapping[Any, list[float]]
    if is_ordered:
        count = max(2, min(MOST_GROUPS, len(places) // FEWEST_A_GROUP))
        order = sorted(range(len(places)), key=lambda i: places[i])
        groups = {g: [ranked[i] for i in order[g * len(order) // count : (g + 1) * len(order) // count]] for g in range(count)}
    else:
        groups = {p: [r for q, r in zip(places, ranked, strict=True) if q == p] for p in set(places)}
    mean = statistics.fmean(ranked)
    total = math.fsum((r - mean) ** 2 for r in ranked)
    n, k = len(ranked), len(groups)
    if total == 0 or n <= k:
        return 0.0
    between = math.fsum(len(g) * (statistics.fmean(g) - mean) ** 2 for g in groups.values())
    return max(0.0, 1 - (1 - between / total) * (n - 1) / (n - k))
