"""Every engine in one list, and a drive that stands in for the supervisor: it replays, runs W trials at a time, and measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from advisor.core.plan import Candidate, Pruner
from advisor.core.ports import Engine, Proposal, Result
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.engines.optuna_study import OptunaEngine, SamplerName
from advisor.engines.portfolio import FixedEngine, PortfolioEngine
from advisor.engines.sklearn_search import GridEngine, HalvingGridEngine, HalvingRandomEngine, RandomEngine
from advisor.supervise.loop import PAUSED

SPLITS = 3

NUMERIC = SearchSpace(
    parameters={
        "rate": Float(1e-4, 1.0, log=True, default=0.1),
        "share": Float(0.1, 0.9, default=0.5),
        "depth": Int(1, 64, log=True, default=8),
    }
)
MIXED = SearchSpace(
    parameters={
        "kind": Choice(["plain", "curved"], default="plain"),
        "rate": Float(1e-4, 1.0, log=True, default=0.1),
        "degree": Int(2, 5, default=3, when={"kind": ("curved",)}),
        "weight": Choice([None, "even"], default=None),
    }
)


def bowl(config: Config) -> tuple[float, ...]:
    """Scores of three splits, smaller is better: a bowl in each number, a fixed price for each word, and noise between splits."""
    total = 0.0
    for name, value in config.items():
        if isinstance(value, str) or value is None:
            total += 0.1 * (len(str(value)) % 3)
        else:
            total += (math.log10(value) - 0.1 * len(name)) ** 2
    return tuple(total + 0.4 * math.sin(9 * total + 2 * split) for split in range(SPLITS))


def completed(scores: Sequence[float]) -> Result:
    means = [math.fsum(scores[:n]) / n for n in range(1, len(scores) + 1)]
    return Result("completed", means[-1], tuple(scores), tuple(enumerate(means, start=1)), 0.01, 0.003)


@dataclass
class Drive:
    """Drives an engine as the supervisor does; `log` holds key, proposal and result in order of their ends."""

    engine: Engine
    workers: int = 1
    fails: Callable[[Proposal], bool] = lambda p: False
    log: list[tuple[Proposal, Result]] = field(default_factory=list)

    def run(self, trials: int) -> Drive:
        running: list[Proposal] = []
        started = 0
        while True:
            while len(running) < self.workers and started < trials:
                proposal = self.engine.propose()
                if proposal is None:
                    break
                running.append(proposal)
                started += 1
            if not running:
                return self
            # The middle one ends first where two run, so that ends come in another order than starts.
            proposal = running.pop(len(running) // 2)
            result = self._measure(proposal)
            self.log.append((proposal, result))
            self.engine.tell(proposal, result)

    def replay(self, log: Sequence[tuple[Proposal, Result]]) -> Drive:
        for proposal, result in sorted(log, key=lambda entry: entry[0].key):
            self.engine.tell(proposal, result)
        return self

    @property
    def proposals(self) -> list[Proposal]:
        return sorted((p for p, _ in self.log), key=lambda p: p.key)

    def _measure(self, proposal: Proposal) -> Result:
        if self.fails(proposal):
            return Result("failed", cause="it broke")
        result = completed(bowl(proposal.config))
        for at, (step, value) in enumerate(result.steps):
            if self.engine.observe(proposal, step, value):
                return Result("pruned", value, (), result.steps[: at + 1], 0.01, 0.003)
            if step == proposal.until:
                return Result("pruned", value, (), result.steps[: at + 1], 0.01, 0.003, cause=f"{PAUSED} {step}")
        return result


def race(direction: str = "minimize") -> PortfolioEngine:
    def candidate(family: str, space: SearchSpace, *starts: Config) -> Candidate:
        return Candidate(family=family, space=space, starts=(space.default(), *starts), fit_seconds=0.1)

    return PortfolioEngine(
        [
            candidate("first", NUMERIC, {"rate": 0.01, "share": 0.2, "depth": 4}, {"rate": 0.5, "share": 0.7, "depth": 2}),
            candidate(
                "second",
                MIXED,
                {"kind": "curved", "rate": 0.3, "degree": 2, "weight": "even"},
                {"kind": "plain", "rate": 0.9, "weight": None},
            ),
            candidate("third", NUMERIC.replace(rate=Float(1e-4, 1.0, log=True, default=0.12)), {"rate": 0.9, "share": 0.9, "depth": 64}),
        ],
        direction="maximize" if direction == "maximize" else "minimize",
        splits=SPLITS,
    )


def study(
    strategy: SamplerName, *, space: SearchSpace = NUMERIC, pruner: Pruner | None = None, seed: int = 7, trials: int = 16
) -> OptunaEngine:
    settings = {"n_startup_trials": 4} if strategy in ("tpe", "gp") else {}
    return OptunaEngine(
        space,
        strategy=strategy,
        direction="minimize",
        seed=seed,
        settings=settings,
        pruner=pruner or Pruner(name="none"),
        n_trials=trials,
        history=[(space.default(), completed(bowl(space.default())))],
    )


def wilcoxon() -> Pruner:
    return Pruner(name="wilcoxon", resource="fold", settings={"p_threshold": 0.3})


def halving() -> Pruner:
    return Pruner(name="successive_halving", resource="epoch", settings={"reduction_factor": 2, "full_length_first": 3})


def brackets() -> Pruner:
    return Pruner(name="hyperband", resource="epoch", settings={"max_resource": 3, "reduction_factor": 2, "full_length_first": 3})


def brackets_of_keras_tuner() -> Engine:
    """Its library takes seconds to import and may be absent."""
    from advisor.engines.keras_tuner import KerasTunerEngine

    return KerasTunerEngine(MIXED, direction="minimize", seed=7, max_epochs=9)


ENGINES: dict[str, Callable[[], Engine]] = {
    "fixed": lambda: FixedEngine([Proposal(k, {"rate": 0.1 * (k + 1)}, "confirm") for k in range(6)]),
    "portfolio": race,
    "grid": lambda: GridEngine(MIXED, direction="minimize", seed=7, splits=SPLITS, trials=24),
    "random": lambda: RandomEngine(MIXED, direction="minimize", seed=7, splits=SPLITS, n_iter=16),
    "halving grid on rows": lambda: HalvingGridEngine(
        MIXED, direction="minimize", seed=7, splits=SPLITS, trials=24, rows=900, min_resources=100
    ),
    "halving random on rows": lambda: HalvingRandomEngine(
        MIXED, direction="minimize", seed=7, splits=SPLITS, n_candidates=10, rows=900, classes=2, min_resources=50
    ),
    "halving grid on a parameter": lambda: HalvingGridEngine(
        NUMERIC, direction="minimize", seed=7, splits=SPLITS, trials=9, resource="depth"
    ),
    "halving random on a parameter": lambda: HalvingRandomEngine(
        NUMERIC, direction="minimize", seed=7, splits=SPLITS, n_candidates=12, resource="depth", factor=2
    ),
    "optuna tpe": lambda: study("tpe", space=MIXED),
    "optuna tpe with median": lambda: study("tpe", pruner=Pruner(name="median", resource="fold", settings={"n_startup_trials": 4})),
    "optuna tpe with wilcoxon": lambda: study("tpe", pruner=wilcoxon()),
    "optuna tpe with successive halving": lambda: study("tpe", pruner=halving()),
    "optuna tpe with hyperband": lambda: study("tpe", pruner=brackets()),
    "optuna hyperband": lambda: OptunaEngine(
        MIXED,
        strategy="hyperband",
        direction="minimize",
        seed=7,
        settings={"max_resource": 3, "reduction_factor": 3, "full_length_first": 4, "n_startup_trials": 4},
        n_trials=16,
    ),
    "optuna asha": lambda: OptunaEngine(
        MIXED, strategy="asha", direction="minimize", seed=7, settings={"reduction_factor": 2, "full_length_first": 4}, n_trials=16
    ),
    "optuna gp": lambda: study("gp", trials=6),
    "optuna cmaes": lambda: study("cmaes"),
    "optuna qmc": lambda: study("qmc"),
    "optuna random": lambda: study("random", space=MIXED),
    "optuna grid": lambda: study("grid"),
}
if find_spec("keras_tuner") is not None:
    ENGINES["keras_tuner hyperband"] = brackets_of_keras_tuner
OF_MIXED = (
    "keras_tuner hyperband",
    "grid",
    "random",
    "halving grid on rows",
    "halving random on rows",
    "optuna tpe",
    "optuna random",
    "optuna hyperband",
    "optuna asha",
)
SPACES = {name: MIXED if name in OF_MIXED else NUMERIC for name in ENGINES}
