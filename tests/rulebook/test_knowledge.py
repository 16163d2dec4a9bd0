"""The page on the expert knowledge names only what exists, and leaves out no family."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advisor.rulebook.loading import load_rulebook

ROOT = Path(__file__).parent.parent.parent
BOOK = load_rulebook()
ROWS = re.findall(
    r"^\| (.+?) \| (rule|code|advice|left out) \| (.+) \|$", (ROOT / "docs" / "knowledge-coverage.md").read_text(), re.MULTILINE
)
NAMED_WITHOUT_A_RULE = {"--trials", "scaler"}


def known() -> set[str]:
    """Every name of the rulebook: rules, strategies, families, roles, findings of the linter and of the diagnosis."""
    names = {r.id for r in BOOK.rules} | {str(s) for s in BOOK.strategies} | set(BOOK.families) | {r.name for r in BOOK.roles}
    folders = (ROOT / "rules" / "lint", ROOT / "rules" / "diagnosis")
    pages = [p.read_text() for folder in folders for p in folder.glob("*.toml")]
    return names | {found for page in pages for found in re.findall(r'^id = "([^"]+)"', page, re.MULTILINE)}


@pytest.mark.parametrize(("what", "state", "where"), ROWS, ids=[r[0][:40] for r in ROWS])
def test_a_row_names_what_exists(what: str, state: str, where: str) -> None:
    for name in re.findall(r"`([^`]+)`", where):
        if name in NAMED_WITHOUT_A_RULE:
            continue
        if name.startswith("advisor/"):
            path, _, function = name.partition(":")
            assert (ROOT / path).is_file(), name
            assert not function or re.search(rf"^def {function}\b", (ROOT / path).read_text(), re.MULTILINE), name
        else:
            assert name in known(), f"{what}: there is no {name}"
    assert "`" in where or state in ("left out", "code", "rule"), what


def test_the_page_has_rows_and_every_family_and_every_cap_stands_on_it() -> None:
    told = {name for _, _, where in ROWS for name in re.findall(r"`([^`]+)`", where)}
    assert len(ROWS) > 80
    assert set(BOOK.families) - {"gradient_boosting"} <= told
    caps = {r.id for r in BOOK.rules if "budget.trials_at_most" in r.sets}
    assert caps - {"sixty-trials-when-quick"} <= told
