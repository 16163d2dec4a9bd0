"""Runs side by side: what their plans had different, and what came out with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from advisor.core.errors import InputError
from advisor.core.explain import differences
from advisor.core.outcome import Gain, Outcome
from advisor.core.value import Value
from advisor.session.outcomes import outcome


class Compared(Value):
    """One run of a comparison."""

    name: str
    """Name of the run."""
    status: str
    """How it ended."""
    source: str
    """The data."""
    strategy: str
    """Strategy of the search."""
    family: str
    """Family of the best configuration; empty where nothing finished."""
    metric: str
    """The score."""
    trials: int
    """Trials completed."""
    seconds: float
    """Time it took."""
    validation_score: float | None
    """Best score on the validation splits."""
    heldout_score: float | None
    """Score on the held-out rows."""
    gain: Gain | None
    """Gain over the default on the held-out rows, with its interval."""


class Comparison(Value):
    """Two or more runs."""

    runs: tuple[Compared, ...]
    """In the order in which they were named."""
    differs: dict[str, tuple[str, ...]] = {}
    """Field of the plan to its value in each run, where they are not all equal."""
    notes: tuple[str, ...] = ()
    """What must be known before the numbers are set against each other."""


def compare(runs: Sequence[str | Path]) -> Comparison:
    """`runs` side by side; their folders. The first is what the others are told apart from.

    Raises: InputError for fewer than two; RunNotFoundError when one is no run.
    """
    if len(runs) < 2:
        raise InputError("one run alone cannot be compared", where="compare", cure="Name two runs or more.")
    return comparison_of([outcome(run) for run in runs])


def comparison_of(outcomes: Sequence[Outcome]) -> Comparison:
    """What came out of two or more runs, side by side."""
    first = outcomes[0]
    differs: dict[str, list[str]] = {}
    for place, other in enumerate(outcomes[1:], start=1):
        for found in differences(first.plan, other.plan):
            row = differs.setdefault(found.field, [found.now] * len(outcomes))
            row[place] = found.then
    return Comparison(
        runs=tuple(_compared(o) for o in outcomes),
        differs={name: tuple(row) for name, row in differs.items() if not name.startswith("evidence")},
        notes=_notes(outcomes),
    )


def _compared(o: Outcome) -> Compared:
    return Compared(
        name=Path(o.run).name,
        status=o.status,
        source=o.plan.data,
        strategy=o.plan.strategy.value,
        family=o.family or "",
        metric=o.metric,
        trials=o.counts.get("completed", 0),
        seconds=o.seconds,
        validation_score=o.validation_score if o.validation_score is not None else o.best_value,
        heldout_score=o.heldout_score,
        gain=o.gain,
    )


def _notes(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    notes = []
    if len({o.plan.data_fingerprint for o in outcomes}) > 1:
        notes.append("The runs saw different data: their scores say nothing about each other.")
    if len({o.metric for o in outcomes}) > 1:
        notes.append("The runs were scored by different metrics: their scores have different units.")
    if len({o.plan.validation.model_dump_json() for o in outcomes}) > 1:
        notes.append("The runs were validated on different splits: small differences may be those of the splits.")
    if not notes and any(o.gain is not None for o in outcomes):
        notes.append("Each interval compares a run with its own default; where two overlap, the runs cannot be told apart by them.")
    return tuple(notes)
