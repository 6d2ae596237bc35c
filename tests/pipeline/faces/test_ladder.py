from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces.detect import Detection, FivePointPredictor
from pipeline.faces.frame import View
from pipeline.faces.ladder import Ladder, Track
from pipeline.faces.pyramid import Pyramid
from pipeline.faces.regions import PLAIN, Look
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import Rung
from tests.pipeline.scenes import background, place, true_box

SIZE = (240, 320)
CENTRE, FACE = (150.0, 110.0), 70.0


def view(index: int, image: np.ndarray) -> View:
    return View(index, index / 25, image, 1.0, Pyramid(SIZE, 1))


def begin(score: float = 1.0, image: np.ndarray | None = None) -> tuple[Ladder, Track]:
    ladder = Ladder(FaceSettings(), FivePointPredictor())
    scene = place(background(*SIZE), CENTRE, FACE) if image is None else image
    face = Detection(true_box(CENTRE, FACE), score)
    return ladder, ladder.begin(face, view(0, scene), 0, ladder.rung(face))


def test_a_steady_face_above_the_threshold_is_a_face_at_once() -> None:
    assert begin(score=0.1)[1].is_face


def test_a_steady_face_below_the_threshold_must_be_steady_three_times() -> None:
    ladder, track = begin(score=-0.1)
    scene = place(background(*SIZE), CENTRE, FACE)
    seen = []
    for index in range(1, 6):
        seen.append(track.is_face)
        ladder.see(track, Detection(true_box(CENTRE, FACE), -0.1), view(index, scene), Rung.REGION)
    assert seen == [False] * 4 + [True]  # it is measured in every other frame


def test_what_slides_is_no_face_however_often_it_is_found() -> None:
    empty = background(*SIZE)
    ladder, track = begin(score=0.2, image=empty)
    for index in range(1, 12):
        ladder.see(track, Detection(true_box(CENTRE, FACE), 0.2), view(index, empty), Rung.DETECT)
    assert not track.is_face


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([1.1] * 3, True), ([0.9] * 3, False), ([1.1] * 3 + [-0.4] * 10, False)],
)
def test_a_detector_that_is_sure_for_long_needs_no_landmarks(
    scores: list[float], expected: bool
) -> None:
    empty = background(*SIZE)
    ladder, track = begin(score=scores[0], image=empty)
    for index, score in enumerate(scores[1:], 1):
        face = Detection(true_box(CENTRE, FACE), score)
        ladder.see(track, face, view(index, empty), ladder.rung(face))
    assert track.is_face is expected


@pytest.mark.parametrize(
    ("score", "look", "rung"),
    [
        (0.0, Look(), Rung.DETECT),
        (-0.01, Look(), Rung.REGION),
        (0.5, Look(tilt=25), Rung.TILT),
        (0.5, Look(contrast=True), Rung.CONTRAST),
    ],
)
def test_the_rung_says_how_a_face_was_found(score: float, look: Look, rung: Rung) -> None:
    ladder = Ladder(FaceSettings(), FivePointPredictor())
    assert ladder.rung(Detection((0, 0, 1, 1), score), look) == rung


def test_of_two_tracks_of_one_face_the_better_rows_stay() -> None:
    ladder, one = begin()
    _, other = begin(score=2.0)
    scene = place(background(*SIZE), CENTRE, FACE)
    ladder.see(other, Detection(true_box(CENTRE, FACE), 0.5), view(1, scene), Rung.DETECT)
    ladder.see(one, Detection(true_box(CENTRE, FACE), -0.3), view(1, scene), Rung.REGION)
    ladder.see(one, Detection(true_box(CENTRE, FACE), -0.2), view(2, scene), Rung.REGION)
    one.absorb(other)
    assert [(row.rung, row.score) for row in one.rows.values()] == [
        (Rung.DETECT, 2.0),
        (Rung.DETECT, 0.5),
        (Rung.REGION, -0.2),
    ]


def test_what_covers_a_face_is_not_followed_in_its_place() -> None:
    """A patterned board slides over the face and goes on: its motion is easy to follow."""
    rng = np.random.default_rng(0)
    board = np.repeat(np.repeat(rng.integers(0, 255, (30, 16, 3), np.uint8), 8, 0), 8, 1)
    ladder, track = begin()
    before = view(0, place(background(*SIZE), CENTRE, FACE))
    rungs = []
    for index in range(1, 40):
        image = place(background(*SIZE), CENTRE, FACE)
        left = min(10 * index, 110)
        image[:, left : left + 128] = board
        now = view(index, image)
        if not ladder.advance(track, before, now):
            break
        rungs.append(track.last.rung)
        before = now
    assert rungs[-1] == Rung.HOLD
    assert len(rungs) < 25


@pytest.mark.parametrize(
    ("shift", "score", "rung"),
    [(0, -0.5, Rung.REGION), (45, -0.5, Rung.FOLLOW), (45, -0.2, Rung.REGION)],
)
def test_a_doubtful_find_must_look_like_the_face(
    monkeypatch: pytest.MonkeyPatch, shift: int, score: float, rung: Rung
) -> None:
    def find(*_: object, look: Look = PLAIN, **__: object) -> Detection | None:
        box = true_box((CENTRE[0], CENTRE[1] + shift), FACE)
        return Detection(box, score) if look == PLAIN else None

    ladder, track = begin()
    monkeypatch.setattr("pipeline.faces.ladder.look_near", find)
    scene = place(background(*SIZE), CENTRE, FACE)
    assert ladder.advance(track, view(0, scene), view(1, scene))
    assert track.last.rung == rung


def test_a_held_box_moves_with_what_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that turned away took its box along no more."""
    ladder, track = begin()
    monkeypatch.setattr("pipeline.faces.ladder.look_near", lambda *_, **__: None)
    monkeypatch.setattr("pipeline.faces.ladder.LIKENESS", 2.0)  # it looks like itself no more
    before = view(0, place(background(*SIZE), CENTRE, FACE))
    for index in range(1, 6):
        moved = (CENTRE[0] + 5 * index, CENTRE[1])
        now = view(index, place(background(*SIZE), moved, FACE))
        assert ladder.advance(track, before, now)
        assert track.last.rung == Rung.HOLD
        assert track.last.box == pytest.approx(true_box(moved, FACE), abs=4)
        before = now
    assert not ladder.advance(track, before, view(6, before.image))


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
    rung = Rung.TILT if look.tilt else Rung.DETECT
    ladder.see(track, Detection(true_box(CENTRE, FACE), 0.5), view(1, scene), rung, look)
    monkeypatch.setattr("pipeline.faces.ladder.look_near", find)
    ladder.advance(track, view(1, scene), view(2, scene))  # not found: followed
    ladder.advance(track, view(2, scene), view(3, scene))
    assert asked == [far, True]
