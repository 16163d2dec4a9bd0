"""What entries of the rulebook that change no plan have in common: examples of what their conditions say."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

from advisor.core.derived import Given
from advisor.core.predicates import Predicate, Verdict, all_of
from advisor.core.value import Value


class EntryExample(Value):
    """What was measured, and what the conditions must say of it."""

    given: dict[str, Any]
    """Measure to value; all others are unknown."""
    verdict: Verdict
    """holds, fails or unknown."""


def example_faults(examples: Sequence[EntryExample], wanted: Sequence[Predicate], known: Container[str], noun: str) -> Iterator[str]:
    """One sentence for each example that names a measure which is not `known`, called `noun`, or on which the conditions disagree."""
    for number, example in enumerate(examples, start=1):
        unknown = [n for n in example.given if n not in known]
        if unknown:
            yield f"example {number}: there is no {noun} {unknown[0]!r}"
            continue
        said = all_of(wanted, Given(example.given))
        if said is not example.verdict:
            yield f"example {number} says {example.verdict}, the conditions say {said}"
