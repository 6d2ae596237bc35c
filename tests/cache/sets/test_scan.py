from __future__ import annotations

from pathlib import Path

import pytest

from cache.commit import temporary_path
from cache.sets.feature_set import FeatureSet
from cache.sets.scan import (
    NotACacheError,
    check_cache,
    count_bytes,
    find_broken_sets,
    find_removed,
    find_temporaries,
)
from tests.cache.conftest import WriteEntry


def test_a_folder_is_a_cache_if_it_holds_a_set_whole_or_broken(feature_set: FeatureSet) -> None:
    check_cache(feature_set.cache)
    (feature_set.folder / "set.json").unlink()
    check_cache(feature_set.cache)


def test_anything_else_is_refused_and_told_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty" / "videos").mkdir(parents=True)
    for name, what in [
        ("gone", "does not exist"),
        ("file", "is not a folder"),
        ("empty", "holds no feature set"),
    ]:
        with pytest.raises(NotACacheError, match=rf"{name} {what}; expected .*set\.json"):
            check_cache(tmp_path / name)


def test_a_set_without_a_whole_set_json_is_broken(feature_set: FeatureSet) -> None:
    assert find_broken_sets(feature_set.cache) == []
    path = feature_set.folder / "set.json"
    path.write_text("{")
    ((folder, reason),) = find_broken_sets(feature_set.cache)
    assert folder == feature_set.folder
    assert "is damaged" in reason
    path.unlink()
    assert "it has no set.json" in find_broken_sets(feature_set.cache)[0][1]


def test_temporary_files_are_found_wherever_files_are_written(
    feature_set: FeatureSet, write_entry: WriteEntry
) -> None:
    cache = feature_set.cache
    (cache / "packs").mkdir()
    (feature_set.folder / "failures").mkdir()
    places = [
        cache / "extract-report.json",
        cache / "packs" / "x.h5",
        feature_set.folder / "set.json",
        feature_set.folder / "failures" / "a.json",
        write_entry("a"),
    ]
    expected = {temporary_path(place) for place in places}
    for path in expected:
        path.touch()
    (cache / "mine.tmp").touch()  # not ours
    assert set(find_temporaries(cache)) == expected


def test_bytes_are_counted_over_all_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x").write_bytes(b"123")
    (tmp_path / "a" / "b" / "y").write_bytes(b"12345")
    assert count_bytes(tmp_path) == 8
    assert count_bytes(tmp_path / "gone") == 0


def test_what_is_left_of_a_removed_set_is_found(feature_set: FeatureSet) -> None:
    left = feature_set.cache / ".removed-ir50-0123456789abcdef-0a1b2c"
    left.mkdir()
    (feature_set.cache / ".removed-by-me").mkdir()  # not a name that gc gives
    assert find_removed(feature_set.cache) == [left]
