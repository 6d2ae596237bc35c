from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.index.dfew import index_dfew
from pipeline.index.files import IndexingError
from tests.pipeline.corpus_files import touch

TABLES = "EmoLabel_DataSplit/{kind}(single-labeled)/set_{number}.csv"


def published(root: Path, *, layout: str = TABLES, labels: dict[int, int] | None = None) -> Path:
    """Write five clips a label's number apart, each tested in the set of its own number."""
    labels = labels or {1: 1, 2: 2, 3: 3, 4: 4, 5: 7}
    for number in range(1, 6):
        for kind in ("train", "test"):
            rows = [c for c in labels if (c == number) == (kind == "test")]
            path = root / layout.format(kind=kind, number=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(f"{clip},{labels[clip]}\n" for clip in rows)
            path.write_text(f"video_name,label\n{text}")
    touch(root, *(f"Clip/original/part_1/{clip}.mp4" for clip in labels))
    return root


@pytest.mark.parametrize(
    "layout",
    [TABLES, "train(single_labeled).zip/{kind}(single_labeled)/set_{number}.csv",
     "EmoLabel_DataSplit/{kind}(single-labeled)/{kind}_set_{number}.csv"],
)  # fmt: skip
def test_the_fold_is_that_of_the_set_that_tests_a_clip(tmp_path: Path, layout: str) -> None:
    found = index_dfew(published(tmp_path, layout=layout))
    assert [(c.id, c.label, c.split, c.fold) for c in found.clips] == [
        ("00001", "happy", None, 0),
        ("00002", "sad", None, 1),
        ("00003", "neutral", None, 2),
        ("00004", "angry", None, 3),
        ("00005", "fear", None, 4),
    ]
    assert found.clips[0].path == tmp_path / "Clip/original/part_1/1.mp4"
    assert (found.left_out, found.warnings) == ({}, [])


def test_a_published_set_can_be_the_split(tmp_path: Path) -> None:
    found = index_dfew(published(tmp_path), test_set=3)
    assert [clip.split for clip in found.clips] == ["train", "train", "test", "train", "train"]


def test_each_number_is_an_emotion(tmp_path: Path) -> None:
    found = index_dfew(published(tmp_path, labels={number: number for number in range(1, 8)}))
    assert " ".join(str(clip.label) for clip in found.clips) == (
        "happy sad neutral angry surprise disgust fear"
    )


def test_missing_and_unlisted_clips_and_copies_are_named(tmp_path: Path) -> None:
    root = published(tmp_path)
    (root / "Clip/original/part_1/2.mp4").unlink()
    touch(root, "Clip/original/part_1/16372.mp4", "Clip/clip_224x224_avi/00001.avi")
    touch(root, "Clip/clip_224x224/00001/00001_00001.jpg", "Clip/original/part_1/readme.mp4")
    found = index_dfew(root)
    assert [clip.id for clip in found.clips] == ["00001", "00003", "00004", "00005"]
    assert found.left_out == {
        "another file of a clip that is in": ["Clip/clip_224x224_avi/00001.avi"],
        "in a split table, but no such clip": ["00002"],
        "in no split table (not single-labelled)": ["Clip/original/part_1/16372.mp4"],
    }
    assert found.warnings == ["1 of 5 clips in the tables without a file"]


def test_missing_tables_and_silent_copies_are_warned_of(tmp_path: Path) -> None:
    root = published(tmp_path)
    (root / TABLES.format(kind="test", number=5)).unlink()
    (root / "Clip/original").rename(root / "Clip/clip_224x224_avi")
    found = index_dfew(root)
    assert [clip.fold for clip in found.clips] == [0, 1, 2, 3, None]
    assert found.warnings == [
        "no test table set_5.csv; their clips have no fold",
        "no clip is from Clip/original; other copies have no sound",
    ]
    with pytest.raises(IndexingError, match=r"lacks set_5\.csv for training or for test"):
        index_dfew(root, test_set=5)


def test_a_release_without_tables_is_refused_with_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "Clip/original/1.mp4")
    with pytest.raises(IndexingError) as caught:
        index_dfew(tmp_path)
    assert str(caught.value) == (
        f"no clip found in {tmp_path}\n"
        "  looked for: EmoLabel_DataSplit/test(single-labeled)/set_1.csv ... set_5.csv and "
        "Clip/original/*.mp4\n"
        "  found, and left out:\n"
        "    1 media files, and no table that lists them: Clip/original/1.mp4"
    )


@pytest.mark.parametrize(
    ("kind", "number", "row", "message"),
    [
        (
            "test",
            1,
            "x,1",
            r"set_1\.csv, line 3: expected a number and a label from 1 to 7, got 'x'",
        ),
        ("test", 1, "9,8", r"line 3: expected a number and a label from 1 to 7, got '9' and '8'"),
        ("test", 1, "2,3", r"set_2\.csv, line 2: clip 2 is sad here and neutral in another table"),
        ("test", 1, "2,2", r"set_1\.csv has clip 2 and 0 more in training and in test"),
        ("train", 2, "2,2", r"set_2\.csv has clip 2 and 0 more in training and in test"),
        ("test", 1, "9", r"line 3: has 1 fields where the header has 2"),
    ],
)
def test_tables_that_contradict_each_other_are_refused(
    tmp_path: Path, kind: str, number: int, row: str, message: str
) -> None:
    root = published(tmp_path)
    with (root / TABLES.format(kind=kind, number=number)).open("a") as file:
        file.write(f"{row}\n")
    # The clash is with what another table says of the same clip.
    (root / TABLES.format(kind="train", number=5)).write_text("video_name,label\n2,2\n")
    with pytest.raises(IndexingError, match=message):
        index_dfew(root)


def test_a_clip_tested_in_two_sets_is_refused(tmp_path: Path) -> None:
    root = published(tmp_path)
    (root / TABLES.format(kind="train", number=4)).unlink()
    with (root / TABLES.format(kind="test", number=4)).open("a") as file:
        file.write("1,1\n")
    with pytest.raises(IndexingError, match=r"clip 1 is tested in set_1\.csv and in set_4\.csv"):
        index_dfew(root)
