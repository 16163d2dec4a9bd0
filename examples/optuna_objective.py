"""An Optuna objective, brought unchanged: its ranges are learned by running it, its reports are what is pruned on.

`objective` is written for Optuna and knows nothing of the advisor. Run it: ``python examples/optuna_objective.py``. It takes about
twenty seconds.
"""

from __future__ import annotations

import numpy as np
import optuna
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import advisor

EPOCHS = 12


def objective(trial: optuna.Trial) -> float:
    """Log loss on validation rows of a linear model trained by gradient descent."""
    x, y = load_digits(return_X_y=True)
    x_train, x_valid, y_train, y_valid = train_test_split(x / 16, y, test_size=0.3, random_state=0, stratify=y)
    schedule = trial.suggest_categorical("schedule", ["constant", "invscaling"])
    model = SGDClassifier(
        loss="log_loss",
        alpha=trial.suggest_float("alpha", 1e-6, 1e-1, log=True),
        learning_rate=schedule,
        eta0=trial.suggest_float("eta0", 1e-3, 1.0, log=True),
        power_t=trial.suggest_float("power_t", 0.1, 0.9) if schedule == "invscaling" else 0.5,
        average=trial.suggest_categorical("average", [True, False]),
        random_state=0,
    )
    loss = float("inf")
    for epoch in range(EPOCHS):
        model.partial_fit(x_train, y_train, classes=np.unique(y))
        loss = log_loss(y_valid, model.predict_proba(x_valid))
        trial.report(loss, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return loss


def main() -> None:
    """Tunes it for 15 seconds and prints what came out."""
    outcome = advisor.tune(objective, direction="minimize", budget_seconds=15, isolation="inline")
    print(f"{len(outcome.trials)} trials by {outcome.plan.strategy}: loss {outcome.best_value:.4f} with {outcome.best_config}")


if __name__ == "__main__":
    main()
