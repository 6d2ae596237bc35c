"""History of a run: one row per epoch of every head, as a CSV table and as curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cache.cells import format_cells, read_cells
from trainer.runs.plots import plot_curves
from trainer.training.trained import EpochRecord

Stage = Literal["choose", "train"]

COLUMNS = (
    "fold",
    "seed",
    "stage",
    "epoch",
    "loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "seconds",
)


@dataclass(frozen=True)
class HistoryRow:
    """One epoch of one head.

    Args:
        fold: the fold; None for the splits of a manifest.
        seed: the head's seed.
        stage: ``choose`` while the number of epochs is chosen on clips held out of the training
            clips, ``train`` while the head that is kept is trained.
        record: what the epoch did.
    """

    fold: int | None
    seed: int
    stage: Stage
    record: EpochRecord


def format_history(rows: Iterable[HistoryRow]) -> str:
    """Write the rows as CSV; an empty cell is a figure that was not measured."""
    table: list[list[object]] = []
    for row in rows:
        record = row.record
        values: list[object] = [row.fold, row.seed, row.stage, record.epoch]
        figures = [
            record.loss,
            record.train_accuracy,
            record.validation_loss,
            record.validation_accuracy,
            record.learning_rate,
            record.seconds,
        ]
        table.append(
            ["" if value is None else value for value in values]
            + ["" if value is None else repr(float(value)) for value in figures]
        )
    return format_cells(COLUMNS, table)


def read_history(path: Path) -> list[HistoryRow]:
    """Read the rows that ``format_history`` wrote.

    Raises:
        ValueError: it is not such a table; names the file.
        OSError: it can't be read.
    """
    header, *rows = read_cells(path) or [[]]
    if tuple(header) != COLUMNS:
        raise ValueError(f"{path} is not a history: expected the columns {','.join(COLUMNS)}")
    return [
        HistoryRow(
            fold=int(row["fold"]) if row["fold"] else None,
            seed=int(row["seed"]),
            stage="choose" if row["stage"] == "choose" else "train",
            record=EpochRecord(
                epoch=int(row["epoch"]),
                loss=float(row["loss"]),
                train_accuracy=float(row["train_accuracy"]),
                learning_rate=float(row["learning_rate"]),
                seconds=float(row["seconds"]),
                validation_loss=_number(row["validation_loss"]),
                validation_accuracy=_number(row["validation_accuracy"]),
            ),
        )
        for row in (dict(zip(COLUMNS, values, strict=True)) for values in rows)
    ]


def plot_history(rows: Sequence[HistoryRow], *, title: str, untrained: bool = False) -> bytes:
    """Draw loss and accuracy over the epochs, of training clips and of those held out of them."""
    points = [
        {
            "fold": row.fold,
            "seed": row.seed,
            "epoch": row.record.epoch,
            "training clips": row.record.loss if row.stage == "train" else None,
            "held-out clips": row.record.validation_loss,
            "training clips ": row.record.train_accuracy if row.stage == "train" else None,
            "held-out clips ": row.record.validation_accuracy,
        }
        for row in rows
    ]
    figures = {
        "loss": ["training clips", "held-out clips"],
        "accuracy": ["training clips ", "held-out clips "],
    }
    return plot_curves(points, figures=figures, title=title, untrained=untrained)


def _number(text: str) -> float | None:
    return float(text) if text else None
