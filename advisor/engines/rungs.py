"""The ladder of successive halving: how many candidates stand on each rung with how much of the resource. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, fsum, log
from typing import NamedTuple

FACTOR = 3
"""One of so many candidates climbs to the next rung, which has so many times the resource. Source: knowledge A.1 HALVING."""
FEWEST_ROWS = 500
"""[H] Rows of the first rung at least. Source: knowledge A.1 HALVING."""
ROWS_PER_CLASS = 20
"""[H] Rows of the first rung for each class and split at least. Source: knowledge A.1 HALVING."""
FINALISTS = 3
"""[H] Candidates of the last rung that are evaluated on all rows afterwards."""
MOST_CANDIDATES = 243
"""[H] More candidates than these share too little of a first rung that is noise; a fit on few rows has a cost of its own."""


class Rung(NamedTuple):
    """One rung of the ladder."""

    candidates: int
    """Candidates that are compared here."""
    resources: int
    """What each of them gets: rows of the table, or the value of the parameter that is the resource."""


def fewest_rows(*, classes: int, splits: int) -> int:
    """Rows that the first rung must have: ``max(500, 20 · classes · splits)``; `classes` is 0 or 1 for regression.

    scikit-learn's own minimum, 2 rows for each class and split, ranks by noise. Source: knowledge A.1 HALVING.
    """
    return max(FEWEST_ROWS, ROWS_PER_CLASS * max(1, classes) * splits)


def first_resources(candidates: int, *, most: int, least: int, factor: int = FACTOR) -> int:
    """Resource of the first rung: so much that the last one nearly reaches `most`, and no less than `least`.

    Source: scikit-learn 1.9, ``min_resources="exhaust"``, with a floor of ours.
    """
    return max(least, most // int(factor ** floor(log(candidates, factor))))


def ladder(candidates: int, *, most: int, least: int, factor: int = FACTOR) -> tuple[Rung, ...]:
    """All rungs, the first one first. Where `least` lifts the first, the last holds more than `factor` candidates.

    The arithmetic is that of scikit-learn 1.9 (``BaseSuccessiveHalving._run_search``, without aggressive elimination), so
    that a forecast can be made without importing it.
    """
    first = first_resources(candidates, most=most, least=least, factor=factor)
    count = 1 + min(floor(log(most // first, factor)), floor(log(candidates, factor)))
    out = [Rung(candidates, first)]
    for _ in range(count - 1):
        above = out[-1]
        out.append(Rung(ceil(above.candidates / factor), min(above.resources * factor, most)))
    return tuple(out)


def full_fits(rungs: Sequence[Rung], *, most: int, power: float = 1.0, finalists: int = FINALISTS) -> float:
    """Cost of a ladder in evaluations with the whole resource, those of the finalists included.

    A fit costs its share of the resource to the `power`: the `rows_power` of a family's cost where rows are the resource.
    """
    return fsum(r.candidates * (r.resources / most) ** power for r in rungs) + min(finalists, rungs[-1].candidates)


def affordable_candidates(
    trials: float,
    *,
    most: int,
    least: int,
    factor: int = FACTOR,
    power: float = 1.0,
    finalists: int = FINALISTS,
    at_most: int = MOST_CANDIDATES,
) -> int:
    """The most candidates whose ladder costs no more than `trials` full evaluations; 1 when not even two are affordable.

    The cost falls at each power of `factor`, where a rung is added below, and grows in between: each stretch is bisected.
    `power` is that of `full_fits`.
    """

    def is_affordable(candidates: int) -> bool:
        return full_fits(ladder(candidates, most=most, least=least, factor=factor), most=most, power=power, finalists=finalists) <= trials

    high = at_most
    while high > 1:
        low = min(high, max(2, int(factor ** floor(log(high, factor)))))
        if is_affordable(low):
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if is_affordable(middle) else (low, middle - 1)
            return low
        high = low - 1
    return 1
