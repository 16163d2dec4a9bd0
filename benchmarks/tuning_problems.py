"""How well does it tune? Runs `advisor.tune` and fixed strategies on a folder of tuning problems, on simulated time.

    python -m benchmarks.tuning_problems FOLDER [--scenario NAME] [--k 10 40] [--seeds 1] [--tasks every:4]
        [--fixed random tpe gp cmaes tpe+median tpe+hyperband …] [--without RULE …] [--rename none|x|swap] [--noise 0.05]
        [--lines FILE] [--with-lines FILE …]

FOLDER holds ``surrogate.py`` and one folder a scenario (model, spaces, ``reference.json``). The score is the normalised regret,
(score − best known) / (median of random configurations − best known), of the configuration that is returned once the simulated
budget, k × the median time of one full run, is spent; it is re-evaluated at full length and without noise. The regret on the
test score is normalised by the same tasks' random configurations. Intervals are 95 % bootstrap intervals over tasks, seeds
averaged first; ours is compared with the best fixed strategy at that k, paired by task. ``--without`` runs the product without
the named rules too: the effect of a rule, printed as the line that stands beside the rule in the rulebook. For each such run the
saving is printed too: the time it takes to the worse of the two final scores over the time the whole product takes to it, by task,
as a geometric mean.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import math
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import advisor
from advisor import Fidelity, Float, Int, Measurement
from advisor.core.errors import NothingFinishedError

PRUNERS = ("none", "median", "hyperband")
SAMPLERS = ("random", "tpe", "gp", "cmaes")


@dataclass
class Simulated:
    """A clock that only objectives move."""

    now: float = 0.0
    """Seconds."""

    def __call__(self) -> float:
        """Seconds since it was made."""
        return self.now


@dataclass(frozen=True)
class Row:
    """One run of one method on one task with one budget."""

    method: str
    task: str
    seed: int
    k: int
    regret: float
    test_regret: float
    trials: int
    completed: int
    strategy: str
    spent: float
    own_seconds: float
    pruner: str = "none"
    rename: str = "none"
    noise: float = 0.0
    trace: tuple[tuple[float, float], ...] = ()
    """Budget used in full runs, and the best score so far, at each improvement."""


class Task:
    """One tuning problem: curves over the fidelity, of score, test score and time."""

    def __init__(self, folder: Path, scenario: str, name: str, *, rename: str, noise: float, seed: int) -> None:
        surrogate = _surrogate_class(folder)
        self.model = surrogate(folder / scenario, name)
        self.name = name
        reference = json.loads((folder / scenario / "reference.json").read_text())[name]
        self.best, self.median, self.seconds = reference["best"], reference["median"], reference["seconds"]
        self.noise, self.rename = noise, rename
        self.random = np.random.default_rng([seed, *name.encode()])
        raw = self.model.space()
        fidelity = self.model.meta["fidelity"][0]
        bounds = self.model.parameters[fidelity]
        self.fidelity = Fidelity(fidelity, max(1, int(bounds["lower"])), int(bounds["upper"]))
        self.raw = raw
        shown = list(raw)
        if rename == "x":
            shown = [f"x{i + 1}" for i in range(len(raw))]
        elif rename == "swap":
            shown = _deranged(shown, random.Random(name))
        self.real = dict(zip(shown, raw, strict=True))
        self.space = {s: _parameter(raw[r]) for s, r in self.real.items()}
        targets = self.model.meta["targets"]
        self.time_at = targets.index(self.model.meta["runtime"])
        self.score_at = targets.index("val_cross_entropy")
        self.test_at = targets.index("test_cross_entropy")
        self.test_best, self.test_median = self._test_reference()

    def curves(self, config: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Time, score and test score at each step, from 1."""
        steps = self.fidelity.high
        real = {self.real.get(n, n): v for n, v in config.items()}
        meta, encoding = self.model.meta, self.model.encoding
        values = {**real, self.model.instance_name: self.name}
        cat = [encoding[n].get(str(values.get(n)), 0) for n in meta["categorical"]]
        cont = np.array([[float(values.get(n) or 0.0) for n in meta["continuous"]]] * steps, np.float32)
        cont[:, meta["continuous"].index(self.fidelity.name)] = np.arange(1, steps + 1)
        out = self.model.session.run(None, {"x_cat": np.array([cat] * steps, np.int32), "x_cont": cont})[0]
        seconds = np.maximum.accumulate(np.maximum(out[:, self.time_at], 0.0))
        return seconds, out[:, self.score_at].astype(float), out[:, self.test_at].astype(float)

    def regret(self, config: dict[str, Any]) -> tuple[float, float]:
        """Normalised regret of a configuration at full length, on the score and on the test score."""
        _, score, test = self.curves(config)
        return (
            (float(score[-1]) - self.best) / (self.median - self.best),
            (float(test[-1]) - self.test_best) / (self.test_median - self.test_best),
        )

    def objective(self, clock: Simulated) -> Callable[..., Iterator[Measurement]]:
        """The task as a training function whose epochs take simulated time."""

        def train(config: dict[str, Any], checkpoint: Any = None) -> Iterator[Measurement]:
            seconds, score, _ = self.curves(config)
            start = int(checkpoint or 0)
            for step in range(start + 1, self.fidelity.high + 1):
                clock.now += float(seconds[step - 1] - (seconds[step - 2] if step > 1 else 0.0))
                said = float(score[step - 1])
                if self.noise:
                    said += self.noise * (self.median - self.best) * float(self.random.standard_normal())
                yield Measurement(step, said, checkpoint=step)

        return train

    def _test_reference(self) -> tuple[float, float]:
        draw = np.random.default_rng(0)
        module = sys.modules["_tuning_problems_surrogate"]
        values = [self.curves({s: c[r] for s, r in self.real.items()})[2][-1] for c in (module.sample(self.raw, draw) for _ in range(300))]
        return float(min(values)), float(np.median(values))


def _surrogate_class(folder: Path) -> Any:
    name = "_tuning_problems_surrogate"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / "surrogate.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name].Surrogate


def _deranged(names: list[str], draw: random.Random) -> list[str]:
    while True:
        shuffled = draw.sample(names, len(names))
        if all(a != b for a, b in zip(names, shuffled, strict=True)):
            return shuffled


def _parameter(raw: dict[str, Any]) -> Float | Int:
    kind = Int if raw["type"] == "uniform_int" else Float
    return kind(raw["lower"], raw["upper"], log=bool(raw.get("log")))


@contextmanager
def rules_without(names: Sequence[str]) -> Iterator[None]:
    """The product decides without the rules of these ids."""
    from advisor.rulebook.loading import load_rulebook
    from advisor.session import planning

    whole = load_rulebook()
    unknown = [n for n in names if whole.rule(n) is None]
    if unknown:
        raise SystemExit(f"There is no rule {unknown[0]!r}.")
    kinds = ("strategy_rules", "shortlist_rules", "field_rules", "tips", "adjustments")
    kept: dict[str, Any] = {kind: tuple(r for r in getattr(whole, kind) if r.id not in names) for kind in kinds}
    reduced = replace(whole, **kept)
    before = planning.rulebook
    planning.rulebook = lambda: reduced  # type: ignore[assignment]
    try:
        yield
    finally:
        planning.rulebook = before


def ours(task: Task, k: int, seed: int, *, strategy: str = "auto", without: Sequence[str] = ()) -> Row:
    """One run of the product."""
    with rules_without(without):
        return _ours(task, k, seed, strategy=strategy, name="ours" + "".join(f"-{n}" for n in without))


def _ours(task: Task, k: int, seed: int, *, strategy: str, name: str) -> Row:
    clock = Simulated()
    began = time.monotonic()
    try:
        found = advisor.tune(
            task.objective(clock),
            task.space,
            direction="minimize",
            fidelity=task.fidelity,
            budget_seconds=k * task.seconds,
            seed=seed,
            isolation="inline",
            clock=clock,
            strategy=strategy,
        )
        assert found.best_config is not None
        regret = task.regret(found.best_config)
        trials, completed, used = len(found.trials), sum(t.status == "completed" for t in found.trials), found.plan.strategy.value
        pruner = found.plan.pruner.name
        trace = _trace(task, found)
    except NothingFinishedError:
        regret, trials, completed, used, pruner, trace = (1.0, 1.0), 0, 0, "nothing finished", "none", ()
    if strategy != "auto":
        name += f":{strategy}"
    spent, own = clock.now / task.seconds, time.monotonic() - began
    return Row(name, task.name, seed, k, *regret, trials, completed, used, spent, own, pruner, task.rename, task.noise, trace)


def _trace(task: Task, found: advisor.Outcome) -> tuple[tuple[float, float], ...]:
    out: list[tuple[float, float]] = []
    used = 0.0
    for trial in found.trials:
        used += trial.seconds
        if trial.status == "completed" and trial.value is not None and (not out or trial.value < out[-1][1]):
            out.append((round(used / task.seconds, 4), trial.value))
    return tuple(out)


def fixed(task: Task, method: str, budgets: list[int], seed: int) -> list[Row]:
    """One run of Optuna directly, read at each budget: a trial counts once it has ended."""
    import optuna
    from optuna.distributions import FloatDistribution, IntDistribution

    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    sampler_name, _, pruner_name = method.partition("+")
    samplers: dict[str, Callable[[], Any]] = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
        "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed),
    }
    pruners: dict[str, Callable[[], Any]] = {
        "": optuna.pruners.NopPruner,
        "none": optuna.pruners.NopPruner,
        "median": optuna.pruners.MedianPruner,
        "hyperband": lambda: optuna.pruners.HyperbandPruner(1, task.fidelity.high, 3),
    }
    study = optuna.create_study(direction="minimize", sampler=samplers[sampler_name](), pruner=pruners[pruner_name]())
    space: dict[str, Any] = {
        n: (IntDistribution if isinstance(p, Int) else FloatDistribution)(p.low, p.high, log=p.log)  # type: ignore[arg-type]
        for n, p in task.space.items()
    }
    clock = Simulated()
    train = task.objective(clock)
    began = time.monotonic()
    best: tuple[float, dict[str, Any]] | None = None
    rows: list[Row] = []
    waiting = sorted(budgets)
    trials = completed = 0

    def read() -> None:
        while waiting and clock.now >= waiting[0] * task.seconds:
            k = waiting.pop(0)
            regret = task.regret(best[1]) if best is not None else (1.0, 1.0)
            rows.append(
                Row(method, task.name, seed, k, *regret, trials, completed, method, clock.now / task.seconds, time.monotonic() - began)
            )

    while waiting:
        trial = study.ask(space)
        config = dict(trial.params)
        value = math.nan
        is_pruned = False
        for measured in train(config):
            value = measured.value
            read()
            if not waiting:
                return rows
            trial.report(value, measured.step)
            if measured.step < task.fidelity.high and trial.should_prune():
                is_pruned = True
                break
        trials += 1
        study.tell(
            trial, None if is_pruned else value, state=optuna.trial.TrialState.PRUNED if is_pruned else optuna.trial.TrialState.COMPLETE
        )
        if not is_pruned:
            completed += 1
            if best is None or value < best[0]:
                best = (value, config)
    return rows


def interval(values: list[float], *, repeats: int = 2000) -> tuple[float, float]:
    """A 95 % bootstrap interval of the mean."""
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(repeats))
    return means[int(0.025 * repeats)], means[int(0.975 * repeats) - 1]


def summary(rows: list[Row]) -> str:
    """One line a method and budget, and ours over the best fixed one."""
    lines = [
        f"{'method':16}{'k':>5}{'tasks':>6}{'regret':>9}{'95 % interval':>18}{'median':>9}{'test':>8}{'trials':>8}{'full':>7}{'own s':>8}"
    ]
    by: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for row in rows:
        by.setdefault((row.method, row.k), {}).setdefault(row.task, []).append(row)
    means: dict[tuple[str, int], dict[str, float]] = {}
    for (method, k), tasks in sorted(by.items(), key=lambda entry: (entry[0][1], entry[0][0])):
        means[method, k] = {t: statistics.fmean(r.regret for r in mine) for t, mine in tasks.items()}
        values = list(means[method, k].values())
        low, high = interval(values)
        every = [r for mine in tasks.values() for r in mine]
        lines.append(
            f"{method:16}{k:>5}{len(values):>6}{statistics.fmean(values):>9.3f}{f'[{low:.3f}, {high:.3f}]':>18}"
            f"{statistics.median(values):>9.3f}"
            f"{statistics.fmean(r.test_regret for r in every):>8.3f}{statistics.fmean(r.trials for r in every):>8.1f}"
            f"{statistics.fmean(r.completed for r in every):>7.1f}{statistics.fmean(r.own_seconds for r in every):>8.1f}"
        )
    for k in sorted({r.k for r in rows}):
        mine = means.get(("ours", k))
        others = {m: v for (m, kk), v in means.items() if kk == k and not m.startswith("ours")}
        if not mine or not others:
            continue
        shared = [t for t in mine if all(t in v for v in others.values())]
        if not shared:
            continue
        name = min(others, key=lambda m: statistics.fmean(others[m][t] for t in shared))
        a, b = statistics.fmean(mine[t] for t in shared), statistics.fmean(others[name][t] for t in shared)
        low, high = interval([mine[t] - others[name][t] for t in shared])
        lines.append(
            f"k = {k}: ours {a:.3f}, best fixed ({name}) {b:.3f}, ratio {a / b:.2f};"
            f" paired difference {a - b:+.3f} [{low:+.3f}, {high:+.3f}] over {len(shared)} tasks"
        )
    for other in sorted({r.method for r in rows if r.method.startswith("ours-")}):
        lines += [text(rows, other, k) for k in sorted({r.k for r in rows if r.method == other}) for text in (savings, effect)]
    return "\n".join(lines)


def savings(rows: list[Row], other: str, k: int) -> str:
    """How much longer `other` takes than the whole product to what both reach, as a geometric mean over tasks."""
    by = {(r.method, r.task, r.seed): r for r in rows if r.k == k and r.trace}
    logs: dict[str, list[float]] = {}
    for (method, task, seed), row in by.items():
        whole = by.get(("ours", task, seed))
        if method == other and whole is not None:
            level = max(row.trace[-1][1], whole.trace[-1][1])
            logs.setdefault(task, []).append(math.log(_reached(row, level) / _reached(whole, level)))
    if not logs:
        return f"k = {k}: {other} was not run beside ours"
    means = [statistics.fmean(v) for v in logs.values()]
    low, high = interval(means)
    trusted = statistics.fmean(r.pruner == "earned" and r.completed < r.trials - 1 for r in rows if r.method == "ours" and r.k == k)
    return (
        f"k = {k}: {other} takes {math.exp(statistics.fmean(means)):.2f} times as long [{math.exp(low):.2f}, {math.exp(high):.2f}] over"
        f" {len(means)} tasks, least {math.exp(min(means)):.2f}; pruning stopped trials in {trusted:.0%} of the runs"
    )


def effect(rows: list[Row], other: str, k: int) -> str:
    """What a rule does to the regret, as the line that stands beside it in the rulebook: the product less the product without it."""
    by = {(r.method, r.task, r.seed): r.regret for r in rows if r.k == k}
    off: dict[str, list[float]] = {}
    for (method, task, seed), regret in by.items():
        if method == other and ("ours", task, seed) in by:
            off.setdefault(task, []).append(by["ours", task, seed] - regret)
    if not off:
        return f"k = {k}: {other} was not run beside ours"
    means = [statistics.fmean(v) for v in off.values()]
    low, high = interval(means)
    seeds = max(len(v) for v in off.values())
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("optuna", "torch"))
    return (
        f"k = {k}, {seeds} seeds:"
        f" evidence = {{ effect = {statistics.fmean(means):.3f}, interval = [{low:.3f}, {high:.3f}], tasks = {len(means)},"
        f' command = "python -m benchmarks.tuning_problems FOLDER --k {k} --seeds {seeds} --without {other.removeprefix("ours-")}",'
        f' date = "{time.strftime("%Y-%m-%d")}", versions = "{versions}" }}'
    )


def _reached(row: Row, level: float) -> float:
    return next(used for used, value in row.trace if value <= level)


def chosen(names: list[str], wanted: str) -> list[str]:
    """``all``, ``every:4``, ``every:2+1`` (from the second on), or names between commas."""
    if wanted == "all":
        return names
    if wanted.startswith("every:"):
        step, _, first = wanted[6:].partition("+")
        return names[int(first or 0) :: int(step)]
    unknown = [n for n in wanted.split(",") if n not in names]
    if unknown:
        raise SystemExit(f"no task {unknown[0]!r}: write all, every:4, every:2+1, or names between commas")
    return [n for n in names if n in wanted.split(",")]


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenario", default=None, help="folder of the scenario; the first one that there is")
    parser.add_argument("--k", type=int, nargs="+", default=[10, 40])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--tasks", default="every:4")
    parser.add_argument("--fixed", nargs="*", default=[])
    parser.add_argument("--no-ours", action="store_true")
    parser.add_argument("--strategy", default="auto", help="what `advisor.tune` is asked for")
    parser.add_argument("--without", nargs="*", default=[], help="rules to leave out, in runs of their own")
    parser.add_argument("--rename", choices=("none", "x", "swap"), default="none")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation, as a share of median − best")
    parser.add_argument("--lines", type=Path, default=None, help="append one JSON line a run")
    parser.add_argument("--with-lines", type=Path, nargs="*", default=[], help="rows of earlier runs to compare with")
    given = parser.parse_args()
    folder: Path = given.folder
    scenario = given.scenario or next(p.parent.name for p in sorted(folder.glob("*/reference.json")))
    names = list(json.loads((folder / scenario / "reference.json").read_text()))
    tasks = chosen(names, given.tasks)
    rows: list[Row] = []
    for path in given.with_lines:
        for line in path.read_text().splitlines():
            raw = json.loads(line)
            rows.append(Row(**{**raw, "trace": tuple((a, b) for a, b in raw.get("trace", ()))}))
    rows = [r for r in rows if r.task in tasks and r.k in given.k]

    def keep(found: list[Row]) -> None:
        for row in found:
            rows.append(row)
            print(
                f"{row.method} {row.task} seed {row.seed} k {row.k}: {row.regret:.3f} ({row.completed} of {row.trials}, {row.strategy})",
                file=sys.stderr,
            )
            if given.lines:
                with given.lines.open("a") as out:
                    out.write(json.dumps(asdict(row)) + "\n")

    for name in tasks:
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            task = Task(folder, scenario, name, rename=given.rename, noise=given.noise, seed=seed)
            for method in given.fixed:
                keep(fixed(task, method, given.k, seed))
            if not given.no_ours:
                for k in given.k:
                    keep([ours(task, k, seed, strategy=given.strategy)])
            if given.without:
                for k in given.k:
                    keep([ours(task, k, seed, strategy=given.strategy, without=given.without)])
    print(summary(rows))


if __name__ == "__main__":
    main()
