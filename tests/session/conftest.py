"""A small mixed table, and plans on it that end in seconds."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """180 rows with numbers, a category, missing cells spelled ``?`` and a class to predict."""
    draw = random.Random(7)
    path = tmp_path_factory.mktemp("data") / "loans.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["income", "age", "region", "debt", "outcome"])
        for _ in range(180):
            income, age, debt = draw.gauss(50, 12), draw.randint(18, 80), draw.expovariate(0.1)
            region = draw.choice(["north", "south", "east"])
            risk = 0.08 * (debt - 10) - 0.05 * (income - 50) + (0.8 if region == "east" else 0.0) + draw.gauss(0, 0.7)
            out.writerow([f"{income:.2f}" if draw.random() > 0.1 else "?", age, region, f"{debt:.3f}", "bad" if risk > 0 else "good"])
    return path
