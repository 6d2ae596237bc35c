from __future__ import annotations

import numpy as np
import pytest

from benchmarks.faces.labels import ClipLabels, Label
from benchmarks.faces.metrics import (
    add_up,
    count_flickers,
    is_empty,
    measure,
    own_person,
    whose,
)
from pipeline.choice.choice import choose_faces
from pipeline.faces.tracks import Box, BoxSource, ClipTracks, TrackArrays

SIZE = (300, 400)
LEFT: Box = (0, 0, 100, 100)
RIGHT: Box = (200, 0, 260, 60)
NOWHERE: Box = (300, 200, 380, 280)
DETECT, HOLD = BoxSource.DETECT, BoxSource.HOLD


def label(box: Box, person: str = "A", kind: str = "face", *seen_by: str) -> Label:
    return Label(box, person, kind, seen_by)


def clip_of(rows: list[tuple[int, int, Box, BoxSource]], num_frames: int = 21) -> ClipTracks:
    """A clip with these (frame, track, box, source)."""
    frame, number, box, source = zip(*rows, strict=True) if rows else ((), (), (), ())
    return ClipTracks(
        np.arange(num_frames) / 10,
        SIZE,
        TrackArrays(
            np.array(frame, np.int32),
            np.array(number, np.int32),
            np.array(box, np.float32).reshape(-1, 4),
            np.zeros((len(rows), 5, 2), np.float32),
            np.zeros(len(rows), np.float32),
            np.array(source, np.uint8),
        ),
    )


LABELS = ClipLabels(
    SIZE,
    {
        0: [label(LEFT, "A", "face", "mtcnn"), label(RIGHT, "B")],
        10: [label(LEFT, "A", "face", "mtcnn"), label((390, 290, 400, 300), "tiny")],
        20: [label(NOWHERE, "poster", "drawn")],
    },
)


def test_counts_of_a_clip() -> None:
    found = clip_of(
        [
            (0, 0, LEFT, DETECT),
            (0, 1, RIGHT, DETECT),
            (10, 0, (40, 0, 140, 100), HOLD),  # 60 of 140 pixels' width shared: 0.43
            (10, 1, (100, 100, 160, 160), HOLD),  # nothing there
            (20, 2, (300, 200, 340, 240), DETECT),  # a quarter of the poster, wholly in it
            (20, 3, (0, 0, 200, 200), DETECT),  # nothing there, and the largest
        ]
    )
    counts = measure(found, choose_faces(found, "largest", switch_seconds=0), LABELS)
    assert (counts.frames, counts.faces, counts.faces_found) == (3, 3, 3)
    assert (counts.reference, counts.reference_found) == (2, 2)
    assert (counts.seen, counts.seen_empty) == (4, 1)
    assert (counts.followed, counts.followed_empty) == (2, 1)
    assert counts.frames_with_empty == 2
    assert (counts.chosen_seen, counts.chosen_seen_empty) == (2, 1)
    assert (counts.chosen_followed, counts.chosen_followed_empty) == (1, 0)
    assert (counts.own_frames, counts.own_right, counts.own_other) == (2, 2, 0)
    assert (counts.held, counts.held_by_most) == (3, 3)
    assert (counts.people, counts.tracks_of_people, counts.tracks) == (2, 2, 4)
    assert counts.faults == [
        "frame 10: no face in 100, 100, 160, 160 (hold, track 1)",
        "frame 20: no face in 0, 0, 200, 200 (detect, track 3)",
    ]
    shares = counts.shares()
    assert shares["precision"] == 4 / 6
    assert shares["precision_seen"] == 3 / 4
    assert shares["precision_followed"] == 1 / 2
    assert shares["precision_chosen"] == 2 / 3
    assert shares["frames_with_empty"] == 2 / 3


def test_another_person_chosen_and_a_track_on_two_people() -> None:
    found = clip_of([(0, 0, RIGHT, DETECT), (10, 0, LEFT, DETECT)])
    counts = measure(found, choose_faces(found, "largest", switch_seconds=0), LABELS)
    assert (counts.own_frames, counts.own_right, counts.own_other) == (2, 1, 1)
    assert (counts.held, counts.held_by_most) == (2, 1)
    assert (counts.people, counts.tracks_of_people) == (2, 2)
    assert counts.faults == ["frame 0: A not found", "frame 0: B chosen instead of A"]


def test_a_face_in_two_boxes_is_found_once() -> None:
    found = clip_of([(0, 0, LEFT, DETECT), (0, 1, (0, 0, 100, 90), DETECT)])
    counts = measure(found, choose_faces(found, "largest", switch_seconds=0), LABELS)
    assert (counts.faces_found, counts.doubled, counts.held, counts.held_by_most) == (1, 1, 2, 2)
    assert "frame 0: A in 2 boxes" in counts.faults


def test_a_clip_without_any_box() -> None:
    found = clip_of([])
    counts = measure(found, choose_faces(found, "largest", switch_seconds=0), LABELS)
    shares = counts.shares()
    assert (shares["recall"], shares["right_person"]) == (0, 0)
    assert shares["frames_with_empty"] == 0
    assert all(shares[name] is None for name in ("precision", "purity", "tracks_per_person"))


def test_one_box_finds_one_of_two_faces_that_it_overlaps() -> None:
    labels = ClipLabels(SIZE, {0: [label(LEFT), label((40, 0, 140, 100), "B")]})
    found = clip_of([(0, 0, (15, 0, 115, 100), DETECT)])
    counts = measure(found, choose_faces(found, "largest", switch_seconds=0), labels)
    assert (counts.faces, counts.faces_found) == (2, 1)
    assert counts.faults[0] == "frame 0: B not found"  # 85 of 115 against 75 of 125


@pytest.mark.parametrize(
    ("box", "person", "empty"),
    [
        (LEFT, "A", False),
        ((50, 0, 150, 100), "A", False),  # 50 of 150: 0.33
        ((55, 0, 155, 100), None, True),  # 45 of 155: 0.29
        ((0, 0, 182, 182), "A", False),  # 100 x 100 of 182 x 182: 0.302
        ((0, 0, 183, 183), None, True),  # 0.299
        ((250, 100, 300, 150), None, False),  # wholly in the crowd, a 24th of it
        ((175, 100, 225, 150), None, False),  # by half
        ((170, 100, 220, 150), None, True),  # by 0.4
    ],
)
def test_a_box_holds_a_face_or_is_excused_or_empty(
    box: Box, person: str | None, empty: bool
) -> None:
    labels = [label(LEFT), label((200, 0, 400, 300), "crowd", "unclear")]
    assert whose(box, labels[:1]) == person
    assert is_empty(box, labels) == empty


def test_the_own_person_leads_by_count_and_by_area() -> None:
    few_large = {0: [label(LEFT)], 10: [label(RIGHT, "B")], 20: [label(RIGHT, "B")]}
    assert own_person(ClipLabels(SIZE, few_large)) is None  # 10,000 pixels against 2 x 3,600
    assert own_person(ClipLabels(SIZE, {**few_large, 30: [label(RIGHT, "B")]})) == "B"
    assert own_person(ClipLabels(SIZE, {0: [label(LEFT, "A", "unclear")]})) is None


def test_flickers_are_single_frames() -> None:
    found = clip_of(
        [(frame, track, LEFT, DETECT) for frame, track in enumerate((0, 1, 0, 0, 1, 1))]
    )
    chosen = choose_faces(found, "first", switch_seconds=0)
    assert chosen.track[:7].tolist() == [0, 1, 0, 0, 1, 1, -1]
    assert count_flickers(chosen) == 1


def test_sums_leave_faults_out() -> None:
    found = clip_of([(0, 0, LEFT, DETECT)])
    each = measure(found, choose_faces(found, "largest", switch_seconds=0), LABELS)
    total = add_up([each, each])
    assert (total.faces, total.faces_found, total.faults) == (6, 2, [])


@pytest.mark.parametrize(("size", "num_frames"), [((400, 300), 21), (SIZE, 20)])
def test_labels_of_another_clip_are_refused(size: tuple[int, int], num_frames: int) -> None:
    found = clip_of([], num_frames)
    with pytest.raises(ValueError, match=r"labels are of frames 0 to 20 of .*, the clip has"):
        measure(
            found, choose_faces(found, "largest", switch_seconds=0), ClipLabels(size, LABELS.frames)
        )
