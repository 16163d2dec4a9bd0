"""The documents say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advisor.cli.main import COMMANDS
from tests.reference import commands_page, facts_page, stale

ROOT = Path(__file__).parent.parent.parent


def test_the_reference_pages_are_fresh() -> None:
    assert stale() == [], "write them again with `make docs`"


def test_every_command_and_every_answer_has_its_place_in_the_reference() -> None:
    from advisor.core.facts import Answers

    page = commands_page()
    for name in COMMANDS:
        assert f"## advisor {name}" in page
    for field in Answers.model_fields.values():
        assert isinstance(field.json_schema_extra, dict)
        assert f"`{field.json_schema_extra['flag']}`" in page
        assert f"`{field.json_schema_extra['flag']}`" in facts_page()


def test_every_command_the_readme_names_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^advisor ([a-z]+)\b(?!\.)", text, re.MULTILINE))
    assert named - {"data"} == set(COMMANDS)


def test_every_target_the_readme_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"))) <= targets


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda p: p.stem)
def test_every_decision_has_context_decision_consequences_and_what_was_refused(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(page.stem.split('-')[0])}. ")
    assert "\nStatus: " in text
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "The alternative refused"]


def test_links_in_the_readme_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert "://" in link or (ROOT / link).exists(), link
