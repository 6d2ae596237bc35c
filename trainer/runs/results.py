"""Write what a run predicted into its folder: tables, figures, pictures, and the final mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.runs.folder import CONFUSION, Run, read_members
from trainer.runs.plots import plot_confusion
from trainer.runs.predictions import Predictions
from trainer.runs.report import MissingClip, make_report
from trainer.runs.run_writer import RunWriter
from trainer.runs.text import format_interval, format_percent

UNTRAINED_WARNING = (
    "untrained: random weights stand behind these features; no figure of this run means anything"
)


def write_results(
    writer: RunWriter,
    *,
    title: str,
    pooled: Predictions,
    members: Mapping[str, Predictions],
    members_are: str,
    missing: Sequence[MissingClip] = (),
    warnings: Sequence[str] = (),
    coverage: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write predictions, metrics and the confusion matrix, and mark the run finished.

    Args:
        writer: the run folder.
        title: first line of the report.
        pooled: the mean of the members.
        members: the predictions of each seed or run.
        members_are: ``seeds`` or ``runs``.
        missing: test clips without features.
        warnings: what belongs beside every figure; that features are untrained is added.
        coverage: frames with a face, per set.

    Returns:
        The report, as written to ``metrics.json``.
    """
    texts = [*warnings]
    if pooled.untrained and UNTRAINED_WARNING not in texts:
        texts.insert(0, UNTRAINED_WARNING)
    report = make_report(
        pooled,
        members,
        title=title,
        missing=missing,
        warnings=texts,
        members_are=members_are,
        coverage=coverage,
    )
    writer.write_predictions(pooled, members)
    ensemble = report["all"]["ensemble"]
    picture = plot_confusion(
        ensemble["confusion"],
        pooled.classes,
        title=(
            f"{title}\naccuracy {format_percent(ensemble['accuracy'])} "
            f"{format_interval(ensemble['interval'])}, n {ensemble['n']}"
        ),
        untrained=pooled.untrained,
    )
    writer.write(picture, CONFUSION)
    writer.finish(
        report,
        members=list(members),
        members_are=members_are,
        untrained=pooled.untrained,
        warnings=texts,
    )
    return report


def evaluate_run(run: Run) -> dict[str, Any]:
    """Compute a run's report again, from its predictions alone.

    Args:
        run: a finished run.

    Returns:
        The same as the run's ``metrics.json``, unless its files were changed.

    Raises:
        RunError: a member's predictions are missing or damaged.
    """
    missing = [MissingClip(**clip) for clip in run.metrics["missing"]["clips"]]
    return make_report(
        run.predictions,
        read_members(run),
        title=run.metrics["title"],
        missing=missing,
        warnings=run.info["warnings"],
        members_are=run.info["members_are"],
        coverage=run.metrics.get("coverage"),
    )
