from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces.detect import Detection, FivePointPredictor
from pipeline.faces.frame import Frame
from pipeline.faces.ladder import Ladder, Track
from pipeline.faces.pyramid import Pyramid
from pipeline.faces.regions import PLAIN, Look
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import BoxSource
from tests.pipeline.painted import Painted, paint
from tests.pipeline.scenes import background, place, true_box

SIZE = (240, 320)
CENTRE, FACE = (150.0, 110.0), 70.0


def frame_at(index: int, image: np.ndarray) -> Frame:
    return Frame(index, index / 25, image, 1.0, Pyramid(SIZE, 1))


def begin(score: float = 1.0, image: np.ndarray | None = None) -> tuple[Ladder, Track]:
    ladder = Ladder(FaceSettings(), FivePointPredictor())
    scene = place(background(*SIZE), CENTRE, FACE) if image is None else image
    face = Detection(true_box(CENTRE, FACE), score)
    return ladder, ladder.begin(face, frame_at(0, scene), 0, ladder.source_of(face))


@pytest.mark.parametrize(
    ("score", "second", "expected"),
    [
        (0.49, Painted(), False),  # YuNet sees nothing of it
        (0.5, Painted(), True),
        (0.01, None, True),  # as plain dlib does
    ],
)
def test_what_dlib_alone_accepts_with_a_low_score_is_no_face(
    score: float, second: Painted | None, expected: bool
) -> None:
    ladder = Ladder(FaceSettings(), FivePointPredictor(), second)
    wall, face = background(*SIZE), Detection(true_box(CENTRE, FACE), score)
    track = ladder.begin(face, frame_at(0, wall), 0, BoxSource.DETECT)
    for index in range(1, 8):
        ladder.see(track, face, frame_at(index, wall), BoxSource.DETECT)
    assert track.is_face is expected


@pytest.mark.parametrize(("score", "source"), [(0.8, BoxSource.SECOND), (0.79, BoxSource.REGION)])
def test_the_second_detector_looks_around_a_face_that_the_first_lost(
    score: float, source: BoxSource
) -> None:
    ladder = Ladder(FaceSettings(), FivePointPredictor(), Painted())
    box = true_box(CENTRE, FACE)
    one, other = (frame_at(n, paint(background(*SIZE), box, score)) for n in range(2))
    track = ladder.begin(Detection(box, 1.0), one, 0, BoxSource.DETECT)
    assert ladder.advance(track, one, other)
    assert track.last.rung == source
    assert track.last.box == pytest.approx(box, abs=2)


def test_what_the_second_detector_finds_in_another_size_is_another_face() -> None:
    ladder = Ladder(FaceSettings(hold_frames=0), FivePointPredictor(), Painted())
    one = frame_at(0, background(*SIZE))
    other = frame_at(1, paint(background(*SIZE), true_box(CENTRE, FACE / 1.5)))
    track = ladder.begin(Detection(true_box(CENTRE, FACE), 1.0), one, 0, BoxSource.DETECT)
    assert not ladder.advance(track, one, other)


def test_one_acceptance_is_no_face_and_two_are() -> None:
    ladder, track = begin(score=0.1)
    image = place(background(*SIZE), CENTRE, FACE)
    for index, (source, expected) in enumerate(
        [(BoxSource.REGION, False), (BoxSource.DETECT, True)], 1
    ):
        assert not track.is_face
        ladder.see(track, Detection(true_box(CENTRE, FACE), 0.1), frame_at(index, image), source)
        assert track.is_face is expected


@pytest.mark.parametrize(
    ("score", "look", "rung"),
    [
        (0.0, Look(), BoxSource.DETECT),
        (-0.01, Look(), BoxSource.REGION),
        (0.5, Look(tilt=25), BoxSource.TILT),
        (0.5, Look(contrast=True), BoxSource.CONTRAST),
    ],
)
def test_the_source_says_how_a_face_was_found(score: float, look: Look, rung: BoxSource) -> None:
    ladder = Ladder(FaceSettings(), FivePointPredictor())
    assert ladder.source_of(Detection((0, 0, 1, 1), score), look) == rung


def test_of_two_tracks_of_one_face_the_better_rows_stay() -> None:
    ladder, one = begin()
    _, other = begin(score=2.0)
    scene = place(background(*SIZE), CENTRE, FACE)
    ladder.see(other, Detection(true_box(CENTRE, FACE), 0.5), frame_at(1, scene), BoxSource.DETECT)
    ladder.see(one, Detection(true_box(CENTRE, FACE), -0.3), frame_at(1, scene), BoxSource.REGION)
    ladder.see(one, Detection(true_box(CENTRE, FACE), -0.2), frame_at(2, scene), BoxSource.REGION)
    one.absorb(other)
    assert [(row.rung, row.score) for row in one.rows.values()] == [
        (BoxSource.DETECT, 2.0),
        (BoxSource.DETECT, 0.5),
        (BoxSource.REGION, -0.2),
    ]


def test_what_covers_a_face_is_not_followed_in_its_place() -> None:
    """A patterned board slides over the face and goes on: its motion is easy to follow."""
    rng = np.random.default_rng(0)
    board = np.repeat(np.repeat(rng.integers(0, 255, (30, 16, 3), np.uint8), 8, 0), 8, 1)
    ladder, track = begin()
    before = frame_at(0, place(background(*SIZE), CENTRE, FACE))
    rungs = []
    for index in range(1, 40):
        image = place(background(*SIZE), CENTRE, FACE)
        left = min(10 * index, 110)
        image[:, left : left + 128] = board
        now = frame_at(index, image)
        if not ladder.advance(track, before, now):
            break
        rungs.append(track.last.rung)
        before = now
    assert rungs[-1] == BoxSource.HOLD
    assert len(rungs) < 25


@pytest.mark.parametrize(
    ("shift", "score", "rung"),
    [(0, -0.2, BoxSource.REGION), (45, -0.2, BoxSource.FOLLOW)],
)
def test_a_doubtful_find_must_look_like_the_face(
    monkeypatch: pytest.MonkeyPatch, shift: int, score: float, rung: BoxSource
) -> None:
    def find(*_: object, look: Look = PLAIN, **__: object) -> Detection | None:
        box = true_box((CENTRE[0], CENTRE[1] + shift), FACE)
        return Detection(box, score) if look == PLAIN else None

    ladder, track = begin()
    monkeypatch.setattr("pipeline.faces.ladder.look_near", find)
    scene = place(background(*SIZE), CENTRE, FACE)
    assert ladder.advance(track, frame_at(0, scene), frame_at(1, scene))
    assert track.last.rung == rung


def test_a_held_box_moves_with_what_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that turned away took its box along no more."""
    ladder, track = begin()
    monkeypatch.setattr("pipeline.faces.ladder.look_near", lambda *_, **__: None)
    monkeypatch.setattr("pipeline.faces.ladder.LIKENESS", 2.0)  # it looks like itself no more
    before = frame_at(0, place(background(*SIZE), CENTRE, FACE))
    for index in range(1, 6):
        moved = (CENTRE[0] + 5 * index, CENTRE[1])
        now = frame_at(index, place(background(*SIZE), moved, FACE))
        assert ladder.advance(track, before, now)
        assert track.last.rung == BoxSource.HOLD
        assert track.last.box == pytest.approx(true_box(moved, FACE), abs=4)
        before = now
    assert not ladder.advance(track, before, frame_at(6, before.image))


@pytest.mark.parametrize(("look", "far"), [(PLAIN, True), (Look(tilt=25), False)])
def test_further_away_is_searched_only_for_a_face_that_was_seen_plainly(
    monkeypatch: pytest.MonkeyPatch, look: Look, far: bool
) -> None:
    asked = []

    def find(*_: object, look: Look = PLAIN, **options: object) -> None:
        if look == PLAIN:
            asked.append(options["far"])

    ladder, track = begin()
    scene = place(background(*SIZE), CENTRE, FACE)
    rung = BoxSource.TILT if look.tilt else BoxSource.DETECT
    ladder.see(track, Detection(true_box(CENTRE, FACE), 0.5), frame_at(1, scene), rung, look)
    monkeypatch.setattr("pipeline.faces.ladder.look_near", find)
    ladder.advance(track, frame_at(1, scene), frame_at(2, scene))  # not found: followed
    ladder.advance(track, frame_at(2, scene), frame_at(3, scene))
    assert asked == [far, True]
