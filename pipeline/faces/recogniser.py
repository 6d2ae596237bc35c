"""dlib's face recogniser, computed by PyTorch: ten times as fast as dlib computes it on a core."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cache.digest import digest_file
from pipeline.faces.identity import CHIP_SIZE, IDENTITY_DIM

MAX_BYTES = 64_000_000  # of a model file; dlib's has 22 MB
# dlib's input layer: what it subtracts from red, green and blue, before it divides by 256.
MEAN_COLOUR = (122.782, 117.001, 104.298)
# Channels of the units, in order; the first unit with another number halves the image's sides.
STEM_DIM = 32
UNITS = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)
HALVED = (3, 7, 10, 13)  # units
# Name of a layer that has parameters, after its length.
LAYER = re.compile(rb"\x05con_4|\x07affine_|\x04(?P<fc>fc_2)")


class _Unit(nn.Module):
    """Two convolutions and a shortcut, as dlib adds them: what is smaller is filled up with zeros.

    Shapes (N images):
        ``images``: (N, ``in_dim``, H, W), float.
        result: (N, ``out_dim``, H, W), with ``halve`` half of that, not negative.
    """

    def __init__(self, in_dim: int, out_dim: int, *, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.conv1 = nn.Conv2d(in_dim, out_dim, 3, 2 if halve else 1, 0 if halve else 1)
        self.conv2 = nn.Conv2d(out_dim, out_dim, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Apply the unit; shapes are in the class docstring."""
        inner = self.conv2(functional.relu(self.conv1(images)))
        if self.halve:
            images = functional.avg_pool2d(images, 2)
            size = [max(sides) for sides in zip(images.shape[1:], inner.shape[1:], strict=True)]
            images, inner = _fill_up(images, size), _fill_up(inner, size)
        return functional.relu(inner + images)


class DlibRecogniser(nn.Module):
    """dlib's face recogniser, a residual network of 29 convolutions for faces of 150 pixels.

    dlib's own code takes 57 ms a crop on one core, this 6 ms, with embeddings that are equal to
    1e-5.

    Args:
        model: its file (``dlib_face_recognition_resnet_model_v1.dat``, CC0).

    Raises:
        ValueError: ``model`` is not such a file.

    Source:
        King, "High Quality Face Recognition with Deep Metric Learning", blog.dlib.net, 2017, as
        trained by dlib's author on 3 million faces and shipped in ``face_recognition_models``.
        Differs from it: each scale and shift behind a convolution is part of that; crops are not
        jittered.
    """

    def __init__(self, model: Path) -> None:
        super().__init__()
        dims = (STEM_DIM, *UNITS)
        with torch.device("meta"):  # no random parameters are drawn: the file has them
            self.stem = nn.Conv2d(3, STEM_DIM, 7, 2)
            self.units = nn.Sequential(
                *(_Unit(*pair, halve=at in HALVED) for at, pair in enumerate(pairwise(dims)))
            )
            self.last = nn.Linear(dims[-1], IDENTITY_DIM, bias=False)
        try:
            self._load(model)
        except ValueError as error:
            raise ValueError(f"{model} is not dlib's face recogniser: {error}") from error
        with _one_thread():
            self.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch's own

    def forward(self, images: Tensor) -> Tensor:
        """Embed images, less their mean colour and divided by 256."""
        maps = functional.max_pool2d(functional.relu(self.stem(images)), 3, 2)
        result: Tensor = self.last(self.units(maps).mean((2, 3)))
        return result

    @torch.inference_mode()
    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed crops, one by one; see ``pipeline.faces.identity.Recogniser``.

        Raises:
            ValueError: ``chips`` is not (N, 150, 150, 3) of uint8.
        """
        if chips.shape[1:] != (CHIP_SIZE, CHIP_SIZE, 3) or chips.dtype != np.uint8:
            raise ValueError(
                f"chips must be (N, {CHIP_SIZE}, {CHIP_SIZE}, 3) of uint8, got {chips.shape} of "
                f"{chips.dtype}"
            )
        embeddings = np.empty((len(chips), IDENTITY_DIM), np.float32)
        with _one_thread():
            for row, chip in zip(embeddings, chips, strict=True):
                image = (chip - np.array(MEAN_COLOUR, np.float32)) / 256
                row[:] = self(torch.from_numpy(image).permute(2, 0, 1)[None]).numpy()[0]
        return embeddings

    def _load(self, model: Path) -> None:
        """Read the parameters, in the order in which an image meets them."""
        if model.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        layers = _read_layers(model.read_bytes())
        for conv in (module for module in self.modules() if isinstance(module, nn.Conv2d)):
            weight, bias = conv.parameters()
            kernel, offset = _take(layers, weight.shape, bias.shape)
            scale, shift = _take(layers, bias.shape, bias.shape)
            conv.weight = _parameter(kernel * scale[:, None, None, None])
            conv.bias = _parameter(offset * scale + shift)
        (matrix,) = _take(layers, self.last.weight.T.shape)
        self.last.weight = _parameter(matrix.T)


def find_recogniser() -> Path:
    """Return the file of dlib's face recogniser, which the package of dlib's models holds."""
    import face_recognition_models

    return Path(face_recognition_models.face_recognition_model_location())


@lru_cache(maxsize=1)
def load_recogniser(model: Path, digest: str) -> DlibRecogniser:
    """Load the face recogniser, once per process.

    Args:
        model: its file.
        digest: SHA-256 that the file must have.

    Raises:
        ValueError: the file has changed, or is not dlib's face recogniser.
    """
    if digest_file(model) != digest:
        raise ValueError(f"{model} changed since the run began")
    return DlibRecogniser(model)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: the last digits depend on how many there are, and it is soon done."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fill_up(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Add zeros behind a map's last channel, row and column, up to a size."""
    channels, rows, columns = (to - now for to, now in zip(size, maps.shape[1:], strict=True))
    return functional.pad(maps, (0, columns, 0, rows, 0, channels))


def _parameter(values: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.ascontiguousarray(values, np.float32)), False)


def _take(layers: Iterator[np.ndarray], *shapes: Sequence[int]) -> list[np.ndarray]:
    """Cut the numbers of the next layer into arrays of these shapes.

    Raises:
        ValueError: it has more or fewer, or there is none, or one isn't finite.
    """
    values = next(layers, np.empty(0, np.float32))
    lengths = [math.prod(shape) for shape in shapes]
    if len(values) != sum(lengths):
        raise ValueError(f"a layer should have {sum(lengths)} parameters and has {len(values)}")
    if not np.isfinite(values).all():
        raise ValueError("a parameter is not finite")
    parts = np.split(values, np.cumsum(lengths[:-1]))
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _read_layers(data: bytes) -> Iterator[np.ndarray]:
    """Yield the numbers of each layer that has some, as dlib serialises a network.

    A layer's name is followed by its tensor: a version, four sizes and the numbers; with ``fc`` two
    sizes stand before.

    Raises:
        ValueError: the file ends within one.
    """
    position = 0
    while found := LAYER.search(data, position):
        position, sizes = found.end(), list[int]()
        for _ in range(7 if found["fc"] else 5):
            size, position = _read_whole(data, position)
            sizes.append(size)
        count = math.prod(sizes[-4:])
        if count * 4 > len(data) - position:
            raise ValueError("it ends within a layer")
        yield np.frombuffer(data, "<f4", count, position)
        position += 4 * count


def _read_whole(data: bytes, position: int) -> tuple[int, int]:
    """Read a whole number as dlib writes it: how many bytes, then those, the lowest first.

    Raises:
        ValueError: the file ends within it.
    """
    start = position + 1
    end = start + data[position] if position < len(data) else start
    if end > len(data):
        raise ValueError("it ends within a number")
    return int.from_bytes(data[start:end], "little"), end
