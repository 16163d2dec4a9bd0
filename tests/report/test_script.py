"""Pieces of our own source that stand alone, and values as the source of a script."""

from __future__ import annotations

import ast
import math

import pytest

from advisor.report.excerpts import excerpt
from advisor.report.script_brief import literal, wrapped

ONE = '''
from __future__ import annotations
import numpy as np
from advisor.two import LIMIT, helper
from advisor.core.errors import InputError

class Kept:
    """Uses what lies elsewhere."""
    def run(self) -> float:
        if LIMIT < 0:
            raise InputError("no", cure="Stop.")  # type: ignore[misc]
        return _inner(np.float64(1.0))

def _inner(x):
    return helper(x)

def left_out():
    return 0
'''
TWO = """
import math

LIMIT = 3

def helper(x):
    return math.floor(x) + LIMIT
"""
SOURCES = {"advisor.one": ONE, "advisor.two": TWO}


def test_an_excerpt_holds_what_is_used_in_an_order_that_runs() -> None:
    found = excerpt([("advisor.one", "Kept")], SOURCES.__getitem__)
    assert "left_out" not in found.definitions
    assert found.imports == {"import numpy as np", "import math"}
    assert "type: ignore" not in found.text
    names: dict[str, object] = {}
    exec("from __future__ import annotations\n" + "\n".join(sorted(found.imports)) + "\n" + found.text, names)
    assert names["Kept"]().run() == 4  # type: ignore[operator]


def test_two_different_definitions_of_one_name_are_refused() -> None:
    sources = {"advisor.a": "def f():\n    return 1\n", "advisor.b": "def f():\n    return 2\n"}
    with pytest.raises(ValueError, match="f is defined twice"):
        excerpt([("advisor.a", "f"), ("advisor.b", "f")], sources.__getitem__)


@pytest.mark.parametrize(
    "value", [None, True, 1, 0.1, -math.inf, "quo\"te's\n", ("a",), [1, (2, 3)], {"depth": None, "cap": math.inf}, "é", ()]
)
def test_a_value_is_read_back_from_its_source(value: object) -> None:
    assert eval(literal(value)) == value


def test_a_long_list_is_broken_into_lines_and_stays_a_list() -> None:
    names = [f"column {i}" for i in range(60)]
    text = wrapped(names)
    assert ast.literal_eval(text) == names
    assert max(map(len, text.splitlines())) <= 120
