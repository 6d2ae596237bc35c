"""Colours and dashes that can be told apart, also by the colour-blind, and lines drawn in them."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

Colour = tuple[int, int, int]
BLACK, GREY, WHITE = (25, 25, 25), (110, 110, 110), (255, 255, 255)
# Okabe and Ito, "Color Universal Design", 2008; black is grey here, to be seen on black too.
PALETTE: tuple[Colour, ...] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (230, 159, 0),
    (204, 121, 167),
    (86, 180, 233),
    (110, 110, 110),
    (240, 228, 66),
)
# Lengths of dashes and gaps in turn, in pixels; never colour alone. One more than there are
# colours, so that a colour that comes again has another dash.
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (8, 4),
    (2, 4),
    (12, 4, 2, 4),
    (18, 6),
    (6, 6),
    (2, 8),
    (8, 2, 2, 2, 2, 2),
    (3, 3, 9, 3),
)
SHIFT = 4  # bits behind the point in cv2's coordinates


def colour_of(number: int) -> Colour:
    """Return the colour of the thing with this number."""
    return PALETTE[number % len(PALETTE)]


def ink_on(colour: Colour) -> Colour:
    """Return the colour of text that can be read on a colour: black or white."""
    red, green, blue = colour
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 130 else WHITE


def dash_of(number: int) -> tuple[float, ...]:
    """Return the dash of the thing with this number; empty: drawn through."""
    return DASHES[number % len(DASHES)]


def draw_path(
    picture: np.ndarray,
    points: np.ndarray,
    colour: Colour,
    thickness: int,
    dash: tuple[float, ...] = (),
) -> None:
    """Draw a line through points, in place.

    Shapes (N points):
        ``picture``: (H, W, 3), uint8. ``points``: (N, 2), x and y in pixels; beyond the picture is
        drawn as far as it can be.

    Args:
        picture: see above.
        points: see above.
        colour: of the line.
        thickness: in pixels.
        dash: see ``DASHES``.
    """
    points = np.clip(points, -(2.0**20), 2.0**20)
    if len(points) < 2:
        return
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    parts = _dashes(float(along[-1]), dash) if dash else [(0.0, float(along[-1]))]
    for start, end in parts:
        inside = along[(along > start) & (along < end)]
        at = np.concatenate([[start], inside, [end]])
        line = np.stack([np.interp(at, along, points[:, axis]) for axis in (0, 1)], axis=1)
        cv2.polylines(picture, [fixed(line)], False, colour, thickness, cv2.LINE_AA, SHIFT)


def fixed(points: np.ndarray) -> np.ndarray:
    """Return pixel positions as cv2 takes them, clipped to what its integers hold."""
    result: np.ndarray = np.clip(points * (1 << SHIFT), -(2**24), 2**24).round().astype(np.int32)
    return result


def _dashes(length: float, dash: tuple[float, ...]) -> list[tuple[float, float]]:
    """Return where the dashes of a line begin and end."""
    edges = np.cumsum(np.tile(dash, int(length / sum(dash)) + 1))
    ends = [0.0, *edges[edges < length].tolist(), length]
    return [pair for number, pair in enumerate(pairwise(ends)) if number % 2 == 0]
