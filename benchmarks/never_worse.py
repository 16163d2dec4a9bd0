"""Is a tuned model ever worse than the default? Runs the product on a folder of tables and compares held-out scores.

    python -m benchmarks.never_worse FOLDER [--budget 30] [--seeds 5] [--parallel 2] [--no-target]

FOLDER holds CSV files and, optionally, ``manifest.json``: a list of ``{"file", "target", "group", "time"}``. Each run is the
command line's own ``advisor run … --json`` in a fresh process; its wall time is taken from outside. The difference is
(score of what was shipped − score of the default) on the held-out rows, in the direction of the metric and divided by the
default's score, so that tables can be averaged; 0 where the default was shipped.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any


@dataclass(frozen=True)
class Row:
    """One run."""

    table: str
    seed: int
    exit_code: int
    wall_seconds: float
    family: str | None
    strategy: str | None
    shipped: str | None
    heldout: float | None
    default: float | None
    difference: float | None
    completed: int
    right_target: bool | None
    error: str


def tables(folder: Path) -> Iterator[dict[str, Any]]:
    """The tables of `folder`, with what the manifest says of them."""
    manifest = folder / "manifest.json"
    if manifest.exists():
        for entry in json.loads(manifest.read_text()):
            yield {**entry, "path": folder / entry["file"]}
    else:
        for path in sorted(folder.glob("*.csv")):
            yield {"path": path, "file": path.name, "target": None}


def run(entry: dict[str, Any], *, seed: int, budget: float, workers: int | None, named: bool, extra: list[str]) -> Row:
    """One run of the command line on one table."""
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "advisor", "run", str(entry["path"]), "--budget", f"{budget:g}s", "--yes", "--json"]
        command += ["--seed", str(seed), "--runs", runs, *extra]
        if workers:
            command += ["--workers", str(workers)]
        if named and entry.get("target"):
            command += ["--target", entry["target"]]
        if named and entry.get("group"):
            command += ["--group", entry["group"]]
        if named and entry.get("time"):
            command += ["--time", entry["time"]]
        began = time.monotonic()
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        wall = time.monotonic() - began
        try:
            outcome = json.loads(ended.stdout)
        except ValueError:
            outcome = {}
        plans = list(Path(runs).glob("*/plan.toml"))
        target = None
        if plans:
            import tomllib

            target = tomllib.loads(plans[0].read_text()).get("target")
        shipped, default = outcome.get("heldout_score"), outcome.get("default_heldout_score")
        difference = None
        if shipped is not None and default is not None:
            sign = 1 if outcome["direction"] == "maximize" else -1
            difference = sign * (shipped - default) / max(abs(default), 1e-12)
        return Row(
            table=Path(entry["file"]).stem,
            seed=seed,
            exit_code=ended.returncode,
            wall_seconds=round(wall, 2),
            family=outcome.get("family"),
            strategy=outcome.get("strategy"),
            shipped=outcome.get("shipped"),
            heldout=shipped,
            default=default,
            difference=difference,
            completed=(outcome.get("trials") or {}).get("completed", 0),
            right_target=None if not entry.get("target") or target is None else target == entry["target"],
            error=ended.stderr.strip().splitlines()[-1] if ended.returncode and ended.stderr.strip() else "",
        )


def summary(rows: list[Row]) -> str:
    """The table per data set, and the mean over data sets with its standard error (over data sets, seeds averaged first)."""
    lines = [f"{'table':24}{'runs':>5}{'worst wall':>12}{'tuned':>7}{'mean diff':>11}{'se':>9}{'trials':>8}  families"]
    means = []
    for name in dict.fromkeys(r.table for r in rows):
        mine = [r for r in rows if r.table == name]
        differences = [r.difference for r in mine if r.difference is not None]
        if differences:
            means.append(mean(differences))
        se = stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
        lines.append(
            f"{name:24}{len(mine):>5}{max(r.wall_seconds for r in mine):>12.1f}{sum(r.shipped == 'tuned' for r in mine):>7}"
            f"{(mean(differences) if differences else math.nan):>+11.4f}{se:>9.4f}{mean(r.completed for r in mine):>8.1f}  "
            + ",".join(sorted({r.family or "-" for r in mine}))
        )
    if len(means) > 1:
        se = stdev(means) / math.sqrt(len(means))
        lines.append(f"mean over {len(means)} tables: {mean(means):+.4f}, standard error {se:.4f}, 95 % interval ")
        lines[-1] += f"[{mean(means) - 1.96 * se:+.4f}, {mean(means) + 1.96 * se:+.4f}], must lie above {-se:+.4f}"
    failed = [r for r in rows if r.exit_code]
    known = [r for r in rows if r.right_target is not None]
    lines.append(f"exit codes other than 0: {len(failed)}; right target in {sum(bool(r.right_target) for r in known)} of {len(known)} runs")
    lines += [f"  {r.table} seed {r.seed}: exit {r.exit_code}: {r.error}" for r in failed]
    return "\n".join(lines)


def main() -> None:
    """Runs everything and prints the table; each run as a JSON line to the file named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=float, default=30.0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--no-target", action="store_true", help="let the product guess everything")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--lines", type=Path, default=None, help="append one JSON line a run")
    parser.add_argument("extra", nargs="*", help="further flags of `advisor run`, after --")
    given = parser.parse_args()
    entries = [e for e in tables(given.folder) if not given.only or Path(e["file"]).stem in given.only]
    jobs = [(e, s) for s in range(given.first_seed, given.first_seed + given.seeds) for e in entries]
    rows: list[Row] = []
    with ThreadPoolExecutor(given.parallel) as pool:
        started = [
            pool.submit(run, e, seed=s, budget=given.budget, workers=given.workers, named=not given.no_target, extra=given.extra)
            for e, s in jobs
        ]
        for future in started:
            row = future.result()
            rows.append(row)
            print(json.dumps(asdict(row)), file=sys.stderr, flush=True)
            if given.lines:
                with given.lines.open("a") as out:
                    out.write(json.dumps(asdict(row)) + "\n")
    print(summary(rows))


if __name__ == "__main__":
    main()
