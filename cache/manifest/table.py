"""Read a CSV table record by record with its line numbers, in bounded memory whatever the file.

``csv`` alone reads a line of any length, follows an open quote to the end of the file, and does
not say where a byte isn't UTF-8. Here each of these ends as a ``TableError`` or a named problem.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

MAX_LINE_LENGTH = 100_000
MAX_LINES_PER_RECORD = 1_000


class TableError(ValueError):
    """Error of a table that can't be read on from ``line``; 0 is the file itself."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message, line)
        self.message = message
        self.line = line

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


def read_table(path: Path, *, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield each record of a CSV file with the line that it starts on, from 1.

    Empty lines and records of empty fields only are left out. A byte order mark is dropped; lines
    end with any of the three kinds of line end. A byte that isn't UTF-8 stays in its field as a
    lone surrogate, which ``first_bad_byte`` finds.

    Raises:
        TableError: the file is missing, a folder or unreadable; a line has more than
            ``MAX_LINE_LENGTH`` characters, a record more than ``MAX_LINES_PER_RECORD`` lines, or
            its quotes don't match.
    """
    try:
        file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except IsADirectoryError:
        raise TableError("is a folder; expected a CSV file", 0) from None
    except FileNotFoundError:
        raise TableError("no such file", 0) from None
    except OSError as error:
        raise TableError(f"can't be read: {error.strerror}", 0) from error
    with file:
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            lines.start_record()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                message = f'{error}; a field with a comma or quote must be quoted, as in "a ""b"""'
                raise TableError(message, lines.first) from error
            except OSError as error:
                raise TableError(f"can't be read: {error.strerror}", lines.count) from error
            if any(fields):
                yield lines.first, fields


def first_bad_byte(fields: list[str]) -> int | None:
    """Return the first byte of a record that is not UTF-8, None where all are."""
    for field in fields:
        if not field.isascii():
            try:
                field.encode()
            except UnicodeEncodeError as error:
                return ord(field[error.start]) - 0xDC00
    return None


class _Lines:
    """Lines of a file, counted, with a limit on their length and on those of one record."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.count = 0
        self.first = 1

    def start_record(self) -> None:
        self.first = self.count + 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.file.readline(MAX_LINE_LENGTH + 1)
        if not line:
            raise StopIteration
        self.count += 1
        if len(line) > MAX_LINE_LENGTH:
            raise TableError(f"has more than {MAX_LINE_LENGTH} characters", self.count)
        if self.count - self.first >= MAX_LINES_PER_RECORD:
            raise TableError(
                f"a quoted field is still open {MAX_LINES_PER_RECORD} lines further on", self.first
            )
        return line
