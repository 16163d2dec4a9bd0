"""A table from whatever the user named: a file, a data set that ships with scikit-learn, a SQL query, or a table in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from advisor.core.errors import InputError, nearest
from advisor.profiling import compressed, database, delimited, lines, shipped
from advisor.profiling.printing import printable, without_secrets

LARGE_BYTES = 64 * 1024 * 1024
"""A delimited file above this size is profiled from a spread sample and one streaming pass, not from all its rows in memory."""
_SHOWN_PATH = 400

_TEXT_ENDINGS = {".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".psv", ""}
_LINE_ENDINGS = {".jsonl", ".ndjson", ".json"}
_PARQUET_ENDINGS = {".parquet", ".pq"}
_ARROW_ENDINGS = {".feather", ".arrow", ".ipc", ".ftr"}
_FOREIGN = {
    b"\x89HDF": ("an HDF5 file", "Export the table as CSV or Parquet."),
    b"SQLite format 3": ("a SQLite database", "Name it as sqlite:///PATH together with --query."),
    b"%PDF": ("a PDF document", "Name a table: CSV, JSON Lines, Parquet, Feather or .npz."),
    b"\x89PNG": ("a picture", "Name a table: CSV, JSON Lines, Parquet, Feather or .npz."),
    b"\xff\xd8\xff": ("a picture", "Name a table: CSV, JSON Lines, Parquet, Feather or .npz."),
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", "Unpack it, or export the sheet as CSV."),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "Export the sheet as CSV."),
    b"\x80\x04\x95": ("a pickle, which could run code and is never opened", "Export the table as CSV or Parquet."),
    b"\x80\x05\x95": ("a pickle, which could run code and is never opened", "Export the table as CSV or Parquet."),
    b"\x93NUMPY": ("a single NumPy array", "Save features and target together: numpy.savez(PATH, X=X, y=y)."),
    b"<!DOC": ("a web page", "Download the file itself, not the page that shows it."),
    b"<html": ("a web page", "Download the file itself, not the page that shows it."),
    b"@relation": ("an ARFF file", "Export the table as CSV."),
    b"BZh": ("a bzip2 archive", "Unpack it first, or compress with gzip or zstd."),
    b"\xfd7zXZ": ("an xz archive", "Unpack it first, or compress with gzip or zstd."),
    b"7z\xbc\xaf": ("a 7-Zip archive", "Unpack it first."),
}


@dataclass(frozen=True)
class Table:
    """A table as it was found, before any column was interpreted."""

    shown: str
    """What the user named, without secrets."""
    frame: pl.DataFrame
    """The rows; strings stripped, empty ones null, every other spelling as written."""
    fingerprint: str
    """Hash of the content."""
    warnings: tuple[str, ...] = ()
    """What had to be assumed while reading."""
    target: str | None = None
    """The target, where the source itself names it."""


def read_table(source: Any, *, query: str | None = None) -> pl.DataFrame:
    """The table that `source` names, whole: strings stripped, empty strings null, other spellings of a missing value as written.

    `source` is a path (CSV, TSV, JSON Lines, Parquet, Feather, ``.npz`` with X and y, the text ones also as ``.gz`` and ``.zst``),
    ``sklearn:NAME``, a SQL URL with `query`, a polars or pandas frame, or a pair ``(X, y)``. Columns of a delimited file are all
    strings; `profiling.columns.cast` types them.

    Raises: InputError, saying what is wrong, where, and the cure.
    """
    return open_table(source, query=query).frame


def open_table(source: Any, *, query: str | None = None) -> Table:
    """The table with its fingerprint and what had to be assumed. Raises as `read_table` does."""
    if not isinstance(source, str | Path):
        return _in_memory(source)
    named = str(source)
    if not named.strip():
        raise InputError("No table was named", cure="Name a file, sklearn:NAME, or a SQL URL with --query.")
    if named.startswith("sklearn:"):
        frame = shipped.read(named.removeprefix("sklearn:"))
        return Table(
            shown=printable(named, _SHOWN_PATH),
            frame=frame,
            fingerprint=fingerprint_of(frame),
            target="target" if "target" in frame.columns else None,
        )
    if "://" in named:
        shown = printable(without_secrets(named), _SHOWN_PATH)
        frame = _checked(_tidied(database.read(named, query)), shown)
        return Table(shown=shown, frame=frame, fingerprint=fingerprint_of(frame))
    return _from_file(Path(named))


def regular_file(path: Path) -> Path:
    """`path` with ``~`` expanded, a readable regular file.

    Raises: InputError for anything else, naming the nearest file beside it.
    """
    shown = printable(path, _SHOWN_PATH)
    try:
        expanded = path.expanduser()
        if expanded.is_dir():
            raise InputError(f"{shown} is a folder, not a table", cure="Name a file inside it, such as a CSV.")
        if not expanded.exists():
            siblings = (
                [printable(p.name) for p in sorted(expanded.parent.iterdir())[:500] if p.is_file()] if expanded.parent.is_dir() else []
            )
            hint = nearest(expanded.name, siblings)
            raise InputError(f"There is no file {shown}", cure=hint if hint.startswith("Did") else "Check the path.")
        if not expanded.is_file():
            raise InputError(f"{shown} is no regular file", cure="Save its content to a file and name that.")
        with expanded.open("rb"):
            pass
    except PermissionError as error:
        raise InputError(f"{shown} may not be read", cure="Give this user permission to read it: chmod +r.") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{shown} cannot be opened", where=printable(error, 200), cure="Check the path.") from error
    return expanded


def fingerprint_of(frame: pl.DataFrame) -> str:
    """A hash of names, types and values that is the same in every process; empty frames included."""
    digest = hashlib.sha256()
    for name, dtype in frame.schema.items():
        digest.update(f"{name}\x00{dtype}\x00".encode("utf-8", "surrogatepass"))
    if frame.height:
        hashes = frame.hash_rows(seed=1)
        digest.update(hashes.to_numpy().tobytes())
    return digest.hexdigest()[:32]


def fingerprint_of_file(path: Path) -> str:
    """A hash of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def file_kind(path: Path) -> str:
    """``delimited``, ``lines``, ``parquet``, ``arrow`` or ``npz``, by the first bytes and the ending without ``.gz`` or ``.zst``."""
    with path.open("rb") as file:
        head = file.read(16)
    ending = path.suffix.lower()
    if ending in compressed.ENDINGS:
        ending = path.with_suffix("").suffix.lower()
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "arrow"
    if ending == ".npz":
        return "npz"
    if ending in _LINE_ENDINGS:
        return "lines"
    for magic, (what, cure) in _FOREIGN.items():
        if head.lower().startswith(magic) or head.startswith(magic):
            raise InputError(f"{printable(path, _SHOWN_PATH)} is {what}", cure=cure)
    if ending in _PARQUET_ENDINGS | _ARROW_ENDINGS:
        raise InputError(
            f"{printable(path, _SHOWN_PATH)} is not what its ending says",
            where="its first bytes are not those of a Parquet or Arrow file",
            cure="Write the file again, or correct its ending.",
        )
    return "delimited"


def _from_file(path: Path) -> Table:
    expanded = regular_file(path)
    shown = printable(path, _SHOWN_PATH)
    if expanded.stat().st_size == 0:
        raise InputError(f"{shown} is empty", cure="Name a file with a header and rows.")
    kind = file_kind(expanded)
    try:
        match kind:
            case "parquet":
                return _of_frame(pl.read_parquet(expanded, glob=False), shown)
            case "arrow":
                return _of_frame(pl.read_ipc(expanded), shown)
            case "npz":
                return _of_frame(lines.read_arrays(expanded, shown), shown, target="y")
            case "lines":
                content = compressed.content(expanded, shown)
                return _of_frame(lines.read(content, shown), shown)
            case _:
                content = compressed.content(expanded, shown)
                frame, warnings = delimited.read(content, shown)
                digest = hashlib.sha256(content).hexdigest()[:32]
                return Table(shown=shown, frame=_checked(frame, shown), fingerprint=digest, warnings=warnings)
    except (pl.exceptions.PolarsError, OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"{shown} cannot be read as a table", where=_first_line(error), cure="Write the file again, or export it as CSV."
        ) from error
    except pl.exceptions.PanicException as error:
        raise InputError(
            f"{shown} cannot be read as a table", where="the file is damaged", cure="Write the file again, or export it as CSV."
        ) from error


def _of_frame(frame: pl.DataFrame, shown: str, target: str | None = None) -> Table:
    tidy = _checked(_tidied(frame), shown)
    return Table(shown=shown, frame=tidy, fingerprint=fingerprint_of(tidy), target=target)


def _in_memory(source: Any) -> Table:
    shown = "a table in memory"
    target = None
    if isinstance(source, pl.LazyFrame):
        frame = source.collect()
    elif isinstance(source, pl.DataFrame):
        frame = source
    elif isinstance(source, tuple) and len(source) == 2:
        frame, target = lines.of_arrays(*source, shown=shown), "y"
    elif hasattr(source, "columns") and hasattr(source, "__getitem__") and hasattr(source, "dtypes"):
        frame = lines.of_pandas(source)
    else:
        raise InputError(f"A {type(source).__name__} is no table", cure="Pass a path, a polars or pandas frame, or a pair (X, y).")
    return _of_frame(frame, shown, target)


def _tidied(frame: pl.DataFrame) -> pl.DataFrame:
    """Strings stripped, empty ones null; categories, decimals and nested values brought to the plain types."""
    changes: list[pl.Expr] = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if dtype == pl.String:
            changes.append(_strip(column))
        elif isinstance(dtype, pl.Categorical | pl.Enum):
            changes.append(_strip(column.cast(pl.String)))
        elif dtype == pl.Binary:
            changes.append(column.bin.size().cast(pl.Float64))
        elif dtype.is_decimal() or dtype == pl.Null:
            changes.append(column.cast(pl.Float64))
        elif dtype == pl.Duration:
            changes.append(column.dt.total_microseconds().cast(pl.Float64) / 1e6)
        elif dtype == pl.Time:
            changes.append(column.cast(pl.Int64).cast(pl.Float64) / 1e9)
    tidy = frame.with_columns(changes)
    nested = [n for n, d in tidy.schema.items() if d.is_nested() or d == pl.Object]
    if nested:
        written = [
            pl.Series(n, [None if v is None else str(v.to_list() if isinstance(v, pl.Series) else v) for v in tidy[n]]) for n in nested
        ]
        tidy = tidy.with_columns(written)
    return tidy


def _strip(column: pl.Expr) -> pl.Expr:
    kept = column.str.strip_chars()
    return pl.when(kept != "").then(kept).name.keep()


def _checked(frame: pl.DataFrame, shown: str) -> pl.DataFrame:
    if frame.width == 0:
        raise InputError(f"{shown} has no columns", cure="Name a table with a header and rows.")
    if frame.height == 0:
        raise InputError(f"{shown} has a header and no rows", cure="Name a table with rows.")
    return frame


def _first_line(error: Exception) -> str:
    return printable(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__, 160)
