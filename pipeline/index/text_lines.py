"""Lines of a corpus's text files that are no CSV, with their numbers, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cache.manifest.table import MAX_LINE_LENGTH
from pipeline.index.files import IndexingError


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that aren't blank, without their ends, each with its number from 1.

    Bytes that aren't UTF-8 stay in the text as lone surrogates.

    Raises:
        IndexingError: the file can't be read, or a line has more than ``MAX_LINE_LENGTH``
            characters.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            number = 0
            while line := file.readline(MAX_LINE_LENGTH + 1):
                number += 1
                if len(line) > MAX_LINE_LENGTH:
                    raise IndexingError(
                        f"{path}, line {number}: has more than {MAX_LINE_LENGTH} characters"
                    )
                if line.strip():
                    yield number, line.rstrip()
    except OSError as error:
        raise IndexingError(f"{path}: can't be read: {error.strerror}") from error
