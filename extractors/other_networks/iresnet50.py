"""IResNet-50, the face network of ArcFace as InsightFace publishes it for PyTorch."""

from __future__ import annotations

from torch import Tensor, nn

from extractors.images import check_images

UNITS = (3, 4, 14, 3)
STRIDE = 16


class ResidualUnit(nn.Module):
    """Norm, 3x3 convolution, norm, PReLU, 3x3 convolution with the stride, norm; plus a shortcut.

    The shortcut is the input itself, or a 1x1 convolution with norm where ``stride`` is not 1 or
    the number of channels grows.

    Shapes (N images):
        ``images``: (N, ``in_dim``, H, W), float.
        result: (N, ``out_dim``, ceil(H / ``stride``), ceil(W / ``stride``)).
    """

    def __init__(self, in_dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_dim)
        self.conv1 = nn.Conv2d(in_dim, out_dim, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_dim)
        self.prelu = nn.PReLU(out_dim)
        self.conv2 = nn.Conv2d(out_dim, out_dim, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_dim)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_dim != out_dim:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_dim, out_dim, 1, stride, bias=False), nn.BatchNorm2d(out_dim)
            )

    @property
    def last_norm(self) -> nn.Module:
        """The norm whose scale sets how much the unit adds to its shortcut."""
        return self.bn3

    def forward(self, images: Tensor) -> Tensor:
        """Apply the unit; shapes are in the class docstring."""
        shortcut = images if self.downsample is None else self.downsample(images)
        inner = self.prelu(self.bn2(self.conv1(self.bn1(images))))
        result: Tensor = self.bn3(self.conv2(inner)) + shortcut
        return result


class IResNet50(nn.Module):
    """Turn a face crop into an embedding with InsightFace's 50-layer residual network.

    The same plan as ``extractors.ir50.IR50`` but not the same function, so that neither's weights
    fit the other: here a norm stands between the first convolution of a unit and its PReLU, and the
    first unit of the first stage carries its shortcut over by a convolution, where IR-50 drops
    every second pixel.

    Shapes (N images):
        ``images``: (N, 3, ``image_size``, ``image_size``), float; normalised RGB, for published
            weights (value / 255 - 0.5) / 0.5.
        result: (N, ``embedding_dim``). ``feature_map`` gives the map before the output layers,
            (N, 8 ``width``, ceil(``image_size`` / 16), the same).

    Args:
        image_size: height and width of the input in pixels.
        embedding_dim: length of an embedding.
        width: channels of the first stage; published weights have 64.

    Raises:
        ValueError: an argument is below 1.

    Source:
        Deng, Guo, Zafeiriou, "ArcFace", CVPR 2019; layers and parameter names after the weights of
        github.com/deepinsight/insightface, recognition/arcface_torch (r50).
    """

    def __init__(self, image_size: int = 112, embedding_dim: int = 512, width: int = 64) -> None:
        super().__init__()
        sizes = {"image_size": image_size, "embedding_dim": embedding_dim, "width": width}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.image_size = image_size
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.layer1 = stage_of_units(width, width, UNITS[0])
        self.layer2 = stage_of_units(width, 2 * width, UNITS[1])
        self.layer3 = stage_of_units(2 * width, 4 * width, UNITS[2])
        self.layer4 = stage_of_units(4 * width, 8 * width, UNITS[3])
        self.bn2 = nn.BatchNorm2d(8 * width)
        map_size = -(-image_size // STRIDE)
        self.fc = nn.Linear(8 * width * map_size**2, embedding_dim)
        self.features = nn.BatchNorm1d(embedding_dim)

    def feature_map(self, images: Tensor) -> Tensor:
        """Compute the last convolutional map.

        Raises:
            ValueError: ``images`` is not float or not (N, 3, ``image_size``, ``image_size``).
        """
        check_images(images, self.image_size)
        first = self.prelu(self.bn1(self.conv1(images)))
        result: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(first))))
        return result

    def forward(self, images: Tensor) -> Tensor:
        """Embed each image; shapes are in the class docstring.

        Raises:
            ValueError: ``images`` is not float or not (N, 3, ``image_size``, ``image_size``).
        """
        flat = self.bn2(self.feature_map(images)).flatten(1)
        result: Tensor = self.features(self.fc(flat))
        return result


def stage_of_units(in_dim: int, out_dim: int, count: int) -> nn.Sequential:
    """Build one stage: the first unit halves the image and takes the new number of channels."""
    units = [ResidualUnit(in_dim, out_dim, 2)]
    units += [ResidualUnit(out_dim, out_dim, 1) for _ in range(count - 1)]
    return nn.Sequential(*units)
