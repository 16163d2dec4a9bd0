"""What would change a field: exact thresholds where a rule compares, bisection on primary facts where arithmetic lies between."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from advisor.core.deliberation import Outline, decide, outline, shown
from advisor.core.derived import Situation
from advisor.core.errors import AdvisorError
from advisor.core.facts import Facts, Unknown
from advisor.core.plan import Flip
from advisor.core.predicates import AtLeast, Below, Is, OneOf, Predicate
from advisor.core.rules import Rulebook
from advisor.core.value import encode, round_significant
from advisor.core.vocabulary import vocabulary

FURTHEST = 1000.0
"""A flip further away than this factor is not worth telling."""
STEPS = 14
"""Halvings of the logarithmic bracket: the threshold is exact to about a thousandth."""


def _candidates(predicate: Predicate, value: Any) -> tuple[Any, ...]:
    """Values of the fact at which the verdict of `predicate` may change, seen from `value`."""
    match predicate:
        case AtLeast(threshold=t) | Below(threshold=t):
            if isinstance(value, int | float) and value >= t:
                whole = vocabulary()[predicate.fact].kind == "integer"
                return (t - 1 if whole else t * 0.999,)
            return (t,)
        case Is(wish=wish):
            if isinstance(wish, bool):
                return (not value,) if isinstance(value, bool) else (wish,)
            others = [c for c in vocabulary()[predicate.fact].choices if c != value]
            return (wish,) if value != wish else tuple(others)
        case OneOf(wishes=wishes):
            others = [c for c in vocabulary()[predicate.fact].choices if c not in wishes]
            return tuple(others) if value in wishes else tuple(wishes)


def field_flips(name: str, rulebook: Rulebook, situation: Situation) -> tuple[Flip, ...]:
    """The nearest change of each fact that would change field `name`, by setting that fact alone."""
    now = decide(name, rulebook, situation).value
    found: dict[tuple[str, str], tuple[float, Flip]] = {}
    for rule in rulebook.by_field[name]:
        for predicate in rule.when:
            value = situation.value(predicate.fact)
            if isinstance(value, Unknown) or predicate.fact.startswith("engine."):
                continue
            for wanted in _candidates(predicate, value):
                try:
                    then = decide(name, rulebook, situation.with_values({predicate.fact: wanted})).value
                except AdvisorError:
                    continue
                if then is None or then == now:
                    continue
                distance = _distance(value, wanted)
                side = (
                    "up"
                    if isinstance(wanted, int | float) and not isinstance(wanted, bool) and wanted > value
                    else f"to {encode(then)}"
                    if isinstance(wanted, str)
                    else "down"
                )
                key = (predicate.fact, side)
                if key not in found or distance < found[key][0]:
                    found[key] = (
                        distance,
                        Flip(fact=predicate.fact, now=shown(value), becomes=shown(wanted), then=f"{name} = {encode(then)}"),
                    )
            for distance, flip in _through(name, predicate.fact, now, rulebook, situation) if vocabulary()[predicate.fact].inputs else ():
                key = (flip.fact, "up" if flip.becomes > flip.now else "down")
                if key not in found or distance < found[key][0]:
                    found[key] = (distance, flip)
    return tuple(flip for _, flip in sorted(found.values(), key=lambda f: (f[0], f[1].fact, str(f[1].becomes))))


def _through(name: str, derived: str, now: Any, rulebook: Rulebook, situation: Situation) -> list[tuple[float, Flip]]:
    """Where a primary fact that `derived` follows would have to be for field `name` to change, found by bisection."""
    about, out = vocabulary()[derived], []
    for primary in (*about.rises_with, *about.falls_with):
        value = situation.value(primary)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            continue

        def seen(at: float, primary: str = primary) -> Any:
            try:
                return decide(name, rulebook, situation.with_values({primary: at})).value
            except AdvisorError:
                return now

        for up in (True, False):
            edge = _edge(seen, float(value), now, whole=vocabulary()[primary].kind == "integer", up=up)
            if edge is not None:
                flip = Flip(fact=primary, now=shown(value), becomes=edge[0], then=f"{name} = {encode(edge[1])}")
                out.append((_distance(value, edge[0]), flip))
    return out


def _edge(seen: Callable[[float], Any], value: float, now: Any, *, whole: bool, up: bool) -> tuple[float, Any] | None:
    """The number nearest to `value` at which `seen` gives something else than `now`, and what; None within `FURTHEST`."""
    inside, factor = value, 2.0 if up else 0.5
    while True:
        outside = inside * factor
        if max(outside / value, value / outside) > FURTHEST or (whole and outside < 1):
            return None
        then = seen(outside)
        if then != now:
            break
        inside = outside
    for _ in range(STEPS):
        if whole and abs(outside - inside) < 1:
            break
        middle = math.sqrt(inside * outside)
        there = seen(middle)
        if there == now:
            inside = middle
        else:
            outside, then = middle, there
    return (float(max(1, round(outside))) if whole else round_significant(outside, 3)), then


def _distance(now: Any, wanted: Any) -> float:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in (now, wanted))
    return abs(math.log(wanted / now)) if numbers else 1.0


def _strategy(facts: Facts, rulebook: Rulebook) -> str:
    try:
        return str(outline(facts, rulebook).choice.strategy)
    except AdvisorError as error:
        return f"no plan: {error.what}"


def _changed(facts: Facts, name: str, value: float) -> Facts:
    part, attribute = name.split(".")
    model = getattr(facts, part)
    kind = vocabulary()[name].kind
    update: dict[str, Any] = {attribute: max(1, round(value)) if kind == "integer" else value}
    if name == "data.rows":
        ratio = update["rows"] / facts.data.rows
        update |= {"rarest_class_rows": round(facts.data.rarest_class_rows * ratio), "bytes": round(facts.data.bytes * ratio)}
    return facts.model_copy(update={part: model.model_copy(update=update)})


BISECTED = ("answers.budget_seconds", "data.rows", "hardware.cpu_count")
"""Primary facts on which the strategy is bisected: arithmetic lies between them and the rules."""


def strategy_flips(o: Outline, facts: Facts, rulebook: Rulebook) -> tuple[Flip, ...]:
    """The nearest change of each primary fact, upwards and downwards, that would change the strategy."""
    now = str(o.choice.strategy)
    out: list[tuple[float, Flip]] = []
    for name in BISECTED:
        part, attribute = name.split(".")
        value = getattr(getattr(facts, part), attribute)
        if isinstance(value, Unknown) or value <= 0:
            continue

        def seen(at: float, name: str = name) -> str:
            return _strategy(_changed(facts, name, at), rulebook)

        for up in (True, False):
            edge = _edge(seen, float(value), now, whole=vocabulary()[name].kind == "integer", up=up)
            if edge is not None:
                at, then = edge
                out.append((_distance(value, at), Flip(fact=name, now=shown(value), becomes=at, then=then)))
    rule = o.choice.rule
    goals = [p for r in (rulebook.strategy_rules if rule is not None else ()) for p in r.when if p.fact == "answers.goal"]
    for wanted in dict.fromkeys(w for p in goals for w in _candidates(p, facts.answers.goal)):
        then = _strategy(facts.model_copy(update={"answers": facts.answers.model_copy(update={"goal": wanted})}), rulebook)
        if then != now and not then.startswith("no plan"):
            out.append((1.0, Flip(fact="answers.goal", now=str(facts.answers.goal), becomes=str(wanted), then=then)))
    return tuple(flip for _, flip in sorted(out, key=lambda f: (f[0], f[1].fact, str(f[1].becomes))))
