"""Probes and failures until the largest batch is known: trace, half, refit, verify against doubling, bisection and halving.

On simulated devices (fragmentation, workspaces that appear from some batch on, other tenants that come and go); `tests/fakes/devices.py`
says what is drawn. Every method gets the same devices. A batch counts as near when it is at least 95 % of the true maximum.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

from advisor.objectives.batch_size import OutOfMemory, largest_batch
from tests.fakes.devices import Device

Method = Callable[[Device], int]
LEAST_NEAR = 0.92
MOST_EVENTS = 0.1


def ours(device: Device) -> int:
    """Trace, one probe at half, the line through both, verify."""
    return largest_batch(device.probe, device.trace, memory_bytes=device.free, most=device.most).batch


def fits(device: Device, batch: int) -> bool:
    """True when a probe of the batch ends well."""
    return not isinstance(device.probe(batch), OutOfMemory)


def doubling(device: Device) -> int:
    """From 2 on, as Lightning's ``power``, three steps a probe counted as one."""
    best, batch = 0, 2
    while batch <= device.most and fits(device, batch):
        best, batch = batch, 2 * batch
    return best


def bisection(device: Device) -> int:
    """Doubling, then bisection down to one row, as Lightning's ``binsearch``."""
    best = doubling(device)
    low, high = best, min(2 * best, device.most + 1) if best else 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(device, middle) else (low, middle)
    return low


def halving(device: Device) -> int:
    """From 128 down, as accelerate's ``find_executable_batch_size``."""
    batch = 128
    while batch and not fits(device, batch):
        batch //= 2
    return batch


def main(arguments: list[str] | None = None) -> int:
    """0 when ours holds its limits, else 1."""
    parser = argparse.ArgumentParser(prog="largest_batch", description=__doc__)
    parser.add_argument("--devices", type=int, default=4000)
    chosen = parser.parse_args(arguments)
    print(f"{'method':12} probes median / p95   out of memory a device   within 5 %   (the same, where the cap does not bind)")
    holds = True
    for method in (doubling, bisection, halving, ours):
        counts, events, near, bound = [], 0, [], []
        for seed in range(chosen.devices):
            device = Device(seed)
            true, found = device.largest(), method(device)
            counts.append(len(device.probes))
            events += device.out_of_memory
            near.append(found >= 0.95 * true)
            bound.append(true == device.most)
        counts.sort()
        free = [n for n, is_bound in zip(near, bound, strict=True) if not is_bound]
        share, failures = statistics.fmean(near), events / chosen.devices
        print(
            f"{method.__name__:12} {statistics.median(counts):8g} / {counts[int(0.95 * len(counts))]:<12g}"
            f"{failures:12.2f} {share:20.1%}   {statistics.fmean(free):.1%}"
        )
        if method is ours:
            holds = share >= LEAST_NEAR and failures <= MOST_EVENTS
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
