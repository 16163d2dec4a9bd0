"""Images: found in folders, IDX files and arrays, described without torch, decoded once, and clear about what is wrong."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from advisor.core.errors import InputError
from advisor.core.facts import ColumnKind, Dataset, Task, Unknown
from advisor.profiling.images import decode_images, is_images, read_images
from advisor.profiling.profile import profile_table
from tests.pictures import pictures, write_folder, write_idx, write_mnist


def _decoded(source: Path, folder: Path) -> tuple[Dataset, np.ndarray, list[object], tuple[str, ...]]:
    dataset = profile_table(source)
    found = decode_images(source, dataset, folder / "images.npy")
    return dataset, np.load(found.path)[: len(found.labels)], found.labels.to_list(), found.notes


def test_the_three_ways_in_give_the_same_pictures(tmp_path: Path) -> None:
    X, y = pictures(30)
    order = np.argsort(y, kind="stable")
    np.savez(tmp_path / "a.npz", X=X[order, :, :, 0], y=y[order])
    ways = {
        "folder": write_folder(tmp_path / "folder", X, y),
        "idx": write_mnist(tmp_path / "idx", X[order], y[order]),
        "arrays": tmp_path / "a.npz",
    }
    for name, path in ways.items():
        dataset, array, labels, notes = _decoded(path, tmp_path / f"work {name}")
        assert dataset.image_source == name
        assert (dataset.rows, dataset.classes, dataset.task, dataset.rarest_class_rows) == (30, 3, Task.MULTICLASS, 10)
        assert (dataset.image_height, dataset.image_width, dataset.image_channels, dataset.image_side) == (8, 8, 1, 8)
        assert [c.kind for c in dataset.columns] == [ColumnKind.IMAGE]
        assert (dataset.width, dataset.bytes) == (64, 30 * 64)
        assert array.dtype == np.uint8
        assert np.array_equal(array, X[order])
        assert [str(v)[-1] for v in labels] == [str(v) for v in y[order]]
        assert notes == ()


def test_neither_torch_nor_scikit_learn_is_loaded_to_describe_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", *pictures(9))
    code = (
        "import sys; from advisor.profiling.profile import profile_table; profile_table(sys.argv[1]);"
        "print([m for m in ('torch', 'sklearn', 'torchvision') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_each_image_is_decoded_once_and_the_file_used_again(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", *pictures(12))
    dataset = profile_table(folder)
    first = decode_images(folder, dataset, tmp_path / "work" / "images.npy")
    before = first.path.stat().st_mtime_ns
    for file in folder.rglob("*.png"):
        file.unlink()
    again = decode_images(folder, dataset, tmp_path / "work" / "images.npy")
    assert again.path.stat().st_mtime_ns == before
    assert again.labels.equals(first.labels)


def test_colour_grey_palette_deep_and_transparent_files_become_what_most_are(tmp_path: Path) -> None:
    X, y = pictures(12, channels=3)
    folder = write_folder(tmp_path / "colour", X, y)
    one = folder / "kind 0" / "0000.png"
    Image.open(one).convert("RGBA").save(one)
    two = folder / "kind 1" / "0001.png"
    Image.open(two).convert("L").save(two)
    dataset, array, _, _ = _decoded(folder, tmp_path / "work")
    assert dataset.image_channels == 3
    assert np.array_equal(array[0], X[0])
    assert any("1 of 12 images are grey" in w for w in dataset.warnings)

    grey = write_folder(tmp_path / "grey", X[..., :1], y)
    deep = grey / "kind 2" / "0002.png"
    Image.fromarray(X[2, :, :, 0].astype(np.uint16) * 257).save(deep)
    dataset, array, _, _ = _decoded(grey, tmp_path / "more")
    assert dataset.image_channels == 1
    assert np.array_equal(array[8], X[2, ..., :1])


def test_a_broken_image_is_a_warning_and_is_left_out(tmp_path: Path) -> None:
    X, y = pictures(12)
    folder = write_folder(tmp_path / "folder", X, y)
    (folder / "kind 0" / "0000.png").write_bytes(b"no picture")
    whole = (folder / "kind 1" / "0001.png").read_bytes()
    (folder / "kind 1" / "0001.png").write_bytes(whole[: len(whole) // 2])
    dataset, array, labels, notes = _decoded(folder, tmp_path / "work")
    assert dataset.rows == len(labels) == 10
    assert any("2 file(s) cannot be read" in w and "0000.png" in w for w in dataset.warnings)
    assert "0001.png" in notes[0]
    assert np.array_equal(array[0], X[3])


def test_images_of_other_sizes_are_brought_to_the_common_one_with_a_warning(tmp_path: Path) -> None:
    X, y = pictures(12)
    folder = write_folder(tmp_path / "folder", X, y)
    Image.fromarray(np.full((20, 31), 77, dtype=np.uint8)).save(folder / "kind 0" / "zz.png")
    dataset, array, _, _ = _decoded(folder, tmp_path / "work")
    assert (dataset.image_height, dataset.image_width) == (8, 8)
    assert any("2 sizes; 1 of 13 are resized to 8 × 8" in w for w in dataset.warnings)
    assert (array[4] == 77).all()


def test_large_images_are_shrunk_and_say_so(tmp_path: Path) -> None:
    X, y = pictures(6, side=8)
    big = np.kron(X, np.ones((1, 40, 20, 1), dtype=np.uint8))
    np.savez(tmp_path / "big.npz", X=big, y=y)
    dataset, array, _, _ = _decoded(tmp_path / "big.npz", tmp_path / "work")
    assert array.shape == (6, 128, 64, 1)
    assert "The images are shrunk from 320 × 160 to 128 × 64 pixels." in dataset.warnings


def test_a_test_set_beside_the_training_set_is_left_aside(tmp_path: Path) -> None:
    X, y = pictures(30)
    idx = write_mnist(tmp_path / "idx", X, y, test=9, ending="")
    dataset = profile_table(idx)
    assert dataset.rows == 21
    assert any("t10k-images-idx3-ubyte is left aside" in w for w in dataset.warnings)
    array, names = read_images(idx, height=8, width=8, channels=1, is_whole=True)
    assert np.array_equal(array, X[21:])
    assert names == ()
    write_folder(tmp_path / "both" / "train", X[:21], y[:21])
    write_folder(tmp_path / "both" / "test", X[21:], y[21:])
    dataset = profile_table(tmp_path / "both")
    assert (dataset.rows, dataset.classes) == (21, 3)
    assert any("test is left aside" in w for w in dataset.warnings)


def test_empty_classes_loose_files_and_copies_are_told(tmp_path: Path) -> None:
    X, y = pictures(30)
    X[3] = X[0]
    folder = write_folder(tmp_path / "folder", X, y)
    (folder / "nothing").mkdir()
    (folder / "kind 0" / "notes.txt").write_text("x")
    Image.fromarray(X[0, :, :, 0]).save(folder / "loose.png")
    dataset = profile_table(folder)
    said = " ".join(dataset.warnings)
    assert dataset.classes == 3
    assert "No image lies in nothing" in said
    assert "1 image(s) beside the folders" in said
    assert "1 file(s) in the folders are no images" in said
    assert dataset.duplicate_ratio == pytest.approx(1 / 30)
    assert "repeat an earlier one to the pixel" in said
    assert dataset.is_sorted_by_target


def test_arrays_of_other_types_and_orders_are_understood(tmp_path: Path) -> None:
    X, y = pictures(12, channels=3)
    np.savez(tmp_path / "first.npz", X=np.moveaxis(X, 3, 1).astype(np.int64), y=y.astype(np.float64))
    dataset, array, labels, _ = _decoded(tmp_path / "first.npz", tmp_path / "a")
    assert np.array_equal(array, X)
    assert labels == y.tolist()
    assert "The channels stand first and are put last." in dataset.warnings
    np.savez(tmp_path / "share.npz", X=X[..., 0] / 255, y=np.where(y == 0, "bar", "other"))
    dataset, array, _, _ = _decoded(tmp_path / "share.npz", tmp_path / "b")
    assert array.dtype == np.float32
    assert array[..., 0] == pytest.approx(X[..., 0] / 255)
    assert (dataset.task, dataset.bytes) == (Task.BINARY, 12 * 64 * 4)


def test_a_missing_label_leaves_its_image_out_of_the_count(tmp_path: Path) -> None:
    X, y = pictures(12)
    np.savez(tmp_path / "a.npz", X=X, y=np.where(np.arange(12) == 4, np.nan, y))
    dataset = profile_table(tmp_path / "a.npz")
    assert dataset.rows == 11
    assert "1 image(s) have no label and are left out." in dataset.warnings


def test_many_pixels_leave_the_effective_dimensions_unknown(tmp_path: Path) -> None:
    X, y = pictures(9, side=48)
    dataset = profile_table(write_folder(tmp_path / "folder", X, y))
    assert isinstance(dataset.effective_dimensions, Unknown)


def test_images_to_predict_need_no_classes_and_keep_the_order_of_their_paths(tmp_path: Path) -> None:
    X, y = pictures(6)
    folder = write_folder(tmp_path / "folder", X, y)
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, image in enumerate(X):
        Image.fromarray(image[..., 0]).resize((16, 16), Image.Resampling.NEAREST).save(flat / f"{i}.png")
    array, names = read_images(folder, height=8, width=8, channels=1, is_whole=True)
    assert names[0] == "kind 0/0000.png"
    assert np.array_equal(array, X[np.argsort(y, kind="stable")])
    array, names = read_images(flat, height=8, width=8, channels=3, is_whole=True)
    assert names == tuple(f"{i}.png" for i in range(6))
    assert array.shape == (6, 8, 8, 3)
    (flat / "9.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"9\.png cannot be read as an image"):
        read_images(flat, height=8, width=8, channels=1, is_whole=True)


def test_a_change_of_one_pixel_or_one_label_changes_the_fingerprint(tmp_path: Path) -> None:
    X, y = pictures(12)
    prints = set()
    for number, (row, label) in enumerate(((0, 0), (1, 0), (0, 1))):
        A, b = X.copy(), y.copy()
        A[5, 0, 0, 0] += row
        b[5] = (b[5] + label) % 3
        np.savez(tmp_path / f"{number}.npz", X=A, y=b)
        prints.add(profile_table(tmp_path / f"{number}.npz").fingerprint)
        prints.add(profile_table(write_folder(tmp_path / f"folder {number}", A, b)).fingerprint)
    assert len(prints) == 6


def test_tables_are_no_images(tmp_path: Path) -> None:
    X, y = pictures(60)
    np.savez(tmp_path / "flat.npz", X=X.reshape(60, -1), y=y)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    for source in (tmp_path / "flat.npz", tmp_path / "a.csv", tmp_path / "absent", "sklearn:digits", "sqlite:///x", pl.DataFrame()):
        assert not is_images(source)
    digits = profile_table("sklearn:digits")
    assert (digits.image_source, digits.image_height, digits.image_width, digits.image_channels) == ("columns", 8, 8, 1)


def _mnist(folder: Path) -> Path:
    return write_mnist(folder, *pictures(12))


def test_what_is_wrong_gives_one_error_with_its_cure(tmp_path: Path) -> None:
    X, y = pictures(12)
    cases: list[tuple[Path, str]] = []

    one = write_folder(tmp_path / "one", X, np.zeros(12, dtype=int))
    cases.append((one, "All images are of one class, 'kind 0'"))
    loose = tmp_path / "loose"
    loose.mkdir()
    Image.fromarray(X[0, :, :, 0]).save(loose / "a.png")
    cases.append((loose, "holds images, but no sub-folder a class"))
    (tmp_path / "bare").mkdir()
    cases.append((tmp_path / "bare", "is a folder, not a table"))
    dead = write_folder(tmp_path / "dead", X[:4], y[:4])
    for file in dead.rglob("*.png"):
        file.write_bytes(b"\x89PNG\r\n\x1a\n")
    cases.append((dead, "None of the 4 images"))
    lonely = write_folder(tmp_path / "lonely", X[:3], np.arange(3))
    cases.append((lonely, "3 classes for 3 images"))

    magic = _mnist(tmp_path / "magic")
    file = magic / "train-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(b"\1\2" + gzip.decompress(file.read_bytes())[2:]))
    cases.append((magic, "is no IDX file (its first bytes are 01 02 08 03)"))
    cut = _mnist(tmp_path / "cut")
    file = cut / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    cases.append((cut, "is damaged (the gzip stream ends early"))
    short = write_mnist(tmp_path / "short", X, y, ending="")
    file = short / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-5])
    cases.append((short, "for the shape (12, 8, 8) that it states"))
    unlabelled = _mnist(tmp_path / "unlabelled")
    (unlabelled / "train-labels-idx1-ubyte.gz").unlink()
    cases.append((unlabelled, "Put train-labels-idx1-ubyte.gz into the same folder"))
    fewer = _mnist(tmp_path / "fewer")
    write_idx(fewer / "train-labels-idx1-ubyte.gz", y[:5])
    cases.append((fewer, "has the shape (5,) for 12 images"))
    cases.append((_mnist(tmp_path / "labels") / "train-labels-idx1-ubyte.gz", "Name the file of the images"))

    for name, arrays, said in (
        ("no y", {"X": X}, "has no array y"),
        ("short y", {"X": X, "y": y[:3]}, "12 images and y has the shape (3,)"),
        ("five", {"X": X[..., None], "y": y}, "has the shape (12, 8, 8, 1, 1)"),
        ("nan", {"X": np.where(X == 220, np.nan, X), "y": y}, "numbers that are not finite"),
        ("number", {"X": X, "y": y + 0.5}, "y holds numbers such as 0.5"),
        ("none", {"X": X[:0], "y": y[:0]}, "holds no images"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        cases.append((tmp_path / f"{name}.npz", said))
    for source, said in cases:
        with pytest.raises(InputError) as caught:
            profile_table(source)
        assert said in str(caught.value), f"{source.name}: {caught.value}"
        assert caught.value.cure.endswith(".")


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"target": "digit"}, "Images have no column 'digit'"),
        ({"group": "patient"}, "Leave --group out"),
        ({"weights": "w"}, "Leave --weights out"),
        ({"drop": ("a",)}, "Leave --drop out"),
        ({"task": Task.REGRESSION}, "not given numbers"),
        ({"task": Task.BINARY}, "3 classes, not two"),
    ],
)
def test_wishes_that_images_cannot_have_are_refused(wish: dict[str, object], said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(("X", "y"), pictures(12), strict=True)))
    with pytest.raises(InputError, match=said):
        profile_table(tmp_path / "a.npz", **wish)  # type: ignore[arg-type]
    assert profile_table(tmp_path / "a.npz", target="y").target == "y"
