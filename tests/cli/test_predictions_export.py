"""Predictions as CSV never hand a spreadsheet a formula."""

from __future__ import annotations

import polars as pl

from advisor.cli.predicting import _harmless


def test_a_target_named_like_a_formula_is_neutralised_in_the_header_and_in_its_cells() -> None:
    exported = _harmless(pl.DataFrame({"=1+1": ["=cmd", "-1", "plain"]})).write_csv().splitlines()
    assert exported == ["'=1+1", "'=cmd", "-1", "plain"]
