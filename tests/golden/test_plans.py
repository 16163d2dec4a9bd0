"""Whole plans of named situations as text. ``UPDATE_GOLDEN=1 pytest tests/golden`` accepts them as they are now; read the diff."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from advisor.core.plan import Plan
from advisor.core.recommend import recommend
from tests.fakes.facts import SITUATIONS
from tests.fakes.rulebooks import shipped

FOLDER = Path(__file__).parent


def as_text(plan: Plan) -> str:
    """What is done, by which rule, what was refused and why: without the hashes, which change with every word of a rule."""
    plain = plan.to_mapping()
    for name in ("hash", "rulebook_hash", "evidence", "rejected", "open", "advice", "shortlist", "features"):
        plain.pop(name)
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in plain.items()]
    lines += ["", "shortlist"]
    lines += [f"  {c.family}: {len(c.space.free)} free, {len(c.starts)} starts, {c.fit_seconds:g} s" for c in plan.shortlist]
    lines += ["", "why"]
    for entry in plan.evidence:
        lines.append(f"  {entry.field}: {entry.rule}")
        lines += [f"    {flip.then} if {flip.fact} = {flip.becomes}" for flip in entry.flips]
    lines += ["", "why not"]
    lines += [f"  {r.strategy} ({r.rule}): {'; '.join(r.failed)}" for r in plan.rejected]
    lines += ["", "advice", *(f"  {a.rule}: {a.text}" for a in plan.advice)]
    lines += ["", "open", *(f"  {q.fact}: {', '.join(q.rules)}" for q in plan.open)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_plan_of_a_named_situation_is_as_it_was_read_and_accepted(name: str) -> None:
    path = FOLDER / f"{name}.txt"
    text = as_text(recommend(SITUATIONS[name](), shipped()))
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert text == path.read_text(), "read the difference; UPDATE_GOLDEN=1 accepts it"
