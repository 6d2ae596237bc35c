"""A clip's file is known by size, times and inode, else by one hash for all sets and runs."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.extract.run import run_extract
from pipeline.extract.summary import format_summary
from tests.pipeline.extracting import extract as extract_by_command
from tests.pipeline.watched_corpus import ALL, SETS, Corpus, make_corpus

pytestmark = [
    pytest.mark.usefixtures("networks_built_once", "settled"),
    pytest.mark.slow,
]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """A corpus whose every set is up to date."""
    made = make_corpus(tmp_path)
    assert made.extract(made.plan()) == made.both(ALL)
    return made


def edit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\0")


def edit_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(40)
        file.write(b"\0")


def swap(path: Path) -> None:
    shutil.copy(path, path.with_name("other"))
    edit(path.with_name("other"))
    path.with_name("other").replace(path)


@pytest.mark.parametrize("change", [edit, swap])
def test_another_file_of_the_same_size_and_time_recomputes_every_set_of_that_clip_only(
    change: Callable[[Path], None], corpus: Corpus
) -> None:
    """It counted as unchanged."""
    path = corpus.clips[0].path
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert corpus.extract(corpus.plan()) == {(name, "c2") for name in (*SETS, "identity")}
    assert corpus.extract(corpus.plan()) == set()


def copy(path: Path) -> Path:
    shutil.copy2(path, path.with_name("copy.mp4"))
    return path.with_name("copy.mp4")


def move(path: Path) -> Path:
    return path.rename(path.with_name("moved.mp4"))


def touch(path: Path) -> Path:
    os.utime(path)
    return path


def protect(path: Path) -> Path:
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("change", [copy, move, touch, protect])
def test_what_leaves_the_content_costs_a_hash_for_all_sets_once_and_no_extraction(
    change: Callable[[Path], Path], corpus: Corpus, hashed: list[Path]
) -> None:
    assert corpus.extract(corpus.plan()) == set()
    assert hashed == []
    first, second = corpus.clips
    clips = (dataclasses.replace(first, path=change(first.path)), second)
    assert corpus.extract(corpus.plan(), clips) == set()
    assert hashed == [clips[0].path]
    assert corpus.extract(corpus.plan(), clips) == set()
    assert hashed == [clips[0].path]


def test_another_set_of_a_known_file_costs_no_hash(corpus: Corpus, hashed: list[Path]) -> None:
    shutil.rmtree(next(corpus.cache.glob("logmel-*")))
    assert corpus.extract(corpus.plan()) == corpus.both(frozenset({"logmel"}))
    assert hashed == []


def test_a_run_says_why_it_makes_entries_again(corpus: Corpus) -> None:
    """A night was computed again after an update and nothing said why."""
    edit(corpus.clips[0].path)
    shutil.rmtree(next(corpus.cache.glob("logmel-*")))
    summary = run_extract(corpus.clips, corpus.plan(), jobs=0)
    assert summary.again == {
        "faces, identity, resnet18, spectrogram, voice: its file has changed": 1
    }
    told = "made again in 1 clip: faces, identity, resnet18, spectrogram, voice: its file"
    assert told in format_summary(summary)
    assert run_extract(corpus.clips, corpus.plan(), jobs=0).again == {}
    for path in corpus.cache.glob("faces-*/*/*.h5"):
        edit_header(path)
    assert run_extract(corpus.clips, corpus.plan(), jobs=0).again == {
        "faces: the entry is damaged": 2,
        "identity: the entry of faces that it was made from is damaged": 2,
    }


def test_content_hashes_every_file_each_time_and_is_in_no_key(
    corpus: Corpus, hashed: list[Path]
) -> None:
    plan = corpus.plan(trust="content")
    assert [one.spec.key for one in plan.sets] == [one.spec.key for one in corpus.plan().sets]
    for runs in (1, 2):
        assert corpus.extract(plan) == set()
        assert hashed == runs * [clip.path for clip in corpus.clips]


def test_the_command_trusts_as_it_is_told(corpus: Corpus, hashed: list[Path]) -> None:
    manifest = corpus.cache.with_name("manifest.csv")
    manifest.write_text("clip,path\nc2,c2.mp4\n")
    cache = corpus.cache.with_name("other")
    for arguments, number in [((), 1), ((), 1), (("--trust", "content"), 2)]:
        assert extract_by_command(manifest, cache, "--sets", "logmel", *arguments).exit_code == 0
        assert len(hashed) == number


def test_a_failed_clip_whose_file_was_touched_costs_one_hash_and_no_new_try(
    tmp_path: Path, hashed: list[Path]
) -> None:
    path = tmp_path / "empty.mp4"
    path.write_bytes(b"no video")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("clip,path\nempty,empty.mp4\n")
    cache = tmp_path / "other"
    for touched, number in [(False, 1), (False, 1), (True, 2), (False, 2)]:
        if touched:
            os.utime(path)
        assert extract_by_command(manifest, cache, "--sets", "spectrogram,logmel").exit_code == 1
        assert len(hashed) == number
