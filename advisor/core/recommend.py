"""From facts to a plan: `recommend` is pure, touches nothing, and gives the same plan for the same facts, byte for byte."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from advisor.core.baseline import baseline_of
from advisor.core.deliberation import Outline, conditions, decide, outline, shown
from advisor.core.errors import RulebookError
from advisor.core.facts import Facts, Unknown
from advisor.core.flips import Chain, flips_of, parts_of, stability_of
from advisor.core.lint_advice import space_advice
from advisor.core.plan import (
    Advice,
    Envelope,
    Evidence,
    Forecast,
    Plan,
    Pruner,
    Rejected,
    Stage,
    Strategy,
)
from advisor.core.predicates import Verdict
from advisor.core.rules import Rule, Rulebook, StrategyEntry
from advisor.core.space import Choice, Group
from advisor.core.spaces import Revised, adjusting, revisions
from advisor.core.value import encode, round_significant

GRID_MOST_LEVELS = 7
"""Levels a coarse grid takes of one dimension at most. Source: knowledge A.1 GRID."""
SPREAD_ESTIMATED, SPREAD_MEASURED = 2.0, 1.3
"""P90 over P50 of what is left, before and after the pilot has measured a fit [H]; scored by the report."""
GROUPED_FROM = 45
"""Trials from which on a network is tuned in groups: fifteen a group. [H]"""
CONFIRMED = 6
"""Default and the best five. Source: knowledge A.3 V9."""


def recommend(facts: Facts, rulebook: Rulebook, *, flips: bool = True) -> Plan:
    """The plan for `facts` under `rulebook`. Pure: no file, clock, environment or chance is touched.

    Without `flips` the evidence does not tell what would change a field, which takes nine tenths of the time.

    Raises: InputError when the target or an answer is missing or wrong; CannotRunError when there is no legal validation,
    or a strategy, family or number of workers asked for cannot be had here; RulebookError when the rules contradict
    each other.
    """
    o = outline(facts, rulebook)
    notes, situation = o.notes, o.situation
    pruner = _pruner(o, rulebook)
    sampler = _sampler(o, rulebook)
    envelope = _envelope(o)
    stages = _stages(o, rulebook)
    forecast = _forecast(o, stages)
    _explain_candidates(o, rulebook)
    _explain_strategy(o, rulebook)
    _explain_rest(o, stages, forecast)
    budget = o.budget
    notes.computed(
        "budget.trials",
        o.trials,
        "floor(search seconds · workers · efficiency / (splits · cost)), within the caps.",
        facts={
            n: shown(situation.value(n)) for n in ("search.seconds", "search.workers", "search.efficiency_ratio", "search.trial_seconds")
        },
        source="contract: How many trials",
    )
    chain = Chain(facts, rulebook) if flips else None
    evidence = _with_flips(notes.evidence, chain) if chain is not None else tuple(notes.evidence)
    return Plan(
        data=o.data.source if o.own is None else o.own.name,
        data_fingerprint=o.data.fingerprint,
        target=o.target,
        task=o.task,
        features=o.features,
        dropped=o.dropped,
        metric=o.metric.name,
        direction=o.metric.direction,
        strategy=o.choice.strategy,
        family=o.candidates[0].family,
        shortlist=o.candidates,
        stages=stages,
        validation=o.validation,
        pruner=pruner,
        budget=budget,
        envelope=envelope,
        forecast=forecast,
        sampler=sampler,
        weights=facts.answers.weights,
        valid=o.data.valid,
        test=o.data.test,
        seed=facts.answers.seed,
        forced=(*o.choice.forced, *notes.forced),
        advice=_advice(o, rulebook),
        evidence=evidence,
        stability=stability_of(chain) if chain is not None else None,
        rejected=_rejected(o, rulebook),
        open=notes.questions(),
        rulebook_hash=rulebook.hash,
    )


def _pruner(o: Outline, rulebook: Rulebook) -> Pruner:
    got = {}
    for name in ("name", "resource", "settings"):
        decided = decide(f"pruner.{name}", rulebook, o.situation, o.notes)
        if decided.rule is None:
            raise RulebookError([f"pruner.toml: no rule sets pruner.{name}; add one without conditions"])
        o.notes.ruled(f"pruner.{name}", encode(decided.value), decided.rule, o.situation, decided.also)
        got[name] = decided.value
    return Pruner(**got)


def _sampler(o: Outline, rulebook: Rulebook) -> dict[str, Any]:
    entry = rulebook.strategies[o.choice.strategy]
    settings = dict(entry.settings)
    for name in settings:
        path = f"sampler.{name}"
        decided = decide(path, rulebook, o.situation, o.notes) if path in rulebook.by_field else None
        if decided is not None and decided.rule is not None:
            settings[name] = decided.value
            o.notes.ruled(path, decided.value, decided.rule, o.situation, decided.also)
        else:
            o.notes.evidence.append(
                Evidence(
                    field=path, value=encode(settings[name]), rule=o.choice.strategy, because=entry.because, facts={}, source=entry.source
                )
            )
    return settings


def _envelope(o: Outline) -> Envelope:
    machine, first = o.facts.hardware, o.candidates[0]
    available = machine.memory_available_bytes
    share = available if isinstance(available, Unknown) else int(0.9 * available / o.workers)
    evaluation = o.situation.value("search.trial_seconds")
    factor, part = (5, 0.1) if first.is_measured else (10, 0.2)
    budget = o.budget
    if o.own is not None and not first.is_measured:
        part = 1.0  # nothing is known of a trial of the user's before one was measured
    longest = round(max(factor * evaluation, part * budget.seconds), 3)
    trial_seconds = min(longest, budget.seconds if o.own is not None else max(budget.search_seconds, budget.pilot_seconds))
    network = o.families[0].trains_in_steps
    device = machine.torch_device if network and not isinstance(machine.torch_device, Unknown) else "cpu"
    batch = first.fixed.get("batch_size") if network else None
    notes = o.notes
    notes.computed(
        "envelope.memory_per_worker_bytes",
        share if not isinstance(share, Unknown) else f"unknown ({share.reason})",
        "Nine tenths of the available memory over the workers.",
        source="knowledge E.3",
    )
    notes.computed(
        "envelope.trial_seconds",
        trial_seconds,
        f"max({factor} evaluations, {part:.0%} of the budget), never longer than its stage; wider until a fit has been measured.",
        source="knowledge B.2 (auto-sklearn: a tenth of the budget)",
    )
    notes.computed(
        "envelope.device", device, "Where PyTorch can train; other families use the processor.", source="the probe of the machine"
    )
    notes.computed("envelope.batch_size", batch, "Fixed by the family's rule; None for what has no batches.", source=o.families[0].source)
    return Envelope(
        workers=o.workers,
        threads_per_worker=o.threads,
        memory_per_worker_bytes=share,
        trial_seconds=trial_seconds,
        batch_size=batch,
        device=device,
    )


def _capacity(o: Outline, seconds: float, cost: float) -> int:
    """Evaluations of `cost` seconds that all workers finish in `seconds`."""
    rate = o.workers * o.situation.value("search.efficiency_ratio")
    return int(seconds * rate / cost) if cost > 0 else 0


def _stages(o: Outline, rulebook: Rulebook) -> tuple[Stage, ...]:
    budget, first, strategy = o.budget, o.candidates[0], o.choice.strategy
    splits = o.validation.splits
    race = rulebook.strategies[Strategy.PORTFOLIO]
    engine = _executor(o, rulebook)
    free = first.space.free
    wanted = sum(len(c.starts) for c in o.candidates)
    afforded = _capacity(o, budget.pilot_seconds, splits * sum(c.fit_seconds for c in o.candidates) / len(o.candidates))
    pilot = 1 if strategy is Strategy.DEFAULT and len(o.candidates) == 1 else min(wanted, max(len(o.candidates), afforded))
    if o.own is not None:
        pilot = wanted
    trials = max(1, o.trials)
    if budget.trials_cap is not None:
        # The cap counts the pilot too; a race may take a third of it where a search follows.
        share = budget.trials_cap if strategy in (Strategy.DEFAULT, Strategy.PORTFOLIO) else budget.trials_cap // 3
        asked = 1 + len(o.own.starts) if o.own is not None else 1  # what the user wants tried first is tried
        pilot = min(budget.trials_cap, max(asked, min(pilot, share)))
        trials = max(1, min(trials, budget.trials_cap - pilot))
    out = [Stage(name="pilot", strategy=Strategy.PORTFOLIO, engine=race.engine, space=(), trials=pilot, seconds=budget.pilot_seconds)]
    match strategy:
        case Strategy.DEFAULT:
            pass
        case Strategy.GRID:
            smallest = int(o.situation.value("search.grid_size"))
            largest = math.prod(len(p.choices) if isinstance(p, Choice) else GRID_MOST_LEVELS for n, p in first.space.items() if n in free)
            coarse = min(trials, max(smallest, min(largest, math.ceil(0.6 * trials))))
            fine = min(trials - coarse, coarse) if o.situation.value("search.numeric_dimensions") else 0
            part = round(budget.search_seconds * (coarse / (coarse + fine)), 3)
            out.append(Stage(name="coarse", strategy=strategy, engine=engine, space=free, trials=coarse, seconds=part))
            if fine >= 3:
                rest = round(budget.search_seconds - part, 6)
                out.append(Stage(name="fine", strategy=strategy, engine=engine, space=free, trials=fine, seconds=rest))
        case Strategy.TPE | Strategy.GP | Strategy.RANDOM if (parts := _groups(o, trials)) is not None:
            each = trials // len(parts)
            for number, (group, names) in enumerate(parts):
                count = trials - each * number if number == len(parts) - 1 else each
                seconds = round(budget.search_seconds * count / trials, 6)
                out.append(Stage(name=group, strategy=strategy, engine=engine, space=names, trials=count, seconds=seconds))
        case _:
            out.append(Stage(name="search", strategy=strategy, engine=engine, space=free, trials=trials, seconds=budget.search_seconds))
    if o.own is not None:
        return tuple(out)  # the objective validates by itself: there are no fresh splits to confirm on
    most = 2 if o.trials < 15 else CONFIRMED
    confirm = max(2, min(most, _capacity(o, budget.confirm_seconds, splits * first.fit_seconds)))
    out.append(
        Stage(name="confirm", strategy=Strategy.PORTFOLIO, engine=race.engine, space=(), trials=confirm, seconds=budget.confirm_seconds)
    )
    return tuple(out)


def _groups(o: Outline, trials: int) -> tuple[tuple[str, tuple[str, ...]], ...] | None:
    """Stages of tuning in groups, each with what moves in it; None where one search over everything is planned.

    For networks, whose hyperparameters are of three kinds, where each stage has trials enough. The first hyperparameter of the
    optimisation is a nuisance to the other groups: it moves in every stage, for a change of capacity or regularisation moves
    its best value too. Source: source guide 4, tip 2; knowledge P1 (Deep Learning Tuning Playbook).
    """
    space, free = o.candidates[0].space, o.candidates[0].space.free
    if o.own is not None or not o.families[0].trains_in_steps or trials < GROUPED_FROM:
        return None
    kinds = {g: [n for n in free if space.parameters[n].group is g] for g in (Group.OPTIMISATION, Group.CAPACITY, Group.REGULARISATION)}
    if not all(kinds.values()) or sum(map(len, kinds.values())) < len(free):
        return None
    ranked = sorted(kinds[Group.OPTIMISATION], key=lambda n: (space.parameters[n].priority or 99, n))
    return tuple((group.value, tuple(n for n in free if n in names or n == ranked[0])) for group, names in kinds.items())


def _executor(o: Outline, rulebook: Rulebook) -> str:
    """The library class that executes the strategy: another one for a Keras model, and on a cluster."""
    strategy = o.choice.strategy
    if o.own is not None and o.own.kind == "keras" and strategy is Strategy.HYPERBAND:
        return "keras_tuner.oracles.HyperbandOracle"
    if o.facts.answers.cluster is not None and strategy is Strategy.ASHA:
        return "ray.tune.schedulers.ASHAScheduler"
    return rulebook.strategies[strategy].engine


def _forecast(o: Outline, stages: tuple[Stage, ...]) -> Forecast:
    budget, first = o.budget, o.candidates[0]
    rate = o.workers * o.situation.value("search.efficiency_ratio")
    trial, evaluation = o.situation.value("search.trial_seconds"), o.validation.splits * first.fit_seconds
    work = 0.0
    for stage in stages:
        each = evaluation if stage.name in ("pilot", "confirm") else trial
        work += min(stage.seconds, stage.trials * each / rate)
    p50 = min(budget.seconds, budget.startup_seconds + work + min(budget.refit_seconds, 4 * first.fit_seconds))
    spread = SPREAD_MEASURED if first.is_measured else SPREAD_ESTIMATED
    p90 = min(budget.seconds, budget.startup_seconds + (p50 - budget.startup_seconds) * spread)
    trials = sum(s.trials for s in stages if s.name != "confirm")
    return Forecast(trials=trials, seconds_p50=round_significant(p50, 3), seconds_p90=min(budget.seconds, round_significant(p90, 3)))


def _explain_candidates(o: Outline, rulebook: Rulebook) -> None:
    """Evidence for every bound, default, start list and fit time: the planned family's by its own path, the others' below the shortlist."""
    notes, freeze = o.notes, o.facts.answers.freeze
    for index, (candidate, family) in enumerate(zip(o.candidates, o.families, strict=True)):
        prefix = "" if index == 0 else f"shortlist.{family.name}."
        own = f"family:{family.name}"
        seen = o.situations[index] if o.situations else o.situation
        revised = revisions(adjusting(rulebook, family, seen), seen)

        brought = baseline_of(o.facts.answers, family.name)

        def told(path: str, value: Any, because: str, source: str, own: str = own) -> None:
            notes.evidence.append(Evidence(field=path, value=value, rule=own, because=because, facts={}, source=source))

        for name, parameter in candidate.space.items():
            before = parts_of(family.space.parameters[name])
            for part, value in parts_of(parameter).items():
                path = f"{prefix}space.{name}.{part}"
                if name in freeze:
                    notes.answered(path, value, "--freeze")
                elif part == "default" and name in brought:
                    notes.answered(path, value, "--baseline")
                elif value != before[part] and (rules := _revising(revised.get(name, {}), part)):
                    notes.ruled(path, value, rules[0], seen, rules[1:])
                else:
                    because = "The library's default." if part == "default" else "Range of published practice for this family."
                    if o.own is not None:
                        because = "Yours, or the middle of the range." if part == "default" else "Your own space."
                    told(path, value, because, family.source)
        for name, value in candidate.fixed.items():
            path = f"{prefix}fixed.{name}"
            if name in freeze:
                notes.answered(path, encode(value), "--freeze")
            elif name in brought:
                notes.answered(path, encode(value), "--baseline")
            elif rules := _revising(revised.get(name, {}), "fix"):
                notes.ruled(path, encode(value), rules[0], seen, rules[1:])
            else:
                told(path, encode(value), "Not searched.", family.source)
        because = "The default first, then configurations known to be good, completed by the default and clipped to the space."
        told(f"{prefix}starts", len(candidate.starts), because, family.starts_source or family.source)
        kind = "measured by the pilot" if candidate.is_measured else "an estimate from rows, features and family; the pilot measures it"
        notes.computed(f"{prefix}fit_seconds", candidate.fit_seconds, f"Seconds of one fit: {kind}.", source=family.cost.source)


_SET_BY = {
    "low": ("low", "freeze", "unit", "default"),
    "high": ("high", "freeze", "unit", "default"),
    "default": ("default", "unit"),
    "choices": ("freeze",),
    "fix": ("fix",),
}
"""What a rule may have written to change a part of a hyperparameter, the likeliest first: a default widens a bound."""


def _revising(parts: Mapping[str, Revised], part: str) -> tuple[Rule, ...]:
    return next((parts[name].rules for name in _SET_BY.get(part, ()) if name in parts), ())


def _explain_strategy(o: Outline, rulebook: Rulebook) -> None:
    rule = o.choice.rule
    if rule is None:
        o.notes.answered("strategy", o.choice.strategy, "--strategy")
    else:
        o.notes.ruled("strategy", o.choice.strategy, rule, o.situation)
        entry = rulebook.strategies[o.choice.strategy]
        wanted = conditions(rule, entry)
        seen = {p.fact: shown(o.situation.value(p.fact)) for p in wanted}
        near = dict.fromkeys(p.about.words for p in wanted if p.is_near(o.situation.value(p.fact)))
        last = o.notes.evidence[-1]
        because = rule.because + (f" Near the threshold: {', '.join(near)}." if near else "")
        o.notes.evidence[-1] = last.model_copy(update={"facts": seen, "because": because})


def _explain_rest(o: Outline, stages: tuple[Stage, ...], forecast: Forecast) -> None:
    notes, answers = o.notes, o.facts.answers
    for index, stage in enumerate(stages):
        notes.computed(
            f"stages.{index}",
            {"name": stage.name, "strategy": stage.strategy, "trials": stage.trials, "seconds": stage.seconds},
            {
                "pilot": "Races the families and measures one fit; the default is trial 0.",
                "search": "The strategy proposes, after the default and the starts.",
                "optimisation": "How it learns comes first; everything else stays at the best so far.",
                "capacity": "Then the size of the network, the learning rate re-tuned with it.",
                "regularisation": "Then what holds it back, the learning rate re-tuned once more.",
                "coarse": "Wide levels first, three fifths of the trials.",
                "fine": "Half steps around the best coarse cell.",
                "confirm": "Default and the best few on fresh splits, paired; the winner and the default only below 15 trials.",
            }[stage.name],
            source="contract: How many trials; Honest results; knowledge A.1 GRID",
        )
    spread = SPREAD_MEASURED if o.candidates[0].is_measured else SPREAD_ESTIMATED
    notes.computed(
        "forecast",
        {"trials": forecast.trials, "seconds_p50": forecast.seconds_p50, "seconds_p90": forecast.seconds_p90},
        f"Trials times their cost over the workers; P90 takes {spread} times as long, within the budget.",
    )
    for name, value, flag, because in (
        ("validation.group", o.validation.group, "--group", "No group column was named."),
        ("validation.time", o.validation.time, "--time", "No time column was named."),
        ("weights", answers.weights, "--weights", "No column of weights was named."),
        ("valid", answers.valid, "--valid", "No file was named: the splits are made from the data."),
        ("test", answers.test, "--test", "No file was named: a part of the data is kept apart."),
    ):
        if value is not None:
            notes.answered(name, value, flag)
        else:
            notes.computed(name, None, because, source="the user's answer or its default")
    notes.computed("seed", answers.seed, "Every random choice starts here.", source="the user's answer or its default")
    notes.computed("validation.seed", o.validation.seed, "Every random choice starts here.", source="the user's answer or its default")
    notes.computed("data", o.data.source, "What you named.", source="the user's answer")


MOST_FLIPS = 6
"""Flips told of a field other than the strategy; the nearest stands first."""


def _with_flips(evidence: list[Evidence], chain: Chain) -> tuple[Evidence, ...]:
    found = flips_of(chain, {e.field: e for e in evidence})
    return tuple(
        e.model_copy(update={"flips": found[e.field][: None if e.field == "strategy" else MOST_FLIPS]}) if found.get(e.field) else e
        for e in evidence
    )


def _rejected(o: Outline, rulebook: Rulebook) -> tuple[Rejected, ...]:
    """For every other strategy the rule that came nearest, with each condition that failed and by how much.

    Rules before the winner tell most: they were asked and failed. Where there is none, the winner stood in the way.
    """
    rules, winner = rulebook.strategy_rules, o.choice.rule
    before = rules[: rules.index(winner)] if winner is not None else rules
    in_the_way = f"a rule before it won: {winner.id}" if winner is not None else "you asked for another"
    out = []
    for strategy in Strategy:
        if strategy is o.choice.strategy:
            continue
        entry = rulebook.strategies[strategy]

        def missed(rule: Rule, entry: StrategyEntry = entry) -> tuple[str, ...]:
            failed = (p for p in conditions(rule, entry) if p.verdict(o.situation) is not Verdict.HOLDS)
            return tuple(dict.fromkeys(p.say(o.situation.value(p.fact)) for p in failed))

        own = [r for r in before if r.recommend is strategy] or [r for r in rules if r.recommend is strategy]
        if not own:
            out.append(Rejected(strategy=strategy, rule="", failed=("no rule recommends it",)))
            continue
        nearest = min(own, key=lambda r: len(missed(r)))
        out.append(Rejected(strategy=strategy, rule=nearest.id, failed=missed(nearest) or (in_the_way,)))
    return tuple(out)


def _advice(o: Outline, rulebook: Rulebook) -> tuple[Advice, ...]:
    out = []
    for leak in o.data.leaks:
        text = f"Column {leak.column} seems to give the target away ({leak.reason}): --drop it unless it is known before the target."
        out.append(Advice(rule="data.leaks", text=text, source="the profile of the data"))
    answers = o.facts.answers
    for flag, wish, seen, what in (
        ("--group", answers.group, o.data.group_candidates, "name a repeated entity"),
        ("--time", answers.time, o.data.time_candidates, "order the rows in time"),
    ):
        if wish is None and seen:
            best = max(seen, key=lambda s: s.confidence)
            text = (
                f"Column {best.column} seems to {what} ({best.reason}): if so, say {flag} {best.column}, or every score will be too good."
            )
            out.append(Advice(rule="data.candidates", text=text, source="the profile of the data; knowledge A.3 V1, V2"))
    for tip in rulebook.tips:
        verdict = tip.verdict(o.situation)
        if verdict is Verdict.HOLDS:
            out.append(Advice(rule=tip.id, text=tip.advise, source=tip.source))
        elif verdict is Verdict.UNKNOWN:
            o.notes.passed_over(tip.id, tip.when, o.situation)
    return (*out, *space_advice(o, rulebook))
