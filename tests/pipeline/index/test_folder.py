from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
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


def test_a_path_too_long_for_an_id_is_left_out(tmp_path: Path) -> None:
    name = f"sad/{'x' * 197}.mp4"
    touch(tmp_path, name, "sad/1.mp4")
    found = index_folder(tmp_path)
    assert [clip.id for clip in found.clips] == ["sad--1.mp4"]
    assert found.left_out == {"its path is too long for a clip id; shorten it": [name]}


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="is not a folder"):
        index_folder(tmp_path / "none")
