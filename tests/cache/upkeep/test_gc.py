from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cache.commit import temporary_path, this_writer
from cache.entries.source import Source
from cache.packs.pack import find_packs, open_pack
from cache.sets.feature_set import FeatureSet, SetSpec, list_sets
from cache.sets.scan import NotACacheError
from cache.upkeep.gc import DAY_SECONDS, SetInUseError, find_garbage, remove_garbage
from tests.cache.conftest import WriteEntry, arrays_of, make_packs


def left_by(path: Path, *, pid: int | None = None, host: str | None = None) -> Path:
    """Leave a temporary file for ``path`` of another process or host."""
    me = this_writer()
    name = temporary_path(path).name
    name = name.replace(f".{me.pid}-", f".{pid or me.pid}-").replace(me.host, host or me.host)
    left = path.with_name(name)
    left.write_bytes(b"12345")
    return left


@pytest.fixture
def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_whole_cache_has_no_garbage(feature_set: FeatureSet, write_entry: WriteEntry) -> None:
    write_entry("a")
    open_pack(feature_set, ["a"], "basic")
    assert find_garbage(feature_set.cache, orphaned=True) == []
    with pytest.raises(NotACacheError, match="does not exist"):
        find_garbage(feature_set.cache / "gone")


def test_a_dead_writers_file_goes_and_a_live_ones_stays_however_old(
    feature_set: FeatureSet, write_entry: WriteEntry, dead_pid: int
) -> None:
    path = write_entry("a")
    dead, live = left_by(path, pid=dead_pid), left_by(path)
    os.utime(live, (1, 1))
    (found,) = find_garbage(feature_set.cache, older_than_seconds=0)
    assert (found.kind, found.path, found.bytes) == ("temporary file", dead, 5)
    assert found.reason == f"process {dead_pid}, which wrote it, is dead"
    assert dead.exists()  # finding removes nothing
    assert remove_garbage([found, found]) == 10  # twice is no error
    assert live.exists()
    assert not dead.exists()


def test_the_file_of_an_entry_being_written_is_never_garbage(
    feature_set: FeatureSet, source: Source
) -> None:
    with feature_set.writer("a", source=source, provenance={}) as writer:
        writer.append(**arrays_of())
        remove_garbage(find_garbage(feature_set.cache, older_than_seconds=0))
        writer.finish()
    assert feature_set.clip_ids() == ["a"]


def test_another_hosts_file_goes_by_its_age_alone(
    feature_set: FeatureSet, write_entry: WriteEntry, dead_pid: int
) -> None:
    left = left_by(write_entry("a"), pid=dead_pid, host="01234567")
    assert find_garbage(feature_set.cache) == []
    day_ago = time.time() - 1.5 * DAY_SECONDS
    os.utime(left, (day_ago, day_ago))
    (found,) = find_garbage(feature_set.cache)
    assert re.fullmatch(r"written on another host, unchanged for 36\.\d hours", found.reason)
    assert find_garbage(feature_set.cache, older_than_seconds=2 * DAY_SECONDS) == []


def test_stale_and_damaged_packs_go_and_fresh_ones_stay(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    stale, damaged, fresh = make_packs(feature_set, write_entry)
    garbage = find_garbage(feature_set.cache)
    assert {item.path for item in garbage} == {stale, damaged}
    remove_garbage(garbage)
    assert find_packs(feature_set.cache) == [fresh]


def test_an_orphaned_set_goes_on_request_only(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    spec = SetSpec("heads", {}, 1, upstream={"gone": "b" * 64})
    orphan = FeatureSet(feature_set.cache, spec).create({})
    path = write_entry("a", into=orphan)
    assert find_garbage(feature_set.cache) == []
    (found,) = find_garbage(feature_set.cache, orphaned=True)
    assert (found.kind, found.path) == ("set", orphan.folder)
    assert found.reason == f"made from gone-{'b' * 16}, which is gone"
    assert found.bytes == path.stat().st_size + (orphan.folder / "set.json").stat().st_size
    remove_garbage([found])
    assert [item.spec.name for item in list_sets(feature_set.cache)] == ["resnet18"]
    assert sorted(item.name for item in feature_set.cache.iterdir()) == [feature_set.folder.name]


def test_a_set_goes_by_name_with_its_packs_and_leftovers(
    feature_set: FeatureSet, write_entry: WriteEntry, dead_pid: int
) -> None:
    other = FeatureSet(feature_set.cache, SetSpec("ir50", {}, 1)).create({})
    left_by(write_entry("a"), pid=dead_pid)
    pack = open_pack(feature_set, ["a"], "basic").path
    garbage = find_garbage(feature_set.cache, sets=[feature_set])
    assert [(item.kind, item.path) for item in garbage] == [
        ("set", feature_set.folder),
        ("pack", pack),
    ]
    remove_garbage(garbage)
    assert [item.spec for item in list_sets(feature_set.cache)] == [other.spec]


def test_a_set_that_is_being_written_is_not_removed(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    left_by(write_entry("a"))
    with pytest.raises(SetInUseError, match=r"is being written: .* belongs to a running process"):
        find_garbage(feature_set.cache, sets=[feature_set])


def test_a_removal_that_was_killed_leaves_no_set_and_is_ended_later(
    feature_set: FeatureSet, write_entry: WriteEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    FeatureSet(feature_set.cache, SetSpec("ir50", {}, 1)).create({})
    write_entry("a")

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt(folder)

    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_garbage(find_garbage(feature_set.cache, sets=[feature_set]))
    monkeypatch.undo()
    assert [item.spec.name for item in list_sets(feature_set.cache)] == ["ir50"]
    (found,) = find_garbage(feature_set.cache)
    assert (found.kind, found.reason) == ("removed set", "its removal was cut short")
    remove_garbage([found])
    assert not found.path.exists()
