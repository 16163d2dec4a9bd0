"""Small pictures of three kinds, and the ways in which people hand pictures over."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def pictures(count: int = 60, *, side: int = 8, channels: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """``(count, side, side, channels)`` bytes and their classes: 0 a lying bar, 1 a standing bar, 2 a square, each somewhere else."""
    random = np.random.default_rng(seed)
    y = np.arange(count) % 3
    X = random.integers(0, 60, size=(count, side, side, channels)).astype(np.uint8)
    for image, kind in zip(X, y, strict=True):
        a, b = random.integers(0, side - 3, size=2)
        rows, columns = {0: (1, side), 1: (side, 1), 2: (3, 3)}[int(kind)]
        top, left = (a if rows < side else 0), (b if columns < side else 0)
        image[top : top + rows, left : left + columns] = 220
    return X, y


def write_folder(folder: Path, X: np.ndarray, y: Sequence[Any] | np.ndarray, *, ending: str = "png") -> Path:
    """`folder`, after each picture was written into the folder of its class."""
    for i, (image, label) in enumerate(zip(X, y, strict=True)):
        place = folder / f"kind {label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(place / f"{i:04}.{ending}")
    return folder


def write_idx(path: Path, array: np.ndarray) -> Path:
    """`path`, after the bytes were written to it in MNIST's format; packed where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_mnist(folder: Path, X: np.ndarray, y: np.ndarray, *, test: int = 0, ending: str = ".gz") -> Path:
    """`folder` with the four files of MNIST's, the last `test` pictures being the test set."""
    cut = len(X) - test
    for name, part in (("train", slice(0, cut)), ("t10k", slice(cut, None))):
        if name == "train" or test:
            write_idx(folder / f"{name}-images-idx3-ubyte{ending}", X[part, :, :, 0])
            write_idx(folder / f"{name}-labels-idx1-ubyte{ending}", y[part])
    return folder
