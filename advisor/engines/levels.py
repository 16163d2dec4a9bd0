"""Grids over a search space: coarse levels, finer ones around the best, and the branches of a conditional space. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from advisor.core.errors import CannotRunError
from advisor.core.space import Choice, Config, Float, Int, SearchSpace

FEWEST_LEVELS, MOST_LEVELS = 5, 7
"""Levels of a numeric dimension in a coarse grid. Source: knowledge A.1 GRID."""
LEAST_LEVELS = 3
"""[H] Below this many levels a dimension is fixed at its default instead: two levels are only its bounds."""
_DIGITS = 4

Levels = dict[str, list[Any]]
"""Name to the values that a grid visits."""


def levels(space: SearchSpace, trials: int) -> Levels:
    """Coarse levels of every parameter with at most `trials` combinations.

    A logarithmic dimension has one level a decade, between 5 and 7; a linear one has 5; an integer range that is shorter
    has all its values; a choice has all of its values. When that is too many, the dimension with the most levels loses one
    until each is down to 3; when that is not enough, the parameter of least priority is fixed at its default and the others
    start again from all their levels.
    Source: knowledge A.1 GRID; the order of the reductions is ours [H].
    """
    wanted = {name: _wanted(p) for name, p in space.items()}
    counts = dict(wanted)
    least_first = sorted(space.free, key=lambda n: (-_rank(space, n), -list(space.parameters).index(n)))
    while True:
        chosen = {name: _values(p, counts[name]) for name, p in space.items()}
        if size(space, chosen) <= max(1, trials):
            return chosen
        moving = [n for n in least_first if len(chosen[n]) > 1]
        floor = LEAST_LEVELS if len(moving) > 1 else 1
        wide = [n for n in moving if not isinstance(space.parameters[n], Choice) and len(chosen[n]) > floor]
        if wide:
            name = max(wide, key=lambda n: len(chosen[n]))
            counts[name] = len(chosen[name]) - 1
        else:
            wanted[moving[0]] = 1
            counts = dict(wanted)


def refine(space: SearchSpace, best: Config, coarse: Mapping[str, Sequence[Any]], trials: int | None = None) -> Levels:
    """Finer levels around `best`: one coarse cell to either side in half steps; choices stay at their best value.

    Where the best lies on the edge of a soft range, the grid moves on beyond it by two whole cells instead; at a hard edge
    it is refined to the inner side only. With `trials`, the dimensions of least priority take fewer levels (three: half a
    cell to either side), then their best value alone, until the combinations fit.
    Source: knowledge A.1 GRID.
    """
    active = space.active(best)
    detail: dict[str, list[list[Any]]] = {}
    for name, value in active.items():
        parameter = space.parameters[name]
        grid = sorted(coarse.get(name, [value])) if not isinstance(parameter, Choice) else [value]
        detail[name] = [[value]] if isinstance(parameter, Choice) or len(grid) < 2 else _around(parameter, value, grid)
    chosen = {name: steps[0] for name, steps in detail.items()}
    if trials is None:
        return chosen
    for step in (1, 2):
        for name in sorted(detail, key=lambda n: -_rank(space, n)):
            if math.prod(len(v) for v in chosen.values()) <= trials:
                return chosen
            if len(detail[name]) > 1:
                chosen[name] = detail[name][step]
    return chosen


def branches(space: SearchSpace, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One grid (or set of distributions) for each combination of values on which a condition hangs; one when none does.

    In each, the conditional parameters are those that are active there, and what their conditions name is a list of one.

    Raises: CannotRunError when a condition hangs on a parameter without a list of values.
    """
    parents = {parent for _, p in space.items() for parent in p.when or {}}
    names = list(space.parameters)
    out: list[dict[str, Any]] = []

    def walk(at: int, chosen: Config, grid: dict[str, Any]) -> None:
        if at == len(names):
            out.append(grid)
            return
        name = names[at]
        if not space.parameters[name].is_active(chosen):
            walk(at + 1, chosen, grid)
        elif name not in parents:
            walk(at + 1, chosen, {**grid, name: values[name]})
        elif not isinstance(values[name], list):
            raise CannotRunError(
                f"Other parameters depend on {name}, which has a range and no list of values",
                where=f"search space, {name}",
                cure="Make it a Choice, or search with --strategy tpe.",
            )
        else:
            for value in values[name]:
                walk(at + 1, {**chosen, name: value}, {**grid, name: [value]})

    walk(0, {}, {})
    return out


def size(space: SearchSpace, values: Mapping[str, Sequence[Any]]) -> int:
    """Number of combinations, over all branches of a conditional space."""
    return sum(math.prod(len(v) for v in grid.values()) for grid in branches(space, values))


def _rank(space: SearchSpace, name: str) -> float:
    """Priority for sorting: larger is less important; unranked parameters come last."""
    priority = space.parameters[name].priority
    return math.inf if priority is None else priority


def _wanted(parameter: Float | Int | Choice) -> int:
    if isinstance(parameter, Choice):
        return len(parameter.choices)
    if not parameter.log:
        return FEWEST_LEVELS
    return min(MOST_LEVELS, max(FEWEST_LEVELS, round(math.log10(parameter.high / parameter.low)) + 1))


def _values(parameter: Float | Int | Choice, count: int) -> list[Any]:
    if isinstance(parameter, Choice):
        if count >= len(parameter.choices):
            return list(parameter.choices)
        return [parameter.default if parameter.contains(parameter.default) else parameter.choices[0]]
    if parameter.low == parameter.high:
        return [parameter.low]
    if count == 1:
        return [parameter.default if parameter.default is not None else _between(parameter, 0.5)]
    if isinstance(parameter, Int) and parameter.high - parameter.low < count:
        return list(range(parameter.low, parameter.high + 1))
    return _distinct(parameter, [_between(parameter, i / (count - 1)) for i in range(count)])


def _between(parameter: Float | Int, share: float) -> Any:
    return _at(parameter, _scale(parameter, parameter.low) * (1 - share) + _scale(parameter, parameter.high) * share)


def _scale(parameter: Float | Int, value: float) -> float:
    return math.log(value) if parameter.log else value


def _at(parameter: Float | Int, position: float) -> Any:
    """The value at a position of the parameter's scale, an integer where it is one, with few digits."""
    value = math.exp(position) if parameter.log else position
    if isinstance(parameter, Int):
        return round(value)
    return 0.0 if abs(value) < 1e-12 * (parameter.high - parameter.low) else float(f"{value:.{_DIGITS}g}")


def _distinct(parameter: Float | Int, values: Sequence[Any]) -> list[Any]:
    """`values` within the bounds (the ends exactly), without repeats, in order."""
    return sorted({min(max(v, parameter.low), parameter.high) for v in values})


def _around(parameter: Float | Int, value: Any, grid: Sequence[Any]) -> list[list[Any]]:
    """Levels around `value` on the sorted coarse `grid`: all, three, one."""
    positions = [_scale(parameter, g) for g in grid]
    here = _scale(parameter, value)
    cell = max(b - a for a, b in pairwise(positions))
    on_low, on_high = here <= positions[0], here >= positions[-1]
    if not parameter.hard and (on_low or on_high):
        outward = -1 if on_low else 1
        beyond = [here, here + outward * cell, here + 2 * outward * cell]
        shifted = _kept([_at(parameter, p) for p in beyond[1:]], parameter, value)
        return [_unique([value, *shifted]), _unique([value, *shifted[:1]]), [value]]
    if isinstance(parameter, Int) and not parameter.log and cell <= 1:
        return [[value]]
    near = _distinct(parameter, [_at(parameter, here + k * cell / 2) for k in (-1, 1)])
    wide = _distinct(parameter, [_at(parameter, here + k * cell / 2) for k in (-2, -1, 1, 2)])
    return [_unique([*wide, value]), _unique([*near, value]), [value]]


def _kept(values: Sequence[Any], parameter: Float | Int, start: Any) -> list[Any]:
    """Those of `values` that stay legal: a range within 0..1, or of numbers of one sign, keeps to it; a count is at least 1."""
    low = 0.0 if parameter.low >= 0 else -math.inf
    high = 1.0 if isinstance(parameter, Float) and not parameter.log and parameter.high <= 1 else math.inf
    low = min(1, parameter.low) if isinstance(parameter, Int) and parameter.low >= 0 else low
    return [v for v in (min(max(v, low), high) for v in values) if v != start]


def _unique(values: Sequence[Any]) -> list[Any]:
    return sorted(set(values))
