"""The space linter: each finding on a space that has it, its near miss, and repairs that leave the meaning of values alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.core.lint import Lint, freeze_order, lint
from advisor.core.lint_properties import PROPERTIES, Circumstances, Look, plain_name
from advisor.core.lint_repair import repair
from advisor.core.roles import recognise
from advisor.core.space import Choice, Float, Int, SearchSpace
from tests.fakes.rulebooks import shipped

Parameter = Float | Int | Choice


def found(around: Circumstances | None = None, **parameters: Parameter) -> set[tuple[str, str]]:
    """Finding and hyperparameter, for a space that need not be sound."""
    book = shipped()
    space = SearchSpace.model_construct(parameters=parameters)
    return {(f.id, f.parameter) for f in lint(space, book.lints, book.roles, book.lessons, around=around)}


def repaired(**parameters: Parameter) -> SearchSpace:
    book = shipped()
    space = SearchSpace(parameters=parameters)
    after, _ = repair(space, lint(space, book.lints, book.roles, book.lessons), book.lints, book.roles)
    return after


def unsound(**changed: Any) -> Float:
    return Float(1.0, 2.0).model_copy(update=changed)


CASES: list[tuple[str, str, dict[str, Parameter], dict[str, Parameter]]] = [
    ("linear-over-decades", "x", {"x": Float(0.01, 1.0)}, {"x": Float(0.011, 1.0)}),
    ("linear-over-decades", "trees", {"trees": Int(10, 1000)}, {"trees": Int(10, 1000, log=True)}),
    ("linear-from-zero", "wd", {"wd": Float(0.0, 0.1)}, {"wd": Float(0.001, 0.09)}),
    ("log-from-zero", "x", {"x": unsound(low=0.0, log=True)}, {"x": Float(1e-9, 2.0, log=True)}),
    ("log-scale-of-a-share", "dropout", {"dropout": Float(0.1, 0.5, log=True)}, {"dropout": Float(0.1, 0.5)}),
    ("geometric-numbers-as-choices", "n", {"n": Choice([32, 64, 128])}, {"n": Choice([32, 64])}),
    ("even-numbers-as-choices", "n", {"n": Choice([2, 3, 4])}, {"n": Choice([2, 3, 7])}),
    ("many-numbers-as-choices", "n", {"n": Choice([1, 2, 5, 7, 20])}, {"n": Choice([1, 2, 5, 7])}),
    ("bounds-reversed", "x", {"x": unsound(low=3.0)}, {"x": Float(2.0, 2.0)}),
    ("default-outside", "x", {"x": Float(1.0, 2.0, default=3.0)}, {"x": Float(1.0, 2.0, default=2.0)}),
    ("one-value", "x", {"x": Float(1.0, 1.0)}, {"x": Choice([1.0])}),
    ("outside-what-it-can-be", "subsample", {"subsample": Float(0.5, 1.2)}, {"subsample": Float(0.5, 1.0)}),
    ("outside-what-it-can-be", "lr", {"lr": Float(-0.1, 0.1)}, {"lr": Float(0.001, 0.1, log=True)}),
    ("share-of-columns-above-one", "max_features", {"max_features": Float(0.5, 2.0)}, {"max_features": Int(1, 20)}),
    ("dropout-of-everything", "dropout", {"dropout": Float(0.0, 1.0)}, {"dropout": Float(0.0, 0.99)}),
    ("momentum-of-one", "momentum", {"momentum": Float(0.5, 1.0)}, {"momentum": Float(0.5, 0.999)}),
    ("share-of-nothing", "subsample", {"subsample": Float(0.0, 1.0)}, {"subsample": Float(0.1, 1.0)}),
    ("rate-of-zero", "lr", {"lr": Float(0.0, 0.1)}, {"lr": Float(1e-5, 0.1, log=True)}),
    ("inverse-strength-of-zero", "svc__C", {"svc__C": Float(0.0, 10.0)}, {"svc__C": Float(0.01, 10.0, log=True)}),
    ("range-far-beyond-practice", "lr", {"lr": Float(1e-9, 1.0, log=True)}, {"lr": Float(1e-6, 1.0, log=True)}),
    ("less-than-a-decade", "lr", {"lr": Float(0.001, 0.002, log=True)}, {"lr": Float(0.001, 0.01, log=True)}),
    (
        "momentum-without-its-optimiser",
        "momentum",
        {"optimizer": Choice(["sgd", "adam"]), "momentum": Float(0.5, 0.99)},
        {"optimizer": Choice(["sgd", "adam"]), "momentum": Float(0.5, 0.99, when={"optimizer": ["sgd"]})},
    ),
    (
        "adam-average-without-its-optimiser",
        "beta1",
        {"optimizer": Choice(["sgd", "adam"]), "beta1": Float(0.8, 0.99)},
        {"optimizer": Choice(["adamw", "adam"]), "beta1": Float(0.8, 0.99)},
    ),
    (
        "one-rate-for-several-optimisers",
        "lr",
        {"optimizer": Choice(["sgd", "AdamW"]), "lr": Float(1e-4, 0.1, log=True)},
        {"optimizer": Choice(["adam", "AdamW"]), "lr": Float(1e-4, 0.1, log=True)},
    ),
    (
        "l1-share-without-its-penalty",
        "l1_ratio",
        {"solver": Choice(["lbfgs", "saga"]), "l1_ratio": Float(0.0, 1.0)},
        {"solver": Choice(["saga", "lbfgs"]), "l1_ratio": Float(0.0, 1.0, when={"solver": ["saga"]})},
    ),
    (
        "gamma-without-its-kernel",
        "svc__gamma",
        {"svc__kernel": Choice(["linear", "rbf"]), "svc__gamma": Float(1e-3, 1.0, log=True)},
        {"svc__kernel": Choice(["poly", "rbf"]), "svc__gamma": Float(1e-3, 1.0, log=True)},
    ),
    (
        "degree-without-its-kernel",
        "degree",
        {"kernel": Choice(["poly", "rbf"]), "degree": Int(2, 5)},
        {"kernel": Choice(["poly"]), "degree": Int(2, 5)},
    ),
    (
        "constant-term-without-its-kernel",
        "coef0",
        {"kernel": Choice(["poly", "rbf"]), "coef0": Float(0.0, 1.0)},
        {"kernel": Choice(["poly", "sigmoid"]), "coef0": Float(0.0, 1.0)},
    ),
    (
        "leaves-without-their-policy",
        "max_leaves",
        {"grow_policy": Choice(["depthwise", "lossguide"]), "max_leaves": Int(8, 64)},
        {"max_leaves": Int(8, 64)},
    ),
    (
        "layer-that-may-not-exist",
        "units_l2",
        {"n_layers": Int(1, 3), "units_l1": Int(16, 64), "units_l2": Int(16, 64)},
        {"n_layers": Int(2, 3), "units_l1": Int(16, 64), "units_l2": Int(16, 64)},
    ),
    (
        "rate-tuned-with-rounds",
        "n_estimators",
        {"learning_rate": Float(0.01, 0.3, log=True), "n_estimators": Int(500, 2000)},
        {"learning_rate": Float(0.1, 0.1), "n_estimators": Int(500, 2000)},
    ),
    (
        "rate-too-low-for-the-rounds",
        "learning_rate",
        {"learning_rate": Float(1e-4, 0.1, log=True), "n_estimators": Int(100, 1000)},
        {"learning_rate": Float(3.1e-3, 0.1, log=True), "n_estimators": Int(100, 1000)},
    ),
    ("trees-of-a-forest-tuned", "n_estimators", {"n_estimators": Int(50, 400)}, {"n_estimators": Int(100, 100)}),
    ("training-length-tuned", "epochs", {"epochs": Int(5, 20)}, {"epochs": Int(5, 5)}),
    ("batch-size-tuned", "batch_size", {"batch_size": Int(16, 64)}, {"batch_size": Int(16, 16)}),
    (
        "adapter-scale-with-the-rate",
        "lora_alpha",
        {"lr": Float(1e-5, 1e-3, log=True), "lora_alpha": Int(8, 64)},
        {"lora_r": Int(4, 64, log=True), "lora_alpha": Int(8, 64)},
    ),
    (
        "two-names-for-the-same",
        "lr",
        {"lr": Float(1e-4, 0.1, log=True), "learning_rate": Float(1e-4, 0.1, log=True)},
        {"lr_encoder": Float(1e-4, 0.1, log=True), "lr_head": Float(1e-4, 0.1, log=True)},
    ),
    (
        "depth-and-leaves",
        "num_leaves",
        {"num_leaves": Int(8, 64), "max_depth": Int(3, 8)},
        {"num_leaves": Int(8, 64), "max_depth": Int(8, 8)},
    ),
    ("bagging-that-may-be-off", "bagging_fraction", {"bagging_fraction": Float(0.5, 1.0)}, {"subsample": Float(0.5, 1.0)}),
]


@pytest.mark.parametrize(("name", "parameter", "fires", "misses"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_a_finding_is_made_where_it_is_and_not_where_it_just_is_not(
    name: str, parameter: str, fires: dict[str, Parameter], misses: dict[str, Parameter]
) -> None:
    assert (name, parameter) in found(**fires)
    assert name not in {f for f, _ in found(**misses)}


AROUND: list[tuple[str, dict[str, Parameter], Circumstances, Circumstances]] = [
    ("fidelity-tuned", {"n_epochs": Int(5, 20)}, Circumstances(fidelity="epoch"), Circumstances(fidelity="step")),
    ("training-length-tuned", {"epochs": Int(5, 20)}, Circumstances(fidelity="round"), Circumstances(fidelity="epochs")),
    (
        "rounds-are-no-fidelity-while-the-rate-is-free",
        {"eta": Float(0.01, 0.3, log=True), "max_depth": Int(2, 8)},
        Circumstances(fidelity="round"),
        Circumstances(fidelity="epoch"),
    ),
    ("features-not-scaled", {"x": Int(1, 5)}, Circumstances(is_unscaled=True), Circumstances(is_unscaled=False)),
    ("refused-by-library", {"x": Int(1, 5)}, Circumstances(refused={"x": "no"}), Circumstances(refused={"y": "no"})),
    (
        "more-dimensions-than-the-budget-pays-for",
        {"a": Int(1, 5), "b": Int(1, 5)},
        Circumstances(trials=19),
        Circumstances(trials=20),
    ),
    ("list-longer-than-the-budget", {"x": Choice(list("abcd"))}, Circumstances(trials=16), Circumstances(trials=17)),
    (
        "grid-larger-than-the-budget",
        {"a": Choice(list("abc")), "b": Choice(list("abc"))},
        Circumstances(trials=6),
        Circumstances(trials=7),
    ),
]


@pytest.mark.parametrize(("name", "parameters", "fires", "misses"), AROUND, ids=[c[0] for c in AROUND])
def test_what_stands_around_a_space_decides_and_what_is_not_known_raises_nothing(
    name: str, parameters: dict[str, Parameter], fires: Circumstances, misses: Circumstances
) -> None:
    assert name in {f for f, _ in found(fires, **parameters)}
    assert name not in {f for f, _ in found(misses, **parameters)}
    if name != "training-length-tuned":  # that one needs nothing around it
        assert name not in {f for f, _ in found(None, **parameters)}


def test_every_shipped_finding_is_made_by_some_case() -> None:
    made = {c[0] for c in CASES} | {c[0] for c in AROUND}
    assert {entry.id for entry in shipped().lints} == made


def test_every_property_is_used_by_some_finding() -> None:
    used = {p.fact for entry in shipped().lints for p in entry.conditions}
    assert set(PROPERTIES) == used


def test_each_condition_of_a_finding_has_an_example_that_misses_it_alone() -> None:
    for entry in shipped().lints:
        for predicate in entry.conditions:
            alone = [e for e in entry.example if [p for p in entry.conditions if _fails(p, e.given)] == [predicate]]
            assert alone, f"{entry.id}: nothing stops short of {predicate.wanted()}"
        assert {str(e.verdict) for e in entry.example} == {"holds", "fails", "unknown"}, entry.id


def _fails(predicate: Any, values: dict[str, Any]) -> bool:
    return predicate.fact in values and not predicate.test(values[predicate.fact])


def test_a_clean_space_raises_nothing() -> None:
    assert found(lr=Float(1e-4, 1e-2, log=True), dropout=Float(0.0, 0.5), units=Int(32, 512, log=True)) == set()


def test_faults_come_before_warnings_and_those_before_advice() -> None:
    book = shipped()
    space = SearchSpace(parameters={"batch_size": Int(16, 64), "x": Float(0.01, 1.0), "dropout": Float(0.0, 1.0)})
    assert [f.level for f in lint(space, book.lints, book.roles)] == ["fault", "warning", "advice"]


def test_texts_name_the_values_that_were_found() -> None:
    book = shipped()
    finding = lint(SearchSpace(parameters={"speed": Float(1e-5, 0.1)}), book.lints, book.roles, book.lessons)[0]
    assert finding.says == "speed is drawn evenly from 1e-05 to 0.1: 90% of the draws fall in the highest of its 4 decades."


def test_what_to_hold_comes_least_important_first_and_the_rate_never_before_the_last() -> None:
    space = SearchSpace(parameters={"label_smoothing": Float(0.0, 0.2), "lr": Float(1e-4, 1e-2, log=True), "units": Int(16, 512, log=True)})
    book = shipped()
    order = freeze_order(space, recognise(space, book.roles), book.lessons, Circumstances())
    assert order == ("label_smoothing", "units", "lr")
    asked = freeze_order(space, recognise(space, book.roles), book.lessons, Circumstances(priorities={"label_smoothing": 1, "lr": 9}))
    assert asked[0] == "lr"


# ---------------------------------------------------------------------------------------------------------- repairs


def test_repairs_change_the_scale_the_kind_and_the_condition_and_nothing_else() -> None:
    after = repaired(
        lr=Float(1e-5, 0.1, default=1e-3),
        momentum=Float(0.5, 0.99),
        optimizer=Choice(["sgd", "adam"]),
        width=Choice([64, 128, 256], default=128),
        depth=Choice([2, 3, 4]),
        rate=Choice([0.1, 1.0, 10.0]),
    )
    assert dict(after.items()) == {
        "lr": Float(1e-5, 0.1, log=True, default=1e-3),
        "optimizer": Choice(["sgd", "adam"]),
        "momentum": Float(0.5, 0.99, when={"optimizer": ("sgd",)}),
        "width": Int(64, 256, log=True, default=128),
        "depth": Int(2, 4),
        "rate": Float(0.1, 10.0, log=True),
    }
    assert SearchSpace(parameters=after.parameters) == after  # conditions stand behind what they name


@pytest.mark.parametrize(
    "parameters",
    [
        {"x": Choice([1, 3, 5])},  # odd numbers: those between were left out on purpose
        {"x": Choice([0.5, 0.6, 0.7])},
        {"optimizer": Choice(["sgd", "mine"]), "momentum": Float(0.5, 0.99)},  # what an unknown optimiser uses is unknown
        {"x": Float(1.0, 2.0, default=3.0)},
        {"wd": Float(0.0, 0.1)},
    ],
)
def test_what_is_not_plainly_meant_is_left_to_a_human(parameters: dict[str, Parameter]) -> None:
    assert dict(repaired(**parameters).items()) == parameters


def test_a_default_of_the_wrong_type_becomes_the_value_that_was_meant() -> None:
    after = repaired(n=Int(1, 5, default=3.0), kind=Choice([1, 2], default="2"))
    assert after.parameters["n"].default == 3
    assert type(after.parameters["n"].default) is int
    assert after.parameters["kind"].default == 2


_BOUND = st.floats(1e-6, 1e3).map(lambda v: float(f"{v:.3g}"))


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    names = ["lr", "dropout", "batch_size", "n_estimators", "optimizer", "momentum", "x1", "C", "units_l1", "units_l2", "n_layers"]
    out: dict[str, Parameter] = {}
    for name in draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=6)):
        low, high = sorted((draw(_BOUND), draw(_BOUND)))
        kind = draw(st.sampled_from(["float", "int", "choice", "words"]))
        if kind == "float":
            out[name] = Float(low, high, log=draw(st.booleans()))
        elif kind == "int":
            out[name] = Int(max(1, int(low)), max(1, int(high)), log=draw(st.booleans()))
        elif kind == "choice":
            out[name] = Choice(draw(st.lists(st.integers(1, 64), unique=True, min_size=1, max_size=5)))
        else:
            out[name] = Choice(draw(st.lists(st.sampled_from(["sgd", "adam", "rmsprop"]), unique=True, min_size=1)))
    return SearchSpace(parameters=out)


@given(spaces())
@settings(max_examples=20, deadline=None)
def test_a_repaired_space_is_sound_keeps_every_value_and_needs_no_second_repair(space: SearchSpace) -> None:
    book = shipped()
    after, done = repair(space, lint(space, book.lints, book.roles), book.lints, book.roles)
    assert SearchSpace(parameters=after.parameters) == after
    assert {r.parameter for r in done} == {n for n, p in space.items() if after.parameters[n] != p}
    for name, parameter in space.items():
        values = parameter.choices if isinstance(parameter, Choice) else (parameter.low, parameter.high)
        assert all(after.parameters[name].contains(v) for v in values)
    again, more = repair(after, lint(after, book.lints, book.roles), book.lints, book.roles)
    assert (dict(again.items()), more) == (dict(after.items()), ())


# ---------------------------------------------------------------------------------------------------------- entries


def entry(**changed: Any) -> Lint:
    fields = {
        "id": "x",
        "about": "dimension",
        "level": "advice",
        "when": ({"fact": "dimension.decades", "at_least": 2},),
        "says": "{name}",
        "cure": "Do.",
        "because": "So.",
        "source": "a test",
        "example": ({"given": {"dimension.decades": 2}, "verdict": "holds"},),
        **changed,
    }
    return Lint(**fields)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"when": ({"fact": "dimension.decade", "at_least": 2},)}, "Did you mean 'dimension.decades'?"),
        ({"when": ({"fact": "dimension.role", "at_least": 2},)}, "cannot be ordered"),
        ({"about": "space"}, "belongs to one hyperparameter"),
        ({"when": ({"fact": "sibling.is_there", "is": True},), "example": ({"given": {}, "verdict": "unknown"},)}, "needs sibling"),
        ({"example": ({"given": {"dimension.decades": 1}, "verdict": "holds"},)}, "the conditions say fails"),
        ({"example": ({"given": {"decades": 1}, "verdict": "holds"},)}, "no property 'decades'"),
    ],
)
def test_an_entry_that_is_wrong_says_where(changed: dict[str, Any], says: str) -> None:
    assert entry().faults() == ()
    assert any(says in fault for fault in entry(**changed).faults())


def test_a_text_may_only_name_what_can_be_filled_in() -> None:
    with pytest.raises(ValueError, match=r"no \{nam\} can be filled in"):
        entry(says="{nam}")


def test_names_are_compared_without_the_steps_of_a_pipeline() -> None:
    assert plain_name("model__svc__Max-Depth") == "max_depth"
    look = Look(
        space=SearchSpace(parameters={"svc__C": Float(1.0, 2.0)}), found={}, told={}, roles={}, around=Circumstances(), name="svc__C"
    )
    assert look.value("dimension.name") == "c"
