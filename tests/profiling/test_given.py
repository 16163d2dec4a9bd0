"""Rows in files of their own: what is told of them, and what is refused, by which flag and with which cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from advisor.core.errors import InputError
from advisor.core.facts import Dataset, GivenRows
from advisor.profiling.given import with_given_rows
from advisor.profiling.profile import profile_table


def rows(first: int, last: int, **changed: Any) -> pl.DataFrame:
    """Rows of one table by their numbers: two numbers, a category, an owner of five rows each, a day, and a class."""
    draw = np.random.default_rng(3)
    size, colour = draw.normal(size=400).round(3), draw.choice(["red", "green", "blue"], size=400)
    table = pl.DataFrame(
        {
            "size": size,
            "weight": draw.exponential(size=400).round(3),
            "colour": colour,
            "owner": [f"owner {i // 5}" for i in range(400)],
            "day": (pl.Series([1_577_836_800_000_000 + i * 86_400_000_000 for i in range(400)]).cast(pl.Datetime("us")).dt.date()),
            "outcome": np.where(size + (colour == "red") > 0.3, "good", "bad"),
        }
    )
    return table[first:last].with_columns(**changed)


def described(
    folder: Path, *, data: pl.DataFrame | None = None, valid: pl.DataFrame | None = None, test: pl.DataFrame | None = None, **answers: Any
) -> Dataset:
    """The profile of rows 0 to 200, with files as far as they are handed over."""
    paths = {}
    for name, frame in (("data", rows(0, 200) if data is None else data), ("valid", valid), ("test", test)):
        if frame is not None:
            frame.write_csv(folder / f"{name}.csv")
            paths[name] = str(folder / f"{name}.csv")
    source = paths.pop("data")
    return with_given_rows(profile_table(source, target="outcome", **answers), source, **paths, **answers)


def test_the_rows_of_a_file_are_counted_and_marked_by_their_content(tmp_path: Path) -> None:
    found = described(tmp_path, valid=rows(200, 300), test=rows(300, 400, outcome=pl.Series([None] * 5 + ["good", "bad"] * 47 + ["bad"])))
    assert found.valid is not None and found.test is not None
    assert (found.valid.source, found.valid.rows, found.test.rows) == (str(tmp_path / "valid.csv"), 100, 95)
    assert found.valid.fingerprint != found.test.fingerprint
    assert found.model_copy(update={"valid": None, "test": None}) == described(tmp_path)


def test_without_files_the_data_are_as_they_were(tmp_path: Path) -> None:
    assert (described(tmp_path).valid, described(tmp_path).test) == (None, None)


def test_columns_that_no_model_uses_need_not_be_there(tmp_path: Path) -> None:
    found = described(tmp_path, test=rows(200, 300).drop("owner"), drop=("owner",))
    assert isinstance(found.test, GivenRows)


@pytest.mark.parametrize(
    ("changed", "said", "cure"),
    [
        (rows(200, 300).drop("colour"), "1 column(s) of the data are missing from the file: colour", "Add them"),
        (rows(200, 300).drop("outcome"), "missing from the file: outcome", "Add them"),
        (rows(200, 210), "has 10 rows with a known 'outcome'", "at least 20"),
        (rows(200, 300, outcome=pl.lit("fair")), "100 rows have a 'outcome' that the data do not hold: fair", "Write the labels"),
        (rows(200, 300, outcome=pl.lit("bad")), "have the same 'outcome': bad", "at least two classes"),
        (rows(200, 300, size=pl.lit("big")), "100 of 100 values of 'size' are not read as in the data, such as 'big'", "as it is written"),
        (rows(200, 300, colour=pl.lit("rouge")), "no value of 'colour' is one that the data hold, such as 'rouge'", "as it is written"),
        (rows(0, 200), "holds the same rows as", "other rows"),
    ],
)
@pytest.mark.parametrize("flag", ["valid", "test"])
def test_what_does_not_belong_to_the_data_is_refused(flag: str, changed: pl.DataFrame, said: str, cure: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        described(tmp_path, **{flag: changed})
    assert said in caught.value.what
    assert caught.value.where.startswith(f"--{flag}")
    assert cure in caught.value.cure


@pytest.mark.parametrize(("named", "said"), [("sklearn:iris", "is no file"), ("sqlite:///x.db", "is no file"), ("none.csv", "no file")])
def test_what_is_no_file_is_refused(named: str, said: str, tmp_path: Path) -> None:
    rows(0, 200).write_csv(tmp_path / "data.csv")
    with pytest.raises(InputError, match=said) as caught:
        with_given_rows(profile_table(tmp_path / "data.csv", target="outcome"), tmp_path / "data.csv", valid=named)
    assert caught.value.where.startswith("--valid")


def test_a_number_to_predict_must_be_one_in_the_file_too(tmp_path: Path) -> None:
    data, odd = rows(0, 200).drop("outcome"), rows(200, 300).drop("outcome")
    data.write_csv(tmp_path / "data.csv")
    odd.with_columns(weight=pl.lit("heavy")).write_csv(tmp_path / "odd.csv")
    dataset = profile_table(tmp_path / "data.csv", target="weight")
    with pytest.raises(InputError, match="100 of 100 values of 'weight' are not read as in the data"):
        with_given_rows(dataset, tmp_path / "data.csv", test=str(tmp_path / "odd.csv"))


def test_an_owner_on_both_sides_is_refused(tmp_path: Path) -> None:
    assert described(tmp_path, valid=rows(200, 300), test=rows(300, 400), group="owner").valid is not None
    with pytest.raises(InputError, match=r"2 of 21 values of 'owner' stand in .*data.csv as well: owner 38, owner 39"):
        described(tmp_path, valid=rows(190, 295), group="owner")
    with pytest.raises(InputError, match=r"stand in .*valid.csv as well"):
        described(tmp_path, valid=rows(200, 300), test=rows(298, 400), group="owner")


def test_the_past_predicts_the_future_across_files(tmp_path: Path) -> None:
    assert described(tmp_path, valid=rows(200, 300), test=rows(300, 400), time="day").test is not None
    with pytest.raises(InputError, match=r"its 'day' begins at 2020-07-18.* and that of .*data.csv ends at 2020-07-18"):
        described(tmp_path, test=rows(199, 300), time="day")
    with pytest.raises(InputError, match=r"that of .*valid.csv ends at"):
        described(tmp_path, valid=rows(300, 400), test=rows(200, 300), time="day")


def test_rows_that_were_learned_from_are_warned_of(tmp_path: Path) -> None:
    warned = described(tmp_path, test=rows(190, 290)).warnings
    assert warned[0].startswith("10 of the 100 rows of ") and "too good" in warned[0]
    assert not any("too good" in w for w in described(tmp_path, test=rows(200, 300)).warnings)


def test_new_categories_and_classes_without_a_row_are_told(tmp_path: Path) -> None:
    test = rows(200, 300, colour=pl.when(pl.int_range(100) < 30).then(pl.lit("pink")).otherwise("colour"))
    assert any("30 values of colour" in w and "such as pink" in w for w in described(tmp_path, test=test).warnings)
    third = rows(0, 200, outcome=pl.when(pl.int_range(200) % 3 == 0).then(pl.lit("fair")).otherwise("outcome"))
    assert any("has no row of fair" in w for w in described(tmp_path, data=third, test=rows(200, 300)).warnings)


def test_images_and_an_unknown_target_are_refused_with_the_cure(tmp_path: Path) -> None:
    dataset = described(tmp_path)
    for changed, cure in (({"image_source": "folder"}, "Leave --test out"), ({"target": profile_unknown()}, "--target COLUMN")):
        with pytest.raises(InputError) as caught:
            with_given_rows(dataset.model_copy(update=changed), tmp_path / "data.csv", test=str(tmp_path / "data.csv"))
        assert cure in caught.value.cure


def profile_unknown() -> Any:
    from advisor.core.facts import Unknown

    return Unknown(reason="no column looks like a target")
