from __future__ import annotations

import os
from pathlib import Path

import pytest

from cache.entries.failure import Failure
from cache.sets.feature_set import FeatureSet
from cache.upkeep import verify
from cache.upkeep.rounds import FILE
from cache.upkeep.verify import verify_cache
from tests.cache.conftest import WriteEntry

CLIPS = ("e", "d", "c", "b", "a")  # the oldest first


@pytest.fixture
def aged(feature_set: FeatureSet, write_entry: WriteEntry) -> FeatureSet:
    """Five entries, each written an hour after the one before."""
    for hour, clip in enumerate(CLIPS):
        os.utime(write_entry(clip), (1e9 + 3600 * hour,) * 2)
    return feature_set


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The clips that are verified, in order; a look at the clock follows each two."""
    seen: list[str] = []
    find = verify._find_damage

    def note(file: verify._File) -> verify.Damage | None:
        seen.append(file.path.stem)
        return find(file)

    monkeypatch.setattr(verify, "_find_damage", note)
    monkeypatch.setattr(verify, "_BATCH", 2)
    return seen


def test_each_sitting_goes_on_where_the_last_stopped_oldest_first(
    aged: FeatureSet, read: list[str]
) -> None:
    first = verify_cache(aged.cache, seconds=0)
    assert read == ["e", "d"]
    assert (first.entries, first.left) == (2, 3)
    second = verify_cache(aged.cache, seconds=0)
    assert read == ["e", "d", "c", "b"]
    assert second.round_started == first.round_started
    third = verify_cache(aged.cache, seconds=0)
    assert (read[4:], third.left) == (["a"], 0)
    verify_cache(aged.cache, seconds=0)
    assert read[5:] == ["e", "d"]
    assert verify_cache(aged.cache, seconds=3600).left == 0


def test_what_comes_meanwhile_is_read_in_the_same_round_after_the_rest(
    aged: FeatureSet, read: list[str], write_entry: WriteEntry
) -> None:
    verify_cache(aged.cache, seconds=0)
    write_entry("new")
    write_entry("e")  # made again: as new as the other
    aged.entry_path("c").unlink()
    assert verify_cache(aged.cache, seconds=3600).left == 0
    assert sorted(read[2:4]) == ["a", "b"]
    assert sorted(read[4:]) == ["e", "new"]


def test_damage_is_found_and_removed_in_the_sitting_that_reaches_it(
    aged: FeatureSet, read: list[str]
) -> None:
    path = aged.entry_path("c")
    path.write_bytes(path.read_bytes()[:-1])
    os.utime(path, (1e9 + 7200,) * 2)
    assert verify_cache(aged.cache, seconds=0, remove=True).damage == ()
    report = verify_cache(aged.cache, seconds=0, remove=True)
    assert [item.path for item in report.damage] == [path] == list(report.removed)
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"mtime_ns": "1", "file": 2, "started": ""}'])
def test_a_damaged_note_costs_a_round_from_the_beginning(
    content: str, aged: FeatureSet, read: list[str]
) -> None:
    (aged.cache / FILE).write_text(content)
    verify_cache(aged.cache, seconds=0)
    assert read == ["e", "d"]


def test_two_processes_read_as_much(aged: FeatureSet) -> None:
    aged.record_failure(Failure("f", "decode", "cut short"))
    report = verify_cache(aged.cache, seconds=3600, jobs=2)
    assert (report.entries, report.failures, report.left, report.damage) == (5, 1, 0, ())


def test_a_limit_of_time_and_sets_are_not_for_one_call(aged: FeatureSet) -> None:
    with pytest.raises(ValueError, match="leave out the sets"):
        verify_cache(aged.cache, seconds=1, sets=[aged])


def test_an_error_on_the_way_keeps_what_was_read(
    aged: FeatureSet, read: list[str], tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify_cache(aged.cache, seconds=3600, progress=stop)
    verify_cache(aged.cache, seconds=0)
    assert read[3:] == ["c", "b"]
