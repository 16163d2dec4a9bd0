"""``advisor diagnose`` as it is typed and read."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest

from advisor.cli.door import Door
from advisor.cli.main import run


def typed(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()

    def none() -> None:
        raise AssertionError("neither the session object nor the interface is needed here")

    door = Door(session_source=none, interface=lambda *_a, **_k: 0, began=lambda: 0.0, out=out, err=err, source=io.StringIO())  # type: ignore[arg-type]
    return run(["diagnose", *words], door), out.getvalue(), err.getvalue()


@pytest.fixture
def curves(tmp_path: Path) -> str:
    path = tmp_path / "curves.csv"
    rows = [f"{i},{math.exp(-0.1 * i)},{0.3 + max(0, i - 20) * 0.02 + math.exp(-0.3 * i)}" for i in range(60)]
    path.write_text("\n".join(["epoch,train_loss,val_loss", *rows]) + "\n")
    return str(path)


def test_a_finding_reads_like_a_note_at_eighty_columns(curves: str) -> None:
    code, out, err = typed(curves)
    assert (code, err) == (0, "")
    assert "1. Overfitting · serious" in out
    for label in ("seen", "cause", "cure", "source"):
        assert f"\n   {label}" in out
    assert max(map(len, out.splitlines()[1:])) <= 80


def test_json_holds_id_figures_cause_cure_and_source(curves: str) -> None:
    code, out, _ = typed(curves, "--json")
    (finding,) = json.loads(out)["findings"]
    assert code == 0
    assert finding["id"] == "overfits"
    assert finding["figures"]["curve.rise_ratio"] > 0.12
    assert all(finding[key] for key in ("seen", "cause", "cure", "source"))


def test_wrong_input_ends_with_two_and_a_cure(tmp_path: Path, curves: str) -> None:
    code, out, err = typed(str(tmp_path / "missing.csv"))
    assert (code, out) == (2, "")
    assert "no such file" in err
    assert typed(curves, "--direction", "up")[0] == 2
