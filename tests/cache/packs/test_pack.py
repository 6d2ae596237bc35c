from __future__ import annotations

import itertools
import os
import random
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cache.commit import CacheWriteError
from cache.digest import digest_array
from cache.entries import sealed
from cache.entries.entry import EntryError
from cache.entries.failure import Failure
from cache.entries.sealed import HEADER_BYTES, SealError
from cache.packs import pack as module
from cache.packs.build import EntryChangedError, PackPlan
from cache.packs.pack import PackError, PackVerdict, find_packs, judge_pack, open_pack
from cache.packs.sums import PackSums
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.upkeep.verify import verify_cache
from tests.cache.conftest import WriteEntry, arrays_of

CLIPS = ("b", "a", "c")
STEPS = {"a": 3, "b": 7, "c": 0}


@pytest.fixture
def filled(feature_set: FeatureSet, write_entry: WriteEntry) -> FeatureSet:
    """Three clips of 7, 3 and no steps."""
    for seed, clip in enumerate(CLIPS):
        missing = () if STEPS[clip] else ("no video stream",)
        write_entry(clip, arrays_of(STEPS[clip], seed=seed), missing=missing)
    return feature_set


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_pack_holds_the_rows_of_every_clip_in_the_order_asked_for(
    in_memory: bool, filled: FeatureSet
) -> None:
    pack = open_pack(filled, CLIPS, "basic", in_memory=in_memory)
    assert pack.clip_ids == CLIPS
    assert pack.offsets.tolist() == [0, 7, 10, 10]
    assert pack.states == ("ok", "ok", "partial")
    assert pack.missing == ((), (), ("no video stream",))
    for seed, clip in enumerate(CLIPS):
        arrays = arrays_of(STEPS[clip], seed=seed)
        assert np.array_equal(pack.values[pack.rows(clip)], arrays["basic"])
        assert np.array_equal(pack.times[pack.rows(clip)], arrays["times"])
        assert pack.entry_checksums[seed] == digest_array(arrays["basic"])
    assert pack.values.dtype == np.float32
    assert not pack.values.flags.writeable
    with pytest.raises(KeyError, match="d"):
        pack.rows("d")


def test_a_pack_is_built_once_and_named_by_what_is_in_it(
    filled: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_pack(filled, CLIPS, "basic")
    assert first.built == "there was none"
    monkeypatch.setattr(module, "build_pack", None)
    monkeypatch.setattr("cache.entries.entry.read_entry", None)
    again = open_pack(filled, CLIPS, "basic")
    assert (again.built, again.path) == ("", first.path)
    monkeypatch.undo()
    others = [
        open_pack(filled, CLIPS[::-1], "basic"),
        open_pack(filled, CLIPS[:2], "basic"),
        open_pack(filled, CLIPS, "times", dtype="float64"),
        open_pack(filled, CLIPS, "basic", dtype="float16"),
    ]
    assert len({first.path, *(other.path for other in others)}) == 5
    assert find_packs(filled.cache) == sorted([first.path, *(other.path for other in others)])


def test_a_pack_without_any_row_can_be_opened(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("a", arrays_of(0))
    for in_memory in (True, False):
        pack = open_pack(feature_set, ["a"], "basic", in_memory=in_memory)
        assert pack.values.shape == (0, 5)


def test_a_pack_is_built_anew_when_an_entry_changes(
    filled: FeatureSet, write_entry: WriteEntry
) -> None:
    path = open_pack(filled, CLIPS, "basic").path
    changed = arrays_of(5, seed=11)
    write_entry("a", changed)
    pack = open_pack(filled, CLIPS, "basic")
    assert pack.built == "the entry of clip a changed"
    assert pack.path == path
    assert np.array_equal(pack.values[pack.rows("a")], changed["basic"])
    write_entry("a", arrays_of(5, seed=12))
    write_entry("b", arrays_of(5, seed=13))
    assert open_pack(filled, CLIPS, "basic").built == "the entry of clip b and 1 more changed"


def test_a_pack_whose_entries_were_copied_or_touched_is_used_as_it_is(
    filled: FeatureSet, tmp_path: Path
) -> None:
    path = open_pack(filled, CLIPS, "basic").path
    os.utime(filled.entry_path("a"))
    assert judge_pack(path, {filled.folder.name: filled}) == PackVerdict("copied or touched")
    copy = FeatureSet.open(
        Path(shutil.copytree(filled.cache, tmp_path / "copy")) / filled.folder.name
    )
    copied = open_pack(copy, CLIPS, "basic")
    assert copied.built == ""
    verdict = judge_pack(copied.path, {copy.folder.name: copy})
    assert verdict == PackVerdict("copied or touched")


def test_arrays_opened_with_the_same_headers_are_of_the_same_entries(
    filled: FeatureSet, write_entry: WriteEntry
) -> None:
    headers = filled.read_headers(CLIPS)
    open_pack(filled, CLIPS, "basic", headers=headers)
    write_entry("a", arrays_of(5, seed=11))
    with pytest.raises(EntryChangedError, match="a"):
        open_pack(filled, CLIPS, "times", headers=headers)
    assert open_pack(filled, CLIPS, "basic", headers=headers).built == ""


def test_a_pack_that_another_process_makes_of_other_entries_is_not_taken_for_ones_own(
    filled: FeatureSet, write_entry: WriteEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.build_pack

    def meddle(plan: PackPlan, **options: Any) -> None:
        real(plan, **options)
        monkeypatch.undo()
        write_entry("a", arrays_of(5, seed=11))
        open_pack(filled, CLIPS, "basic")

    headers = filled.read_headers(CLIPS)
    monkeypatch.setattr(module, "build_pack", meddle)
    with pytest.raises(EntryChangedError, match="is of other entries again"):
        open_pack(filled, CLIPS, "basic", headers=headers)


def test_a_pack_of_an_older_version_is_stale_not_damaged_and_built_anew(
    filled: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "LAYOUT", 1)
    path = open_pack(filled, CLIPS, "basic").path
    monkeypatch.undo()
    reason = "it has layout 1, this version of avfuse 2"
    assert judge_pack(path, {filled.folder.name: filled}) == PackVerdict("stale", reason)
    assert verify_cache(filled.cache).damage == ()
    assert open_pack(filled, CLIPS, "basic").built == reason


@pytest.mark.slow
@pytest.mark.parametrize("in_memory", [True, False])
def test_every_flipped_bit_of_a_pack_is_found_and_it_is_built_anew(
    filled: FeatureSet, in_memory: bool
) -> None:
    whole = open_pack(filled, CLIPS, "basic")
    content = bytearray(whole.path.read_bytes())
    generator = random.Random(3)
    for position in [0, 20, HEADER_BYTES, *generator.sample(range(len(content)), 60)]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << generator.randrange(8)
        whole.path.write_bytes(damaged)
        pack = open_pack(filled, CLIPS, "basic", in_memory=in_memory)
        assert pack.built.startswith("it was damaged: ")
        assert np.array_equal(pack.values, whole.values)


def test_without_verification_only_the_header_and_the_size_of_a_pack_are_checked(
    filled: FeatureSet,
) -> None:
    path = open_pack(filled, CLIPS, "basic").path
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        content[file["values"].id.get_offset()] ^= 1
    path.write_bytes(content)
    assert open_pack(filled, CLIPS, "basic", verify=False).built == ""
    path.write_bytes(content[:-1])
    assert "bytes instead of" in open_pack(filled, CLIPS, "basic", verify=False).built


def test_a_damaged_entry_is_refused_by_its_clips_name_whatever_is_damaged(
    filled: FeatureSet,
) -> None:
    path = filled.entry_path("a")
    content = bytearray(path.read_bytes())
    content[-77] ^= 16
    path.write_bytes(content)
    with pytest.raises(EntryError, match=r"clip a: entry .* is damaged: its content"):
        open_pack(filled, CLIPS, "basic")
    path.write_bytes(content[:-1])
    with pytest.raises(EntryError, match=r"clip a: entry .* is damaged: it has"):
        open_pack(filled, CLIPS, "basic")


def test_clips_without_an_entry_are_listed_with_why(filled: FeatureSet) -> None:
    filled.record_failure(Failure("d", "decode", "cut short"))
    clips = [*CLIPS, "d", "e"]
    with pytest.raises(PackError) as caught:
        open_pack(filled, clips, "basic")
    text = str(caught.value)
    assert text.startswith(f"2 of 5 clips have no entry in {filled.folder}; extract them")
    assert "  d: failed (decode): cut short\n  e: no entry" in text
    pack = open_pack(filled, clips, "basic", missing="skip")
    assert pack.clip_ids == CLIPS
    assert dict(pack.skipped) == {"d": "failed (decode): cut short", "e": "no entry"}


def test_a_clip_that_was_left_out_is_taken_in_once_it_has_an_entry(
    filled: FeatureSet, write_entry: WriteEntry
) -> None:
    open_pack(filled, [*CLIPS, "d"], "basic", missing="skip")
    write_entry("d")
    pack = open_pack(filled, [*CLIPS, "d"], "basic", missing="skip")
    assert pack.built == "the entry of clip d changed"
    assert (pack.clip_ids, dict(pack.skipped)) == ((*CLIPS, "d"), {})


def test_no_clip_with_an_entry_is_an_error_even_when_skipping(feature_set: FeatureSet) -> None:
    clips = [f"clip{number}" for number in range(12)]
    with pytest.raises(PackError, match=r"12 of 12 clips have no entry[^$]*\.\.\. and 2 more"):
        open_pack(feature_set, clips, "basic", missing="skip")
    with pytest.raises(PackError, match="0 of 0 clips"):
        open_pack(feature_set, [], "basic")


@pytest.mark.parametrize(
    ("clips", "array", "dtype", "match"),
    [
        (("a", "b", "a"), "basic", "float32", "each clip once; twice here: a"),
        (("a",), "tracks/box", "float32", "tracks/box is in a group and has no times"),
        (("a",), "basic", "U3", "a pack holds numbers, not U3"),
        (("a",), "basic", "float33", "a pack holds numbers, not float33"),
    ],
)
def test_what_can_not_be_packed_is_refused(
    clips: tuple[str, ...], array: str, dtype: str, match: str, filled: FeatureSet
) -> None:
    with pytest.raises(PackError, match=match):
        open_pack(filled, clips, array, dtype=dtype)


def test_an_array_that_entries_lack_is_named(filled: FeatureSet) -> None:
    with pytest.raises(EntryError, match=r"clip b: .* has no array mean; it has times, basic"):
        open_pack(filled, CLIPS, "mean")
    assert find_packs(filled.cache) == []


def test_a_cache_that_can_not_be_written_takes_its_packs_elsewhere(
    filled: FeatureSet, tmp_path: Path
) -> None:
    (filled.cache / "packs").touch()
    with pytest.raises(CacheWriteError, match=r"the pack of basic of resnet18-.* can't be written"):
        open_pack(filled, CLIPS, "basic")
    assert open_pack(filled, CLIPS, "basic", folder=tmp_path / "p").path.parent == tmp_path / "p"


def test_entries_that_change_while_they_are_packed_are_packed_again(
    filled: FeatureSet, write_entry: WriteEntry
) -> None:
    calls = []

    def meddle(done: int, total: int) -> None:
        calls.append((done, total))
        if len(calls) == 1:
            write_entry("a", arrays_of(5, seed=11))

    pack = open_pack(filled, CLIPS, "basic", progress=meddle)
    assert calls == [(1, 3), (1, 3), (2, 3), (3, 3)]
    assert np.array_equal(pack.values[pack.rows("a")], arrays_of(5, seed=11)["basic"])


def test_an_entry_that_is_removed_while_packed_is_missing(filled: FeatureSet) -> None:
    def meddle(done: int, total: int) -> None:
        filled.entry_path("a").unlink(missing_ok=True)

    with pytest.raises(PackError, match="1 of 3 clips have no entry"):
        open_pack(filled, CLIPS, "basic", progress=meddle)


def test_entries_that_never_rest_are_given_up(filled: FeatureSet, write_entry: WriteEntry) -> None:
    seeds = itertools.count()

    def meddle(done: int, total: int) -> None:
        write_entry("a", arrays_of(seed=next(seeds)))

    with pytest.raises(PackError, match="changed 3 times while being packed; wait"):
        open_pack(filled, CLIPS, "basic", progress=meddle)
    assert find_packs(filled.cache) == []


def test_a_pack_that_is_replaced_while_it_is_read_is_read_again(
    filled: FeatureSet, write_entry: WriteEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_pack(filled, CLIPS, "basic")
    real = module.read_values

    def meddle(path: Path, stated: PackSums, *, verify: bool) -> np.ndarray:
        result = real(path, stated, verify=verify)
        if monkeypatch:
            monkeypatch.undo()
            write_entry("a", arrays_of(5, seed=11))
            open_pack(filled, CLIPS, "basic")
        return result

    monkeypatch.setattr(module, "read_values", meddle)
    pack = open_pack(filled, CLIPS, "basic")
    assert np.array_equal(pack.values[pack.rows("a")], arrays_of(5, seed=11)["basic"])


def test_a_pack_knows_whether_it_is_stale(filled: FeatureSet, write_entry: WriteEntry) -> None:
    path = open_pack(filled, CLIPS, "basic").path
    sets = {filled.folder.name: filled}
    assert judge_pack(path, sets) == PackVerdict("fresh")
    assert "is gone" in judge_pack(path, {}).reason
    other = FeatureSet(filled.cache, SetSpec("resnet18", {}, 9))
    assert "is gone" in judge_pack(path, {filled.folder.name: other}).reason
    write_entry("a")
    assert judge_pack(path, sets) == PackVerdict("stale", "the entry of clip a changed")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SealError, match="bytes instead of"):
        judge_pack(path, sets)
    with pytest.raises(FileNotFoundError, match="gone"):
        judge_pack(path.with_name("gone"), sets)
