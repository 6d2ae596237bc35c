"""Entries against the manifest, the files and each other."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cache.entries.source import Source, read_source
from cache.manifest.clip import Clip
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.sets.freshness import NOT_AT_HAND, Freshness, check_freshness
from cache.span import Span
from tests.cache.conftest import arrays_of


@pytest.fixture
def clip(video: Path) -> Clip:
    return Clip("a", video)


def write(cache: Path, name: str, source: Source, **settings: str) -> FeatureSet:
    """Write the clip's entry in a set."""
    made = FeatureSet(cache, SetSpec(name, settings, 1)).create({})
    with made.writer("a", source=source, provenance={}) as writer:
        writer.append(**arrays_of())
        writer.finish()
    return made


def check(clip: Clip, *sets: FeatureSet) -> Freshness:
    return check_freshness([(item, item.read_headers([clip.id])) for item in sets], {"a": clip})


def test_an_entry_of_the_file_and_span_that_are_there_is_fresh(
    clip: Clip, video: Path, tmp_path: Path
) -> None:
    made = write(tmp_path / "cache", "ir50", read_source(video))
    assert check(clip, made) == Freshness()
    os.utime(video)  # another time and the same content
    assert check(clip, made) == Freshness()


def test_another_content_is_stale_whatever_its_size(
    clip: Clip, video: Path, tmp_path: Path
) -> None:
    made = write(tmp_path / "cache", "ir50", read_source(video))
    video.write_bytes(b"eleven bits")
    assert check(clip, made).stale == {"a": "its file has changed"}
    video.write_bytes(b"more than eleven")
    assert check(clip, made).stale == {"a": "its file has changed"}


@pytest.mark.parametrize("span", [Span(0.5, None), Span(None, 2.0)])
def test_another_start_or_end_is_stale_without_the_file(
    clip: Clip, video: Path, span: Span, tmp_path: Path
) -> None:
    made = write(tmp_path / "cache", "ir50", read_source(video))
    video.unlink()
    other = replace(clip, start_seconds=span.start, end_seconds=span.end)
    found = check(other, made)
    assert found.stale == {"a": "its start or end in the manifest is another"}


def test_a_file_that_is_not_at_hand_is_not_checked_and_said_so(
    clip: Clip, video: Path, tmp_path: Path
) -> None:
    made = write(tmp_path / "cache", "ir50", read_source(video))
    video.unlink()
    assert check(clip, made) == Freshness({}, {"a": NOT_AT_HAND})
    video.mkdir()
    assert check(clip, made) == Freshness({}, {"a": NOT_AT_HAND})


def test_sets_of_different_files_are_found_without_the_file(
    clip: Clip, video: Path, tmp_path: Path
) -> None:
    source = read_source(video)
    video.unlink()
    first = write(tmp_path / "cache", "ir50", source)
    second = write(tmp_path / "cache", "voice", replace(source, sha256="0" * 64))
    reason = "ir50 and voice are of different files or parts"
    assert check(clip, first, second).stale == {"a": reason}
    # Also where no manifest says what they should be of.
    entries = [(item, item.read_headers(["a"])) for item in (first, second)]
    assert check_freshness(entries, {}) == Freshness({"a": reason})


def test_imported_features_have_another_source_and_are_not_compared(
    clip: Clip, video: Path, tmp_path: Path
) -> None:
    own = write(tmp_path / "cache", "ir50", read_source(video))
    table = tmp_path / "table.csv"
    table.write_text("frame,AU01\n")
    imported = write(tmp_path / "cache", "au", read_source(table), content="0" * 64)
    assert imported.spec.imported
    assert check(clip, own, imported) == Freshness()
