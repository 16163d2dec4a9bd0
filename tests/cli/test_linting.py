"""``advisor lint`` on real files: what it prints, what it changes, what it leaves alone, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import call
from tests.fakes.session import FakeSession

SPACE = """\
# my network
lr = { type = "float", low = 1e-5, high = 0.1 }   # the rate
hidden = [64, 128, 256]
optimizer = ["sgd", "adam"]

[momentum]
type = "float"
# keep it high
low = 0.5
high = 1.0
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    return path


def test_findings_are_told_with_reason_cure_and_source_and_nothing_is_changed(space: Path) -> None:
    code, out, _ = call(FakeSession(), "lint", str(space))
    assert code == 0
    assert "1 fault, 3 warnings" in out
    assert "warning  linear-over-decades  (--fix repairs it)" in out
    assert "because  " in out
    assert "source   " in out
    assert space.read_text() == SPACE
    assert max(map(len, out.splitlines()[1:])) <= 100


def test_a_fix_keeps_comments_and_the_file_as_it_was_and_says_what_is_left(space: Path) -> None:
    code, out, err = call(FakeSession(), "lint", str(space), "--fix")
    assert code == 0
    kept = space.with_name("space.toml.bak")
    assert kept.read_text() == SPACE
    assert str(kept) in err
    assert "lr: Float(1e-05, 0.1) is now Float(1e-05, 0.1, log=True)" in out
    assert "momentum: Keep it below 1" in out
    text = space.read_text()
    assert text.startswith("# my network\nlr = ")
    assert "log = true }   # the rate\n" in text
    assert "# keep it high\n" in text
    assert 'when = { optimizer = ["sgd"] }' in text
    assert 'optimizer = ["sgd", "adam"]\n' in text
    again, _, _ = call(FakeSession(), "lint", str(space), "--fix")
    assert again == 0
    assert space.read_text() == text
    assert not space.with_name("space.toml.bak2").exists()  # nothing was changed, so nothing was kept


def test_a_second_fix_never_overwrites_the_first_original(space: Path) -> None:
    call(FakeSession(), "lint", str(space), "--fix")
    space.write_text("lr = { type = 'float', low = 1e-6, high = 1.0 }\n")
    call(FakeSession(), "lint", str(space), "--fix")
    assert space.with_name("space.toml.bak").read_text() == SPACE
    assert "1e-6" in space.with_name("space.toml.bak2").read_text()


def test_with_out_the_file_that_was_read_stays(space: Path, tmp_path: Path) -> None:
    code, _, _ = call(FakeSession(), "lint", str(space), "--fix", "--out", str(tmp_path / "better.toml"))
    assert code == 0
    assert space.read_text() == SPACE
    assert "log = true" in (tmp_path / "better.toml").read_text()
    assert not list(tmp_path.glob("*.bak"))


def test_what_stands_in_python_is_printed_as_a_space_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "a_space_to_lint.py"
    module.write_text("import advisor\nSPACE = {'lr': advisor.Float(1e-5, 0.1)}\ndef train(config): return 0\nnumber = 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = call(FakeSession(), "lint", f"{module}:train", "--fix")
    assert code == 0
    assert out == 'lr = { type = "float", low = 1e-05, high = 0.1, log = true }\n'
    assert "linear-over-decades" in err
    code, _, err = call(FakeSession(), "lint", f"{module}:number")
    assert code == 2
    assert "brings no search space" in err


def test_a_search_of_scikit_learns_is_asked_what_it_refuses_and_whether_features_are_scaled(tmp_path: Path) -> None:
    module = tmp_path / "a_search_to_lint.py"
    module.write_text(
        "from scipy.stats import uniform\n"
        "from sklearn.model_selection import RandomizedSearchCV\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import StandardScaler\n"
        "from sklearn.svm import SVC\n"
        "bare = RandomizedSearchCV(SVC(), {'C': uniform(0, 10)})\n"
        "scaled = RandomizedSearchCV(make_pipeline(StandardScaler(), SVC()), {'svc__C': uniform(0.1, 10)})\n"
    )
    answer = json.loads(call(FakeSession(), "lint", f"{module}:bare", "--json")[1])
    assert {"refused-by-library", "features-not-scaled"} <= {f["id"] for f in answer["findings"]}
    assert any("C = 0.0 must be a float in the range (0.0, inf]" in f["says"] for f in answer["findings"])
    answer = json.loads(call(FakeSession(), "lint", f"{module}:scaled", "--json")[1])
    assert not {"refused-by-library", "features-not-scaled"} & {f["id"] for f in answer["findings"]}


def test_the_library_of_a_named_family_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text('max_iter = { type = "int", low = 0, high = 100 }\nlearning_rate = { type = "float", low = -1.0, high = 0.5 }\n')
    answer = json.loads(call(FakeSession(), "lint", str(path), "--model", "hist_gradient_boosting", "--json")[1])
    assert {f["parameter"] for f in answer["findings"] if f["id"] == "refused-by-library"} == {"learning_rate", "max_iter"}


def test_a_space_that_no_search_could_read_is_a_finding_and_not_an_error(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text('x = { type = "float", low = 0.0, high = 1.0, log = true }\ny = { type = "int", low = 9, high = 2 }\n')
    answer = json.loads(call(FakeSession(), "lint", str(path), "--json")[1])
    assert {(f["id"], f["parameter"]) for f in answer["findings"]} >= {("log-from-zero", "x"), ("bounds-reversed", "y")}


def test_a_clean_space_says_so(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text('lr = { type = "float", low = 1e-4, high = 1e-2, log = true }\n')
    for more in ((), ("--strict",), ("--fix",)):
        code, out, _ = call(FakeSession(), "lint", str(path), *more)
        assert (code, out) == (0, f"{path}: 1 hyperparameter, nothing to find fault with.\n")
    assert [p.name for p in tmp_path.iterdir()] == ["space.toml"]


def test_strict_ends_with_2_where_more_than_advice_is_left(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text('lr = { type = "float", low = 1e-4, high = 1e-1 }\n')
    assert call(FakeSession(), "lint", str(path), "--strict")[0] == 2
    assert call(FakeSession(), "lint", str(path), "--strict", "--fix")[0] == 0
    path.write_text('batch_size = { type = "int", low = 16, high = 64 }\n')
    assert call(FakeSession(), "lint", str(path), "--strict")[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nothing.toml",), "there is no such file"),
        (("data.csv",), "no search space"),
        (("nowhere:SPACE",), "there is no module 'nowhere'"),
        (("space.toml", "--out", "x"), "Add --fix"),
        (("space.toml", "--model", "svcc"), "Did you mean 'svc'?"),
        (("space.toml", "--trials", "0"), "--trials"),
        (("bad.toml",), "it has no type"),
        (("loop.toml",), "leads back to itself"),
    ],
)
def test_wrong_input_is_refused_with_its_cure(space: Path, words: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(space.parent)
    Path("bad.toml").write_text("lr = { low = 1 }\n")
    Path("loop.toml").write_text('a = { type = "int", low = 1, high = 2, when = { a = [1] } }\n')
    code, out, err = call(FakeSession(), "lint", *words)
    assert code == 2
    assert out == ""
    assert says in err
