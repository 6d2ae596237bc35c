"""Settings of an import: everything beside the source's content that decides what is imported."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from cache.codec import fields_to_json

Format = Literal["npz", "npy-folder", "csv"]
SameTime = Literal["refuse", "mean", "first"]
Tool = Literal["", "openface", "opensmile", "pyfeat", "mmsa"]
MAX_SHOWN = 20
_ADDED = ("like", "delimiter", "nan")  # since the first sets were imported


class ImportRefusedError(ValueError):
    """A source that can't be imported as asked; ``problems`` names every clip and why."""

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        super().__init__(what, tuple(problems))
        self.what = what
        self.problems = tuple(problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.what}: {self.problems[0]}"
        lines = [f"{self.what} has {len(self.problems)} problems, and nothing was imported:"]
        lines += [f"  {problem}" for problem in self.problems[:MAX_SHOWN]]
        if len(self.problems) > MAX_SHOWN:
            lines.append(f"  ... and {len(self.problems) - MAX_SHOWN} more")
        return "\n".join(lines)


@dataclass(frozen=True)
class ImportSettings:
    """Settings of reading a source, all of them part of the set's key.

    Columns are named as in the CSV's header, or counted from 0; those of an array only counted.

    Args:
        format: "npz", "npy-folder" or "csv".
        columns: what becomes features, separated by commas: names, names with ``*``, numbers, or
            ranges ``2:9`` whose end is left out. Empty: all that have no other role.
        time_column: when each row is: seconds, or numbers of frames if there is a ``rate``.
        rate: rows, or frames of ``time_column``, a second.
        first_frame: the number in ``time_column`` that stands for second 0.
        where: conditions ``COLUMN=NUMBER`` (or ``>=``, ``<=``) on the rows that are kept.
        same_time: rows of one clip at the same time: refuse them, average them, keep the first.
        id_column: the column, or array of an npz, that names the clip of each row; "clip" if empty.
        array: of an npz with such an array: the one that holds the rows.
        id_pattern: a regular expression; its groups in the source's ids are compared with its
            groups in the clips' ids.
        clip_pattern: another expression for the clips' ids.
        like: the tool whose layout says what is left open here, "" for none.
        delimiter: what stands between two fields of a csv; empty: found out.
        nan: rows with nan, inf or no number: refuse them, or leave them out and say how many.

    Raises:
        ValueError: a rate that is not above 0, an expression without a group, or a delimiter of
            several characters.
    """

    format: Format
    columns: str = ""
    time_column: str = ""
    rate: float | None = None
    first_frame: int = 0
    where: tuple[str, ...] = ()
    same_time: SameTime = "refuse"
    id_column: str = ""
    array: str = ""
    id_pattern: str = ""
    clip_pattern: str = ""
    like: Tool = ""
    delimiter: str = ""
    nan: Literal["refuse", "drop"] = "refuse"

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ValueError(f"rate must be above 0 and finite, got {self.rate}")
        if len(self.delimiter) > 1:
            raise ValueError(f"delimiter must be one character, got {self.delimiter!r}")
        for pattern in (self.id_pattern, self.clip_pattern):
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
            if pattern and not groups:
                raise ValueError(
                    f"{pattern!r} has no group; put what the ids have in common in parentheses"
                )

    def for_key(self) -> dict[str, Any]:
        """Return the settings as JSON for the set's key.

        A setting that was added later is left out at its default, so that sets keep their keys.
        """
        defaults = {field.name: field.default for field in fields(self)}
        return {
            name: value
            for name, value in fields_to_json(self).items()
            if name not in _ADDED or value != defaults[name]
        }
