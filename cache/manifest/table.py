"""Read a table record by record with its line numbers, in bounded memory whatever the file.

Encoding and delimiter are found out from the first bytes, so that what a spreadsheet program makes
of a table is read as well: ``CSV``, ``CSV UTF-8``, ``Unicode text`` (UTF-16 with tabs), a first
line ``sep=;``.

``csv`` alone reads a line of any length, follows an open quote to the end of the file, and does
not say where a byte isn't UTF-8. Here each of these ends as a ``TableError`` or a named problem.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

DELIMITERS = ",;\t|"
MAX_LINE_LENGTH = 100_000
MAX_LINES_PER_RECORD = 1_000

_NUM_BYTES_LOOKED_AT = 1 << 16
_NUM_RECORDS_LOOKED_AT = 20
_BYTE_ORDER_MARKS = (  # UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Two ASCII characters of two bytes each: no table in UTF-8 has a NUL in its first name.
_UTF16_LE = re.compile(rb"[\t -~]\0[\t -~]\0")
_UTF16_BE = re.compile(rb"\0[\t -~]\0[\t -~]")
_SEP_LINE = re.compile(r'"?sep=(.)"?[;,\t|]*\r?\n?', re.IGNORECASE)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class TableError(ValueError):
    """Error of a table that can't be read on from ``line``; 0 is the file itself."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message, line)
        self.message = message
        self.line = line

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


@dataclass(frozen=True)
class Table:
    """An open table.

    Args:
        records: each record with the line that it starts on, from 1; may raise ``TableError``.
        delimiter: what stands between two fields.
    """

    records: Iterator[tuple[int, list[str]]]
    delimiter: str


def read_table(
    path: Path, *, delimiter: str | None = None, encoding: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yield each record of a table with the line that it starts on; see ``open_table``."""
    with open_table(path, delimiter=delimiter, encoding=encoding) as table:
        yield from table.records


@contextmanager
def open_table(
    path: Path,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    max_line_length: int = MAX_LINE_LENGTH,
) -> Iterator[Table]:
    """Open a table for reading, and close it at the end.

    Empty lines, records of empty fields only and a first line ``sep=;`` are left out. A byte order
    mark is dropped; lines end with any of the three kinds of line end. A byte that isn't of the
    encoding stays in its field as a lone surrogate, which ``first_bad_byte`` finds.

    Args:
        path: the file.
        delimiter: what stands between two fields; None: what the first line ``sep=`` says, else
            the one of ``, ; tab |`` that parts the header into most fields and the rows alike.
        encoding: a name that Python knows; None: UTF-16 or UTF-32 where the first bytes are theirs,
            else UTF-8.
        max_line_length: characters that a line may have.

    Raises:
        TableError: the file is missing, a folder or unreadable, or ``encoding`` is unknown; while
            the records are read: a line has more than ``max_line_length`` characters, a record
            more than ``MAX_LINES_PER_RECORD`` lines, its quotes don't match, or UTF-16 is broken.
    """
    try:
        file = io.BufferedReader(path.open("rb", buffering=0), _NUM_BYTES_LOOKED_AT)
    except IsADirectoryError:
        raise TableError("is a folder; expected a CSV file", 0) from None
    except FileNotFoundError:
        raise TableError("no such file", 0) from None
    except OSError as error:
        raise TableError(f"can't be read: {error.strerror}", 0) from error
    with file:
        try:
            head = file.peek(_NUM_BYTES_LOOKED_AT)
        except OSError as error:
            raise TableError(f"can't be read: {error.strerror}", 0) from error
        encoding = encoding or _find_encoding(head)
        try:
            start = head.decode(encoding, errors="replace")
        except (LookupError, ValueError):
            raise TableError(f"there is no encoding {encoding!r}", 0) from None
        delimiter = delimiter or _find_delimiter(start)
        # Half a pair of UTF-16 would end the reading a buffer too early: it passes, to be found.
        wide = encoding.lower().startswith(("utf-16", "utf-32"))
        errors = "surrogatepass" if wide else "surrogateescape"
        with io.TextIOWrapper(file, encoding, errors, newline="") as text:
            yield Table(_read_records(_Lines(text, max_line_length), delimiter), delimiter)


def _read_records(lines: _Lines, delimiter: str) -> Iterator[tuple[int, list[str]]]:
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
        except UnicodeError as error:
            raise TableError(f"{error}; save the table as UTF-8", lines.count + 1) from error
        except OSError as error:
            raise TableError(f"can't be read: {error.strerror}", lines.count) from error
        if any(fields):
            yield lines.first, fields


def name_fields(
    records: Iterator[tuple[int, list[str]]], needed: Collection[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Take the first record for the header; yield the others by its names, without blanks around.

    A row may end early: its last columns are empty.

    Args:
        records: of an open table.
        needed: columns that the header must have.

    Raises:
        TableError: it lacks one; what ``records`` raises.
    """
    line, header = next(records, (1, []))
    if missing := [name for name in needed if name not in header]:
        raise TableError(f"no column {', '.join(missing)}", line)
    for line, fields in records:
        texts = (field.strip() for field in fields[: len(header)])
        yield line, dict(zip_longest(header, texts, fillvalue=""))


def first_bad_byte(fields: list[str]) -> int | None:
    """Return the first byte of a record that is not UTF-8, None where all are.

    Of half a character of UTF-16 it is the lower byte.
    """
    for field in fields:
        if not field.isascii():
            lone = _LONE_SURROGATE.search(field)
            if lone:
                return ord(lone[0]) & 0xFF
    return None


def _find_encoding(head: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    if _UTF16_LE.match(head):
        return "utf-16-le"
    return "utf-16-be" if _UTF16_BE.match(head) else "utf-8-sig"


def _find_delimiter(start: str) -> str:
    """Return the delimiter that a first line ``sep=`` names, else that which parts a table best."""
    lines = io.StringIO(start, newline="").readlines()
    sep_line = _SEP_LINE.fullmatch(lines[0]) if lines else None
    if sep_line:
        lines.pop(0)
    if len(lines) > 1 and not lines[-1].endswith(("\n", "\r")):
        lines.pop()  # cut off, perhaps

    def rank(delimiter: str) -> tuple[bool, int]:
        counts = [n for n in _count_fields(lines, delimiter) if n]
        num_columns, *rows = counts or [1]
        alike = sum(n == num_columns for n in rows)
        return num_columns > 1 and 2 * alike >= len(rows), num_columns

    # A program that takes "sep=;" for a row writes it on under a delimiter of its own.
    if sep_line and rank(sep_line[1])[0]:
        return sep_line[1]
    return max(DELIMITERS, key=rank)  # the first of equals: the comma where none parts anything


def _count_fields(lines: list[str], delimiter: str) -> Iterator[int]:
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for _, fields in zip(range(_NUM_RECORDS_LOOKED_AT), reader, strict=False):
            yield len(fields) if any(fields) else 0
    except csv.Error:
        return


class _Lines:
    """Lines of a file, counted, with a limit on their length and on those of one record."""

    def __init__(self, file: TextIO, max_length: int) -> None:
        self.file = file
        self.max_length = max_length
        self.count = 0
        self.first = 1

    def start_record(self) -> None:
        self.first = self.count + 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.file.readline(self.max_length + 1)
        if not line:
            raise StopIteration
        self.count += 1
        if len(line) > self.max_length:
            raise TableError(f"has more than {self.max_length} characters", self.count)
        if self.count == 1 and _SEP_LINE.fullmatch(line):
            self.first = 2
            return next(self)
        if self.count - self.first >= MAX_LINES_PER_RECORD:
            raise TableError(
                f"a quoted field is still open {MAX_LINES_PER_RECORD} lines further on", self.first
            )
        return line
