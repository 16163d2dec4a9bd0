"""Flips: each one stated really changes the plan, none nearer does, and a what-if is the plan of the changed facts."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from advisor.core.errors import AdvisorError
from advisor.core.explain import differences, what_if
from advisor.core.facts import Facts
from advisor.core.flips import FIT_SECONDS, FURTHEST, Chain, distance, smallest_pair, stability_of, with_fact
from advisor.core.plan import Evidence, Flip, Plan
from advisor.core.recommend import recommend
from advisor.core.value import encode
from advisor.core.vocabulary import vocabulary
from advisor.rulebook.situations import varied
from tests.fakes import facts as situations
from tests.fakes.rulebooks import shipped

IN_THE_SUITE = 25
WHOLE = 1000


def planned(facts: Facts) -> Plan | None:
    try:
        return recommend(facts, shipped(), flips=False)
    except AdvisorError:
        return None


def told(plan: Plan | None, field: str) -> Evidence | None:
    return None if plan is None else next((e for e in plan.evidence if e.field == field), None)


def value_of(plan: Plan, field: str) -> Any:
    """What the plan itself says, not its evidence."""
    if field == "strategy":
        return str(plan.strategy)
    if field == "shortlist":
        return [c.family for c in plan.shortlist]
    entry = told(plan, field)
    return None if entry is None else entry.value


def flipped(facts: Facts, plan: Plan, flip: Flip) -> Facts:
    """`facts` as the flip says, made without the code that found it."""
    if flip.fact == FIT_SECONDS:
        return with_fact(facts, flip.fact, flip.becomes, plan.family)
    part, attribute = flip.fact.split(".")
    model = getattr(facts, part)
    changed = type(model).model_validate({**model.model_dump(), attribute: flip.becomes})
    return facts.model_copy(update={part: changed})


def check_flips(facts: Facts, seed: int) -> int:
    """Asserts all of it for one set of facts; the number of flips looked at."""
    try:
        plan = recommend(facts, shipped())
    except AdvisorError:
        return 0
    draw = random.Random(seed)
    count = 0
    for entry in plan.evidence:
        nearest = min((distance(f.now, f.becomes) for f in entry.flips), default=math.log(FURTHEST))
        for flip in entry.flips:
            count += 1
            then = planned(flipped(facts, plan, flip))
            assert then is not None, (seed, entry.field, flip)
            said = flip.then if entry.field == "strategy" else flip.then.removeprefix(f"{entry.field} = ")
            value = value_of(then, entry.field)
            assert (str(value) if entry.field == "strategy" else str(encode(value))) == said, (seed, entry.field, flip, value)
            assert value != entry.value, (seed, entry.field, flip)
        if entry.flips:
            unchanged(facts, plan, entry, nearest, draw, seed)
    return count


def unchanged(facts: Facts, plan: Plan, entry: Evidence, nearest: float, draw: random.Random, seed: int) -> None:
    """No change of one fact that is nearer than the nearest flip changes the field: two are drawn."""
    chain = Chain(facts, shipped())
    for name, now in draw.sample(sorted(chain.facts_to_change().items()), 2):
        if isinstance(now, bool) or not isinstance(now, int | float) or now <= 0:
            continue
        # A threshold on a number that is not whole is told in four digits, that is to a thousandth.
        shift = draw.choice([-1, 1]) * draw.uniform(0, max(0.0, nearest - 1.1e-3))
        whole = vocabulary()[name].kind == "integer"
        then = round(now * math.exp(shift)) if whole else now * math.exp(shift)
        if distance(now, then) >= nearest - 1.1e-3 or (whole and then < 1) or (name.endswith("_ratio") and then > 1):
            continue
        other = planned(with_fact(facts, name, then, plan.family))
        if other is None:
            continue
        after = told(other, entry.field)
        same = after is None or after.value == entry.value or follows(entry, after)
        assert same, (seed, entry.field, name, now, then, entry.value, after.value if after else None, entry.flips[:2])


def follows(before: Evidence, after: Evidence) -> bool:
    """True for a bound that the same rules set: it follows a number of the facts, and has no threshold."""
    return before.field.split(".")[0] in ("space", "fixed", "shortlist", "envelope") and before.rule == after.rule


@pytest.mark.parametrize("seed", range(IN_THE_SUITE))
def test_each_flip_really_changes_the_plan_and_no_nearer_change_does(seed: int) -> None:
    check_flips(varied(seed, shipped()), seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, WHOLE, 50))
@pytest.mark.timeout(1800)
def test_each_flip_of_a_thousand_fact_sets_is_exact(start: int) -> None:
    assert sum(check_flips(varied(seed, shipped()), seed) for seed in range(start, start + 50)) > 100


def test_a_flip_on_a_whole_number_is_exact_to_one() -> None:
    plan = recommend(situations.laptop_small_table(), shipped())
    flip = next(f for e in plan.evidence if e.field == "strategy" for f in e.flips if f.fact == "data.rows")
    data = situations.laptop_small_table().data
    before = planned(situations.facts(data=data.model_copy(update={"rows": flip.becomes - 1})))
    after = planned(situations.facts(data=data.model_copy(update={"rows": flip.becomes})))
    assert before is not None
    assert after is not None
    assert (before.strategy, str(after.strategy)) == (plan.strategy, flip.then)


def test_facts_that_mean_nothing_here_flip_nothing() -> None:
    plan = recommend(situations.laptop_small_regression(), shipped())
    named = {f.fact for e in plan.evidence for f in e.flips}
    assert named
    assert not any(n.startswith("data.image_") or n in ("data.classes", "data.minority_ratio") for n in named)


def test_what_the_user_said_has_no_flips() -> None:
    plan = recommend(situations.laptop_small_table(metric="accuracy", strategy="random"), shipped())
    assert all(not e.flips for e in plan.evidence if e.rule == "answer")


# ------------------------------------------------------------------------------------------------------------- what-if


def check_what_if(seed: int) -> None:
    facts = varied(seed, shipped())
    draw = random.Random(seed)
    try:
        now = recommend(facts, shipped(), flips=False)
    except AdvisorError:
        return
    changes: dict[str, Any] = {"answers.budget_seconds": facts.answers.budget_seconds * draw.choice([0.2, 7.0])}
    if facts.objective is None:
        changes |= draw.choice([{}, {"data.rows": max(20, facts.data.rows // 3)}, {"data.width": facts.data.width * 2}])
    if draw.random() < 0.5:
        changes["answers.goal"] = draw.choice(["best", "quick"])
    other = facts
    for name, value in changes.items():
        part, attribute = name.split(".")
        model = getattr(other, part)
        other = other.model_copy(update={part: type(model).model_validate({**model.model_dump(), attribute: value})})
    then = planned(other)
    found = what_if(facts, shipped(), changes)
    assert found.differences == (() if then is None else differences(now, then))
    assert (then is None) == found.headline_then.startswith("no plan")


@pytest.mark.parametrize("seed", range(IN_THE_SUITE))
def test_a_what_if_is_the_plan_of_the_changed_facts(seed: int) -> None:
    check_what_if(seed)


@pytest.mark.slow
def test_a_what_if_is_the_plan_of_the_changed_facts_a_thousand_times() -> None:
    for seed in range(WHOLE):
        check_what_if(seed)


# ------------------------------------------------------------------------------------------------- pairs and stability


def test_where_no_single_change_does_the_smallest_pair_is_found() -> None:
    facts = situations.grouped_table(budget_seconds=600.0)
    plan = recommend(facts, shipped())
    entry = next(e for e in plan.evidence if e.field == "validation.folds")
    assert not entry.flips, "a single change does it by now: choose other facts"
    pair = smallest_pair(Chain(facts, shipped()), entry.field)
    assert pair is not None
    both = facts
    for flip in pair:
        alone = planned(flipped(facts, plan, flip))
        assert alone is None or value_of(alone, entry.field) == entry.value
        both = flipped(both, plan, flip)
    then = planned(both)
    assert then is not None
    assert value_of(then, entry.field) != entry.value


@pytest.mark.parametrize("seed", range(10))
def test_the_strategy_holds_within_the_stated_fit_times_and_not_beyond(seed: int) -> None:
    facts = varied(seed, shipped())
    try:
        chain = Chain(facts, shipped())
    except AdvisorError:
        return
    found = stability_of(chain)
    if found is None or found.low_seconds == found.high_seconds:
        return
    now, family = chain.now.fields["strategy"][0], chain.first.families[0].name
    for edge in (found.low_seconds, found.high_seconds):
        if edge is not None:
            beyond = planned(with_fact(facts, FIT_SECONDS, edge, family))
            assert beyond is not None
            assert str(beyond.strategy) != now
            # Two significant digits reach the rules: within a twentieth a value may be rounded over the edge.
            towards = edge * (1.06 if edge < found.fit_seconds else 0.94)
            if (towards - found.fit_seconds) * (edge - found.fit_seconds) > 0:
                within = planned(with_fact(facts, FIT_SECONDS, towards, family))
                assert within is not None
                assert str(within.strategy) == now
