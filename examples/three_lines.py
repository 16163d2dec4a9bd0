"""Facts, a plan, an outcome: the whole walk from Python, on a data set that ships with scikit-learn.

Run it: ``python examples/three_lines.py``. It takes about half a minute.
"""

from __future__ import annotations

import advisor


def main() -> None:
    """Tunes a model of the wine data for 30 seconds and prints what came out."""
    facts = advisor.gather("sklearn:wine", goal="quick", budget_seconds=30)
    plan = advisor.recommend(facts)
    print(f"{plan.strategy} on {plan.family}: about {plan.forecast.trials} trials")
    for reason in plan.evidence:
        if reason.field in ("strategy", "validation.scheme"):
            print(f"  {reason.field} = {reason.value}: {reason.because} [{reason.source}]")

    outcome = advisor.execute(plan, "sklearn:wine")
    print(f"shipped: the {outcome.shipped} {outcome.family} with {outcome.best_config}")
    print(f"held-out {outcome.metric}: {outcome.heldout_score}, default {outcome.default_heldout_score}")


if __name__ == "__main__":
    main()
