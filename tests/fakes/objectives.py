"""Objectives that behave and that misbehave, importable so that they can travel to another process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from advisor.core.ports import Measurement


def square(config: dict[str, Any]) -> float:
    """x², smallest at 0."""
    return float(config["x"]) ** 2


def curve(config: dict[str, Any], checkpoint: Any = None) -> Iterator[Measurement]:
    """Four steps towards x, from the step after `checkpoint`; the running mean as value, the step as score."""
    for step in range((checkpoint or 0) + 1, 5):
        yield Measurement(step=step, value=float(config["x"]) + 1 / step, score=float(step), checkpoint=lambda s=step: s)


def sleeper(config: dict[str, Any]) -> float:
    """Sleeps `seconds`, then x."""
    time.sleep(config["seconds"])
    return float(config.get("x", 0.0))


def stubborn(config: dict[str, Any]) -> float:
    """Ignores SIGTERM, starts a child in its group and one in a session of its own, writes their pids, and hangs."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    near = subprocess.Popen([sys.executable, "-c", ignoring])
    far = subprocess.Popen([sys.executable, "-c", ignoring], start_new_session=True)
    draft = Path(config["pids"] + ".draft")
    draft.write_text(f"{os.getpid()} {near.pid} {far.pid}")
    draft.replace(config["pids"])
    while True:
        time.sleep(60)


def misbehave(config: dict[str, Any]) -> Any:
    """Does what ``config["how"]`` says."""
    match config["how"]:
        case "segv":
            ctypes.string_at(0)
        case "leave":
            os._exit(7)
        case "system_exit":
            raise SystemExit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "raise":
            raise ValueError("the learning rate\nis silly")
        case "memory":
            return float(np.ones(1 << 33).sum())
        case "noise":
            for _ in range(50):
                os.write(1, b"x" * 50_000)
                print("y" * 50_000)
        case "fork":
            if os.fork() == 0:
                return 1.0  # the child comes back through the worker's frames
        case "close":
            os.closerange(3, 64)
            time.sleep(60)
        case "group":
            os.killpg(0, signal.SIGKILL)
        case "halt":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "good":
            pass
        case other:
            return INVALID[other]
    return 0.5


INVALID: dict[str, Any] = {
    "nan": float("nan"),
    "inf": float("inf"),
    "minus_inf": float("-inf"),
    "none": None,
    "text": "0.5",
    "array": np.ones(3),
    "boolean": True,
    "numpy_boolean": np.True_,
    "dictionary": {"loss": 1.0},
    "huge": 10**400,
}


class Saving:
    """x², and a model that can be saved."""

    def __init__(self) -> None:
        self.x: float | None = None

    def __call__(self, config: dict[str, Any], checkpoint: Any = None) -> float:
        self.x = float(config["x"])
        return self.x**2

    def save_last(self, path: str) -> None:
        """Writes x."""
        Path(path).write_text(repr(self.x))


class Heavy:
    """x, after a second of loading."""

    def __reduce__(self) -> Any:
        return (_load_slowly, ())

    def __call__(self, config: dict[str, Any]) -> float:
        return float(config["x"])


def _load_slowly() -> Heavy:
    time.sleep(1.0)
    return Heavy()


class Ledger:
    """x², each evaluation written durably to a file of its own before it is returned: the independent witness."""

    def __init__(self, path: Path, seconds: float = 0.0) -> None:
        self.path, self.seconds = str(path), seconds

    def __call__(self, config: dict[str, Any]) -> float:
        time.sleep(self.seconds)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(handle, f"{config['x']!r}\n".encode())
        os.fsync(handle)
        os.close(handle)
        return float(config["x"]) ** 2
