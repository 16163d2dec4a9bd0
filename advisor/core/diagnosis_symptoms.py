"""The symptoms that findings may name: kind and meaning of each, with its formula. What computes them stands beside the trials and curves.

A name begins with what it belongs to: `curve`, `study`, `parameter` (each hyperparameter) or `pair` (each two of them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from advisor.core.facts import Unknown
from advisor.core.vocabulary import Fact, Kind, show_number

_TABLE = """
curve.points|integer|Points of the curve.
curve.has_train|flag|Training losses are told.
curve.has_validation|flag|Validation losses are told.
curve.is_not_finite|flag|Some value of the curve is infinite or not a number.
curve.not_finite_step|number|The first step whose value is not finite.
curve.peak_ratio|number|Largest training loss over the first one; without training losses, of the first tenth of the validation losses.
curve.train_trend|number|Rank correlation of the training loss with the step: 1 rises, -1 falls.
curve.train_change_ratio|number|Training loss at the end less at the first step, over the first.
curve.train_gain_ratio|number|Fall of the smoothed training loss from the first step to its least, over the first.
curve.train_gain_errors|number|The same fall, in standard deviations of what wavers in its last half.
curve.train_late_gain_ratio|number|Fall of the smoothed training loss over the last fifth of the steps, over the scale.
curve.train_fall_ratio|number|Fall of the smoothed training loss from the step of the best validation to the end, over the scale.
curve.train_wobble_ratio|number|Deviation of what wavers in the last half of the training loss, by second differences, over the scale.
curve.validation_trend|number|Rank correlation of the validation loss with the step.
curve.validation_change_ratio|number|Validation loss at the end less at the first step, over the first.
curve.gain_ratio|number|Fall of the smoothed validation loss from the first step to its least, over the first.
curve.gain_errors|number|The same fall, in standard deviations of what wavers in its last half.
curve.gain_per_train_gain_ratio|number|Fall of the validation loss over that of the training loss.
curve.late_per_early_gain_ratio|number|Fall of the smoothed validation loss over the last fifth of the steps over that of the first.
curve.late_gain_ratio|number|Fall of the smoothed validation loss over the last fifth of the steps, over the scale.
curve.late_gain_errors|number|The same fall, in standard deviations of what wavers there.
curve.best_step|number|The step of the least smoothed validation loss.
curve.best_at_ratio|number|Share of the steps before that.
curve.settled_at_ratio|number|Share of the steps before the smoothed validation loss is within 2 % of the scale, or its noise, of its least.
curve.rise_ratio|number|Median validation loss of the last tenth less the least smoothed one, over the scale.
curve.rise_errors|number|The same rise in standard errors: over folds where there are any, else of what wavers in the last half.
curve.gap_ratio|number|Validation loss less training loss at the end, over the larger scale of the two.
curve.wobble_ratio|number|Deviation of what wavers in the last half of the validation loss, by second differences, over the scale.
curve.level_wobble_ratio|number|Deviation of what wavers in the last half of the validation loss, over the loss at the end.
curve.train_level_wobble_ratio|number|The same of the training loss, over the higher end of the two losses.
curve.wobble_per_trend|number|Standard deviation of the steps of the validation loss over their mean size, in the last half.
curve.wobble_per_train_wobble|number|Relative wobble of the validation loss over that of the training loss.
curve.shortfall_ratio|number|Least validation loss less that of a simple model, over the larger first loss less that of the simple model.
curve.train_shortfall_ratio|number|Least training loss less the simple model's validation loss, over the same.
study.trials|integer|Trials that have ended.
study.completed|integer|Trials that ran in full.
study.failed_ratio|number|Share of the trials that failed.
study.failed_cause|text|The most frequent cause of a failure.
study.has_failed_default|flag|The default configuration failed.
study.prunes|flag|Trials are stopped for being behind.
study.pruned_ratio|number|Share of the trials that were stopped for being behind, failed ones left out.
study.rung_step|number|The first step at which trials are compared: the least at which one was stopped, else a ninth of all.
study.rung_trials|integer|Completed trials with a score at that step.
study.rung_correlation|number|Rank correlation, over completed trials, of the scores at that step with the last ones.
study.fold_deviation_per_spread|number|Standard deviation over splits of the best trial over the lead of the best over the median trial.
study.gain_errors|number|Lead of the best trial over the default, in standard errors of their differences split by split.
study.lead_errors|number|Lead of the best trial over the next configuration, in standard errors of their differences split by split.
study.lead_per_repeat_deviation|number|The same lead over the pooled standard deviation of equal configurations evaluated again.
study.is_settled|flag|The last 20 trials, or five a hyperparameter, brought no gain beyond the noise of validation.
study.settled_because|text|That in a sentence.
study.heldout_errors|number|By how much the held-out rows are worse than fresh splits, in standard deviations of one more split.
study.is_near_perfect|flag|The best score lies within 0.002 of the best possible.
study.has_leak|flag|One feature alone tells the target.
study.leak|text|That feature.
parameter.name|text|Name of the hyperparameter.
parameter.role|text|Its role, such as learning_rate.
parameter.best|text|Its value in the best trial.
parameter.edge_ratio|number|Share of the best tenth of the trials in the outer twentieth of its range, on the side that has more.
parameter.edge_trials|integer|How many these are.
parameter.top_trials|integer|How many the best tenth are, three at least.
parameter.edge_chance|number|Probability that uniform draws would put as many there, at some end of some hyperparameter.
parameter.edge_side|text|lower or upper.
parameter.edge_bound|number|The bound there.
parameter.is_natural_end|flag|Nothing lies beyond that bound: 0 or 1 of a fraction, the least of a count.
parameter.top_shift|number|Share of the shift of the best trials that lies along it, by PED-ANOVA less chance.
parameter.explained|number|Share of the variance of the scores' ranks that it explains by itself.
parameter.spread_ratio|number|Share of its range that the best trials span.
parameter.failed_above_ratio|number|Share of the failed trials that lie above its best value.
parameter.gap_to_failures|number|Share of the range between its best value and where more trials fail than complete.
pair.first|text|One hyperparameter.
pair.second|text|The other.
pair.top_trials|integer|Best trials that have both.
pair.correlation|number|Correlation of their places over these.
pair.correlation_size|number|The same without its sign.
pair.chance|number|Probability that some pair shows as much by chance.
"""


def _read(line: str) -> Fact:
    name, kind, doc = line.split("|")
    kinds: dict[str, Kind] = {k: k for k in get_args(Kind)}
    return Fact(name=name, kind=kinds[kind], doc=doc)


SYMPTOMS: dict[str, Fact] = {s.name: s for s in map(_read, _TABLE.strip().splitlines())}
"""Every symptom by name."""


def show(name: str, value: object) -> str:
    """`value` of the symptom `name` in a sentence: shares in percent, other numbers with three significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{value}"
    if (name.endswith("_ratio") or name in ("parameter.explained", "parameter.top_shift")) and abs(value) < 10:
        return f"{value:.0%}".replace("%", " %") if abs(value) >= 0.095 or value == 0 else f"{100 * value:.2g} %"
    if name.endswith("_chance") or name == "pair.chance":
        return f"{value:.2g}"
    return show_number(float(f"{value:.3g}") if abs(value) < 1e6 else float(value))


class NotToldError(Exception):
    """What was recorded does not hold what a symptom needs; its text becomes the reason of an `Unknown`."""


def measured(measures: Mapping[str, Callable[[Any], Any]], of: Any) -> dict[str, Any]:
    """Each of `measures`, asked of one curve, study, hyperparameter or pair; `Unknown` with its reason where that does not tell."""
    out: dict[str, Any] = {}
    for name, measure in measures.items():
        try:
            out[name] = measure(of)
        except NotToldError as reason:
            out[name] = Unknown(reason=str(reason))
    return out
