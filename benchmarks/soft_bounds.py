"""What a wrong soft bound costs: trials until an optimum planted outside is found, over those of a run whose bounds were right.

    python -m benchmarks.soft_bounds [--strategies auto tpe] [--factors 2 10 100] [--seeds 8] [--dimensions 4] [--trials 120]

Each problem is a bowl in the logarithm of positive hyperparameters, drawn by the seed: where its bottom lies and how it is
turned. The range of the first one ends `factor` times short of the bottom, below or above; the right run has a range as wide with
the bottom inside. Found means a score that only the tenth part of a decade around the bottom, in every direction, has. Through
`advisor.tune`, a trial takes a minute of simulated time, no name says what it is for. A run that has not found it counts with
all its trials. Ratios are geometric means over seeds with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from dataclasses import dataclass

import numpy as np

import advisor
from advisor import Float

DECADES = 3.0
"""Width of every range."""
FOUND = 0.1**2
"""Score from which on a run has found the bottom: a tenth of a decade away."""


@dataclass
class Minutes:
    """A clock that only trials move."""

    now: float = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class Bowl:
    """A bowl over the decimal logarithms of `dimensions` positive numbers, turned at random, with a bottom of 0."""

    def __init__(self, dimensions: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.bottom = draw.uniform(-2, 2, dimensions)
        turned, _ = np.linalg.qr(draw.standard_normal((dimensions, dimensions)))
        self.shape = turned @ np.diag(draw.uniform(0.3, 1.0, dimensions)) @ turned.T
        self.places = draw.uniform(0.2, 0.8, dimensions)
        """Where in its range each bottom lies, in a right run."""
        self.is_below = bool(draw.integers(2))

    def score(self, config: dict[str, float]) -> float:
        """0 at the bottom."""
        off = np.log10([config[f"p{i}"] for i in range(len(self.bottom))]) - self.bottom
        return float(off @ self.shape @ off)

    def space(self, factor: float | None) -> dict[str, Float]:
        """The ranges; with a factor the first one ends so far short of the bottom."""
        lows = self.bottom - self.places * DECADES
        if factor is not None:
            off = math.log10(factor)
            lows[0] = self.bottom[0] + off if self.is_below else self.bottom[0] - off - DECADES
        return {f"p{i}": Float(10**low, 10 ** (low + DECADES), log=True, hard=False) for i, low in enumerate(lows)}


def trials_needed(bowl: Bowl, factor: float | None, *, strategy: str, seed: int, most: int) -> int:
    """Trials until the bottom is found; `most` where it is not."""
    clock = Minutes()

    def objective(config: dict[str, float]) -> float:
        clock.now += 60
        return bowl.score(config)

    outcome = advisor.tune(
        objective, bowl.space(factor), budget_seconds=60.0 * most + 1, max_trials=most, seed=seed, clock=clock, strategy=strategy
    )
    done = [t.value for t in outcome.trials if t.value is not None]
    return next((n for n, value in enumerate(done, 1) if value <= FOUND), most)


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", nargs="+", default=["auto", "tpe"])
    parser.add_argument("--factors", type=float, nargs="+", default=[2, 10, 100])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--dimensions", type=int, default=4)
    parser.add_argument("--trials", type=int, default=120)
    given = parser.parse_args()
    print(f"{'strategy':10}{'factor':>8}{'right':>8}{'wrong':>8}{'found':>8}{'ratio':>7}   95 % interval")
    for strategy in given.strategies:
        bowls = [Bowl(given.dimensions, seed) for seed in range(given.seeds)]
        right = [trials_needed(b, None, strategy=strategy, seed=s, most=given.trials) for s, b in enumerate(bowls)]
        for factor in given.factors:
            wrong = [trials_needed(b, factor, strategy=strategy, seed=s, most=given.trials) for s, b in enumerate(bowls)]
            logs = [math.log(w / r) for w, r in zip(wrong, right, strict=True)]
            draw = random.Random(0)
            means = sorted(statistics.fmean(draw.choices(logs, k=len(logs))) for _ in range(2000))
            found = sum(w < given.trials for w in wrong)
            print(
                f"{strategy:10}{factor:>8g}{statistics.median(right):>8g}{statistics.median(wrong):>8g}{f'{found}/{len(wrong)}':>8}"
                f"{math.exp(statistics.fmean(logs)):>7.2f}   [{math.exp(means[50]):.2f}, {math.exp(means[1949]):.2f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
