"""The manifest: a CSV table of clips, read whole and checked whole before any work starts.

Columns are ``clip,path`` and optionally ``label,split,speaker,fold,start_seconds,end_seconds``,
``label_target``, ``votes``, ``speaker_confidence`` and ``sentence``; other columns are ignored.
Paths are relative to the manifest's folder, or absolute.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cache.commit import whole_file
from cache.manifest.clip import COLUMNS, SPLITS, Clip
from cache.manifest.files import ManifestFiles, absolute
from cache.manifest.rows import RowParser, check_header
from cache.manifest.table import TableError, open_table
from cache.manifest.votes import format_votes
from cache.wording import number_of

__all__ = ["SPLITS", "Clip", "Manifest", "ManifestError", "read_manifest", "write_manifest"]

MAX_PROBLEMS_SHOWN = 20
_NUM_USUAL_COLUMNS = COLUMNS.index("fold")  # the columns before it are written even when empty
# A manifest without the columns from here on has the digest that it had before there were any.
_NUM_DIGESTED_COLUMNS = COLUMNS.index("label_target")


class ManifestError(ValueError):
    """A manifest that can't be used; ``problems`` holds every reason, with line numbers."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        super().__init__(path, tuple(problems))
        self.path = path
        self.problems = tuple(problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.path}: {self.problems[0]}"
        lines = [f"{self.path} has {len(self.problems)} problems:"]
        lines += [f"  {problem}" for problem in self.problems[:MAX_PROBLEMS_SHOWN]]
        if len(self.problems) > MAX_PROBLEMS_SHOWN:
            lines.append(f"  ... and {len(self.problems) - MAX_PROBLEMS_SHOWN} more")
        return "\n".join(lines)


@dataclass(frozen=True)
class Manifest:
    """The clips of one corpus, in the order of the table; ids are unique."""

    path: Path
    clips: tuple[Clip, ...]

    def __repr__(self) -> str:
        return f"Manifest({str(self.path)!r}, {number_of(len(self.clips), 'clip')})"

    @cached_property
    def by_id(self) -> Mapping[str, Clip]:
        """Each clip under its id."""
        return {clip.id: clip for clip in self.clips}

    @cached_property
    def labelled(self) -> tuple[Clip, ...]:
        """The clips that have a label."""
        return tuple(clip for clip in self.clips if clip.label is not None)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The distinct labels, sorted."""
        return tuple(sorted({clip.label for clip in self.clips if clip.label is not None}))

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """The distinct speakers, sorted."""
        return tuple(sorted({clip.speaker for clip in self.clips if clip.speaker is not None}))

    @cached_property
    def label_target(self) -> str | None:
        """Kind of the labels, such as ``acted`` or ``crowd``; None where nobody said."""
        return self.clips[0].label_target if self.clips else None

    @cached_property
    def splits(self) -> Mapping[str, tuple[Clip, ...]]:
        """The clips of each split that has any, in the order train, val, test."""
        splits = {name: tuple(clip for clip in self.clips if clip.split == name) for name in SPLITS}
        return {name: clips for name, clips in splits.items() if clips}

    def digest(self) -> str:
        """Return a SHA-256 (64 hex digits) of the rows in their order.

        Paths count as they would be written: a corpus moved with its manifest keeps its digest.
        """
        digest = hashlib.sha256()
        files = ManifestFiles(self.path.parent)
        columns = _used_columns(self.clips, COLUMNS[:_NUM_DIGESTED_COLUMNS])
        for clip in self.clips:
            row = json.dumps(_to_row(clip, files, columns), ensure_ascii=True)
            digest.update(row.encode() + b"\n")
        return digest.hexdigest()


def read_manifest(
    path: str | Path, *, check_files: bool = True, follow_links: bool = False
) -> Manifest:
    """Read and check a manifest.

    Args:
        path: the CSV file, or what a spreadsheet program, pandas or R made of it: see
            ``open_table`` for encodings and delimiters, ``read_seconds`` for times and decimal
            commas, ``read_text`` for missing values.
        check_files: look at each clip's file. Without it nothing on disk but the manifest is
            touched, and a symbolic link can't be found to leave the folder.
        follow_links: accept a relative path that leaves the manifest's folder by a symbolic link.

    Returns:
        The manifest; paths are absolute, splits have the names that ``SPLIT_NAMES`` gives them.

    Raises:
        ManifestError: anything is wrong; all problems are listed, each with its line number.

    Example:
        >>> manifest = cache.read_manifest("manifest.csv")
        >>> manifest.labels
        ('happy', 'sad', 'surprise')
    """
    path = absolute(Path(path))
    parser = RowParser(path.parent, check_files=check_files, follow_links=follow_links)
    problems = parser.problems
    clips: list[Clip] = []
    try:
        with open_table(path) as table:
            parser.delimiter = table.delimiter
            line, header = next(table.records, (0, []))
            if not header:
                raise ManifestError(path, ["is empty; expected a table that starts clip,path"])
            columns = check_header(line, header, problems)
            if columns is None:
                raise ManifestError(path, problems)
            for line, fields in table.records:
                if parser.check_fields(line, fields, num_columns=len(header)):
                    clip = parser.parse(line, {name: fields[at] for name, at in columns.items()})
                    if clip is not None:
                        clips.append(clip)
    except TableError as error:
        problems.append(str(error))
    if not problems and not clips:
        problems.append("has no clips: there is a header and no row under it")
    if problems:
        raise ManifestError(path, problems)
    return Manifest(path, tuple(clips))


def write_manifest(
    path: Path,
    clips: Iterable[Clip],
    *,
    overwrite: bool = False,
    always: Collection[str] = (),
) -> Path:
    """Write clips as a manifest that ``read_manifest`` reads back as the same clips.

    The table appears complete or not at all. A path under the manifest's folder is written
    relative to it, any other absolute. The folder is created where it is missing.

    Args:
        path: the CSV file to write.
        clips: the rows, written in this order; relative paths are relative to the working folder.
        overwrite: replace an existing file.
        always: columns to write even where no clip has a value.

    Returns:
        The manifest's absolute path.

    Raises:
        FileExistsError: ``path`` exists and ``overwrite`` is false, or is a folder.
        ManifestError: the clips would not read back; nothing is written.
        OSError: the folder can't be written.
    """
    path = absolute(path)
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder; expected a file name to write")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; pass overwrite=True to replace it")
    clips = tuple(clips)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(20, "is a file; expected a folder", error.filename) from error
    files = ManifestFiles(path.parent)
    columns = _used_columns(clips, {*COLUMNS[:_NUM_USUAL_COLUMNS], *always})
    with whole_file(path) as temporary:
        with temporary.open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(_to_row(clip, files, columns) for clip in clips)
        try:
            read = read_manifest(temporary, check_files=False)
        except ManifestError as error:
            raise ManifestError(path, error.problems) from error
        changed = [text for pair in zip(clips, read.clips, strict=True) for text in _changes(*pair)]
        if changed:
            raise ManifestError(path, changed)
    return path


def _changes(clip: Clip, read: Clip) -> Iterator[str]:
    for name in ("label", "speaker"):
        before, after = getattr(clip, name), getattr(read, name)
        if (before or None) != after:
            yield f"clip {clip.id}: {name} {before!r} would be read as {after!r}; call it otherwise"


def _used_columns(clips: Sequence[Clip], always: Collection[str]) -> list[str]:
    """Name some columns, and those of the others that a clip uses."""
    return [
        name
        for name in COLUMNS
        if name in always or any(getattr(clip, name) is not None for clip in clips)
    ]


def _to_row(clip: Clip, files: ManifestFiles, columns: Sequence[str]) -> list[str]:
    row = []
    for name in columns:
        if name == "clip":
            value: object = clip.id
        elif name == "path":
            value = files.written(clip.path)
        elif name == "votes":
            value = format_votes(clip.votes) if clip.votes else None
        else:
            value = getattr(clip, name)
        row.append("" if value is None else str(value))
    return row
