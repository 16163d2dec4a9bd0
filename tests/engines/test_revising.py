"""A search whose space follows what its trials find."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import pytest

from advisor.core.ports import Proposal, Result
from advisor.core.space import Config, Float, SearchSpace
from advisor.engines.optuna_study import OptunaEngine
from advisor.engines.revising import RevisingEngine

SPACE = SearchSpace(parameters={"rate": Float(1e-3, 1e-1, log=True, hard=False), "x": Float(0.0, 1.0)})


def score(config: Config) -> float:
    """Its least value lies a hundred times below the lower bound of the rate."""
    return (math.log10(config["rate"]) + 5) ** 2 + (config["x"] - 0.3) ** 2


def engine(notes: list[str], space: SearchSpace = SPACE, strategy: Literal["tpe", "random"] = "tpe") -> RevisingEngine:
    def make(at: SearchSpace, history: Any, revision: int) -> OptunaEngine:
        return OptunaEngine(at, strategy=strategy, direction="minimize", seed=7 + revision, history=list(history))

    return RevisingEngine(make, space, direction="minimize", note=notes.append)


def run(
    search: RevisingEngine, trials: int, told: list[tuple[Proposal, Result]], objective: Callable[[Config], float] = score
) -> list[Config]:
    configs = []
    for _ in range(trials):
        proposal = search.propose()
        assert proposal is not None
        result = Result("completed", objective(proposal.config))
        search.tell(proposal, result)
        told.append((proposal, result))
        configs.append(proposal.config)
    return configs


def test_an_optimum_a_hundred_times_below_a_soft_bound_is_found() -> None:
    notes: list[str] = []
    configs = run(engine(notes), 45, [])
    assert min(map(score, configs)) < 0.1
    assert "press against the lower bound" in notes[0]


def test_hard_bounds_are_never_crossed() -> None:
    notes: list[str] = []
    hard = SPACE.replace(rate=Float(1e-3, 1e-1, log=True))
    configs = run(engine(notes, hard), 30, [])
    assert all(1e-3 <= c["rate"] <= 1e-1 for c in configs)
    assert notes == []


@pytest.mark.parametrize("killed_at", [5, 9, 12, 14, 20])
def test_a_resumed_search_goes_on_as_the_uninterrupted_one(killed_at: int) -> None:
    whole = run(engine([]), 30, [])
    told: list[tuple[Proposal, Result]] = []
    assert run(engine([]), killed_at, told) == whole[:killed_at]
    resumed = engine([])
    for proposal, result in told:
        resumed.tell(proposal, result)
    assert run(resumed, 30 - killed_at, []) == whole[killed_at:]


def test_trials_that_run_are_waited_for_before_the_space_changes() -> None:
    search = engine([])
    run(search, 8, [])
    running = search.propose()
    assert running is not None
    while search._is_due() is False:
        proposal = search.propose()
        assert proposal is not None
        search.tell(proposal, Result("completed", score(proposal.config)))
    assert search.propose() is None
    assert not search.is_done
    search.tell(running, Result("completed", score(running.config)))
    assert search.propose() is not None


def test_what_was_opened_is_followed_outwards_as_long_as_it_brings_the_best() -> None:
    notes: list[str] = []
    configs = run(engine(notes), 30, [])
    widened = next(n for n, c in enumerate(configs) if c["rate"] < 1e-3)
    assert [round(math.log10(c["rate"]), 1) for c in configs[widened : widened + 3]] == [-3.5, -4.0, -5.0]
    assert "the best trial lies at the lower bound 0.0001 of rate" in notes[1]


MANY = SearchSpace(parameters={"x": Float(0.0, 1.0), "y": Float(0.0, 1.0), "idle": Float(0.0, 1.0), "useless": Float(0.0, 1.0)})


def bowl(config: Config) -> float:
    return (config["x"] - 0.3) ** 2 + 0.5 * (config["y"] - 0.6) ** 2


def test_what_does_not_matter_is_frozen_and_every_trial_goes_on_counting() -> None:
    notes: list[str] = []
    search = engine(notes, MANY, "random")
    configs = run(search, 100, [], bowl)
    frozen = {n.split()[0] for n in notes}
    assert frozen and frozen <= {"idle", "useless"}
    assert all(len({c[name] for c in configs[-20:]}) == 1 for name in frozen)
    inner = search._engine
    assert isinstance(inner, OptunaEngine)
    assert inner.notes == []  # none of the earlier trials was left out as lying outside


def test_a_search_that_froze_something_is_resumed_as_it_was() -> None:
    told: list[tuple[Proposal, Result]] = []
    notes: list[str] = []
    whole = run(engine(notes, MANY, "random"), 90, told, bowl)
    assert notes
    resumed = engine([], MANY, "random")
    for proposal, result in told[:80]:
        resumed.tell(proposal, result)
    assert run(resumed, 10, [], bowl) == whole[80:]
