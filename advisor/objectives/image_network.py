"""Networks for images: a small convolutional one, and the perceptron on flat pixels; trained epoch by epoch as those for tables.

The images are decoded once, into one array. It lies on the device whole where it fits there, and each batch is gathered,
normalised, moved and mirrored as one tensor: no image is ever handled alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from advisor.core.errors import InputError, nearest
from advisor.objectives.batch_size import Precision, precision_for
from advisor.objectives.images import Images, Pixels, images_of
from advisor.objectives.network import EpochNetwork, EpochTraining, Numbers, ResidualPerceptron, moved

AUGMENTATIONS = ("none", "crop", "flip_crop")
"""What is done to training images: nothing; moved by up to an eighth of the side; moved, and mirrored left to right half the time."""
DEVICE_SHARE = 0.4
"""Share of an accelerator's free memory that the images may take; what is left is for the network. Source: our choice."""
_PREDICTED_AT_ONCE = 1024
_COUNTED_AT_ONCE = 4096


class Held(NamedTuple):
    """Images for prediction: where they all lie, and which are meant."""

    store: Tensor
    rows: Tensor


class ConvolutionalNet(nn.Module):
    """Logits ``(images, outputs)`` of images ``(images, channels, height, width)``.

    `blocks` times convolution 3 × 3, batch norm and ReLU; the side is halved and the channels are doubled after each while the
    smaller side is 4 or more, up to eight times `base`; then the mean over the picture. Source: VGG (arXiv:1409.1556) with batch
    norm (arXiv:1502.03167), global average pooling (arXiv:1312.4400).
    """

    def __init__(self, shape: tuple[int, int, int], outputs: int, *, blocks: int, base: int, dropout: float) -> None:
        super().__init__()
        height, width, before = shape
        side, channels = min(height, width), base
        layers: list[nn.Module] = []
        for i in range(blocks):
            layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            before = channels
            if side >= 4 and i < blocks - 1:
                layers.append(nn.MaxPool2d(2))
                side, channels = side // 2, min(2 * channels, 8 * base)
        self.features = nn.Sequential(*layers)
        self.last = nn.Sequential(nn.Dropout(dropout), nn.Linear(before, outputs))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.last(self.features(images).mean(dim=(2, 3)))
        return out


class FlatNet(nn.Module):
    """Logits ``(images, outputs)`` of images, by the residual perceptron on their pixels."""

    def __init__(self, shape: tuple[int, int, int], outputs: int, *, layers: int, width: int, dropout: float) -> None:
        super().__init__()
        self.body = ResidualPerceptron(
            int(np.prod(shape)), [], outputs, layers=layers, width=width, dropout=dropout, normalisation="batch", activation="relu"
        )

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        out: Tensor = self.body(flat, flat.new_empty((len(flat), 0), dtype=torch.int64))
        return out


class ImageTraining(EpochTraining):
    """A training on images. Their mean and spread, one a channel, are those of the training rows."""

    HELD = (*EpochTraining.HELD, "store", "rows")

    def __init__(
        self,
        settings: Mapping[str, Any],
        X: Images,
        y: npt.NDArray[Any],
        weight: npt.NDArray[Any] | None,
        *,
        classes: int,
        kind: type[ImageNetwork],
    ) -> None:
        """`settings` are the arguments of the estimator `kind`. Raises: CannotRunError when the device is not there."""
        super().__init__(settings, y, weight, classes=classes)
        self.augmentation = str(settings["augmentation"])
        if self.augmentation not in AUGMENTATIONS:
            raise InputError(
                f"unknown augmentation {self.augmentation!r}", where="augmentation", cure=nearest(self.augmentation, AUGMENTATIONS)
            )
        mean, spread = channel_statistics(X)
        self.mean, self.spread = torch.as_tensor(mean, device=self.device), torch.as_tensor(spread, device=self.device)
        self.format = torch.channels_last if self.device.type == "cuda" else torch.contiguous_format
        self.store, self.rows = self.hold(X)
        height, width, channels = X.shape[1:]
        with self._seeded(-1):
            network = kind.body(settings, (height, width, channels), classes or 1)
        network = moved(network, self.device)
        self._begin(network.to(memory_format=self.format) if self.format is torch.channels_last else network)  # type: ignore[call-overload]

    def learned(self) -> ImageTraining:
        """What is left of a training in a file: it predicts on the CPU, and has neither rows nor optimiser."""
        kept = super().learned()
        kept.mean, kept.spread, kept.precision, kept.format = self.mean.cpu(), self.spread.cpu(), "fp32", torch.contiguous_format
        kept.network = kept.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return kept

    def _precision(self) -> Precision:
        """What the network computes in, by what the device can."""
        return precision_for(self.device.type, torch.cuda.get_device_capability(self.device) if self.device.type == "cuda" else None)

    def hold(self, X: Any) -> Held:
        """The images on the device where they fit, else where they are; and the numbers of those meant."""
        images = images_of(X)
        store = stored(images.array, self.device)
        return Held(store, torch.as_tensor(images.rows, dtype=torch.int64).to(store.device))

    def predict_tensors(self, held: Held) -> Numbers:
        """`predict` of images that `hold` has put on the device."""
        self.network.eval()
        with torch.inference_mode():
            parts = [self._forward(self._gathered(held.store, rows)) for rows in torch.split(held.rows, _PREDICTED_AT_ONCE)]
        return self._finish(torch.cat(parts)) if parts else self._finish(torch.empty((0, self.classes or 1)))

    def _output(self, rows: Tensor) -> Tensor:
        return self._forward(augmented(self._gathered(self.store, self.rows[rows.to(self.rows.device)]), self.augmentation))

    def _gathered(self, store: Tensor, rows: Tensor) -> Tensor:
        """Normalised images ``(rows, channels, height, width)`` on the device."""
        picked = store.index_select(0, rows).to(self.device, non_blocking=True)
        return ((picked.float() - self.mean) / self.spread).permute(0, 3, 1, 2).contiguous(memory_format=self.format)

    def _forward(self, images: Tensor) -> Tensor:
        kind = torch.float16 if self.precision == "fp16" else torch.bfloat16
        with torch.autocast(self.device.type, kind, enabled=self.precision != "fp32"):
            out: Tensor = self.network(images)
        return out.float()


def stored(array: Pixels, device: torch.device) -> Tensor:
    """`array` as a tensor on `device` where a share of its free memory holds it, else in the memory of the machine.

    The last array stays there, since every fold and every trial of a worker asks for the same one.
    """
    if device.type == "cpu":
        return torch.from_numpy(array)
    key = (id(array), device)
    if key not in _stores:
        _stores.clear()
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        fits = array.nbytes <= DEVICE_SHARE * free if device.type == "cuda" else True
        # the array is kept beside its tensor, so that its identity is not given to another one
        _stores[key] = (array, torch.from_numpy(array).to(device) if fits else torch.from_numpy(array))
    return _stores[key][1]


_stores: dict[tuple[int, torch.device], tuple[Pixels, Tensor]] = {}


def channel_statistics(images: Images) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and standard deviation of each channel over `images`; a channel that never varies has the deviation 1."""
    channels = images.shape[3]
    total, squares, count = np.zeros(channels), np.zeros(channels), 0
    for start in range(0, len(images), _COUNTED_AT_ONCE):
        part = images[start : start + _COUNTED_AT_ONCE].pixels().reshape(-1, channels).astype(np.float64)
        total, squares, count = total + part.sum(axis=0), squares + (part**2).sum(axis=0), count + len(part)
    mean = total / max(count, 1)
    spread = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0.0))
    return mean.astype(np.float32), np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, 1.0).astype(np.float32)


def augmented(images: Tensor, kind: str) -> Tensor:
    """`images` ``(images, channels, height, width)``, each moved by its own whole pixels and perhaps mirrored; by torch's generator.

    What moves in at an edge is the mean, which is 0 after normalisation. Source: He et al. 2016 (arXiv:1512.03385), 4.2: four pixels of 32.
    """
    if kind == "none":
        return images
    n, _, height, width = images.shape
    reach = max(1, round(min(height, width) / 8))
    down, right = (torch.randint(0, 2 * reach + 1, (n, 1), device=images.device) for _ in range(2))
    mirrored = torch.rand((n, 1), device=images.device) < 0.5
    y = torch.arange(height, device=images.device) + down
    x = torch.arange(width, device=images.device).expand(n, width)
    if kind == "flip_crop":
        x = torch.where(mirrored, width - 1 - x, x)
    padded = nn.functional.pad(images, (reach, reach, reach, reach)).permute(0, 2, 3, 1)
    picked = padded[torch.arange(n, device=images.device)[:, None, None], y[:, :, None], (x + right)[:, None, :]]
    return picked.permute(0, 3, 1, 2)


class ImageNetwork(EpochNetwork):
    """A network for images ``(images, height, width[, channels])``, bytes or floats."""

    @staticmethod
    @abstractmethod
    def body(settings: Mapping[str, Any], shape: tuple[int, int, int], outputs: int) -> nn.Module:
        """The network of these settings for images of ``(height, width, channels)``."""

    def _training(self, X: Any, y: npt.NDArray[Any], weight: Any, *, classes: int) -> ImageTraining:
        return ImageTraining(self.get_params(), images_of(X), y, weight, classes=classes, kind=type(self))


class ConvolutionalNetwork(ImageNetwork):
    """The small convolutional network. Source: our knowledge base, C.11."""

    def __init__(
        self,
        *,
        task: Literal["binary", "multiclass", "regression"] = "multiclass",
        blocks: int = 4,
        channels: int = 32,
        dropout: float = 0.0,
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        label_smoothing: float = 0.1,
        augmentation: str = "none",
        batch_size: int | None = None,
        epochs: int = 30,
        stop_epoch: int | None = None,
        course: Sequence[tuple[int, Mapping[str, Any]]] | None = None,
        schedule: Literal["cosine", "one_cycle", "constant"] = "one_cycle",
        device: str = "cpu",
        threads: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.task = task
        self.blocks = blocks
        self.channels = channels
        self.dropout = dropout
        self.lr = lr
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.epochs = epochs
        self.stop_epoch = stop_epoch
        self.course = course
        self.schedule = schedule
        self.device = device
        self.threads = threads
        self.random_state = random_state

    @staticmethod
    def body(settings: Mapping[str, Any], shape: tuple[int, int, int], outputs: int) -> nn.Module:
        """The network of these settings for images of ``(height, width, channels)``."""
        return ConvolutionalNet(
            shape, outputs, blocks=int(settings["blocks"]), base=int(settings["channels"]), dropout=float(settings["dropout"])
        )


class FlatNetwork(ImageNetwork):
    """The perceptron on flat pixels, with the arguments of the network for tables. Source: our knowledge base, C.10."""

    def __init__(
        self,
        *,
        task: Literal["binary", "multiclass", "regression"] = "multiclass",
        layers: int = 2,
        width: int = 128,
        dropout: float = 0.1,
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
        label_smoothing: float = 0.0,
        augmentation: str = "none",
        batch_size: int | None = None,
        epochs: int = 50,
        stop_epoch: int | None = None,
        course: Sequence[tuple[int, Mapping[str, Any]]] | None = None,
        schedule: Literal["cosine", "one_cycle", "constant"] = "cosine",
        device: str = "cpu",
        threads: int | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.task = task
        self.layers = layers
        self.width = width
        self.dropout = dropout
        self.lr = lr
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.epochs = epochs
        self.stop_epoch = stop_epoch
        self.course = course
        self.schedule = schedule
        self.device = device
        self.threads = threads
        self.random_state = random_state

    @staticmethod
    def body(settings: Mapping[str, Any], shape: tuple[int, int, int], outputs: int) -> nn.Module:
        """The network of these settings for images of ``(height, width, channels)``."""
        return FlatNet(shape, outputs, layers=int(settings["layers"]), width=int(settings["width"]), dropout=float(settings["dropout"]))
