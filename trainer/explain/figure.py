"""Explanations as a figure for a paper's column: PNG, or PDF with vectors and embedded fonts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke

from trainer.explain.explanation import Explanation, thin
from trainer.explain.panel import Panel
from trainer.explain.pictures import Pictures, open_picture
from trainer.runs.plots import save_figure
from trainer.training.predict import Attention

MOST_CLIPS = 8  # in one figure
# Okabe and Ito's colours, as page.css has them on white.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#444444", "#b3a800",
)  # fmt: skip
# Inches: a column of a paper, its margins, and the heights of the rows.
WIDTH, LEFT, RIGHT = 3.5, 0.36, 0.98
TITLE, ATTENTION, SPECTROGRAM, PROBABILITIES, AXIS = 0.28, 0.42, 0.5, 0.85, 0.45
CAPTION = 0.2  # above a row
NARROWEST, WIDEST = 0.3, 0.6  # of a frame
DPI = 300
POINTS = 600
LOOK: dict[Any, Any] = {
    "font.size": 6.5,
    "axes.linewidth": 0.5,
    "text.parse_math": False,  # a dollar sign in a name begins no formula
}

# Inches of the caption above a row and of the row, and what draws it into its axes.
Row = tuple[float, float, Callable[[Axes], None]]


def draw_figure(panels: Sequence[Panel], kind: str = "png") -> bytes:
    """Draw explanations one under the other.

    Args:
        panels: 1 to ``MOST_CLIPS``.
        kind: "png", "pdf" or "svg". The same input gives the same bytes.

    Raises:
        ValueError: there are more clips than fit, or a picture is no JPEG or PNG.
    """
    check_number(len(panels))
    with mpl.rc_context(LOOK), warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        rows = [(panel, _plan(panel)) for panel in panels]
        height = sum(TITLE + AXIS + sum(a + b for a, b, _ in own) for _, own in rows)
        figure = Figure(figsize=(WIDTH, height))
        top = 0.0
        for panel, own in rows:
            _write_title(figure, panel, 1 - (top + 0.1) / height)
            top += TITLE
            for caption, part, draw in own:
                top += caption
                inner = WIDTH - LEFT - RIGHT
                place = (LEFT / WIDTH, 1 - (top + part) / height, inner / WIDTH, part / height)
                draw(figure.add_axes(place))
                top += part
            top += AXIS
        return save_figure(figure, kind, dpi=DPI)


def check_number(clips: int) -> None:
    """Refuse a figure of no clip, or of more than fit.

    Raises:
        ValueError: says how many do.
    """
    if not 1 <= clips <= MOST_CLIPS:
        raise ValueError(
            f"a figure shows 1 to {MOST_CLIPS} clips, got {clips}; write a page (.html), or name "
            "fewer"
        )


def _write_title(figure: Figure, panel: Panel, top: float) -> None:
    first = panel.first
    figure.text(0.02, top, first.clip, weight="bold", va="center")
    said = f"label {first.label or 'unknown'}"
    for one, run, line in zip(_both(panel), (*panel.runs, ""), ("solid", "dashed"), strict=False):
        p = one.probabilities.max(initial=0.0)
        answer = "no prediction" if one.prediction is None else f"{one.prediction} {p:.0%}"
        said += f"; {run} ({line}) {answer}" if panel.second else f"; prediction {answer}"
        said += ", untrained" if one.untrained else ""
    figure.text(0.02, top - 0.12 / figure.get_figheight(), said, va="center", fontsize=6)


def _both(panel: Panel) -> list[Explanation]:
    return [one for one in (panel.first, panel.second) if one is not None]


def _plan(panel: Panel) -> list[Row]:
    """List the rows of a panel, from top to bottom."""
    both, pictures, span = _both(panel), panel.pictures, _span(panel)
    rows: list[Row] = []
    if pictures and pictures.strip and pictures.times:
        rows.append(_plan_strip(pictures))
    names = dict.fromkeys(name for one in both for name in one.attention)
    for name in sorted(names, reverse=True):
        curves = {
            number: one.attention[name]
            for number, one in enumerate(both)
            if name in one.attention and len(one.attention[name].times) > 1
        }
        grey = pictures if name == "audio" and pictures and pictures.spectrogram else None
        if curves or grey:
            rows.append(
                (
                    CAPTION,
                    SPECTROGRAM if grey else ATTENTION,
                    lambda axes, name=name, curves=curves, grey=grey: _draw_attention(  # type: ignore[misc]
                        axes, name, curves, grey, span
                    ),
                )
            )
    rows.append((CAPTION, PROBABILITIES, lambda axes: _draw_probabilities(axes, both, span)))
    return rows


def _span(panel: Panel) -> tuple[float, float]:
    """Return the seconds that the axis of time shows."""
    end = panel.pictures.spectrogram_span[1] if panel.pictures else 0.0
    first, last = 0.0, end
    for one in _both(panel):
        for times in (one.windows.times, *(part.times for part in one.attention.values())):
            if len(times):
                first, last = min(first, float(times[0])), max(last, float(times[-1]))
    return first, last if last > first else first + 1.0


def _plan_strip(pictures: Pictures) -> Row:
    strip = np.asarray(open_picture(pictures.strip).convert("RGB"))
    width = strip.shape[1] // len(pictures.times)
    room = min(WIDTH - LEFT - RIGHT, WIDEST * len(pictures.times))
    every = max(1, int(np.ceil(len(pictures.times) * NARROWEST / room)))
    numbers = range(every // 2, len(pictures.times), every)
    gap = np.full((strip.shape[0], max(1, width // 40), 3), 255, np.uint8)
    parts = [p for n in numbers for p in (strip[:, n * width : (n + 1) * width], gap)][:-1]
    picture = np.concatenate(parts, axis=1)

    def draw(axes: Axes) -> None:
        axes.imshow(picture, aspect="equal")
        axes.set_anchor("W")
        axes.set_axis_off()

    return 0.0, room * picture.shape[0] / picture.shape[1], draw


def _draw_attention(
    axes: Axes,
    name: str,
    curves: dict[int, Attention],
    grey: Pictures | None,
    span: tuple[float, float],
) -> None:
    """Draw one modality's attention, in multiples of an equal share, over the spectrogram."""
    if grey and grey.spectrogram:
        picture = np.asarray(open_picture(grey.spectrogram).convert("L"))
        extent = (*grey.spectrogram_span, 0.0, 1.0)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, aspect="auto", extent=extent)
        axes.set_ylim(0, 1)
        axes.set_yticks([])
    title = "spectrogram" if grey else f"{name} attention (× equal share)"
    if grey:
        title += (
            f" and {name} attention (× equal share)"
            if curves
            else f" ({name}: one step a clip, so no attention curve)"
        )
    _prepare(axes, span, title)
    axes.tick_params(labelbottom=False)
    if not curves:
        return
    over = axes.twinx() if grey else axes
    if grey:
        over.yaxis.tick_left()
    over.axhline(1.0, color="#777777", linewidth=0.5, linestyle=":")
    most = 1.5
    for number, part in curves.items():
        times, weights = thin(POINTS, part.times, part.weights * len(part.weights))
        most = max(most, float(weights.max()))
        halo = [Stroke(linewidth=2.2, foreground="white", alpha=0.8), Normal()]
        over.plot(
            times,
            weights,
            color=COLOURS[number],
            linestyle=("-", (0, (3, 2)))[number],
            linewidth=0.9,
            path_effects=halo if grey else None,
        )
    over.set_ylim(0, 1.1 * most)
    over.tick_params(length=2, width=0.5, pad=1.5)


def _draw_probabilities(axes: Axes, both: Sequence[Explanation], span: tuple[float, float]) -> None:
    """Draw the windows' probabilities; the classes are named at the ends of their lines."""
    first = both[0]
    seconds = first.windows.seconds
    of = f"{seconds:.1f} s around each moment alone" if seconds >= 1 else "the whole clip"
    _prepare(axes, span, f"probability, of {of}")
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xlabel("seconds", labelpad=1.5)
    told = {name for one in both for name in (one.label, one.prediction)}
    ends = []
    for number, one in enumerate(both):
        times, values = thin(POINTS, one.windows.times, one.windows.probabilities)
        if len(times) == 1:  # all along the window
            half = one.windows.seconds / 2
            times = np.clip([times[0] - half, times[0] + half], *span)
            values = np.repeat(values, 2, axis=0)
        for i, name in enumerate(one.classes if len(times) else ()):
            if number and name not in told:
                continue
            style: dict[str, Any] = {
                "color": COLOURS[i % len(COLOURS)],
                "linestyle": ":" if i >= len(COLOURS) else ("-", (0, (3, 2)))[number],
                "linewidth": 1.3 if name in told else 0.5,
            }
            axes.plot(times, values[:, i], **style)
            if number == 0:
                ends.append((float(values[-1, i]), name, float(times[-1])))
    room = min(0.13, 1.0 / max(1, len(ends)))
    at = 2.0
    for number, (value, name, time) in enumerate(sorted(ends, reverse=True)):
        left = len(ends) - 1 - number
        at = max(min(value, at - room, 1.0), left * room)
        note = _note(first, name)
        axes.annotate(
            f"{name[:14]}{note}",
            (time, value),
            xytext=(span[1] + 0.02 * (span[1] - span[0]), at),
            va="center",
            fontsize=5.5,
            weight="bold" if note else "normal",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "linewidth": 0.4,
                "linestyle": ":",
                "relpos": (0.0, 0.5),
                "shrinkA": 0,
                "shrinkB": 0,
                "color": COLOURS[first.classes.index(name) % len(COLOURS)],
            },
        )


def _note(one: Explanation, name: str) -> str:
    if name == one.label == one.prediction:
        return " (right)"
    return {one.prediction: " (predicted)", one.label: " (label)"}.get(name, "")


def _prepare(axes: Axes, span: tuple[float, float], title: str) -> None:
    axes.set_xlim(*span)
    axes.set_title(title, loc="left", fontsize=6, pad=2)
    axes.tick_params(length=2, width=0.5, pad=1.5)
