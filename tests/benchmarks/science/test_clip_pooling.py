"""Rules that pool a clip's frames: each on three frames whose answer is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.science.clip_pooling import (
    CLASSES,
    RULES,
    by_frame,
    mean,
    power,
    smoothed,
    surest,
    trimmed,
)

FRAMES = np.array(
    [
        [0.1, 0.1, 0.1, 0.1, 0.4, 0.1, 0.1],
        [0.7, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05],
        [0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1],
    ]
)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_leaves_one_frame_as_it_is_but_for_votes(name: str) -> None:
    found = RULES[name](FRAMES[:1])
    expected = np.eye(len(CLASSES))[4] if name.startswith("votes") else FRAMES[0]
    np.testing.assert_allclose(found / found.sum(), expected)


def test_rules_pool_as_their_names_say() -> None:
    np.testing.assert_allclose(mean(FRAMES)[:2], [1.1 / 3, 0.35 / 3])
    np.testing.assert_allclose(surest(1 / 3)(FRAMES), FRAMES[1])
    np.testing.assert_allclose(surest(2 / 3)(FRAMES), FRAMES[:2].mean(axis=0))
    np.testing.assert_allclose(trimmed(0.34)(FRAMES)[0], 0.3)  # without 0.1 and 0.7
    np.testing.assert_allclose(power(2)(FRAMES)[0], np.sqrt((0.01 + 0.49 + 0.09) / 3))
    weighted = RULES["weighted by the highest probability"](FRAMES)
    np.testing.assert_allclose(weighted[0], (0.4 * 0.1 + 0.7 * 0.7 + 0.3 * 0.3) / 1.4)
    # Over two frames: the first alone is its own average, by numpy's "same" of a width of 2.
    np.testing.assert_allclose(smoothed(2, lambda rows: rows[1])(FRAMES), FRAMES[:2].mean(axis=0))


def test_the_faces_of_a_frame_are_averaged_and_zeros_get_a_floor() -> None:
    table = np.zeros((3, 9))
    table[:, :2] = [[5, 0], [5, 1], [2, 0]]
    table[0, 2], table[1, 3], table[2, 8] = 1, 1, 1
    found = by_frame(table)
    np.testing.assert_allclose(found[0, 6], 1, atol=1e-3)  # frame 2 comes first
    np.testing.assert_allclose(found[1, :2], 0.5, atol=1e-3)
    assert found.min() > 0
    np.testing.assert_allclose(found.sum(axis=1), 1)
