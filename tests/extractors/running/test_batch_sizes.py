from __future__ import annotations

import pytest

from extractors.networks import NETWORKS
from extractors.running.batch_sizes import images_at_once, pick_sizes


@pytest.mark.parametrize(
    ("num_views", "most", "images"),
    [
        (1, 6, 6),
        (2, 6, 6),
        (2, 7, 6),
        (18, 36, 36),
        (18, 35, 18),
        (18, 7, 6),
        (18, 2, 2),
        (17, 6, 17),
    ],
)
def test_a_forward_pass_takes_whole_crops_or_equal_shares_of_one(
    num_views: int, most: int, images: int
) -> None:
    assert images_at_once(num_views, most) == images


@pytest.mark.parametrize(
    ("name", "image_size", "num_views", "sizes"),
    [
        ("ir50", 112, 1, (6, 6)),
        ("ir50", 112, 18, (1, 6)),
        ("resnet18", 112, 1, (26, 26)),
        ("resnet18", 32, 1, (36, 36)),
        ("vggface", 224, 18, (1, 2)),
    ],
)
def test_a_processor_takes_as_many_images_as_keep_its_maps_small(
    name: str, image_size: int, num_views: int, sizes: tuple[int, int]
) -> None:
    picked = pick_sizes(NETWORKS[name], image_size, num_views, gpu_bytes=0, batch_size=0)
    assert picked == sizes


def test_a_batch_size_that_is_asked_for_is_one_pass_and_a_gpu_takes_many() -> None:
    spec = NETWORKS["ir50"]
    assert pick_sizes(spec, 112, 18, gpu_bytes=0, batch_size=3) == (3, 54)
    assert pick_sizes(spec, 112, 18, gpu_bytes=80 << 30, batch_size=0) == (64, 1152)
    assert pick_sizes(spec, 112, 1, gpu_bytes=80 << 30, batch_size=0) == (256, 256)
    assert pick_sizes(spec, 112, 18, gpu_bytes=1 << 30, batch_size=64) == (64, 1152)


@pytest.mark.parametrize(
    ("name", "image_size", "gigabytes", "sizes"),
    [
        # An image's first maps are 64 x 112 x 112 floats, 3.0625 MiB; VGG-Face's 12.25 MiB.
        ("ir50", 112, 8, (18, 324)),  # 1 GiB holds 334 of them
        ("ir50", 112, 24, (55, 990)),
        ("resnet18", 224, 24, (55, 990)),
        ("vggface", 224, 8, (4, 72)),
        ("vggface", 224, 80, (18, 324)),
        ("vggface", 224, 0.5, (1, 18)),
    ],
)
def test_the_maps_of_a_batch_take_a_share_of_a_gpus_memory(
    name: str, image_size: int, gigabytes: float, sizes: tuple[int, int]
) -> None:
    room = int(gigabytes * 2**30)
    assert pick_sizes(NETWORKS[name], image_size, 18, gpu_bytes=room, batch_size=0) == sizes
