"""How much time is kept back for the honest end of a run, as far as the trials so far tell."""

from __future__ import annotations

from advisor.core.events import StudyState, TrialState
from advisor.core.plan import Plan
from advisor.session.walking import Walk

CONFIRM_CANDIDATES = 4
"""Configurations besides the default that are re-scored on fresh splits. Source: knowledge V9 re-scores the top 5 with the default."""
CONFIRM_FEW_BELOW = 15
"""Below this many trials the confirm stage holds the default and the winner only. Source: contract, 'How many trials'."""
CONFIRM_SHARE = 0.25
"""Share of the budget that re-scoring more than the default and the winner may take. [H]"""
REFIT_SHARE = 0.35
"""Share of the budget that the final fits may keep back. [H]"""
NOTHING_YET_RATIO = 0.3
"""Share of the budget after which nothing is kept back while no trial has finished. [H]"""
SLACK = 1.2
"""A fit may take this much longer than it did before: the machine is shared. [H]"""


def ranked(state: StudyState) -> list[TrialState]:
    """Trials of pilot and search that ran in full, best first, the earlier one of equals first."""
    sign = 1 if state.direction == "maximize" else -1
    finished = [
        t
        for t in state.trials.values()
        if t.status == "completed" and t.stage != "confirm" and t.value is not None and t.rows is None and t.is_static
    ]
    return sorted(finished, key=lambda t: (-sign * (t.value or 0.0), t.number))


def contenders(state: StudyState, most: int | None = None) -> list[TrialState]:
    """The default, then the best other configurations; what scored the same on every split as one before it is the same to us."""
    order = ranked(state)
    if not order:
        return []
    default = state.trials[state.default] if state.default is not None else order[0]
    few = most if most is not None else (1 if len(order) < CONFIRM_FEW_BELOW else CONFIRM_CANDIDATES)
    chosen = [default]
    for t in order:
        if len(chosen) > few:
            break
        if all((t.family, t.config) != (c.family, c.config) and (t.scores != c.scores or not t.scores) for c in chosen):
            chosen.append(t)
    return chosen


def confirm_seconds(plan: Plan, trials: list[TrialState]) -> float:
    """Seconds that re-scoring `trials` takes on all workers: the longest one, or all of them shared out."""
    each = [plan.validation.fresh_splits * t.fit_seconds for t in trials]
    return 0.3 + SLACK * max(max(each, default=0.0), sum(each) / plan.envelope.workers)


def confirm_reserve(walk: Walk, state: StudyState) -> float:
    """Seconds kept back for the confirm stage: the default and the winner whatever it takes, the others within a share."""
    found = contenders(state)
    if not found:
        return walk.plan.budget.confirm_seconds
    least = confirm_seconds(walk.plan, found[:2])
    return max(least, min(confirm_seconds(walk.plan, found), CONFIRM_SHARE * walk.plan.budget.seconds))


def refit_reserve(walk: Walk, state: StudyState) -> float:
    """Seconds kept back for the final fits: default and winner on the development rows, then the winner on all rows."""
    found = contenders(state, most=1)
    if not found:
        return walk.plan.budget.refit_seconds
    plan = walk.plan
    growth = SLACK * (
        plan.validation.folds / (plan.validation.folds - 1) if plan.validation.folds > 1 else 1 / (1 - plan.validation.holdout_ratio)
    )
    fits = [t.fit_seconds for t in found]
    first = max(fits) if plan.envelope.workers > 1 else sum(fits)
    seconds = 0.5 + growth * first + max(all_rows_seconds(walk, t) for t in found)  # either may be shipped
    return min(seconds, REFIT_SHARE * plan.budget.seconds)


def all_rows_seconds(walk: Walk, trial: TrialState) -> float:
    """Seconds the final fit of `trial` on all rows takes: more rows than a fold, and more trees where the family says so."""
    family = walk.family(trial.family)
    before, after = family.fixed.get("n_estimators"), family.refit.get("n_estimators")
    trees = after / before if isinstance(before, int) and isinstance(after, int) and before else 1.0
    heldout = 1 / (1 - walk.plan.validation.heldout_ratio)
    folds = walk.plan.validation.folds
    growth = folds / (folds - 1) if folds > 1 else 1.25
    if walk.plan.valid is not None:  # these rows join those that every trial has learned from
        growth = 1 + walk.plan.valid.rows / max(1, walk.prepared.rows - walk.plan.valid.rows)
    return SLACK * trial.fit_seconds * trees * heldout * growth


def _estimator_reserve(walk: Walk, state: StudyState) -> float:
    """Seconds that fitting the best configuration on all rows takes, which its caller does once the run has ended."""
    best = state.trials.get(state.best) if state.best is not None else None
    if best is None:
        return 0.0
    folds = walk.plan.validation.folds
    growth = folds / (folds - 1) if folds > 1 else 1.25
    return min(SLACK * growth * best.fit_seconds, REFIT_SHARE * walk.plan.budget.seconds)


def reserve(walk: Walk, state: StudyState) -> float:
    """Seconds kept back from pilot and search: for an objective that validates by itself, no more than the refit of an estimator."""
    if walk.facts.objective is not None:
        return _estimator_reserve(walk, state) if walk.facts.objective.kind == "estimator" else 0.0
    if state.best is None and walk.recorder.elapsed() > NOTHING_YET_RATIO * walk.plan.budget.seconds:
        return 0.0  # a model of one fold that is there is worth more than time to confirm one that is not
    return confirm_reserve(walk, state) + refit_reserve(walk, state)
