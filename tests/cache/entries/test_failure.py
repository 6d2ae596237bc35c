from __future__ import annotations

import os
from pathlib import Path

import pytest

from cache.commit import CacheWriteError
from cache.entries.failure import Failure, FailureRecordError, read_failure, utc_now, write_failure
from cache.entries.source import Source, read_source
from cache.entries.source_check import SourceCheck
from cache.manifest.span import Span


def test_a_failure_is_read_back_as_it_was_written(tmp_path: Path, source: Source) -> None:
    failure = Failure("a", "decode", "no frame – at all", source, provenance={"host": "h"})
    write_failure(tmp_path / "a.json", failure)
    assert read_failure(tmp_path / "a.json") == failure
    assert failure.date[:10] == utc_now()[:10]
    unknown = Failure("b", "open", "no such file", date="2026-01-02")
    write_failure(tmp_path / "b.json", unknown)
    assert read_failure(tmp_path / "b.json") == unknown


def test_a_failure_counts_while_the_file_is_the_one_that_failed(video: Path) -> None:
    failure = Failure("a", "decode", "reason", read_source(video))
    assert failure.still_counts(SourceCheck(video))
    os.utime(video, ns=(1, 1))
    assert failure.still_counts(SourceCheck(video))
    assert not failure.still_counts(SourceCheck(video, Span(0.5)))
    video.write_bytes(b"another one")
    assert not failure.still_counts(SourceCheck(video))
    video.unlink()
    assert not failure.still_counts(SourceCheck(video))


def test_a_failure_to_read_the_file_counts_until_it_can_be_read(video: Path) -> None:
    failure = Failure("a", "open", "no such file")
    assert not failure.still_counts(SourceCheck(video))
    video.unlink()
    assert failure.still_counts(SourceCheck(video))


@pytest.mark.parametrize(
    ("old", "new"),
    [("decode", "decodf"), ('"clip":"a"', '"clip":"b"'), ("{", ""), ('"checksum"', '"checksun"')],
)
def test_a_damaged_record_is_found(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_failure(path, Failure("a", "decode", "reason"))
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(FailureRecordError, match=r"a\.json is damaged .*delete it and extract"):
        read_failure(path)


@pytest.mark.parametrize("text", ["[]", "3", "[" * 100_000, "\ud800"])
def test_a_file_that_is_no_record_is_found(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(FailureRecordError, match="is damaged"):
        read_failure(path)


def test_a_record_under_another_clips_name_is_found(tmp_path: Path) -> None:
    write_failure(tmp_path / "a.json", Failure("a", "decode", "reason"))
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    with pytest.raises(FailureRecordError, match="records a failure of clip a"):
        read_failure(tmp_path / "b.json")


def test_a_missing_record_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.json"):
        read_failure(tmp_path / "a.json")
    with pytest.raises(CacheWriteError, match="clip a: the record of its failure can't be written"):
        write_failure(tmp_path / "gone" / "a.json", Failure("a", "decode", "reason"))
