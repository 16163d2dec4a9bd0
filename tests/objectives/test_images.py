"""Networks for images: learn what only a place-free eye can, go on to the bit, ship a model that predicts from new files."""

from __future__ import annotations

import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.model_selection import cross_val_score

from advisor.core.errors import CannotRunError, InputError
from advisor.core.facts import Task
from advisor.core.family import Family
from advisor.core.metrics import METRICS
from advisor.objectives import image_network
from advisor.objectives.final import FinalFit
from advisor.objectives.image_network import (
    AUGMENTATIONS,
    ConvolutionalNet,
    ConvolutionalNetwork,
    FlatNetwork,
    augmented,
    channel_statistics,
)
from advisor.objectives.images import IMAGE, Images, PixelColumns, images_of
from advisor.objectives.model import load
from advisor.objectives.network_objective import NetworkObjective
from advisor.objectives.prepared import Prepared, prepare
from advisor.objectives.scoring import DivergedError, scorer
from advisor.objectives.splitting import read_splits
from advisor.objectives.tables import read_prepared
from advisor.profiling.images import decode_images, profile_images, read_images
from advisor.rulebook.loading import load_rulebook
from tests.objectives.tables_of_tests import plan
from tests.pictures import pictures, write_folder

RULES = load_rulebook().families
SMALL: dict[str, dict[str, Any]] = {
    "cnn": {"lr": 3e-3, "blocks": 2, "channels": 8, "weight_decay": 0.01, "dropout": 0.1, "label_smoothing": 0.0, "augmentation": "crop"},
    "mlp": {"lr": 3e-3, "layers": 1, "width": 16, "dropout": 0.1, "weight_decay": 1e-3},
}


def _family(name: str, epochs: int = 4) -> Family:
    family = RULES[name]
    short = {"epochs": epochs, "batch_size": 16, "max_iter": 20, "n_estimators": 5}
    return family.model_copy(update={"fixed": {**family.fixed, **{k: v for k, v in short.items() if k in family.fixed}}})


def _prepared(folder: Path, count: int = 90, **kind: Any) -> Prepared:
    """Pictures in the folders of their classes, profiled, decoded and prepared."""
    X, y = pictures(count, **kind)
    source = write_folder(folder / "pictures", X, y)
    dataset = profile_images(source)
    found = decode_images(source, dataset, folder / "work" / "images.npy")
    wanted = plan(Task.MULTICLASS, "log_loss", columns=(IMAGE,)).model_copy(update={"target": "class"})
    return prepare(found.labels.to_frame(), dataset, wanted, folder / "work", images=found.path)


def _objective(ready: Prepared, name: str, epochs: int = 4) -> NetworkObjective:
    found = ready.objective(_family(name, epochs), seed=1)
    assert isinstance(found, NetworkObjective)
    return found


@pytest.mark.parametrize("name", SMALL)
def test_lockstep_ends_with_the_scores_of_cross_val_score(name: str, tmp_path: Path) -> None:
    ready = _prepared(tmp_path)
    objective = _objective(ready, name)
    table = read_prepared(Path(ready.table))
    expected = cross_val_score(
        objective.pipeline(SMALL[name]),
        table.frame,
        table.y,
        cv=read_splits(Path(ready.splits)),
        scoring=scorer(METRICS[ready.metric], len(ready.classes)),
        error_score="raise",
    )
    steps = list(objective(SMALL[name]))
    assert [m.step for m in steps] == [1, 2, 3, 4]
    assert list(objective.last_scores) == list(-expected)


@pytest.mark.parametrize("name", SMALL)
def test_going_on_from_a_checkpoint_equals_never_having_stopped(name: str, tmp_path: Path) -> None:
    objective = _objective(_prepared(tmp_path), name)
    whole = [m.value for m in objective(SMALL[name])]
    first = list(islice(objective(SMALL[name]), 2))
    assert callable(first[-1].checkpoint)
    state = pickle.loads(pickle.dumps(first[-1].checkpoint()))
    torch.manual_seed(123)
    rest = [m.value for m in objective(SMALL[name], state)]
    assert [m.value for m in first] + rest == whole


def test_a_convolution_finds_what_stands_anywhere(tmp_path: Path) -> None:
    objective = _objective(_prepared(tmp_path, 180), "cnn", epochs=12)
    *_, last = objective({**SMALL["cnn"], "lr": 0.01, "augmentation": "none", "dropout": 0.0})
    # guessing three equal classes costs ln 3 = 1.10; a tenth of that means that nearly all are known
    assert last.value < 0.11


@pytest.mark.parametrize("name", ["logistic_regression", "extra_trees", "cnn", "mlp"])
def test_the_model_of_every_family_predicts_new_files(name: str, tmp_path: Path) -> None:
    ready = _prepared(tmp_path)
    family = _family(name)
    config = SMALL.get(name, family.space.default())
    final = FinalFit(prepared=ready, family=family, predictions=tmp_path / "heldout.npz", seed=0)
    value = next(iter(final(config))).value
    assert 0 < value < 5
    model = load(tmp_path / "m", final.save_last(str(tmp_path / "m")))
    assert (tmp_path / "m").stat().st_size < 400_000, "the file of a model holds no pictures"
    kind = model.images
    assert kind is not None
    assert (kind.height, kind.width, kind.channels, kind.is_whole, kind.columns) == (8, 8, 1, True, ())
    X, y = pictures(9, seed=5)
    array, _ = read_images(write_folder(tmp_path / "new", X, y), height=8, width=8, channels=1, is_whole=True)
    out = model.predict(Images(array))
    assert out.columns == ["prediction", *(f"probability_kind {k}" for k in range(3))]
    assert out["prediction"].is_in(["kind 0", "kind 1", "kind 2"]).all()
    shares = out.select(pl.sum_horizontal(pl.exclude("prediction"))).to_series().to_numpy()
    assert shares == pytest.approx(1)
    with np.load(tmp_path / "heldout.npz") as kept:
        again = model.pipeline.predict_proba(read_prepared(Path(ready.table)).frame[kept["rows"]])
        assert kept["predicted"] == pytest.approx(again)
    assert model.predict(Images(array[:0])).height == 0
    with pytest.raises(InputError, match="predicts images, not rows of a table"):
        model.predict(pl.DataFrame({"a": [1.0]}))
    with pytest.raises(InputError, match="the model learned from"):
        model.predict(Images(np.zeros((2, 9, 8, 1), dtype=np.uint8)))


def test_pixel_columns_of_a_table_become_images_and_predict_from_the_table(tmp_path: Path) -> None:
    X, y = pictures(90)
    names = [f"pixel {i}" for i in range(64)]
    frame = pl.DataFrame(X.reshape(90, 64).astype(float), schema=names, orient="row").with_columns(pl.Series("target", y.astype(str)))
    frame = frame.with_columns(target=pl.when(pl.int_range(90) == 7).then(None).otherwise("target"))
    dataset = profile_images_of_table(frame)
    ready = prepare(frame, dataset, plan(Task.MULTICLASS, "log_loss", columns=dataset.columns), tmp_path / "work", pixels=names)
    assert (ready.rows, ready.dropped_rows) == (89, 1)
    table = read_prepared(Path(ready.table))
    assert isinstance(table.frame, Images)
    assert np.array_equal(table.frame.pixels(), np.delete(X, 7, axis=0))
    objective = _objective(ready, "cnn")
    assert np.isfinite([m.value for m in objective(SMALL["cnn"])]).all()
    model = load(tmp_path / "m", objective.save_last(str(tmp_path / "m")))
    assert model.images is not None
    assert model.images.columns == tuple(names)
    shuffled = frame.select(reversed(frame.columns))
    assert model.predict(shuffled)["prediction"].to_list() == model.predict(Images(X))["prediction"].to_list()
    with pytest.raises(InputError, match=r"1 pixel column\(s\) are missing"):
        model.predict(frame.drop("pixel 3"))


def profile_images_of_table(frame: pl.DataFrame) -> Any:
    """The facts of a table of pixels."""
    from advisor.core.facts import Column, ColumnKind
    from tests.objectives.tables_of_tests import dataset

    columns = tuple(Column(name=n, kind=ColumnKind.NUMERIC) for n in frame.columns if n != "target")
    return dataset(frame, Task.MULTICLASS, columns).model_copy(
        update={"image_side": 8, "image_height": 8, "image_width": 8, "image_channels": 1, "image_source": "columns"}
    )


def test_the_mean_and_spread_of_a_channel_are_those_of_the_training_rows() -> None:
    X = np.random.default_rng(0).integers(0, 255, size=(50, 4, 5, 3)).astype(np.uint8)
    X[..., 2] = 9
    rows = Images(X)[np.arange(0, 50, 2)]
    mean, spread = channel_statistics(rows)
    kept = X[::2].reshape(-1, 3).astype(float)
    assert mean == pytest.approx(kept.mean(axis=0), rel=1e-6)
    assert spread == pytest.approx([*kept.std(axis=0)[:2], 1.0], rel=1e-6)
    network = ConvolutionalNetwork(epochs=1, blocks=2, channels=4).fit(rows, np.arange(25) % 2)
    assert network.training_.mean.numpy() == pytest.approx(mean)


def test_augmentation_moves_and_mirrors_each_picture_by_itself() -> None:
    images = torch.zeros((400, 1, 16, 16))
    images[:, 0, 8, 6] = 1.0
    torch.manual_seed(0)
    assert augmented(images, "none") is images
    places: dict[str, set[tuple[int, int]]] = {}
    for kind in AUGMENTATIONS[1:]:
        moved = augmented(images, kind)
        assert moved.shape == images.shape
        assert (moved.sum(dim=(1, 2, 3)) == 1).all(), "a picture this far from the edge keeps all its pixels"
        places[kind] = {(int(i) // 16, int(i) % 16) for i in moved.flatten(1).argmax(dim=1)}
    # 400 draws of 25 (50) places: the chance that one is left out is below 50 (1 - 1/50)^400 = 0.015, and the seed is fixed
    shifts = {(8 + a, 6 + b) for a in range(-2, 3) for b in range(-2, 3)}
    assert places["crop"] == shifts
    assert places["flip_crop"] == shifts | {(y, 15 - x) for y, x in shifts}


def test_images_are_one_array_however_often_they_are_sliced(tmp_path: Path) -> None:
    table = read_prepared(Path(_prepared(tmp_path).table))
    assert isinstance(table.frame, Images)
    part = table.frame[np.arange(5)][[1, 3]]
    assert part.array is table.frame.array
    assert isinstance(part.array, np.memmap)
    assert np.shares_memory(ConvolutionalNetwork().begin(part, np.array([0, 1])).store.numpy(), table.frame.array)
    assert part.rows.tolist() == [1, 3]
    assert part.nbytes == 16


def test_families_of_columns_see_blocks_of_large_images() -> None:
    X = np.random.default_rng(0).integers(0, 255, size=(3, 50, 33, 1)).astype(np.uint8)
    found = PixelColumns().fit_transform(X)
    assert found.shape == (3, 25 * 17)
    assert found[1].reshape(25, 17)[4, 2] == pytest.approx(X[1, 8:10, 4:6].mean())
    assert found[1].reshape(25, 17)[4, 16] == pytest.approx(X[1, 8:10, 32].mean())
    small = PixelColumns().fit_transform(X[:, :8, :8])
    assert np.array_equal(small, X[:, :8, :8].reshape(3, 64))


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 3, 3), (1, 1, 1), (28, 28, 1), (64, 48, 3)])
def test_any_shape_gives_a_network_of_any_depth(shape: tuple[int, int, int]) -> None:
    for blocks in (2, 6):
        network = ConvolutionalNet(shape, 4, blocks=blocks, base=4, dropout=0.1)
        out = network(torch.zeros((2, shape[2], shape[0], shape[1])))
        assert out.shape == (2, 4)
        assert sum(isinstance(m, torch.nn.Conv2d) for m in network.modules()) == blocks


def test_a_learning_rate_of_one_cycle_rises_and_falls() -> None:
    X, y = pictures(64)
    training = ConvolutionalNetwork(epochs=10, batch_size=32, lr=0.01, blocks=2, channels=4).begin(X, y)
    rates = [training._learning_rate(step) for step in range(20)]
    reference = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    # the library's last step is the 20th of 20; ours would be the 21st, so that no step is taken at the end's rate of nothing
    cycle = torch.optim.lr_scheduler.OneCycleLR(reference, 0.01, total_steps=21)
    expected = []
    for _ in range(20):
        expected.append(reference.param_groups[0]["lr"])
        reference.step()
        cycle.step()
    # the library counts its rise to step 0.3 · total - 1, we to 0.3 · total: at most one step of twenty apart
    assert rates == pytest.approx(expected, abs=0.01 * 2 / 20 * np.pi / 2)
    assert max(rates) == rates[6] == pytest.approx(0.01)
    assert rates[0] == pytest.approx(0.0004)


def test_what_cannot_be_is_refused_or_ends_the_trial(tmp_path: Path) -> None:
    X, y = pictures(30)
    with pytest.raises(InputError, match="unknown augmentation 'flip'"):
        ConvolutionalNetwork(augmentation="flip").begin(X, y)
    with pytest.raises(InputError, match="images of the shape"):
        images_of(np.zeros((3, 4)))
    with pytest.raises(DivergedError, match="not finite"):
        FlatNetwork(lr=1e30, epochs=5, batch_size=4).fit(X, y)
    objective = _objective(_prepared(tmp_path), "cnn")
    state = next(iter(objective(SMALL["cnn"]))).checkpoint()  # type: ignore[operator]
    with pytest.raises(InputError, match="another network"):
        list(objective({**SMALL["cnn"], "channels": 16}, state))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device")
@pytest.mark.parametrize("share", [image_network.DEVICE_SHARE, 0.0])
def test_an_accelerator_holds_the_images_or_is_sent_each_batch(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_network, "DEVICE_SHARE", share)
    X, y = pictures(180)
    network = ConvolutionalNetwork(device="cuda", epochs=12, batch_size=16, blocks=2, channels=8, lr=0.01).fit(X, y)
    assert network.training_.store.device.type == ("cuda" if share else "cpu")
    assert (pickle.loads(pickle.dumps(network)).predict(X) == y).mean() > 0.9


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(CannotRunError, match="no CUDA device"):
        ConvolutionalNetwork(device="cuda").begin(*pictures(6))
