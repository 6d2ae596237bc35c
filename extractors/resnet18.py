"""ResNet-18, with torchvision's parameter names and without its classifier."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from extractors.images import check_images

UNITS_PER_STAGE = 2


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with norms, the first with the stride; added to a shortcut, then ReLU.

    Shapes (N images):
        ``images``: (N, ``in_dim``, H, W), float.
        result: (N, ``out_dim``, ceil(H / ``stride``), ceil(W / ``stride``)), not negative.
    """

    def __init__(self, in_dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_dim, out_dim, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_dim)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_dim, out_dim, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_dim)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_dim != out_dim:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_dim, out_dim, 1, stride, bias=False), nn.BatchNorm2d(out_dim)
            )

    @property
    def last_norm(self) -> nn.Module:
        """The norm whose scale sets how much the unit adds to its shortcut."""
        return self.bn2

    def forward(self, images: Tensor) -> Tensor:
        """Apply the unit; shapes are in the class docstring."""
        shortcut = images if self.downsample is None else self.downsample(images)
        inner = self.relu(self.bn1(self.conv1(images)))
        result: Tensor = self.relu(self.bn2(self.conv2(inner)) + shortcut)
        return result


class ResNet18(nn.Module):
    """Turn a face crop into an embedding: the last map of ResNet-18, mean-pooled.

    Any image size works, because the embedding is a mean over the map. The ``imagenet`` stem
    (7x7 convolution with stride 2, then a pool with stride 2) divides the size by four before the
    first unit; the ``small`` stem (3x3 with stride 1, no pool) keeps it, for images of 32 to 64
    pixels, and costs sixteen times as much for one size.

    Shapes (N images):
        ``images``: (N, 3, H, W), float, H and W at least 1; normalised RGB, for published weights
            by ImageNet's mean and deviation.
        result: (N, 8 ``width``), not negative. ``feature_map`` gives the map before the mean,
            (N, 8 ``width``, ceil(H / 32), ceil(W / 32)), with the small stem / 8.

    Args:
        stem: ``imagenet`` or ``small``; published weights have the first.
        width: channels of the first stage; published weights have 64.

    Raises:
        ValueError: ``stem`` is neither, or ``width`` is below 1.

    Source:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1; parameter
        names after torchvision. Differs from it: ends at the mean, before the classifier.
    """

    # Keys of published weights that belong to a classifier for other classes than ours.
    FOREIGN: ClassVar[tuple[str, ...]] = ("fc.",)

    def __init__(self, stem: Literal["imagenet", "small"] = "imagenet", width: int = 64) -> None:
        super().__init__()
        if stem not in ("imagenet", "small"):
            raise ValueError(f"stem must be imagenet or small, got {stem!r}")
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.stem = stem
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        else:
            self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
        self.layer1 = stage_of_units(width, width, stride=1)
        self.layer2 = stage_of_units(width, 2 * width, stride=2)
        self.layer3 = stage_of_units(2 * width, 4 * width, stride=2)
        self.layer4 = stage_of_units(4 * width, 8 * width, stride=2)

    def feature_map(self, images: Tensor) -> Tensor:
        """Compute the last convolutional map.

        Raises:
            ValueError: ``images`` is not float, not (N, 3, H, W), or empty in H or W.
        """
        check_images(images)
        first = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        result: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(first))))
        return result

    def forward(self, images: Tensor) -> Tensor:
        """Embed each image; shapes are in the class docstring.

        Raises:
            ValueError: ``images`` is not float, not (N, 3, H, W), or empty in H or W.
        """
        return self.feature_map(images).mean(dim=(2, 3))


def stage_of_units(in_dim: int, out_dim: int, *, stride: int) -> nn.Sequential:
    """Build one stage: the first unit takes the stride and the new number of channels."""
    units = [ResidualUnit(in_dim, out_dim, stride)]
    units += [ResidualUnit(out_dim, out_dim, 1) for _ in range(UNITS_PER_STAGE - 1)]
    return nn.Sequential(*units)
