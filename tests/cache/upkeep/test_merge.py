from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cache.entries.entry import read_identity
from cache.entries.failure import Failure
from cache.entries.source import Source, read_source
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.sets.scan import NotACacheError
from cache.upkeep.merge import SameCacheError, merge_caches
from cache.upkeep.verify import verify_cache
from tests.cache.conftest import WriteEntry, arrays_of


@pytest.fixture
def other(tmp_path: Path, feature_set: FeatureSet) -> FeatureSet:
    """The same set in another cache, empty."""
    return FeatureSet(tmp_path / "other", feature_set.spec).create({"host": "there"})


def contents(feature_set: FeatureSet) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in feature_set.entry_paths()}


def test_what_is_lacking_is_copied_byte_for_byte_and_what_is_there_stays(
    feature_set: FeatureSet, other: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("a")
    write_entry("b", arrays_of(seed=2))
    write_entry("b", arrays_of(seed=2), into=other)
    write_entry("c", arrays_of(seed=3), into=other)
    before, theirs = contents(feature_set), contents(other)
    report = merge_caches(feature_set.cache, [other.cache])
    counts = report.sets[feature_set.folder.name]
    assert (counts.copied, counts.same, counts.failures, report.left_out) == (1, 1, 0, [])
    assert contents(feature_set) == {**before, "c": theirs["c"]}
    assert verify_cache(feature_set.cache).damage == ()
    again = merge_caches(feature_set.cache, [other.cache])
    assert (again.sets[feature_set.folder.name].copied, again.left_out) == (0, [])


def test_a_cache_that_does_not_exist_is_made_with_the_sets_of_all(
    tmp_path: Path, feature_set: FeatureSet, other: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("a")
    write_entry("b", into=other)
    second = FeatureSet(other.cache, SetSpec("ir50", {}, 1)).create({})
    write_entry("b", into=second)
    report = merge_caches(tmp_path / "all", [feature_set.cache, other.cache])
    assert sum(counts.copied for counts in report.sets.values()) == 3
    merged = FeatureSet.open(tmp_path / "all" / feature_set.folder.name)
    assert merged.clip_ids() == ["a", "b"]
    assert merged.provenance["host"] == "here"


def test_a_conflict_is_named_and_nothing_is_overwritten(
    tmp_path: Path, feature_set: FeatureSet, other: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("values")
    write_entry("values", arrays_of(seed=5), into=other)
    write_entry("missing")
    write_entry("missing", missing=["no audio stream"], into=other)
    write_entry("file")
    (tmp_path / "second.mp4").write_bytes(b"another one")
    with other.writer("file", source=read_source(tmp_path / "second.mp4"), provenance={}) as writer:
        writer.append(**arrays_of())
        writer.finish(attributes={"duration_seconds": 0.28})
    before = contents(feature_set)
    report = merge_caches(feature_set.cache, [other.cache])
    assert contents(feature_set) == before
    reasons = {item.path.stem: item.reason for item in report.left_out}
    assert {item.outcome for item in report.left_out} == {"conflict"}
    assert reasons["values"].endswith(" stays: they differ in the values of basic")
    assert "they were made from different files" in reasons["file"]
    assert "differ in what is missing" in reasons["missing"]


def test_damage_is_named_and_left_out_on_either_side(
    feature_set: FeatureSet, other: FeatureSet, write_entry: WriteEntry
) -> None:
    theirs = write_entry("a", into=other)
    content = bytearray(theirs.read_bytes())
    content[-50] ^= 1
    theirs.write_bytes(content)
    write_entry("b", into=other)
    ours = write_entry("b")
    ours.write_bytes(ours.read_bytes()[:-1])
    (other.cache / "broken-0123456789abcdef").mkdir()
    report = merge_caches(feature_set.cache, [other.cache])
    found = {(item.outcome, item.path.name) for item in report.left_out}
    assert found == {
        ("damaged", "a.h5"),
        ("conflict", "b.h5"),
        ("damaged", "broken-0123456789abcdef"),
    }
    assert not feature_set.entry_path("a").exists()


def test_a_failure_is_taken_over_only_where_nothing_is_known(
    feature_set: FeatureSet, other: FeatureSet, write_entry: WriteEntry, source: Source
) -> None:
    for clip in ("new", "entry here", "failure here", "entry there"):
        other.record_failure(Failure(clip.replace(" ", "-"), "decode", "there", source))
    write_entry("entry-here")
    feature_set.record_failure(Failure("failure-here", "decode", "here", source))
    write_entry("entry-there", into=other)
    feature_set.record_failure(Failure("entry-there", "decode", "here", source))
    report = merge_caches(feature_set.cache, [other.cache])
    assert report.sets[feature_set.folder.name].failures == 1
    assert {item.clip: item.reason for item in feature_set.failures()} == {
        "new": "there",
        "failure-here": "here",
    }
    assert not feature_set.failure_path("entry-there").exists()
    assert feature_set.clip_ids() == ["entry-here", "entry-there"]


def test_sets_follow_those_they_are_made_from(
    tmp_path: Path, other: FeatureSet, write_entry: WriteEntry
) -> None:
    upstream = FeatureSet(other.cache, SetSpec("zz-faces", {}, 1)).create({})
    network = FeatureSet(
        other.cache, SetSpec("aa", {}, 1, upstream={"zz-faces": upstream.spec.key})
    ).create({})
    write_entry("a", into=upstream)
    write_entry("a", into=network)
    report = merge_caches(tmp_path / "all", [other.cache])
    folders = list(report.sets)
    assert folders.index(upstream.folder.name) < folders.index(network.folder.name)


def test_what_is_made_from_another_entry_than_the_one_here_is_a_conflict(
    tmp_path: Path, other: FeatureSet, write_entry: WriteEntry, source: Source
) -> None:
    faces = SetSpec("faces", {}, 1)
    spec = SetSpec("net", {}, 1, upstream={"faces": faces.key})
    for cache, seeds in ((other.cache, (1, 2)), (tmp_path / "into", (1, 3))):
        place = FeatureSet(cache, faces).create({})
        for clip, seed in zip("ab", seeds, strict=True):
            write_entry(clip, arrays_of(seed=seed), into=place)
    theirs = FeatureSet(other.cache, spec).create({})
    for clip in "ab":
        made_from = {"faces": read_identity(FeatureSet(other.cache, faces).entry_path(clip))}
        with theirs.writer(clip, source=source, provenance={}, upstream=made_from) as writer:
            writer.append(**arrays_of())
            writer.finish()
    report = merge_caches(tmp_path / "into", [other.cache])
    assert report.sets[theirs.folder.name].copied == 1
    assert FeatureSet(tmp_path / "into", spec).clip_ids() == ["a"]
    reasons = [item.reason for item in report.left_out]
    assert len(reasons) == 2
    assert "they differ in the values of basic" in reasons[0]
    assert "made from another entry of faces than the one that is there" in reasons[1]


def test_a_dry_run_writes_nothing(
    tmp_path: Path, other: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("a", into=other)
    report = merge_caches(tmp_path / "all", [other.cache], dry_run=True)
    assert report.sets[other.folder.name].copied == 1
    assert not (tmp_path / "all").exists()


def test_a_cache_is_not_merged_into_itself_and_a_folder_without_sets_is_refused(
    tmp_path: Path, feature_set: FeatureSet
) -> None:
    link = tmp_path / "link"
    link.symlink_to(feature_set.cache)
    with pytest.raises(SameCacheError, match="are one cache"):
        merge_caches(feature_set.cache, [link])
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotACacheError, match="holds no feature set"):
        merge_caches(feature_set.cache, [tmp_path / "empty"])


def test_an_entry_of_another_place_is_damaged(
    feature_set: FeatureSet, other: FeatureSet, write_entry: WriteEntry
) -> None:
    second = FeatureSet(other.cache, SetSpec("ir50", {}, 1)).create({})
    path = second.entry_path("a")
    path.parent.mkdir()
    shutil.copy(write_entry("a"), path)
    report = merge_caches(feature_set.cache, [other.cache])
    assert [(item.outcome, item.path) for item in report.left_out] == [("damaged", path)]
