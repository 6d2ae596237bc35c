"""Tables and pictures that a fine-tuning writes beside its report into the run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cache.cells import format_cells
from trainer.runs.plots import plot_confusion, plot_curves
from trainer.runs.terminal import format_interval, format_percent
from trainer.stills.finetune import StillEpoch
from trainer.stills.images.parts import Unreadable

CONFUSION_TABLE, UNREADABLE = "confusion.csv", "unreadable.csv"
HISTORY_COLUMNS = ("epoch", "image_size", "loss", "valid_accuracy", "valid_loss")


def draw_confusion(report: Mapping[str, Any]) -> bytes:
    """Draw the confusion matrix of the reported images, as PNG."""
    figures = report["all"]["ensemble"]
    return plot_confusion(
        figures["confusion"],
        report["classes"],
        title=(
            f"{report['title']}\naccuracy {format_percent(figures['accuracy'])} "
            f"{format_interval(figures['interval'])}, n {figures['n']}"
        ),
    )


def draw_curves(rows: Sequence[StillEpoch], title: str, *, tested: bool) -> bytes:
    """Draw loss and accuracy over the epochs, as PNG; without validation images the loss alone."""
    points = [
        {
            "epoch": row.epoch,
            "training images": row.loss,
            "validation images": row.valid_loss if tested else None,
            "validation images ": row.valid_accuracy if tested else None,
        }
        for row in rows
    ]
    figures = {
        "loss": ["training images", "validation images"],
        "accuracy": ["validation images "],
    }
    return plot_curves(points, figures=figures, title=title)


def format_confusion(report: Mapping[str, Any]) -> str:
    """Write the confusion matrix as CSV: a row per label, a column per prediction."""
    classes = report["classes"]
    rows = report["all"]["ensemble"]["confusion"]
    return format_cells(
        ["label", *classes], [[name, *row] for name, row in zip(classes, rows, strict=True)]
    )


def format_history(rows: Sequence[StillEpoch], *, tested: bool) -> str:
    """Write the epochs as CSV; figures of validation images are empty where there are none."""
    return format_cells(
        HISTORY_COLUMNS,
        [
            [
                row.epoch,
                row.image_size,
                repr(row.loss),
                repr(row.valid_accuracy) if tested else "",
                repr(row.valid_loss) if tested else "",
            ]
            for row in rows
        ],
    )


def format_unreadable(images: Sequence[Unreadable]) -> str:
    """Write which images were skipped, and why, as CSV."""
    return format_cells(["image", "reason"], [[image.name, image.reason] for image in images])
