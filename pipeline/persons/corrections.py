"""Corrections of persons by hand: a table that the clustering obeys before it looks at any face.

Rows name tracks, never clusters, so that they hold whichever clips are added later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

import numpy as np

from cache.manifest.numbers import read_whole
from cache.manifest.table import TableError, name_fields, open_table
from cache.persons import check_name
from pipeline.persons.gather import Tracks

Action: TypeAlias = Literal["name", "move", "merge", "split"]
NOBODY = "none"  # in the column person: the track is no person's
COLUMNS = ("action", "clip", "track", "person", "other_clip", "other_track")


class CorrectionError(ValueError):
    """A table of corrections has problems; ``problems`` lists all, with line numbers."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        super().__init__(f"{path}: " + "; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Correction:
    """One row.

    Args:
        line: where it stands in the table.
        action: ``name``: the person on the track is called ``person``; ``move``: the track is of
            ``person``, or of nobody; ``merge`` and ``split``: this track and the other are of one
            person, of two.
        track: clip and number of the track.
        person: for ``name`` and ``move``.
        other: clip and number of the other track, for ``merge`` and ``split``.
    """

    line: int
    action: Action
    track: tuple[str, int]
    person: str = ""
    other: tuple[str, int] | None = None


@dataclass(frozen=True)
class Constraints:
    """Facts about tracks that were said by hand.

    Args:
        team: (N,), int64; the same for tracks that are one person: the row of one of them.
        apart: team to the teams that are another person; says so of both.
        names: names of the persons that have one.
        known: (N,), int64; position in ``names``, -1 where nobody said.
        nobody: (N,), bool; True where the track is no person's.
    """

    team: np.ndarray
    apart: dict[int, set[int]]
    names: tuple[str, ...]
    known: np.ndarray
    nobody: np.ndarray


def read_corrections(path: Path) -> tuple[Correction, ...]:
    """Read a table ``action,clip,track,person,other_clip,other_track``.

    Args:
        path: the CSV file, or what a spreadsheet program made of it.

    Raises:
        CorrectionError: there is no such file or it can't be read, a column is missing, or a row
            has an unknown action, lacks what its action needs, or has what it doesn't need.
    """
    problems: list[str] = []
    found: list[Correction] = []
    try:
        with open_table(path) as table:
            for line, row in name_fields(table.records, COLUMNS[:3]):
                try:
                    found.append(_parse(line, {name: row.get(name, "") for name in COLUMNS}))
                except ValueError as error:
                    problems.append(f"line {line}: {error}")
    except TableError as error:
        problems.append(str(error))
    if problems:
        raise CorrectionError(path, problems)
    return tuple(found)


def _parse(line: int, row: dict[str, str]) -> Correction:
    action = row["action"].lower()  # spreadsheets write a field's first letter large
    person = NOBODY if row["person"].lower() == NOBODY else row["person"]
    if action not in get_args(Action):
        raise ValueError(f"action must be {', '.join(get_args(Action))}, got {row['action']!r}")
    of_pair = action in ("merge", "split")
    needed = COLUMNS[1:3] + (COLUMNS[4:] if of_pair else COLUMNS[3:4])
    for name in COLUMNS[1:]:
        if (name in needed) != bool(row[name]):
            raise ValueError(f"{action} needs {', '.join(needed)} and nothing else; see {name}")
    if not of_pair and not (action == "move" and person == NOBODY):
        if person == NOBODY:
            raise ValueError(f"{NOBODY!r} names nobody; choose another name")
        check_name(person)
    return Correction(
        line,
        cast(Action, action),
        (row["clip"], _track(row["track"])),
        person,
        (row["other_clip"], _track(row["other_track"])) if of_pair else None,
    )


def _track(text: str) -> int:
    number = read_whole(text)
    if number is None:
        raise ValueError(f"a track is a number from 0, got {text!r}")
    return number


def apply_corrections(corrections: Sequence[Correction], tracks: Tracks, path: Path) -> Constraints:
    """Turn corrections into facts about tracks.

    Args:
        corrections: what ``read_corrections`` returned.
        tracks: those of the corpus.
        path: the table, for errors.

    Raises:
        CorrectionError: a row names a clip or track that isn't there or a person that no ``name``
            row names, or contradicts another row or a frame in which both tracks are seen.
    """
    facts = _Facts(tracks)
    named = {row.person for row in corrections if row.action == "name"}
    # What keeps tracks apart comes first: a row that joins them is then the one in the wrong.
    for row in sorted(corrections, key=lambda row: row.action != "split"):
        facts.add(row, named)
    if facts.problems:
        order = sorted(facts.problems)
        raise CorrectionError(path, [f"line {line}: {problem}" for line, problem in order])
    return facts.constraints()


@dataclass
class _Group:
    """Tracks that are one person: their rows, name, and reasons to be apart from other groups."""

    rows: list[int]
    name: str = ""
    apart: dict[int, str] = field(default_factory=dict)


class _Facts:
    """Groups of tracks that grow with each correction."""

    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks
        self.problems: list[tuple[int, str]] = []
        self.nobody: dict[int, int] = {}  # row to the line that says so
        self.first: dict[str, int] = {}  # name to the first row that has it
        self.group = {row: _Group([row]) for row in range(len(tracks))}
        self.root = list(range(len(tracks)))
        for one, others in tracks.groups.apart.items():
            self.group[one].apart = dict.fromkeys(others, "they are seen in the same frame")

    def add(self, row: Correction, named: set[str]) -> None:
        """Take one correction in, or note what is wrong with it."""
        try:
            at = self._find(row.track)
            if row.other:
                other = self._find(row.other)
                if row.action == "merge":
                    self._join(at, other)
                else:
                    self._part(at, other, f"line {row.line} splits them")
            elif row.person == NOBODY:
                self._drop(at, row.line)
            elif row.person not in named:
                raise ValueError(f"no row names anybody {row.person!r}; add one with action name")
            else:
                self._call(at, row.person)
        except ValueError as error:
            self.problems.append((row.line, str(error)))

    def constraints(self) -> Constraints:
        """Return what the corrections come to."""
        names = tuple(self.first)
        number = {name: position for position, name in enumerate(names)}
        nobody = np.zeros(len(self.root), bool)
        nobody[list(self.nobody)] = True
        return Constraints(
            team=np.array(self.root, np.int64),
            apart={one: set(group.apart) for one, group in self.group.items() if group.apart},
            names=names,
            known=np.array([number.get(self.group[at].name, -1) for at in self.root], np.int64),
            nobody=nobody,
        )

    def _find(self, track: tuple[str, int]) -> int:
        clip, number = track
        if clip in self.tracks.left_out:
            raise ValueError(f"clip {clip} can't be used: {self.tracks.left_out[clip]}")
        if clip not in self.tracks.rows:
            raise ValueError(f"no clip {clip!r} in the manifest")
        if number not in self.tracks.rows[clip]:
            known = ", ".join(map(str, self.tracks.rows[clip])) or "none"
            raise ValueError(f"clip {clip} has no track {number}; its tracks: {known}")
        row = self.tracks.rows[clip][number]
        if row in self.nobody:
            raise ValueError(
                f"track {number} of clip {clip} is nobody's by line {self.nobody[row]}"
            )
        return row

    def _drop(self, row: int, line: int) -> None:
        group = self.group[self.root[row]]
        if len(group.rows) > 1 or group.name:
            raise ValueError("the track is somebody's by another line, and can't be nobody's too")
        self.nobody[row] = line

    def _call(self, row: int, name: str) -> None:
        group = self.group[self.root[row]]
        if group.name not in ("", name):
            raise ValueError(f"the person on this track is called {group.name!r} by another line")
        group.name = name
        self._join(self.first.setdefault(name, row), row)

    def _part(self, one: int, other: int, reason: str) -> None:
        one, other = self.root[one], self.root[other]
        if one == other:
            raise ValueError("a track can't be split from itself")
        self.group[one].apart.setdefault(other, reason)
        self.group[other].apart.setdefault(one, reason)

    def _join(self, one: int, other: int) -> None:
        one, other = sorted((self.root[one], self.root[other]))
        if one == other:
            return
        into, gone = self.group[one], self.group[other]
        if reason := into.apart.get(other):
            raise ValueError(f"its tracks can't be one person: {reason}")
        if into.name and gone.name and into.name != gone.name:
            raise ValueError(f"it would make {into.name!r} and {gone.name!r} one person")
        into.name = into.name or gone.name
        into.rows += gone.rows
        for row in gone.rows:
            self.root[row] = one
        for third, why in gone.apart.items():
            del self.group[third].apart[other]
            self.group[third].apart.setdefault(one, why)
            into.apart.setdefault(third, why)
        del self.group[other]
