from __future__ import annotations

import errno
import os
import tracemalloc

import numpy as np
import pytest

from cache.commit import CacheWriteError
from cache.packs.pack import PackError, find_packs, open_pack
from cache.sets.feature_set import FeatureSet
from tests.cache.conftest import WriteEntry, arrays_of, names_in


def test_rows_of_two_shapes_are_refused_by_clip(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("a")
    write_entry("b", {"times": np.arange(3.0), "basic": np.ones((3, 11), np.float32)})
    with pytest.raises(PackError, match=r"clip b: array basic has rows of shape \(11,\).*a have"):
        open_pack(feature_set, ["a", "b"], "basic")
    assert find_packs(feature_set.cache) == []
    assert names_in(feature_set.cache / "packs") == []


@pytest.mark.parametrize(
    ("dtype", "value", "fits"),
    [
        ("float16", 65504.0, True),
        ("float16", 65600.0, False),
        ("uint8", 255.0, True),
        ("uint8", 255.5, False),
        ("uint8", 300.0, False),
        ("float32", 1e30, True),
        ("float32", 1e39, False),
    ],
)
def test_values_that_the_dtype_can_not_hold_are_refused_by_clip(
    dtype: str, value: float, fits: bool, feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("a", {"times": np.arange(3.0), "basic": np.array([1.0, value, 2.0])})
    if fits:
        pack = open_pack(feature_set, ["a"], "basic", dtype=dtype)
        assert pack.values.tolist() == pytest.approx([1.0, value, 2.0], rel=1e-3)
        assert pack.values.dtype == dtype
    else:
        with pytest.raises(PackError, match=f"clip a: array basic has values up to.*{dtype} can't"):
            open_pack(feature_set, ["a"], "basic", dtype=dtype)


def test_two_builds_of_the_same_are_the_same_bytes(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    for clip in ("a", "b"):
        write_entry(clip)
    path = open_pack(feature_set, ["a", "b"], "basic").path
    content = path.read_bytes()
    path.unlink()
    open_pack(feature_set, ["a", "b"], "basic")
    assert path.read_bytes() == content


def test_memory_holds_one_entry_at_a_time(feature_set: FeatureSet, write_entry: WriteEntry) -> None:
    peaks = []
    for number in range(9):
        arrays = {"times": np.arange(499.0), "basic": np.ones((499, 512), np.float32)}
        write_entry(f"clip{number}", arrays)
    for count in (3, 9):
        tracemalloc.start()
        clips = [f"clip{number}" for number in range(count)]
        open_pack(feature_set, clips, "basic", in_memory=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_a_full_disk_leaves_no_pack(
    feature_set: FeatureSet, write_entry: WriteEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_entry("a", arrays_of(29))
    real = os.pwrite
    room = [500]

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(CacheWriteError, match=r"the pack of basic .* No space .* free space"):
        open_pack(feature_set, ["a"], "basic")
    assert names_in(feature_set.cache / "packs") == []


def test_a_cache_that_is_gone_is_not_made_anew(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("a")
    with pytest.raises(CacheWriteError, match="the folder is gone"):
        open_pack(feature_set, ["a"], "basic", folder=feature_set.cache / "unmounted" / "packs")
