"""What lies where in the folder of a run."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advisor.core.errors import InputError
from advisor.core.facts import Facts
from advisor.core.value import Value, first_fault


class Request(Value):
    """What was asked for, kept so that another process can carry it out or go on with it."""

    data: str
    """What the user named, as an absolute path where it is a file."""
    valid: str = ""
    """The file whose rows score, as an absolute path; empty where the splits are made from the data."""
    test: str = ""
    """The file whose rows are scored at the end, as an absolute path; empty where a part of the data is kept apart."""
    follows_facts: bool = True
    """True when the plan is what the rules recommend for the facts, so that measured facts may revise it."""
    command: str = ""
    """The command that repeats the run."""
    working_folder: str = ""
    """Where an objective of the user's own is read as seen from."""
    track: tuple[str, ...] = ()
    """Trackers that curves are written for while it goes."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def journal(self) -> Path:
        """The truth."""
        return self.path / "journal.db"

    @property
    def plan(self) -> Path:
        """The lockfile."""
        return self.path / "plan.toml"

    @property
    def facts(self) -> Path:
        """The facts the plan was made from."""
        return self.path / "facts.json"

    @property
    def request(self) -> Path:
        """What was asked for."""
        return self.path / "request.json"

    @property
    def table(self) -> Path:
        """The data, where they were handed over in memory."""
        return self.path / "table.arrow"

    @property
    def best(self) -> Path:
        """The best model so far: a link that is replaced atomically."""
        return self.path / "best"

    @property
    def work(self) -> Path:
        """Typed table, splits and predictions: may be deleted once the run is over."""
        return self.path / "work"

    @property
    def logs(self) -> Path:
        """What trials printed."""
        return self.path / "logs"

    @property
    def result(self) -> Path:
        """The outcome as JSON."""
        return self.path / "result.json"

    @property
    def study(self) -> Path:
        """An Optuna study rebuilt from the journal, for other tools."""
        return self.path / "study.db"

    def write_facts(self, facts: Facts) -> None:
        """Writes the facts."""
        write_atomically(self.facts, facts.model_dump_json(indent=2))

    def read_facts(self) -> Facts:
        """The facts of the run.

        Raises: InputError when the file is missing or damaged.
        """
        return read_facts(self.facts)

    def write_request(self, request: Request) -> None:
        """Writes the request."""
        write_atomically(self.request, request.model_dump_json(indent=2))

    def read_request(self) -> Request:
        """The request of the run.

        Raises: InputError when the file is missing or damaged.
        """
        try:
            return Request.model_validate_json(self.request.read_text())
        except (OSError, ValueError) as error:
            fault = "its request is missing or cannot be read" if isinstance(error, OSError) else "its request is damaged"
            raise InputError(
                f"{self.path.name} is no run that can go on: {fault}", where=str(self.request), cure="Start a new run."
            ) from error


def read_facts(path: Path) -> Facts:
    """Facts saved with ``--save-facts`` or by a run.

    Raises: InputError when the file cannot be read or is no facts file.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the facts: {error}", where=str(path), cure="Name a file written by --save-facts.") from error
    try:
        return Facts.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"not a facts file: {first_fault(error)}", where=str(path), cure="Write it again with --save-facts.") from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes `path` so that a reader sees the old or the new content whole, also after a power cut."""
    binary = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as out:
        os.fchmod(handle, 0o644)
        out.write(binary)
        out.flush()
        os.fsync(out.fileno())
    Path(name).replace(path)


def publish_best(folder: RunFolder, *, model: Path, manifest: dict[str, Any]) -> None:
    """Moves `model` and its manifest into a new version of ``best/`` and points the link at it in one step."""
    versions = folder.path / ".best"
    versions.mkdir(exist_ok=True)
    number = 1 + max((int(p.name) for p in versions.iterdir() if p.name.isdigit()), default=0)
    version = versions / f"{number:04d}"
    version.mkdir()
    model.replace(version / "model.joblib")
    write_atomically(version / "manifest.json", json.dumps(manifest, indent=2, allow_nan=False))
    link = folder.path / f".best-{number:04d}"
    link.symlink_to(Path(".best") / version.name)
    link.replace(folder.best)
    for older in sorted(p for p in versions.iterdir() if p.name.isdigit() and int(p.name) < number - 1):
        for file in older.iterdir():
            file.unlink()
        older.rmdir()
