from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.index.afew import EMOTIONS, index_afew
from pipeline.index.files import IndexingError
from tests.pipeline.corpus_files import touch


def test_the_official_split_is_read_from_the_folders(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "EmotiW_2018/Train_AFEW/Angry/000046280.avi",
        "EmotiW_2018/Val_AFEW/Surprise/000149120.avi",
        "EmotiW_2018/Test/Test_vid_Distribute/000029320.avi",
        "EmotiW_2018/Train_AFEW/Angry/000046280.wav",
        "EmotiW_2018/Train_AFEW/AlignedFaces_LBPTOP_Points/Faces/000046280/000.jpg",
        "EmotiW_2018/Train_AFEW/loose.avi",
        "EmotiW_2018/Other/1.avi",
    )
    base = tmp_path / "EmotiW_2018"
    found = index_afew(tmp_path)
    assert found.clips == [
        Clip("000046280", base / "Train_AFEW/Angry/000046280.avi", "angry", "train"),
        Clip("000149120", base / "Val_AFEW/Surprise/000149120.avi", "surprise", "val"),
        Clip("000029320", base / "Test/Test_vid_Distribute/000029320.avi", None, "test"),
    ]
    assert found.left_out == {
        "in no folder <split>/<Emotion>": [
            "EmotiW_2018/Other/1.avi",
            "EmotiW_2018/Train_AFEW/loose.avi",
        ],
        "not a media file (.jpg)": [
            "EmotiW_2018/Train_AFEW/AlignedFaces_LBPTOP_Points/Faces/000046280/000.jpg"
        ],
        "sound only; AFEW's clips are video": ["EmotiW_2018/Train_AFEW/Angry/000046280.wav"],
    }
    assert found.warnings == []


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_each_folder_is_a_label_in_small_letters(tmp_path: Path, emotion: str) -> None:
    touch(tmp_path, f"Train/{emotion}/1.avi")
    assert [(c.label, c.split) for c in index_afew(tmp_path).clips] == [(emotion.lower(), "train")]


def test_a_clip_in_training_and_validation_is_left_out_of_training(tmp_path: Path) -> None:
    touch(tmp_path, "Train_AFEW/Sad/1.avi", "Train_AFEW/Sad/2.avi", "Val_AFEW/Fear/2.avi")
    found = index_afew(tmp_path)
    assert [(c.id, c.label, c.split) for c in found.clips] == [
        ("1", "sad", "train"),
        ("2", "fear", "val"),
    ]
    assert found.left_out == {"stands in another split too (a leak)": ["Train_AFEW/Sad/2.avi"]}
    assert found.warnings == [
        "1 clip in training and in another split, left out of training; --keep-shared keeps them: 2"
    ]
    kept = index_afew(tmp_path, keep_shared=True)
    assert [(c.id, c.label, c.split) for c in kept.clips] == [
        ("1", "sad", "train"),
        ("2-train", "sad", "train"),
        ("2", "fear", "val"),
    ]


def test_one_name_twice_in_a_split_is_left_out_once(tmp_path: Path) -> None:
    touch(tmp_path, "Train_AFEW/Fear/1.avi", "Train_AFEW/Sad/1.avi")
    found = index_afew(tmp_path)
    assert [clip.label for clip in found.clips] == ["fear"]
    assert found.left_out == {"has the name of another clip of train": ["Train_AFEW/Sad/1.avi"]}


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="is not a folder"):
        index_afew(tmp_path / "none")
