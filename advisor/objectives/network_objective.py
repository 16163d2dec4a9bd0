"""The objective of the network: every epoch of all folds in lockstep is one step, and any step can be gone on from."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from advisor.core.ports import Measurement
from advisor.core.space import Config
from advisor.objectives.scoring import DivergedError, expand, score
from advisor.objectives.tables import TableObjective, read_prepared

if TYPE_CHECKING:
    from advisor.objectives.network import EpochNetwork, EpochTraining


class _Test(NamedTuple):
    """The scored part of one fold."""

    held: Any
    y: npt.NDArray[Any]
    weight: npt.NDArray[np.float64] | None
    seen: npt.NDArray[Any] | None


class FirstRows(NamedTuple):
    """What a training of the first split is made of."""

    estimator: EpochNetwork
    X: Any
    y: npt.NDArray[Any]
    weight: npt.NDArray[np.float64] | None


class NetworkObjective(TableObjective):
    """Scores configurations of the network: ``objective(config)`` yields a measurement an epoch, its value the mean over folds.

    A measurement's checkpoint is a function that gives the state of all folds; ``objective(config, checkpoint)`` goes on after its
    epoch, with the learning rate, decay and dropout of the `config` it is given. On a CPU that equals never having stopped, to the bit.
    After the last epoch `last_scores` are the fold scores, equal to those of `cross_val_score` with the same pipeline.
    """

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:
        """One measurement an epoch; the first after `checkpoint` when there is one.

        Raises: DivergedError when the loss or a prediction is not finite; InputError when the checkpoint is another network's.
        """
        data = read_prepared(self.table)
        began, epochs = time.perf_counter(), 0
        self.last_scores, self.last_unconverged = (), 0
        trainings: list[EpochTraining] = []
        tests: list[_Test] = []
        states = checkpoint["folds"] if checkpoint is not None else None
        for step, (train, test) in enumerate(self.pairs(), start=1):
            pipeline = self.pipeline(config, step)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fold = self._preprocessed(pipeline, config, data, train, test, step)
            weight = None if data.weight is None or not self.family.supports_weights else data.weight[train]
            estimator = pipeline.steps[-1][1]
            training = estimator.begin(fold.train, data.y[train], weight)
            if states is not None:
                training.restore(states[step - 1])
            if not trainings:
                shipped, preprocessing = estimator, fold.preprocessing
            trainings.append(training)
            seen = getattr(estimator, "classes_", None)
            tests.append(_Test(training.hold(fold.test), data.y[test], None if data.weight is None else data.weight[test], seen))
        self._last = Pipeline([("columns", preprocessing), ("model", shipped.adopt(trainings[0]))])
        while not trainings[0].is_done:
            scores = []
            for training, part in zip(trainings, tests, strict=True):
                training.run_epoch()
                scores.append(self._score(training, part))
            epochs += 1
            self.last_scores = tuple(scores)
            self.last_fit_seconds = (time.perf_counter() - began) / len(trainings)
            yield Measurement(
                step=trainings[0].epoch,
                value=fmean(scores),
                checkpoint=lambda: {"folds": [t.state() for t in trainings]},
            )

    def first_rows(self, config: Config) -> FirstRows:
        """The unfitted network of `config` and the preprocessed training rows of the first split, for what is measured ahead of trials."""
        data, (train, test) = read_prepared(self.table), self.pairs()[0]
        pipeline = self.pipeline(config)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fold = self._preprocessed(pipeline, config, data, train, test, 1)
        weight = None if data.weight is None or not self.family.supports_weights else data.weight[train]
        return FirstRows(pipeline.steps[-1][1], fold.train, data.y[train], weight)

    def first_training(self, config: Config) -> EpochTraining:
        """The training of `config` on the first split, before its first epoch."""
        estimator, X, y, weight = self.first_rows(config)
        return estimator.begin(X, y, weight)

    def _score(self, training: EpochTraining, part: _Test) -> float:
        predicted = training.predict_tensors(part.held)
        if not np.isfinite(predicted).all():
            raise DivergedError(f"diverged: predictions are not finite after epoch {training.epoch}", cure="Lower the learning rate.")
        if part.seen is not None:
            predicted = expand(predicted, part.seen, len(self.classes))
            if self.metric.needs == "label":
                predicted = predicted.argmax(axis=1).astype(np.float64)
        return score(self.metric, part.y, predicted, part.weight)
