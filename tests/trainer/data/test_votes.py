from __future__ import annotations

import numpy as np
import pytest

from trainer.data.votes import VotesError, check_votes, share_votes

CLASSES = ("angry", "happy", "sad")


def test_votes_become_shares_in_the_order_of_the_classes() -> None:
    votes = {"a": (("sad", 1.0), ("angry", 3.0)), "c": (("happy", 0.5),)}
    shares = share_votes(("a", "b", "c"), votes, CLASSES)
    np.testing.assert_array_equal(shares, [[0.75, 0, 0.25], [0, 0, 0], [0, 1, 0]])
    assert shares.dtype == np.float32


def test_votes_for_what_is_no_class_are_refused_unless_nobody_gave_them() -> None:
    share_votes(("a",), {"a": (("sad", 1.0), ("calm", 0.0))}, CLASSES)
    with pytest.raises(VotesError, match=r"clip a has votes for 'calm'.*angry, happy, sad"):
        share_votes(("a",), {"a": (("sad", 1.0), ("calm", 1.0))}, CLASSES)


def test_training_clips_without_votes_are_counted_and_the_first_is_named() -> None:
    shares = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0]], np.float32)
    check_votes(shares[:1], ["a"])
    with pytest.raises(VotesError, match=r"2 of 3 training clips have no votes.*, b first"):
        check_votes(shares, ["a", "b", "c"])
    with pytest.raises(VotesError, match=r"1 of 1 training clips have no votes.*, a first"):
        check_votes(None, ["a"])
