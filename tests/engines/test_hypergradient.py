"""Hypergradients: the mathematics against finite differences and exact inverses, and the loop that uses them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from advisor.core.errors import CannotRunError, InputError
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.engines.hypergradient import (
    MIN_GAIN,
    Coordinates,
    HypergradientLoop,
    Layout,
    Rule,
    conjugate_gradient,
    implicit_hypergradient,
    largest_curvature,
    method_for,
    neumann,
    online_hypergradient,
    unrolled_bytes,
    unrolled_hypergradient,
)
from advisor.objectives.differentiable import Differentiable
from tests.fakes.scribes import RecordingScribe

ROWS, FEATURES, USEFUL = 60, 12, 4
L2 = SearchSpace(parameters={f"l2_{i}": Float(1e-4, 1e2, log=True, default=1e-2, group="regularisation") for i in range(FEATURES)})


def numbers(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Ridge:
    """Linear regression with one L2 strength a feature, most features noise, whose optimum is known in closed form."""

    def __init__(self, *, rows: int = ROWS, noise: float = 1.0, seed: int = 0, judged: int = 20, features: int = FEATURES) -> None:
        self.features = features
        truth = torch.zeros(features, dtype=torch.float64)
        truth[:USEFUL] = 1.0 + torch.arange(USEFUL)
        self.parts = []
        for part, size in enumerate((rows, judged, judged, 1000)):
            X = numbers(size, features, seed=100 * seed + part)
            self.parts.append((X, X @ truth + noise * numbers(size, seed=100 * seed + 50 + part)))

    def error(self, part: int) -> Callable[[Any], Tensor]:
        """The mean squared error on one part: training, two for validation, test."""
        X, y = self.parts[part]
        return lambda parameters: ((X @ parameters["w"] - y) ** 2).mean()

    def train_loss(self, parameters: Any, hyperparameters: Any) -> Tensor:
        """The error with each feature's own L2 term."""
        strengths = torch.stack([hyperparameters[f"l2_{i}"] for i in range(self.features)])
        return self.error(0)(parameters) + (strengths * parameters["w"] ** 2).sum()

    def optimum(self, strengths: Tensor) -> Tensor:
        """Where the training ends: (X'X / n + diag(strengths))⁻¹ X'y / n."""
        X, y = self.parts[0]
        return torch.linalg.solve(X.T @ X / len(y) + torch.diag(strengths), X.T @ y / len(y))

    def pair(self, **rest: Any) -> Differentiable:
        """The losses of this problem."""
        losses = {"validation_loss": self.error(1), "second_validation_loss": self.error(2), "test_loss": self.error(3)}
        return Differentiable(
            **{
                "start": {"w": torch.zeros(self.features, dtype=torch.float64)},
                "train_loss": self.train_loss,
                "steps": 20,
                "optimiser": "lbfgs",
                **losses,
                **rest,
            }
        )


def central(function: Callable[[Tensor], Tensor], at: Tensor, width: float) -> Tensor:
    """The gradient of `function` by central differences."""
    found = torch.zeros_like(at)
    for i in range(len(at)):
        step = torch.zeros_like(at)
        step[i] = width
        found[i] = (function(at + step) - function(at - step)) / (2 * width)
    return found


# Central differences of width h err by h² f'''/6 from the curve and by ε f/h from rounding (ε = 1.1e-16): with h = 1e-5 and
# derivatives of order 10 at most in these coordinates, 1e-9 and 1e-11 of values of order 1. A hundred times that is held against.
WIDTH, TOLERANCE = 1e-5, 1e-7


def flat_ridge(problem: Ridge) -> tuple[Coordinates, Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Coordinates, and the losses of training and validation by flat weights."""
    coordinates = Coordinates(L2, dtype=torch.float64, device=torch.device("cpu"))
    return (
        coordinates,
        lambda w, z: problem.train_loss({"w": w}, coordinates.values(z)),
        lambda w: problem.error(1)({"w": w}),
    )


def strengths(coordinates: Coordinates, z: Tensor) -> Tensor:
    return torch.stack(list(coordinates.values(z).values()))


def test_the_implicit_hypergradient_is_the_derivative_of_the_loss_at_the_optimum() -> None:
    problem = Ridge()
    coordinates, train, validation = flat_ridge(problem)
    z = 0.4 + 0.02 * torch.arange(FEATURES, dtype=torch.float64)
    expected = central(lambda at: validation(problem.optimum(strengths(coordinates, at))), z, WIDTH)
    found = implicit_hypergradient(
        train,
        validation,
        problem.optimum(strengths(coordinates, z)),
        z,
        solve=lambda product, right: conjugate_gradient(product, right, iterations=50, tolerance=1e-14),
    )
    assert torch.allclose(found, expected, rtol=0, atol=TOLERANCE)
    assert expected.norm() > 0.1  # there is something to agree on


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_the_unrolled_hypergradient_is_the_derivative_through_every_step(optimiser: str) -> None:
    problem = Ridge()
    _, train, validation = flat_ridge(problem)
    rule, start = Rule(optimiser), 0.1 * numbers(FEATURES, seed=9)
    z = 0.4 + 0.02 * torch.arange(FEATURES, dtype=torch.float64)

    def rate(at: Tensor, step: int) -> Tensor:
        return 0.02 * (1 + at[0]) / (1 + 0.1 * step)  # a schedule with a hyperparameter in it

    def outcome(at: Tensor) -> Tensor:
        return unrolled_hypergradient(by_step, validation, start, at, rule=rule, rate=rate, steps=15)[1]

    def by_step(w: Tensor, at: Tensor, step: int) -> Tensor:
        return train(w, at) * (1 + 0.01 * step)

    found, loss, weights = unrolled_hypergradient(by_step, validation, start, z, rule=rule, rate=rate, steps=15)
    assert torch.allclose(found, central(outcome, z, WIDTH), rtol=0, atol=TOLERANCE)
    assert found.norm() > 0.1
    assert torch.equal(validation(weights), loss)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_the_online_hypergradient_is_the_derivative_by_the_rate_of_the_step_before(optimiser: str) -> None:
    problem, rule = Ridge(), Rule(optimiser)
    _, train, _ = flat_ridge(problem)
    z, w = torch.full((FEATURES,), 0.5, dtype=torch.float64), numbers(FEATURES, seed=4)
    gradient = torch.func.grad(train)
    direction, _ = rule.direction(gradient(w, z), rule.start(w), 0)
    rate = torch.tensor([0.01], dtype=torch.float64)
    found = online_hypergradient(gradient(w - rate * direction, z), direction)
    expected = central(lambda at: train(w - at * direction, z), rate, WIDTH)
    # the loss is of order 100 here (it is a sum over squares), and rounding takes its share of that: 100 · 1.1e-16 / 1e-5
    assert torch.allclose(found, expected[0], rtol=1e-7, atol=0)


def test_both_solvers_find_the_direction_of_the_exact_inverse() -> None:
    problem = Ridge()
    coordinates, train, validation = flat_ridge(problem)
    z = torch.full((FEATURES,), 0.6, dtype=torch.float64)
    w = problem.optimum(strengths(coordinates, z))
    hessian = torch.func.hessian(train)(w, z)
    right = torch.func.grad(validation)(w)
    exact = torch.linalg.solve(hessian, right)

    def cosine(found: Tensor) -> float:
        return float(found @ exact / (found.norm() * exact.norm()))

    # conjugate gradients end exactly after as many products as there are dimensions
    assert cosine(conjugate_gradient(lambda v: hessian @ v, right, iterations=FEATURES)) > 1 - 1e-9
    # the k-th term of the series shrinks like (1 - 1/(1.2 condition))ᵏ: the share of the solution that is left out
    condition = float(torch.linalg.cond(hessian))
    left = (1 - 1 / (1.2 * condition)) ** 31
    assert cosine(neumann(lambda v: hessian @ v, right, terms=30)) > math.sqrt(1 - left**2) - 1e-9
    assert left < 0.5  # the bound says something here


def test_damping_is_added_to_the_hessian_by_both_solvers() -> None:
    diagonal, right = torch.tensor([1.0, 3.0], dtype=torch.float64), torch.tensor([1.0, 1.0], dtype=torch.float64)
    for found in (
        conjugate_gradient(lambda v: diagonal * v, right, damping=1.0, tolerance=1e-12),
        neumann(lambda v: diagonal * v, right, damping=1.0, terms=200),
    ):
        assert torch.allclose(found, right / (diagonal + 1.0), rtol=1e-9)


def test_conjugate_gradients_end_where_there_is_no_positive_curvature() -> None:
    right = torch.tensor([1.0, 2.0], dtype=torch.float64)
    step = conjugate_gradient(lambda v: -v, right)
    assert torch.allclose(step, right)  # along the right side, as long as the curvature is large
    mixed = torch.tensor([4.0, -1.0], dtype=torch.float64)
    found = conjugate_gradient(lambda v: mixed * v, torch.tensor([1.0, 0.5], dtype=torch.float64))
    assert torch.isfinite(found).all()
    assert found @ torch.tensor([1.0, 0.5], dtype=torch.float64) > 0  # still downhill


def test_the_largest_curvature_is_found_from_below() -> None:
    diagonal = torch.tensor([1.0, 2.0, 10.0], dtype=torch.float64)
    found = largest_curvature(lambda v: diagonal * v, torch.ones(3, dtype=torch.float64), iterations=8)
    # after k products the share of the second largest has shrunk by (2/10)ᵏ
    assert 10.0 * (1 - 0.2**7) < found <= 10.0


# ---------------------------------------------------------------------------------------------- coordinates


def test_coordinates_are_logarithmic_where_the_space_is_and_never_leave_it() -> None:
    space = SearchSpace(
        parameters={
            "a": Float(1e-6, 1e-1, log=True, default=1e-4),
            "fixed": Float(0.3, 0.3),
            "b": Float(-1.0, 3.0, default=0.0),
            "kind": Choice(["x"]),
        }
    )
    coordinates = Coordinates(space, dtype=torch.float32, device=torch.device("cpu"))
    assert coordinates.names == ("a", "b")
    assert coordinates.of(space.default()).tolist() == pytest.approx([0.4, 0.25])
    assert list(coordinates.config(coordinates.of({}))) == ["a", "fixed", "b", "kind"]
    for corner in (0.0, 1.0):
        z = torch.full((2,), corner, dtype=torch.float64)
        assert not space.faults(coordinates.config(z))
        assert coordinates.config(z)["a"] == pytest.approx([1e-6, 1e-1][int(corner)])
    values = coordinates.values(torch.tensor([0.4, 0.25], dtype=torch.float64))
    assert {n: float(v) for n, v in values.items()} == pytest.approx({"a": 1e-4, "b": 0.0, "fixed": 0.3}, rel=1e-6, abs=1e-7)
    assert values["a"].dtype == torch.float32


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"n": Int(1, 5, default=2)}, "n is no real number"),
        ({"k": Choice(["a", "b"])}, "k is no real number"),
        ({"k": Choice(["a"]), "x": Float(0.0, 1.0, when={"k": ("a",)})}, "x has a condition"),
        ({"x": Float(1.0, 1.0)}, "no hyperparameter is free"),
    ],
)
def test_a_space_without_gradients_is_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Coordinates(SearchSpace(parameters=parameters), dtype=torch.float64, device=torch.device("cpu"))


def test_parameters_are_flattened_and_come_back() -> None:
    parameters = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(7.0)}
    layout = Layout.of(parameters)
    flat = layout.flat(parameters)
    assert flat.tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert all(torch.equal(tensor, parameters[name]) for name, tensor in layout.named(flat).items())


# --------------------------------------------------------------------------------------------------- the loop


def run(pair: Differentiable, space: SearchSpace = L2, *, scribe: RecordingScribe | None = None, **rest: Any) -> RecordingScribe:
    scribe = scribe or RecordingScribe()
    HypergradientLoop(pair, space, **rest).run(scribe)
    return scribe


def test_the_default_comes_first_then_the_search_then_what_it_found_in_full() -> None:
    scribe = run(Ridge().pair(), outer_steps=5)
    assert [p.origin for p in scribe.proposals.values()] == ["default", "proposal", "proposal"]
    assert scribe.proposals[0].config == L2.default()
    assert scribe.changes[0] == [] and scribe.changes[2] == []
    assert scribe.proposals[2].config == scribe.config(1)
    # The path goes on from warm weights: only what was trained from the start may be the best.
    assert {k: r.status for k, r in scribe.results.items()} == {0: "completed", 1: "pruned", 2: "completed"}
    assert scribe.changes[1][0][2] == 0  # the weights are the default's
    assert "validation" in scribe.notes[-1] and "test" in scribe.notes[-1]


@pytest.mark.parametrize("solver", ["conjugate_gradient", "neumann"])
def test_the_implicit_method_tells_noise_from_signal(solver: Any) -> None:
    problem = Ridge(rows=30, noise=3.0, judged=100, seed=1)
    scribe = run(problem.pair(), solver=solver, outer_steps=25)
    found = strengths_of(scribe.config(2))
    assert found[USEFUL:].median() > 3 * found[:USEFUL].median()
    assert at_optimum(problem, found, 3) < 0.8 * at_optimum(problem, torch.full_like(found, 1e-2), 3)
    assert scribe.results[2].value < scribe.results[0].value  # type: ignore[operator]


def strengths_of(config: Config) -> Tensor:
    return torch.tensor(list(config.values()), dtype=torch.float64)


def at_optimum(problem: Ridge, found: Tensor, part: int) -> float:
    """The error on one part of the training's exact optimum."""
    return float(problem.error(part)({"w": problem.optimum(found)}))


def test_a_seed_gives_the_same_search_twice() -> None:
    first, second = (run(Ridge().pair(), outer_steps=6, seed=3) for _ in range(2))
    assert first.changes == second.changes
    assert first.steps == second.steps


def test_bounds_are_never_crossed_even_where_the_gradient_points_beyond_them() -> None:
    narrow = SearchSpace(parameters={n: Float(9e-3, 1.1e-2, log=True, default=1e-2) for n in L2.parameters})
    scribe = run(Ridge().pair(), narrow, outer_rate=0.5, outer_steps=8)
    configs = [config for _, config, _, _ in scribe.changes[1]]
    assert configs and not any(narrow.faults(config) for config in configs)
    assert any(config[n] in (9e-3, 1.1e-2) for config in configs for n in config)  # it did press against them


@pytest.mark.parametrize("seed", [5, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5))])
def test_the_second_split_keeps_the_search_from_overfitting_the_first(seed: int) -> None:
    """Forty strengths judged by twelve rows: beside it runs the same search, whose second split is the first once more."""
    space = SearchSpace(parameters={f"l2_{i}": Float(1e-4, 1e2, log=True, default=1e-1) for i in range(40)})
    problem = Ridge(rows=30, noise=3.0, judged=12, features=40, seed=seed)
    guarded = run(problem.pair(), space, patience=8)
    blind = run(problem.pair(second_validation_loss=problem.error(1)), space, outer_steps=40)
    assert any("has not fallen" in note for note in guarded.notes)
    seen = [guarded.steps[0][-1][1], *(value for _, value in guarded.steps[1])]
    assert guarded.results[1].value == pytest.approx(min(seen), rel=MIN_GAIN)  # what falls by less counts as equal
    with_second, without = strengths_of(guarded.config(2)), strengths_of(blind.config(2))
    assert at_optimum(problem, without, 1) < 0.5 * at_optimum(problem, with_second, 1)  # left to itself it goes down where it looks
    assert at_optimum(problem, with_second, 3) < at_optimum(problem, without, 3)  # and pays for it where it does not


def test_lbfgs_keeps_its_memory_between_measurements() -> None:
    problem = Ridge()
    scribe = run(problem.pair(), outer_steps=1)
    exact = at_optimum(problem, strengths_of(L2.default()), 2)
    # twelve dimensions: with its memory it is done after about as many steps, while steepest descent is off by a tenth here
    assert scribe.results[0].value == pytest.approx(exact, rel=1e-4)


def test_the_learning_rate_is_tuned_by_unrolling() -> None:
    space = SearchSpace(parameters={"lr": Float(1e-4, 1.0, log=True, default=1e-3), **L2.parameters})
    pair = Ridge().pair(optimiser="sgd", learning_rate="lr", steps=15)
    assert method_for(pair, space) == "unrolled"
    scribe = run(pair, space, outer_steps=25)
    assert scribe.config(2)["lr"] > 3e-3
    assert scribe.results[2].value < 0.5 * scribe.results[0].value  # type: ignore[operator]


def test_a_schedule_is_tuned_by_unrolling() -> None:
    space = SearchSpace(parameters={f"rate_{i}": Float(1e-4, 1.0, log=True, default=1e-3) for i in range(3)})
    problem = Ridge()
    pair = problem.pair(
        train_loss=lambda p, h: problem.error(0)(p),
        optimiser="sgd",
        learning_rate=lambda h, step: h[f"rate_{step // 5}"],
        steps=15,
    )
    assert method_for(pair, space) == "unrolled"
    scribe = run(pair, space, outer_steps=25)
    assert len({round(scribe.config(2)[n], 6) for n in space.parameters}) == 3
    assert scribe.results[2].value < 0.5 * scribe.results[0].value  # type: ignore[operator]


def test_the_learning_rate_alone_is_changed_online_within_one_training() -> None:
    space = SearchSpace(parameters={"lr": Float(1e-5, 1e1, log=True, default=1e-4)})
    problem = Ridge()
    pair = problem.pair(train_loss=lambda p, h: problem.error(0)(p), optimiser="sgd", momentum=0.0, learning_rate="lr", steps=200)
    assert method_for(pair, space) == "online"
    scribe = run(pair, space)
    assert list(scribe.proposals) == [0, 1]
    rates = [config["lr"] for _, config, _, _ in scribe.changes[1]]
    assert len(set(rates)) > 10
    assert max(rates) > 1e-2
    assert not any(space.faults({"lr": rate}) for rate in rates)
    assert scribe.results[1].value < 0.1 * scribe.results[0].value  # type: ignore[operator]


def test_batches_are_given_by_step_and_averaged_for_the_hessian() -> None:
    problem, seen = Ridge(), []
    X, y = problem.parts[0]

    def train_loss(parameters: Any, hyperparameters: Any, rows: Tensor) -> Tensor:
        error = ((X[rows] @ parameters["w"] - y[rows]) ** 2).mean()
        return error + sum(hyperparameters[n] * parameters["w"][i] ** 2 for i, n in enumerate(L2.parameters))

    def batches(step: int) -> Tensor:
        seen.append(step)
        return torch.arange(ROWS).roll(-7 * step)[:30]

    scribe = run(problem.pair(train_loss=train_loss, batches=batches, optimiser="adam", learning_rate=0.05, steps=100), outer_steps=6)
    assert scribe.results[2].value < scribe.results[0].value  # type: ignore[operator]
    assert max(seen) >= 100 + 6 * 10 - 1 + 8 - 1  # the warm start goes on from the default's steps; the last gradient looks 8 ahead


# ------------------------------------------------------------------------------------------- ends and failures


def test_it_ends_when_the_stage_is_over_and_keeps_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.engines.hypergradient.LOOK_SECONDS", 0.0)
    scribe = run(Ridge().pair(), scribe=RecordingScribe(over_when=lambda s: len(s.steps.get(1, ())) >= 3))
    assert len(scribe.steps[1]) == 3
    assert scribe.results[1].status == "pruned"
    assert scribe.results[1].value == min(v for _, v in scribe.steps[1])
    assert 2 not in scribe.results
    assert any("time is up" in note for note in scribe.notes)


def test_no_search_begins_when_too_little_time_is_left() -> None:
    scribe = run(Ridge().pair(), scribe=RecordingScribe(seconds=0.0))
    assert list(scribe.results) == [0]
    assert any("no search" in warning for warning in scribe.warnings)


def test_a_default_that_diverges_fails_with_its_cure() -> None:
    scribe = run(Ridge().pair(optimiser="sgd", learning_rate=50.0, steps=400))
    assert list(scribe.results) == [0]
    assert scribe.results[0].status == "failed"
    assert "diverged" in scribe.results[0].cause and "learning rate" in scribe.cures[0]


def test_an_outer_step_that_diverges_is_taken_back_and_halved() -> None:
    space = SearchSpace(parameters={"lr": Float(1e-4, 1e3, log=True, default=1e-3), "l2_0": L2.parameters["l2_0"]})
    problem = Ridge()

    def train_loss(p: Any, h: Any) -> Tensor:
        return problem.error(0)(p) + h["l2_0"] * (p["w"] ** 2).sum()

    pair = problem.pair(train_loss=train_loss, optimiser="sgd", momentum=0.0, learning_rate="lr", steps=200)
    scribe = run(pair, space, outer_rate=0.9, outer_steps=20)
    assert any("taken back" in note for note in scribe.notes)
    assert scribe.results[1].status == "pruned"
    assert scribe.results[2].status == "completed"


def test_unrolling_is_refused_when_it_needs_too_much_memory() -> None:
    pair = Ridge().pair(optimiser="sgd", steps=50)
    with pytest.raises(CannotRunError, match="unrolling 50 steps of 12 parameters") as caught:
        run(pair, method="unrolled", memory_bytes=10_000)
    steps = int(caught.value.cure.split("at most ")[1].split(" ")[0])
    run(Ridge().pair(optimiser="sgd", steps=steps), method="unrolled", memory_bytes=10_000, outer_steps=1)  # the cure cures


def test_the_memory_of_unrolling_grows_with_steps_and_parameters_not_with_the_rows_alone() -> None:
    def held(features: int, steps: int) -> int:
        X = numbers(10, features, seed=0)
        return unrolled_bytes(
            lambda w, z, _: ((X @ w) ** 2).mean() + z.sum() * (w**2).sum(),
            torch.zeros(features, dtype=torch.float64),
            torch.zeros(2, dtype=torch.float64),
            rule=Rule("sgd"),
            rate=lambda *_: 0.1,
            steps=steps,
        )

    assert held(100, 20) == 2 * held(100, 10)
    assert held(100, 1) >= 100 * 8  # at least the weights of each step
    assert 5 * held(100, 1) < held(1000, 1) < 10 * held(100, 1) + 10_000


def test_a_training_far_from_its_optimum_is_warned_about() -> None:
    assert run(Ridge().pair(optimiser="sgd", learning_rate=1e-5, steps=3), outer_steps=1).warnings
    assert not run(Ridge().pair(), outer_steps=1).warnings


def _no_gradient(parameters: Any, hyperparameters: Any) -> Tensor:
    return (parameters["w"].detach() ** 2).sum()


def _ignores(parameters: Any, hyperparameters: Any) -> Tensor:
    return (parameters["w"] ** 2).sum() + hyperparameters["l2_0"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"train_loss": lambda p, h: p["w"] ** 2}, r"train_loss returned a tensor of shape \(12,\)"),
        ({"train_loss": lambda p, h: 0.5}, "train_loss returned float"),
        ({"train_loss": lambda p, h: (p["w"] ** 2).sum() * float("nan")}, "train_loss is nan at the start"),
        ({"train_loss": lambda p, h: p["v"].sum()}, "train_loss raised KeyError"),
        ({"train_loss": _no_gradient}, "train_loss does not depend on the parameters"),
        ({"train_loss": _ignores}, "train_loss does not depend on l2_0, l2_1, l2_2, l2_3, l2_4 …"),
        ({"validation_loss": lambda p: torch.tensor(1.0)}, "validation_loss does not depend on the parameters"),
        ({"second_validation_loss": lambda p: p["w"]}, "second_validation_loss returned a tensor of shape"),
        ({"test_loss": lambda p: "low"}, "test_loss returned str"),
        ({"start": {"w": torch.zeros(3, dtype=torch.int64)}}, "no floating-point tensor"),
        ({"start": {"w": torch.full((3,), math.inf)}}, "not finite"),
        ({"start": {"a": torch.zeros(3), "b": torch.zeros(3, dtype=torch.float64)}}, "2 kinds of dtype"),
        ({"start": {}}, "no parameters"),
        ({"learning_rate": "lr", "optimiser": "sgd"}, "the learning rate is 'lr', which the space lacks"),
    ],
)
def test_a_broken_training_is_refused_with_its_cure(broken: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        run(Ridge().pair(**broken))
    assert caught.value.where and caught.value.cure


def test_a_method_that_does_not_fit_is_refused_with_its_cure() -> None:
    rate: Config = {"lr": Float(1e-4, 1e-1, log=True)}
    with pytest.raises(InputError, match="has no implicit gradient"):
        HypergradientLoop(
            Ridge().pair(learning_rate="lr", optimiser="sgd"), SearchSpace(parameters={**rate, **L2.parameters}), method="implicit"
        )
    with pytest.raises(InputError, match="tunes the learning rate"):
        HypergradientLoop(Ridge().pair(), L2, method="online")
    with pytest.raises(InputError, match="lbfgs cannot be unrolled"):
        HypergradientLoop(Ridge().pair(), L2, method="unrolled")
    with pytest.raises(InputError, match=r"unknown method 'implict'.*Did you mean 'implicit'"):
        HypergradientLoop(Ridge().pair(), L2, method="implict")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown solver"):
        HypergradientLoop(Ridge().pair(), L2, solver="newton")  # type: ignore[arg-type]
