"""One trial, step by step: an objective turned into reports, whatever it does. Used in a worker and in the calling process."""

from __future__ import annotations

import contextlib
import errno
import math
import numbers
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from advisor.core.errors import AdvisorError
from advisor.core.objective import call
from advisor.core.ports import Clock, Measurement
from advisor.core.space import Config


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint that a trial of this run wrote; it is read where it is used, never in the engine."""

    path: str


Category = Literal["error", "invalid", "timeout", "memory", "signal", "deadline"]


@dataclass(frozen=True, slots=True)
class Begun:
    """A worker has loaded the objective and starts the clock of the trial; it stays within the pool."""

    trial: int


@dataclass(frozen=True, slots=True)
class Stepped:
    """A running trial has measured; it waits for `advance` or `stop`."""

    trial: int
    step: int
    """Absolute, from 1, growing."""
    value: float
    """Score so far, finite."""
    score: float | None = None
    """The step's own score where `value` is a running mean."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial ran in full (`value` is its score) or was stopped on request (`value` is None)."""

    trial: int
    value: float | None
    scores: tuple[float, ...] = ()
    """One score a step where every step gave one."""
    seconds: float = 0.0
    fit_seconds: float = 0.0
    peak_bytes: int = 0
    """Peak memory while it ran; 0 when not known."""
    can_save: bool = False
    """True when the objective has `save_last`."""
    cause: str = ""
    """Why it ended early where the objective itself gave up (`value` is None); empty otherwise."""
    suggested: dict[str, Any] | None = None
    """What the objective chose by itself, as JSON: ``{"config": …, "space": …}`` (an Optuna objective); None when it chose nothing."""


@dataclass(frozen=True, slots=True)
class Died:
    """A trial ended without a score."""

    trial: int
    category: Category
    cause: str
    """What happened, in one line."""
    cure: str = ""
    detail: str = ""
    """The last lines of its own trace or output."""
    seconds: float = 0.0
    suggested: dict[str, Any] | None = None
    """As in `Ended`."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The model of a trial is at `path`."""

    trial: int
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class NotSaved:
    """The model of a trial could not be written; the trial's score stands."""

    trial: int
    cause: str


Report = Stepped | Ended | Died | Saved | NotSaved


@dataclass
class TrialRun:
    """One evaluation of `objective`; `next` pulls it a measurement further."""

    trial: int
    objective: Callable[..., Any]
    config: Config
    checkpoint: Any = None
    clock: Clock = time.monotonic
    peak_bytes: Callable[[], int] = lambda: 0
    is_over: bool = False
    """True when there is nothing more to pull."""
    is_spoiled: bool = False
    """True when the process should not be used again: memory ran out, or the objective wanted to leave it."""
    _steps: Iterator[Any] | None = None
    _began: float | None = None
    _last: Measurement | None = None
    _values: list[tuple[int, float]] = field(default_factory=list)
    _scores: list[float] = field(default_factory=list)

    def next(self, *, keeps_interrupt: bool = True) -> Stepped | Ended | Died:
        """What the next pull gives. An exception of the objective comes back as Died, SystemExit too; Optuna's TrialPruned as Ended.

        So does KeyboardInterrupt, unless `keeps_interrupt` is False: in the calling process it is the user's.
        """
        if self._began is None:
            self._began = self.clock()
        try:
            return self._pull()
        except _InvalidError as error:
            return self._die("invalid", error.cause, cure=error.cure)
        except MemoryError as error:
            return self._die_of_memory(error)
        except AdvisorError as error:  # it says what is wrong and what to do by itself
            detail = getattr(error, "detail", "") or _trace(error)
            return self._die("error", " ".join(error.what.split())[:300], cure=error.cure, detail=detail)
        except Exception as error:
            if _is_of_memory(error):
                return self._die_of_memory(error)
            if any(kind.__name__ == _GAVE_UP for kind in type(error).__mro__):
                return self._give_up()
            return self._die(
                "error",
                f"{type(error).__name__}: {_one_line(error)}",
                cure="Read the detail; the configuration or the objective is at fault.",
                detail=_trace(error),
            )
        except SystemExit as error:
            self.is_spoiled = True
            return self._die("signal", f"the trial raised SystemExit({error.code!r})", cure=_LEAVE, detail=_trace(error))
        except KeyboardInterrupt as error:
            if not keeps_interrupt:
                raise
            self.is_spoiled = True
            return self._die("signal", "the trial was interrupted (KeyboardInterrupt)", cure=_LEAVE, detail=_trace(error))

    def take_checkpoint(self) -> Any:
        """The checkpoint of the last measurement, a function called for it; None when there is none."""
        held = self._last.checkpoint if self._last is not None else None
        return held() if callable(held) else held

    def stop(self) -> Ended | Died:
        """Closes the objective; the report has no value."""
        self.is_over = True
        steps = self._steps
        try:
            if steps is not None and hasattr(steps, "close"):
                steps.close()
        except Exception as error:
            return self._die("error", f"{type(error).__name__} while closing: {_one_line(error)}", detail=_trace(error))
        return self._stopped()

    def _give_up(self) -> Ended | Died:
        """The objective pruned itself: it ends at its last value."""
        if not self._values:
            cause = "the objective pruned itself before it had measured anything"
            return self._die("invalid", cause, cure="Report a value before pruning, or raise another exception to fail the trial.")
        self.is_over = True
        return self._stopped("the objective pruned itself")

    def _stopped(self, cause: str = "") -> Ended:
        return Ended(
            self.trial,
            None,
            (),
            self._seconds(),
            self._fit_seconds(),
            self.peak_bytes(),
            self._can_save(),
            cause,
            self._suggested(),
        )

    def _pull(self) -> Stepped | Ended:
        if self._steps is None:
            if isinstance(self.checkpoint, KeptCheckpoint):
                self.checkpoint = _read_checkpoint(self.checkpoint)
            begin = getattr(self.objective, "begin_trial", None)
            if callable(begin):
                begin(self.trial)
            answer = call(self.objective, self.config, self.checkpoint)
            if not isinstance(answer, Iterator):
                value = finite(answer)
                self._values.append((1, value))
                return self._end(value)
            self._steps = answer
        try:
            measurement = next(self._steps)
        except StopIteration as stop:
            if stop.value is not None:  # a generator's last word: the score of the trial, where it is not that of its last step
                value = finite(stop.value)
                self._values = self._values or [(1, value)]
                return self._end(value)
            if not self._values:
                raise _InvalidError("the objective ended without a measurement", "Yield at least one Measurement.") from None
            return self._end(self._values[-1][1])
        if not isinstance(measurement, Measurement):
            raise _InvalidError(
                f"the objective yielded {_describe(measurement)}, not a Measurement", "Yield advisor.Measurement(step=…, value=…)."
            )
        step, value = measurement.step, finite(measurement.value)
        if _is_no_count(step):
            raise _InvalidError(f"step {step!r} is no whole number from 1", "Count steps from 1, absolute.")
        if self._values and step <= self._values[-1][0]:
            raise _InvalidError(f"step {step} follows step {self._values[-1][0]}", "Give steps that grow.")
        score = None if measurement.score is None else finite(measurement.score)
        self._last = measurement
        self._values.append((int(step), value))
        if score is not None:
            self._scores.append(score)
        return Stepped(self.trial, int(step), value, score)

    def _end(self, value: float) -> Ended:
        self.is_over = True
        scores = tuple(self._scores) if len(self._scores) == len(self._values) else self._told_scores()
        return Ended(
            self.trial,
            value,
            scores,
            self._seconds(),
            self._fit_seconds(),
            self.peak_bytes(),
            self._can_save(),
            suggested=self._suggested(),
        )

    def _die(self, category: Category, cause: str, *, cure: str = "", detail: str = "") -> Died:
        self.is_over = True
        close = getattr(self._steps, "close", None)
        if close is not None:
            with contextlib.suppress(Exception):  # it has failed already; what it holds must go now, not with the next collection
                close()
        return Died(self.trial, category, cause, cure, detail, self._seconds(), self._suggested())

    def _die_of_memory(self, error: BaseException) -> Died:
        self.is_spoiled = True
        said = _one_line(error)
        return self._die(
            "memory",
            f"out of memory: {said}" if said else "out of memory",
            cure="Give a trial more memory, fewer rows or a smaller model.",
            detail=_trace(error),
        )

    def _seconds(self) -> float:
        return max(0.0, self.clock() - self._began) if self._began is not None else 0.0

    def _fit_seconds(self) -> float:
        told = getattr(self.objective, "last_fit_seconds", None)
        if isinstance(told, int | float) and math.isfinite(told) and told >= 0:
            return float(told)
        return self._seconds() / max(1, len(self._values))

    def _told_scores(self) -> tuple[float, ...]:
        """What the objective says its parts scored, where its steps are not its parts (epochs of several folds)."""
        told = getattr(self.objective, "last_scores", ())
        if not isinstance(told, tuple | list) or not all(isinstance(v, int | float) and math.isfinite(v) for v in told):
            return ()
        return tuple(float(v) for v in told)

    def _suggested(self) -> dict[str, Any] | None:
        told = getattr(self.objective, "last_suggested", None) if self._steps is not None else None
        return told if isinstance(told, dict) else None

    def _can_save(self) -> bool:
        return callable(getattr(self.objective, "save_last", None))


def _read_checkpoint(kept: KeptCheckpoint) -> Any:
    try:
        with Path(kept.path).open("rb") as file:
            return pickle.load(file)
    except FileNotFoundError:
        raise _InvalidError("the checkpoint it goes on from is gone", "Leave the work folder of the run alone.") from None


_GAVE_UP = "TrialPruned"
"""Name of the exception by which an objective prunes itself: Optuna's, known by name so that it is not imported here."""
_LEAVE = "Raise an exception to fail a trial; leaving the process costs its worker."


class _InvalidError(Exception):
    def __init__(self, cause: str, cure: str) -> None:
        super().__init__(cause)
        self.cause, self.cure = cause, cure


def finite(value: Any) -> float:
    """`value` as a finite float. NaN, infinities, None, text, booleans and arrays are refused with what they are."""
    if type(value) is not bool and isinstance(value, numbers.Real):  # numpy's scalars are Real, its booleans are not
        try:
            number = float(value)
        except (OverflowError, ValueError):
            number = math.inf
        if math.isfinite(number):
            return number
    raise _InvalidError(f"the objective gave {_describe(value)} as its value", "Return one finite number, such as float(loss).")


def _is_no_count(step: object) -> bool:
    return type(step) is bool or not isinstance(step, numbers.Integral) or int(step) < 1


def _describe(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, float):
        return {"nan": "NaN", "inf": "infinity", "-inf": "minus infinity"}.get(repr(value), repr(value))
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"an array of shape {shape}"
    if isinstance(value, bool):
        return f"the boolean {value}"
    if isinstance(value, str | bytes):
        return f"text ({value[:30]!r})"
    return f"a {type(value).__name__}"


def _is_of_memory(error: BaseException) -> bool:
    """True for what libraries raise instead of MemoryError: known by name or by words, so that none of them is imported here."""
    if type(error).__name__ == "OutOfMemoryError":  # torch's, of an accelerator
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and ("can't allocate memory" in str(error) or "std::bad_alloc" in str(error))


def _one_line(error: BaseException) -> str:
    try:
        said = " ".join(str(error).split())
    except Exception as second:  # a broken __str__ of the user's class
        said = f"(its message cannot be shown: {type(second).__name__})"
    return said[:300]


def _trace(error: BaseException) -> str:
    """Twelve lines of the traceback, from the objective on: where it begins, and how it ends."""
    try:
        lines = "".join(traceback.format_exception(error.with_traceback(_from_the_objective(error)))).splitlines()
    except Exception as second:
        lines = [f"{type(error).__name__} (its trace cannot be shown: {type(second).__name__})"]
    if len(lines) > _TRACE_LINES:
        lines = [*lines[:4], "  …", *lines[5 - _TRACE_LINES :]]
    return "\n".join(lines)[-4000:]


_TRACE_LINES = 12
_OURS = (__file__, call.__code__.co_filename)
"""Files between a trial and the objective: no part of what went wrong."""


def _from_the_objective(error: BaseException) -> TracebackType | None:
    """The traceback of `error` without the calls that led to the objective; whole where it never came so far."""
    left = error.__traceback__
    while left is not None and left.tb_frame.f_code.co_filename in _OURS:
        left = left.tb_next
    return left if left is not None else error.__traceback__
