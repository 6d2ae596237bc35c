from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.index.files import IndexingError
from pipeline.index.paths import MediaFinder, PathTemplate
from tests.pipeline.corpus_files import touch

VALUES = {
    "v": "7",
    "clip id": "0001",
    "a.b": "x",
    "n": "2.0",
    "up": "../..",
    "none": "",
    "s": "/etc",
}


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{v}/{clip id}.mp4", "7/0001.mp4"),
        ("dia{v}_utt{n:d}.mp4", "dia7_utt2.mp4"),
        ("{v:04d}-{clip id:02d}", "0007-01"),
        ("{a.b}", "x"),
        ("{{{v}}}", "{7}"),
        ("../other/{v}", "../other/7"),
        ("/data/{v}", "/data/7"),
        (r"C:\data\{v}", r"C:\data\7"),
    ],
)
def test_a_path_is_put_together_from_columns(template: str, path: str) -> None:
    assert PathTemplate.parse(template).fill(VALUES) == path


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{none}.mp4", "column 'none', a part of the path, is empty"),
        ("{n}.mp4", r"n '2\.0' is a number as a spreadsheet writes it; .* or write \{n:d\}"),
        ("{a.b:04d}.mp4", "a.b 'x' is no whole number to write with 4 digits"),
        ("{up}/x.mp4", r"path '\.\./\.\./x\.mp4' leaves the folder that '{up}/x\.mp4' stands for"),
        ("v/{up}/x.mp4", "leaves the folder"),
        ("../{up}/x.mp4", "leaves the folder"),
        ("{s}/passwd", "path '/etc/passwd' leaves the folder"),
    ],
)
def test_a_value_that_makes_no_path_is_refused(template: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PathTemplate.parse(template).fill(VALUES)


def test_parts_of_a_way_out_are_put_together_in_vain() -> None:
    for values in ({"a": ".", "b": "./x"}, {"a": "..\\", "b": "x"}, {"a": "\\", "b": "x"}):
        with pytest.raises(ValueError, match="leaves the folder"):
            PathTemplate.parse("{a}{b}.mp4").fill(values)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{v", "path '{v': expected '}' before end of string"),
        ("{v}}", "Single '}' encountered"),
        ("{}.mp4", r"expected a column in braces, \{name\} or \{name:04d\}"),
        ("{v!r}", "expected a column in braces"),
        ("{v:x}", "expected a column in braces"),
        ("{v:4d}", "expected a column in braces"),
        ("{v:0999d}", "expected a column in braces"),
        ("{v:{n}}", "expected a column in braces"),
        ("x.mp4", "path 'x.mp4' has no column in braces; expected one as '{name}.mp4'"),
    ],
)
def test_a_template_that_is_none_is_refused(template: str, problem: str) -> None:
    with pytest.raises(IndexingError, match=problem):
        PathTemplate.parse(template)


# Text of the table: the file that it means, below the root.
FOUND = {
    "v/a.mp4": "v/a.mp4",
    r"v\a.mp4": "v/a.mp4",
    "v/a": "v/a.mp4",
    r"v\b": "v/b.MKV",
    "v/b.avi": "v/b.MKV",
    "v/c.d": "v/c.d.wav",
    "c": "c",  # a folder
    r"odd\name.mp4": r"odd\name.mp4",
    "v/Gru\u0308n": "v/Gr\u00fcn.mp4",
    "v/gone.mp4": "v/gone.mp4",
    "gone/a.mp4": "gone/a.mp4",
    "v/notes": "v/notes",
    r"v\gone": r"v\gone",
    "v/a.txt": "v/a.txt",
}


@pytest.mark.parametrize(("text", "path"), FOUND.items())
def test_the_file_that_a_path_means_is_found(tmp_path: Path, text: str, path: str) -> None:
    touch(tmp_path, "v/a.mp4", "v/b.MKV", "v/c.d.wav", "c/x.mp4", r"odd\name.mp4", "v/notes.txt")
    touch(tmp_path, "v/Gr\u00fcn.mp4")
    assert MediaFinder(tmp_path, [text]).find(text) == path


def test_two_files_that_fit_are_both_named(tmp_path: Path) -> None:
    touch(tmp_path, "v/a.mp4", "v/a.wav", "v/a.srt")
    for text in ("v/a", r"v\a"):
        with pytest.raises(ValueError, match=r"fits v/a\.mp4 and v/a\.wav; write the suffix"):
            MediaFinder(tmp_path, [text]).find(text)
    assert MediaFinder(tmp_path, []).find("v/a.wav") == "v/a.wav"


def test_another_suffix_is_of_the_same_medium(tmp_path: Path) -> None:
    touch(tmp_path, "v/a.mp4", "v/a.wav", "v/b.wav")
    finder = MediaFinder(tmp_path, [])
    texts = ("v/a.avi", "v/a.flac", "v/b.mp4", "v/b.mp3")
    assert list(map(finder.find, texts)) == ["v/a.mp4", "v/a.wav", "v/b.mp4", "v/b.wav"]


@pytest.mark.parametrize("start", ["C:\\", "d:/", "\\\\server\\share\\", "/home/other/", "\\"])
def test_what_absolute_paths_of_another_machine_start_with_is_left_out(
    tmp_path: Path, start: str
) -> None:
    touch(tmp_path, "v/happy/a.mp4", "v/sad/a.mp4", "a.mp4")
    mark = "/" if "/" in start else "\\"
    texts = [start + mark.join(("data", "v", *tail)) for tail in
             (("happy", "a.mp4"), ("sad", "a"), ("sad", "gone.mp4"))]  # fmt: skip
    finder = MediaFinder(tmp_path, texts)
    assert [finder.find(text) for text in texts] == ["v/happy/a.mp4", "v/sad/a.mp4", texts[2]]
    assert finder.prefix[-1] == "data"


def test_a_file_of_the_same_name_in_another_folder_is_not_taken(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    texts = [r"C:\data\happy\a.mp4", r"C:\data\sad\a.mp4"]
    assert [MediaFinder(tmp_path, texts).find(text) for text in texts] == texts


def test_absolute_paths_of_this_machine_stay(tmp_path: Path) -> None:
    touch(tmp_path, "there/a.mp4", "here/there/b.mp4")
    texts = [f"{tmp_path}/there/a.mp4", f"{tmp_path}/there/b.mp4"]
    finder = MediaFinder(tmp_path / "here", texts)
    assert [finder.find(text) for text in texts] == texts
    assert finder.prefix == ()
