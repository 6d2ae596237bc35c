from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from cache.manifest.clip_id import check_clip_id
from pipeline.index.files import IndexingError
from pipeline.index.folder import index_folder
from tests.pipeline.corpus_files import touch


def test_each_subfolder_is_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "sad/clip01.mp4", "angry/clip01.mp4", "angry/s1/clip 01.avi")
    touch(tmp_path, "readme.txt", "loose.mp4", "angry/cover.jpg")
    found = index_folder(tmp_path)
    assert found.clips == [
        Clip("angry--clip01.mp4", tmp_path / "angry/clip01.mp4", "angry"),
        Clip("angry--s1--clip.-20-01.avi", tmp_path / "angry/s1/clip 01.avi", "angry"),
        Clip("sad--clip01.mp4", tmp_path / "sad/clip01.mp4", "sad"),
    ]
    assert found.left_out == {
        "not a media file (.txt)": ["readme.txt"],
        "not a media file (.jpg)": ["angry/cover.jpg"],
        "in no class folder": ["loose.mp4"],
    }


def test_folders_named_as_splits_hold_the_classes(tmp_path: Path) -> None:
    touch(tmp_path, "Train/sad/1.mp4", "valid/sad/1.mp4", "test/sad/1.mp4", "Train/2.mp4")
    found = index_folder(tmp_path)
    assert [(clip.id, clip.label, clip.split) for clip in found.clips] == [
        ("Train--sad--1.mp4", "sad", "train"),
        ("test--sad--1.mp4", "sad", "test"),
        ("valid--sad--1.mp4", "sad", "val"),
    ]
    assert found.left_out == {"in no class folder": ["Train/2.mp4"]}


def test_a_test_split_without_class_folders_is_unlabelled(tmp_path: Path) -> None:
    touch(tmp_path, "train/sad/1.mp4", "test/1.mp4")
    found = index_folder(tmp_path)
    assert [(clip.id, clip.label, clip.split) for clip in found.clips] == [
        ("test--1.mp4", None, "test"),
        ("train--sad--1.mp4", "sad", "train"),
    ]
    assert found.left_out == {}


def test_a_class_called_test_beside_others_is_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "test/1.mp4", "sad/1.mp4")
    assert [(clip.label, clip.split) for clip in index_folder(tmp_path).clips] == [
        ("sad", None),
        ("test", None),
    ]


def test_splits_without_classes_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.mp4", "test/1.mp4")
    with pytest.raises(IndexingError, match="has the splits test, train and no class folder in"):
        index_folder(tmp_path)


def test_long_and_odd_names_are_clips(tmp_path: Path) -> None:
    names = [f"sad/{'x' * 197}.mp4", f"sad/{'笑' * 80}.mp4", "sad/é.mp4", "sad/e\u0301.mp4",
             "sad/-.mp4", "sad/'\"\\.mp4", "sad/CON.mp4"]  # fmt: skip
    touch(tmp_path, *names)
    found = index_folder(tmp_path)
    assert found.left_out == {}
    assert {clip.path for clip in found.clips} == {tmp_path / name for name in names}
    assert len({check_clip_id(clip.id) for clip in found.clips}) == len(names)


ENTERFACE = [f"subject {who}/{emotion}/sentence 1/s{who}_{emotion[:2]}_1.avi" for who in (1, 2)
             for emotion in ("anger", "happiness")]  # fmt: skip
MEAD = [f"{who}/{kind}/front/{emotion}/level_1/001.mp4" for who in ("M003", "W009")
        for kind in ("video", "audio") for emotion in ("angry", "happy")]  # fmt: skip


def test_labels_and_speakers_stand_on_the_levels_given(tmp_path: Path) -> None:
    touch(tmp_path, *ENTERFACE, "subject 3/anger.avi", "loose.avi")
    found = index_folder(tmp_path, label_level=2, speaker_level=1)
    assert [(clip.label, clip.speaker) for clip in found.clips] == [
        ("anger", "subject 1"), ("happiness", "subject 1"), ("anger", "subject 2"),
        ("happiness", "subject 2"),
    ]  # fmt: skip
    assert found.left_out == {"in no class folder": ["loose.avi", "subject 3/anger.avi"]}
    assert found.warnings == []
    found = index_folder(tmp_path, label_level=1, speaker_level=3)
    assert found.clips[0].speaker == "sentence 1"
    assert found.left_out["in no speaker folder"] == ["subject 3/anger.avi"]


def test_levels_count_the_splits(tmp_path: Path) -> None:
    touch(tmp_path, "train/s1/sad/1.mp4", "test/s2/sad/1.mp4", "val/1.mp4")
    found = index_folder(tmp_path, label_level=3, speaker_level=2)
    assert [(clip.split, clip.speaker, clip.label) for clip in found.clips] == [
        ("test", "s2", "sad"), ("train", "s1", "sad"), ("val", None, None)
    ]  # fmt: skip
    labels = {clip.label for clip in index_folder(tmp_path, label_level=1).clips}
    assert labels == {"train", "test", "val"}


def test_labels_and_speakers_on_one_level_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, *ENTERFACE)
    for label_level in (None, 1):
        with pytest.raises(IndexingError, match="would both be the folders on level 1; give each"):
            index_folder(tmp_path, label_level=label_level, speaker_level=1)


@pytest.mark.parametrize(
    ("names", "warning"),
    [
        (
            ENTERFACE,
            "the labels are subject 1, subject 2; the names anger, happiness recur below most of "
            "them: did you mean --label-level 2 --speaker-level 1?",
        ),
        (
            MEAD,
            "the labels are M003, W009; the names angry, happy recur below most of them: "
            "did you mean --label-level 4 --speaker-level 1?",
        ),
        (
            ["train/DC/anger/1.wav", "train/DC/neutral/1.wav", "test/JE/anger/1.wav",
             "test/JE/neutral/1.wav"],
            "the labels are DC, JE; the names anger, neutral recur below most of them: "
            "did you mean --label-level 3 --speaker-level 2?",
        ),
        (
            ["01/高兴/1.mp4", "01/悲伤/1.mp4", "02/高兴/1.mp4", "02/悲伤/1.mp4"],
            "the labels are 01, 02; the names 悲伤, 高兴 recur below most of them: "
            "did you mean --label-level 2 --speaker-level 1?",
        ),
    ],
)  # fmt: skip
def test_speakers_taken_for_classes_are_warned_of(
    tmp_path: Path, names: list[str], warning: str
) -> None:
    touch(tmp_path, *names)
    assert index_folder(tmp_path).warnings == [warning]


@pytest.mark.parametrize(
    "names",
    [
        ["angry/s1/1.mp4", "angry/s2/1.mp4", "sad/s1/1.mp4", "sad/s2/1.mp4"],
        ["高兴/s1/1.mp4", "高兴/s2/1.mp4", "悲伤/s1/1.mp4", "悲伤/s2/1.mp4"],
        ["angry/happy_hour/1.mp4", "angry/sad_song/1.mp4", "sad/happy_hour/1.mp4"],
        ["c1/1.mp4", "c2/1.mp4"],
        ["c1/x/1.mp4", "c1/y/1.mp4", "c2/z/1.mp4", "c3/v/1.mp4"],
        ["train/sad/1.mp4", "test/sad/1.mp4"],
    ],
)
def test_classes_with_folders_below_are_not_warned_of(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    assert index_folder(tmp_path).warnings == []


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="is not a folder"):
        index_folder(tmp_path / "none")
