"""Tables from JSON Lines, from NumPy arrays and from pandas frames."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from advisor.core.errors import InputError
from advisor.profiling.compressed import refuse_size
from advisor.profiling.printing import printable

DEEPEST = 64
"""Objects nested deeper than this are no table."""
MOST_FEATURES = 100_000
"""Arrays wider than this are no table."""


def read(content: bytes, shown: str) -> pl.DataFrame:
    """One row an object: JSON Lines, or one JSON array of objects. Values that are objects or arrays themselves become text.

    Raises: InputError naming the line that is no object.
    """
    if b"\x00" in content[:65536]:
        raise InputError(f"{shown} holds NUL bytes", where=f"byte {content.index(0)}", cure="Export it as UTF-8 text.")
    text = content.removeprefix(b"\xef\xbb\xbf").strip()
    if not text:
        raise InputError(f"{shown} is empty", cure="Name a file with one JSON object a line.")
    _refuse_depth(text, shown)
    try:
        if text.startswith(b"["):
            return pl.read_json(io.BytesIO(text), infer_schema_length=None)
        return pl.read_ndjson(io.BytesIO(text + b"\n"), infer_schema_length=None)
    except pl.exceptions.PolarsError:
        return _read_slowly(text, shown)


def _refuse_depth(text: bytes, shown: str) -> None:
    symbols = np.frombuffer(text, dtype=np.uint8)
    steps = np.isin(symbols, (0x7B, 0x5B)).astype(np.int32) - np.isin(symbols, (0x7D, 0x5D))
    depth = np.cumsum(steps)
    if depth.size and depth.max() > DEEPEST:
        starts = np.concatenate(([0], np.flatnonzero(symbols == 0x0A) + 1))
        starts = starts[starts < len(symbols)]
        within = np.maximum.reduceat(depth, starts) - np.where(starts > 0, depth[starts - 1], 0)
        if within.max() > DEEPEST:
            line = int(np.argmax(within)) + 1
            raise InputError(
                f"{shown} is nested {int(within.max())} levels deep", where=f"line {line}", cure="Write flat objects: one value a name."
            )


def _read_slowly(text: bytes, shown: str) -> pl.DataFrame:
    """The table by the standard library, which takes mixed types and names the line that is wrong."""
    rows: list[dict[str, Any]] = []
    where = "line 1"
    try:
        if text.startswith(b"["):
            rows = json.loads(text, parse_int=_whole)
        else:
            for number, line in enumerate(text.split(b"\n"), start=1):
                where = f"line {number}"
                if line.strip():
                    rows.append(json.loads(line, parse_int=_whole))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{shown} is no JSON Lines", where=f"{where}: {printable(error, 100)}", cure="Write one JSON object a line."
        ) from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{shown} holds something else than an object", where=f"row {number}", cure="Write one JSON object a line.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pl.DataFrame([_column(name, [row.get(name) for row in rows]) for name in names])


def _whole(digits: str) -> int | float:
    if len(digits) <= 18:
        return int(digits)
    return float(digits) if len(digits) < 300 else float("inf")


def _column(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= {bool, str}):
        return pl.Series(name, values, strict=False, dtype=pl.Float64 if float in kinds else None)
    return pl.Series(name, [None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values], dtype=pl.String)


def read_arrays(path: Path, shown: str) -> pl.DataFrame:
    """The arrays X and y of an ``.npz`` file as columns ``x0`` … and ``y``. Pickled arrays are never loaded.

    Raises: InputError when an array is absent, has another shape, or holds Python objects.
    """
    cure = "Write it again: numpy.savez(PATH, X=X, y=y)."
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(i.file_size for i in archive.infolist())
        refuse_size(unpacked, path.stat().st_size, shown)
        with np.load(path, allow_pickle=False) as arrays:
            absent = [n for n in ("X", "y") if n not in arrays.files]
            if absent:
                raise InputError(
                    f"{shown} has no array {absent[0]}", where=f"it holds {printable(', '.join(arrays.files), 120)}", cure=cure
                )
            return of_arrays(arrays["X"], arrays["y"], shown=shown)
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError) as error:
        raise InputError(f"{shown} is no readable .npz file", where=printable(error, 120), cure=cure) from error


def of_arrays(features: Any, target: Any, *, shown: str) -> pl.DataFrame:
    """Columns ``x0`` …, or the frame's own names where `features` is one, then ``y``, or the name of the series `target`.

    Raises: InputError for shapes that do not fit.
    """
    name = str(getattr(target, "name", None) or "y")
    labels = _flat(np.asarray(target), shown)
    if isinstance(features, pl.DataFrame):
        frame = features
    elif hasattr(features, "columns"):
        frame = of_pandas(features)
    else:
        matrix = np.asarray(features.todense() if hasattr(features, "todense") else features)
        if matrix.ndim == 1:
            matrix = matrix.reshape(-1, 1)
        if matrix.ndim > 2:
            matrix = matrix.reshape(len(matrix), -1)
        if matrix.ndim != 2 or matrix.shape[1] > MOST_FEATURES:
            raise InputError(f"{shown}: X has the shape {matrix.shape}", cure="Give X as (rows, features).")
        frame = pl.DataFrame([array_column(f"x{i}", matrix[:, i]) for i in range(matrix.shape[1])])
    if frame.height != len(labels):
        raise InputError(f"{shown}: X has {frame.height} rows and y has {len(labels)}", cure="Give one target a row.")
    if name in frame.columns:
        name = "y" if "y" not in frame.columns else "target"
    return frame.with_columns(array_column(name, labels))


def of_pandas(frame: Any) -> pl.DataFrame:
    """The same table in polars, read column by column, so that neither pandas nor pyarrow need be imported here."""
    names = [str(c) for c in frame.columns]
    repeated = [n for n in names if names.count(n) > 1]
    if repeated:
        raise InputError(f"Column {printable(repeated[0])!r} appears twice", where="the frame", cure="Give every column its own name.")
    return pl.DataFrame([array_column(n, np.asarray(frame.iloc[:, i])) for i, n in enumerate(names)])


def _flat(target: Any, shown: str) -> Any:
    if target.ndim == 2 and target.shape[1] == 1:
        return target[:, 0]
    if target.ndim != 1:
        raise InputError(f"{shown}: y has the shape {target.shape}", cure="Give y as one number or label a row.")
    return target


def array_column(name: str, values: Any) -> pl.Series:
    """An array of one dimension as a column of the plain types."""
    if values.dtype.kind == "O":
        return _column(name, [None if v is None or v != v else v.item() if isinstance(v, np.generic) else v for v in values.tolist()])
    if values.dtype.kind == "S":
        values = values.astype("U")
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    return pl.Series(name, np.ascontiguousarray(values))
