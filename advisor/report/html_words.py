"""What the report says in sentences: the verdict for someone who pays, and whether the budget was enough."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from enum import Enum
from typing import Any

from advisor.core.events import StudyState
from advisor.core.facts import Answers
from advisor.core.metrics import METRICS
from advisor.core.outcome import Outcome
from advisor.core.plan import Forecast
from advisor.report.charts_run import finish, improvements, searched
from advisor.report.wording import between, duration, number

FAMILY_TITLES = {
    "hist_gradient_boosting": "gradient boosting model",
    "svc": "support vector machine",
    "svr": "support vector machine",
    "knn": "nearest-neighbours model",
    "mlp": "neural network",
    "cnn": "convolutional network",
    "lightgbm": "LightGBM model",
    "xgboost": "XGBoost model",
    "catboost": "CatBoost model",
}
"""Families whose name is no word; the others are written with spaces."""
SETTLED_SHARE = 0.5
"""A search that found nothing better in so large a last part of its time had enough of it."""
RISING_SHARE = 0.15
"""One that found its best within so small a last part may find more."""
FEWEST = 10
"""Trials below which nothing is said of the budget."""


def metric_title(name: str) -> str:
    """The score in words."""
    return METRICS[name].title if name in METRICS else name.replace("_", " ")


def family_title(name: str | None) -> str:
    """A model family in words.

    >>> family_title("hist_gradient_boosting"), family_title("svc"), family_title(None)
    ('gradient boosting model', 'support vector machine', 'model')
    """
    if name is None:
        return "model"
    if name == "objective":
        return "configuration"
    plain = FAMILY_TITLES.get(name, name.replace("_", " "))
    return plain if plain.split()[-1] in ("machine", "model", "network", "regression", "forest", "trees", "net") else f"{plain} model"


def default_value(outcome: Outcome) -> float | None:
    """The default configuration's score in the search."""
    return next((t.value for t in outcome.trials if t.origin == "default" and t.status == "completed"), None)


def _relative(better: float, worse: float) -> str:
    """How far two scores lie apart as a share of the worse, where that means something."""
    if worse == 0 or not math.isfinite(worse) or better * worse < 0:
        return ""
    share = abs(better - worse) / abs(worse)
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.001 else ""


def manager_verdict(outcome: Outcome, *, was_compared: bool = True) -> tuple[str, str]:
    """The result in one sentence for someone who has not read the plan, and its mood: good, even, bad or open.

    `was_compared` False: the time ended before anything was set against the default on fresh splits.
    """
    title, family = metric_title(outcome.metric), family_title(outcome.family)
    match outcome.status:
        case "nothing_finished":
            return "There is no result: the time ran out before a single trial had finished.", "bad"
        case "failed":
            kept = "no model came out of it" if outcome.best_config is None else "the best model found before is kept"
            return f"The run broke off with an error; {kept}.", "bad"
        case "interrupted" | "running":
            return _so_far(outcome, title, family), "open"
        case "done" | "stopped":
            pass
    if outcome.plan.task is None:
        return _own(outcome, title)
    rival = (
        "the default settings"
        if outcome.default_family in (None, outcome.family)
        else f"the default {family_title(outcome.default_family)}"
    )
    if outcome.shipped == "default" and not was_compared:
        return (
            f"The time ended before anything could be set against the default {family} on fresh data, so the default is what you get.",
            "open",
        )
    if outcome.shipped == "default":
        return (
            f"Tuning did not pay here: nothing tried was reliably better than the default {family}, so the default is what you get.",
            "even",
        )
    gain, score, default = outcome.gain, outcome.heldout_score, outcome.default_heldout_score
    if gain is None or score is None or default is None:
        return f"A tuned {family} is ready; how much better it is than {rival} could not be measured.", "open"
    share = _relative(score, default)
    if gain.low > 0:
        by = f" by {share}" if share else ""
        return f"Tuning paid: the tuned {family} beats {rival}{by} in {title} on data it had never seen.", "good"
    if gain.high < 0:
        return f"The tuned {family} looked better while tuning, yet does worse than {rival} on data it had never seen.", "bad"
    direction = "ahead of" if gain.value > 0 else "behind" if gain.value < 0 else "level with"
    by = f"{share} " if share and gain.value else ""
    return f"The tuned {family} is {by}{direction} {rival} on unseen data, but with so few rows that may be chance.", "even"


def _so_far(outcome: Outcome, title: str, family: str) -> str:
    how = "is still going" if outcome.status == "running" else "was interrupted and can go on"
    if outcome.best_value is None:
        return f"The run {how}; no trial has finished yet."
    return f"The run {how}; the best {family} so far has a {title} of {number(outcome.best_value)} in validation."


def _own(outcome: Outcome, title: str) -> tuple[str, str]:
    if outcome.best_value is None:
        return "No configuration has a value.", "bad"
    best, default = outcome.best_value, default_value(outcome)
    if default is None:
        return f"The best configuration reaches a {title} of {number(best)}; the default has no value to compare with.", "open"
    if best == default:
        return f"Nothing tried was better than the default configuration, whose {title} is {number(default)}.", "even"
    share = _relative(best, default)
    better = f"{share} better than the default's {number(default)}" if share else f"the default has {number(default)}"
    return f"The best configuration reaches a {title} of {number(best)}, {better}, as your own objective measures it.", "good"


def interval_sentence(outcome: Outcome) -> str:
    """What the interval says, and what it is conditional on; empty without one."""
    gain = outcome.gain
    if gain is None:
        return ""
    if gain.low > 0:
        judged = "The whole interval lies on the good side of zero."
    elif gain.high < 0:
        judged = "The whole interval lies on the bad side of zero."
    else:
        judged = "The interval includes zero: these rows cannot settle whether there is a gain."
    return f"{judged} It is a paired bootstrap over the held-out rows of this one split, with 95 % confidence."


def sentence(text: str, *, lower: bool = False) -> str:
    """`text` with a capital and a full stop; `lower`: it goes on after a colon.

    >>> sentence("nothing finished"), sentence("Its mean is best.", lower=True)
    ('Nothing finished.', 'its mean is best.')
    """
    text = text.strip()
    first = text[:1].lower() if lower and text[1:2].islower() else text[:1].upper() if not lower else text[:1]
    return f"{first}{text[1:]}{'' if text.endswith(('.', '!', '?', '…')) else '.'}" if text else ""


def budget_story(state: StudyState, forecast: Forecast) -> list[str]:
    """Was the budget enough, and did the forecast hold: one sentence each."""
    steps, trials = improvements(state), searched(state)
    ended = [t for t in trials if t.status in ("completed", "pruned")]
    if not steps:
        return ["No trial finished, so the budget was too small for even one."] if state.finished is not None else []
    best, value = steps[-1]
    end = max(state.elapsed, finish(best))
    since = (end - finish(best)) / end if end > 0 else 0.0
    found = f"The best score, {number(value)}, was found by trial {best.number} after {duration(finish(best))} of {duration(end)}"
    if state.finished is None:
        judged = "it is too early to say whether the budget is enough."
    elif len(ended) < FEWEST:
        judged = f"with {len(ended)} trials it cannot be said whether more time would help."
    elif best.number == state.default:
        judged = "it is the default's own, and nothing better was found: more time is unlikely to change that."
    elif since >= SETTLED_SHARE:
        judged = "the second half of the time brought nothing better: the budget was enough."
    elif since <= RISING_SHARE:
        judged = "the search was still finding better ones at its end: more time would probably help."
    else:
        judged = f"the last {since:.0%} of the time brought nothing better: the budget was about right."
    out = [f"{found}; {judged}"]
    asked = between(forecast.seconds_p50, forecast.seconds_p90)
    if state.finished is not None:
        within = "as forecast" if end <= forecast.seconds_p90 * 1.02 else "later than forecast"
        early = end < forecast.seconds_p50 * 0.8
        took = f"The run took {duration(end)}, {'sooner than forecast' if early else within} ({asked})"
        out.append(f"{took}, with {len(ended)} trials where about {forecast.trials} were expected.")
    else:
        out.append(f"The forecast is {asked} with about {forecast.trials} trials; so far {len(ended)} have ended in {duration(end)}.")
    if state.extra_seconds:
        more = "more" if state.extra_seconds > 0 else "less"
        out.append(f"While it ran it was given {duration(abs(state.extra_seconds))} {more}.")
    return out


def command_of(answers: Answers, source: str | None) -> str:
    """The command line that asks for the same again: the data, and a flag for every answer that is not the default.

    >>> command_of(Answers(target="y", budget_seconds=60, seed=3), "my table.csv")
    "advisor run 'my table.csv' --target y --budget 60s --seed 3"
    """
    words = ["advisor", "run", *([shlex.quote(source)] if source is not None else [])]
    for name, field in Answers.model_fields.items():
        value = getattr(answers, name)
        if value == field.get_default(call_default_factory=True) and name not in ("budget_seconds", "seed"):
            continue
        extra = field.json_schema_extra
        flag = str(extra.get("flag", f"--{name}")) if isinstance(extra, dict) else f"--{name}"
        words += _flag(name, flag, value)
    return " ".join(words)


def _flag(name: str, flag: str, value: Any) -> list[str]:
    if value is True:
        return [flag]
    if name == "baseline":  # its values lie in the run's facts.json
        return [flag, "config.toml"]
    if isinstance(value, Mapping):
        return [word for k, v in value.items() for word in (flag, shlex.quote(f"{k}={_plain(v)}"))]
    if isinstance(value, tuple):
        return [word for v in value for word in (flag, shlex.quote(str(v)))]
    return [flag, shlex.quote(f"{value:g}s" if name.endswith("_seconds") else _plain(value))]


def _plain(value: Any) -> str:
    """A value as the command line reads it."""
    if value is None:
        return "none"
    if isinstance(value, Enum):
        return str(value.value)
    return str(value).casefold() if isinstance(value, bool) else str(value)
