"""Pictures of a run: the confusion matrix and the training curves, as PNG bytes."""

from __future__ import annotations

import io
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

UNTRAINED = "untrained features"
_LETTERS_PER_INCH = 11  # of a title
_MAX_NUMBERS = 20  # with more classes the numbers in the cells could not be read


def plot_confusion(
    confusion: Sequence[Sequence[int]],
    classes: Sequence[str],
    *,
    title: str,
    untrained: bool = False,
) -> bytes:
    """Draw a confusion matrix: a row per label, coloured by its share of that label's clips.

    Args:
        confusion: rows are labels, columns predictions.
        classes: names of the rows and columns.
        title: what the matrix is of.
        untrained: whether the title must say that random weights stand behind it.

    Returns:
        A PNG.
    """
    counts = np.array(confusion, dtype=np.float64).reshape(len(classes), len(classes))
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    width = 3.2 + 0.62 * len(classes)
    figure = Figure(figsize=(width + 0.8, width), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(classes)), _short(classes), rotation=45, ha="right")
    rows = [
        f"{name} ({int(total)})" for name, total in zip(_short(classes), totals[:, 0], strict=True)
    ]
    axes.set_yticks(range(len(classes)), rows)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label (clips)")
    axes.set_title(_title(title, untrained, inches=width), fontsize="medium")
    if len(classes) <= _MAX_NUMBERS:
        for i, j in np.ndindex(*counts.shape):
            axes.text(
                j,
                i,
                f"{int(counts[i, j])}",
                ha="center",
                va="center",
                color="white" if shares[i, j] > 0.5 else "black",
            )
    figure.colorbar(image, ax=axes, label="share of the label's clips", shrink=0.8)
    return save_figure(figure)


def plot_curves(
    history: Sequence[Mapping[str, float | int | None]],
    *,
    figures: Mapping[str, Sequence[str]],
    title: str,
    untrained: bool = False,
) -> bytes:
    """Draw training curves: each fold and seed as a thin line, their mean as a thick one.

    Args:
        history: rows with ``fold`` (or None), ``seed``, ``epoch`` and one value per column.
        figures: axis label to the columns drawn on it; a column that no row has is left out.
        title: what the curves are of.
        untrained: whether the title must say that random weights stand behind them.

    Returns:
        A PNG.
    """
    drawn = {
        label: [name for name in names if any(row.get(name) is not None for row in history)]
        for label, names in figures.items()
    }
    drawn = {label: names for label, names in drawn.items() if names}
    panels = max(1, len(drawn))
    figure = Figure(figsize=(5.0 * panels + 0.5, 3.8), layout="constrained")
    all_axes = figure.subplots(1, panels, squeeze=False)[0]
    for axes, (label, names) in zip(all_axes, drawn.items(), strict=False):
        for position, name in enumerate(names):
            _draw_column(axes, history, name, colour=f"C{position}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.suptitle(_title(title, untrained, inches=5.0 * panels), fontsize="medium")
    return save_figure(figure)


def _draw_column(
    axes: Axes, history: Sequence[Mapping[str, float | int | None]], name: str, *, colour: str
) -> None:
    lines: dict[tuple[object, object], list[tuple[float, float]]] = defaultdict(list)
    for row in history:
        value, epoch = row.get(name), row["epoch"]
        if value is not None and epoch is not None:
            lines[row.get("fold"), row.get("seed")].append((epoch, value))
    values: dict[float, list[float]] = defaultdict(list)
    for points in lines.values():
        if len(lines) > 1:
            axes.plot(*zip(*points, strict=True), color=colour, alpha=0.25, linewidth=0.8)
        for epoch, value in points:
            values[epoch].append(value)
    epochs = sorted(values)
    means = [float(np.mean(values[epoch])) for epoch in epochs]
    suffix = f" (mean of {len(lines)})" if len(lines) > 1 else ""
    marker = "o" if len(epochs) == 1 else None
    axes.plot(epochs, means, color=colour, linewidth=2.0, marker=marker, label=name + suffix)


def _title(title: str, untrained: bool, *, inches: float) -> str:
    """Break the title's lines where they would leave the picture."""
    lines = title.splitlines() + ([UNTRAINED] if untrained else [])
    width = int(_LETTERS_PER_INCH * inches)
    return without_math("\n".join(part for line in lines for part in textwrap.wrap(line, width)))


def _short(names: Sequence[str], limit: int = 18) -> list[str]:
    cut = [name if len(name) <= limit else name[: limit - 1] + "…" for name in names]
    return [*map(without_math, cut)]


def without_math(text: str) -> str:
    """Return text for a picture: a dollar sign would begin mathematical notation, or fail as it."""
    return text.replace("$", r"\$")


def save_figure(figure: Figure, kind: str = "png", *, dpi: float | None = None) -> bytes:
    """Write a figure, the same bytes each time, with the letters of a PDF as text.

    Args:
        figure: what is drawn.
        kind: "png", "pdf" or "svg".
        dpi: of pixels; None: the figure's.
    """
    dates = {"pdf": ("CreationDate", "Creator", "Producer"), "svg": ("Date", "Creator")}
    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "avfuse", "pdf.fonttype": 42}):
        figure.savefig(
            content,
            format=kind,
            dpi=dpi or "figure",
            metadata=dict.fromkeys(dates.get(kind, ("Software",))),
        )
    return content.getvalue()
