"""Page of a run, or of several side by side: one HTML file that needs no other and no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2

from cache.commit import check_file_place, write_whole
from trainer.explain.page import open_templates, read_assets
from trainer.explain.panel import embed_json
from trainer.report.clips import BUDGET, Draw, gather_clips
from trainer.report.embedding import EmbeddingMap, Kind, map_run
from trainer.report.figures import gather_figures
from trainer.report.sheets import Sheets, find_sheets
from trainer.runs.compare import Comparison, compare_predictions
from trainer.runs.folder import Run, RunError, name_runs, shared_target
from trainer.runs.predictions import PredictionsError
from trainer.runs.terminal import (
    choose_interval,
    describe_interval,
    describe_labels,
    describe_temperatures,
    describe_unchecked,
    format_interval,
    format_percent,
)

OWN = Path(__file__).parent


def write_report(
    runs: Run | Sequence[Run],
    out: Path,
    *,
    cache: Path | None = None,
    sheets: Path | None = None,
    draw: Draw | None = None,
    projection: Kind = "pca",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a finished run as a self-contained HTML page, or several side by side.

    Every figure is computed again from the runs' predictions. What can't be shown, because a cache
    or a video is gone, is named on the page; the rest is there.

    Args:
        runs: one run, or several with the same classes; the others are compared with the first.
        out: the file; replaced if it is there.
        cache: the cache's folder; None: where it was when the runs were trained.
        sheets: folder of contact sheets that ``avfuse inspect faces`` wrote, to link to.
        draw: draws the pictures of clips; None leaves them out.
        projection: of the clips' features onto a map: "pca", "tsne" or "none".
        progress: called with the number of clips drawn and of all to draw.

    Returns:
        ``out``.

    Raises:
        RunError: one of a run's files is missing or damaged; the runs have other classes or
            labels, or no clip in common; ``sheets`` holds no contact sheets.
        OSError: the page can't be written.
    """
    check_file_place(out)
    page = format_report(
        [runs] if isinstance(runs, Run) else runs,
        cache=cache,
        sheets=find_sheets(sheets, out.parent) if sheets is not None else None,
        draw=draw,
        projection=projection,
        progress=progress,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, page)
    return out


def format_report(
    runs: Sequence[Run],
    *,
    cache: Path | None = None,
    sheets: Sheets | None = None,
    draw: Draw | None = None,
    projection: Kind = "pca",
    budget: int = BUDGET,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Return the page that ``write_report`` writes.

    Args:
        runs: at least one.
        cache: see ``write_report``.
        sheets: contact sheets to link to.
        draw: see ``write_report``.
        projection: see ``write_report``.
        budget: bytes for explanations and pictures.
        progress: see ``write_report``.

    Raises:
        RunError: see ``write_report``.
    """
    names = name_runs(runs)
    comparisons = _compare(runs, names)
    figures = [gather_figures(run, name) for run, name in zip(runs, names, strict=True)]
    embedding, no_map = _map(runs, projection, cache)
    clips = gather_clips(
        runs,
        names,
        cache=cache,
        draw=draw,
        sheets=sheets.clips if sheets else None,
        embedding=embedding,
        budget=budget,
        progress=progress,
    )
    environment = open_templates(OWN)
    environment.filters["percent"] = format_percent
    environment.filters["interval"] = format_interval
    environment.filters["points"] = _points
    template = environment.get_template("page.html")
    try:
        return template.render(
            figures=figures,
            comparisons=comparisons,
            warnings=_gather_warnings(figures),
            choose_interval=choose_interval,
            describe_interval=describe_interval,
            describe_labels=describe_labels,
            describe_temperatures=describe_temperatures,
            describe_unchecked=describe_unchecked,
            embedding=embedding,
            no_map=no_map,
            notes=clips.notes,
            num_clips=len(clips.data["clips"]),
            sheets=sheets,
            data=embed_json(clips.data),
            style=read_assets(OWN, "page.css", "panel.css", "report.css"),
            script=read_assets(OWN, "panel.js", "table.js", "map.js", "page.js"),
            first=lambda values, count: list(islice(values, count)),
        )
    except jinja2.UndefinedError as error:
        raise RunError(f"{', '.join(names)}: run.json is damaged: {error}") from error


def _compare(runs: Sequence[Run], names: Sequence[str]) -> list[tuple[str, Comparison]]:
    """Compare each run with the first, on the clips that both have."""
    try:
        shared_target(runs)
        return [
            (
                name,
                compare_predictions(
                    runs[0].predictions, run.predictions, names=(names[0], name), common=True
                ),
            )
            for run, name in zip(runs[1:], names[1:], strict=True)
        ]
    except PredictionsError as error:
        raise RunError(f"these runs can't stand side by side: {error}") from error


def _map(runs: Sequence[Run], kind: Kind, cache: Path | None) -> tuple[EmbeddingMap | None, str]:
    """Map the clips of the first run that can be mapped, or say why there is no map."""
    why = []
    for run in runs if kind != "none" else ():
        try:
            return map_run(run, kind, cache=cache), ""
        except RunError as error:
            why.append(str(error))
    return None, "; ".join(dict.fromkeys(why))


def _gather_warnings(figures: Sequence[Any]) -> list[str]:
    """Return the warnings of all runs, each with the runs that it is of where there are several."""
    runs: dict[str, list[str]] = {}
    for one in figures:
        for warning in one.report["warnings"]:
            runs.setdefault(warning, []).append(one.name)
    if len(figures) == 1:
        return [*runs]
    return [f"{', '.join(names)}: {warning}" for warning, names in runs.items()]


def _points(value: float | Sequence[float]) -> str:
    """Format a difference of shares, or the interval of one, in points."""
    if isinstance(value, int | float):
        return f"{100 * value:+.1f}"
    return f"[{100 * value[0]:+.1f}, {100 * value[1]:+.1f}]"
