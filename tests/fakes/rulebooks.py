"""The shipped rulebook, and rulebooks with families that a test needs and nobody ships."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from advisor.core.plan import Strategy
from advisor.core.rules import Rulebook
from advisor.rulebook.loading import load_rulebook, shipped_folder

EVERY_ENGINE = tuple(map(str, Strategy))
"""Engines of a version that can run every strategy."""


@cache
def shipped() -> Rulebook:
    """The rules of this checkout."""
    return load_rulebook(shipped_folder())


def with_choices(folder: Path) -> Rulebook:
    """The shipped rules and a network `branching` whose optimiser is a choice, so that its space is not numeric."""
    text = (shipped_folder() / "families" / "mlp.toml").read_text().split("[[rule]]")[0].replace('name = "mlp"', 'name = "branching"')
    text += (
        '\n[family.space.optimiser]\ntype = "choice"\nchoices = ["sgd", "adamw"]\ndefault = "adamw"\ngroup = "optimisation"\npriority = 2\n'
    )
    return _overlaid(folder, text)


def with_regularisers(folder: Path) -> Rulebook:
    """The shipped rules and a network `layerwise` with a weight decay a layer, twenty-four in all."""
    text = (shipped_folder() / "families" / "mlp.toml").read_text().split("[family.space")[0]
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("starts"))
    text = text.replace('name = "mlp"', 'name = "layerwise"').replace('mutable = ["lr", "dropout", "weight_decay"]', "mutable = []")
    for layer in range(24):
        text += f'\n[family.space.decay_{layer}]\ntype = "float"\nlow = 1e-6\nhigh = 1e-1\nlog = true\n'
        text += 'default = 1e-4\ngroup = "regularisation"\n'
    return _overlaid(folder, text)


def _overlaid(folder: Path, text: str) -> Rulebook:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "family.toml").write_text(text)
    return load_rulebook(shipped_folder(), folder)
