"""What a model was trained under, through all trials whose weights it took."""

from __future__ import annotations

from advisor.core.events import ConfigChanged, TrialStarted, fold_all
from advisor.core.lineage import schedule_of


def started(trial: int, rate: float) -> TrialStarted:
    return TrialStarted(trial=trial, stage="search", origin="proposal", family="f", config={"rate": rate}, key=trial)


def changed(trial: int, step: int, rate: float, parent: int | None = None) -> ConfigChanged:
    return ConfigChanged(trial=trial, step=step, config={"rate": rate}, parent=parent)


def test_a_trial_that_never_changed_has_one_entry() -> None:
    assert schedule_of(fold_all([started(0, 0.1)]).trials, 0) == ((0, {"rate": 0.1}),)


def test_a_change_without_a_parent_goes_on_from_its_own_past() -> None:
    trials = fold_all([started(0, 0.1), changed(0, 5, 0.2)]).trials
    assert schedule_of(trials, 0) == ((0, {"rate": 0.1}), (5, {"rate": 0.2}))
    assert not trials[0].is_static


def test_who_takes_weights_over_takes_their_past_too() -> None:
    events = [started(0, 0.1), started(1, 0.5), changed(0, 4, 0.2), changed(1, 6, 0.3, parent=0), changed(0, 8, 0.9)]
    # What trial 0 did after step 6 is no part of the weights that trial 1 took there.
    assert schedule_of(fold_all(events).trials, 1) == ((0, {"rate": 0.1}), (4, {"rate": 0.2}), (6, {"rate": 0.3}))


def test_a_chain_of_donors_is_followed_to_its_beginning() -> None:
    events = [
        started(0, 0.1),
        started(1, 0.5),
        started(2, 0.7),
        changed(1, 3, 0.4, parent=0),
        changed(2, 6, 0.6, parent=1),
    ]
    assert schedule_of(fold_all(events).trials, 2) == ((0, {"rate": 0.1}), (3, {"rate": 0.4}), (6, {"rate": 0.6}))


def test_what_an_objective_asked_for_as_it_ran_is_no_change_in_flight() -> None:
    told = ConfigChanged(trial=0, step=0, config={"rate": 0.1, "depth": 3}, space={})
    trials = fold_all([started(0, 0.1), told]).trials
    assert trials[0].is_static
    assert schedule_of(trials, 0) == ((0, {"rate": 0.1, "depth": 3}),)
