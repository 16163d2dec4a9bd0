"""``--valid`` and ``--test`` from the answer to the plan, the run, and what goes on from it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import advisor
from advisor import session
from advisor.cli.door import Door
from advisor.cli.main import run
from advisor.core.errors import InputError
from advisor.core.events import Noted, RunStarted
from advisor.core.facts import Facts, GivenRows
from advisor.core.objective import OwnObjective
from advisor.core.outcome import Outcome
from advisor.core.plan import GIVEN_REFITS, Plan
from advisor.core.recommend import recommend
from advisor.core.space import Float, SearchSpace
from advisor.journal import Journal
from advisor.report.text import plan_text
from advisor.report.wording import learned_from
from advisor.session.continuing import carried_over
from advisor.session.folder import Request, RunFolder
from advisor.session.gathering import read_answers
from advisor.session.given_rows import check_given
from advisor.session.planning import rulebook
from tests.fakes import facts as named

VALID = GivenRows(source="valid.csv", fingerprint="a" * 32, rows=150)
TEST = GivenRows(source="test.csv", fingerprint="b" * 32, rows=120)


def facts_of(*, valid: GivenRows | None = None, test: GivenRows | None = None, **answers: Any) -> Facts:
    """A small table on a laptop, with the files that are handed over."""
    files = {name: rows.source for name, rows in (("valid", valid), ("test", test)) if rows is not None}
    wishes = read_answers(**{"model": "logistic_regression", "budget_seconds": 60.0, **files, **answers})
    return Facts(hardware=named.hardware(), data=named.table(valid=valid, test=test, groups=30), answers=wishes)


def planned(**given: Any) -> Plan:
    return recommend(facts_of(**given), rulebook())


def reason(plan: Plan, field: str) -> str:
    return next(e.rule for e in plan.evidence if e.field == field)


def test_the_files_rows_score_in_one_split_and_a_part_of_the_data_is_held_out() -> None:
    plan = planned(valid=VALID)
    v = plan.validation
    assert (v.scheme, v.folds, v.repeats, v.splits, v.fresh_splits, v.holdout_ratio) == ("given", 1, 1, 1, GIVEN_REFITS, 0.0)
    assert v.heldout_ratio == planned().validation.heldout_ratio > 0
    assert (plan.valid, plan.test) == (VALID, None)
    assert reason(plan, "validation.scheme") == "rows-of-a-file-score"
    assert reason(plan, "valid") == "answer"


def test_nothing_of_the_data_is_held_out_beside_a_test_file() -> None:
    plan = planned(test=TEST)
    assert plan.validation.heldout_ratio == 0.0
    assert plan.validation.scheme == planned().validation.scheme
    assert (plan.valid, plan.test) == (None, TEST)
    assert reason(plan, "validation.heldout_ratio") == "nothing-held-out-beside-a-test-file"


@pytest.mark.parametrize("name", ["valid", "test"])
def test_the_hash_of_a_file_is_part_of_the_lock(name: str) -> None:
    rows = {"valid": VALID, "test": TEST}[name]
    plans = [planned(**{name: rows.model_copy(update={"fingerprint": mark * 32})}) for mark in "ccd"]
    assert plans[0].hash == plans[1].hash != plans[2].hash


def test_a_plan_comes_back_from_its_file_with_both(tmp_path: Path) -> None:
    plan = planned(valid=VALID, test=TEST)
    session.save_plan(plan, tmp_path / "plan.toml")
    assert session.load_plan(tmp_path / "plan.toml")[0] == plan


def test_the_text_of_a_plan_names_files_and_rows() -> None:
    text = " ".join(plan_text(planned(valid=VALID, test=TEST)).split())
    assert "every trial learns from the data and is scored on the 150 rows of valid.csv" in text
    assert "the 120 rows of test.csv are held out" in text


@pytest.mark.parametrize("extra", [{"group": "x1"}, {"group": "x1", "time": "x2"}])
def test_groups_and_time_go_with_both_files(extra: dict[str, Any]) -> None:
    plan = planned(valid=VALID, test=TEST, **extra)
    assert (plan.validation.scheme, plan.validation.group, plan.validation.time) == ("given", "x1", extra.get("time"))


def test_rows_held_out_before_those_that_score_make_no_sense_in_time() -> None:
    with pytest.raises(InputError, match="would be older") as caught:
        planned(valid=VALID, time="x2")
    assert caught.value.where == "--valid" and "--test" in caught.value.cure


def test_facts_without_the_file_that_the_answers_name_are_refused() -> None:
    facts = facts_of(valid=VALID)
    bare = facts.model_copy(update={"data": named.table()})
    with pytest.raises(InputError, match="without that file"):
        recommend(bare, rulebook())
    with pytest.raises(InputError, match=r"with test\.csv"):
        recommend(facts_of().model_copy(update={"data": named.table(test=TEST)}), rulebook())


@pytest.mark.parametrize("name", ["valid", "test"])
def test_an_objective_of_ones_own_validates_by_itself(name: str) -> None:
    own = OwnObjective(name="train:objective", space=SearchSpace(parameters={"x": Float(0.0, 1.0)}))
    answers = read_answers(model="train:objective", budget_seconds=60.0, **{name: "rows.csv"})
    with pytest.raises(InputError, match=f"--{name} is about a table"):
        recommend(Facts(hardware=named.hardware(), objective=own, answers=answers), rulebook())


def test_paths_are_taken_and_tables_in_memory_are_not() -> None:
    assert read_answers(valid=Path("a.csv")).valid == "a.csv"
    with pytest.raises(InputError, match="a DataFrame is no file"):
        read_answers(test=pl.DataFrame({"x": [1]}))


@pytest.mark.parametrize(
    ("trained_on", "valid", "test", "said"),
    [
        ("all", None, None, "all rows"),
        ("all", VALID, None, "all rows of the data and of valid.csv"),
        ("all", None, TEST, "all rows of the data, none of test.csv"),
        ("all", VALID, TEST, "all rows of the data and of valid.csv, none of test.csv"),
        ("development", None, TEST, "the data, none of test.csv"),
        ("development", VALID, None, "the rows of the data that were not held out, none of valid.csv"),
        ("fold", VALID, TEST, "the data alone"),
        (None, VALID, TEST, ""),
    ],
)
def test_what_the_saved_model_has_learned_from_is_told(
    trained_on: str | None, valid: GivenRows | None, test: GivenRows | None, said: str
) -> None:
    assert learned_from(planned(valid=valid, test=test), trained_on) == said


@pytest.mark.parametrize(("name", "what"), [("valid", "other rows to validate on"), ("test", "other rows to test on")])
def test_trials_scored_on_other_rows_are_not_carried_over(name: str, what: str, tmp_path: Path) -> None:
    rows = {"valid": VALID, "test": TEST}[name]
    folder = RunFolder(tmp_path / "earlier")
    folder.path.mkdir()
    folder.write_facts(facts_of(**{name: rows}))
    with Journal.open(folder.journal) as journal:
        journal.append(RunStarted(run="earlier", plan=planned(**{name: rows}).to_mapping()), Noted(text="so far"))
    for others in ({}, {name: rows.model_copy(update={"fingerprint": "c" * 32})}):
        with pytest.raises(InputError, match=what):
            carried_over(folder.path, planned(**others), facts_of(**others))
    moved = {name: rows.model_copy(update={"source": f"elsewhere/{rows.source}"})}
    with pytest.raises(InputError, match="has no finished trial"):  # the same rows in another place compare
        carried_over(folder.path, planned(**moved), facts_of(**moved))


def test_a_file_that_has_changed_or_gone_stops_a_run_and_a_resume_before_they_begin(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.csv" for name in ("data", "valid", "test")}
    for name, first, last in (("data", 0, 120), ("valid", 120, 170), ("test", 170, 220)):
        write(paths[name], first, last)
    facts = advisor.gather(paths["data"], target="outcome", valid=paths["valid"], test=str(paths["test"]), model="logistic_regression")
    plan = advisor.recommend(facts)
    check_given(plan)
    moved = paths["valid"].rename(tmp_path / "moved.csv")
    with pytest.raises(InputError, match="There is no file"):
        session.start(plan, facts, data=paths["data"], run_dir=tmp_path / "run")
    check_given(plan, Request(data="", valid=str(moved)))
    write(paths["valid"], 121, 170)
    with pytest.raises(InputError, match=r"valid\.csv has changed since the plan was made") as caught:
        session.start(plan, facts, data=paths["data"], run_dir=tmp_path / "run")
    assert caught.value.exit_code == 2 and not (tmp_path / "run").exists()
    folder = RunFolder(tmp_path / "half")
    folder.path.mkdir()
    folder.write_request(Request(data=str(paths["data"]), valid=str(paths["valid"]), test=str(paths["test"])))
    with Journal.open(folder.journal) as journal:
        journal.append(RunStarted(run="half", plan=plan.to_mapping()))
    with pytest.raises(InputError, match="has changed"):
        session.resume(folder.path)
    assert not (folder.path / "engine.lock").exists(), "no engine was started"


def test_a_plan_by_hand_that_wants_given_rows_and_names_none_is_refused() -> None:
    plan = planned(valid=VALID).model_copy(update={"valid": None})
    with pytest.raises(InputError, match="needs their file"):
        check_given(plan)


def write(path: Path, first: int, last: int) -> None:
    """Rows of one table by their numbers."""
    draw = np.random.default_rng(1)
    x = draw.normal(size=(400, 3)).round(4)
    y = np.where(x[:, 0] + 0.5 * x[:, 1] + draw.normal(size=400) > 0, "yes", "no")
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["a", "b", "c", "outcome"])
        out.writerows([*map(str, x[i]), y[i]] for i in range(first, last))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """200 rows to learn from, 80 to validate and 70 to test on."""
    paths = {name: tmp_path / f"{name}.csv" for name in ("data", "valid", "test")}
    for name, first, last in (("data", 0, 200), ("valid", 200, 280), ("test", 280, 350)):
        write(paths[name], first, last)
    return paths


def run_of(files: dict[str, Path], folder: Path, **answers: Any) -> Outcome:
    data = files["data"]
    facts = advisor.gather(
        data,
        target="outcome",
        valid=files["valid"],
        test=files["test"],
        **{"model": "logistic_regression", "budget_seconds": 240, "trials": 5, "workers": 1, **answers},
    )
    return advisor.execute(advisor.recommend(facts), data, run_dir=folder, facts=facts)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_learns_from_the_data_is_scored_on_one_file_and_tested_once_on_the_other(files: dict[str, Path], tmp_path: Path) -> None:
    from sklearn.metrics import log_loss

    outcome = run_of(files, tmp_path / "run")
    prepared = np.load(tmp_path / "run" / "work" / "parts.npz")
    assert prepared["heldout"].tolist() == list(range(280, 350))
    assert outcome.trained_on == "all" and outcome.heldout_score is not None
    frames = {name: pl.read_csv(path) for name, path in files.items()}

    def scored(name: str) -> float:
        """Of the default, fitted by scikit-learn alone."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        x, y = (frames["data"].drop("outcome").to_numpy(), frames["data"]["outcome"].to_list())
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
        return float(log_loss(frames[name]["outcome"].to_list(), model.predict_proba(frames[name].drop("outcome").to_numpy())))

    # The solver stops at a gradient of 1e-4, so that two scalers' rounding may move the score by about as much.
    assert outcome.trials[0].value == pytest.approx(scored("valid"), abs=1e-3)
    assert outcome.default_heldout_score == pytest.approx(scored("test"), abs=1e-3)
    request = RunFolder(tmp_path / "run").read_request()
    assert (request.valid, request.test) == (str(files["valid"]), str(files["test"]))
    assert "--valid" in request.command and "--test" in request.command


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_labels_of_the_test_file_decide_nothing(files: dict[str, Path], tmp_path: Path) -> None:
    first = run_of(files, tmp_path / "one")
    test = pl.read_csv(files["test"])
    test.with_columns(outcome=pl.col("outcome").replace_strict({"yes": "no", "no": "yes"})).write_csv(files["test"])
    second = run_of(files, tmp_path / "two")
    assert (second.best_config, second.shipped) == (first.best_config, first.shipped)
    assert [t.value for t in second.trials] == [t.value for t in first.trials]
    assert second.heldout_score != first.heldout_score


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", [("valid", "test"), ("valid",), ("test",)])
def test_the_script_of_a_run_reads_the_files_and_scores_as_the_run_did(
    which: tuple[str, ...], files: dict[str, Path], tmp_path: Path
) -> None:
    answers: dict[str, Any] = {"budget_seconds": 240, "trials": 4, "workers": 1, **{name: files[name] for name in which}}
    facts = advisor.gather(files["data"], target="outcome", model="logistic_regression", strategy="random", force=True, **answers)
    outcome = advisor.execute(advisor.recommend(facts), files["data"], run_dir=tmp_path / "run", facts=facts)
    script = tmp_path / "script.py"
    script.write_text(session.export(tmp_path / "run"))
    ended = subprocess.run(
        [sys.executable, str(script), "--log", "log.jsonl", "--trials", str(outcome.counts["completed"])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    theirs = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    ours = [t for t in outcome.trials if t.stage != "confirm"]
    assert [t["value"] for t in theirs] == pytest.approx([t.value for t in ours], rel=1e-9)
    assert f"held-out score, default: {outcome.default_heldout_score}"[:36] in ended.stdout


@pytest.mark.parametrize("words", [("--valid", "none.csv"), ("--test", "sklearn:iris"), ("--valid", "{data}")])
def test_what_is_refused_leaves_no_folder(words: tuple[str, str], files: dict[str, Path], tmp_path: Path) -> None:
    err, runs = io.StringIO(), tmp_path / "runs"
    door = Door(lambda: session, lambda *_, **__: 0, time.monotonic, out=io.StringIO(), err=err, source=io.StringIO())
    assert run(["run", str(files["data"]), *(w.format(**files) for w in words), "--yes", "--runs", str(runs)], door) == 2
    assert words[0] in err.getvalue()
    assert not runs.exists()
