"""Manifests that are read: every column, and every problem named by its line."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

pytest.importorskip("hypothesis", reason="properties are tested with hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.manifest.manifest import Clip, Manifest, ManifestError, read_manifest


def write(folder: Path, text: str | bytes, *, media: tuple[str, ...] = ()) -> Path:
    """Write a table, and an empty file for each of its media files."""
    path = folder / "m.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    for name in media:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return path


def problems(path: Path, *, check_files: bool = False, follow_links: bool = False) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, check_files=check_files, follow_links=follow_links)
    return list(caught.value.problems)


def test_every_column_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "clip,path,label,split,speaker,fold,start_seconds,end_seconds,note\n"
        "a,x/a.mp4,happy,Validation,s1,3,0.5,2,anything\n"
        "b,x/b.mp4,,,,,,,\n",
        media=("x/a.mp4", "x/b.mp4"),
    )
    manifest = read_manifest(path)
    assert manifest.path == path
    assert manifest.clips == (
        Clip("a", tmp_path / "x/a.mp4", "happy", "val", "s1", 3, 0.5, 2.0),
        Clip("b", tmp_path / "x/b.mp4"),
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [("train", "train"), ("TRAIN", "train"), ("val", "val"), ("valid", "val"), ("dev", "val"),
     ("validation", "val"), ("Test", "test"), ("Training", "train"), ("Testing", "test"),
     ("Development", "val"), ("devel", "val"), ("PublicTest", "val"), ("PrivateTest", "test")],
)  # fmt: skip
def test_a_split_has_one_name_whatever_it_is_called(
    tmp_path: Path, written: str, read: str
) -> None:
    path = write(tmp_path, f"clip,path,split\na,a.mp4,{written}\n")
    assert read_manifest(path, check_files=False).clips[0].split == read


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbfclip,path\r\na,a.mp4\r\n")
    assert [clip.id for clip in read_manifest(path, check_files=False).clips] == ["a"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("first", ["", "sep=;\r\n"])
def test_what_a_spreadsheet_saves_is_read_and_its_lines_count(
    tmp_path: Path, encoding: str, first: str
) -> None:
    text = (
        f"{first}clip;path;label;split;speaker;fold;start_seconds;end_seconds;;\r\n"
        "a;a, b.mp4;é;TRAIN;7.0;1,0;1,5;0:02:03,25;;\r\n;;;;;;;;;\r\nb;b.mp4;NA;NA;NA;NA;;NaN;;\r\n"
    )
    path = write(tmp_path, text.encode(encoding))
    assert read_manifest(path, check_files=False).clips == (
        Clip("a", tmp_path / "a, b.mp4", "é", "train", "7", 1, 1.5, 123.25),
        Clip("b", tmp_path / "b.mp4"),
    )
    path = write(tmp_path, text.replace("b.mp4;NA", ";NA").encode(encoding))
    assert problems(path) == [f"line {4 + bool(first)}: path is empty"]
    path = write(tmp_path, text.replace("split", "speaker").encode(encoding))
    assert problems(path) == [f"line {1 + bool(first)}: column speaker stands twice in the header"]


def test_lines_of_commas_as_spreadsheets_leave_them_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "clip,path\na,a.mp4\n,\n\n,\n")
    assert len(read_manifest(path, check_files=False).clips) == 1


def test_a_manifest_answers_by_id_label_split_and_speaker(tmp_path: Path) -> None:
    clips = tuple(
        Clip(name, tmp_path / name, label, split, speaker)
        for name, label, split, speaker in [
            ("a", "sad", "test", "2"),
            ("b", None, "train", None),
            ("c", "happy", None, "10"),
            ("d", "sad", "train", "2"),
        ]
    )
    manifest = Manifest(tmp_path / "m.csv", clips)
    assert manifest.by_id["c"] is clips[2]
    assert manifest.labelled == (clips[0], clips[2], clips[3])
    assert manifest.labels == ("happy", "sad")
    assert manifest.speakers == ("10", "2")
    assert list(manifest.splits.items()) == [
        ("train", (clips[1], clips[3])),
        ("test", (clips[0],)),
    ]


# Each row stands on line 3, below a sound one.
BAD_ROWS = {
    "a,b.mp4,sad,,,,,": "clip id 'a' is already on line 2",
    "A,b.mp4,sad,,,,,": "clip id 'A' differs only in case from 'a' on line 2",
    "x/y,b.mp4,sad,,,,,": "'x/y' is not a clip id; expected letters",
    ",b.mp4,sad,,,,,": "'' is not a clip id; expected letters",
    f"{'b' * 201},b.mp4,sad,,,,,": "has 201 characters; at most 200",
    "b,,sad,,,,,": "path is empty",
    f"b,{'p' * 4097},sad,,,,,": "has 4097 characters; at most 4096",
    "b,b.mp4, sad,,,,,": "label ' sad' has blanks around it",
    "b,b.mp4,Sad,,,,,": "label 'Sad' differs only in case from 'sad' on line 2; write both alike",
    f"b,b.mp4,{'l' * 201},,,,,": "has 201 characters; at most 200",
    "b,b.mp4,sad,holdout,,,,": "split 'holdout' is none of train, val, test",
    "b,b.mp4,sad,trian,,,,": "none of train, val, test; did you mean 'train'?",
    "1.0,b.mp4,sad,,,,,": "clip '1.0' is a number as a spreadsheet or pandas writes it; make its",
    "b,2.0,sad,,,,,": "path '2.0' is a number as a spreadsheet",
    "b,b.mp4,1E+05,,,,,": "label '1E+05' is a number as a spreadsheet",
    "b,b.mp4,sad,,1.5E+10,,,": "speaker '1.5E+10' is a number as a spreadsheet",
    "b,b.mp4,#NAME?,,,,,": "label '#NAME?' is an error of a spreadsheet, and no value",
    "b,b.mp4,=cmd|x!A0,,,,,": "label '=cmd|x!A0' has '=' where a formula begins, and a spreadsheet",
    "b,b.mp4,sad,,@s,,,": "speaker '@s' has '@' where a formula begins",
    "b,b.mp4,??,,,,,": "label '??' has a question mark, which spreadsheets write for letters",
    "b,b.mp4,sad,,M?ller,,,": "save the table as CSV UTF-8, or leave the mark out",
    'b,b.mp4,a\\"b,,,,,': "has a backslash before a quote; quotes in a field are doubled",
    "b,NA,sad,,,,,": "path is empty",
    "NA,b.mp4,sad,,,,,": "'' is not a clip id",
    'b,b.mp4,sad,,,,"1,500",': "'1,500' is not a number of seconds from 0 on; write a point for a "
    "decimal comma, 1.500",
    "b,b.mp4,sad,,,,0:75,": "start_seconds '0:75' is not a number of seconds from 0 on",
    "b,b.mp4,sad,,S1,,,": "speaker 'S1' differs only in case from 's1' on line 2",
    "b,b.mp4,sad,,,1.5,,": "fold '1.5' is not an integer from 0 to 99999",
    "b,b.mp4,sad,,,-1,,": "fold '-1' is not an integer from 0 to 99999",
    "b,b.mp4,sad,,,٣,,": "fold '٣' is not an integer from 0 to 99999",
    "b,b.mp4,sad,,,,soon,": "start_seconds 'soon' is not a number of seconds from 0 on",
    "b,b.mp4,sad,,,,-1,": "start_seconds '-1' is not a number of seconds from 0 on",
    "b,b.mp4,sad,,,,,inf": "end_seconds 'inf' is not a number of seconds from 0 on",
    "b,b.mp4,sad,,,,,1_0": "end_seconds '1_0' is not a number of seconds from 0 on",
    "b,b.mp4,sad,,,,2,2": "end_seconds 2 is not after start_seconds 2",
    "b,b.mp4,sad,,,,,0": "end_seconds 0 is not after start_seconds 0",
    "b,../b.mp4,sad,,,,,": "path '../b.mp4' leaves the manifest's folder; write it as an absolute",
    "b,x/../../b.mp4,sad,,,,,": "path 'x/../../b.mp4' leaves the manifest's folder",
    'b,"b\n.mp4",sad,,,,,': "holds a line end, NUL or another control character",
    "b,b\0.mp4,sad,,,,,": "holds a line end, NUL or another control character",
    "b,b.mp4,s\x1b[31mad,,,,,": "label 's\\x1b[31mad' holds a line end, NUL or another control",
    "b,b.mp4,sad,,,,,,extra": "has 9 fields where the header has 8; quote a field",
    "b,b.mp4": "has 2 fields where the header has 8",
}


@pytest.mark.parametrize(("row", "problem"), BAD_ROWS.items())
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: str, problem: str) -> None:
    header = "clip,path,label,split,speaker,fold,start_seconds,end_seconds"
    path = write(tmp_path, f"{header}\na,a.mp4,sad,train,s1,0,0,1\n{row}\n")
    (message,) = problems(path)
    assert message.startswith("line 3: ")
    assert problem in message


def test_a_byte_that_is_not_utf8_is_named_by_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, b"clip,path,label\na,a.mp4,col\xe8re\n")
    assert problems(path) == ["line 2: not UTF-8 (byte 0xe8); save the table as UTF-8"]


BAD_HEADERS = {
    "clip,path,Label": "column 'Label' is nearly 'label'; write 'label' if it is that",
    "clip,path,speakers": "column 'speakers' is nearly 'speaker'",
    "clip,path,lable": "column 'lable' is nearly 'label'",
    "clip,path, split": "column ' split' is nearly 'split'",
    "clip,path,start": "column 'start' is nearly 'start_seconds'",
    "clip,path,end_second": "column 'end_second' is nearly 'end_seconds'",
    "clip,path,label,label": "column label stands twice in the header",
}


@pytest.mark.parametrize(("header", "problem"), BAD_HEADERS.items())
def test_a_header_that_is_nearly_right_is_refused(
    tmp_path: Path, header: str, problem: str
) -> None:
    commas = "," * (header.count(",") - 1)
    path = write(tmp_path, f"{header}\na,a.mp4{commas}\n")
    (message,) = problems(path)
    assert message.startswith(f"line 1: {problem}")


@pytest.mark.parametrize("column", ["source", "folder", "text", "Unnamed: 0", "", "emotion_id"])
def test_another_column_is_ignored(tmp_path: Path, column: str) -> None:
    path = write(tmp_path, f"clip,path,label,{column}\na,a.mp4,sad,x\n")
    assert read_manifest(path, check_files=False).clips[0].label == "sad"


def test_a_column_beside_the_one_it_resembles_is_ignored(tmp_path: Path) -> None:
    path = write(tmp_path, "clip,path,label,label_2\na,a.mp4,sad,x\n")
    assert read_manifest(path, check_files=False).clips[0].label == "sad"


def test_missing_columns_are_named_with_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path, "id,file\na,a.mp4\n")
    assert problems(path) == [
        "line 1: the header has no column clip and no column path; "
        "expected clip,path,label,split,speaker, got 'id,file'"
    ]


def test_an_empty_file_and_an_empty_manifest_are_refused(tmp_path: Path) -> None:
    assert problems(write(tmp_path, "")) == ["is empty; expected a table that starts clip,path"]
    assert problems(write(tmp_path, "clip,path\n")) == [
        "has no clips: there is a header and no row under it"
    ]


def test_a_missing_manifest_or_a_folder_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.csv") == ["no such file"]
    assert problems(tmp_path) == ["is a folder; expected a CSV file"]


def test_an_open_quote_ends_the_reading_and_is_a_problem_beside_others(tmp_path: Path) -> None:
    path = write(tmp_path, 'clip,path\nx/y,a.mp4\nb,"b.mp4\n')
    first, second = problems(path)
    assert first.startswith("line 2: 'x/y' is not a clip id")
    assert second.startswith("line 3: unexpected end of data")


def test_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "nowhere")
    rows = "a,a.mp4\nb,folder.mp4\nc,pipe.mp4\nd,broken.mp4\ne,x\\e.mp4\nf,here.mp4\n"
    path = write(tmp_path, f"clip,path\n{rows}", media=("here.mp4",))
    assert problems(path, check_files=True) == [
        f"line 2: no such file: {tmp_path}/a.mp4",
        f"line 3: {tmp_path}/folder.mp4 is a directory; expected a media file",
        f"line 4: {tmp_path}/pipe.mp4 is not a regular file; expected a media file",
        f"line 5: no such file: {tmp_path}/broken.mp4 (a symbolic link to a missing file)",
        f"line 6: no such file: {tmp_path}/x\\e.mp4; write / between folders",
    ]
    assert len(read_manifest(path, check_files=False).clips) == 6


def test_a_file_below_a_file_is_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "clip,path\na,a.mp4/b.mp4\n", media=("a.mp4",))
    assert problems(path, check_files=True) == [
        f"line 2: {tmp_path}/a.mp4/b.mp4 can't be read: Not a directory"
    ]


def test_a_relative_path_may_not_leave_the_folder_by_a_link(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "corpus"
    (outside / "x").mkdir(parents=True)
    (outside / "x/a.mp4").touch()
    folder.mkdir()
    (folder / "x").symlink_to(outside / "x")
    (folder / "b.mp4").symlink_to(outside / "x/a.mp4")
    (folder / "c.mp4").touch()
    (folder / "d.mp4").symlink_to(folder / "c.mp4")
    path = write(folder, "clip,path\na,x/a.mp4\nb,b.mp4\nd,d.mp4\n")
    assert problems(path, check_files=True) == [
        f"line {line}: path {name!r} leaves the manifest's folder by a symbolic link to "
        f"{outside}/x/a.mp4; write that as an absolute path"
        for line, name in ((2, "x/a.mp4"), (3, "b.mp4"))
    ]
    assert len(read_manifest(path, follow_links=True).clips) == 3
    absolute = f"clip,path\na,{outside}/x/a.mp4\nb,{folder}/b.mp4\n"
    assert len(read_manifest(write(folder, absolute)).clips) == 2


def test_a_folder_reached_by_a_link_is_still_the_manifests_own(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "real", "clip,path\na,a.mp4\n", media=("a.mp4",))
    clips = read_manifest(tmp_path / "link/m.csv").clips
    assert clips[0].path == tmp_path / "link/a.mp4"


def test_all_problems_are_kept_and_twenty_are_printed(tmp_path: Path) -> None:
    rows = "".join(f"x/{number},a.mp4\n" for number in range(23))
    with pytest.raises(ManifestError) as caught:
        read_manifest(write(tmp_path, f"clip,path\n{rows}"), check_files=False)
    assert len(caught.value.problems) == 23
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}/m.csv has 23 problems:\n  line 2: ")
    assert text.endswith("\n  ... and 3 more")
    assert len(text.splitlines()) == 22


def test_an_error_survives_the_way_from_a_worker(tmp_path: Path) -> None:
    error = pickle.loads(pickle.dumps(ManifestError(tmp_path, ["p", "q"])))  # noqa: S301 - what joblib does
    assert error.problems == ("p", "q")
    assert str(error) == str(ManifestError(tmp_path, ["p", "q"]))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=200)
    | st.binary(max_size=80).map(lambda tail: b"clip,path,label,fold,start_seconds\n" + tail)
    | st.text('abZ,./"\n\r\0é;-1 ', max_size=80).map(lambda t: b"clip,path,fold\n" + t.encode())
)
def test_any_bytes_are_a_manifest_or_a_manifest_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(content)
    for check_files in (False, True):
        try:
            manifest = read_manifest(path, check_files=check_files)
        except ManifestError as error:
            found = (error.problems, str(error))
        else:
            found = (manifest.clips,)
        assert all(found)


def test_the_labelled_real_clips_are_a_manifest(data: Path) -> None:
    manifest = read_manifest(data / "clips/labelled.csv")
    assert len(manifest.clips) == 20
    assert " ".join(manifest.labels) == "angry disgust fear happy neutral sad surprise worried"
