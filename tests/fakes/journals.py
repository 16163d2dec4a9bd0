"""Recorded runs: the events of a tiny run, of a normal one with every kind of end, and of one with thousands of trials.

All of them are pure arithmetic of their arguments, so that equal calls give equal events.
"""

from __future__ import annotations

import math
from typing import Any

from advisor.core.events import (
    BestSaved,
    Confirmed,
    ConfirmScore,
    EngineStarted,
    Event,
    HeldoutScored,
    Measured,
    ModelShipped,
    Noted,
    PlanRevised,
    RunFinished,
    RunStarted,
    StageStarted,
    TrialFailed,
    TrialFinished,
    TrialPruned,
    TrialStarted,
)
from advisor.core.facts import Task
from advisor.core.plan import (
    Advice,
    Budget,
    Candidate,
    Envelope,
    Evidence,
    Flip,
    Forecast,
    OpenQuestion,
    Plan,
    Pruner,
    Rejected,
    Stage,
    Strategy,
    Validation,
)
from advisor.core.space import Choice, Float, Int, SearchSpace

EPOCH = 1_700_000_000.0
"""Wall-clock time at which every recorded run begins."""


def plan(**changed: Any) -> Plan:
    """A plan for a churn-like table of 31 columns: a race of three families, then tpe with a median pruner."""
    boosting = SearchSpace(
        parameters={
            "learning_rate": Float(1e-3, 0.3, log=True, default=0.1),
            "max_leaf_nodes": Int(8, 255, log=True, default=31),
            "min_samples_leaf": Int(2, 200, log=True, default=20),
            "l2_regularization": Float(1e-6, 10.0, log=True, default=1e-6),
            "max_features": Float(0.2, 1.0, default=1.0),
            "max_bins": Choice([63, 255], default=255),
        }
    )
    linear = SearchSpace(parameters={"C": Float(1e-4, 1e4, log=True, default=1.0)})
    forest = SearchSpace(parameters={"max_features": Float(0.1, 1.0, default=0.3), "min_samples_leaf": Int(1, 50, log=True, default=1)})
    values: dict[str, Any] = {
        "data": "customers.csv",
        "data_fingerprint": "sha256:0",
        "target": "left",
        "task": Task.BINARY,
        "features": tuple(f"x{i}" for i in range(1, 30)),
        "dropped": {"customer_id": "names a customer: every value once"},
        "metric": "log_loss",
        "direction": "minimize",
        "strategy": Strategy.TPE,
        "family": "hist_gradient_boosting",
        "shortlist": (
            Candidate(
                family="hist_gradient_boosting",
                space=boosting,
                starts=(boosting.default(), {**boosting.default(), "learning_rate": 0.03}),
                fit_seconds=1.4,
            ),
            Candidate(family="logistic_regression", space=linear, starts=(linear.default(),), fit_seconds=0.2),
            Candidate(family="extra_trees", space=forest, starts=(forest.default(),), fit_seconds=0.9),
        ),
        "stages": (
            Stage(name="pilot", strategy=Strategy.PORTFOLIO, engine="advisor.engines.portfolio.PortfolioEngine", trials=6, seconds=90.0),
            Stage(name="search", strategy=Strategy.TPE, engine="optuna.samplers.TPESampler", space=boosting.free, trials=86, seconds=870.0),
            Stage(name="confirm", strategy=Strategy.DEFAULT, engine="advisor.engines.portfolio.FixedEngine", trials=3, seconds=120.0),
        ),
        "validation": Validation(scheme="stratified", folds=5, heldout_ratio=0.2),
        "pruner": Pruner(name="median", resource="fold"),
        "budget": Budget(
            seconds=1200.0,
            startup_seconds=5.0,
            pilot_seconds=90.0,
            search_seconds=870.0,
            confirm_seconds=120.0,
            refit_seconds=115.0,
            trials=95,
        ),
        "envelope": Envelope(workers=2, threads_per_worker=1, memory_per_worker_bytes=4 * 2**30, trial_seconds=60.0),
        "forecast": Forecast(trials=95, seconds_p50=960.0, seconds_p90=1200.0),
        "advice": (
            Advice(rule="look-at-calibration", text="Plot the calibration before probabilities are used for money.", source="Guo 2017"),
        ),
        "evidence": (
            Evidence(
                field="strategy",
                value="tpe",
                rule="static-mixed-space",
                because="The space is mixed and 95 trials are affordable, enough for a model of the scores.",
                facts={"derived.trials": 95, "space.is_numeric": False},
                source="arXiv:2304.11127",
                flips=(Flip(fact="answers.budget_seconds", now=1200.0, becomes=360.0, then="random"),),
            ),
            Evidence(
                field="validation.folds",
                value=5,
                rule="folds-by-rows",
                because="12,430 rows are enough for five folds of a steady score.",
                facts={"data.rows": 12430},
                source="Kohavi 1995",
                flips=(Flip(fact="data.rows", now=12430, becomes=50000, then="one holdout"),),
            ),
            Evidence(
                field="metric",
                value="log_loss",
                rule="imbalance-needs-probabilities",
                because="11 % positives: accuracy would reward never predicting them.",
                facts={"data.minority_ratio": 0.11},
                source="Saito 2015",
            ),
            Evidence(
                field="space.learning_rate.low",
                value=0.001,
                rule="family",
                because="The family's own bounds.",
                facts={},
                source="scikit-learn documentation",
            ),
        ),
        "rejected": (
            Rejected(strategy=Strategy.GRID, rule="few-dimensions", failed=("6 dimensions, at most 3",)),
            Rejected(strategy=Strategy.PBT, rule="many-accelerators", failed=("trains in one go", "0 cluster slots, at least 4")),
            Rejected(strategy=Strategy.HYPERGRADIENT, rule="research", failed=("goal is best, not research",)),
        ),
        "open": (
            OpenQuestion(
                fact="measured.fit_seconds", reason="nothing was fitted yet", cure="The pilot of the run measures it.", rules=("slow-fits",)
            ),
        ),
        "rulebook_hash": "sha256:1",
    }
    return Plan(**{**values, **changed})


def _wave(number: int) -> float:
    """A number in 0..1 that looks irregular and is the same every time."""
    return (math.sin(number * 12.9898) * 43758.5453) % 1.0


def opening(elapsed: float = 0.0) -> list[Event]:
    """The run exists, its engine lives, the pilot begins."""
    return [
        RunStarted(at=EPOCH, elapsed=elapsed, run="customers-1114", plan=plan().to_mapping(), command="advisor run customers.csv"),
        EngineStarted(at=EPOCH + 1, elapsed=elapsed + 1, pid=1, started_at_ticks=1, boot_id="recorded"),
        StageStarted(
            at=EPOCH + 2, elapsed=elapsed + 2, stage="pilot", strategy="portfolio", engine="advisor.engines.portfolio.PortfolioEngine"
        ),
    ]


def tiny() -> list[Event]:
    """One trial, still running."""
    return [
        *opening(),
        TrialStarted(
            at=EPOCH + 3,
            elapsed=3.0,
            trial=0,
            stage="pilot",
            origin="default",
            family="hist_gradient_boosting",
            config=plan().starts[0],
            key=0,
        ),
        Measured(at=EPOCH + 5, elapsed=5.0, trial=0, step=1, value=0.352),
    ]


def trials(count: int, *, first: int = 0, seconds: float = 9.0, steps: int = 5) -> list[Event]:
    """`count` trials one after the other; every ninth is pruned, every thirteenth fails, the others finish."""
    out: list[Event] = []
    default = plan().starts[0]
    for number in range(first, first + count):
        begin = 3.0 + number * seconds
        origin = "default" if number == 0 else "start" if number < 4 else "proposal"
        rate = 0.1 if number == 0 else 10 ** (-3 + 2.4 * _wave(number))
        config = default | {"learning_rate": round(rate, 6), "max_leaf_nodes": int(8 + 247 * _wave(number + 7))}
        start = TrialStarted(
            at=EPOCH + begin,
            elapsed=begin,
            trial=number,
            stage="pilot" if number < 6 else "search",
            origin=origin,  # type: ignore[arg-type]
            family="hist_gradient_boosting" if number not in (1, 3) else "logistic_regression" if number == 1 else "extra_trees",
            config=config if number not in (1, 3) else {"C": 1.0} if number == 1 else {"max_features": 0.3, "min_samples_leaf": 1},
            key=number,
        )
        out.append(start)
        goal = 0.3391 if number == 0 else 0.3391 - 0.028 * (1 - math.exp(-number / 14)) + 0.03 * _wave(number + 3) ** 2
        end = begin + seconds * (0.6 + 0.4 * _wave(number + 11))
        if number and number % 13 == 0:
            out.append(
                TrialFailed(
                    at=EPOCH + end,
                    elapsed=end,
                    trial=number,
                    cause="ValueError: the fit gave scores that are not finite",
                    cure="Lower learning_rate, or freeze it.",
                    detail="Traceback (most recent call last):\n  …\nValueError: Input contains NaN",
                    category="invalid",
                    seconds=0.4,
                )
            )
            continue
        is_pruned = number > 6 and number % 9 == 0
        for step in range(1, (2 if is_pruned else steps) + 1):
            value = goal + (0.02 if is_pruned else 0.0) + 0.004 * (_wave(number * 7 + step) - 0.5)
            moment = begin + (end - begin) * step / steps
            out.append(Measured(at=EPOCH + moment, elapsed=moment, trial=number, step=step, value=value))
        if is_pruned:
            out.append(
                TrialPruned(
                    at=EPOCH + end,
                    elapsed=end,
                    trial=number,
                    step=2,
                    value=goal + 0.02,
                    seconds=end - begin,
                    reason="above the median at fold 2",
                )
            )
        else:
            scores = tuple(goal + 0.012 * (_wave(number * 5 + fold) - 0.5) for fold in range(steps))
            out.append(
                TrialFinished(
                    at=EPOCH + end,
                    elapsed=end,
                    trial=number,
                    value=goal,
                    scores=scores,
                    seconds=end - begin,
                    fit_seconds=1.4,
                    peak_bytes=300 * 2**20,
                )
            )
    return out


def running() -> list[Event]:
    """About forty trials with pruned and failed ones; the last is at work in the search."""
    events: list[Event] = [*opening(), *trials(6)]
    events.append(
        PlanRevised(
            at=EPOCH + 58,
            elapsed=58.0,
            plan=plan().to_mapping(),
            reason="One fit takes 1.4 s; hist_gradient_boosting won the pilot.",
            changes=("budget.trials: 110 → 95",),
        )
    )
    events.append(StageStarted(at=EPOCH + 58, elapsed=58.0, stage="search", strategy="tpe", engine="optuna.samplers.TPESampler"))
    events += trials(35, first=6)
    events.append(Noted(at=EPOCH + 371, elapsed=371.0, level="warning", text="The best trials press against max_leaf_nodes = 255."))
    events.append(BestSaved(at=EPOCH + 371, elapsed=371.0, trial=37, sha256="0" * 64, trained_on="fold"))
    events.append(
        TrialStarted(
            at=EPOCH + 372,
            elapsed=372.0,
            trial=41,
            stage="search",
            origin="proposal",
            family="hist_gradient_boosting",
            config=plan().starts[0] | {"learning_rate": 0.0712, "max_leaf_nodes": 63},
            key=41,
        )
    )
    events += [Measured(at=EPOCH + 373 + i, elapsed=373.0 + i, trial=41, step=i, value=0.318 - 0.001 * i) for i in (1, 2, 3)]
    return events


def finished(*, shipped: str = "tuned", status: str = "done") -> list[Event]:
    """`running` up to its end, with the tuned or the default configuration shipped."""
    events = [e for e in running() if getattr(e, "trial", 0) != 41]
    scores = (0.331, 0.342, 0.338, 0.335, 0.34)
    better = tuple(s - 0.021 for s in scores)
    chosen = 37 if shipped == "tuned" else 0
    events += [
        StageStarted(at=EPOCH + 990, elapsed=990.0, stage="confirm", strategy="default"),
        Confirmed(
            at=EPOCH + 1080,
            elapsed=1080.0,
            candidates=(ConfirmScore(trial=0, mean=0.3372, scores=scores), ConfirmScore(trial=37, mean=0.3162, scores=better)),
            chosen=chosen,
            shipped=shipped,  # type: ignore[arg-type]
            reason="Its mean on fresh splits is the best." if shipped == "tuned" else "No candidate beat the default on fresh splits.",
        ),
        HeldoutScored(
            at=EPOCH + 1090,
            elapsed=1090.0,
            heldout_score=0.3134 if shipped == "tuned" else 0.3402,
            default_heldout_score=0.3402,
            gain={"value": 0.0268, "low": 0.0121, "high": 0.0403, "probability": 0.999}
            if shipped == "tuned"
            else {"value": 0.0, "low": 0.0, "high": 0.0, "probability": 0.0},
            rows=2486,
        ),
        ModelShipped(at=EPOCH + 1100, elapsed=1100.0, trial=chosen, sha256="1" * 64, trained_on="all"),
        RunFinished(at=EPOCH + 1101, elapsed=1101.0, status=status, reason="The search ended with its budget."),  # type: ignore[arg-type]
    ]
    return events


def huge(count: int = 5000) -> list[Event]:
    """A run of thousands of short trials, still searching."""
    return [
        *opening(),
        *trials(6, seconds=0.1, steps=2),
        StageStarted(at=EPOCH + 4, elapsed=4.0, stage="search", strategy="tpe", engine="optuna.samplers.TPESampler"),
        *trials(count - 6, first=6, seconds=0.1, steps=2),
    ]
