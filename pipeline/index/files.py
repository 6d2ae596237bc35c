"""Walk a corpus's folders in one order on every machine, and tell media files from others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.index.found import Found, IndexingError

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
})
AUDIO_SUFFIXES = frozenset({
    ".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma",
})
# fmt: on

MAX_DEPTH = 40
_NOT_CORPUS = {"__MACOSX", "@eaDir", "lost+found"}
_LFS_HEADER = b"version https://git-lfs.github.com/spec/"
_MAX_LFS_BYTES = 1024


def is_media(path: Path) -> bool:
    """Tell by its suffix whether a file is video or sound."""
    return is_video(path) or path.suffix.lower() in AUDIO_SUFFIXES


def is_video(path: Path) -> bool:
    """Tell by its suffix whether a file is video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def walk(folder: Path, found: Found) -> Iterator[Path]:
    """Yield every file under a folder, in the order of the names, folders after files.

    Hidden files and folders are passed over. Links to folders are followed, each folder once. A
    folder that can't be read is left out with its reason.

    Raises:
        IndexingError: ``folder`` is missing or not a folder.
    """
    if not folder.is_dir():
        raise IndexingError(f"{folder} is not a folder; expected the corpus's folder")
    yield from _walk(folder, found, set(), depth=0)


def _walk(folder: Path, found: Found, seen: set[str], *, depth: int) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in seen:
        found.leave_out(folder, "a link to a folder that is walked already")
        return
    if depth > MAX_DEPTH:
        found.leave_out(folder, f"more than {MAX_DEPTH} folders deep")
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        found.leave_out(folder, f"can't be read: {error.strerror}")
        return
    names = [(name, is_dir) for name, is_dir in names if _is_corpus(name)]
    for name, is_dir in names:
        if not is_dir:
            yield folder / name
    for name, is_dir in names:
        if is_dir:
            yield from _walk(folder / name, found, seen, depth=depth + 1)


def _is_corpus(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_CORPUS


def walk_media(folder: Path, found: Found) -> Iterator[Path]:
    """Yield the media files under a folder and leave out the others, named by their suffix.

    Raises:
        IndexingError: ``folder`` is missing or not a folder.
    """
    for path in walk(folder, found):
        if is_media(path):
            yield path
        else:
            kind = path.suffix.lower() if len(path.suffix) <= 10 else ""
            found.leave_out(path, f"not a media file ({kind or 'no suffix'})")


def size_problem(path: Path) -> str | None:
    """Say whether a file stands in for its content: empty, or a Git LFS pointer."""
    try:
        size = path.stat().st_size
        if size == 0:
            return "are empty (0 bytes)"
        if size <= _MAX_LFS_BYTES:
            with path.open("rb") as file:
                if file.read(len(_LFS_HEADER)) == _LFS_HEADER:
                    return "are Git LFS pointers, not media; run `git lfs pull` in the corpus"
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return None
