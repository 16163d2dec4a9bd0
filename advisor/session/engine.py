"""The engine process of a run: ``python -m advisor.session.engine RUN_DIR --began SECONDS``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from advisor.core.errors import AdvisorError, ExitCode


def main(arguments: list[str] | None = None) -> int:
    """Runs the engine to its end; the exit code is that of the error tree. An error is left in ``engine-error.json``."""
    parser = argparse.ArgumentParser(prog="advisor-engine")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--began", type=float, default=None, help="monotonic second at which the budget began")
    given = parser.parse_args(arguments)
    # One thread here: the workers have the processors. Must be set before NumPy is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from advisor.session.running import run_engine

    try:
        run_engine(given.run_dir.resolve(), began=given.began if given.began is not None else time.monotonic())
    except AdvisorError as error:
        message = {
            "kind": type(error).__name__,
            "what": error.what,
            "where": error.where,
            "cure": error.cure,
            "exit_code": int(error.exit_code),
        }
        (given.run_dir / "engine-error.json").write_text(json.dumps(message))
        return int(error.exit_code)
    return int(ExitCode.DONE)


if __name__ == "__main__":
    sys.exit(main())
