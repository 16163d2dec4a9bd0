"""The data sets that come with scikit-learn, read from its folder without importing it, which would take over a second."""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from advisor.core.errors import CannotRunError, InputError, nearest


@dataclass(frozen=True)
class Recipe:
    """How the files of one data set become a table."""

    file: str
    """The file with features, and the target as last column where `target_file` is empty."""
    features: tuple[str, ...] = ()
    """Names of the features; empty when the file's own header names them."""
    target_file: str = ""
    """The file with the target."""
    classes: tuple[str, ...] = ()
    """Names of the classes; empty for a number, or to take them from the file's first line."""
    delimiter: str | None = ","
    """Separator; None for blanks."""
    header_rows: int = 0
    """Lines before the first row."""


_NUCLEUS = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)

RECIPES = {
    "breast_cancer": Recipe(
        file="breast_cancer.csv",
        features=(*(f"mean {p}" for p in _NUCLEUS), *(f"{p} error" for p in _NUCLEUS), *(f"worst {p}" for p in _NUCLEUS)),
        classes=("malignant", "benign"),
        header_rows=1,
    ),
    "iris": Recipe(
        file="iris.csv",
        features=("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
        classes=("setosa", "versicolor", "virginica"),
        header_rows=1,
    ),
    "wine": Recipe(
        file="wine_data.csv",
        features=(
            "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids", "nonflavanoid_phenols",
            "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline",
        ),
        classes=("class_0", "class_1", "class_2"),
        header_rows=1,
    ),
    "digits": Recipe(
        file="digits.csv.gz",
        features=tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
        classes=tuple("0123456789"),
    ),
    "diabetes": Recipe(
        file="diabetes_data_raw.csv.gz",
        features=("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
        target_file="diabetes_target.csv.gz",
        delimiter=None,
    ),
    "linnerud": Recipe(
        file="linnerud_exercise.csv",
        features=("Chins", "Situps", "Jumps"),
        target_file="linnerud_physiological.csv",
        delimiter=None,
        header_rows=1,
    ),
}  # fmt: skip
"""Source: sklearn/datasets/_base.py of scikit-learn 1.9: the same files, names and scaling as its loaders give."""


def read(name: str) -> pl.DataFrame:
    """The features, then ``target`` (class names where there are any).

    ``linnerud`` has three targets in scikit-learn; the first, Weight, is ``target`` here and the other two are left out, since each follows
    from the same bodies.

    Raises: InputError for another name; CannotRunError when scikit-learn is not installed.
    """
    recipe = RECIPES.get(name)
    if recipe is None:
        raise InputError(f"scikit-learn ships no data set {name!r}", where=f"sklearn:{name}", cure=nearest(name, RECIPES))
    folder = _folder()
    values = _numbers(folder / recipe.file, recipe)
    if recipe.target_file:
        second = _numbers(folder / recipe.target_file, recipe)
        target, features = second if second.ndim == 1 else second[:, 0], values
    else:
        target, features = values[:, -1], values[:, :-1]
    if name == "diabetes":
        # The loader's default: each column centred and scaled so that its squares add up to 1.
        features = (features - features.mean(axis=0)) / (features.std(axis=0) * len(features) ** 0.5)
    columns = [pl.Series(n, features[:, i]) for i, n in enumerate(recipe.features)]
    labels = pl.Series("target", [recipe.classes[int(v)] for v in target]) if recipe.classes else pl.Series("target", target)
    return pl.DataFrame([*columns, labels])


def _folder() -> Path:
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise CannotRunError("scikit-learn is not installed", cure="Install it: pip install scikit-learn.")
    return Path(found.origin).parent / "datasets" / "data"


def _numbers(path: Path, recipe: Recipe) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.loadtxt(content.decode().splitlines(), delimiter=recipe.delimiter, skiprows=recipe.header_rows, dtype=np.float64)
