"""IR-50, the face network of ArcFace as face.evoLVe publishes it."""

from __future__ import annotations

from torch import Tensor, nn

from extractors.images import check_images

UNITS = (3, 4, 14, 3)
STRIDE = 16  # of the whole body: each of the four stages halves the image once


class ResidualUnit(nn.Module):
    """Norm, 3x3 convolution, PReLU, 3x3 convolution with the stride, norm; added to a shortcut.

    Where the number of channels stays, the shortcut takes every ``stride``-th pixel as it is;
    where it grows, a 1x1 convolution with norm carries it over.

    Shapes (N images):
        ``images``: (N, ``in_dim``, H, W), float.
        result: (N, ``out_dim``, ceil(H / ``stride``), ceil(W / ``stride``)).
    """

    def __init__(self, in_dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        # The names, and the places in the sequences, are those of the published weights.
        if in_dim == out_dim:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_dim, out_dim, 1, stride, bias=False), nn.BatchNorm2d(out_dim)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_dim),
            nn.Conv2d(in_dim, out_dim, 3, 1, 1, bias=False),
            nn.PReLU(out_dim),
            nn.Conv2d(out_dim, out_dim, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_dim),
        )

    @property
    def last_norm(self) -> nn.Module:
        """The norm whose scale sets how much the unit adds to its shortcut."""
        return self.res_layer[4]

    def forward(self, images: Tensor) -> Tensor:
        """Apply the unit; shapes are in the class docstring."""
        result: Tensor = self.res_layer(images) + self.shortcut_layer(images)
        return result


class IR50(nn.Module):
    """Turn a face crop into an embedding with the 50-layer improved residual network.

    A 3x3 convolution, 24 residual units in four stages that halve the image and double the
    channels, then norm, dropout, one linear layer over the whole map, and a last norm. Because of
    that linear layer the parameters fit one image size only.

    Shapes (N images):
        ``images``: (N, 3, ``image_size``, ``image_size``), float; normalised RGB, for published
            weights (value / 255 - 0.5) / 0.5.
        result: (N, ``embedding_dim``). ``feature_map`` gives the map before the output layer,
            (N, 8 ``width``, ceil(``image_size`` / 16), the same).

    Args:
        image_size: height and width of the input in pixels.
        embedding_dim: length of an embedding.
        width: channels of the first stage; published weights have 64.

    Raises:
        ValueError: an argument is below 1.

    Source:
        Deng, Guo, Zafeiriou, "ArcFace", CVPR 2019, names IR-50; layers, strides and parameter names
        after the weights that github.com/ZhaoJ9014/face.evoLVe publishes (IR_50, input 112, 512
        values). InsightFace's iresnet50 is another network: see
        ``extractors.other_networks.iresnet50``.
    """

    def __init__(self, image_size: int = 112, embedding_dim: int = 512, width: int = 64) -> None:
        super().__init__()
        sizes = {"image_size": image_size, "embedding_dim": embedding_dim, "width": width}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.image_size = image_size
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        units: list[nn.Module] = []
        in_dim = width
        for stage, count in enumerate(UNITS):
            out_dim = width * 2**stage
            for index in range(count):
                units.append(ResidualUnit(in_dim, out_dim, stride=2 if index == 0 else 1))
                in_dim = out_dim
        self.body = nn.Sequential(*units)
        map_size = -(-image_size // STRIDE)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(in_dim),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(in_dim * map_size**2, embedding_dim),
            nn.BatchNorm1d(embedding_dim),
        )

    def feature_map(self, images: Tensor) -> Tensor:
        """Compute the last convolutional map.

        Raises:
            ValueError: ``images`` is not float or not (N, 3, ``image_size``, ``image_size``).
        """
        check_images(images, self.image_size)
        result: Tensor = self.body(self.input_layer(images))
        return result

    def forward(self, images: Tensor) -> Tensor:
        """Embed each image; shapes are in the class docstring.

        Raises:
            ValueError: ``images`` is not float or not (N, 3, ``image_size``, ``image_size``).
        """
        result: Tensor = self.output_layer(self.feature_map(images))
        return result
