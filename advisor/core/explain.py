"""Why a plan is as it is, why not otherwise, and what would change it: text from the evidence a plan carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from advisor.core.deliberation import ANSWER, outline
from advisor.core.derived import LIBRARIES
from advisor.core.errors import AdvisorError, InputError, nearest
from advisor.core.facts import Answers, Dataset, Facts, Hardware
from advisor.core.flips import FIT_SECONDS, FURTHEST, Chain, flips_of, smallest_pair, with_fact
from advisor.core.interview import headline
from advisor.core.plan import Evidence, Flip, Plan, Strategy
from advisor.core.recommend import recommend
from advisor.core.rules import Rulebook
from advisor.core.value import Value
from advisor.core.vocabulary import fact, vocabulary


def why(plan: Plan, field: str, facts: Facts | None = None, rulebook: Rulebook | None = None) -> str:
    """The reason for one field (or, for a prefix such as ``validation``, for each field below it), as text.

    With `facts` and `rulebook` a field that no near change of one fact would flip is told what a farther one, or the smallest
    pair of changes, would make of it.

    Raises: InputError with the nearest field when the plan has no evidence for it.
    """
    found = [e for e in plan.evidence if e.field == field or e.field.startswith(field + ".")]
    if not found:
        known = list(dict.fromkeys(e.field for e in plan.evidence))
        heads = sorted({k.split(".")[0] for k in known})
        raise InputError(f"the plan has no field {field!r}", where="--why", cure=nearest(field, [*known, *heads]))
    told = [_told(e) for e in found]
    if field == "strategy" and plan.stability is not None:
        told[0] += f"\n  {plan.stability.text}"
    if facts is not None and rulebook is not None and len(found) == 1 and not found[0].flips:
        told[0] += "".join(f"\n  {line}" for lines in farther(found, facts, rulebook).values() for line in lines)
    return "\n\n".join(told)


def farther(entries: Sequence[Evidence], facts: Facts, rulebook: Rulebook) -> dict[str, tuple[str, ...]]:
    """For each field of `entries` that no near change of one fact flips, what a farther one, or the smallest pair of changes, would
    make of it, a sentence each. Arithmetic and the user's own word are left out.

    Takes seconds: every fact is followed a long way.
    """
    if not any(not e.flips and e.rule != ANSWER for e in entries):
        return {}
    chain = Chain(facts, rulebook, FURTHEST)
    still = {e.field: e for e in entries if not e.flips and e.rule != ANSWER and e.field in chain.now.fields}
    alone = flips_of(chain, still) if still else {}
    out = {name: tuple(_flip_line(f) for f in flips[:2]) for name, flips in alone.items()}
    near = Chain(facts, rulebook) if not all(out.values()) else chain
    return {name: told or (_pair_line(near, name),) for name, told in out.items()}


def _pair_line(chain: Chain, name: str) -> str:
    pair = smallest_pair(chain, name)
    if pair is None:
        return "no change of one fact, or of two, would change it"
    return f"{_flip_line(pair[0])}, and {_were(pair[1])}"


def _told(entry: Evidence) -> str:
    lines = [f"{entry.field} = {_show(entry.value)}", f"  {entry.because}", f"  rule    {entry.rule}"]
    known = vocabulary()
    for name, value in entry.facts.items():
        lines.append(f"  fact    {name} = {known[name].show(value) if name in known else _show(value)} ({_measured_by(name)})")
    lines.append(f"  source  {entry.source}")
    return "\n".join([*lines, *(f"  {_flip_line(flip)}" for flip in entry.flips)])


_MEASURED_BY = {
    "hardware": "the probe of the machine",
    "data": "the profile of the data",
    "answers": "your answer or its default",
    "engine": "what is installed",
    "library": "what is installed",
}


def _measured_by(name: str) -> str:
    """Where a fact comes from."""
    about = vocabulary().get(name)
    if about is not None and about.inputs:
        return f"computed from {', '.join(about.inputs)}"
    return _MEASURED_BY.get(name.split(".")[0], "decided earlier in the plan")


def _flip_line(flip: Flip) -> str:
    return f"would be {flip.then} if {_were(flip)}"


def _were(flip: Flip) -> str:
    about = vocabulary().get(flip.fact)
    now, becomes = (about.show(flip.now), about.show(flip.becomes)) if about is not None else (_show(flip.now), _show(flip.becomes))
    return f"{flip.fact} were {becomes} (now {now})"


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_show(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_show, value)) or "none"
    return "none" if value is None else str(value)


def why_not(plan: Plan, strategy: str) -> str:
    """Why `strategy` was not chosen, each failed condition with how far it is from holding.

    Raises: InputError with the nearest name when there is no such strategy.
    """
    if strategy not in tuple(Strategy):
        raise InputError(f"unknown strategy {strategy!r}", where="--why-not", cure=nearest(strategy, list(Strategy)))
    if plan.strategy == strategy:
        return f"{strategy} was chosen.\n\n{why(plan, 'strategy')}"
    for rejected in plan.rejected:
        if rejected.strategy == strategy:
            return "\n".join([f"{strategy} was not chosen (nearest rule: {rejected.rule}):", *(f"  {f}" for f in rejected.failed)])
    return f"{strategy} was not considered: the plan lists no reason."


class Difference(Value):
    """One field that differs between two plans."""

    field: str
    """Path in the plan."""
    now: str
    """What it is."""
    then: str
    """What it would be."""


class PlanDiff(Value):
    """What other facts would change."""

    headline_now: str
    """The plan in a line."""
    headline_then: str
    """The other plan in a line, or why there is none."""
    differences: tuple[Difference, ...]
    """Field by field; empty when nothing changes."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The difference as text."""
        if not self.differences:
            return (f"= {self.headline_now}", "nothing changes") if self.headline_now == self.headline_then else (self.headline_then,)
        out = [f"- {self.headline_now}", f"+ {self.headline_then}"]
        return (*out, *(f"  {d.field}: {d.now} -> {d.then}" for d in self.differences))


def what_if(facts: Facts, rulebook: Rulebook, changes: Mapping[str, Any]) -> PlanDiff:
    """The difference that `changes` (fact to value, such as ``{"answers.budget_seconds": "2 h"}``) would make.

    Values may be text: durations, sizes and choices are read as in rules.

    Raises: InputError for an unknown fact, one that cannot be set, or a value that does not fit; and as `recommend` does
    for the facts as they are.
    """
    now = recommend(facts, rulebook, flips=False)
    try:
        then = recommend(changed(facts, changes, now.family), rulebook, flips=False)
    except InputError:
        raise
    except AdvisorError as error:
        return PlanDiff(headline_now=headline(now), headline_then=f"no plan: {error.what}. {error.cure}", differences=())
    return PlanDiff(headline_now=headline(now), headline_then=headline(then), differences=differences(now, then))


_MODELS: dict[str, type[Value]] = {"hardware": Hardware, "data": Dataset, "answers": Answers}


def changed(facts: Facts, changes: Mapping[str, Any], family: str = "") -> Facts:
    """`facts` with other values, read by the vocabulary; a name without a dot is one of `answers`, else of the data or the machine.

    ``family.fit_seconds`` is what the pilot would measure of `family`.

    Raises: InputError for an unknown fact, one that is computed, or a value that does not fit.
    """
    parts: dict[str, dict[str, Any]] = {}
    fits: list[float] = []
    engines, libraries = set(facts.engines), set(facts.libraries)
    for given, text in changes.items():
        name = given if "." in given else _full(given)
        if name not in vocabulary():
            raise InputError(f"unknown fact {given!r}", where="--what-if", cure=_meant(given, facts))
        about = fact(name)
        prefix, _, field = name.partition(".")
        if prefix == "engine":
            strategy = field.removesuffix(".is_available")
            (engines.add if about.parse(text) else engines.discard)(strategy)
            continue
        if prefix == "library":
            (libraries.add if about.parse(text) else libraries.discard)(field.removesuffix(".is_installed"))
            continue
        if name == FIT_SECONDS and family:
            fits.append(_seconds(text))
            continue
        if prefix not in _MODELS or field not in _MODELS[prefix].model_fields:
            inputs = ", ".join(about.inputs) or "earlier parts of the plan"
            raise InputError(f"{name} is computed and cannot be set", where="--what-if", cure=f"Change what it follows from: {inputs}.")
        try:
            value = None if _may_be_none(prefix, field) and text in (None, "none", "auto") else about.parse(text)
        except ValueError as error:
            raise InputError(str(error).rstrip("."), where=f"--what-if {name}", cure="Write a value that fits.") from error
        parts.setdefault(prefix, {})[field] = value
    updates: dict[str, Any] = {p: _validated(getattr(facts, p), change) for p, change in parts.items()}
    present = {"engines": tuple(s for s in map(str, Strategy) if s in engines), "libraries": tuple(n for n in LIBRARIES if n in libraries)}
    out = facts.model_copy(update={**updates, **present})
    return with_fact(out, FIT_SECONDS, fits[-1], family) if fits else out


def _seconds(text: Any) -> float:
    try:
        value = float(fact(FIT_SECONDS).parse(text))
    except ValueError as error:
        raise InputError(str(error).rstrip("."), where=f"--what-if {FIT_SECONDS}", cure="Write a value that fits.") from error
    if value <= 0:
        raise InputError(f"{FIT_SECONDS} must be greater than 0", where=f"--what-if {FIT_SECONDS}", cure="Write a value that fits.")
    return value


def _meant(given: str, facts: Facts) -> str:
    """What a name that is no fact was meant to be: a fact by its full or its last name, or a hyperparameter."""
    own = facts.objective.space.parameters if facts.objective is not None else {}
    if given in own:
        return f"{given} is a hyperparameter of your objective: hold it with --freeze {given}=VALUE."
    settable = [f"{p}.{f}" for p, model in _MODELS.items() for f in model.model_fields if f"{p}.{f}" in vocabulary()] + [FIT_SECONDS]
    last = given.rsplit(".", 1)[-1]
    starting = [n for n in settable if n.rsplit(".", 1)[-1].startswith(last)]
    if starting:
        return f"Did you mean {starting[0]!r}?"
    by_last = {n.rsplit(".", 1)[-1]: n for n in reversed(settable)}
    close = get_close_matches(last, [*by_last, *own], n=1, cutoff=0.6)
    if close and close[0] in own:
        return f"Did you mean the hyperparameter {close[0]!r}? Hold it with --freeze {close[0]}=VALUE."
    return f"Did you mean {by_last[close[0]]!r}?" if close else nearest(given, settable)


def _validated(model: Value, change: Mapping[str, Any]) -> Value:
    """A copy of `model` with other values, checked as a new one is."""
    values = {n: getattr(model, n) for n in type(model).model_fields}
    try:
        return type(model)(**{**values, **change})
    except ValueError as error:
        raise InputError(f"{', '.join(change)}: {error}", where="--what-if", cure="Write a value that fits.") from error


def _may_be_none(prefix: str, field: str) -> bool:
    return type(None) in get_args(_MODELS[prefix].model_fields[field].annotation)


def _full(name: str) -> str:
    """The dotted name of a fact given by its last part, `answers` first."""
    for prefix in ("answers", "data", "hardware"):
        if name in _MODELS[prefix].model_fields:
            return f"{prefix}.{name}"
    return name


_TOLD_APART = ("evidence", "stability", "rejected", "open", "advice", "rulebook_hash")
"""Parts that differ whenever anything does."""


def differences(now: Plan, then: Plan) -> tuple[Difference, ...]:
    """Every field that differs, by path; reasons and advice are left out."""
    before, after = _flat(now), _flat(then)
    paths = [*before, *(p for p in after if p not in before)]
    return tuple(
        Difference(field=p, now=_show(before.get(p)) if p in before else "absent", then=_show(after.get(p)) if p in after else "absent")
        for p in paths
        if before.get(p) != after.get(p)
    )


def _flat(plan: Plan) -> dict[str, Any]:
    plain = plan.to_mapping()
    for name in (*_TOLD_APART, "hash", "shortlist"):
        plain.pop(name, None)
    plain["shortlist"] = [c.family for c in plan.shortlist]
    plain["stages"] = {s["name"]: {k: s[k] for k in ("strategy", "trials", "seconds")} for s in plain["stages"]}
    plain["starts"] = len(plan.starts)
    out: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, below in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), below)
        else:
            out[prefix] = value

    walk("", plain)
    return out


def strategy_of(facts: Facts, rulebook: Rulebook) -> Strategy:
    """The strategy alone, without evidence; several hundred a second.

    Raises: as `recommend`.
    """
    return outline(facts, rulebook).choice.strategy
