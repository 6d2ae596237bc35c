from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.faces.crops import MEAN_SHAPE, fit_similarity
from pipeline.faces.detect import FivePointPredictor
from pipeline.faces.gallery import measure_frontality
from pipeline.faces.landmarks import (
    are_upright,
    count_upright,
    place_landmarks,
    settle_crops,
    upright_landmarks,
)
from pipeline.faces.regions import Look
from pipeline.faces.tracks import TrackArrays
from pipeline.media.frames import VideoReader
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


def test_landmarks_of_a_face_in_the_dark_are_those_in_the_light() -> None:
    predictor, box = FivePointPredictor(), true_box((160, 120), 90)
    light = place(background(*SIZE), (160, 120), 90)
    dark, look = light // 25, Look(contrast=True)
    expected = predictor.predict(light, box)
    assert np.abs(place_landmarks(predictor, dark, box, look) - expected).mean() < 0.03 * 90


# Where an aligned face's middle lies, and its size, in a box of 80 around (160, 120).
BOX = (120.0, 80.0, 200.0, 160.0)


def turned(degrees: float, centre: tuple[float, float] = (160.0, 120.0)) -> np.ndarray:
    """An average face of 60 pixels, turned clockwise around ``centre``."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    points: np.ndarray = (MEAN_SHAPE - 0.5) * 60 @ np.array([[cos, sin], [-sin, cos]])
    return points + centre


class Answers:
    """A predictor that answers what it was told, one call after another."""

    def __init__(self, *answers: np.ndarray) -> None:
        self.answers = list(answers)

    def predict(self, *_asked: object) -> np.ndarray:
        return self.answers.pop(0).astype(np.float32)


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ((turned(9.0),), True),  # a crop that leans as little is upright anyway
        ((turned(-20.0), turned(2.5)), True),  # turned back it stands upright
        ((turned(-20.0), turned(-4.0)), False),  # the tilt turned along with the picture
        ((turned(20.0, (160 + 0.16 * 80, 120)), turned(0.0)), True),
        ((turned(20.0, (160 + 0.18 * 80, 120)),), False),  # pulled aside, as in a profile
        ((np.full((5, 2), 160.0),), False),
    ],
)
def test_landmarks_stay_only_where_they_agree_with_their_box(
    answers: tuple[np.ndarray, ...], kept: bool
) -> None:
    predictor = Answers(*answers)
    points = place_landmarks(predictor, background(*SIZE), BOX)
    assert not predictor.answers
    expected = answers[0] if kept else upright_landmarks(np.array(BOX))
    assert np.allclose(points, expected, atol=1e-4)
    assert are_upright(np.array([BOX]), points[None]).tolist() == [not kept]


def test_upright_landmarks_are_those_of_an_average_face_in_the_middle_of_the_box() -> None:
    boxes = np.array([[10.0, 20.0, 110.0, 120.0], [0.0, 0.0, 40.0, 40.0]])
    expected = [MEAN_SHAPE * 75 + (22.5, 32.5), MEAN_SHAPE * 30 + 5]  # 0.75 of the box's size
    assert np.allclose(upright_landmarks(boxes), expected, atol=1e-4)
    stored = boxes.astype(np.float32)
    assert are_upright(stored, upright_landmarks(boxes)).all()
    assert are_upright(np.zeros((0, 4)), np.zeros((0, 5, 2))).shape == (0,)


def test_landmarks_are_a_faces_own_or_its_boxs_for_a_while() -> None:
    """At 5 frames a second, two frames before and two after count; other tracks don't."""
    boxes = [np.array(BOX) + 5 * i for i in range(14)]
    own = [turned(20.0) + 5 * i for i in range(14)]
    upright = [upright_landmarks(box) for box in boxes]
    one = [upright[i] if i in (3, 8, 10) else own[i] for i in range(14)]
    other = [*own[:4], upright[4]]
    found = TrackArrays(
        np.array([*range(14), *range(5)]),
        np.repeat(np.arange(2), (14, 5)),
        np.array([*boxes, *boxes[:5]]),
        np.array([*one, *other], np.float32),
        np.zeros(19),
        np.zeros(19),
    )
    settled = settle_crops(found, np.arange(14) / 5)
    # Frame 3 is one of 5 around it: between its neighbours. 8, 9 and 10 see 2 of 5, 7 and 11 one.
    # The other track ends with one of 3.
    expected = [upright[i] if i in (8, 9, 10) else own[i] for i in range(14)]
    assert np.allclose(settled.landmarks, [*expected, *other], atol=1e-4)


def test_a_frame_counts_as_upright_where_every_face_of_it_is() -> None:
    frame, box = np.array([2, 3, 3, 5, 5]), np.tile(BOX, (5, 1))
    points = upright_landmarks(box)
    points[[1, 3]] += 7  # a face of frame 3 and one of frame 5 have their own landmarks
    rest = np.zeros(5, np.int32)
    assert count_upright(TrackArrays(frame, rest, box, points, rest, rest)) == 1


@pytest.mark.parametrize("tilt", [-18, 0, 18])
def test_a_face_that_leans_is_aligned_to_its_own_landmarks(tilt: int) -> None:
    image = place(background(*SIZE), (160, 120), 90, tilt=tilt)
    predictor, box = FivePointPredictor(), true_box((160, 120), 90)
    assert np.array_equal(place_landmarks(predictor, image, box), predictor.predict(image, box))


@pytest.mark.parametrize(
    ("name", "number", "box"),
    [
        ("faces/stage_several_faces.mp4", 260, (33, 76, 106, 149)),
        ("labelled/mer_00000669.mp4", 24, (234, 91, 384, 241)),
        ("labelled/mer_00000727.mp4", 168, (383, 165, 511, 293)),
    ],
)
def test_a_profile_or_bowed_head_gets_an_upright_crop(
    data: Path, name: str, number: int, box: tuple[float, float, float, float]
) -> None:
    chunks = VideoReader(data / "clips" / name)
    image = next(islice((image for chunk in chunks for image in chunk.images), number, None))
    predictor = FivePointPredictor()
    fit = fit_similarity(MEAN_SHAPE, predictor.predict(image, box).astype(np.float64))
    assert abs(np.degrees(np.arctan2(fit[1, 0], fit[0, 0]))) > 10
    assert are_upright(np.array([box]), place_landmarks(predictor, image, box)[None])[0]


def test_a_face_cropped_upright_counts_as_a_profile_when_crops_are_chosen() -> None:
    own, aside = turned(20.0), turned(0.0)
    aside[4] = aside[:2].mean(0)  # the nose's base below the middle of one eye
    assert measure_frontality(BOX, own) > 0.9
    assert measure_frontality(BOX, aside) == pytest.approx(0.0, abs=1e-6)
    assert measure_frontality(BOX, upright_landmarks(np.array(BOX))) == 0.0
