"""Data sets of images: a folder with one sub-folder a class, IDX files as MNIST has them, or an array of an ``.npz`` file.

They are described from their headers and a spread of decoded images; `decode_images` then reads each once, into one array file.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from advisor.core.errors import InputError, nearest
from advisor.core.facts import Column, ColumnKind, Dataset, Task, Unknown
from advisor.profiling import compressed
from advisor.profiling.lines import array_column
from advisor.profiling.printing import listed, printable
from advisor.profiling.structure import effective_dimensions, is_in_order

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"})
"""Files of a folder that are read as images; of an animation the first picture."""
MOST_SIDE = 128
"""Larger images are shrunk so that their longer side has this many pixels. Source: knowledge C.12 (128 pixels for small pictures);
a network trained from scratch on one machine sees no more."""
DECODED_IMAGES, DECODED_PIXELS = 20_000, 200_000_000
"""A profile decodes at most so many images, and pixels as stored, spread over the folder."""
DECOMPOSED_IMAGES = 2000
_PARTS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}
"""Sub-folders that are parts of a data set and no classes; training first."""
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_SHOWN_PATH = 400

Pixels = npt.NDArray[Any]
"""``(images, height, width, channels)``, uint8 or float32."""


@dataclass(frozen=True)
class Pictures:
    """A data set of images as it was found. Files are not decoded yet."""

    shown: str
    """What the user named."""
    source: Literal["folder", "idx", "arrays"]
    """How they come."""
    labels: pl.Series
    """The class of each, under the name of the target; null where it is missing."""
    files: tuple[Path, ...] = ()
    """The file of each; empty for an array."""
    array: Pixels | None = None
    """The images themselves; None for files."""
    warnings: tuple[str, ...] = ()
    """What had to be assumed while looking."""

    def __len__(self) -> int:
        return len(self.files) if self.array is None else len(self.array)


@dataclass(frozen=True)
class Shape:
    """What every image is brought to."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    channels: int
    """1 for grey, 3 for colour."""

    def __str__(self) -> str:
        return f"{self.height} × {self.width}"


@dataclass(frozen=True)
class Decoded:
    """Images in one array file."""

    path: Path
    """``.npy`` of ``(images, height, width, channels)``; the first ones are those of `labels`."""
    labels: pl.Series
    """The class of each."""
    notes: tuple[str, ...] = ()
    """What was left out."""


class BrokenImageError(InputError):
    """A file that no image can be read from."""


# ------------------------------------------------------------------------------------------------ finding them


def is_images(source: Any) -> bool:
    """True when `source` names images: a folder, an IDX file, or an ``.npz`` whose X has three dimensions or more."""
    if not isinstance(source, str | Path) or str(source).startswith("sklearn:") or "://" in str(source):
        return False
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            return True
        if not path.is_file():
            return False
        return _is_idx(path) or (path.suffix.lower() == ".npz" and _dimensions(path) >= 3)
    except (OSError, RuntimeError, ValueError):
        return False  # the reader of tables says what is wrong with the path


def open_images(source: str | Path, *, is_labelled: bool = True) -> Pictures:
    """The images that `source` names. Without `is_labelled`, images to predict: a flat folder, an array without y and IDX files
    without labels will do, sub-folders are no classes, and of IDX files those that are not for training are meant.

    Raises: InputError, saying what is wrong, where, and the cure.
    """
    path, shown = Path(source).expanduser(), printable(source, _SHOWN_PATH)
    try:
        if not path.is_dir():
            return _of_idx(path, shown, is_labelled) if _is_idx(path) else _of_arrays(path, shown, is_labelled)
        idx = sorted(p for p in path.iterdir() if p.is_file() and re.search(r"idx[34]", p.name))
        if idx:
            return _of_idx_folder(idx, shown, is_labelled)
        return _of_folder(path, shown) if is_labelled else _of_loose_files(path, shown)
    except PermissionError as error:
        raise InputError(f"{shown} may not be read", where=printable(error, 200), cure="Give this user permission to read it.") from error


def _of_folder(path: Path, shown: str) -> Pictures:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    said: list[str] = []
    if folders and all(p.name.casefold() in _PARTS for p in folders):
        used = min(folders, key=lambda p: _PARTS[p.name.casefold()])
        if any(p.is_dir() for p in used.iterdir()):
            aside = [p.name for p in folders if p != used]
            if aside:
                said.append(f"Only {printable(used.name)} is used; {listed(aside)} is left aside, so that no test image chooses a model.")
            return replace(_of_folder(used, shown), warnings=tuple(said))
    files: list[Path] = []
    labels: list[str] = []
    empty, other = [], 0
    for folder in folders:
        found, passed = _image_files(folder)
        other += passed
        if not found:
            empty.append(folder.name)
        files += found
        labels += [folder.name] * len(found)
    if not files:
        if any(p.suffix.lower() in ENDINGS for p in path.iterdir()):
            raise InputError(
                f"{shown} holds images, but no sub-folder a class", cure="Put the images of each class into a folder of its own."
            )
        raise InputError(f"{shown} is a folder, not a table", cure="Name a file inside it, such as a CSV, or a folder of images a class.")
    loose = sum(p.suffix.lower() in ENDINGS for p in path.iterdir() if p.is_file())
    if empty:
        said.append(f"No image lies in {listed(empty)}: it is no class.")
    if loose:
        said.append(f"{loose} image(s) beside the folders of the classes are passed over.")
    if other:
        said.append(f"{other} file(s) in the folders are no images and are passed over.")
    return Pictures(shown, "folder", pl.Series("class", labels), files=tuple(files), warnings=tuple(said))


def _of_loose_files(path: Path, shown: str) -> Pictures:
    files, _ = _image_files(path)
    if not files:
        raise InputError(f"No image lies in {shown}", cure=f"Name a folder with images: {', '.join(sorted(ENDINGS))}.")
    return Pictures(shown, "folder", pl.Series("class", [None] * len(files), dtype=pl.String), files=tuple(files))


def _image_files(folder: Path) -> tuple[list[Path], int]:
    """Every image below `folder` in the order of their paths, and how many other visible files there are."""
    found: list[Path] = []
    other = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith("."))
        for name in sorted(names):
            file = Path(place, name)
            if name.startswith(".") or name.casefold() in ("thumbs.db", "desktop.ini"):
                continue
            if file.suffix.lower() in ENDINGS and file.is_file():
                found.append(file)
            else:
                other += 1
    return found, other


def _is_idx(path: Path) -> bool:
    """True when the first bytes, unpacked, are those of an IDX file, or the name says that it is one."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path, "rb") as file:
                head = file.read(4)
        except (OSError, EOFError, zlib.error):
            head = b""
    is_magic = len(head) == 4 and head[:2] == b"\0\0" and head[2] in _IDX_TYPES and 1 <= head[3] <= 4
    return is_magic or re.search(r"idx[134]-?(ubyte)?(\.gz)?$", path.name.casefold()) is not None


def read_idx(path: Path, shown: str) -> npt.NDArray[Any]:
    """The array of an IDX file, packed with gzip or not. Source: the format as yann.lecun.com/exdb/mnist describes it.

    Raises: InputError for other first bytes, and for a file that is shorter or longer than they say.
    """
    content = compressed.content(path, shown)
    cure = "Download or write the file again."
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES or not 1 <= content[3] <= 4:
        raise InputError(f"{shown} is no IDX file", where=f"its first bytes are {content[:4].hex(' ') or 'none'}", cure=cure)
    dtype, start = np.dtype(_IDX_TYPES[content[2]]), 4 + 4 * content[3]
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    expected = start + int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    if len(content) != expected:
        raise InputError(
            f"{shown} is damaged", where=f"{len(content):,} bytes, but {expected:,} for the shape {shape} that it states", cure=cure
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _of_idx_folder(files: Sequence[Path], shown: str, is_labelled: bool) -> Pictures:
    training = [p for p in files if p.name.casefold().startswith("train")]
    others = [p for p in files if p not in training]
    wanted = (training or others) if is_labelled else (others or training)
    if len(wanted) != 1:
        raise InputError(f"{shown} holds several IDX files of images", where=listed([p.name for p in wanted]), cure="Name one of them.")
    found = _of_idx(wanted[0], printable(wanted[0], _SHOWN_PATH), is_labelled)
    aside = [p.name for p in files if p not in wanted] if is_labelled else []
    said = (f"{listed(aside)} is left aside, so that no test image chooses a model.",) if aside else ()
    return replace(found, shown=shown, warnings=(*found.warnings, *said))


def _of_idx(path: Path, shown: str, is_labelled: bool) -> Pictures:
    images = read_idx(path, shown)
    if images.ndim not in (3, 4):
        raise InputError(
            f"{shown} holds {images.ndim} dimension(s), not images", cure="Name the file of the images, such as train-images-idx3-ubyte."
        )
    array, said = _as_images(images, shown)
    if not is_labelled:
        return Pictures(shown, "idx", pl.Series("label", [None] * len(array), dtype=pl.Int64), array=array, warnings=said)
    beside = _label_file(path)
    if beside is None:
        raise InputError(f"No labels lie beside {shown}", cure=f"Put {_label_name(path.name)} into the same folder.")
    labels = read_idx(beside, printable(beside, _SHOWN_PATH))
    if labels.ndim != 1 or len(labels) != len(array):
        raise InputError(
            f"{printable(beside, _SHOWN_PATH)} has the shape {labels.shape} for {len(array):,} images", cure="Give one label an image."
        )
    return Pictures(shown, "idx", pl.Series("label", labels.astype(np.int64)), array=array, warnings=said)


def _label_name(name: str) -> str:
    return re.sub(r"idx[34]", "idx1", name.replace("images", "labels"))


def _label_file(path: Path) -> Path | None:
    name = _label_name(path.name)
    plain = name.removesuffix(".gz")
    beside = [path.with_name(n) for n in (name, plain, plain + ".gz") if n != path.name]
    return next((p for p in beside if p.is_file()), None)


def _dimensions(path: Path) -> int:
    """Dimensions of the array X of an ``.npz``, from its header; 0 when there is none."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("X.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return len(read(file)[0])
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError, zlib.error):
        return 0


def _of_arrays(path: Path, shown: str, is_labelled: bool) -> Pictures:
    cure = "Write it again: numpy.savez(PATH, X=X, y=y)."
    try:
        with zipfile.ZipFile(path) as archive:
            compressed.refuse_size(sum(i.file_size for i in archive.infolist()), path.stat().st_size, shown)
        with np.load(path, allow_pickle=False) as arrays:
            absent = [n for n in (("X", "y") if is_labelled else ("X",)) if n not in arrays.files]
            if absent:
                raise InputError(
                    f"{shown} has no array {absent[0]}", where=f"it holds {printable(', '.join(arrays.files), 120)}", cure=cure
                )
            images = arrays["X"]
            y = arrays["y"] if is_labelled else None
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, zlib.error) as error:
        raise InputError(f"{shown} is no readable .npz file", where=printable(error, 120), cure=cure) from error
    array, said = _as_images(images, shown)
    if y is None:
        return Pictures(shown, "arrays", pl.Series("y", [None] * len(array), dtype=pl.Int64), array=array, warnings=said)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or len(y) != len(array):
        raise InputError(f"{shown}: X has {len(array):,} images and y has the shape {y.shape}", cure="Give one label an image.")
    return Pictures(shown, "arrays", _labels(array_column("y", y), shown), array=array, warnings=said)


def _labels(y: pl.Series, shown: str) -> pl.Series:
    """`y` as classes: whole floats as integers, NaN as missing."""
    if not y.dtype.is_float():
        return y
    known = y.fill_nan(None)
    if ((known % 1) != 0).any():
        raise InputError(
            f"{shown}: y holds numbers such as {known.filter((known % 1) != 0)[0]}",
            where="y",
            cure="Images are put into classes: give y as labels.",
        )
    return known.cast(pl.Int64)


def _as_images(array: npt.NDArray[Any], shown: str) -> tuple[Pixels, tuple[str, ...]]:
    """``(images, height, width, channels)`` as bytes where they are whole numbers of 0..255, else as floats; and what was assumed.

    Raises: InputError for other shapes and for numbers that are not finite.
    """
    said: tuple[str, ...] = ()
    if array.ndim == 4 and array.shape[3] not in (1, 3) and array.shape[1] in (1, 3):
        array, said = np.moveaxis(array, 1, 3), ("The channels stand first and are put last.",)
    if array.ndim == 4 and array.shape[3] == 4:
        array, said = array[..., :3], (*said, "The fourth channel, taken for transparency, is left out.")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or array.dtype.kind not in "uibf":
        raise InputError(
            f"{shown}: X has the shape {array.shape} of {array.dtype}", cure="Give X as numbers (images, height, width[, channels])."
        )
    if 0 in array.shape:
        raise InputError(f"{shown} holds no images", where=f"X has the shape {array.shape}", cure="Name a file with images.")
    if array.dtype == np.uint8:
        return array, said
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255), said
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).reshape(len(array), -1).any(axis=1).sum())
        raise InputError(f"{shown}: {bad} image(s) hold numbers that are not finite", where="X", cure="Leave them out, or fill them.")
    if array.min() >= 0 and array.max() <= 255 and (array.dtype.kind != "f" or (array == np.floor(array)).all()):
        return array.astype(np.uint8), said
    return array.astype(np.float32), said


# ------------------------------------------------------------------------------------------------ decoding them


def _opened(path: Path) -> Image:
    """The image of a file, with only its header read.

    Raises: BrokenImageError.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path)
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        raise BrokenImageError(printable(path), where=printable(error, 100)) from error


def _is_colour(mode: str) -> bool:
    return mode not in ("1", "L", "LA", "La", "F") and not mode.startswith("I")


def _decoded(path: Path, shape: Shape) -> npt.NDArray[np.uint8]:
    """``(height, width, channels)``: transparency dropped, 16 bits reduced to 8, turned as its camera says, resized.

    Raises: BrokenImageError.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    with _opened(path) as found:
        try:
            if found.format == "JPEG":
                found.draft(found.mode, (2 * shape.width, 2 * shape.height))
            image: Image = ImageOps.exif_transpose(found) if found.format == "JPEG" else found
            if image.mode.startswith("I") or image.mode == "F":
                deep = np.asarray(image, dtype=np.float64)
                deep = deep / 257 if deep.max(initial=0) > 255 else deep
                image = Pillow.fromarray(np.clip(np.rint(deep), 0, 255).astype(np.uint8))
            image = image.convert("L" if shape.channels == 1 else "RGB")
            if image.size != (shape.width, shape.height):
                image = image.resize((shape.width, shape.height), Pillow.Resampling.BILINEAR)
            return np.asarray(image, dtype=np.uint8).reshape(shape.height, shape.width, shape.channels)
        except (OSError, ValueError, SyntaxError, EOFError, zlib.error, Pillow.DecompressionBombError) as error:
            raise BrokenImageError(printable(path), where=printable(error, 100)) from error


def _resized(array: Pixels, shape: Shape) -> Pixels:
    """`array` brought to `shape`: other sides resampled, colour made grey by its mean, grey repeated as colour."""
    if array.shape[3] != shape.channels:
        array = array.mean(axis=3, keepdims=True).astype(array.dtype) if shape.channels == 1 else np.repeat(array, 3, axis=3)
    if array.shape[1:3] == (shape.height, shape.width):
        return array
    from PIL import Image

    out = np.empty((len(array), shape.height, shape.width, shape.channels), dtype=array.dtype)
    for i, image in enumerate(array):
        for c in range(shape.channels):
            plane = Image.fromarray(np.ascontiguousarray(image[..., c]))
            out[i, ..., c] = np.asarray(plane.resize((shape.width, shape.height), Image.Resampling.BILINEAR))
    return out


def decode_images(source: str | Path, dataset: Dataset, path: Path) -> Decoded:
    """The images of `source` in the array file `path`, each decoded once, in the shape that `dataset` states, and their labels.

    Files that cannot be read are left out with a note. What an earlier call left for the same data is used as it is.
    """
    marker, beside = path.with_suffix(".json"), path.with_suffix(".labels.arrow")
    if path.is_file() and beside.is_file() and marker.is_file():
        left = json.loads(marker.read_text(encoding="utf-8"))
        if left["fingerprint"] == dataset.fingerprint:
            return Decoded(path, pl.read_ipc(beside).to_series(), tuple(left["notes"]))
    pictures = open_images(source)
    shape = Shape(dataset.image_height, dataset.image_width, dataset.image_channels)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    whole = pictures.array is None or pictures.array.dtype == np.uint8
    out = np.lib.format.open_memmap(
        unfinished,
        mode="w+",
        dtype=np.uint8 if whole else np.float32,
        shape=(len(pictures), shape.height, shape.width, shape.channels),
    )
    kept: list[int] = []
    broken: list[str] = []
    for start, part in _parts(pictures, shape):
        for offset, image in enumerate(part):
            if isinstance(image, BrokenImageError):
                broken.append(pictures.files[start + offset].name)
                continue
            out[len(kept)] = image
            kept.append(start + offset)
    out.flush()
    del out
    unfinished.replace(path)
    labels = pictures.labels.gather(kept)
    notes = (f"{len(broken)} file(s) cannot be read as images and are left out: {listed(broken, 3)}.",) if broken else ()
    labels.to_frame().write_ipc(beside)
    marker.write_text(json.dumps({"fingerprint": dataset.fingerprint, "notes": notes}), encoding="utf-8")
    return Decoded(path, labels, notes)


def _parts(pictures: Pictures, shape: Shape) -> Iterator[tuple[int, Sequence[Any]]]:
    """Images in the shape, or what is wrong with them, a part at a time, with the number of the first."""
    size = 1024
    for start in range(0, len(pictures), size):
        if pictures.array is not None:
            yield start, list(_resized(pictures.array[start : start + size], shape))
        else:
            yield start, [_or_broken(file, shape) for file in pictures.files[start : start + size]]


def _or_broken(file: Path, shape: Shape) -> npt.NDArray[np.uint8] | BrokenImageError:
    try:
        return _decoded(file, shape)
    except BrokenImageError as error:
        return error


def read_images(source: str | Path, *, height: int, width: int, channels: int, is_whole: bool) -> tuple[Pixels, tuple[str, ...]]:
    """Images to predict ``(images, height, width, channels)``, brought to what a model learned from, and the name of each file
    (none for an array).

    Raises: InputError when a file cannot be read: a prediction would be missing.
    """
    pictures, shape = open_images(source, is_labelled=False), Shape(height, width, channels)
    compressed.refuse_size(len(pictures) * height * width * channels, len(pictures) * height * width * channels, pictures.shown)
    parts = []
    for start, part in _parts(pictures, shape):
        for offset, image in enumerate(part):
            if isinstance(image, BrokenImageError):
                raise InputError(
                    f"{printable(pictures.files[start + offset], _SHOWN_PATH)} cannot be read as an image",
                    where=image.where,
                    cure="Remove it, or write it again.",
                )
        parts.append(np.asarray(part))
    array = np.concatenate(parts)
    if is_whole and array.dtype != np.uint8:
        raise InputError(
            f"{pictures.shown} holds fractions, the model learned from whole numbers of 0..255",
            where="X",
            cure="Give the pixels as they were.",
        )
    root = Path(source).expanduser()
    names = tuple(file.relative_to(root).as_posix() for file in pictures.files)
    return array if is_whole else array.astype(np.float32), names


# ------------------------------------------------------------------------------------------------ describing them


def profile_images(
    source: str | Path,
    *,
    target: str | None = None,
    task: Task | None = None,
    group: str | None = None,
    time: str | None = None,
    drop: Sequence[str] = (),
    weights: str | None = None,
) -> Dataset:
    """Every fact about the images that `source` names.

    Raises: InputError when they cannot be read, a column is named that images do not have, or there is one class only.
    """
    pictures = open_images(source)
    for flag, name in (("--group", group), ("--time", time), ("--weights", weights), *(("--drop", d) for d in drop)):
        if name is not None:
            raise InputError(f"Images have no column {printable(name)!r}", where=flag, cure=f"Leave {flag} out.")
    named = pictures.labels.name
    if target is not None and target != named:
        raise InputError(f"Images have no column {printable(target)!r}", where="--target", cure=nearest(printable(target), [named]))
    if task is Task.REGRESSION:
        raise InputError("Images are put into classes, not given numbers", where="--task regression", cure="Leave --task out.")
    seen = _look(pictures)
    labels = seen.labels.drop_nulls()
    counts = labels.value_counts()["count"] if len(labels) else pl.Series([], dtype=pl.Int64)
    if len(counts) < 2:
        what = f"All images are of one class, {printable(labels[0], 30)!r}" if len(counts) else "No image has a class"
        raise InputError(f"{pictures.shown}: {what}", where=f"{len(labels)} image(s)", cure="Bring images of at least two classes.")
    if len(counts) > max(2, 0.5 * len(labels)):
        raise InputError(
            f"{pictures.shown} has {len(counts)} classes for {len(labels)} images", where=named, cure="Bring several images of each class."
        )
    found = Task.BINARY if len(counts) == 2 else Task.MULTICLASS
    if task is Task.BINARY and found is not task:
        raise InputError(f"The images have {len(counts)} classes, not two", where="--task binary", cure="Leave --task out.")
    shape, pixels = seen.shape, seen.shape.height * seen.shape.width * seen.shape.channels
    rarest = int(counts.min())  # type: ignore[arg-type]
    said = [*pictures.warnings, *seen.warnings]
    if isinstance(seen.duplicate_ratio, float) and seen.duplicate_ratio > 0:
        said.append(f"{seen.duplicate_ratio:.1%} of the images repeat an earlier one to the pixel: scores may be too good.")
    if rarest < 10:
        said.append(f"The rarest class has {rarest} image(s).")
    return Dataset(
        source=pictures.shown,
        fingerprint=seen.fingerprint,
        rows=len(labels),
        columns=(Column(name="image", kind=ColumnKind.IMAGE, distinct=seen.distinct),),
        bytes=len(labels) * pixels * seen.bytes_each,
        target=named,
        target_confidence=1.0,
        task=task or found,
        classes=len(counts),
        rarest_class_rows=rarest,
        minority_ratio=rarest / len(labels),
        feature_columns=pixels,
        numeric_columns=pixels,
        category_columns=0,
        width=pixels,
        effective_dimensions=seen.effective_dimensions,
        missing_ratio=0.0,
        duplicate_ratio=seen.duplicate_ratio,
        is_sorted_by_target=is_in_order(labels),
        image_side=max(1, round((shape.height * shape.width) ** 0.5)),
        image_height=shape.height,
        image_width=shape.width,
        image_channels=shape.channels,
        image_source=pictures.source,
        warnings=tuple(said),
    )


@dataclass(frozen=True)
class _Seen:
    """What looking at the images themselves told."""

    labels: pl.Series
    """Labels of those that can be read."""
    shape: Shape
    fingerprint: str
    bytes_each: int
    """Bytes a pixel."""
    distinct: int | Unknown
    duplicate_ratio: float | Unknown
    effective_dimensions: int | Unknown
    warnings: tuple[str, ...]


def _look(pictures: Pictures) -> _Seen:
    return _look_at_files(pictures) if pictures.array is None else _look_at_array(pictures, pictures.array)


def _look_at_array(pictures: Pictures, array: Pixels) -> _Seen:
    shape, said = _shrunk(array.shape[1], array.shape[2], array.shape[3])
    known = pictures.labels.is_not_null()
    missing = len(pictures.labels) - int(known.sum())
    warnings_ = [*said, *([f"{missing} image(s) have no label and are left out."] if missing else [])]
    digest = hashlib.sha256(f"{array.shape}{array.dtype}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(json.dumps(pictures.labels.to_list(), default=str).encode())
    repeats = len(array) - len({hash(image.tobytes()) for image in array})
    step = max(1, len(array) // DECOMPOSED_IMAGES)
    return _Seen(
        pictures.labels,
        shape,
        digest.hexdigest()[:32],
        array.dtype.itemsize,
        len(array) - repeats,
        repeats / len(array),
        _dimensions_of(_resized(array[::step], shape)),
        tuple(warnings_),
    )


def _look_at_files(pictures: Pictures) -> _Seen:
    sizes: Counter[tuple[int, int]] = Counter()
    stored = colour = 0
    readable: list[int] = []
    broken: list[str] = []
    digest = hashlib.sha256()
    for number, file in enumerate(pictures.files):
        try:
            with _opened(file) as image:
                sizes[image.size] += 1
                stored += image.size[0] * image.size[1]
                colour += _is_colour(image.mode) and not _is_grey_palette(image)
            readable.append(number)
        except BrokenImageError:
            broken.append(file.name)
    if not readable:
        raise InputError(
            f"None of the {len(pictures.files)} images of {pictures.shown} can be read", cure="Write them again as PNG or JPEG."
        )
    (width, height), said = _common_size(sizes)
    shape, shrunk = _shrunk(height, width, 3 if colour else 1)
    said += shrunk
    if 0 < colour < len(readable):
        said.append(f"{len(readable) - colour} of {len(readable)} images are grey and are read as colour.")
    most = min(DECODED_IMAGES, max(1, int(DECODED_PIXELS / (stored / len(readable)))))
    step = -(-len(readable) // most)
    hashes: set[bytes] = set()
    sample: list[npt.NDArray[np.uint8]] = []
    kept, decoded, spread = set(readable), 0, max(1, len(readable) // step // DECOMPOSED_IMAGES)
    for number in readable[::step]:
        try:
            image_pixels = _decoded(pictures.files[number], shape)
        except BrokenImageError:
            broken.append(pictures.files[number].name)
            kept.discard(number)
            continue
        hashes.add(hashlib.sha256(image_pixels.tobytes()).digest())
        if decoded % spread == 0 and image_pixels.size <= 1500:
            sample.append(image_pixels)
        decoded += 1
        digest.update(hashlib.sha256(image_pixels.tobytes()).digest())
    if not decoded:
        raise InputError(
            f"None of the {len(pictures.files)} images of {pictures.shown} can be read", cure="Write them again as PNG or JPEG."
        )
    if broken:
        said.append(f"{len(broken)} file(s) cannot be read as images and are left out: {listed(broken, 3)}.")
    for label, file in zip(pictures.labels, pictures.files, strict=True):
        digest.update(f"{label}\x00{file.name}\x00{file.stat().st_size}\x00".encode("utf-8", "surrogatepass"))
    repeats = decoded - len(hashes)
    return _Seen(
        pictures.labels.gather(sorted(kept)),
        shape,
        digest.hexdigest()[:32],
        1,
        len(hashes) if step == 1 else Unknown(reason="only a part of the images was decoded"),
        repeats / decoded,
        _dimensions_of(np.stack(sample)) if sample else _too_wide(shape),
        tuple(said),
    )


def _is_grey_palette(image: Image) -> bool:
    """True for a picture with a palette of greys, as some programs save black and white."""
    if image.mode != "P" or (palette := image.getpalette()) is None:
        return False
    return palette[0::3] == palette[1::3] == palette[2::3]


def _common_size(sizes: Counter[tuple[int, int]]) -> tuple[tuple[int, int], list[str]]:
    """Width and height that the images are brought to: that of most of them, else their medians; and what that means."""
    common, count = max(sizes.items(), key=lambda item: (item[1], item[0]))
    if len(sizes) == 1:
        return common, []
    total = sum(sizes.values())
    if count < 0.5 * total:
        widths, heights = zip(*sizes.elements(), strict=True)
        common = (int(median(widths)), int(median(heights)))
    resized = f"{total - sizes[common]} of {total} are resized to {common[1]} × {common[0]}"
    return common, [f"The images have {len(sizes)} sizes; {resized}, which may distort them."]


def _shrunk(height: int, width: int, channels: int) -> tuple[Shape, list[str]]:
    longest = max(height, width)
    if longest <= MOST_SIDE:
        return Shape(height, width, channels), []
    shape = Shape(max(1, round(height * MOST_SIDE / longest)), max(1, round(width * MOST_SIDE / longest)), channels)
    return shape, [f"The images are shrunk from {height} × {width} to {shape} pixels."]


def _dimensions_of(images: Pixels) -> int | Unknown:
    flat = images.reshape(len(images), -1).astype(np.float64)
    if flat.shape[1] > 1500:
        return effective_dimensions(flat)
    spread = flat.std(axis=0)
    lively = spread > 1e-12
    return effective_dimensions((flat[:, lively] - flat[:, lively].mean(axis=0)) / spread[lively])


def _too_wide(shape: Shape) -> Unknown:
    count = shape.height * shape.width * shape.channels
    return Unknown(reason=f"{count} numeric columns are too many to decompose quickly", cure="Nothing: the rules do without it.")
