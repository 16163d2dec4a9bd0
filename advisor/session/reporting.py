"""The HTML report of a run: what it is made from is put together here, and where it lies."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advisor import __version__
from advisor.core.errors import InputError
from advisor.core.events import StudyState
from advisor.core.facts import Facts
from advisor.core.importance import importance
from advisor.core.plan import Plan
from advisor.core.redaction import secret_values
from advisor.core.revisions import Seen
from advisor.core.space import Config, SearchSpace
from advisor.session.folder import RunFolder, write_atomically
from advisor.session.outcomes import outcome_of

if TYPE_CHECKING:
    from advisor.report.html_told import Told

FILE = "report.html"


def report(run: str | Path, *, out: str | Path | None = None, runs: str | Path = "runs") -> Path:
    """Where the HTML report of `run` was written: ``report.html`` in its folder, else `out`. The run may still be going.

    Raises: RunNotFoundError without such a run; InputError when it has no plan yet, or the place cannot be written.
    """
    from advisor.session.following import find_run, follow

    run_dir = find_run(run, runs)
    folder = RunFolder(run_dir)
    target = Path(out) if out is not None else folder.path / FILE
    page = report_text(folder, follow(run_dir).poll())
    try:
        write_atomically(target, page)
    except OSError as error:
        raise InputError(
            f"cannot write the report: {error.strerror}", where=str(target), cure="Name a place that can be written with --out."
        ) from error
    return target


def report_text(folder: RunFolder, state: StudyState, *, with_importance: bool = True) -> str:
    """The report of a run as far as `state` tells it; `with_importance` False leaves out what takes longest.

    Raises: InputError when the run has no plan yet.
    """
    from advisor.report.html import report_html

    return report_html(told_of(folder, state, with_importance=with_importance))


def told_of(folder: RunFolder, state: StudyState, *, with_importance: bool = True) -> Told:
    """What the report is made from."""
    from advisor.report.html_told import Told

    outcome = outcome_of(str(folder.path), state)
    facts = _facts(folder)
    found: Sequence[Weight] = ()
    note = "It was not measured: the budget was used up. `advisor report` measures it."
    if with_importance:
        found, note = _importances(state, outcome.plan)
    return Told(
        name=folder.path.resolve().name,
        state=state,
        outcome=outcome,
        facts=facts,
        importances=found,
        importance_note=note,
        repeat=_repeat(state, facts),
        secrets=secret_values(os.environ),
        written=time.time(),
        version=__version__,
    )


IMPORTANCE_SECONDS = 2.0
"""What measuring importance takes with many trials, on a busy machine."""


def offer_report(folder: RunFolder, page: str | None) -> None:
    """Writes the page at the end of a run where one was made; what keeps it from that ends nothing."""
    if page is not None:
        with suppress(OSError):
            write_atomically(folder.path / FILE, page)


def _facts(folder: RunFolder) -> Facts | None:
    try:
        return folder.read_facts()
    except InputError:
        return None


def _repeat(state: StudyState, facts: Facts | None) -> str:
    """The command that does the same again, as complete as the answers are."""
    from advisor.report.html_words import command_of

    if facts is None or not state.command:
        return state.command
    return command_of(facts.answers, None if facts.objective is not None else facts.data.source)


@dataclass(frozen=True, slots=True)
class Weight:
    """How much one hyperparameter matters, and how sure that is."""

    name: str
    """The hyperparameter."""
    value: float
    """Share of the shift of the best trials that lies along it, 0..1."""
    explained: float
    """Share of the ranks of all scores that it explains by itself, 0..1."""
    low: float
    """5 % of the resamples lie below."""
    high: float
    """5 % of the resamples lie above."""


RESAMPLES = 20
"""Bootstrap draws: the ends of a 90 % interval are then the second lowest and the second highest."""
MOST_DRAWN = 160
"""Draws times hyperparameters, at most: each costs about 5 ms."""
FEWEST = 10
"""Finished trials below which nothing is told."""
MOST = 600
"""Trials used, the latest."""


def weights(trials: Sequence[tuple[Config, float]], space: SearchSpace, *, is_maximised: bool, seed: int) -> tuple[Weight, ...]:
    """The hyperparameters that vary over `trials`, the most important first; empty where too little is known.

    The interval is a bootstrap over the trials, drawn with `seed`: equal trials give equal figures.
    """
    sign = -1.0 if is_maximised else 1.0
    seen = [Seen(config, sign * value) for config, value in trials[-MOST:]]
    whole = importance(space, seen)
    if len(seen) < FEWEST or not whole or not any(w.top_shift for w in whole.values()):
        return ()
    draws = random.Random(seed)
    count = max(8, min(RESAMPLES, MOST_DRAWN // len(whole)))
    told = [importance(space, draws.choices(seen, k=len(seen))) for _ in range(count)]
    out = []
    for name, found in whole.items():
        spread = sorted(t[name].top_shift if name in t else 0.0 for t in told)
        edge = count // 20
        low, high = min(spread[edge], found.top_shift), max(spread[-1 - edge], found.top_shift)
        out.append(Weight(name, found.top_shift, found.explained, low, high))
    return tuple(sorted(out, key=lambda w: (-w.value, -w.explained, w.name)))


def _importances(state: StudyState, plan: Plan) -> tuple[Sequence[Weight], str]:
    """The importance of the best trial's hyperparameters, and how it was measured or why it was not."""
    from advisor.report.charts_run import scored, searched
    from advisor.report.html_told import spaces_of

    best = state.trials.get(state.best) if state.best is not None else None
    if best is None:
        return (), "No trial finished, so nothing can be said."
    trials = [(t.config, v) for t, v in scored(searched(state)) if t.family == best.family and t.is_static]
    if len(trials) < FEWEST:
        return (), f"With {len(trials)} finished trial{'s' * (len(trials) != 1)} of {best.family} nothing can be said; {FEWEST} are needed."
    space = spaces_of(state, plan).get(best.family, SearchSpace())
    found = weights(trials, space, is_maximised=state.direction == "maximize", seed=plan.seed)
    if not found:
        return (), "The trials do not tell: their scores are too alike, or no hyperparameter moved."
    note = f"Measured over {min(len(trials), MOST)} finished trials of {best.family}, within the ranges that were searched."
    if any(w.high - w.low > 0.5 for w in found):
        note += " The wide intervals say that these trials do not settle the order."
    return found, note
