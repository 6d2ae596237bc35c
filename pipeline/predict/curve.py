"""Probabilities of a video over time, written as text, as CSV and as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cache.cells import format_cells
from cache.commit import write_whole
from extractors.weights.class_names import SEVEN
from pipeline.faces.tracks import BoxSource
from pipeline.predict.answer import Answer, Curve

LEVELS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.-=+*#@"
COLUMNS = 60  # of a line of text
MAX_PANELS = 12  # videos in one picture
SUFFIXES = (".csv", ".png")


class CurveError(ValueError):
    """A curve can't be written as asked for."""


def draw_line(curve: Curve, name: str, *, levels: str = LEVELS, columns: int = COLUMNS) -> str:
    """Draw one class's probability over time as a line of text, from 0 to 1; blank: no face.

    Args:
        curve: at least one frame.
        name: one of its classes.
        levels: characters for low to high.
        columns: at most this many; each is the mean of the frames in its share of the time.
    """
    values = curve.probabilities[:, curve.classes.index(name)]
    width = min(columns, len(values))
    start, span = curve.times[0], max(float(curve.times[-1] - curve.times[0]), 1e-9)
    place = np.minimum((curve.times - start) / span * width, width - 1).astype(int)
    line = ""
    for column in range(width):
        inside = (place == column) & curve.has_face
        if inside.any():
            level = int(values[inside].mean() * len(levels))
            line += levels[min(max(level, 0), len(levels) - 1)]
        else:
            line += " "
    return line


def format_answer(answer: Answer, *, ascii_only: bool = False) -> str:
    """Write the answer about one video or picture as lines for a reader."""
    from extractors.weights.facts import plain  # loads PyTorch, which whoever has an answer did

    name = plain(str(answer.video)) if len(str(answer.video)) <= 100 else answer.video.name
    reasons = "; ".join(answer.why)
    if answer.probabilities is None or answer.own is None:
        # What can't be read is named in the reason.
        return f"no answer: {reasons}" if name in reasons else f"{name}: no answer: {reasons}"
    coverage = answer.curve.coverage
    seen = f"face in {coverage.num_with_face} of {coverage.num_frames} frames"
    if coverage.num_followed:
        seen += f", in {coverage.num_followed} of them followed from others"
    if answer.is_picture:
        seen = "one picture, not a clip: it shows no change over time"
    lines = [f"{name}: {answer.prediction} ({seen})"]
    ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])
    for label, probability in ranked:
        lines.append(f"  {label:9} {probability:6.1%} {'#' * round(40 * probability)}".rstrip())
    levels = ASCII_LEVELS if ascii_only else LEVELS
    times = answer.curve.times
    if not answer.is_picture:
        lines.append(f"  over time, {times[0]:.1f} to {times[-1]:.1f} s (blank: no face):")
        for label, _ in ranked[:3]:
            lines.append(f"  {label:9} |{draw_line(answer.curve, label, levels=levels)}|")
    left_out = sum(value for own, value in answer.own.items() if own not in SEVEN)
    lines.append(f"  contempt, which is none of the seven, had {left_out:.1%} and was left out")
    if reasons:
        lines.append(f"  {answer.state}: {reasons}")
    return "\n".join(lines)


def write_curves(path: Path, answers: Sequence[Answer]) -> None:
    """Write the curves of some videos as ``.csv`` or ``.png``; an older file is replaced.

    Pictures have none.

    Raises:
        CurveError: the name ends in neither.
        OSError: the file can't be written.
    """
    check_suffix(path)
    answers = [answer for answer in answers if not answer.is_picture]
    content = _as_csv(answers).encode() if path.suffix == ".csv" else _as_png(answers)
    write_whole(path, content)


def check_suffix(path: Path) -> None:
    """Refuse a name that no curve can be written to.

    Raises:
        CurveError: it ends in neither ``.csv`` nor ``.png``.
    """
    if path.suffix not in SUFFIXES:
        raise CurveError(f"--curve {path}: expected a name that ends in {' or '.join(SUFFIXES)}")


def _as_csv(answers: Sequence[Answer]) -> str:
    classes = answers[0].curve.classes if answers else ()
    table = []
    for answer in answers:
        curve = answer.curve
        rows = zip(curve.times, curve.rung, curve.probabilities, strict=True)
        for time, source, probabilities in rows:
            values = (
                [""] * len(classes) if source == BoxSource.WHOLE else np.round(probabilities, 4)
            )
            face = BoxSource(source).name.lower()
            table.append([str(answer.video), f"{time:.3f}", face, *values])
    return format_cells(["video", "time_seconds", "face", *classes], table)


def _as_png(answers: Sequence[Answer]) -> bytes:
    from matplotlib.figure import Figure  # half a second that only this takes

    from extractors.weights.facts import plain

    shown = [answer for answer in answers if len(answer.curve.times)][:MAX_PANELS]
    figure = Figure(figsize=(9, 1 + 2.6 * max(1, len(shown))), layout="constrained")
    panels = figure.subplots(max(1, len(shown)), squeeze=False)[:, 0]
    for axes, answer in zip(panels, shown, strict=False):
        curve = answer.curve
        values = np.where(curve.has_face[:, None], curve.probabilities, np.nan)  # gaps stay gaps
        for column, name in enumerate(curve.classes):
            axes.plot(curve.times, values[:, column], label=name, linewidth=1.2)
        title = plain(answer.video.name).replace("$", r"\$")  # no formulas
        axes.set_title(f"{title}: {answer.prediction or 'no answer'}", fontsize=9)
        axes.set_ylim(0, 1)
        axes.set_ylabel("probability")
    panels[-1].set_xlabel("seconds")
    if shown:
        panels[0].legend(ncols=4, fontsize=7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()
