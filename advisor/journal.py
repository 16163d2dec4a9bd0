"""Events to and from an append-only SQLite table: the truth of a run.

One writer, any number of readers. SQLite in WAL mode with full synchronisation was chosen over a text file because a torn
tail is dropped by its checksums and because readers neither wait for the writer nor make it wait.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from advisor.core.errors import CannotRunError, InputError, RunNotFoundError
from advisor.core.events import EVENT, EngineStarted, Event, Measured

_SCHEMA = "CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL)"
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "davfs"}
    | {f"fuse.{name}" for name in ("sshfs", "s3fs", "gcsfuse", "rclone", "glusterfs", "ceph", "juicefs", "davfs")}
)
_NEEDS_WRITING = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_BATCH_SECONDS = 0.1
"""Measured events this close to the last commit wait for the next one: at most that much of a curve is lost, never a trial."""


def _never() -> bool:
    return False


class Journal:
    """The writer of one journal. What `append` has returned from is on disk."""

    def __init__(self, path: Path, *, is_abandoned: Callable[[], bool] = _never) -> None:
        self._path = path
        self._is_abandoned = is_abandoned
        self._waiting: list[Event] = []
        self._connection: sqlite3.Connection | None = None
        self._last_id = 0
        self._committed_at = 0.0

    @classmethod
    def open(cls, path: Path | str, *, is_abandoned: Callable[[], bool] = _never) -> Journal:
        """The journal at `path`, made when it is absent, its torn tail dropped.

        `is_abandoned` is asked while a full disk makes `append` wait: True ends the wait with an error.

        Raises: CannotRunError when the folder is read-only, absent or on a network file system; InputError when the file is no journal.
        """
        path = Path(path).absolute()
        if not path.parent.is_dir():
            raise CannotRunError("the folder of the journal does not exist", where=str(path.parent), cure="Create the run folder first.")
        kind = network_file_system(path.parent)
        if kind is not None:
            raise CannotRunError(
                f"runs cannot live on a network file system ({kind}): its locks and write order cannot be relied on",
                where=str(path.parent),
                cure="Give a folder on a local disk with --runs.",
            )
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise _read_only(path.parent)
        journal = cls(path, is_abandoned=is_abandoned)
        journal._insist(journal._connect)
        _sync_folder(path.parent)
        return journal

    def append(self, *events: Event) -> None:
        """Commits `events`, after any that `emit` kept back, in one transaction; when it returns they are on disk.

        A full disk or an I/O error is waited out with one line on stderr; nothing is lost or written twice.

        Raises: ValueError for a number that is not finite; CannotRunError when the wait was abandoned.
        """
        every = [*self._waiting, *events]
        if not every:
            return
        first = self._last_id + 1
        rows: list[tuple[int, float, str, str]] = [(first + i, event.at, event.kind, _body(event)) for i, event in enumerate(every)]
        self._insist(lambda: self._write(rows))
        self._last_id = rows[-1][0]
        self._waiting.clear()
        self._committed_at = time.monotonic()

    def emit(self, event: Event) -> None:
        """Appends `event`; a Measured that follows a commit within 0.1 s is kept back for the next call (see `append`)."""
        if isinstance(event, Measured) and time.monotonic() - self._committed_at < _BATCH_SECONDS:
            _body(event)
            self._waiting.append(event)
        else:
            self.append(event)

    @property
    def last_id(self) -> int:
        """Identity of the last event on disk; 0 when there is none."""
        return self._last_id

    def close(self) -> None:
        """Commits what was kept back and closes the file; a second call does nothing."""
        if self._connection is None:
            return
        self.append()
        self._disconnect()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _connect(self) -> None:
        self._disconnect()
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(_SCHEMA)
            self._last_id = int(connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _write(self, rows: list[tuple[int, float, str, str]]) -> None:
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        # After a failed commit it is open whether the rows reached the log; the identities tell.
        missing = [row for row in rows if row[0] > self._last_id]
        if not missing:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO events (id, at, kind, body) VALUES (?, ?, ?, ?)", missing)
        self._connection.execute("COMMIT")

    def _insist(self, action: Callable[[], None]) -> None:
        """Runs `action` until it works, reconnecting after a full disk or an I/O error."""
        pause, is_announced = 0.1, False
        while True:
            try:
                action()
                break
            except sqlite3.Error as error:
                if not _is_passing(error):
                    self._disconnect_quietly()
                    raise _refusal(error, self._path) from error
                if not is_announced:
                    print(f"journal: {error} at {self._path}; waiting for room, nothing is lost", file=sys.stderr, flush=True)  # noqa: T201
                    is_announced = True
                self._disconnect_quietly()
                if self._is_abandoned():
                    raise CannotRunError(
                        f"the journal cannot be written: {error}", where=str(self._path), cure="Free disk space, then resume the run."
                    ) from error
                time.sleep(pause)
                pause = min(pause * 2, 1.0)
        if is_announced:
            print("journal: writing again", file=sys.stderr, flush=True)  # noqa: T201

    def _disconnect_quietly(self) -> None:
        try:
            self._disconnect()
        except sqlite3.Error as error:
            print(f"journal: closing after the error: {error}", file=sys.stderr, flush=True)  # noqa: T201


def read_events(path: Path | str, after: int = 0) -> list[tuple[int, Event]]:
    """Identity and event of everything on disk with an identity above `after`, in order; the file is closed again.

    Works while the writer lives and after it was killed; a torn record at the end is not seen. Where SQLite would have to
    write before it can read (read-only ground, a writer killed while it made the file), a copy is read.

    Raises: RunNotFoundError when there is no file; InputError when it is no journal or holds an unknown event.
    """
    path = Path(path).absolute()
    events: list[tuple[int, Event]] = []
    for identity, body in _read_bodies(path, "id > ? ORDER BY id", after):
        try:
            events.append((identity, EVENT.validate_json(body)))
        except ValidationError as error:
            raise InputError(
                f"record {identity} is no event this version knows: {error.errors()[0]['msg']}",
                where=str(path),
                cure="Read the run with the version of the advisor that wrote it (see `versions` in plan.toml).",
            ) from error
    return events


def has_engine_started(path: Path | str, pid: int) -> bool:
    """True when the journal at `path` says that the engine process `pid` took the run over last; False when there is none."""
    try:
        last = _read_bodies(Path(path).absolute(), "kind = 'engine_started' AND id > ? ORDER BY id DESC LIMIT 1", 0)
    except RunNotFoundError:
        return False
    return bool(last) and EngineStarted.model_validate_json(last[0][1]).pid == pid


def network_file_system(folder: Path, mounts: str | None = None) -> str | None:
    """Type of the network file system `folder` lies on, None for a local one or where it cannot be told.

    `mounts` is the text of ``/proc/self/mounts`` (read when None). Shell: ``stat -f -c %T FOLDER``.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(errors="replace")
        except OSError:
            return None  # no /proc here (macOS): nothing can be said
    folder = folder.resolve()
    found, kind = -1, ""
    for line in mounts.splitlines():
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = Path(parts[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        if (folder == point or point in folder.parents) and len(point.parts) >= found:
            found, kind = len(point.parts), parts[2]  # a later mount on the same point hides the earlier
    return kind if kind in _NETWORK else None


def _body(event: Event) -> str:
    """`event` as JSON; lone surrogates, which UTF-8 cannot hold, become ``?``."""
    text = json.dumps(event.model_dump(mode="json"), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()


def _read_bodies(path: Path, where: str, after: int) -> list[tuple[int, str]]:
    """Identity and JSON of the records that `where` selects, all of them at once: an open cursor would keep the log growing."""
    if not path.is_file():
        raise RunNotFoundError("there is no journal here", where=str(path), cure="Name a run with `advisor runs`.")
    try:
        return _fetch(f"{path.as_uri()}?mode=ro", where, after)
    except sqlite3.OperationalError as error:
        if _code(error) not in _NEEDS_WRITING:
            raise _refusal(error, path) from error
        return _fetch_copy(path, where, after)
    except sqlite3.Error as error:
        raise _refusal(error, path) from error


def _fetch(uri: str, where: str, after: int) -> list[tuple[int, str]]:
    connection = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)
    try:
        return connection.execute(f"SELECT id, body FROM events WHERE {where}", (after,)).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []  # the writer has not come that far
        raise
    finally:
        connection.close()


def _fetch_copy(path: Path, where: str, after: int) -> list[tuple[int, str]]:
    with tempfile.TemporaryDirectory(prefix="advisor-journal-") as folder:
        copy = Path(folder) / path.name
        for suffix in ("", "-wal", "-journal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + suffix))
        try:
            return _fetch(copy.as_uri(), where, after)
        except sqlite3.Error as error:
            raise _refusal(error, path) from error


def _is_passing(error: sqlite3.Error) -> bool:
    """True for an error that goes away once there is room: SQLITE_FULL, SQLITE_IOERR, SQLITE_BUSY."""
    return _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY)


def _code(error: sqlite3.Error) -> int:
    """The primary result code."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _refusal(error: sqlite3.Error, path: Path) -> CannotRunError | InputError:
    if _code(error) in _NEEDS_WRITING:
        return _read_only(path.parent)
    if isinstance(error, sqlite3.OperationalError):
        return CannotRunError(f"the journal cannot be used: {error}", where=str(path), cure="See that the disk is sound, then try again.")
    return InputError(f"this file is no journal of a run: {error}", where=str(path), cure="Name the folder of a run.")


def _read_only(folder: Path) -> CannotRunError:
    return CannotRunError("the run folder cannot be written", where=str(folder), cure="Give a folder you may write to with --runs.")


def _sync_folder(folder: Path) -> None:
    """Makes the name of a new file durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
