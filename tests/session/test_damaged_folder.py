"""A run's folder with damaged files is told as damaged, not as a run without a model or under the name of an exception."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.core.errors import InputError
from advisor.session.folder import RunFolder
from advisor.session.outcomes import read_manifest


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', "[" * 100_000])
def test_a_damaged_manifest_is_told_as_damaged(tmp_path: Path, text: str) -> None:
    folder = RunFolder(tmp_path)
    folder.best.mkdir()
    (folder.best / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="damaged"):
        read_manifest(folder)


def test_a_run_without_a_manifest_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no model"):
        read_manifest(RunFolder(tmp_path))


def test_a_damaged_request_is_told_without_the_name_of_an_exception(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.request.write_text("{")
    with pytest.raises(InputError, match="request is damaged"):
        folder.read_request()
