"""What every engine promises, whatever library is behind it."""

from __future__ import annotations

import threading

import pytest

from advisor.core.ports import Proposal, Result
from tests.contract.engines import ENGINES, MIXED, NUMERIC, SPACES, Drive

MOST = 100
"""More trials than any engine of the list proposes."""


@pytest.fixture(params=list(ENGINES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestEngine:
    def test_keys_count_up_from_zero(self, name: str) -> None:
        drive = Drive(ENGINES[name]()).run(MOST)
        assert [p.key for p, _ in drive.log] == list(range(len(drive.log)))
        assert len(drive.log) >= 5

    def test_two_engines_with_one_seed_propose_the_same(self, name: str) -> None:
        assert Drive(ENGINES[name]()).run(8).proposals == Drive(ENGINES[name]()).run(8).proposals

    @pytest.mark.parametrize("killed_at", [1, 3, 6])
    def test_a_resumed_run_proposes_what_the_uninterrupted_one_would(self, name: str, killed_at: int) -> None:
        whole = Drive(ENGINES[name]()).run(9)
        resumed = Drive(ENGINES[name]()).replay(whole.log[:killed_at]).run(9 - killed_at)
        assert resumed.log == whole.log[killed_at:]

    def test_a_trial_that_was_interrupted_is_proposed_again_under_its_key(self, name: str) -> None:
        first = Drive(ENGINES[name]()).run(5)
        survivors = [entry for entry in first.log if entry[0].key != 2]
        resumed = Drive(ENGINES[name]()).replay(survivors).run(2)
        assert [p.key for p, _ in resumed.log][:1] == [2]
        assert all(p.key not in {s.key for s, _ in survivors} for p, _ in resumed.log)

    def test_two_trials_at_a_time_get_different_keys_and_all_of_them_end(self, name: str) -> None:
        alone, pair = Drive(ENGINES[name]()).run(MOST), Drive(ENGINES[name](), workers=2).run(MOST)
        assert [p.key for p in pair.proposals] == list(range(len(pair.log)))
        if name != "portfolio":
            assert len(pair.log) == len(alone.log)

    def test_two_trials_at_a_time_are_repeatable(self, name: str) -> None:
        assert Drive(ENGINES[name](), workers=2).run(8).log == Drive(ENGINES[name](), workers=2).run(8).log

    def test_a_run_with_two_workers_can_be_resumed(self, name: str) -> None:
        first = Drive(ENGINES[name](), workers=2).run(6)
        resumed = Drive(ENGINES[name](), workers=2).replay(first.log).run(MOST)
        assert {p.key for p, _ in first.log}.isdisjoint(p.key for p, _ in resumed.log)
        assert resumed.engine.is_done

    def test_nothing_is_proposed_once_it_is_done(self, name: str) -> None:
        engine = ENGINES[name]()
        assert not engine.is_done
        Drive(engine).run(MOST)
        assert engine.is_done
        assert engine.propose() is None

    def test_when_it_is_done_it_stays_done_whatever_the_running_trials_bring(self, name: str) -> None:
        engine = ENGINES[name]()
        running = []
        while (proposal := engine.propose()) is not None:
            running.append(proposal)
            assert len(running) <= MOST
        was_done = engine.is_done
        for proposal in running:
            engine.tell(proposal, Result("completed", 0.5, (0.5, 0.5, 0.5)))
            assert engine.is_done or not was_done

    def test_it_goes_on_when_any_trial_fails(self, name: str) -> None:
        healthy = Drive(ENGINES[name]()).run(MOST)
        for broken in range(0, len(healthy.log), 3):
            drive = Drive(ENGINES[name](), fails=lambda p, broken=broken: p.key == broken).run(MOST)
            assert drive.engine.is_done
            assert [r.status for p, r in drive.log if p.key == broken] == ["failed"]

    def test_it_ends_when_every_trial_fails(self, name: str) -> None:
        drive = Drive(ENGINES[name](), fails=lambda p: True).run(MOST)
        assert drive.engine.is_done
        assert drive.log

    def test_proposals_belong_to_the_space(self, name: str) -> None:
        if name == "fixed":
            return
        for proposal in Drive(ENGINES[name]()).run(MOST).proposals:
            space = SPACES[name] if name != "portfolio" else (MIXED if proposal.family == "second" else NUMERIC)
            assert space.faults(proposal.config) == ()

    def test_values_are_of_python_itself_so_that_a_journal_can_hold_them(self, name: str) -> None:
        for proposal in Drive(ENGINES[name]()).run(6).proposals:
            assert {type(v) for v in proposal.config.values()} <= {int, float, str, bool, type(None)}

    def test_only_the_race_proposes_a_default(self, name: str) -> None:
        proposals = Drive(ENGINES[name]()).run(MOST).proposals
        assert [p.key for p in proposals if p.origin == "default"] == ([0] if name == "portfolio" else [])

    def test_closing_twice_is_closing_once(self, name: str) -> None:
        engine = ENGINES[name]()
        engine.close()
        engine.close()

    def test_closing_in_the_middle_leaves_no_thread(self, name: str) -> None:
        before = threading.active_count()
        engine = ENGINES[name]()
        assert isinstance(engine.propose(), Proposal)
        engine.close()
        engine.close()
        assert threading.active_count() == before
