"""Lessons teach what too small and too large do: every hyperparameter of the rulebook has one, and every page reads on its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor.cli.lessons import lesson_page, taught_in
from advisor.core.lessons import lesson, lesson_of, names_of, variants
from tests.cli.test_commands import call
from tests.fakes.rulebooks import shipped
from tests.fakes.session import FakeSession

BOOK = shipped()


def test_every_role_and_every_name_of_it_leads_to_a_lesson() -> None:
    for role in BOOK.roles:
        assert lesson_of(role.name, BOOK.lessons) is not None, role.name
        for name in (*role.names, *(h.name for h in role.hints)):
            assert lesson(name, BOOK.lessons, BOOK.roles) is not None, name


def test_every_hyperparameter_of_every_family_has_a_lesson() -> None:
    for family in BOOK.families.values():
        for name in (*family.space.parameters, *family.fixed):
            found = lesson(name, BOOK.lessons, BOOK.roles, family=family.name)
            assert found is not None, f"{family.name}.{name}: add a [[lesson]] to rules/lessons or to the family's file"
            assert not found.families or family.name in found.families


@pytest.mark.parametrize(
    ("name", "family", "leads_to", "families"),
    [
        ("lr", None, "learning_rate", ()),
        ("optimizer__learningRate", None, "learning_rate", ()),
        ("learning_rate", "xgboost", "learning_rate", ("xgboost",)),
        ("dropout_2", None, "dropout", ()),
        ("svc__C", None, "C", ()),
        ("C", "logistic_regression", "C", ("logistic_regression",)),
        ("alpha", "ridge", "alpha", ("ridge",)),
        ("gamma", None, "kernel_gamma", ()),
        ("gamma", "xgboost", "gamma", ("xgboost",)),
        ("units_l3", None, "units", ()),
    ],
)
def test_a_name_leads_to_its_lesson(name: str, family: str | None, leads_to: str, families: tuple[str, ...]) -> None:
    found = lesson(name, BOOK.lessons, BOOK.roles, family=family)
    assert found is not None
    assert found.name == leads_to
    assert set(families) <= set(found.families)
    assert bool(families) == bool(found.families)


def test_what_nobody_teaches_gives_none() -> None:
    assert lesson("x3", BOOK.lessons, BOOK.roles) is None


def test_no_two_lessons_claim_the_same_name_for_the_same_family() -> None:
    seen: dict[tuple[str, str], str] = {}
    for taught in BOOK.lessons:
        for name in (taught.name, *taught.names):
            for family in taught.families or ("",):
                assert seen.setdefault((name.casefold(), family), taught.title) == taught.title, name


def test_the_line_says_both_ends_and_a_choice_names_them() -> None:
    rate = lesson("lr", BOOK.lessons, BOOK.roles)
    kernel = lesson("kernel", BOOK.lessons, BOOK.roles)
    assert rate is not None
    assert rate.line.startswith("too small: training crawls")
    assert "; too large: the loss swings or diverges" in rate.line
    assert kernel is not None
    assert kernel.line.startswith("linear: ")


def test_the_page_teaches_in_general_and_in_each_family() -> None:
    code, out, _ = call(FakeSession(), "explain", "learning_rate")
    assert code == 0
    for part in ("Learning rate", "too small", "too large", "how to tell", "begin with", "Learning rate of boosted trees", "source"):
        assert part in out
    assert "mlp " in out
    assert "0.0001 .. 0.03 log" in out
    assert max(map(len, out.splitlines())) <= 80
    _, only, _ = call(FakeSession(), "explain", "learning_rate", "--model", "mlp")
    assert "boosted" not in only.replace("boosting", "")
    assert "xgboost" not in only


def test_every_page_fits_a_terminal() -> None:
    known = taught_in(BOOK)
    for taught in BOOK.lessons:
        page = lesson_page(taught, BOOK, taught=known)
        assert max(map(len, page.splitlines())) <= 100, taught.name  # tables of families may be wider than the text
        assert taught.source.split()[0].casefold() in page.casefold()


def test_the_lesson_as_json_has_its_line_variants_and_uses() -> None:
    answer = json.loads(call(FakeSession(), "explain", "C", "--json")[1])
    assert answer["line"].startswith("too small: ")
    assert answer["variants"][0]["families"] == ["logistic_regression"]
    assert {"family": "svc", "name": "C", "range": "0.03 .. 1000 log", "default": "default 1"} in answer["uses"]


def test_variants_are_about_the_same_hyperparameter() -> None:
    rate = lesson("learning_rate", BOOK.lessons, BOOK.roles)
    assert rate is not None
    assert variants(rate, BOOK.lessons)
    assert "lr" in names_of(rate, BOOK.roles)


def test_a_word_that_is_nothing_is_refused_with_the_nearest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    class NoRuns(FakeSession):
        def find_run(self, name: str | Path, runs: str | Path = "runs") -> Path:
            from advisor.session.following import find_run

            return find_run(name, runs)

        def list_runs(self, runs: str | Path = "runs") -> list[object]:  # type: ignore[override]
            return []

    code, _, err = call(NoRuns(), "explain", "lerning_rate")
    assert code == 2
    assert "Did you mean 'learning_rate'?" in err
    code, _, err = call(NoRuns(), "explain", "learning_rate", "--model", "ridg")
    assert code == 2
    assert "Did you mean 'ridge'?" in err
    code, _, err = call(NoRuns(), "explain", "plan_of_mine", "--model", "ridge")
    assert code == 2
    assert "no hyperparameter" in err


def test_a_row_of_a_space_has_its_lesson_beside_it(tmp_path: Path) -> None:
    session = FakeSession()
    name = next(iter(session.plan.space.parameters))
    (tmp_path / "plan.toml").write_text("")
    code, out, _ = call(session, "explain", str(tmp_path / "plan.toml"), "--why", f"space.{name}")
    assert code == 0
    assert f"space.{name}: " in out
    assert "too small: " in out
