"""The plan files among the examples load, and are what the commands in their headers recommend."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from advisor.core.value import decode
from advisor.session.planning import load_plan
from tests.examples.plans import FOLDER, command_of, content_of, header_of, plan_files, recommended

FILES = plan_files()


def test_every_method_of_the_article_has_its_plan() -> None:
    strategies = {load_plan(path)[0].strategy.value for path in [*FILES, FOLDER.parent / "mnist" / "plan.toml"]}
    assert {"grid", "random", "tpe", "halving", "hyperband", "pbt", "hypergradient"} <= strategies


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_plan_is_what_the_command_in_its_header_recommends(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan, _ = load_plan(path)
    assert content_of(plan) == content_of(recommended(path)), "write it again with `make examples`, and read the difference"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_plan_tells_how_it_was_made_and_how_it_is_run(path: Path) -> None:
    _, answers, out = command_of(path)
    assert out == Path(path.name)
    assert f"advisor run {path.name} --yes" in header_of(path)
    assert load_plan(path)[0].budget.seconds == answers["budget_seconds"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_plan_searches_rates_and_strengths_on_a_log_scale(path: Path) -> None:
    space = decode(tomllib.loads(path.read_text(encoding="utf-8")))["shortlist"][0]["space"]["parameters"]
    wide = {n: p for n, p in space.items() if p["type"] == "float" and p["low"] > 0 and p["high"] / p["low"] >= 50}
    assert all(p["log"] for p in wide.values())
    assert not {"n_estimators", "max_iter"} & set(space)
