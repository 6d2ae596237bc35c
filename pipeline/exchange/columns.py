"""Choice of the columns of a table that become features, times and conditions."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.layouts import Layout, layout_of
from pipeline.exchange.settings import ImportSettings

Condition = tuple[int, str, float]
COMPARISONS: dict[str, Callable[[NDArray[np.float64], float], NDArray[np.bool_]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
}
_CONDITION = re.compile(r"(.+?)(>=|<=|=)(.+)")
_RANGE = re.compile(r"(\d*):(\d*)")


class ColumnError(ValueError):
    """A column that a table doesn't have, or that can't be what it is asked to be."""


@dataclass(frozen=True)
class Choice:
    """Positions of the columns that are wanted.

    Args:
        values: of the features, in their order.
        names: of the features.
        time: of the times; None where rows have none.
        where: column, comparison and number of each condition.
        found: the conditions of the tool's layout.
        face: of the names of faces.
        score: of the scores of faces.
        first_time: what the time column says at second 0.
        asked: whether the features were asked for by name, so that each must hold numbers.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    time: int | None
    where: tuple[Condition, ...]
    found: tuple[Condition, ...] = ()
    face: int | None = None
    score: int | None = None
    first_time: int = 0
    asked: bool = False

    @property
    def positions(self) -> tuple[int, ...]:
        """Columns of numbers that are read, in order."""
        others = (p for p in (self.time, self.score) if p is not None)
        conditions = (column for column, _, _ in (*self.where, *self.found))
        return tuple(sorted({*self.values, *others, *conditions}))

    def take(
        self,
        table: NDArray[np.float64],
        *,
        faces: Sequence[str] = (),
        skipped: Mapping[int, str] = MappingProxyType({}),
        notes: Sequence[str] = (),
    ) -> Rows:
        """Part a table that has just the columns ``positions``.

        Args:
            table: (T, number of positions).
            faces: the name of each row's face, where rows have one.
            skipped: positions of features to leave out, with their names.
            notes: what is odd about the rows.
        """
        at = {position: number for number, position in enumerate(self.positions)}

        def column(position: int | None) -> NDArray[np.float64] | None:
            return None if position is None else table[:, at[position]]

        def holds(conditions: Sequence[Condition]) -> NDArray[np.bool_]:
            kept = np.ones(len(table), np.bool_)
            for position, comparison, number in conditions:
                kept &= COMPARISONS[comparison](table[:, at[position]], number)
            return kept

        left = [n for n, position in enumerate(self.values) if position not in skipped]
        times = column(self.time)
        return Rows(
            values=table[:, [at[self.values[n]] for n in left]],
            names=tuple(self.names[n] for n in left),
            times=None if times is None else times - self.first_time,
            kept=holds(self.where),
            found=holds(self.found),
            faces=tuple(faces),
            scores=column(self.score),
            skipped=tuple(skipped.values()),
            notes=tuple(notes),
        )


@dataclass(frozen=True)
class Rows:
    """Rows of one clip.

    Args:
        values: features (T, D).
        names: of the features, D of them.
        times: values of the time column (T,).
        kept: rows to keep (T,), as asked for.
        found: rows (T,) in which the tool found something.
        faces: the name of each row's face; empty where rows have none.
        scores: of the faces (T,).
        skipped: columns that hold no numbers.
        notes: what is odd about them.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    times: NDArray[np.float64] | None
    kept: NDArray[np.bool_]
    found: NDArray[np.bool_]
    faces: tuple[str, ...] = ()
    scores: NDArray[np.float64] | None = None
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def choose_columns(
    names: Sequence[str], settings: ImportSettings, *, without: Sequence[str] = ()
) -> Choice:
    """Find the columns that settings ask for; a layout's only as far as they are there.

    Args:
        names: of the table's columns; "0", "1" ... where they have none.
        settings: of the import.
        without: columns that are never features, such as that of the ids.

    Raises:
        ColumnError: a column isn't there, is asked for twice or under a name that two columns
            have, a condition has another form, or no column is left.
    """
    layout = layout_of(settings)
    time, first_time = _find_time(names, settings, layout)
    where = tuple(_condition(names, text) for text in settings.where)
    asked = {column for column, _, _ in where}
    found = tuple(
        condition
        for condition in ([_condition(names, layout.found)] if _has(names, layout.found) else [])
        if condition[0] not in asked
    )
    if settings.columns:
        values = [i for item in settings.columns.split(",") for i in _select(names, item.strip())]
    elif layout.columns:
        matches = ((i, n) for p in layout.columns for i, n in enumerate(names) if fnmatchcase(n, p))
        values = list(dict.fromkeys(i for i, _ in matches))
    else:
        taken = {time, *asked, *(names.index(n) for n in without)}
        taken |= {i for i, name in enumerate(names) if name in layout.no_features}
        values = [i for i in range(len(names)) if i not in taken]
    twice = sorted({names[i] for i in values if values.count(i) > 1})
    if twice:
        raise ColumnError(f"columns {settings.columns} name {', '.join(twice)} twice")
    if not values:
        like = f" as {layout.tool} writes them" if layout.tool else ""
        raise ColumnError(f"no column is left for the features{like}; there are {_shown(names)}")
    return Choice(
        values=tuple(values),
        names=tuple(names[i] for i in values),
        time=time,
        where=where,
        found=found,
        face=names.index(layout.face) if layout.face in names else None,
        score=names.index(layout.score) if layout.score in names else None,
        first_time=first_time,
        asked=bool(settings.columns),
    )


def _find_time(
    names: Sequence[str], settings: ImportSettings, layout: Layout
) -> tuple[int | None, int]:
    """Return the position of the times, and what it says at second 0."""
    if settings.time_column:
        return _find(names, settings.time_column), settings.first_frame
    if settings.rate is not None:
        counted = layout.frames if layout.frames in names else ""
        first = settings.first_frame or layout.first_frame
        return (names.index(counted), first) if counted else (None, 0)
    return next((names.index(name) for name in layout.times if name in names), None), 0


def _has(names: Sequence[str], condition: str) -> bool:
    parts = _CONDITION.fullmatch(condition)
    return parts is not None and parts[1] in names


def _select(names: Sequence[str], item: str) -> list[int]:
    """Positions that one part of ``columns`` stands for."""
    limits = _RANGE.fullmatch(item)
    if limits and item not in names:
        start, stop = int(limits[1] or 0), int(limits[2] or len(names))
        if not start < stop <= len(names):
            raise ColumnError(
                f"columns {item} must be a range within the {len(names)} columns of the table"
            )
        return list(range(start, stop))
    if "*" in item:
        found = [i for i, name in enumerate(names) if fnmatchcase(name, item)]
        if not found:
            raise ColumnError(f"no column is called {item}; there are {_shown(names)}")
        return found
    return [_find(names, item)]


def _find(names: Sequence[str], name: str) -> int:
    count = names.count(name)
    if count > 1:
        raise ColumnError(f"{count} columns are called {name}; name it by its number, from 0")
    if count:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise ColumnError(f"there is no column {name}; there are {_shown(names)}")


def _condition(names: Sequence[str], text: str) -> Condition:
    parts = _CONDITION.fullmatch(text)
    try:
        if parts is None:
            raise ValueError
        return _find(names, parts[1].strip()), parts[2], float(parts[3])
    except ColumnError:
        raise
    except ValueError:
        raise ColumnError(
            f"{text!r} is not a condition; write COLUMN=NUMBER, COLUMN>=NUMBER or COLUMN<=NUMBER"
        ) from None


def _shown(names: Sequence[str]) -> str:
    if list(names) == [str(i) for i in range(len(names))]:
        return f"{len(names)}, counted from 0"
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
