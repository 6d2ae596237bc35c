"""Steps of many clips, written behind each other."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.data.sequences import Sequences, flatten_grid, join


def sequences(lengths: list[int], *shape: int, start: float = 0.0) -> Sequences:
    total = sum(lengths)
    values = np.arange(total * int(np.prod(shape)), dtype=np.float32).reshape(total, *shape)
    times = np.concatenate([start + 0.1 * np.arange(n) for n in lengths] or [np.zeros(0)])
    return Sequences(values, times, np.concatenate([[0], np.cumsum(lengths)]))


def test_each_clip_has_its_own_steps_and_times() -> None:
    three = sequences([2, 0, 3], 5)
    assert len(three) == 3
    assert three.shape == (5,)
    assert three.lengths.tolist() == [2, 0, 3]
    assert three.of(1).shape == (0, 5)
    assert three.of(2)[0, 0] == 2 * 5
    np.testing.assert_allclose(three.times_of(2), [0.0, 0.1, 0.2])


@pytest.mark.parametrize(
    ("offsets", "message"),
    [([0, 2, 1, 3], "rise from 0 to 3"), ([1, 3], "rise"), ([0, 2], "rise"), ([], "rise")],
)
def test_offsets_that_do_not_fit_are_refused(offsets: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sequences(np.zeros((3, 1), np.float32), np.zeros(3), np.array(offsets, np.int64))


def test_times_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 steps have 2 times"):
        Sequences(np.zeros((3, 1), np.float32), np.zeros(2), np.array([0, 3]))


def test_a_grid_becomes_steps_of_one_time_each() -> None:
    grid = sequences([2, 1], 3, 7)  # F' = 3 bands of D = 7
    flat = flatten_grid(grid)
    assert flat.values.shape == (9, 7)
    assert flat.lengths.tolist() == [6, 3]
    np.testing.assert_array_equal(flat.of(0)[4], grid.of(0)[1, 1])
    np.testing.assert_allclose(flat.times_of(0), [0, 0, 0, 0.1, 0.1, 0.1])


def test_a_grid_of_other_axes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(F, D\), got \(3,\)"):
        flatten_grid(sequences([2], 3))


CLIPS = ["ada", "bob"]


def test_a_join_writes_the_sets_side_by_side() -> None:
    a, b = sequences([2, 1], 3), sequences([2, 1], 5)
    joined = join([a, b], CLIPS, ["a", "b"])
    np.testing.assert_array_equal(joined.values[:, :3], a.values)
    np.testing.assert_array_equal(joined.values[:, 3:], b.values)
    assert join([a], CLIPS, ["a"]) is a


def test_a_join_of_other_steps_is_refused_and_names_the_clip() -> None:
    with pytest.raises(ValueError, match="clip bob has 1 steps in a and 2 in b"):
        join([sequences([2, 1], 3), sequences([2, 2], 3)], CLIPS, ["a", "b"])


def test_a_join_of_other_times_is_refused_and_names_the_clip() -> None:
    with pytest.raises(ValueError, match="clip ada has its steps at other times in b than in a"):
        join([sequences([2, 1], 3), sequences([2, 1], 3, start=0.04)], CLIPS, ["a", "b"])


def test_a_set_of_grids_alone_is_no_join() -> None:
    alone = sequences([2, 1], 3).with_values(np.zeros((3, 5, 7), np.float32))
    assert join([alone], CLIPS, ["logmel"]) is alone


def test_a_join_of_grids_is_refused() -> None:
    with pytest.raises(ValueError, match=r"b can't be joined: its steps have shape \(3, 7\)"):
        join([sequences([2, 1], 3), sequences([2, 1], 3, 7)], CLIPS, ["a", "b"])
