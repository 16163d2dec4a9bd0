"""Text with separators: found out how it is written, read as strings, and every fault of it named with its line."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import polars as pl

from advisor.core.errors import InputError
from advisor.profiling.printing import listed, printable
from advisor.profiling.spellings import FIRM_NULLS

SNIFFED_BYTES = 256 * 1024
"""So much of the beginning decides how the text is written."""
SNIFFED_ROWS = 200
MOST_COLUMNS = 100_000
FIELD_LIMIT = 64 * 1024 * 1024
"""A single cell may be this long. Source: the csv module's own limit of 131,072 characters is too small for documents."""

_SEPARATORS = (",", ";", "\t", "|")
_NUMBER = re.compile(r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")
_COMMA_NUMBER = r"^[+-]?\d+,\d+$"
_POINTLESS = r"^[+-]?\d+(,\d+)?$"


@dataclass(frozen=True)
class Layout:
    """How a delimited text is written."""

    separator: str
    """One character."""
    names: tuple[str, ...]
    """Names of the columns, from the header or made up."""
    has_header: bool
    """False when the first line is a row already."""
    skipped_lines: int = 0
    """Lines of comment before the first one that counts."""
    is_quoted: bool = True
    """False when quotation marks are ordinary characters here."""
    encoding: str = "utf-8"
    """Of the original bytes."""
    is_in_blanks: bool = False
    """True when runs of blanks separate the columns; the text is rewritten with tabs before it is parsed."""
    has_line_breaks_in_cells: bool = False
    """True when a quoted cell of the beginning spans lines, so that a line break does not end a row."""
    warnings: tuple[str, ...] = ()
    """What had to be assumed."""


def read(content: bytes, shown: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The whole text as columns of stripped strings, empty ones null, and what had to be assumed.

    Raises: InputError naming the line of the first fault.
    """
    text, encoding = as_utf8(content, shown)
    layout, text = sniff(text, shown, encoding=encoding)
    check_rows(text, layout, shown)
    frame = parse(text, layout, shown)
    if frame.height == 0:
        raise InputError(f"{shown} has a header and no rows", where="line 2 does not exist", cure="Name a table with rows.")
    return with_decimal_points(tidy(frame), layout), layout.warnings


def as_utf8(content: bytes, shown: str) -> tuple[bytes, str]:
    """The same text in UTF-8 with plain line ends, and the encoding it came in.

    UTF-16 and UTF-32 are known by their mark (UTF-16 also by its pattern of zeros); what is not UTF-8 is read as Windows-1252.

    Raises: InputError for an empty text and for bytes that are no text.
    """
    encoding = "utf-8"
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            encoding = name
            break
    else:
        head = content[:4096]
        if len(head) >= 8 and head[1::2].count(0) > 0.8 * len(head[1::2]) and not head[0::2].count(0):
            encoding = "utf-16-le"
        elif len(head) >= 8 and head[0::2].count(0) > 0.8 * len(head[0::2]) and not head[1::2].count(0):
            encoding = "utf-16-be"
    if encoding != "utf-8":
        try:
            content = content.decode(encoding).encode()
        except UnicodeError as error:
            raise InputError(
                f"{shown} is damaged",
                where=f"its beginning says {encoding.upper()}, byte {getattr(error, 'start', 0)} does not fit",
                cure="Save it as UTF-8.",
            ) from error
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        raise InputError(f"{shown} is empty", cure="Name a file with a header and rows.")
    _refuse_binary(content, shown)
    if encoding == "utf-8":
        try:
            content.decode()
        except UnicodeDecodeError:
            encoding = "windows-1252"
            content = content.decode("cp1252", errors="replace").encode()
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content, encoding


def _refuse_binary(content: bytes, shown: str) -> None:
    zero = content.find(0)
    if zero >= 0:
        line = content.count(b"\n", 0, zero) + 1
        raise InputError(f"{shown} holds NUL bytes", where=f"line {line}, byte {zero}", cure="Export it again as UTF-8 text.")
    head = np.frombuffer(content[:65536], dtype=np.uint8)
    odd = int(((head < 32) & ~np.isin(head, (9, 10, 12, 13, 27))).sum())
    if odd > 0.01 * len(head):
        raise InputError(
            f"{shown} is no text",
            where=f"{odd} control characters in its first {len(head)} bytes",
            cure="Name a CSV, JSON Lines, Parquet, Feather or .npz file.",
        )


def sniff(text: bytes, shown: str, *, encoding: str = "utf-8") -> tuple[Layout, bytes]:
    """How `text` (UTF-8) is written, and the text itself, rewritten only where blanks separate the columns.

    Raises: InputError for repeated or too many column names and for a first line that is no table.
    """
    warnings: list[str] = []
    if encoding == "windows-1252":
        warnings.append("The text is not UTF-8 and was read as Windows-1252 (Latin-1); check letters with accents.")
    skipped = 0
    head = text[:SNIFFED_BYTES]
    for line in head.split(b"\n"):
        if not line.startswith(b"#") or skipped >= 200:
            break
        skipped += 1
    start = line_start(text, skipped)
    sample = _beginning(text, start).decode("utf-8", errors="replace")
    if not sample.strip():
        raise InputError(f"{shown} has no rows", where="only comments", cure="Name a file with a header and rows.")
    is_quoted, is_in_blanks = True, False
    try:
        separator, rows = _separated(sample)
    except csv.Error:
        is_quoted = False
        separator, rows = _separated(sample, quoting=csv.QUOTE_NONE)
    if max(len(r) for r in rows) == 1 and _is_in_blanks(sample):
        text = respaced(text[start:])
        skipped, separator, is_in_blanks = 0, "\t", True
        sample = text[:SNIFFED_BYTES].decode("utf-8", errors="replace")
        _, rows = _separated(sample, only="\t")
    first = [c.strip() for c in rows[0]]
    if len(first) > MOST_COLUMNS:
        raise InputError(f"{shown} has {len(first):,} columns in its first line", cure="Check the separator and the line ends.")
    has_header = len(rows) < 2 or not _looks_like_row(first, rows[1:])
    width = len(first)
    usual = Counter(len(r) for r in rows[1:]).most_common(1)
    if has_header and usual and usual[0][0] == width + 1 and usual[0][1] == len(rows) - 1:
        # R writes row names without giving them a name: the header is one field short on every line.
        first = ["", *first]
        width += 1
        text = text[:start] + b'""' + separator.encode() + text[start:]
    elif has_header and usual and usual[0][0] == width + 1 and all(len(r) == width + 1 and not r[-1].strip() for r in rows[1:]):
        first, width = [*first, ""], width + 1
    names = _names(first, shown) if has_header else tuple(f"c{i}" for i in range(width))
    if not has_header:
        warnings.append(f"The first line looks like a row, not like a header: the columns are named c0 … c{width - 1}.")
    layout = Layout(
        separator=separator,
        names=names,
        has_header=has_header,
        skipped_lines=skipped,
        is_quoted=is_quoted,
        encoding=encoding,
        is_in_blanks=is_in_blanks,
        has_line_breaks_in_cells=any("\n" in cell for r in rows for cell in r),
        warnings=tuple(warnings),
    )
    return layout, text


def parse(text: Any, layout: Layout, shown: str) -> pl.DataFrame:
    """All columns as strings, as written.

    Raises: InputError when a row is longer than the header or a quotation mark is never closed.
    """
    try:
        return pl.read_csv(
            text if not isinstance(text, bytes) else io.BytesIO(text),
            separator=layout.separator,
            has_header=False,
            schema=dict.fromkeys(layout.names, pl.String),
            skip_lines=layout.skipped_lines + layout.has_header,
            quote_char='"' if layout.is_quoted else None,
            infer_schema=False,
            raise_if_empty=False,
        )
    except pl.exceptions.PolarsError as error:
        if layout.is_quoted and isinstance(text, bytes) and _unclosed(text):
            try:
                return parse(text, replace(layout, is_quoted=False), shown)
            except InputError:
                pass
        first = printable(str(error).splitlines()[0], 160)
        raise InputError(
            f"{shown} cannot be read as a table",
            where=first,
            cure="Write every row with as many fields as the header, quotation marks in pairs.",
        ) from error


def tidy(frame: pl.DataFrame) -> pl.DataFrame:
    """Strings stripped, empty ones null, and a nameless last column dropped when nothing is in it."""
    stripped = pl.all().str.strip_chars()
    clean = frame.select(pl.when(stripped != "").then(stripped).name.keep())
    empty = [n for n in clean.columns if n.startswith("unnamed_") and clean[n].null_count() == clean.height]
    clean = clean.drop(empty)
    return clean.filter(~pl.all_horizontal(pl.all().is_null())) if clean.width > 1 and clean.height else clean


def with_decimal_points(frame: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """`frame` with ``3,14`` as ``3.14`` in every column of such numbers, where the comma does not separate the columns."""
    if layout.separator == ",":
        return frame
    changed = []
    for name in frame.columns:
        here = frame[name].drop_nulls()
        here = here.filter(~here.str.to_lowercase().is_in(sorted(FIRM_NULLS)))
        if (
            len(here)
            and bool(here.head(100).str.contains(_POINTLESS).all())
            and bool(here.str.contains(_POINTLESS).all())
            and bool(here.str.contains(_COMMA_NUMBER).any())
        ):
            changed.append(pl.col(name).str.replace(",", ".", literal=True))
    return frame.with_columns(changed) if changed else frame


def check_rows(text: bytes, layout: Layout, shown: str, *, before: int = 0) -> None:
    """Nothing when every row has as many fields as the header; `before` lines precede the text.

    Raises: InputError naming the first line that has not.
    """
    width = len(layout.names)
    start = line_start(text, layout.skipped_lines)
    if layout.is_quoted and b'"' in text:
        _check_quoted(text[start:], layout, shown, layout.skipped_lines + before)
        return
    symbols = np.frombuffer(text, dtype=np.uint8)[start:]
    ends = np.flatnonzero(symbols == 0x0A)
    if not ends.size or ends[-1] != len(symbols) - 1:
        ends = np.append(ends, len(symbols))
    starts = np.concatenate(([0], ends[:-1] + 1))
    places = np.flatnonzero(symbols == ord(layout.separator))
    fields = np.searchsorted(places, ends) - np.searchsorted(places, starts) + 1
    is_wrong = (fields != width) & (ends > starts)
    if layout.has_header and is_wrong.size:
        is_wrong[0] = False
    if width > 1 and is_wrong.any():
        at = int(np.argmax(is_wrong))
        _ragged(shown, at + 1 + layout.skipped_lines + before, int(fields[at]), width, int(is_wrong.sum()))
    if width == 1 and (fields > 1).any():
        at = int(np.argmax(fields > 1))
        _ragged(shown, at + 1 + layout.skipped_lines + before, int(fields[at]), width, int((fields > 1).sum()))


def _check_quoted(text: bytes, layout: Layout, shown: str, before: int) -> None:
    width = len(layout.names)
    wrong, first = 0, (0, 0)
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline=""), delimiter=layout.separator)
    line = 1
    try:
        for number, row in enumerate(reader):
            if row and len(row) != width and not (number == 0 and layout.has_header) and (width > 1 or len(row) > 1):
                wrong += 1
                first = first if wrong > 1 else (line, len(row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{shown} cannot be read", where=f"line {line + before}: {printable(error, 100)}", cure="Write quotation marks in pairs."
        ) from error
    if wrong:
        _ragged(shown, first[0] + before, first[1], width, wrong)


def _ragged(shown: str, line: int, found: int, width: int, count: int) -> None:
    more = f", and {count - 1} more line(s)" if count > 1 else ""
    raise InputError(
        f"{shown} has rows of different lengths",
        where=f"line {line} has {found} field(s), the header {width}{more}",
        cure="Write every row with as many fields as the header, and quote cells that hold the separator.",
    )


def _separated(sample: str, *, only: str | None = None, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL) -> tuple[str, list[list[str]]]:
    """The separator that cuts the sample into the most even rows, and those rows."""
    csv.field_size_limit(FIELD_LIMIT)
    best: tuple[float, int] = (-1.0, 0)
    chosen: tuple[str, list[list[str]]] = (",", [])
    for separator in (only,) if only else _SEPARATORS:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator, quoting=quoting)
        rows = []
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) >= SNIFFED_ROWS:
                break
        if not rows:
            continue
        width, often = Counter(len(r) for r in rows).most_common(1)[0]
        evenness = often / len(rows) if width > 1 else 0.0
        if (round(evenness, 1), width) > best or not chosen[1]:
            best = (round(evenness, 1), width)
            chosen = (separator, rows)
    return chosen


def respaced(text: bytes) -> bytes:
    """`text` with one tab for every run of blanks inside its lines."""
    return b"\n".join(b"\t".join(line.split()) for line in text.split(b"\n"))


def _is_in_blanks(sample: str) -> bool:
    """True when blanks cut every line into the same number of words, most of them numbers."""
    lines = [line.split() for line in sample.splitlines()[:SNIFFED_ROWS] if line.strip()]
    if len(lines) < 3 or len(lines[0]) < 2 or len({len(words) for words in lines}) > 1:
        return False
    body = [w for words in lines[1:] for w in words]
    return sum(bool(_NUMBER.match(w)) for w in body) >= 0.5 * len(body)


def _looks_like_row(first: list[str], body: list[list[str]]) -> bool:
    """True when the first line is made like the lines below it, so that it is no header."""
    header = row = 0.0
    numeric = [_is_number(cell) for cell in first]
    if all(numeric) and len(first) >= 3 and _is_counting([float(c) for c in first]):
        return False
    for place, cell in enumerate(first):
        below = [r[place].strip() for r in body if place < len(r) and r[place].strip().lower() not in FIRM_NULLS]
        if not below:
            continue
        if sum(map(_is_number, below)) >= 0.9 * len(below):
            if numeric[place]:
                if not _is_counting_part(first, place):
                    row += 1.0
                elif _is_outside(float(cell), below):
                    header += 0.5
            elif cell.lower() not in FIRM_NULLS:
                header += 1.0
        elif cell and len(below) > 1:
            if cell in below:
                row += 0.5
            elif len(set(below)) < len(below):
                header += 0.5
    return row > header


def _is_number(cell: str) -> bool:
    return bool(_NUMBER.match(cell)) and len(cell) < 400


def _is_counting(numbers: list[float]) -> bool:
    """True for 0, 1, 2 … as a saved array has it for a header, or for years in a row."""
    return all(b - a == 1 for a, b in pairwise(numbers))


def _is_outside(number: float, below: list[str]) -> bool:
    inside = [float(c) for c in below if _is_number(c)]
    return not min(inside) <= number <= max(inside)


def _is_counting_part(first: list[str], place: int) -> bool:
    """True when the cell goes on counting from a neighbour, as headers of years do."""
    here = float(first[place])
    sides = [float(first[p]) for p in (place - 1, place + 1) if 0 <= p < len(first) and _is_number(first[p])]
    return here == int(here) and any(abs(here - s) == 1 for s in sides)


def _names(first: list[str], shown: str) -> tuple[str, ...]:
    names = [n or f"unnamed_{i}" for i, n in enumerate(first)]
    repeated = [n for n, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"{shown} has {len(repeated)} column name(s) twice: {listed(repeated)}", where="line 1", cure="Give every column its own name."
        )
    return tuple(names)


def whole_lines(piece: bytes) -> bytes:
    """`piece` without its last, incomplete line; all of it when it holds no line break."""
    return piece[: piece.rfind(b"\n") + 1] or piece


def _beginning(text: bytes, start: int) -> bytes:
    end = max(start + SNIFFED_BYTES, text.find(b"\n", start) + 1)
    piece = text[start:end]
    return whole_lines(piece) if len(text) > end else piece


def line_start(text: bytes, lines: int) -> int:
    """Where line number `lines`, counted from 0, begins."""
    place = 0
    for _ in range(lines):
        place = text.find(b"\n", place) + 1
    return place


def _unclosed(text: bytes) -> bool:
    return text.count(b'"') % 2 == 1
