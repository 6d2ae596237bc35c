"""Stills in a folder a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.layouts_helper import make_folder, picture, reading
from trainer.stills.images.layouts import read_stills
from trainer.stills.images.parts import StillsError


def test_class_folders_are_divided_by_class_at_random_and_alike_each_time(tmp_path: Path) -> None:
    make_folder(tmp_path, {"sad": 20, "happy": 13})
    (tmp_path / "sad" / "notes.txt").write_text("taken in May")
    (tmp_path / ".cache").mkdir()
    parts = read_stills(tmp_path, "auto", reading(valid_share=0.2, test_share=0.1))
    assert (parts.layout, parts.classes) == ("folder", ("happy", "sad"))
    counts = {name: np.bincount(part.labels).tolist() for name, part in parts.named().items()}
    # Of 13 and 20: a tenth first (1 and 2), then a fifth of the 12 and 18 left (2 and 4).
    assert counts == {"train": [10, 14], "valid": [2, 4], "test": [1, 2]}
    names = [name for part in parts.named().values() for name in part.names]
    assert len(set(names)) == 33
    assert "sad/07.png" in names
    again = read_stills(tmp_path, "folder", reading(valid_share=0.2, test_share=0.1))
    assert again.test.names == parts.test.names
    other = read_stills(tmp_path, "folder", reading(split_seed=5))
    assert other.test.names != parts.test.names
    assert parts.train.images.shape == (24, 7, 7, 3)
    assert any("held out by class at random" in note for note in parts.notes)
    assert any("1 files that are no images" in note for note in parts.notes)


def test_split_folders_stay_as_they_are(tmp_path: Path) -> None:
    for part, count in {"train": 5, "val": 3, "test": 2}.items():
        make_folder(tmp_path / part, {"sad": count, "happy": count})
    parts = read_stills(tmp_path, "auto", reading())
    assert [len(part) for part in parts.named().values()] == [10, 6, 4]
    assert parts.valid.names[0] == "val/happy/00.png"
    assert parts.notes == ()


def test_without_test_folders_nothing_is_called_a_test(tmp_path: Path) -> None:
    for part, count in {"Training": 5, "Validation": 3}.items():
        make_folder(tmp_path / part, {"sad": count, "happy": count})
    parts = read_stills(tmp_path, "auto", reading())
    assert [len(part) for part in parts.named().values()] == [10, 6, 0]
    assert parts.notes == ("the corpus has no test images",)


def test_validation_images_can_be_learned_too(tmp_path: Path) -> None:
    for part, count in {"train": 5, "valid": 3, "test": 2}.items():
        make_folder(tmp_path / part, {"sad": count, "happy": count})
    parts = read_stills(tmp_path, "auto", reading(train_on_valid=True))
    assert [len(part) for part in parts.named().values()] == [16, 0, 4]
    assert "the validation images are learned too" in parts.notes


def test_folders_that_cannot_be_read_say_what_was_expected(tmp_path: Path) -> None:
    picture(tmp_path / "loose" / "one.png", 3)
    with pytest.raises(StillsError, match=r"loose has none of the known layouts:\n  folder"):
        read_stills(tmp_path / "loose", "auto", reading())
    with pytest.raises(StillsError, match=r"has no class folders; expected images in .*<class>/"):
        read_stills(tmp_path / "loose", "folder", reading())
    make_folder(tmp_path / "two" / "train", {"sad": 3, "happy": 3})
    make_folder(tmp_path / "two" / "val", {"sad": 1, "calm": 1})
    with pytest.raises(StillsError, match=r"differ in their classes: .*val has calm, which "):
        read_stills(tmp_path / "two", "auto", reading())
    make_folder(tmp_path / "two" / "validation", {"sad": 1})
    with pytest.raises(StillsError, match="both hold the valid images"):
        read_stills(tmp_path / "two", "auto", reading())
