from __future__ import annotations

from typing import Any

import cv2
import dlib
import numpy as np
import pytest

from pipeline.faces import gallery
from pipeline.faces.frame import Frame
from pipeline.faces.gallery import (
    FRAMES_PER_CROP,
    MOST_CROPS,
    OFFER_EVERY,
    Crop,
    Gallery,
    TrackCrops,
    cut_chip,
    measure_frontality,
    measure_sharpness,
)
from pipeline.faces.identity import CHIP_SIZE, IDENTITY_DIM, IdentityArrays
from pipeline.faces.pyramid import Pyramid
from pipeline.faces.tracks import SEEN, Box, BoxSource, Sighting, TrackRows
from tests.pipeline.scenes import FACE_BOX, astronaut

BOX: Box = (175, 76, 266, 167)
# The astronaut's landmarks, in dlib's order: eye corners on the right and left, nose.
POINTS = np.array([(253, 107), (236, 109), (199, 107), (216, 109), (226, 132)], np.float32)


class Grey:
    """A recogniser whose embedding is a crop's grey level, and that counts what it sees."""

    def __init__(self) -> None:
        self.seen = 0

    def embed(self, chips: np.ndarray) -> np.ndarray:
        self.seen += len(chips)
        levels = chips.mean((1, 2, 3), np.float32)
        return np.tile(levels[:, None], (1, IDENTITY_DIM))


def crop(frame: int, worth: float, rate: float = 10.0, box: Box = BOX) -> Crop:
    chip = np.full((CHIP_SIZE, CHIP_SIZE, 3), frame % 256, np.uint8)
    return Crop(frame, frame / rate, box, worth / 2, worth, chip)


def rows(frames: range, box: Box = BOX) -> TrackRows:
    found = TrackRows()
    for frame in frames:
        found[frame] = sighting(frame, box=box)
    return found


def sighting(frame: int, rung: BoxSource = BoxSource.DETECT, box: Box = BOX) -> Sighting:
    return Sighting(frame, 0, box, POINTS, 1.0, rung)


def crops(*each: Crop) -> TrackCrops:
    held = TrackCrops()
    for one in each:
        held.add(one)
    return held


def frames_of(held: TrackCrops) -> list[int]:
    return sorted(one.frame for one in held.best.values())


def test_the_best_crop_of_every_second_is_kept() -> None:
    held = crops(crop(3, 2), crop(5, 7), crop(8, 3), crop(11, 1), crop(17, 1), crop(29, 5))
    assert frames_of(held) == [5, 11, 29]


def test_a_long_track_keeps_few_crops_each_the_best_of_a_longer_stretch() -> None:
    # Five seconds with one crop each, then stretches of 2 s: [0, 2), [2, 4), [4, 6), and of 40 s.
    held = crops(*(crop(frame, frame % 20) for frame in (3, 19, 25, 31, 45)))
    assert held.stretch_seconds == 2
    assert frames_of(held) == [19, 31, 45]
    for frame in range(50, 400, 10):
        held.add(crop(frame, 1))
    assert len(held.best) <= MOST_CROPS
    assert 19 in frames_of(held)  # still the best of them all


def test_two_tracks_of_one_face_become_one_with_the_best_of_both() -> None:
    held = crops(crop(3, 2), crop(12, 7))
    held.absorb(crops(crop(5, 3), crop(14, 1), crop(28, 1)))
    assert frames_of(held) == [5, 12, 28]


def offered(*sightings: Sighting) -> list[int]:
    held, scene = TrackCrops(), astronaut()
    for row in sightings:
        # A second apart, so that every crop is kept.
        now = Frame(row.frame, float(row.frame), scene, 1.0, Pyramid(scene.shape[:2], 1))
        Gallery(Grey()).offer(held, row, now)
    return frames_of(held)


def test_only_frames_in_which_a_detector_saw_the_face_are_cut_out() -> None:
    for rung in BoxSource:
        assert offered(sighting(7, rung)) == ([7] if rung in SEEN else [])


def test_only_every_few_frames_are_cut_out_forwards_and_backwards() -> None:
    forwards = [sighting(frame) for frame in range(3 * OFFER_EVERY)]
    assert offered(*forwards) == [0, OFFER_EVERY, 2 * OFFER_EVERY]
    assert offered(*forwards[::-1]) == [OFFER_EVERY - 1, 2 * OFFER_EVERY - 1, 3 * OFFER_EVERY - 1]


def finish(*tracks: tuple[TrackRows, TrackCrops]) -> IdentityArrays:
    return Gallery(Grey()).finish(tracks)


def test_embeddings_are_sorted_by_frame_and_track_and_times_named_once() -> None:
    one = rows(range(90)), crops(crop(4, 1), crop(16, 1), crop(27, 1))
    other = rows(range(90)), crops(crop(4, 1, box=(180, 80, 260, 170)), crop(12, 1))
    found = finish(one, other)
    assert found.times.tolist() == [0.4, 1.2, 1.6, 2.7]
    assert found.frame.tolist() == [0, 0, 1, 2, 3]
    assert found.track.tolist() == [0, 1, 1, 0, 0]
    assert found.box[1].tolist() == [180, 80, 260, 170]
    assert found.sharpness.tolist() == [0.5] * 5
    assert found.embedding[:, 127].tolist() == [4, 4, 12, 16, 27]
    assert [values.dtype for values in vars(found).values()] == [
        np.float64, np.int32, np.int32, np.float32, np.float32, np.float32,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("num_frames", "kept"),
    [
        (23, [2]),
        (2 * FRAMES_PER_CROP - 1, [2]),
        (2 * FRAMES_PER_CROP, [2, 12]),
        (3 * FRAMES_PER_CROP, [2, 12, 22]),
        (40 * FRAMES_PER_CROP, [2, 12, 22]),
    ],
)
def test_a_track_has_one_crop_and_more_by_its_length_the_best_first(
    num_frames: int, kept: list[int]
) -> None:
    held = crops(crop(2, 7), crop(12, 5), crop(22, 3))
    assert finish((rows(range(num_frames)), held)).embedding[:, 0].tolist() == kept


def test_crops_of_frames_that_a_track_lost_or_that_are_elsewhere_now_are_left_out() -> None:
    held = crops(crop(2, 1), crop(15, 9), crop(25, 5))
    here = rows(range(100))
    del here[15]
    here[25] = sighting(25, box=(300, 76, 391, 167))
    assert finish((here, held)).embedding[:, 0].tolist() == [2]


def test_nothing_found_is_nothing_embedded() -> None:
    for found in (finish(), finish((rows(range(3)), TrackCrops()))):
        assert [values.shape for values in vars(found).values()] == [
            (0,), (0,), (0,), (0, 4), (0,), (0, 128),
        ]  # fmt: skip


def test_crops_of_many_tracks_that_ended_are_embedded_before_the_clip_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gallery, "KEPT_CROPS", 5)

    def tracks() -> list[tuple[TrackRows, TrackCrops]]:
        starts = range(0, 240, 40)
        return [(rows(range(at, at + 30)), crops(crop(at, 1), crop(at + 20, 2))) for at in starts]

    network, ended = Grey(), tracks()
    held = Gallery(network)
    held.relieve(ended[:2])
    assert network.seen == 0
    held.relieve(ended[:3])
    assert network.seen == 3
    assert not any(one.chip is not None for _, c in ended[:3] for one in c.best.values())
    held.relieve(ended[:5])
    found, at_once = held.finish(ended), finish(*tracks())
    assert network.seen == 6
    for name, values in vars(found).items():
        assert np.array_equal(values, getattr(at_once, name)), name


def test_chips_are_dlibs() -> None:
    image = astronaut()
    points = dlib.points([dlib.point(*map(int, point)) for point in POINTS])
    shape = dlib.full_object_detection(dlib.rectangle(*FACE_BOX), points)
    expected = dlib.get_face_chip(image, shape, CHIP_SIZE, 0.25).astype(int)
    off = np.abs(cut_chip(image, POINTS) - expected)
    assert off.mean() < 0.5
    assert np.percentile(off, 99) <= 3


def test_a_blurred_or_smaller_face_is_less_sharp() -> None:
    face = cut_chip(astronaut(), POINTS)
    whole = measure_sharpness(face, 150)
    assert measure_sharpness(cv2.GaussianBlur(face, (0, 0), 2), 150) < 0.7 * whole
    assert measure_sharpness(face, 50) == pytest.approx(whole / 3)
    assert measure_sharpness(face, 450) == whole
    assert measure_sharpness(np.full_like(face, 77), 150) == 0


@pytest.mark.parametrize(
    ("nose", "expected"), [(30, 1.0), (35, 0.5), (25, 0.5), (40, 0.0), (20, 0.0), (55, 0.0)]
)
def test_a_face_is_frontal_as_far_as_its_nose_is_midway_between_the_eyes(
    nose: float, expected: float
) -> None:
    # Middles of the eyes at 40 and 20.
    points = np.array([(44, 10), (36, 10), (16, 10), (24, 10), (nose, 30)], np.float32)
    assert measure_frontality((0, 0, 60, 60), points) == pytest.approx(expected)
    turned: Any = points @ np.array([[0, 1], [-1, 0]], np.float32)
    assert measure_frontality((0, 0, 60, 60), turned) == pytest.approx(expected)
