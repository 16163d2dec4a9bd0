"""The plan files of ``examples/article``: each is what the command in its own header recommends, without reasons and facts.

``python -m tests.examples.plans`` writes them again, for a machine of two processors, so that they do not depend on who writes them.
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import tomli_w

from advisor import gather, recommend
from advisor.cli.options import given_answers
from advisor.cli.planning import plan as plan_command
from advisor.core.plan import Plan
from advisor.core.value import encode
from tests.fakes.facts import GIB, hardware

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "examples" / "article"
LEFT_OUT = ("evidence", "rejected", "advice", "open", "rulebook_hash")
"""Why the plan is as it is: the command of the header tells it, for the machine and the rules of whoever asks."""


def plan_files() -> list[Path]:
    """All of them, by name."""
    return sorted(FOLDER.glob("*.toml"))


def header_of(path: Path) -> str:
    """The comment a file begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    length = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[:length])


def command_of(path: Path) -> tuple[str, dict[str, Any], Path]:
    """Data, answers and output file of the ``advisor plan`` in the header of `path`."""
    text = header_of(path).replace("\\\n#", " ")
    line = next(line for line in text.splitlines() if "advisor plan " in line)
    words = shlex.split(line.split("advisor plan ", 1)[1])
    given = dict(plan_command.make_context("plan", words, obj=SimpleNamespace(as_json=False)).params)
    return given["data"], given_answers(given), given["out"]


def recommended(path: Path) -> Plan:
    """What the command in the header of `path` recommends on two processors; edited where a script beside it says how.

    A table that is no data set of scikit-learn's is the one that the script beside the file writes.
    """
    data, answers, _ = command_of(path)
    script = path.with_suffix(".py")
    module = _load(script) if script.exists() else None
    if not data.startswith("sklearn:") and not Path(data).exists():
        assert module is not None
        module.write_table(Path(data))
    facts = gather(data, **answers)
    facts = facts.model_copy(update={"hardware": hardware(cpu_count=2, blas_threads=2, memory_available_bytes=8 * GIB)})
    plan = recommend(facts)
    return module.edited(plan) if module is not None and hasattr(module, "edited") else plan


def content_of(plan: Plan) -> dict[str, Any]:
    """`plan` as it stands in the file."""
    return {k: v for k, v in plan.model_dump(mode="json").items() if k not in LEFT_OUT}


def _load(script: Path) -> ModuleType:
    name = f"example_{script.stem}"
    spec = importlib.util.spec_from_file_location(name, script)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Writes every file again."""
    import contextlib
    import tempfile

    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        for path in plan_files():
            header = header_of(path)
            content = tomli_w.dumps(encode(content_of(recommended(path))), multiline_strings=False)
            path.write_text(f"{header}\n\n{content}", encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
