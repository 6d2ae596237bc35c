from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from cache.commit import temporary_path
from cache.entries import source as source_module
from cache.entries.entry import read_identity
from cache.entries.failure import Failure
from cache.entries.source import Source
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.sets.scan import NotACacheError
from cache.sets.spec import explain_difference
from cache.upkeep.status import find_orphaned, read_status
from tests.cache.conftest import STEPS, WriteEntry, arrays_of, make_packs, rows


def test_status_counts_every_state_and_opens_no_entry(
    feature_set: FeatureSet, write_entry: WriteEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_entry("a"), write_entry("b", missing=("no audio stream",)), write_entry("c")]
    paths[2].write_bytes(paths[2].read_bytes()[:-1])
    feature_set.record_failure(Failure("d", "decode", "cut short"))
    feature_set.record_failure(Failure("a", "open", "away"))  # has an entry: not failed
    temporary_path(paths[0]).touch()
    monkeypatch.setattr("h5py.File", None)
    status = read_status(feature_set.cache)
    (found,) = status.sets
    assert (found.ok, found.partial, found.failed, found.damaged) == (1, 1, 1, 1)
    assert (found.entries, found.steps) == (2, 2 * STEPS)
    assert found.bytes == sum(path.stat().st_size for path in paths[:2])
    assert (found.name, found.key) == ("resnet18", feature_set.spec.key)
    assert status.temporaries == 1
    assert not status.healthy


def test_status_counts_the_clips_of_a_manifest(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    write_entry("a")
    write_entry("b")
    feature_set.record_failure(Failure("c", "decode", "cut short"))
    (found,) = read_status(feature_set.cache, rows("a", "c", "d", "e")).sets
    assert found.manifest == {
        **{"clips": 4, "done": 1, "stale": 0, "unchecked": 1},
        **{"failed": 1, "missing": 2, "others": 1},
    }


def test_status_counts_clips_of_other_files_or_spans_as_stale_and_not_as_done(
    feature_set: FeatureSet, write_entry: WriteEntry, video: Path
) -> None:
    for clip in "abcd":
        write_entry(clip)
    clips = {clip: Clip(clip, video) for clip in "abc"}
    clips["b"] = Clip("b", video, start_seconds=0.5)
    clips["c"] = Clip("c", video.with_name("elsewhere.mp4"))
    (found,) = read_status(feature_set.cache, clips).sets
    assert found.manifest == {
        **{"clips": 3, "done": 2, "stale": 1, "unchecked": 1},
        **{"failed": 0, "missing": 0, "others": 1},
    }
    video.write_bytes(b"eleven bits")
    (found,) = read_status(feature_set.cache, clips).sets
    assert found.manifest is not None
    assert (found.manifest["done"], found.manifest["stale"]) == (1, 2)


def test_status_hashes_a_touched_file_once_for_all_sets(
    feature_set: FeatureSet,
    write_entry: WriteEntry,
    video: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was once a set, wherever the cache could keep no witness."""
    other = FeatureSet(feature_set.cache, SetSpec("logmel", {}, 1)).create({})
    for item in (feature_set, other):
        write_entry("a", into=item)
    os.utime(video, (17, 17))
    hashed: list[Path] = []
    real = source_module.digest_file
    monkeypatch.setattr(
        source_module, "digest_file", lambda path: (hashed.append(path), real(path))[1]
    )
    for found in read_status(feature_set.cache, {"a": Clip("a", video)}).sets:
        assert found.manifest is not None
        assert found.manifest["done"] == 1
    assert hashed == [video]


def test_status_counts_embeddings_of_other_faces_than_there_are_as_stale(
    feature_set: FeatureSet, write_entry: WriteEntry, video: Path, source: Source
) -> None:
    network = SetSpec("ir50", {}, 1, upstream={"resnet18": feature_set.spec.key})
    made = FeatureSet(feature_set.cache, network).create({})
    identity = read_identity(write_entry("a"))
    with made.writer("a", source=source, provenance={}, upstream={"resnet18": identity}) as writer:
        writer.append(**arrays_of())
        writer.finish()

    def count_stale() -> list[int]:
        sets = read_status(feature_set.cache, {"a": Clip("a", video)}).sets
        return [item.manifest["stale"] for item in sets if item.manifest]

    assert count_stale() == [0, 0]
    write_entry("a")  # made again to the same bytes
    assert count_stale() == [0, 0]
    write_entry("a", arrays_of(seed=1))
    assert count_stale() == [1, 0]


def test_status_says_why_an_older_set_is_stale_down_to_the_sets_it_is_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for year, upsample in (("2025", 1), ("2026", 0)):
        monkeypatch.setattr("cache.sets.spec.utc_now", lambda year=year: year)
        faces = SetSpec("faces", {"upsample": upsample}, 1)
        FeatureSet(tmp_path, faces).create({})
        FeatureSet(tmp_path, SetSpec("ir50", {}, 1, upstream={"faces": faces.key})).create({})
    sets = {(item.name, item.created): item for item in read_status(tmp_path).sets}
    assert sets["faces", "2026"].newer is None
    assert sets["faces", "2025"].newer == sets["faces", "2026"].folder
    assert sets["faces", "2025"].differences == ("settings.upsample: 1 -> 0",)
    upstream, deeper = sets["ir50", "2025"].differences
    old, new = sets["faces", "2025"].key[:12], sets["faces", "2026"].key[:12]
    assert upstream == f"upstream.faces: {old} -> {new}"
    assert deeper == "faces.settings.upsample: 1 -> 0"


def test_a_difference_in_a_set_that_is_gone_ends_at_its_key() -> None:
    specs = [SetSpec("ir50", {}, 1, upstream={"faces": digit * 64}) for digit in "ab"]
    assert explain_difference(specs[0], specs[1], {}) == [
        "upstream.faces: aaaaaaaaaaaa -> bbbbbbbbbbbb"
    ]


def test_a_set_is_orphaned_when_the_set_it_is_made_from_is_gone(tmp_path: Path) -> None:
    faces = FeatureSet(tmp_path, SetSpec("faces", {}, 1)).create({})
    ir50 = FeatureSet(tmp_path, SetSpec("ir50", {}, 1, upstream={"faces": faces.spec.key}))
    assert find_orphaned([faces, ir50.create({})]) == {}
    assert find_orphaned([ir50]) == {ir50.folder.name: (faces.folder.name,)}


def test_status_names_broken_sets_stale_packs_and_what_a_removal_left(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    stale, damaged, fresh = make_packs(feature_set, write_entry)
    (feature_set.cache / "ir50-0123456789abcdef").mkdir()
    (feature_set.cache / ".removed-ir50-0123456789abcdef-0a1b2c").mkdir()
    status = read_status(feature_set.cache)
    assert status.stale_packs[stale.name] == "the entry of clip a changed"
    assert status.stale_packs[damaged.name].startswith("damaged: it starts with b'x'")
    assert set(status.stale_packs) == {stale.name, damaged.name}
    assert status.packs == 3
    assert status.touched_packs == 0
    fresh_entry = feature_set.entry_path("b")
    os.utime(fresh_entry)
    status = read_status(feature_set.cache)
    assert set(status.stale_packs) == {stale.name, damaged.name}
    assert status.touched_packs == 1
    assert status.pack_bytes == sum(path.stat().st_size for path in (stale, damaged, fresh))
    assert list(status.broken) == ["ir50-0123456789abcdef"]
    assert status.removed == 1
    assert not status.healthy


def test_status_is_json(feature_set: FeatureSet, write_entry: WriteEntry) -> None:
    write_entry("a")
    values = json.loads(json.dumps(read_status(feature_set.cache, rows("a")).to_json()))
    assert values["healthy"] is True
    assert values["sets"][0]["entries"] == 1
    assert values["sets"][0]["manifest"]["done"] == 1


def test_a_folder_that_is_no_cache_has_no_status(tmp_path: Path) -> None:
    with pytest.raises(NotACacheError, match="holds no feature set"):
        read_status(tmp_path)


def test_a_thousand_entries_take_a_fraction_of_a_second(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    content = write_entry("a").read_bytes()
    for number in range(1000):
        path = feature_set.entry_path(f"clip{number}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    started = time.process_time()
    assert read_status(feature_set.cache).sets[0].ok == 1001
    assert time.process_time() - started < 0.5  # measured: 0.05
