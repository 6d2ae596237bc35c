from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces.detect import HogDetector
from pipeline.faces.pyramid import Pyramid
from pipeline.faces.regions import Look, _extent, find_all, look_near, raise_contrast
from pipeline.faces.tracks import overlap
from tests.pipeline.scenes import background, place, true_box

SIZE = (240, 320)


@pytest.mark.parametrize("face", [40, 55, 75, 100, 140])
def test_a_region_gives_the_box_of_the_whole_frame(face: int) -> None:
    """At many places, because the boxes of both stand on a grid."""
    shares = []
    for shift in range(0, 24, 5):
        image = place(background(*SIZE), (150 + shift, 115 + shift / 3), face)
        (whole, *_) = HogDetector(1).detect(image, 0.0)
        guess = tuple(value + face / 6 for value in whole.box)
        near = look_near(image, guess, Pyramid(SIZE, 1), threshold=-0.5)  # type: ignore[arg-type]  # a box: four numbers
        assert near is not None
        assert near.score == pytest.approx(whole.score, abs=0.35)
        shares.append(overlap(near.box, whole.box))
    assert np.median(shares) == 1.0  # to the very pixel
    assert min(shares) > 0.6


def test_regions_stand_on_the_grid_of_the_frame() -> None:
    for middle in range(40, 400, 7):
        start, length = _extent(float(middle), 90.0, 417)
        assert start % 48 == 0  # and so start * 5 / 6 % 8 == 0
        assert length % 6 == 0
        assert start <= max(0, middle - 90)
        assert start + length > min(417, middle + 90) - 6


def test_nothing_is_found_where_no_face_is() -> None:
    image = place(background(*SIZE), (60, 110), 60)
    assert look_near(image, (230, 80, 290, 140), Pyramid(SIZE, 1), threshold=-0.5) is None


def test_a_face_next_to_the_box_is_another() -> None:
    image = place(background(*SIZE), (160, 110), 60)
    assert look_near(image, (90, 80, 130, 120), Pyramid(SIZE, 1), threshold=0.0) is None


@pytest.mark.parametrize(("fade", "found"), [(12, True), (20, False)])
def test_a_face_that_jumped_is_found_only_if_dlib_would_call_it_one(fade: int, found: bool) -> None:
    pyramid = Pyramid(SIZE, 1)
    image = place(background(*SIZE), (150, 120), 60) // fade + 100  # scores 0.6 and -0.5
    near = look_near(image, true_box((150, 120), 60), pyramid, threshold=-0.7)
    jumped = look_near(image, true_box((190, 120), 60), pyramid, threshold=-0.7)
    assert near is not None
    assert (jumped is not None) == found
    assert jumped is None or overlap(jumped.box, near.box) > 0.6


@pytest.mark.parametrize("tilt", [25, -25])
def test_a_leaning_face_is_found_by_turning_the_region(tilt: int) -> None:
    centre = (150.0, 120.0)
    image = place(background(*SIZE), centre, 80, tilt=2 * tilt)  # dlib itself copes with 30
    pyramid, box = Pyramid(SIZE, 1), true_box(centre, 80)
    plain = look_near(image, box, pyramid, threshold=-1.0)
    turned = look_near(image, box, pyramid, threshold=0.0, look=Look(tilt=-tilt))
    assert turned is not None
    assert plain is None or turned.score > plain.score + 0.5
    assert overlap(turned.box, box) > 0.6


def test_raised_contrast_finds_a_face_in_the_dark() -> None:
    image = place(background(*SIZE), (150, 120), 80) // 40
    pyramid, box = Pyramid(SIZE, 1), true_box((150, 120), 80)
    plain = look_near(image, box, pyramid, threshold=-1.0)
    raised = look_near(image, box, pyramid, threshold=0.0, look=Look(contrast=True))
    assert raised is not None
    assert plain is None or raised.score > plain.score


def test_a_shrunk_frame_gives_boxes_of_the_frame() -> None:
    image = place(background(480, 640), (300, 240), 150)
    pyramid, box = Pyramid((480, 640), 1), true_box((300, 240), 150)
    found = look_near(image[::2, ::2], box, pyramid, threshold=0.0, scale=0.5)
    assert found is not None
    assert overlap(found.box, box) > 0.6


@pytest.mark.parametrize(
    "corner", [(0, 0), (320, 0), (0, 240), (320, 240), (-500, -500), (900, 900)]
)
def test_a_box_at_or_beyond_the_edge_is_looked_at_as_far_as_it_goes(
    corner: tuple[int, int],
) -> None:
    box = true_box(corner, 50)
    assert look_near(background(*SIZE), box, Pyramid(SIZE, 1), threshold=0.0) is None


def test_contrast_is_raised_and_size_kept() -> None:
    dark = place(background(*SIZE), (150, 120), 80) // 20
    raised = raise_contrast(dark)
    assert raised.shape == SIZE
    assert raised.std() > 2 * dark.std()


def test_the_first_level_is_dlibs_own_search() -> None:
    image = place(background(*SIZE), (150, 120), 45)
    found = find_all(image, Pyramid(SIZE, 1), 0, threshold=-0.5)
    assert found == HogDetector(1).detect(image, -0.5)


def test_later_levels_leave_out_small_faces_only() -> None:
    image = place(background(480, 640), (130, 150), 50)
    image = place(image, (420, 240), 150)
    pyramid = Pyramid((480, 640), 1)
    both = find_all(image, pyramid, 0, threshold=0.0)
    large = find_all(image, pyramid, 5, threshold=0.0)
    assert len(both) == 2
    (only,) = large
    assert max(overlap(only.box, face.box) for face in both) > 0.65
    assert overlap(only.box, true_box((420, 240), 150)) > 0.6
