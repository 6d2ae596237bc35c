from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from cache.entries import source as module
from cache.entries.source import Source, read_source, read_stamp
from cache.manifest.span import Span


@pytest.mark.usefixtures("settled")
def test_a_source_holds_size_times_inode_and_digest(video: Path) -> None:
    found, stat = read_source(video, Span(0.5, 2.0)), video.stat()
    digest = hashlib.sha256(b"eleven byte").hexdigest()
    assert found == Source(11, stat.st_mtime_ns, digest, 0.5, 2.0, stat.st_ctime_ns, stat.st_ino)
    assert Source.from_json(found.to_json()) == found


@pytest.mark.usefixtures("settled")
def test_an_inode_of_64_bits_fits_into_records(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems number their files by hashes; JSON of ours holds signed numbers."""
    real = video.stat()
    names = ("st_mode", "st_size", "st_mtime_ns", "st_ctime_ns")
    stat = SimpleNamespace(**{name: getattr(real, name) for name in names}, st_ino=2**64 - 1)
    monkeypatch.setattr(Path, "stat", lambda _: stat)
    found = read_source(video)
    assert Source.from_json(found.to_json()) == found
    assert found.stamp == read_stamp(video)


def test_another_part_of_a_file_is_other_content(video: Path) -> None:
    whole, part = read_source(video), read_source(video, Span(0.5))
    os.utime(video, ns=(1, 1))
    assert whole.same_content(read_source(video))
    assert not whole.same_content(part)


def test_a_missing_file_has_no_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        read_source(tmp_path / "gone.mp4")


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
