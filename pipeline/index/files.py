"""Files of a corpus: walked in one order on every machine, media told from others, tables read.

``Found`` gathers the clips of a recipe and what was left out, with the reasons.
"""

# ruff: noqa: PTH100, PTH110 - keep links in a path, and take any name

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache.manifest.clip import Clip
from cache.manifest.frame_folder import advise_to_join
from cache.manifest.table import TableError, first_bad_byte, read_table

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
NUM_NAMES_SHOWN = 3
NOT_REGULAR = "not a regular file (a pipe, socket or device)"
LEADS_OUT = "behind a symbolic link out of the corpus; --follow-links allows it"


class IndexingError(ValueError):
    """A corpus can't be indexed: nothing found, contradicting tables, or names that clash."""


@dataclass
class Found:
    """Grows while a recipe walks a corpus.

    Args:
        root: the corpus's folder or table, for messages.
        looked_for: the layout that the recipe expects, for the message when nothing is found.
        clips: in the order of the manifest.
        left_out: reason to the names left out for it.
        warnings: what the reader should look at.
        notes: what the reader may want to know.
        follow_links: take in what links lead to outside the corpus.
        own_labels: the user wrote the labels: they stay as they are.
    """

    root: Path
    looked_for: str
    clips: list[Clip] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    follow_links: bool = False
    own_labels: bool = False

    def leave_out(self, name: str | Path, reason: str) -> None:
        """Record that a file, folder or row is not in the manifest."""
        self.left_out.setdefault(reason, []).append(self.relative(name))

    def leave_out_copies(self, paths: Iterable[Path], taken: Path) -> None:
        """Record the other files of a clip that is in with the file ``taken``."""
        for path in sorted(paths):
            if path != taken:
                self.leave_out(path, "another file of a clip that is in")

    def relative(self, name: str | Path) -> str:
        """Return a path under the root without the root, anything else as it is."""
        if isinstance(name, Path) and name.is_relative_to(self.root):
            return name.relative_to(self.root).as_posix()
        return str(name)


def nothing_found(found: Found, files: Mapping[Any, Sequence[Path]] | None = None) -> IndexingError:
    """Say that a recipe has no clip, what it looked for and what is there instead.

    Args:
        found: the recipe's result.
        files: media files that no table lists.
    """
    left_out = dict(found.left_out)
    unlisted = [found.relative(path) for paths in (files or {}).values() for path in paths]
    if unlisted:
        left_out["media files, and no table that lists them"] = sorted(unlisted)
    lines = [f"no clip found in {found.root}", f"  looked for: {found.looked_for}"]
    if left_out:
        lines.append("  found, and left out:")
        lines += [
            f"    {len(names)} {printable(reason)}: {describe_names(names)}"
            for reason, names in left_out.items()
        ]
    else:
        lines.append("  found: nothing of use; is this the right folder?")
    if advice := advise_to_join(found.root):
        lines.append(f"  {advice.removeprefix('; ')}")
    return IndexingError("\n".join(lines))


def is_media(path: Path) -> bool:
    """Tell by its suffix whether a file is video or sound."""
    return is_video(path) or path.suffix.lower() in AUDIO_SUFFIXES


def is_video(path: Path) -> bool:
    """Tell by its suffix whether a file is video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def walk(folder: Path, found: Found) -> Iterator[Path]:
    """Yield every file under a folder, in the order of the names, folders after files.

    Hidden files and folders are passed over. Links are followed, to each folder once, unless they
    lead out of the corpus and ``found`` doesn't follow them. What is left out with its reason: such
    links, those to nothing, what is no regular file (a pipe, a socket, a device), and folders that
    can't be read.

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
        with os.scandir(folder) as items:
            entries = sorted(items, key=lambda entry: entry.name)
    except OSError as error:
        found.leave_out(folder, f"can't be read: {error.strerror}")
        return
    folders = []
    for entry in filter(_is_corpus, entries):
        path = folder / entry.name
        if reason := _reason_against(entry, found):
            found.leave_out(path, reason)
        elif entry.is_dir():
            folders.append(path)
        else:
            yield path
    for path in folders:
        yield from _walk(path, found, seen, depth=depth + 1)


def _is_corpus(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.name not in _NOT_CORPUS


def _reason_against(entry: os.DirEntry[str], found: Found) -> str | None:
    try:
        usable = entry.is_dir() or entry.is_file()
    except OSError as error:  # a link to itself, or to where nobody may look
        return f"can't be read: {error.strerror}"
    if not usable:
        return "a link to nothing" if not os.path.exists(entry.path) else NOT_REGULAR
    if entry.is_symlink() and not found.follow_links and leads_out(Path(entry.path), found.root):
        return LEADS_OUT
    return None


def leads_out(path: Path, root: Path) -> bool:
    """Whether a path that stands below a folder leads out of it by a link."""
    below = Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root))
    return below and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


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
            return "without content (0 bytes)"
        if size <= _MAX_LFS_BYTES:
            with path.open("rb") as file:
                if file.read(len(_LFS_HEADER)) == _LFS_HEADER:
                    return "of Git LFS in place of media; run `git lfs pull` in the corpus"
    except OSError as error:
        return f"that can't be read: {error.strerror}"
    return None


def describe_names(names: Sequence[str], most: int = NUM_NAMES_SHOWN) -> str:
    """Join the first names, and say how many more there are."""
    shown = ", ".join(printable(name) for name in names[:most])
    more = len(names) - most
    return f"{shown} and {more} more" if more > 0 else shown


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Name the nearest of the known names, in brackets and after a space; empty if none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def printable(text: str) -> str:
    """Escape what would upset a terminal: control characters, names that aren't UTF-8."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def read_columns(
    path: Path, columns: Sequence[str], *, delimiter: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the named columns, without blanks around, of each row.

    Args:
        path: a CSV file with a header.
        columns: names as published; all must be in the header.
        delimiter: what stands between two fields; None: found out.

    Raises:
        IndexingError: the table can't be read or lacks a column, or a row is short or is not UTF-8
            in one of them; the message has the line.
    """
    try:
        records = read_table(path, delimiter=delimiter)
        header = [name.strip() for name in next(records, (1, []))[1]]
        positions = [_position(path, header, name) for name in columns]
        for line, fields in records:
            if len(fields) <= max(positions):
                raise IndexingError(
                    f"{path}, line {line}: has {len(fields)} fields where the header has "
                    f"{len(header)}"
                )
            values = [fields[position].strip() for position in positions]
            bad_byte = first_bad_byte(values)
            if bad_byte is not None:
                raise IndexingError(
                    f"{path}, line {line}: not UTF-8 (byte 0x{bad_byte:02x}); save it as UTF-8"
                )
            yield line, values
    except TableError as error:
        raise IndexingError(f"{path}: {error}") from error


def _position(path: Path, header: Sequence[str], name: str) -> int:
    if name not in header:
        hint = did_you_mean(name, header)
        raise IndexingError(
            f"{path} has no column {name!r}{hint}; columns: {', '.join(header)[:300] or 'none'}"
        )
    return header.index(name)
