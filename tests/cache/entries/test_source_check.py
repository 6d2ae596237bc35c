"""A look at a clip's file for all its sets, and a hash at most, whatever was done to the file."""

from __future__ import annotations

import dataclasses
import hashlib
import mmap
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cache.entries import source as module
from cache.entries.source import Source, SourceChangedError, read_source
from cache.entries.source_check import SourceCheck
from cache.entries.witness import read_witness, witness_path, write_witness
from cache.manifest.span import Span

pytestmark = pytest.mark.usefixtures("settled")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def check(video: Path, cache: Path | None = None, *, content: bool = False) -> SourceCheck:
    return SourceCheck(video, cache=cache, clip="a", content=content)


def test_an_unchanged_file_is_not_hashed_and_its_source_is_known(
    video: Path, source: Source, hashed: list[Path]
) -> None:
    one = check(video)
    assert one.same(source)
    assert one.read() == source
    assert hashed == []


def copy(video: Path) -> None:
    shutil.copy2(video, video.with_name("copy"))  # as cp -a: the times stay, the inode doesn't
    video.with_name("copy").replace(video)


def link(video: Path) -> None:
    os.link(video, video.with_name("hard"))  # counts as a change of properties


def follow(video: Path) -> None:
    shutil.copy2(video, video.with_name("target"))
    video.unlink()
    video.symlink_to("target")


@pytest.mark.parametrize(
    "touch",
    [
        lambda video: video.chmod(0o600),
        lambda video: os.utime(video),
        lambda video: os.utime(video, ns=(1, 1)),
        copy,
        link,
        follow,
    ],
    ids=["chmod", "touch", "utime", "cp -a", "ln", "ln -s"],
)
def test_what_leaves_the_content_costs_one_hash_for_all_sets_and_runs(
    touch: Callable[[Path], object], video: Path, source: Source, cache: Path, hashed: list[Path]
) -> None:
    others = [dataclasses.replace(source, inode=7), source]  # entries of several runs
    touch(video)
    one = check(video, cache)
    assert all(one.same(other) for other in [*others, source])
    assert hashed == [video]
    assert all(check(video, cache).same(other) for other in others)
    assert hashed == [video]


def rewrite(video: Path) -> None:
    with video.open("r+b") as file:
        file.write(b"other bytes")


def rename(video: Path) -> None:
    video.with_name("other").write_bytes(b"other bytes")
    video.with_name("other").replace(video)


def edit_mapped(video: Path) -> None:
    with video.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[:] = b"other bytes"
        mapped.flush()


@pytest.mark.parametrize("replace", [rewrite, rename, edit_mapped])
def test_other_content_of_the_same_size_and_time_is_found(
    replace: Callable[[Path], None], video: Path, source: Source, cache: Path
) -> None:
    """Size and modification time agreed, so the old entries were used for ever."""
    replace(video)
    os.utime(video, ns=(source.mtime_ns, source.mtime_ns))
    now = video.stat()
    assert (now.st_size, now.st_mtime_ns) == (source.size, source.mtime_ns)
    assert not check(video, cache).same(source)
    assert not check(video, cache).same(source)  # and remembering the hash changes nothing


def test_a_file_that_changed_just_before_it_was_hashed_is_not_known_by_its_times(
    video: Path, cache: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a tick of the file system's clock a second change leaves no trace."""
    monkeypatch.setattr(module, "CLOCK_NS", 2_000_000_000)
    found = read_source(video)
    assert (found.ctime_ns, found.inode) == (None, None)
    assert check(video, cache).same(found)
    assert check(video, cache).same(found)
    assert len(hashed) == 3  # nor is there a witness yet
    monkeypatch.setattr(module, "CLOCK_NS", 0)  # as if it had rested
    assert check(video, cache).same(found)
    assert check(video, cache).same(found)
    assert len(hashed) == 4


@pytest.mark.parametrize("behind", [False, True])
def test_a_clock_that_was_set_back_costs_hashes_and_trusts_no_time(
    behind: bool, video: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = video.stat().st_ctime_ns
    monkeypatch.setattr("time.time_ns", lambda: now + (-(10**12) if behind else 10**12))
    monkeypatch.setattr(module, "CLOCK_NS", 2_000_000_000)
    found = read_source(video)
    assert (found.ctime_ns is None) == behind
    assert check(video, cache).same(found)


def test_an_entry_without_times_of_its_own_is_trusted_by_content_at_one_hash(
    video: Path, source: Source, cache: Path, hashed: list[Path]
) -> None:
    old = Source(source.size, source.mtime_ns, source.sha256)  # as layout 1 states it
    assert check(video, cache).same(old)
    assert check(video, cache).same(old)
    assert hashed == [video]


def test_content_hashes_whatever_size_and_times_say(
    video: Path, source: Source, cache: Path, hashed: list[Path]
) -> None:
    one = check(video, cache, content=True)
    assert one.same(source)
    assert one.same(source)
    assert hashed == [video]
    assert not witness_path(cache, "a").exists()
    forged = dataclasses.replace(source, sha256="0" * 64)
    assert not check(video, cache, content=True).same(forged)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("{"),
        lambda path: path.write_bytes(path.read_bytes().replace(b'"a"', b'"b"')),
        lambda path: path.write_text("[" * 4000),
        lambda path: path.write_bytes(b"\0" * 10_000),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    ],
    ids=["json", "clip", "deep", "long", "pipe", "folder", "link"],
)
def test_a_damaged_witness_costs_a_hash_and_no_more(
    damage: Callable[[Path], object],
    video: Path,
    source: Source,
    cache: Path,
    hashed: list[Path],
) -> None:
    os.utime(video)
    assert check(video, cache).same(source)
    damage(witness_path(cache, "a"))
    assert check(video, cache).same(source)
    assert len(hashed) == 2


def test_a_witness_that_says_otherwise_is_not_believed(
    video: Path, source: Source, cache: Path
) -> None:
    os.utime(video)
    assert check(video, cache).same(source)
    path = witness_path(cache, "a")
    write_witness(path, dataclasses.replace(read_witness(path), sha256="0" * 64))
    one = check(video, cache)
    assert one.same(source)
    assert one.read().sha256 == source.sha256
    assert read_witness(path).sha256 == source.sha256


@pytest.mark.parametrize("gone", [False, True])
def test_a_cache_that_cannot_be_written_costs_a_hash_each_run_and_is_not_made(
    gone: bool, video: Path, source: Source, cache: Path, hashed: list[Path]
) -> None:
    os.utime(video)
    if gone:
        cache.rmdir()
    else:
        (cache / "witnesses").write_text("in the way")
    for _ in range(2):
        assert check(video, cache).same(source)
    assert len(hashed) == 2
    assert cache.exists() != gone


def test_a_witness_is_of_the_file_and_serves_any_part_of_it(
    video: Path, source: Source, cache: Path, hashed: list[Path]
) -> None:
    os.utime(video)
    assert check(video, cache).same(source)
    span = Span(0.5, 2.0)
    part = dataclasses.replace(source, start_seconds=0.5, end_seconds=2.0)
    one = SourceCheck(video, span, cache=cache, clip="a")
    assert one.same(part)
    assert one.read().span == span
    assert not one.same(source)
    assert len(hashed) == 1


def test_a_file_that_changes_between_the_first_look_and_the_last_is_told(
    video: Path, source: Source, tmp_path: Path
) -> None:
    one = check(video)
    assert one.same(source)
    one.confirm()
    other = tmp_path / "other"
    other.write_bytes(b"eleven byte")
    os.utime(other, ns=(source.mtime_ns, source.mtime_ns))
    other.replace(video)  # even by the same content: what was decoded meanwhile may be of neither
    with pytest.raises(SourceChangedError, match=r"clip\.mp4 changed while it was read; wait"):
        one.confirm()
    late = check(video)
    assert late.stamp.size == 11
    video.write_bytes(b"eleven more")
    with pytest.raises(SourceChangedError, match="changed while it was read"):
        late.read()
    video.unlink()
    with pytest.raises(SourceChangedError, match="went away while it was read"):
        one.confirm()


def test_a_missing_file_and_one_that_is_none_are_errors(tmp_path: Path, source: Source) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        check(tmp_path / "gone.mp4").same(source)
    with pytest.raises(OSError, match="is not a regular file"):
        check(tmp_path).same(source)


def test_a_witness_holds_what_the_hash_found(video: Path, source: Source, cache: Path) -> None:
    os.utime(video)
    assert check(video, cache).same(source)
    found = read_witness(witness_path(cache, "a"))
    assert found.stamp == check(video).stamp
    assert found.sha256 == hashlib.sha256(b"eleven byte").hexdigest()
