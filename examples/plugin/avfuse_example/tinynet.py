"""A convolutional network of three layers, the module behind the row ``tinynet``."""

from __future__ import annotations

from torch import Tensor, nn

WIDTH = 16


class TinyNet(nn.Module):
    """Turn a face crop into an embedding: three convolutions, then the mean over the map.

    Shapes (N images):
        ``images``: (N, 3, H, W), float; normalised RGB.
        result: (N, 16), not negative. ``feature_map`` gives the map before the mean,
            (N, 16, ceil(H / 8), ceil(W / 8)).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)

    def feature_map(self, images: Tensor) -> Tensor:
        """Return the last map; avfuse takes its mean for the layer ``pooled``."""
        first = self.conv1(images).relu()
        result: Tensor = self.conv3(self.conv2(first).relu()).relu()
        return result

    def forward(self, images: Tensor) -> Tensor:
        """Embed each image; shapes are in the class docstring."""
        return self.feature_map(images).mean(dim=(2, 3))
