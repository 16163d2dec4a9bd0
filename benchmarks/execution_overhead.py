"""What our execution costs over scikit-learn called by hand: the same candidates, splits and scores, as a ratio of times.

    python -m benchmarks.execution_overhead [--candidates 4] [--rounds 5] [--fit-seconds 0.5]

One side is `RandomizedSearchCV(n_jobs=1, refit=False).fit`. The other is a run's own search stage: engine, drive, one worker
process, a report after every fold, and a journal on disk. Both use one thread and take turns at the same candidates; the
ratio is that of the fastest rounds, because other work on the machine only ever adds time. Processor seconds (this process
and the worker) stand beside it: they hold on a busy machine, but not the waits for disk and pipe. A worker's start
(interpreter and imports) is paid once a run and printed apart. The scores of both sides must be equal to the last bit, or
the benchmark fails.

Ends with 1 when the ratio of wall times is above 1.05.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
os.environ.update(THREADS)

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
import psutil  # noqa: E402
from sklearn.datasets import make_classification  # noqa: E402
from sklearn.model_selection import RandomizedSearchCV, StratifiedKFold  # noqa: E402

from advisor.core.events import Event, RunStarted, StudyState, fold  # noqa: E402
from advisor.core.facts import Column, ColumnKind, Task  # noqa: E402
from advisor.core.family import Cost, Family, Preprocessing  # noqa: E402
from advisor.core.ports import Engine, Limits, Proposal  # noqa: E402
from advisor.core.space import Float, SearchSpace  # noqa: E402
from advisor.engines.portfolio import FixedEngine  # noqa: E402
from advisor.engines.sklearn_search import RandomEngine, distributions  # noqa: E402
from advisor.journal import Journal  # noqa: E402
from advisor.objectives.scoring import scorer  # noqa: E402
from advisor.objectives.splitting import write_splits  # noqa: E402
from advisor.objectives.tables import TARGET, TableObjective, read_prepared  # noqa: E402
from advisor.supervise.commands import CommandBox  # noqa: E402
from advisor.supervise.loop import drive  # noqa: E402
from advisor.supervise.pool import WorkerPool  # noqa: E402

TARGET_RATIO = 1.05
SPLITS = 3
ROWS, FEATURES = 4000, 20
SPACE = SearchSpace(parameters={"max_features": Float(0.3, 0.5, default=0.4), "min_samples_leaf": Float(0.001, 0.002, default=0.001)})


def family(trees: int) -> Family:
    """A forest of that many trees, whose fits take the same time for every candidate."""
    return Family(
        name="random_forest",
        title="random forest",
        estimators={Task.BINARY: "sklearn.ensemble:RandomForestClassifier"},
        fixed={"n_estimators": trees},
        preprocessing=Preprocessing(numeric="impute", category="ordinal"),
        cost=Cost(base_seconds=0.0, scale_seconds=0.0),
        space=SPACE,
        threads_argument="n_jobs",
    )


def prepared(folder: Path, trees: int) -> TableObjective:
    """The objective on a table of numbers in `folder`."""
    X, y = make_classification(ROWS, FEATURES, n_informative=10, random_state=0)
    frame = pl.DataFrame({f"x{i}": X[:, i] for i in range(FEATURES)})
    table, splits = folder / "table.arrow", folder / "splits.npz"
    frame.with_columns(pl.Series(TARGET, y)).write_ipc(table, compression="uncompressed")
    write_splits(splits, list(StratifiedKFold(SPLITS, shuffle=True, random_state=0).split(X, y)))
    columns = [Column(name=name, kind=ColumnKind.NUMERIC) for name in frame.columns]
    return TableObjective(
        table=table, splits=splits, family=family(trees), columns=columns, target="y", task=Task.BINARY, metric="log_loss", classes=(0, 1)
    )


def trees_for(folder: Path, seconds: float) -> int:
    """So many trees that one fit and score takes about `seconds`."""
    trees = 10
    objective = prepared(folder, trees)
    list(objective(SPACE.default()))  # imports and caches
    began = time.process_time()
    list(objective(SPACE.default()))
    return max(1, round(trees * seconds * SPLITS / (time.process_time() - began)))


def processor_seconds() -> float:
    """Processor time of this process and its living children so far."""
    me = psutil.Process()
    times = [p.cpu_times() for p in (me, *me.children(recursive=True))]
    return float(sum(t.user + t.system for t in times))


def ours(engine: Engine, pool: WorkerPool, folder: Path) -> tuple[float, float]:
    """Wall and processor seconds of the search stage with warm workers."""
    state = StudyState()
    began, used = time.perf_counter(), processor_seconds()
    with Journal.open(folder / "journal.db") as journal:

        def emit(event: Event) -> None:
            nonlocal state
            journal.emit(event)
            state = fold(state, event)

        emit(RunStarted(run="overhead", plan={"direction": "minimize"}))
        drive(
            engine,
            pool,
            stage="search",
            family="random_forest",
            objective_name=lambda _proposal: "search",
            limits=Limits(deadline=time.monotonic() + 3600, trial_seconds=3600),
            emit=emit,
            state=lambda: state,
            next_trial=0,
            clock=time.monotonic,
            commands=CommandBox(folder),
        )
    return time.perf_counter() - began, processor_seconds() - used


def theirs(objective: TableObjective, candidates: int) -> tuple[float, float, dict[str, Any]]:
    """Wall and processor seconds of scikit-learn's own search in this process, and its table."""
    data = read_prepared(objective.table)
    with np.load(objective.splits) as file:
        splits = [(file[f"train_{i}"], file[f"test_{i}"]) for i in range(SPLITS)]
    named = {f"model__{name}": values for name, values in dict(distributions(SPACE)).items()}  # type: ignore[arg-type]
    search = RandomizedSearchCV(
        objective.pipeline({}),
        named,
        n_iter=candidates,
        random_state=0,
        cv=splits,
        scoring=scorer(objective.metric, len(objective.classes)),
        refit=False,
        n_jobs=1,
    )
    began, used = time.perf_counter(), time.process_time()
    search.fit(data.frame, data.y)
    return time.perf_counter() - began, time.process_time() - used, search.cv_results_


def _said(seconds: tuple[float, float]) -> str:
    return f"{seconds[0]:6.2f} s ({seconds[1]:6.2f} of a processor)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fit-seconds", type=float, default=0.5)
    asked = parser.parse_args()
    own: list[tuple[float, float]] = []
    library: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objective = prepared(folder, trees_for(folder, asked.fit_seconds))
        began = time.perf_counter()
        with WorkerPool(size=1, environment=THREADS, memory_bytes=None, log_folder=folder / "logs") as pool:
            pool.register("search", objective)
            (folder / "warm").mkdir()
            ours(FixedEngine([Proposal(0, SPACE.default())]), pool, folder / "warm")
            print(f"the first trial, the worker's start included: {time.perf_counter() - began:.2f} s")
            for number in range(asked.rounds):
                place = folder / f"round-{number}"
                place.mkdir()
                engine = RandomEngine(SPACE, direction="minimize", seed=0, splits=SPLITS, n_iter=asked.candidates)
                own.append(ours(engine, pool, place))
                results = engine.results()
                engine.close()
                *seconds, table = theirs(objective, asked.candidates)
                library.append((seconds[0], seconds[1]))
                for key in ("mean_test_score", "rank_test_score", *(f"split{i}_test_score" for i in range(SPLITS))):
                    np.testing.assert_array_equal(results[key], table[key])
                print(f"round {number}   ours {_said(own[-1])}   scikit-learn {_said(library[-1])}")
    wall = min(w for w, _ in own) / min(w for w, _ in library)
    processor = min(c for _, c in own) / min(c for _, c in library)
    fit = min(c for _, c in library) / (asked.candidates * SPLITS)
    print(f"{asked.candidates} candidates × {SPLITS} splits, a fit of {fit:.2f} processor seconds")
    print(f"ratio of wall times {wall:.3f} (at most {TARGET_RATIO}), of processor times {processor:.3f}")
    return int(wall > TARGET_RATIO)


if __name__ == "__main__":
    sys.exit(main())
