"""The house keeps its order: imports point one way, and importing costs nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("sklearn", "scipy", "torch", "optuna", "polars", "textual", "numpy", "ray", "keras")


def _loaded_after(statement: str) -> set[str]:
    """Heavy libraries that a fresh interpreter has loaded once it ran `statement`."""
    script = f"import json, sys\n{statement}\nprint(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_imports_point_one_way() -> None:
    """The contract of pyproject.toml is exhaustive: a room that is not placed there fails it too."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        check=False,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_importing_the_package_loads_no_heavy_library_and_not_even_pydantic() -> None:
    assert _loaded_after("import advisor") == set()
    script = "import sys, advisor\nprint('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there_and_listed() -> None:
    import advisor

    for name in advisor.__all__:
        assert getattr(advisor, name) is not None
    assert set(advisor.__all__) <= set(dir(advisor))


def test_help_loads_neither_session_nor_pydantic() -> None:
    statement = "from advisor.__main__ import main\nassert main(['--version']) == 0"
    assert _loaded_after(statement) == set()
    script = f"import sys\n{statement}\nprint([n for n in ('advisor.session', 'pydantic') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_plan_is_made_without_scikit_learn_optuna_torch_and_textual(tmp_path: Path) -> None:
    """The first recommendation is an estimate: what costs seconds to import is left to the run."""
    table = tmp_path / "table.csv"
    rows = "".join(f"{i % 17},{(i * 7) % 23},{'ab'[i % 2]}\n" for i in range(200))
    table.write_text("one,two,kind\n" + rows)
    statement = f"from advisor.__main__ import main\nassert main(['plan', {str(table)!r}, '--json']) == 0"
    assert _loaded_after(statement) & {"sklearn", "scipy", "optuna", "torch", "textual", "ray", "keras"} == set()


def test_no_module_bears_a_name_that_hides_its_idea() -> None:
    refused = re.compile(r"(^|_)(utils?|helpers?|manager|data|info|misc|common)(_|$)")
    named = [str(p.relative_to(ROOT)) for p in (ROOT / "advisor").rglob("*.py") if refused.search(p.stem)]
    assert named == []


def test_every_room_says_what_it_is() -> None:
    for path in (ROOT / "advisor").rglob("*.py"):
        assert path.read_text(encoding="utf-8").lstrip().startswith(('"""', 'r"""')), f"{path.relative_to(ROOT)} has no docstring"


def test_the_versions_of_the_package_agree() -> None:
    import advisor

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" in project["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", advisor.__version__)


@pytest.mark.slow
def test_the_wheel_carries_the_rules_and_finds_them(tmp_path: Path) -> None:
    """The wheel is unpacked beside nothing of the checkout, and asked from there for its rulebook."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (wheel,) = tmp_path.glob("*.whl")
    inside = tmp_path / "unpacked"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(inside)], check=True)
    assert not list(inside.glob("tests*"))
    script = (
        "import advisor; from advisor.rulebook.loading import load_rulebook, shipped_folder\n"
        "print(advisor.__file__); print(shipped_folder()); print(len(load_rulebook().families))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=inside, env={"PYTHONPATH": str(inside)}, stdout=subprocess.PIPE, text=True, check=True
    )
    package, rules, families = done.stdout.splitlines()
    assert package.startswith(str(inside)), "the unpacked copy answered, not the checkout"
    assert rules == str(inside / "advisor" / "rules")
    assert int(families) >= 1
