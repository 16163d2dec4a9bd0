"""Learning curves from a CSV: one row a step, in long form (a column names the trial) or in wide form (one column a curve).

What a column holds is told by the words of its name; what could not be told is guessed with a note, or refused with the cure.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from advisor.core.diagnosis_curves import FEWEST_POINTS, Curve
from advisor.core.errors import InputError

Direction = Literal["minimize", "maximize"]
_STEP = ("step", "steps", "epoch", "epochs", "iteration", "iterations", "iter", "round", "update", "updates")
_TRIAL = ("trial", "run", "model", "experiment", "config", "curve", "name", "id")
_FOLD = ("fold", "split", "cv")
_PHASE = ("phase", "subset", "part", "set", "stage")
_VALIDATION = frozenset({"val", "valid", "validation", "test", "eval", "dev", "heldout"})
_TRAINING = frozenset({"train", "training", "tr"})
_LOSSES = (
    "loss", "logloss", "nll", "crossentropy", "perplexity", "error", "err", "rmse", "mse", "mae", "brier", "ce", "objective", "cost",
)  # fmt: skip
_SCORES = ("accuracy", "acc", "auc", "f1", "r2", "precision", "recall", "iou", "dice", "map", "ap", "bleu", "score", "reward", "return")
_NEUTRAL = ("value", "metric", "result", "measure")
_ASIDE = frozenset(
    {"time", "wall", "seconds", "timestamp", "date", "lr", "learning", "rate", "batch", "memory", "gpu", "duration", "index"}
)
_MISSING = frozenset({"", "na", "n/a", "null", "none", "-"})
MOST_ROWS = 5_000_000
"""Rows of a file of curves. [H]"""


@dataclass
class Curves:
    """What a file of curves holds."""

    curves: tuple[Curve, ...]
    """The curves, in the order of the file."""
    direction: Direction
    """Which way is better."""
    notes: list[str] = field(default_factory=list)
    """What was guessed or left aside, one sentence each."""


def read_curves(path: Path, *, direction: Direction | None = None, reference: float | None = None) -> Curves:
    """The learning curves in the CSV `path`; `direction` None: guessed, with a note. `reference` is the score of a simple model.

    Raises: InputError naming the row and column of what cannot be read, and how to write it.
    """
    header, rows = _cells(path)
    notes: list[str] = []
    layout = _layout(header, rows, path, notes)
    found = _gathered(layout, rows, path)
    longest = max(len(steps) for _, steps, _, _, _ in found)
    if longest < FEWEST_POINTS:
        raise InputError(
            f"the longest curve has {longest} points, and {FEWEST_POINTS} are needed to see a shape",
            where=str(path),
            cure="Report a score more often, at every epoch or several times in one.",
        )
    way = direction or _guessed(layout, found, notes)
    curves = tuple(
        Curve(name, steps, validation, train, folds=folds, direction=way, reference=reference)
        for name, steps, validation, train, folds in found
    )
    return Curves(curves, way, notes)


Row = tuple[int, list[str]]
Gathered = tuple[str, tuple[float, ...], tuple[float, ...] | None, tuple[float, ...] | None, tuple[tuple[float, ...], ...]]


def _cells(path: Path) -> tuple[list[str], list[Row]]:
    """Header, and rows with their line numbers."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as stream:
            lines = [line for _, line in zip(range(MOST_ROWS + 2), stream, strict=False)]
    except UnicodeDecodeError as error:
        raise InputError("the file is no text in UTF-8", where=str(path), cure="Save it as CSV in UTF-8.") from error
    except OSError as error:
        raise InputError(f"the file cannot be read: {error}", where=str(path), cure="Check the path and the permission.") from error
    if len(lines) > MOST_ROWS + 1:
        raise InputError(f"more than {MOST_ROWS:,} rows", where=str(path), cure="Keep every tenth step.")
    if any("\0" in line for line in lines[:50]):
        raise InputError("the file is no text", where=str(path), cure="Save the curves as CSV.")
    text = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if len(text) < 2:
        raise InputError("there are no rows of curves", where=str(path), cure="Write a header such as trial,step,value and one row a step.")
    separator = max(",;\t|", key=text[0].count)
    try:
        table = list(csv.reader(text, delimiter=separator))
    except csv.Error as error:
        raise InputError(f"the file is no CSV: {error}", where=str(path), cure="Write a header and one row a step.") from error
    numbers = [i for i, line in enumerate(lines, start=1) if line.strip() and not line.lstrip().startswith("#")]
    if len(numbers) != len(table):  # a quoted cell holds line ends: count rows instead
        numbers = list(range(1, len(table) + 1))
    header = [name.strip() for name in table[0]]
    doubled = next((h for h in header if h and header.count(h) > 1), None)
    if doubled is not None:
        raise InputError(f"two columns are called {doubled!r}", where=str(path), cure="Give each column a name of its own.")
    rows = []
    for number, row in zip(numbers[1:], table[1:], strict=True):
        if len(row) != len(header):
            raise InputError(
                f"line {number} has {len(row)} cells, the header {len(header)}", where=str(path), cure="Give every row as many cells."
            )
        rows.append((number, [cell.strip() for cell in row]))
    if all(_as_number(h) is not None for h in header):
        raise InputError("the first line holds numbers and no names", where=str(path), cure="Put a header first, such as step,train,valid.")
    return header, rows


def _as_number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def words(name: str) -> list[str]:
    """The words of a column's name.

    >>> words("runA - val_logLoss")
    ['run', 'a', 'val', 'log', 'loss']
    """
    return [w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]


@dataclass
class _Layout:
    """Which column is what."""

    step: int | None
    trial: int | None
    fold: int | None
    phase: int | None
    values: dict[str, tuple[int | None, int | None]]
    """Curve to the columns of its validation and its training scores; ``""`` where the trial column, or nothing, names it."""
    metric: str
    """What the scores are, as far as names tell."""


def _named(header: Sequence[str], known: Iterable[str]) -> int | None:
    for word in known:
        for i, name in enumerate(header):
            said = words(name)
            if said and said[-1 if word != "trial" else 0] == word and not ({*said} & {*_LOSSES, *_SCORES}) and len(said) <= 2:
                return i
    return None


def _layout(header: list[str], rows: Sequence[Row], path: Path, notes: list[str]) -> _Layout:
    step = _named(header, _STEP)
    trial = next((i for i, h in enumerate(header) if i != step and _names_trials(words(h)) and _is_key(i, rows)), None)
    fold = _named([h if i not in (step, trial) else "" for i, h in enumerate(header)], _FOLD)
    phase = next(
        (i for i, h in enumerate(header) if i not in (step, trial, fold) and [*words(h), ""][-1] in _PHASE and not _is_numeric(i, rows)),
        None,
    )
    keys = {step, trial, fold, phase}
    numeric = [i for i, h in enumerate(header) if i not in keys and h and _is_numeric(i, rows)]
    if step is None and header and (header[0] == "" and _is_numeric(0, rows)):
        step = 0
    if step is None:
        notes.append("No column of steps was recognised: rows are taken in their order.")
    roles = [(i, *_role(header[i])) for i in numeric]
    told = [(i, role, name, metric) for i, role, name, metric in roles if metric or role or not ({*words(header[i])} & _ASIDE)]
    if not told:
        raise InputError(
            f"no column of scores was recognised among {', '.join(header[:12])}",
            where=str(path),
            cure="Name one value, valid or val_loss, or give each curve a column of numbers.",
        )
    metrics = list(dict.fromkeys(m for _, _, _, m in told if m))
    metric = _preferred(metrics)
    if metric:
        aside = [m for m in metrics if m != metric]
        told = [t for t in told if t[3] == metric or (t[1] and not t[3])]
        if aside:
            notes.append(f"The curves of {metric} are read; {', '.join(aside)} left aside.")
    values: dict[str, tuple[int | None, int | None]] = {}
    for name in dict.fromkeys(n for _, _, n, _ in told):
        of = [(i, role) for i, role, n, _ in told if n == name]
        valid = next((i for i, role in of if role == "validation"), None)
        train = next((i for i, role in of if role == "train"), None)
        plain = next((i for i, role in of if role == ""), None)
        if plain is not None:  # Keras: loss beside val_loss is the training loss
            valid, train = (plain, train) if valid is None else (valid, plain if train is None else train)
        values[name] = (valid, train)
    if phase is not None or trial is not None:
        first = next(iter(values))
        if len(values) > 1:
            notes.append(f"Of the columns {', '.join(values)} the first is read.")
        values = {"": values[first]}
    return _Layout(step, trial, fold, phase, values, metric or "")


def _names_trials(said: Sequence[str]) -> bool:
    """True for ``trial``, ``run_name``, ``trial id``; not for ``run a``, which is one curve of a wide table."""
    return bool(said) and said[0] in _TRIAL and (len(said) == 1 or (len(said) == 2 and said[1] in ("id", "name", "number", "index", "key")))


def _is_key(column: int, rows: Sequence[Row]) -> bool:
    """True where a column can name curves: it has fewer values than rows."""
    values = {row[column] for _, row in rows}
    return len(values) < len(rows) or len(rows) == 1


def _is_numeric(column: int, rows: Sequence[Row]) -> bool:
    """True where most filled cells are numbers: single ones that are none are told with their line."""
    filled = [row[column] for _, row in rows if row[column].lower() not in _MISSING]
    return bool(filled) and sum(_as_number(c) is not None for c in filled) * 2 > len(filled)


def _role(name: str) -> tuple[str, str, str]:
    """Role (``validation``, ``train`` or empty), curve and metric that the name of a column tells."""
    said = words(name)
    role = "validation" if {*said} & _VALIDATION else "train" if {*said} & _TRAINING else ""
    metric = next((w for w in reversed(said) if w in (*_LOSSES, *_SCORES, *_NEUTRAL)), "")
    rest = [w for w in said if w not in _VALIDATION | _TRAINING and w != metric]
    if metric:
        rest = [
            w
            for w in rest
            if w not in ("log", "cross", "entropy", "roc", "mean", "avg", "average", "balanced", "squared", "root", "absolute")
        ]
    return role, " ".join(rest), metric


def _preferred(metrics: Sequence[str]) -> str | None:
    ranked = [m for known in (_LOSSES, _NEUTRAL, _SCORES) for m in known if m in metrics]
    return ranked[0] if ranked else None


def _gathered(layout: _Layout, rows: Sequence[Row], path: Path) -> list[Gathered]:
    """Curves with steps, validation, training and fold scores."""
    out: list[Gathered] = []
    by_trial: dict[str, list[Row]] = {}
    for number, row in rows:
        by_trial.setdefault(row[layout.trial] if layout.trial is not None else "", []).append((number, row))
    for trial, own in by_trial.items():
        for name, (valid, train) in layout.values.items():
            shown = f"trial {trial}" if trial and _as_number(trial) is not None else trial or name or "the curve"
            if layout.phase is not None:
                column = valid if valid is not None else train
                assert column is not None
                validation = _series(layout, [r for r in own if {*words(r[1][layout.phase])} & _VALIDATION], column, shown, path)
                training = _series(layout, [r for r in own if {*words(r[1][layout.phase])} & _TRAINING], column, shown, path)
            else:
                validation = _series(layout, own, valid, shown, path)
                training = _series(layout, own, train, shown, path)
            if validation or training:
                out.append(_aligned(shown, validation, training))
    if not out:
        raise InputError("no curve has a number", where=str(path), cure="Write one row a step with its score.")
    return out


Series = dict[float, list[float]]
"""Step to its scores, one a fold."""


def _series(layout: _Layout, rows: Sequence[Row], column: int | None, name: str, path: Path) -> Series:
    out: Series = {}
    folds: dict[float, set[str]] = {}
    if column is None:
        return out
    for place, (number, row) in enumerate(rows, start=1):
        cell = row[column]
        if cell.lower() in _MISSING:
            continue
        value = _as_number(cell)
        if value is None:
            raise InputError(
                f"line {number}: {cell[:60]!r} is no number", where=str(path), cure="Write a number, nan, or leave the cell empty."
            )
        step = float(place) if layout.step is None else _as_number(row[layout.step])
        if step is None or not math.isfinite(step):
            raise InputError(
                f"line {number}: the step {row[layout.step or 0][:60]!r} is no number", where=str(path), cure="Number the steps."
            )
        fold = row[layout.fold] if layout.fold is not None else ""
        if fold in folds.setdefault(step, set()):
            raise InputError(
                f"line {number}: step {step:g} of {name} is there twice",
                where=str(path),
                cure="Add a column trial or fold that tells the rows apart.",
            )
        folds[step].add(fold)
        out.setdefault(step, []).append(value)
    return out


def _aligned(name: str, validation: Series, training: Series) -> Gathered:
    """Both at the steps of validation (of training without it): the last training score at or before each."""
    lead = validation or training
    steps = sorted(lead)
    means = tuple(math.fsum(lead[s]) / len(lead[s]) for s in steps)
    count = {len(lead[s]) for s in steps}
    folds = tuple(zip(*(lead[s] for s in steps), strict=True)) if validation and len(count) == 1 and count != {1} else ()
    if not validation:
        return name, tuple(steps), None, means, ()
    if not training:
        return name, tuple(steps), means, None, folds
    train, known = [], sorted(training)
    at = 0
    for step in steps:
        while at + 1 < len(known) and known[at + 1] <= step:
            at += 1
        train.append(math.fsum(training[known[at]]) / len(training[known[at]]))
    return name, tuple(steps), means, tuple(train), folds


def _guessed(layout: _Layout, found: Sequence[Gathered], notes: list[str]) -> Direction:
    if layout.metric in _LOSSES:
        return "minimize"
    if layout.metric in _SCORES:
        return "maximize"
    falls = 0
    for _, _, validation, train, _ in found:
        values = [v for v in (train or validation or ()) if math.isfinite(v)]
        falls += 1 if values and values[-1] <= values[0] else -1
    way: Direction = "minimize" if falls >= 0 else "maximize"
    shape = "fall" if way == "minimize" else "rise"
    better = "less" if way == "minimize" else "more"
    notes.append(f"No name says what the scores are. Most curves {shape}, so {better} is taken to be better (--direction says otherwise).")
    return way
