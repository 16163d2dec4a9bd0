"""A large delimited file: described from a spread sample and one streaming pass, never held in memory whole."""

from __future__ import annotations

import codecs
import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from advisor.core.errors import InputError
from advisor.core.facts import Column, ColumnKind, Unknown
from advisor.profiling import delimited
from advisor.profiling.columns import describe
from advisor.profiling.printing import printable
from advisor.profiling.reading import LARGE_BYTES, Table, file_kind, regular_file
from advisor.profiling.structure import NUMBER_KINDS

SAMPLED_ROWS = 50_000
SAMPLED_PLACES = 250
"""The sample is this many stretches of neighbouring rows, evenly spread over the file."""
PIECE_BYTES = 16 * 1024 * 1024
"""The file is parsed in pieces of this size.

Tried on two cores against polars' own streaming engine: counting nulls of every column there took 1.5 times as long as collecting them,
pieces parsed one by one 1.4 times with the hash of the content included, in a fifth of the memory.
"""
COUNTED_VALUES = 100_000
"""Distinct values of a category are counted exactly up to here."""
_SHOWN_PATH = 400
_USUAL_NULLS = ("", "?", "NA", "N/A", "na", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "-", "NAN", "Null")


@dataclass(frozen=True)
class Scan:
    """What the pass over the whole file gave, beside the sample."""

    table: Table
    """The sample, with the fingerprint of the whole."""
    columns: tuple[Column, ...]
    """Kinds from the sample; missing shares and distinct values from the whole."""
    rows: int
    """Rows of the whole."""
    bytes: int
    """Of the whole as strings of the file."""


def is_large(source: str | Path) -> bool:
    """True for an existing, uncompressed, delimited file above 64 MiB in UTF-8."""
    named = str(source)
    if named.startswith("sklearn:") or "://" in named:
        return False
    path = Path(named).expanduser()
    try:
        if not path.is_file() or path.stat().st_size <= LARGE_BYTES:
            return False
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    wide = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    is_packed = head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))
    return not is_packed and not head.startswith(wide) and b"\x00" not in head and file_kind(path) == "delimited"


def scan_file(path: Path) -> Scan:
    """Kinds from a spread sample, then one pass over the file: rows, missing shares, distinct values of labels, and a hash.

    Raises: InputError naming the line that cannot be read.
    """
    file_path = regular_file(path)
    shown = printable(path, _SHOWN_PATH)
    size = file_path.stat().st_size
    with file_path.open("rb") as file:
        head = file.read(delimited.SNIFFED_BYTES)
    text, encoding = delimited.as_utf8(delimited.whole_lines(head), shown)
    layout, _ = delimited.sniff(text, shown, encoding=encoding)
    start = delimited.line_start(head, layout.skipped_lines + layout.has_header)
    written = _sample(file_path, layout, start, size, shown)
    frame = delimited.with_decimal_points(delimited.tidy(written), layout)
    columns = tuple(describe(n, frame[n]) for n in frame.columns)
    has_comma = not frame.equals(delimited.tidy(written))
    tally = _Tally(names=layout.names, plain=_plain_numbers(written, columns, has_comma=has_comma), labels=_open_labels(frame, columns))
    fingerprint = _pass(file_path, layout, start, shown, tally, has_comma=has_comma)
    exact = tuple(_exact(c, tally, frame) for c in columns)
    warnings = (*layout.warnings, f"Kinds, target and suspicions come from {frame.height:,} of {tally.rows:,} rows, spread over the file.")
    return Scan(
        table=Table(shown=shown, frame=frame, fingerprint=fingerprint, warnings=warnings), columns=exact, rows=tally.rows, bytes=size
    )


@dataclass
class _Tally:
    """Counts that grow from piece to piece."""

    names: tuple[str, ...]
    plain: frozenset[str]
    """Columns that are parsed as numbers, so that every other spelling counts as missing."""
    labels: tuple[str, ...]
    """Columns whose distinct values are counted."""
    rows: int = 0

    def __post_init__(self) -> None:
        self.missing = dict.fromkeys(self.names, 0)
        self.seen: dict[str, pl.Series | None] = {}

    def add(self, piece: pl.DataFrame) -> None:
        """Counts the rows of `piece`."""
        self.rows += piece.height
        for name, nulls in piece.null_count().row(0, named=True).items():
            self.missing[name] += nulls
        # Fifteen spellings given to the parser made it 1.7 times slower; asking afterwards, and of texts only, costs next to nothing.
        written = [n for n in self.names if n not in self.plain]
        others = piece.select(pl.col(written).is_in(_USUAL_NULLS).sum(), pl.col(sorted(self.plain)).is_nan().sum())
        for name, blanks in others.row(0, named=True).items():
            self.missing[name] += blanks
        for name in self.labels:
            known = self.seen.get(name, pl.Series(name, [], dtype=pl.String))
            if known is not None:
                union = pl.concat([known, piece[name].drop_nulls().unique()]).unique()
                self.seen[name] = union if len(union) <= COUNTED_VALUES else None


def _sample(path: Path, layout: delimited.Layout, start: int, size: int, shown: str) -> pl.DataFrame:
    """Stretches of whole rows from all over the file, in order, as written.

    Where cells hold line breaks a stretch could begin inside one, so that then the beginning of the file stands for the whole.
    """
    with path.open("rb") as file:
        file.seek(start)
        first = file.read(256 * 1024)
        average = max(1.0, len(first) / max(first.count(b"\n"), 1))
        stretch = int(average * (SAMPLED_ROWS / SAMPLED_PLACES)) + 1
        if layout.has_line_breaks_in_cells:
            file.seek(start)
            pieces = [delimited.whole_lines(file.read(min(stretch * SAMPLED_PLACES, PIECE_BYTES)))]
        else:
            pieces = []
            for place in range(SAMPLED_PLACES):
                at = start + (size - start) * place // SAMPLED_PLACES
                file.seek(max(start, at - 1))
                if at > start:
                    file.readline()
                pieces.append(delimited.whole_lines(file.read(stretch)))
    text, _ = delimited.as_utf8(b"".join(pieces), shown)
    if layout.is_in_blanks:
        text = delimited.respaced(text)
    body = replace(layout, has_header=False, skipped_lines=0)
    delimited.check_rows(text, body, f"{shown} (in a sample of its rows)")
    return delimited.parse(text, body, shown)


def _pass(path: Path, layout: delimited.Layout, start: int, shown: str, tally: _Tally, *, has_comma: bool) -> str:
    """Fills `tally` from the whole file; its SHA-256. Hashing runs beside parsing, both outside Python's lock."""
    digest = hashlib.sha256()
    rest = b""
    with path.open("rb") as file, ThreadPoolExecutor(1) as beside:
        digest.update(file.read(start))
        while read := file.read(PIECE_BYTES):
            hashed = beside.submit(digest.update, read)
            piece, rest = _cut(rest + read, layout)
            if piece:
                tally.add(_parsed(piece, layout, shown, tally, has_comma=has_comma))
            hashed.result()
        if rest.strip():
            tally.add(_parsed(rest, layout, shown, tally, has_comma=has_comma))
    return digest.hexdigest()[:32]


def _cut(text: bytes, layout: delimited.Layout) -> tuple[bytes, bytes]:
    """`text` up to the last line break outside quotation marks, and what follows it."""
    end = text.rfind(b"\n") + 1
    if layout.is_quoted and b'"' in text:
        while end and text.count(b'"', 0, end) % 2:
            end = text.rfind(b"\n", 0, end - 1) + 1
    if not end and len(text) > delimited.FIELD_LIMIT:
        return text, b""
    return text[:end], text[end:]


def _parsed(piece: bytes, layout: delimited.Layout, shown: str, tally: _Tally, *, has_comma: bool) -> pl.DataFrame:
    text = delimited.respaced(piece) if layout.is_in_blanks else piece
    try:
        return _typed_piece(text, layout, tally, has_comma=has_comma)
    except pl.exceptions.PolarsError:
        # Slowly again: other encodings are brought to UTF-8, and a ragged row is found with its line.
        text, _ = delimited.as_utf8(text, shown)
        before = tally.rows + layout.skipped_lines + layout.has_header
        delimited.check_rows(text, replace(layout, has_header=False, skipped_lines=0), shown, before=before)
    try:
        return _typed_piece(text, layout, tally, has_comma=has_comma)
    except pl.exceptions.PolarsError as error:
        first = printable(str(error).splitlines()[0], 160)
        raise InputError(
            f"{shown} cannot be read as a table", where=f"after row {tally.rows:,}: {first}", cure="Write quotation marks in pairs."
        ) from error


def _typed_piece(text: bytes, layout: delimited.Layout, tally: _Tally, *, has_comma: bool) -> pl.DataFrame:
    if b"\x00" in text:
        raise InputError("The file holds NUL bytes", where=f"after row {tally.rows:,}", cure="Export it again as UTF-8 text.")
    return pl.read_csv(
        io.BytesIO(text),
        has_header=False,
        separator=layout.separator,
        quote_char='"' if layout.is_quoted else None,
        schema={n: pl.Float64 if n in tally.plain else pl.String for n in tally.names},
        ignore_errors=True,
        decimal_comma=has_comma,
        raise_if_empty=False,
    )


def _plain_numbers(written: pl.DataFrame, columns: Sequence[Column], *, has_comma: bool) -> frozenset[str]:
    """Number columns that the CSV parser itself reads as such: no currency signs, no blanks around them."""
    plain = set()
    for column in columns:
        if column.kind not in NUMBER_KINDS:
            continue
        values = written[column.name]
        parsed = (values.str.replace(",", ".", literal=True) if has_comma else values).cast(pl.Float64, strict=False)
        if abs(parsed.null_count() / max(len(values), 1) - column.missing_ratio) < 1e-9:
            plain.add(column.name)
    return frozenset(plain)


def _open_labels(frame: pl.DataFrame, columns: Sequence[Column]) -> tuple[str, ...]:
    """Label columns whose distinct values the sample has not exhausted: it holds some only once or twice."""
    labels = [c.name for c in columns if c.kind in {ColumnKind.CATEGORY, ColumnKind.HIGH_CARDINALITY}]
    return tuple(n for n in labels if not frame[n].drop_nulls().value_counts().filter(pl.col("count") <= 2).is_empty())


def _exact(column: Column, tally: _Tally, frame: pl.DataFrame) -> Column:
    """`column` with what the whole file says of it."""
    missing = tally.missing.get(column.name, 0) / max(tally.rows, 1)
    distinct = column.distinct
    if column.name in tally.labels:
        seen = tally.seen.get(column.name)
        distinct = len(seen) if seen is not None else Unknown(reason=f"more than {COUNTED_VALUES:,} values", cure="")
    elif isinstance(distinct, int) and distinct > 0.1 * frame.height:
        distinct = Unknown(reason=f"{distinct:,} in a sample of {frame.height:,} rows; not counted in the whole", cure="")
    return column.model_copy(update={"missing_ratio": missing, "distinct": distinct})
