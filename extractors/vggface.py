"""VGG-Face: VGG-16 trained to recognise people, up to its first linear layer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from extractors.images import check_images

# Channels of each block's convolutions, in multiples of the width; a 2x2 pool ends each block.
BLOCKS = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
STRIDE = 2 ** len(BLOCKS)


class VGGFace(nn.Module):
    """Turn a face crop into the fc6 feature of VGG-Face.

    Thirteen 3x3 convolutions with ReLU in five blocks, each ended by a 2x2 pool, then one linear
    layer over the whole map. The feature is that layer's own output, before its ReLU: clipping is
    the next layer's business, and what it would clip still tells crops apart.

    Shapes (N images):
        ``images``: (N, 3, ``image_size``, ``image_size``), float; for published weights RGB from 0
            to 255 minus their mean.
        result: (N, ``embedding_dim``). ``feature_map`` gives the map after the last pool,
            (N, 8 ``width``, ``image_size`` // 32, the same), not negative.

    Args:
        image_size: height and width of the input in pixels.
        embedding_dim: length of an embedding.
        width: channels of the first block; published weights have 64.

    Raises:
        ValueError: ``image_size`` is below 32, or another argument below 1.

    Source:
        Parkhi, Vedaldi, Zisserman, "Deep Face Recognition", BMVC 2015, network D; parameter names
        after Oxford's vgg_face_dag. Differs from it: ends at fc6.
    """

    # Keys of published weights that come after the feature: fc7 and the classifier of identities.
    FOREIGN: ClassVar[tuple[str, ...]] = ("fc7.", "fc8.")

    def __init__(self, image_size: int = 224, embedding_dim: int = 4096, width: int = 64) -> None:
        super().__init__()
        if image_size < STRIDE:
            raise ValueError(f"image_size must be at least {STRIDE}, got {image_size}")
        if min(embedding_dim, width) < 1:
            raise ValueError(
                f"embedding_dim and width must be at least 1, got {embedding_dim} and {width}"
            )
        self.image_size = image_size
        in_dim = 3
        for block, multiples in enumerate(BLOCKS, start=1):
            for index, multiple in enumerate(multiples, start=1):
                conv = nn.Conv2d(in_dim, multiple * width, 3, 1, 1)
                self.add_module(f"conv{block}_{index}", conv)
                in_dim = multiple * width
        self.fc6 = nn.Linear(in_dim * (image_size // STRIDE) ** 2, embedding_dim)

    def feature_map(self, images: Tensor) -> Tensor:
        """Compute the last convolutional map, after its pool.

        Raises:
            ValueError: ``images`` is not float or not (N, 3, ``image_size``, ``image_size``).
        """
        check_images(images, self.image_size)
        for block, multiples in enumerate(BLOCKS, start=1):
            for index in range(1, len(multiples) + 1):
                images = F.relu(self.get_submodule(f"conv{block}_{index}")(images))
            images = F.max_pool2d(images, 2)
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Embed each image; shapes are in the class docstring.

        Raises:
            ValueError: ``images`` is not float or not (N, 3, ``image_size``, ``image_size``).
        """
        result: Tensor = self.fc6(self.feature_map(images).flatten(1))
        return result
