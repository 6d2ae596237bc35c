"""Band below a film: the answer, its course over time, and a cursor that moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.choice.choice import FaceArrays
from pipeline.inspect.colours import BLACK, GREY, WHITE, colour_of, dash_of, draw_path
from pipeline.inspect.text import write
from pipeline.media.frames import DecodeSettings

SHOWN = 8  # classes, those with the highest mean
# Pixels of a band, times its unit.
TEXT, LINE, GAP, AXIS, LEGEND = 13, 18, 6, 34, 132
PLOT, STRIP = SHOWN * 16, 30
PALE = (228, 228, 228)


@dataclass(frozen=True)
class Course:
    """Answer about a video and its course over time.

    Shapes (W points of time, C classes):
        ``times``: (W,), seconds, increasing. ``probabilities``: (W, C); nan where there is none.

    Attributes:
        video: the file.
        prediction: the class; None where nothing was answered.
        probability: of that class.
        remark: what the answer is worth, in a few words.
        classes: names of the C classes.
        times: see above.
        probabilities: see above.
        faces: the chosen face of every frame; None where no face was looked for.
        attention: modality to times (T,) and weights (T,) of its steps.
        limits: those that the faces were found with, or frames are missing.
    """

    video: Path
    prediction: str | None
    probability: float
    remark: str
    classes: tuple[str, ...]
    times: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    faces: FaceArrays | None = None
    attention: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(
        default_factory=dict
    )
    limits: DecodeSettings = field(default_factory=DecodeSettings)

    @property
    def end(self) -> float:
        """Last second that anything is known of; more than 0."""
        known = [self.times, *(times for times, _ in self.attention.values())]
        known += [self.faces.times] if self.faces is not None else []
        return max([1e-3, *(float(times[-1]) for times in known if len(times))])

    def at(self, seconds: float) -> NDArray[np.float64] | None:
        """Return the probabilities (C,) of the point nearest to a time; None without any."""
        if not len(self.times):
            return None
        after = min(int(np.searchsorted(self.times, seconds)), len(self.times) - 1)
        before = max(after - 1, 0)
        nearer = seconds - self.times[before] < self.times[after] - seconds
        row: NDArray[np.float64] = self.probabilities[before if nearer else after]
        return None if np.isnan(row).any() else row


class Band:
    """Picture of a course, drawn once; only what moves is drawn for each frame.

    Args:
        course: what to draw.
        width: of the film in pixels.
        unit: how many pixels a pixel of the design takes.
    """

    def __init__(self, course: Course, width: int, unit: int) -> None:
        self.course, self.width, self.unit = course, width, unit
        mean = np.nan_to_num(course.probabilities).sum(axis=0)
        self._shown = sorted(np.argsort(-mean, kind="stable")[:SHOWN].tolist())
        strips = {name: part for name, part in course.attention.items() if len(part[0]) > 1}
        self.height = unit * (LINE + PLOT + (STRIP + GAP) * len(strips) + LINE + 2 * GAP)
        self._left, self._right = unit * AXIS, width - unit * LEGEND
        self._top = unit * LINE
        self._bottom = self._top + unit * PLOT
        self._still = self._draw_still(strips)

    def at(self, seconds: float) -> np.ndarray:
        """Return the band at a time: (height, width, 3), uint8."""
        unit = self.unit
        picture = Image.fromarray(self._still)
        draw = ImageDraw.Draw(picture)
        x = round(float(self._place(np.array([seconds]))[0]))
        draw.rectangle((x, self._top, x + unit - 1, self.height - unit * LINE), fill=BLACK)
        now = self.course.at(seconds)
        likeliest = None if now is None else int(now.argmax())
        for line, number in enumerate(self._shown):
            name = self.course.classes[number]
            text = name if now is None else f"{name} {now[number]:.0%}"
            self._write(
                draw,
                (self._right + 40 * unit, self._top + 16 * unit * line),
                text,
                room=92,
                bold=number == likeliest,
            )
        return np.asarray(picture)

    def _draw_still(
        self, strips: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    ) -> np.ndarray:
        course, unit = self.course, self.unit
        picture = Image.new("RGB", (self.width, self.height), WHITE)
        draw = ImageDraw.Draw(picture)
        answer = "no answer"
        if course.prediction is not None:
            answer = f"{course.prediction} {course.probability:.0%}"
        wide = self._write(draw, (4 * unit, unit), answer, room=self.width / unit, bold=True)
        left = 4 * unit + wide + 10 * unit
        room = (self.width - left) / unit - 4
        self._write(draw, (left, unit), course.remark, room=room, colour=GREY)
        for share in (0.0, 0.5, 1.0):
            y = round(self._bottom - share * (self._bottom - self._top - unit))
            draw.line((self._left, y, self._right, y), fill=PALE, width=unit)
            place = (4 * unit, min(max(y - 8 * unit, self._top), self._bottom - 14 * unit))
            self._write(draw, place, f"{share:.0%}", room=AXIS - 4, colour=GREY, size=10)
        top = self._bottom + unit * GAP
        for name in strips:
            at = (self._right + 8 * unit, top + 8 * unit)
            self._write(draw, at, f"attention to {name}", room=LEGEND - 10, size=11)
            top += unit * (STRIP + GAP)
        y = self.height - unit * LINE
        self._write(draw, (self._left, y), "0 s", room=60, size=10, colour=GREY)
        end = f"{course.end:.1f} s"
        self._write(draw, (self._right - 40 * unit, y), end, room=60, size=10, colour=GREY)
        still = np.array(picture)
        self._draw_curves(still)
        top = self._bottom + unit * GAP
        for times, weights in strips.values():
            self._draw_strip(still, times, weights, top)
            top += unit * (STRIP + GAP)
        return still

    def _draw_curves(self, still: np.ndarray) -> None:
        unit, course = self.unit, self.course
        x, values = _shrink(self._place(course.times), course.probabilities)
        y = self._bottom - values * (self._bottom - self._top - unit)
        for line, number in enumerate(self._shown):
            known = np.flatnonzero(~np.isnan(y[:, number])) if len(y) else np.zeros(0, np.int64)
            dash = tuple(unit * part for part in dash_of(number))
            for part in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
                points = np.stack([x[part], y[part, number]], axis=1)
                if len(points) == 1:  # a single frame is a short line
                    points = points + np.array([(-unit, 0), (unit, 0)])
                draw_path(still, points, colour_of(number), 2 * unit, dash)
            middle = self._top + 16 * unit * line + 8 * unit
            sample = np.array([(self._right + 8 * unit, middle), (self._right + 36 * unit, middle)])
            draw_path(still, sample.astype(np.float64), colour_of(number), 2 * unit, dash)

    def _draw_strip(
        self,
        still: np.ndarray,
        times: NDArray[np.float64],
        weights: NDArray[np.float64],
        top: int,
    ) -> None:
        """Draw the weights of a modality's steps, the largest as high as its strip."""
        height = self.unit * STRIP
        x, values = _shrink(self._place(times), weights[:, None])
        share = values[:, 0] / max(float(np.nanmax(values)), 1e-12)
        edges = np.concatenate([[x[0]], (x[1:] + x[:-1]) / 2, [x[-1]]]).round().astype(int)
        for left, right, part in zip(edges, edges[1:], share, strict=False):
            start = top + height - round(float(part) * height)
            still[start : top + height, left : max(right, left + 1)] = (140, 140, 140)
        still[top + height - self.unit : top + height, self._left : self._right] = PALE

    def _place(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where times are drawn, in pixels from the left."""
        share: NDArray[np.float64] = np.clip(times / self.course.end, 0, 1)
        return self._left + share * (self._right - self._left)

    def _write(
        self,
        draw: ImageDraw.ImageDraw,
        at: tuple[float, float],
        text: str,
        *,
        room: float,
        bold: bool = False,
        colour: tuple[int, int, int] = BLACK,
        size: int = TEXT,
    ) -> float:
        unit = self.unit
        return write(draw, at, text, room=room * unit, bold=bold, colour=colour, size=size * unit)


def _shrink(
    x: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average the points of one pixel column; nan where none of them is known.

    Shapes (W points, P columns): ``x``: (W,). ``values``: (W, C). result: (P,) and (P, C).
    """
    column, place = np.unique(x.round(), return_inverse=True)
    known = ~np.isnan(values)
    sums = np.zeros((len(column), values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, place, np.where(known, values, 0))
    np.add.at(counts, place, known)
    return column, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
