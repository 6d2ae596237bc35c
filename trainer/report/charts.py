"""Charts of a page as SVG: curves over epochs, and confidence against accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40  # margins of the plot
TICKS = 5
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """Line of a chart.

    Args:
        points: x and y, by x.
        colour: number of a colour of ``page.css``, 0 to 7.
        dashed: draw it dashed, so that it can be told from others without colour.
        thin: draw it thin and pale, as one of many.
        dots: mark the points.
    """

    points: Points
    colour: int = 0
    dashed: bool = False
    thin: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """Axis of a chart: its label, its lowest and highest value, and its ticks."""

    label: str
    low: float
    high: float
    ticks: Sequence[float]


def round_axis(label: str, values: Sequence[float], *, whole: bool = False) -> Axis:
    """Choose an axis with round ticks that holds all values.

    Args:
        label: what the values are.
        values: at least one.
        whole: only whole numbers are ticks.
    """
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = 10.0 ** np.floor(np.log10((high - low) / TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= TICKS)
    if whole:
        step = max(1.0, round(step))
        first, last = np.ceil(low / step), np.floor(high / step)
    else:
        first, last = np.floor(low / step), np.ceil(high / step)
        low, high = first * step, last * step
    ticks = [float(number * step) for number in np.arange(first, last + 1)]
    return Axis(label, float(low), float(high), ticks)


def draw_chart(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> Markup:
    """Draw lines as an SVG, its text escaped; ``title`` is read to those who don't see it."""
    parts = [
        Markup(
            '<svg class="chart" viewBox="0 0 {} {}" width="{}" height="{}" role="img">'
            "<title>{}</title>"
        ).format(WIDTH, HEIGHT, WIDTH, HEIGHT, title)
    ]
    for value in y.ticks:
        level = _place(value, y, HEIGHT - BOTTOM, TOP)
        parts.append(
            Markup(
                '<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" class="grid"/>'
                '<text x="{}" y="{:.1f}" text-anchor="end">{:g}</text>'
            ).format(LEFT, WIDTH - RIGHT, level, level, LEFT - 5, level + 4, round(value, 9))
        )
    for value in x.ticks:
        parts.append(
            Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{:g}</text>').format(
                _place(value, x, LEFT, WIDTH - RIGHT), HEIGHT - BOTTOM + 16, round(value, 9)
            )
        )
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(
        Markup(
            '<text x="{}" y="{}" text-anchor="middle">{}</text>'
            '<text transform="translate(12 {}) rotate(-90)" text-anchor="middle">{}</text>'
        ).format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x.label, middle, y.label)
    )
    parts.extend(_draw_line(line, x, y) for line in lines)
    return Markup("").join([*parts, Markup("</svg>")])


def _draw_line(line: Line, x: Axis, y: Axis) -> Markup:
    places = [
        (_place(a, x, LEFT, WIDTH - RIGHT), _place(b, y, HEIGHT - BOTTOM, TOP))
        for a, b in line.points
    ]
    style = f"stroke:var(--c{line.colour})"
    if line.dashed:
        style += ";stroke-dasharray:6 4"
    drawn = Markup('<polyline class="{}" style="{}" points="{}"/>').format(
        "thin" if line.thin else "line",
        style,
        " ".join(f"{a:.1f},{b:.1f}" for a, b in places),
    )
    if not line.dots:
        return drawn
    return drawn + Markup("").join(
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4" style="fill:var(--c{})"/>').format(
            a, b, line.colour
        )
        for a, b in places
    )


def _place(value: float, axis: Axis, start: float, end: float) -> float:
    return start + (value - axis.low) / (axis.high - axis.low) * (end - start)
