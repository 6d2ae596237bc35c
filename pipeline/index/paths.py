"""Paths as the tables of corpora write them, and the files that they mean.

A path may be put together from columns (``{video_id}/{clip_id}.mp4``), lack its suffix, have
backslashes, or start at a drive or folder of the machine where the table was made.
"""

# ruff: noqa: PTH110, PTH113 - unlike Path's, these take any text and never raise

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from string import Formatter

from cache.manifest.numbers import is_spoilt, read_whole
from pipeline.index.files import IndexingError, is_media, is_video

_DIGITS = re.compile(r"(?:0([1-9][0-9]?))?d")
_ABSOLUTE = re.compile(r"[A-Za-z]:[\\/]|[\\/]")


@dataclass(frozen=True)
class PathTemplate:
    """A path with columns in braces; ``{clip_id:04d}`` writes a whole number with four digits.

    Args:
        text: as it was given.
        parts: text that stays, the column behind it (None: there is none) and its digits (None: the
            value as it is).
    """

    text: str
    parts: tuple[tuple[str, str | None, int | None], ...]

    @classmethod
    def parse(cls, text: str) -> PathTemplate:
        """Parse a template.

        Raises:
            IndexingError: a brace stands alone or holds more than a column and ``:04d``, or there
                is no column.
        """
        parts: list[tuple[str, str | None, int | None]] = []
        try:
            for literal, column, spec, conversion in Formatter().parse(text):
                width = _DIGITS.fullmatch(spec or "d")
                if column == "" or conversion or not width:
                    raise ValueError("expected a column in braces, {name} or {name:04d}")
                parts.append((literal, column, int(width[1] or 0) if spec else None))
        except ValueError as error:
            raise IndexingError(f"path {text!r}: {error}") from error
        if all(column is None for _, column, _ in parts):
            raise IndexingError(
                f"path {text!r} has no column in braces; expected one as '{{name}}.mp4'"
            )
        return cls(text, tuple(parts))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, in their order."""
        return tuple(column for _, column, _ in self.parts if column is not None)

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the path of a row.

        Raises:
            ValueError: a value is missing, is no whole number where digits are asked for, is a
                number as a spreadsheet writes it, or leads out of the folder by ``..`` or as an
                absolute path that the template isn't.
        """
        filled = ""
        for literal, column, width in self.parts:
            filled += literal
            if column is not None:
                filled += _format(column, values[column], width)
        if _num_upwards(filled) != _num_upwards(self.text) or (
            _ABSOLUTE.match(filled) and not _ABSOLUTE.match(self.text)
        ):
            raise ValueError(f"path {filled!r} leaves the folder that {self.text!r} stands for")
        return filled


def _num_upwards(path: str) -> int:
    return _split(path).count("..")


def _format(column: str, value: str, width: int | None) -> str:
    if not value:
        raise ValueError(f"column {column!r}, a part of the path, is empty")
    if width is None:
        if is_spoilt(value):
            raise ValueError(
                f"{column} {value!r} is a number as a spreadsheet writes it; make the column text, "
                f"or write {{{column}:d}}"
            )
        return value
    number = read_whole(value)
    if number is None:
        raise ValueError(f"{column} {value!r} is no whole number to write with {width} digits")
    return f"{number:0{width}d}"


class MediaFinder:
    """Finds the files that the paths of a table mean, below one folder.

    Args:
        root: where relative paths start; absolute.
        texts: all paths of the table; the absolute ones show together what they start with.
    """

    def __init__(self, root: Path, texts: Iterable[str]) -> None:
        self.root = root
        self._absolute = [text for text in texts if _ABSOLUTE.match(text)]
        self._names: dict[Path, dict[str, list[str]]] = {}

    def find(self, text: str) -> str:
        """Return a path as it is to be read from ``root``; where no file is found, as it was.

        Tried in turn: the path as it is; with ``/`` for backslashes; without the ``prefix`` of
        absolute paths. In each the suffix may be missing, or another of video or another of sound,
        and letters with marks may be written in one code or two.

        Raises:
            ValueError: two media files fit; both are named.
        """
        tried = [text]
        if "\\" in text:
            tried.append(text.replace("\\", "/"))
        if _ABSOLUTE.match(text) and self.prefix:
            tried.append("/".join(_split(text)[len(self.prefix) :]))
        for path in tried:
            if os.path.isfile(self.root / path):
                return path
        for path in tried:
            fitting = self._fitting(path)
            if len(fitting) > 1:
                raise ValueError(
                    f"path {text!r} fits {' and '.join(fitting)}; write the suffix that is meant"
                )
            if fitting:
                return fitting[0]
        return text

    @cached_property
    def prefix(self) -> tuple[str, ...]:
        """Folders that the absolute paths of another machine have before those below the root.

        All absolute paths start with it, and without it most of them are found, with as many
        folders as can be. Empty where none is found so, or one stands where it says.
        """
        if any(text.startswith("/") and os.path.exists(text) for text in self._absolute):
            return ()
        paths = [_split(text) for text in self._absolute]
        folders = zip(*(path[:-1] for path in paths), strict=False)
        common = [names[0] for names in takewhile(lambda names: len(set(names)) == 1, folders)]
        found = [
            sum(bool(self._fitting("/".join(path[length:]))) for path in paths)
            for length in range(1, len(common) + 1)
        ]
        most = max(found, default=0)
        return tuple(common[: 1 + found.index(most)]) if most else ()

    def _fitting(self, path: str) -> list[str]:
        folder, _, name = path.rpartition("/")
        names = self._media_of(self.root / folder)
        fitting = names.get(_plain(name), [])
        if not fitting and is_media(Path(name)):  # a sound file is no substitute for a video
            alike = names.get(_plain(Path(name).stem), [])
            fitting = [other for other in alike if is_video(Path(other)) == is_video(Path(name))]
        return [f"{folder}/{found}" if folder else found for found in fitting]

    def _media_of(self, folder: Path) -> dict[str, list[str]]:
        """Media files of a folder by their whole name and by their name without the suffix."""
        if folder not in self._names:
            names: dict[str, list[str]] = {}
            try:
                entries = sorted(path for path in folder.iterdir() if is_media(path))
            except (OSError, ValueError):  # ValueError: a NUL
                entries = []
            for path in entries:
                for key in (path.name, path.stem):
                    names.setdefault(_plain(key), []).append(path.name)
            self._names[folder] = names
        return self._names[folder]


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.replace("\\", "/").split("/"))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)
