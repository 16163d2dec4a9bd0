"""Images through the command line: described, planned, tuned, predicted; and the example that does it by hand."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from advisor.session import load_plan
from tests.pictures import pictures, write_folder, write_mnist

EXAMPLE = Path(__file__).parents[2] / "examples" / "mnist" / "mnist.py"


def _advisor(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "advisor", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_images_are_described_and_planned_as_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pictures", *pictures(60))
    text = " ".join(_advisor("profile", folder).stdout.split())
    assert "60 images of 8 × 8 pixels" in text
    assert "columns" not in text
    plan = json.loads(_advisor("plan", folder, "--model", "cnn", "--json").stdout)
    assert (plan["family"], plan["target"], plan["task"]) == ("cnn", "class", "multiclass")
    assert plan["space"]["blocks"]["high"] == 4
    assert plan["space"]["label_smoothing"]["high"] == 0.0
    assert plan["starts"][0]["augmentation"] == "crop"
    assert "caution-mirrored-images" in [a["rule"] for a in plan["advice"]]


@pytest.mark.parametrize("name", ["wrong magic", "cut", "one class", "bare"])
def test_what_is_wrong_is_one_line_and_exit_2(name: str, tmp_path: Path) -> None:
    X, y = pictures(12)
    folder = tmp_path / "data"
    folder.mkdir()
    match name:
        case "wrong magic":
            write_mnist(folder, X, y, ending="")
            file = folder / "train-images-idx3-ubyte"
            file.write_bytes(b"\7" + file.read_bytes()[1:])
        case "cut":
            write_mnist(folder, X, y)
            file = folder / "train-images-idx3-ubyte.gz"
            file.write_bytes(file.read_bytes()[:-9])
        case "one class":
            write_folder(folder, X, np.zeros(12, dtype=int))
    done = _advisor("plan", folder, code=2)
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: ")


def test_a_convolutional_network_is_refused_for_a_table(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b,y\n" + "".join(f"{i},{i % 7},{'uv'[i % 2]}\n" for i in range(60)))
    done = _advisor("plan", table, "--model", "cnn", code=3)
    assert "learns from images only" in done.stderr


def test_an_export_of_images_says_that_there_is_none(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pictures", *pictures(60))
    _advisor("plan", folder, "--model", "cnn", "--out", tmp_path / "plan.toml")
    done = _advisor("export", tmp_path / "plan.toml", "--as", "script", code=3)
    assert "models of images are not written as a script yet" in done.stderr


def test_the_plan_of_the_example_is_the_search_of_its_script() -> None:
    plan, facts = load_plan(EXAMPLE.with_name("plan.toml"))
    space = runpy.run_path(str(EXAMPLE))["SPACE"]
    assert facts is None
    assert (plan.strategy, plan.metric, plan.family, plan.data) == ("tpe", "accuracy", "mlp", "digits")
    for name in ("lr", "dropout"):
        found, wanted = plan.space.parameters[name], space[name]
        assert (found.low, found.high, found.log) == (wanted.low, wanted.high, wanted.log)
    assert plan.space.parameters["width"].choices == space["hidden"].choices
    assert plan.space.free == ("lr", "width", "dropout")


@pytest.mark.slow
def test_the_plan_of_the_example_runs(tmp_path: Path) -> None:
    text = EXAMPLE.with_name("plan.toml").read_text()
    (tmp_path / "plan.toml").write_text(text.replace("trials_cap = 40", "trials_cap = 2").replace("epochs = 10", "epochs = 2"))
    subprocess.run([sys.executable, str(EXAMPLE), "--write", "digits"], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-m", "advisor", "run", "plan.toml", "--yes", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    outcome = json.loads(done.stdout)
    assert (outcome["status"], outcome["trials"]["completed"]) == ("done", 2)
    assert outcome["heldout_score"] > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("family", ["cnn", "mlp"])
def test_a_run_on_images_ships_a_model_that_predicts_new_files(family: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pictures", *pictures(150))
    words = ("--model", family, "--trials", "2", "--freeze", "epochs=3", "--budget", "300s", "--yes", "--runs", tmp_path / "runs", "--json")
    outcome = json.loads(_advisor("run", folder, *words).stdout)
    assert (outcome["status"], outcome["family"], outcome["trained_on"]) == ("done", family, "all")
    assert outcome["trials"] == {"completed": 2, "pruned": 0, "failed": 0}
    new = tmp_path / "new"
    new.mkdir()
    X, _ = pictures(9, seed=3)
    for i, image in enumerate(X):
        Image.fromarray(image[..., 0]).save(new / f"{i}.png")
    out = tmp_path / "out.csv"
    _advisor("predict", Path(outcome["run"]).name, new, "--runs", tmp_path / "runs", "--out", out)
    found = pl.read_csv(out)
    assert found["file"].to_list() == [f"{i}.png" for i in range(9)]
    assert set(found["prediction"]) <= {"kind 0", "kind 1", "kind 2"}
    (new / "0.png").write_bytes(b"")
    done = _advisor("predict", Path(outcome["run"]).name, new, "--runs", tmp_path / "runs", code=2)
    assert "0.png cannot be read as an image" in done.stderr


@pytest.mark.slow
def test_pixel_columns_are_images_to_a_convolutional_network(tmp_path: Path) -> None:
    words = (
        "--model",
        "cnn",
        "--trials",
        "1",
        "--freeze",
        "epochs=2",
        "--freeze",
        "channels=16",
        "--budget",
        "300s",
        "--yes",
        "--runs",
        tmp_path / "runs",
        "--json",
    )
    outcome = json.loads(_advisor("run", "sklearn:digits", *words).stdout)
    assert outcome["trained_on"] == "all"
    out = _advisor("predict", Path(outcome["run"]).name, "sklearn:digits", "--runs", tmp_path / "runs").stdout
    assert len(out.strip().splitlines()) == 1 + 1797


def test_the_example_chooses_on_validation_images_and_reads_the_test_set_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = runpy.run_path(str(EXAMPLE))
    monkeypatch.chdir(tmp_path)
    example["main"](["--write", "digits"])
    read: list[str] = []
    whole = example["read_idx"]
    example["main"].__globals__["read_idx"] = lambda folder, name: (read.append(name), whole(folder, name))[1]
    example["main"](["digits", "--budget", "60", "--trials", "2"])
    said = capsys.readouterr().out
    assert "2 trials by" in said
    scores = [float(line.rsplit(" ", 1)[1]) for line in said.splitlines() if line.startswith("test accuracy")]
    assert len(scores) == 2
    assert min(scores) > 0.7
    assert read == [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    images = example["read_idx"](Path("digits"), "train-images-idx3-ubyte")
    assert images.shape == (1437, 8, 8)
