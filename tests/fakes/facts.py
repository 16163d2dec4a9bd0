"""Builders of `Facts` for named situations: the machine, the table and the wishes of someone we can picture.

Every builder takes answers as keywords (``budget_seconds=60.0``) and gives frozen values; nothing is read from the
machine the tests run on.
"""

from __future__ import annotations

from typing import Any

from advisor.core.facts import Answers, Column, ColumnKind, Dataset, Facts, Gpu, Hardware, Suspicion, Task, Unknown

GIB = 1024**3


def hardware(**changed: Any) -> Hardware:
    """A laptop: 4 processors, 16 GiB, no accelerator, no cluster."""
    values: dict[str, Any] = {
        "cpu_count": 4,
        "cpu_model": "A laptop's processor",
        "instruction_sets": ("avx2",),
        "memory_total_bytes": 16 * GIB,
        "memory_available_bytes": 12 * GIB,
        "disk_free_bytes": 100 * GIB,
        "gpus": (),
        "torch_device": "cpu",
        "blas_threads": 4,
        "cluster_slots": 0,
        "platform": "Linux x86_64",
        "is_container": False,
    }
    return Hardware(**{**values, **changed})


def gpu(**changed: Any) -> Gpu:
    """A free accelerator with 24 GiB."""
    values: dict[str, Any] = {
        "name": "An accelerator",
        "uuid": "GPU-0",
        "memory_total_bytes": 24 * GIB,
        "memory_used_bytes": GIB,
        "memory_free_bytes": 23 * GIB,
        "held_by": (),
        "driver": "580.1",
        "compute_capability": "8.9",
        "utilisation_ratio": 0.0,
    }
    return Gpu(**{**values, **changed})


def unknown_hardware() -> Hardware:
    """A machine of which nothing could be read."""
    nothing = Unknown(reason="the probe was refused", cure="Allow reading /proc.")
    names = set(Hardware.model_fields) - {"platform"}
    return Hardware(**dict.fromkeys(names, nothing))


def columns(*, numeric: int, category: int = 0, text: int = 0, date: int = 0) -> tuple[Column, ...]:
    """That many columns of each kind, called ``x1 …``, ``c1 …``, ``t1 …``, ``d1 …``."""
    kinds = (
        ("x", numeric, ColumnKind.NUMERIC, 100),
        ("c", category, ColumnKind.CATEGORY, 5),
        ("t", text, ColumnKind.TEXT, 100),
        ("d", date, ColumnKind.DATE, 100),
    )
    return tuple(Column(name=f"{p}{i + 1}", kind=kind, distinct=distinct) for p, count, kind, distinct in kinds for i in range(count))


def table(
    *,
    rows: int = 600,
    numeric: int = 20,
    category: int = 0,
    text: int = 0,
    date: int = 0,
    task: Task | Unknown = Task.BINARY,
    classes: int = 2,
    minority_ratio: float | None = None,
    target: str | Unknown = "y",
    extra: tuple[Column, ...] = (),
    **changed: Any,
) -> Dataset:
    """A table with a known target `y`; `extra` columns stand after the features."""
    is_class = isinstance(task, Task) and task.is_classification
    count = classes if is_class else 0
    ratio = minority_ratio if minority_ratio is not None else (1 / count if count else 0.0)
    values: dict[str, Any] = {
        "source": "table.csv",
        "fingerprint": "0" * 64,
        "rows": rows,
        "columns": (*columns(numeric=numeric, category=category, text=text, date=date), *extra),
        "bytes": rows * (numeric + category + text + date) * 8,
        "target": target,
        "target_confidence": 0.93,
        "task": task,
        "classes": count,
        "rarest_class_rows": int(rows * ratio) if count else 0,
        "minority_ratio": ratio,
        "feature_columns": numeric + category + text + date,
        "numeric_columns": numeric,
        "category_columns": category,
        "text_columns": text,
        "date_columns": date,
        "width": numeric + 5 * category + 20 * text + 4 * date,
        "effective_dimensions": max(1, numeric // 2),
        "missing_ratio": 0.0,
        "duplicate_ratio": 0.0,
    }
    return Dataset(**{**values, **changed})


def facts(machine: Hardware | None = None, data: Dataset | None = None, **answers: Any) -> Facts:
    """Facts of a laptop with a small table, unless told otherwise."""
    return Facts(hardware=machine or hardware(), data=data or table(), answers=Answers(**answers))


def laptop_small_table(**answers: Any) -> Facts:
    """600 rows, 20 numbers, two classes, a laptop, ten minutes."""
    return facts(**answers)


def laptop_small_regression(**answers: Any) -> Facts:
    """450 rows, 10 numbers, a number to predict."""
    return facts(data=table(rows=450, numeric=10, task=Task.REGRESSION), **answers)


def laptop_mixed_table(**answers: Any) -> Facts:
    """5,000 rows, 8 numbers and 12 categories, 11 % positives."""
    return facts(data=table(rows=5000, numeric=8, category=12, minority_ratio=0.11, missing_ratio=0.08), **answers)


def large_regression(**answers: Any) -> Facts:
    """50,000 rows, 7 numbers and 3 categories, a number with a heavy tail."""
    return facts(data=table(rows=50_000, numeric=7, category=3, task=Task.REGRESSION, has_heavy_tail=True), **answers)


def rare_event_table(**answers: Any) -> Facts:
    """11,000 rows, 2.3 % positives."""
    return facts(data=table(rows=11_000, numeric=6, minority_ratio=0.023), **answers)


def six_rows_of_a_class(**answers: Any) -> Facts:
    """300 rows, three classes, the rarest has 6 rows."""
    return facts(data=table(rows=300, numeric=12, task=Task.MULTICLASS, classes=3, minority_ratio=0.02), **answers)


def one_class(**answers: Any) -> Facts:
    """A target that never varies."""
    return facts(data=table(rows=300, classes=1, minority_ratio=1.0), **answers)


def grouped_table(**answers: Any) -> Facts:
    """2,000 rows of 80 patients; the column ``patient`` is a candidate, in force when ``group="patient"`` is answered."""
    patient = Column(name="patient", kind=ColumnKind.INTEGER_CODED, distinct=80)
    seen = (Suspicion(column="patient", confidence=0.9, reason="80 values in runs of 25 rows"),)
    in_force = 80 if answers.get("group") else 0
    data = table(rows=2000, numeric=15, extra=(patient,), group_candidates=seen, groups=in_force, feature_columns=16, numeric_columns=16)
    return facts(data=data, **answers)


def time_ordered_table(**answers: Any) -> Facts:
    """20,000 hourly rows; the column ``stamp`` is a candidate, in force when ``time="stamp"`` is answered."""
    stamp = Column(name="stamp", kind=ColumnKind.DATE, distinct=20_000)
    seen = (Suspicion(column="stamp", confidence=0.95, reason="dates that never go back"),)
    data = table(
        rows=20_000, numeric=10, task=Task.REGRESSION, extra=(stamp,), time_candidates=seen, is_sorted_by_time=True, feature_columns=11
    )
    return facts(data=data, **answers)


def one_gpu_images(**answers: Any) -> Facts:
    """60,000 images of 28 × 28 in columns, ten classes, one accelerator, half an hour."""
    machine = hardware(cpu_count=16, memory_total_bytes=128 * GIB, memory_available_bytes=100 * GIB, gpus=(gpu(),), torch_device="cuda")
    data = table(rows=60_000, numeric=784, task=Task.MULTICLASS, classes=10, image_side=28)
    return facts(machine, data, **{"budget_seconds": 1800.0, "model": "mlp", **answers})


def one_gpu_photographs(**answers: Any) -> Facts:
    """20,000 photographs of 64 × 64 in the folders of ten classes, one accelerator, an hour, the family left open."""
    machine = hardware(cpu_count=16, memory_total_bytes=128 * GIB, memory_available_bytes=100 * GIB, gpus=(gpu(),), torch_device="cuda")
    pixels = 64 * 64 * 3
    data = table(
        rows=20_000,
        numeric=0,
        task=Task.MULTICLASS,
        classes=10,
        target="class",
        extra=(Column(name="image", kind=ColumnKind.IMAGE, distinct=20_000),),
        source="photographs",
        bytes=20_000 * pixels,
        target_confidence=1.0,
        feature_columns=pixels,
        numeric_columns=pixels,
        width=pixels,
        effective_dimensions=Unknown(reason="12288 numeric columns are too many to decompose quickly"),
        image_side=64,
        image_height=64,
        image_width=64,
        image_channels=3,
        image_source="folder",
    )
    return facts(machine, data, **{"budget_seconds": 3600.0, **answers})


def ray_cluster(**answers: Any) -> Facts:
    """A cluster of 64 slots, half a million rows, a network, four hours; the schedule is the product."""
    machine = hardware(
        cpu_count=32,
        memory_total_bytes=256 * GIB,
        memory_available_bytes=200 * GIB,
        gpus=tuple(gpu(uuid=f"GPU-{i}") for i in range(4)),
        torch_device="cuda",
        cluster_slots=64,
    )
    wishes = {"budget_seconds": 4 * 3600.0, "model": "mlp", "goal": "schedule", "cluster": "ray://head:10001", **answers}
    return facts(machine, table(rows=500_000, numeric=100, task=Task.MULTICLASS, classes=10), **wishes)


def nothing_known(**answers: Any) -> Facts:
    """A small table on a machine of which nothing could be read."""
    return facts(unknown_hardware(), **answers)


SITUATIONS = {
    f.__name__: f
    for f in (
        laptop_small_table,
        laptop_small_regression,
        laptop_mixed_table,
        large_regression,
        rare_event_table,
        six_rows_of_a_class,
        grouped_table,
        time_ordered_table,
        one_gpu_images,
        one_gpu_photographs,
        ray_cluster,
        nothing_known,
    )
}
"""Every situation that has a plan, by name."""
