"""Objectives named by text."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from advisor.core.errors import InputError
from advisor.core.objective import Fidelity
from advisor.core.space import Choice, Float
from advisor.objectives.loading import load_objective, takes_trial
from advisor.supervise.evaluation import Ended
from advisor.supervise.pool import WorkerPool

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module below a working folder of the test's own; what is imported is forgotten afterwards."""
    modules, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)

    def file(name: str, body: str) -> Path:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(body))
        return target

    yield file
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def refusal(spec: str) -> str:
    with pytest.raises(InputError) as found:
        load_objective(spec)
    return str(found.value)


FULL = """
    import advisor
    from advisor.core.objective import Fidelity
    SPACE = {"lr": advisor.Float(1e-5, 1e-1, log=True), "batch": [16, 32]}
    FIDELITY = Fidelity("epoch", 1, 9)
    DIRECTION = "maximize"
    STARTS = [{"lr": 1e-3, "batch": 16}]
    def objective(config, checkpoint=None):
        return config["lr"]
    class Kept:
        def score(self, config):
            return 2.0
    kept = Kept()
    number = 3
"""


def test_a_module_gives_its_function_and_its_exports(write: Write) -> None:
    write("own_full.py", FULL)
    found = load_objective("own_full:objective")
    assert found.objective({"lr": 0.5}) == 0.5
    assert found.name == "own_full:objective"
    assert found.space is not None
    assert found.space.parameters == {"lr": Float(1e-5, 1e-1, log=True), "batch": Choice([16, 32])}
    assert found.fidelity == Fidelity("epoch", 1, 9)
    assert (found.direction, found.starts, found.is_optuna) == ("maximize", ({"lr": 1e-3, "batch": 16},), False)
    assert load_objective("own_full:kept.score").objective({}) == 2.0


def test_a_module_without_exports_says_nothing(write: Write) -> None:
    write("pack/__init__.py", "")
    write("pack/own_plain.py", "def objective(trial): return 1.0")
    found = load_objective("pack.own_plain:objective")
    assert (found.space, found.fidelity, found.direction, found.starts) == (None, None, None, ())
    assert found.is_optuna


def test_a_file_finds_its_siblings_and_runs_nothing_below_main(write: Write) -> None:
    write("deep/own_sibling_of.py", "SCALE = 3.0")
    path = write(
        "deep/own_file.py",
        """
        from own_sibling_of import SCALE
        def objective(config): return SCALE * config["x"]
        if __name__ == "__main__": raise SystemExit("ran as a script")
        """,
    )
    for spec in (f"{path}:objective", "deep/own_file.py:objective"):
        found = load_objective(spec)
        assert found.objective({"x": 2}) == 6.0
        assert found.name == "own_file:objective"


@pytest.mark.parametrize("name", ["my-own script.py", "random.py", "own_usual.py"])
def test_a_file_of_any_name_runs_in_a_worker(write: Write, tmp_path: Path, name: str) -> None:
    body = """
    import math
    OFFSET = 1
    def inner(x): return math.sqrt(x) + OFFSET
    def objective(config): return inner(config["x"])
    """
    found = load_objective(f"{write(f'folder/{name}', body)}:objective")
    assert found.objective({"x": 4.0}) == 3.0
    with WorkerPool(size=1, environment={}, memory_bytes=None, log_folder=tmp_path / "logs") as pool:
        pool.register("own", found.objective)
        pool.start(0, "own", {"x": 4.0}, limit_seconds=30.0)
        reports: list[Any] = []
        while not reports:
            reports = pool.poll(10.0)
    assert isinstance(reports[0], Ended), reports[0]
    assert reports[0].value == 3.0
    import random

    assert hasattr(random, "shuffle"), "the standard library's is still the one that is imported"


def test_what_is_not_there_is_refused_with_the_nearest_name(write: Write) -> None:
    write("own_training.py", "def objective(config): return 1.0\nvalue = 3\nclass Score:\n    def __call__(self, config): return 1.0\n")
    assert "Did you mean 'own_training'?" in refusal("own_trainin:objective")
    assert "Write own_training.py:… for the file" not in refusal("own_trainin:objective")
    assert "Did you mean 'own_training.py'?" in refusal("own_trainig.py:objective")
    assert "Did you mean 'objective'?" in refusal("own_training:objectiv")
    assert "which cannot be called" in refusal("own_training:value")
    assert "is a class" in refusal("own_training:Score")
    assert "names no objective" in refusal("own_training")
    assert "names no objective" in refusal(":objective")
    assert "no name of a module" in refusal("own training:objective")
    write("own.txt", "")
    assert "no Python file" in refusal("./own.txt:objective")
    assert "there is no file" in refusal("a\0b.py:objective")
    assert "there is no file" in refusal("~nobody-of-that-name/x.py:objective")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("import no_such_library_of_ours", ("line 1: import no_such_library_of_ours", "Install no_such_library_of_ours")),
        ("x = 1\ny = x / 0", ("line 2: y = x / 0", "ZeroDivisionError")),
        ("def objective(config:\n    return 1", ("line 1", "SyntaxError")),
        ("import sys\nsys.exit(2)", ("line 2", "__main__")),
        ("SPACE = {'x': 3}", ("SPACE of own_faulty", "one value and no range")),
        ("FIDELITY = 9", ("FIDELITY is a int",)),
        ("DIRECTION = 'up'", ("DIRECTION is 'up'",)),
        ("STARTS = {'x': 1}", ("STARTS is a dict",)),
    ],
)
def test_a_module_at_fault_is_named_with_its_own_line(write: Write, body: str, says: tuple[str, ...]) -> None:
    path = write("own_faulty.py", body + "\ndef objective(config): return 1.0\n")
    for spec in ("own_faulty:objective", f"{path}:objective"):
        said = refusal(spec)
        for part in says:
            assert part.replace("own_faulty", "") in said.replace(str(path), "").replace("own_faulty", ""), said


def test_optunas_objectives_are_known_by_their_argument() -> None:
    class Trial:
        pass

    def named(trial: Any) -> float:
        return 1.0

    def annotated(t: Trial, scale: float = 1.0) -> float:
        return 1.0

    def config(config: dict[str, Any], checkpoint: Any = None) -> float:
        return 1.0

    def two(trial: Any, other: Any) -> float:
        return 1.0

    assert takes_trial(named)
    assert takes_trial(annotated)
    assert not takes_trial(config)
    assert not takes_trial(two)
    assert not takes_trial(dict)


def test_loading_needs_no_optuna(write: Write) -> None:
    write("own_light.py", "def objective(config): return 1.0")
    script = (
        "import sys; from advisor.objectives.loading import load_objective\n"
        "load_objective('own_light:objective'); print('optuna' in sys.modules)"
    )
    root = str(Path(__file__).parent.parent.parent)
    done = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": root}, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "False"
