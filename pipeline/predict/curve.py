"""Probabilities of a video over time, written as text and as CSV."""

from __future__ import annotations

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
SUFFIX = ".csv"


class CurveError(ValueError):
    """A curve can't be written as asked for."""


def draw_line(curve: Curve, name: str, *, levels: str = LEVELS, columns: int = COLUMNS) -> str:
    """Draw one class's probability over time as a line of text, from 0 to 1; blank: no face.

    Args:
        curve: at least one frame.
        name: one of the seven classes.
        levels: characters for low to high.
        columns: at most this many; each is the mean of the frames in its share of the time.
    """
    values = curve.of_seven()[:, SEVEN.index(name)]
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
    """Write the curves of some videos as CSV; an older file is replaced. Pictures have none.

    Raises:
        CurveError: the name doesn't end in ``.csv``.
        OSError: the file can't be written.
    """
    check_suffix(path)
    write_whole(path, _as_csv([answer for answer in answers if not answer.is_picture]).encode())


def check_suffix(path: Path) -> None:
    """Refuse a name that no curve can be written to.

    Raises:
        CurveError: it doesn't end in ``.csv``.
    """
    if path.suffix != SUFFIX:
        plot = "; --plot draws it" if path.suffix.lower() in (".png", ".pdf", ".svg") else ""
        raise CurveError(f"--curve {path}: expected a name that ends in {SUFFIX}{plot}")


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
