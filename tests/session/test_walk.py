"""The whole walk on a real table: facts, plan, run, outcome, predictions, resumption. Budgets are small, everything is real."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import advisor
from advisor import session
from advisor.core.events import StudyState
from advisor.core.facts import Facts
from advisor.core.plan import Plan
from advisor.journal import read_events
from advisor.session.folder import RunFolder

WAIT_SECONDS = 90.0
"""How long a test waits for an engine on a loaded machine before it gives up."""


def recommended(table: Path, **answers: object) -> tuple[Facts, Plan]:
    facts = advisor.gather(table, target="outcome", **answers)
    return facts, advisor.recommend(facts)


def finished(run_dir: Path) -> StudyState:
    follower = session.follow(run_dir)
    give_up = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up:
        state = follower.poll()
        if state.finished is not None or not follower.is_alive:
            return follower.poll()
        time.sleep(0.05)
    raise AssertionError("the engine did not end")


def test_a_table_becomes_a_shipped_model_that_predicts_new_rows(table: Path, tmp_path: Path) -> None:
    facts, plan = recommended(table, budget_seconds=60, trials=8, model="logistic_regression")
    outcome = advisor.execute(plan, table, run_dir=tmp_path / "one", facts=facts)

    assert outcome.status == "done"
    assert outcome.counts["completed"] >= 1
    assert outcome.trials[0].origin == "default"
    assert outcome.heldout_score is not None
    assert outcome.default_heldout_score is not None
    assert outcome.shipped in ("tuned", "default")
    if outcome.shipped == "tuned":
        assert outcome.gain is not None
        assert outcome.gain.low <= outcome.gain.value <= outcome.gain.high
    folder = RunFolder(tmp_path / "one")
    written = json.loads(folder.result.read_text())
    assert written["trials"]["completed"] == outcome.counts["completed"]

    new = tmp_path / "new.csv"
    new.write_text("region,income,age,debt\nwest,?,44,3.5\neast,51.2,30,40\n")
    predictions = session.predict(tmp_path / "one", new)
    assert predictions.height == 2
    assert set(predictions["prediction"]) <= {"good", "bad"}
    assert predictions["probability_bad"][0] + predictions["probability_good"][0] == pytest.approx(1.0)


def test_a_changed_model_file_is_not_opened(table: Path, tmp_path: Path) -> None:
    facts, plan = recommended(table, budget_seconds=60, trials=1, model="logistic_regression")
    advisor.execute(plan, table, run_dir=tmp_path / "one", facts=facts)
    model = RunFolder(tmp_path / "one").best / "model.joblib"
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(advisor.AdvisorError, match="not the one that the run wrote"):
        session.predict(tmp_path / "one", table)


def test_held_out_labels_decide_nothing(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flipping the labels of the held-out rows must not change what is shipped (contract, 'Honest results').

    They are flipped in the prepared table, after the split: a stratified split looks at all labels once.
    """
    import numpy as np
    import polars as pl

    from advisor.session import running

    facts, plan = recommended(table, budget_seconds=120, trials=6, model="logistic_regression", workers=1)
    first = advisor.execute(plan, table, run_dir=tmp_path / "one", facts=facts)
    prepare = running.prepare_table

    def flipped(*arguments: Any) -> Any:
        prepared = prepare(*arguments)
        heldout = set(np.load(prepared.parts)["heldout"].tolist())
        frame = pl.read_ipc(Path(prepared.table).read_bytes())
        codes = [1 - code if row in heldout else code for row, code in enumerate(frame["__target__"].to_list())]
        frame.with_columns(pl.Series("__target__", codes, dtype=frame["__target__"].dtype)).write_ipc(prepared.table)
        return prepared

    monkeypatch.setattr(running, "prepare_table", flipped)
    second = advisor.execute(plan, table, run_dir=tmp_path / "two", facts=facts)

    assert second.best_config == first.best_config
    assert second.shipped == first.shipped
    assert [t.value for t in second.trials] == [t.value for t in first.trials]
    assert second.heldout_score != first.heldout_score


def test_the_engine_outlives_what_started_it_and_ends_within_its_budget(table: Path, tmp_path: Path) -> None:
    facts, plan = recommended(table, budget_seconds=40, trials=6, model="logistic_regression")
    facts_file, plan_file = tmp_path / "facts.json", tmp_path / "plan.toml"
    facts_file.write_text(facts.model_dump_json())
    session.save_plan(plan, plan_file, facts=facts)
    script = (
        "import sys, os, signal; from pathlib import Path; from advisor import session; from advisor.session.folder import read_facts\n"
        "plan, _ = session.load_plan(sys.argv[1]); facts = read_facts(Path(sys.argv[2]))\n"
        "print(session.start(plan, facts, runs=sys.argv[3]), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(plan_file), str(facts_file), str(tmp_path / "runs")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    run_dir = Path(ended.stdout.strip())
    state = finished(run_dir)
    assert state.finished is not None
    assert state.finished.status == "done"
    assert state.elapsed < 40 + 3


def test_an_engine_killed_again_and_again_loses_no_finished_trial(table: Path, tmp_path: Path) -> None:
    draw = random.Random(3)
    facts, plan = recommended(table, budget_seconds=60, trials=40, model="logistic_regression", strategy="random", force=True)
    run_dir = session.start(plan, facts, runs=tmp_path)
    acknowledged: dict[int, float] = {}
    for _ in range(3):
        follower = session.follow(run_dir)
        before = follower.poll().counts()["completed"]
        give_up = time.monotonic() + WAIT_SECONDS
        while follower.is_alive and follower.poll().counts()["completed"] < before + 3 and time.monotonic() < give_up:
            time.sleep(0.02)
        time.sleep(draw.random() * 0.3)
        state = follower.poll()
        if not follower.is_alive:
            break
        assert state.engine is not None
        os.kill(state.engine.pid, signal.SIGKILL)
        acknowledged |= {n: t.value for n, t in state.trials.items() if t.status == "completed" and t.value is not None}
        while follower.is_alive:
            time.sleep(0.02)
        session.resume(run_dir)
    state = finished(run_dir)
    assert state.finished is not None
    for number, value in acknowledged.items():
        assert state.trials[number].value == value
    keys = [(t.stage, t.family, t.key) for t in state.trials.values() if t.status in ("completed", "pruned", "failed")]
    assert len(keys) == len(set(keys)), "a proposal was counted twice"
    assert not state.running


def test_a_stop_keeps_the_best_and_ships_it(table: Path, tmp_path: Path) -> None:
    facts, plan = recommended(table, budget_seconds=120, model="logistic_regression", strategy="random", force=True)
    run_dir = session.start(plan, facts, runs=tmp_path)
    follower = session.follow(run_dir)
    give_up = time.monotonic() + WAIT_SECONDS
    while follower.poll().best is None and time.monotonic() < give_up:
        time.sleep(0.05)
    session.send(run_dir, "stop")
    state = finished(run_dir)
    assert state.finished is not None
    assert state.finished.status == "stopped"
    assert state.shipped is not None
    assert session.outcome(run_dir).heldout_score is not None


def test_the_journal_is_read_while_it_is_written(table: Path, tmp_path: Path) -> None:
    facts, plan = recommended(table, budget_seconds=60, trials=4, model="logistic_regression")
    run_dir = session.start(plan, facts, runs=tmp_path)
    finished(run_dir)
    kinds = [event.kind for _, event in read_events(run_dir / "journal.db")]
    assert kinds[:2] == ["run_started", "engine_started"]
    assert kinds[-1] == "run_finished"
    assert [r.name for r in session.list_runs(tmp_path)] == [run_dir.name]


def test_a_plan_survives_its_file_byte_for_byte(table: Path, tmp_path: Path) -> None:
    facts, plan = recommended(table, budget_seconds=60)
    session.save_plan(plan, tmp_path / "plan.toml", facts=facts)
    again, facts_again = session.load_plan(tmp_path / "plan.toml")
    assert again.to_json() == plan.to_json()
    assert facts_again == facts


def test_the_same_facts_file_gives_the_same_bytes_in_two_processes(table: Path, tmp_path: Path) -> None:
    facts, plan = recommended(table, budget_seconds=60)
    (tmp_path / "facts.json").write_text(facts.model_dump_json())
    script = (
        "import sys; from pathlib import Path; import advisor; from advisor.session.folder import read_facts\n"
        "print(advisor.recommend(read_facts(Path(sys.argv[1]))).to_json())"
    )
    other = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "facts.json")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "77"},
    )
    assert other.stdout.rstrip("\n") == plan.to_json()
