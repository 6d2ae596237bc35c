from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.faces.detect import FivePointPredictor, HogDetector
from pipeline.faces.landmarks import place_landmarks, unsteadiness
from pipeline.faces.regions import Look
from tests.pipeline.scenes import background, place, true_box

SIZE = (240, 320)


@pytest.mark.parametrize("tilt", [30, -30])
def test_landmarks_of_a_leaning_face_lean_with_it(tilt: int) -> None:
    centre, size = (160.0, 120.0), 90.0
    predictor, box = FivePointPredictor(), true_box((160, 120), 90)
    upright = place_landmarks(predictor, place(background(*SIZE), centre, size), box)
    image = place(background(*SIZE), centre, size, tilt=tilt)
    leaning = place_landmarks(predictor, image, box, Look(tilt=-tilt))
    turn = cv2.getRotationMatrix2D(centre, tilt, 1.0)
    expected = upright @ turn[:, :2].T + turn[:, 2]
    assert leaning.dtype == np.float32
    assert np.abs(leaning - expected).mean() < 0.03 * size


def test_an_upright_face_is_left_to_the_predictor() -> None:
    image, box = place(background(*SIZE), (160, 120), 90), (115.0, 75.0, 205.0, 165.0)
    predictor = FivePointPredictor()
    assert np.array_equal(place_landmarks(predictor, image, box), predictor.predict(image, box))


@pytest.mark.parametrize("size", [40, 90, 180])
def test_landmarks_stay_on_a_face_and_slide_on_anything_else(size: int) -> None:
    predictor = FivePointPredictor()
    image = place(background(*SIZE), (160, 120), size)
    (face, *_) = HogDetector(1).detect(image, 0.0)
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    noise = cv2.GaussianBlur(noise, (0, 0), 3)
    on_face = unsteadiness(predictor, image, face.box)
    assert on_face < 0.0115
    assert unsteadiness(predictor, background(*SIZE), face.box) > 3 * on_face
    assert unsteadiness(predictor, noise, face.box) > 3 * on_face


def test_landmarks_of_a_face_in_the_dark_are_those_in_the_light() -> None:
    predictor, box = FivePointPredictor(), true_box((160, 120), 90)
    light = place(background(*SIZE), (160, 120), 90)
    dark, look = light // 25, Look(contrast=True)
    expected = predictor.predict(light, box)
    assert np.abs(place_landmarks(predictor, dark, box, look) - expected).mean() < 0.03 * 90
    assert unsteadiness(predictor, dark, box) < 0.0115


def test_a_box_outside_the_frame_has_no_steady_landmarks() -> None:
    image = background(*SIZE)
    assert unsteadiness(FivePointPredictor(), image, (900, 900, 950, 950)) >= 0
