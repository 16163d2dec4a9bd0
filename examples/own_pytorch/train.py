"""A training script as people have them: plain PyTorch, arguments in, no import of the advisor. It classifies handwritten digits.

Two things make it tunable. It prints a JSON line after each epoch, and (for those who want trials to be paused and gone on
from) it keeps its state where ``--checkpoint`` says. Tune it for a minute with

    advisor run --budget 1m --fidelity epoch:1:20 --space examples/own_pytorch/space.toml --command "python
    examples/own_pytorch/train.py --epochs {epoch} --lr {lr} --width {width} --weight-decay {weight_decay}
    --optimizer {optimizer} --momentum {momentum} --checkpoint {checkpoint}"

or from Python with `advisor.objectives.command.CommandObjective`. By hand: ``python train.py --lr 0.05``. The digits ship with
scikit-learn; the split into training and validation rows is the same in every trial, and no test rows are touched.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn


def main() -> None:
    """Trains, and prints the validation loss after each epoch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--optimizer", choices=["sgd", "adamw"], default="sgd")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()

    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)
    order = torch.randperm(len(x))
    train, valid = order[:1200], order[1200:]

    model = nn.Sequential(nn.Linear(64, options.width), nn.ReLU(), nn.Linear(options.width, 10))
    if options.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            model.parameters(), lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay
        )
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=options.weight_decay)

    first = 1
    if options.checkpoint is not None and options.checkpoint.exists():
        state = torch.load(options.checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        for group in optimizer.param_groups:  # the configuration it goes on under, not the one it was kept under
            group.update(lr=options.lr, weight_decay=options.weight_decay)
        torch.set_rng_state(state["random"])
        first = state["epoch"] + 1

    for epoch in range(first, options.epochs + 1):
        model.train()
        for batch in train[torch.randperm(len(train))].split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss = nn.functional.cross_entropy(model(x[valid]), y[valid])
        if options.checkpoint is not None:
            draft = options.checkpoint.with_name(options.checkpoint.name + ".new")  # renamed when whole: it may be read at any time
            torch.save(
                {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}, draft
            )
            draft.replace(options.checkpoint)
        print(json.dumps({"step": epoch, "value": float(loss)}), flush=True)


if __name__ == "__main__":
    main()
