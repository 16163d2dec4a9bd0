"""The engine process of a run: ``python -m advisor.session.engine RUN_DIR``."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from advisor.core.errors import AdvisorError, ExitCode


def main(arguments: list[str]) -> int:
    """Runs the engine to its end; the exit code is that of the error tree. An error is left for the process that started it."""
    # One thread here, the workers have the processors: must be set before NumPy is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from advisor.session.running import run_engine
    from advisor.supervise.launch import budget_began, write_error

    run_dir = Path(arguments[0]).resolve()
    try:
        run_engine(run_dir, began=budget_began())
    except AdvisorError as error:
        write_error(run_dir, error)
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  engine.log is this process's stderr
        return int(error.exit_code)
    except Exception as error:  # the outermost place of this process: whoever waits for it must be told
        traceback.print_exc()
        what = f"the engine broke: {type(error).__name__}: {error}"
        write_error(
            run_dir, AdvisorError(what, where=str(run_dir / "engine.log"), cure="Report it with that file; nothing finished is lost.")
        )
        return int(ExitCode.CRASHED)
    return int(ExitCode.DONE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
