from __future__ import annotations

import dlib
import numpy as np
import pytest

from pipeline.faces import detect
from pipeline.faces.detect import FivePointPredictor, HogDetector, hog
from tests.pipeline.scenes import astronaut, background, place


@pytest.mark.slow
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("threshold", [0.0, -0.4])
def test_detections_are_dlibs_the_best_first(grey: bool, threshold: float) -> None:
    image = astronaut().mean(-1).astype(np.uint8) if grey else astronaut()
    boxes, scores, _ = dlib.get_frontal_face_detector().run(image, 1, threshold)
    found = HogDetector(1).detect(image, threshold)
    assert [face.score for face in found] == sorted(scores, reverse=True)
    assert {face.box for face in found} == {
        (box.left(), box.top(), box.right() + 1, box.bottom() + 1) for box in boxes
    }


@pytest.mark.slow
def test_grey_and_colour_agree_on_where_a_face_is() -> None:
    colour = HogDetector(1).detect(astronaut(), 0.0)[0]
    grey = HogDetector(1).detect(astronaut().mean(-1).astype(np.uint8), 0.0)[0]
    assert np.abs(np.subtract(colour.box, grey.box)).max() <= 12


@pytest.mark.parametrize(("upsample", "least"), [(0, 80), (1, 40)])
def test_doubling_finds_faces_of_half_the_size(upsample: int, least: int) -> None:
    def found(size: float) -> bool:
        image = place(background(240, 320), (160, 120), size)
        return bool(HogDetector(upsample).detect(image, 0.0))

    assert found(least)
    assert not found(least * 0.65)


@pytest.mark.slow
def test_a_detector_of_some_levels_finds_what_dlib_finds_on_them() -> None:
    # Side by side, of the sizes that levels 0, 2, 4 and 6 see.
    image = background(480, 1800)
    x = 60
    for level in (0, 2, 4, 6):
        size = 72.3 * 1.2**level
        image = place(image, (round(x + size), 240), size)
        x += round(1.9 * size)
    assert [len(hog(levels).run(image, 0, 0.0)[0]) for levels in (1, 3, 5, 0)] == [1, 2, 3, 4]
    everything = zip(*hog().run(image, 0, 0.0)[:2], strict=True)
    three = sorted(zip(*hog(3).run(image, 0, 0.0)[:2], strict=True), key=lambda find: find[1])
    assert three == sorted((f for f in everything if f[0].width() < 115), key=lambda find: find[1])


def test_a_dlib_whose_detector_is_written_otherwise_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detect, "ALL_LEVELS", b"\x02\xe9\x03")
    with pytest.raises(RuntimeError, match="writes its face detector in another form"):
        hog.__wrapped__(3)


def test_landmarks_of_a_face_are_eyes_and_nose() -> None:
    points = FivePointPredictor().predict(astronaut(), (175, 76, 266, 167))
    assert points.shape == (5, 2)
    assert points.dtype == np.float32
    right_outer, right_inner, left_outer, left_inner, nose = points
    assert left_outer[0] < left_inner[0] < nose[0] < right_inner[0] < right_outer[0]
    assert nose[1] > points[:4, 1].max()


def test_a_box_at_fractions_of_pixels_is_rounded() -> None:
    predictor = FivePointPredictor()
    whole = predictor.predict(astronaut(), (175, 76, 266, 167))
    assert np.array_equal(whole, predictor.predict(astronaut(), (175.3, 75.8, 266.4, 166.6)))


def test_images_that_are_views_are_taken() -> None:
    image = np.ascontiguousarray(astronaut()[:, ::-1])[:, ::-1]
    assert HogDetector(0).detect(image, 0.0) == HogDetector(0).detect(astronaut(), 0.0)
