"""Rows against the first: pairs of speakers or clips, and p values for that many tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.trainer.predictions_helper import predictions_of
from trainer.runs.compare import compare_predictions
from trainer.runs.predictions import Predictions
from trainer.sweeps.against import compare_with_first, correct_by_holm


def table(right: str, *, speakers: str = "", first: int = 0) -> Predictions:
    """A clip per digit of ``right``, from number ``first`` on; 1 where it is predicted rightly."""
    whole = "0" * first + right
    found = predictions_of("a" * len(whole), whole.replace("1", "a").replace("0", "h"))
    return replace(
        found.select(lambda row: row >= first), speakers=tuple(speakers) or (None,) * len(right)
    )


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        # By hand: 0.01 * 3; 0.02 * 2; 0.03 is less than the 0.04 before it.
        ([0.02, 0.01, 0.03], [0.04, 0.03, 0.04]),
        # The smallest times 4, the next times 3 but at least as large, the others at most 1.
        ([0.5, 0.011, 0.9, 0.012], [1.0, 0.044, 1.0, 0.044]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_p_values_are_corrected_as_holm_does(given: list[float], corrected: list[float]) -> None:
    assert correct_by_holm(given) == pytest.approx(corrected)


def test_rows_are_paired_by_speaker_and_corrected_for_their_number() -> None:
    speakers = "aabbccddee"
    first = table("0000000000", speakers=speakers)
    better = table("1111111111", speakers=speakers)
    alike = table("1000000000", speakers=speakers)
    found = compare_with_first({"first": first, "better": better, "alike": alike})
    assert list(found) == ["better", "alike"]
    # Five speakers, all on one side: 2 of 32 ways; one speaker: 2 of 2. Times 2, times 1.
    assert found["better"].p_value == pytest.approx(2 / 32)
    assert found["better"].p_holm == pytest.approx(4 / 32)
    assert (found["alike"].p_value, found["alike"].p_holm) == (1.0, 1.0)
    assert (found["better"].paired_by, found["better"].speakers) == ("speaker", 5)
    assert (found["better"].row, found["better"].tests, found["better"].n) == ("first", 2, 10)
    assert found["alike"].difference == pytest.approx(0.1)
    pair = compare_predictions(first, better).by_speaker
    assert pair
    assert found["better"].interval == pair.interval


def test_without_speakers_clips_are_paired_on_those_that_both_rows_have() -> None:
    first, other = table("000000"), table("1111111", first=2)
    (against,) = compare_with_first({"first": first, "other": other}).values()
    assert (against.paired_by, against.speakers, against.n) == ("clip", None, 4)
    assert against.p_value == pytest.approx(2 / 16)  # McNemar: four pairs on one side
    assert against.interval == compare_predictions(first, other, common=True).interval


def test_a_row_that_shares_no_clip_with_the_first_is_not_compared_nor_counted() -> None:
    tables = {"first": table("01"), "apart": table("01", first=7), "other": table("11")}
    found = compare_with_first(tables)
    assert list(found) == ["other"]
    assert found["other"].tests == 1
    assert compare_with_first({}) == {}
