"""Windows that a detector looks through: what is seen in them, and where that is in the image."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces.detect import Detection
from pipeline.faces.tracks import Box
from pipeline.faces.windows import look_around, look_at, look_everywhere, look_with_room
from tests.pipeline.painted import Painted, paint

WHOLE = (0.0, 0.0, 160.0, 120.0)


class Shapes(Painted):
    """Also notes what it is shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, ...]] = []

    def detect(self, image: np.ndarray, threshold: float) -> list[Detection]:
        self.shown.append(image.shape[:2])
        return super().detect(image, threshold)


@pytest.mark.parametrize(
    ("window", "pixels", "shown"),
    [
        (WHOLE, 160, (120, 160)),
        (WHOLE, 80, (60, 80)),
        (WHOLE, 320, (240, 320)),
        ((20.0, 20.0, 100.0, 100.0), 160, (160, 160)),
        ((-40.0, -20.0, 120.0, 140.0), 80, (80, 80)),  # over three edges
    ],
)
def test_what_is_seen_in_a_window_is_where_it_is_in_the_image(
    window: Box, pixels: int, shown: tuple[int, int]
) -> None:
    box = (40.0, 30.0, 80.0, 70.0)
    detector = Shapes()
    (face,) = look_at(detector, paint(np.zeros((120, 160, 3), np.uint8), box), window, pixels, 0.5)
    assert face.box == pytest.approx(box, abs=2)
    assert face.landmarks == pytest.approx(np.array([[60, 50]] * 5), abs=2)
    assert detector.shown == [shown]


def test_a_window_beside_the_image_shows_nothing() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    assert look_at(Painted(), image, (200, 0, 300, 100), 160, 0.0) == []


def test_around_a_face_only_what_overlaps_with_it_is_that_face() -> None:
    image = paint(np.zeros((120, 160, 3), np.uint8), (40, 30, 80, 70))
    assert look_around(Painted(), image, (45, 35, 85, 75), 0.5) is not None
    assert look_around(Painted(), image, (75, 65, 115, 105), 0.5) is None


@pytest.mark.parametrize(
    ("size", "shown"),
    [((90, 160), (180, 320)), ((270, 480), (270, 480)), ((900, 1600), (360, 640))],
)
def test_small_frames_are_enlarged_and_large_ones_shrunk(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    detector = Shapes()
    look_everywhere(detector, np.zeros((*size, 3), np.uint8), 640, 0.5)
    assert detector.shown == [shown]


def test_a_face_that_fills_the_frame_gets_room() -> None:
    detector = Shapes()
    image = paint(np.zeros((90, 160, 3), np.uint8), (0, 0, 160, 90))
    (face,) = look_with_room(detector, image, 0.5)
    assert face.box == pytest.approx((0, 0, 160, 90), abs=2)
    assert detector.shown == [(180, 320)]
