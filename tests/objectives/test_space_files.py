"""Space files: what is written reads back the same, and a change keeps everything else."""

from __future__ import annotations

import tomllib

import pytest

from advisor.core.space import Choice, Float, Group, Int, SearchSpace
from advisor.objectives.space_files import edited, rendered
from advisor.objectives.spaces import space_from

SPACE = SearchSpace(
    parameters={
        "lr": Float(1e-5, 0.1, log=True, default=1e-3, group=Group.OPTIMISATION, priority=1),
        "kind": Choice(["a", None, 3, True, 0.5], default="a"),
        "odd name!": Int(1, 5, hard=False, when={"kind": ["a", None]}),
        "plain": Choice(['quo"te', "tab\t"]),
    }
)


def test_a_rendered_space_reads_back_the_same() -> None:
    assert space_from(tomllib.loads(rendered(SPACE))) == SPACE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("lr = { type = 'float', low = 1, high = 9 } # why\nb = [1, 2]\n", "lr = {new} # why\nb = [1, 2]\n"),
        ("b = [1, 2]\n'lr' = {type='float', low=1, high=9}", "b = [1, 2]\n'lr' = {new}"),
        ("lr = [\n  1,  # one\n  9,\n]\nb = [1, 2]\n", "lr = {new}\nb = [1, 2]\n"),
        ("[space]\nlr = { type = 'float', low = 1, high = 9 }\nb = [1, 2]\n", "[space]\nlr = {new}\nb = [1, 2]\n"),
    ],
)
def test_a_line_is_changed_in_place_and_all_else_stays(before: str, after: str) -> None:
    held = tomllib.loads(before)
    was = space_from(held.get("space", held))
    now = was.replace(lr=Float(1.0, 9.0, log=True))
    new = '{ type = "float", low = 1.0, high = 9.0, log = true }'
    assert edited(before, was, now) == after.replace("{new}", new)


def test_a_table_is_changed_in_place_with_its_comments() -> None:
    text = "[lr]  # rate\ntype = 'float'\n# low\nlow = 1\nhigh = 9\n\n[b]\ntype = 'int'\nlow = 1\nhigh = 2 # two\n"
    was = space_from(tomllib.loads(text))
    now = was.replace(lr=Float(1.0, 9.0, log=True))
    out = edited(text, was, now)
    assert space_from(tomllib.loads(out)) == now
    assert out.startswith("[lr]  # rate\n# low\ntype = ")
    assert out.endswith("[b]\ntype = 'int'\nlow = 1\nhigh = 2 # two\n")


def test_what_cannot_be_changed_in_place_is_written_anew() -> None:
    text = "lr.type = 'float'\nlr.low = 1\nlr.high = 9\n"
    was = space_from(tomllib.loads(text))
    now = was.replace(lr=Float(1.0, 9.0, log=True))
    assert edited(text, was, now) == rendered(now)
