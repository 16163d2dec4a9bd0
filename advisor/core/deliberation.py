"""One pass over the rules: decides fields in the order in which they depend on each other, and writes down why.

`recommend` turns the result into a plan; flips re-run the pass with one fact changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from advisor.core.baseline import FAMILY as BASELINE_FAMILY
from advisor.core.baseline import baseline_of, with_baseline
from advisor.core.derived import Situation, situation_of
from advisor.core.errors import CannotRunError, InputError, RulebookError, nearest
from advisor.core.facts import Column, ColumnKind, Dataset, Facts, Goal, Task, Unknown
from advisor.core.family import Family
from advisor.core.metrics import Metric, metric
from advisor.core.objective import OwnObjective
from advisor.core.plan import Budget, Candidate, Evidence, OpenQuestion, Strategy, Validation
from advisor.core.predicates import Predicate, Verdict, all_of
from advisor.core.rules import FIELDS, Rule, Rulebook, StrategyEntry
from advisor.core.spaces import candidate_of, space_facts
from advisor.core.value import round_significant

COMPUTED = "computed"
ANSWER = "answer"
SHARE_OF_TRAINING_ROWS = 0.8
"""Share of the development rows that one fit of five folds sees."""
SEARCH_COSTS_MORE = 1.5
"""Configurations of a search cost more than the default. Source: knowledge B.1 [H], until the pilot has measured it."""
FEWEST_ROWS = 20
"""Rows below which no split is worth its name [H]."""
FEWEST_ROWS_OF_A_CLASS = 3
"""Two for two folds and one held out."""


@dataclass(frozen=True)
class Decided:
    """The value of a field, and the rule behind it."""

    value: Any
    rule: Rule | None
    also: tuple[Rule, ...] = ()
    """Further rules that hold and say the same."""


_UNREAD = Evidence(field="", value=None, rule="", because="", facts={}, source="")


@dataclass
class Notes:
    """Evidence and open questions, gathered on the way."""

    evidence: list[Evidence] = field(default_factory=list)
    open: dict[str, tuple[Unknown, list[str]]] = field(default_factory=dict)
    passes: tuple[str, ...] = ()
    """Facts beginning so cannot be known here, and nobody is asked for them."""
    forced: list[str] = field(default_factory=list)
    """Limits of safety that ``--force`` overrode, each with what it says."""
    is_silent: bool = False
    """True where nobody reads the reasons: none is written down."""

    def computed(
        self, name: str, value: Any, because: str, *, facts: Mapping[str, Any] | None = None, source: str = "arithmetic of the plan"
    ) -> None:
        """Enters a field that arithmetic decided; `because` names the formula."""
        if self.is_silent:
            return
        self.evidence.append(Evidence(field=name, value=value, rule=COMPUTED, because=because, facts=dict(facts or {}), source=source))

    def answered(self, name: str, value: Any, flag: str) -> None:
        """Enters a field that the user decided."""
        if self.is_silent:
            return
        self.evidence.append(
            Evidence(field=name, value=value, rule=ANSWER, because=f"You asked for it ({flag}).", facts={}, source="the user's answer")
        )

    def ruled(self, name: str, value: Any, rule: Rule, situation: Situation, also: Sequence[Rule] = ()) -> None:
        """Enters a field that a rule decided, with the facts that it, and the rules that say the same, looked at."""
        if self.is_silent:
            self.evidence = [_UNREAD]
            return
        conditions = [p for r in (rule, *also) for p in r.when]
        seen = {p.fact: situation.value(p.fact) for p in conditions}
        near = dict.fromkeys(p.about.words for p in conditions if p.is_near(seen[p.fact]))
        because = rule.because + (f" Near the threshold: {', '.join(near)}." if near else "")
        self.evidence.append(
            Evidence(
                field=name,
                value=value,
                rule=rule.id,
                because=because,
                facts={k: shown(v) for k, v in seen.items()},
                source=rule.source,
                also=tuple(r.id for r in also),
            )
        )

    def passed_over(self, rule: str, predicates: Sequence[Predicate], situation: Situation) -> None:
        """Enters the facts for want of which a rule was passed over."""
        for predicate in () if self.is_silent else predicates:
            value = situation.value(predicate.fact)
            if isinstance(value, Unknown) and not predicate.fact.startswith(self.passes or ("\0",)):
                self.open.setdefault(predicate.fact, (value, []))[1].append(rule)

    def questions(self) -> tuple[OpenQuestion, ...]:
        """The open questions, by name of the fact."""
        return tuple(
            OpenQuestion(fact=name, reason=unknown.reason, cure=unknown.cure, rules=tuple(dict.fromkeys(rules)))
            for name, (unknown, rules) in sorted(self.open.items())
        )


def shown(value: Any) -> Any:
    """`value` as evidence keeps it: numbers to four significant digits, tuples as lists."""
    if isinstance(value, float) and math.isfinite(value):
        return round_significant(value, 4)
    if isinstance(value, tuple):
        return list(value)
    return value if not isinstance(value, float) else str(value)


def decide(name: str, rulebook: Rulebook, situation: Situation, notes: Notes | None = None, *, is_forced: bool = False) -> Decided:
    """What the rules say of field `name`; value None when no rule speaks. A rule without conditions always holds.

    Raises: RulebookError when two rules that hold disagree.
    """
    holding: list[Rule] = []
    for rule in rulebook.by_field[name]:
        verdict = rule.verdict(situation)
        if verdict is Verdict.HOLDS:
            holding.append(rule)
        elif verdict is Verdict.UNKNOWN and notes is not None:
            notes.passed_over(rule.id, rule.when, situation)
    return combine(name, holding, is_forced=is_forced)


def combine(name: str, holding: Sequence[Rule], *, is_forced: bool = False) -> Decided:
    """What the rules in `holding` say together of field `name`, whatever their order; value None when there are none.

    The user's own rules go before the shipped ones, rules named in the `overrides` of one that holds give way, and a rule
    without conditions speaks where no other does. Of the rest all must agree, or the least counts, as the field has it.
    A limit of safety counts on every level unless it `is_forced`.

    Raises: RulebookError when two rules disagree.
    """
    about = FIELDS[name]
    if about.is_limit and not is_forced:
        said = [combine(name, [r for r in holding if r.level == level], is_forced=True) for level in sorted({r.level for r in holding})]
        return min(said, key=lambda d: d.value, default=Decided(None, None))
    top = max((r.level for r in holding), default=0)
    gone = {o for r in holding for o in r.overrides}
    left = [r for r in holding if r.level == top and r.id not in gone]
    if about.merges == "agree":
        left = [r for r in left if r.when] or left
    if not left:
        return Decided(None, None)
    if about.merges == "least":
        least = min(r.sets[name] for r in left)
        left = [r for r in left if r.sets[name] == least]
    first = left[0]
    for other in left[1:]:
        if other.sets[name] != first.sets[name]:
            raise RulebookError([f"{other.place}: rules {first.id!r} and {other.id!r} both hold and disagree on {name}"])
    return Decided(first.sets[name], first, tuple(left[1:]))


@dataclass(frozen=True)
class StrategyChoice:
    """The strategy, the rule that chose it, and what was forced."""

    strategy: Strategy
    rule: Rule | None
    forced: tuple[str, ...] = ()


def conditions(rule: Rule, entry: StrategyEntry) -> tuple[Predicate, ...]:
    """Everything that must hold for a rule of the strategy list to win."""
    return (*entry.requires, *entry.needs, *rule.when)


def choose_strategy(rulebook: Rulebook, situation: Situation, notes: Notes | None = None) -> StrategyChoice:
    """The first rule of the list that holds.

    Raises: RulebookError when none does, which `advisor rules check` proves impossible for the shipped rules.
    """
    for rule in rulebook.strategy_rules:
        assert rule.recommend is not None
        wanted = conditions(rule, rulebook.strategies[rule.recommend])
        verdict = all_of(wanted, situation)
        if verdict is Verdict.HOLDS:
            return StrategyChoice(rule.recommend, rule)
        if verdict is Verdict.UNKNOWN and notes is not None:
            notes.passed_over(rule.id, wanted, situation)
    raise RulebookError(["strategy.toml: no rule of the list holds; end it with a rule without conditions"])


def demanded_strategy(name: str, force: bool, rulebook: Rulebook, situation: Situation) -> StrategyChoice:
    """The strategy that the user asked for.

    Raises: InputError when it is unknown; CannotRunError when it cannot run here, or is not sensible and not forced.
    """
    if name not in tuple(Strategy):
        raise InputError(f"unknown strategy {name!r}", where="--strategy", cure=nearest(name, [*Strategy, "auto"]))
    entry = rulebook.strategies[Strategy(name)]
    missing = [p.say(situation.value(p.fact)) for p in entry.requires if p.verdict(situation) is not Verdict.HOLDS]
    if missing:
        raise CannotRunError(
            f"{name} cannot run here: {'; '.join(missing)}", where="--strategy", cure="Choose another strategy, or leave it to us."
        )
    unwise = tuple(p.say(situation.value(p.fact)) for p in entry.needs if p.verdict(situation) is not Verdict.HOLDS)
    if unwise and not force:
        raise CannotRunError(
            f"{name} is not advised here: {'; '.join(unwise)}", where="--strategy", cure="Choose another strategy, or add --force."
        )
    return StrategyChoice(Strategy(name), None, tuple(f"{name}: {u}" for u in unwise))


@dataclass
class Outline:
    """Everything decided up to the strategy."""

    facts: Facts
    data: Dataset
    target: str
    task: Task | None
    features: tuple[str, ...]
    dropped: dict[str, str]
    metric: Metric
    validation: Validation
    candidates: tuple[Candidate, ...]
    families: tuple[Family, ...]
    workers: int
    threads: int
    budget: Budget
    trials: int
    situation: Situation
    choice: StrategyChoice
    notes: Notes
    own: OwnObjective | None = None
    """The user's own objective, where it is one."""
    situations: tuple[Situation, ...] = ()
    """What the rules that shape each candidate's space looked at; empty for an own objective, whose space no rule shapes."""


def outline(facts: Facts, rulebook: Rulebook, *, is_told: bool = True) -> Outline:
    """One pass from the facts to the strategy; without reasons, and in less time, where nobody is told.

    Raises: InputError for a wrong answer, CannotRunError when no legal validation or nothing that can run is left.
    """
    if facts.objective is not None:
        from advisor.core.own import own_outline

        return own_outline(facts, rulebook, is_told=is_told)
    notes = Notes(is_silent=not is_told)
    facts, target, task = _resolve(facts, notes)
    data, answers = facts.data, facts.answers
    features, dropped = _features(facts, target, notes)
    situation = situation_of(facts)
    score = _metric(facts, task, rulebook, situation, notes)
    situation = situation.decide(plan__metric_needs=score.needs)
    validation, situation = _validation(facts, rulebook, situation, notes)
    families, validation, situation = _shortlist(facts, task, validation, rulebook, situation, notes)
    frozen = _known_freezes(facts, families)
    measured = {m.family for m in facts.measured}
    situations = tuple(_family_situation(f, facts, validation, situation) for f in families)
    candidates = tuple(
        with_baseline(candidate_of(f, rulebook, seen, frozen, is_measured=f.name in measured), baseline_of(answers, f.name))
        for f, seen in zip(families, situations, strict=True)
    )
    first = situations[0]
    first = first.with_values(space_facts(candidates[0].space, families[0]) | _penalties(facts, candidates[0], families[0]))
    workers, threads, first = _envelope(facts, families[0], rulebook, first, notes)
    budget, first = _budget(facts, candidates[0], validation, rulebook, first, notes)
    cap = _cap(facts, families[0], rulebook, first)
    first = first.decide(search__trials_at_most=math.inf if cap.value is None else float(cap.value))
    trials = int(first.value("search.trials"))
    budget = budget.model_copy(update={"trials": trials, "trials_cap": cap.value})
    if cap.rule is not None:
        notes.ruled("budget.trials_cap", cap.value, cap.rule, first, cap.also)
    elif answers.trials is not None and cap.value == answers.trials:
        notes.answered("budget.trials_cap", cap.value, "--trials")
    else:
        reason = "Beyond this, tuning this family is known not to pay." if cap.value is not None else "Time alone limits the trials."
        notes.computed("budget.trials_cap", cap.value, reason, source=families[0].source)
    if answers.strategy == "auto":
        choice = choose_strategy(rulebook, first, notes)
    else:
        choice = demanded_strategy(answers.strategy, answers.force, rulebook, first)
    first = first.decide(plan__strategy=choice.strategy)
    return Outline(
        facts,
        data,
        target,
        task,
        features,
        dropped,
        score,
        validation,
        candidates,
        families,
        workers,
        threads,
        budget,
        trials,
        first,
        choice,
        notes,
        situations=situations,
    )


def _penalties(facts: Facts, candidate: Candidate, family: Family) -> dict[str, Any]:
    """Where research is the goal, the regularisers of a network are an L2 strength for each input column and each layer."""
    if not family.has_part_penalties or facts.answers.goal is not Goal.RESEARCH:
        return {}
    layers = candidate.space.default().get("layers", 0)
    return {"search.regularisers": facts.data.feature_columns + 2 * int(layers) + 1}


# ------------------------------------------------------------------------------------------------ the parts, in order


def _resolve(facts: Facts, notes: Notes) -> tuple[Facts, str, Task]:
    data, answers = facts.data, facts.answers
    names = [c.name for c in data.columns]
    target = data.target
    if answers.target is not None and answers.target != target:
        if answers.target in names:
            raise InputError(
                f"the facts were gathered for the target {target if isinstance(target, str) else 'unknown'!r}, not for {answers.target!r}",
                where="--target",
                cure="Gather the facts again with this target.",
            )
        raise InputError(
            f"no column {answers.target!r}",
            where="--target",
            cure=nearest(answers.target, [*names, *([target] if isinstance(target, str) else [])]),
        )
    if isinstance(target, Unknown):
        guesses = [c.column for c in data.target_candidates] or names
        raise InputError(
            f"the column to predict is not known: {target.reason}",
            where="--target",
            cure=f"Name it with --target. {nearest('', guesses)}".strip(),
        )
    task = answers.task or data.task
    if isinstance(task, Unknown):
        raise InputError(
            f"it is not known whether {target} is a class or a number: {task.reason}",
            where="--task",
            cure="Say --task binary, multiclass or regression.",
        )
    if answers.target is not None:
        notes.answered("target", target, "--target")
    else:
        notes.computed("target", target, f"The best guess, with confidence {data.target_confidence:.2f}.", source="the profile of the data")
    if answers.task is not None:
        notes.answered("task", task, "--task")
    else:
        notes.computed("task", task, "Read from the values of the target.", source="the profile of the data")
    if task != data.task:
        data = data.model_copy(
            update={"task": task, **({"classes": 0, "rarest_class_rows": 0, "minority_ratio": 0.0} if task is Task.REGRESSION else {})}
        )
    return facts.model_copy(update={"data": data}), target, task


_NO_FEATURE = {ColumnKind.CONSTANT: "it never varies", ColumnKind.IDENTIFIER: "it only names the row"}


def _features(facts: Facts, target: str, notes: Notes) -> tuple[tuple[str, ...], dict[str, str]]:
    data, answers = facts.data, facts.answers
    names = [c.name for c in data.columns]
    roles = {answers.group: "it names the group", answers.time: "it orders the rows in time", answers.weights: "it weighs the rows"}
    for flag, column in (
        ("--group", answers.group),
        ("--time", answers.time),
        ("--weights", answers.weights),
        *(("--drop", d) for d in answers.drop),
    ):
        if column is not None and column not in names:
            what = f"the target {column!r} cannot be used there" if column == target else f"no column {column!r}"
            raise InputError(what, where=flag, cure=nearest(column, names))

    def reason(column: Column) -> str | None:
        if column.name in answers.drop:
            return "you asked for it"
        return roles.get(column.name) or _NO_FEATURE.get(column.kind)

    dropped = {c.name: why for c in data.columns if (why := reason(c)) is not None}
    features = tuple(n for n in names if n not in dropped)
    if not features:
        raise CannotRunError("no column is left to predict from", where=data.source, cure="Drop fewer columns, or add columns that vary.")
    notes.computed("features", len(features), "Every column that is not left out.", source="the profile of the data")
    notes.computed(
        "dropped", dropped, "Constants, identifiers, columns with another role, and those you named.", source="the profile of the data"
    )
    return features, dropped


def _metric(facts: Facts, task: Task, rulebook: Rulebook, situation: Situation, notes: Notes) -> Metric:
    if facts.answers.metric is not None:
        found = metric(facts.answers.metric, task)
        notes.answered("metric", found.name, "--metric")
    else:
        decided = decide("metric", rulebook, situation, notes)
        if decided.rule is None:
            raise RulebookError(["metric.toml: no rule names a metric; add one without conditions"])
        found = metric(decided.value, task)
        notes.ruled("metric", found.name, decided.rule, situation, decided.also)
    notes.computed(
        "direction",
        found.direction,
        f"{found.title}: {'larger' if found.direction == 'maximize' else 'smaller'} is better.",
        source="the metric's definition",
    )
    return found


def _no_validation(what: str, cure: str, facts: Facts) -> CannotRunError:
    return CannotRunError(f"no legal validation: {what}", where=facts.data.source, cure=cure)


def _gate(facts: Facts) -> None:
    data, answers = facts.data, facts.answers
    if data.rows < FEWEST_ROWS:
        raise _no_validation(f"{data.rows} rows with a known target", f"Bring at least {FEWEST_ROWS} rows.", facts)
    if data.task != Task.REGRESSION:
        if data.classes < 2:
            raise _no_validation(
                "the target has one class only", "Bring rows of at least two classes, or name another target with --target.", facts
            )
        if data.rarest_class_rows < FEWEST_ROWS_OF_A_CLASS:
            raise _no_validation(
                f"the rarest class has {data.rarest_class_rows} row(s), so that no split can hold some on every side",
                f"Bring at least {FEWEST_ROWS_OF_A_CLASS} rows of each class, or merge or remove the rarest.",
                facts,
            )
    if answers.group is not None and not isinstance(data.groups, Unknown) and data.groups < FEWEST_ROWS_OF_A_CLASS:
        raise _no_validation(f"the group column has {data.groups} distinct values", "Name a column with at least 3 groups, or none.", facts)


def _check_files(facts: Facts) -> None:
    """Raises: InputError where the facts hold nothing of a file that the answers name, or the other way round, and for a file to
    validate on whose rows come after those kept apart to test on."""
    for name in ("valid", "test"):
        named, found = getattr(facts.answers, name), getattr(facts.data, name)
        if (named is None) != (found is None):
            what = "without that file" if found is None else f"with {found.source}, and the answers name no such file"
            raise InputError(f"the facts were gathered {what}", where=f"--{name}", cure="Gather the facts again, with it or without.")
    if facts.answers.valid is not None and facts.answers.time is not None and facts.answers.test is None:
        raise InputError(
            f"in order of {facts.answers.time} the rows kept apart to test on would be older than those of {facts.answers.valid}",
            where="--valid",
            cure="Name later rows to test on with --test, or leave --valid out: splits are then made in order of time.",
        )


def _validation(facts: Facts, rulebook: Rulebook, situation: Situation, notes: Notes) -> tuple[Validation, Situation]:
    _gate(facts)
    _check_files(facts)
    data, answers = facts.data, facts.answers
    got = {
        n: decide(f"validation.{n}", rulebook, situation, notes) for n in ("scheme", "folds", "repeats", "holdout_ratio", "heldout_ratio")
    }
    for name, decided in got.items():
        if decided.rule is None:
            raise RulebookError([f"validation.toml: no rule sets validation.{name}; add one without conditions"])
        notes.ruled(f"validation.{name}", decided.value, decided.rule, situation, decided.also)
    heldout = float(got["heldout_ratio"].value)
    folds, repeats, scheme = int(got["folds"].value), int(got["repeats"].value), got["scheme"].value
    limits = []
    if data.task != Task.REGRESSION:
        limits.append((max(2, data.rarest_class_rows - math.ceil(data.rarest_class_rows * heldout)), "rows of the rarest class"))
    if answers.group is not None and not isinstance(data.groups, Unknown):
        limits.append((max(2, math.floor(data.groups * (1 - heldout))), "groups"))
    for most, what in limits:
        if folds > most:
            folds = most
            _replace(notes, "validation.folds", folds, f"No more folds than {what} among the development rows: {most}.")
    if scheme == "time" and repeats > 1:
        repeats = 1
        _replace(notes, "validation.repeats", 1, "The order of time allows one sequence of splits only.")
    if folds == 1 and scheme != "given":
        scheme = "holdout"
    validation = Validation(
        scheme=scheme,
        folds=folds,
        repeats=repeats,
        holdout_ratio=float(got["holdout_ratio"].value) if scheme == "holdout" else 0.0,
        heldout_ratio=heldout,
        group=answers.group,
        time=answers.time,
        seed=answers.seed,
    )
    if validation.scheme == "holdout":
        _replace(notes, "validation.scheme", "holdout", "One fold is a holdout.")
    else:
        used = "The file's rows" if scheme == "given" else "Folds"
        _replace(notes, "validation.holdout_ratio", 0.0, f"{used} are used, and no holdout beside them.")
    return validation, _with_validation(situation, validation)


def _with_validation(situation: Situation, validation: Validation) -> Situation:
    return situation.decide(validation__splits=validation.splits)


def _replace(notes: Notes, name: str, value: Any, because: str) -> None:
    """Supersedes the evidence of `name` by arithmetic."""
    notes.evidence = [e for e in notes.evidence if e.field != name]
    notes.computed(name, value, because, source="knowledge A.3 V2, V3; F G3")


def estimated_seconds(family: Family, data: Dataset, validation: Validation, *, is_accelerated: bool = False) -> float:
    """Seconds of one fit on a training fold by the family's cost formula, to two significant digits."""
    share = 1.0 if validation.scheme == "given" else SHARE_OF_TRAINING_ROWS
    rows = int(data.rows * (1 - validation.heldout_ratio) * share)
    width = data.width
    if family.preprocessing.category != "onehot":
        width = min(width, data.feature_columns + 3 * data.date_columns + 20 * data.text_columns)
    return round_significant(family.cost.seconds(rows=rows, width=width, classes=data.classes, is_accelerated=is_accelerated))


def _family_situation(family: Family, facts: Facts, validation: Validation, situation: Situation) -> Situation:
    is_accelerated = family.trains_in_steps and facts.hardware.torch_device in ("cuda", "mps")
    estimate = estimated_seconds(family, facts.data, validation, is_accelerated=is_accelerated)
    measured = next((m for m in reversed(facts.measured) if m.family == family.name), None)
    fit = round_significant(measured.fit_seconds) if measured is not None else estimate
    cost = fit if measured is not None else round_significant(estimate * SEARCH_COSTS_MORE)
    values = {
        "family.name": family.name,
        "family.trains_in_steps": family.trains_in_steps,
        "family.is_own": False,
        "family.is_differentiable": family.is_differentiable,
        "family.is_threaded": family.threads_argument is not None,
        "family.epochs": int(family.fixed.get("epochs", 1)) if family.trains_in_steps else 1,
        "family.largest_rows": float(family.max_rows) if family.max_rows is not None else math.inf,
        "family.estimated_seconds": estimate,
        "family.fit_seconds": fit,
        "family.cost_seconds": cost,
    }
    if measured is not None and not isinstance(measured.parallel_efficiency_ratio, Unknown):
        values["search.efficiency_ratio"] = round_significant(measured.parallel_efficiency_ratio)
    return situation.with_values(values)


def _named_family(name: str, flag: str, facts: Facts, task: Task, rulebook: Rulebook) -> Family:
    """The family that `flag` names.

    Raises: InputError when there is none of that name; CannotRunError when it cannot be trained here on these data.
    """
    family = rulebook.families.get(name)
    if family is None:
        raise InputError(f"unknown model {name!r}", where=flag, cure=nearest(name, [*rulebook.families, "auto"]))
    if task not in family.estimators:
        fitting = [f.name for f in rulebook.families.values() if task in f.estimators]
        raise CannotRunError(f"{family.title} cannot predict a {task} target", where=flag, cure=f"Choose one of: {', '.join(fitting)}.")
    if family.needs_images and facts.data.image_side == 0:
        raise CannotRunError(
            f"{family.title} learns from images only, and the data are none",
            where=flag,
            cure="Name a folder of images, or choose another family.",
        )
    if family.package is not None and family.package not in facts.libraries:
        raise CannotRunError(
            f"{family.title} is not installed",
            where=flag,
            cure=f"Install it with `pip install {family.package}`, or with its kin: `pip install 'tuning-advisor[boost]'`.",
        )
    return family


def _shortlist(
    facts: Facts, task: Task, validation: Validation, rulebook: Rulebook, situation: Situation, notes: Notes
) -> tuple[tuple[Family, ...], Validation, Situation]:
    wanted = facts.answers.model
    share = decide("shortlist.budget_share_ratio", rulebook, situation)
    limit = float(share.value if share.value is not None else 1.0)
    if wanted != "auto":
        family = _named_family(wanted, "--model", facts, task, rulebook)
        validation, situation = _affordable(family, facts, validation, limit, situation, notes)
        notes.answered("shortlist", [family.name], "--model")
        notes.answered("family", family.name, "--model")
        return (family,), validation, situation
    rule = next((r for r in rulebook.shortlist_rules if _first(r, situation, notes)), None)
    if rule is None:
        raise RulebookError(["family.toml: no rule gives a shortlist; end it with a rule without conditions"])
    size = decide("shortlist.size", rulebook, situation, notes)
    boosting = decide("shortlist.boosting", rulebook, situation, notes)
    rival = decide("shortlist.rival", rulebook, situation, notes)

    def fits(family: Family) -> bool:
        return _fits(family, facts, validation, limit, situation)

    names = boosted(
        rule.shortlist, *(d.value for d in (boosting, rival) if d.value in rulebook.families and fits(rulebook.families[d.value]))
    )
    able = [rulebook.families[n] for n in names if task in rulebook.families[n].estimators]
    able = [f for f in able if facts.data.image_side or not f.needs_images]
    able = [f for f in able if f.package is None or f.package in facts.libraries]
    simplest = [f for f in rulebook.families.values() if f.is_linear and task in f.estimators]
    linear = next((f for f in able if f.is_linear), simplest[0] if simplest else None)
    fitting = [f for f in able if f is linear or fits(f)]
    most = int(size.value or len(fitting))
    chosen = fitting[:most]
    if linear is not None and linear not in chosen:
        chosen = [*chosen[: max(1, most - 1)], linear] if most > 1 else [linear]
    if not chosen:
        raise RulebookError([f"{rule.place}: no family of the shortlist can predict a {task} target"])
    brought = facts.answers.baseline.get(BASELINE_FAMILY)
    if brought is not None:  # what is in production is trial 0: its family is raced, and goes first
        own = _named_family(str(brought), "--baseline", facts, task, rulebook)
        chosen = [own, *(f for f in chosen if f is not own)]
    validation, situation = _affordable(chosen[0], facts, validation, limit, situation, notes)
    left_out = [f.name for f in able if f not in chosen]
    notes.ruled("shortlist", [f.name for f in chosen], rule, situation)
    if left_out:
        last = notes.evidence[-1]
        text = f"{last.because} Left out for this budget: {', '.join(left_out)}."
        notes.evidence[-1] = last.model_copy(update={"because": text})
    first = next((d.rule for d in (boosting, rival) if d.rule is not None and d.value == chosen[0].name), rule)
    if brought is not None:
        notes.answered("family", chosen[0].name, "--baseline")
    else:
        notes.ruled("family", chosen[0].name, first, situation)
    return tuple(chosen), validation, situation


BOOSTED = "hist_gradient_boosting"
"""The boosted trees that every shortlist names, since everybody has them."""


def boosted(shortlist: Sequence[str], *chosen: str) -> list[str]:
    """`shortlist` with the families of `chosen` in the place of the boosted trees that everybody has; unchanged without any."""
    return [n for name in shortlist for n in (dict.fromkeys(chosen) if name == BOOSTED and chosen else (name,))]


def _first(rule: Rule, situation: Situation, notes: Notes) -> bool:
    verdict = rule.verdict(situation)
    if verdict is Verdict.UNKNOWN:
        notes.passed_over(rule.id, rule.when, situation)
    return verdict is Verdict.HOLDS


def _fits(family: Family, facts: Facts, validation: Validation, limit: float, situation: Situation) -> bool:
    seen = _family_situation(family, facts, validation, situation)
    return bool(seen.value("family.budget_share_ratio") <= limit and seen.value("family.rows_ratio") <= 1)


def _affordable(
    family: Family, facts: Facts, validation: Validation, limit: float, situation: Situation, notes: Notes
) -> tuple[Validation, Situation]:
    """Fewer splits while one evaluation of the only family takes too much of the budget: 3, then 2, then a holdout (gate G3)."""
    rare = facts.data.task != Task.REGRESSION and facts.data.rarest_class_rows < FEWEST_ROWS
    bound = validation.group is not None or validation.time is not None
    for folds in (validation.folds, 3, 2, 1):
        if _fits_share(family, facts, validation, limit, situation) or folds > validation.folds or (folds == 1 and (rare or bound)):
            continue
        if folds == validation.folds and validation.repeats == 1:
            continue
        changed: dict[str, Any] = {"folds": folds, "repeats": 1}
        if folds == 1:
            changed |= {"scheme": "holdout", "holdout_ratio": 0.2}
        validation = validation.model_copy(update=changed)
        situation = _with_validation(situation, validation)
        because = f"One evaluation of {family.title} on more splits would take more than {limit:.0%} of the budget."
        for name in ("folds", "repeats", *(("scheme", "holdout_ratio") if folds == 1 else ())):
            _replace(notes, f"validation.{name}", getattr(validation, name), because)
    return validation, situation


def _fits_share(family: Family, facts: Facts, validation: Validation, limit: float, situation: Situation) -> bool:
    return bool(_family_situation(family, facts, validation, situation).value("family.budget_share_ratio") <= limit)


def _known_freezes(facts: Facts, families: Sequence[Family]) -> dict[str, Any]:
    known = {n for f in families for n in (*f.space.parameters, *f.fixed)}
    for name in facts.answers.freeze:
        # Once the pilot has measured, only the winner may be left: the name was checked against every candidate before.
        if name not in known and not facts.measured:
            raise InputError(f"no hyperparameter {name!r} to freeze", where="--freeze", cure=nearest(name, sorted(known)))
    return dict(facts.answers.freeze)


WORKER_BYTES = 350e6
"""Memory of a worker that has imported scikit-learn, without data; measured on Linux."""
COPIES = 4
"""Copies of the table that a trial holds at its peak [H]."""


def _envelope(facts: Facts, family: Family, rulebook: Rulebook, situation: Situation, notes: Notes) -> tuple[int, int, Situation]:
    machine, answers = facts.hardware, facts.answers
    cpus = machine.cpu_count if not isinstance(machine.cpu_count, Unknown) else 1
    decided = decide("envelope.threads", rulebook, situation, notes)
    memory = decide("envelope.memory_ratio", rulebook, situation, notes)
    if answers.force and memory.rule is not None:
        wished = decide("envelope.memory_ratio", rulebook, situation, is_forced=True)
        if wished.value != memory.value and wished.rule is not None:
            notes.forced.append(f"envelope.memory_ratio: {wished.value:g} by {wished.rule.id}, {memory.value:g} is safe")
            memory = wished
    room = math.inf
    threads = cpus if decided.value == "all" else 1
    workers, because = max(1, cpus // threads), f"{cpus} processors over {threads} thread(s) a trial"
    if isinstance(machine.cpu_count, Unknown):
        because = "the number of processors is not known, so one"
    if not isinstance(machine.memory_available_bytes, Unknown):
        room = int(float(memory.value or 0.7) * machine.memory_available_bytes // (WORKER_BYTES + COPIES * facts.data.bytes))
        if room < workers:
            workers, because = max(1, room), "as many as fit into the memory"
    elif workers > 1:
        workers, because = 1, "the available memory is not known, so one"
    if family.trains_in_steps and machine.torch_device == "cuda" and not isinstance(machine.gpus, Unknown):
        workers, because = min(workers, max(1, len(machine.gpus))), "one trial an accelerator"
    if answers.workers is not None:
        check_workers(facts, notes)
        if answers.workers > max(1, room):
            _refuse_unforced(f"{answers.workers} workers do not fit into the memory, {room:g} do", max(1, int(room)), facts, notes)
        workers = answers.workers
        threads = max(1, cpus // workers) if decided.value == "all" else 1
        notes.answered("envelope.workers", workers, "--workers")
    else:
        notes.computed(
            "envelope.workers",
            workers,
            f"Concurrent trials: {because}.",
            facts={"hardware.cpu_count": shown(_plain(machine.cpu_count))},
            source="knowledge E.3",
        )
    if decided.rule is not None:
        notes.ruled("envelope.threads_per_worker", threads, decided.rule, situation, decided.also)
    return workers, threads, situation.decide(search__workers=workers)


def _plain(value: Any) -> Any:
    return f"unknown ({value.reason})" if isinstance(value, Unknown) else value


def check_workers(facts: Facts, notes: Notes) -> None:
    """Notes that more workers than processors were forced.

    Raises: CannotRunError when there are more and nothing was forced.
    """
    cpus, workers = facts.hardware.cpu_count, facts.answers.workers
    if workers is not None and not isinstance(cpus, Unknown) and workers > cpus:
        _refuse_unforced(f"{workers} workers on {cpus} processors would slow each other down", cpus, facts, notes)


def _refuse_unforced(what: str, most: int, facts: Facts, notes: Notes) -> None:
    if not facts.answers.force:
        raise CannotRunError(what, where="--workers", cure=f"Ask for at most {most}, or add --force.")
    notes.forced.append(f"envelope.workers: {what}")


READ_BYTES_PER_SECOND = 50e6
"""Reading and typing a table, with profile and copies; measured by the benchmark of profiling [H]."""


def _budget(
    facts: Facts, candidate: Candidate, validation: Validation, rulebook: Rulebook, situation: Situation, notes: Notes
) -> tuple[Budget, Situation]:
    seconds = facts.answers.budget_seconds
    parts = {
        n: decide(f"budget.{n}", rulebook, situation, notes) for n in ("startup_seconds", "pilot_ratio", "confirm_ratio", "refit_ratio")
    }

    def rate(name: str, fallback: float) -> float:
        value = parts[name].value
        return float(value) if value is not None else fallback

    startup = round(min(rate("startup_seconds", 5.0) + facts.data.bytes / READ_BYTES_PER_SECOND, 0.2 * seconds), 3)
    pilot = round(rate("pilot_ratio", 0.15) * seconds, 3)
    evaluation = candidate.fit_seconds * validation.fresh_splits
    confirm = round(min(0.25 * seconds, max(rate("confirm_ratio", 0.12) * seconds, 2 * evaluation)), 3)
    refit = round(min(0.25 * seconds, max(rate("refit_ratio", 0.08) * seconds, 4 * candidate.fit_seconds)), 3)
    search = round(max(0.0, seconds - startup - pilot - confirm - refit), 6)
    for name, value, rule, extra in (
        ("startup_seconds", startup, "startup_seconds", "; plus the table at 50 MB/s, at most a fifth of the budget"),
        ("pilot_seconds", pilot, "pilot_ratio", ""),
        ("confirm_seconds", confirm, "confirm_ratio", "; at least two evaluations, at most a quarter"),
        ("refit_seconds", refit, "refit_ratio", "; at least four fits, at most a quarter"),
    ):
        decided = parts[rule].rule
        if decided is not None:
            notes.ruled(f"budget.{name}", value, decided, situation)
            last = notes.evidence[-1]
            notes.evidence[-1] = last.model_copy(update={"because": last.because.rstrip(".") + extra + "."})
    notes.computed(
        "budget.search_seconds",
        search,
        "The budget less startup, pilot, confirm and refit.",
        facts={"answers.budget_seconds": shown(seconds)},
    )
    notes.computed(
        "budget.seconds", seconds, "The wall-clock time you gave, everything included.", source="the user's answer or its default"
    )
    budget = Budget(
        seconds=seconds,
        startup_seconds=startup,
        pilot_seconds=pilot,
        search_seconds=search,
        confirm_seconds=confirm,
        refit_seconds=refit,
        trials=0,
    )
    return budget, situation.decide(search__seconds=search)


@dataclass(frozen=True)
class _Cap:
    value: int | None
    rule: Rule | None
    also: tuple[Rule, ...] = ()


def _cap(facts: Facts, family: Family, rulebook: Rulebook, situation: Situation) -> _Cap:
    """The least of the rules' cap, the family's and the user's."""
    decided = decide("budget.trials_at_most", rulebook, situation)
    options: list[tuple[float, int, Rule | None]] = []
    if facts.answers.trials is not None:
        options.append((facts.answers.trials, 0, None))
    if decided.value is not None:
        options.append((decided.value, 1, decided.rule))
    if family.trials_at_most is not None:
        options.append((family.trials_at_most, 2, None))
    if not options:
        return _Cap(None, None)
    value, _, rule = min(options, key=lambda o: o[:2])
    return _Cap(int(value), rule, decided.also if rule is decided.rule else ())
