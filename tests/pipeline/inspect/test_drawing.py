from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.choice.choice import choose_faces
from pipeline.faces.tracks import BoxSource
from pipeline.inspect.colours import PALETTE, WHITE, colour_of
from pipeline.inspect.drawing import (
    BLANK,
    GAP,
    SOURCE_COLOURS,
    STRIP_HEIGHT,
    TRACK_STRIP_HEIGHT,
    Cell,
    Mark,
    draw_frame,
    draw_row,
    frame_room,
)
from pipeline.inspect.text import LINE_HEIGHT, wrap, write
from tests.pipeline.known_faces import FEATURES, known_tracks, see

FACES = choose_faces(known_tracks(1, [see(0, 0, (5, 5, 41, 41))], (62, 94)), "largest")


def mark(track: int, box: tuple[float, ...], *, chosen: bool) -> Mark:
    sides = np.array(box, np.float32)
    points = FEATURES * (sides[2:] - sides[:2]) + sides[:2]
    return Mark(track, BoxSource.DETECT, sides, points, chosen)


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def near(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() < 40)


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((202, 404), (151, 302)), ((404, 202), (226, 113)), ((3000, 4000), (226, 302))],
)
def test_a_frame_fills_the_room_and_keeps_its_shape(
    size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    assert frame_room(302) == (226, 302)
    small = draw_frame(np.zeros((*size, 3), np.uint8), [], 302)
    assert np.abs(np.array(small.shape[:2]) - drawn).max() <= 1


def test_each_box_is_where_it_was_in_the_colour_of_its_track() -> None:
    other, chosen = (
        mark(1, (40, 60, 160, 180), chosen=False),
        mark(0, (220, 80, 360, 220), chosen=True),
    )
    small = draw_frame(grey(302, 404), [other, chosen], 202)  # half the size
    assert near(small[60, 20], colour_of(1))  # the middles of the left sides
    assert near(small[75, 110], colour_of(0))
    assert near(small[60, 80], colour_of(1))
    assert near(small[75, 180], colour_of(0))
    assert colour_of(0) != colour_of(1)


def test_the_chosen_box_is_thick_on_white_and_the_others_are_thin() -> None:
    for chosen, thick in ((True, 6), (False, 1)):
        small = draw_frame(grey(302, 404), [mark(0, (120, 60, 300, 240), chosen=chosen)], 404)
        side = small[110, 105:135]  # across the left side, free of landmarks and number
        changed = (side != 90).any(axis=1).sum()
        assert thick <= changed <= thick + 3
        assert chosen == any(near(pixel, WHITE) for pixel in side)


@pytest.mark.parametrize("source", [source for source in BoxSource if source != BoxSource.WHOLE])
@pytest.mark.parametrize("chosen", [True, False])
def test_a_box_is_drawn_through_where_it_was_seen_and_dashed_where_it_was_followed(
    source: BoxSource, chosen: bool
) -> None:
    face = replace(mark(0, (120, 60, 300, 240), chosen=chosen), source=source)
    small = draw_frame(grey(302, 404), [face], 404)
    side = np.array([near(pixel, colour_of(0)) for pixel in small[80:220, 120]])
    followed = source in (BoxSource.HOLD, BoxSource.REGION, BoxSource.FOLLOW)
    assert (0.3 < side.mean() < 0.8) if followed else side.all()
    assert (np.diff(side.astype(int)) > 0).sum() in ((11, 12, 13) if followed else (0,))


def test_a_followed_box_far_outside_its_frame_has_no_dashes_there() -> None:
    face = mark(0, (-1e9, 40, 1e9, 1e9), chosen=True)
    small = draw_frame(grey(62, 94), [replace(face, source=BoxSource.FOLLOW)], 94)
    assert any(near(pixel, colour_of(0)) for pixel in small[40])


def test_a_person_stands_beside_the_number_of_its_track() -> None:
    def drawn(person: str) -> np.ndarray:
        face = replace(mark(0, (120, 60, 300, 240), chosen=True), person=person)
        picture = draw_frame(grey(302, 404), [face], 404)
        row = draw_row([Cell("", (face,), None, None)], FACES, [0], 404)
        return np.concatenate([picture[42:60, 120:].ravel(), row[-220:-20].ravel()])

    pictures = [drawn(person) for person in ("", "Ann", "Bob", "B" * 200)]
    for number, one in enumerate(pictures):
        assert not any(np.array_equal(one, other) for other in pictures[:number])


def test_landmarks_are_drawn_where_they_are() -> None:
    face = mark(0, (40, 40, 240, 240), chosen=True)
    small = draw_frame(grey(302, 404), [face], 404)
    for x, y in face.landmarks.round().astype(int):
        assert near(small[y, x], (255, 0, 0))


def test_a_box_by_hand_without_landmarks_has_none() -> None:
    box = np.array((40, 40, 240, 240), np.float32)
    small = draw_frame(
        grey(302, 404), [Mark(-1, BoxSource.GIVEN, box, np.zeros((5, 2)), chosen=True)], 404
    )
    assert not near(small[0, 0], (255, 0, 0))


def test_a_box_far_outside_its_frame_is_drawn_as_far_as_it_can_be() -> None:
    face = mark(0, (-1e9, 40, 1e9, 1e9), chosen=True)
    assert draw_frame(grey(62, 94), [face], 94).shape[2] == 3


def row_of(cells: list[Cell], num: int = 40) -> np.ndarray:
    seen = [see(frame, frame // 20, (5, 5, 41, 41)) for frame in range(num) if frame != 7]
    faces = choose_faces(known_tracks(num, seen, (62, 94)), "largest")
    return draw_row(cells, faces, [0, num - 1], 200)


def test_a_row_holds_each_frame_and_its_crop_below() -> None:
    frame = np.full((90, 200, 3), (10, 200, 30), np.uint8)
    crop = np.full((224, 224, 3), (200, 10, 30), np.uint8)
    picture = row_of([Cell("0.00 s", (), frame, crop), Cell("1.56 s", (), None, None)])
    top = LINE_HEIGHT + 90 + GAP
    assert picture.shape == (top + 100 + GAP + STRIP_HEIGHT + TRACK_STRIP_HEIGHT, 406, 3)
    assert (picture[LINE_HEIGHT : LINE_HEIGHT + 90, :200] == frame).all()
    assert (picture[top : top + 100, :100] == (200, 10, 30)).all()
    assert (picture[LINE_HEIGHT + 5, 250] == BLANK).all()  # what could not be had is a grey field
    assert (picture[top + 5, 250] == BLANK).all()


@pytest.mark.parametrize("source", [source for source in BoxSource if source != BoxSource.WHOLE])
@pytest.mark.parametrize(("size", "wider"), [(200, 260), (320, 640)])
def test_the_name_of_a_source_has_room_beside_the_crop(
    source: BoxSource, size: int, wider: int
) -> None:
    cell = Cell("", (replace(mark(10, (5, 5, 41, 41), chosen=True), source=source),), None, None)
    seen = [see(0, 10, (5, 5, 41, 41), source)]
    faces = choose_faces(known_tracks(1, seen, (62, 94)), "largest")
    names = []
    for width in (size, wider):
        top, left = LINE_HEIGHT + frame_room(width)[0] + GAP, width // 2 + GAP
        picture = draw_row([cell], faces, [0], width)
        names.append(picture[top : top + LINE_HEIGHT, left : left + size - size // 2 - GAP])
    assert np.array_equal(*names)


def test_the_strip_shows_the_source_and_the_track_of_every_frame() -> None:
    picture = row_of([Cell("", (), None, None)] * 4)  # 818 pixels, 20.45 a frame
    sources, tracks = picture[-STRIP_HEIGHT - TRACK_STRIP_HEIGHT], picture[-1]
    assert (sources[100] == SOURCE_COLOURS[BoxSource.DETECT]).all()
    assert (sources[154] == SOURCE_COLOURS[BoxSource.WHOLE]).all()  # frame 7: 143 to 163
    assert (tracks[100] == PALETTE[0]).all()
    assert (tracks[154] == BLANK).all()
    assert (tracks[600] == PALETTE[1]).all()
    assert (picture[-1, [10, 11]] == (25, 25, 25)).all()  # a tick where frame 0 is


def test_the_strip_is_half_as_high_where_a_face_was_followed() -> None:
    seen = [see(0, 0, (5, 5, 41, 41)), see(1, 0, (5, 5, 41, 41), BoxSource.FOLLOW)]
    faces = choose_faces(known_tracks(2, seen, (62, 94)), "largest")
    picture = draw_row([Cell("", (), None, None)], faces, [0], 200)
    strip = picture[-STRIP_HEIGHT - TRACK_STRIP_HEIGHT : -TRACK_STRIP_HEIGHT]
    for column, source, high in ((30, BoxSource.DETECT, 10), (150, BoxSource.FOLLOW, 5)):
        assert (strip[:, column] == SOURCE_COLOURS[source]).all(axis=1).sum() == high


def test_one_lost_frame_of_thousands_is_seen_in_the_strip() -> None:
    seen = [see(frame, 0, (5, 5, 41, 41)) for frame in range(7001) if frame != 3001]
    faces = choose_faces(known_tracks(7001, seen, (62, 94)), "largest")
    picture = draw_row([Cell("", (), None, None)], faces, [0], 200)
    strip = picture[-STRIP_HEIGHT - TRACK_STRIP_HEIGHT]
    assert (strip == SOURCE_COLOURS[BoxSource.WHOLE]).all(axis=1).sum() == 1


def ink(text: str, room: float) -> tuple[float, np.ndarray]:
    picture = Image.new("RGB", (300, LINE_HEIGHT), WHITE)
    wide = write(ImageDraw.Draw(picture), (0, 0), text, room=room)
    return wide, np.asarray(picture)


def test_text_is_cut_to_its_room() -> None:
    wide, picture = ink("longer than there is room for", 50)
    assert wide <= 50
    assert (picture[:, 51:] == 255).all()
    assert (picture[:, :50] < 128).any()


def test_a_character_that_the_font_lacks_is_written_as_its_number() -> None:
    assert np.array_equal(ink("\u9ad8", 300)[1], ink("\\u9ad8", 300)[1])
    assert not np.array_equal(ink("\u00e9\u0436", 300)[1], ink("\\u00e9\\u0436", 300)[1])


def test_lines_are_broken_at_spaces() -> None:
    lines = wrap("one two three four five six seven", 80)
    assert " ".join(lines) == "one two three four five six seven"
    assert 2 < len(lines) < 7
    assert wrap("", 80) == []
