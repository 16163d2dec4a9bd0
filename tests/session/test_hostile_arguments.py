"""What a user may write in Python by mistake: each is told in one sentence, before anything begins."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import advisor
from advisor.core.errors import InputError, ParameterError
from advisor.core.facts import Answers
from advisor.core.lint import lint
from advisor.core.space import SearchSpace
from advisor.session.planning import rulebook


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda: advisor.Float(3, 1), "low 3.0 is above high 1.0"),
        (lambda: advisor.Float(-1, 1, log=True), "a logarithmic scale needs low above 0"),
        (lambda: advisor.Float(0, math.inf), "bounds must be finite"),
        (advisor.Float, "low is missing"),
        (lambda: advisor.Float(0, 1, default="much"), "the default of a range is a number"),
        (lambda: advisor.Int(0, 5, default=math.nan), "the default of a range is a number"),
        (lambda: advisor.Int(1.5, 5), "a number with a fractional part"),  # type: ignore[arg-type]
        (lambda: advisor.Choice([]), "needs at least one value"),
        (lambda: advisor.Choice("abc"), "the choices are a list"),
        (lambda: advisor.Choice(5), "the choices are a list"),  # type: ignore[arg-type]
        (lambda: advisor.Fidelity("epoch", 5, 1), "1 <= low <= high"),
    ],
)
def test_a_parameter_that_cannot_be_is_told_in_one_sentence(write: Callable[[], Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said) as told:
        write()
    assert "pydantic" not in str(told.value)
    assert told.value.exit_code == 2


def test_a_wrong_parameter_within_a_space_keeps_its_place() -> None:
    with pytest.raises(ValueError, match="lr"):
        SearchSpace.model_validate({"parameters": {"lr": {"type": "float", "low": 3, "high": 1}}})


def tune(**changed: Any) -> Any:
    given: dict[str, Any] = {"space": {"x": advisor.Float(0, 10)}, "budget_seconds": 20.0, "max_trials": 2, "isolation": "inline"}
    return advisor.tune(lambda config: float(len(config)), **(given | changed))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"space": {"x": advisor.Choice([math.nan, 1.0])}}, "x: one of its values is NaN"),
        ({"space": {"x": advisor.Choice([object(), 1])}}, "x: one of its values is a object"),
        ({"space": {1: advisor.Float(0, 1)}}, "1 is no name"),
        ({"budget_seconds": math.inf}, "inf is not valid"),
        ({"budget_seconds": 1e300}, "1e[+]300 is not valid"),
        ({"max_trials": 10**30}, "less than or equal to"),
        ({"freeze": "x=1"}, "freeze is a str"),
        ({"starts": None}, "the starts are None"),
        ({"starts": {"x": 1}}, "no list"),
        ({"clock": 5}, "the clock is 5"),
        ({"clock": lambda: math.nan}, "the clock gives nan"),
        ({"run_dir": "a\0b"}, "NUL"),
    ],
)
def test_an_argument_that_cannot_be_is_refused_before_the_first_trial(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        tune(**changed)


def test_the_scalars_of_an_array_are_choices() -> None:
    assert tune(space={"x": advisor.Choice(list(np.array([1, 2])))}).best_config["x"] in (1, 2)


def test_the_longest_budget_is_one_that_can_be_planned() -> None:
    most = next(m.le for m in Answers.model_fields["budget_seconds"].metadata if hasattr(m, "le"))
    assert tune(budget_seconds=most, max_trials=1).best_value == 1.0


def test_looking_for_siblings_reads_the_space_a_few_times_not_once_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    free: Any = vars(SearchSpace)["free"]

    def counted(space: SearchSpace) -> Any:
        nonlocal asked
        asked += 1
        return free.fget(space)

    monkeypatch.setattr(SearchSpace, "free", property(counted))
    rules = rulebook()
    space = SearchSpace(parameters={f"x{i}": advisor.Float(0, 1) for i in range(30)})
    lint(space, rules.lints, rules.roles)
    assert asked < 30 * 30  # once a pair and finding was 30 x 29 x the number of findings that look for a sibling
