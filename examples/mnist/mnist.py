"""A perceptron on handwritten digits, tuned: the article's example of Bayesian optimisation, redone.

    python examples/mnist/mnist.py                 # the digits that ship with scikit-learn, written as MNIST's files first
    python examples/mnist/mnist.py FOLDER          # any folder with MNIST's four IDX files, packed or not; nothing is downloaded
    python examples/mnist/mnist.py --write FOLDER  # only writes those digits, for the commands below

What is different from the article: a part of the training set validates, and the test set is read once, after everything is chosen;
the images are decoded once and stay tensors, instead of going through a loader one by one; each epoch is reported, so that a poor
trial can be stopped, with a checkpoint, so that it can be gone on with.

The same without a line of code, by the network that is built in, or by a convolutional one:

    advisor run FOLDER --model mlp --metric accuracy
    advisor run FOLDER --model cnn
    advisor predict RUN FOLDER/t10k-images-idx3-ubyte.gz
"""

from __future__ import annotations

import argparse
import gzip
import struct
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import advisor

EPOCHS = 8
SPACE = {
    "lr": advisor.Float(1e-4, 1e-1, log=True, default=1e-3),
    "dropout": advisor.Float(0.1, 0.5, default=0.2),
    "hidden": advisor.Choice([64, 128, 256], default=128),
}


def read_idx(folder: Path, name: str) -> np.ndarray:
    """The array of an IDX file, packed or not. Source: the format as yann.lecun.com/exdb/mnist describes it."""
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise SystemExit(f"{folder} has no {name}; name a folder with MNIST's four files")
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if content[:3] != b"\0\0\x08":
        raise SystemExit(f"{path} is no IDX file of bytes")
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * content[3]).reshape(shape).copy()


def write_digits(folder: Path) -> Path:
    """`folder` with the digits of scikit-learn in the four files that MNIST has, a fifth of them as the test set."""
    from sklearn.datasets import load_digits

    folder.mkdir(parents=True, exist_ok=True)
    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    cut = len(images) * 4 // 5
    for part, rows in (("train", order[:cut]), ("t10k", order[cut:])):
        for name, array in (("images-idx3", images[rows]), ("labels-idx1", data.target[rows].astype(np.uint8))):
            head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return folder


@lru_cache(maxsize=2)
def _tensors(folder: Path, part: str, device: str) -> tuple[Tensor, Tensor]:
    """Images ``(rows, pixels)`` of 0..1 and their classes, on the device for as long as the process lives."""
    images, labels = read_idx(folder, f"{part}-images-idx3-ubyte"), read_idx(folder, f"{part}-labels-idx1-ubyte")
    x = torch.from_numpy(images.reshape(len(images), -1)).to(device).float() / 255
    return x, torch.from_numpy(labels).to(device).long()


class Perceptron:
    """The article's objective: ``objective(config)`` yields the accuracy on validation images after each epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, config: dict[str, Any], checkpoint: Any = None) -> Iterator[advisor.Measurement]:
        """One measurement an epoch; after `checkpoint` where there is one."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        x, y = _tensors(self.folder, "train", device)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(device)
        held, kept = order[: len(x) // 5], order[len(x) // 5 :]
        yield from self.trained(config, (x[kept], y[kept]), (x[held], y[held]), checkpoint)

    @staticmethod
    def trained(
        config: dict[str, Any], training: tuple[Tensor, Tensor], scored: tuple[Tensor, Tensor], checkpoint: Any = None
    ) -> Iterator[advisor.Measurement]:
        """The accuracy on `scored` after each epoch on `training`."""
        x, y = training
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(x.shape[1], config["hidden"]), nn.ReLU(), nn.Dropout(config["dropout"]), nn.Linear(config["hidden"], int(y.max()) + 1)
        ).to(x.device)
        optimiser = torch.optim.Adam(model.parameters(), lr=config["lr"], fused=True)
        begun = 0
        if checkpoint is not None:
            begun = checkpoint["epoch"]
            model.load_state_dict(checkpoint["model"])
            optimiser.load_state_dict(checkpoint["optimiser"])
        for epoch in range(begun + 1, EPOCHS + 1):
            torch.manual_seed(epoch)  # so that going on from a checkpoint is the same as never having stopped
            model.train()
            for rows in torch.randperm(len(x), device=x.device).split(128):
                optimiser.zero_grad(set_to_none=True)
                nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimiser.step()
            model.eval()
            with torch.no_grad():
                accuracy = (model(scored[0]).argmax(1) == scored[1]).float().mean().item()
            state = {"epoch": epoch, "model": model.state_dict(), "optimiser": optimiser.state_dict()}
            yield advisor.Measurement(step=epoch, value=accuracy, checkpoint=state)


def main(arguments: list[str] | None = None) -> None:
    """Tunes the perceptron and scores the winner and the default on the test set, once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    parser.add_argument("--budget", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--trials", type=int)
    given = parser.parse_args(arguments)
    if given.write is not None:
        print(f"written to {write_digits(given.write)}")
        return
    with tempfile.TemporaryDirectory() as place:
        folder = (given.folder or write_digits(Path(place) / "digits")).resolve()
        outcome = advisor.tune(
            Perceptron(folder),
            SPACE,
            direction="maximize",
            fidelity=advisor.Fidelity("epoch", 1, EPOCHS),
            budget_seconds=given.budget,
            max_trials=given.trials,
            isolation="inline",
        )
        assert outcome.best_config is not None
        print(f"{len(outcome.trials)} trials by {outcome.plan.strategy}: validation accuracy {outcome.best_value:.4f}")
        print(f"chosen: {outcome.best_config}")
        default = {name: parameter.default for name, parameter in SPACE.items()}
        device = "cuda" if torch.cuda.is_available() else "cpu"
        training, test = _tensors(folder, "train", device), _tensors(folder, "t10k", device)
        for name, config in (("chosen", outcome.best_config), ("default", default)):
            *_, last = Perceptron.trained(config, training, test)
            print(f"test accuracy of the {name} configuration, trained on all training images: {last.value:.4f}")


if __name__ == "__main__":
    main()
