"""Colours that the colour-blind can tell apart, and lines in dashes."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from pipeline.inspect.colours import (
    DASHES,
    PALETTE,
    WHITE,
    colour_of,
    dash_of,
    draw_path,
    ink_on,
)
from pipeline.inspect.drawing import SOURCE_COLOURS

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", 2009, table 1: no green cones, and no red ones.
DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                (-0.011820, 0.042940, 0.968881))  # fmt: skip
PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
              (-0.003882, -0.048116, 1.051998))  # fmt: skip
XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750),
       (0.0193339, 0.1191920, 0.9503041))  # fmt: skip


def lab(colour: tuple[int, int, int], seen: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """A colour in CIE L*a*b*, as somebody sees it; 2.3 there is just noticeable."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(seen) @ linear, 0, 1)
    x = np.array(XYZ) @ linear / (0.95047, 1, 1.08883)
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("seen", [DEUTERANOPIA, PROTANOPIA, tuple(map(tuple, np.eye(3)))])
@pytest.mark.parametrize("colours", [PALETTE, tuple(SOURCE_COLOURS.values())])
def test_colours_can_be_told_apart_by_the_colour_blind(
    colours: tuple[tuple[int, int, int], ...], seen: tuple[tuple[float, ...], ...]
) -> None:
    def apart(pair: tuple[tuple[int, int, int], tuple[int, int, int]]) -> float:
        return float(np.linalg.norm(lab(pair[0], seen) - lab(pair[1], seen)))

    assert min(map(apart, combinations(colours, 2))) > 10
    assert min(map(apart, pairwise(colours))) > 15


def test_what_has_one_colour_has_another_dash() -> None:
    looks = [(colour_of(number), dash_of(number)) for number in range(len(PALETTE) * len(DASHES))]
    assert len(set(looks)) == len(looks)


def test_text_can_be_read_on_every_colour() -> None:
    for colour in PALETTE:
        inks = lab(ink_on(colour), np.eye(3)), lab(colour, np.eye(3))  # type: ignore[arg-type]
        assert abs(inks[0][0] - inks[1][0]) > 40


def test_a_dashed_line_has_its_gaps_where_they_belong() -> None:
    picture = np.full((9, 101, 3), WHITE, np.uint8)
    draw_path(picture, np.array([(0.0, 4.0), (100.0, 4.0)]), (0, 0, 0), 1, (10, 10))
    dark = (picture[4] < 128).all(axis=1)
    assert [bool(dark[x]) for x in (5, 15, 25, 35, 95)] == [True, False, True, False, False]
    assert not (picture[0] < 255).any()


def test_dashes_go_around_corners() -> None:
    picture = np.full((60, 60, 3), WHITE, np.uint8)
    draw_path(picture, np.array([(5.0, 50.0), (50.0, 50.0), (50.0, 5.0)]), (0, 0, 0), 1, (60, 30))
    dark = (picture < 128).all(axis=2)
    assert dark[50, 20]
    assert dark[45, 50]  # 50 pixels along
    assert not dark[20, 50]  # 75 along, in the gap
