from __future__ import annotations

import numpy as np
import pytest

from trainer.stills.images.ferplus_votes import (
    FERPLUS_CLASSES,
    PUBLISHED,
    majority_labels,
    vote_targets,
    without_outliers,
)

# neutral happiness surprise sadness anger disgust fear contempt | unknown not-a-face
ROWS = {
    "all say happy": ([0, 10, 0, 0, 0, 0, 0, 0, 0, 0], 1, {1: 1.0}),
    # The two single votes go, 6 of 8 are more than half.
    "single votes are slips": ([1, 6, 0, 2, 1, 0, 0, 0, 0, 0], 1, {1: 0.75, 3: 0.25}),
    # 5 of 10 is not more than half.
    "half is no majority": ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], -1, {0: 0.5, 1: 0.5}),
    # 5 of 9 is, because the tenth vote is dropped before they are counted.
    "dropping makes a majority": ([5, 0, 0, 4, 1, 0, 0, 0, 0, 0], 0, {0: 5 / 9, 3: 4 / 9}),
    "a plurality is none": ([4, 3, 3, 0, 0, 0, 0, 0, 0, 0], -1, {0: 0.4, 1: 0.3, 2: 0.3}),
    # Unknown wins: neither tested nor trained on.
    "mostly unknown": ([4, 0, 0, 0, 0, 0, 0, 0, 6, 0], -1, {}),
    # Three unknown count in the majority's whole (6 of 9) and not in the target.
    "a few unknown": ([6, 0, 0, 0, 0, 0, 0, 0, 3, 0], 0, {0: 1.0}),
    # 5 of 10 with unknown counted: no label, though every vote for a class is for neutral.
    "unknown takes the majority away": ([5, 0, 0, 0, 0, 0, 0, 0, 3, 2], -1, {0: 1.0}),
    "not a face": ([0, 0, 0, 0, 0, 0, 0, 0, 0, 10], -1, {}),
    "as many for a class as unknown": ([5, 0, 0, 0, 0, 0, 0, 0, 5, 0], -1, {0: 1.0}),
    "nothing but slips": ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], -1, {}),
    "no votes at all": ([0] * 10, -1, {}),
    "contempt is the last class": ([0, 0, 0, 0, 0, 0, 0, 7, 0, 0], 7, {7: 1.0}),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_votes_gives_the_label_and_target_worked_out_by_hand(name: str) -> None:
    votes, label, shares = ROWS[name]
    target = np.zeros(8, np.float32)
    for place, share in shares.items():
        target[place] = share
    array = np.array([votes], np.int64)
    assert majority_labels(array).tolist() == [label]
    np.testing.assert_allclose(vote_targets(array), target[None], rtol=0, atol=1e-7)


def test_rows_do_not_know_of_each_other() -> None:
    votes = np.array([row for row, _, _ in ROWS.values()], np.int64)
    assert majority_labels(votes).tolist() == [label for _, label, _ in ROWS.values()]
    one_by_one = np.concatenate([vote_targets(row[None]) for row in votes])
    np.testing.assert_array_equal(vote_targets(votes), one_by_one)


def test_only_single_votes_are_outliers() -> None:
    assert without_outliers(np.array([[0, 1, 2, 3]])).tolist() == [[0, 0, 2, 3]]


def test_the_classes_are_ferplus_columns_in_order() -> None:
    assert FERPLUS_CLASSES[0] == "neutral"
    assert FERPLUS_CLASSES[4:] == ("angry", "disgust", "fear", "contempt")
    assert PUBLISHED[:5] == ("neutral", "happiness", "surprise", "sadness", "anger")
