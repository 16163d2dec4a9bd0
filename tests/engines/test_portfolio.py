"""The race of families and the fixed list."""

from __future__ import annotations

import pytest

from advisor.core.errors import NothingFinishedError
from advisor.core.plan import Candidate
from advisor.core.ports import Proposal, Result
from advisor.core.space import Config, Float, SearchSpace
from advisor.engines.portfolio import DROP_RATIO, FixedEngine, PortfolioEngine

SPACE = SearchSpace(parameters={"c": Float(0.0, 10.0, default=1.0)})


def candidate(family: str, *starts: float) -> Candidate:
    return Candidate(family=family, space=SPACE, starts=({"c": 1.0}, *({"c": c} for c in starts)), fit_seconds=0.1)


def scored(*scores: float) -> Result:
    return Result("completed", sum(scores) / len(scores), scores)


def told(engine: PortfolioEngine, *ends: Result) -> list[Proposal]:
    out = []
    for end in ends:
        proposal = engine.propose()
        assert proposal is not None
        engine.tell(proposal, end)
        out.append(proposal)
    return out


def following(engine: PortfolioEngine) -> tuple[str | None, Config]:
    proposal = engine.propose()
    assert proposal is not None
    return proposal.family, proposal.config


def test_every_default_comes_first_and_only_the_first_familys_is_the_default() -> None:
    engine = PortfolioEngine([candidate("a", 2.0), candidate("b", 3.0), candidate("c")], direction="minimize", splits=3)
    first = told(engine, scored(0.5, 0.4, 0.6), scored(0.4, 0.5, 0.6), scored(0.5, 0.6, 0.4))
    assert [(p.key, p.family, p.origin) for p in first] == [(0, "a", "default"), (1, "b", "start"), (2, "c", "start")]


def test_the_leaders_next_start_follows_and_the_lead_may_change() -> None:
    engine = PortfolioEngine([candidate("a", 2.0, 3.0), candidate("b", 4.0, 5.0)], direction="maximize", splits=3)
    told(engine, scored(0.70, 0.80, 0.75), scored(0.75, 0.79, 0.74))
    assert told(engine, scored(0.6, 0.7, 0.75))[0].config == {"c": 4.0}
    assert told(engine, scored(0.6, 0.7, 0.75))[0].config == {"c": 5.0}
    assert following(engine) == ("a", {"c": 2.0})


def test_a_family_two_standard_errors_behind_on_the_same_folds_leaves() -> None:
    engine = PortfolioEngine([candidate("a", 2.0), candidate("b", 3.0)], direction="minimize", splits=3)
    # Folds differ far more than families: only the paired difference (mean 0.12, standard error 0.012) shows the gap.
    told(engine, scored(0.1, 0.5, 0.9), scored(0.2, 0.62, 1.04))
    assert told(engine, scored(0.1, 0.5, 0.9))[0].family == "a"
    assert engine.propose() is None
    assert engine.is_done


def test_a_family_within_two_standard_errors_stays() -> None:
    engine = PortfolioEngine([candidate("a", 2.0), candidate("b", 3.0)], direction="minimize", splits=3)
    told(engine, scored(0.1, 0.5, 0.9), scored(0.4, 0.3, 1.0))
    told(engine, scored(0.2, 0.5, 0.9))
    assert following(engine) == ("b", {"c": 3.0})


@pytest.mark.parametrize(("share", "stays"), [(0.9 * DROP_RATIO, True), (1.1 * DROP_RATIO, False)])
def test_with_one_score_each_a_share_of_the_leaders_score_decides(share: float, stays: bool) -> None:
    engine = PortfolioEngine([candidate("a"), candidate("b", 3.0)], direction="maximize", splits=1)
    told(engine, scored(0.8), scored(0.8 * (1 - share)))
    assert (engine.propose() is not None) is stays


def test_a_family_behind_waits_for_its_running_trial_and_comes_back() -> None:
    engine = PortfolioEngine([candidate("a"), candidate("b", 3.0, 4.0)], direction="minimize", splits=3)
    first, second = engine.propose(), engine.propose()
    assert first is not None and second is not None
    engine.tell(second, scored(0.9, 0.8, 0.85))
    running = engine.propose()
    assert running is not None and running.config == {"c": 3.0}
    engine.tell(first, scored(0.1, 0.2, 0.15))
    assert engine.propose() is None
    assert not engine.is_done
    engine.tell(running, scored(0.1, 0.2, 0.14))
    assert following(engine) == ("b", {"c": 4.0})


def test_a_family_whose_default_fails_leaves_when_another_has_a_score() -> None:
    engine = PortfolioEngine([candidate("a", 2.0), candidate("b", 3.0)], direction="minimize", splits=3)
    told(engine, Result("failed", cause="singular matrix"), scored(0.4, 0.5, 0.6), scored(0.4, 0.5, 0.6))
    assert engine.is_done
    assert engine.winner().family == "b"


def test_starts_are_tried_when_every_default_fails() -> None:
    engine = PortfolioEngine([candidate("a", 2.0), candidate("b")], direction="minimize", splits=3)
    told(engine, Result("failed"), Result("failed"))
    assert following(engine) == ("a", {"c": 2.0})


def test_no_winner_without_a_score_and_the_causes_are_named() -> None:
    engine = PortfolioEngine([candidate("a"), candidate("b")], direction="minimize", splits=3)
    told(engine, Result("failed", cause="singular matrix"), Result("failed", cause="out of memory"))
    with pytest.raises(NothingFinishedError, match="out of memory; singular matrix"):
        engine.winner()


def test_the_winner_is_the_best_mean_and_the_reason_has_the_numbers() -> None:
    engine = PortfolioEngine([candidate("a"), candidate("b")], direction="maximize", splits=3)
    told(engine, scored(0.70, 0.80, 0.75), scored(0.75, 0.79, 0.74))
    winner = engine.winner()
    assert winner.family == "b"
    assert "0.76" in winner.reason and "a 0.75" in winner.reason and "within noise" in winner.reason
    assert [name for name, _ in engine.ranking()] == ["b", "a"]


def test_repeated_starts_are_run_once() -> None:
    engine = PortfolioEngine([candidate("a", 2.0, 1.0, 2.0)], direction="minimize", splits=1)
    assert [p.config["c"] for p in told(engine, scored(0.4), scored(0.3))] == [1.0, 2.0]
    assert engine.is_done


def test_the_history_of_a_family_holds_failures_too_in_order_of_key() -> None:
    engine = PortfolioEngine([candidate("a", 2.0), candidate("b")], direction="minimize", splits=1)
    told(engine, scored(0.4), scored(0.41), Result("failed"))
    assert [(config["c"], result.status) for config, result in engine.history("a")] == [(1.0, "completed"), (2.0, "failed")]


def test_a_fixed_list_numbers_its_proposals_by_place() -> None:
    engine = FixedEngine([Proposal(9, {"c": 1.0}, "confirm"), Proposal(4, {"c": 2.0}, "confirm")])
    assert [p.key for p in (engine.propose(), engine.propose()) if p] == [0, 1]
    assert engine.is_done


def test_the_last_resort_is_tried_when_every_start_failed_and_only_until_one_does_not() -> None:
    failed = Result("failed", None, cause="no")

    def race() -> PortfolioEngine:
        return PortfolioEngine([candidate("a", 2.0)], direction="minimize", splits=1, last_resort=[{"c": 7.0}, {"c": 8.0}, {"c": 9.0}])

    engine = race()
    trials = told(engine, failed, failed, failed, scored(0.5))
    assert [p.config["c"] for p in trials] == [1.0, 2.0, 7.0, 8.0]
    assert engine.propose() is None
    assert engine.is_done
    assert engine.winner().family == "a"
    again = race()
    for proposal in trials[:3]:
        again.tell(proposal, failed)
    assert following(again) == ("a", {"c": 8.0})  # a resumed race goes on where it was
    spared = race()
    told(spared, failed, scored(0.4))
    assert spared.propose() is None
