from __future__ import annotations

import dlib
import numpy as np
import pytest

from pipeline.faces.detect import HogDetector
from pipeline.faces.pyramid import Pyramid
from tests.pipeline.scenes import astronaut

SIZES = [(378, 672), (404, 720), (1080, 1920), (241, 321), (90, 97)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("upsample", [0, 1, 2])
def test_levels_are_as_large_as_dlibs(size: tuple[int, int], upsample: int) -> None:
    half, shrink = dlib.pyramid_down(2), dlib.pyramid_down(6)
    doubled = size
    for _ in range(upsample):
        whole = half.rect_up(dlib.rectangle(0, 0, doubled[1] - 1, doubled[0] - 1), 1)
        doubled = (whole.bottom() + 1, whole.right() + 1)
    sizes = Pyramid(size, upsample).sizes
    assert sizes[0] == doubled
    image = np.zeros(sizes[0], np.uint8)
    for expected in sizes[1:]:
        image = shrink(image)
        assert image.shape == expected


def test_the_last_level_is_the_last_that_dlib_looks_at() -> None:
    height, width = Pyramid((300, 400), 1).sizes[-1]
    assert min(height, width) >= 64
    assert min(5 * height // 6, 5 * width // 6) < 64


def test_positions_in_a_region_are_those_of_the_level() -> None:
    """A picture whose grey levels are its own positions."""
    columns = np.tile(np.linspace(0, 255, 511), (300, 1)).astype(np.uint8)
    pyramid = Pyramid((300, 511), 1)
    for level in range(len(pyramid.sizes)):
        step, _ = pyramid.steps(level)
        height, width = pyramid.sizes[level]
        left, top = width // 3, height // 3
        region = pyramid.cut(columns, level, left, top, width // 3, height // 3)
        expected = (left + np.arange(width // 3)) * step * 255 / 510
        error = region.mean(0) - expected  # stored as whole grey levels, two a pixel
        assert np.abs(error).max() <= 1.0
        assert abs(error.mean()) < 0.52


def test_a_shrunk_frame_gives_nearly_the_same_region() -> None:
    image = astronaut()
    pyramid = Pyramid((512, 512), 1)
    small = (
        image[::2, ::2] // 4
        + image[1::2, ::2] // 4
        + image[::2, 1::2] // 4
        + image[1::2, 1::2] // 4
    )
    level = 8
    full = pyramid.cut(image, level, 40, 20, 90, 90).astype(int)
    half = pyramid.cut(small, level, 40, 20, 90, 90, scale=0.5).astype(int)
    assert np.abs(full - half).mean() < 6


def test_a_level_looks_like_dlibs() -> None:
    image, pyramid = astronaut(), Pyramid((512, 512), 0)
    theirs = image
    for level in range(1, 7):
        theirs = dlib.pyramid_down(6)(theirs)
        height, width = pyramid.sizes[level]
        ours = pyramid.cut(image, level, 0, 0, width, height)
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("upsample", [0, 1])
def test_the_level_of_a_box_is_where_dlib_finds_it(upsample: int) -> None:
    pyramid = Pyramid((512, 512), upsample)
    (best, *_) = HogDetector(upsample).detect(astronaut(), 0.0)
    level = pyramid.level_of(best.box[2] - best.box[0])
    height, width = pyramid.sizes[level]
    scores = dlib.get_frontal_face_detector().run(
        pyramid.cut(astronaut(), level, 0, 0, width, height), 0, 0.0
    )
    window = scores[0][0].width()
    assert 70 <= window <= 78  # not found at another level of the region


def test_levels_of_tiny_and_huge_boxes_are_the_ends() -> None:
    pyramid = Pyramid((300, 400), 1)
    assert pyramid.level_of(1) == 0
    assert pyramid.level_of(10_000) == len(pyramid.sizes) - 1


def test_a_level_can_be_chosen_by_its_number_of_pixels() -> None:
    pyramid = Pyramid((1080, 1920), 1)
    level = pyramid.level_below(900_000)
    assert np.prod(pyramid.sizes[level]) <= 900_000 < np.prod(pyramid.sizes[level - 1])
    assert pyramid.level_below(1) == len(pyramid.sizes) - 1
    assert Pyramid((100, 100), 0).level_below(900_000) == 0


def test_noise_is_smoothed_as_much_as_dlib_does() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8)
    pyramid = Pyramid((300, 400), 0)
    theirs = noise
    for level in range(1, 7):
        theirs = dlib.pyramid_down(6)(theirs)
        height, width = pyramid.sizes[level]
        ours = pyramid.cut(noise, level, 0, 0, width, height)
        assert ours.std() == pytest.approx(theirs.std(), rel=0.2)
