"""Free disk where runs live."""

from __future__ import annotations

import shutil
from pathlib import Path

from advisor.core.facts import Unknown


def disk_free_bytes(runs: Path) -> int | Unknown:
    """Bytes an ordinary user may still write where `runs` is or will be made. Shell: ``df -B1 RUNS``."""
    place = runs.absolute()
    while True:
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            if place == place.parent:
                return Unknown(reason=f"no folder on the way to {runs} exists", cure="Name another folder with --runs.")
            place = place.parent
        except OSError as error:
            return Unknown(reason=f"{place}: {error.strerror or error}", cure="Name another folder with --runs.")
