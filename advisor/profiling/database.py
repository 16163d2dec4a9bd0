"""A table from a SQL database: SQLite through the standard library, others through SQLAlchemy where it is installed."""

from __future__ import annotations

import importlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import polars as pl

from advisor.core.errors import InputError
from advisor.profiling.printing import printable, without_secrets

_WEB = {"http", "https", "ftp", "s3", "gs", "az", "abfs", "hf", "file"}


def read(url: str, query: str | None) -> pl.DataFrame:
    """The rows of `query`.

    Raises: InputError for a missing query, a missing database or driver, or an error of the database. No message holds the URL's secrets.
    """
    shown = printable(without_secrets(url), 200)
    scheme = url.split("://", 1)[0].lower()
    if scheme in _WEB:
        raise InputError(f"{shown} is not on this machine", cure="Download the file first and name its path.")
    if not query or not query.strip():
        raise InputError(f"{shown} is a database, and no query says which rows", cure='Add --query "SELECT … FROM …".')
    if scheme.split("+")[0] == "sqlite":
        return _sqlite(url, shown, query)
    return _sqlalchemy(url, shown, query)


def _sqlite(url: str, shown: str, query: str) -> pl.DataFrame:
    path = Path(unquote(url.split(":///", 1)[1].split("?", 1)[0]) if ":///" in url else "")
    if not path.is_file():
        raise InputError(
            f"There is no database {printable(path, 200)}",
            where=shown,
            cure="Check the path: sqlite:///relative.db or sqlite:////absolute.db.",
        )
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as connection:
            cursor = connection.execute(query)
            if cursor.description is None:
                raise InputError("The query returns no rows", where=shown, cure="Write a SELECT.")
            return _frame([d[0] for d in cursor.description], cursor.fetchall(), shown)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise InputError(
            "The database refuses the query", where=f"{shown}: {printable(error, 200)}", cure="Correct the query or name another database."
        ) from error


def _sqlalchemy(url: str, shown: str, query: str) -> pl.DataFrame:
    try:
        sqlalchemy: Any = importlib.import_module("sqlalchemy")
    except ImportError as error:
        raise InputError(
            f"{shown} needs SQLAlchemy", cure="Install it with the driver of your database: pip install sqlalchemy."
        ) from error
    try:
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            result = connection.execute(sqlalchemy.text(query))
            names = list(result.keys())
            rows = [tuple(row) for row in result.fetchall()]
    except ImportError as error:
        raise InputError(
            f"{shown} needs a driver: {printable(error.name or 'unknown')}",
            cure=f"Install it: pip install {printable(error.name or 'the driver')}.",
        ) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = _cleaned(str(error).splitlines()[0], url)
        raise InputError("The database refuses", where=f"{shown}: {printable(reason, 200)}", cure="Correct the URL or the query.") from None
    return _frame(names, rows, shown)


def _frame(names: list[str], rows: list[tuple[Any, ...]], shown: str) -> pl.DataFrame:
    repeated = sorted({n for n in names if names.count(n) > 1})
    if repeated:
        raise InputError(f"Column {printable(repeated[0])!r} appears twice in the query", where=shown, cure="Rename one with AS.")
    if not rows:
        raise InputError("The query returns no rows", where=shown, cure="Check its conditions.")
    return pl.DataFrame(
        [
            pl.Series(n, [_plain(row[i]) for row in rows], strict=False)
            if not _is_mixed(rows, i)
            else pl.Series(n, [None if row[i] is None else str(row[i]) for row in rows])
            for i, n in enumerate(names)
        ]
    )


def _is_mixed(rows: list[tuple[Any, ...]], place: int) -> bool:
    kinds = {type(row[place]) for row in rows if row[place] is not None}
    return (len(kinds) > 1 and not kinds <= {int, float}) or any(issubclass(k, bytes | memoryview) for k in kinds)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value


def _cleaned(message: str, url: str) -> str:
    """`message` without anything that could be a secret of `url`."""
    parts = urlsplit(url)
    for secret in (url, parts.netloc.rsplit("@", 1)[0] if "@" in parts.netloc else "", parts.password or "", parts.query):
        if secret:
            message = message.replace(secret, "…").replace(unquote(secret), "…")
    return message
