from __future__ import annotations

import errno
import json
import os
import random
import shutil
from pathlib import Path

import pytest

from cache.commit import temporary_path
from cache.entries.entry import EntryError, verify_entry
from cache.entries.failure import Failure
from cache.packs.pack import open_pack
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.sets.scan import NotACacheError
from cache.upkeep.verify import verify_cache
from tests.cache.conftest import WriteEntry, arrays_of
from tests.crash.calls import Watch


@pytest.fixture
def filled(feature_set: FeatureSet, write_entry: WriteEntry) -> FeatureSet:
    """Three entries, a failure and a pack."""
    for clip in ("a", "b", "c"):
        write_entry(clip)
    feature_set.record_failure(Failure("d", "decode", "cut short"))
    open_pack(feature_set, ["a", "b"], "basic")
    return feature_set


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 32
    path.write_bytes(content)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_whole_cache_has_no_damage(jobs: int, filled: FeatureSet) -> None:
    seen: list[tuple[int, int]] = []
    report = verify_cache(
        filled.cache, jobs=jobs, progress=lambda done, total: seen.append((done, total))
    )
    assert (report.entries, report.failures, report.packs) == (3, 1, 1)
    assert (report.damage, report.stale_packs, report.temporaries) == ((), {}, ())
    assert seen == [(number, 5) for number in range(1, 6)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_damage_of_every_kind_is_named_and_removed_on_request(
    jobs: int, filled: FeatureSet
) -> None:
    pack = open_pack(filled, ["a", "b"], "basic").path
    flip(filled.entry_path("b"), -50)
    flip(filled.failure_path("d"), 20)
    flip(pack, -50)
    (filled.folder / "set.json").chmod(0o600)
    report = verify_cache(filled.cache, jobs=jobs)
    assert {(item.kind, item.path) for item in report.damage} == {
        ("entry", filled.entry_path("b")),
        ("failure", filled.failure_path("d")),
        ("pack", pack),
    }
    reasons = {item.kind: item.reason for item in report.damage}
    assert reasons["entry"].startswith("clip b: entry ")
    assert "SHA-256" in reasons["pack"]
    assert report.removed == ()
    report = verify_cache(filled.cache, jobs=jobs, remove=True)
    assert set(report.removed) == {item.path for item in report.damage}
    assert not any(path.exists() for path in report.removed)
    assert verify_cache(filled.cache).damage == ()


def test_any_flip_in_any_file_of_a_cache_is_found(filled: FeatureSet) -> None:
    files = sorted(path for path in filled.cache.rglob("*") if path.suffix in (".h5", ".json"))
    assert len(files) == 6
    generator = random.Random(23)
    for path in files:
        content = path.read_bytes()
        for _ in range(15):
            position = generator.randrange(len(content))
            if content[position] not in b" \n":  # the layout of set.json carries no meaning
                flip(path, position)
                damaged = {item.path for item in verify_cache(filled.cache).damage}
                assert damaged & {path, path.parent}
                path.write_bytes(content)
    assert verify_cache(filled.cache).damage == ()


def test_what_lies_behind_a_link_is_read_and_not_removed(
    filled: FeatureSet, tmp_path: Path
) -> None:
    """Whose it is there, this cache doesn't know."""
    path = filled.entry_path("b")
    flip(path, -50)
    elsewhere = tmp_path / "elsewhere"
    path.parent.rename(elsewhere)
    path.parent.symlink_to(elsewhere)
    report = verify_cache(filled.cache, remove=True)
    assert [item.path for item in report.damage] == [path]
    assert "it isn't removed: a folder above it is a link" in report.damage[0].reason
    assert report.removed == ()
    assert path.exists()


def test_a_damaged_entry_that_is_a_link_goes_and_what_it_leads_to_stays(
    filled: FeatureSet, tmp_path: Path
) -> None:
    path = filled.entry_path("b")
    (tmp_path / "b.h5").write_text("somebody's")
    path.unlink()
    path.symlink_to(tmp_path / "b.h5")
    assert verify_cache(filled.cache, remove=True).removed == (path,)
    assert (tmp_path / "b.h5").read_text() == "somebody's"


def test_what_cannot_be_removed_does_not_keep_the_rest(filled: FeatureSet) -> None:
    folder, pipe = filled.entry_path("a"), filled.failure_path("d")
    for path in (folder, pipe):
        path.unlink()
    folder.mkdir()
    os.mkfifo(pipe)  # reading it would never end
    flip(filled.entry_path("b"), -50)
    report = verify_cache(filled.cache, remove=True)
    reasons = {item.path: item.reason for item in report.damage}
    assert "it isn't removed: [Errno" in reasons[folder]
    assert set(report.removed) >= {filled.entry_path("b"), pipe}


def test_a_broken_set_is_damage_that_is_not_removed(filled: FeatureSet) -> None:
    (filled.folder / "set.json").write_text("{")
    report = verify_cache(filled.cache, remove=True)
    assert [(item.kind, item.path) for item in report.damage] == [("set", filled.folder)]
    assert report.removed == ()
    assert filled.entry_path("a").exists()


def test_an_entry_in_the_wrong_place_or_of_another_key_is_found(
    filled: FeatureSet, write_entry: WriteEntry
) -> None:
    other = FeatureSet(filled.cache, SetSpec("ir50", {}, 1)).create({})
    path = other.entry_path("a")
    path.parent.mkdir()
    shutil.copy(filled.entry_path("a"), path)
    wrong = filled.folder / "00" / "b.h5"
    wrong.parent.mkdir(exist_ok=True)
    assert filled.entry_path("b") != wrong
    shutil.copy(filled.entry_path("b"), wrong)
    reasons = {item.path: item.reason for item in verify_cache(filled.cache).damage}
    assert set(reasons) == {path, wrong}
    assert "has key" in reasons[path]
    assert "is in the wrong folder" in reasons[wrong]


def test_one_set_can_be_verified_alone(filled: FeatureSet) -> None:
    other = FeatureSet(filled.cache, SetSpec("ir50", {}, 1)).create({})
    flip(filled.entry_path("b"), -50)
    report = verify_cache(filled.cache, sets=[other])
    assert (report.entries, report.packs, report.damage) == (0, 0, ())
    assert len(verify_cache(filled.cache, sets=[filled]).damage) == 1


def test_temporary_files_and_stale_packs_are_reported_and_are_no_damage(
    filled: FeatureSet, write_entry: WriteEntry
) -> None:
    left = temporary_path(filled.entry_path("a"))
    left.touch()
    write_entry("a", arrays_of(5, seed=11))
    report = verify_cache(filled.cache)
    assert report.temporaries == (left,)
    assert list(report.stale_packs.values()) == ["the entry of clip a changed"]
    assert report.damage == ()
    values = json.loads(json.dumps(report.to_json()))
    assert values["temporaries"] == [str(left)]


def test_an_entry_that_was_replaced_by_a_whole_one_meanwhile_is_not_removed(
    filled: FeatureSet, write_entry: WriteEntry
) -> None:
    flip(filled.entry_path("b"), -50)

    def repair(done: int, total: int) -> None:
        if done == total:
            write_entry("b")

    report = verify_cache(filled.cache, remove=True, progress=repair)
    assert [item.path for item in report.damage] == [filled.entry_path("b")]
    assert report.removed == ()
    verify_entry(filled.entry_path("b"))


def test_a_file_that_is_removed_meanwhile_is_no_damage(filled: FeatureSet) -> None:
    def meddle(done: int, total: int) -> None:
        filled.entry_path("c").unlink(missing_ok=True)

    assert verify_cache(filled.cache, progress=meddle).damage == ()


def test_a_folder_that_is_no_cache_can_not_be_verified(tmp_path: Path) -> None:
    with pytest.raises(NotACacheError, match="holds no feature set"):
        verify_cache(tmp_path)


class BadSector(Watch):
    """A disk that can't read one entry."""

    def meet(self, call: str, path: object = None) -> None:
        if call == "open" and str(path).endswith("b.h5"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


def test_an_entry_that_the_machine_cannot_read_is_told_and_never_removed(
    filled: FeatureSet,
) -> None:
    path = filled.entry_path("b")
    with BadSector(filled.cache).watching():
        report = verify_cache(filled.cache, remove=True)
        with pytest.raises(OSError, match=r"Input/output error: '.*b\.h5'") as caught:
            filled.read("b", verify=True)
        assert not isinstance(caught.value, EntryError)
    assert [item.path for item in report.damage] == [path]
    assert "it isn't removed: [Errno 5] Input/output error" in report.damage[0].reason
    assert report.removed == ()
    assert verify_cache(filled.cache).damage == ()
