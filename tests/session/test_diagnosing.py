"""Diagnosis of files, studies and runs as a user hands them over."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import optuna
import pytest

from advisor.core.errors import InputError, RunNotFoundError
from advisor.core.events import Noted, RunFinished, StudyState, fold
from advisor.core.space import Float
from advisor.session.diagnosing import diagnose_subject, findings_of
from advisor.session.tuning import tune

HEALTHY = [0.2 + 0.8 * math.exp(-0.15 * i) for i in range(60)]


def written(folder: Path, header: str, *rows: object) -> str:
    path = folder / "curves.csv"
    path.write_text("\n".join([header, *(",".join(map(str, r)) if isinstance(r, tuple) else str(r) for r in rows)]) + "\n")
    return str(path)


def test_a_healthy_file_of_curves_has_no_finding(tmp_path: Path) -> None:
    report = diagnose_subject(written(tmp_path, "epoch,train_loss,val_loss", *((i, v - 0.05, v) for i, v in enumerate(HEALTHY))))
    assert (report.kind, report.direction, report.curves, report.findings) == ("curves", "minimize", 1, ())


def test_what_keras_logs_is_read_with_its_training_loss(tmp_path: Path) -> None:
    rising = [(i, 0.5, 1 - v / 2, 0.5, 0.4 + 0.01 * i) for i, v in enumerate(HEALTHY)]
    report = diagnose_subject(written(tmp_path, "epoch,accuracy,loss,val_accuracy,val_loss", *rising))
    assert [f.id for f in report.findings] == ["training-loss-rises"]
    assert "accuracy left aside" in report.notes[0]


def test_long_form_names_its_trials_and_folds(tmp_path: Path) -> None:
    rows = [(t, i, f, v + 0.01 * f if t else float("nan")) for t in (0, 1) for i, v in enumerate(HEALTHY) for f in (0, 1)]
    report = diagnose_subject(written(tmp_path, "trial,step,fold,value", *rows))
    assert [(f.id, f.about) for f in report.findings] == [("not-finite", "trial 0")]


def test_wide_form_has_a_curve_a_column_and_its_direction_is_guessed_aloud(tmp_path: Path) -> None:
    report = diagnose_subject(written(tmp_path, "step,runA,runB", *((i, 1 - v, 0.9 - v) for i, v in enumerate(HEALTHY))))
    assert (report.curves, report.direction) == (2, "maximize")
    assert "Most curves rise" in report.notes[0]


@pytest.mark.parametrize(
    ("header", "rows", "says"),
    [
        ("epoch,val_loss", ["1,0.5", "2,abc", "3,0.1"], "line 3: 'abc' is no number"),
        ("epoch,val_loss", ["1,0.5", "2"], "line 3 has 1 cells"),
        ("epoch,val_loss", ["1,0.5", "1,0.5"], "is there twice"),
        ("epoch,val_loss", ["1,0.5", "2,0.4"], "2 points, and 8 are needed"),
        ("epoch,comment", ["1,a", "2,b"], "no column of scores"),
        ("epoch,val_loss", [], "no rows"),
        ("1,0.5", ["2,0.4"], "numbers and no names"),
        ("a,a", ["1,2"], "two columns are called 'a'"),
    ],
)
def test_what_is_no_file_of_curves_says_where_and_how_to_cure_it(tmp_path: Path, header: str, rows: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says) as told:
        diagnose_subject(written(tmp_path, header, *rows))
    assert told.value.cure


def test_a_study_is_read_and_never_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    with pytest.raises(InputError, match="no such database"):
        diagnose_subject(url)
    assert not (tmp_path / "study.db").exists()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=url, study_name="one", sampler=optuna.samplers.TPESampler(seed=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.optimize(
            lambda t: (math.log10(t.suggest_float("lr", 1e-5, 1e-2, log=True)) + 1) ** 2 + 0 * t.suggest_float("idle", 0.1, 5), 32
        )
    report = diagnose_subject(str(tmp_path / "study.db"))
    assert report.trials == 32
    assert ("presses-against-bound", "lr") in [(f.id, f.about) for f in report.findings]
    optuna.create_study(storage=url, study_name="two")
    with pytest.raises(InputError, match="2 studies: one, two"):
        diagnose_subject(url)
    with pytest.raises(InputError, match="no trial of the study 'two'"):
        diagnose_subject(url, study="two")


def test_what_is_neither_file_nor_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="no run, no file and no storage"):
        diagnose_subject("nothing", runs=tmp_path)
    with pytest.raises(InputError, match="no such file"):
        diagnose_subject("nothing.csv")


def test_an_outcome_holds_the_findings_over_its_trials(tmp_path: Path) -> None:
    def objective(config: dict[str, float]) -> float:
        return -math.log10(config["lr"]) + 1e-3 * config["noise"]

    outcome = tune(
        objective,
        space={"lr": Float(1e-5, 1e-1, log=True), "noise": Float(0.5, 7.0)},
        direction="minimize",
        budget_seconds=120,
        max_trials=24,
        isolation="inline",
        run_dir=tmp_path / "run",
        goal="quick",
    )
    pressed = [f for f in outcome.findings if f.id == "presses-against-bound"]
    assert [f.about for f in pressed] == ["lr"]
    assert pressed[0].cure
    assert pressed[0].source
    assert outcome.to_mapping()["findings"]
    assert {f.id for f in diagnose_subject(str(tmp_path / "run")).findings} >= {"presses-against-bound"}


def test_warnings_of_a_run_are_findings_too_and_trials_speak_when_it_is_over() -> None:
    state = fold(StudyState(), Noted(level="warning", text="The disk is full."), Noted(text="Just so."))
    assert [(f.id, str(f)) for f in findings_of("", state)] == [("note", "The disk is full.")]
    assert findings_of("", fold(state, RunFinished(status="done"))) == findings_of("", state)


def test_a_study_whose_trials_all_failed_is_not_told_to_be_sound(tmp_path: Path) -> None:
    import optuna

    storage = f"sqlite:///{tmp_path / 'broken.db'}"
    study = optuna.create_study(storage=storage)
    study.optimize(lambda _trial: float("nan"), n_trials=2)
    with pytest.raises(InputError, match="none of the 2 trials"):
        diagnose_subject(storage)


def test_a_folder_without_a_journal_is_told_as_that_and_not_as_a_wrong_name(tmp_path: Path) -> None:
    from advisor.session.following import find_run

    with pytest.raises(InputError, match=r"holds no journal\.db"):
        find_run(str(tmp_path))


def test_failures_of_a_study_without_a_kept_cause_are_told_in_words(tmp_path: Path) -> None:
    import optuna

    storage = f"sqlite:///{tmp_path / 'half.db'}"
    study = optuna.create_study(storage=storage)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) if trial.number % 2 else float("nan"), n_trials=10)
    found = {f.id: f.seen for f in diagnose_subject(storage).findings}
    assert "50 % of 10 trials failed" in found["many-fail"]
    assert "a score of NaN" in found["many-fail"]
