from __future__ import annotations

from pathlib import Path

import cv2
import dlib
import face_recognition_models
import numpy as np
import pytest
import skimage

from pipeline.faces.crops import (
    MEAN_SHAPE,
    CropSettings,
    box_transform,
    crop_faces,
    fit_similarity,
    landmark_transform,
)
from pipeline.faces.landmarks import upright_landmarks
from pipeline.faces.tracks import BoxSource
from pipeline.media.frames import VideoReader

NO_POINTS, NO_BOX = np.zeros((1, 5, 2)), np.zeros((1, 4))


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def crop(image: np.ndarray, points: np.ndarray, settings: CropSettings) -> np.ndarray:
    return crop_faces(image[None], points[None], NO_BOX, np.array([BoxSource.DETECT]), settings)[0]


def dlib_shape(image: np.ndarray, upsample: int = 0) -> dlib.full_object_detection:
    (box, *_) = dlib.get_frontal_face_detector()(image, upsample)
    model = face_recognition_models.pose_predictor_five_point_model_location()
    return dlib.shape_predictor(model)(image, box)


def agreement(image: np.ndarray, size: int, extend: float, upsample: int = 0) -> float:
    """Mean difference of our crop from dlib's, in grey levels."""
    shape = dlib_shape(image, upsample)
    points = np.array([(part.x, part.y) for part in shape.parts()], np.float32)
    theirs = dlib.get_face_chip(image, shape, size=size, padding=extend / 2)
    ours = crop(image, points, CropSettings(size=size, extend=extend))
    assert ours.shape == theirs.shape
    return float(np.abs(ours.astype(int) - theirs).mean())


@pytest.mark.slow
@pytest.mark.parametrize("extend", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("size", [64, 112, 224])
def test_a_crop_agrees_with_dlibs_chip(astronaut: np.ndarray, size: int, extend: float) -> None:
    # A shift by one pixel of the crop gives 3 to 6 here.
    assert agreement(astronaut, size, extend) < 1.0


@pytest.mark.slow
def test_a_face_shrunk_by_more_than_two_lies_where_dlib_puts_it(astronaut: np.ndarray) -> None:
    """dlib's own halving is off by half a pixel of the frame, so that grey levels differ more."""
    shape = dlib_shape(astronaut)
    points = np.array([(part.x, part.y) for part in shape.parts()], np.float32)
    theirs = dlib.get_face_chip(astronaut, shape, size=41, padding=0.15).mean(-1)
    ours = crop(astronaut, points, CropSettings(size=41)).mean(-1)
    same, _ = cv2.phaseCorrelate(ours, ours)
    shift, likeness = cv2.phaseCorrelate(ours, theirs)
    assert np.hypot(shift[0] - same[0], shift[1] - same[1]) < 0.5
    assert likeness > 0.8


@pytest.mark.slow
def test_a_turned_face_agrees_too(astronaut: np.ndarray) -> None:
    turn = cv2.getRotationMatrix2D((224, 110), 14, 0.8)
    image = cv2.warpAffine(astronaut, turn, (512, 512))
    assert agreement(image, 224, 0.3) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "upsample"),
    [
        ("labelled/dfew_sad.mp4", 0),
        ("labelled/mer_00000167.mp4", 0),
        ("faces/portrait_720x1080.mp4", 0),
        ("faces/speech_12fps_320x240.mp4", 1),
    ],
)
def test_real_faces_agree_with_dlibs_chips(data: Path, name: str, upsample: int) -> None:
    image = next(iter(VideoReader(data / "clips" / name))).images[0]
    assert agreement(np.ascontiguousarray(image), 224, 0.3, upsample) < 1.0


def test_landmarks_land_at_their_mean_positions() -> None:
    """Dots drawn where a moved, turned and scaled mean shape has its landmarks."""
    settings = CropSettings(size=224, extend=0.3)
    image = np.zeros((300, 400, 3), np.uint8)
    turn = np.deg2rad(11)
    linear = 130 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = MEAN_SHAPE @ linear.T + (150, 60)
    for x, y in points:
        cv2.circle(image, (round(x * 16), round(y * 16)), 5 * 16, (255, 255, 255), -1, shift=4)
    result = crop(image, points, settings)
    for x, y in (MEAN_SHAPE + 0.15) / 1.3 * 224:
        window = result[round(y) - 8 : round(y) + 9, round(x) - 8 : round(x) + 9, 0].astype(float)
        rows, columns = np.mgrid[-8:9, -8:9]
        centre = np.array([(window * columns).sum(), (window * rows).sum()]) / window.sum()
        assert np.hypot(*(centre + np.array([round(x) - x, round(y) - y]))) < 1.5


def test_a_similarity_is_recovered_from_its_points() -> None:
    points = np.random.default_rng(0).normal(size=(7, 2))
    expected = np.array([[1.7, -0.4, 3.0], [0.4, 1.7, -5.0]])
    moved = points @ expected[:, :2].T + expected[:, 2]
    assert fit_similarity(points, moved) == pytest.approx(expected)


def test_a_fit_is_the_best_one() -> None:
    rng = np.random.default_rng(1)
    points, target = rng.normal(size=(2, 5, 2))

    def error(matrix: np.ndarray) -> float:
        return float(((points @ matrix[:, :2].T + matrix[:, 2] - target) ** 2).sum())

    fit = fit_similarity(points, target)
    (a, b), shift = (fit[0, 0], fit[1, 0]), fit[:, 2]
    for da, db, dx, dy in 1e-3 * np.vstack([np.eye(4), -np.eye(4)]):
        linear = np.array([[a + da, -(b + db)], [b + db, a + da]])
        assert error(np.column_stack([linear, shift + np.array([dx, dy])])) > error(fit)


def test_shrinking_a_fine_pattern_gives_its_mean_and_no_moire() -> None:
    image = np.zeros((1200, 1200, 3), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 200
    result = crop(image, MEAN_SHAPE * 800 + 200, CropSettings(size=112))
    assert result.mean() == pytest.approx(100, abs=2)
    assert result.std() < 3


def test_a_frame_without_a_face_is_shrunk_whole() -> None:
    image = np.zeros((30, 50, 3), np.uint8)
    image[:, 25:] = 100
    result = crop_faces(
        image[None], NO_POINTS, NO_BOX, np.array([BoxSource.WHOLE]), CropSettings(size=10)
    )[0]
    assert result.shape == (10, 10, 3)
    assert (result[:, :5].max(), result[:, 5:].min()) == (0, 100)


@pytest.mark.parametrize("shape", [(7, 900), (900, 7), (1, 1), (3, 3)])
def test_a_frame_of_any_shape_can_be_shrunk_whole(shape: tuple[int, int]) -> None:
    image = np.full((1, *shape, 3), 77, np.uint8)
    result = crop_faces(image, NO_POINTS, NO_BOX, np.array([0]), CropSettings(size=13))
    assert (result == 77).all()


@pytest.mark.parametrize(("border", "outside"), [("black", 0), ("replicate", 90)])
def test_what_lies_outside_the_frame_is_a_setting(border: str, outside: int) -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    points = MEAN_SHAPE * 80 - 40  # a face half outside, to the upper left
    result = crop(image, points, CropSettings(size=64, border=border))  # type: ignore[arg-type]  # one of its values, as text
    assert (result[5, 5] == outside).all()
    assert (result[-5, -5] == 90).all()


def test_a_face_wholly_outside_is_border_only() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    assert not crop(image, MEAN_SHAPE * 30 + 5_000, CropSettings(size=16)).any()


def test_a_box_can_be_cropped_upright() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[30:50, 40:60] = 255
    settings = CropSettings(size=40, extend=1.0, align="box")
    box = np.array([[40, 30, 60, 50]])
    result = crop_faces(image[None], NO_POINTS, box, np.array([BoxSource.DETECT]), settings)[0]
    expected = np.zeros((40, 40, 3), np.uint8)
    expected[10:30, 10:30] = 255
    assert np.array_equal(result, expected)


def test_a_lift_moves_the_crop_up_by_a_share_of_the_face() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[30:50, 40:60] = 255
    settings = CropSettings(size=40, extend=1.0, lift=0.25, align="box")
    box = np.array([[40, 30, 60, 50]])
    result = crop_faces(image[None], NO_POINTS, box, np.array([BoxSource.DETECT]), settings)[0]
    expected = np.zeros((40, 40, 3), np.uint8)
    expected[15:35, 10:30] = 255  # a quarter of its 20 pixels further down
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("degrees", [0, 30])
def test_landmarks_stand_where_extend_and_lift_put_them(degrees: int) -> None:
    turn = cv2.getRotationMatrix2D((0, 0), degrees, 80)
    points = MEAN_SHAPE @ turn[:, :2].T + (60, 90)
    settings = CropSettings(size=1001, extend=0.5, lift=0.125)
    back = cv2.invertAffineTransform(landmark_transform(points, settings))
    found = (points @ back[:, :2].T + back[:, 2] + 0.5) / 1001
    expected = (MEAN_SHAPE + (0.25, 0.25 + 0.125)) / 1.5  # noqa: RUF005 - arrays are added
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_each_frame_is_cropped_by_its_own_row(astronaut: np.ndarray) -> None:
    points = np.stack([MEAN_SHAPE * 100 + (60 * i, 40) for i in range(3)])
    images = np.stack([astronaut] * 3)
    rungs = np.array([BoxSource.DETECT, BoxSource.WHOLE, BoxSource.HOLD])
    settings = CropSettings(size=32)
    result = crop_faces(images, points, np.zeros((3, 4)), rungs, settings)
    assert np.array_equal(result[0], crop(astronaut, points[0], settings))
    assert np.array_equal(result[2], crop(astronaut, points[2], settings))
    assert not np.array_equal(result[1], crop(astronaut, points[1], settings))


def test_no_frames_give_no_crops() -> None:
    result = crop_faces(
        np.zeros((0, 9, 9, 3), np.uint8),
        np.zeros((0, 5, 2)),
        np.zeros((0, 4)),
        np.zeros(0),
        CropSettings(),
    )
    assert result.shape == (0, 224, 224, 3)


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="must be of one length, got 2, 1, 1 and 1"):
        crop_faces(np.zeros((2, 9, 9, 3), np.uint8), NO_POINTS, NO_BOX, np.ones(1), CropSettings())


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_landmarks_without_extent_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="landmarks to align must not all be at one point"):
        landmark_transform(points, CropSettings())


def test_a_box_without_extent_is_refused() -> None:
    with pytest.raises(ValueError, match="a box to crop needs a size above 0"):
        box_transform(np.array([3, 4, 3, 4]), CropSettings())


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("size", 0, "size must be at least 1, got 0"),
        ("extend", -0.1, r"extend must be in \[0, 4\], got -0.1"),
        ("lift", 1.5, r"lift must be in \[-1, 1\], got 1.5"),
    ],
)
def test_settings_check_themselves(name: str, value: float, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CropSettings(**{name: value})  # type: ignore[arg-type]  # a wrong value is what is tested


def test_an_upright_crop_frames_its_box_as_an_aligned_face_of_that_size() -> None:
    settings = CropSettings(size=61, extend=0.5, lift=0.1)
    points = upright_landmarks(np.array([100.0, 200.0, 180.0, 280.0]))
    upright = landmark_transform(points, settings)
    # The face's square is 0.75 * 80 = 60 pixels; the crop's is 1.5 times that, moved up by 6.
    scale = 60 * 1.5 / 61
    assert np.allclose(upright[:, :2], np.eye(2) * scale, rtol=0.03)
    assert np.allclose(upright @ (30, 30, 1), (140, 240 - 6), atol=scale)
