"""The report's answer to *why this plan*: rules with the facts they saw, sources, what was decided against, and what the pilot changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advisor.core.plan import Evidence, Plan
from advisor.core.vocabulary import vocabulary
from advisor.report.charts import Table
from advisor.report.html_told import Section, Told
from advisor.report.html_words import sentence
from advisor.report.wording import duration, setting

FIRST = (
    "strategy",
    "family",
    "metric",
    "validation.scheme",
    "validation.folds",
    "validation.heldout_ratio",
    "pruner.name",
    "budget.trials",
    "envelope.workers",
)
"""Fields whose reasons everybody asks for; the others are folded away."""
MOST_REASONS = 250
STRATEGY_TITLES = {
    "grid": "a grid",
    "random": "random search",
    "qmc": "a quasi-random sequence",
    "tpe": "a model of good and bad regions (TPE)",
    "gp": "a Gaussian process",
    "cmaes": "an evolution strategy (CMA-ES)",
    "halving": "successive halving",
    "asha": "asynchronous halving (ASHA)",
    "hyperband": "Hyperband",
    "pbt": "population-based training",
    "hypergradient": "gradients of the validation loss",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one field is as it is."""

    field: str
    value: str
    because: str
    rule: str
    facts: tuple[str, ...]
    source: str
    flips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reasons:
    """A block of reasons; folded: behind its title."""

    title: str
    entries: tuple[Reason, ...]
    is_folded: bool = False
    kind: str = "reasons"


def why_section(told: Told) -> Section:
    """Rules, facts with values, sources, alternatives, and how the plan was revised."""
    plan, first = told.plan, told.first_plan
    # the pilot settles the family, and the plan is then made anew as if it had been asked for: the reason is the first plan's
    chosen = [e for e in first.evidence if e.field == "family"] if first.family == plan.family else []
    evidence = [*chosen, *(e for e in plan.evidence if e.field != "family" or not chosen)]
    named = [e for f in FIRST for e in evidence if e.field == f]
    rest = [e for e in plan.evidence if e.field not in FIRST]
    blocks: list[Any] = [Reasons("", tuple(_reason(e, told) for e in named))]
    if rest:
        few = f", the first {MOST_REASONS}" if len(rest) > MOST_REASONS else ""
        title = f"Every other field of the plan ({len(rest)}{few})"
        blocks.append(Reasons(title, tuple(_reason(e, told) for e in rest[:MOST_REASONS]), is_folded=True))
    blocks.append(_stages(plan))
    blocks += [b for b in (_rejected(plan, told), _revisions(told), _open(plan, told)) if b is not None]
    return Section("why", "Why this plan", [_summary(plan, told)], [], blocks)


def _summary(plan: Plan, told: Told) -> str:
    count = len(told.first_plan.shortlist)
    raced = f"{count} model families were raced; " if count > 1 else ""
    rule = "" if plan.pruner.name == "none" else f" by the {plan.pruner.name.replace('_', ' ')} rule"
    pruner = f"weak trials were stopped early{rule}" if rule or told.outcome.counts["pruned"] else "every trial ran in full"
    forced = f" You overrode advice with --force: {told.clean('; '.join(plan.forced))}." if plan.forced else ""
    how = {"default": "only the default was fitted", "portfolio": "known-good configurations were tried"}.get(
        plan.strategy, f"{STRATEGY_TITLES.get(plan.strategy, plan.strategy)} chose what to try"
    )
    return f"{sentence(f'{raced}{how}; {pruner}')}{forced}"


def _reason(entry: Evidence, told: Told) -> Reason:
    known = vocabulary()

    def value_of(name: str, value: Any) -> str:
        about = known.get(name)
        return told.clean(about.show(value) if about is not None else _plain(value), 120)

    flips = tuple(
        f"would be {told.clean(f.then, 80)} if {f.fact} were {value_of(f.fact, f.becomes)} (now {value_of(f.fact, f.now)})"
        for f in entry.flips[:2]
    )
    return Reason(
        field=told.clean(entry.field, 120),
        value=told.clean(_plain(entry.value), 160),
        because=told.clean(entry.because),
        rule=told.clean(entry.rule, 120),
        facts=tuple(f"{told.clean(n, 80)} = {value_of(n, v)}" for n, v in entry.facts.items()),
        source=told.clean(entry.source),
        flips=flips,
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        if value.keys() == {"none"}:
            return "none"
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    return setting(value)


def _stages(plan: Plan) -> Table:
    rows = tuple((s.name, str(s.strategy), f"{s.trials:,}", duration(s.seconds), s.engine) for s in plan.stages)
    return Table(("stage", "strategy", "trials planned", "time", "carried out by"), rows, right=(2, 3))


def _rejected(plan: Plan, told: Told) -> Table | None:
    if not plan.rejected:
        return None
    rows = tuple((str(r.strategy), told.clean("; ".join(r.failed)), told.clean(r.rule, 80)) for r in plan.rejected)
    return Table(("not chosen", "why not", "nearest rule"), rows)


def _revisions(told: Told) -> Table | None:
    if not told.state.revisions:
        return None
    rows = tuple(
        (duration(r.elapsed), told.clean(r.reason), told.clean("; ".join(r.changes), 600) or "nothing but the forecast")
        for r in told.state.revisions[:40]
    )
    return Table(("after", "what was measured", "what it changed in the plan"), rows, right=(0,))


def _open(plan: Plan, told: Told) -> Table | None:
    if not plan.open:
        return None
    rows = tuple((told.clean(q.fact, 80), told.clean(q.reason), told.clean(q.cure)) for q in plan.open)
    return Table(("not known", "because", "to make it known"), rows, note="Each of these could still have changed the plan.")
