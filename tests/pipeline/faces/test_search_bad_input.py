"""Faces where they are hard to have: turned videos, borders, twins, posters, tiny ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.manifest.span import Span
from pipeline.choice.choice import choose_faces, find_faces
from pipeline.choice.overrides import Override
from pipeline.faces.crops import crop_faces
from pipeline.faces.search import track_faces
from pipeline.faces.settings import CropSettings, FaceSettings
from pipeline.faces.tracks import BoxSource
from pipeline.media.frames import VideoReader
from tests.pipeline.scenes import background, clip, place, true_box
from tests.pipeline.videos import write_video

SIZE = (240, 320)
QUICK = FaceSettings(scan_seconds=0.4)


def middle(box: np.ndarray) -> np.ndarray:
    return (box[..., :2] + box[..., 2:]) / 2


@pytest.mark.parametrize("centre", [(26, 80), (174, 80), (100, 26), (100, 134)])
def test_a_face_that_the_border_cuts_is_found_and_cropped_with_black_beyond(
    centre: tuple[int, int],
) -> None:
    images = [place(background(160, 200), centre, 60)] * 3
    faces = find_faces(clip(images))
    assert BoxSource.WHOLE not in faces.rung
    assert np.abs(middle(faces.box) - centre).max() < 12
    settings = CropSettings(size=61)
    crops = crop_faces(np.stack(images), faces.landmarks, faces.box, faces.rung, settings)
    assert 0.02 < (crops == 0).all(-1).mean() < 0.6


def test_of_two_equal_faces_one_is_kept_throughout() -> None:
    images = [place(place(background(*SIZE), (90, 120), 60), (230, 120), 60)] * 14
    found = track_faces(clip(images), QUICK)
    assert set(found.tracks.number) == {0, 1}
    for policy in ("largest", "longest", "first"):
        assert len(set(choose_faces(found, policy).track)) == 1


@pytest.mark.slow
def test_a_face_that_leaves_and_another_that_comes_are_two_tracks() -> None:
    empty = background(*SIZE)
    images = [empty] * 28
    images[:6] = [place(empty, (60, 120), 40)] * 6
    images[22:] = [place(empty, (250, 120), 40)] * 6
    found = track_faces(clip(images), FaceSettings(scan_seconds=0.2, lost_seconds=0.1))
    faces = choose_faces(found, "largest")
    assert set(faces.track[:6]) == {0}
    assert set(faces.rung[12:16]) == {BoxSource.WHOLE}  # each is held for 5 frames on its side
    assert set(faces.track[22:]) == {1}
    assert np.abs(middle(faces.box[22:]) - (250, 120)).max() < 12


@pytest.mark.slow
def test_a_poster_behind_a_speaker_is_the_largest_face_until_someone_says_otherwise() -> None:
    images = [
        place(place(background(*SIZE), (80, 90), 80), (235 + 2 * frame, 140), 50)
        for frame in range(10)
    ]
    found = track_faces(clip(images), QUICK)
    poster = choose_faces(found, "largest")
    assert np.abs(middle(poster.box) - (80, 90)).max() < 15
    (speaker,) = set(found.tracks.number) - set(poster.track)
    by_hand = choose_faces(found, "largest", [Override(0.0, 9.0, track=int(speaker))])
    assert np.abs(middle(by_hand.box) - [(235 + 2 * frame, 140) for frame in range(10)]).max() < 15


@pytest.mark.parametrize("size", [12, 20, 30])
def test_small_faces_are_found(size: int) -> None:
    faces = find_faces(clip([place(background(120, 160), (83, 61), size)]))
    assert faces.rung[0]
    assert np.abs(faces.box[0] - true_box((83, 61), size)).max() < 10


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_video_that_asks_to_be_turned_has_its_face_where_one_sees_it(
    turns: int, tmp_path: Path
) -> None:
    image = place(background(200, 144), (60, 84), 60)
    stored = np.ascontiguousarray(np.rot90(image, -turns))  # as a phone held sideways stores it
    path = write_video(
        tmp_path / "turned.mp4",
        [stored] * 3,
        codec="mpeg4",
        prepare=lambda stream: stream.set_display_rotation(90 * turns),
    )
    reader = VideoReader(path)
    faces = find_faces(reader)
    assert reader.frame_size == (200, 144)
    assert BoxSource.WHOLE not in faces.rung
    assert np.abs(middle(faces.box) - (60, 84)).max() < 12


@pytest.mark.slow
def test_a_portrait_video_has_an_upright_face(data: Path) -> None:
    reader = VideoReader(data / "clips" / "faces" / "portrait_720x1080.mp4", None, Span(0.0, 0.1))
    faces = find_faces(reader)
    assert reader.frame_size == (1080, 720)
    assert BoxSource.WHOLE not in faces.rung
    eyes, nose = faces.landmarks[:, :4].mean(1), faces.landmarks[:, 4]
    assert (nose[:, 1] - eyes[:, 1] > np.abs(nose[:, 0] - eyes[:, 0])).all()
