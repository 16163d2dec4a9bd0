"""Commands to a running engine: small files renamed into ``commands/``, carried out in order and acknowledged as events.

A second SQLite writer was tried and refused: it waited 3.7 s behind the engine's commits.
"""

from __future__ import annotations

import json
import math
import os
import stat
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal, cast, get_args

from advisor.core.errors import CannotRunError, InputError, nearest

CommandName = Literal["pause", "resume", "stop", "skip", "budget"]
_NAMES: tuple[str, ...] = get_args(CommandName)
_SIZE_LIMIT_BYTES = 4096
_serial = count()


@dataclass(frozen=True, slots=True)
class Command:
    """One wish of a screen or a shell."""

    name: CommandName
    """What to do."""
    argument: float | None = None
    """Trial to skip, or seconds of budget added."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file in the box that is no command."""

    cause: str
    """What is wrong with it, in one sentence."""


def send(run_dir: Path | str, command: str, argument: float | None = None) -> None:
    """Leaves a command for the engine of a run; it is carried out within a fraction of a second while one lives.

    Raises: InputError when the command is unknown or its argument missing; CannotRunError when the folder cannot be written.
    """
    if command not in _NAMES:
        raise InputError(f"unknown command {command!r}", cure=nearest(command, _NAMES))
    problem = _problem(command, argument)
    if problem:
        raise InputError(problem, cure="Give the number of the trial to `skip`, the seconds to `budget`, nothing to the others.")
    folder = Path(run_dir) / "commands"
    # The monotonic clock is one for all processes of a boot, so a step of the wall clock cannot change the order.
    name = f"{time.monotonic_ns():020d}-{os.getpid()}-{next(_serial):06d}.json"
    try:
        folder.mkdir(exist_ok=True)
        draft = folder / f".{name}"
        draft.write_text(json.dumps({"command": command, "argument": argument}))
        draft.replace(folder / name)
    except OSError as error:
        raise CannotRunError(
            f"the command cannot be left: {error.strerror}", where=str(folder), cure="Check the path of the run and your rights on it."
        ) from error


class CommandBox:
    """The engine's end of ``commands/``."""

    def __init__(self, run_dir: Path | str | None) -> None:
        self._folder = Path(run_dir) / "commands" if run_dir is not None else None

    def take(self) -> list[Command | Unreadable]:
        """Every command waiting, oldest first; they are removed. Empty when there is no folder."""
        if self._folder is None:
            return []
        try:
            paths = sorted(p for p in self._folder.iterdir() if p.suffix == ".json" and not p.name.startswith("."))
        except OSError:
            return []
        taken: list[Command | Unreadable] = []
        for path in paths:
            taken.append(_read(path))
            path.unlink(missing_ok=True)
        return taken


def _read(path: Path) -> Command | Unreadable:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return Unreadable(f"{path.name} is no command: not a plain file")  # a pipe would hold the engine for ever
        with path.open("rb") as file:
            plain = json.loads(file.read(_SIZE_LIMIT_BYTES))
        command, argument = plain["command"], plain.get("argument")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Unreadable(f"{path.name} is no command: {type(error).__name__}")
    if not isinstance(command, str) or command not in _NAMES:
        return Unreadable(f"unknown command {str(command)[:40]!r} was ignored")
    if argument is not None and (isinstance(argument, bool) or not isinstance(argument, int | float)):
        return Unreadable(f"the argument of {command} is no number; it was ignored")
    problem = _problem(command, argument)
    if problem:
        return Unreadable(problem)
    return Command(cast(CommandName, command), None if argument is None else float(argument))


def _problem(command: str, argument: float | None) -> str | None:
    if argument is not None and not math.isfinite(argument):
        return f"the argument of {command} must be finite"
    if command in ("skip", "budget") and argument is None:
        return f"{command} needs a number"
    return None
