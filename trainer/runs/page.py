"""Page of a run: one HTML file with its figures, pictures, mistakes and provenance."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2

from trainer.runs.folder import CONFIG, CONFUSION, CURVES, Run, RunError
from trainer.runs.report import evaluate_run
from trainer.runs.terminal import (
    describe_labels,
    describe_unchecked,
    format_interval,
    format_percent,
)

MAX_MISTAKES = 200


def format_html(run: Run) -> str:
    """Write a finished run as a self-contained HTML page.

    Every figure is computed again from the run's predictions. Text from the run is escaped, and
    pictures are embedded.

    Raises:
        RunError: one of the run's files is missing or damaged.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = format_percent
    environment.filters["interval"] = format_interval
    try:
        config = (run.path / CONFIG).read_text(encoding="utf-8") if _has(run, CONFIG) else ""
        pictures = {
            name: _embed(run.path / name) for name in (CONFUSION, CURVES) if _has(run, name)
        }
    except OSError as error:
        raise RunError(f"{run.path} is damaged: {error}") from error
    evaluated = evaluate_run(run)
    return environment.get_template("page.html").render(
        run=run,
        info=run.info,
        report=evaluated,
        labels=describe_labels(evaluated),
        unchecked=describe_unchecked(evaluated),
        config=config,
        pictures=pictures,
        mistakes=_mistakes(run)[:MAX_MISTAKES],
        num_mistakes=len(_mistakes(run)),
    )


def _has(run: Run, name: str) -> bool:
    return (run.path / name).is_file()


def _embed(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _mistakes(run: Run) -> list[dict[str, Any]]:
    """List the clips that are predicted wrong, the surest mistakes first."""
    table = run.predictions
    rows = [
        {
            "clip": clip,
            "label": label,
            "prediction": prediction,
            "probability": float(probabilities.max()),
            "modalities": modalities,
        }
        for clip, label, prediction, probabilities, modalities in zip(
            table.clips,
            table.labels,
            table.predictions,
            table.probabilities,
            table.modalities,
            strict=True,
        )
        if prediction != label
    ]
    return sorted(rows, key=lambda row: (-row["probability"], row["clip"]))
