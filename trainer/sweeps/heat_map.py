"""Heat map of a sweep over two axes, the paper's figures in brackets below ours."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from trainer.runs.plots import save_figure, without_math
from trainer.sweeps.cell import CellResult
from trainer.sweeps.file import Sweep
from trainer.sweeps.table import make_row, name_division


def plot_heat_map(sweep: Sweep, results: Sequence[CellResult]) -> bytes:
    """Draw the accuracy of a grid's cells, the paper's figures in brackets below.

    Args:
        sweep: a sweep with two axes: the first becomes the rows.
        results: of all cells; those of the grid come first.

    Returns:
        A PNG. A cell without a result is left white.
    """
    rows, columns = sweep.axes
    shape = (len(rows.labels), len(columns.labels))
    rows_of = zip(sweep.cells, results, strict=True)
    cells = [make_row(sweep, cell, result) for cell, result in rows_of][: sweep.grid_size]
    accuracy = np.array(
        [np.nan if cell["accuracy"] is None else cell["accuracy"] for cell in cells]
    ).reshape(shape)
    figure = Figure(figsize=(3.6 + 1.2 * shape[1], 2.2 + 0.8 * shape[0]), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(accuracy, cmap="Blues", aspect="auto")
    axes.set_xticks(range(shape[1]), [*map(without_math, columns.labels)], rotation=30, ha="right")
    axes.set_yticks(range(shape[0]), [*map(without_math, rows.labels)])
    axes.set_xlabel(without_math(columns.name))
    axes.set_ylabel(without_math(rows.name))
    known = accuracy[np.isfinite(accuracy)]
    middle = (known.min() + known.max()) / 2 if known.size else 0.0
    for number, cell in enumerate(cells):
        i, j = np.unravel_index(number, shape)
        ours = cell["state"] if cell["accuracy"] is None else f"{cell['accuracy']:.1f}"
        paper = "" if cell["paper"] is None else f"\n({cell['paper']:g})"
        dark = cell["accuracy"] is not None and cell["accuracy"] > middle
        colour = "white" if dark else "black"
        axes.text(float(j), float(i), ours + paper, ha="center", va="center", color=colour)
    untrained = any(r.report and r.report["untrained"] for r in results[: sweep.grid_size])
    counts = sorted({cell["n"] for cell in cells if cell["n"] is not None})
    title = (
        f"{sweep.title}\naccuracy in percent on {name_division(sweep)}, "
        f"n {', '.join(map(str, counts)) or '-'}"
    )
    if any(cell["paper"] is not None for cell in cells):
        title += " (in brackets the paper's)"
    if untrained:
        title += "\nuntrained features"
    width = int(9 * figure.get_figwidth())
    wrapped = [part for line in title.splitlines() for part in textwrap.wrap(line, width)]
    axes.set_title(without_math("\n".join(wrapped)), fontsize="medium")
    if known.size:
        figure.colorbar(image, ax=axes, label="accuracy (%)")
    return save_figure(figure)
