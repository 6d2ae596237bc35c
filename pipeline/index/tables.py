"""Read the tables that corpora publish beside their clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cache.manifest.table import TableError, first_bad_byte, read_table
from pipeline.index.found import IndexingError
from pipeline.index.text import did_you_mean


def read_columns(
    path: Path, columns: Sequence[str], *, delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the named columns, without blanks around, of each row.

    Args:
        path: a CSV file with a header.
        columns: names as published; all must be in the header.
        delimiter: what stands between two fields.

    Raises:
        IndexingError: the table can't be read or lacks a column, or a row is short or is not UTF-8
            in one of them; the message has the line.
    """
    try:
        records = read_table(path, delimiter=delimiter)
        header = [name.strip() for name in next(records, (1, []))[1]]
        positions = [_position(path, header, name) for name in columns]
        for line, fields in records:
            if len(fields) <= max(positions):
                raise IndexingError(
                    f"{path}, line {line}: has {len(fields)} fields where the header has "
                    f"{len(header)}"
                )
            values = [fields[position].strip() for position in positions]
            bad_byte = first_bad_byte(values)
            if bad_byte is not None:
                raise IndexingError(
                    f"{path}, line {line}: not UTF-8 (byte 0x{bad_byte:02x}); save it as UTF-8"
                )
            yield line, values
    except TableError as error:
        raise IndexingError(f"{path}: {error}") from error


def _position(path: Path, header: Sequence[str], name: str) -> int:
    if name not in header:
        hint = did_you_mean(name, header)
        raise IndexingError(
            f"{path} has no column {name!r}{hint}; columns: {', '.join(header)[:300] or 'none'}"
        )
    return header.index(name)
