"""The engine's own pruner: nothing is stopped before twelve full trials, nor where curves cross; resuming stops the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from advisor.core.plan import Pruner
from advisor.core.ports import Proposal, Result
from advisor.core.space import Config, Float, SearchSpace
from advisor.engines.optuna_study import OptunaEngine

SPACE = SearchSpace(parameters={"x": Float(0.0, 1.0, default=0.5)})
HIGH = 32
Curve = Callable[[float, int], float]


def ordered(x: float, step: int) -> float:
    return x + 2 / step


def crossing(x: float, step: int) -> float:
    return x if step > 30 else 1 - x


def engine(said: list[str] | None = None, starts: tuple[Config, ...] = ()) -> OptunaEngine:
    return OptunaEngine(
        SPACE,
        strategy="qmc",
        direction="minimize",
        seed=3,
        pruner=Pruner(name="earned", resource="epoch", settings={"full_length_first": 12}),
        starts=starts,
        steps=(1, HIGH),
        note=said.append if said is not None else None,
    )


def run(searching: OptunaEngine, curve: Curve, count: int) -> list[tuple[Proposal, Result]]:
    out = []
    for _ in range(count):
        proposal = searching.propose()
        assert proposal is not None
        steps: list[tuple[int, float]] = []
        status = "completed"
        for step in range(1, HIGH + 1):
            steps.append((step, curve(proposal.config["x"], step)))
            if searching.observe(proposal, *steps[-1]):
                status = "pruned"
                break
        result = Result(status, steps[-1][1], (), tuple(steps))  # type: ignore[arg-type]
        searching.tell(proposal, result)
        out.append((proposal, result))
    return out


def test_well_ordered_curves_are_pruned_after_the_first_twelve_and_it_is_said() -> None:
    said: list[str] = []
    searching = engine(said)
    trials = run(searching, ordered, 40)
    stopped = [p.key for p, r in trials if r.status == "pruned"]
    assert min(stopped) >= 12
    assert len(stopped) > 8
    best = min((p for p, _ in trials), key=lambda p: p.config["x"])
    assert best.key not in stopped
    searching.close()
    assert "Trials are stopped early" in said[0]
    assert "which saved" in said[-1]


def test_a_few_that_would_be_stopped_run_on_to_check_the_rule() -> None:
    trials = run(engine(), ordered, 60)
    bad_but_full = [p for p, r in trials[12:] if r.status == "completed" and p.config["x"] > 0.8]
    # One in eight of the about nine such proposals; none would mean that no sentinel ever ran.
    assert bad_but_full


def test_crossing_curves_are_never_pruned_and_it_is_said_why() -> None:
    said: list[str] = []
    assert {r.status for _, r in run(engine(said), crossing, 40)} == {"completed"}
    assert said[0].startswith("No trial is stopped early: ")


def test_a_default_or_start_is_never_pruned() -> None:
    searching = engine(starts=({"x": 0.99},))
    trials = run(searching, ordered, 20)
    assert trials[0][0].origin == "start"
    late = Proposal(99, {"x": 1.0}, "start")
    assert not searching.observe(late, 1, 99.0)


def test_a_resumed_search_stops_the_same_trials() -> None:
    whole = run(engine(), ordered, 30)
    again = engine()
    for proposal, result in whole[:20]:
        again.tell(proposal, result)
    assert run(again, ordered, 10) == whole[20:]


def test_starts_come_first_and_only_those_not_evaluated_before() -> None:
    known = Result("completed", 0.5, (), ((HIGH, 0.5),))
    searching = OptunaEngine(
        SPACE,
        strategy="random",
        direction="minimize",
        seed=0,
        history=[({"x": 0.5}, known)],
        starts=({"x": 0.5}, {"x": 0.1}, {"x": 0.2}),
    )
    proposals = [searching.propose() for _ in range(3)]
    assert [(p.config["x"], p.origin) for p in proposals[:2] if p] == [(0.1, "start"), (0.2, "start")]
    assert proposals[2] is not None
    assert proposals[2].origin == "proposal"


@pytest.mark.slow
def test_a_gaussian_process_leaves_a_region_that_fails() -> None:
    def searching() -> OptunaEngine:
        return OptunaEngine(
            SPACE,
            strategy="gp",
            direction="minimize",
            seed=0,
            settings={"n_startup_trials": 3},
            starts=({"x": 0.1}, {"x": 0.4}, {"x": 0.9}),
            warps=True,
        )

    asked = searching()
    seen = []
    for _ in range(9):
        proposal = asked.propose()
        assert proposal is not None
        x = proposal.config["x"]
        seen.append(x)
        asked.tell(proposal, Result("failed") if x < 0.3 else Result("completed", x))
    # The best lies at the edge of what fails: a model that is told nothing of failures proposes below 0.3 for ever.
    assert any(x >= 0.3 for x in seen[4:])
    assert max(seen.count(x) for x in seen) == 1
