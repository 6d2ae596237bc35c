"""Predictions as a CSV table that reads back exactly."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from trainer.runs.predictions import Predictions, PredictionsError

COLUMNS = ("clip", "label", "prediction")
LAST_COLUMNS = ("fold", "split", "modalities", "untrained")


def format_predictions(table: Predictions) -> str:
    """Write a table as CSV; every probability reads back as the same float64."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"p_{name}" for name in table.classes), *LAST_COLUMNS])
    for i, prediction in enumerate(table.predictions):
        fold = table.folds[i]
        writer.writerow(
            [
                table.clips[i],
                table.labels[i],
                prediction,
                *(repr(float(value)) for value in table.probabilities[i]),
                "" if fold is None else fold,
                table.splits[i] or "",
                table.modalities[i],
                "true" if table.untrained else "false",
            ]
        )
    return text.getvalue()


def read_predictions(path: Path) -> Predictions:
    """Read a table that ``format_predictions`` wrote.

    Raises:
        PredictionsError: a column is missing, a row can't be read, or a prediction is not the most
            probable class; names the file and line.
        OSError: the file can't be read.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    header = rows[0] if rows else []
    classes = tuple(name.removeprefix("p_") for name in header[3:-4])
    if tuple(header) != (*COLUMNS, *(f"p_{name}" for name in classes), *LAST_COLUMNS):
        raise PredictionsError(
            f"{path} is not a table of predictions: expected the columns clip,label,prediction, "
            f"p_<class>..., {','.join(LAST_COLUMNS)}; got {','.join(header) or 'nothing'}"
        )
    probabilities = np.zeros((len(rows) - 1, len(classes)))
    folds: list[int | None] = []
    for line, row in enumerate(rows[1:], start=2):
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} values for {len(header)} columns")
            probabilities[line - 2] = [float(value) for value in row[3:-4]]
            folds.append(int(row[-4]) if row[-4] else None)
        except ValueError as error:
            raise PredictionsError(f"{path}, line {line}: {error}") from error
    body = rows[1:]
    try:
        table = Predictions(
            classes=classes,
            clips=tuple(row[0] for row in body),
            labels=tuple(row[1] for row in body),
            probabilities=probabilities,
            folds=tuple(folds),
            splits=tuple(row[-3] or None for row in body),
            modalities=tuple(row[-2] for row in body),
            untrained=any(row[-1] == "true" for row in body),
        )
    except PredictionsError as error:
        raise PredictionsError(f"{path}: {error}") from error
    for line, (row, prediction) in enumerate(zip(body, table.predictions, strict=True), start=2):
        if row[1] not in classes or row[2] != prediction:
            raise PredictionsError(
                f"{path}, line {line}: expected a label of {', '.join(classes)} and the most "
                f"probable class {prediction!r}, got {row[1]!r} and {row[2]!r}"
            )
    return table
