"""Entries against the manifest, the files and each other."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cache.entries import source as source_module
from cache.entries.entry import read_identity
from cache.entries.source import Source, read_source
from cache.manifest.clip import Clip
from cache.manifest.span import Span
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.sets.freshness import NOT_AT_HAND, Freshness, check_freshness
from tests.cache.conftest import arrays_of


@pytest.fixture
def clip(video: Path) -> Clip:
    return Clip("a", video)


def write(
    cache: Path,
    name: str,
    source: Source,
    *,
    seed: int = 0,
    upstream: FeatureSet | None = None,
    **settings: str,
) -> FeatureSet:
    """Write the clip's entry in a set, made from that in another."""
    keys = {upstream.spec.name: upstream.spec.key} if upstream else {}
    made = FeatureSet(cache, SetSpec(name, settings, 1, upstream=keys)).create({})
    stated = {other: read_identity(path) for other, path in made.upstream_paths("a").items()}
    with made.writer("a", source=source, provenance={}, upstream=stated) as writer:
        writer.append(**arrays_of(seed=seed))
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


def test_who_waits_for_the_hashes_of_many_files_hears_how_far_they_are(
    clip: Clip, video: Path, tmp_path: Path
) -> None:
    sets = [write(tmp_path / "cache", name, read_source(video)) for name in ("ir50", "vggface")]
    heard: list[tuple[int, int]] = []
    entries = [(item, item.read_headers(["a"])) for item in sets]
    check_freshness(entries, {"a": clip}, progress=lambda *call: heard.append(call))
    assert heard == [(1, 2), (2, 2)]


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


def test_an_entry_that_was_made_from_another_one_than_is_there_is_stale(
    clip: Clip, video: Path, tmp_path: Path
) -> None:
    cache, source = tmp_path / "cache", read_source(video)
    faces = write(cache, "faces", source)
    made = write(cache, "ir50", source, upstream=faces)
    assert check(clip, made) == Freshness()
    write(cache, "faces", source)  # the same again
    assert check(clip, made) == Freshness()
    write(cache, "faces", source, seed=1)
    reason = "ir50: it was made from another entry of faces than the one that is there"
    assert check(clip, made).stale == {"a": reason}
    faces.entry_path("a").unlink()  # nothing to compare with
    assert check(clip, made) == Freshness()


def test_an_entry_of_an_older_version_does_not_say_what_it_was_made_from(
    clip: Clip, video: Path, tmp_path: Path
) -> None:
    faces = write(tmp_path / "cache", "faces", read_source(video))
    made = write(tmp_path / "cache", "ir50", read_source(video), upstream=faces)
    headers = {"a": replace(made.read_headers(["a"])["a"], upstream={})}
    reason = "an older version made the entry, which doesn't say from which faces"
    assert check_freshness([(made, headers)], {"a": clip}) == Freshness({}, {"a": reason})


def test_a_file_that_changes_while_it_is_looked_at_is_stale(
    clip: Clip, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write(tmp_path / "cache", "ir50", read_source(video))
    os.utime(video)  # so that it is hashed
    real = source_module.digest_file

    def meddle(path: Path) -> str:
        found = real(path)
        video.write_bytes(b"more than eleven")
        return found

    monkeypatch.setattr(source_module, "digest_file", meddle)
    assert check(clip, made).stale == {"a": "its file has changed"}


def test_imported_features_have_another_source_and_are_not_compared(
    clip: Clip, video: Path, tmp_path: Path
) -> None:
    own = write(tmp_path / "cache", "ir50", read_source(video))
    table = tmp_path / "table.csv"
    table.write_text("frame,AU01\n")
    imported = write(tmp_path / "cache", "au", read_source(table), content="0" * 64)
    assert imported.spec.imported
    assert check(clip, own, imported) == Freshness()
