"""Choice of a sweep's row for each fold, by what its heads predict inside the training clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cache.codec import JsonFields
from trainer.runs.predictions import Predictions

CRITERION = (
    "accuracy on the training clips of the fold, each predicted by heads that saw neither it nor "
    "the tested clips; a clip without features counts as wrong; of equal rows the earlier"
)


@dataclass(frozen=True)
class InnerScore(JsonFields):
    """Score of a row in the choice for one fold.

    Args:
        cell: the row.
        fold: number of the fold that is tested; None for a split of the manifest.
        n: training clips of the fold that any row predicts.
        correct: of these, those that this row predicts rightly.
        accuracy: the share.
        chosen: whether the row is tested on the fold.
    """

    cell: str
    fold: int | None
    n: int
    correct: int
    accuracy: float
    chosen: bool


def choose_rows(
    nested: Mapping[str, Mapping[int | None, Predictions]],
) -> list[InnerScore]:
    """Score every row in every fold, and choose one for each.

    Args:
        nested: nested predictions of each row by fold, as ``read_nested`` returns them, in the
            order of the table; a fold of whose clips a row has no features is left out there.

    Returns:
        The scores, fold after fold, in each in the order of the rows. ``CRITERION`` says which is
        chosen.
    """
    scores = []
    for fold in dict.fromkeys(fold for of_row in nested.values() for fold in of_row):
        tables = {row: of_row[fold] for row, of_row in nested.items() if fold in of_row}
        n = len({clip for table in tables.values() for clip in table.clips})
        correct = {row: sum(tables[row].correct) if row in tables else 0 for row in nested}
        best = max(correct, key=correct.__getitem__)  # the first of equals
        scores += [
            InnerScore(row, fold, n, right, right / n, row == best)
            for row, right in correct.items()
        ]
    return scores
