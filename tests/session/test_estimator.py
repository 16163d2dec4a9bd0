"""`AdvisedSearchCV` where scikit-learn's own checks do not look: spaces, trial 0, routing, failures, folders, the own families."""

from __future__ import annotations

import pickle
import runpy
import warnings
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy.sparse import csr_array
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import FitFailedWarning, NotFittedError, UnsetMetadataPassedError
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, ShuffleSplit, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from advisor import AdvisedSearchCV, Choice, Float, Int
from advisor.core.errors import InputError
from advisor.session.estimator import SearchFailedError

DEPTHS = {"max_depth": [1, 2, 3, 4, 5, 6]}


def classes(rows: int = 90) -> tuple[np.ndarray, np.ndarray]:
    return make_classification(rows, 5, n_informative=3, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=1)


def searched(estimator: Any, space: Any = None, **settings: Any) -> AdvisedSearchCV:
    return AdvisedSearchCV(estimator, space, **({"isolation": "inline", "max_trials": 5, "cv": 3, "strategy": "random"} | settings))


class Picky(ClassifierMixin, BaseEstimator):
    """Cannot be fitted with `power` above its limit."""

    def __init__(self, power: int = 0, limit: int = 2) -> None:
        self.power = power
        self.limit = limit

    def fit(self, X: Any, y: Any) -> Picky:
        if self.power > self.limit:
            raise ValueError(f"power {self.power} is too much")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[0])


# -- what is evaluated ---------------------------------------------------------------------------------------------------


def test_every_score_equals_scikit_learns_own_on_the_same_splits() -> None:
    X, y = classes()
    cv = KFold(4, shuffle=True, random_state=3)
    ours = searched(DecisionTreeClassifier(random_state=0), DEPTHS, cv=cv, scoring="balanced_accuracy").fit(X, y)
    grid = [{name: [value] for name, value in params.items()} for params in ours.cv_results_["params"]]
    theirs = GridSearchCV(DecisionTreeClassifier(random_state=0), grid, cv=cv, scoring="balanced_accuracy").fit(X, y)

    for split in range(4):
        name = f"split{split}_test_score"
        assert ours.cv_results_[name].tolist() == theirs.cv_results_[name].tolist()
    for name in ("mean_test_score", "std_test_score", "rank_test_score"):
        assert ours.cv_results_[name].tolist() == theirs.cv_results_[name].tolist()
    assert ours.best_index_ == theirs.best_index_
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_score_ == theirs.best_score_
    assert ours.n_splits_ == 4
    assert ours.predict(X).tolist() == theirs.predict(X).tolist()
    assert (ours.cv_results_["mean_fit_time"] > 0).all()
    assert ours.cv_results_["param_max_depth"].tolist() == [p["max_depth"] for p in ours.cv_results_["params"]]


def test_a_splitter_that_draws_anew_each_time_gives_all_trials_the_same_splits() -> None:
    X, y = classes()
    space = {"limit": [2, 3, 4, 5]}  # of no effect: the scores can only differ by the splits
    search = searched(Picky(), space, cv=KFold(3, shuffle=True), max_trials=4).fit(X, y)
    for split in range(3):
        assert len(set(search.cv_results_[f"split{split}_test_score"])) == 1


def test_trial_0_is_the_estimator_as_it_stands_although_the_space_does_not_hold_it() -> None:
    X, y = classes()
    search = searched(SVC(C=2.0), {"C": loguniform(0.1, 1.0), "gamma": Float(0.01, 1.0, log=True)}).fit(X, y)
    first = search.cv_results_["params"][0]
    assert first == {"C": 2.0, "gamma": "scale"}
    assert search.cv_results_["origin"][0] == "default"
    assert search.cv_results_["mean_test_score"][0] == np.mean(cross_val_score(SVC(C=2.0), X, y, cv=3))
    for params in search.cv_results_["params"][1:]:
        assert 0.1 <= params["C"] <= 1.0
        assert 0.01 <= params["gamma"] <= 1.0


@pytest.mark.parametrize("strategy", ["tpe", "grid", "qmc"])
def test_a_default_outside_the_space_does_not_disturb_the_other_strategies(strategy: str) -> None:
    X, y = classes(60)
    tree = DecisionTreeClassifier(max_depth=None, min_samples_leaf=1, random_state=0)
    search = searched(tree, {"max_depth": Int(1, 4), "min_samples_leaf": Int(2, 9)}, strategy=strategy, max_trials=40, cv=2).fit(X, y)
    assert search.plan_.strategy == strategy
    assert search.cv_results_["params"][0] == {"max_depth": None, "min_samples_leaf": 1}
    assert len(search.cv_results_["params"]) >= 9
    assert set(search.cv_results_["status"]) <= {"completed", "pruned"}


def test_a_smaller_error_is_the_better_one_under_scikit_learns_negated_scorers() -> None:
    X, y = make_regression(80, 4, noise=20.0, random_state=0)
    scorer = make_scorer(mean_absolute_error, greater_is_better=False)
    search = searched(Ridge(), {"alpha": Float(1e-3, 1e4, log=True)}, scoring=scorer, max_trials=8).fit(X, y)
    assert search.best_score_ == max(search.cv_results_["mean_test_score"]) < 0
    assert search.score(X, y) == -mean_absolute_error(y, search.predict(X))


# -- spaces --------------------------------------------------------------------------------------------------------------


def test_an_estimator_of_a_known_family_needs_no_space() -> None:
    X, y = classes()
    search = searched(KNeighborsClassifier(), max_trials=6).fit(X, y)
    assert search.cv_results_["params"][0] == {"n_neighbors": 5, "weights": "uniform", "p": 2}
    assert {"n_neighbors", "weights", "p"} == set(search.plan_.space.parameters)
    # with fewer than 2,000 rows the family's rule ends the neighbours at a twentieth of them, and no earlier than at 10
    assert search.plan_.space.parameters["n_neighbors"].high == 10
    assert search.cv_results_["origin"].tolist().count("start") >= 1


def test_the_last_step_of_a_pipeline_brings_its_family_under_the_pipelines_names() -> None:
    X, y = classes()
    search = searched(make_pipeline(StandardScaler(), SVC()), max_trials=3).fit(X, y)
    assert set(search.plan_.space.parameters) == {"svc__C", "svc__gamma"}
    assert search.cv_results_["params"][0] == {"svc__C": 1.0, "svc__gamma": "scale"}
    gamma = search.plan_.space.parameters["svc__gamma"]
    assert gamma.low == pytest.approx(0.01 / 5)  # the family's 0.01 in units of 1 / features, and there are 5
    assert isinstance(search.best_estimator_, Pipeline)


def test_gamma_of_a_bare_support_vector_machine_is_in_units_of_the_datas_variance() -> None:
    X, y = classes()
    search = searched(SVC(), max_trials=1).fit(1000 * X, y)
    assert search.plan_.space.parameters["gamma"].default == pytest.approx(1 / (5 * np.var(1000 * X)))


def test_an_estimator_of_no_family_asks_for_a_space_and_says_how_to_write_one() -> None:
    X, y = classes()
    with pytest.raises(InputError, match=r"GaussianNB has no space .*advisor.Float.*LogisticRegression"):
        searched(GaussianNB()).fit(X, y)
    with pytest.raises(InputError, match="Pipeline with GaussianNB as its last step"):
        searched(make_pipeline(StandardScaler(), GaussianNB())).fit(X, y)


def test_a_misspelt_parameter_is_refused_before_the_first_trial_with_the_nearest() -> None:
    X, y = classes()
    with pytest.raises(InputError, match=r"no parameter 'max_dept'.*Did you mean 'max_depth'"):
        searched(DecisionTreeClassifier(), {"max_dept": [1, 2]}).fit(X, y)


def test_a_space_may_be_named_as_scikit_learn_names_it_but_not_twice() -> None:
    X, y = classes()
    search = searched(DecisionTreeClassifier(), param_distributions=DEPTHS, max_trials=2).fit(X, y)
    assert set(search.best_params_) == {"max_depth"}
    with pytest.raises(InputError, match="one and the same"):
        searched(DecisionTreeClassifier(), DEPTHS, param_distributions=DEPTHS).fit(X, y)


def test_values_that_no_plan_can_hold_reach_the_estimator_as_they_are() -> None:
    X, y = classes()
    scalers = [StandardScaler(), MinMaxScaler(), "passthrough"]
    pipe = Pipeline([("scale", StandardScaler(with_mean=False)), ("tree", DecisionTreeClassifier())])
    space = {"scale": scalers, "tree__class_weight": [None, {0: 1, 1: 2, 2: 1}], "tree__max_depth": Choice([2, 3])}
    search = searched(pipe, space, max_trials=8).fit(X, y)
    tried = search.cv_results_["params"]
    assert all(any(p["scale"] is s or p["scale"] == s for s in scalers) for p in tried[1:])
    assert any(isinstance(p["tree__class_weight"], dict) for p in tried)
    assert "scale" not in tried[0]  # where the pipeline stands is none of the listed, and cannot be written down
    assert pickle.loads(pickle.dumps(search)).predict(X).tolist() == search.predict(X).tolist()


def test_tuples_stay_tuples() -> None:
    from sklearn.preprocessing import RobustScaler

    X, y = classes()
    pipe = Pipeline([("scale", RobustScaler()), ("tree", DecisionTreeClassifier())])
    for ranges in ([(25.0, 75.0), (10.0, 90.0)], Choice([(25.0, 75.0), (10.0, 90.0)])):
        search = searched(pipe, {"scale__quantile_range": ranges}, max_trials=3, cv=2).fit(X, y)
        assert set(search.cv_results_["status"]) == {"completed"}
        assert all(isinstance(p["scale__quantile_range"], tuple) for p in search.cv_results_["params"])


def test_a_list_of_spaces_is_searched_branch_by_branch_as_in_scikit_learn() -> None:
    X, y = classes()
    pipe = Pipeline([("reduce", PCA()), ("model", KNeighborsClassifier())])
    space = [
        {"reduce": [PCA()], "reduce__n_components": [1, 2, 3], "model__n_neighbors": [3, 5]},
        {"reduce": [SelectKBest()], "reduce__k": [1, 2, 3], "model__n_neighbors": [3, 5]},
    ]
    search = searched(pipe, space, max_trials=10).fit(X, y)
    kinds = {type(p["reduce"]) for p in search.cv_results_["params"][1:]}
    assert kinds == {PCA, SelectKBest}
    for params in search.cv_results_["params"][1:]:
        assert ("reduce__k" in params) == isinstance(params["reduce"], SelectKBest)
    assert set(search.cv_results_["status"]) == {"completed"}
    grids = searched(DecisionTreeClassifier(), [{"max_depth": [1, 2]}, {"min_samples_leaf": [3, 4]}], max_trials=6).fit(X, y)
    assert all(len(p) == 1 for p in grids.cv_results_["params"][1:])


# -- failures ------------------------------------------------------------------------------------------------------------


def test_a_configuration_that_cannot_be_fitted_is_a_failed_trial_and_the_search_goes_on() -> None:
    X, y = classes()
    with pytest.warns(FitFailedWarning, match=r"of 6 trials failed, the first with: ValueError: power \d is too much"):
        search = searched(Picky(), {"power": [0, 1, 2, 3, 4]}, max_trials=6).fit(X, y)
    failed = search.cv_results_["status"] == "failed"
    assert failed.any()
    assert [p["power"] > 2 for p in search.cv_results_["params"]] == failed.tolist()
    assert np.isnan(search.cv_results_["mean_test_score"][failed]).all()
    assert search.best_params_["power"] <= 2
    assert search.cv_results_["rank_test_score"][failed].min() > search.cv_results_["rank_test_score"][~failed].max()


def test_a_template_that_cannot_be_fitted_is_a_failed_trial_too_and_others_are_drawn() -> None:
    X, y = classes()
    for most in (4, None):
        with pytest.warns(FitFailedWarning, match="power 9 is too much"):
            search = searched(Picky(power=9), {"power": Int(0, 2)}, max_trials=most, budget_seconds=2.0).fit(X, y)
        assert search.cv_results_["status"][:2].tolist() == ["failed", "completed"]
        assert search.best_params_["power"] <= 2


def test_when_nothing_can_be_fitted_the_error_names_the_cause_and_is_a_value_error() -> None:
    X, y = classes()
    with pytest.raises(ValueError, match=r"fits failed.*power 9 is too much"):
        searched(Picky(power=9), {"power": [7, 8, 9]}, max_trials=None).fit(X, y)
    X[3, 2] = np.nan
    with pytest.raises(SearchFailedError, match="contains NaN"):
        searched(LogisticRegression()).fit(X, y)


def test_wrong_settings_are_refused_before_the_first_trial() -> None:
    X, y = classes()
    for settings in ({"budget_seconds": -1}, {"max_trials": 0}, {"isolation": "thread"}, {"refit": "yes"}):
        with pytest.raises(ValueError, match="parameter of AdvisedSearchCV must be"):
            searched(Picky(), {"power": [0, 1]}, **settings).fit(X, y)
    for settings in ({"workers": 2}, {"goal": "fastest"}):
        with pytest.raises(InputError):
            searched(Picky(), {"power": [0, 1]}, **settings).fit(X, y)
    with pytest.raises(ValueError, match="one score"):
        searched(Picky(), {"power": [0, 1]}, scoring=lambda e, X, y: {"a": 1.0, "b": 2.0}).fit(X, y)


# -- the ways of scikit-learn --------------------------------------------------------------------------------------------


def test_frames_of_pandas_and_polars_and_sparse_matrices_are_taken_as_the_estimator_takes_them() -> None:
    X, y = classes()
    names = [f"f{i}" for i in range(5)]
    plain = searched(KNeighborsClassifier(), {"n_neighbors": [1, 5, 9]}).fit(X, y)
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        search = searched(KNeighborsClassifier(), {"n_neighbors": [1, 5, 9]}).fit(frame, pd.Series(y))
        assert search.feature_names_in_.tolist() == names
        assert search.cv_results_["mean_test_score"].tolist() == plain.cv_results_["mean_test_score"].tolist()
        assert search.predict(frame).tolist() == plain.predict(X).tolist()
    sparse = searched(KNeighborsClassifier(), {"n_neighbors": [1, 5, 9]}).fit(csr_array(X), y)
    assert sparse.predict(csr_array(X)).tolist() == plain.predict(X).tolist()
    assert not hasattr(plain, "feature_names_in_")
    assert plain.n_features_in_ == 5
    assert plain.classes_.tolist() == [0, 1, 2]


def test_it_nests_in_cross_validation_in_a_pipeline_and_in_another_search() -> None:
    X, y = classes()
    search = searched(KNeighborsClassifier(), {"n_neighbors": [1, 3, 5, 7]}, max_trials=3, cv=2)
    assert len(cross_val_score(search, X, y, cv=2)) == 2
    pipe = make_pipeline(StandardScaler(), clone(search)).fit(X, y)
    assert pipe.predict_proba(X).shape == (90, 3)
    outer = GridSearchCV(search, {"max_trials": [1, 2], "estimator__weights": ["uniform", "distance"]}, cv=2).fit(X, y)
    assert len(outer.cv_results_["params"]) == 4
    assert not hasattr(search, "best_estimator_")
    assert clone(search).get_params()["estimator__n_neighbors"] == 5
    assert search.set_params(estimator__n_neighbors=9).estimator.n_neighbors == 9


def test_what_the_estimator_cannot_do_the_search_does_not_have() -> None:
    X, y = classes()
    assert not hasattr(searched(SGDClassifier(loss="hinge")), "predict_proba")
    search = searched(PCA(), {"n_components": [1, 2, 3]}, max_trials=2).fit(X)
    assert search.transform(X).shape[0] == 90
    assert not hasattr(search, "predict")
    bare = searched(KNeighborsClassifier(), {"n_neighbors": [1, 3]}, refit=False, max_trials=2).fit(X, y)
    assert bare.best_params_
    assert not hasattr(bare, "predict")
    assert not hasattr(bare, "best_estimator_")


def test_a_second_fit_forgets_the_first() -> None:
    X, y = classes()
    search = searched(DecisionTreeClassifier(random_state=0), DEPTHS, max_trials=2).fit(pd.DataFrame(X, columns=list("abcde")), y)
    assert search.feature_names_in_.tolist() == list("abcde")
    search.set_params(refit=False).fit(X, y)
    assert not hasattr(search, "feature_names_in_")
    assert not hasattr(search, "best_estimator_")


def test_the_same_random_state_tries_the_same_configurations() -> None:
    X, y = classes()
    space = {"max_depth": Int(1, 9), "min_impurity_decrease": Float(0.0, 0.1)}
    runs = [searched(DecisionTreeClassifier(random_state=0), space, random_state=s).fit(X, y).cv_results_["params"] for s in (4, 4, 5)]
    assert runs[0] == runs[1] != runs[2]


def test_groups_stay_together_and_weights_reach_fit_and_score() -> None:
    X, y = classes()
    groups, weight = np.repeat(np.arange(9), 10), np.linspace(0.1, 2.0, 90)
    cv = GroupKFold(3)
    search = searched(DecisionTreeClassifier(random_state=0), DEPTHS, cv=cv, max_trials=2)
    search.fit(X, y, groups=groups, sample_weight=weight)
    expected = []
    for train, test in cv.split(X, y, groups):
        tree = DecisionTreeClassifier(random_state=0, **search.cv_results_["params"][0]).fit(
            X[train], y[train], sample_weight=weight[train]
        )
        expected.append(tree.score(X[test], y[test], sample_weight=weight[test]))
    assert [search.cv_results_[f"split{s}_test_score"][0] for s in range(3)] == expected


def test_metadata_routing_carries_weights_and_groups_to_those_who_ask_for_them() -> None:
    X, y = classes()
    groups, weight = np.repeat(np.arange(9), 10), np.linspace(0.1, 2.0, 90)
    with sklearn.config_context(enable_metadata_routing=True):
        tree = DecisionTreeClassifier(random_state=0)
        with pytest.raises(UnsetMetadataPassedError):
            searched(tree, DEPTHS, max_trials=1).fit(X, y, sample_weight=weight)
        asking = tree.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        search = searched(asking, DEPTHS, cv=GroupKFold(3), max_trials=2).fit(X, y, sample_weight=weight, groups=groups)
        nested = cross_val_score(search, X, y, cv=GroupKFold(2), params={"sample_weight": weight, "groups": groups})
    expected = []
    for train, test in GroupKFold(3).split(X, y, groups):
        fitted = DecisionTreeClassifier(random_state=0, **search.cv_results_["params"][0]).fit(
            X[train], y[train], sample_weight=weight[train]
        )
        expected.append(fitted.score(X[test], y[test]))
    assert [search.cv_results_[f"split{s}_test_score"][0] for s in range(3)] == expected
    assert len(nested) == 2


# -- where a run lives ---------------------------------------------------------------------------------------------------


def test_nothing_is_printed_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    X, y = classes()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        searched(KNeighborsClassifier(), {"n_neighbors": [1, 3, 5]}, max_trials=3, strategy="auto").fit(X, y)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_worker_processes_find_what_the_calling_process_finds_and_survive_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = classes()
    monkeypatch.chdir(tmp_path)
    inline = searched(DecisionTreeClassifier(random_state=0), DEPTHS).fit(X, y)
    apart = searched(DecisionTreeClassifier(random_state=0), DEPTHS, isolation="process").fit(X, y)
    assert apart.cv_results_["params"] == inline.cv_results_["params"]
    assert apart.cv_results_["mean_test_score"].tolist() == inline.cv_results_["mean_test_score"].tolist()

    class Crashing(DecisionTreeClassifier):
        def fit(self, X: Any, y: Any) -> Any:
            if self.max_depth == 1:
                import os

                os._exit(11)
            return super().fit(X, y)

    with pytest.warns(FitFailedWarning):
        search = searched(Crashing(max_depth=6), DEPTHS, isolation="process", max_trials=6).fit(X, y)
    crashed = [p["max_depth"] == 1 for p in search.cv_results_["params"]]
    assert (search.cv_results_["status"] == "failed").tolist() == crashed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # the study that other tools read is written with SQLAlchemy, which takes seconds to import
def test_a_named_folder_keeps_the_run_and_is_not_gone_on_with_under_other_data(tmp_path: Path) -> None:
    X, y = classes()
    place = tmp_path / "run"
    first = searched(DecisionTreeClassifier(random_state=0), DEPTHS, run_dir=place).fit(X, y)
    assert (place / "journal.db").exists()
    assert first.outcome_.run == str(place)
    again = searched(DecisionTreeClassifier(random_state=0), DEPTHS, run_dir=place).fit(X, y)
    assert again.cv_results_["params"] == first.cv_results_["params"]
    assert again.cv_results_["mean_test_score"].tolist() == first.cv_results_["mean_test_score"].tolist()
    with pytest.raises(InputError, match="another objective"):
        searched(DecisionTreeClassifier(random_state=0), DEPTHS, run_dir=place).fit(X[:60], y[:60])


@pytest.mark.slow
def test_a_search_runs_in_another_thread_too(tmp_path: Path) -> None:
    X, y = classes()
    done: list[Any] = []
    search = searched(DecisionTreeClassifier(random_state=0), DEPTHS, run_dir=tmp_path / "run", max_trials=2)
    thread = Thread(target=lambda: done.append(search.fit(X, y)))
    thread.start()
    thread.join()
    assert len(done[0].cv_results_["params"]) == 2


@pytest.mark.slow
def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "advised_search.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "trials by" in printed
    assert "on the test rows: 0.9" in printed


def test_the_reasons_can_be_read() -> None:
    X, y = classes()
    search = searched(KNeighborsClassifier(), max_trials=2)
    with pytest.raises(NotFittedError):
        search.explain()
    search.fit(X, y)
    assert "You asked for it" in search.explain("strategy")
    assert "tpe was not chosen" in search.explain(why_not="tpe")
    assert "n_neighbors" in search.explain()
    with pytest.raises(InputError, match="Did you mean 'strategy'"):
        search.explain("strateg")
    assert search.plan_.validation.folds == 3


# -- the advisor's own families ------------------------------------------------------------------------------------------


def test_without_an_estimator_what_needs_one_is_refused_with_the_cure() -> None:
    X, y = classes()
    for settings in ({"cv": 3}, {"space": DEPTHS}, {"isolation": "inline"}, {"scoring": "jaccard"}, {"scoring": "r2"}):
        with pytest.raises(InputError, match=r"estimator|Did you mean|Known"):
            AdvisedSearchCV(**settings).fit(X, y)
    with pytest.raises(InputError, match="sparse"):
        AdvisedSearchCV().fit(csr_array(X), y)
    with pytest.raises(TypeError, match="unexpected keyword argument 'verbose'"):
        AdvisedSearchCV().fit(X, y, verbose=1)
    assert is_classifier(AdvisedSearchCV(task="binary"))
    assert is_regressor(AdvisedSearchCV(task="regression"))
    assert hasattr(AdvisedSearchCV(), "predict")


@pytest.mark.slow
def test_without_an_estimator_the_families_compete_and_the_shipped_model_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = make_classification(240, 4, n_informative=3, n_redundant=0, random_state=2)
    names = np.array(["yes", "no"])
    frame = pd.DataFrame(X, columns=list("abcd")).assign(e=np.where(X[:, 0] > 0, "left", "right"))
    frame.loc[3, "a"] = np.nan
    monkeypatch.chdir(tmp_path)
    search = AdvisedSearchCV(budget_seconds=90, max_trials=4, scoring="neg_log_loss").fit(frame, names[y], sample_weight=np.ones(240))

    assert search.classes_.tolist() == ["no", "yes"]
    assert search.predict_proba(frame).shape == (240, 2)
    assert set(search.predict(frame)) == {"no", "yes"}
    assert search.best_params_["family"] == search.outcome_.family
    assert search.best_score_ < 0  # scikit-learn's way round: a loss of ours is negated
    assert search.score(frame, names[y]) < 0
    assert search.plan_.weights == "sample_weight"
    assert search.feature_names_in_.tolist() == list("abcde")
    assert is_classifier(search)
    with pytest.raises(ValueError, match="feature names"):
        search.predict(frame.rename(columns={"a": "z"}))
    again = pickle.loads(pickle.dumps(search))
    assert again.predict(frame).tolist() == search.predict(frame).tolist()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_an_estimator_weights_are_routed_to_the_search_itself() -> None:
    X, _ = make_classification(240, 4, n_informative=3, n_redundant=0, random_state=2)
    with sklearn.config_context(enable_metadata_routing=True):
        asking = AdvisedSearchCV(budget_seconds=90, max_trials=1, task="regression", scoring="r2")
        asking = asking.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scores = cross_val_score(asking, X, X[:, 0] * 3, cv=ShuffleSplit(1, random_state=0), params={"sample_weight": np.ones(240)})
    assert (scores > 0.5).all()


@pytest.mark.parametrize("estimator", [RandomForestClassifier(n_estimators=5, random_state=0), DecisionTreeRegressor(), Ridge()])
def test_the_tags_are_the_estimators(estimator: Any) -> None:
    assert is_classifier(searched(estimator)) == is_classifier(estimator)
    assert is_regressor(searched(estimator)) == is_regressor(estimator)
