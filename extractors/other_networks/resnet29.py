"""dlib's face recognition network: 29 convolutions, from a crop to an embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from extractors.images import check_images

SMALLEST = 11  # pixels of an image, below which there is no first map
KERNEL = 3
# From the largest maps to the smallest: channels as multiples of the first's, whether the first of
# the units halves the map, and how many there are.
STAGES = ((1, False, 3), (2, True, 4), (4, True, 3), (8, True, 3), (8, True, 1))


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with norms, added to a shortcut without parameters, then ReLU.

    A unit that halves the map has a first convolution of stride 2 without padding, and a 2x2 mean
    as its shortcut; a map of fewer than 3 pixels is filled up to 3 before. Where the two differ in
    size or channels, the smaller is filled up with zeros at its right, its bottom and behind its
    channels.

    Shapes (N images):
        ``images``: (N, ``in_dim``, S, S), float.
        result: (N, ``out_dim``, S, S), or, halved, (N, ``out_dim``, max(1, S // 2), the same).
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
        if self.halves and images.shape[2] < KERNEL:
            images = fill_up(images, KERNEL)
        inner: Tensor = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(images)))))
        if self.halves:
            shortcut = functional.avg_pool2d(images, 2)
            size = max(inner.shape[2], shortcut.shape[2])
            inner, images = fill_up(inner, size), fill_up(shortcut, size, inner.shape[1])
        return functional.relu(inner + images)


def fill_up(maps: Tensor, size: int, channels: int = 0) -> Tensor:
    """Fill square maps up with zeros to ``size`` pixels, and to ``channels`` if they have fewer."""
    missing = size - maps.shape[2]
    return functional.pad(maps, [0, missing, 0, missing, 0, max(0, channels - maps.shape[1])])


class ResNet29(nn.Module):
    """Turn a face crop into an embedding: the last map of dlib's network, mean-pooled.

    Shapes (N images):
        ``images``: (N, 3, S, S), float, S at least 11, in dlib 150; RGB from 0 to 255, less
            the mean and divided by 256.
        result: (N, 8 ``width``), not negative. ``feature_map`` gives the map before the mean.

    Args:
        width: channels of the first stage; dlib's weights have 32.

    Raises:
        ValueError: ``width`` is below 1.

    Source:
        dlib's ``dnn_face_recognition_ex.cpp``, whose weights (King 2017; public domain, CC0) are
        ``dlib_face_recognition_resnet_model_v1.dat``: He et al., CVPR 2016, with fewer units and
        half the channels. Ends at the mean: dlib's last layer, 256 to 128, tells persons apart. A
        norm that dlib stores as a gain and a shift is a batch norm here, so that it can learn.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.conv1 = nn.Conv2d(3, width, 7, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        units, dim = [], width
        for multiple, halves, count in STAGES:
            for number in range(count):
                units.append(ResidualUnit(dim, multiple * width, halves=halves and number == 0))
                dim = multiple * width
        self.units = nn.Sequential(*units)

    def feature_map(self, images: Tensor) -> Tensor:
        """Compute the last convolutional map.

        Raises:
            ValueError: ``images`` is not float, not (N, 3, S, S), or smaller than 11 pixels.
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
