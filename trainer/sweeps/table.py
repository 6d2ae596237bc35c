"""Table of a sweep as CSV, Markdown, JSON and a heat map, the paper's figures beside ours."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cache.cells import format_cells
from trainer.runs.plots import save_figure, without_math
from trainer.runs.terminal import choose_interval, format_interval, format_percent
from trainer.sweeps.cell import CellResult
from trainer.sweeps.file import CellText, Sweep

COLUMNS = (
    "cell",
    "state",
    "n",
    "accuracy",
    "interval_low",
    "interval_high",
    "speakers",
    "interval_by_speaker_low",
    "interval_by_speaker_high",
    "uar",
    "macro_f1",
    "members",
    "accuracy_mean",
    "accuracy_deviation",
    "n_both",
    "accuracy_both",
    "missing",
    "paper",
    "paper_note",
    "reason",
    "warnings",
)


def format_csv(sweep: Sweep, results: Sequence[CellResult]) -> str:
    """Write a row per cell; shares are in percent with three decimals, empty where undefined."""
    rows = [make_row(cell, result) for cell, result in zip(sweep.cells, results, strict=True)]
    return format_cells(COLUMNS, [map(_text, row.values()) for row in rows])


def format_markdown(sweep: Sweep, results: Sequence[CellResult]) -> str:
    """Write the table with its title and every warning."""
    lines = [f"# {sweep.title}", ""]
    lines += [
        "| cell | n | accuracy | 95 % interval | UAR | macro F1 | mean ± deviation | paper |",
        "|---|---:|---:|---|---:|---:|---|---|",
    ]
    for cell, result in zip(sweep.cells, results, strict=True):
        lines.append(f"| {' | '.join(_cells(cell, result))} |")
    lines += [
        "",
        "Accuracy is that of the averaged probabilities of a cell's heads (seeds, or runs of an "
        "ensemble); mean ± deviation is over these heads one by one. Intervals "
        f"are {_name_intervals(results)}.",
    ]
    papers = [(cell.paper_note, cell.name) for cell in sweep.cells if cell.paper_note]
    told = [r.cell for r in results if r.report is not None]
    warned = [(w, r.cell) for r in results for w in (r.report or {}).get("warnings", ())]
    notes = [
        *(f"{text} (the paper's figure, {who})" for text, who in _by_text(papers, len(papers))),
        *(f"{r.cell}: {r.state}: {r.reason}" for r in results if r.state != "ok"),
        *(f"warning ({who}): {text}" for text, who in _by_text(warned, len(told))),
    ]
    lines += [""] * bool(notes) + [f"- {note}" for note in notes]
    return "\n".join(lines) + "\n"


def make_table(sweep: Sweep, results: Sequence[CellResult]) -> Mapping[str, Any]:
    """Return the title and a row per cell, ready for JSON."""
    rows = [make_row(cell, result) for cell, result in zip(sweep.cells, results, strict=True)]
    return {"title": sweep.title, "cells": rows}


def make_row(cell: CellText, result: CellResult) -> dict[str, Any]:
    """Gather a cell's figures under ``COLUMNS``; shares in percent."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {
        "cell": cell.name,
        "state": result.state,
        "paper": cell.paper,
        "paper_note": cell.paper_note,
        "reason": result.reason,
    }
    if result.report is None:
        return row
    figures = result.report["all"]
    whole, spread = figures["ensemble"], figures["over_members"]["accuracy"]
    both = (result.report["both"] or {"ensemble": {"n": 0, "accuracy": None}})["ensemble"]
    interval = whole["interval"] or (None, None)
    by_speaker = whole.get("by_speaker") or {"speakers": None, "interval": (None, None)}
    return row | {
        "n": whole["n"],
        "accuracy": _percent(whole["accuracy"]),
        "interval_low": _percent(interval[0]),
        "interval_high": _percent(interval[1]),
        "speakers": by_speaker["speakers"],
        "interval_by_speaker_low": _percent(by_speaker["interval"][0]),
        "interval_by_speaker_high": _percent(by_speaker["interval"][1]),
        "uar": _percent(whole["uar"]),
        "macro_f1": _percent(whole["macro_f1"]),
        "members": spread["count"],
        "accuracy_mean": _percent(spread["mean"]),
        "accuracy_deviation": _percent(spread["deviation"]),
        "n_both": both["n"],
        "accuracy_both": _percent(both["accuracy"]),
        "missing": result.report["missing"]["count"],
        "warnings": "; ".join(result.report["warnings"]),
    }


def _cells(cell: CellText, result: CellResult) -> Iterator[str]:
    yield cell.name.replace("|", "\\|")
    if result.report is None:
        yield from (result.state, *["-"] * 5)
    else:
        figures = result.report["all"]
        whole, spread = figures["ensemble"], figures["over_members"]["accuracy"]
        yield str(whole["n"])
        yield format_percent(whole["accuracy"])
        yield format_interval(choose_interval(whole))
        yield format_percent(whole["uar"])
        yield format_percent(whole["macro_f1"])
        mean = format_percent(spread["mean"])
        deviation = spread["deviation"]
        yield mean if deviation is None else f"{mean[:-2]} ± {format_percent(deviation)}"
    yield "-" if cell.paper is None else f"{cell.paper:g} %"


def _name_intervals(results: Sequence[CellResult]) -> str:
    """Say whose intervals stand in a table: the speakers', Wilson's, or both where cells differ."""
    wholes = [result.report["all"]["ensemble"] for result in results if result.report]
    speakers = sorted({found["speakers"] for one in wholes if (found := one.get("by_speaker"))})
    if not speakers:
        return "Wilson's, which take clips as independent"
    named = f"by speaker (cluster bootstrap, {' or '.join(map(str, speakers))} speakers)"
    known = all(one.get("by_speaker") for one in wholes)
    return named if known else f"{named}; Wilson's where speakers aren't known"


def _by_text(pairs: Sequence[tuple[str, str]], whole: int) -> Iterator[tuple[str, str]]:
    """Join each text with the cells that it belongs to; ``whole`` stands for all cells."""
    owners: dict[str, list[str]] = {}
    for text, cell in pairs:
        owners.setdefault(text, []).append(cell)
    for text, cells in owners.items():
        yield text, "every cell" if len(cells) == whole else ", ".join(cells)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


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
    cells = [make_row(c, r) for c, r in zip(sweep.cells, results, strict=True)][: sweep.grid_size]
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
    title = f"{sweep.title}\naccuracy in percent, n {', '.join(map(str, counts)) or '-'}"
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
