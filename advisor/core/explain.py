"""Why a plan is as it is, why not otherwise, and what would change it: text from the evidence a plan carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from advisor.core.deliberation import outline
from advisor.core.derived import LIBRARIES
from advisor.core.errors import AdvisorError, InputError, nearest
from advisor.core.facts import Answers, Dataset, Facts, Hardware
from advisor.core.interview import headline
from advisor.core.plan import Evidence, Plan, Strategy
from advisor.core.recommend import recommend
from advisor.core.rules import Rulebook
from advisor.core.value import Value
from advisor.core.vocabulary import fact, vocabulary


def why(plan: Plan, field: str) -> str:
    """The reason for one field (or, for a prefix such as ``validation``, for each field below it), as text.

    Raises: InputError with the nearest field when the plan has no evidence for it.
    """
    found = [e for e in plan.evidence if e.field == field or e.field.startswith(field + ".")]
    if not found:
        known = list(dict.fromkeys(e.field for e in plan.evidence))
        heads = sorted({k.split(".")[0] for k in known})
        raise InputError(f"the plan has no field {field!r}", where="--why", cure=nearest(field, [*known, *heads]))
    return "\n\n".join(_told(e) for e in found)


def _told(entry: Evidence) -> str:
    lines = [f"{entry.field} = {_show(entry.value)}", f"  {entry.because}", f"  rule    {entry.rule}"]
    known = vocabulary()
    for name, value in entry.facts.items():
        lines.append(f"  fact    {name} = {known[name].show(value) if name in known else _show(value)}")
    lines.append(f"  source  {entry.source}")
    for flip in entry.flips:
        about = known.get(flip.fact)
        now, becomes = (about.show(flip.now), about.show(flip.becomes)) if about is not None else (_show(flip.now), _show(flip.becomes))
        lines.append(f"  would be {flip.then} if {flip.fact} were {becomes} (now {now})")
    return "\n".join(lines)


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
    now = recommend(facts, rulebook)
    try:
        then = recommend(changed(facts, changes), rulebook)
    except InputError:
        raise
    except AdvisorError as error:
        return PlanDiff(headline_now=headline(now), headline_then=f"no plan: {error.what}. {error.cure}", differences=())
    return PlanDiff(headline_now=headline(now), headline_then=headline(then), differences=differences(now, then))


_MODELS: dict[str, type[Value]] = {"hardware": Hardware, "data": Dataset, "answers": Answers}


def changed(facts: Facts, changes: Mapping[str, Any]) -> Facts:
    """`facts` with other values, read by the vocabulary; a name without a dot is one of `answers`.

    Raises: InputError for an unknown fact, one that is computed, or a value that does not fit.
    """
    parts: dict[str, dict[str, Any]] = {}
    engines, libraries = set(facts.engines), set(facts.libraries)
    for given, text in changes.items():
        name = given if "." in given else _full(given)
        about = fact(name)
        prefix, _, field = name.partition(".")
        if prefix == "engine":
            strategy = field.removesuffix(".is_available")
            (engines.add if about.parse(text) else engines.discard)(strategy)
            continue
        if prefix == "library":
            (libraries.add if about.parse(text) else libraries.discard)(field.removesuffix(".is_installed"))
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
    return facts.model_copy(update={**updates, **present})


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


_TOLD_APART = ("evidence", "rejected", "open", "advice", "rulebook_hash")
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
