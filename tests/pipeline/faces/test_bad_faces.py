"""Faces as films have them at their worst, and pictures that hold none: twins, crowds, cats."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
from PIL import Image

from pipeline.faces.recogniser import DlibRecogniser, find_recogniser
from pipeline.faces.search import track_faces
from pipeline.faces.tracks import ClipTracks, is_seen, overlap
from pipeline.media.frames import VideoReader
from tests.pipeline.scenes import SIZE, astronaut, background, clip, place, true_box

HOLD_FRAMES = 5  # FaceSettings.hold_frames: a face that goes is held, and one that comes


def track(images: list[np.ndarray], rate: float = 25.0) -> ClipTracks:
    return track_faces(clip(images, rate), recogniser=recogniser())


@cache
def recogniser() -> DlibRecogniser:
    return DlibRecogniser(find_recogniser())


def boxes_of(found: ClipTracks, number: int) -> dict[int, list[float]]:
    """Boxes of one track by frame."""
    rows = found.tracks.number == number
    boxes = found.tracks.box[rows].tolist()
    return dict(zip(found.tracks.frame[rows].tolist(), boxes, strict=True))


def assert_one_face(found: ClipTracks, expected: list[tuple[float, float, float, float]]) -> None:
    """One track with a box in every frame, on the face."""
    assert set(found.tracks.number) == {0}
    boxes = boxes_of(found, 0)
    assert sorted(boxes) == list(range(len(expected)))
    assert min(overlap(boxes[i], box) for i, box in enumerate(expected)) > 0.5


@pytest.mark.slow
def test_twins_that_pass_each_other_stay_two_persons() -> None:
    """The same face twice: what looks alike is never one person where it is at two places."""
    one = [(60.0 + 8 * i, 90.0) for i in range(25)]
    other = [(260.0 - 8 * i, 165.0) for i in range(25)]
    images = [
        place(place(background(*SIZE), here, 50), there, 50)
        for here, there in zip(one, other, strict=True)
    ]
    found = track(images)
    assert set(found.tracks.number) == {0, 1}
    for number in (0, 1):
        boxes = boxes_of(found, number)
        path = one if overlap(boxes[0], true_box(one[0], 50)) > 0.5 else other
        assert len(boxes) == 25
        assert min(overlap(boxes[i], true_box(path[i], 50)) for i in range(25)) > 0.5


@pytest.mark.slow
def test_a_speaker_before_a_poster_of_her_is_not_the_poster() -> None:
    scene = place(background(*SIZE), (240, 100), 80)
    found = track([place(scene, (70 + 3 * i, 150 + i % 3), 50) for i in range(25)])
    assert set(found.tracks.number) == {0, 1}
    poster, speaker = sorted((boxes_of(found, 0), boxes_of(found, 1)), key=lambda b: -b[0][0])
    assert min(overlap(box, true_box((240, 100), 80)) for box in poster.values()) > 0.5
    assert min(overlap(speaker[i], true_box((70 + 3 * i, 150), 50)) for i in range(25)) > 0.5


@pytest.mark.slow
def test_each_of_forty_faces_is_found_in_every_frame() -> None:
    centres = [(40 + 80 * column, 45 + 78 * row) for row in range(5) for column in range(8)]
    crowd = background(400, 640)
    for centre in centres:
        crowd = place(crowd, centre, 44)
    found = track([crowd] * 4)
    assert np.bincount(found.tracks.frame).tolist() == [40] * 4
    assert np.bincount(found.tracks.number).tolist() == [4] * 40
    for centre in centres:
        at = true_box(centre, 44)
        assert max(overlap(box, at) for box in found.tracks.box[:40].tolist()) > 0.5


@pytest.mark.parametrize(("margin", "side"), [(10, 300), (-4, 480), (-4, 96)])
def test_a_face_that_fills_the_frame_is_found(margin: int, side: int) -> None:
    head = astronaut()[76 - margin : 167 + margin, 175 - margin : 266 + margin]
    scale = side / (91 + 2 * margin)
    face = (margin * scale, margin * scale, (91 + margin) * scale, (91 + margin) * scale)
    assert_one_face(track([cv2.resize(head, (side, side))] * 3), [face] * 3)


@pytest.mark.slow
def test_a_face_that_moves_by_a_fifth_of_itself_at_15_frames_a_second_is_one_track() -> None:
    centres = [(60 + 10 * i, 110 + 15 * np.sin(i / 2)) for i in range(20)]
    images = [place(background(*SIZE), centre, 60) for centre in centres]
    assert_one_face(track(images, rate=15), [true_box(centre, 60) for centre in centres])


@pytest.mark.slow
def test_a_face_that_is_there_for_three_frames_is_found_in_these() -> None:
    images = [background(*SIZE)] * 30
    images[11:14] = [place(background(*SIZE), (150, 120), 70)] * 3
    tracks = track(images).tracks
    assert set(tracks.number) == {0}
    assert set(tracks.frame[is_seen(tracks.rung)].tolist()) == {11, 12, 13}
    assert tracks.frame.min() >= 11 - HOLD_FRAMES
    assert tracks.frame.max() <= 13 + HOLD_FRAMES


@pytest.mark.slow
def test_a_pan_carries_a_face_through_the_frame_as_one_track() -> None:
    wide = place(background(240, 900), (420, 120), 60)
    images = [np.ascontiguousarray(wide[:, 20 * i : 20 * i + 320]) for i in range(28)]
    inside = [i for i in range(28) if 30 <= 420 - 20 * i <= 290]
    found = track(images)
    assert set(found.tracks.number) == {0}
    boxes = boxes_of(found, 0)
    assert min(overlap(boxes[i], true_box((420 - 20 * i, 120), 60)) for i in inside) > 0.5


@pytest.mark.slow
def test_a_flash_parts_no_face_into_two() -> None:
    images = [place(background(*SIZE), (150 + i, 120), 60) for i in range(24)]
    images[10] = np.full_like(images[0], 255)
    tracks = track(images).tracks
    assert set(tracks.number) == {0}
    assert set(tracks.frame[is_seen(tracks.rung)].tolist()) == set(range(24)) - {10}


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, -1])
def test_a_zoom_by_five_keeps_its_box_on_the_face(step: int) -> None:
    sizes = [40 * 5 ** (i / 49) for i in range(50)][::step]
    images = [place(background(360, 480), (240, 170), size) for size in sizes]
    assert_one_face(track(images), [true_box((240, 170), size) for size in sizes])


@pytest.mark.slow
def test_a_fade_to_black_ends_the_face() -> None:
    scene = place(background(*SIZE), (150, 120), 70)
    tracks = track([(scene * max(0.0, 1 - i / 20)).astype(np.uint8) for i in range(40)]).tracks
    assert set(range(16)) <= set(tracks.frame.tolist())  # at a fifth of its light
    assert tracks.frame.max() <= 20 + HOLD_FRAMES


@pytest.mark.slow
def test_what_hides_a_face_for_more_than_a_second_or_takes_its_place_is_none() -> None:
    board = texture("coffee.png")[0][60:190, 120:250]
    face = place(background(*SIZE), (150, 120), 70)
    hidden = face.copy()
    hidden[60:190, 85:215] = board
    tracks = track([face] * 6 + [hidden] * 28 + [face] * 6 + [hidden] * 15).tracks
    assert set(tracks.number) == {0}
    assert tracks.frame.tolist() == [*range(6), *range(34, 40)]


@pytest.mark.slow
def test_who_comes_back_after_a_cut_to_another_is_the_same_person(data: Path) -> None:
    chunks = VideoReader(data / "clips" / "faces" / "single_face.mp4")
    film = [image for chunk in chunks for image in chunk.images][:12]
    other = [cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_AREA) for image in film]
    own = [place(background(*SIZE), (160 + i % 3, 120), 80) for i in range(12)]
    tracks = track(own + other + own).tracks
    assert tracks.frame.tolist() == list(range(36))
    assert tracks.number.tolist() == [0] * 12 + [1] * 12 + [0] * 12


def texture(name: str) -> list[np.ndarray]:
    """A pan over one of scikit-image's pictures."""
    path = Path(skimage.__file__).parent / "data" / name
    wide = cv2.resize(np.array(Image.open(path).convert("RGB")), (460, 330))
    return [np.ascontiguousarray(wide[2 * i : 2 * i + 300, 6 * i : 6 * i + 400]) for i in range(9)]


def noise(blur: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    rough = [rng.integers(0, 255, (*SIZE, 3), np.uint8) for _ in range(9)]
    smooth = [cv2.GaussianBlur(image, (0, 0), blur) for image in rough] if blur else rough
    return [cv2.normalize(image, image, 0, 255, cv2.NORM_MINMAX) for image in smooth]


def stripes() -> list[np.ndarray]:
    waves = [127 + 120 * np.sin((np.arange(SIZE[1]) + i) / 6) for i in range(9)]
    return [np.tile(wave.astype(np.uint8)[:, None], (SIZE[0], 1, 3)) for wave in waves]


TEXTURES = (
    "brick.png",
    "chelsea.png",  # a cat, from the front
    "coins.png",  # with heads of emperors
    "clock_motion.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
)
DRAWN = {"noise": lambda: noise(0), "blurred noise": lambda: noise(4), "stripes": stripes}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TEXTURES, *DRAWN])
def test_nothing_is_a_face_in(name: str) -> None:
    images = DRAWN[name]() if name in DRAWN else texture(name)
    assert len(track(images).tracks) == 0


@pytest.mark.slow
def test_a_head_from_behind_is_no_face(data: Path) -> None:
    """A bald man turns his back on the camera; the woman before him is all that is found."""
    chunks = VideoReader(data / "clips" / "labelled" / "mer_00000338.mp4")
    images = [image for chunk in chunks for image in chunk.images][30:70]
    found = track(images)
    assert np.bincount(found.tracks.frame).tolist() == [1] * 40
    assert (found.tracks.box[:, 2] < images[0].shape[1] / 2).all()
