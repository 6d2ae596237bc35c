from __future__ import annotations

import numpy as np
import pytest

from pipeline.rungs import Rung
from pipeline.tracks import (
    POLICIES,
    Box,
    Sighting,
    TrackArrays,
    choose,
    gather,
    link,
    overlap,
    rank,
)

SIZE = (100, 200)  # height, width


def sighting(frame: int, number: int, box: Box) -> Sighting:
    return Sighting(frame, number, box, np.full((5, 2), number), 0.5, Rung.DETECT)


def square(x: float, y: float, side: float) -> Box:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 0, 2, 3), (0, 0, 2, 3), 1.0),
        ((0, 0, 2, 3), (1, 0, 3, 3), 3 / 9),
        ((0, 0, 2, 3), (2, 0, 4, 3), 0.0),
        ((0, 0, 4, 4), (1, 1, 2, 3), 2 / 16),
        ((0, 0, 1, 1), (5, 5, 6, 6), 0.0),
    ],
)
def test_overlap_is_intersection_over_union(one: Box, other: Box, expected: float) -> None:
    assert overlap(one, other) == pytest.approx(expected)
    assert overlap(other, one) == pytest.approx(expected)


def test_boxes_are_linked_best_overlap_first_and_once() -> None:
    last = [square(20, 20, 10), square(26, 20, 10)]
    boxes = [square(25, 20, 10), square(80, 80, 10), square(21, 20, 10)]
    assert link(boxes, last, 0.3) == {0: 1, 2: 0}


def test_two_boxes_do_not_share_a_track() -> None:
    assert link([square(20, 20, 10), square(21, 20, 10)], [square(20, 20, 10)], 0.3) == {0: 0}


def test_nothing_links_to_nothing() -> None:
    assert link([], [square(1, 1, 1)], 0.3) == {}
    assert link([square(1, 1, 1)], [], 0.3) == {}


def test_sightings_are_gathered_in_order_of_frames_and_tracks() -> None:
    rows = [(2, 0), (0, 1), (2, 1), (0, 0)]
    tracks = gather([sighting(frame, number, (0, 0, 1, 1)) for frame, number in rows])
    assert list(zip(tracks.frame, tracks.number, strict=True)) == sorted(rows)
    assert tracks.landmarks[:, 0, 0].tolist() == [0, 1, 0, 1]


def test_no_sightings_have_the_right_shapes() -> None:
    tracks = gather([])
    assert len(tracks) == 0
    assert (tracks.box.shape, tracks.landmarks.shape) == ((0, 4), (0, 5, 2))
    assert rank(tracks, "largest", SIZE) == []
    assert choose(tracks, 3, []).tolist() == [-1, -1, -1]


@pytest.fixture
def tracks() -> TrackArrays:
    """0: small, long, early; 1: large, short; 2: in the centre, late."""
    return gather(
        [sighting(frame, 0, square(20, 20, 10)) for frame in range(11)]
        + [sighting(frame, 1, square(160, 40, 40)) for frame in range(3, 6)]
        + [sighting(frame, 2, square(101, 52, 13)) for frame in range(7, 12)]
    )


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        ("largest", [1, 0, 2]),  # 3 x 1600, 11 x 100, 5 x 169
        ("central", [2, 1, 0]),
        ("longest", [0, 2, 1]),
        ("first", [0, 1, 2]),
    ],
)
def test_each_policy_ranks_by_its_own_measure(
    tracks: TrackArrays, policy: str, order: list[int]
) -> None:
    assert rank(tracks, policy, SIZE) == order


def test_every_policy_is_tested_above() -> None:
    assert set(POLICIES) == {"largest", "central", "longest", "first"}


def test_equal_tracks_are_ranked_by_number() -> None:
    same = gather([sighting(0, number, square(50, 50, 10)) for number in (4, 2, 7)])
    assert rank(same, "largest", SIZE) == [2, 4, 7]


def test_an_unknown_policy_is_refused(tracks: TrackArrays) -> None:
    with pytest.raises(ValueError, match=r"policy must be one of largest, .*, got 'nicest'"):
        rank(tracks, "nicest", SIZE)


def test_where_the_first_track_is_absent_the_next_is_used(tracks: TrackArrays) -> None:
    rows = choose(tracks, 13, [1, 2, 0])
    numbers = [int(tracks.number[row]) if row >= 0 else None for row in rows]
    assert numbers == [0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 2, 2, None]
    assert all(tracks.frame[row] == frame for frame, row in enumerate(rows) if row >= 0)


def test_rows_can_be_kept_by_a_mask(tracks: TrackArrays) -> None:
    kept = tracks.where(tracks.number == 2)
    assert kept.frame.tolist() == [7, 8, 9, 10, 11]
    assert set(kept.number) == {2}
