"""Commands over a session without engine: what they ask of it, print, and exit with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from advisor.cli.door import Door
from advisor.cli.main import COMMANDS, run
from advisor.core.errors import CannotRunError, InputError
from advisor.core.facts import Answers
from tests.fakes import facts as builders
from tests.fakes import journals
from tests.fakes.session import FakeSession, door, refused


def call(session: FakeSession, *words: str, **options: Any) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``advisor WORDS``."""
    opened = door(session, **options)
    code = run(words, opened)
    return code, _text(opened, "out"), _text(opened, "err")


def _text(opened: Door, name: str) -> str:
    return str(getattr(opened, name).getvalue())


def test_a_plan_is_text_on_standard_output_and_nothing_else() -> None:
    code, out, err = call(FakeSession(), "plan", "customers.csv")
    assert code == 0
    assert "tpe with median pruning on hist_gradient_boosting" in out
    assert "grid           6 dimensions, at most 3" in out
    assert err == ""


def test_no_line_of_a_plan_is_wider_than_80_columns() -> None:
    _, out, _ = call(FakeSession(), "plan", "customers.csv")
    assert max(map(len, out.splitlines())) <= 80


def test_a_plan_as_json_is_the_plan_byte_for_byte() -> None:
    session = FakeSession()
    code, out, _ = call(session, "plan", "customers.csv", "--json")
    assert code == 0
    assert out == session.plan.to_json() + "\n"
    assert {"space", "starts", "evidence", "rejected", "forecast", "hash"} <= json.loads(out).keys()


def test_every_field_of_the_answers_is_a_flag(tmp_path: Path) -> None:
    """A new field is a new flag: each is given as a word and must arrive as the field's own type."""
    (tmp_path / "production.toml").write_text('family = "ridge"\nalpha = 3.0\n')
    words = {
        "target": "left",
        "task": "binary",
        "metric": "log_loss",
        "goal": "quick",
        "budget_seconds": "10m",
        "trials": "12",
        "model": "ridge",
        "command": "python train.py --lr {lr}",
        "space": "space.toml",
        "fidelity": "epoch:1:52",
        "direction": "maximize",
        "strategy": "tpe",
        "group": "who",
        "time": "when",
        "weights": "w",
        "valid": "valid.csv",
        "test": "test.csv",
        "drop": "a",
        "freeze": "max_bins=63",
        "baseline": str(tmp_path / "production.toml"),
        "cluster": "auto",
        "workers": "2",
        "seed": "3",
        "force": None,
    }
    assert words.keys() == Answers.model_fields.keys(), "a new field: give it an example here"
    line = ["plan", "customers.csv"]
    for name, word in words.items():
        extra = Answers.model_fields[name].json_schema_extra
        assert isinstance(extra, dict)
        line += [str(extra["flag"]), *([word] if word is not None else [])]
    session = FakeSession()
    code, _, err = call(session, *line)
    assert code == 0, err
    ((_, _, answers),) = session.called("gather")
    expected = Answers(
        target="left",
        task="binary",
        metric="log_loss",
        goal="quick",
        budget_seconds=600,
        trials=12,
        model="ridge",
        command="python train.py --lr {lr}",
        space="space.toml",
        fidelity="epoch:1:52",
        direction="maximize",
        strategy="tpe",
        group="who",
        time="when",
        weights="w",
        valid="valid.csv",
        test="test.csv",
        drop=("a",),
        freeze={"max_bins": 63},
        baseline={"family": "ridge", "alpha": 3.0},
        cluster="auto",
        workers=2,
        seed=3,
        force=True,
    )
    assert Answers(**answers) == expected


def test_unanswered_flags_are_left_to_their_defaults() -> None:
    session = FakeSession()
    call(session, "plan", "customers.csv", "--seed", "0")
    assert session.called("gather") == [("customers.csv", None, {"seed": 0})]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("45", 45), ("1h30m", 5400), ("1.5h", 5400)])
def test_budgets_are_read_in_the_units_people_write(text: str, seconds: float) -> None:
    session = FakeSession()
    call(session, "plan", "customers.csv", "--budget", text)
    assert session.called("gather")[0][2] == {"budget_seconds": seconds}


@pytest.mark.parametrize("text", ["0", "-5s", "ten", "10 parsecs", "", "nan", "inf", "1h30", "9" * 400])
def test_what_is_no_budget_is_refused_with_the_spelling(text: str) -> None:
    code, out, err = call(FakeSession(), "plan", "customers.csv", f"--budget={text}")
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert "--budget" in err


def test_frozen_values_are_read_as_numbers_truth_values_and_text() -> None:
    session = FakeSession()
    call(session, "plan", "x.csv", "--freeze", "C=0.5", "--freeze", "penalty=l2", "--freeze", "shuffle=true", "--freeze", "depth=none")
    assert session.called("gather")[0][2] == {"freeze": {"C": 0.5, "penalty": "l2", "shuffle": True, "depth": None}}


def test_a_run_narrates_on_standard_error_and_prints_its_result() -> None:
    session = FakeSession()
    code, out, err = call(session, "run", "customers.csv", "--yes", "--budget", "20m")
    assert code == 0
    assert "RESULT" in out
    assert "it beats the default on held-out rows by +0.02680 (95 % interval +0.01210 to +0.04030)" in " ".join(out.split())
    assert "advisor predict customers-1114" in out
    assert "search: tpe" in err
    assert "plan revised, One fit takes 1.4 s" in err
    assert "warning: The best trials press against" in err
    assert "left" in err
    assert "\x1b" not in out + err, "no terminal: no escape sequences"


def test_the_budget_of_a_run_counts_from_the_start_of_the_process() -> None:
    session = FakeSession()
    call(session, "run", "customers.csv", "--yes")
    assert session.called("start")[0][2] == 12.5


def test_an_outcome_as_json_holds_the_keys_scripts_rely_on() -> None:
    _, out, _ = call(FakeSession(), "run", "customers.csv", "--yes", "--json")
    outcome = json.loads(out)
    keys = (
        "run status best_config metric direction validation_score heldout_score default_heldout_score gain shipped trials seconds findings"
    )
    assert set(keys.split()) <= outcome.keys()
    assert outcome["trials"].keys() == {"completed", "pruned", "failed"}
    assert outcome["gain"].keys() == {"value", "low", "high", "probability"}


def test_on_a_terminal_a_run_asks_once_and_enter_agrees() -> None:
    session = FakeSession()
    code, out, err = call(session, "run", "customers.csv", is_terminal=True, typed="\n")
    assert code == 0
    assert err.count("Run this plan? [Y/n]") == 1
    assert "Why not" in err, "the plan stands there before it is agreed to"
    assert "RESULT" in out


@pytest.mark.parametrize("typed", ["n\n", "nope\n", ""])
def test_anything_but_yes_runs_nothing(typed: str) -> None:
    session = FakeSession()
    code, out, err = call(session, "run", "customers.csv", is_terminal=True, typed=typed)
    assert (code, out) == (0, "")
    assert "Nothing was run." in err
    assert session.called("start") == []


def test_on_a_terminal_one_line_is_written_over() -> None:
    _, _, err = call(FakeSession(), "run", "customers.csv", "--yes", is_terminal=True)
    assert "\r\x1b[K" in err
    assert err.rstrip("\n").splitlines()[-1].count("\x1b[K") >= 1, "the line is taken away at the end"


def test_the_default_that_nothing_beat_is_said_to_be_shipped() -> None:
    _, out, _ = call(FakeSession(journals.finished(shipped="default")), "run", "customers.csv", "--yes")
    assert "nothing beat the default on fresh splits" in out


def test_a_budget_that_ended_with_nothing_is_exit_4() -> None:
    from advisor.core.events import RunFinished

    events = [
        *journals.opening(),
        RunFinished(elapsed=9.0, status="nothing_finished", reason="the budget of 9 s ended before any trial finished"),
    ]
    code, out, err = call(FakeSession(events), "run", "customers.csv", "--yes")
    assert code == 4
    assert "there is no model" in out
    assert "error: the budget of 9 s ended" in err


def test_a_run_that_failed_is_exit_3() -> None:
    from advisor.core.events import RunFinished

    events = [*journals.opening(), RunFinished(elapsed=9.0, status="failed", reason="the default cannot be fitted")]
    code, _, err = call(FakeSession(events), "run", "customers.csv", "--yes")
    assert code == 3
    assert "the default cannot be fitted" in err


def test_a_run_whose_engine_died_is_exit_130_and_says_how_to_go_on() -> None:
    code, out, err = call(FakeSession(journals.running()), "run", "customers.csv", "--yes", "--runs", "nowhere")
    assert code == 130
    assert "interrupted" in out
    assert "advisor resume customers-1114" in err


def test_errors_are_one_message_and_their_exit_code() -> None:
    for error, code in (
        (InputError("no rows", where="x.csv", cure="Add rows."), 2),
        (CannotRunError("no room", where="runs", cure="Make room."), 3),
    ):
        found, out, err = call(refused(error), "plan", "x.csv")
        assert (found, out) == (code, "")
        assert err == f"error: {error}\n"


def test_with_json_an_error_is_an_object_on_standard_output_too() -> None:
    code, out, err = call(refused(InputError("no rows", where="x.csv", cure="Add rows.")), "plan", "x.csv", "--json")
    assert code == 2
    assert json.loads(out) == {"error": {"what": "no rows", "where": "x.csv", "cure": "Add rows.", "exit_code": 2}}
    assert err.startswith("error: no rows")


def test_a_mistake_in_the_flags_is_an_object_too() -> None:
    code, out, _ = call(FakeSession(), "plan", "x.csv", "--bugdet", "3", "--json")
    assert code == 2
    assert "--budget" in json.loads(out)["error"]["cure"]


def test_an_unforeseen_failure_is_exit_1_with_a_report_and_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("MY_API_KEY", "hunter2-canary")
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    session = FakeSession(problem=RuntimeError("lost hunter2-canary at postgres://me:canary@host/db?password=canary"))
    code, out, err = call(session, "plan", "postgres://me:canary@host/db")
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert "canary" not in err
    (report,) = tmp_path.glob("advisor-crash-*.txt")
    assert str(report) in err
    text = report.read_text()
    assert "RuntimeError" in text
    assert "test_commands.py" in text or "session.py" in text, "the lines of the trace are there"
    assert "canary" not in text
    assert report.stat().st_mode & 0o077 == 0, "for the owner alone"


def test_escape_sequences_from_data_are_shown_and_never_obeyed() -> None:
    evil = "\x1b[2Jname\x07\x9b1m\u202e"
    session = FakeSession(plan=journals.plan(target=evil, data=evil, dropped={evil: evil}), problem=None)
    for words in (("plan", "x"), ("plan", "x", "--json"), ("run", "x", "--yes")):
        code, out, err = call(session, *words)
        assert code == 0
        assert not set("\x1b\x07\x9b\u202e") & set(out + err)
    assert json.loads(call(session, "plan", "x", "--json")[1])["target"] == evil, "and JSON still means the same"


def test_escape_sequences_in_an_error_are_shown() -> None:
    _, _, err = call(refused(InputError("no column '\x1b[31mred'", where="x\x1b]0;t\x07")), "plan", "x")
    assert "\\x1b[31mred" in err
    assert "\x1b" not in err


def test_saved_facts_take_the_place_of_data_and_further_answers_lie_over_them(tmp_path: Path) -> None:
    saved = tmp_path / "facts.json"
    saved.write_text(builders.facts(budget_seconds=60, goal="quick").model_dump_json())
    session = FakeSession()
    code, _, err = call(session, "plan", "--facts", str(saved), "--budget", "2h")
    assert code == 0, err
    (facts,) = session.called("recommend")
    assert (facts.answers.budget_seconds, facts.answers.goal) == (7200, "quick")
    assert session.called("gather") == []


def test_answers_about_the_data_come_too_late_for_saved_facts(tmp_path: Path) -> None:
    saved = tmp_path / "facts.json"
    saved.write_text(builders.facts().model_dump_json())
    code, _, err = call(FakeSession(), "plan", "--facts", str(saved), "--target", "x")
    assert code == 2
    assert "--target was settled when the data were read" in err


def test_facts_can_be_saved_and_read_again(tmp_path: Path) -> None:
    place = tmp_path / "facts.json"
    call(FakeSession(), "plan", "customers.csv", "--goal", "quick", "--save-facts", str(place))
    session = FakeSession()
    code, _, err = call(session, "plan", "--facts", str(place))
    assert code == 0, err
    assert session.called("recommend")[0].answers.goal == "quick"


@pytest.mark.parametrize("content", ["", "{}", "null", "[" * 100_000, '{"hardware": NaN}', "\x00"])
def test_a_damaged_facts_file_is_one_message(tmp_path: Path, content: str) -> None:
    place = tmp_path / "facts.json"
    place.write_text(content)
    code, out, err = call(FakeSession(), "plan", "--facts", str(place))
    assert (code, out) == (2, "")
    assert str(place) in err
    assert len(err.splitlines()) == 1


def test_a_saved_plan_is_run_as_it_is() -> None:
    session = FakeSession()
    code, _, err = call(session, "run", "plan.toml", "--yes")
    assert code == 0, err
    assert session.called("load_plan") == ["plan.toml"]
    assert session.called("recommend") == []
    assert session.called("start")[0][0] == session.plan


def test_a_saved_plan_takes_no_answers() -> None:
    code, _, err = call(FakeSession(), "run", "plan.toml", "--yes", "--budget", "3m")
    assert code == 2
    assert "--budget cannot change it" in err


def test_a_plan_is_written_where_out_says() -> None:
    session = FakeSession()
    code, _, err = call(session, "plan", "customers.csv", "--out", "plan.toml")
    assert code == 0
    assert [str(p) for p in session.called("save_plan")] == ["plan.toml"]
    assert "advisor run plan.toml" in err


def test_runs_are_listed_as_text_and_as_json() -> None:
    _, out, _ = call(FakeSession(), "runs")
    assert "customers-1114" in out
    assert "log_loss 0.3127" in out
    assert json.loads(call(FakeSession(), "runs", "--json")[1])[0]["name"] == "customers-1114"


def test_attach_of_a_finished_run_prints_its_result() -> None:
    code, out, _ = call(FakeSession(), "attach", "customers-1114")
    assert code == 0
    assert "RESULT" in out


def test_attach_on_a_terminal_opens_the_interface_on_the_run() -> None:
    session = FakeSession()
    code, _, _ = call(session, "attach", "customers-1114", is_terminal=True)
    assert code == 7
    ((data, options),) = session.called("interface")
    assert data is None
    assert options["attach"].name == "customers-1114"


def test_an_unknown_run_is_exit_2_with_the_nearest_name() -> None:
    for command in ("attach", "resume", "stop"):
        code, _, err = call(FakeSession(), command, "custmers-1114")
        assert code == 2
        assert "customers-1114" in err


def test_stop_sends_the_command_and_waits_for_the_result() -> None:
    session = FakeSession(journals.finished(status="stopped"))
    code, out, err = call(session, "stop", "customers-1114")
    assert code == 0
    assert session.called("send") == [("stop", None)]
    assert "Asked customers-1114 to stop" in err
    assert "stopped early" in out


def test_resume_counts_its_budget_from_its_own_start() -> None:
    session = FakeSession()
    code, out, _ = call(session, "resume", "customers-1114")
    assert code == 0
    assert session.called("resume") == [12.5]
    assert "RESULT" in out


def test_predictions_are_csv_with_formulas_made_harmless() -> None:
    session = FakeSession()
    session.predictions = pl.DataFrame({"prediction": ["=1+1", "-1.5", "yes", "@x"], "probability": [-1.0, 0.5, 0.25, 0.0]})
    code, out, _ = call(session, "predict", "customers-1114", "new.csv")
    assert code == 0
    assert out.splitlines() == ["prediction,probability", "'=1+1,-1.0", "-1.5,0.5", "yes,0.25", "'@x,0.0"]


def test_predictions_go_to_a_file_when_asked(tmp_path: Path) -> None:
    place = tmp_path / "out.csv"
    code, out, err = call(FakeSession(), "predict", "customers-1114", "new.csv", "--out", str(place))
    assert (code, out) == (0, "")
    assert place.read_text() == "prediction\nno\nyes\n"
    assert "2 predictions written" in err


def test_probe_prints_facts_without_a_session() -> None:
    code, out, _ = call(FakeSession(), "probe", "--json")
    assert code == 0
    assert {"cpu_count", "memory_available_bytes", "gpus"} <= json.loads(out).keys()
    assert "processors" in call(FakeSession(), "probe")[1]


def test_profile_prints_the_data_facts() -> None:
    code, out, _ = call(FakeSession(), "profile", "customers.csv")
    assert code == 0
    assert "600 rows × 20 columns" in out
    assert json.loads(call(FakeSession(), "profile", "customers.csv", "--json")[1])["rows"] == 600


def test_data_without_a_command_opens_the_interface_with_the_answers() -> None:
    session = FakeSession()
    code, _, err = call(session, "sklearn:iris", "--budget", "60s", "--target", "y", is_terminal=True)
    assert code == 7, err
    assert session.called("interface") == [
        ("sklearn:iris", {"answers": {"budget_seconds": 60.0, "target": "y"}, "runs": "runs", "query": None})
    ]


def test_options_may_stand_before_the_data(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,b\n1,2\n")
    session = FakeSession()
    call(session, "--budget", "60s", str(table), is_terminal=True)
    assert session.called("interface")[0][0] == str(table)


def test_without_a_terminal_the_interface_names_the_headless_command() -> None:
    code, out, err = call(FakeSession(), "sklearn:iris")
    assert (code, out) == (2, "")
    assert "advisor run sklearn:iris --yes" in err
    assert "\x1b" not in err
    assert call(FakeSession())[0] == 2


def test_a_misspelt_command_is_told_from_a_missing_file() -> None:
    code, _, err = call(FakeSession(), "pln", "x.csv")
    assert code == 2
    assert "unknown command 'pln'. Did you mean 'plan'?" in err.replace(" (advisor)", "")
    code, _, err = call(FakeSession(), "profle")
    assert code == 2
    assert "Did you mean 'profile'?" in err


def test_a_file_named_like_a_command_is_reached_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan").write_text("a,b\n1,2\n")
    session = FakeSession()
    assert call(session, "./plan", is_terminal=True)[0] == 7
    assert session.called("interface")[0][0] == "./plan"
    assert "./plan" in call(FakeSession(), "plan")[2]


def test_help_and_version_need_no_session() -> None:
    def absent() -> FakeSession:
        raise AssertionError("the session was asked for")

    for words in ((), ("--help",), ("--version",), *((name, "--help") for name in COMMANDS)):
        opened = door()
        opened.session_source = absent
        assert run(words, opened) in (0, 2)


def test_a_reader_that_leaves_early_is_no_crash() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        opened = door()
        opened.out = pipe
        assert run(["plan", "customers.csv"], opened) == 141  # 128 + SIGPIPE, as a shell reports it


def test_explain_tells_why_why_not_and_gives_json() -> None:
    _, out, _ = call(FakeSession(), "explain", "plan.toml", "--why", "validation", "--why-not", "grid")
    assert "12,430 rows are enough for five folds" in out
    assert "6 dimensions, at most 3" in out
    assert "hypergradient" not in out, "only what was asked"
    _, out, _ = call(FakeSession(), "explain", "plan.toml")
    assert "11 % positives" in out
    assert "hypergradient was not chosen" in out
    answer = json.loads(call(FakeSession(), "explain", "plan.toml", "--why-not", "grid", "--json")[1])
    assert [r["strategy"] for r in answer["rejected"]] == ["grid"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--why", "validaton"), "validation"),
        (("--why-not", "grit"), "grid"),
        (("--why-not", "tpe"), "--why strategy"),
        (("--what-if", "x=1"), "facts"),
    ],
)
def test_explain_refuses_what_is_not_there_with_the_nearest_name(words: tuple[str, str], hint: str) -> None:
    code, _, err = call(FakeSession(), "explain", "plan.toml", *words)
    assert code == 2
    assert hint in err


def test_rules_are_listed_shown_and_checked() -> None:
    code, out, _ = call(FakeSession(), "rules", "list")
    assert code == 0
    assert "STRATEGY" in out
    assert "recommends grid" in out
    listed = json.loads(call(FakeSession(), "rules", "list", "--kind", "strategy", "--json")[1])
    assert {rule["kind"] for rule in listed} == {"strategy"}
    name = listed[-1]["id"]
    for subject in (name, "grid", "ridge"):
        code, out, _ = call(FakeSession(), "rules", "show", subject)
        assert code == 0
        assert "\nSource\n" in out
    assert "The rulebook is sound" in call(FakeSession(), "rules", "check")[1]


def test_an_unknown_rule_is_told_with_the_nearest_name() -> None:
    code, _, err = call(FakeSession(), "rules", "show", "ridg")
    assert code == 2
    assert "Did you mean 'ridge'?" in err


def test_every_fault_of_a_folder_of_rules_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('[[rule]]\nid = "x"\n[[rule]]\nid = "x"\nbecuse = "y"\n')
    code, out, err = call(FakeSession(), "rules", "check", str(tmp_path))
    assert (code, out) == (2, "")
    assert "used twice" in err
    assert "becuse" in err


def test_export_prints_the_script_or_writes_it(tmp_path: Path) -> None:
    walk = FakeSession()
    here = door(walk)
    assert run(["export", "customers-1114", "--as", "script"], here) == 0
    assert here.out.getvalue() == "print(1)\n"  # type: ignore[attr-defined]
    assert walk.called("export") == [("customers-1114", "script")]
    target = tmp_path / "script.py"
    assert run(["export", "plan.toml", "--out", str(target)], here) == 0
    assert target.read_text() == "print(1)\n"


def test_export_to_a_place_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    here = door(FakeSession())
    assert run(["export", "plan.toml", "--out", str(tmp_path / "nowhere" / "script.py")], here) == 2
    assert "cannot write the script" in here.err.getvalue()  # type: ignore[attr-defined]


def test_trackers_named_on_the_command_line_reach_the_run() -> None:
    walk = FakeSession()
    run(["run", "customers.csv", "--yes", "--track", "tensorboard", "--track", "mlflow"], door(walk))
    assert walk.called("track") == [("tensorboard", "mlflow")]


def test_the_exit_code_waits_for_the_error_that_an_engine_leaves_after_it_has_said_that_it_failed(tmp_path: Path) -> None:
    """The journal ends a moment before the error is left; read too early, a mistake in the input was exit 3."""
    from types import SimpleNamespace

    from advisor.cli.running import exit_code
    from advisor.core.errors import ExitCode, InputError
    from advisor.supervise.identity import process_identity
    from advisor.supervise.launch import write_error

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as engine:
        identity = process_identity(engine.pid)
        late = threading.Timer(0.1, write_error, [tmp_path, InputError("the command printed no value")])
        late.start()
        state = SimpleNamespace(engine=identity)
        assert exit_code(SimpleNamespace(status="failed"), tmp_path, state) is ExitCode.INPUT  # type: ignore[arg-type]
        late.join()
        engine.kill()
