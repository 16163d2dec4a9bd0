"""What would change a field of a plan: for each fact the nearest value at which it has another one, and how stable that is.

Between two facts lies a plan's whole chain of decisions, so nothing is inverted: the chain is asked again with one fact
changed. It only compares facts with constants, and while all decisions before a comparison stay the same, what is compared
rises or falls with the fact that is changed. So where two values of it give the same comparisons, everything between them
does too; where they differ, the earliest comparison that differs is bisected, and both sides are looked at again. That
finds every change, exact to the next whole number, or to `RESOLUTION`. The page docs/rules.md explains it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from advisor.core.deliberation import ANSWER, Outline, decide, outline, shown
from advisor.core.derived import DERIVED, Situation, situation_of
from advisor.core.errors import AdvisorError, RulebookError
from advisor.core.facts import Facts, Measured, Task, Unknown
from advisor.core.plan import Evidence, Flip, Stability
from advisor.core.predicates import AtLeast, Below, Predicate, Verdict
from advisor.core.reads import conditions_that_count, depth, used
from advisor.core.rules import Rulebook
from advisor.core.space import Choice, Float, Int
from advisor.core.spaces import adjusting
from advisor.core.value import encode
from advisor.core.vocabulary import vocabulary

NEAR = 10.0
"""A plan tells of flips within this factor; each costs time to find."""
FURTHEST = 1000.0
"""A flip further away than this factor is not looked for, however long it may take."""
RESOLUTION = 1e-4
"""A threshold on a number that is not whole is found to this part of it."""
NOTHING = 1e-9
"""Below this a number is taken for 0."""
DIGITS = 4
"""Significant digits in which such a threshold is told, rounded away from the present value."""
FIT_SECONDS = "family.fit_seconds"
"""The one decided fact that may be set: what the pilot measures."""
_FROM = {"data.rows": 1, "data.width": 1, "data.feature_columns": 1, "hardware.cpu_count": 1, "answers.trials": 1, "answers.workers": 1}
"""Least values of whole numbers that cannot be 0."""
_OWN_WORD = ("answers.metric", "answers.model", "answers.strategy", "answers.task", "answers.seed", "answers.force")
"""Answers that say what the plan is to be; changing one is not a change of facts."""


# ------------------------------------------------------------------------------------------------ one look at the chain


@dataclass(frozen=True, slots=True)
class Look:
    """The chain of decisions for one set of facts."""

    fields: Mapping[str, tuple[Any, Any]]
    """For each field its value, and what decided it: the rules in force where the value follows a number. Empty without a plan."""
    made: tuple[Any, ...]
    """What was decided on the way between the first and the later comparisons; the kind of error where there is no plan."""
    situation: Situation | None = None
    """What rules looked at; None without a plan."""


def with_fact(facts: Facts, name: str, value: Any, family: str = "") -> Facts:
    """`facts` with the primary fact `name` changed; `FIT_SECONDS` is what the pilot has measured of `family`."""
    if name == FIT_SECONDS:
        before = next((m for m in reversed(facts.measured) if m.family == family), Measured(family=family, fit_seconds=value))
        others = tuple(m for m in facts.measured if m.family != family)
        return facts.model_copy(update={"measured": (*others, before.model_copy(update={"fit_seconds": value}))})
    part, _, attribute = name.partition(".")
    changed = getattr(facts, part).model_copy(update={attribute: value})
    return facts.model_copy(update={part: changed})


def fields_of(o: Outline, rulebook: Rulebook) -> dict[str, tuple[Any, Any]]:
    """Each field that comparisons decide, with its value and what decided it."""
    out: dict[str, tuple[Any, Any]] = {
        "strategy": (str(o.choice.strategy), None),
        "metric": (o.metric.name, None),
        "family": (o.families[0].name, None),
        "shortlist": ([f.name for f in o.families], None),
        "budget.trials_cap": (o.budget.trials_cap, None),
    }
    out |= {f"validation.{n}": (getattr(o.validation, n), None) for n in ("scheme", "folds", "repeats", "holdout_ratio", "heldout_ratio")}
    settings = rulebook.strategies[o.choice.strategy].settings
    for name in rulebook.by_field:
        head, _, tail = name.partition(".")
        if head == "pruner" or (head == "sampler" and tail in settings):
            value = decide(name, rulebook, o.situation).value
            out[name] = (encode(settings.get(tail) if value is None and head == "sampler" else value), None)
    out["envelope.threads_per_worker"] = (o.threads, decide("envelope.threads", rulebook, o.situation).value)
    for index, (family, candidate) in enumerate(zip(o.families, o.candidates, strict=True)):
        prefix = "" if index == 0 else f"shortlist.{family.name}."
        rules = adjusting(rulebook, family, o.situations[index]) if o.situations else ()
        revised = {n: tuple(r.id for r in rules if r.adjust is not None and r.adjust.parameter == n) for n in _parameters(o, index)}
        for name, parameter in candidate.space.items():
            for part, value in parts_of(parameter).items():
                out[f"{prefix}space.{name}.{part}"] = (value, (family.name, revised.get(name, ())))
        for name, value in candidate.fixed.items():
            out[f"{prefix}fixed.{name}"] = (encode(value), (family.name, revised.get(name, ())))
    return out


def _parameters(o: Outline, index: int) -> tuple[str, ...]:
    return (*o.candidates[index].space.parameters, *o.candidates[index].fixed)


def parts_of(parameter: Float | Int | Choice) -> dict[str, Any]:
    """What evidence is given for: bounds and scale, or the choices; and the default."""
    default = encode(parameter.default)
    if isinstance(parameter, Choice):
        return {"choices": [encode(c) for c in parameter.choices], "default": default}
    return {"low": parameter.low, "high": parameter.high, "log": parameter.log, "default": default}


def _differs(now: tuple[Any, Any] | None, then: tuple[Any, Any] | None) -> bool:
    """True when a field has another value for another reason; a bound that merely follows a number has not."""
    if now is None or then is None or now[0] == then[0]:
        return False
    return (now[1] is None and then[1] is None) or now[1] != then[1]


class Chain:
    """The chain of decisions of a plan, asked again with facts changed; every answer is kept."""

    def __init__(self, facts: Facts, rulebook: Rulebook, reach: float = NEAR) -> None:
        self.facts, self.rulebook, self.reach = facts, rulebook, reach
        self._kept: dict[tuple[tuple[str, Any], ...], Look] = {}
        self.first = outline(facts, rulebook)
        self._primary = situation_of(self.first.facts)
        self.now = self.look({})

    def look(self, changes: Mapping[str, Any]) -> Look:
        """The chain with `changes` made to the facts."""
        key = tuple(sorted(changes.items()))
        if key not in self._kept:
            self._kept[key] = self._asked(changes)
        return self._kept[key]

    def _asked(self, changes: Mapping[str, Any]) -> Look:
        facts = self.facts
        for name, value in changes.items():
            facts = with_fact(facts, name, value, self.first.families[0].name)
        try:
            o = outline(facts, self.rulebook, is_told=False)
            fields = fields_of(o, self.rulebook)
        except RulebookError:
            raise
        except AdvisorError as error:
            return Look({}, (type(error).__name__,))
        return Look(fields, (o.metric.name, fields["shortlist"][0], o.validation), o.situation)

    def values(self, name: str, present: Any) -> tuple[Any, ...]:
        """Other values of a fact that is a flag or a choice."""
        about = vocabulary()[name]
        return (not present,) if about.kind == "flag" else tuple(type(present)(c) for c in about.choices if c != present)

    def facts_to_change(self) -> dict[str, Any]:
        """The known primary facts that decide something, with their values."""
        out: dict[str, Any] = {}
        for name in sorted(used(self.rulebook)):
            about, value = vocabulary().get(name), self._primary.value(name)
            if about is None or about.inputs or name in DERIVED or name in _OWN_WORD or isinstance(value, Unknown) or value is None:
                continue
            if name.split(".")[0] in ("hardware", "data", "answers") and about.kind != "text":
                out[name] = value
        out = {n: v for n, v in out.items() if not _means_nothing(n, self.first)}
        if self.first.candidates[0].is_measured:
            out[FIT_SECONDS] = self.first.situation.value(FIT_SECONDS)
        return out

    # -------------------------------------------------------------------------------------------- along one fact

    def edges(self, name: str, present: Any, also: Mapping[str, Any] | None = None) -> Iterator[tuple[float, Any, Look]]:
        """Distance, value and look of each part of the fact's range, the value being the one nearest to the present; nearest first."""
        also = also or {}
        if not vocabulary()[name].is_number:
            for value in self.values(name, present):
                yield 1.0, value, self.look({**also, name: value})
            return
        line = _Line(self, name, also)
        found = [*line.up(present), *line.down(present)]
        yield from sorted(((distance(present, v), v, look) for v, look in found), key=lambda e: (e[0], e[1]))

    def conditions(self, name: str, also: Mapping[str, Any]) -> tuple[Predicate, ...]:
        """The conditions that a change of the fact `name` may turn, the earliest first.

        A rule counts for nothing where a condition does not hold that has nothing to do with the fact.
        """
        situation = self.first.situation.with_values(also)

        def is_dead(p: Predicate) -> bool:
            settled = p.fact.startswith("engine.") or p.fact == "family.is_own" or (depth(p.fact) == 0 and not _reads(p.fact, name))
            return settled and p.verdict(situation) is not Verdict.HOLDS

        model = self.first.facts.answers.model
        return tuple(
            dict.fromkeys(
                p
                for group, family in conditions_that_count(self.rulebook)
                if (model == "auto" or family in ("", model)) and not any(map(is_dead, group))
                for p in group
                if not (depth(p.fact) == 0 and not _reads(p.fact, name))
            )
        )

    def early(self, predicate: Predicate, changes: Mapping[str, Any]) -> Verdict | None:
        """The verdict of a condition on primary facts, without asking the chain; None when it is later than that."""
        if depth(predicate.fact) or self.first.own is not None or FIT_SECONDS in changes:
            return None
        return predicate.verdict(self._primary.with_values(changes))


@cache
def _reads(fact: str, name: str) -> bool:
    """True when `fact` is `name`, or computed from it."""
    return fact == name or any(_reads(i, name) for i in vocabulary()[fact].inputs)


def _means_nothing(name: str, o: Outline) -> bool:
    """True for a fact that says nothing of these data, such as the classes of a number to predict."""
    if o.own is not None:
        return name.startswith("data.")
    is_number = o.task is not None and not o.task.is_classification
    return (
        (name.startswith("data.image_") and o.data.image_side == 0)
        or (name in ("data.classes", "data.rarest_class_rows", "data.minority_ratio") and is_number)
        or (name == "data.classes" and o.task is Task.BINARY)
        or (name == "data.has_heavy_tail" and not is_number)
        or (name == "data.groups" and o.validation.group is None)
    )


class _Line:
    """The range of one numeric fact, all others held."""

    def __init__(self, chain: Chain, name: str, also: Mapping[str, Any]) -> None:
        about = vocabulary()[name]
        self.chain, self.name, self.also = chain, name, dict(also)
        self.is_whole = about.kind == "integer"
        self.is_exact = self.is_whole and about.unit == ""
        self.top = 1.0 if about.unit == "ratio" else math.inf
        self.least = _FROM.get(name, 0) if self.is_whole or about.unit == "ratio" else 0.0
        ordered = sorted(chain.conditions(name, also), key=lambda p: depth(p.fact))
        self.first_part = [p for p in ordered if depth(p.fact) <= 1]
        self.last_part = [p for p in ordered if depth(p.fact) > 1]
        self._marks: dict[float, tuple[Any, ...]] = {}

    def look(self, at: float) -> Look:
        return self.chain.look({**self.also, self.name: at})

    def marks(self, at: float) -> tuple[Any, ...]:
        """Every comparison and decision made on the way that the fact may turn, the earliest first."""
        if at not in self._marks:
            look = self.look(at)
            s = look.situation
            if s is None:
                self._marks[at] = look.made
            else:
                first = [p.verdict(s) for p in self.first_part]
                last = [p.verdict(s) for p in self.last_part]
                self._marks[at] = ("", *first, *look.made, *last, look.fields["strategy"][0], look.fields["budget.trials_cap"][0])
        return self._marks[at]

    def _condition(self, mark: int) -> Predicate | None:
        """The condition behind a mark; None for another decision."""
        at = mark - 1
        if 0 <= at < len(self.first_part):
            return self.first_part[at]
        at -= len(self.first_part) + len(self.chain.now.made)
        return self.last_part[at] if 0 <= at < len(self.last_part) else None

    def up(self, present: float) -> list[tuple[Any, Look]]:
        reach = self.chain.reach
        end = self._whole(min(self.top, present * reach if present else (1.0 if self.top == 1 else reach)))
        if end <= present:
            return []
        return [(self._told(hi, up=True), self.look(hi)) for _, hi in self._breaks(present, end)]

    def down(self, present: float) -> list[tuple[Any, Look]]:
        start = self._whole(present / self.chain.reach)
        if self.is_whole or self.top == 1:
            start = self.least if start < 1 else start
        if start >= present:
            return []
        return [(self._told(lo, up=False), self.look(lo)) for lo, _ in reversed(self._breaks(start, present))]

    def _whole(self, at: float) -> Any:
        return math.floor(at) if self.is_whole else at

    def _told(self, at: float, *, up: bool) -> Any:
        """`at` in few digits, away from the present value, where that lies in the same part of the range."""
        if self.is_whole or at == 0:
            return at
        scale = 10.0 ** (DIGITS - 1 - math.floor(math.log10(abs(at))))
        told = (math.ceil if up else math.floor)(at * scale * (1 - 1e-12 if up else 1 + 1e-12)) / scale
        return told if told <= self.top and self.marks(told) == self.marks(at) else at

    def _breaks(self, low: float, high: float) -> list[tuple[Any, Any]]:
        """Neighbouring values between which something changes, in order."""
        if self.marks(low) == self.marks(high):
            return []
        if self._are_neighbours(low, high):
            return [(low, high)]
        below, above = self._between(low, high)
        here = [(below, above)] if self.marks(below) != self.marks(above) else []
        return [*self._breaks(low, below), *here, *self._breaks(above, high)]

    def _between(self, low: float, high: float) -> tuple[Any, Any]:
        """Neighbours between which the earliest thing that differs changes."""
        first, last = self.marks(low), self.marks(high)
        mark = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
        predicate = self._condition(mark) if first[0] == last[0] == "" else None
        if predicate is not None and predicate.fact == self.name and isinstance(predicate, AtLeast | Below):
            return self._around(predicate.threshold, low, high)

        def early(at: float) -> Verdict | None:
            return self.chain.early(predicate, {**self.also, self.name: at}) if predicate is not None else None

        is_early = early(low) == first[mark] and early(high) == last[mark]

        def seen(at: float) -> Any:
            if is_early:
                return early(at)
            marks = self.marks(at)
            return marks[mark] if len(marks) > mark else None

        return self._narrowed(low, high, seen, None if is_early else self._guess(predicate, low, high))

    def _narrowed(self, low: float, high: float, seen: Callable[[float], Any], guess: float | None) -> tuple[Any, Any]:
        """Neighbours between which `seen` changes from what it is at `low`; looked for around `guess` first."""
        was, step = seen(low), 1.0
        while not self._are_neighbours(low, high):
            middle = self._middle(low, high) if guess is None else self._inside(guess, low, high)
            is_low = seen(middle) == was
            low, high = (middle, high) if is_low else (low, middle)
            if guess is not None:
                # The guess follows a power; from where it fell, ever larger steps find the other side.
                away = max(1.0 if self.is_exact else 0.0, RESOLUTION * 0.9 * abs(middle)) * step
                guess, step = (middle + away if is_low else middle - away), step * 4
                guess = guess if low < guess < high else None
        return low, high

    def _guess(self, predicate: Predicate | None, low: float, high: float) -> float | None:
        """Where a power through the values at both ends meets the threshold."""
        if not isinstance(predicate, AtLeast | Below) or low <= 0:
            return None
        ends = []
        for at in (low, high):
            situation = self.look(at).situation
            value = situation.value(predicate.fact) if situation is not None else None
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                return None
            ends.append(math.log(value))
        if ends[0] == ends[1] or predicate.threshold <= 0:
            return None
        share = (math.log(predicate.threshold) - ends[0]) / (ends[1] - ends[0])
        guess = math.exp(math.log(low) + share * math.log(high / low))
        return guess if low < guess < high else None

    def _inside(self, at: float, low: float, high: float) -> Any:
        return min(max(round(at), low + 1), high - 1) if self.is_whole else at

    def _around(self, threshold: float, low: float, high: float) -> tuple[Any, Any]:
        if self.is_whole:
            at = math.ceil(threshold)
            return max(low, at - 1), at
        scale = 10.0 ** (DIGITS - 1 - math.floor(math.log10(abs(threshold)))) if threshold else 1 / RESOLUTION
        return max(low, (math.ceil(threshold * scale * (1 - 1e-12)) - 1) / scale), min(high, threshold)

    def _are_neighbours(self, low: float, high: float) -> bool:
        if self.is_whole and high - low <= 1:
            return True
        return not self.is_exact and (high - low <= RESOLUTION * abs(high) or high <= NOTHING)

    def _middle(self, low: float, high: float) -> Any:
        if not self.is_whole:
            return math.sqrt(low * high) if low > 0 else high / 2
        middle = round(math.sqrt(max(low, 1) * high))
        return min(max(middle, low + 1), high - 1)


def distance(now: Any, then: Any) -> float:
    """How far `then` lies from `now`: the logarithm of their ratio for numbers above 0; 1 for a flag, a choice, and to or from 0."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in (now, then))
    return abs(math.log(then / now)) if numbers else 1.0


# ------------------------------------------------------------------------------------------------------------- flips


def flips_of(chain: Chain, told: Mapping[str, Evidence]) -> dict[str, tuple[Flip, ...]]:
    """For each field of `told` that comparisons decide, the nearest change of each fact that would change it, the nearest first.

    What the user's own word decides is not among them.
    """
    open_fields = [n for n, e in told.items() if n in chain.now.fields and e.rule != ANSWER]
    found: dict[str, list[tuple[float, Flip]]] = {n: [] for n in open_fields}
    for fact, present in chain.facts_to_change().items():
        seen: set[tuple[str, bool]] = set()
        for away, value, look in chain.edges(fact, present):
            side = isinstance(value, str) or value > present
            for name in open_fields:
                if ((name, side) in seen and not isinstance(value, str)) or not _differs(chain.now.fields[name], look.fields.get(name)):
                    continue
                seen.add((name, side))
                flip = Flip(fact=fact, now=shown(present), becomes=value, then=_then(name, look.fields[name][0]))
                found[name].append((away, flip))
    return {n: tuple(f for _, f in sorted(flips, key=lambda f: (f[0], f[1].fact, str(f[1].becomes)))) for n, flips in found.items()}


def _then(name: str, value: Any) -> str:
    return str(value) if name == "strategy" else f"{name} = {encode(value)}"


def smallest_pair(chain: Chain, name: str) -> tuple[Flip, Flip] | None:
    """The two changes that together change field `name` where neither does alone, with the least sum of distances.

    The first is a change at which some comparison turns out otherwise, the second the nearest that then changes the field.
    """
    present = chain.facts_to_change()
    now = chain.now.fields.get(name)
    best: tuple[float, tuple[Flip, Flip]] | None = None
    firsts = sorted(
        ((away, fact, value) for fact, at in present.items() for away, value, look in chain.edges(fact, at) if look.fields),
        key=lambda f: (f[0], f[1], str(f[2])),
    )
    for away, fact, value in firsts:
        if best is not None and away >= best[0]:
            break
        for other, at in present.items():
            if other == fact:
                continue
            for further, then, look in chain.edges(other, at, {fact: value}):
                if best is not None and away + further >= best[0]:
                    break
                if _differs(now, look.fields.get(name)):
                    words = _then(name, look.fields[name][0])
                    pair = (
                        Flip(fact=fact, now=shown(present[fact]), becomes=value, then=words),
                        Flip(fact=other, now=shown(at), becomes=then, then=words),
                    )
                    best = (away + further, pair)
    return best[1] if best is not None else None


# --------------------------------------------------------------------------------------------------------- stability


def stability_of(chain: Chain) -> Stability | None:
    """Between which fit times, as the pilot would measure them, the strategy holds; None where the user named the strategy."""
    if chain.first.choice.rule is None:
        return None
    seconds = float(chain.first.situation.value("family.cost_seconds"))
    strategy = chain.now.fields["strategy"][0]
    if chain.look({FIT_SECONDS: seconds}).fields.get("strategy", ("",))[0] != strategy:
        return Stability(fit_seconds=seconds, low_seconds=seconds, high_seconds=seconds)
    others = [v for _, v, look in chain.edges(FIT_SECONDS, seconds) if look.fields and look.fields["strategy"][0] != strategy]
    low, high = (next((v for v in others if is_side(v)), None) for is_side in (seconds.__gt__, seconds.__lt__))
    return Stability(fit_seconds=seconds, low_seconds=low, high_seconds=high)
