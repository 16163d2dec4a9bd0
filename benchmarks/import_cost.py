"""What our doors cost before they do anything: processor seconds over a bare interpreter, measured turn by turn.

    python -m benchmarks.import_cost [--rounds 9]

Each figure is the least of its rounds, because other work on the machine only ever adds time; the bare interpreter takes its
turn in every round. Beside the seconds stands the ratio to the bare interpreter of the same machine.

Ends with 1 when `import advisor` costs more than 0.15 processor seconds over the bare interpreter, or `advisor plan` on a
small CSV more than 2 seconds of them in all (wall time is printed too; on a busy machine it says little).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

IMPORT_SECONDS = 0.15
PLAN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took."""

    cpu_seconds: float
    wall_seconds: float


def cost(*arguments: str) -> Cost:
    """What ``python ARGUMENTS`` takes. Raises: subprocess.CalledProcessError when it fails."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - began)


def small_table(folder: Path) -> Path:
    """A CSV of 500 rows and four columns."""
    path = folder / "small.csv"
    rows = "".join(f"{i % 17},{(i * 7919) % 101 / 10},{'abc'[i % 3]},{'yes' if (i * 31) % 7 < 3 else 'no'}\n" for i in range(500))
    path.write_text("one,two,three,outcome\n" + rows)
    return path


def main() -> int:
    """0 when both limits hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        doors = {
            "bare interpreter": ("-c", "pass"),
            "import advisor": ("-c", "import advisor"),
            "advisor --version": ("-m", "advisor", "--version"),
            "advisor plan small.csv": ("-m", "advisor", "plan", str(small_table(Path(folder)))),
        }
        least = {name: cost(*arguments) for name, arguments in doors.items()}
        for _ in range(rounds - 1):
            for name, arguments in doors.items():
                found, best = cost(*arguments), least[name]
                least[name] = Cost(min(found.cpu_seconds, best.cpu_seconds), min(found.wall_seconds, best.wall_seconds))
    bare = least["bare interpreter"].cpu_seconds
    print(f"{'':24}{'cpu s':>8}{'over bare':>11}{'ratio':>8}{'wall s':>8}")
    for name, found in least.items():
        over = found.cpu_seconds - bare
        print(f"{name:24}{found.cpu_seconds:8.3f}{over:11.3f}{found.cpu_seconds / max(bare, 1e-3):8.1f}{found.wall_seconds:8.2f}")
    holds = least["import advisor"].cpu_seconds - bare <= IMPORT_SECONDS and least["advisor plan small.csv"].cpu_seconds <= PLAN_SECONDS
    print("within the limits" if holds else "OVER A LIMIT")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
