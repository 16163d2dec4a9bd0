"""A profile of a large CSV costs at most twice what polars takes to collect every column with its streaming engine, and 2 GB.

``python -m benchmarks profile_scan --megabytes 200`` for a quick look; 1000 by default. Both run in processes of their own on the same
generated file, one after the other, alternating; the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

LARGEST_RATIO = 2.0
LARGEST_BYTES = 2 * 1000**3
_BLOCK_ROWS = 200_000

_MEASURE = """
import json, resource, sys, time
began = time.perf_counter()
{body}
seconds = time.perf_counter() - began
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""
_SCAN = """
import polars as pl
pl.scan_csv(sys.argv[1]).collect(engine="streaming")
"""
_PROFILE = """
from advisor.profiling.profile import profile_table
profile_table(sys.argv[1])
"""


def generate(path: Path, size: int) -> int:
    """Rows written: a CSV of about `size` bytes with numbers, codes, categories, dates and values missing as ``?``."""
    rng = np.random.default_rng(0)
    rows = 0
    with path.open("wb") as file:
        while file.tell() < size:
            count = np.arange(rows, rows + _BLOCK_ROWS)
            numbers = {f"number_{i}": np.round(rng.normal(size=_BLOCK_ROWS), 6) for i in range(10)}
            codes = {f"code_{i}": rng.integers(0, 10 ** (i + 1), _BLOCK_ROWS) for i in range(3)}
            kinds = {f"kind_{i}": rng.choice([f"level_{k}" for k in range(4 * (i + 1))], _BLOCK_ROWS) for i in range(3)}
            day = np.datetime64("2015-01-01") + count // 1000
            frame = pl.DataFrame({"row": count, **numbers, **codes, **kinds, "day": day, "label": rng.integers(0, 2, _BLOCK_ROWS)})
            holes = pl.Series(rng.random(_BLOCK_ROWS) < 0.05)
            frame = frame.with_columns(pl.when(holes).then(pl.lit("?")).otherwise(pl.col("number_9").cast(pl.String)).alias("number_9"))
            file.write(frame.write_csv(include_header=rows == 0).encode())
            rows += _BLOCK_ROWS
    return rows


def measure(body: str, path: Path) -> tuple[float, int]:
    """Seconds and peak bytes of `body` in a fresh interpreter, imports included."""
    code = _MEASURE.format(body=body)
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return float(seconds), int(peak)


def main(arguments: list[str] | None = None) -> int:
    """0 when both limits hold, else 1."""
    parser = argparse.ArgumentParser(prog="profile_scan", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.csv"
        rows = generate(path, chosen.megabytes * 1_000_000)
        print(f"{path.stat().st_size / 1e6:,.0f} MB, {rows:,} rows", flush=True)
        scans, profiles = [], []
        for _ in range(chosen.repeats):
            scans.append(measure(_SCAN, path))
            profiles.append(measure(_PROFILE, path))
            told = (
                f"{name} {spent:.2f} s {peak / 1e6:,.0f} MB" for name, (spent, peak) in (("scan", scans[-1]), ("profile", profiles[-1]))
            )
            print("  " + "   ".join(told), flush=True)
    ratio = statistics.median(p[0] for p in profiles) / statistics.median(s[0] for s in scans)
    peak = max(p[1] for p in profiles)
    holds = ratio <= LARGEST_RATIO and peak <= LARGEST_BYTES
    limits = f"at most {LARGEST_RATIO} and {LARGEST_BYTES / 1e6:,.0f} MB"
    print(f"profile / scan = {ratio:.2f}, peak {peak / 1e6:,.0f} MB, {limits}: {'holds' if holds else 'MISSED'}")
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
