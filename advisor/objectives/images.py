"""Images as rows of one array that lies in a file: what a model family is fed of them, without any of them being read twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from advisor.core.errors import InputError
from advisor.core.facts import Column, ColumnKind
from advisor.core.family import Family

IMAGE = Column(name="image", kind=ColumnKind.IMAGE)
"""The one feature of a data set of images."""
Pixels = npt.NDArray[Any]
"""``(images, height, width, channels)``, uint8 or float32."""
MOST_SIDE_OF_COLUMNS = 32
"""Families that know columns only see larger images through blocks of pixels and their means, so many a side. Source: our choice."""


class Images:
    """Some rows of an array of images. Slicing costs row numbers only; the pixels stay where they are until `pixels` is called."""

    def __init__(self, array: Pixels, *, rows: npt.NDArray[np.intp] | None = None, columns: Sequence[str] = ()) -> None:
        """`array` is ``(images, height, width, channels)``; `rows` are those meant, all when None; `columns` name the cells of a
        table that the pixels came from."""
        self.array = array
        self.rows = np.arange(len(array), dtype=np.intp) if rows is None else np.asarray(rows, dtype=np.intp)
        self.columns = tuple(columns)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> Images:
        return Images(self.array, rows=self.rows[rows], columns=self.columns)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(images, height, width, channels)``."""
        return (len(self.rows), *self.array.shape[1:])

    @property
    def nbytes(self) -> int:
        """Memory that this view holds besides the array that all views share."""
        return int(self.rows.nbytes)

    def pixels(self) -> Pixels:
        """The images themselves, read into memory."""
        return np.ascontiguousarray(self.array[self.rows])


def images_of(X: Any) -> Images:
    """`X` as a view: a view already, or an array ``(images, height, width[, channels])``.

    Raises: InputError for any other shape.
    """
    if isinstance(X, Images):
        return X
    array = np.asarray(X)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4:
        raise InputError(f"images of the shape {array.shape}", where="X", cure="Give them as (images, height, width, channels).")
    return Images(array if array.dtype == np.uint8 else array.astype(np.float32))


@dataclass(frozen=True)
class ImageKind:
    """What a model expects of images."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    channels: int
    """1 for grey, 3 for colour."""
    is_whole: bool
    """True for bytes, False for floats."""
    columns: tuple[str, ...] = ()
    """Columns of a table that hold the pixels row by row; empty where the images were images."""


class ImageStep(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The images as they are; it remembers of which kind they were."""

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002
        images = images_of(X)
        height, width, channels = images.shape[1:]
        self.kind_ = ImageKind(height, width, channels, images.array.dtype == np.uint8, images.columns)
        return self

    def transform(self, X: Any) -> Images:
        check_is_fitted(self, "kind_")
        images, kind = images_of(X), self.kind_
        if images.shape[1:] != (kind.height, kind.width, kind.channels):
            raise InputError(
                f"the images are {images.shape[1:]}, the model learned from {(kind.height, kind.width, kind.channels)}",
                where="images",
                cure="Bring them to that shape.",
            )
        return images


class PixelColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Numbers ``(images, height · width · channels)``, for families that know columns only; of large images the means of blocks."""

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002
        self.block_ = -(-max(images_of(X).shape[1:3]) // MOST_SIDE_OF_COLUMNS)
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        check_is_fitted(self, "block_")
        images, block = images_of(X), self.block_
        if block == 1:
            return images.pixels().reshape(len(images), -1).astype(np.float64)
        parts = [self._means(images[start : start + 1024].pixels(), block) for start in range(0, len(images), 1024)]
        return np.concatenate(parts)

    @staticmethod
    def _means(pixels: Pixels, block: int) -> npt.NDArray[np.float64]:
        sums, counts = pixels.astype(np.float64), np.ones((1, 1, 1, 1))
        for axis in (1, 2):
            starts = np.arange(0, pixels.shape[axis], block)
            sums = np.add.reduceat(sums, starts, axis=axis)
            size = np.diff(np.append(starts, pixels.shape[axis]))
            counts = counts * size.reshape([-1 if i == axis else 1 for i in range(4)])
        return np.asarray((sums / counts).reshape(len(pixels), -1))


def preprocess_images(family: Family) -> Pipeline | ImageStep:
    """What comes before the estimator of `family`: nothing where it takes images, else the pixels as columns, scaled where it
    wants them so."""
    if family.on_images is not None:
        return ImageStep()
    scaler = [StandardScaler()] if family.preprocessing.numeric == "scale" else []
    return make_pipeline(ImageStep(), PixelColumns(), *scaler)


def kind_of(preprocessing: Any) -> ImageKind | None:
    """What the fitted step before an estimator expects of images; None when it takes a table."""
    step = preprocessing.steps[0][1] if isinstance(preprocessing, Pipeline) else preprocessing
    return step.kind_ if isinstance(step, ImageStep) else None


# ------------------------------------------------------------------------------------------------ the prepared file


def write_rows(
    array: Path, y: npt.NDArray[Any], *, rows: npt.NDArray[np.intp], weight: npt.NDArray[Any] | None = None, columns: Sequence[str] = ()
) -> Path:
    """`array`, a ``.npy`` of images, after the targets of its prepared rows were written beside it."""
    with _beside(array).open("wb") as file:
        np.savez(file, y=y, rows=rows, weight=np.empty(0) if weight is None else weight, columns=np.asarray(columns, dtype=np.str_))
    return array


def write_pixels(frame: pl.DataFrame, columns: Sequence[str], shape: tuple[int, int, int], path: Path) -> Path:
    """`path`, after the number columns of a table were written to it as images; a missing pixel is 0.

    Whole numbers of 0..255 become bytes. Raises: InputError when a column is absent or the columns make no such images.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, of_columns(frame, columns, shape))
    return path


def of_columns(frame: pl.DataFrame, columns: Sequence[str], shape: tuple[int, int, int], *, is_whole: bool | None = None) -> Pixels:
    """Images ``(rows, *shape)`` of number columns, as `write_pixels` writes them; bytes where `is_whole`, floats where not."""
    absent = [c for c in columns if c not in frame.columns]
    if absent or len(columns) != int(np.prod(shape)):
        what = f"{len(absent)} pixel column(s) are missing" if absent else f"{len(columns)} columns are no image of the shape {shape}"
        raise InputError(what, where="columns", cure="Give the table with all its pixels.")
    numbers = frame.select(pl.col(list(columns)).cast(pl.Float64, strict=False).fill_null(0.0).fill_nan(0.0)).to_numpy()
    if is_whole is None:
        is_whole = bool((numbers >= 0).all() and (numbers <= 255).all() and (numbers == np.floor(numbers)).all())
    kept = np.clip(np.rint(numbers), 0, 255).astype(np.uint8) if is_whole else numbers.astype(np.float32)
    return np.ascontiguousarray(kept.reshape(len(kept), *shape))


def read_rows(array: Path) -> tuple[Images, npt.NDArray[Any], npt.NDArray[np.float64] | None]:
    """Images, targets and weights that `write_rows` left; the pixels stay in the file."""
    with np.load(_beside(array), allow_pickle=False) as file:
        y, rows, weight, columns = file["y"], file["rows"], file["weight"], file["columns"]
    return Images(mapped(array), rows=rows, columns=columns.tolist()), y, weight if len(weight) else None


@lru_cache(maxsize=2)
def mapped(path: Path) -> Pixels:
    """The array of a ``.npy`` file, mapped once a process; copied on writing, which nothing does, so that torch takes it."""
    array: Pixels = np.load(path, mmap_mode="c", allow_pickle=False)
    return array


def _beside(array: Path) -> Path:
    return array.with_suffix(".rows.npz")
