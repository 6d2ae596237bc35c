from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("hypothesis", reason="properties are tested with hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.manifest.clip import Clip
from cache.manifest.manifest import ManifestError
from pipeline.index.csv_table import index_csv
from pipeline.index.files import LEADS_OUT, NOT_REGULAR, IndexingError
from tests.pipeline.corpus_files import touch


def table(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_named_as_in_a_manifest_need_no_mapping(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.mp4")
    path = table(
        tmp_path,
        "Clip,PATH,label,split,speaker,fold,start_seconds,end_seconds,source\n"
        "a, x/a.mp4 , sad,dev,s1,2,0.5,1.5,TV\n",
    )
    found = index_csv(path)
    assert found.clips == [Clip("a", tmp_path / "x/a.mp4", "sad", "val", "s1", 2, 0.5, 1.5)]
    assert found.notes == ["columns not used: source"]


def test_other_columns_are_mapped(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a.mp4", "videos/b.mp4")
    path = table(
        tmp_path / "tables",
        "file,emotion,set,who,part,from,to,id,label\n"
        "a.mp4,sad,train,s1,0,1,2,first,ignored\nb.mp4,happy,test,s2,1,0,3,second,ignored\n",
    )
    columns = {
        "path": "file", "label": "emotion", "split": "set", "speaker": "who", "fold": "part",
        "start_seconds": "from", "end_seconds": "to", "clip": "id",
    }  # fmt: skip
    found = index_csv(path, columns=columns, root=tmp_path / "videos")
    assert found.clips == [
        Clip("first", tmp_path / "videos/a.mp4", "sad", "train", "s1", 0, 1.0, 2.0),
        Clip("second", tmp_path / "videos/b.mp4", "happy", "test", "s2", 1, 0.0, 3.0),
    ]


def test_without_ids_the_path_is_the_id_and_odd_ids_are_escaped(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.mp4", "x/b.mp4")
    found = index_csv(table(tmp_path, "path\nx/a.mp4\nx/b.mp4\n"))
    assert [clip.id for clip in found.clips] == ["x--a.mp4", "x--b.mp4"]
    found = index_csv(table(tmp_path, "path,clip\nx/a.mp4,S1/clip 2\nx/b.mp4,\n"))
    assert [clip.id for clip in found.clips] == ["S1--clip.-20-2", "x--b.mp4"]


@pytest.mark.parametrize(("written", "given"), [(";", None), ("\t", None), ("|", "|"), (",", ",")])
def test_the_delimiter_is_found_out_or_given(
    tmp_path: Path, written: str, given: str | None
) -> None:
    touch(tmp_path, "a.mp4")
    text = 'path,label,"t,x"\na.mp4,sad,y\n'.replace("h,l", f"h{written}l")
    text = text.replace('l,"', f'l{written}"').replace("4,s", f"4{written}s")
    path = table(tmp_path, text.replace("d,y", f"d{written}y"))
    assert index_csv(path, delimiter=given).clips[0].label == "sad"


def test_a_table_may_list_files_outside_its_folder(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a.mp4")
    path = table(tmp_path / "tables", "path\n../videos/a.mp4\n")
    assert index_csv(path).clips[0].path == tmp_path / "videos/a.mp4"


def test_missing_files_are_left_out_and_warned_of(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "d.mp4/x")
    found = index_csv(table(tmp_path, "path\na.mp4\nb.mp4\nc.mp4\nd.mp4\n"))
    assert [clip.id for clip in found.clips] == ["a.mp4"]
    assert found.left_out == {
        "listed in table.csv, but no such file": [f"{tmp_path}/b.mp4", f"{tmp_path}/c.mp4"],
        "a directory; expected a media file": [f"{tmp_path}/d.mp4"],
    }
    assert found.warnings == ["3 of 4 clips listed without a file"]


def test_a_table_follows_no_link_out_of_its_folder_and_lists_no_pipe(tmp_path: Path) -> None:
    touch(tmp_path, "out/a.mp4", "corpus/b.mp4")
    root = tmp_path / "corpus"
    (root / "a.mp4").symlink_to(tmp_path / "out" / "a.mp4")
    (root / "within.mp4").symlink_to("b.mp4")
    os.mkfifo(root / "c.mp4")
    path = table(root, "path\na.mp4\nb.mp4\nwithin.mp4\nc.mp4\n../out/a.mp4\n")
    found = index_csv(path)
    assert [clip.path.name for clip in found.clips] == ["b.mp4", "within.mp4", "a.mp4"]
    assert found.clips[-1].path == tmp_path / "out" / "a.mp4"  # the table itself names it
    assert found.left_out == {LEADS_OUT: [f"{root}/a.mp4"], NOT_REGULAR: [f"{root}/c.mp4"]}
    found = index_csv(path, follow_links=True)
    assert root / "a.mp4" in [clip.path for clip in found.clips]


def test_a_name_that_no_disk_takes_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    found = index_csv(table(tmp_path, f"path\na.mp4\n{'x' * 300}.mp4\na.mp4/b.mp4\n"))
    assert [clip.id for clip in found.clips] == ["a.mp4"]
    assert list(found.left_out) == [
        "listed in table.csv, but can't be read: File name too long",
        "listed in table.csv, but no such file",
    ]


@pytest.mark.slow
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.text('abv01,;\t|"\n\r\\/.:{}C\0é', max_size=60),
    st.sampled_from([None, "{path}", "{a}/{path}.mp4", "{path:03d}.mp4"]),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_any_table_is_indexed_or_refused(
    tmp_path: Path, text: str, template: str | None, encoding: str
) -> None:
    touch(tmp_path, "a.mp4", "v/a.mp4", "v/b.mp4", "v/b.wav", "001.mp4")
    path = tmp_path / "table.csv"
    path.write_bytes(f"path;a;split;start_seconds\n{text}".encode(encoding))
    try:
        found = index_csv(path, path=template)
    except (IndexingError, ManifestError) as error:
        message = str(error)
    else:
        message = "" if all(clip.path.is_relative_to(tmp_path) for clip in found.clips) else "out"
    assert message != "out"
    assert "Errno" not in message


def test_problems_of_rows_are_listed_at_once_by_their_lines(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    path = table(
        tmp_path,
        "clip,path,fold\na,a.mp4,one\n,,1\nb,a.mp4\n\na,a.mp4,0\n",
    )
    with pytest.raises(ManifestError) as caught:
        index_csv(path)
    assert [problem[:60] for problem in caught.value.problems] == [
        "line 2: fold 'one' is not an integer from 0 to 99999",
        "line 3: path is empty",
        "line 4: has 2 fields where the header has 3; quote a field that holds a comma"[:60],
        "line 6: clip id 'a' is already on line 2",
    ]


def test_a_table_without_paths_names_its_columns(tmp_path: Path) -> None:
    with pytest.raises(
        IndexingError, match=r"has no column 'path'; say .* --path-column, .*\. It has f"
    ):
        index_csv(table(tmp_path, "file,label\na.mp4,sad\n"))


def test_a_mapped_column_must_be_there_once(tmp_path: Path) -> None:
    path = table(tmp_path, "path,emo,emo\na.mp4,sad,sad\n")
    with pytest.raises(IndexingError, match=r"has no column 'emotion' .*'emo'.*; it has path, emo"):
        index_csv(path, columns={"label": "emotion"})
    with pytest.raises(IndexingError, match="has column 'emo' twice"):
        index_csv(path, columns={"label": "emo"})
    with pytest.raises(IndexingError, match="'emotion' is no manifest column; known: clip, path"):
        index_csv(path, columns={"emotion": "emo"})


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match=r"none\.csv: no such file"):
        index_csv(tmp_path / "none.csv")
    with pytest.raises(IndexingError, match="line 2: unexpected end of data"):
        index_csv(table(tmp_path, 'path\n"a.mp4\n'))


def test_the_labelled_real_clips_are_indexed_in_their_order(data: Path) -> None:
    found = index_csv(data / "clips/labelled.csv")
    assert len(found.clips) == 20
    first = data / "clips/labelled/mer_00000167.mp4"
    assert found.clips[0] == Clip("mer_00000167", first, "neutral")
    assert found.left_out == {}


def test_paths_are_made_from_columns(tmp_path: Path) -> None:
    touch(tmp_path, "Raw/v1/0001.mp4", "Raw/v1/0002.mp4", "Raw/v2/0001.mp4")
    path = table(
        tmp_path,
        "video_id,clip_id,label,annotation,mode\n"
        "v1,0001,-0.6,Negative,train\nv1,2.0,0.8,Positive,valid\nv2,1,0,Neutral,test\n",
    )
    found = index_csv(
        path,
        path="{video_id}/{Clip_ID:04d}.mp4",
        columns={"label": "annotation", "split": "mode"},
        root=tmp_path / "Raw",
    )
    assert found.clips == [
        Clip("v1--0001.mp4", tmp_path / "Raw/v1/0001.mp4", "Negative", "train"),
        Clip("v1--0002.mp4", tmp_path / "Raw/v1/0002.mp4", "Positive", "val"),
        Clip("v2--0001.mp4", tmp_path / "Raw/v2/0001.mp4", "Neutral", "test"),
    ]
    assert found.notes == ["columns not used: label"]


def test_a_template_that_does_not_fit_the_table_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "v,c,path\n../..,1,x\n,2,x\n1E+05,3,x\n")
    with pytest.raises(IndexingError, match=r"has no column 'v\.real'.*; it has v, c, path"):
        index_csv(path, path="{v.real}.mp4")
    with pytest.raises(IndexingError, match="by --path or stand in --path-column, not both"):
        index_csv(path, path="{v}.mp4", columns={"path": "path"})
    with pytest.raises(ManifestError) as caught:
        index_csv(path, path="{v}/{c}.mp4")
    assert [problem[:31] for problem in caught.value.problems] == [
        "line 2: path '../../1.mp4' leaves"[:31],
        "line 3: column 'v', a part of the"[:31],
        "line 4: v '1E+05' is a number as a"[:31],
    ]


def test_paths_are_read_as_they_are_meant(tmp_path: Path) -> None:
    touch(tmp_path, "v/a.mp4", "v/b.MKV", "v/c.mp4", "v/c.wav")
    found = index_csv(table(tmp_path, "path\nv\\a.mp4\nv/b\n"))
    assert [(clip.id, clip.path) for clip in found.clips] == [
        ("v--a.mp4", tmp_path / "v/a.mp4"),
        ("v--b.MKV", tmp_path / "v/b.MKV"),
    ]
    found = index_csv(table(tmp_path, "path\nv/a.AVI\nv/b.mkv\n"))
    assert found.notes == ["1 file under another suffix: v/a.AVI"]
    found = index_csv(table(tmp_path, "path\nC:\\data\\v\\a.mp4\nC:\\data\\v\\b\n"))
    assert [clip.id for clip in found.clips] == ["v--a.mp4", "v--b.MKV"]
    assert found.notes == [f"paths below C:/data were looked for below {tmp_path}"]
    with pytest.raises(ManifestError, match=r"line 3: path 'v/c' fits v/c\.mp4 and v/c\.wav"):
        index_csv(table(tmp_path, "path\nv/a\nv/c\n"))


def test_values_are_read_as_programs_write_them(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    path = tmp_path / "table.csv"
    text = (
        '"sep=;"\r\n"";"Path";"Label";split;speaker;fold;start_seconds;end_seconds;;\r\n'
        '"1";"a.mp4";"2.0";Training;7.0;1,0;1,500;00:01:02,5;;\r\n;;;;;;;;;\r\n'
        '"2";"b.mp4";NA;PrivateTest;NaN;NA;NULL;;;\r\n'
    )
    path.write_bytes(text.encode("utf-16"))
    assert index_csv(path).clips == [
        Clip("a.mp4", tmp_path / "a.mp4", "2", "train", "7", 1, 1.5, 62.5),
        Clip("b.mp4", tmp_path / "b.mp4", None, "test"),
    ]


def test_another_encoding_is_named_or_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    path = tmp_path / "table.csv"
    path.write_bytes("path,label\na.mp4,高兴\n".encode("gb18030"))
    with pytest.raises(
        ManifestError, match=r"not UTF-8 .* or name its encoding: --encoding cp1252"
    ):
        index_csv(path)
    assert index_csv(path, encoding="gb18030").clips[0].label == "高兴"
    with pytest.raises(IndexingError, match="there is no encoding 'klingon'"):
        index_csv(path, encoding="klingon")


def test_names_that_became_numbers_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    path = table(tmp_path, "path,clip,speaker\na.mp4,1.0,x\na.mp4,1E+05,x\na.mp4,c,1E+05\n")
    with pytest.raises(ManifestError) as caught:
        index_csv(path)
    assert [problem.partition(" is ")[0] for problem in caught.value.problems] == [
        "line 2: clip '1.0'",
        "line 3: clip '1E+05'",
        "line 4: speaker '1E+05'",
    ]


def test_a_column_in_any_case_is_taken_where_there_is_one(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    found = index_csv(
        table(tmp_path, " PATH , Emotion \na.mp4,sad\n"), columns={"label": "emotion"}
    )
    assert found.clips[0].label == "sad"
    with pytest.raises(IndexingError, match=r"has columns \['Label', 'label'\]; a column"):
        index_csv(table(tmp_path, "path,label,Label\na.mp4,sad,happy\n"))
    found = index_csv(
        table(tmp_path, "path,label,Label\na.mp4,sad,happy\n"), columns={"label": "Label"}
    )
    assert found.clips[0].label == "happy"


def test_long_names_and_names_that_differ_in_case_are_clips(tmp_path: Path) -> None:
    names = ["a.mp4", "A.mp4", f"{'笑' * 80}.mp4"]
    touch(tmp_path, *names)
    found = index_csv(table(tmp_path, "path\n" + "\n".join(names)))
    assert [clip.path.name for clip in found.clips] == names


def test_a_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="gone is not a folder; --root is the one"):
        index_csv(table(tmp_path, "path,label\na.mp4,sad\n"), root=tmp_path / "gone")
