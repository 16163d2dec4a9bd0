"""The lock of a run: one engine at a time, known by its identity and released by the kernel when it dies.

A POSIX record lock was chosen over flock because a forked child does not inherit it: a grandchild that outlives a killed
engine cannot hold the run. Its two traps are closed here: the lock file is opened once a process, and nothing else reads it.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path

from advisor.core.errors import CannotRunError, RunBusyError
from advisor.supervise.identity import ProcessIdentity, is_alive, process_identity

_held: set[Path] = set()
_guard = threading.Lock()


class RunLock:
    """Holds a run from `acquire` until `release` or the end of the process."""

    def __init__(self, run_dir: Path | str) -> None:
        self._folder = Path(run_dir).resolve()
        self._handle: int | None = None

    def acquire(self) -> ProcessIdentity:
        """Takes the run and gives the identity that now holds it; what a dead engine left behind is taken over.

        Never waits. Raises: RunBusyError naming the pid when another engine holds it; CannotRunError when the folder cannot be locked.
        """
        with _guard:
            if self._folder in _held:
                raise _busy(self._folder, os.getpid())
            try:
                handle = os.open(self._folder / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise CannotRunError(
                    f"the run cannot be locked: {error.strerror}",
                    where=str(self._folder),
                    cure="Give a folder you may write to with --runs.",
                ) from error
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                os.close(handle)
                other = holder(self._folder)
                raise _busy(self._folder, other.pid if other else None) from error
            except OSError as error:
                os.close(handle)
                raise CannotRunError(
                    f"this file system gives no locks: {error.strerror}",
                    where=str(self._folder),
                    cure="Give a folder on a local disk with --runs.",
                ) from error
            me = process_identity()
            assert me is not None
            self._write(me)
            _held.add(self._folder)
            self._handle = handle
            return me

    def release(self) -> None:
        """Gives the run back; a second call does nothing."""
        with _guard:
            if self._handle is None:
                return
            handle, self._handle = self._handle, None
            (self._folder / "engine.json").unlink(missing_ok=True)
            _held.discard(self._folder)
            os.close(handle)

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.release()

    def _write(self, me: ProcessIdentity) -> None:
        text = json.dumps({"pid": me.pid, "started_at_ticks": me.started_at_ticks, "boot_id": me.boot_id})
        draft = self._folder / f".engine.json.{me.pid}"
        draft.write_text(text)
        draft.replace(self._folder / "engine.json")


def holder(run_dir: Path | str) -> ProcessIdentity | None:
    """The live engine of a run; None when there is none."""
    try:
        plain = json.loads((Path(run_dir) / "engine.json").read_text())
        identity = ProcessIdentity(int(plain["pid"]), int(plain["started_at_ticks"]), str(plain["boot_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return identity if is_alive(identity) else None


def _busy(folder: Path, pid: int | None) -> RunBusyError:
    who = f"process {pid}" if pid else "another process"
    return RunBusyError(
        f"the run is held by {who}", where=str(folder), cure="Watch it with `advisor attach`, or stop it with `advisor stop` first."
    )
