"""Rows of features out of a csv, grouped by the id that a column holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cache.manifest.table import TableError, first_bad_byte, read_table
from pipeline.exchange.columns import ColumnError, Rows, choose_columns
from pipeline.exchange.settings import ImportRefusedError, ImportSettings


def read_csv_rows(
    path: Path, settings: ImportSettings, *, id_column: str | None
) -> dict[str, Rows]:
    """Read the rows of a csv by id; of its columns, only those that are wanted.

    Args:
        path: the file.
        settings: which columns.
        id_column: the column of the ids; None puts all rows under one empty id.

    Raises:
        ImportRefusedError: a column isn't there, a line has another number of fields than the
            header, or a field is no number.
    """
    try:
        records = read_table(path)
        header = next(records, (0, []))[1]
        names = [name.strip() for name in header]
        without = []
        place = -1
        if id_column is not None:
            if names.count(id_column) != 1:
                raise ColumnError(
                    f"{names.count(id_column)} columns are called {id_column}, which holds the "
                    f"ids; choose it by --id-column from {', '.join(names[:20])}"
                )
            place, without = names.index(id_column), [id_column]
        choice = choose_columns(names, settings, without=without)
        found: dict[str, list[list[float]]] = {} if id_column is not None else {"": []}
        for line, fields in records:
            if len(fields) != len(names) or first_bad_byte(fields) is not None:
                raise TableError(f"{len(fields)} fields, the header has {len(names)}", line)
            row = [_number(fields[i], names[i], line) for i in choice.positions]
            found.setdefault(fields[place].strip() if place >= 0 else "", []).append(row)
    except (TableError, ColumnError) as error:
        raise ImportRefusedError(str(path), [str(error)]) from error
    width = len(choice.positions)
    return {n: choice.take(np.array(rows).reshape(-1, width)) for n, rows in found.items()}


def _number(text: str, column: str, line: int) -> float:
    try:
        return float(text) if text.strip() else float("nan")
    except ValueError:
        raise TableError(f"column {column}: {text!r} is not a number", line) from None
