from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cache import commit
from cache.commit import temporary_path, this_writer
from cache.entries.source import Source
from cache.packs.pack import find_packs, open_pack
from cache.sets.feature_set import FeatureSet, SetSpec, list_sets
from cache.sets.scan import NotACacheError
from cache.upkeep.gc import DAY_SECONDS, Garbage, SetInUseError, find_garbage, remove_garbage
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


@pytest.mark.parametrize(
    "host",
    [
        "0123456789abcdef",  # another machine
        this_writer().host[:8] + "01234567",  # another container of this one
        "01234567",  # a name of an older version, which says too little
    ],
)
def test_another_hosts_file_goes_by_its_age_alone(
    host: str,
    feature_set: FeatureSet,
    write_entry: WriteEntry,
    dead_pid: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commit, "_LOCAL", ())  # as if other machines could write here
    left = left_by(write_entry("a"), pid=dead_pid, host=host)
    assert find_garbage(feature_set.cache) == []
    day_ago = time.time() - 1.5 * DAY_SECONDS
    os.utime(left, (day_ago, day_ago))
    (found,) = find_garbage(feature_set.cache)
    assert re.fullmatch(
        r"written on another host or in another container, unchanged for 36\.\d hours", found.reason
    )
    assert find_garbage(feature_set.cache, older_than_seconds=2 * DAY_SECONDS) == []


def test_stale_and_damaged_packs_go_and_fresh_ones_stay(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    stale, damaged, fresh = make_packs(feature_set, write_entry)
    os.utime(feature_set.entry_path("b"))  # touched is not changed
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


def test_a_file_from_before_the_machine_was_started_anew_goes_at_once(
    feature_set: FeatureSet, write_entry: WriteEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer's number may be that of a process that runs."""
    monkeypatch.setattr(commit, "_LOCAL", ("ext4", "xfs", "btrfs", "tmpfs", "overlay"))
    left = left_by(write_entry("a"), host="01234567" + this_writer().host[8:])
    (found,) = find_garbage(feature_set.cache)
    assert (found.path, "was started anew" in found.reason) == (left, True)


@pytest.mark.parametrize("pid", ["0", "-1", "9" * 20])
def test_a_forged_name_is_nobodys_file(
    pid: str, feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    path = write_entry("a")
    forged = path.with_name(f".a.{this_writer().host}.{pid}-1.0a1b2c.tmp")
    forged.touch()
    assert find_garbage(feature_set.cache, older_than_seconds=0) == []
    assert forged.exists()


@pytest.fixture
def linked(feature_set: FeatureSet, write_entry: WriteEntry, tmp_path: Path) -> Path:
    """The set's folder, moved elsewhere, with a link in its place."""
    write_entry("a")
    elsewhere = tmp_path / "elsewhere"
    feature_set.folder.rename(elsewhere)
    feature_set.folder.symlink_to(elsewhere)
    return elsewhere


def test_a_set_that_is_a_link_is_not_removed_and_nothing_is_begun(
    linked: Path, feature_set: FeatureSet, dead_pid: int
) -> None:
    """It ended half done, and every later gc with it."""
    left = left_by(linked / "set.json", pid=dead_pid)
    before = sorted(feature_set.cache.rglob("*"))
    with pytest.raises(NotADirectoryError, match=rf"is a link to {linked}, which isn't removed"):
        find_garbage(feature_set.cache, sets=[feature_set])
    assert find_garbage(feature_set.cache, older_than_seconds=0) == []  # not even its temporaries
    assert sorted(feature_set.cache.rglob("*")) == before
    assert left.exists()
    with pytest.raises(OSError, match=r"1 of 1 can't be removed.*is a link to"):
        remove_garbage([Garbage("set", feature_set.folder, "a link came meanwhile", 0)])
    assert [item.folder for item in list_sets(feature_set.cache)] == [feature_set.folder]


def test_nothing_behind_a_link_is_garbage(
    feature_set: FeatureSet, write_entry: WriteEntry, tmp_path: Path, dead_pid: int
) -> None:
    """Packs, shards and the file of an entry may lie elsewhere, and be others' there."""
    make_packs(feature_set, write_entry)
    packs, shard = feature_set.cache / "packs", write_entry("b").parent
    for folder in (packs, shard):
        left_by(folder / "x.h5", pid=dead_pid)
        folder.rename(tmp_path / folder.name)
        folder.symlink_to(tmp_path / folder.name)
    assert find_garbage(feature_set.cache, older_than_seconds=0) == []


def test_links_in_the_place_of_garbage_go_and_what_they_lead_to_stays(
    feature_set: FeatureSet, write_entry: WriteEntry, tmp_path: Path, dead_pid: int
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x" * 1000)
    temporary = left_by(write_entry("a"), pid=dead_pid)
    temporary.unlink()
    removed = feature_set.cache / f".removed-{feature_set.folder.name}-0a1b2c"
    inside = feature_set.cache / f".removed-{feature_set.folder.name}-0a1b2d"
    inside.mkdir()
    for link in (temporary, removed, inside / "ca"):
        link.symlink_to(tmp_path / "photos")
    found = find_garbage(feature_set.cache)
    assert {item.path for item in found} == {temporary, removed, inside}
    assert sum(item.bytes for item in found) < 1000
    remove_garbage(found)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]
    assert find_garbage(feature_set.cache) == []


def test_whatever_is_left_of_a_removal_goes_with_the_next_gc(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("a")
    start = f".removed-{feature_set.folder.name}-0a1b2"
    (feature_set.cache / f"{start}0").write_text("a file")
    foreign = feature_set.cache / f"{start}1" / "notes" / "deep"
    foreign.mkdir(parents=True)
    (foreign / "thesis.tex").touch()
    os.mkfifo(foreign / "pipe")
    (feature_set.cache / f"{start}2").symlink_to("nowhere")
    mine = feature_set.cache / ".removed-photos"  # a name that gc never gives
    mine.mkdir()
    garbage = find_garbage(feature_set.cache)
    assert [item.path.name for item in garbage] == [f"{start}{number}" for number in range(3)]
    remove_garbage(garbage)
    remove_garbage(garbage)  # another process was as fast
    assert sorted(feature_set.cache.iterdir()) == [mine, feature_set.folder]


@pytest.mark.skipif(os.geteuid() != 0, reason="wants to become another user")
def test_folders_without_rights_go_and_what_cannot_go_does_not_keep_the_rest() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        cache = Path(name) / "cache"
        FeatureSet(cache, SetSpec("ir50", {}, 1)).create({})
        start = f".removed-ir50-{'a' * 16}-0a1b2"
        mine, other = cache / f"{start}c", cache / f"{start}b"
        for folder in (mine, other):
            (folder / "ca" / "fe").mkdir(parents=True)
            (folder / "ca" / "a.h5").touch()
        for path in (cache, mine, mine / "ca", mine / "ca" / "fe", mine / "ca" / "a.h5"):
            os.chown(path, 65534, 65534)
        for folder in (mine / "ca" / "fe", mine / "ca", mine):
            folder.chmod(0)
        os.seteuid(65534)
        try:
            with pytest.raises(OSError, match=r"1 of 2 can't be removed, the rest is: .*0a1b2b: "):
                remove_garbage(find_garbage(cache))
        finally:
            os.seteuid(0)
        assert (mine.exists(), other.exists()) == (False, True)


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
