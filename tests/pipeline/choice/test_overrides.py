from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipeline.choice.overrides import Override, OverrideError, read_overrides

HEADER = "clip,start_seconds,end_seconds,track,box\n"


def read(path: Path, text: str) -> dict[str, tuple[Override, ...]]:
    (path / "o.csv").write_text(text)
    return read_overrides(path / "o.csv", {"a", "b"})


def test_tracks_and_boxes_are_read_per_clip(tmp_path: Path) -> None:
    found = read(tmp_path, HEADER + 'a,0.5,2,3,\nb,,,,"10 20 30.5 50"\na,2,,0,\n')
    assert found == {
        "a": (Override(0.5, 2.0, track=3), Override(2.0, math.inf, track=0)),
        "b": (Override(-math.inf, math.inf, box=(10.0, 20.0, 30.5, 50.0)),),
    }


def test_a_table_is_read_as_a_spreadsheet_saves_it(tmp_path: Path) -> None:
    text = (
        "sep=;\r\nclip;start_seconds;end_seconds;track;box;;\r\n"
        "a;0,5;0:02;3,0;;;\r\n;;;;;;\r\nb;1,500;;;10 20 30,5 50;;\r\n"
    )
    (tmp_path / "o.csv").write_bytes(text.encode("utf-16"))
    assert read_overrides(tmp_path / "o.csv", {"a", "b"}) == {
        "a": (Override(0.5, 2.0, track=3),),
        "b": (Override(1.5, math.inf, box=(10.0, 20.0, 30.5, 50.0)),),
    }


def test_a_row_may_end_early_and_a_broken_table_is_named(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER + "a,,,1\n") == {"a": (Override(-math.inf, math.inf, track=1),)}
    with pytest.raises(OverrideError, match="line 3: unexpected end of data"):
        read(tmp_path, HEADER + 'a,,,1,\na,"\n')
    (tmp_path / "o.csv").write_bytes(HEADER.encode() + b"\xff,,,1,\n")
    with pytest.raises(OverrideError, match=r"line 2: no clip '.*' in the manifest"):
        read_overrides(tmp_path / "o.csv", {"a"})


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("c,,,1,", "line 2: no clip 'c' in the manifest"),
        ("a,2,1,1,", r"line 2: end_seconds 1.0 is not after start_seconds 2.0"),
        ("a,,,,", "line 2: give either a track or a box"),
        ("a,,,1,1 2 3 4", "line 2: give either a track or a box"),
        ("a,,,x,", "line 2: track must be a number from 0, got 'x'"),
        ("a,,,-1,", "line 2: track must be a number from 0, got '-1'"),
        ("a,,,,1 2 3", "line 2: box must be left top right bottom, got '1 2 3'"),
        ("a,,,,5 2 3 4", "line 2: box must be left top right bottom"),
        ("a,,,,1 2 3 inf", "line 2: box must be finite"),
        ("a,,,,1 2 0:03 4", "line 2: box must be a number, got '0:03'"),
        ("a,,,,1 2 3 z", "line 2: box must be a number, got 'z'"),
        ("a,soon,,1,", "line 2: start_seconds must be a number, got 'soon'"),
        ("a,nan,,1,", "line 2: start_seconds must be a number, got 'nan'"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(OverrideError, match=problem):
        read(tmp_path, HEADER + row + "\n")


def test_all_problems_are_listed(tmp_path: Path) -> None:
    with pytest.raises(OverrideError) as error:
        read(tmp_path, HEADER + "c,,,1,\na,,,1,\nd,,,1,\n")
    assert [problem[:6] for problem in error.value.problems] == ["line 2", "line 4"]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(OverrideError, match="line 1: no column track, box"):
        read(tmp_path, "clip,start_seconds,end_seconds\n")


def test_a_file_that_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(OverrideError, match=r"gone\.csv: not a file; expected a CSV with clip,"):
        read_overrides(tmp_path / "gone.csv", set())
