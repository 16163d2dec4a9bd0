"""Which facts decide a plan: those that rules name, those that derived facts are computed from, and those that arithmetic reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from advisor.core.deliberation import conditions
from advisor.core.derived import DECIDED
from advisor.core.predicates import Predicate
from advisor.core.rules import Bound, Rulebook
from advisor.core.vocabulary import vocabulary

ARITHMETIC: dict[str, str] = {
    "hardware.cpu_count": "concurrent trials and threads",
    "hardware.memory_available_bytes": "concurrent trials, and the memory of each",
    "hardware.gpus": "one trial an accelerator",
    "hardware.torch_device": "where networks train, and how fast",
    "data.rows": "fits whose time is estimated, and whether a split is possible",
    "data.columns": "which columns are features",
    "data.bytes": "time to read, and the memory of a trial",
    "data.target": "what is predicted",
    "data.task": "families that can do it, metrics that fit",
    "data.classes": "fits whose time is estimated",
    "data.rarest_class_rows": "no more folds than rows of the rarest class",
    "data.groups": "no more folds than groups",
    "data.feature_columns": "fits whose time is estimated",
    "data.text_columns": "fits whose time is estimated",
    "data.date_columns": "fits whose time is estimated",
    "data.width": "fits whose time is estimated",
    "data.image_side": "families that learn from images",
    "data.leaks": "advice to leave a column out",
    "data.group_candidates": "advice to name a group column",
    "data.time_candidates": "advice to name a time column",
    "family.rows_ratio": "families too slow for so many rows are left out",
    "family.budget_share_ratio": "families too dear for the budget are left out, and splits saved",
    "answers.target": "what is predicted",
    "answers.task": "the kind of prediction",
    "answers.metric": "the metric",
    "answers.goal": "the penalties of a network's parts, where the goal is research",
    "answers.budget_seconds": "the parts of the budget",
    "answers.trials": "the cap on trials",
    "answers.model": "the family",
    "answers.strategy": "the strategy",
    "answers.group": "the splits",
    "answers.time": "the splits",
    "answers.weights": "the weights of the rows",
    "answers.drop": "which columns are features",
    "answers.freeze": "what is not searched",
    "answers.baseline": "trial 0, and the family that goes first",
    "answers.cluster": "what executes the strategy",
    "answers.workers": "concurrent trials",
    "answers.seed": "every random choice",
    "answers.force": "whether advice and limits of safety hold",
}
"""Facts that the arithmetic of a plan reads besides its rules, and what for. A test changes each and sees another plan."""

CARRIED: dict[str, str] = {
    "data.source": "the plan's name of the data",
    "data.fingerprint": "the plan's proof of the data",
    "data.target_confidence": "the reason given for the target",
    "data.effective_dimensions": "what a profile shows",
    "data.numeric_columns": "the pictures of the data, and what a profile shows",
    "data.target_candidates": "the question for the target",
    "data.is_sorted_by_time": "the question for the time column",
    "data.is_sorted_by_target": "a warning of the profile",
    "data.image_height": "the shape of what a network takes",
    "data.image_width": "the shape of what a network takes",
    "data.image_source": "how images are read",
    "data.warnings": "what a profile shows",
    "hardware.cpu_model": "what a probe shows",
    "hardware.instruction_sets": "what a probe shows",
    "hardware.memory_total_bytes": "what a probe shows",
    "hardware.disk_free_bytes": "what a probe shows",
    "hardware.blas_threads": "what a probe shows",
    "hardware.platform": "what a probe shows",
    "hardware.is_container": "what a probe shows",
    "answers.command": "how an objective of the user's own is made",
    "answers.space": "how an objective of the user's own is made",
    "answers.fidelity": "how an objective of the user's own is made",
    "answers.direction": "how an objective of the user's own is made",
}
"""Facts that decide nothing in a plan: they are shown, or say how the data or the objective are read."""

_LATER = ("plan.metric_needs", "validation.", "family.", "search.", "plan.strategy")
"""Facts that a plan decides on its way, in that order."""


def compared(rulebook: Rulebook) -> tuple[Predicate, ...]:
    """Every condition of the rulebook once, those on facts known earliest first."""
    rules = [p for r in rulebook.rules if r.recommend is None for p in r.when]
    strategies = [p for r in rulebook.strategy_rules if r.recommend for p in conditions(r, rulebook.strategies[r.recommend])]
    entries = [p for e in rulebook.strategies.values() for p in (*e.requires, *e.needs)]
    return tuple(sorted(dict.fromkeys([*rules, *strategies, *entries]), key=lambda p: depth(p.fact)))


def conditions_that_count(rulebook: Rulebook) -> Iterator[tuple[tuple[Predicate, ...], str]]:
    """The conditions of each rule that decides a field, and the family whose space it shapes (empty for the others); no tips."""
    for rule in (*rulebook.shortlist_rules, *rulebook.field_rules, *rulebook.adjustments):
        yield rule.when, rule.adjust.family if rule.adjust is not None else ""
    for rule in rulebook.strategy_rules:
        if rule.recommend is not None:
            yield conditions(rule, rulebook.strategies[rule.recommend]), ""
    for entry in rulebook.strategies.values():
        yield (*entry.requires, *entry.needs), ""


@cache
def depth(name: str) -> int:
    """How late in a plan the fact `name` is known: 0 for what the facts say or arithmetic on it alone."""
    inputs = vocabulary()[name].inputs if name in vocabulary() else ()
    own = next((i + 1 for i, start in enumerate(_LATER) if name.startswith(start)), 0)
    return max([own, *map(depth, inputs)])


def used(rulebook: Rulebook) -> frozenset[str]:
    """Every fact that decides something: named by a condition or a bound, read by arithmetic, or an input of such a one."""
    bounds = [
        b.fact
        for r in rulebook.adjustments
        if r.adjust is not None
        for b in (r.adjust.low, r.adjust.high, r.adjust.unit, r.adjust.fix)
        if isinstance(b, Bound)
    ]
    return _with_inputs([*(p.fact for p in compared(rulebook)), *bounds, *ARITHMETIC])


def unused(rulebook: Rulebook) -> tuple[str, ...]:
    """Facts of the vocabulary that decide nothing, and are not kept for another purpose that `CARRIED` names."""
    steps = {f.name for f in DECIDED}
    seen = used(rulebook) | _with_inputs(steps & used(rulebook))
    return tuple(n for n in vocabulary() if n not in seen and n not in CARRIED and not n.startswith("engine."))


def _with_inputs(names: Iterable[str]) -> frozenset[str]:
    known, out, todo = vocabulary(), set(), list(names)
    while todo:
        name = todo.pop()
        if name not in out:
            out.add(name)
            todo += known[name].inputs if name in known else ()
    return frozenset(out)
