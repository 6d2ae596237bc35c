"""Cells of CSV tables that a spreadsheet shows, rather than runs as formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cache.codec import read_limited

# Where a formula may begin: at the start, and behind what some spreadsheets take for the end of a
# cell. A number (also with votes, ``-1:3``) is none, nor signs alone, as ``+`` or ``--``.
_FORMULA = re.compile(
    r"(?:^|(?<=[;\t\r\n]))(?=[=+\-@\uff0b\uff0d\uff1d\uff20][^;\t\r\n]*\w)"
    r"(?![+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|inf|nan)(?:[eE][+-]?[0-9]+)?(?::[0-9.]+)?(?:[;\t\r\n]|$))"
)


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run a cell, or a part of it, as a formula."""
    return _FORMULA.search(text) is not None


def check_no_formula(what: str, text: str) -> None:
    """Check a label, or another name that tables repeat.

    Raises:
        ValueError: a spreadsheet would run it as a formula; ``what`` says what it is.
    """
    if match := _FORMULA.search(text):
        raise ValueError(
            f"{what} {text!r} has {text[match.end()]!r} where a formula begins, and a spreadsheet "
            "would run it; call it otherwise"
        )


def format_cells(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Write a table as CSV; text that would be run as a formula gets a ``'`` in front.

    Names that are read back, as labels are, are checked where they come in: they stay as they are.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_as_text, header))
    for row in rows:
        writer.writerow(map(_as_text, row))
    return text.getvalue()


def read_cells(path: Path) -> list[list[str]]:
    """Read the rows of a CSV table, its header first; an empty file has none.

    Raises:
        ValueError: it is no table, no regular file or too long; names it.
        OSError: it can't be read.
    """
    try:
        return list(csv.reader(io.StringIO(read_limited(path).decode(), newline="")))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is not a table: {error}") from error


def _as_text(cell: Any) -> Any:
    return _FORMULA.sub("'", cell) if isinstance(cell, str) else cell
