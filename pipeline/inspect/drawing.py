"""Picture of one clip's row: frames with the boxes of all tracks, and the crop under each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from PIL import Image, ImageDraw

from pipeline.choice.choice import FaceArrays
from pipeline.faces.tracks import SEEN, BoxSource, is_seen
from pipeline.inspect.colours import (
    BLACK,
    GREY,
    PALETTE,
    SHIFT,
    WHITE,
    Colour,
    colour_of,
    draw_path,
    fixed,
    ink_on,
)
from pipeline.inspect.text import LINE_HEIGHT, TEXT_SIZE, write

SOURCE_COLOURS: dict[BoxSource, Colour] = {
    BoxSource.DETECT: PALETTE[2],
    BoxSource.CONTRAST: PALETTE[5],
    BoxSource.TILT: BLACK,
    BoxSource.SECOND: PALETTE[0],
    BoxSource.GIVEN: PALETTE[4],
    BoxSource.REGION: PALETTE[6],
    BoxSource.FOLLOW: PALETTE[3],
    BoxSource.HOLD: PALETTE[7],
    BoxSource.WHOLE: PALETTE[1],
}
GAP = 6  # pixels between the frames of a row
STRIP_HEIGHT, TRACK_STRIP_HEIGHT = 10, 12
DASH = 11.0  # pixels of a dash and the gap behind it, half each
BLANK: Colour = (225, 225, 225)
HAND: Colour = (255, 255, 255)
NARROW, SMALL_TEXT = 280, 11  # below this width of a frame, the names of sources need smaller text


@dataclass(frozen=True)
class Mark:
    """A face in a frame: its track (-1 for a box given by hand), person if known, source, place."""

    track: int
    source: BoxSource
    box: np.ndarray
    landmarks: np.ndarray
    chosen: bool
    person: str = ""


@dataclass(frozen=True)
class Cell:
    """One frame of a row.

    Args:
        caption: its time, and what happens in it.
        marks: its faces, the chosen one last.
        frame: the frame with its marks, small; None where it couldn't be had.
        crop: what a network is given; None where it couldn't be had.
    """

    caption: str
    marks: tuple[Mark, ...]
    frame: np.ndarray | None
    crop: np.ndarray | None


def frame_room(size: int) -> tuple[int, int]:
    """Return the (height, width) that a frame of a row may have."""
    return round(size * 0.75), size


def draw_frame(image: np.ndarray, marks: Sequence[Mark], size: int) -> np.ndarray:
    """Shrink a frame and draw its faces: box, landmarks and track number, in the track's colour.

    The chosen face's box is thick, on white. The box of a face that no detector saw in this frame,
    but was followed here, is dashed.

    Shapes:
        ``image``: (H, W, 3), uint8.
        result: (h, w, 3), uint8; h and w at most ``frame_room(size)``, H to W kept.
    """
    scale = min(room / side for room, side in zip(frame_room(size), image.shape[:2], strict=True))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.ascontiguousarray(cv2.resize(image, (width, height), interpolation=how))
    for mark in marks:
        box, colour = mark.box.reshape(2, 2) * scale, track_colour(mark.track)
        if mark.chosen:
            outline(small, box, WHITE, 5)
        outline(small, box, colour, 2 if mark.chosen else 1, dashed=mark.source not in SEEN)
        # Points as large as on a large face would hide a small one.
        radius = round(min(2.0, 0.04 * float(mark.box[2] - mark.box[0]) * scale) * (1 << SHIFT))
        for point in fixed(mark.landmarks * scale).tolist() if mark.landmarks.any() else ():
            cv2.circle(small, point, max(radius, 1), (255, 0, 0), -1, cv2.LINE_AA, SHIFT)
    picture = Image.fromarray(small)
    draw = ImageDraw.Draw(picture)
    for mark in marks:
        left, top = (float(value) * scale for value in mark.box[:2])
        left, top = min(max(left, 0), width - 12), min(max(top - LINE_HEIGHT, 0), height - 16)
        text = f"{name_of(mark.track)} {mark.person}".rstrip()
        wide = min(10 * len(text) + 4, width - left)
        draw.rectangle(
            (left, top, left + wide, top + LINE_HEIGHT - 2), fill=track_colour(mark.track)
        )
        ink = ink_on(track_colour(mark.track))
        write(draw, (left + 3, top), text, room=wide, bold=mark.chosen, colour=ink)
    return np.asarray(picture)


def draw_row(
    cells: Sequence[Cell], faces: FaceArrays, frames: Sequence[int], size: int
) -> np.ndarray:
    """Draw a clip's row, and below it the source of the face of every frame.

    Args:
        cells: the frames shown.
        faces: the chosen face of every frame.
        frames: the numbers of those shown.
        size: width of a frame in pixels.

    Shapes:
        result: (height, width, 3), uint8.
    """
    drawn = [cell.frame.shape[0] for cell in cells if cell.frame is not None]
    frame_height, crop_size = max(drawn, default=frame_room(size)[0]), size // 2
    width = len(cells) * (size + GAP) - GAP
    strip = LINE_HEIGHT + frame_height + GAP + crop_size + GAP
    height = strip + STRIP_HEIGHT + TRACK_STRIP_HEIGHT
    picture = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(picture)
    for column, cell in enumerate(cells):
        left = column * (size + GAP)
        write(draw, (left, 0), cell.caption, room=size, bold=True)
        _paste(picture, cell.frame, (left, LINE_HEIGHT), (frame_height, size))
        top = LINE_HEIGHT + frame_height + GAP
        _paste(picture, cell.crop, (left, top), (crop_size, crop_size))
        _list_marks(draw, cell, (left + crop_size + GAP, top), (crop_size, size - crop_size - GAP))
    result = np.array(picture)
    _draw_strip(result[strip:], faces, frames)
    return _number_tracks(result, strip + STRIP_HEIGHT, faces)


def track_colour(track: int) -> Colour:
    """Return the colour of a track."""
    return colour_of(track) if track >= 0 else HAND


def name_of(track: int) -> str:
    """Return what a track is called in a picture."""
    return str(track) if track >= 0 else "by hand"


def _list_marks(
    draw: ImageDraw.ImageDraw, cell: Cell, at: tuple[int, int], room: tuple[int, int]
) -> None:
    """List the faces of a frame beside its crop, the chosen one first."""
    (left, top), (height, width) = at, room
    size = TEXT_SIZE if width > NARROW // 2 else SMALL_TEXT
    marks = sorted(cell.marks, key=lambda mark: not mark.chosen)
    if not any(mark.chosen for mark in marks):
        write(
            draw,
            at,
            "whole frame",
            room=width,
            bold=True,
            colour=SOURCE_COLOURS[BoxSource.WHOLE],
            size=size,
        )
        top += LINE_HEIGHT
    lines = max(1, (height - (top - at[1])) // LINE_HEIGHT)
    shown = marks if len(marks) <= lines else marks[: lines - 1]
    for number, mark in enumerate(shown):
        y = top + number * LINE_HEIGHT
        draw.rectangle(
            (left, y + 3, left + 10, y + 13), fill=track_colour(mark.track), outline=BLACK
        )
        text = f"{name_of(mark.track)} {mark.source.name.lower()} {mark.person}".rstrip()
        write(draw, (left + 15, y), text, room=width - 15, bold=mark.chosen, size=size)
    if len(shown) < len(marks):
        text = f"and {len(marks) - len(shown)} more"
        write(
            draw, (left, top + len(shown) * LINE_HEIGHT), text, room=width, colour=GREY, size=size
        )


def _paste(
    picture: Image.Image,
    image: np.ndarray | None,
    at: tuple[int, int],
    room: tuple[int, int],
) -> None:
    """Put an image into its place, shrunk to it; a grey field where there is none."""
    height, width = room
    if image is None:
        picture.paste(BLANK, (at[0], at[1], at[0] + width, at[1] + height))
        draw = ImageDraw.Draw(picture)
        write(draw, (at[0] + 8, at[1] + height // 2 - 9), "no picture", room=width - 8, colour=GREY)
        return
    if image.shape[0] > height or image.shape[1] > width:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    picture.paste(Image.fromarray(image), at)
    # A white frame on white paper has an edge too.
    edge = (at[0] - 1, at[1] - 1, at[0] + image.shape[1], at[1] + image.shape[0])
    ImageDraw.Draw(picture).rectangle(edge, outline=BLANK)


def _draw_strip(picture: np.ndarray, faces: FaceArrays, frames: Sequence[int]) -> None:
    """Colour every frame by its box's source and its track; black ticks are the frames shown.

    Where the face was only followed the colour of the source has half the height.
    """
    num, width = len(faces.times), picture.shape[1]
    at = np.arange(width) * num // width
    sources = np.zeros((max(BoxSource) + 1, 3), np.uint8)
    for source, colour in SOURCE_COLOURS.items():
        sources[source] = colour
    tracks = np.array([BLANK, *PALETTE], np.uint8)
    picture[:STRIP_HEIGHT] = sources[faces.rung[at]]
    followed = ~is_seen(faces.rung[at]) & (faces.rung[at] != BoxSource.WHOLE)
    picture[: STRIP_HEIGHT // 2, followed] = WHITE
    number = np.where(faces.track[at] < 0, 0, faces.track[at] % len(PALETTE) + 1)
    picture[STRIP_HEIGHT:] = tracks[number]
    for lost in np.flatnonzero(
        faces.rung == BoxSource.WHOLE
    ).tolist():  # one of thousands shall be seen too
        first = lost * width // num
        picture[:STRIP_HEIGHT, first : max(first + 1, (lost + 1) * width // num)] = SOURCE_COLOURS[
            BoxSource.WHOLE
        ]
    for frame in frames:
        x = min(width - 2, (2 * frame + 1) * width // (2 * num))
        picture[:, x : x + 2] = BLACK


def _number_tracks(picture: np.ndarray, top: int, faces: FaceArrays) -> np.ndarray:
    """Write the number of a track where it begins to be the chosen one, if there is room."""
    num, width = len(faces.times), picture.shape[1]
    starts = np.flatnonzero(np.diff(faces.track, prepend=-2))
    whole = Image.fromarray(picture)
    draw = ImageDraw.Draw(whole)
    for start, end in pairwise([*starts.tolist(), num]):
        left = start * width // num + width // num + 4  # behind a tick
        room, track = end * width // num - left, int(faces.track[start])
        if track >= 0 and room >= 8:
            ink = ink_on(colour_of(track))
            at = (left, top - 1)
            write(draw, at, str(track), room=room, bold=True, colour=ink, size=SMALL_TEXT)
    return np.asarray(whole)


def outline(
    picture: np.ndarray, box: np.ndarray, colour: Colour, thickness: int, *, dashed: bool = False
) -> None:
    """Draw the sides of a box, given as its corners (2, 2), through or in dashes."""
    if not dashed:
        first, last = fixed(box).tolist()
        cv2.rectangle(picture, first, last, colour, thickness, cv2.LINE_AA, SHIFT)
        return
    # What lies outside isn't seen, and could be of any length.
    (left, top), (right, bottom) = np.clip(
        box, -DASH, (picture.shape[1] + DASH, picture.shape[0] + DASH)
    ).tolist()
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    draw_path(picture, np.array(corners), colour, thickness, (DASH / 2, DASH / 2))


def encode_jpeg(picture: np.ndarray, quality: int, *, sharp: bool = False) -> bytes:
    """Encode an RGB or grey picture as JPEG.

    Args:
        picture: (H, W, 3) or (H, W), uint8.
        quality: 1 to 100.
        sharp: keep the colours of every pixel, as letters and thin lines need.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if sharp:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return encode_picture(picture, ".jpg", options)


def encode_picture(picture: np.ndarray, suffix: str, options: Sequence[int]) -> bytes:
    """Encode an RGB or grey picture with the options of ``cv2.imencode``."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    return bytes(cv2.imencode(suffix, bgr, options)[1])
