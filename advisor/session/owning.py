"""An objective of the user's own, named on a command line: a function of a module, or a command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from advisor.core.errors import InputError
from advisor.core.facts import Answers
from advisor.core.objective import Fidelity, OwnObjective
from advisor.session.tuning import Space, describe


class Brought(NamedTuple):
    """What a command line named."""

    objective: Callable[..., Any]
    """As a run pulls it."""
    own: OwnObjective
    """What the rules may know of it."""


def bring(answers: Answers, *, folder: str | Path = ".") -> Brought:
    """The objective that `answers` name, with names and paths read as seen from `folder`.

    Raises: InputError when it cannot be found or imported, or its space, fidelity or direction is missing or wrong.
    """
    place = Path(folder)
    fidelity = read_fidelity(answers.fidelity) if answers.fidelity is not None else None
    if answers.command is not None:
        return _command(answers, answers.command, fidelity, place)
    from advisor.objectives.loading import load_objective

    with contextlib.chdir(place):
        found = load_objective(answers.model)
    space: Space = _read_space(answers.space, place) if answers.space is not None else found.space
    direction: Literal["minimize", "maximize"] = answers.direction or found.direction or "minimize"
    objective, own = describe(found.objective, space, direction=direction, fidelity=fidelity or found.fidelity, starts=found.starts)
    return Brought(objective, own.model_copy(update={"name": answers.model}))


def _command(answers: Answers, command: str, fidelity: Fidelity | None, place: Path) -> Brought:
    from advisor.objectives.command import CommandObjective

    if ":" in answers.model:
        raise InputError("--command and --model both name the objective", where="--command", cure="Leave one of them out.")
    if answers.space is None:
        raise InputError("a command line has no search space of its own", where="--command", cure="Name its space: --space space.toml.")
    space = _read_space(answers.space, place)
    objective = CommandObjective(command, space, fidelity=fidelity, seed=answers.seed, working_folder=place)
    brought, own = describe(objective, space, direction=answers.direction or "minimize", fidelity=fidelity)
    return Brought(brought, own)


def _read_space(named: str, place: Path) -> Any:
    from advisor.objectives.spaces import read_space

    return read_space(place / named)


def read_fidelity(text: str) -> Fidelity:
    """``epoch:1:52`` as a fidelity; ``epoch:52`` counts from 1.

    Raises: InputError when it is not written so.

    >>> read_fidelity("epoch:1:52").high
    52
    """
    parts = text.split(":")
    try:
        name, low, high = parts if len(parts) == 3 else (parts[0], "1", parts[1])
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name")
        return Fidelity(name, int(low), int(high))
    except (ValueError, IndexError, ValidationError) as error:
        raise InputError(f"{text!r} is no fidelity", where="--fidelity", cure="Write it as NAME:LOW:HIGH, such as epoch:1:52.") from error
