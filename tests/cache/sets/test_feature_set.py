from __future__ import annotations

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from cache.commit import CacheWriteError
from cache.digest import digest_text
from cache.entries import source as source_module
from cache.entries.entry import EntryError, verify_entry
from cache.entries.failure import Failure
from cache.entries.source import Source, read_source
from cache.entries.source_check import SourceCheck
from cache.manifest.span import Span
from cache.sets.feature_set import FeatureSet, SetError, SetSpec, find_set, list_sets
from tests.cache.conftest import WriteEntry, arrays_of, names_in


def test_an_entry_lies_under_two_hex_digits_of_its_clips_hash(feature_set: FeatureSet) -> None:
    assert feature_set.entry_path("a.b-c") == (
        feature_set.folder / digest_text("a.b-c")[:2] / "a.b-c.h5"
    )


@pytest.mark.parametrize("clip", ["", "../a", "a/b", ".a", "a" * 201, "a\n"])
def test_a_clip_id_that_could_leave_the_folder_is_refused(
    clip: str, feature_set: FeatureSet, source: Source
) -> None:
    for use in (feature_set.entry_path, feature_set.failure_path, feature_set.read):
        with pytest.raises(ValueError, match="clip id"):
            use(clip)
    with pytest.raises(ValueError, match="clip id"):
        feature_set.writer(clip, source=source, provenance={})


def test_provenance_that_is_not_json_is_refused(feature_set: FeatureSet, source: Source) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        feature_set.writer("a", source=source, provenance={"x": float("nan")})


def test_creating_a_set_twice_keeps_the_first_provenance(feature_set: FeatureSet) -> None:
    feature_set.create({"host": "elsewhere"})
    assert feature_set.provenance["host"] == "here"
    assert FeatureSet.open(feature_set.folder).spec == feature_set.spec


def test_a_damaged_set_json_is_written_anew(feature_set: FeatureSet) -> None:
    (feature_set.folder / "set.json").write_text("{")
    with pytest.raises(SetError, match="damaged"):
        FeatureSet.open(feature_set.folder)
    assert feature_set.create({"host": "there"}).provenance["host"] == "there"


def test_a_folder_that_holds_another_key_is_refused(
    feature_set: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FeatureSet(feature_set.cache, SetSpec("resnet18", {}, version=7))
    monkeypatch.setattr("cache.sets.feature_set.read_spec_file", lambda _: (feature_set.spec, {}))
    with pytest.raises(SetError, match="holds a set with another key"):
        other.create({})


def test_an_entry_is_trusted_while_its_file_is_the_same(
    feature_set: FeatureSet, write_entry: WriteEntry, video: Path
) -> None:
    assert feature_set.trust("a", video).reason == "no entry yet"
    write_entry("a")
    write_entry("b", missing=("no audio stream",))
    assert feature_set.trusted("a", video) == "ok"
    assert feature_set.trusted("b", video) == "partial"
    os.utime(video, ns=(1, 1))
    assert feature_set.trusted("a", video) == "ok"
    video.write_bytes(b"eleven bytf")
    assert feature_set.trusted("a", video) is None
    assert feature_set.trust("a", video).reason == "its file has changed"
    video.unlink()
    assert "its file can't be read" in feature_set.trust("a", video).reason


def test_another_part_of_the_file_is_not_trusted(feature_set: FeatureSet, video: Path) -> None:
    with feature_set.writer(
        "a", source=read_source(video, Span(0.5, 2.0)), provenance={}
    ) as writer:
        writer.append(**arrays_of())
        writer.finish()
    assert feature_set.trusted("a", SourceCheck(video, Span(0.5, 2.0))) == "ok"
    assert feature_set.trust("a", video).reason == "the clip's start or end has changed"
    assert not feature_set.trusted("a", SourceCheck(video, Span(0.5, 2.5)))


def test_a_truncated_entry_is_not_trusted_and_a_flipped_bit_only_if_not_verified(
    feature_set: FeatureSet, write_entry: WriteEntry, video: Path
) -> None:
    path = write_entry("a")
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)
    assert feature_set.trusted("a", video) == "ok"
    with pytest.raises(EntryError, match="SHA-256"):
        feature_set.read("a", verify=True)
    path.write_bytes(content[:-1])
    assert "the entry is damaged: clip a: entry" in feature_set.trust("a", video).reason
    path.unlink()
    path.mkdir()
    assert "the entry is damaged" in feature_set.trust("a", video).reason


def test_an_entry_of_another_clip_or_key_is_neither_trusted_nor_read(
    feature_set: FeatureSet, write_entry: WriteEntry, video: Path
) -> None:
    path = write_entry("a")
    other = feature_set.entry_path("b")
    other.parent.mkdir(exist_ok=True)
    shutil.copy(path, other)
    assert feature_set.trust("b", video).reason == "the entry belongs to clip a"
    with pytest.raises(EntryError, match=r"clip b: .* is the entry of clip a"):
        feature_set.read("b")
    new = FeatureSet(feature_set.cache, SetSpec("resnet18", {"size": 17}, 1)).create({})
    new.entry_path("a").parent.mkdir()
    shutil.copy(path, new.entry_path("a"))
    assert "the entry has key" in new.trust("a", video).reason
    with pytest.raises(EntryError, match=r"clip a: .* is the entry of clip a and key"):
        new.read("a")


@pytest.mark.usefixtures("settled")
def test_resume_reads_neither_the_arrays_nor_an_untouched_file(
    feature_set: FeatureSet,
    write_entry: WriteEntry,
    video: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_entry("a")
    monkeypatch.setattr("h5py.File", None)
    monkeypatch.setattr(source_module, "digest_file", None)
    assert feature_set.trusted("a", video) == "ok"


def test_a_missing_entry_can_not_be_read(feature_set: FeatureSet) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.h5"):
        feature_set.read("a")


def test_an_entry_ends_a_failure(
    feature_set: FeatureSet, write_entry: WriteEntry, source: Source
) -> None:
    feature_set.record_failure(Failure("a", "decode", "reason", source))
    found = feature_set.failure("a")
    assert found is not None
    assert found.reason == "reason"
    assert [failure.clip for failure in feature_set.failures()] == ["a"]
    write_entry("a")
    assert feature_set.failure("a") is None
    assert feature_set.failures() == []


def test_a_failure_ends_a_stale_or_damaged_entry_and_spares_one_of_the_same_content(
    feature_set: FeatureSet, write_entry: WriteEntry, video: Path, source: Source
) -> None:
    path = write_entry("a")
    feature_set.record_failure(Failure("a", "decode", "out of memory", source))
    feature_set.record_failure(Failure("a", "open", "the disk is away"))
    assert path.exists()
    assert feature_set.failures() == []  # the entry counts
    video.write_bytes(b"another one")
    feature_set.record_failure(Failure("a", "decode", "cut short", read_source(video)))
    assert not path.exists()
    assert [failure.reason for failure in feature_set.failures()] == ["cut short"]
    path.write_bytes(b"garbage")
    feature_set.record_failure(Failure("a", "decode", "cut short", source))
    assert not path.exists()


def test_a_damaged_failure_is_none_and_the_clip_is_tried_again(feature_set: FeatureSet) -> None:
    assert feature_set.failure("a") is None
    feature_set.record_failure(Failure("a", "decode", "reason"))
    feature_set.failure_path("a").write_text("{")
    assert feature_set.failure("a") is None


def test_a_failure_is_not_recorded_into_a_set_that_is_gone(feature_set: FeatureSet) -> None:
    shutil.rmtree(feature_set.folder)
    with pytest.raises(CacheWriteError, match=r"clip a: the record .*the folder is gone"):
        feature_set.record_failure(Failure("a", "decode", "reason"))


def test_clip_ids_are_those_with_an_entry_and_nothing_else_that_lies_about(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    for clip in ("b", "a", "c.d"):
        path = write_entry(clip)
    (path.parent / ".x.h5").touch()
    (path.parent / "x.txt").touch()
    (feature_set.folder / "zz").mkdir()
    (feature_set.folder / "zz" / "y.h5").touch()
    assert feature_set.clip_ids() == ["a", "b", "c.d"]


def test_sets_are_found_by_name_or_the_first_digits_of_their_key(tmp_path: Path) -> None:
    specs = [
        SetSpec("resnet18", {"size": 13}, 1),
        SetSpec("resnet18-wide", {"size": 13}, 1),
        SetSpec("ir50", {"size": 13}, 1),
        SetSpec("ir50", {"size": 17}, 1),
    ]
    sets = [FeatureSet(tmp_path, spec).create({}) for spec in specs]
    (tmp_path / "packs").mkdir()
    (tmp_path / "report.json").touch()
    assert {item.spec.key for item in list_sets(tmp_path)} == {spec.key for spec in specs}
    for name, expected in [
        ("resnet18", 0),
        ("resnet18-wide", 1),
        (sets[2].folder.name, 2),
        (f"ir50-{specs[3].key[:5]}", 3),
    ]:
        assert find_set(tmp_path, name).spec == specs[expected]
    with pytest.raises(SetError) as caught:
        find_set(tmp_path, "ir50")
    text = str(caught.value)
    assert "has 2 sets ir50; name one of them by more of its key" in text
    assert all(item.folder.name in text for item in sets[2:])
    assert "settings.size: 1" in text
    for name in ("vgg", "ir50-", "ir", ""):
        with pytest.raises(SetError, match=f"has no feature set {name}; it has .*resnet18-wide-"):
            find_set(tmp_path, name)
    with pytest.raises(SetError, match="it has no sets"):
        find_set(tmp_path / "gone", "ir50")


def test_a_damaged_set_is_left_out_of_the_list(feature_set: FeatureSet) -> None:
    (feature_set.folder / "set.json").write_text("{")
    assert list_sets(feature_set.cache) == []


def write_one(folder: Path, video: Path, seed: int) -> str:
    """Write clip ``a`` several times over; the numbers tell the process."""
    feature_set = FeatureSet.open(folder)
    for number in range(10):
        with feature_set.writer("a", source=read_source(video), provenance={}) as writer:
            writer.append(**arrays_of(seed=seed * 100 + number))
            path = writer.finish()
        verify_entry(path)
    return "ok"


def test_processes_that_write_one_clip_at_once_all_succeed_and_it_is_always_whole(
    feature_set: FeatureSet, video: Path
) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(write_one, feature_set.folder, video, seed) for seed in range(3)]
        assert [job.result() for job in jobs] == ["ok"] * 3
    last = feature_set.read("a", verify=True)["basic"]
    assert any(np.array_equal(last, arrays_of(seed=seed * 100 + 9)["basic"]) for seed in range(3))
    assert names_in(feature_set.entry_path("a").parent) == ["a.h5"]
