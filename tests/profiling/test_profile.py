"""Profiling: kinds, target, task, leaks, groups, time and order are seen in small made-up tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from advisor.core.errors import InputError
from advisor.core.facts import ColumnKind, Dataset, Task, Unknown
from advisor.profiling import scan
from advisor.profiling.columns import cast, describe, target_values
from advisor.profiling.profile import profile_table
from advisor.profiling.target import has_heavy_tail, task_of
from tests.profiling.tables import hours, loans, visits


def kind_of(values: list[object], name: str = "v") -> ColumnKind:
    return describe(name, pl.Series(name, values, strict=False)).kind


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("v", [f"{i / 7:.3f}" for i in range(99)], ColumnKind.NUMERIC),
        ("v", ["1,234.5", "$2,000", "12 %", "7"] * 9, ColumnKind.NUMERIC),
        ("v", [str(i % 6) for i in range(99)], ColumnKind.INTEGER_CODED),
        ("v", ["yes", "No", "YES"] * 9, ColumnKind.BOOLEAN),
        ("v", ["0", "1"] * 9, ColumnKind.BOOLEAN),
        ("v", ["red", "blue", "green"] * 9, ColumnKind.CATEGORY),
        ("v", [f"town {i % 45}" for i in range(200)], ColumnKind.HIGH_CARDINALITY),
        ("v", [f"the quick fox number {i} jumps high" for i in range(99)], ColumnKind.TEXT),
        ("v", [f"tok{i}en" for i in range(99)], ColumnKind.IDENTIFIER),
        ("customer_id", [str(5000 + 3 * i) for i in range(99)], ColumnKind.IDENTIFIER),
        ("v", [str(i + 1) for i in range(99)], ColumnKind.IDENTIFIER),
        ("year", [str(1900 + i) for i in range(99)], ColumnKind.NUMERIC),
        ("area", [str(70 + 13 * i) for i in range(99)], ColumnKind.NUMERIC),
        ("zip", [f"{i * 37 % 97:05d}" for i in range(400)], ColumnKind.HIGH_CARDINALITY),
        ("v", ["same"] * 50, ColumnKind.CONSTANT),
        ("v", ["?", "", "NA"] * 9, ColumnKind.CONSTANT),
        ("v", ["x", ""] * 20, ColumnKind.CATEGORY),
        ("v", [f"2020-0{1 + i % 9}-1{i % 9}" for i in range(60)], ColumnKind.DATE),
        ("v", [f"1{i % 9}/0{1 + i % 9}/2020" for i in range(60)], ColumnKind.DATE),
        ("v", [f"Jan {1 + i % 28}, 2021" for i in range(60)], ColumnKind.DATE),
        ("v", [f"2021-03-0{1 + i % 9}T0{i % 9}:00:00Z" for i in range(60)], ColumnKind.DATE),
        ("date", [f"202103{10 + i % 19}" for i in range(60)], ColumnKind.DATE),
        ("v", [f"202103{10 + i % 19}" for i in range(60)], ColumnKind.NUMERIC),
    ],
)
def test_a_column_is_known_by_its_values_and_its_name(name: str, values: list[object], kind: ColumnKind) -> None:
    assert kind_of(values, name) is kind


@pytest.mark.parametrize("spelling", ["?", "NA", "N/A", "nan", "null", "None", "-", "", "unknown", "#N/A", "."])
def test_a_column_of_numbers_with_a_missing_value_however_spelled_is_numeric(spelling: str) -> None:
    values = [spelling if i % 10 == 0 else str(i * 1.5) for i in range(100)]
    column = describe("v", pl.Series("v", values))
    assert column.kind is ColumnKind.NUMERIC
    assert column.missing_ratio == pytest.approx(0.1)
    assert column.null_spellings == ((spelling,) if spelling else ())
    assert cast(pl.DataFrame({"v": values}), [column])["v"].null_count() == 10


def test_a_stray_spelling_is_a_missing_value_and_a_frequent_one_is_not() -> None:
    rare = describe("v", pl.Series("v", ["<5" if i % 50 == 0 else str(i * 1.5) for i in range(200)]))
    assert (rare.kind, rare.null_spellings) == (ColumnKind.NUMERIC, ("<5",))
    assert kind_of(["<5" if i % 3 == 0 else str(i * 1.5) for i in range(200)]) is ColumnKind.HIGH_CARDINALITY


def test_none_may_be_a_class_of_the_target_and_of_a_category() -> None:
    labels = ["none", "mild", "severe", "-"] * 10
    assert target_values(pl.DataFrame({"t": labels}), "t", Task.MULTICLASS).null_count() == 0
    assert describe("t", pl.Series("t", ["none", "mild", "severe"] * 10)).distinct == 3


@pytest.mark.parametrize(("code", "low"), [(0, 40), (-999, 1), (999, 1), (-1, 5)])
def test_a_value_that_stands_apart_is_suspected_and_left_as_it_is(code: int, low: int) -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(500) < 0.08, code, rng.integers(low, low + 60, 500))
    column = describe("pressure", pl.Series("pressure", values))
    assert column.kind is ColumnKind.NUMERIC
    assert column.note.startswith(f"{code} may stand for a missing value")
    assert column.missing_ratio == 0


def test_counts_and_amounts_that_may_be_zero_are_not_suspected() -> None:
    rng = np.random.default_rng(0)
    for values in (
        rng.poisson(6, 800),
        rng.integers(0, 100, 800),
        np.round(np.where(rng.random(800) < 0.5, 0, rng.exponential(300, 800)), 1),
    ):
        assert describe("v", pl.Series("v", values)).note == ""


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"] * 50, Task.BINARY),
        (["1", "2"] * 50, Task.BINARY),
        (["-1.5", "2.5"] * 50, Task.BINARY),
        ([str(3 + i % 7) for i in range(200)], Task.MULTICLASS),
        (["low", "mid", "high"] * 40, Task.MULTICLASS),
        ([str(i % 90) for i in range(400)], Task.REGRESSION),
        ([str(i * 0.5 % 4) for i in range(400)], Task.REGRESSION),
        ([str(i % 16) for i in range(400)], Task.MULTICLASS),
        ([str(250 * (i % 12)) for i in range(400)], Task.REGRESSION),
        ([str(i) for i in range(12)], Task.REGRESSION),
    ],
)
def test_the_task_follows_from_the_target(values: list[str], task: Task) -> None:
    assert task_of(pl.Series("t", values), "t", None) is task


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["a", "b"] * 20, Task.REGRESSION),
        (["a", "b", "c"] * 20, Task.BINARY),
        (["a", "b"] * 20, Task.MULTICLASS),
        ([str(i / 3) for i in range(300)], Task.MULTICLASS),
        (["one"] * 20, None),
        ([f"name {i}" for i in range(200)], None),
        (["?"] * 20, None),
    ],
)
def test_a_task_that_cannot_be_is_refused_with_a_cure(values: list[str], wanted: Task | None) -> None:
    with pytest.raises(InputError) as caught:
        task_of(pl.Series("t", values), "t", wanted)
    assert caught.value.cure


def _guess(frame: pl.DataFrame) -> tuple[object, Dataset]:
    profile = profile_table(frame)
    return profile.target, profile


def test_the_target_is_found_by_its_name_wherever_it_stands() -> None:
    frame = loans()
    for order in (frame.columns, ["defaulted", *frame.columns[:-1]], ["income", "defaulted", "debt", "region", "age"]):
        target, profile = _guess(frame.select(order))
        assert target == "defaulted"
        assert profile.target_confidence > 0.4
        assert profile.task is Task.BINARY


def test_the_last_column_is_the_target_when_no_name_says_otherwise() -> None:
    frame = loans().rename({"income": "v1", "debt": "v2", "region": "v3", "age": "v4", "defaulted": "v5"})
    target, profile = _guess(frame)
    assert target == "v5"
    assert profile.target_candidates
    assert all(c.reason for c in profile.target_candidates)


def test_an_identifier_a_date_or_a_moment_is_never_the_target() -> None:
    frame = loans().with_columns(pl.int_range(pl.len()).alias("row_id"), pl.date(2020, 1, 1).alias("when"))
    assert _guess(frame)[0] == "defaulted"
    assert _guess(hours())[0] == "load"


def test_coordinates_named_y_are_no_target() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({n: rng.normal(size=300).round(3) for n in ("x", "y", "z", "price")})
    assert _guess(frame)[0] == "price"
    assert _guess(frame.select("price", "x", "y").rename({"price": "u"}))[0] == "y"


def test_named_columns_that_do_not_exist_are_refused_with_the_nearest_name() -> None:
    for wish in ({"target": "defualted"}, {"group": "regoin"}, {"time": "agee"}, {"weights": "incom"}, {"drop": ("detb",)}):
        with pytest.raises(InputError, match="Did you mean"):
            profile_table(loans(), **wish)
    with pytest.raises(InputError, match="is the target"):
        profile_table(loans(), target="age", drop=("age",))


def test_an_entity_with_several_rows_is_a_group_candidate_and_warned_about() -> None:
    profile = profile_table(visits())
    assert profile.target == "response"
    assert profile.group_candidates[0].column == "patient_id"
    assert profile.group_candidates[0].confidence > 0.8
    assert any("--group" in w for w in profile.warnings)
    named = profile_table(visits(), group="patient_id")
    assert named.groups == 60
    assert not any("--group" in w for w in named.warnings)
    assert profile_table(visits().rename({"patient_id": "k"}), target="response").group_candidates[0].column == "k"


def test_a_table_of_independent_rows_has_no_group_no_time_and_no_leak() -> None:
    profile = profile_table(loans())
    assert profile.group_candidates == profile.time_candidates == profile.leaks == ()
    assert not profile.is_sorted_by_target
    assert profile.is_sorted_by_time is False


def test_moments_split_into_columns_are_time() -> None:
    profile = profile_table(hours())
    assert [c.column for c in profile.time_candidates] == ["No", "month"]
    assert profile.is_sorted_by_time is True
    assert any("--time" in w for w in profile.warnings)
    shuffled = profile_table(hours().sample(fraction=1.0, shuffle=True, seed=1))
    assert [c.column for c in shuffled.time_candidates] == ["month"]
    assert shuffled.is_sorted_by_time is False


def test_a_column_of_dates_is_time() -> None:
    frame = loans().with_columns(pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 1) + pl.duration(days=599), eager=True).alias("day"))
    assert profile_table(frame.select("day", pl.exclude("day"))).time_candidates[0].column == "day"


@pytest.mark.parametrize("leak", ["copy", "code", "noisy", "filled", "sum", "log"])
def test_a_column_that_gives_the_target_away_is_named_with_a_number(leak: str) -> None:
    rng = np.random.default_rng(4)
    frame = loans(1000)
    is_bad = (frame["defaulted"] == "yes").to_numpy()
    amount = rng.lognormal(3, 1, 1000)
    part = amount * rng.random(1000)
    made = {
        "copy": np.where(is_bad, 1, 0),
        "code": np.where(is_bad, rng.integers(50, 90, 1000), rng.integers(1, 40, 1000)),
        "noisy": np.where(rng.random(1000) < 0.02, ~is_bad, is_bad).astype(int),
        "filled": pl.Series([f"d{i % 40}" if bad else None for i, bad in enumerate(is_bad)]),
        "sum": part,
        "log": np.log(amount),
    }[leak]
    frame = frame.with_columns(pl.Series("later", made))
    target = "defaulted"
    if leak in ("sum", "log"):
        frame = frame.with_columns(
            pl.Series("amount", amount), pl.Series("rest", amount - part if leak == "sum" else rng.normal(size=1000))
        )
        target = "amount"
    leaks = profile_table(frame, target=target).leaks
    assert "later" in [s.column for s in leaks]
    assert {s.column for s in leaks} <= {"later", "rest"}
    assert any(ch.isdigit() for ch in leaks[0].reason) or leak == "sum"


def test_a_strong_but_honest_column_is_no_leak() -> None:
    for name in ("iris", "breast_cancer", "wine", "digits", "diabetes"):
        assert profile_table(f"sklearn:{name}").leaks == ()


def test_a_score_measured_afterwards_like_the_target_is_suspected() -> None:
    rng = np.random.default_rng(0)
    skill = rng.normal(size=400)
    frame = pl.DataFrame({f"{s}_{w}": (skill + rng.normal(0, 0.7, 400)).round(3) for s in ("maths", "reading") for w in ("pre", "post")})
    profile = profile_table(frame, target="reading_post")
    assert [s.column for s in profile.leaks] == ["maths_post"]


def test_rows_in_the_order_of_the_target_are_noticed() -> None:
    assert profile_table(loans().sort("defaulted"), target="defaulted").is_sorted_by_target
    assert profile_table(loans().sort("income"), target="income").is_sorted_by_target


def test_square_pictures_are_noticed_and_square_tables_of_strangers_are_not() -> None:
    assert profile_table("sklearn:digits").image_side == 8
    noise = np.random.default_rng(0).integers(0, 16, (300, 64))
    assert profile_table((noise, np.arange(300) % 3)).image_side == 0


def test_the_counts_of_a_dataset_agree_with_each_other() -> None:
    frame = loans().with_columns(pl.lit(1).alias("one"), pl.int_range(pl.len()).alias("id"))
    profile = profile_table(frame, target="defaulted", drop=("debt",))
    assert profile.feature_columns == profile.numeric_columns + profile.category_columns + profile.text_columns + profile.date_columns == 3
    assert profile.width == 2 + 3
    assert profile.rows == 600
    assert profile.rarest_class_rows == round(profile.minority_ratio * 600)
    assert profile.effective_dimensions == 2
    assert profile.duplicate_ratio == 0
    assert profile_table(pl.concat([loans(), loans()]), target="defaulted").duplicate_ratio == pytest.approx(0.5)


def test_rows_without_a_target_are_not_counted() -> None:
    frame = loans().with_columns(pl.when(pl.int_range(pl.len()) % 4 == 0).then(pl.lit("?")).otherwise("defaulted").alias("defaulted"))
    assert profile_table(frame, target="defaulted").rows == 450


def test_a_heavy_tail_is_told_from_a_normal_one() -> None:
    rng = np.random.default_rng(0)
    assert has_heavy_tail(pl.Series(rng.lognormal(0, 2, 2000)))
    assert not has_heavy_tail(pl.Series(rng.normal(size=2000)))
    assert not has_heavy_tail(pl.Series(rng.exponential(size=2000)))


def test_escape_sequences_in_names_reach_no_warning() -> None:
    frame = loans().with_columns(pl.lit(1).alias("one\x1b[31m"), pl.col("debt").alias("debt\x07 copy"))
    profile = profile_table(frame, target="defaulted")
    assert "one\x1b[31m" in [c.name for c in profile.columns]
    assert all(ch.isprintable() for w in profile.warnings for ch in w)


def test_a_tiny_table_is_described_without_a_crash() -> None:
    profile = profile_table(pl.DataFrame({"a": [1, 2], "y": ["p", "q"]}), target="y")
    assert (profile.rows, profile.classes, profile.rarest_class_rows) == (2, 2, 1)
    lone = profile_table(pl.DataFrame({"a": [1], "b": [2]}))
    assert isinstance(lone.target, Unknown)


def test_the_same_table_gives_the_same_facts() -> None:
    assert profile_table(visits()) == profile_table(visits())
    assert Dataset.model_validate_json(profile_table(visits()).model_dump_json()) == profile_table(visits())


def test_a_large_file_is_described_as_a_small_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.concat([loans(4000, seed=9), loans(4000, seed=10)]).with_columns(
        pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("?")).otherwise(pl.col("debt").cast(pl.String)).alias("debt"),
        pl.when(pl.int_range(pl.len()) % 8 == 0).then(pl.lit("a, quoted")).otherwise(pl.lit("plain")).alias("remark"),
    )
    path = tmp_path / "large.csv"
    frame.write_csv(path)
    small = profile_table(path, target="defaulted")
    monkeypatch.setattr(scan, "LARGE_BYTES", 1000)
    monkeypatch.setattr(scan, "PIECE_BYTES", 20_000)
    monkeypatch.setattr(scan, "SAMPLED_ROWS", 2000)
    large = profile_table(path, target="defaulted")
    assert "2," in large.warnings[0] or "1," in large.warnings[0]
    assert large.rows == small.rows == 8000
    assert large.fingerprint == small.fingerprint
    assert {c.name: (c.kind, c.missing_ratio) for c in large.columns} == {c.name: (c.kind, c.missing_ratio) for c in small.columns}
    assert (large.task, large.width) == (small.task, small.width)


def test_a_fault_deep_in_a_large_file_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.csv"
    lines = [f"{i},{i * 2},{i % 2}" for i in range(20_000)]
    lines[15_321] += ",9"
    path.write_text("a,b,y\n" + "\n".join(lines) + "\n")
    monkeypatch.setattr(scan, "LARGE_BYTES", 1000)
    monkeypatch.setattr(scan, "PIECE_BYTES", 30_000)
    monkeypatch.setattr(scan, "SAMPLED_ROWS", 500)
    with pytest.raises(InputError, match="line 15323 has 4 field"):
        profile_table(path)


def test_weights_that_also_name_the_group_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "".join(f"{i % 7},{i},{i % 2}\n" for i in range(40)))
    with pytest.raises(InputError, match="--group too"):
        profile_table(path, target="y", group="a", weights="a")


def test_an_infinite_value_among_the_numbers_of_a_target_is_told_and_makes_no_classes(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,y\n" + "".join(f"{i * 7 % 13},{'inf' if i == 17 else i * 0.37}\n" for i in range(50)))
    dataset = profile_table(str(table), target="y")
    assert dataset.task is Task.REGRESSION
    assert "1 value(s) of y are infinite" in dataset.warnings[0]
    grades = pl.Series("y", ["-inf" if i == 17 else str(i % 3) for i in range(60)])
    with pytest.raises(InputError, match="1 is infinite"):
        task_of(grades, "y", None)
    assert task_of(pl.Series("y", ["inf", "sup"] * 30), "y", None) is Task.BINARY
