from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.table import (
    MAX_LINE_LENGTH,
    MAX_LINES_PER_RECORD,
    TableError,
    first_bad_byte,
    read_table,
)


def records(path: Path, content: bytes, *, delimiter: str = ",") -> list[tuple[int, list[str]]]:
    path.write_bytes(content)
    return list(read_table(path, delimiter=delimiter))


def test_each_record_comes_with_the_line_it_starts_on(tmp_path: Path) -> None:
    content = b'a,b\n\n"c\nd",e\n,\nf,"g ""h"", i"\n'
    assert records(tmp_path / "t.csv", content) == [
        (1, ["a", "b"]),
        (3, ["c\nd", "e"]),
        (6, ["f", 'g "h", i']),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_line_end_and_a_byte_order_mark_are_read(tmp_path: Path, end: bytes) -> None:
    content = b"\xef\xbb\xbfa;b" + end + b"c;d" + end
    expected = [(1, ["a", "b"]), (2, ["c", "d"])]
    assert records(tmp_path / "t.csv", content, delimiter=";") == expected


def test_a_byte_that_is_not_utf8_stays_in_its_field_and_is_found(tmp_path: Path) -> None:
    ((_, good), (_, bad)) = records(tmp_path / "t.csv", "é,日\n".encode() + b"a,caf\xe9\n")
    assert first_bad_byte(good) is None
    assert first_bad_byte(bad) == 0xE9


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert records(tmp_path / "t.csv", b"") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'a\n"b"c\n', "line 2: ',' expected after '\"'; a field with a comma"),
        (b'a\n"b\nc\n', "line 2: unexpected end of data"),
        (b"a\n" + b"x" * (MAX_LINE_LENGTH + 1), f"line 2: has more than {MAX_LINE_LENGTH} char"),
        (b'a\n"' + b"x\n" * (MAX_LINES_PER_RECORD + 1), "line 2: a quoted field is still open"),
        (b'"' + b"x" * 70_000 + b"\n" + b"x" * 70_000, "line 1: field larger than field limit"),
    ],
)
def test_a_table_that_cannot_be_read_on_is_refused_with_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(TableError) as caught:
        records(tmp_path / "t.csv", content)
    assert message in str(caught.value)


def test_a_folder_or_a_missing_file_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="is a folder; expected a CSV file"):
        next(read_table(tmp_path))
    with pytest.raises(TableError, match="no such file"):
        next(read_table(tmp_path / "none.csv"))


def test_a_table_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, who runs tests in containers, may read all
    with pytest.raises(TableError, match="can't be read: Permission denied"):
        next(read_table(tmp_path / "t.csv"))
