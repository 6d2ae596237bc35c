"""Tables of predictions: joined over folds, averaged over heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.trainer.predictions_helper import predictions_of
from trainer.runs.predictions import (
    Predictions,
    PredictionsError,
    check_same,
    mean_predictions,
    pool_predictions,
)


def test_a_prediction_is_the_most_probable_class_and_the_first_of_equals() -> None:
    table = replace(
        predictions_of("ahs", "ahs"),
        probabilities=np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.0, 0.0, 1.0]]),
    )
    assert table.predictions == ("happy", "angry", "sad")


def test_rows_can_be_kept() -> None:
    table = predictions_of("ahs", "hhs", folds=(0, 1, 2), modalities=("audio", "video", "audio"))
    kept = table.select(lambda i: i != 1)
    assert (kept.clips, kept.labels) == (("c00", "c02"), ("angry", "sad"))
    assert (kept.predictions, kept.folds) == (("happy", "sad"), (0, 2))
    assert kept.modalities == ("audio", "audio")
    assert table.select(lambda _: False).predictions == ()


def test_folds_are_pooled_in_the_order_of_clip_ids() -> None:
    table = predictions_of("ahsah", "ahsss", folds=(0, 1, 0, 1, 1), untrained=True)
    parts = [table.select(lambda i, fold=fold: table.folds[i] == fold) for fold in (1, 0)]
    pooled = pool_predictions(parts)
    assert pooled.clips == table.clips
    assert pooled.predictions == table.predictions
    assert (pooled.labels, pooled.folds) == (table.labels, table.folds)
    assert pooled.untrained


def test_folds_that_overlap_or_differ_are_refused() -> None:
    table = predictions_of("ah", "ah")
    with pytest.raises(PredictionsError, match="clip c00 stands twice"):
        pool_predictions([table, table])
    other = predictions_of("ah", "ah", classes=("angry", "happy"))
    for parts in ([], [table, other]):
        with pytest.raises(PredictionsError, match="folds with the same classes"):
            pool_predictions(parts)


def test_an_ensemble_is_the_mean_of_the_probabilities() -> None:
    a = replace(predictions_of("a", "a"), probabilities=np.array([[0.5, 0.25, 0.25]]))
    b = replace(predictions_of("a", "a"), probabilities=np.array([[0.0, 0.75, 0.25]]))
    mean = mean_predictions([a, b])
    assert mean.probabilities.tolist() == [[0.25, 0.5, 0.25]]
    assert mean.predictions == ("happy",)
    weighted = mean_predictions([a, b], [3, 1])
    assert weighted.probabilities.tolist() == [[0.375, 0.375, 0.25]]
    assert mean_predictions([a, b], [1, 0]).probabilities.tolist() == a.probabilities.tolist()


def test_what_members_disagree_on_is_not_invented() -> None:
    a = predictions_of("ah", "ah", folds=(0, 1), modalities=("audio", "audio"))
    b = predictions_of("ah", "ah", folds=(0, 2), modalities=("video", "audio"), untrained=True)
    mean = mean_predictions([a, b])
    assert mean.folds == (0, None)
    assert mean.modalities == ("audio+video", "audio")
    assert mean.untrained


def test_a_clip_is_of_the_speaker_whom_all_tables_name_that_name_one() -> None:
    older = predictions_of("ahsa", "ahsa")
    a = predictions_of("ahsa", "ahsa", speakers=("x", "x", "y", None))
    b = predictions_of("ahsa", "ahsa", speakers=("x", "z", None, None))
    assert mean_predictions([older, a, b]).speakers == ("x", None, "y", None)
    halves = [a.select(lambda i: i % 2 == 1), a.select(lambda i: i % 2 == 0)]
    assert pool_predictions(halves).speakers == a.speakers


def test_members_that_do_not_fit_together_are_refused() -> None:
    table = predictions_of("ahs", "ahs")
    with pytest.raises(PredictionsError, match="at least one table"):
        mean_predictions([])
    with pytest.raises(PredictionsError, match="got 3 weights for 2 members"):
        mean_predictions([table, table], [1, 1, 1])
    for weights in ([0, 0], [1, -1], [1, float("nan")]):
        with pytest.raises(PredictionsError, match="finite, not negative and not all 0"):
            mean_predictions([table, table], weights)
    fewer = table.select(lambda i: i < 2)
    with pytest.raises(
        PredictionsError, match=r"one has 3 clips and two 2, 2 of them in both .*not: c02\)"
    ):
        check_same(table, fewer, names=("one", "two"))
    with pytest.raises(PredictionsError, match="member 2 angry, happy; they must be the same"):
        mean_predictions([table, predictions_of("ah", "ah", classes=("angry", "happy"))])
    with pytest.raises(PredictionsError, match="1 clips, such as c01, have another label in one"):
        check_same(table, predictions_of("ass", "ahs"), names=("one", "two"))


def test_tables_that_are_not_whole_are_refused() -> None:
    table = predictions_of("ah", "ah")
    with pytest.raises(PredictionsError, match="a column has 1 values for 2 clips"):
        replace(table, labels=("angry",))
    with pytest.raises(PredictionsError, match="a column has 1 values for 2 clips"):
        replace(table, speakers=("x",))
    with pytest.raises(PredictionsError, match="speaker '=x' has '=' where a formula begins"):
        replace(table, speakers=("=x", None))
    with pytest.raises(PredictionsError, match=r"shape \(2, 3\), got \(2, 2\)"):
        replace(table, probabilities=np.zeros((2, 2)))
    with pytest.raises(PredictionsError, match="clip c00 stands twice or out of order"):
        replace(table, clips=("c01", "c00"))
    broken = np.array([[0.1, 0.2, 0.7], [0.1, np.nan, 0.9]])
    with pytest.raises(PredictionsError, match="clip c01 has a probability that is not a number"):
        replace(table, probabilities=broken)


def test_a_table_may_be_empty() -> None:
    empty = Predictions(("a", "b"), (), (), np.zeros((0, 2)), (), (), ())
    assert empty.predictions == ()
