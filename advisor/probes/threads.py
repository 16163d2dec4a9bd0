"""Threads that a linear-algebra call would start."""

from __future__ import annotations

from collections.abc import Mapping

from advisor.core.facts import Unknown

_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
"""In the order in which the libraries prefer them: their own name before OpenMP's."""


def blas_threads(cpu_count: int | Unknown, *, environment: Mapping[str, str]) -> int | Unknown:
    """What the environment sets, else the processors allowed. Shell: ``env | grep NUM_THREADS``.

    OpenMP allows a list, one number a nesting level: the first counts. What is no positive number is ignored, as the
    libraries ignore it.
    """
    for name in _VARIABLES:
        first = environment.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            return int(first)
    return cpu_count
