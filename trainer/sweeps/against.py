"""Rows of a sweep against its first one: paired differences, with p values for that many tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.runs.compare import compare_predictions
from trainer.runs.predictions import Predictions, PredictionsError


@dataclass(frozen=True)
class Against:
    """Paired comparison of a row with the table's first.

    Args:
        row: the first row that has a result.
        n: clips that both rows have.
        difference: accuracy of this row less that of the first, on these clips.
        interval: 95 % interval of the difference; of this row alone, whatever the others are.
        p_value: of the same test as ``compare`` makes, uncorrected.
        p_holm: the same, corrected for ``tests``.
        tests: number of rows that were compared with the first.
        paired_by: what interval and test take as drawn by chance.
        speakers: number of speakers; None where clips are paired.
    """

    row: str
    n: int
    difference: float
    interval: tuple[float, float]
    p_value: float
    p_holm: float
    tests: int
    paired_by: Literal["speaker", "clip"]
    speakers: int | None


def compare_with_first(tables: Mapping[str, Predictions]) -> dict[str, Against]:
    """Compare every row with the first, on the clips that both have.

    Pairs are of speakers where every clip names its own (cluster bootstrap, exact sign flips), of
    clips elsewhere (Newcombe's interval, McNemar's exact test).

    Args:
        tables: predictions of the rows that have a result, in the order of the table.

    Returns:
        The comparisons, by row; none of the first itself, nor of one that has no clip or other
        classes in common with it.
    """
    if not tables:
        return {}
    first, *others = tables
    found = {}
    for name in others:
        try:
            found[name] = compare_predictions(
                tables[first], tables[name], names=(first, name), common=True
            )
        except PredictionsError:
            continue
    pairs = [one.by_speaker or one for one in found.values()]
    corrected = correct_by_holm([pair.p_value for pair in pairs])
    return {
        name: Against(
            row=first,
            n=one.n,
            difference=one.difference,
            interval=pair.interval,
            p_value=pair.p_value,
            p_holm=p_holm,
            tests=len(found),
            paired_by="speaker" if one.by_speaker else "clip",
            speakers=one.by_speaker.speakers if one.by_speaker else None,
        )
        for (name, one), pair, p_holm in zip(found.items(), pairs, corrected, strict=True)
    }


def correct_by_holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for the number of tests: a false finding among them stays as rare as in one.

    Args:
        p_values: one a test.

    Returns:
        In the same order: of m tests the smallest p times m, the next times m - 1 ..., at most 1,
        and none below one that was smaller.

    Source:
        Holm, "A simple sequentially rejective multiple test procedure", 1979. Written out, as
        SciPy has only corrections of the false discovery rate.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
