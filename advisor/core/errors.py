"""The error tree, named by what the caller can do about it.

AdvisorError
├── InputError            the input is wrong: change the file, flag or value        exit 2
│   ├── ParameterError    a parameter or fidelity was written that cannot be         exit 2
│   ├── RulebookError     files of rules/ have faults (all reported together)        exit 2
│   └── RunNotFoundError  no such run                                                exit 2
├── CannotRunError        the plan is sound and cannot run on this machine or data   exit 3
│   └── RunBusyError      another engine holds the run                               exit 3
├── NothingFinishedError  the budget ended before any trial finished                 exit 4
└── InterruptedRunError   stopped by the user; the run can be resumed                exit 130
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process says when it ends; scripts rely on these numbers."""

    DONE = 0
    CRASHED = 1
    INPUT = 2
    CANNOT_RUN = 3
    NOTHING_FINISHED = 4
    INTERRUPTED = 130


class AdvisorError(Exception):
    """What is wrong, where, and the cure as one imperative sentence."""

    exit_code: ClassVar[ExitCode] = ExitCode.CRASHED

    def __init__(self, what: str, *, where: str = "", cure: str = "") -> None:
        super().__init__(what, where, cure)
        self.what, self.where, self.cure = what, where, cure

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        cure = f" {self.cure}" if self.cure else ""
        return f"{self.what.rstrip('.')}{place}.{cure}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.cure))


def _rebuild(kind: type[AdvisorError], what: str, where: str, cure: str) -> AdvisorError:
    """The same error in another process."""
    error = kind.__new__(kind)
    AdvisorError.__init__(error, what, where=where, cure=cure)
    return error


class InputError(AdvisorError):
    """The input is wrong; changing the file, the flag or the value cures it."""

    exit_code = ExitCode.INPUT


class ParameterError(InputError, ValueError):
    """A parameter or fidelity that cannot be; a ValueError, so that a value which holds it reports it with its place."""


class RulebookError(InputError):
    """The rule files have faults; `faults` holds every one of every file."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(
            f"{len(self.faults)} fault(s) in the rulebook:\n  " + "\n  ".join(self.faults),
            cure="Correct the files named above, then run `advisor rules check`.",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (RulebookError, (self.faults,))


class RunNotFoundError(InputError):
    """No run has this name or path."""


class CannotRunError(AdvisorError):
    """The request is sound and cannot be carried out on this machine or these data."""

    exit_code = ExitCode.CANNOT_RUN


class RunBusyError(CannotRunError):
    """Another engine process holds this run."""


class NothingFinishedError(AdvisorError):
    """The budget ended before any trial had finished."""

    exit_code = ExitCode.NOTHING_FINISHED


class InterruptedRunError(AdvisorError):
    """The user stopped it; everything finished is kept and the run can be resumed."""

    exit_code = ExitCode.INTERRUPTED


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with the nearest of `known`, or the list of all when none is near."""
    names = [str(k) for k in known]
    by_folded = {n.casefold(): n for n in names}
    close = get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.6)
    if close:
        return f"Did you mean {by_folded[close[0]]!r}?"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"Known: {shown}." if names else ""
