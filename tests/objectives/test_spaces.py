"""Spaces as people bring them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna.distributions as optuna_ranges
import pytest
import scipy.stats as stats

from advisor.core.errors import InputError
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.objectives.spaces import BRANCH, MOST_STEPS, read_space, space_from


def one(given: Any) -> Float | Int | Choice:
    return space_from({"x": given}).parameters["x"]


def refusal(given: Any) -> str:
    with pytest.raises(InputError) as found:
        space_from(given)
    return str(found.value)


@pytest.mark.parametrize(
    ("given", "means"),
    [
        (Float(0, 1), Float(0, 1)),
        ([1, 2, 4, 8], Choice([1, 2, 4, 8])),
        ([0.001, 0.01, 0.1], Choice([0.001, 0.01, 0.1])),
        (("a", None, True, 1, 1), Choice(["a", None, True, 1])),
        ((5, 2), Choice([5, 2])),
        (np.logspace(-2, 0, 3), Choice([0.01, 0.1, 1.0])),
        (np.arange(3), Choice([0, 1, 2])),
        ([np.float32(0.5), np.str_("s")], Choice([0.5, "s"])),
        (range(2, 9), Int(2, 8)),
        (range(2, 9, 3), Choice([2, 5, 8])),
        ({"type": "int", "low": 1, "high": 8, "log": True}, Int(1, 8, log=True)),
        (stats.uniform(1, 2), Float(1, 3)),
        (stats.uniform(loc=-1, scale=2), Float(-1, 1)),
        (stats.loguniform(1e-4, 1.0), Float(1e-4, 1.0, log=True)),
        (stats.reciprocal(1e-3, 10), Float(1e-3, 10, log=True)),
        (stats.loguniform(1, 10, scale=2), Float(2, 20, log=True)),
        (stats.randint(1, 9), Int(1, 8)),
        (stats.randint(0, 3, loc=4), Int(4, 6)),
        (stats.Uniform(a=1.0, b=2.0), Float(1, 2)),
        (optuna_ranges.FloatDistribution(0, 1), Float(0, 1)),
        (optuna_ranges.FloatDistribution(1e-3, 1, log=True), Float(1e-3, 1, log=True)),
        (optuna_ranges.FloatDistribution(0, 0.3, step=0.1), Choice([0.0, 0.1, 0.2, 0.3])),
        (optuna_ranges.IntDistribution(1, 9), Int(1, 9)),
        (optuna_ranges.IntDistribution(1, 9, log=True), Int(1, 9, log=True)),
        (optuna_ranges.IntDistribution(16, 64, step=16), Choice([16, 32, 48, 64])),
        (optuna_ranges.CategoricalDistribution(("x", None)), Choice(["x", None])),
    ],
)
def test_a_range_means_one_of_our_parameters(given: Any, means: Float | Int | Choice) -> None:
    assert one(given) == means


def test_values_drawn_by_the_library_lie_in_what_its_range_means() -> None:
    for frozen in (stats.uniform(2, 3), stats.loguniform(1e-3, 2), stats.randint(2, 5), stats.randint(0, 3, loc=4)):
        parameter = one(frozen)
        draws = frozen.rvs(300, random_state=0).tolist()
        assert all(parameter.contains(v) for v in draws)
        if isinstance(parameter, Int):  # each of at most 3 values is missed by 300 draws with probability (2/3)^300
            assert set(draws) == set(range(parameter.low, parameter.high + 1))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (stats.norm(0, 1), "Write Float(-2.326, 2.326)"),
        (stats.lognorm(2), "log=True"),
        (stats.poisson(3), "Write Int(0, 8)"),
        (stats.loguniform(1, 10, loc=3), "Write Float("),
        (stats.uniform, "stands without its settings"),
        (stats.uniform([0, 1], 1), "no distribution of one number"),
        (stats.Normal(), "Use Float(low, high)"),
        ((0.1, 1.0), "Write [0.1, 1.0] for the two, Float(0.1, 1.0) for the range"),
        ((1, 8), "Int(1, 8) for the range"),
        (3, "Write [3] to hold it fixed"),
        ("adam", "Write ['adam'] to hold it fixed"),
        (None, "one value and no range"),
        ([], "the list is empty"),
        ({"b", "a"}, "Write ['a', 'b']"),
        ([object()], "one of its values is a object"),
        ([float("nan")], "one of its values is NaN"),
        (object(), "a builtins.object is no range"),
        (lambda: 1, "no range that is known here"),
        ({"low": 0, "high": 1}, "it has no type"),
        ({"type": "flot", "low": 0, "high": 1}, "Did you mean 'float'"),
        ({"type": 3}, "type is 3"),
        ({"type": "float", "low": 0, "hihg": 1}, "Did you mean 'high'"),
        ({"type": "float", "low": 0}, "high is missing"),
        ({"type": "float", "low": 2, "high": 1}, "low 2.0 is above high 1.0"),
        ({"type": "float", "low": 0, "high": 1, "log": True}, "low above 0"),
        ({"type": "int", "low": 0.5, "high": 1}, "low: "),
        ({"type": "choice", "choices": []}, "at least one value"),
        (optuna_ranges.FloatDistribution(0, 1, step=0.001), "1001 values"),
    ],
)
def test_what_is_no_range_is_refused_by_name_with_the_cure(given: Any, says: str) -> None:
    said = refusal({"x": given})
    assert "x: " in said
    assert says in said


def test_a_long_stepped_range_is_cut_off_where_it_is_said() -> None:
    assert len(one(optuna_ranges.IntDistribution(0, 2 * MOST_STEPS - 2, step=2)).choices) == MOST_STEPS  # type: ignore[union-attr]
    assert "too many" in refusal({"x": optuna_ranges.IntDistribution(0, 2 * MOST_STEPS, step=2)})


@pytest.mark.parametrize("given", [3, "x", None, [], [3], {1: Float(0, 1)}, {"": Float(0, 1)}])
def test_what_is_no_space_is_refused(given: Any) -> None:
    assert refusal(given)


def test_parameters_are_put_after_those_they_wait_for() -> None:
    space = space_from({"m": Float(0, 1, when={"o": ["sgd"]}), "o": ["sgd", "adam"], "k": Int(1, 2, when={"m": (0.5,)})})
    assert list(space.parameters) == ["o", "m", "k"]
    assert space_from(space) is space


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"m": Float(0, 1, when={"oo": ["a"]}), "o": ["a"]}, "m: its condition names 'oo', which is no parameter"),
        ({"m": Float(0, 1, when={"o": ["sdg"]}), "o": ["sgd"]}, "waits for o = 'sdg', which o never is"),
        ({"a": Float(0, 1, when={"b": [1]}), "b": Choice([1], when={"a": [0.5]})}, "leads back to itself"),
    ],
)
def test_a_condition_that_can_never_hold_is_refused(given: Any, says: str) -> None:
    assert says in refusal(given)


def test_a_list_of_grids_hangs_on_what_tells_its_members_apart() -> None:
    space = space_from(
        [
            {"kernel": ["rbf", "poly"], "C": stats.loguniform(1e-3, 1e3), "gamma": stats.loguniform(1e-4, 1)},
            {"kernel": ["linear"], "C": stats.loguniform(1e-3, 1e3)},
        ]
    )
    assert space == SearchSpace(
        parameters={
            "kernel": Choice(["rbf", "poly", "linear"]),
            "C": Float(1e-3, 1e3, log=True),
            "gamma": Float(1e-4, 1, log=True, when={"kernel": ("rbf", "poly")}),
        }
    )


def test_a_list_of_grids_without_such_a_thing_gets_a_choice_of_its_own() -> None:
    space = space_from([{"depth": [1, 2], "a": [1]}, {"depth": [1, 2], "b": [2]}, {"depth": [1, 2]}])
    assert space.parameters[BRANCH] == Choice([0, 1, 2])
    assert space.parameters["a"].when == {BRANCH: (0,)}
    assert space.parameters["b"].when == {BRANCH: (1,)}
    assert space_from([{"x": [1, 2]}]).parameters == {"x": Choice([1, 2])}
    assert f"{BRANCH}_0" in space_from([{BRANCH: [1], "a": [1]}, {BRANCH: [1]}]).parameters


def test_one_name_with_two_ranges_in_a_list_is_refused() -> None:
    assert "C: entries 0 and 1 give it different ranges" in refusal([{"k": ["a"], "C": [1]}, {"k": ["b"], "C": [1, 2]}])


FILE = """
lr = { type = "float", low = 1e-5, high = 0.1, log = true, group = "optimisation" }
layers = { type = "int", low = 1, high = 5, hard = false, default = 2 }
optimizer = ["sgd", "adamw"]
"model.depth" = { type = "choice", choices = [1, { none = true }] }
momentum = { type = "float", low = 0.5, high = 0.99, when = { optimizer = ["sgd"] } }
"""


@pytest.mark.parametrize("head", ["", "[space]"])
def test_a_space_file_holds_a_table_a_parameter(tmp_path: Path, head: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(head + FILE)
    space = read_space(path)
    assert list(space.parameters) == ["lr", "layers", "optimizer", "model.depth", "momentum"]
    assert space.parameters["lr"] == Float(1e-5, 0.1, log=True, group="optimisation")
    assert space.parameters["layers"] == Int(1, 5, hard=False, default=2)
    assert space.parameters["model.depth"] == Choice([1, None])
    assert space.parameters["momentum"].when == {"optimizer": ("sgd",)}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"lr = {", "no TOML"),
        (b"", "names no parameter"),
        (b"[space]\n", "names no parameter"),
        (b"lr = 3", "lr: 3 is one value"),
        (b"\xff\xfe", "not UTF-8"),
        (b"lr = " + b"9" * 5000, "no TOML"),
        (b"lr = " + b"[" * 20_000, "no TOML"),
        (b"#" * (1 << 20) + b"##", "1 MB"),
        (b'lr = { type = "float", low = 1e-5, high = inf }', "finite"),
        (b'lr = { type = "float", low = 1, high = 2, group = "optimization" }', "lr: group"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path: Path, body: bytes, says: str) -> None:
    path = tmp_path / "space.toml"
    path.write_bytes(body)
    with pytest.raises(InputError) as found:
        read_space(path)
    assert says in str(found.value)
    assert str(path) in str(found.value)


def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(InputError, match="file"):
            read_space(path)
