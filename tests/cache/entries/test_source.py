from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cache.entries import source as module
from cache.entries.source import Source, read_source, same
from cache.span import Span


def test_a_source_holds_size_time_and_digest(video: Path) -> None:
    found = read_source(video, Span(0.5, 2.0))
    assert found == Source(
        11, video.stat().st_mtime_ns, hashlib.sha256(b"eleven byte").hexdigest(), 0.5, 2.0
    )
    assert Source.from_json(found.to_json()) == found


def test_a_touched_file_is_the_same_and_a_changed_one_is_not(video: Path) -> None:
    found = read_source(video)
    os.utime(video, ns=(1, 1))
    assert same(video, found)
    video.write_bytes(b"eleven bytf")
    assert not same(video, found)
    video.write_bytes(b"longer than eleven")
    os.utime(video, ns=(found.mtime_ns, found.mtime_ns))
    assert not same(video, found)


def test_an_untouched_file_is_not_read_again(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_source(video)
    monkeypatch.setattr(module, "digest_file", lambda path: pytest.fail(f"{path} was read"))
    assert same(video, found)


def test_another_part_of_a_file_is_other_content(video: Path) -> None:
    whole, part = read_source(video), read_source(video, Span(0.5))
    os.utime(video, ns=(1, 1))
    assert whole.same_content(read_source(video))
    assert not whole.same_content(part)


def test_a_missing_file_has_no_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        read_source(tmp_path / "gone.mp4")
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        same(tmp_path / "gone.mp4", Source(1, 2, "3"))


def test_a_folder_or_a_pipe_has_no_source_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OSError, match="is not a regular file"):
            read_source(path)


def test_a_file_that_changes_while_it_is_read_is_refused(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow(path: Path) -> str:
        path.write_bytes(b"still being copied")
        return "0"

    monkeypatch.setattr(module, "digest_file", grow)
    with pytest.raises(OSError, match=r"clip\.mp4 changed while it was read; wait"):
        read_source(video)
