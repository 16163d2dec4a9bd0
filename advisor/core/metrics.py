"""The scores that can decide, by name."""

from __future__ import annotations

from typing import Literal

from advisor.core.errors import InputError, nearest
from advisor.core.facts import Task
from advisor.core.value import Value


class Metric(Value):
    """One score. Its scikit-learn scorer has the same meaning, negated where smaller is better."""

    name: str
    """Public name."""
    title: str
    """Name for people."""
    direction: Literal["minimize", "maximize"]
    """Which way is better."""
    tasks: tuple[Task, ...]
    """Tasks it is defined for."""
    needs: Literal["probability", "label", "number"]
    """What the model must give."""
    scorer: str
    """scikit-learn's scorer name."""

    @property
    def sign(self) -> int:
        """+1 when larger is better, -1 otherwise."""
        return 1 if self.direction == "maximize" else -1


_CLASSES = (Task.BINARY, Task.MULTICLASS)
_NUMBER = (Task.REGRESSION,)

METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(name="log_loss", title="log loss", direction="minimize", tasks=_CLASSES, needs="probability", scorer="neg_log_loss"),
        Metric(name="brier", title="Brier score", direction="minimize", tasks=_CLASSES, needs="probability", scorer="neg_brier_score"),
        Metric(name="roc_auc", title="area under ROC", direction="maximize", tasks=_CLASSES, needs="probability", scorer="roc_auc_ovr"),
        Metric(
            name="average_precision",
            title="average precision",
            direction="maximize",
            tasks=(Task.BINARY,),
            needs="probability",
            scorer="average_precision",
        ),
        Metric(name="accuracy", title="accuracy", direction="maximize", tasks=_CLASSES, needs="label", scorer="accuracy"),
        Metric(
            name="balanced_accuracy",
            title="balanced accuracy",
            direction="maximize",
            tasks=_CLASSES,
            needs="label",
            scorer="balanced_accuracy",
        ),
        Metric(name="f1", title="F1 (macro)", direction="maximize", tasks=_CLASSES, needs="label", scorer="f1_macro"),
        Metric(
            name="rmse",
            title="root mean squared error",
            direction="minimize",
            tasks=_NUMBER,
            needs="number",
            scorer="neg_root_mean_squared_error",
        ),
        Metric(
            name="mae", title="mean absolute error", direction="minimize", tasks=_NUMBER, needs="number", scorer="neg_mean_absolute_error"
        ),
        Metric(
            name="rmsle",
            title="root mean squared log error",
            direction="minimize",
            tasks=_NUMBER,
            needs="number",
            scorer="neg_root_mean_squared_log_error",
        ),
        Metric(name="r2", title="R²", direction="maximize", tasks=_NUMBER, needs="number", scorer="r2"),
    )
}


def metric(name: str, task: Task | None = None) -> Metric:
    """The metric called `name`.

    Raises: InputError when it is unknown, or not defined for `task`.
    """
    found = METRICS.get(name)
    if found is None:
        raise InputError(f"unknown metric {name!r}", where="--metric", cure=nearest(name, METRICS))
    if task is not None and task not in found.tasks:
        fitting = [m.name for m in METRICS.values() if task in m.tasks]
        raise InputError(f"{name} is not defined for a {task} target", where="--metric", cure=f"Choose one of: {', '.join(fitting)}.")
    return found
