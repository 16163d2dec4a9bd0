"""Population-based training with Ray Tune: the article's fifth example, redone. Its result is a schedule.

Run it: ``pip install "tuning-advisor[ray]"``, then ``python examples/article/population.py``. It takes under a minute. The same
on the advisor's own network is the plan beside this file: ``advisor run examples/article/population.toml``.

What is different from the article: there is a training function. It yields a checkpoint with every measurement, so that a weak member
can go on from a strong one's weights; the members draw their learning rate and weight decay for themselves, so that they differ from
the start; Ray's present interface is used; and what comes out is the schedule that the winner was trained under, not the last line
of it, which alone would not train the model. The schedule is replayed from the start, on one network, to see what it is worth.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import advisor

EPOCHS = 30
SPACE = {
    "lr": advisor.Float(1e-3, 1.0, log=True, default=0.1),
    "weight_decay": advisor.Float(1e-6, 1e-2, log=True, default=1e-4),
}


def parts() -> list[tuple[Tensor, Tensor]]:
    """Pixels 0..1 and digits: rows for training, for validation, for the test."""
    pixels, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(pixels, dtype=torch.float32)[order] / 16, torch.tensor(digits)[order]
    return list(zip(x.split((600, 400, 797)), y.split((600, 400, 797)), strict=True))


PARTS = parts()
"""Travels to the workers with the function that uses it."""


def train(config: dict[str, Any], checkpoint: Any = None) -> Iterator[advisor.Measurement]:
    """Log loss on validation rows after each epoch, with a checkpoint to go on from under whatever configuration comes then."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimiser = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9)
    done = 0
    if checkpoint is not None:
        done = checkpoint["epoch"]
        model.load_state_dict(checkpoint["model"])
        optimiser.load_state_dict(checkpoint["optimiser"])
    # After the state was loaded, which brings the donor's values along.
    optimiser.param_groups[0].update(lr=config["lr"], weight_decay=config["weight_decay"])
    (x, y), (x_valid, y_valid), (x_test, y_test) = PARTS
    loss = nn.functional.cross_entropy
    for epoch in range(done + 1, EPOCHS + 1):
        draws = torch.Generator().manual_seed(epoch)
        noisy = x + 0.4 * torch.randn(x.shape, generator=draws)  # what makes a learning rate that falls worth having
        for rows in torch.randperm(len(y), generator=draws).split(16):
            optimiser.zero_grad()
            loss(model(noisy[rows]), y[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            valid, test = loss(model(x_valid), y_valid).item(), loss(model(x_test), y_test).item()
        state = {"epoch": epoch, "model": model.state_dict(), "optimiser": optimiser.state_dict(), "test": test}
        yield advisor.Measurement(epoch, valid, state)


def follow(schedule: list[tuple[int, dict[str, Any]]]) -> tuple[float, float]:
    """Validation and test loss of one network trained from the start under `schedule`: from after which epoch on, and what."""
    last = None
    for number, (begin, config) in enumerate(schedule):
        end = schedule[number + 1][0] if number + 1 < len(schedule) else EPOCHS
        for measurement in train(config, None if last is None else last.checkpoint):
            last = measurement
            if last.step == end:
                break
        assert last is not None and last.step == end > begin
    assert last is not None
    return last.value, last.checkpoint["test"]


def edited(plan: advisor.Plan) -> advisor.Plan:
    """The plan beside this file, from the recommended one: a member is one network, not one a fold."""
    return plan.model_copy(
        update={"validation": plan.validation.model_copy(update={"scheme": "holdout", "folds": 1, "holdout_ratio": 0.2})}
    )


def main(arguments: list[str] | None = None) -> Any:
    """Trains the population and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="budget of the whole run")
    parser.add_argument("--cluster", default=None, metavar="HOST:PORT", help="a running Ray to train on; else one of this machine's own")
    parser.add_argument("--run-dir", default=None, help="folder of the run; the same one again goes on with it")
    given = parser.parse_args(arguments)

    outcome = advisor.tune(
        train,
        SPACE,
        direction="minimize",
        fidelity=advisor.Fidelity("epoch", 1, EPOCHS),
        goal="schedule",
        strategy="pbt",
        force=True,  # advised from eight slots on; members take turns where there are fewer
        workers=2,
        cluster=given.cluster,
        budget_seconds=given.seconds,
        run_dir=given.run_dir,
    )
    schedule = [(part.step, part.config) for part in outcome.schedule]
    print(f"{len(outcome.trials)} trials, the best with a validation loss of {outcome.best_value:.4f}, trained under")
    for begin, config in schedule:
        print(f"  from epoch {begin + 1}: " + ", ".join(f"{name} {value:.3g}" for name, value in config.items()))
    for name, under in (("the schedule, replayed", schedule), ("its last line alone", [(0, schedule[-1][1])])):
        valid, test = follow(under)
        print(f"{name}: validation loss {valid:.4f}, test loss {test:.4f}")
    return outcome


if __name__ == "__main__":
    main()
