from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pipeline.index.files import (
    Found,
    IndexingError,
    is_media,
    is_video,
    size_problem,
    walk,
    walk_media,
)
from tests.pipeline.corpus_files import touch


def walked(root: Path, found: Found) -> list[str]:
    return [path.relative_to(root).as_posix() for path in walk(root, found)]


def test_files_come_in_the_order_of_their_names_and_hidden_ones_do_not(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.mp4", "b/10.mp4", "a/x/1.mp4", "a/1.mp4", "c.mp4", "B/1.mp4")
    touch(tmp_path, ".git/1.mp4", "a/.1.mp4", "a/._1.mp4", "__MACOSX/1.mp4")
    found = Found(tmp_path, "files")
    assert walked(tmp_path, found) == [
        "c.mp4", "B/1.mp4", "a/1.mp4", "a/x/1.mp4", "b/10.mp4", "b/2.mp4",
    ]  # fmt: skip
    assert found.left_out == {}


def test_a_linked_folder_is_walked_once_and_a_loop_ends(tmp_path: Path) -> None:
    touch(tmp_path, "outside/1.mp4", "corpus/a/2.mp4")
    root = tmp_path / "corpus"
    (root / "b").symlink_to(tmp_path / "outside")
    (root / "c").symlink_to(root)
    found = Found(root, "files", follow_links=True)
    assert walked(root, found) == ["a/2.mp4", "b/1.mp4"]
    assert found.left_out == {"a link to a folder that is walked already": ["c"]}


def test_links_out_of_the_corpus_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "out/1.mp4", "out/2.mp4", "corpus/a/3.mp4", "corpus/.annex/4.mp4", "corpus2/5")
    root = tmp_path / "corpus"
    links: dict[str, str | Path] = {
        "a/file.mp4": "../../out/1.mp4",
        "b": "../out",  # a folder
        "a/chain.mp4": "within.mp4",  # inside, and from there out
        "a/within.mp4": tmp_path / "out" / "2.mp4",
        "a/beside.mp4": "../../corpus2/5",  # its path begins as the corpus's does
        "a/annex.mp4": "../.annex/4.mp4",  # as git-annex keeps its files
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    found = Found(root, "files")
    assert walked(root, found) == ["a/3.mp4", "a/annex.mp4"]
    ((reason, names),) = found.left_out.items()
    assert "--follow-links" in reason
    assert sorted(names) == ["a/beside.mp4", "a/chain.mp4", "a/file.mp4", "a/within.mp4", "b"]
    found = Found(root, "files", follow_links=True)
    assert walked(root, found) == [
        "a/3.mp4", "a/annex.mp4", "a/beside.mp4", "a/chain.mp4", "a/file.mp4", "a/within.mp4",
        "b/1.mp4", "b/2.mp4",
    ]  # fmt: skip
    assert found.left_out == {}


def test_a_corpus_that_is_a_link_itself_is_walked(tmp_path: Path) -> None:
    touch(tmp_path, "disk/corpus/a/1.mp4")
    (tmp_path / "corpus").symlink_to("disk/corpus")
    found = Found(tmp_path / "corpus", "files")
    assert walked(tmp_path / "corpus", found) == ["a/1.mp4"]
    assert found.left_out == {}


@pytest.mark.parametrize("follow_links", [False, True])
def test_only_regular_files_are_yielded_and_the_rest_is_named(
    follow_links: bool, tmp_path: Path
) -> None:
    touch(tmp_path, "a/1.mp4")
    os.mkfifo(tmp_path / "a" / "pipe.mp4")
    (tmp_path / "a" / "linked_pipe.mp4").symlink_to("pipe.mp4")
    (tmp_path / "a" / "broken.mp4").symlink_to("nowhere")
    (tmp_path / "a" / "loop.mp4").symlink_to("loop.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.mp4"))
    found = Found(tmp_path, "files", follow_links=follow_links)
    assert walked(tmp_path, found) == ["a/1.mp4"]
    assert found.left_out == {
        "not a regular file (a pipe, socket or device)": [
            "s.mp4", "a/linked_pipe.mp4", "a/pipe.mp4",
        ],
        "a link to nothing": ["a/broken.mp4"],
        "can't be read: Too many levels of symbolic links": ["a/loop.mp4"],
    }  # fmt: skip


def test_an_unreadable_folder_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/1.mp4", "b/1.mp4")
    scandir = os.scandir

    def refuse_a(path: Path) -> object:
        if path.name == "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse_a)
    found = Found(tmp_path, "files")
    assert walked(tmp_path, found) == ["b/1.mp4"]
    assert found.left_out == {"can't be read: Permission denied": ["a"]}


def test_folders_deeper_than_forty_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "/".join(["d"] * 41) + "/1.mp4", "/".join(["d"] * 40) + "/2.mp4")
    found = Found(tmp_path, "files")
    assert walked(tmp_path, found) == ["/".join(["d"] * 40) + "/2.mp4"]
    assert found.left_out == {"more than 40 folders deep": ["/".join(["d"] * 41)]}


def test_a_corpus_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="none is not a folder; expected the corpus's folder"):
        list(walk_media(tmp_path / "none", Found(tmp_path, "files")))


def test_media_are_told_by_their_suffix_and_others_left_out_by_theirs(tmp_path: Path) -> None:
    touch(tmp_path, "a.MP4", "b.flac", "c.txt", "d.TXT", "e", "f.averyverylongsuffix")
    found = Found(tmp_path, "files")
    assert [path.name for path in walk_media(tmp_path, found)] == ["a.MP4", "b.flac"]
    assert found.left_out == {
        "not a media file (.txt)": ["c.txt", "d.TXT"],
        "not a media file (no suffix)": ["e", "f.averyverylongsuffix"],
    }
    assert is_video(Path("a.MP4"))
    assert not is_video(Path("b.flac"))
    assert is_media(Path("b.flac"))


def test_what_stands_in_for_media_is_told_by_its_size_and_first_bytes(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 7\n"
    contents = {
        "empty.mp4": b"",
        "pointer.mp4": pointer,
        "small.mp4": b"ftyp",
        "big.mp4": pointer * 9,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert size_problem(tmp_path / "empty.mp4") == "without content (0 bytes)"
    assert "of Git LFS in place of media" in str(size_problem(tmp_path / "pointer.mp4"))
    assert size_problem(tmp_path / "small.mp4") is None
    assert size_problem(tmp_path / "big.mp4") is None
    assert size_problem(tmp_path / "none.mp4") == "that can't be read: No such file or directory"
