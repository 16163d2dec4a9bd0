"""The shape of the rulebook: rules, strategies, families. Reading files is `advisor.rulebook`'s part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from advisor.core.derived import LIBRARIES
from advisor.core.diagnosis import Diagnosis
from advisor.core.errors import nearest
from advisor.core.family import Family
from advisor.core.lessons import Lesson
from advisor.core.lint import Lint
from advisor.core.metrics import METRICS
from advisor.core.plan import Pruner, Strategy, Validation, canonical
from advisor.core.predicates import Lookup, Predicate, Verdict, all_of
from advisor.core.roles import Recipe, Role
from advisor.core.value import Value, encode


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the plan, or a quantity on the way to it, that rules may set."""

    name: str
    """Path in the plan."""
    kind: Literal["integer", "number", "choice", "flag", "table"]
    """What is set."""
    doc: str
    """Meaning and unit."""
    choices: tuple[str, ...] = ()
    """The values of a `choice`."""
    merges: Literal["agree", "least"] = "agree"
    """How several rules that hold are combined: they must agree, or the least counts."""
    is_limit: bool = False
    """True for a limit of safety: what the shipped rules say counts too, whoever overrides them, unless ``--force`` is given."""

    def fault(self, value: Any) -> str | None:
        """What is wrong with `value` for this field; None when nothing."""
        fits = {
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "number": isinstance(value, int | float) and not isinstance(value, bool),
            "flag": isinstance(value, bool),
            "table": isinstance(value, Mapping),
            "choice": isinstance(value, str),
        }
        if not fits[self.kind]:
            return f"{self.name} needs a {self.kind}, got {value!r}"
        if self.kind == "choice" and value not in self.choices:
            return f"{self.name} has no value {value!r}. {nearest(value, self.choices)}"
        return None


FIELDS: dict[str, Field] = {
    f.name: f
    for f in (
        Field("metric", "choice", "Score to optimise.", choices=tuple(METRICS)),
        Field("validation.scheme", "choice", "Kind of split.", choices=get_args(Validation.model_fields["scheme"].annotation)),
        Field("validation.folds", "integer", "Folds; 1 for a holdout."),
        Field("validation.repeats", "integer", "Repeats with other shuffles."),
        Field("validation.heldout_ratio", "number", "Share of all rows kept apart until the end."),
        Field("validation.holdout_ratio", "number", "Share of the development rows that a holdout scores."),
        Field("budget.startup_seconds", "number", "Seconds to start and to read, on a small table."),
        Field("budget.pilot_ratio", "number", "Share of the budget for the race of families."),
        Field("budget.confirm_ratio", "number", "Share for re-scoring the best few on fresh splits."),
        Field("budget.refit_ratio", "number", "Share for the final fits."),
        Field("budget.trials_at_most", "number", "Cap on trials.", merges="least"),
        Field("shortlist.size", "integer", "Families raced at most.", merges="least"),
        Field("shortlist.boosting", "choice", "Boosted trees of the shortlist.", choices=("hist_gradient_boosting", *LIBRARIES)),
        Field("shortlist.rival", "choice", "Boosted trees that are raced beside them.", choices=tuple(LIBRARIES)),
        Field("shortlist.budget_share_ratio", "number", "Largest share of the budget that one default evaluation may take."),
        Field("envelope.threads", "choice", "Whether one trial uses one thread or all.", choices=("one", "all")),
        Field(
            "envelope.memory_ratio",
            "number",
            "Share of the available memory that all trials may use.",
            merges="least",
            is_limit=True,
        ),
        Field("pruner.name", "choice", "What stops a trial early.", choices=get_args(Pruner.model_fields["name"].annotation)),
        Field("pruner.resource", "choice", "What a step is.", choices=get_args(Pruner.model_fields["resource"].annotation)),
        Field("pruner.settings", "table", "Arguments of the pruner."),
        Field("sampler.constant_liar", "flag", "Running trials count as bad until they end."),
        Field("sampler.group", "flag", "Conditional parts of the space are modelled apart."),
        Field("sampler.cost_cooling", "flag", "Expected gain is weighed by predicted time, the less the more of the budget is used."),
        Field("sampler.n_startup_trials", "integer", "Finished trials, starts among them, before the model proposes."),
    )
}
"""Every field that rules may set, by name."""


@dataclass(frozen=True, slots=True)
class Example:
    """A case with the verdict the rule must give."""

    given: Mapping[str, Any]
    """Facts; all others are unknown."""
    verdict: Verdict
    """What the conditions must say."""
    gives: Mapping[str, Any] | None = None
    """What the rule must then say: the fields it sets, the strategy, the shortlist, or the parts of a hyperparameter; None: not told."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound that follows a fact: ``value · times``, kept within `at_least` and `at_most`."""

    fact: str
    """The fact it follows; a number."""
    times: float = 1.0
    """Factor."""
    at_least: float | None = None
    """Floor."""
    at_most: float | None = None
    """Ceiling."""
    power_of_two: bool = False
    """Rounded to the nearest power of two before the floor and the ceiling."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """How a hyperparameter of one family changes while a rule holds."""

    family: str
    """The family."""
    parameter: str
    """A hyperparameter of its space, or one of its fixed constructor arguments."""
    low: float | Bound | None = None
    """New lower bound; several rules intersect."""
    high: float | Bound | None = None
    """New upper bound; several rules intersect."""
    fix: Any = None
    """Value of a fixed constructor argument: a plain value or a `Bound`."""
    default: Any = None
    """New default."""
    unit: Bound | None = None
    """The numbers of the family's file (bounds, default, starts) are multiples of this."""
    freeze: bool = False
    """Hold it at its default."""


class Measured(Value):
    """What a rule was measured to do: the same advisor with it, less the same without it, on tuning problems."""

    effect: float
    """Mean change of `measure` that the rule makes; below 0 it helps where less is better."""
    interval: tuple[float, float]
    """Bounds of the 95 % confidence interval of `effect`."""
    tasks: int
    """Tuning problems it was measured on."""
    measure: str = "mean normalised regret"
    """What changed."""
    command: str
    """Command that measures it again."""
    date: str
    """Day of the measurement, ``2026-11-24``."""
    versions: str
    """Versions it was measured with."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: while every condition holds, its effect is in force."""

    id: str
    """Unique in the rulebook."""
    place: str
    """File and line."""
    when: tuple[Predicate, ...]
    """Conditions, all of which must hold; empty for the rule that holds where no other does."""
    because: str
    """The reason in one sentence."""
    source: str
    """Where the knowledge comes from."""
    examples: tuple[Example, ...] = ()
    """Cases with their verdict."""
    overrides: tuple[str, ...] = ()
    """Rules that give way while this one holds."""
    recommend: Strategy | None = None
    """Strategy list: the strategy."""
    shortlist: tuple[str, ...] = ()
    """Shortlist: families, best guess first."""
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the plan."""
    advise: str = ""
    """Tip for the human."""
    adjust: Adjustment | None = None
    """Change of a family's space."""
    evidence: Measured | None = None
    """What it was measured to do; None: not measured."""
    level: int = 0
    """0 for a rule that ships with the advisor, higher for the user's own: rules of a higher level that hold go first."""
    table: Mapping[str, Any] = field(default_factory=dict)
    """The rule as written, for its hash."""

    def verdict(self, lookup: Lookup) -> Verdict:
        """holds, fails or unknown."""
        return all_of(self.when, lookup)


@dataclass(frozen=True, slots=True)
class StrategyEntry:
    """What the rulebook says of one strategy, whoever recommends it."""

    strategy: Strategy
    """The strategy."""
    engine: str
    """Library class that is executed."""
    requires: tuple[Predicate, ...]
    """Without these it cannot run at all; nothing overrides them."""
    needs: tuple[Predicate, ...]
    """Without these it is not sensible; ``--force`` overrides them."""
    settings: Mapping[str, Any]
    """Arguments of its sampler, all explicit."""
    because: str
    """What it is right for."""
    source: str
    """Where the knowledge comes from."""
    place: str
    """File and line."""
    examples: tuple[Example, ...] = ()
    """Cases with the verdict of all that it requires and needs."""
    table: Mapping[str, Any] = field(default_factory=dict)
    """The entry as written, for its hash."""


@dataclass(frozen=True)
class Rulebook:
    """Every rule in force, in a fixed order."""

    strategies: Mapping[Strategy, StrategyEntry]
    """One entry a strategy."""
    strategy_rules: tuple[Rule, ...]
    """The strategy list: the first that holds wins."""
    shortlist_rules: tuple[Rule, ...]
    """The list of family shortlists: the first that holds wins."""
    field_rules: tuple[Rule, ...]
    """Rules that set fields; order means nothing."""
    tips: tuple[Rule, ...]
    """Every tip that holds is given."""
    adjustments: tuple[Rule, ...]
    """Changes of families' spaces."""
    families: Mapping[str, Family]
    """Families by name."""
    family_sources: Mapping[str, str] = field(default_factory=dict)
    """File of each family."""
    roles: tuple[Role, ...] = ()
    """What hyperparameters are for, and how that is told."""
    recipes: tuple[Recipe, ...] = ()
    """Starts of published practice by role, in order."""
    lints: tuple[Lint, ...] = ()
    """What the linter of spaces looks for."""
    lessons: tuple[Lesson, ...] = ()
    """What hyperparameters do when they are too small or too large."""
    diagnoses: tuple[Diagnosis, ...] = ()
    """What is looked for in learning curves and finished trials; no plan depends on them."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule of every kind."""
        return (*self.strategy_rules, *self.shortlist_rules, *self.field_rules, *self.tips, *self.adjustments)

    def rule(self, name: str) -> Rule | None:
        """The rule called `name`, None when there is none."""
        return self._by_id.get(name)

    @cached_property
    def _by_id(self) -> dict[str, Rule]:
        return {r.id: r for r in self.rules}

    @cached_property
    def by_field(self) -> dict[str, tuple[Rule, ...]]:
        """Field to the rules that set it."""
        return {name: tuple(r for r in self.field_rules if name in r.sets) for name in FIELDS}

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the canonical content of every rule, strategy and family in force.

        Comments and layout do not count, nor do examples and what a rule was measured to do: they change no plan.
        """
        content = {
            "rules": [encode({k: v for k, v in r.table.items() if k not in ("evidence", "example")}) for r in self.rules],
            "strategies": [encode({k: v for k, v in s.table.items() if k != "example"}) for s in self.strategies.values()],
            "families": [f.model_dump(mode="json") for f in self.families.values()],
            "roles": [encode(r.model_dump()) for r in self.roles],
            "recipes": [encode(r.model_dump()) for r in self.recipes],
            "lints": [encode(x.model_dump(mode="json", exclude={"place", "example"})) for x in self.lints],
            "priorities": {x.name: encode(x.priority) for x in self.lessons},  # of a lesson, all that a plan depends on
        }
        return hashlib.sha256(canonical(content).encode()).hexdigest()
