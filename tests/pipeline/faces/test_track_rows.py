from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from pipeline.faces.detect import Detection, FivePointPredictor
from pipeline.faces.frame import Frame
from pipeline.faces.pyramid import Pyramid
from pipeline.faces.search import FORGET_SECONDS, FaceSearch
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import BLOCK_FRAMES, BoxSource, Sighting, TrackRows, gather_tracks
from tests.pipeline.known_faces import gather

GENERATOR = np.random.default_rng(43)
FRAMES = (0, BLOCK_FRAMES - 1, BLOCK_FRAMES, 5 * BLOCK_FRAMES + 7, 3)


def sighting(frame: int, number: int = 0) -> Sighting:
    left, top, right, bottom = GENERATOR.normal(size=4).tolist()
    points = GENERATOR.normal(size=(5, 2)).astype(np.float32)
    box = (left, top, right, bottom)
    return Sighting(frame, number, box, points, float(GENERATOR.normal()), BoxSource.FOLLOW)


def equal(one: Sighting, two: Sighting) -> bool:
    same = (one.frame, one.box, one.score, one.rung) == (two.frame, two.box, two.score, two.rung)
    return same and np.array_equal(one.landmarks, two.landmarks)


def test_rows_are_read_as_they_were_written_and_sorted_by_frame() -> None:
    rows, expected = TrackRows(), {frame: sighting(frame) for frame in FRAMES}
    for frame, row in expected.items():
        rows[frame] = sighting(frame)
        rows[frame] = row  # the later one counts
    assert list(rows) == sorted(FRAMES)
    assert len(rows) == len(FRAMES)
    assert all(equal(rows[frame], row) for frame, row in expected.items())
    assert 3 in rows
    assert 4 not in rows
    assert 10**9 not in rows
    assert rows.get(4) is None
    del rows[3]
    assert 3 not in rows
    assert min(rows) == 0
    assert len(rows) == len(FRAMES) - 1


def test_a_frame_that_is_not_there_is_a_key_error() -> None:
    rows = TrackRows()
    with pytest.raises(KeyError, match="7"):
        rows[7]
    with pytest.raises(KeyError, match="7"):
        del rows[7]
    assert "7" not in rows


def test_two_tracks_are_two_even_if_they_hold_the_same() -> None:
    one, two, row = TrackRows(), TrackRows(), sighting(1)
    one[1] = two[1] = row
    assert one != two
    assert one in [two, one]


def test_whole_tracks_become_the_arrays_that_their_sightings_become() -> None:
    seen: list[Sighting] = []
    tracks = [TrackRows() for _ in range(3)]
    for frame, number in [(40, 0), (2, 2), (40, 2), (2, 0), (33, 0)]:
        seen.append(sighting(frame, number))
        tracks[number][frame] = seen[-1]
    found, expected = gather_tracks(tracks), gather(seen)
    for name, values in vars(expected).items():
        assert np.array_equal(getattr(found, name), values)
        assert getattr(found, name).dtype == values.dtype
    assert list(zip(found.frame, found.number, strict=True)) == sorted(
        (row.frame, row.number) for row in seen
    )


def test_no_tracks_become_arrays_of_the_right_shapes() -> None:
    nothing = gather_tracks([])
    assert len(nothing) == 0
    assert (nothing.box.shape, nothing.landmarks.shape) == ((0, 4), (0, 5, 2))
    assert [values.dtype for values in vars(nothing).values()] == [
        values.dtype for values in vars(gather([])).values()
    ]


def test_an_hour_of_a_face_costs_under_a_hundred_bytes_a_frame() -> None:
    row = sighting(0)
    tracemalloc.start()
    rows = TrackRows()
    for frame in range(9_001):
        rows[frame] = row
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 9_001


def test_what_never_became_a_face_is_forgotten_and_a_face_is_not() -> None:
    search = FaceSearch(FaceSettings(), FivePointPredictor())
    image = GENERATOR.integers(0, 256, (94, 62, 3), np.uint8)
    first = Frame(0, 0.0, image, 1.0, Pyramid((94, 62), 1))
    find = Detection((10.0, 10.0, 50.0, 50.0), 0.1)
    doubtful = search.ladder.begin(find, first, 0, BoxSource.DETECT)
    face = search.ladder.begin(find, first, 0, BoxSource.DETECT)
    face.agreed = True
    search.ended = [doubtful, face]
    for seconds, left in [(FORGET_SECONDS - 1, 2), (FORGET_SECONDS + 1, 1)]:
        search._forget(replace(first, seconds=seconds), [doubtful])
        assert len(search.ended) == left
    assert search.ended[0] is face
