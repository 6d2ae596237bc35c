"""Figures of one run, ready for the page: rows of its tables, and its charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from trainer.report.charts import Axis, Line, draw_chart, round_axis
from trainer.report.settings_diff import SettingsDiff, compare_settings
from trainer.runs.folder import HISTORY, Run, RunError
from trainer.runs.history import HistoryRow, read_history
from trainer.runs.metrics import wilson_interval
from trainer.runs.report import evaluate_run

SHARES = Axis("", 0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
# Heads that have a thin line of their own beside the mean.
MOST_LINES = 40
TRAINING, HELD_OUT = 0, 1  # colours


@dataclass(frozen=True)
class Share:
    """Share of some clips that are right, with Wilson's interval; a row with a bar.

    Args:
        name: of a class or speaker.
        n: number of clips.
        share: None without clips.
        interval: None without clips.
    """

    name: str
    n: int
    share: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class RunFigures:
    """Everything that the page shows of one run beside its clips.

    Args:
        name: how the page calls it.
        info: ``run.json``.
        report: see ``trainer.runs.report.make_report``.
        recall: a row per class.
        speakers: a row per speaker, the worst first; empty where they aren't known.
        reliability: confidence against accuracy; None without clips.
        curves: training curves; empty for a run without a history.
        settings: None for a run made from others.
    """

    name: str
    info: Mapping[str, Any]
    report: Mapping[str, Any]
    recall: Sequence[Share]
    speakers: Sequence[Share]
    reliability: Markup | None
    curves: Sequence[Markup]
    settings: SettingsDiff | None

    @property
    def whole(self) -> Mapping[str, Any]:
        """The figures of the run itself, over all its clips."""
        figures: Mapping[str, Any] = self.report["all"]["ensemble"]
        return figures


def gather_figures(run: Run, name: str) -> RunFigures:
    """Compute a run's figures again from its predictions, and draw its charts.

    Raises:
        RunError: one of the run's files is missing or damaged.
    """
    report = evaluate_run(run)
    whole = report["all"]["ensemble"]
    counts = whole["confusion"]
    recall = [
        _share(label, counts[i][i], sum(counts[i])) for i, label in enumerate(report["classes"])
    ]
    per_speaker = (whole["by_speaker"] or {}).get("per_speaker", {})
    speakers = [_share(speaker, one["correct"], one["n"]) for speaker, one in per_speaker.items()]
    return RunFigures(
        name=name,
        info=run.info,
        report=report,
        recall=recall,
        speakers=sorted(speakers, key=lambda row: row.share or 0.0),
        reliability=draw_reliability(whole["calibration"]),
        curves=draw_history(_read_history(run)),
        settings=compare_settings(run),
    )


def draw_reliability(calibration: Mapping[str, Any]) -> Markup | None:
    """Draw the accuracy of clips against how sure the run is of them; None without clips."""
    points = [(one["confidence"], one["accuracy"]) for one in calibration["bins"] if one["n"]]
    if not points:
        return None
    title = "Reliability: " + ", ".join(
        f"{100 * sure:.0f} % sure, {100 * right:.0f} % right" for sure, right in points
    )
    return draw_chart(
        title,
        replace(SHARES, label="mean probability of the prediction"),
        replace(SHARES, label="share that is right"),
        [
            Line(((0.0, 0.0), (1.0, 1.0)), colour=6, dashed=True, thin=True),
            Line(points, dots=True),
        ],
    )


def draw_history(rows: Sequence[HistoryRow]) -> list[Markup]:
    """Draw loss and accuracy over the epochs: each head thin, the mean of all thick.

    Of training clips the lines are whole, of clips held out of them dashed.
    """
    charts = []
    for name, training, held_out, shares in (
        ("loss", "loss", "validation_loss", False),
        ("accuracy", "train_accuracy", "validation_accuracy", True),
    ):
        lines = [
            *_curves([row for row in rows if row.stage == "train"], training, colour=TRAINING),
            *_curves(rows, held_out, colour=HELD_OUT),
        ]
        if not lines:
            continue
        points = [point for line in lines for point in line.points]
        epochs = round_axis("epoch", [x for x, _ in points], whole=True)
        y = (
            Axis(name, 0.0, 1.0, SHARES.ticks)
            if shares
            else round_axis(name, [0.0, *(y for _, y in points)])
        )
        last = [f"{line.points[-1][1]:.3g}" for line in lines if not line.thin]
        title = f"{name} over the epochs; the mean of all heads ends at {' and '.join(last)}"
        charts.append(draw_chart(title, epochs, y, lines))
    return charts


def _curves(rows: Sequence[HistoryRow], figure: str, *, colour: int) -> list[Line]:
    """Return the thin lines of heads, then their mean; nothing where the figure isn't known."""
    heads: dict[tuple[int | None, int], list[tuple[float, float]]] = defaultdict(list)
    by_epoch: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        value = getattr(row.record, figure)
        if value is not None and np.isfinite(value):
            heads[row.fold, row.seed].append((row.record.epoch, value))
            by_epoch[row.record.epoch].append(value)
    if not heads:
        return []
    dashed = colour == HELD_OUT
    thin = [
        Line(points, colour, dashed=dashed, thin=True)
        for points in list(heads.values())[:MOST_LINES]
        if len(heads) > 1
    ]
    mean = [(float(epoch), float(np.mean(by_epoch[epoch]))) for epoch in sorted(by_epoch)]
    return [*thin, Line(mean, colour, dashed=dashed, dots=len(mean) == 1)]


def _read_history(run: Run) -> list[HistoryRow]:
    path = run.path / HISTORY
    if not path.is_file():
        return []
    try:
        return read_history(path)
    except (ValueError, OSError) as error:
        raise RunError(f"{run.path} is damaged: {error}") from error


def _share(name: str, correct: int, n: int) -> Share:
    return Share(name, n, correct / n if n else None, wilson_interval(correct, n))
