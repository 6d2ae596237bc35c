"""Tables as spreadsheets, pandas, R and openSMILE write them give the same features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.exchange.arrays import GIB
from pipeline.exchange.settings import ImportRefusedError, ImportSettings
from pipeline.exchange.tables import read_rows
from tests.pipeline.import_sources import csv, entry, refused, run, times, values

# Two rows of clip a: at 0 and 0.5 s, 1.5 and -2.
AS_WRITTEN = {
    "commas": "clip,t,x\na,0,1.5\na,0.5,-2\n",
    "semicolons": "clip;t;x\na;0;1.5\na;0.5;-2\n",
    "decimal commas": "clip;t;x\na;0;1,5\na;0,5;-2\n",
    "tabs, decimal commas": "clip\tt\tx\na\t0\t1,5\na\t0,5\t-2\n",
    "sep=": "sep=|\nclip|t|x\na|0|1.5\na|0.5|-2\n",
    "blanks": "clip, t, x\na, 0, 1.5\na, 0.5, -2\n",
    "every field quoted": '"clip","t","x"\n"a","0","1.5"\n"a","0.5","-2"\n',
    "openSMILE's quotes": "clip;t;x\n'a';0.000000;1.5\n'a';0.500000;-2\n",
    "timedeltas": "clip,t,x\na,0 days 00:00:00,1.5\na,0 days 00:00:00.500000,-2\n",
    "whole days": "clip,t,x\na,0 days,1.5\na,0 days 00:00:00.500000,-2\n",
    "clock": "clip,t,x\na,00:00:00,1.5\na,00:00:00.5,-2\n",
    "exponents": "clip,t,x\na,0,+1.5E+00\na,5e-1,-2e0\n",
    "no line end": "clip,t,x\r\na,0,1.5\r\na,0.5,-2",
    "texts": "clip,t,x,note\na,0,1.5,ok\na,0.5,-2,\n",
    "an empty last column": "clip,t,x,\na,0,1.5,\na,0.5,-2,\n",
}
TIMED: dict[str, Any] = {"format": "csv", "time_column": "t"}


@pytest.mark.parametrize("text", AS_WRITTEN.values(), ids=list(AS_WRITTEN))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_every_way_to_write_a_table_gives_the_same_features(
    tmp_path: Path, text: str, encoding: str
) -> None:
    path = tmp_path / "source.csv"
    path.write_bytes(text.encode(encoding))
    report = run(tmp_path, path, ["a"], **TIMED)
    assert report.names == ("x",)
    assert times(report, "a") == [0.0, 0.5]
    assert values(report, "a").tolist() == [[1.5], [-2.0]]


def test_a_delimiter_that_is_named_is_taken(tmp_path: Path) -> None:
    path = csv(tmp_path, "clip x,y", "a 1,2")
    with pytest.raises(ImportRefusedError, match="0 columns are called clip"):
        run(tmp_path, path, ["a"], format="csv")
    report = run(tmp_path, csv(tmp_path, "clip~x~y", "a~1~2"), ["a"], format="csv", delimiter="~")
    assert values(report, "a").tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="delimiter must be one character, got ';;'"):
        ImportSettings("csv", delimiter=";;")


def test_columns_without_numbers_are_left_out_and_named(tmp_path: Path) -> None:
    path = csv(tmp_path, "clip,mood,x,empty,when", "a,happy,1,,2026-01-02", "b,sad,2,NA,2026-01-03")
    report = run(tmp_path, path, ["a", "b"], format="csv")
    assert (report.names, report.skipped) == (("x",), ("mood", "empty", "when"))


@pytest.mark.parametrize("columns", ["mood,x", "x,mood", "*o*,x"])
def test_a_column_without_numbers_that_was_asked_for_is_refused_by_line(
    tmp_path: Path, columns: str
) -> None:
    path = csv(tmp_path, "clip,mood,x", "a,,1", "b,sad,2")
    message = refused(tmp_path, path, ["a", "b"], format="csv", columns=columns)
    assert "line 3: column mood: 'sad' is not a number" in message


@pytest.mark.parametrize(
    ("text", "shown"), [("1.5.2", "'1.5.2'"), ("1_000", "'1_000'"), ("1,23,4", "'1,23,4'")]
)
def test_one_field_that_is_no_number_among_numbers_is_refused_by_line(
    tmp_path: Path, text: str, shown: str
) -> None:
    path = csv(tmp_path, "clip,x", "a,1", f'b,"{text}"')
    message = refused(tmp_path, path, ["a", "b"], format="csv")
    assert f"line 3: column x: {shown} is not a number" in message


@pytest.mark.parametrize("rows", [["a\t1,234\t1", "b\t2,345\t2"], ["a\t1,234\t1", "b\t0,5\t2"]])
def test_a_comma_that_could_be_of_thousands_is_refused_and_its_column_never_skipped(
    tmp_path: Path, rows: list[str]
) -> None:
    message = refused(tmp_path, csv(tmp_path, "clip\tx\ty", *rows), ["a", "b"], format="csv")
    assert "line 2: column x: '1,234' may be a decimal or a thousand; write it with" in message


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    message = refused(tmp_path, csv(tmp_path), ["a"], format="csv")
    assert "is empty; expected a line with the names of the columns" in message


@pytest.mark.parametrize("nothing", ["", "nan", "NA", "N/A", "null", "-nan(ind)", "inf", "-inf"])
def test_rows_with_nothing_in_them_are_refused_or_left_out_and_counted(
    tmp_path: Path, nothing: str
) -> None:
    path = csv(tmp_path, "clip,t,x,y", "a,0,1,2", f"a,1,3,{nothing}", "a,2,5,6")
    message = refused(tmp_path, path, ["a"], **TIMED)
    assert "clip a: 1 of 3 rows have nan or inf" in message
    assert "the first in feature 1 (y)" in message
    report = run(tmp_path, path, ["a"], nan="drop", **TIMED)
    assert values(report, "a").tolist() == [[1, 2], [5, 6]]
    assert entry(report, "a").missing == ("1 of 3 rows left out for nan or inf",)
    assert report.partial == {"a": "1 of 3 rows left out for nan or inf"}


def test_the_same_refusal_of_many_clips_is_one_line_with_their_number(tmp_path: Path) -> None:
    clips = [f"c{i}" for i in range(23)]
    path = csv(tmp_path, "clip,x,y", *(f"{clip},1,nan" for clip in clips))
    message = refused(tmp_path, path, clips, format="csv")
    assert "23 clips (c0, c1, c2, c3, c4, ...): 1 of 1 rows have nan" in message
    assert len(message.splitlines()) == 1


def test_many_missing_clips_are_one_line_with_their_number(tmp_path: Path) -> None:
    clips = [f"c{i}" for i in range(23)]
    message = refused(tmp_path, csv(tmp_path, "clip,x", "c0,1"), clips, format="csv")
    assert message.endswith(
        "22 of 23 clips are not in it (--allow-missing records that): c1, c2, c3, c4, c5, ..."
    )


def test_rows_out_of_order_are_sorted_and_it_is_said(tmp_path: Path) -> None:
    path = csv(tmp_path, "clip,t,x", "a,0.5,7", "a,0.25,5", "b,1,3")
    report = run(tmp_path, path, ["a", "b"], **TIMED)
    assert times(report, "a") == [0.25, 0.5]
    assert report.notes == {"order: rows were not in the order of their times, and were sorted": 1}
    assert entry(report, "a").attributes["notes"] == list(report.notes)
    assert entry(report, "b").attributes["notes"] == []


def test_a_header_may_have_hundreds_of_thousands_of_characters(tmp_path: Path) -> None:
    names = [f"audspecRasta_lengthL1norm_sma_de_feature_number_{i}" for i in range(6373)]
    path = csv(tmp_path, "name;frameTime;" + ";".join(names), "'a';0.0" + ";0.5" * 6373)
    report = run(tmp_path, path, ["a"], format="csv", like="opensmile")
    assert report.width == 6373


def test_more_numbers_than_the_limit_are_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "x,y", *["1,2"] * 100)
    assert read_rows(path, ImportSettings("csv"), 1600, of_one_clip=True)[""].values.size == 200
    with pytest.raises(ImportRefusedError, match="pass --max-gib if that is right"):
        read_rows(path, ImportSettings("csv"), 1599, of_one_clip=True)


def test_a_table_of_texts_only_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, csv(tmp_path, "clip,x", "a,one"), ["a"], format="csv")
    assert "line 2: column x: 'one' is not a number" in message
    message = refused(tmp_path, csv(tmp_path, "clip,x", "a,"), ["a"], format="csv")
    assert "clip a: 1 of 1 rows have nan or inf" in message


def test_a_byte_that_is_no_text_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "source.csv"
    path.write_bytes(b"clip,x\na,1\nb\xff,2\n")
    with pytest.raises(ImportRefusedError, match=r"line 3: not UTF-8 \(byte 0xff\)"):
        read_rows(path, ImportSettings("csv"), GIB, of_one_clip=False)
    path.write_bytes(b"clip,x\xe9\na,1\n")
    with pytest.raises(ImportRefusedError, match=r"line 1: not UTF-8 \(byte 0xe9\)"):
        read_rows(path, ImportSettings("csv"), GIB, of_one_clip=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@relation lld\n@attribute name string\n", "line 1: is an ARFF table; let openSMILE"),
        ("'unknown';0.000000;2.5\n'unknown';0.010000;2.6\n", "line 1: holds numbers; expected"),
        ("", "is empty; expected a line with the names"),
    ],
)
def test_a_table_without_a_header_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = csv(tmp_path, text)
    assert message in refused(tmp_path, path, ["source"], format="csv", like="opensmile", rate=9.0)


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, csv(tmp_path, "clip,t,x", "a,NaT,1"), ["a"], **TIMED)
    assert "clip a: 1 of 1 times are nan or infinite" in message
    message = refused(tmp_path, csv(tmp_path, "clip,t,x", "a,soon,1"), ["a"], **TIMED)
    assert "line 2: column t: 'soon' is not a number" in message


def test_rows_of_faces_and_numbers_are_in_float32_as_written(tmp_path: Path) -> None:
    written = np.random.default_rng(7).normal(size=(11, 3)).astype(np.float32)
    lines = [f"a,{i},{','.join(map(repr, row.tolist()))}" for i, row in enumerate(written)]
    report = run(tmp_path, csv(tmp_path, "clip,t,x,y,z", *lines), ["a"], **TIMED)
    assert np.array_equal(values(report, "a"), written)
