from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.ch_sims import index_ch_sims
from pipeline.index.files import IndexingError
from tests.pipeline.corpus_files import touch, write_texts

TABLE = """video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode
video_0001,0001,"今天, 很好",-0.6,0,-0.6,-1,Negative,train
video_0001,0002,好,0.8,1,1,0.6,Positive,valid
video_0002,0001,嗯,0,0,0,0,Neutral,test
"""
CLIPS = ("video_0001/0001.mp4", "video_0001/0002.mp4", "video_0002/0001.mp4")


def published(root: Path, *, table: str = TABLE, name: str = "label.csv") -> Path:
    touch(root, *(f"Raw/{clip}" for clip in CLIPS))
    write_texts(root, {name: table})
    return root


def test_clips_are_found_by_two_columns(tmp_path: Path) -> None:
    found = index_ch_sims(published(tmp_path))
    raw = tmp_path / "Raw"
    assert found.clips == [
        Clip("video_0001-0001", raw / CLIPS[0], "Negative", "train"),
        Clip("video_0001-0002", raw / CLIPS[1], "Positive", "val"),
        Clip("video_0002-0001", raw / CLIPS[2], "Neutral", "test"),
    ]
    assert (found.left_out, found.warnings) == ({}, [])


@pytest.mark.parametrize(
    ("annotation", "labels"),
    [("text", ["Neutral", "Positive", "Neutral"]), ("audio", ["Negative", "Positive", "Neutral"]),
     ("video", ["Negative", "Positive", "Neutral"])],
)  # fmt: skip
def test_labels_of_one_modality_can_be_asked_for(
    tmp_path: Path, annotation: str, labels: list[str]
) -> None:
    clips = index_ch_sims(published(tmp_path), annotation=annotation).clips  # type: ignore[arg-type]  # parametrised
    assert [clip.label for clip in clips] == labels
    assert {clip.label_target for clip in clips} == {f"{annotation} alone"}


def test_tables_and_files_may_pad_the_numbers_differently(tmp_path: Path) -> None:
    root = published(tmp_path, table=TABLE.replace(",0001,", ",1,").replace(",0002,", ",00002,"))
    found = index_ch_sims(root)
    assert [clip.path.relative_to(root / "Raw").as_posix() for clip in found.clips] == list(CLIPS)
    assert [clip.id for clip in found.clips] == [
        "video_0001-0001",
        "video_0001-0002",
        "video_0002-0001",
    ]


def test_version_2_is_read_by_its_own_names(tmp_path: Path) -> None:
    touch(tmp_path, "Raw/aqgy3_0001/00000.mp4")
    table = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\n"
    table += "aqgy3_0001,00000,x,-0.4,0,0,0,Weakly Negative,train\n"
    write_texts(tmp_path, {"meta(s).csv": table})
    assert index_ch_sims(tmp_path).clips == [
        Clip("aqgy3_0001-00000", tmp_path / "Raw/aqgy3_0001/00000.mp4", "Negative", "train")
    ]


def test_missing_and_unlisted_files_and_odd_modes_are_named(tmp_path: Path) -> None:
    table = TABLE.replace("Neutral,test", "Neutral,unseen")
    table += "video_0009,0001,x,,0,0,0,,train\nvideo_0010,0001,x,,0,0,0,,train\n"
    root = published(tmp_path, table=table)
    touch(root, "Raw/video_0003/0001.mp4", "Raw/video_0010/0001.mp4", "Processed/video_0001/1.mp4")
    found = index_ch_sims(root)
    assert found.clips[-1] == Clip(
        "video_0010-0001", root / "Raw/video_0010/0001.mp4", None, "train"
    )
    assert found.left_out == {
        "another file of a clip that is in": ["Processed/video_0001/1.mp4"],
        "listed in label.csv, but no such file": ["video_0009-0001"],
        "not in label.csv": ["Raw/video_0003/0001.mp4"],
    }
    assert found.warnings == [
        "1 clip of label.csv without a file",
        "1 clip of mode 'unseen', which is no split: video_0002-0001",
    ]


def test_several_tables_are_named(tmp_path: Path) -> None:
    root = published(tmp_path)
    write_texts(root, {"meta.csv": TABLE})
    assert index_ch_sims(root).warnings == [
        "2 tables of labels, the first is taken: label.csv, meta.csv"
    ]


def test_a_release_without_a_table_is_refused_with_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "Raw/video_0001/0001.mp4")
    with pytest.raises(IndexingError, match=r"(?s)looked for: label\.csv.*video_0001/0001\.mp4"):
        index_ch_sims(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("video_0001,1,x,0,0,0,0,Neutral,test", "line 5: video_0001-1 is on line 2 too"),
        ("video_0001,3,x,good,0,0,0,Neutral,test", "line 5: expected a label from -1 to 1"),
        ("video_0001,3,x,nan,0,0,0,Neutral,test", "line 5: expected a label from -1 to 1"),
        ("video_0001,3", "line 5: has 2 fields"),
    ],
)
def test_a_row_not_as_published_is_refused(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(IndexingError, match=message):
        index_ch_sims(published(tmp_path, table=f"{TABLE}{row}\n"))


@pytest.mark.parametrize("table", ["", "video,clip\na,b\n"])
def test_a_table_without_the_columns_is_refused(tmp_path: Path, table: str) -> None:
    with pytest.raises(IndexingError, match="no column 'video_id'"):
        index_ch_sims(published(tmp_path, table=table))
