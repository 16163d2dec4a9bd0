"""Facts drawn at random from a seed: tables of many sizes, tasks and kinds, objectives of the user's own, machines, wishes, gaps."""

from __future__ import annotations

import math
import random
from typing import Any

from advisor.core.derived import LIBRARIES
from advisor.core.facts import (
    Answers,
    Column,
    ColumnKind,
    Dataset,
    Facts,
    GivenRows,
    Goal,
    Gpu,
    Hardware,
    Measured,
    Suspicion,
    Task,
    Unknown,
)
from advisor.core.objective import Fidelity, OwnObjective
from advisor.core.own import FAMILY
from advisor.core.plan import Strategy
from advisor.core.rules import Rulebook
from advisor.core.space import Choice, Float, Group, Int, SearchSpace

LOST = Unknown(reason="lost, to see what is decided without it")
GIB = 1024**3


def varied(seed: int, book: Rulebook) -> Facts:
    """Facts that a probe, a profile and a questionnaire could have given, the same for the same seed."""
    draw = random.Random(seed)
    own = draw.random() < 0.2
    machine = _machine(draw)
    data = None if own else _table(draw)
    answers = _answers(draw, data, book)
    engines = tuple(s for s in map(str, Strategy) if draw.random() < 0.95 or s in ("default", "portfolio"))
    if data is None:
        facts = Facts(hardware=machine, objective=_objective(draw), answers=answers, engines=engines)
        return facts.model_copy(update={"measured": (_measured(draw, FAMILY),)}) if draw.random() < 0.7 else facts
    data, answers = _with_files(random.Random(f"files {seed}"), data, answers)
    libraries = tuple(n for n in LIBRARIES if draw.random() < 0.5)
    if book.families[answers.model].package not in (None, *libraries) if answers.model != "auto" else False:
        libraries = tuple(LIBRARIES)
    facts = Facts(hardware=machine, data=data, answers=answers, engines=engines, libraries=libraries)
    if answers.model != "auto" and draw.random() < 0.6:
        facts = facts.model_copy(update={"measured": (_measured(draw, answers.model),)})
    return facts


def around(draw: random.Random, low: float, high: float) -> float:
    """A number between `low` and `high`, even on a logarithmic scale, in three digits."""
    return float(f"{math.exp(draw.uniform(math.log(low), math.log(high))):.3g}")


def _machine(draw: random.Random) -> Hardware:
    gpus = tuple(_gpu(f"GPU-{i}") for i in range(draw.choice([0, 0, 0, 1, 4])))
    values: dict[str, Any] = {
        "cpu_count": draw.choice([1, 2, 4, 8, 16, 64]),
        "cpu_model": "A processor",
        "instruction_sets": (),
        "memory_total_bytes": 512 * GIB,
        "memory_available_bytes": int(around(draw, 1e9, 5e11)),
        "disk_free_bytes": 100 * GIB,
        "gpus": gpus,
        "torch_device": "cuda" if gpus else draw.choice(["cpu", "cpu", "mps"]),
        "blas_threads": 4,
        "cluster_slots": draw.choice([0, 0, 0, 4, 8, 32]),
    }
    for name in ("cpu_count", "memory_available_bytes", "gpus", "torch_device", "cluster_slots"):
        if draw.random() < 0.05:
            values[name] = LOST
    return Hardware(**values)


def _gpu(name: str) -> Gpu:
    return Gpu(
        name="An accelerator",
        uuid=name,
        memory_total_bytes=24 * GIB,
        memory_used_bytes=GIB,
        memory_free_bytes=23 * GIB,
        driver="580.1",
        compute_capability="8.9",
        utilisation_ratio=0.0,
    )


def _dataset(
    *, rows: int, numeric: int, category: int, text: int, date: int, task: Task, classes: int, minority_ratio: float, **changed: Any
) -> Dataset:
    """A table with a target `y` and that many columns of each kind."""
    kinds = (
        ("x", numeric, ColumnKind.NUMERIC),
        ("c", category, ColumnKind.CATEGORY),
        ("t", text, ColumnKind.TEXT),
        ("d", date, ColumnKind.DATE),
    )
    columns = tuple(Column(name=f"{p}{i + 1}", kind=kind, distinct=20) for p, count, kind in kinds for i in range(count))
    count = classes if task.is_classification else 0
    values: dict[str, Any] = {
        "source": "table.csv",
        "fingerprint": "0" * 64,
        "rows": rows,
        "columns": columns,
        "bytes": rows * len(columns) * 8,
        "target": "y",
        "target_confidence": 1.0,
        "task": task,
        "classes": count,
        "rarest_class_rows": int(rows * minority_ratio) if count else 0,
        "minority_ratio": minority_ratio if count else 0.0,
        "feature_columns": len(columns),
        "numeric_columns": numeric,
        "category_columns": category,
        "text_columns": text,
        "date_columns": date,
        "width": numeric + 5 * category + 20 * text + 4 * date,
        "effective_dimensions": max(1, numeric // 2),
    }
    return Dataset(**{**values, **changed})


def _table(draw: random.Random) -> Dataset:
    task = draw.choice(list(Task))
    classes = 2 if task is Task.BINARY else draw.randint(3, 30)
    share = around(draw, 0.002, 1 / classes)
    rows = int(around(draw, 30, 2e6))
    is_image = draw.random() < 0.1 and task is not Task.REGRESSION
    side = draw.choice([8, 28])
    values: dict[str, Any] = {
        "rows": rows,
        "numeric": int(around(draw, 1, 300)),
        "category": draw.choice([0, 0, 2, 12]),
        "text": draw.choice([0, 0, 0, 1]),
        "date": draw.choice([0, 0, 0, 1]),
        "task": task,
        "classes": classes,
        "minority_ratio": share,
        "missing_ratio": draw.choice([0.0, 0.05, 0.3]),
        "duplicate_ratio": draw.choice([0.0, 0.1, LOST]),
        "has_heavy_tail": task is Task.REGRESSION and draw.random() < 0.4,
    }
    if is_image:
        channels = draw.choice([1, 3])
        values |= {
            "numeric": side * side,
            "category": 0,
            "text": 0,
            "date": 0,
            "image_side": side,
            "image_height": side,
            "image_width": side,
            "image_channels": channels,
            "image_source": "folder" if channels == 3 else "columns",
        }
    if draw.random() < 0.3 and not is_image:
        values["group_candidates"] = (Suspicion(column="x1", confidence=0.8, reason="it repeats"),)
        values["groups"] = max(3, int(around(draw, 3, max(4, rows / 2))))
    return _dataset(**values)


def _answers(draw: random.Random, data: Dataset | None, book: Rulebook) -> Answers:
    values: dict[str, Any] = {"goal": draw.choice([*Goal, Goal.BEST, Goal.BEST]), "budget_seconds": around(draw, 3, 3e5)}
    if data is not None and data.rows < 500 and draw.random() < 0.3:
        values["budget_seconds"] = around(draw, 0.2, 3)
    if draw.random() < 0.2:
        values["trials"] = int(around(draw, 1, 3000))
    if data is None:
        values["workers"] = draw.choice([None, None, 1, 2, 8])
        values["force"] = True
        values["model"] = "train:objective"
        return Answers(**values)
    if data.groups and draw.random() < 0.7:
        values["group"] = "x1"
    if draw.random() < 0.1 and data.numeric_columns > 2:
        values["time"] = "x2"
    is_hurried = data.rows < 500 and values["budget_seconds"] < 3
    if draw.random() < (0.7 if is_hurried else 0.2) and data.task in (Task.BINARY, Task.MULTICLASS):
        values["metric"] = "accuracy"
    if draw.random() < 0.1:
        values["seed"] = draw.randint(0, 9)
    if draw.random() < 0.4:
        fitting = [f.name for f in book.families.values() if data.task in f.estimators and (data.image_side or not f.needs_images)]
        values["model"] = draw.choice(fitting)
        if draw.random() < 0.1:
            values["freeze"] = book.families[values["model"]].space.default()
    return Answers(**values)


def _with_files(draw: random.Random, data: Dataset, answers: Answers) -> tuple[Dataset, Answers]:
    """Now and then the rows to validate or to test on come in files of their own; from a `draw` of its own, so that all else stays."""
    if data.holds_images or draw.random() >= 0.1:
        return data, answers
    names = ["test", "valid"][: draw.choice([1, 2])] if answers.time is not None else draw.choice([["valid"], ["test"], ["valid", "test"]])
    files = {n: GivenRows(source=f"{n}.csv", fingerprint="1" * 32, rows=max(20, data.rows // 4)) for n in names}
    return data.model_copy(update=files), answers.model_copy(update={n: rows.source for n, rows in files.items()})


def _measured(draw: random.Random, family: str) -> Measured:
    efficiency = around(draw, 0.3, 1.0) if draw.random() < 0.5 else LOST
    return Measured(family=family, fit_seconds=around(draw, 0.01, 300), parallel_efficiency_ratio=efficiency)


def _objective(draw: random.Random) -> OwnObjective:
    parameters: dict[str, Float | Int | Choice] = {
        f"x{i}": Float(0.0, 1.0) if draw.random() < 0.7 else Int(1, 100, log=True) for i in range(draw.randint(1, 20))
    }
    if draw.random() < 0.4:
        parameters["kind"] = Choice(["a", "b"])
        if draw.random() < 0.5:
            parameters["part"] = Float(0.0, 1.0, when={"kind": ["a"]})
    elif draw.random() < 0.2:
        parameters |= {"depth": Int(1, 3), "part": Float(0.0, 1.0, when={"depth": [2, 3]})}
    if draw.random() < 0.2:
        parameters |= {f"decay_{i}": Float(1e-6, 1.0, log=True, group=Group.REGULARISATION) for i in range(24)}
    is_steps = draw.random() < 0.5
    return OwnObjective(
        name="train:objective",
        kind=draw.choice(["function", "function", "differentiable"]),
        space=SearchSpace(parameters=parameters),
        fidelity=Fidelity("epoch", 1, draw.choice([3, 9, 50])) if is_steps else None,
        folds=draw.choice([1, 1, 5]),
        is_resumable=is_steps and draw.random() < 0.5,
        mutable=tuple(n for n in parameters if draw.random() < 0.5) if draw.random() < 0.5 else tuple(parameters),
        has_third_split=draw.random() < 0.5,
    )
