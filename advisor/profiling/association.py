"""How much one column says about another, by numpy alone: quick enough for every column of a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

BINS = 48
"""A number is cut into at most this many bins of equal size."""
MOST_CODES = 400
"""The rarer values of a category share one code beyond this."""
MOST_CLASSES = 60
SAMPLED_ROWS = 20_000
"""Associations are measured on at most this many rows, spread evenly."""
_SEED = 20_011
_PRIOR_ROWS = 2.0
"""A bin's mean is drawn to the overall one as if this many more rows had the overall mean."""


@dataclass(frozen=True)
class Aim:
    """A target made ready for measuring against it."""

    values: Numbers
    """(rows, classes) of 0 and 1, or (rows, 1) standardised."""
    is_class: bool
    """True where `values` are indicators of classes."""
    folds: Codes
    """(rows,) of 0 and 1: two halves, fixed."""
    scale: float
    """Mean squared distance to the overall mean."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values)


def aim_at(target: pl.Series, *, is_class: bool) -> Aim:
    """`target` without missing values, as indicators of its classes or as one standardised number.

    Classes beyond the sixty most frequent share one indicator.
    """
    if is_class:
        codes = _top_codes(target, MOST_CLASSES)
        values = np.zeros((len(codes), int(codes.max()) + 1 if len(codes) else 1))
        values[np.arange(len(codes)), codes] = 1.0
    else:
        numbers = target.to_numpy().astype(np.float64)
        spread = float(numbers.std()) or 1.0
        values = ((numbers - numbers.mean()) / spread)[:, None]
    folds = np.random.default_rng(_SEED).permutation(len(values)) % 2
    scale = float(((values - values.mean(axis=0)) ** 2).sum() / max(len(values), 1))
    return Aim(values=values, is_class=is_class, folds=folds, scale=scale or 1.0)


def codes_of(column: pl.Series) -> Codes:
    """(rows,) of small whole numbers: bins of a number, values of a category; 0 is kept for missing."""
    if column.dtype == pl.String:
        known = column.drop_nulls()
        codes = np.zeros(len(column), dtype=np.int64)
        codes[~column.is_null().to_numpy()] = _top_codes(known, MOST_CODES) + 1
        return codes
    numbers = column.cast(pl.Float64).to_numpy().astype(np.float64)
    is_known = np.isfinite(numbers)
    here = numbers[is_known]
    codes = np.zeros(len(numbers), dtype=np.int64)
    if here.size:
        distinct = np.unique(here)
        edges = distinct if len(distinct) <= BINS else np.unique(np.quantile(here, np.linspace(0, 1, BINS + 1)[1:-1]))
        codes[is_known] = np.searchsorted(edges, here, side="left") + 1
    return codes


def explained(codes: Codes, aim: Aim) -> float:
    """Share of the target's variance (for classes: of their indicators) that the column alone predicts in rows it was not learnt from.

    1 when it determines the target, 0 or a little below when it says nothing. Source: the Brier skill score and R², two halves crosswise.
    """
    predicted = out_of_fold(codes, aim)
    return 1.0 - float(((aim.values - predicted) ** 2).sum()) / max(aim.rows, 1) / aim.scale


def out_of_fold(codes: Codes, aim: Aim) -> Numbers:
    """(rows, outputs): the mean of the target in the row's bin, learnt on the other half."""
    predicted = np.empty_like(aim.values)
    size = int(codes.max()) + 1 if len(codes) else 1
    for fold in (0, 1):
        learn, score = aim.folds != fold, aim.folds == fold
        mean = aim.values[learn].mean(axis=0) if learn.any() else np.zeros(aim.values.shape[1])
        counts = np.bincount(codes[learn], minlength=size).astype(np.float64)
        sums = np.stack(
            [np.bincount(codes[learn], weights=aim.values[learn, k], minlength=size) for k in range(aim.values.shape[1])], axis=1
        )
        means = (sums + _PRIOR_ROWS * mean) / (counts[:, None] + _PRIOR_ROWS)
        predicted[score] = means[codes[score]]
    return predicted


def hit_ratio(codes: Codes, aim: Aim) -> float:
    """Share of rows whose class the column alone names rightly, 0..1, in rows it was not learnt from."""
    return float((out_of_fold(codes, aim).argmax(axis=1) == aim.values.argmax(axis=1)).mean())


def rank_correlation(a: Numbers, b: Numbers) -> float:
    """Spearman's coefficient over the rows where both are known; 0 with fewer than five such rows or a constant."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 5:
        return 0.0
    x, y = _ranks(a[both]), _ranks(b[both])
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / size if size else 0.0


def jointly_explained(matrix: Numbers, aim: Aim) -> float:
    """Like `explained`, for all columns of `matrix` (rows, features) together in one ridge regression; 0 for no columns."""
    if matrix.shape[1] == 0 or aim.rows < 10:
        return 0.0
    predicted = np.empty_like(aim.values)
    for fold in (0, 1):
        learn, score = aim.folds != fold, aim.folds == fold
        centre, mean = matrix[learn].mean(axis=0), aim.values[learn].mean(axis=0)
        x = matrix[learn] - centre
        gram = x.T @ x + (0.01 * learn.sum() + 1e-9) * np.eye(x.shape[1])
        predicted[score] = (matrix[score] - centre) @ np.linalg.solve(gram, x.T @ (aim.values[learn] - mean)) + mean
    return 1.0 - float(((aim.values - predicted) ** 2).sum()) / max(aim.rows, 1) / aim.scale


def _ranks(values: Numbers) -> Numbers:
    """Ranks with ties at their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts).astype(np.float64)
    return (ends - (counts - 1) / 2.0)[place]


def _top_codes(values: pl.Series, most: int) -> Codes:
    counts = values.value_counts(sort=False)
    name = counts.columns[0]
    order = counts.sort([counts.columns[1], name], descending=[True, False])[name]
    codes = {value: min(place, most) for place, value in enumerate(order.to_list())}
    return (
        values.replace_strict(list(codes), list(codes.values()), return_dtype=pl.Int64).to_numpy().astype(np.int64)
        if codes
        else np.zeros(0, dtype=np.int64)
    )
