"""Choice of the columns of a table that become features, times and conditions."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.settings import ImportSettings

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
        time: of the times; None where rows have none.
        where: column, comparison and number of each condition.
    """

    values: tuple[int, ...]
    time: int | None
    where: tuple[tuple[int, str, float], ...]

    @property
    def positions(self) -> tuple[int, ...]:
        """Columns that are read, in order."""
        times = () if self.time is None else (self.time,)
        return tuple(sorted({*self.values, *times, *(column for column, _, _ in self.where)}))

    def take(self, table: NDArray[np.float64]) -> Rows:
        """Part a table that has just the columns ``positions``."""
        at = {position: number for number, position in enumerate(self.positions)}
        kept = np.ones(len(table), np.bool_)
        for column, comparison, number in self.where:
            kept &= COMPARISONS[comparison](table[:, at[column]], number)
        times = None if self.time is None else table[:, at[self.time]]
        return Rows(table[:, [at[column] for column in self.values]], times, kept)


@dataclass(frozen=True)
class Rows:
    """Rows of one clip: features (T, D), values of the time column (T,), rows to keep (T,)."""

    values: NDArray[np.float64]
    times: NDArray[np.float64] | None
    kept: NDArray[np.bool_]


def choose_columns(
    names: Sequence[str], settings: ImportSettings, *, without: Sequence[str] = ()
) -> Choice:
    """Find the columns that settings ask for.

    Args:
        names: of the table's columns; "0", "1" ... where they have none.
        settings: of the import.
        without: columns that are never features, such as that of the ids.

    Raises:
        ColumnError: a column isn't there, is asked for twice or under a name that two columns
            have, a condition has another form, or no column is left.
    """
    time = _find(names, settings.time_column) if settings.time_column else None
    where = tuple(_condition(names, text) for text in settings.where)
    if settings.columns:
        values = [i for item in settings.columns.split(",") for i in _select(names, item.strip())]
    else:
        taken = {time, *(column for column, _, _ in where), *(names.index(n) for n in without)}
        values = [i for i in range(len(names)) if i not in taken]
    twice = sorted({names[i] for i in values if values.count(i) > 1})
    if twice:
        raise ColumnError(f"columns {settings.columns} name {', '.join(twice)} twice")
    if not values:
        raise ColumnError("no column is left for the features")
    return Choice(tuple(values), time, where)


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


def _condition(names: Sequence[str], text: str) -> tuple[int, str, float]:
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
