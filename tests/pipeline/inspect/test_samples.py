from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.choice.choice import choose_faces
from pipeline.faces.tracks import Box, BoxSource, Sighting
from pipeline.inspect.frames import Sample, choose_samples
from tests.pipeline.known_faces import known_tracks, see

SMALL: Box = (5, 5, 16, 16)
LARGE: Box = (40, 10, 71, 41)


def sample(num: int, seen: Sequence[Sighting], most: int) -> list[Sample]:
    found = known_tracks(num, seen, (62, 94))
    return choose_samples(choose_faces(found, "largest"), found.tracks, most)


def frames(samples: Sequence[Sample]) -> list[int]:
    return [one.frame for one in samples]


def test_a_clip_where_nothing_happens_is_shown_evenly() -> None:
    steady = [see(frame, 0, SMALL) for frame in range(101)]
    shown = sample(101, steady, 5)
    # 0, 50 and 100 evenly; then the middles of the longest stretches, the first of equal ones first
    assert frames(shown) == [0, 25, 50, 75, 100]
    assert all(one.why == () for one in shown)


def test_a_clip_of_fewer_frames_than_columns_is_shown_whole() -> None:
    assert frames(sample(3, [], 7)) == [0, 1, 2]
    assert frames(sample(1, [], 7)) == [0]


def test_the_frame_where_a_track_begins_is_shown_and_named() -> None:
    seen = [see(frame, 0, LARGE) for frame in range(101)]
    seen += [see(frame, 1, SMALL) for frame in range(37, 60)]
    shown = sample(101, seen, 5)
    assert Sample(37, ("track 1 begins",)) in shown
    assert len(shown) == 5


def test_the_frames_where_the_face_is_lost_and_found_are_shown_and_named() -> None:
    seen = [see(frame, 0, LARGE) for frame in range(101) if not 13 <= frame < 19]
    shown = sample(101, seen, 7)
    assert Sample(13, ("lost",)) in shown
    assert Sample(19, ("found",)) in shown


def test_the_frame_where_another_track_is_chosen_is_shown_and_named() -> None:
    seen = [see(frame, 0, SMALL) for frame in range(101)]
    seen += [see(frame, 1, LARGE) for frame in range(71)]
    shown = sample(101, seen, 5)
    assert Sample(71, ("1 gives way to 0",)) in shown


def test_the_frame_where_the_source_changes_is_shown_and_named() -> None:
    seen = [
        see(frame, 0, LARGE, BoxSource.DETECT if frame < 61 else BoxSource.FOLLOW)
        for frame in range(101)
    ]
    assert Sample(61, ("was detect",)) in sample(101, seen, 5)


def test_a_track_that_begins_goes_before_a_source_that_changes() -> None:
    seen = [
        see(frame, 0, LARGE, (BoxSource.DETECT, BoxSource.REGION)[frame // 20 % 2])
        for frame in range(101)
    ]
    seen += [see(frame, 1, SMALL) for frame in range(67, 70)]
    shown = sample(101, seen, 4)  # two evenly, two where something happens: changes at 20 40 60 80
    assert 67 in frames(shown)
    assert len(shown) == 4


def test_a_source_that_flickers_does_not_fill_the_row_with_one_moment() -> None:
    seen = [see(frame, 0, LARGE) for frame in range(200)]
    for frame in range(150, 160):
        seen[frame] = see(frame, 0, LARGE, (BoxSource.FOLLOW, BoxSource.REGION)[frame % 2])
    shown = frames(sample(200, seen, 8))
    assert shown == [0, 33, 66, 99, 133, 150, 157, 199]  # evenly, two of the flicker, middles


@pytest.mark.parametrize("most", [2, 3, 5, 11])
def test_a_hundred_tracks_are_no_more_frames_than_asked_for(most: int) -> None:
    seen = [see(frame, frame, SMALL) for frame in range(101)]
    shown = frames(sample(101, seen, most))
    assert len(shown) == most == len(set(shown))
    assert shown[0] == 0
    assert shown[-1] == 100


def test_fewer_than_two_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        sample(5, [], 1)
