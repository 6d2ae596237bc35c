from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from cache.entries.source import Source
from cache.sets.feature_set import FeatureSet, SetSpec
from pipeline.choice.choice import MisfitError, choose, choose_faces, place_given
from pipeline.choice.clip_persons import ClipPersons
from pipeline.choice.overrides import Override
from pipeline.choice.policies import MEASURES, rank
from pipeline.faces.detect import FivePointPredictor
from pipeline.faces.search import track_faces
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import (
    SUREST_LAST,
    Box,
    BoxSource,
    ClipTracks,
    Sighting,
    TrackArrays,
    read_tracks,
)
from tests.pipeline.known_faces import gather
from tests.pipeline.scenes import background, clip, place, true_box

SIZE = (100, 200)  # height, width
SECOND = BoxSource.SECOND


def sighting(frame: int, number: int, box: Box, source: BoxSource = BoxSource.DETECT) -> Sighting:
    return Sighting(frame, number, box, np.full((5, 2), number), 0.5, source)


def square(x: float, y: float, side: float) -> Box:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def test_no_sightings_are_no_choice() -> None:
    tracks = gather([])
    assert rank(tracks, "largest", SIZE) == []
    assert choose(tracks, np.arange(3.0), []).tolist() == [-1, -1, -1]


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
    assert set(MEASURES) == {"largest", "central", "longest", "first"}


def test_equal_tracks_are_ranked_by_number() -> None:
    same = gather([sighting(0, number, square(50, 50, 10)) for number in (4, 2, 7)])
    assert rank(same, "largest", SIZE) == [2, 4, 7]


def test_an_unknown_policy_is_refused(tracks: TrackArrays) -> None:
    with pytest.raises(ValueError, match=r"policy must be one of largest, .*, got 'nicest'"):
        rank(tracks, "nicest", SIZE)


def test_where_the_first_track_is_absent_the_next_is_used(tracks: TrackArrays) -> None:
    rows = choose(tracks, np.arange(13.0), [1, 2, 0])
    numbers = [int(tracks.number[row]) if row >= 0 else None for row in rows]
    assert numbers == [0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 2, 2, None]
    assert all(tracks.frame[row] == frame for frame, row in enumerate(rows) if row >= 0)


def test_what_is_followed_makes_no_track_large_or_long_or_early() -> None:
    """0: seen twice and followed for nine frames, larger and from the start; 1: seen thrice."""
    tracks = gather(
        [
            sighting(frame, 0, square(100, 50, 20), BoxSource.FOLLOW if frame < 9 else SECOND)
            for frame in range(11)
        ]
        + [sighting(frame, 1, square(20, 50, 17), BoxSource.TILT) for frame in range(2, 5)]
    )
    assert rank(tracks, "largest", SIZE) == [1, 0]  # 3 x 289 against 2 x 400
    assert rank(tracks, "longest", SIZE) == [1, 0]
    assert rank(tracks, "first", SIZE) == [1, 0]
    assert rank(tracks, "central", SIZE) == [0, 1]


def test_a_track_that_is_never_seen_comes_last() -> None:
    followed = [sighting(frame, 0, square(100, 50, 20), BoxSource.HOLD) for frame in range(5)]
    tracks = gather([*followed, sighting(9, 1, square(5, 5, 3))])
    for policy in MEASURES:
        assert rank(tracks, policy, SIZE) == [1, 0]


# ---- by person

CAST = ClipPersons({0: "Anna", 1: "Ben", 2: "Anna"}, speaker="Ben")


def test_a_person_s_tracks_alone_are_ranked_the_larger_first(tracks: TrackArrays) -> None:
    assert rank(tracks, "person=Anna", SIZE, CAST) == [0, 2]  # 1100 and 845
    assert rank(tracks, "person=Cleo", SIZE, CAST) == []
    assert rank(tracks, "person=Anna", SIZE) == []


def test_the_other_is_everyone_but_the_speaker(tracks: TrackArrays) -> None:
    assert rank(tracks, "other", SIZE, CAST) == [0, 2]
    assert rank(tracks, "other", SIZE, ClipPersons({0: "Anna"}, speaker="Anna")) == [1, 2]


def test_without_a_speaker_the_other_is_everyone_but_the_largest(tracks: TrackArrays) -> None:
    assert rank(tracks, "other", SIZE) == [0, 2]
    same = ClipPersons({1: "Ben", 2: "Ben"})  # the largest, 1, is Ben, and 2 is, too
    assert rank(tracks, "other", SIZE, same) == [0]


def test_where_the_person_is_absent_the_frame_has_no_face(tracks: TrackArrays) -> None:
    found = ClipTracks(np.arange(13.0), SIZE, tracks)
    faces = choose_faces(found, "person=Ben", persons=CAST)
    assert faces.track.tolist() == [-1] * 3 + [1] * 3 + [-1] * 7
    assert (faces.rung[6:] == BoxSource.WHOLE).all()


# ---- no flicker. Ten frames a second, so that a second is ten frames.


def chosen(spans: dict[int, str], order: list[int], names: dict[int, str] | None = None) -> str:
    """The number of the chosen track in each frame, "." for none.

    ``spans`` has a letter per frame and track: a space where the track isn't.
    """
    tracks = gather([
        sighting(frame, number, square(50, 50, 10))
        for number, text in spans.items() for frame, letter in enumerate(text) if letter != " "
    ])  # fmt: skip
    num = max(map(len, spans.values()))
    rows = choose(tracks, np.arange(num) / 10, order, 1.0, names)
    return "".join(str(tracks.number[row]) if row >= 0 else "." for row in rows)


def test_a_gap_under_a_second_goes_to_nobody_else() -> None:
    assert chosen({0: "aaaaa         aaa", 1: "b" * 17}, [0, 1]) == "00000.........000"


def test_a_gap_of_a_second_goes_to_the_next() -> None:
    assert chosen({0: "aaaaa          aaa", 1: "b" * 18}, [0, 1]) == "000001111111111000"


def test_who_is_there_for_less_than_a_second_is_passed_over() -> None:
    assert chosen({0: "     aaa", 1: "b" * 11}, [0, 1]) == "11111111111"
    assert chosen({0: "     aaaaaaaaaa", 1: "b" * 18}, [0, 1]) == "111110000000000111"
    # Nobody else is there: the frames have no face.
    assert chosen({0: "     aaa", 1: "bbbbb", 2: "        ccccc"}, [0, 1, 2]) == "11111...22222"


def test_the_shortest_moment_goes_first_and_the_rest_is_looked_at_again() -> None:
    """Without track 2, track 1 is there for a second and stays."""
    spans = {2: "        cc", 1: "     bbbbbbbbbb", 0: "a" * 20}
    assert chosen(spans, [2, 1, 0]) == "00000111111111100000"


def test_a_moment_at_the_start_or_the_end_or_alone_is_no_flicker() -> None:
    assert chosen({0: "aaa", 1: "   bbbbbbbbbbbb"}, [0, 1]) == "000111111111111"
    assert chosen({0: "            aaa", 1: "bbbbbbbbbbbb"}, [0, 1]) == "111111111111000"
    far = {0: "            aaa", 1: "bb", 2: " " * 25 + "cc"}
    assert chosen(far, [0, 1, 2]) == "11..........000..........22"


def test_tracks_of_one_person_do_not_flicker() -> None:
    spans = {0: "aaaaaaaaaaaa", 1: "            bbb", 2: "               cccccccccccc"}
    assert chosen(spans, [0, 1, 2]) == "0" * 12 + "..." + "2" * 12
    assert chosen(spans, [0, 1, 2], dict.fromkeys(range(3), "Anna")) == "0" * 12 + "111" + "2" * 12


def test_zero_seconds_take_the_first_track_of_each_frame() -> None:
    tracks = gather(
        [sighting(frame, 0, square(20, 20, 10)) for frame in (0, 2, 4)]
        + [sighting(frame, 1, square(60, 20, 10)) for frame in range(6)]
    )
    rows = choose(tracks, np.arange(6) / 10, [0, 1])
    assert tracks.number[rows].tolist() == [0, 1, 0, 1, 0, 1]


# ---- a small face in the centre throughout, a large one to the right from frame 12 on

FRAME = (240, 320)
SMALL, LARGE = (155, 120), (260, 100)


def images() -> list[np.ndarray]:
    made = []
    for frame in range(30):
        image = place(background(*FRAME), SMALL, 50)
        made.append(place(image, LARGE, 80) if frame >= 12 else image)
    return made


@lru_cache(maxsize=1)
def found() -> ClipTracks:
    return track_faces(clip(images()), FaceSettings(scan_seconds=0.4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "last"),
    [("largest", LARGE), ("central", SMALL), ("longest", SMALL), ("first", SMALL)],
)
def test_the_policy_chooses_among_two_faces(policy: str, last: tuple[int, int]) -> None:
    assert set(found().tracks.number) == {0, 1}
    faces = choose_faces(found(), policy)
    x, y = (faces.box[-1, :2] + faces.box[-1, 2:]) / 2
    assert np.hypot(x - last[0], y - last[1]) < 15
    assert BoxSource.WHOLE not in faces.rung  # where the large face is absent, the other is used


def test_a_track_chosen_by_hand_is_used_in_its_time_only() -> None:
    faces = choose_faces(found(), "largest", [Override(0.6, 0.8, track=0)])
    by_hand = (faces.times >= 0.6) & (faces.times < 0.8)
    assert set(faces.track[by_hand]) == {0}
    assert set(faces.track[faces.times >= 0.8]) == {1}


def test_a_track_chosen_by_hand_leaves_frames_without_it_whole() -> None:
    faces = choose_faces(found(), "largest", [Override(-math.inf, math.inf, track=1)])
    assert set(faces.rung[:6]) == {BoxSource.WHOLE}
    assert (faces.box[0] == [0, 0, FRAME[1], FRAME[0]]).all()
    assert BoxSource.WHOLE not in faces.rung[12:]


def test_of_two_overrides_of_one_time_the_last_counts() -> None:
    box = true_box(SMALL, 50)
    first, second = Override(0.2, 0.6, box=box), Override(0.4, 0.8, track=0)
    faces = choose_faces(found(), "largest", [first, second])
    at = {seconds: int(np.searchsorted(faces.times, seconds + 1e-6)) for seconds in (0.2, 0.4)}
    assert faces.rung[at[0.2]] == BoxSource.GIVEN
    assert faces.rung[at[0.4]] != BoxSource.GIVEN
    faces = choose_faces(found(), "largest", [second, first])
    assert faces.rung[at[0.4]] == BoxSource.GIVEN


def test_a_box_given_by_hand_is_used_with_landmarks_of_its_own() -> None:
    box = true_box(SMALL, 50)
    faces = choose_faces(found(), "largest", [Override(0.8, 1.0, box=box)])
    by_hand = (faces.times >= 0.8) & (faces.times < 1.0)
    assert set(faces.rung[by_hand]) == {BoxSource.GIVEN}
    assert BoxSource.GIVEN not in faces.rung[~by_hand]
    assert set(faces.track[by_hand]) == {-1}
    assert faces.box[by_hand] == pytest.approx(np.array([box] * by_hand.sum()))
    points = place_given(faces, 17, np.stack(images()[17:29]), FivePointPredictor())
    assert np.abs(points[by_hand[17:29]].mean(1) - SMALL).max() < 15
    assert np.array_equal(points[~by_hand[17:29]], faces.landmarks[17:29][~by_hand[17:29]])
    assert not faces.landmarks[by_hand].any()  # the choice itself is left as it was


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (Override(0.0, 1.0, track=7), "names track 7, and this clip has the tracks 0, 1"),
        (Override(1.5, 9.0, track=0), r"from 1.5 to 9.0 s covers no frame .* 0.000 to 1.160 s"),
        (Override(0.0, 1.0, box=(320, 0, 400, 50)), "is outside the frame of 320x240"),
        (Override(0.0, 1.0, box=(5, -50, 40, 0)), "is outside the frame of 320x240"),
    ],
)
def test_an_override_that_does_not_fit_its_clip_is_refused(
    override: Override, problem: str
) -> None:
    with pytest.raises(MisfitError, match=problem):
        choose_faces(found(), "largest", [override])


def test_an_override_of_a_clip_without_faces_or_frames_is_refused() -> None:
    empty = track_faces(clip([background(*FRAME)] * 3))
    with pytest.raises(MisfitError, match="names track 0, and this clip has the tracks none"):
        choose_faces(empty, "largest", [Override(0.0, 1.0, track=0)])
    with pytest.raises(MisfitError, match="covers no frame of this clip; its frames: none"):
        choose_faces(track_faces([]), "largest", [Override(0.0, 1.0, track=0)])


# ---- what the faces set holds


def test_stored_tracks_are_read_back(tmp_path: Path) -> None:
    folder = FeatureSet(tmp_path, SetSpec("faces", {}, 1)).create({})
    with folder.writer("a", source=Source(1, 2, "0" * 64), provenance={}) as writer:
        writer.append(**found().arrays())
        writer.finish(attributes={"frame_size": [240, 320]})
    stored = read_tracks(folder.read("a"))
    assert stored.frame_size == (240, 320)
    assert np.array_equal(stored.times, found().times)
    for name, values in vars(found().tracks).items():
        assert np.array_equal(getattr(stored.tracks, name), values)
    for policy in MEASURES:
        one, other = (choose_faces(tracks, policy) for tracks in (stored, found()))
        assert all(np.array_equal(value, getattr(other, n)) for n, value in vars(one).items())
    with pytest.raises(ValueError, match=r"clip a: expected an entry of a faces set .* no tracks/"):
        read_tracks(folder.read("a", ("times", "rung")))


def test_the_source_of_a_frame_is_that_of_its_surest_face() -> None:
    rows = [
        (0, BoxSource.HOLD),
        (0, BoxSource.DETECT),
        (1, BoxSource.FOLLOW),
        (3, BoxSource.REGION),
        (3, BoxSource.TILT),
    ]
    sightings = [
        Sighting(frame, number, square(20, 20, 9), np.zeros((5, 2)), 0.0, rung)
        for number, (frame, rung) in enumerate(rows)
    ]
    tracks = ClipTracks(np.arange(4.0), FRAME, gather(sightings))
    assert tracks.rung.tolist() == [
        BoxSource.DETECT,
        BoxSource.FOLLOW,
        BoxSource.WHOLE,
        BoxSource.TILT,
    ]
    assert set(SUREST_LAST) == set(BoxSource) - {BoxSource.WHOLE}
