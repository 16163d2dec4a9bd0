"""The check of families' spaces: whichever rules change a space together, no range is empty, every start fits, each rule matters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from advisor.core.derived import Situation
from advisor.core.errors import RulebookError
from advisor.core.facts import Unknown
from advisor.core.family import Family
from advisor.core.plan import Candidate
from advisor.core.rules import Bound, Rule
from advisor.core.spaces import shaped
from advisor.core.vocabulary import vocabulary
from advisor.rulebook.regions import Cell, Region, holdings, say, whole

_UNKNOWN = Unknown(reason="a cell of the check")
_LARGEST = 1e15
"""Stands for a number without limit."""
_SMALLEST = 1e-9
"""Stands for a number that is not whole and has no lower limit."""


def check_family(family: Family, rules: Sequence[Rule], faults: list[str]) -> tuple[int, int]:
    """Cells and states looked at for the space of `family` under `rules`; what is wrong goes to `faults`.

    A bound that follows a fact rises with it in one piece between its floor, its ceiling and its powers of two; so it is
    looked at on both sides of each of these, and at both ends of each cell.
    """
    bounds = [b for r in rules if r.adjust for b in (r.adjust.low, r.adjust.high, r.adjust.unit, r.adjust.fix) if isinstance(b, Bound)]
    found = holdings(rules, frozenset(b.fact for b in bounds))
    matters: set[str] = set()
    seen: set[str] = set()
    count = found.count
    for cell, held in found.parts:
        inside = [r for r in rules if r.id in held]
        for point in _points(cell, bounds):
            count += 1
            said = _shape(family, inside, point)
            wrong = list(said.faults) if isinstance(said, RulebookError) else _unfit(said)
            for fault in wrong:
                if fault not in seen:
                    seen.add(fault)
                    faults.append(f"{family.name}: {fault}: {say(cell)}")
            matters |= {
                r.id for r in inside if r.id not in matters and _says(_shape(family, [o for o in inside if o is not r], point), said)
            }
    faults += [f"{r.place}: rule {r.id!r} can never win: {family.name} is the same without it" for r in rules if r.id not in matters]
    return count, found.states


def _shape(family: Family, rules: Sequence[Rule], point: dict[str, Any]) -> Candidate | RulebookError:
    try:
        return shaped(family, rules, Situation({"family.fit_seconds": 1.0, **point}), {})
    except RulebookError as error:
        return error


def _says(without: Candidate | RulebookError, said: Candidate | RulebookError) -> bool:
    return isinstance(said, Candidate) and without != said


def _unfit(candidate: Candidate) -> list[str]:
    return [f"start {i}: {fault}" for i, start in enumerate(candidate.starts) for fault in candidate.space.faults(start)]


def _points(cell: Cell, bounds: Sequence[Bound]) -> Iterator[dict[str, Any]]:
    """Values of the facts that bounds follow, in one cell: its ends, and both sides of whatever bends a bound."""
    names = sorted({b.fact for b in bounds})
    columns = []
    for name in names:
        regions = [cell[name]] if name in cell else whole(name)
        bends = [at for b in bounds if b.fact == name for at in _bends(b)]
        columns.append([v for region in regions for v in _values(name, region, bends)])
    for values in itertools.product(*columns):
        yield dict(zip(names, values, strict=True))


def _bends(bound: Bound) -> Iterable[float]:
    ends = [v / bound.times for v in (bound.at_least, bound.at_most) if v is not None and bound.times]
    if not bound.power_of_two or not bound.times:
        return ends
    low, high = bound.at_least or 1.0, bound.at_most or 2.0**20
    steps = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
    return [*ends, *(2.0 ** (k + 0.5) / bound.times for k in steps)]


def _values(name: str, region: Region, bends: Sequence[float]) -> list[Any]:
    if region.is_unknown:
        return [_UNKNOWN]
    is_whole = vocabulary()[name].kind == "integer"
    low = max(region.low, 1.0 if is_whole else _SMALLEST)
    high = min(region.high, _LARGEST)
    inside = [b for b in bends if low <= b < high]
    if is_whole:
        at = {math.ceil(low), math.ceil(high) - 1, *(v for b in inside for v in (math.floor(b), math.ceil(b)))}
        return [float(v) for v in sorted(at) if low <= v < high]
    at_floats = {low, high * (1 - 1e-12), *(v for b in inside for v in (b, b * (1 - 1e-12)))}
    return sorted(v for v in at_floats if low <= v < high)
