"""The end of a run: fit on all development rows, score the held-out rows once, and say what the gain is worth."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from advisor.core.errors import InputError
from advisor.core.family import Family
from advisor.core.metrics import Metric
from advisor.core.metrics import metric as metric_named
from advisor.core.outcome import Gain
from advisor.core.ports import Measurement
from advisor.core.space import Config
from advisor.objectives.model import ShippedModel
from advisor.objectives.pipelines import build
from advisor.objectives.prepared import Prepared
from advisor.objectives.scoring import predict, resampled, row_losses, score
from advisor.objectives.tables import read_prepared

DRAWS = 2000
_CHUNK_CELLS = 4_000_000
"""Weights held at once while drawing."""


class FinalFit:
    """Fits a configuration once: ``objective(config)`` yields one measurement.

    `all` rows are those that may be learned: held-out rows among them, unless they come from a file of their own.

    On `development` the value is the score of the held-out rows, and what they were predicted goes to `predictions`; where no
    rows are held out, and on `all`, it is the score of the rows that were learned, which only shows that the model works.
    """

    def __init__(
        self,
        *,
        prepared: Prepared,
        family: Family,
        rows: Literal["development", "all"] = "development",
        predictions: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        self.prepared, self.family, self.rows = prepared, family, rows
        self.predictions = predictions
        self.overrides = dict(family.refit if overrides is None and rows == "all" else overrides or {})
        self.metric: Metric = metric_named(prepared.metric, prepared.task)
        self.seed, self.threads, self.device = seed, threads, device
        self.last_fit_seconds = 0.0
        """Seconds of the fit and score."""
        self.last_scores: tuple[float, ...] = ()
        """The score."""
        self._last: Pipeline | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:  # noqa: ARG002
        """One measurement.

        Raises: what the estimator raises; DivergedError when it predicts numbers that are not finite.
        """
        began = time.perf_counter()
        data = read_prepared(Path(self.prepared.table))
        with np.load(self.prepared.parts, allow_pickle=False) as parts:
            development, heldout, groups = parts["development"], parts["heldout"], parts["groups"]
            learned = development if self.rows == "development" else parts["learned"]
        scored = heldout if self.rows == "development" and len(heldout) else learned
        pipeline = build(
            self.family,
            self.prepared.columns,
            self.prepared.task,
            config,
            seed=self.seed,
            threads=self.threads,
            classes=len(self.prepared.classes),
            needs=self.metric.needs,
            overrides=self.overrides,
            device=self.device,
        )
        weights = {} if data.weight is None or not self.family.supports_weights else {"model__sample_weight": data.weight[learned]}
        with threadpool_limits(self.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline.fit(data.frame[learned], data.y[learned], **weights)
            predicted = predict(pipeline, data.frame[scored], self.metric, len(self.prepared.classes))
        weight = None if data.weight is None else data.weight[scored]
        value = score(self.metric, data.y[scored], predicted, weight)
        self._last, self.last_scores, self.last_fit_seconds = pipeline, (value,), time.perf_counter() - began
        if self.predictions is not None:
            losses = row_losses(self.metric, data.y[scored], predicted)
            with Path(self.predictions).open("wb") as file:
                np.savez(
                    file,
                    rows=scored,
                    y=data.y[scored],
                    predicted=predicted,
                    losses=np.empty(0) if losses is None else losses,
                    weight=np.empty(0) if weight is None else weight,
                    groups=groups[scored] if len(groups) else groups,
                    is_ordered=np.asarray(self.prepared.is_ordered),
                )
        yield Measurement(step=1, value=value, score=value)

    def save_last(self, path: str) -> str:
        """The SHA-256 of the model file, after the fitted pipeline was written to `path`.

        Raises: RuntimeError when nothing was fitted in this process.
        """
        if self._last is None:
            raise RuntimeError("no trial has run in this process")
        p = self.prepared
        return ShippedModel(self._last, p.columns, p.target, p.task, p.metric, p.classes).save(path)


def gain(default: Path, tuned: Path, metric: Metric, *, seed: int = 0, draws: int = DRAWS) -> Gain:
    """Gain of `tuned` over `default` on the held-out rows that both `FinalFit` files hold, with the 95 % percentile interval.

    A paired bootstrap: every draw weighs the rows of both alike. Rows of a group are drawn together, and rows in time order
    in contiguous blocks of about the cube root of their number. Draws in which the metric has no value are left out.
    Source: Efron and Tibshirani 1993, ch. 13; blocks: Carlstein 1986, their length: Hall, Horowitz and Jing 1995.

    Raises: InputError when the two files do not hold the same rows.
    """
    with np.load(default, allow_pickle=False) as a, np.load(tuned, allow_pickle=False) as b:
        if not np.array_equal(a["rows"], b["rows"]):
            raise InputError("the two models were scored on different rows", where=str(tuned), cure="Score both again.")
        y, before, after = a["y"], a["predicted"], b["predicted"]
        weight = a["weight"] if len(a["weight"]) else np.ones(len(y))
        units = _units(len(y), a["groups"], bool(a["is_ordered"]))
    scores_before, scores_after = resampled(metric, y, before), resampled(metric, y, after)
    everything = weight[None, :].astype(np.float64)
    value = metric.sign * float((scores_after(everything) - scores_before(everything))[0])
    random, found = np.random.default_rng(seed), []
    count = int(units.max()) + 1
    chunk = max(1, _CHUNK_CELLS // len(y))
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        drawn = random.integers(0, count, size=(size, count)) + np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        weights = times[:, units] * weight
        weights = weights[weights.sum(axis=1) > 0]
        found.append(metric.sign * (scores_after(weights) - scores_before(weights)))
    differences = np.concatenate(found)
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        raise InputError("no draw of the held-out rows has a score", where=metric.name, cure="Hold out more rows.")
    low, high = np.quantile(differences, [0.025, 0.975])
    return Gain(value=value, low=float(low), high=float(high), probability=float((differences > 0).mean()))


def is_settled(found: Gain) -> bool:
    """True when the interval excludes 0: these rows tell the two models apart."""
    return found.low > 0 or found.high < 0


def _units(rows: int, groups: npt.NDArray[np.intp], is_ordered: bool) -> npt.NDArray[np.intp]:
    """What is drawn together: one number a row, from 0 without gaps."""
    if len(groups):
        return np.asarray(np.unique(groups, return_inverse=True)[1], dtype=np.intp)
    if is_ordered:
        return np.asarray(np.arange(rows) // max(1, round(rows ** (1 / 3))), dtype=np.intp)
    return np.asarray(np.arange(rows), dtype=np.intp)
