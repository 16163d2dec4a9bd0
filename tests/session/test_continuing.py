"""A run that goes on from another: what was evaluated is told to its engines, and never evaluated again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor import session
from advisor.core.errors import InputError, RunNotFoundError
from advisor.core.events import StudyState, fold_all
from advisor.core.facts import Facts
from advisor.core.plan import Plan
from advisor.core.ports import Proposal, Result
from advisor.engines.portfolio import FixedEngine
from advisor.journal import read_events
from advisor.session.continuing import Remembering, begin_with, carried, carried_over
from advisor.session.folder import RunFolder
from advisor.session.gathering import read_answers
from advisor.supervise.resumption import replay
from tests.fakes import facts as named


def planned(**answers: Any) -> tuple[Plan, Facts]:
    """A plan for a small table with one family, and its facts."""
    facts = Facts(
        hardware=named.hardware(),
        data=named.table(),
        answers=read_answers(**{"model": "logistic_regression", "budget_seconds": 60.0, **answers}),
    )
    return session.recommend(facts), facts


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A run of five trials: the default, three others and one of them twice, with a failed one."""
    from advisor.core.events import RunStarted, TrialFailed, TrialFinished, TrialStarted
    from advisor.journal import Journal

    plan, facts = planned()
    folder = RunFolder(tmp_path / "earlier")
    folder.path.mkdir()
    folder.write_facts(facts)
    default = plan.starts[0]
    configs = [default, {**default, "C": 0.5}, {**default, "C": 2.0}, {**default, "C": 0.5}, {**default, "C": 1e9}]
    events: list[Any] = [RunStarted(run="earlier", plan=plan.to_mapping())]
    for number, config in enumerate(configs):
        started = TrialStarted(
            elapsed=1.0 + number, trial=number, stage="pilot", origin="proposal", family="logistic_regression", config=config, key=number
        )
        events += [started, TrialFinished(elapsed=2.0 + number, trial=number, value=0.5 - number / 50, seconds=1.0, fit_seconds=0.2)]
    failed = TrialStarted(
        elapsed=9.0, trial=9, stage="pilot", origin="proposal", family="logistic_regression", config={**default, "C": 3.0}
    )
    with Journal.open(folder.journal) as journal:
        journal.append(*events, failed, TrialFailed(elapsed=9.5, trial=9, cause="it broke"))
    return folder.path


def begun(earlier: Path, tmp_path: Path, **answers: Any) -> StudyState:
    """A new run that goes on from `earlier`, as its engine finds it."""
    plan, facts = planned(**answers)
    plan, events = carried_over(earlier, plan, facts)
    folder = RunFolder(tmp_path / "later")
    folder.path.mkdir()
    begin_with(folder, plan, events, "advisor run x.csv")
    return fold_all(event for _, event in read_events(folder.journal))


def test_whole_trials_of_the_space_are_carried_over_once_each(earlier: Path, tmp_path: Path) -> None:
    state = begun(earlier, tmp_path, budget_seconds=300.0)
    assert [t.config["C"] for t in state.trials.values()] == [1.0, 0.5, 2.0]
    assert "3 finished trials are carried over from earlier" in state.notes[0].text
    assert "2 of its trials are repeats or lie outside the space" in state.notes[0].text


def test_the_default_is_known_to_be_trial_0_and_the_best_is_the_best(earlier: Path, tmp_path: Path) -> None:
    state = begun(earlier, tmp_path)
    assert state.default == 0 and state.trials[0].origin == "default"
    assert state.best == 2
    assert state.elapsed == 0.0, "what they took was the earlier run's time"


def test_engines_are_told_them_as_on_a_resume(earlier: Path, tmp_path: Path) -> None:
    told = replay(begun(earlier, tmp_path), "pilot")
    assert [(p.config["C"], r.value) for p, r in told] == [(1.0, 0.5), (0.5, 0.48), (2.0, 0.46)]


def test_what_is_proposed_again_is_answered_from_memory(earlier: Path, tmp_path: Path) -> None:
    known = carried(begun(earlier, tmp_path))
    default = {n: v for n, v in known["logistic_regression"][0][0].items() if n != "C"}
    proposals = [Proposal(k, {**default, "C": c}, "proposal") for k, c in enumerate((0.5, 0.7, 2.0))]
    engine = FixedEngine(proposals)
    remembering = Remembering(engine, known, "logistic_regression")
    only = remembering.propose()
    assert only is not None and only.config["C"] == 0.7
    remembering.tell(only, Result("completed", 0.3, (), (), 1.0, 1.0))
    assert remembering.propose() is None and remembering.is_done


@pytest.mark.parametrize(
    ("answers", "said"), [({"metric": "roc_auc"}, "other metric: log_loss then, roc_auc now"), ({"drop": ("x1",)}, "other features")]
)
def test_scores_that_cannot_be_compared_are_refused_with_the_reason(earlier: Path, answers: dict[str, Any], said: str) -> None:
    plan, facts = planned(**answers)
    with pytest.raises(InputError, match=said):
        carried_over(earlier, plan, facts)


def test_other_data_are_refused(earlier: Path) -> None:
    plan, facts = planned()
    with pytest.raises(InputError, match="other data"):
        carried_over(earlier, plan.model_copy(update={"data_fingerprint": "another"}), facts)


def test_a_run_without_a_trial_of_this_family_and_one_that_is_not_there_are_told(earlier: Path, tmp_path: Path) -> None:
    plan, facts = planned(model="knn")
    with pytest.raises(InputError, match="none of its 5 finished trials belongs to the space"):
        carried_over(earlier, plan, facts)
    with pytest.raises(RunNotFoundError):
        carried_over(tmp_path / "nowhere", plan, facts)


def test_the_splits_stay_those_of_the_earlier_run(earlier: Path) -> None:
    plan, facts = planned(budget_seconds=7200.0, seed=5)
    before, _ = planned()
    kept, _ = carried_over(earlier, plan, facts)
    assert kept.validation == before.validation
