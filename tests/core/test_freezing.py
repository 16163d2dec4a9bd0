"""Which hyperparameters a search need not move any longer."""

from __future__ import annotations

import random

from advisor.core.freezing import FEWEST_TRIALS, frozen
from advisor.core.revisions import Seen
from advisor.core.space import Choice, Float, Int, SearchSpace

SPACE = SearchSpace(
    parameters={
        "rate": Float(1e-4, 1.0, log=True),
        "width": Int(1, 100),
        "colour": Choice(("red", "green", "blue")),
        "kind": Choice(("a", "b")),
        "only_b": Float(0.0, 1.0, when={"kind": ("b",)}),
    }
)


def trials(count: int, seed: int = 0) -> list[Seen]:
    draw = random.Random(seed)
    out = []
    for _ in range(count):
        config = {
            "rate": 10 ** draw.uniform(-4, 0),
            "width": draw.randint(1, 100),
            "colour": draw.choice(("red", "green", "blue")),
            "kind": draw.choice("ab"),
        }
        if config["kind"] == "b":
            config["only_b"] = draw.random()
        value = abs(config["width"] - 30) / 100 + 0.3 * (config["kind"] == "b") * config.get("only_b", 0.0)
        out.append(Seen(config, value + 0.001 * draw.random()))
    return out


def test_what_does_not_matter_is_held_where_the_best_trial_has_it() -> None:
    seen = trials(150)
    best = min(seen, key=lambda t: t.value or 0.0)
    found = {r.name: r for r in frozen(SPACE, seen)}
    assert set(found) == {"rate", "colour"}
    assert all(r.kind == "freeze" and r.parameter.default == best.config[n] for n, r in found.items())
    assert "of the scores of 150 trials" in found["rate"].because


def test_nothing_is_frozen_before_enough_trials_have_ended() -> None:
    assert frozen(SPACE, trials(FEWEST_TRIALS - 1)) == ()
    failed = [Seen(t.config, None) for t in trials(40)]
    assert frozen(SPACE, [*trials(40, seed=1), *failed]) == ()


def test_a_choice_that_others_hang_on_goes_on_moving() -> None:
    space = SPACE.replace(only_b=Float(0.0, 1.0, when={"kind": ("b",)}))
    flat = [Seen(t.config, t.config["width"] / 100) for t in trials(150)]
    assert "kind" not in {r.name for r in frozen(space, flat)}


def test_two_hyperparameters_go_on_moving_at_least() -> None:
    pair = SearchSpace(parameters={n: SPACE.parameters[n] for n in ("rate", "width")})
    seen = [Seen({n: t.config[n] for n in pair.parameters}, t.value) for t in trials(150)]
    assert frozen(pair, seen) == ()
