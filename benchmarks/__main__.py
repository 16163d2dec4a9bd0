"""``python -m benchmarks`` lists the benchmarks; ``python -m benchmarks NAME [OPTIONS]`` runs one."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path


def available() -> dict[str, str]:
    """Name of each benchmark and the first line of its docstring."""
    here = Path(__file__).parent
    return {
        path.stem: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        for path in sorted(here.glob("*.py"))
        if not path.stem.startswith("_")
    }


def main() -> int:
    """Lists or runs; 2 for a name that is none."""
    found = available()
    if len(sys.argv) < 2:
        for name, summary in found.items():
            print(f"{name:20} {summary}")
        return 0
    name = sys.argv.pop(1)
    if name not in found:
        print(f"There is no benchmark {name!r}. Known: {', '.join(found)}.", file=sys.stderr)
        return 2
    sys.argv[0] = name
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
