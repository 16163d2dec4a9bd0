"""Optuna studies that others have made, read from their storage. Nothing in it is changed, nor created where nothing is."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from advisor.core.diagnosis_trials import Study, Tried
from advisor.core.errors import InputError, nearest
from advisor.core.space import Choice, Float, Int, SearchSpace

_SQLITE = "sqlite:///"
_NO_CAUSE = "a cause that Optuna does not keep, such as a score of NaN or an error of the code"


def read_study(source: str, name: str | None = None) -> tuple[str, Study]:
    """Name and trials of the study `name` (the only one where none is named) in `source`: a storage URL, or the path of an SQLite file.

    Running and waiting trials are left out. Bounds are those of all trials together.

    Raises: InputError for a storage that cannot be read, an unknown study, several where none is named, and several objectives.
    """
    url = source if "://" in source else f"{_SQLITE}{source}"
    if url.startswith(_SQLITE):
        _check_sqlite(Path(unquote(url.removeprefix(_SQLITE).partition("?")[0])))
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = optuna.storages.RDBStorage(url, skip_table_creation=True)
        names = sorted(s.study_name for s in optuna.get_all_study_summaries(storage, include_best_trial=False))
        found = optuna.load_study(study_name=_chosen(names, name, source), storage=storage)
        return found.study_name, _study(found, source)
    except InputError:
        raise
    except Exception as error:  # whatever SQLAlchemy, a driver or Optuna says of a storage that is not one
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"the Optuna storage cannot be read: {first}",
            where=source,
            cure="Check the URL, and that its Optuna is as old as ours or older.",
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)


def is_study_file(path: Path) -> bool:
    """True for an SQLite file that holds Optuna's tables."""
    try:
        with path.open("rb") as opened:
            if opened.read(16) != b"SQLite format 3\0":
                return False
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return bool(database.execute("select 1 from sqlite_master where name = 'studies'").fetchall())
    except (OSError, sqlite3.Error):
        return False


def _check_sqlite(path: Path) -> None:
    """Raises: InputError where a file is missing or holds no study: Optuna would create one."""
    if not path.is_file():
        raise InputError(
            "there is no such database", where=str(path), cure="Check the path: sqlite:///relative.db or sqlite:////absolute.db."
        )
    if not is_study_file(path):
        raise InputError("the file holds no Optuna study", where=str(path), cure="Name the file that optuna.create_study was given.")


def _chosen(names: Sequence[str], name: str | None, source: str) -> str:
    if not names:
        raise InputError("the storage holds no study", where=source, cure="Name the storage that optuna.create_study was given.")
    if name is not None:
        if name not in names:
            raise InputError(f"there is no study {name!r}", where=source, cure=nearest(name, names))
        return name
    if len(names) > 1:
        listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        raise InputError(f"the storage holds {len(names)} studies: {listed}", where=source, cure="Name one with --study.")
    return names[0]


def _study(found: optuna.Study, source: str) -> Study:
    if len(found.directions) > 1:
        raise InputError(
            f"the study has {len(found.directions)} objectives", where=source, cure="Diagnosis reads one: make a study of one of them."
        )
    trials = [t for t in found.get_trials(deepcopy=False) if t.state.is_finished()]
    return Study(
        trials=tuple(_tried(t) for t in trials),
        direction="maximize" if found.direction == optuna.study.StudyDirection.MAXIMIZE else "minimize",
        space=SearchSpace(parameters=_parameters(trials)),
        prunes=True if any(t.state is TrialState.PRUNED for t in trials) else None,
    )


def _tried(trial: FrozenTrial) -> Tried:
    steps = tuple((s, v) for s, v in sorted(trial.intermediate_values.items()) if math.isfinite(v))
    value = trial.value if trial.state is TrialState.COMPLETE else None
    match trial.state:
        case TrialState.COMPLETE if value is not None and math.isfinite(value):
            return Tried(trial.number, dict(trial.params), "completed", value, steps=steps)
        case TrialState.COMPLETE:
            return Tried(trial.number, dict(trial.params), "failed", None, steps=steps, cause="the score is infinite")
        case TrialState.PRUNED:
            return Tried(trial.number, dict(trial.params), "pruned", steps[-1][1] if steps else None, steps=steps)
    return Tried(trial.number, dict(trial.params), "failed", None, steps=steps, cause=str(trial.system_attrs.get("fail_reason", _NO_CAUSE)))


def _parameters(trials: Sequence[FrozenTrial]) -> dict[str, Float | Int | Choice]:
    drawn: dict[str, list[BaseDistribution]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            drawn.setdefault(name, []).append(distribution)
    return {name: _parameter(found) for name, found in drawn.items()}


def _parameter(found: Sequence[BaseDistribution]) -> Float | Int | Choice:
    """What `found` are together: the widest bounds, every choice."""
    if isinstance(found[0], CategoricalDistribution):
        choices = [c for d in found if isinstance(d, CategoricalDistribution) for c in d.choices]
        return Choice([c for i, c in enumerate(choices) if not any(type(c) is type(e) and c == e for e in choices[:i])])
    numbers = [d for d in found if isinstance(d, FloatDistribution | IntDistribution)]
    low, high, log = min(d.low for d in numbers), max(d.high for d in numbers), all(d.log for d in numbers)
    if all(isinstance(d, IntDistribution) for d in numbers):
        return Int(int(low), int(high), log=log)
    return Float(float(low), float(high), log=log)
