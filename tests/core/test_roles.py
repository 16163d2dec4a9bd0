"""Roles are told by name, range, scale and siblings; starts of practice belong to the space and name their source."""

from __future__ import annotations

import pytest

from advisor.core.own import with_defaults
from advisor.core.roles import Recognised, RoleStart, recognise, role_starts, scaled, words
from advisor.core.space import Choice, Float, Int, SearchSpace
from advisor.rulebook.loading import load_rulebook, shipped_folder

BOOK = load_rulebook(shipped_folder())


def found(**parameters: Float | Int | Choice) -> dict[str, str]:
    return {n: r.role for n, r in recognise(SearchSpace(parameters=parameters), BOOK.roles).items()}


def starts(**parameters: Float | Int | Choice) -> tuple[RoleStart, ...]:
    space = with_defaults(SearchSpace(parameters=parameters))
    return role_starts(space, recognise(space, BOOK.roles), BOOK.recipes)


def test_words_of_a_name() -> None:
    assert words("optimizer__learningRate") == ("optimizer", "learning", "rate")
    assert words("x1") == ("x1",)


@pytest.mark.parametrize(
    ("name", "parameter", "role"),
    [
        ("lr", Float(1e-5, 1e-1, log=True), "learning_rate"),
        ("optimizer__learningRate", Float(1e-5, 1e-1, log=True), "learning_rate"),
        ("lr_decay", Float(0.1, 1.0), "schedule"),
        ("wd", Float(1e-6, 1e-2, log=True), "weight_decay"),
        ("dropout_2", Float(0.0, 0.5), "dropout"),
        ("n_hidden", Int(16, 512, log=True), "units"),
        ("batch_size", Choice([32, 64, 128]), "batch_size"),
        ("momentum", Float(0.5, 0.99), "momentum"),
        ("nrounds", Int(10, 2000), "rounds"),
    ],
)
def test_a_name_with_a_range_that_agrees_is_recognised(name: str, parameter: Float | Int | Choice, role: str) -> None:
    assert found(**{name: parameter}) == {name: role}


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("dropout", Float(1e-6, 0.1, log=True)),
        ("momentum", Float(1.0, 50.0)),
        ("batch_size", Float(0.1, 0.9)),
        ("num_layers", Int(64, 1024)),
        ("lr", Int(10, 500)),
        ("x3", Float(1e-5, 1e-1, log=True)),
    ],
)
def test_a_range_that_speaks_against_a_name_is_believed_over_it(name: str, parameter: Float | Int | Choice) -> None:
    assert found(**{name: parameter}) == {}


def test_an_ambiguous_name_needs_its_siblings() -> None:
    eta = Float(0.01, 0.5, log=True)
    assert found(eta=eta) == {}
    assert found(eta=eta, max_depth=Int(3, 10))["eta"] == "learning_rate"
    assert found(gamma=Float(1e-4, 10.0, log=True)) == {}
    assert found(gamma=Float(1e-4, 10.0, log=True), C=Float(0.01, 1000.0, log=True)) == {"gamma": "kernel_gamma", "C": "svm_cost"}
    assert found(gamma=Float(0.0, 5.0), max_depth=Int(3, 10))["gamma"] == "min_gain"


def test_names_that_look_exchanged_are_all_distrusted() -> None:
    true = {"lr": Float(1e-4, 1e-1, log=True), "momentum": Float(0.1, 0.99), "dropout": Float(0.0, 0.9)}
    assert set(found(**true)) == set(true)
    assert found(lr=true["momentum"], momentum=true["lr"], dropout=true["dropout"]) == {}


def test_both_scales_unusual_is_no_exchange() -> None:
    assert set(found(lr=Float(1e-5, 1e-1), wd=Float(1e-6, 1e-2))) == {"lr", "wd"}


@pytest.mark.parametrize(
    ("space", "recipe"),
    [
        ({"lr": Float(1e-4, 1.0, log=True), "momentum": Float(0.0, 0.99)}, "a network under stochastic gradient descent with momentum"),
        ({"lr": Float(1e-5, 1e-1, log=True), "dropout": Float(0.0, 0.5), "units": Int(32, 512)}, "a network under Adam"),
        ({"eta": Float(0.01, 0.5, log=True), "max_depth": Int(2, 12), "subsample": Float(0.5, 1.0)}, "boosted trees"),
        ({"C": Float(0.01, 1000.0, log=True), "gamma": Float(1e-4, 10.0, log=True)}, "a support vector machine"),
        ({"lr": Float(1e-6, 1e-4, log=True), "warmup_ratio": Float(0.0, 0.2)}, "a pretrained network, all of it trained"),
    ],
)
def test_siblings_tell_what_is_trained(space: dict[str, Float | Int | Choice], recipe: str) -> None:
    known = starts(**space)
    assert known[0].recipe == recipe
    whole = with_defaults(SearchSpace(parameters=space))
    assert all(not whole.faults(s.config) and s.source for s in known)


def test_a_start_whose_needed_value_lies_outside_the_bounds_is_left_out() -> None:
    known = starts(lr=Float(1e-4, 0.05, log=True), momentum=Float(0.5, 0.99))
    assert [s.config["lr"] for s in known] == [0.01]


def test_an_optimiser_that_is_offered_gets_its_own_values_and_the_other_stays_out() -> None:
    known = starts(
        optimizer=Choice(["SGD", "Adam"]),
        lr=Float(1e-4, 1.0, log=True),
        momentum=Float(0.5, 0.99, when={"optimizer": ("SGD",)}),
    )
    by = {s.config["optimizer"]: s.config for s in reversed(known)}
    assert by["SGD"] == {"optimizer": "SGD", "lr": 0.1, "momentum": 0.9}
    assert by["Adam"] == {"optimizer": "Adam", "lr": 1e-3}


def test_names_that_say_nothing_give_no_starts() -> None:
    assert starts(x1=Float(1e-4, 1.0, log=True), x2=Float(0.5, 0.99)) == ()


def test_linear_scales_over_decades_are_drawn_logarithmically_within_the_same_bounds() -> None:
    space = SearchSpace(parameters={"weight_decay": Float(1e-5, 1e-1), "x": Float(1e-4, 1.0), "y": Float(0.0, 1.0), "z": Float(0.1, 1.0)})
    seen: dict[str, Recognised] = recognise(space, BOOK.roles)
    assert set(scaled(space, seen, BOOK.roles)) == {"weight_decay", "x"}


def test_every_start_of_the_rulebook_names_a_source_and_known_roles() -> None:
    known = {r.name for r in BOOK.roles}
    assert BOOK.recipes
    for recipe in BOOK.recipes:
        for start in recipe.starts:
            assert start.source
            assert set(start.values) <= known
