"""An epoch over images that stay one array costs a fraction of one through a loader that turns each image into a tensor.

Both train the same perceptron on the same 28 × 28 images with fused AdamW, one thread, an epoch each in turn; CPU times are compared, so
that other work on the machine tells less. The loader does what ``transforms.ToTensor`` does to an image of MNIST: from an array to a
picture, to bytes, to floats of 0..1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from advisor.objectives.image_network import FlatNetwork

LEAST_RATIO = 2.0
LEAST_RATIO_OF_READING = 10.0
BATCH = 128


class Loaded(Dataset[tuple[torch.Tensor, int]]):
    """One image at a time, through a picture."""

    def __init__(self, X: np.ndarray, y: np.ndarray) -> None:
        self.X, self.y = X, y

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.X[row, :, :, 0])
        tensor = torch.from_numpy(np.array(picture, dtype=np.uint8, copy=True)).view(28, 28, 1)
        return tensor.permute(2, 0, 1).contiguous().to(torch.float32).div(255), int(self.y[row])


def loader_epoch(network: nn.Module, optimiser: torch.optim.Optimizer, loader: Any) -> None:
    """One epoch as the article has it."""
    network.train()
    for x, y in loader:
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimiser.step()


def main(arguments: list[str] | None = None) -> int:
    """0 when the ratio holds, else 1."""
    parser = argparse.ArgumentParser(prog="image_epoch", description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    X = random.integers(0, 256, size=(chosen.images, 28, 28, 1)).astype(np.uint8)
    y = np.arange(chosen.images) % 10
    training = FlatNetwork(layers=1, width=128, batch_size=BATCH, epochs=chosen.repeats + 1).begin(X, y)
    network: nn.Module = training.network.body
    flat = nn.Sequential(nn.Flatten(), _Perceptron(network))
    optimiser = torch.optim.AdamW(flat.parameters(), lr=1e-3, fused=True)
    loader = DataLoader(Loaded(X, y), batch_size=BATCH, shuffle=True)
    loader_epoch(flat, optimiser, loader)
    training.run_epoch()
    works: tuple[Callable[[], object], ...] = (
        lambda: loader_epoch(flat, optimiser, loader),
        training.run_epoch,
        lambda: list(loader),
        lambda: [training._gathered(training.store, rows) for rows in torch.randperm(chosen.images).split(BATCH)],
    )
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(chosen.repeats):
        for seconds, work in zip(spent, works, strict=True):
            began = time.process_time()
            work()
            seconds.append(time.process_time() - began)
    epoch, own_epoch, reading, own_reading = (statistics.median(seconds) for seconds in spent)
    print(f"{chosen.images} images, batches of {BATCH}, CPU seconds an epoch and of them for reading:")
    print(f"  loader {epoch:.3f} and {reading:.3f}, one array {own_epoch:.3f} and {own_reading:.3f}")
    holds = epoch / own_epoch >= LEAST_RATIO and reading / own_reading >= LEAST_RATIO_OF_READING
    limits = f"at least {LEAST_RATIO:g} and {LEAST_RATIO_OF_READING:g}"
    print(f"loader / one array = {epoch / own_epoch:.1f}, reading {reading / own_reading:.0f}, {limits}: {'holds' if holds else 'MISSED'}")
    return 0 if holds else 1


class _Perceptron(nn.Module):
    """The same network for flat numbers."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(x, x.new_empty((len(x), 0), dtype=torch.int64))
        return out


if __name__ == "__main__":
    raise SystemExit(main())
