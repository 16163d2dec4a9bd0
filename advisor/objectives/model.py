"""The model that is handed over: a fitted pipeline and everything needed to predict from a new table."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl

from advisor.core.errors import InputError
from advisor.core.facts import Column, Task
from advisor.objectives.images import ImageKind, Images, kind_of, of_columns
from advisor.objectives.pipelines import typed
from advisor.objectives.scoring import expand

PREDICTION = "prediction"
"""Column of the predicted label or number."""
PROBABILITY = "probability_"
"""Prefix of a column with the probability of one class."""


@dataclass(frozen=True)
class ShippedModel:
    """A fitted pipeline with its columns, its target and the original labels."""

    pipeline: Any
    columns: tuple[Column, ...]
    target: str
    task: Task
    metric: str
    classes: tuple[Any, ...] = ()
    """Original labels in the order of their codes; empty for regression."""

    @property
    def images(self) -> ImageKind | None:
        """What it expects of images; None when it predicts rows of a table."""
        return kind_of(self.pipeline.steps[0][1])

    def predict(self, frame: pl.DataFrame | Images) -> pl.DataFrame:
        """One row a row of `frame`: ``prediction`` and, where the model gives them, one ``probability_<class>`` a class.

        Other columns of `frame` are ignored; unseen categories and missing cells are predicted like any other. A model of images
        takes those, or the table with its pixel columns.

        Raises: InputError when a column of the model is absent, or a model of images is given something else.
        """
        X = self._features(frame)
        if not self.task.is_classification:
            numbers = np.asarray(self.pipeline.predict(X), dtype=np.float64).reshape(-1) if len(X) else np.empty(0)
            return pl.DataFrame({PREDICTION: numbers})
        labels = pl.Series(PREDICTION, list(self.classes))
        codes = np.asarray(self.pipeline.predict(X), dtype=np.int64) if len(X) else np.empty(0, dtype=np.int64)
        out = [labels.gather(pl.Series(codes, dtype=pl.UInt32))]
        if hasattr(self.pipeline, "predict_proba"):
            k = len(self.classes)
            p = expand(self.pipeline.predict_proba(X), self.pipeline.classes_, k) if len(X) else np.empty((0, k))
            out += [pl.Series(f"{PROBABILITY}{label}", p[:, i]) for i, label in enumerate(self.classes)]
        return pl.DataFrame(out)

    def _features(self, frame: pl.DataFrame | Images) -> pl.DataFrame | Images:
        kind = self.images
        if isinstance(frame, Images):
            if kind is None:
                raise InputError("the model predicts rows of a table, not images", where="data", cure="Name a table with its columns.")
            return frame
        if kind is None:
            return typed(frame, self.columns)
        if not kind.columns:
            raise InputError("the model predicts images, not rows of a table", where="data", cure="Name a folder or an array of images.")
        shape = (kind.height, kind.width, kind.channels)
        return Images(of_columns(frame, kind.columns, shape, is_whole=kind.is_whole))

    def save(self, path: str | Path) -> str:
        """The SHA-256 of the file, after it was written whole and renamed into place."""
        target = Path(path)
        buffer = io.BytesIO()
        joblib.dump(self, buffer)
        content = buffer.getvalue()
        unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
        return hashlib.sha256(content).hexdigest()


def load(path: str | Path, sha256: str) -> ShippedModel:
    """The model of a file whose content has this hash. A model file runs code when it is read, so any other is refused unread.

    Raises: InputError when the file is absent, differs from what the run wrote, or holds something else.
    """
    source = Path(path)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise InputError(f"the model cannot be read: {error.strerror}", where=str(source), cure="Name a run that has finished.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise InputError(
            "the model file is not the one that the run wrote",
            where=f"{source}: {found[:12]}… instead of {sha256[:12]}…",
            cure="Use the untouched file, or run again.",
        )
    model = joblib.load(io.BytesIO(content))
    if not isinstance(model, ShippedModel):
        raise InputError("the file holds no model of ours", where=str(source), cure="Name the model of a run.")
    return model
