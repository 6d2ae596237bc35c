"""dlib's face recognition network: 29 convolutions, from a crop to an embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from extractors.images import check_images

SMALLEST = 103  # pixels of an image, below which no map is left
# Channels of the units in the order of the images' way, and whether a unit halves the map.
UNITS = (
    *((32, False),) * 3, (64, True), *((64, False),) * 3, (128, True), *((128, False),) * 2,
    (256, True), *((256, False),) * 2, (256, True),
)  # fmt: skip


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with norms, added to a shortcut without parameters, then ReLU.

    A unit that halves the map has a first convolution of stride 2 without padding, and a 2x2 mean
    as its shortcut. Where their maps differ in size or channels, the smaller is filled up with
    zeros at its right, its bottom and behind its channels.

    Shapes (N images):
        ``images``: (N, ``in_dim``, S, S), float.
        result: (N, ``out_dim``, S, S), or, halved, the larger of (S - 3) // 2 + 1 and S // 2.
    """

    def __init__(self, in_dim: int, out_dim: int, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        stride, padding = (2, 0) if halves else (1, 1)
        self.conv1 = nn.Conv2d(in_dim, out_dim, 3, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(out_dim)
        self.conv2 = nn.Conv2d(out_dim, out_dim, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_dim)

    @property
    def last_norm(self) -> nn.Module:
        """The norm whose scale sets how much the unit adds to its shortcut."""
        return self.bn2

    def forward(self, images: Tensor) -> Tensor:
        """Apply the unit; shapes are in the class docstring."""
        inner: Tensor = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(images)))))
        if self.halves:
            shortcut = functional.avg_pool2d(images, 2)
            size = max(inner.shape[2], shortcut.shape[2])
            inner, images = fill_up(inner, size), fill_up(shortcut, size, inner.shape[1])
        return functional.relu(inner + images)


def fill_up(maps: Tensor, size: int, channels: int = 0) -> Tensor:
    """Fill square maps up with zeros to ``size`` pixels, and to ``channels`` where they are fewer."""
    missing = size - maps.shape[2]
    return functional.pad(maps, [0, missing, 0, missing, 0, max(0, channels - maps.shape[1])])


class ResNet29(nn.Module):
    """Turn a face crop into an embedding: the last map of dlib's network, mean-pooled.

    Shapes (N images):
        ``images``: (N, 3, S, S), float, S at least 103, 150 in dlib; RGB from 0 to 255, less the mean
            and divided by 256.
        result: (N, 256), not negative. ``feature_map`` gives the map before the mean.

    Source:
        dlib's ``dnn_face_recognition_ex.cpp`` and ``dlib_face_recognition_resnet_model_v1.dat`` (King
        2017; public domain, CC0): He et al., CVPR 2016, with fewer units and half the channels. Ends
        at the mean: the last layer there, 256 to 128, tells persons apart. A norm that dlib stores
        as a gain and a shift is a batch norm here, so that it can learn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 7, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        units, dim = [], 32
        for out_dim, halves in UNITS:
            units.append(ResidualUnit(dim, out_dim, halves=halves))
            dim = out_dim
        self.units = nn.Sequential(*units)

    def feature_map(self, images: Tensor) -> Tensor:
        """Compute the last convolutional map.

        Raises:
            ValueError: ``images`` is not float, not (N, 3, S, S), or smaller than 103 pixels.
        """
        check_images(images)
        if images.shape[2] != images.shape[3] or images.shape[2] < SMALLEST:
            raise ValueError(
                f"ResNet29 takes square images of at least {SMALLEST} pixels, got "
                f"{tuple(images.shape)}"
            )
        first = functional.relu(self.bn1(self.conv1(images)))
        result: Tensor = self.units(functional.max_pool2d(first, 3, 2))
        return result

    def forward(self, images: Tensor) -> Tensor:
        """Embed each image; shapes are in the class docstring.

        Raises:
            ValueError: as ``feature_map``.
        """
        return self.feature_map(images).mean(dim=(2, 3))
