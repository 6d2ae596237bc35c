"""Choice of a row for each fold by the predictions of training clips."""

from __future__ import annotations

from tests.trainer.predictions_helper import predictions_of
from trainer.runs.predictions import Predictions
from trainer.sweeps.choice import choose_rows


def right_on(digits: str) -> Predictions:
    """A clip per digit; 1 where it is predicted rightly."""
    return predictions_of("a" * len(digits), digits.replace("1", "a").replace("0", "h"))


def test_each_fold_gets_the_row_that_is_best_in_it_and_of_equals_the_earlier() -> None:
    scores = choose_rows(
        {
            "one": {0: right_on("1100"), 1: right_on("10100")},
            "two": {0: right_on("1110"), 1: right_on("00110")},
            "three": {0: right_on("1011"), 1: right_on("01000")},
        }
    )
    assert [(s.cell, s.fold, s.correct, s.n, s.chosen) for s in scores] == [
        ("one", 0, 2, 4, False),
        ("two", 0, 3, 4, True),
        ("three", 0, 3, 4, False),
        ("one", 1, 2, 5, True),
        ("two", 1, 2, 5, False),
        ("three", 1, 1, 5, False),
    ]
    assert scores[1].accuracy == 3 / 4


def test_clips_that_a_row_has_no_features_of_count_as_wrong() -> None:
    whole, less = right_on("1110000"), right_on("11100").select(lambda row: row < 2)
    assert [
        (s.correct, s.n, s.chosen) for s in choose_rows({"a": {None: less}, "b": {None: whole}})
    ] == [
        (2, 7, False),
        (3, 7, True),
    ]


def test_a_row_without_features_in_a_fold_is_right_on_none_of_its_clips() -> None:
    nested = {"a": {1: right_on("11")}, "b": {0: right_on("010"), 1: right_on("10")}}
    scores = choose_rows(nested)
    assert {(s.cell, s.fold): (s.correct, s.n, s.chosen) for s in scores} == {
        ("a", 1): (2, 2, True),
        ("b", 1): (1, 2, False),
        ("a", 0): (0, 3, False),
        ("b", 0): (1, 3, True),
    }
