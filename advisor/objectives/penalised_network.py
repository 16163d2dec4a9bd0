"""The network for tables with an L2 strength for each of its parts, as a training whose losses PyTorch can differentiate."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import functional_call

from advisor.core.errors import CannotRunError
from advisor.core.facts import Task
from advisor.core.family import Family
from advisor.core.space import Choice, Config, Float, Group, SearchSpace
from advisor.objectives.differentiable import Differentiable, Tensors
from advisor.objectives.network import OTHER_INPUTS, TabularNetwork, Training
from advisor.objectives.pipelines import PENALTY, build, estimator_class, penalised_part
from advisor.objectives.prepared import Prepared
from advisor.objectives.splitting import group_codes, merged, read_splits
from advisor.objectives.tables import read_prepared

Rows = npt.NDArray[np.intp]
LOWEST, HIGHEST, USUAL = 1e-5, 10.0, 1e-2
"""L2 strength of one part: bounds and default. [H]"""
SMOOTH = {"normalisation": "none", "dropout": 0.0, "weight_decay": 0.0}
"""What the network is held at: its loss is then a function of its weights and rows alone, and L2 the only regulariser.

Layer normalisation was tried instead: it takes the scale of the weights out of the loss, so that their L2 strength says little, and
L-BFGS no longer came near an optimum (digits beside noise: second validation loss 0.31 after the search, against 0.15 without it).
"""
BATCHED_FROM = 20_000
"""Training rows above which a step sees a batch of them."""
BATCH = 4096
FEWEST = 50
"""[H] Rows that each validation split needs."""


def three_splits(prepared: Prepared) -> tuple[Rows, Rows, Rows]:
    """Rows to train on, to follow the gradient on, and to choose on; none of them held out, whole groups together, the past first.

    Two folds of the search where it has at least four, else the two halves of what its first split scores: halves in time, in
    groups, or stratified.

    Raises: CannotRunError when a part would hold fewer than 50 rows.
    """
    pairs = read_splits(Path(prepared.splits))
    table = read_prepared(Path(prepared.table))
    with np.load(prepared.parts, allow_pickle=False) as parts:
        groups = parts["groups"]
    folds = 1
    while folds < len(pairs) and not np.isin(pairs[folds][1], np.concatenate([test for _, test in pairs[:folds]])).any():
        folds += 1
    if prepared.is_ordered:
        train, test = pairs[-1]
        first, second = np.sort(test)[: len(test) // 2], np.sort(test)[len(test) // 2 :]
    elif folds >= 4:
        first, second = pairs[0][1], pairs[1][1]
        train = np.setdiff1d(pairs[0][0], second)
    else:
        train, test = pairs[0]
        first, second = _halves(test, table.y[test], groups[test] if len(groups) else None, prepared.task)
    for rows in (train, first, second):
        if len(rows) < FEWEST:
            raise CannotRunError(
                f"a third split would hold {len(rows)} rows, and {FEWEST} are needed", where="validation", cure="Use another strategy."
            )
    return train, first, second


def _halves(test: Rows, y: npt.NDArray[Any], groups: npt.NDArray[Any] | None, task: Task) -> tuple[Rows, Rows]:
    if groups is not None:
        codes = group_codes(groups, len(test))
        sizes = np.bincount(codes)
        is_first = np.zeros(len(sizes), dtype=bool)
        counts = [0, 0]
        for code in np.argsort(-sizes, kind="stable"):  # the larger groups first, each to the half that is smaller so far
            half = int(counts[1] < counts[0])
            is_first[code] = half == 0
            counts[half] += int(sizes[code])
        return test[is_first[codes]], test[~is_first[codes]]
    labels = merged(y, 2) if task.is_classification else y
    order = np.argsort(labels, kind="stable")  # neighbours in rank go to different halves
    return np.sort(test[order[0::2]]), np.sort(test[order[1::2]])


def table_space(family: Family, prepared: Prepared, config: Config | None = None) -> SearchSpace:
    """One L2 strength a leading input column, one for the other inputs, one a hidden matrix and one for the last.

    Beside them stands everything else that makes the network, at one value: `config`'s, else the family's default. A configuration
    of this space is therefore one that the family's own objective trains as any other. Names are ``l2_input_0_age``: the column's
    position as the network sees it, and what it is called.

    Raises: CannotRunError when the family's estimator is not the table network.
    """
    if estimator_class(family, prepared.task) is not TabularNetwork:
        raise CannotRunError(f"{family.name} is no network for tables", where="--model", cure="Choose the network, or another strategy.")
    held = {**family.space.default(), **family.fixed, **(config or {}), **SMOOTH}
    names, has_others = _leading(family, prepared, held)
    parts = [f"input_{i}_{re.sub(r'[^0-9A-Za-z]+', '_', name).strip('_')}" for i, name in enumerate(names)]
    parts += [OTHER_INPUTS] if has_others else []
    parts += [f"block_{i}_{k}" for i in range(int(held.get("layers", 2))) for k in (1, 2)] + ["last"]
    strength = Float(LOWEST, HIGHEST, log=True, default=USUAL, group=Group.REGULARISATION)
    fixed = {
        name: Choice([value], default=value) for name, value in held.items() if name not in family.fixed or family.fixed[name] != value
    }
    return SearchSpace(parameters={**{PENALTY + part: strength for part in parts}, **fixed})


def _leading(family: Family, prepared: Prepared, config: Config) -> tuple[list[str], bool]:
    """Columns of the table whose place in the network's input is the same on any rows, in that order: categories, then numbers; and
    whether others follow them."""
    pipeline = _pipeline(family, prepared, config, seed=0, threads=1, device="cpu")
    names: list[str] = []
    for step, _, columns in pipeline.steps[0][1].transformers:
        if step not in ("category", "numeric"):
            return names, True
        names += list(columns)
    return names, False


def _pipeline(family: Family, prepared: Prepared, config: Config, *, seed: int, threads: int, device: str) -> Any:
    return build(family, prepared.columns, prepared.task, config, seed=seed, threads=threads, classes=len(prepared.classes), device=device)


def build_differentiable(
    prepared: Prepared,
    family: Family,
    *,
    config: Config | None = None,
    seed: int = 0,
    threads: int = 1,
    device: str = "cpu",
    steps: int | None = None,
    learning_rate: float = 3e-3,
) -> tuple[Differentiable, SearchSpace]:
    """The table network's training by L2 strengths a part, on three splits of the development rows, and the space of the strengths.

    `config` holds what else makes the network (layers, width …). The held-out rows are not read. It is trained by 100 steps of
    L-BFGS, or where a step sees a batch by 1,000 of Adam at `learning_rate`.

    Raises: CannotRunError when the family has no such network, or there are too few rows for three splits.
    """
    space = table_space(family, prepared, config)
    table, (train, *judged) = read_prepared(Path(prepared.table)), three_splits(prepared)
    pipeline = _pipeline(family, prepared, space.default(), seed=seed, threads=threads, device=device)
    preprocessing, estimator = pipeline.steps[0][1], pipeline.steps[-1][1]
    weight = None if table.weight is None or not family.supports_weights else table.weight
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X = preprocessing.fit_transform(table.frame[train], table.y[train])
        training = estimator.begin(X, table.y[train], None if weight is None else weight[train])
    assert isinstance(training, Training)
    network = training.network.eval()
    if not set(training.penalised()) - {penalised_part(name) for name in space.parameters}:
        space = space.restrict([name for name in space.parameters if name != PENALTY + OTHER_INPUTS])  # these rows have no others
    names = {name: penalised_part(name) for name in space.parameters if name.startswith(PENALTY)}
    every = torch.arange(len(train), device=training.device)

    def output(parameters: Tensors, numbers: Tensor, codes: Tensor) -> Tensor:
        found: Tensor = functional_call(network, dict(parameters), (numbers, codes))
        return found

    def train_loss(parameters: Tensors, hyperparameters: Tensors, rows: Tensor = every) -> Tensor:
        loss = training.loss_of(
            output(parameters, training.numbers[rows], training.codes[rows]), training.target[rows], _of(training.weight, rows)
        )
        return loss + training.penalty(parameters, {part: hyperparameters[name] for name, part in names.items()})

    def judge(rows: Rows) -> Callable[[Tensors], Tensor]:
        y = table.y[rows]
        if training.classes:
            kept = np.isin(y, estimator.classes_)  # a class without a training row has no output
            rows, y = rows[kept], np.searchsorted(estimator.classes_, y[kept])
        numbers, codes = training.hold(preprocessing.transform(table.frame[rows]))
        target = training.target_of(y)
        weights = None if weight is None else torch.as_tensor(weight[rows], dtype=torch.float32, device=training.device)
        return lambda parameters: training.loss_of(output(parameters, numbers, codes), target, weights)

    def batches(step: int) -> Tensor:
        size = min(BATCH, len(train))
        each = len(train) // size
        generator = torch.Generator().manual_seed((seed * 1_000_003 + step // each) % 2**63)
        return torch.randperm(len(train), generator=generator)[(step % each) * size :][:size].to(training.device)

    is_batched = len(train) > BATCHED_FROM
    pair = Differentiable(
        start={name: parameter.detach().clone() for name, parameter in network.named_parameters()},
        train_loss=train_loss,
        validation_loss=judge(judged[0]),
        second_validation_loss=judge(judged[1]),
        batches=batches if is_batched else None,
        steps=steps or (1000 if is_batched else 100),
        optimiser="adam" if is_batched else "lbfgs",
        learning_rate=learning_rate,
    )
    return pair, space


def _of(weight: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if weight is None else weight[rows]
