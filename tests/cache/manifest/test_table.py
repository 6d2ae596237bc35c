from __future__ import annotations

import csv
import os
from io import StringIO
from pathlib import Path
from threading import Thread

import pytest

from cache.manifest.table import (
    MAX_LINE_LENGTH,
    MAX_LINES_PER_RECORD,
    TableError,
    first_bad_byte,
    name_fields,
    open_table,
    read_table,
)


def records(
    path: Path, content: bytes, *, delimiter: str | None = ",", encoding: str | None = None
) -> list[tuple[int, list[str]]]:
    path.write_bytes(content)
    return list(read_table(path, delimiter=delimiter, encoding=encoding))


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


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b""),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b""),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32-le", b"\xff\xfe\0\0"),
        ("utf-32-be", b"\0\0\xfe\xff"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_found_out(
    tmp_path: Path, encoding: str, mark: bytes, delimiter: str
) -> None:
    rows = [["path", "text"], ["é", "a,;\t|\r\nb"], ["🙂", ""]]
    text = StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    content = mark + text.getvalue().encode(encoding)
    expected = list(zip((1, 2, 4), rows, strict=True))
    assert records(tmp_path / "t.csv", content, delimiter=None) == expected


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("path\na;b\n", ["path"]),
        ("path,label;of;the;clip\na.mp4,sad\n", ["path", "label;of;the;clip"]),
        ("a;b\n1,5;2,5\n", ["a", "b"]),
        ('"a,b,c";d\nx;y\n', ["a,b,c", "d"]),
        ("a,b,c\nx\ny\n", ["a", "b", "c"]),
        ("a,b", ["a", "b"]),
    ],
)
def test_the_delimiter_parts_the_header_and_the_rows_alike(
    tmp_path: Path, text: str, header: list[str]
) -> None:
    assert records(tmp_path / "t.csv", text.encode(), delimiter=None)[0] == (1, header)


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "sep=;\r", "sep=:", '"sep=,";'])
def test_a_first_line_with_the_delimiter_is_no_record(tmp_path: Path, first: str) -> None:
    mark = ":" if ":" in first else ";"
    content = f"{first}\na{mark}b,c,d\n1{mark}2\n".encode("utf-16")
    assert records(tmp_path / "t.csv", content, delimiter=None) == [
        (2, ["a", "b,c,d"]),
        (3, ["1", "2"]),
    ]


def test_the_encoding_can_be_given(tmp_path: Path) -> None:
    content = "路径,é\n".encode("gb18030")
    assert records(tmp_path / "t.csv", content, encoding="gb18030") == [(1, ["路径", "é"])]
    for encoding in ("klingon", "zlib", "a\0b"):
        with pytest.raises(TableError, match="there is no encoding"):
            records(tmp_path / "t.csv", content, encoding=encoding)


def test_broken_utf16_is_named(tmp_path: Path) -> None:
    half = "a,b\n1,x\ud83dy\n".encode("utf-16", "surrogatepass")
    (_, good), (_, bad) = records(tmp_path / "t.csv", half)
    assert first_bad_byte(good) is None
    assert first_bad_byte(bad) == 0x3D
    with pytest.raises(TableError, match=r"line 2: .* truncated data; save the table as UTF-8"):
        records(tmp_path / "t.csv", "a,b\n1,2".encode("utf-16")[:-1])


def test_a_pipe_is_read_in_one_go(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=(tmp_path / "pipe").write_text, args=("a;b\n1;2\n",))
    writer.start()
    assert list(read_table(tmp_path / "pipe")) == [(1, ["a", "b"]), (2, ["1", "2"])]
    writer.join()


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


def test_rows_are_read_by_the_names_of_the_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("b,a,other\n 1 ,2\n3,4,5,6\n")
    with open_table(path) as table:
        assert list(name_fields(table.records, "ab")) == [
            (2, {"b": "1", "a": "2", "other": ""}),
            (3, {"b": "3", "a": "4", "other": "5"}),
        ]
    with open_table(path) as table, pytest.raises(TableError, match="line 1: no column c, d"):
        list(name_fields(table.records, "abcd"))
