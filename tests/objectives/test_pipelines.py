"""What comes before the estimator: parts of dates, components of text, codes, and rare classes."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

from advisor.core.errors import CannotRunError, InputError
from advisor.core.facts import Column, ColumnKind, Task
from advisor.objectives.pipelines import CalibratedMargins, DateParts, Gaps, SmoothedVotes, StoppedEarly, TextComponents, build, typed
from tests.objectives.tables_of_tests import BY_NAME, COLUMNS, family, mixed

LOGISTIC = BY_NAME["logistic_regression"]


def test_only_the_parts_of_a_date_that_vary_are_kept() -> None:
    dates = pl.DataFrame({"d": [datetime(2021, 3, 1), datetime(2022, 3, 1), None]})
    parts = DateParts().fit(dates)
    assert parts.get_feature_names_out().tolist() == ["d_year", "d_weekday", "d_days"]
    out = parts.transform(dates)
    assert out[:2].tolist() == [[2021, 1, 18687], [2022, 2, 19052]]
    assert np.isnan(out[2]).all()


def test_a_date_that_never_varies_keeps_one_number() -> None:
    same = pl.DataFrame({"d": [datetime(2021, 3, 1)] * 3, "e": [None, None, None]}, schema={"d": pl.Datetime, "e": pl.Datetime})
    assert DateParts().fit_transform(same).shape == (3, 2)


def test_text_without_a_word_becomes_one_zero_and_short_text_few_numbers() -> None:
    assert TextComponents().fit_transform(pl.Series(["", None, "!"])).tolist() == [[0.0]] * 3
    text = TextComponents().fit(pl.Series(["red door", "blue door", None]))
    assert text.transform(pl.Series(["door", "never seen"])).shape == (2, 3)
    assert not text.transform(pl.Series(["never seen"])).any()


def test_noise_in_words_does_not_drown_what_the_numbers_say() -> None:
    # components scaled to unit variance once raised the log loss of a real table from 0.46 to 0.68
    random = np.random.default_rng(0)
    words = [" ".join(random.choice(["oak", "elm", "ash", "fir", "yew", "bay", "box", "tea"], 4)) + f" n{i}" for i in range(300)]
    x = random.normal(size=300)
    frame = pl.DataFrame({"x": x, "t": words})
    y = (x + random.normal(size=300) > 0).astype(int)
    columns = (Column(name="x", kind=ColumnKind.NUMERIC), Column(name="t", kind=ColumnKind.TEXT))
    plain, worded = (
        cross_val_score(build(LOGISTIC, c, Task.BINARY, {}, seed=0), frame, y, cv=3, scoring="neg_log_loss").mean()
        for c in (columns[:1], columns)
    )
    assert worded > plain - 0.05


def test_a_column_without_any_value_is_zero_and_other_gaps_stay() -> None:
    gaps = Gaps().fit([[np.nan, 1.0], [np.nan, np.nan]])
    assert np.array_equal(gaps.transform([[5.0, np.nan]]), [[0.0, np.nan]], equal_nan=True)


def test_category_codes_stand_first_so_that_the_mask_is_right() -> None:
    trees = BY_NAME["hist_gradient_boosting"]
    pipeline = build(trees, COLUMNS, Task.BINARY, {}, seed=0)
    frame = typed(mixed(120), COLUMNS)
    coded = pipeline.steps[0][1].fit_transform(frame, np.arange(120) % 2)
    assert pipeline.steps[1][1].categorical_features == [0, 1]
    missing = frame["colour"].is_null().to_numpy()
    assert len(set(coded[missing, 0])) == 1
    assert set(coded[missing, 0]).isdisjoint(coded[~missing, 0])
    assert not coded[:, 1].any()


def test_many_classes_are_not_target_encoded() -> None:
    pipeline = build(LOGISTIC, COLUMNS, Task.MULTICLASS, {}, seed=0, classes=30)
    assert "many" not in [name for name, *_ in pipeline.steps[0][1].transformers]


def test_preprocessing_learns_from_the_training_rows_only() -> None:
    frame = typed(mixed(120), COLUMNS)
    y = np.arange(120) % 2
    one, other = (build(LOGISTIC, COLUMNS, Task.BINARY, {}, seed=0).fit(frame[:80], y[:80]) for _ in range(2))
    shifted = frame.with_columns(pl.col("weight") * 1000, town=pl.lit("elsewhere"))
    other.predict_proba(shifted[80:])
    assert np.array_equal(one.predict_proba(frame[80:]), other.predict_proba(frame[80:]))


@pytest.mark.parametrize(
    "model",
    [HistGradientBoostingClassifier(early_stopping=True, max_iter=5), GradientBoostingClassifier(n_iter_no_change=3, n_estimators=5)],
    ids=lambda m: type(m).__name__,
)
def test_early_stopping_survives_a_class_of_one_row_and_more_classes_than_it_keeps_rows(model: object) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(61, 3))
    one_row = np.append(np.arange(60) % 3, 9)
    fitted = StoppedEarly(clone(model)).fit(X, one_row, np.ones(61))
    assert fitted.classes_.tolist() == [0, 1, 2]
    many = np.append(np.arange(60) % 20, 0)
    assert StoppedEarly(clone(model)).fit(X, many).predict_proba(X).shape == (61, 20)


def test_calibration_survives_classes_of_one_and_two_rows() -> None:
    X = np.random.default_rng(0).normal(size=(43, 3))
    y = np.append(np.arange(40) % 2, [7, 8, 8])
    model = CalibratedMargins(SVC(), ensemble=False).fit(X, y, np.ones(43))
    assert model.classes_.tolist() == [0, 1, 8]
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(43))


def test_a_table_without_features_cannot_be_learned() -> None:
    with pytest.raises(CannotRunError, match="no column"):
        build(LOGISTIC, (Column(name="id", kind=ColumnKind.IDENTIFIER),), Task.BINARY, {}, seed=0)


def test_a_family_says_what_it_cannot_do_and_what_is_not_installed() -> None:
    with pytest.raises(CannotRunError, match="does not do regression"):
        build(LOGISTIC, COLUMNS, Task.REGRESSION, {}, seed=0)
    with pytest.raises(CannotRunError, match="pip install a_library_nobody_has"):
        build(family("other", "a_library_nobody_has.trees:Tree", None), COLUMNS, Task.BINARY, {}, seed=0)


def test_an_unknown_scaler_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="'robust'"):
        build(LOGISTIC, COLUMNS, Task.BINARY, {"scaler": "robst"}, seed=0)


def test_the_seed_and_the_threads_reach_the_estimator() -> None:
    forest = build(BY_NAME["random_forest"], COLUMNS, Task.BINARY, {}, seed=5, threads=2).steps[1][1]
    assert (forest.random_state, forest.n_jobs) == (5, 2)


@pytest.mark.parametrize("rows_each", [4, 2])
def test_a_category_of_four_hundred_values_and_gaps_fits_into_native_codes(rows_each: int) -> None:
    values = [None if i % 400 == 7 else f"v{i % 400}" for i in range(400 * rows_each)]
    frame = pl.DataFrame({"c": values})
    y = np.arange(len(values)) % 2
    trees = build(BY_NAME["hist_gradient_boosting"], (Column(name="c", kind=ColumnKind.CATEGORY),), Task.BINARY, {}, seed=0)
    assert trees.fit(frame, y).predict(frame.head(9)).shape == (9,)


def test_a_forest_that_agrees_still_leaves_every_class_possible() -> None:
    """One row of a class that all trees ruled out must cost a few nats, not the 36 of a probability of zero."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(-4, 1, (60, 2)), rng.normal(4, 1, (60, 2))])
    y = np.repeat([0, 1], 60)
    votes = SmoothedVotes(RandomForestClassifier(100, random_state=0), 100).fit(X, y)
    plain = RandomForestClassifier(100, random_state=0).fit(X, y)
    smoothed, shares = votes.predict_proba(X), plain.predict_proba(X)
    assert shares.min() == 0
    assert smoothed.min() == pytest.approx(0.5 / 101)
    assert smoothed.sum(axis=1) == pytest.approx(1.0)
    assert (votes.predict(X) == plain.predict(X)).all()
    assert (smoothed.argsort(axis=1) == shares.argsort(axis=1)).all()
