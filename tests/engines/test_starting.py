"""Starts come before the engine's own proposals, on a resume too."""

from __future__ import annotations

from advisor.core.ports import Result
from advisor.core.space import Float, SearchSpace
from advisor.engines.sklearn_search import RandomEngine
from advisor.engines.starting import StartingEngine

SPACE = SearchSpace(parameters={"x": Float(0.0, 1.0, default=0.5)})
STARTS = ({"x": 0.25}, {"x": 0.75})


def random() -> RandomEngine:
    return RandomEngine(SPACE, n_iter=4, splits=1, direction="minimize", seed=5)


def test_starts_then_exactly_what_the_engine_alone_proposes() -> None:
    engine, alone = StartingEngine(random(), STARTS), random()
    proposals = []
    while not engine.is_done:
        proposal = engine.propose()
        assert proposal is not None
        engine.tell(proposal, Result("completed", 1.0))
        proposals.append(proposal)
    assert [p.key for p in proposals] == list(range(6))
    assert [(p.config, p.origin) for p in proposals[:2]] == [(s, "start") for s in STARTS]
    for proposal in proposals[2:]:
        own = alone.propose()
        assert own is not None
        assert proposal.config == own.config
        alone.tell(own, Result("completed", 1.0))


def test_a_resume_goes_on_where_the_first_life_ended() -> None:
    first = StartingEngine(random(), STARTS)
    told = [first.propose() for _ in range(3)]
    again = StartingEngine(random(), STARTS)
    for proposal in told:
        assert proposal is not None
        again.tell(proposal, Result("completed", 1.0))
    assert again.propose() == first.propose()


def test_an_interrupted_start_comes_again() -> None:
    again = StartingEngine(random(), STARTS)
    second = StartingEngine(random(), STARTS)
    second.propose()
    other = second.propose()
    assert other is not None
    again.tell(other, Result("completed", 1.0))
    proposal = again.propose()
    assert proposal is not None
    assert proposal.config == STARTS[0]
