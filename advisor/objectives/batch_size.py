"""Which batch a network may have: the largest that fits, the one from which larger ones are no faster, and in which precision.

Everything here is a function of measurements that it is handed, so all of it runs without a device. What measures our own
networks is in `network_memory`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

ROOM = 0.02
"""Share of the memory that is aimed to stay free when a batch is tried: the refitted line errs by about as much. [H]"""
SETTLED = 0.03
"""A next batch that is larger by less than this is not worth a probe. [H]"""
MOST_PROBES = 8
"""Probes after which the best batch so far is taken."""
GAIN = 0.10
"""Doubling a batch must raise the rows a second by this much to be worth it. Source: knowledge E.2."""
STEPS_AN_EPOCH = 20
"""A batch is never so large that an epoch has fewer steps. Source: knowledge E.2 (n/20)."""


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """A probe's answer when the batch does not fit."""


Probe = Callable[[int], "int | OutOfMemory"]
"""Batch to the bytes that real steps with it took at their peak."""
Trace = Callable[[int], int]
"""Batch to the bytes that its steps should take: an estimate that needs no device, and grows with the batch."""


@dataclass(frozen=True, slots=True)
class LargestBatch:
    """The largest batch that fits, as far as the probes tell."""

    batch: int
    """Rows a step; 0 when not even the smallest fits."""
    peak_bytes: int
    """Peak memory with it: measured, or traced where no probe was needed; 0 when none fits."""
    probes: tuple[tuple[int, int | None], ...] = ()
    """Each batch that was tried with its bytes, in order; None: out of memory."""

    @property
    def out_of_memory(self) -> int:
        """Probes that did not fit."""
        return sum(taken is None for _, taken in self.probes)


def largest_batch(probe: Probe, trace: Trace, *, memory_bytes: int, most: int, least: int = 1, believed_ratio: float = 0.0) -> LargestBatch:
    """The largest batch from `least` to `most` whose steps stay within `memory_bytes`.

    One probe at half of what the trace allows, the trace corrected by it, then a probe of the batch that should fit; another only
    where that leaves a gap. Where the trace puts `most` below `believed_ratio` of the memory, it is believed without a probe.
    Memory of others may come and go between probes: a batch is only given once it was seen to fit.
    """
    traced = _once(trace)
    if believed_ratio and traced(most) <= believed_ratio * memory_bytes:
        return LargestBatch(most, traced(most))
    allowed = max(least, _largest(traced, memory_bytes, least, most))
    batch = most if allowed == most and traced(most) <= memory_bytes / 2 else max(least, allowed // 2)
    probes: list[tuple[int, int | None]] = []
    fits: list[tuple[int, int]] = []
    failed: list[int] = []
    while batch >= least and len(probes) < MOST_PROBES:
        answer = probe(batch)
        if isinstance(answer, OutOfMemory) or answer > memory_bytes:
            probes.append((batch, None))
            failed.append(batch)
        else:
            probes.append((batch, answer))
            fits.append((batch, answer))
        following = _next(traced, fits, failed, memory_bytes, least, most)
        if following is None:
            break
        batch = following
    if not fits:
        return LargestBatch(0, 0, tuple(probes))
    best, taken = max(fits)
    return LargestBatch(best, taken, tuple(probes))


def _next(traced: Trace, fits: Sequence[tuple[int, int]], failed: Sequence[int], memory_bytes: int, least: int, most: int) -> int | None:
    """The batch to try next; None when the best so far stands."""
    if not fits:
        smallest = min(failed)
        return None if smallest <= least else max(least, smallest // 2 ** len(failed))  # ever larger strides: the trace has misled
    best = max(fits)[0]
    below = min((f for f in failed if f > best), default=None)
    highest = most if below is None else below - 1
    if highest <= best:
        return None
    corrected = _corrected(traced, sorted(fits)[-2:])
    target = (1 - ROOM) * memory_bytes
    if below is not None:  # there is less memory than was thought, or more is needed
        target = min(target, (1 - 2 * ROOM) * corrected(below))
    found = _largest(corrected, target, best, highest)
    return found if found > best * (1 + SETTLED) else None


def _corrected(traced: Trace, fits: Sequence[tuple[int, int]]) -> Callable[[int], float]:
    """The trace through what was measured: with one point the larger of a constant and a proportional correction, with two a line."""
    batch, taken = fits[-1]
    here = traced(batch)
    slope = max(1.0, taken / here) if here else 1.0
    if len(fits) > 1:
        before, held = fits[0]
        step = here - traced(before)
        slope = max(0.9, (taken - held) / step) if step > 0 else slope
    return lambda b: taken + slope * (traced(b) - here)


def _largest(needs: Callable[[int], float], bytes_at_most: float, least: int, most: int) -> int:
    """The largest batch from `least` to `most` that needs no more; `least` - 1 when none does.

    False position, halved where it does not move: what is piecewise linear needs few looks.
    """
    if needs(most) <= bytes_at_most:
        return most
    if needs(least) > bytes_at_most:
        return least - 1
    low, high = least, most
    low_bytes, high_bytes = needs(low), needs(high)
    is_slow = False
    while high - low > max(1, low // 200):
        share = 0.5 if is_slow or high_bytes <= low_bytes else (bytes_at_most - low_bytes) / (high_bytes - low_bytes)
        middle = min(max(low + round(share * (high - low)), low + 1), high - 1)
        found = needs(middle)
        is_slow = not is_slow and max(middle - low, high - middle) > 0.6 * (high - low)
        if found <= bytes_at_most:
            low, low_bytes = middle, found
        else:
            high, high_bytes = middle, found
    return low


def _once(trace: Trace) -> Trace:
    known: dict[int, int] = {}

    def looked_up(batch: int) -> int:
        if batch not in known:
            known[batch] = trace(batch)
        return known[batch]

    return looked_up


def throughput_knee(rates: Mapping[int, float]) -> int | None:
    """The last batch whose doubling from the one before raised the rows a second by a tenth; None without rates.

    `rates` has batches, each about twice the one before, with their rows a second.
    """
    batches = sorted(rates)
    if not batches:
        return None
    knee = batches[0]
    for before, batch in pairwise(batches):
        if rates[batch] < (1 + GAIN) * rates[before]:
            break
        knee = batch
    return knee


def grows(rates: Mapping[int, float]) -> bool:
    """True while the largest batch measured is the knee, so that a further doubling may be worth its while."""
    return not rates or throughput_knee(rates) == max(rates)


def batch_at_most(*, fits: int, rows: int, knee: int | None = None) -> int:
    """The largest sensible batch: what fits, no further than the knee, and at least twenty steps an epoch. Source: knowledge E.2."""
    return max(1, min(fits, max(1, rows // STEPS_AN_EPOCH), knee if knee is not None else fits))


def lowered(batch: int, *, fits: int) -> int:
    """The planned batch where it fits, else the largest power of two that does: memory lowers a batch, nothing raises it."""
    return batch if batch <= fits else 2 ** int(math.log2(max(fits, 1)))


Precision = Literal["bf16", "fp16", "fp32"]
"""What a network computes in; its weights are float32 throughout."""


def precision_for(device: str, compute_capability: tuple[int, int] | None) -> Precision:
    """``bf16`` from compute capability 8.0 on, ``fp16`` (with a scaler of the loss) for 7.x, else ``fp32``; ``fp32`` on a processor.

    An older device than 8.0 computes bf16 by emulation, slower than fp32, though PyTorch calls it supported. Source: knowledge E.5.
    """
    if not device.startswith("cuda") or compute_capability is None:
        return "fp32"
    major = compute_capability[0]
    return "bf16" if major >= 8 else "fp16" if major == 7 else "fp32"
