"""Charts as SVG: points stand where their numbers say, text is escaped."""

from __future__ import annotations

import re

import pytest

from trainer.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Line,
    draw_chart,
    round_axis,
)


def test_corners_of_the_axes_are_corners_of_the_plot() -> None:
    x, y = Axis("x", 2.0, 4.0, ()), Axis("y", -1.0, 1.0, ())
    drawn = draw_chart("t", x, y, [Line(((2.0, -1.0), (4.0, 1.0), (3.0, 0.0)), dots=True)])
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    middle = ((left + right) / 2, (top + bottom) / 2)
    corners = [(left, bottom), (right, top), middle]
    assert f'points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}"' in drawn
    assert re.findall(r'cx="([\d.]+)"', drawn) == [f"{a:.1f}" for a, _ in corners]


def test_text_is_escaped() -> None:
    axis = Axis("<b>", 0.0, 1.0, ())
    drawn = draw_chart("<script>", axis, axis, [])
    assert "<script>" not in drawn
    assert drawn.count("&lt;b&gt;") == 2


@pytest.mark.parametrize(
    ("values", "whole", "ticks"),
    [
        ([0.0, 2.3], False, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]),
        ([1, 20], True, [5.0, 10.0, 15.0, 20.0]),
        ([1, 3], True, [1.0, 2.0, 3.0]),
        ([0.0, 0.03], False, [0.0, 0.01, 0.02, 0.03]),
        ([7, 7], True, [7.0]),
    ],
)
def test_ticks_are_round_and_hold_the_values(
    values: list[float], whole: bool, ticks: list[float]
) -> None:
    axis = round_axis("x", values, whole=whole)
    assert list(axis.ticks) == pytest.approx(ticks)
    assert axis.low <= min(values) <= max(values) <= axis.high
    assert axis.low < axis.high
