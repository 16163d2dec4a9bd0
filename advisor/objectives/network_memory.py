"""Memory and speed of a network's gradient steps, measured ahead of its trials in the worker that will train it.

Memory is traced without running a step (fake tensors on the processor), then measured by a few real steps; `batch_size` draws
the conclusions. An accelerator's memory is what is free on it, a processor's what a worker may use.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advisor.core.errors import CannotRunError
from advisor.core.space import Config
from advisor.objectives.batch_size import (
    LargestBatch,
    OutOfMemory,
    Precision,
    batch_at_most,
    grows,
    largest_batch,
    precision_for,
    throughput_knee,
)
from advisor.objectives.image_network import DEVICE_SHARE, ImageTraining
from advisor.objectives.network import EpochTraining
from advisor.objectives.network_objective import NetworkObjective

HEADROOM = 0.10
"""Share of the free memory that is left alone. Source: knowledge E.2."""
BELIEVED = 0.5
"""On a processor, what the trace puts below this share of the memory is believed without a probe. [H]"""
WARM_UP, TIMED = 2, 3
"""Steps of a probe: the optimiser's state appears at the first one. Source: knowledge E.2."""
COPIES = 4
"""What a fold holds besides its rows: weights, their gradients, and the two moments of AdamW. Source: knowledge E.1."""
PREDICTED = 1024
"""Images that are predicted at once."""
_SHOWN = 64
"""Images that a traced training is made of; its steps name as many as they like, since what is fake is not looked up."""


def measure_batch(
    objective: NetworkObjective, *, config: Config, planned: int, most: int, memory_bytes: int | None, sharing: int, seconds: float
) -> dict[str, Any]:
    """The largest batch up to `most` with which a trial of `config` fits into memory, and whether larger ones are faster.

    `memory_bytes` is what a worker may use of a processor's memory; an accelerator is asked itself, and `sharing` workers share it.
    After `seconds` what was found so far is given. Keys: ``fits`` (rows a step; 0: none was seen to fit), ``peak_bytes``,
    ``memory_bytes``, ``probes`` (pairs of a batch and its bytes, None: out of memory), ``knee`` (rows a step from which more are
    no faster; None: not measured), ``at_most`` (what memory, speed and steps an epoch allow together), ``precision``.

    Raises: CannotRunError when it is not known how much memory there is.
    """
    bench = _Bench(objective, config, seconds)
    free = bench.free_bytes(memory_bytes, sharing)
    trace = bench.trace()
    try:
        believed = 0.0 if bench.is_cuda else BELIEVED
        # norms over a batch need two rows
        found = largest_batch(bench.probe, trace, memory_bytes=free, most=most, least=2, believed_ratio=believed)
    except _LateError:
        found = _so_far(bench.seen, trace, free, most)
    bench.rates.clear()  # those of the finder are no doublings of one another
    with contextlib.suppress(_LateError):
        batch = min(planned, found.batch)
        while batch and batch <= found.batch and grows(bench.rates):
            bench.probe(batch)
            batch *= 2
    knee = throughput_knee(bench.rates) if not grows(bench.rates) else None
    return {
        "fits": found.batch,
        "peak_bytes": found.peak_bytes,
        "memory_bytes": free,
        "probes": [list(p) for p in found.probes],
        "knee": knee,
        "at_most": batch_at_most(fits=found.batch, rows=bench.rows, knee=knee),
        "precision": bench.precision,
    }


def _so_far(seen: Sequence[tuple[int, int | None]], trace: Callable[[int], int], free: int, most: int) -> LargestBatch:
    """What is known where there was no time for more probes: what was seen to fit, and the trace where nothing contradicts it."""
    best, taken = max(((b, t) for b, t in seen if t is not None and t <= free), default=(0, 0))
    if len(seen) == sum(t is not None and t <= free for _, t in seen):
        careful = largest_batch(trace, trace, memory_bytes=int((1 - HEADROOM) * free), most=most, least=2)
        best, taken = max((best, taken), (careful.batch, careful.peak_bytes))
    return LargestBatch(best, taken, tuple(seen))


class _LateError(Exception):
    """The time for measuring is over."""


class _Bench:
    """One network on one device. Other folds of a trial wait beside the one that steps: their weights and rows count too."""

    def __init__(self, objective: NetworkObjective, config: Config, seconds: float) -> None:
        self.objective, self.config = objective, config
        self.device = torch.device(objective.device)
        self.is_cuda = self.device.type == "cuda"
        self.rates: dict[int, float] = {}
        self.seen: list[tuple[int, int | None]] = []
        self.precision: Precision = "fp32"
        self.rows = 0
        self._late_at = time.monotonic() + seconds
        self._folds = len(objective.pairs())
        self._training: EpochTraining | None = None
        self._predicting = self._waiting_bytes = 0

    def free_bytes(self, memory_bytes: int | None, sharing: int) -> int:
        """What the trial may take: a share of what is free on the accelerator, or of what the worker may use and does not yet."""
        if self.is_cuda:
            free = torch.cuda.mem_get_info(self.device)[0] + torch.cuda.memory_reserved(self.device)
            return int((1 - HEADROOM) * free / sharing)
        if memory_bytes is None:
            raise CannotRunError("it is not known how much memory a worker may use", where="memory", cure="Look at `advisor probe`.")
        return int((1 - HEADROOM) * max(memory_bytes - _status_bytes("VmRSS"), 0))

    def trace(self) -> Callable[[int], int]:
        """Batch to the bytes that a trial should take, by `traced_bytes`."""
        from torch._subclasses.fake_tensor import FakeTensorMode

        whole = self.objective.first_rows(self.config)
        with FakeTensorMode():
            X = whole.X if isinstance(whole.X, np.ndarray) else whole.X[:_SHOWN]
            shown = whole.estimator.set_params(device="cpu").begin(X, whole.y, None)
            if isinstance(shown, ImageTraining) and self.is_cuda:
                shown.precision = precision_for("cuda", torch.cuda.get_device_capability(self.device))
        self.precision, self.rows = shown.precision, len(whole.y)
        waiting = (self._folds - 1) * COPIES * sum(p.numel() * p.element_size() for p in shown.network.parameters())
        waiting += self._rows_bytes(whole.X)
        return lambda batch: traced_bytes(shown, batch) + waiting

    def _rows_bytes(self, X: Any) -> int:
        """Training rows that lie on the device. Those of images lie there once, and in a processor's memory before anyone asks."""
        array = getattr(X, "array", None)
        if array is None:
            return int(self._folds * X.size * 4)
        if not self.is_cuda:
            return 0
        return int(array.nbytes) if array.nbytes <= DEVICE_SHARE * torch.cuda.mem_get_info(self.device)[0] else 0

    def probe(self, batch: int) -> int | OutOfMemory:
        """Peak memory of a few steps and of predicting some rows, the other folds added; keeps the rows a second.

        Raises: _LateError when the time for measuring is over.
        """
        if time.monotonic() > self._late_at:
            raise _LateError
        try:
            taken = self._steps(batch)
        except (torch.OutOfMemoryError, MemoryError):
            taken = None
        if taken is None:  # outside of the handler, whose traceback holds the tensors
            self._training = None
            gc.collect()
            if self.is_cuda:
                torch.cuda.empty_cache()
        self.seen.append((batch, taken))
        return OutOfMemory() if taken is None else taken

    def _steps(self, batch: int) -> int:
        before = self._reset()
        training = self._begun()
        training.network.train()
        rows = torch.arange(batch, device=self.device) % len(training.target)
        began = 0.0
        for step in range(WARM_UP + TIMED):
            if step == WARM_UP:
                self._wait()
                began = time.perf_counter()
            training.step(rows, float(training.settings["lr"]))
        self._wait()
        self.rates[batch] = TIMED * batch / max(time.perf_counter() - began, 1e-9)
        return max(self._peak(before), self._predicting) + self._waiting_bytes

    def _begun(self) -> EpochTraining:
        """The training, made at the first call. What predicting takes is measured then: it does not hang on the batch."""
        if self._training is None:
            before = self._reset()
            training = self.objective.first_training(self.config)
            X = self.objective.first_rows(self.config).X
            training.predict(X if isinstance(X, np.ndarray) else X[:PREDICTED])
            self._predicting = self._peak(before)
            weights = COPIES * sum(p.numel() * p.element_size() for p in training.network.parameters())
            self._waiting_bytes = (self._folds - 1) * (weights + (X.size * 4 if isinstance(X, np.ndarray) else 0))
            self._training = training
        return self._training

    def _peak(self, before: int) -> int:
        return max(torch.cuda.max_memory_reserved(self.device) if self.is_cuda else _status_bytes("VmHWM") - before, 0)

    def _reset(self) -> int:
        """Sets the peak back; what was held before that is not the network's."""
        if self.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            return 0
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError as error:
            raise CannotRunError("the peak of a worker's memory cannot be read here", where="memory", cure="") from error
        return _status_bytes("VmRSS")

    def _wait(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize(self.device)


def traced_bytes(training: EpochTraining, batch: int) -> int:
    """Peak memory of a gradient step of a training of fake tensors: weights, gradients, optimiser and activations.

    Source: PyTorch's MemTracker. It sees neither an accelerator's context and workspaces nor how memory is rounded and fragmented.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    weight = next(training.network.parameters())
    mode = getattr(weight, "fake_mode", None)
    assert isinstance(mode, FakeTensorMode)
    tracker = MemTracker()
    with mode:
        training.network.train()
        rows: Tensor = torch.zeros(batch, dtype=torch.int64)
        tracker.track_external(training.network, training.optimiser)
        with tracker:
            for _ in range(2):  # the optimiser's state appears at the first step
                training.step(rows, float(training.settings["lr"]))
                tracker.reset_mod_stats()
        training.optimiser.zero_grad(set_to_none=True)
    return int(sum(device["Total"] for device in tracker.get_tracker_snapshot("peak").values()))


def _status_bytes(field: str) -> int:
    """`VmRSS` or `VmHWM` of this process. Shell: ``grep VmHWM /proc/PID/status``.

    Raises: CannotRunError where the system does not tell.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
    except (OSError, StopIteration) as error:
        raise CannotRunError("the memory of a worker cannot be read here", where="memory", cure="") from error
