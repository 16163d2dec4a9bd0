"""The content of a file, unpacked, and never more of it than the memory can hold."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import psutil

from advisor.core.errors import InputError

ENDINGS = {".gz", ".zst", ".zstd"}
MEMORY_SHARE = 0.35
"""Share of the available memory that the text of a table may take; typed columns and copies need the rest."""
SUSPECT_RATIO = 150
SUSPECT_BYTES = 128 * 1024 * 1024
"""Unpacking to more than `SUSPECT_BYTES` at more than `SUSPECT_RATIO` times the size is a decompression bomb, not a table.

Source: text tables shrink 3 to 30 times; gzip cannot exceed 1032 times.
"""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 20


def content(path: Path, shown: str) -> bytes:
    """The bytes of the file, unpacked where its first bytes say gzip or zstd.

    Raises: InputError when it would not fit the memory, unpacks to a suspicious size, or is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
    limit = int(psutil.virtual_memory().available * MEMORY_SHARE)
    if magic.startswith(_GZIP):
        return _gunzipped(path, shown, size, limit)
    if magic == _ZSTD:
        return _unzstd(path.read_bytes(), shown, size, limit)
    if size > limit:
        raise InputError(
            f"{shown} does not fit the memory", where=f"{size:,} bytes, {limit:,} can be given to it", cure="Name a smaller sample of it."
        )
    return path.read_bytes()


def _gunzipped(path: Path, shown: str, size: int, limit: int) -> bytes:
    pieces = io.BytesIO()
    try:
        with gzip.open(path, "rb") as file:
            while piece := file.read(_PIECE):
                pieces.write(piece)
                _refuse(pieces.tell(), size, limit, shown)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{shown} is damaged", where="the gzip stream ends early or is wrong", cure="Download or write the file again."
        ) from error
    return pieces.getvalue()


def _unzstd(packed: bytes, shown: str, size: int, limit: int) -> bytes:
    _refuse(zstd_bound(packed), size, limit, shown)
    # polars unpacks zstd itself, but only on the way into a table: one column of whole lines gives the text back.
    import polars as pl

    try:
        rows = pl.read_csv(
            io.BytesIO(packed),
            has_header=False,
            separator="\x01",
            quote_char=None,
            infer_schema=False,
            empty_string_is_null=False,
            encoding="utf8-lossy",
            truncate_ragged_lines=True,
        )
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"{shown} is damaged", where="the zstd stream ends early or is wrong", cure="Download or write the file again."
        ) from error
    return ("\n".join(rows.to_series(0).to_list()) + "\n").encode()


def zstd_bound(packed: bytes) -> int:
    """The most bytes that the zstd frames in `packed` can unpack to, found by walking their block headers without unpacking.

    A damaged stream gives the bound of its readable part. Source: RFC 8878, 3.1.1.
    """
    place, bound = 0, 0
    while place + 5 <= len(packed):
        magic = int.from_bytes(packed[place : place + 4], "little")
        if 0x184D2A50 <= magic <= 0x184D2A5F:
            place += 8 + int.from_bytes(packed[place + 4 : place + 8], "little")
            continue
        if packed[place : place + 4] != _ZSTD:
            break
        descriptor = packed[place + 4]
        is_single, has_checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
        size_bytes = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
        place += 5 + (0 if is_single else 1) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
        while place + 3 <= len(packed):
            header = int.from_bytes(packed[place : place + 3], "little")
            is_last, kind, length = header & 1, header >> 1 & 3, header >> 3
            bound += length if kind in (0, 1) else 128 * 1024
            place += 3 + (1 if kind == 1 else length)
            if is_last:
                break
        place += 4 if has_checksum else 0
    return bound


def refuse_size(unpacked: int, size: int, shown: str) -> None:
    """Nothing, or InputError when a file of `size` bytes that unpacks to `unpacked` is a bomb or does not fit the memory."""
    _refuse(unpacked, size, int(psutil.virtual_memory().available * MEMORY_SHARE), shown)


def _refuse(unpacked: int, size: int, limit: int, shown: str) -> None:
    if unpacked > SUSPECT_BYTES and unpacked > SUSPECT_RATIO * size:
        raise InputError(
            f"{shown} unpacks to far more than a table of its size would",
            where=f"{size:,} bytes become more than {SUSPECT_BYTES:,}",
            cure="Unpack it yourself if you trust it, and name the result.",
        )
    if unpacked > limit:
        raise InputError(
            f"{shown} does not fit the memory unpacked", where=f"{limit:,} bytes can be given to it", cure="Name a smaller sample of it."
        )
