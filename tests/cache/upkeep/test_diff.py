from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cache.sets.feature_set import FeatureSet, SetError, SetSpec
from cache.upkeep.diff import compare_arrays, diff_sets, pair_sets
from tests.cache.conftest import WriteEntry, arrays_of


@pytest.fixture
def other(tmp_path: Path) -> FeatureSet:
    """The set of the same network at another size, in another cache."""
    spec = SetSpec("resnet18", {"size": 17}, version=1, weights="a" * 64)
    return FeatureSet(tmp_path / "other", spec).create({})


def test_cosine_and_largest_difference_are_those_worked_out_by_hand() -> None:
    one = np.array([[3.0, 0.0], [0.0, 4.0]], np.float32)
    other = np.array([[3.0, 0.0], [4.0, 0.0]], np.float32)
    found = compare_arrays("basic", one, other)
    # 9 of two vectors of length 5.
    assert found.cosine == pytest.approx(9 / 25)
    assert (found.largest, found.scale) == (4.0, 4.0)


@pytest.mark.parametrize(
    ("one", "other", "cosine", "largest"),
    [
        ([0.0, 0.0], [0.0, 0.0], 1.0, 0.0),
        ([0.0, 0.0], [0.0, 2.0], None, 2.0),
        ([1e200, 0.0], [1e200, 1e200], math.sqrt(0.5), 1e200),
        ([1.0, 0.0], [-1.0, 0.0], -1.0, 2.0),
        ([], [], 1.0, 0.0),
        ([1.0], [1.0, 2.0], None, None),
    ],
)
def test_zeros_large_numbers_and_other_lengths_have_an_answer(
    one: list[float], other: list[float], cosine: float | None, largest: float | None
) -> None:
    found = compare_arrays("basic", np.array(one), np.array(other))
    assert found.cosine == (None if cosine is None else pytest.approx(cosine))
    assert found.largest == largest


def test_two_sets_are_compared_clip_by_clip(
    feature_set: FeatureSet, other: FeatureSet, write_entry: WriteEntry
) -> None:
    for clip in ("same", "moved", "here"):
        write_entry(clip)
    write_entry("same", into=other)
    moved = arrays_of()
    moved["basic"][3, 2] += np.float32(0.5)
    write_entry("moved", moved, missing=["2 frames"], into=other)
    write_entry("there", into=other)
    found = diff_sets(feature_set, other)
    assert found.settings == ("settings.size: 13 -> 17",)
    assert (found.only_one, found.only_other) == (("here",), ("there",))
    clips = {clip.clip: clip for clip in found.clips}
    assert clips["same"].equal
    assert clips["same"].same == ("basic", "times")
    (array,) = clips["moved"].arrays
    assert array.array == "basic"
    assert array.largest == pytest.approx(0.5)
    assert array.cosine is not None
    assert 0.9 < array.cosine < 1
    assert clips["moved"].same == ("times",)
    assert clips["moved"].notes == ("ok -> 2 frames",)
    assert not found.equal


def test_a_damaged_entry_and_an_array_of_one_alone_are_problems_of_their_clips(
    feature_set: FeatureSet, other: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("more", {**arrays_of(), "mean": arrays_of()["basic"]})
    write_entry("more", into=other)
    path = write_entry("bad")
    path.write_bytes(path.read_bytes()[:-1])
    write_entry("bad", into=other)
    bad, more = diff_sets(feature_set, other).clips
    assert "is damaged" in bad.problem
    assert more.problem == "mean only in the first"
    assert not bad.equal
    assert not more.equal


def test_sets_are_paired_by_key_then_by_a_name_that_is_unique(
    feature_set: FeatureSet, other: FeatureSet
) -> None:
    here, there = feature_set.cache, other.cache
    assert [(a.folder, b.folder) for a, b in pair_sets(here, there)] == [
        (feature_set.folder, other.folder)
    ]
    same = FeatureSet(there, feature_set.spec).create({})
    assert [(a.folder, b.folder) for a, b in pair_sets(here, there)] == [
        (feature_set.folder, same.folder)
    ]
    assert [b.folder for _, b in pair_sets(feature_set.folder, other.folder)] == [other.folder]
    with pytest.raises(SetError, match="has 2 sets resnet18"):
        pair_sets(here, there, ["resnet18"])
    with pytest.raises(SetError, match="name sets only beside two caches"):
        pair_sets(feature_set.folder, there, ["resnet18"])
    FeatureSet(there.parent / "third", SetSpec("ir50", {}, 1)).create({})
    with pytest.raises(SetError, match="no set in common"):
        pair_sets(here, there.parent / "third")
