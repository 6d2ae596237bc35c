"""Tables of features: numbers and times of the wanted columns, by id."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cache.manifest.numbers import read_number, read_seconds
from cache.manifest.table import Table, TableError, first_bad_byte, open_table
from pipeline.exchange.arrays import check_limit
from pipeline.exchange.columns import Choice, ColumnError, Rows, choose_columns
from pipeline.exchange.layouts import layout_of
from pipeline.exchange.settings import ImportRefusedError, ImportSettings

MAX_LINE_LENGTH = 1_000_000  # openSMILE's largest header has 300,000 characters
_NO_VALUE = frozenset({"", "na", "n/a", "#n/a", "null", "none", "nat", "<na>", "-nan(ind)"})


def read_rows(
    path: Path, settings: ImportSettings, limit: int, *, of_one_clip: bool
) -> dict[str, Rows]:
    """Read the rows of a csv by id; of its columns, only those that are wanted.

    A column without a single number is left out, unless it was asked for by name. Fields without
    a value, such as ``NA``, become nan.

    Args:
        path: the file.
        settings: which columns.
        limit: bytes that its numbers may take.
        of_one_clip: put all rows under one empty id. So it is too where the layout is of a tool
            that names no clips, or none in this file.

    Raises:
        ImportRefusedError: a column isn't there, a line has another number of fields than the
            header, a field is no number though others of its column are, or there are too many.
    """
    try:
        with open_table(
            path, delimiter=settings.delimiter or None, max_line_length=MAX_LINE_LENGTH
        ) as table:
            names = _read_header(table)
            place = None if of_one_clip else _find_id_column(names, settings)
            without = () if place is None else (names[place],)
            choice = choose_columns(names, settings, without=without)
            found = _Reading(names, choice, place, limit).read(table)
    except (TableError, ColumnError, ValueError) as error:
        raise ImportRefusedError(str(path), [str(error)]) from error
    if set(found) == {layout_of(settings).no_id}:  # nobody told the tool a name
        return {"": next(iter(found.values()))}
    return found


def _read_header(table: Table) -> list[str]:
    line, fields = next(table.records, (0, []))
    _check_bytes(line, fields)
    names = [name.strip() for name in fields]
    if not names:
        raise TableError("is empty; expected a line with the names of the columns", 0)
    if names[0].lower().startswith("@relation"):
        raise TableError("is an ARFF table; let openSMILE write a csv (-csvoutput)", line)
    if any("." in name and read_number(name) is not None for name in names):
        raise TableError("holds numbers; expected the names of the columns", line)
    return names


def _check_bytes(line: int, fields: list[str]) -> None:
    bad_byte = first_bad_byte(fields)
    if bad_byte is not None:
        raise TableError(f"not UTF-8 (byte 0x{bad_byte:02x}); save the table as UTF-8", line)


def _find_id_column(names: Sequence[str], settings: ImportSettings) -> int | None:
    """Find the column that names the clip of each row; a layout's may be absent."""
    column = settings.id_column or "clip"
    if settings.like and not settings.id_column:
        column = next((name for name in layout_of(settings).ids if name in names), "")
        if not column:
            return None
    if names.count(column) != 1:
        raise ColumnError(
            f"{names.count(column)} columns are called {column}, which holds the ids; choose it "
            f"by --id-column from {', '.join(names[:20])}"
        )
    return names.index(column)


class _Reading:
    """Rows of a table as they are read: numbers by id, and what is known of each column."""

    def __init__(self, names: Sequence[str], choice: Choice, place: int | None, limit: int) -> None:
        self.names = names
        self.choice = choice
        self.place = place
        self.limit = limit
        self.numbers: dict[str, array[float]] = {} if place is not None else {"": array("d")}
        self.faces: dict[str, list[str]] = {}
        self.with_numbers: set[int] = set()
        self.first_text: dict[int, TableError] = {}

    def read(self, table: Table) -> dict[str, Rows]:
        """Read to the end, and part the columns.

        Raises:
            TableError: a line is no row of the table, or a field no number.
            ColumnError: no column holds numbers.
            ValueError: there are too many.
        """
        positions, face, place = self.choice.positions, self.choice.face, self.place
        count = 0
        for line, fields in table.records:
            _check_bytes(line, fields)
            if len(fields) != len(self.names):
                raise TableError(f"{len(fields)} fields, the header has {len(self.names)}", line)
            name = "" if place is None else _unquoted(fields[place])
            row = self.numbers.setdefault(name, array("d"))
            row.extend(self._number(p, fields[p], line, table.delimiter) for p in positions)
            if face is not None:
                self.faces.setdefault(name, []).append(fields[face].strip())
            count += len(positions)
            check_limit(count * row.itemsize, self.limit)
        skipped = {
            position: self.names[position] or "(no name)"
            for position in self._columns_without_numbers()
        }
        shape = (-1, len(positions))
        return {
            name: self.choice.take(
                np.frombuffer(row).reshape(shape),
                faces=self.faces.get(name, ()),
                skipped=skipped,
            )
            for name, row in self.numbers.items()
        }

    def _number(self, position: int, text: str, line: int, delimiter: str) -> float:
        number = None
        try:
            if "_" not in text:  # Python's 1_000
                number = float(text)
        except ValueError:
            text = text.strip()
            if position == self.choice.time:
                text += " 00:00:00" if text.endswith(("day", "days")) else ""  # pandas' 0 days
                number = read_seconds(text, delimiter=delimiter)
            else:
                number = read_number(text, delimiter=delimiter)
        if number is not None:
            self.with_numbers.add(position)
            return number
        if text.strip().lower() not in _NO_VALUE and position not in self.first_text:
            problem = "is not a number"
            if read_number(text.strip(), delimiter=";") is not None:
                self.with_numbers.add(position)  # it has numbers, and is not to be skipped
                problem = "may be a decimal or a thousand; write it with a point, or without comma"
            self.first_text[position] = TableError(
                f"column {self.names[position]}: {text[:40]!r} {problem}", line
            )
        return np.nan

    def _columns_without_numbers(self) -> list[int]:
        """Features to leave out; all other columns must be numbers throughout."""
        values = self.choice.values
        skipped = [] if self.choice.asked else [p for p in values if p not in self.with_numbers]
        if len(skipped) == len(values):  # as in a file without any face
            skipped = [position for position in skipped if position in self.first_text]
        for position, error in self.first_text.items():
            if position not in skipped or len(skipped) == len(values):
                raise error
        return skipped


def _unquoted(text: str) -> str:
    """An id without openSMILE's quotes: ``'clip'``."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text
