"""The ladder of successive halving, and how many candidates a budget affords."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.core.ports import Result
from advisor.core.space import Float, SearchSpace
from advisor.engines.rungs import affordable_candidates, fewest_rows, full_fits, ladder
from advisor.engines.sklearn_search import HalvingRandomEngine


def climbed(engine: HalvingRandomEngine) -> Iterator[Any]:
    while (proposal := engine.propose()) is not None:
        engine.tell(proposal, Result("completed", proposal.config["x"], (proposal.config["x"],)))
        if proposal.rows is not None:
            yield proposal.rows
    engine.close()


@pytest.mark.parametrize(
    ("candidates", "most", "least", "factor"),
    [
        (81, 20_000, 500, 3),
        (27, 20_000, 500, 3),
        (28, 20_000, 500, 3),
        (243, 999, 1, 3),
        (9, 600, 500, 3),
        (64, 6_400, 100, 2),
        (2, 50, 50, 4),
    ],
)
def test_the_ladder_is_the_one_that_the_library_climbs(candidates: int, most: int, least: int, factor: int) -> None:
    space = SearchSpace(parameters={"x": Float(0.0, 1.0)})
    engine = HalvingRandomEngine(
        space, direction="maximize", seed=1, splits=1, n_candidates=candidates, rows=most, min_resources=least, factor=factor
    )
    rows = list(climbed(engine))
    assert [(rows.count(r), r) for r in dict.fromkeys(rows)] == list(ladder(candidates, most=most, least=least, factor=factor))


def test_a_first_rung_that_is_large_enough_exhausts_the_resource() -> None:
    assert ladder(27, most=27_000, least=500) == ((27, 1000), (9, 3000), (3, 9000), (1, 27_000))


def test_a_first_rung_lifted_to_its_least_leaves_more_candidates_on_the_last() -> None:
    assert ladder(27, most=9_000, least=1000) == ((27, 1000), (9, 3000), (3, 9000))


def test_the_cost_is_that_of_full_fits_and_of_the_finalists() -> None:
    assert full_fits(ladder(27, most=27_000, least=500), most=27_000) == pytest.approx(4 + 1)
    assert full_fits(ladder(27, most=9_000, least=1000), most=9_000) == pytest.approx(9 + 3)


def test_a_fit_on_few_rows_costs_more_than_its_share_where_the_power_is_below_one() -> None:
    # A tenth of the power makes 27 fits on a 27th cost 27 · 27^-0.1 full ones, and so on up the ladder.
    expected = 27 * 27**-0.1 + 9 * 9**-0.1 + 3 * 3**-0.1 + 1 + 1
    assert full_fits(ladder(27, most=27_000, least=500), most=27_000, power=0.1) == pytest.approx(expected)
    assert affordable_candidates(20, most=27_000, least=500, power=0.1) < affordable_candidates(20, most=27_000, least=500)


@given(
    trials=st.integers(3, 80),
    most=st.integers(2_000, 10**6),
    least=st.integers(100, 2_000),
    factor=st.integers(2, 4),
    power=st.floats(0.3, 2.0),
)
def test_no_larger_number_of_candidates_is_affordable(trials: int, most: int, least: int, factor: int, power: float) -> None:
    found = affordable_candidates(trials, most=most, least=least, factor=factor, power=power)
    costs = {n: full_fits(ladder(n, most=most, least=least, factor=factor), most=most, power=power) for n in range(2, 244)}
    assert found == max((n for n, cost in costs.items() if cost <= trials), default=1)


def test_a_first_rung_has_rows_for_every_class_and_split() -> None:
    assert (fewest_rows(classes=0, splits=5), fewest_rows(classes=2, splits=5), fewest_rows(classes=10, splits=5)) == (500, 500, 1000)
