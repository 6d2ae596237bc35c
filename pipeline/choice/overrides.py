"""Overrides: faces chosen by hand, in a table of clips, times and tracks or boxes."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.codec import fields_to_json
from cache.digest import JSON, digest_json
from cache.manifest.numbers import read_number, read_seconds, read_whole
from cache.manifest.table import TableError, name_fields, open_table
from pipeline.faces.tracks import Box

OVERRIDES = "overrides"  # the fact in an entry's header: the digest of what was chosen by hand
COLUMNS = ("clip", "start_seconds", "end_seconds", "track", "box")


class OverrideError(ValueError):
    """A table of overrides has problems; ``problems`` lists all, with line numbers."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__(f"{path}: " + "; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Override:
    """Face chosen by hand, a track or a box, from ``start_seconds`` to before ``end_seconds``."""

    start_seconds: float
    end_seconds: float
    track: int | None = None
    box: Box | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return the fields as JSON; an open end is None."""
        return {
            name: None if value in (-math.inf, math.inf) else value
            for name, value in fields_to_json(self).items()
        }


def read_overrides(path: Path, clips: Collection[str]) -> dict[str, tuple[Override, ...]]:
    """Read ``clip,start_seconds,end_seconds,track,box``; times may be empty: the whole clip.

    ``track`` is a number as the ``faces`` set and the contact sheets show it, ``box`` is left, top,
    right and bottom in pixels, separated by spaces; one of the two is given.

    Args:
        path: the CSV file, or what a spreadsheet program made of it.
        clips: ids that may occur.

    Raises:
        OverrideError: there is no such file or it can't be read, a column is missing, or a row
            names an unknown clip, has both or neither of track and box, or a number that isn't one.
    """
    problems: list[str] = []
    found: dict[str, list[Override]] = {}
    if not path.is_file():
        raise OverrideError(path, [f"not a file; expected a CSV with {','.join(COLUMNS)}"])
    try:
        with open_table(path) as table:
            for line, row in name_fields(table.records, COLUMNS):
                try:
                    override = _parse(row, table.delimiter)
                    if row["clip"] not in clips:
                        raise ValueError(f"no clip {row['clip']!r} in the manifest")
                    found.setdefault(row["clip"], []).append(override)
                except ValueError as error:
                    problems.append(f"line {line}: {error}")
    except TableError as error:
        problems.append(str(error))
    if problems:
        raise OverrideError(path, problems)
    return {clip: tuple(overrides) for clip, overrides in found.items()}


def digest_overrides(overrides: Sequence[Override]) -> str:
    """Return a digest of what was chosen by hand for a clip, 16 hex digits; empty for nothing."""
    if not overrides:
        return ""
    return digest_json([override.to_json() for override in overrides])[:16]


def _parse(row: dict[str, str], delimiter: str) -> Override:
    start = _number(row["start_seconds"] or "-inf", "start_seconds", delimiter)
    end = _number(row["end_seconds"] or "inf", "end_seconds", delimiter)
    if not start < end:
        raise ValueError(f"end_seconds {end} is not after start_seconds {start}")
    if bool(row["track"]) == bool(row["box"]):
        raise ValueError("give either a track or a box")
    if row["track"]:
        track = read_whole(row["track"])
        if track is None:
            raise ValueError(f"track must be a number from 0, got {row['track']!r}")
        return Override(start, end, track=track)
    sides = [_number(text, "box", delimiter) for text in row["box"].split()]
    if len(sides) != 4 or not (sides[0] < sides[2] and sides[1] < sides[3]):
        raise ValueError(f"box must be left top right bottom, got {row['box']!r}")
    if not all(map(math.isfinite, sides)):
        raise ValueError(f"box must be finite, got {row['box']!r}")
    return Override(start, end, box=(sides[0], sides[1], sides[2], sides[3]))


def _number(text: str, name: str, delimiter: str) -> float:
    read = (read_number if name == "box" else read_seconds)(text, delimiter=delimiter)
    if read is not None:
        return read
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {text!r}") from None
    if math.isnan(value):
        raise ValueError(f"{name} must be a number, got {text!r}")
    return value
