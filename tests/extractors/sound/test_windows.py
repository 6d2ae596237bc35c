from __future__ import annotations

import numpy as np
import pytest
from python_speech_features import delta

from extractors.sound.windows import STEPS_PER_BLOCK, DeltaBuffer, WindowBuffer


def test_windows_are_the_samples_in_order() -> None:
    buffer = WindowBuffer(window=5, hop=2)
    found = [*buffer.push(np.arange(4.0)), *buffer.push(np.arange(4.0, 10.0)), *buffer.finish()]
    assert np.concatenate(found).tolist() == [
        [0, 1, 2, 3, 4],
        [2, 3, 4, 5, 6],
        [4, 5, 6, 7, 8],
    ]


def test_a_full_block_is_given_as_soon_as_it_is_there() -> None:
    buffer = WindowBuffer(window=3, hop=3)
    blocks = list(buffer.push(np.arange(STEPS_PER_BLOCK * 6.0 + 3)))
    assert [len(block) for block in blocks] == [STEPS_PER_BLOCK, STEPS_PER_BLOCK]
    assert [len(block) for block in buffer.finish()] == [1]
    assert list(buffer.finish()) == []


@pytest.mark.parametrize("reach", [1, 2, 3])
@pytest.mark.parametrize("cuts", [[], [1], [2, 2, 3], [5, 6, 12]])
def test_deltas_in_blocks_equal_the_librarys_on_the_whole(reach: int, cuts: list[int]) -> None:
    features = np.random.default_rng(2).normal(size=(13, 3))
    buffer = DeltaBuffer(reach)
    parts = [buffer.push(block) for block in np.split(features, cuts)]
    last = buffer.finish()
    assert last is not None
    np.testing.assert_allclose(np.concatenate([*parts, last]), delta(features, reach), atol=1e-14)


def test_windows_overlap_across_blocks_too() -> None:
    samples = np.arange(STEPS_PER_BLOCK * 5.0)
    buffer = WindowBuffer(window=7, hop=2)
    found = np.concatenate([*buffer.push(samples), *buffer.finish()])
    expected = np.lib.stride_tricks.sliding_window_view(samples, 7)[::2]
    assert np.array_equal(found, expected)


def test_deltas_of_nothing_are_none() -> None:
    assert DeltaBuffer(2).finish() is None
