"""The outline of a plan for an objective that is the user's own: no table, no family, no folds; the strategy list is the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from advisor.core.baseline import based
from advisor.core.deliberation import Notes, Outline, StrategyChoice, check_workers, choose_strategy, demanded_strategy, shown
from advisor.core.derived import Situation, situation_of
from advisor.core.errors import InputError, nearest
from advisor.core.facts import Facts, Unknown
from advisor.core.family import Cost, Family, Preprocessing
from advisor.core.metrics import Metric
from advisor.core.objective import OwnObjective
from advisor.core.plan import Budget, Candidate, Validation
from advisor.core.roles import Recognised, RoleStart, recognise, role_starts, scaled
from advisor.core.rules import Rulebook
from advisor.core.space import Choice, Config, Float, Int, SearchSpace
from advisor.core.spaces import hold, space_facts
from advisor.core.value import round_significant

FAMILY = "objective"
"""What a user's own objective is called where a family is named."""
ASSUMED_TRIALS = 40
"""Trials that the budget is taken to hold until the pilot has measured one. [H]"""
STARTS_RATIO = 1 / 3
"""Share of the trials that starts which nobody asked for may take. Source: contract, Starts and roles."""
PILOT_RATIO = 0.5
"""Share of the budget that the pilot may take when a trial turns out dear. [H]"""


def own_outline(facts: Facts, rulebook: Rulebook, *, is_told: bool = True) -> Outline:
    """One pass from the facts about the user's objective to the strategy.

    Raises: InputError for a wrong answer; CannotRunError when a strategy asked for cannot run here.
    """
    own, answers = facts.objective, facts.answers
    assert own is not None
    own = _based(own, facts)
    notes = Notes(passes=("data.", "validation."), is_silent=not is_told)
    _refuse_table_answers(facts)
    found = recognise(own.space, rulebook.roles)
    space = _held(_by_role(own.space, found, rulebook, notes), facts)
    workers, threads = _workers(facts, notes)
    measured = next((m for m in reversed(facts.measured) if m.family == FAMILY), None)
    seconds = answers.budget_seconds
    fit = measured.fit_seconds if measured is not None else round_significant(seconds * workers / ASSUMED_TRIALS / own.folds)
    trial = fit * own.folds
    asked = _starts(own, space)
    family = own_family(own, space)
    situation = situation_of(facts).with_values(_facts_of(own, family, fit, workers))
    situation = situation.with_values(_untold(family) if own.kind == "optuna" and not len(space) else space_facts(space, family))
    validation = Validation(scheme="own", folds=own.folds, heldout_ratio=0.0, seed=answers.seed)
    budget, situation = _budget(facts, trial, len(asked), situation)
    situation = situation.decide(search__trials_at_most=math.inf if answers.trials is None else float(answers.trials))
    trials = int(situation.value("search.trials"))
    budget = budget.model_copy(update={"trials": trials, "trials_cap": answers.trials})
    starts = _with_practice(asked, role_starts(space, found, rulebook.recipes), trials, notes)
    candidate = Candidate(family=FAMILY, space=space, starts=starts, fit_seconds=fit, is_measured=measured is not None)
    metric = Metric(name=own.measurement, title=own.measurement, direction=own.direction, tasks=(), needs="number", scorer="")
    _explain(facts, own, budget, candidate, notes)
    choice = _choice(facts, rulebook, situation, notes)
    return Outline(
        facts=facts,
        data=facts.data,
        target="",
        task=None,
        features=(),
        dropped={},
        metric=metric,
        validation=validation,
        candidates=(candidate,),
        families=(family,),
        workers=workers,
        threads=threads,
        budget=budget,
        trials=trials,
        situation=situation.decide(plan__strategy=choice.strategy),
        choice=choice,
        notes=notes,
        own=own,
    )


def own_family(own: OwnObjective, space: SearchSpace | None = None) -> Family:
    """The page that the rulebook would hold on this objective, were it a family."""
    space = with_defaults(own.space) if space is None else space
    return Family(
        name=FAMILY,
        title=own.name,
        estimators={},
        preprocessing=Preprocessing(numeric="passthrough", category="native"),
        cost=Cost(base_seconds=0.0, scale_seconds=0.0, source="nothing is known of it; the pilot measures"),
        space=space,
        trains_in_steps=own.fidelity is not None,
        is_differentiable=own.kind == "differentiable",
        mutable=own.mutable,
        source="your own space",
    )


def _by_role(given: SearchSpace, found: Mapping[str, Recognised], rulebook: Rulebook, notes: Notes) -> SearchSpace:
    """`given` where what was left open is filled in by what its hyperparameters are for: default, scale of the draws, group."""
    roles = {r.name: r for r in rulebook.roles}
    space = with_defaults(given)
    practice = next(iter(role_starts(space, found, rulebook.recipes)), None)
    logs = scaled(given, found, rulebook.roles)
    for name, parameter in given.items():
        seen = found.get(name)
        changed: dict[str, Any] = {}
        if seen is not None:
            notes.computed(
                f"roles.{name}",
                seen.role,
                f"Told by {seen.because}.",
                facts={"confidence": seen.confidence},
                source=roles[seen.role].source,
            )
            if parameter.group is None:
                changed["group"] = roles[seen.role].group
            if practice is not None and parameter.default is None and name in practice.config:
                changed["default"] = practice.config[name]
                notes.computed(f"space.{name}.default", practice.config[name], f"You gave none; {practice.recipe}.", source=practice.source)
        if name in logs:
            changed["log"] = True
            notes.computed(f"space.{name}.log", True, f"Drawn on a logarithmic scale within your bounds: {logs[name]}.", source=_LOG_SOURCE)
            middle = with_defaults(SearchSpace(parameters={name: parameter.model_copy(update={"log": True})})).parameters[name].default
            changed.setdefault("default", parameter.default if parameter.default is not None else middle)
        if changed:
            space = space.replace(**{name: space.parameters[name].model_copy(update=changed)})
    return space


def _with_practice(asked: tuple[Config, ...], offered: tuple[RoleStart, ...], trials: int, notes: Notes) -> tuple[Config, ...]:
    """What was asked for, then starts of published practice, at most a third of the trials."""
    most = max(1, int(STARTS_RATIO * trials))
    first = asked[:1]
    taken = [o for o in offered if o.config in first][:most]
    further = [o for o in offered if o.config not in asked][: most - len(taken)]
    for number, start in enumerate((*taken, *further)):
        notes.computed(f"starts.practice_{number + 1}", dict(start.config), f"Published practice for {start.recipe}.", source=start.source)
    notes.computed(
        "starts",
        len(asked) + len(further),
        f"The default and your starts ({len(asked)}), then {len(further)} of published practice told by roles, at most a third of all.",
        source="contract: Starts and roles",
    )
    return (*asked, *(o.config for o in further))


_LOG_SOURCE = "Bergstra and Bengio 2012; Deep Learning Tuning Playbook 2023: what is felt in ratios is drawn on a logarithmic scale"


def with_defaults(space: SearchSpace) -> SearchSpace:
    """`space` where every parameter has a default: its own, else the middle of its range on its scale, else its first choice."""
    return SearchSpace(parameters={name: _with_default(p) for name, p in space.items()})


def _with_default(parameter: Float | Int | Choice) -> Float | Int | Choice:
    if isinstance(parameter, Choice):
        if parameter.contains(parameter.default):
            return parameter
        return parameter.model_copy(update={"default": parameter.choices[0]})
    if parameter.default is not None:
        return parameter
    low, high = parameter.low, parameter.high
    middle = math.sqrt(low) * math.sqrt(high) if parameter.log else low + (high - low) / 2
    value = round(middle) if isinstance(parameter, Int) else min(max(middle, low), high)
    return parameter.model_copy(update={"default": value})


def _held(space: SearchSpace, facts: Facts) -> SearchSpace:
    for name, value in facts.answers.freeze.items():
        if name not in space.parameters:
            raise InputError(f"no hyperparameter {name!r} to freeze", where="--freeze", cure=nearest(name, sorted(space.parameters)))
        space = space.replace(**{name: hold(name, space.parameters[name], value)})
    return space


def _starts(own: OwnObjective, space: SearchSpace) -> tuple[Config, ...]:
    """The default, then what the user wants tried first."""
    default = space.default()
    has_default = any(p.default is not None for _, p in own.space.items())
    configs: list[Config] = [default] if has_default or not own.starts else []
    if own.given is not None:
        configs = [dict(own.given)]  # what it stands at is trial 0, also where the space does not hold it
    for number, start in enumerate(own.starts):
        unknown = [n for n in start if n not in space.parameters]
        if unknown:
            raise InputError(
                f"start {number} names {unknown[0]!r}, which is no parameter of the space",
                where="starts",
                cure=nearest(unknown[0], space.parameters),
            )
        config = space.active({**default, **start})
        faults = space.faults(config)
        if faults:
            raise InputError(f"start {number} does not belong to the space: {faults[0]}", where="starts", cure="Move it within the bounds.")
        if config not in configs:
            configs.append(config)
    return tuple(configs)


def _based(own: OwnObjective, facts: Facts) -> OwnObjective:
    """`own` whose defaults are what the user has in production.

    Raises: InputError when it does not belong to the space, or there is none yet.
    """
    config = facts.answers.baseline
    if not config:
        return own
    if not len(own.space):
        raise InputError(
            "a baseline cannot be checked before the objective has told its space",
            where="--baseline",
            cure="Leave it out, or give the space.",
        )
    return own.model_copy(update={"space": based(own.space, config), "given": None})


def _refuse_table_answers(facts: Facts) -> None:
    for name in ("target", "task", "metric", "group", "time", "valid", "test"):
        flag = f"--{name}"
        if getattr(facts.answers, name) is not None:
            raise InputError(
                f"{flag} is about a table, and the objective is your own",
                where=flag,
                cure="Leave it out: the objective validates by itself.",
            )


def _facts_of(own: OwnObjective, family: Family, fit: float, workers: int) -> dict[str, Any]:
    none = {name: Unknown(reason="there is no table: the objective is your own") for name in _TABLE_FACTS}
    return {
        **none,
        "data.bytes": 0,
        "data.spare_rows": math.inf if own.has_third_split else 0.0,
        "validation.splits": own.folds,
        "family.name": FAMILY,
        "family.trains_in_steps": family.trains_in_steps,
        "family.is_own": True,
        "family.is_differentiable": family.is_differentiable,
        "family.is_threaded": False,
        "family.epochs": own.fidelity.high if own.fidelity is not None else 1,
        "family.largest_rows": math.inf,
        "family.estimated_seconds": fit,
        "family.fit_seconds": fit,
        "family.cost_seconds": fit,
        "search.workers": workers,
    }


def _untold(family: Family) -> dict[str, Any]:
    """The facts of a space that the objective tells only as it runs."""
    return {
        name: Unknown(reason="the objective tells its space as it runs; the first trials show it")
        for name in space_facts(SearchSpace(), family)
    }


_TABLE_FACTS = ("data.rows", "data.width", "data.feature_columns", "data.classes", "data.minority_ratio", "data.missing_ratio")


def _workers(facts: Facts, notes: Notes) -> tuple[int, int]:
    machine, answers = facts.hardware, facts.answers
    cpus = machine.cpu_count if not isinstance(machine.cpu_count, Unknown) else 1
    workers = answers.workers or 1
    check_workers(facts, notes)
    if answers.workers is not None:
        notes.answered("envelope.workers", workers, "--workers")
    else:
        notes.computed("envelope.workers", workers, "One trial at a time, until you ask for more: what a trial needs is not known.")
    threads = max(1, cpus // workers)
    notes.computed("envelope.threads_per_worker", threads, "Processors over concurrent trials.", source="knowledge E.3")
    return workers, threads


def _budget(facts: Facts, trial: float, starts: int, situation: Situation) -> tuple[Budget, Situation]:
    """All of the time goes to trials: nothing is confirmed on folds and nothing refitted; the pilot's trials count as the search's."""
    seconds = facts.answers.budget_seconds
    workers = situation.value("search.workers")
    pilot = round(min(PILOT_RATIO * seconds, math.ceil(starts / workers) * trial), 6)
    budget = Budget(
        seconds=seconds,
        startup_seconds=0.0,
        pilot_seconds=pilot,
        search_seconds=round(seconds - pilot, 6),
        confirm_seconds=0.0,
        refit_seconds=0.0,
        trials=0,
    )
    return budget, situation.decide(search__seconds=seconds)


def _choice(facts: Facts, rulebook: Rulebook, situation: Situation, notes: Notes) -> StrategyChoice:
    if facts.answers.strategy == "auto":
        return choose_strategy(rulebook, situation, notes)
    return demanded_strategy(facts.answers.strategy, facts.answers.force, rulebook, situation)


def _explain(facts: Facts, own: OwnObjective, budget: Budget, candidate: Candidate, notes: Notes) -> None:
    answers = facts.answers
    notes.computed("objective", own.name, f"Your own {own.kind}, measured as it says.", source="the call")
    notes.computed("direction", own.direction, "As you said.", source="the call")
    kind = "measured by the pilot" if candidate.is_measured else f"assumed, as if {ASSUMED_TRIALS} trials fitted: the pilot measures it"
    notes.computed(
        "fit_seconds",
        candidate.fit_seconds,
        f"Seconds of {'one full trial' if own.folds == 1 else 'one fit and score'}: {kind}.",
        source="contract: How many trials",
    )
    notes.computed("budget.seconds", budget.seconds, "The time you gave, everything included.", source="the user's answer or its default")
    notes.computed(
        "budget.search_seconds",
        budget.search_seconds,
        "The budget less the pilot: a function of your own is neither confirmed on folds nor refitted.",
        facts={"answers.budget_seconds": shown(answers.budget_seconds)},
        source="contract: How many trials",
    )
    notes.computed(
        "budget.pilot_seconds",
        budget.pilot_seconds,
        "One trial each for the default and your starts; the others wait until it is known what a trial takes.",
        source="contract: Fidelity",
    )
    if answers.trials is not None:
        notes.answered("budget.trials_cap", answers.trials, "max_trials")
    else:
        notes.computed("budget.trials_cap", None, "Time alone limits the trials.")
    notes.computed("validation.scheme", "own", "The objective validates by itself.", source="the call")
    if own.folds > 1:
        notes.computed("validation.folds", own.folds, "Splits that every trial is scored on, made once.", source="the call")
