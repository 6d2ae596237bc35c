"""Batch sizes: crops that a face network takes at a time, and images in one forward pass."""

from __future__ import annotations

from typing import NamedTuple

from extractors.networks import NetworkSpec

# Where the caller names no batch size. A GPU is busy only with many views. On a CPU maps of so many
# bytes stay near it, and in memory that the process keeps: larger ones made IR-50 a tenth slower,
# and its process 100 MB larger (benchmarks/NOTES.md).
VIEWS_ON_GPU = 1152
CROPS_ON_GPU = 256  # at most: with one view, more are seldom there at once, and batches overlap
# Its first maps, of which some four are there at once, with the convolutions' working memory beside
# them: no more than a share of the GPU's memory, and no more than keeps any GPU busy.
MAP_BYTES_ON_GPU = 4 << 30
MAPS_SHARE_OF_GPU = 1 / 8
MAP_BYTES_ON_CPU = 20 << 20
VIEWS_ON_CPU = 36  # at most: views of small images are warped from large crops


class BatchSizes(NamedTuple):
    """Crops that are taken at a time, and images (views of crops) in one forward pass."""

    crops: int
    images: int


def pick_sizes(
    spec: NetworkSpec, image_size: int, num_views: int, *, gpu_bytes: int, batch_size: int
) -> BatchSizes:
    """Choose both; ``batch_size`` crops in one forward pass, unless that is 0.

    Args:
        spec: the network.
        image_size: height and width of its input in pixels.
        num_views: of each crop.
        gpu_bytes: of the memory of the GPU that computes; 0 for a processor.
        batch_size: crops, as the caller asks for; 0 picks.
    """
    if batch_size or gpu_bytes:
        fitting = int(min(MAP_BYTES_ON_GPU, gpu_bytes * MAPS_SHARE_OF_GPU))
        most = min(VIEWS_ON_GPU, fitting // spec.map_bytes(image_size))
        crops = batch_size or min(CROPS_ON_GPU, max(1, most // num_views))
        return BatchSizes(crops, crops * num_views)
    fitting = MAP_BYTES_ON_CPU // spec.map_bytes(image_size)
    most = min(max(2, fitting), VIEWS_ON_CPU)
    return BatchSizes(max(1, most // num_views), images_at_once(num_views, most))


def images_at_once(num_views: int, most: int) -> int:
    """Choose how many images go through a network at once, ``most`` or fewer if possible.

    Whole crops, or equal shares of one crop's views: identical views must come from passes of one
    size to be the same bit for bit. Where no share is near ``most``, all views of a crop.
    """
    if num_views <= most:
        return most // num_views * num_views
    share = max(part for part in range(1, most + 1) if num_views % part == 0)
    return share if 2 * share >= most else num_views
