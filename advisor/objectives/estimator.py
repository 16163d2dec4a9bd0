"""A scikit-learn estimator as an objective: a configuration is set on it, and it is scored split by split."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.model_selection._validation import _fit_and_score

from advisor.core.errors import CannotRunError, InputError
from advisor.core.objective import Kind
from advisor.core.ports import Measurement
from advisor.core.space import Config
from advisor.objectives.estimator_space import EstimatorSpace

Split = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


class EstimatorObjective:
    """Scores configurations of `estimator`: ``objective(config)`` yields a measurement a split, whose value is the running mean.

    Fit and score are scikit-learn's own `_fit_and_score`, so the scores equal those of its searches with the same splits, to the
    bit. A name that a configuration lacks is left as the estimator has it. Larger is better, as with every scorer. Warnings of the
    fits are not shown: there are many, and the refit gives them again. Picklable when its parts are.
    """

    kind: ClassVar[Kind] = "estimator"

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        space: EstimatorSpace,
        splits: Sequence[Split],
        scorer: Any,
        fit_params: Mapping[str, Any] | None = None,
        score_params: Mapping[str, Any] | None = None,
    ) -> None:
        self.estimator, self.X, self.y = estimator, X, y
        self.space, self.splits, self.scorer = space, list(splits), scorer
        self.fit_params, self.score_params = dict(fit_params or {}), dict(score_params or {})
        self.name = type(estimator).__name__
        self.last_fit_seconds = 0.0
        """Mean seconds of one fit of the last trial."""

    def __call__(self, config: Config, checkpoint: Any = None) -> Iterator[Measurement]:  # noqa: ARG002
        """One measurement a split, in order of the splits.

        Raises: what the estimator raises; CannotRunError when a score is not finite; InputError when the scorer gives several.
        """
        params = self.space.params(config)
        scores: list[float] = []
        seconds: list[float] = []
        for step, (train, test) in enumerate(self.splits, start=1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                done = _fit_and_score(
                    clone(self.estimator),
                    self.X,
                    self.y,
                    scorer=self.scorer,
                    train=train,
                    test=test,
                    verbose=0,
                    parameters=params,
                    fit_params=self.fit_params,
                    score_params=self.score_params,
                    return_times=True,
                    error_score="raise",
                )
            scores.append(_one(done["test_scores"], step))
            seconds.append(float(done["fit_time"]))
            self.last_fit_seconds = fmean(seconds)
            yield Measurement(step=step, value=fmean(scores), score=scores[-1])


def _one(score: Any, step: int) -> float:
    if isinstance(score, Mapping):
        raise InputError(
            f"the scoring gives {len(score)} scores: {', '.join(map(str, score))}", where="scoring", cure="Give a scorer of one score."
        )
    if not math.isfinite(score):
        raise CannotRunError(
            f"the score of split {step} is {score}", where="scoring", cure="Choose a scorer that is defined on every split."
        )
    return float(score)
