"""The questionnaire in lines: the questions of the interface, the answers, the plan, and ASCII where it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor import session
from advisor.cli.main import run
from advisor.core.facts import Facts
from advisor.core.interview import questions
from advisor.core.plan import Plan
from advisor.core.rules import Rulebook
from tests.fakes.facts import hardware
from tests.fakes.session import FakeSession, door


def on_one_machine(facts: Facts) -> Facts:
    """`facts` as of a machine whose free memory does not move."""
    return facts.model_copy(update={"hardware": hardware()})


class RealPlans(FakeSession):
    """The facts, the questions and the plans of the real session; a recorded run."""

    def gather(self, data: Any, *, query: str | None = None, runs: str | Path = "runs", **answers: Any) -> Facts:
        """What is read of the data."""
        self.calls.append(("gather", answers))
        return on_one_machine(session.gather(data, query=query, runs=runs, **answers))

    def recommend(self, facts: Facts, rules: Rulebook | None = None) -> Plan:
        """What the rules recommend."""
        return session.recommend(facts)


def asked(typed: str, *words: str, walk: FakeSession | None = None) -> tuple[int, str, str, FakeSession]:
    """Exit code, standard output, narration and session of ``advisor WORDS --plain`` with `typed` at the keyboard."""
    walk = walk or FakeSession()
    way = door(walk, is_terminal=True, typed=typed)
    code = run([*words, "--plain"], way)
    return code, way.out.getvalue(), way.err.getvalue(), walk  # type: ignore[attr-defined]


def test_agreeing_with_every_question_starts_the_run() -> None:
    walk = FakeSession()
    count = len(questions(walk.gather(None), walk.rulebook()))
    _, out, err, _ = asked("\n" * (count + 1), "sklearn:iris", walk=walk)
    assert f"Question {count} of {count}" in err
    assert "Run this plan?" in err
    assert len(walk.called("start")) == 1
    assert out, "the result is on standard output"


def test_the_same_answers_give_the_plan_of_the_command_line_byte_for_byte(tmp_path: Path) -> None:
    walk = RealPlans()
    # the order of the questions is the interview's own: each is answered by what it asks for
    replies = {"metric": "accuracy", "goal": "quick", "budget_seconds": "90s"}
    typed = ""
    answers: dict[str, Any] = {}
    settled: list[str] = []
    while True:
        facts = on_one_machine(session.gather("sklearn:iris", runs=tmp_path, **answers))
        left = [q for q in questions(facts, session.rulebook()) if q.field not in settled]
        if not left:
            break
        field = left[0].field
        settled.append(field)
        typed += replies.get(field, "") + "\n"
        if field in replies:
            answers[field] = 90.0 if field == "budget_seconds" else replies[field]
    asked(typed + "\n", "sklearn:iris", "--runs", str(tmp_path), walk=walk)
    ((started, _, _),) = walk.called("start")
    facts = on_one_machine(session.gather("sklearn:iris", runs=tmp_path, metric="accuracy", goal="quick", budget_seconds=90.0))
    assert started.to_json().encode() == session.recommend(facts).to_json().encode()


def test_a_smaller_sign_goes_back_and_keeps_the_answers() -> None:
    _, _, err, walk = asked("\n<\n" + "\n" * 20, "sklearn:iris")
    assert err.count("Question 1 of") == 2
    assert len(walk.called("start")) == 1


def test_a_name_that_is_none_of_the_answers_is_refused_with_the_nearest_and_asked_again() -> None:
    walk = RealPlans()
    wrong = "accurcy\n" * 1
    # every question is given the misspelt metric first: only the metric's own refusal names it
    _, _, err, _ = asked((wrong + "\n") * 12, "sklearn:iris", "--target", "target", walk=walk)
    assert "Did you mean 'accuracy'?" in err


def test_leaving_runs_nothing() -> None:
    for typed in ("q\n", "", "\n" * 5 + "q\n"):
        code, out, err, walk = asked(typed, "sklearn:iris")
        assert (code, out) == (0, "")
        assert "Nothing was run." in err
        assert not walk.called("start")


def test_a_column_is_left_out_by_naming_it_at_any_question() -> None:
    walk = RealPlans()
    asked("drop petal length (cm)\n" + "\n" * 10, "sklearn:iris", walk=walk)
    ((started, _, _),) = walk.called("start")
    assert "petal length (cm)" not in started.features
    assert "petal length (cm)" in started.dropped


def test_a_column_that_is_not_there_is_told_and_changes_nothing() -> None:
    walk = RealPlans()
    _, _, err, _ = asked("drop nothing\n" + "\n" * 10, "sklearn:iris", walk=walk)
    assert "That cannot be taken" in err
    ((started, _, _),) = walk.called("start")
    assert len(started.features) == 4


def test_the_answers_of_the_last_run_on_the_same_data_are_there_again(tmp_path: Path) -> None:
    facts = session.gather("sklearn:iris", runs=tmp_path, goal="quick", seed=7)
    (tmp_path / "iris-1").mkdir()
    (tmp_path / "iris-1" / "facts.json").write_text(facts.model_dump_json())
    walk = RealPlans()
    _, _, err, _ = asked("\n" * 10, "sklearn:iris", "--runs", str(tmp_path), walk=walk)
    assert "quick (last time)" in err
    assert walk.called("gather")[0] == {"goal": "quick"}, "a seed belongs to the run it was given for"


def test_with_ascii_every_character_is_below_128() -> None:
    _, out, err, _ = asked("\n" * 20, "sklearn:iris", "--ascii")
    assert out.isascii()
    assert err.isascii()
    assert not asked("\n" * 20, "sklearn:iris")[2].isascii(), "without it, signs are written: the test can fail"


def test_no_line_is_written_over_and_nothing_is_coloured() -> None:
    _, out, err, _ = asked("\n" * 20, "sklearn:iris")
    assert "\r" not in err
    assert "\x1b" not in out + err


def test_a_dumb_terminal_is_asked_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    walk = FakeSession()
    way = door(walk, is_terminal=True, typed="q\n")
    assert run(["sklearn:iris"], way) == 0
    assert "Question 1 of" in way.err.getvalue()  # type: ignore[attr-defined]
    assert not walk.called("interface")


def test_without_a_terminal_nothing_is_asked() -> None:
    way = door(FakeSession(), typed="\n" * 9)
    assert run(["sklearn:iris", "--plain"], way) == 2
    assert "advisor run sklearn:iris --yes" in way.err.getvalue()  # type: ignore[attr-defined]


def test_the_data_are_asked_for_where_none_are_named() -> None:
    _, _, err, walk = asked("no/such.csv\nsklearn:iris\n" + "\n" * 20)
    assert "There is no such file." in err
    assert len(walk.called("start")) == 1


def test_the_interface_is_told_how_to_look() -> None:
    walk = FakeSession()
    run(["sklearn:iris", "--ascii", "--theme", "light"], door(walk, is_terminal=True))
    ((_, options),) = walk.called("interface")
    assert options["is_ascii"] is True
    assert options["theme"] == "light"
