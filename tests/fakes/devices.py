"""Simulated accelerators: what a batch takes on them differs from its trace as it does on real ones."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from advisor.objectives.batch_size import OutOfMemory

MIB = 2**20
GIB = 2**30


@dataclass
class Device:
    """One accelerator with one network on it.

    Beside what the trace sees, a step takes: workspaces that appear from some batch on (a library's other choice of algorithm),
    a share lost to fragmentation, and rounding to 2 MiB. Other tenants take and give back memory between probes.
    """

    seed: int
    least: int = 1
    probes: list[int] = field(default_factory=list)
    out_of_memory: int = 0

    def __post_init__(self) -> None:
        draw = random.Random(f"device {self.seed}")
        self._tenants = random.Random(f"tenants {self.seed}")
        capacity = draw.choice([4, 8, 11, 16, 24, 40, 80]) * GIB
        held = draw.choice([0.0, 0.0, 0.1, 0.4]) * draw.random()
        self.free = int(capacity * (0.95 - held))
        self._drift = draw.choice([0.0, 0.0, 0.0, 0.01, 0.03])
        self._static = draw.uniform(0.002, 0.3) * self.free
        self._a_row = 10 ** draw.uniform(4.5, 7.8)
        self._bend_at = draw.choice([0, 64, 512])
        self._bend = draw.uniform(0.8, 1.25) if self._bend_at else 1.0
        self._error = draw.uniform(-0.015, 0.015)
        self._fragmented = draw.choice([0.0, 0.0, 0.005, 0.02, 0.04]) * draw.random()
        self._jumps = [(10 ** draw.uniform(0.5, 4.0), draw.uniform(8, 512) * MIB) for _ in range(draw.choice([0, 1, 1, 2, 3]))]
        self._constant = draw.choice([0, 32, 64]) * MIB
        self.most = draw.choice([2**13, 2**16, 2**20])

    def trace(self, batch: int) -> int:
        """What a trace says: piecewise linear in the batch."""
        beyond = max(0, batch - self._bend_at) if self._bend_at else 0
        return int((self._static + self._a_row * (batch - beyond + self._bend * beyond)) * (1 + self._error))

    def takes(self, batch: int) -> int:
        """What a step really takes."""
        own = self.trace(batch) / (1 + self._error)
        own += self._constant + sum(size for start, size in self._jumps if batch >= start)
        return math.ceil(own * (1 + self._fragmented) / (2 * MIB)) * 2 * MIB

    def probe(self, batch: int) -> int | OutOfMemory:
        """Runs a step, while others take or give back some of what is free."""
        self.probes.append(batch)
        taken = self.takes(batch)
        if taken > self.free * (1 + self._drift * self._tenants.uniform(-1, 1)):
            self.out_of_memory += 1
            return OutOfMemory()
        return taken

    def largest(self) -> int:
        """The true maximum, while the others hold what they held at first; 0 when nothing fits."""
        low, high = self.least - 1, self.most + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.takes(middle) <= self.free else (low, middle)
        return low
