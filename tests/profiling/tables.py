"""Small made-up tables, each with one quirk."""

from __future__ import annotations

import numpy as np
import polars as pl


def visits(*, entities: int = 60, each: int = 6, seed: int = 1) -> pl.DataFrame:
    """Several visits of each patient; three columns belong to the patient, the outcome to the visit."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(entities), each)
    height, region, dose = rng.normal(170, 9, entities).round(1), rng.integers(0, 9, entities), rng.integers(1, 7, entities)
    pulse = rng.normal(70, 8, len(who)).round(1)
    return pl.DataFrame(
        {
            "patient_id": who + 1000,
            "height": height[who],
            "region": region[who],
            "dose": dose[who],
            "pulse": pulse,
            "response": (pulse * 0.4 + dose[who] * 2 + rng.normal(0, 2, len(who))).round(2),
        }
    )


def hours(rows: int = 2000, seed: int = 2) -> pl.DataFrame:
    """One row an hour, the moment split into parts beside a row number."""
    rng = np.random.default_rng(seed)
    moments = pl.datetime_range(pl.datetime(2020, 1, 1), pl.datetime(2020, 1, 1) + pl.duration(hours=rows - 1), "1h", eager=True)
    wind = np.abs(rng.normal(3, 1, rows)).round(2)
    return pl.DataFrame(
        {
            "No": np.arange(1, rows + 1),
            "year": moments.dt.year(),
            "month": moments.dt.month(),
            "day": moments.dt.day(),
            "hour": moments.dt.hour(),
            "load": (wind * 20 + rng.normal(0, 5, rows)).round(1),
            "wind": wind,
            "sky": rng.choice(["clear", "cloudy", "rain"], rows),
        }
    )


def loans(rows: int = 600, seed: int = 3) -> pl.DataFrame:
    """A class that depends on two columns, with two more that say nothing."""
    rng = np.random.default_rng(seed)
    income, debt = rng.lognormal(10, 0.4, rows).round(0), rng.normal(0, 1, rows).round(3)
    risk = debt - (np.log(income) - 10) * 2 + rng.normal(0, 1.5, rows)
    return pl.DataFrame(
        {
            "income": income,
            "debt": debt,
            "region": rng.choice(["north", "south", "east"], rows),
            "age": rng.integers(18, 90, rows),
            "defaulted": np.where(risk > 0.5, "yes", "no"),
        }
    )
