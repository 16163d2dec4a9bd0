"""Coarse and fine grids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.core.errors import CannotRunError
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.engines.levels import branches, levels, refine, size


def space(**parameters: Float | Int | Choice) -> SearchSpace:
    return SearchSpace(parameters=parameters)


def test_a_logarithmic_range_has_a_level_a_decade() -> None:
    assert levels(space(rate=Float(1e-5, 1.0, log=True)), 100) == {"rate": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]}


def test_there_are_five_to_seven_levels_however_wide_the_range() -> None:
    assert len(levels(space(rate=Float(1e-12, 1.0, log=True)), 100)["rate"]) == 7
    assert len(levels(space(rate=Float(0.1, 0.3, log=True)), 100)["rate"]) == 5
    assert levels(space(share=Float(0.0, 1.0)), 100) == {"share": [0.0, 0.25, 0.5, 0.75, 1.0]}


def test_a_short_integer_range_and_a_choice_keep_all_their_values() -> None:
    assert levels(space(depth=Int(2, 5), kind=Choice([None, "a"])), 100) == {"depth": [2, 3, 4, 5], "kind": [None, "a"]}


def test_the_widest_dimension_gives_way_first_and_the_less_important_of_two_equals() -> None:
    wide = space(rate=Float(1e-5, 1.0, log=True, default=0.1, priority=1), share=Float(0.0, 1.0, default=0.3, priority=2))
    assert {n: len(v) for n, v in levels(wide, 25).items()} == {"rate": 5, "share": 5}
    assert {n: len(v) for n, v in levels(wide, 20).items()} == {"rate": 5, "share": 4}
    assert {n: len(v) for n, v in levels(wide, 9).items()} == {"rate": 3, "share": 3}


def test_the_least_important_is_fixed_at_its_default_and_the_other_has_all_its_levels_again() -> None:
    wide = space(rate=Float(1e-5, 1.0, log=True, default=0.1, priority=1), share=Float(0.0, 1.0, default=0.3, priority=2))
    assert levels(wide, 6) == {"rate": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0], "share": [0.3]}


@given(
    trials=st.integers(1, 60),
    low=st.floats(1e-6, 1.0),
    decades=st.floats(0.1, 9.0),
    top=st.integers(1, 300),
    choices=st.integers(1, 5),
)
def test_a_coarse_grid_fits_the_trials_and_lies_in_the_space(trials: int, low: float, decades: float, top: int, choices: int) -> None:
    wanted = space(
        kind=Choice([str(i) for i in range(choices)], default="0"),
        rate=Float(low, low * 10**decades, log=True, default=low),
        depth=Int(1, top, log=True, default=1, when={"kind": ("0",)}),
    )
    found = levels(wanted, trials)
    assert 1 <= size(wanted, found) <= trials
    assert all(wanted.parameters[name].contains(v) for name, values in found.items() for v in values)
    assert all(len(set(map(str, values))) == len(values) for values in found.values())


def test_a_fine_grid_covers_a_coarse_cell_to_either_side_in_half_steps() -> None:
    wanted = space(rate=Float(1e-5, 1.0, log=True), kind=Choice(["a", "b"]))
    coarse = levels(wanted, 100)
    assert refine(wanted, {"rate": 1e-3, "kind": "b"}, coarse) == {
        "rate": pytest.approx([1e-4, 3.162e-4, 1e-3, 3.162e-3, 1e-2]),
        "kind": ["b"],
    }


def test_a_fine_grid_goes_inwards_only_at_a_hard_edge() -> None:
    wanted = space(share=Float(0.0, 1.0, hard=True))
    assert refine(wanted, {"share": 1.0}, levels(wanted, 5)) == {"share": [0.75, 0.875, 1.0]}


def test_a_fine_grid_moves_on_beyond_a_soft_edge() -> None:
    wanted = space(c=Float(1e-2, 1e2, log=True, hard=False))
    assert refine(wanted, {"c": 1e2}, levels(wanted, 5)) == {"c": [1e2, 1e3, 1e4]}
    assert refine(wanted, {"c": 1e-2}, levels(wanted, 5)) == {"c": pytest.approx([1e-4, 1e-3, 1e-2])}


def test_integers_side_by_side_move_on_beyond_a_soft_edge_and_stay_within_a_hard_one() -> None:
    soft, hard = space(depth=Int(2, 5, hard=False)), space(depth=Int(2, 5))
    assert refine(soft, {"depth": 5}, levels(soft, 9)) == {"depth": [5, 6, 7]}
    assert refine(soft, {"depth": 2}, levels(soft, 9)) == {"depth": [1, 2]}
    assert refine(soft, {"depth": 4}, levels(soft, 9)) == {"depth": [4]}
    assert refine(hard, {"depth": 5}, levels(hard, 9)) == {"depth": [5]}


@given(
    low=st.floats(1e-6, 0.5),
    decades=st.floats(0.1, 6.0),
    least=st.integers(1, 20),
    width=st.integers(1, 300),
    log=st.booleans(),
    hard=st.booleans(),
    at=st.integers(0, 6),
    trials=st.one_of(st.none(), st.integers(1, 30)),
)
def test_a_fine_grid_holds_the_best_never_crosses_a_hard_bound_and_leaves_a_soft_one_at_its_edge_only(
    low: float, decades: float, least: int, width: int, log: bool, hard: bool, at: int, trials: int | None
) -> None:
    wanted = space(rate=Float(low, low * 10**decades, log=log, hard=hard), depth=Int(least, least + width, log=log, hard=hard))
    coarse = levels(wanted, 49)
    best = {name: values[min(at, len(values) - 1)] for name, values in coarse.items()}
    fine = refine(wanted, best, coarse, trials)
    for name, values in fine.items():
        assert best[name] in values
        assert values == sorted(set(values))
        is_on_edge = best[name] in (coarse[name][0], coarse[name][-1])
        if hard or not is_on_edge:
            assert all(wanted.parameters[name].contains(v) for v in values)


def test_a_share_does_not_move_beyond_one_nor_a_count_below_one() -> None:
    wanted = space(share=Float(0.2, 1.0, hard=False), leaf=Int(1, 50, log=True, hard=False))
    found = refine(wanted, {"share": 1.0, "leaf": 1}, levels(wanted, 100))
    assert found == {"share": [1.0], "leaf": [1]}


def test_integers_that_stand_side_by_side_have_nothing_between_them() -> None:
    wanted = space(depth=Int(1, 5))
    assert refine(wanted, {"depth": 3}, levels(wanted, 5)) == {"depth": [3]}


def test_a_fine_grid_fits_the_trials_too() -> None:
    wanted = space(rate=Float(1e-5, 1.0, log=True, priority=1), share=Float(0.0, 1.0, priority=2))
    best, coarse = {"rate": 1e-3, "share": 0.5}, levels(wanted, 100)
    assert [size(wanted, refine(wanted, best, coarse, trials=n)) for n in (25, 16, 9, 4, 1)] == [25, 15, 9, 3, 1]


def test_a_conditional_space_has_a_grid_for_each_branch() -> None:
    kernels = space(kernel=Choice(["linear", "rbf"]), c=Float(0.1, 10.0, log=True), gamma=Float(0.1, 1.0, when={"kernel": ("rbf",)}))
    assert branches(kernels, {"kernel": ["linear", "rbf"], "c": [1.0], "gamma": [0.1, 1.0]}) == [
        {"kernel": ["linear"], "c": [1.0]},
        {"kernel": ["rbf"], "c": [1.0], "gamma": [0.1, 1.0]},
    ]


def test_a_condition_on_a_range_is_refused() -> None:
    ranged = space(depth=Int(1, 9), leaf=Int(1, 9, when={"depth": (1, 2)}))
    with pytest.raises(CannotRunError, match="depend on depth"):
        branches(ranged, {"depth": object(), "leaf": [1]})
