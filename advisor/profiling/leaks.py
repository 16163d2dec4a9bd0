"""Columns that give the target away: near-perfect alone, far ahead of all others, exact together, or measured afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from advisor.core.facts import Column, ColumnKind, Suspicion
from advisor.profiling.association import Aim, Codes, Numbers, codes_of, explained, hit_ratio, rank_correlation
from advisor.profiling.names import came_after
from advisor.profiling.printing import listed, printable
from advisor.profiling.structure import NUMBER_KINDS

ALONE = 0.97
"""Explained share of a class from which a column alone determines it, noise apart."""
ALONE_NUMBER = 0.995
"""The same for a number, where bins cost a little."""
AHEAD, AHEAD_NUMBER = 0.75, 0.95
"""Explained share from which a column that leaves all others far behind is suspect, for classes and for numbers."""
FAR_BEHIND = 0.35
"""The best of the others has less than this share of it."""
MONOTONE = 0.9995
"""Rank correlation with a number from which one is a function of the other."""
EXACT = 1e-10
"""Unexplained share of variance at which columns together give the number exactly."""
KIN = 0.8
"""Columns whose bins have at least this rank correlation say the same thing, and none is ahead of the other."""
PURE, PURE_ROWS = 0.97, 20
"""Blank cells tell the class when at least this share, of at least so many rows, is of one class."""
MOST_PARTS_SEARCHED = 200
"""No exact sum is looked for among more columns."""
_PARTS = 4


def suspected_leaks(
    frame: pl.DataFrame, columns: Sequence[Column], target: str, aim: Aim, numbers: Numbers | None
) -> tuple[Suspicion, ...]:
    """Suspicions about the columns of `frame` (typed, rows as in `aim`), surest first; `numbers` is the target of a regression.

    A confidence above 0.8 means: as good as certain. Below, a person must say whether the column is known when predicting.
    """
    if aim.rows < 20:
        return ()
    usable = [c for c in columns if c.kind not in {ColumnKind.CONSTANT, ColumnKind.TEXT, ColumnKind.IDENTIFIER}]
    coded = {c.name: codes_of(_plain(frame[c.name])) for c in usable}
    strength = {n: explained(codes, aim) for n, codes in coded.items()}
    seen = [*_alone_enough(frame, strength, coded, aim, numbers), *_far_ahead(strength, coded, aim)]
    if aim.is_class:
        seen += _telling_blanks(frame, usable, aim)
    if numbers is not None:
        named = {s.column for s in seen}
        seen += _exact_together(frame, [c.name for c in usable if c.kind in NUMBER_KINDS and c.name not in named], numbers)
    seen += _measured_after(usable, target, strength)
    best: dict[str, Suspicion] = {}
    for suspicion in sorted(seen, key=lambda s: (-s.confidence, s.column)):
        best.setdefault(suspicion.column, suspicion)
    return tuple(best.values())[:12]


def _plain(values: pl.Series) -> pl.Series:
    return values.cast(pl.Int64) if values.dtype.is_temporal() else values


def _in_words(share: float, codes: Codes, aim: Aim) -> str:
    if not aim.is_class:
        return f"alone it explains {share:.1%} of the target's variance"
    usual = float(aim.values.mean(axis=0).max())
    return f"alone it names the class of {hit_ratio(codes, aim):.1%} of the rows; always saying the most frequent one names {usual:.1%}"


def _alone_enough(
    frame: pl.DataFrame, strength: Mapping[str, float], coded: Mapping[str, Codes], aim: Aim, numbers: Numbers | None
) -> list[Suspicion]:
    found = []
    for name, share in strength.items():
        if share >= (ALONE if aim.is_class else ALONE_NUMBER):
            found.append(Suspicion(column=name, confidence=0.95, reason=_in_words(share, coded[name], aim)))
        elif numbers is not None and frame[name].dtype.is_numeric():
            ranks = rank_correlation(frame[name].cast(pl.Float64).to_numpy().astype(np.float64), numbers)
            if abs(ranks) >= MONOTONE:
                reason = f"alone it puts the rows in the order of the target: rank correlation {ranks:.4f}"
                found.append(Suspicion(column=name, confidence=0.95, reason=reason))
    return found


def _far_ahead(strength: Mapping[str, float], coded: Mapping[str, Codes], aim: Aim) -> list[Suspicion]:
    """The strongest column, when what is neither it nor much like it is far behind."""
    ranked = sorted(strength, key=lambda n: -strength[n])
    if len(ranked) < 3 or strength[ranked[0]] < (AHEAD if aim.is_class else AHEAD_NUMBER):
        return []
    best = ranked[0]
    bins = coded[best].astype(np.float64)
    rival = next((n for n in ranked[1:] if abs(rank_correlation(coded[n].astype(np.float64), bins)) < KIN), None)
    if rival is None or strength[rival] >= FAR_BEHIND * strength[best]:
        return []
    behind = f"the next best column, {printable(rival)}, explains only {max(strength[rival], 0):.0%}"
    return [Suspicion(column=best, confidence=0.7, reason=f"{_in_words(strength[best], coded[best], aim)}, and {behind}")]


def _telling_blanks(frame: pl.DataFrame, columns: Sequence[Column], aim: Aim) -> list[Suspicion]:
    """Columns that are blank, or 0 as a code for it, almost only in rows of one class: filled in when the outcome was known."""
    found = []
    usual = aim.values.mean(axis=0)
    for column in columns:
        values = frame[column.name]
        blank = values.is_null().to_numpy()
        signs = [(blank, "missing", 0.6)]
        if column.kind is ColumnKind.NUMERIC and isinstance(column.distinct, int) and column.distinct > PURE_ROWS:
            signs.append(((values == 0).fill_null(False).to_numpy(), "0", 0.5))
        for rows, word, confidence in signs:
            count = int(rows.sum())
            if count < max(PURE_ROWS, 0.03 * aim.rows) or count > 0.97 * aim.rows:
                continue
            within = aim.values[rows].mean(axis=0)
            top = int(within.argmax())
            is_chance = count * (within[top] - usual[top]) ** 2 < 16 * usual[top] * (1 - usual[top])
            if within[top] >= PURE and usual[top] <= 0.9 and not is_chance:
                reason = f"where it is {word} ({count} rows), {within[top]:.0%} are of one class, against {usual[top]:.0%} overall"
                found.append(Suspicion(column=column.name, confidence=confidence, reason=reason))
    return found


def _exact_together(frame: pl.DataFrame, names: Sequence[str], numbers: Numbers) -> list[Suspicion]:
    """The few columns whose weighted sum is the target exactly, such as two parts of a total."""
    matrix = frame.select(pl.col(list(names)).cast(pl.Float64)).to_numpy().astype(np.float64) if names else np.zeros((len(numbers), 0))
    if not 0 < matrix.shape[1] <= MOST_PARTS_SEARCHED or len(numbers) < 3 * matrix.shape[1]:
        return []
    lively = np.isfinite(matrix).all(axis=0) & (matrix.std(axis=0) > 0)
    kept = [n for n, is_lively in zip(names, lively, strict=True) if is_lively]
    z = matrix[:, lively]
    z = (z - z.mean(axis=0)) / z.std(axis=0) if z.size else z
    aim = numbers - numbers.mean()
    total = float((aim**2).sum())
    if total == 0 or not kept or _left(z, aim) > EXACT * total:
        return []
    chosen: list[int] = []
    left = aim
    while len(chosen) < min(_PARTS, len(kept)):
        gains = np.abs(z.T @ left)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        weights = np.linalg.lstsq(z[:, chosen], aim, rcond=None)[0]
        left = aim - z[:, chosen] @ weights
        if float((left**2).sum()) <= EXACT * total:
            parts = [kept[i] for i in chosen]
            reason = (
                f"a weighted sum of {listed(parts)} is the target exactly" if len(parts) > 1 else "a multiple of it is the target exactly"
            )
            return [Suspicion(column=n, confidence=0.9, reason=reason) for n in parts]
    return []


def _left(z: Numbers, aim: Numbers) -> float:
    return float(((aim - z @ np.linalg.lstsq(z, aim, rcond=None)[0]) ** 2).sum())


def _measured_after(columns: Sequence[Column], target: str, strength: Mapping[str, float]) -> list[Suspicion]:
    """Columns named as measured after something, like the target, where others are named as measured before it."""
    names = [c.name for c in columns]
    if not came_after(target, names):
        return []
    return [
        Suspicion(
            column=name,
            confidence=0.55,
            reason=f"named as measured afterwards, like the target, so it may not be known when predicting; alone it explains {share:.0%}",
        )
        for name in names
        if came_after(name, names) and (share := strength.get(name, 0.0)) >= 0.05
    ]
