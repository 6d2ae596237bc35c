from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from pipeline.faces.identity import LEAST_SHARPNESS, ONE_PERSON, IdentityArrays
from pipeline.faces.joining import (
    GAP_SECONDS,
    MARGIN,
    join_tracks,
    one_person_one_track,
    renumber_identity,
    renumber_tracks,
)
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import Box, BoxSource, ClipTracks, Sighting, TrackArrays
from tests.pipeline.known_faces import gather

DETECT, FOLLOW, SECOND = BoxSource.DETECT, BoxSource.FOLLOW, BoxSource.SECOND
RATE = 10  # frames a second
SIDE = 20


def at(x: float, y: float = 50, side: float = SIDE) -> Box:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def see(
    number: int, frames: Sequence[int], box: Box, source: BoxSource = DETECT, *, speed: float = 0
) -> list[Sighting]:
    """One track in some frames; ``speed`` moves it to the right by so much a frame."""
    moved = [(frame, speed * (frame - frames[0])) for frame in frames]
    return [
        Sighting(
            frame,
            number,
            (box[0] + by, box[1], box[2] + by, box[3]),
            np.zeros((5, 2)),
            0.5,
            source,
        )
        for frame, by in moved
    ]


def likenesses(
    places: Mapping[int, Sequence[float]], sharpness: Mapping[int, float] | None = None
) -> IdentityArrays:
    """Crops of tracks on a line: their distances are the differences of the numbers."""
    rows = [(track, place) for track, them in places.items() for place in them]
    count = len(rows)
    return IdentityArrays(
        times=np.arange(count) / RATE,
        frame=np.arange(count, dtype=np.int32),
        track=np.array([track for track, _ in rows], np.int32),
        box=np.zeros((count, 4), np.float32),
        sharpness=np.array([(sharpness or {}).get(track, 5.0) for track, _ in rows], np.float32),
        embedding=np.array([[place, 1, 0] for _, place in rows], np.float32),
    )


def join(
    tracks: TrackArrays,
    identity: IdentityArrays | None = None,
    cuts: Sequence[int] = (),
    join: str = "identity",
) -> list[int]:
    """The person of each track, in the order of the tracks."""
    times = np.arange(tracks.frame.max() + 1 if len(tracks) else 0) / RATE
    settings = FaceSettings(join=join)  # type: ignore[arg-type]  # a choice, as a test names it
    persons = join_tracks(tracks, times, cuts, identity, settings)
    assert sorted(persons) == np.unique(tracks.number).tolist()
    return [persons[number] for number in sorted(persons)]


def test_a_clip_without_faces_has_nobody() -> None:
    empty = gather([])
    assert join(empty) == []
    assert len(renumber_tracks(empty, {})) == 0
    found = ClipTracks(np.arange(3.0), (100, 200), empty, likenesses({}))
    assert one_person_one_track(found, [1], FaceSettings()).identity is not None


# ---- within a shot, by motion


def test_a_face_that_comes_back_where_it_was_is_one_person() -> None:
    tracks = gather(see(0, range(5), at(50)) + see(1, range(8, 12), at(60)))
    assert join(tracks) == [0, 0]
    assert join(tracks, join="none") == [0, 1]


def test_a_walker_is_met_where_she_was_heading() -> None:
    """4 pixels a frame, for 5 frames ahead: 20 + 40 pixels, 1.5 sides off at rest, 0.5 on the way.

    Without the motion the reach after 1 s is 0.5 + 1 sides, which is less than the 60 pixels.
    """
    walker = see(0, range(6), at(50), speed=4)  # at 70 in frame 5
    ahead = see(1, range(15, 20), at(70 + 5 * 4 + 20))
    assert join(gather(walker + ahead)) == [0, 0]
    stands = see(0, range(6), at(70))
    assert join(gather(stands + ahead)) == [0, 1]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (see(1, range(8, 12), at(50 + 1.0 * SIDE)), "0.3 s reach 0.8 sides"),
        (see(1, range(8, 12), at(50, side=1.6 * SIDE)), "it grew to 1.6"),
        (see(1, range(26, 30), at(50)), "2.2 s are too long"),
    ],
)
def test_a_face_elsewhere_of_another_size_or_much_later_is_another(
    second: list[Sighting], why: str
) -> None:
    assert (26 - 4) / RATE > GAP_SECONDS
    assert join(gather(see(0, range(5), at(50)) + second)) == [0, 1], why


def test_motion_does_not_go_over_a_cut() -> None:
    tracks = gather(see(0, range(5), at(50)) + see(1, range(6, 12), at(50)))
    assert join(tracks) == [0, 0]
    assert join(tracks, cuts=[6]) == [0, 1]
    assert join(tracks, cuts=[2]) == [0, 0]


def test_of_cuts_in_consecutive_frames_as_in_a_fade_the_last_one_counts() -> None:
    tracks = gather(
        see(0, range(5), at(50)) + see(1, [5, 6], at(51)) + see(2, range(7, 12), at(50))
    )
    assert join(tracks, cuts=[5, 6, 7]) == [0, 0, 1]


def test_crops_that_differ_forbid_what_motion_allows() -> None:
    tracks = gather(see(0, range(5), at(50)) + see(1, range(6, 12), at(50)))
    assert join(tracks, likenesses({0: [0], 1: [0.59]})) == [0, 0]
    assert join(tracks, likenesses({0: [0], 1: [0.61]})) == [0, 1]
    blurred = {1: LEAST_SHARPNESS / 2}  # says nothing
    assert join(tracks, likenesses({0: [0], 1: [0.61]}, blurred)) == [0, 0]


def test_of_two_who_could_go_on_the_nearer_does() -> None:
    tracks = gather(
        see(0, range(5), at(50)) + see(1, range(5), at(75))
        + see(2, range(7, 12), at(74)) + see(3, range(7, 12), at(52))
    )  # fmt: skip
    assert join(tracks) == [0, 1, 1, 0]


def test_what_is_followed_does_not_say_where_a_track_ends() -> None:
    """Track 0 drifts away after frame 4, while track 1 takes over where it was seen."""
    drift = see(0, range(5, 12), at(90), FOLLOW)
    tracks = gather(see(0, range(5), at(50)) + drift + see(1, range(6, 12), at(51)))
    assert join(tracks) == [0, 0]


def test_of_two_who_could_have_gone_on_in_one_the_nearer_did() -> None:
    """0 is 0.8 sides from 1, too far for 0.2 s; both could be 2, at 0.45 and 0.35 sides."""
    tracks = gather(
        see(0, range(5), at(50)) + see(1, range(6, 9), at(66)) + see(2, range(10, 14), at(59))
    )
    assert join(tracks) == [0, 1, 1]


def test_two_tracks_that_lie_on_each_other_are_one() -> None:
    tracks = gather(see(0, range(12), at(50)) + see(1, range(3, 9), at(54)))  # 16 of 24 pixels
    assert join(tracks) == [0, 0]
    beside = gather(see(0, range(12), at(50)) + see(1, range(3, 9), at(64)))  # 6 of 34
    assert join(beside) == [0, 1]


# ---- across cuts and gaps, by identity


def two_shots(*more: Sighting) -> TrackArrays:
    return gather([*see(0, range(5), at(50)), *see(1, range(6, 12), at(150)), *more])


def test_one_person_on_both_sides_of_a_cut_is_one() -> None:
    near, far = ONE_PERSON - 0.01, ONE_PERSON + 0.01
    assert join(two_shots(), likenesses({0: [0], 1: [near]}), cuts=[6]) == [0, 0]
    assert join(two_shots(), likenesses({0: [0], 1: [far]}), cuts=[6]) == [0, 1]
    assert join(two_shots(), likenesses({0: [0], 1: [near]}), cuts=[6], join="motion") == [0, 1]
    beside = gather(see(0, range(5), at(50)) + see(1, range(6, 12), at(50)))
    assert join(beside, likenesses({0: [0], 1: [1]}), join="motion") == [0, 0]  # by motion alone
    assert join(two_shots(), likenesses({0: [0]}), cuts=[6]) == [0, 1]
    assert join(two_shots(), None, cuts=[6]) == [0, 1]


def test_the_distance_is_from_a_crop_to_the_nearest_of_the_others() -> None:
    """From 0: 0.1 and from 2, another pose: 0.1; 2 to 0 alone would be 2."""
    assert join(two_shots(), likenesses({0: [0, 2], 1: [0.1, 2.1]}), cuts=[6]) == [0, 0]


def test_two_faces_in_one_frame_are_two_persons_however_alike() -> None:
    twins = gather(see(0, range(5), at(50)) + see(1, range(4, 9), at(150)))
    assert join(twins, likenesses({0: [0], 1: [0]})) == [0, 1]


def test_who_could_be_either_of_two_is_neither() -> None:
    """Twins in the first shot, one of them in the second."""
    twins = [*see(0, range(5), at(50)), *see(1, range(5), at(150))]
    tracks = gather([*twins, *see(2, range(6, 12), at(100))])
    unclear = likenesses({0: [0], 1: [0.2 + MARGIN - 0.01], 2: [0.1]})  # 0.1 and 0.14
    assert join(tracks, unclear, cuts=[6]) == [0, 1, 2]
    clear = likenesses({0: [0], 1: [0.2 + MARGIN + 0.01], 2: [0.1]})  # 0.1 and 0.16
    assert join(tracks, clear, cuts=[6]) == [0, 1, 0]


def test_nobody_is_joined_to_two_who_are_apart_not_even_through_others() -> None:
    """0 and 2 are one, then 1, which is in a frame with 0, must not be joined to 2."""
    tracks = gather(
        [*see(0, range(5), at(50)), *see(1, range(5), at(150)), *see(2, range(6, 12), at(100))]
    )
    assert join(tracks, likenesses({0: [0], 2: [0.01], 1: [0.3]}), cuts=[6]) == [0, 1, 0]


def test_motion_makes_two_persons_apart_by_way_of_others() -> None:
    """1 goes on from 0, and is in a frame with 2: so that 2 isn't 0 either."""
    tracks = gather(
        see(0, range(5), at(50)) + see(1, range(6, 12), at(50)) + see(2, range(6, 12), at(150))
    )
    assert join(tracks, likenesses({0: [0], 2: [0]})) == [0, 0, 1]


def test_groups_are_joined_by_the_average_of_all() -> None:
    """0 to 1: 0.2. Then 2 is 0.35 from 1 and 0.55 from 0: 0.45 on average."""
    tracks = gather([s for n in range(3) for s in see(n, range(6 * n, 6 * n + 5), at(50 + 99 * n))])
    cuts = [6, 12]
    assert 0.35 < ONE_PERSON < 0.45
    assert join(tracks, likenesses({0: [0], 1: [0.2], 2: [0.55]}), cuts) == [0, 0, 1]
    assert join(tracks, likenesses({0: [0], 1: [0.2], 2: [0.45]}), cuts) == [0, 0, 0]  # 0.35


def test_persons_are_numbered_as_they_appear_whatever_their_tracks_were_called() -> None:
    tracks = gather(see(7, range(3, 9), at(150)) + see(4, range(5), at(50)))
    assert join(tracks) == [0, 1]
    assert join(gather(see(7, range(5), at(150)) + see(4, range(3, 9), at(50)))) == [1, 0]


# ---- the rows


def test_in_a_frame_with_two_rows_of_a_person_the_surer_stays() -> None:
    tracks = gather(
        see(0, [0, 1, 2], at(50))
        + see(0, [3], at(90), FOLLOW)
        + see(0, [4], at(53), SECOND)
        + see(1, [3], at(52), SECOND)
        + see(1, [4], at(51))
    )
    joined = renumber_tracks(tracks, {0: 0, 1: 0})
    assert joined.frame.tolist() == [0, 1, 2, 3, 4]
    assert joined.number.tolist() == [0] * 5
    assert joined.number.dtype == np.int32
    assert joined.rung.tolist() == [DETECT, DETECT, DETECT, SECOND, DETECT]
    assert joined.box[:, 0].tolist() == [40, 40, 40, 42, 41]


def test_tracks_and_crops_are_numbered_alike_and_sorted() -> None:
    tracks = gather(
        see(2, range(5), at(150)) + see(3, range(2, 5), at(50)) + see(1, range(6, 12), at(50))
    )
    crops = likenesses({3: [0], 2: [3], 1: [0.1]})
    found = ClipTracks(np.arange(12) / RATE, (100, 200), tracks, crops)
    joined = one_person_one_track(found, [], FaceSettings())
    assert joined.tracks.number.tolist() == [0, 0, 0, 1, 0, 1, 0, 1] + [1] * 6
    assert joined.identity is not None
    assert joined.identity.track.tolist() == [1, 0, 1]
    assert joined.identity.embedding[:, 0].tolist() == pytest.approx([0, 3, 0.1])
    assert joined.identity.times.tolist() == crops.times.tolist()
    one_frame = replace(likenesses({3: [0], 5: [1]}), frame=np.zeros(2, np.int32))
    swapped = renumber_identity(one_frame, {5: 0, 3: 1})
    assert swapped.track.tolist() == [0, 1]
    assert swapped.embedding[:, 0].tolist() == [1, 0]
