"""Plans changed by hand that no run could carry out are refused before a run folder exists."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import advisor
from advisor.core.errors import AdvisorError, CannotRunError, InputError
from advisor.core.facts import Measured
from advisor.core.plan import Plan
from advisor.session.gathering import read_answers
from advisor.session.launching import create
from advisor.session.planning import facts_behind, recommend
from tests.fakes import facts as situations

FACTS = situations.laptop_small_table(model="logistic_regression", metric="log_loss")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return recommend(FACTS)


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"family": "nope"}, InputError, "unknown model 'nope'"),
        ({"metric": "r2"}, InputError, "not defined"),
        ({"target": "nope"}, InputError, "no column 'nope'"),
        ({"strategy": "pbt"}, CannotRunError, "runs pbt"),
        ({"budget": -5.0}, InputError, "a budget of -5 s"),
    ],
)
def test_a_plan_edited_into_nonsense_leaves_no_folder(
    plan: Plan, tmp_path: Path, changed: dict[str, object], kind: type[AdvisorError], said: str
) -> None:
    content = plan.to_mapping()
    if "budget" in changed:
        content["budget"]["seconds"] = changed["budget"]
    else:
        content |= changed
    content.pop("hash", None)
    with pytest.raises(kind, match=said):
        create(Plan.from_mapping(content), FACTS, data="table.csv", runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_folder_name_too_long_for_the_disk_is_refused_as_unwritable(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="--runs"):
        create(plan, FACTS, data="table.csv", runs=tmp_path / ("x" * 300))


def test_a_seed_beyond_what_the_libraries_take_is_refused_as_an_answer() -> None:
    with pytest.raises(InputError, match="--seed"):
        read_answers(seed=2**32)


def test_a_hyperparameter_frozen_for_one_candidate_survives_the_victory_of_another() -> None:
    measured = FACTS.model_copy(update={"answers": FACTS.answers.model_copy(update={"freeze": {"n_estimators": 50}})})
    with pytest.raises(InputError, match="n_estimators"):
        recommend(measured)
    raced = Measured(family="logistic_regression", fit_seconds=0.1)
    assert recommend(measured.model_copy(update={"measured": (raced,)})).family == "logistic_regression"


def test_the_answer_of_a_database_is_kept_beside_the_run_and_its_secrets_are_not(table: Path, tmp_path: Path) -> None:
    import polars as pl

    frame = pl.read_csv(table)
    with sqlite3.connect(tmp_path / "loans.db") as base:
        base.execute(f"create table loans ({', '.join(frame.columns)})")
        base.executemany(f"insert into loans values ({', '.join('?' * frame.width)})", frame.rows())
    url, query = f"sqlite:///{tmp_path / 'loans.db'}", "select * from loans"
    facts = advisor.gather(url, query=query, target="outcome", budget_seconds=60)
    folder = create(advisor.recommend(facts), facts, data=url, query=query, runs=tmp_path / "runs")
    (tmp_path / "loans.db").unlink()
    assert pl.read_ipc(folder.table.read_bytes()).height == frame.height
    assert folder.read_request().data == str(folder.table)


def test_the_facts_behind_a_plan_are_remembered_for_the_data_they_were_read_from(table: Path) -> None:
    facts = advisor.gather(str(table), target="outcome", budget_seconds=60, goal="quick")
    plan = advisor.recommend(facts)
    assert facts_behind(plan, str(table)) == facts
    assert facts_behind(plan, "another.csv") is None
