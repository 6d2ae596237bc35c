from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.index.files import IndexingError
from pipeline.index.text_lines import read_lines


def test_lines_are_numbered_and_blank_ones_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfa 1 \r\n\n  \r\n b\xff\n")
    assert list(read_lines(path)) == [(1, "a 1"), (4, " b\udcff")]


def test_a_line_of_any_length_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("a\n" + "x" * 100_001)
    with pytest.raises(IndexingError, match="line 2: has more than 100000 characters"):
        list(read_lines(path))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="can't be read"):
        list(read_lines(tmp_path))
