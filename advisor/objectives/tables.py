"""The objective of scikit-learn families: one configuration, scored fold by fold on splits that were made once."""

from __future__ import annotations

import copy
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean, median
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.utils import resample
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from advisor.core.errors import InputError
from advisor.core.facts import Column, Task
from advisor.core.family import Family
from advisor.core.metrics import Metric
from advisor.core.metrics import metric as metric_named
from advisor.core.ports import Measurement
from advisor.core.space import Config
from advisor.objectives.images import Images, read_rows
from advisor.objectives.model import ShippedModel
from advisor.objectives.pipelines import SCALER, build
from advisor.objectives.scoring import scorer
from advisor.objectives.splitting import Split, read_splits

TARGET = "__target__"
WEIGHT = "__weight__"
CACHE_BYTES = 512 * 2**20
"""Preprocessed folds kept in one worker. The preprocessing of a fold is the same for every configuration that does not change it."""


@dataclass(frozen=True)
class Table:
    """A prepared table in memory, or prepared images in a file: features, target codes or numbers, and weights where there are any."""

    frame: pl.DataFrame | Images
    y: npt.NDArray[Any]
    weight: npt.NDArray[np.float64] | None


@lru_cache(maxsize=4)
def read_prepared(path: Path) -> Table:
    """The prepared table of an uncompressed Arrow file, or the prepared images of a ``.npy``, read once a process."""
    if path.suffix == ".npy":
        return Table(*read_rows(path))
    frame = pl.read_ipc(path)
    weight = frame[WEIGHT].to_numpy() if WEIGHT in frame.columns else None
    return Table(frame.drop(TARGET, WEIGHT, strict=False), frame[TARGET].to_numpy(), weight)


@lru_cache(maxsize=8)
def read_pairs(path: Path) -> list[Split]:
    """The splits of a file, read once a process."""
    return read_splits(path)


@lru_cache(maxsize=8)
def read_part(path: Path, rows: int, seed: int) -> list[Split]:
    """The splits of a file, each reduced to its share of `rows`: as many of a hundred of its training rows and of its test rows.

    A smaller part lies within every larger one of the same `seed`. The shares are of the rows that a split divides.

    Raises: InputError when a split divides fewer rows.
    Source: scikit-learn 1.9, ``_SubsampleMetaSplitter``, which successive halving cuts its splits with.
    """
    parts: list[Split] = []
    for pair in read_pairs(path):
        whole = len(pair[0]) + len(pair[1])
        if not 0 < rows <= whole:
            raise InputError(f"{rows} rows were asked for where a split has {whole}", where="rows", cure=f"Use 1 to {whole} rows.")
        fraction = rows / whole
        train, test = (resample(part, replace=False, random_state=seed, n_samples=int(fraction * len(part))) for part in pair)
        parts.append((train, test))
    return parts


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


@dataclass(frozen=True)
class _Fold:
    """The two parts of one split after a preprocessing was fitted on the first."""

    preprocessing: Any
    train: npt.NDArray[Any] | Images
    test: npt.NDArray[Any] | Images

    @property
    def size(self) -> int:
        return int(self.train.nbytes + self.test.nbytes)


_folds: OrderedDict[tuple[tuple[Any, ...], int], _Fold] = OrderedDict()
"""Preprocessing and number of the fold to its two parts, those used longest ago first."""


def _remember(kind: tuple[Any, ...], step: int, fold: _Fold) -> None:
    """Keeps `fold` where it fits. Folds of other preprocessings make room; those of this one stay, since all of them come round again."""
    held = sum(f.size for f in _folds.values())
    for key in [k for k in _folds if k[0] != kind]:
        if held + fold.size <= CACHE_BYTES:
            break
        held -= _folds.pop(key).size
    if held + fold.size <= CACHE_BYTES:
        _folds[kind, step] = fold


class TableObjective:
    """Scores configurations of one family: ``objective(config)`` yields a measurement a fold, whose value is the running mean.

    The scores equal those of scikit-learn's `cross_val_score` with the same pipeline, splits and scorer, to the bit. Picklable: it
    holds paths; each process maps the table once.
    """

    def __init__(
        self,
        *,
        table: Path,
        splits: Path,
        family: Family,
        columns: Sequence[Column],
        target: str,
        task: Task,
        metric: str,
        classes: Sequence[Any] = (),
        seed: int = 0,
        split_seeds: Sequence[int] = (),
        threads: int = 1,
        device: str = "cpu",
    ) -> None:
        self.table, self.splits = Path(table), Path(splits)
        self.family, self.columns, self.target, self.task = family, tuple(columns), target, task
        self.metric: Metric = metric_named(metric, task)
        self.classes = tuple(classes)
        self.seed, self.threads, self.device = seed, threads, device
        self.split_seeds = tuple(split_seeds)
        """A seed of its own for the model of each split; empty: `seed` for all."""
        self.last_fit_seconds = 0.0
        """Median seconds of one fit and score of the last trial."""
        self.last_scores: tuple[float, ...] = ()
        """Fold scores of the last trial."""
        self.last_unconverged = 0
        """Folds of the last trial whose fit warned that it had not converged."""
        self.rows: int | None = None
        """Rows of the table it is given; None: all."""
        self.rows_seed = seed
        """Seed of the choice of these rows."""
        self._last: Pipeline | None = None

    def with_rows(self, rows: int, *, seed: int | None = None) -> Self:
        """This objective on `rows` of the table, the training and test rows of each split reduced alike; it has run no trial.

        Its scores equal those of scikit-learn's successive halving with ``n_resources = rows`` and ``random_state = seed``, to the
        bit. `rows` counts among the rows that the splits divide, without those held out. `seed` is the objective's when None.
        """
        part = copy.copy(self)
        part.rows, part.rows_seed = rows, self.seed if seed is None else seed
        part.last_fit_seconds, part.last_scores, part.last_unconverged = 0.0, (), 0
        return part

    def pairs(self) -> list[Split]:
        """Training and test rows of each split, as row numbers of the table.

        Raises: InputError when more rows are asked for than a split divides.
        """
        return read_pairs(self.splits) if self.rows is None else read_part(self.splits, self.rows, self.rows_seed)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def pipeline(self, config: Config, step: int | None = None) -> Pipeline:
        """The unfitted pipeline of `config`, with the seed of the split number `step` where splits have seeds of their own."""
        return build(
            self.family,
            self.columns,
            self.task,
            config,
            seed=self._seed_of(step),
            threads=self.threads,
            classes=len(self.classes),
            needs=self.metric.needs,
            device=self.device,
        )

    def _seed_of(self, step: int | None) -> int:
        return self.split_seeds[step - 1] if step is not None and self.split_seeds else self.seed

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:  # noqa: ARG002
        """One measurement a fold, in order of the splits.

        Raises: what the estimator raises; DivergedError when it predicts numbers that are not finite.
        """
        data, score_fold = read_prepared(self.table), scorer(self.metric, len(self.classes))
        scores: list[float] = []
        seconds: list[float] = []
        self.last_unconverged, self.last_scores = 0, ()
        for step, (train, test) in enumerate(self.pairs(), start=1):
            began = time.perf_counter()
            with _threads().limit(limits=self.threads), warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", ConvergenceWarning)
                pipeline = self.pipeline(config, step)
                fold = self._preprocessed(pipeline, config, data, train, test, step)
                model = pipeline.steps[-1][1]
                weights = {} if data.weight is None or not self.family.supports_weights else {"sample_weight": data.weight[train]}
                model.fit(fold.train, data.y[train], **weights)
                value = score_fold(model, fold.test, data.y[test], None if data.weight is None else data.weight[test])
            self.last_unconverged += any(issubclass(w.category, ConvergenceWarning) for w in caught)
            seconds.append(time.perf_counter() - began)
            scores.append(self.metric.sign * value)
            self._last = Pipeline([("columns", fold.preprocessing), ("model", model)])
            self.last_scores, self.last_fit_seconds = tuple(scores), median(seconds)
            yield Measurement(step=step, value=fmean(scores), score=scores[-1])

    def _preprocessed(
        self, pipeline: Pipeline, config: Config, data: Table, train: npt.NDArray[np.intp], test: npt.NDArray[np.intp], step: int
    ) -> _Fold:
        bins = config.get("max_bins", self.family.fixed.get("max_bins"))
        signature = (self.family.preprocessing, self.family.on_images, config.get(SCALER), bins, self._seed_of(step))
        kind = (self.table, self.splits, self.columns, len(self.classes), self.rows, self.rows_seed, *signature)
        if (kind, step) not in _folds:
            preprocessing = pipeline.steps[0][1]
            X = preprocessing.fit_transform(data.frame[train], data.y[train])
            fold = _Fold(preprocessing, _guarded(X), _guarded(preprocessing.transform(data.frame[test])))
            _remember(kind, step, fold)
            return fold
        _folds.move_to_end((kind, step))
        return _folds[kind, step]

    def save_last(self, path: str) -> str:
        """The SHA-256 of the model file, after the pipeline of the last fitted fold was written to `path`.

        Raises: RuntimeError when no fold was fitted in this process.
        """
        if self._last is None:
            raise RuntimeError("no trial has run in this process")
        return ShippedModel(self._last, self.columns, self.target, self.task, self.metric.name, self.classes).save(path)


def _guarded(X: Any) -> npt.NDArray[Any] | Images:
    """`X` as an array that no estimator can change, since other trials read it too; images are a view that none writes to."""
    if isinstance(X, Images):
        return X
    array = np.ascontiguousarray(X) if not isinstance(X, np.ndarray) else X
    array.flags.writeable = False
    return array
